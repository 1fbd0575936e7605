//! One program that calls another: how it is called, and what it said.

use std::time::Duration;

use anyhow::Result;
use lab::lab::Said;

use crate::cast::{Cast, virtual_address};
use crate::evidence::Witness;
use crate::facts::Facts;

/// Who calls whom with which program, and what must come of it.
#[derive(Clone, Copy)]
pub(crate) struct Flow {
    pub(crate) from: &'static str,
    pub(crate) to: To,
    pub(crate) with: Client,
    pub(crate) expect: Expect,
}

/// Who is called.
#[derive(Clone, Copy)]
pub(crate) enum To {
    /// A pod at its own address.
    Pod(&'static str),
    /// A service by its name; one of these pods answers.
    Service(&'static str, &'static [&'static str]),
}

/// The calling program.
#[derive(Clone, Copy)]
pub(crate) enum Client {
    /// The lab's own client: sends a line, wants the same line.
    Echo(u16),
    /// `curl`; the page must contain this text.
    Curl(u16, &'static str),
    /// `redis-cli SET`.
    Redis,
    /// `psql`, a query.
    Psql,
}

/// What must come of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Expect {
    pub(crate) wire: Wire,
    pub(crate) allowed: bool,
}

/// How a connection travels between the nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    Mtls,
    Plain,
}

/// What the calling program got.
pub(crate) struct Answer {
    pub(crate) ok: bool,
    pub(crate) said: String,
    /// From connecting to the last byte, where the program tells.
    pub(crate) took: Option<Duration>,
}

impl Flow {
    /// Calls once, and asks the proxies what they saw.
    pub(crate) fn run(&self, cast: &Cast) -> Result<Facts> {
        let mut witness = Witness::before(cast);
        let answer = self.call(cast)?;
        witness.judge(self, &answer)
    }

    /// Calls once.
    pub(crate) fn call(&self, cast: &Cast) -> Result<Answer> {
        let pod = cast.pod(self.from)?;
        let with = self.with.or_stand_in(cast);
        let host = match (self.to, with) {
            (To::Pod(name), _) => cast.pod(name)?.v4().to_string(),
            // The lab's client takes addresses only.
            (To::Service(name, _), Client::Echo(_)) => virtual_address(name)?.to_owned(),
            (To::Service(name, _), _) => name.to_owned(),
        };
        let (program, arguments) = with.command(cast, &host);
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        Ok(with.read(&pod.run(&program, &arguments)?))
    }

    /// Pods that may answer.
    pub(crate) fn targets(&self) -> Vec<&'static str> {
        match self.to {
            To::Pod(name) => vec![name],
            To::Service(_, pods) => pods.to_vec(),
        }
    }
}

impl Client {
    /// What people read in the table.
    pub(crate) fn title(self, cast: &Cast) -> &'static str {
        match self.or_stand_in(cast) {
            Self::Echo(_) => "TCP echo",
            Self::Curl(_, NGINX) => "curl, nginx",
            Self::Curl(..) => "curl, HTTP",
            Self::Redis => "redis-cli SET",
            Self::Psql => "psql SELECT",
        }
    }

    /// What is not installed has an echo server in its place (see [`crate::programs::serve`]).
    fn or_stand_in(self, cast: &Cast) -> Self {
        match self {
            Self::Redis if !cast.programs.has_redis() => Self::Echo(6379),
            Self::Psql if !cast.programs.has_postgres() => Self::Echo(5432),
            Self::Curl(port, NGINX) if !cast.programs.has_nginx() => Self::Curl(port, ECHO),
            other => other,
        }
    }

    fn command(self, cast: &Cast, host: &str) -> (String, Vec<String>) {
        let words = |all: &[&str]| all.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        match self {
            Self::Echo(port) => {
                let to = format!("{host}:{port}");
                let arguments = ["send", &to, "--text", LINE, "--limit-ms", "3000", "--timing"];
                (cast.programs.app.clone(), words(&arguments))
            }
            Self::Curl(port, _) => {
                let url = format!("http://{host}:{port}/");
                (
                    "curl".to_owned(),
                    words(&["-sS", "--max-time", "3", "-w", CURL_TIME, &url]),
                )
            }
            Self::Redis => (
                "timeout".to_owned(),
                words(&["3", "redis-cli", "-h", host, "SET", "greeting", "hello"]),
            ),
            Self::Psql => {
                let to = format!(
                    "host={host} user=postgres dbname=postgres connect_timeout=3 sslmode=disable gssencmode=disable"
                );
                (
                    "psql".to_owned(),
                    words(&["-X", "-At", "-c", "select 6 * 7", &to]),
                )
            }
        }
    }

    /// A program that was satisfied did get the right answer.
    fn read(self, said: &Said) -> Answer {
        let (right, took) = match self {
            Self::Echo(_) => (said.out == LINE, number_after(&said.err, "ms=")),
            Self::Curl(_, text) => (
                said.out.contains(text),
                number_after(&said.out, "\nseconds=").map(|s| s * 1000.0),
            ),
            Self::Redis => (said.out.trim() == "OK", None),
            Self::Psql => (said.out.trim() == "42", None),
        };
        Answer {
            ok: said.ok && right,
            said: one_line(&format!("{} {}", said.out, said.err)),
            took: took.map(|ms| Duration::from_secs_f64(ms / 1000.0)),
        }
    }
}

impl Expect {
    pub(crate) const MTLS: Self = Self {
        wire: Wire::Mtls,
        allowed: true,
    };
    pub(crate) const PLAIN: Self = Self {
        wire: Wire::Plain,
        allowed: true,
    };

    pub(crate) const fn denied(self) -> Self {
        Self {
            allowed: false,
            ..self
        }
    }
}

impl Wire {
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Mtls => "mTLS",
            Self::Plain => "plain",
        }
    }
}

/// What a program said, short enough for a remark.
fn one_line(text: &str) -> String {
    let words: Vec<_> = text.split_whitespace().collect();
    words.join(" ").chars().take(REMARK).collect()
}

fn number_after(text: &str, key: &str) -> Option<f64> {
    let (_, rest) = text.rsplit_once(key)?;
    rest.split_whitespace().next()?.parse().ok()
}

/// What the page that nginx serves says.
pub(crate) const NGINX: &str = "hello from nginx in shop/web";
/// What the lab's own HTTP server says.
pub(crate) const ECHO: &str = " answers ";
const REMARK: usize = 80;
const LINE: &str = "hello";
const CURL_TIME: &str = "\nseconds=%{time_total}";
