//! Programs that call, and what they were answered.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use lab::Pod;
use lab::lab::Said;

use super::expect::Expect;
use super::read;
use crate::cast::Cast;
use crate::screen::ms;

/// One call, or several of the same.
pub(super) struct Call {
    /// What people read.
    pub(super) title: &'static str,
    pub(super) with: Program,
    pub(super) expect: Expect,
    /// The waypoint sees it, and names the caller in its access log.
    pub(super) logged: bool,
}

/// The calling program.
pub(super) enum Program {
    /// `curl` with these arguments; `{number}` stands for the call's own, `{<file>}` for what a file of the examples holds.
    Curl(&'static [&'static str]),
    /// The lab's gRPC client with these messages.
    Grpc(&'static [&'static str]),
    /// The lab's WebSocket client with these messages.
    WebSocket(&'static [&'static str]),
    /// The lab's echo client.
    Tcp,
}

/// One answer.
#[derive(Debug)]
pub(super) struct Answer {
    /// An HTTP status, `gRPC <status>`, `echo`, or `nothing`.
    pub(super) status: String,
    /// Who says that it was them; empty when nobody does: the waypoint itself.
    pub(super) by: String,
    pub(super) took: Duration,
    pub(super) text: String,
}

impl Call {
    /// Calls from a pod; `number` is the name that the program gives itself.
    pub(super) fn make(&self, cast: &Cast, from: &Pod, dir: &Path, number: usize) -> Result<Vec<Answer>> {
        let name = format!("demo/{number}");
        let app = cast.programs.app.clone();
        let words = |all: &[&str]| all.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        let (program, arguments) = match self.with {
            Program::Curl(own) => {
                let common = ["-sS", "--max-time", "5", "-w", CURL_SAYS, "-A", &name];
                let mut arguments = words(&common);
                for argument in own {
                    arguments.push(filled(dir, argument, number)?);
                }
                ("curl".to_owned(), arguments)
            }
            Program::Grpc(messages) => {
                let fixed = words(&["grpc", "--name", &name, "reviews.store:9090"]);
                (app, [fixed, words(messages)].concat())
            }
            Program::WebSocket(messages) => {
                let fixed = words(&["websocket", "--name", &name, "reviews.store:80"]);
                (app, [fixed, words(messages)].concat())
            }
            Program::Tcp => (
                app,
                words(&["send", TCP, "--text", "hello", "--limit-ms", "3000"]),
            ),
        };
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        Ok(self.with.read(&from.run(&program, &arguments)?))
    }
}

impl Program {
    /// What tells its line in the access log: the name that it gave itself, or whom it called.
    pub(super) fn mark(&self, number: usize) -> String {
        match self {
            Self::Tcp => format!(" {TCP} "),
            _ => format!("\"demo/{number}\""),
        }
    }

    fn read(&self, said: &Said) -> Vec<Answer> {
        let of = |status: String, by: &str| Answer {
            status,
            by: by.to_owned(),
            took: said.took,
            text: format!("{}{}", said.out, said.err),
        };
        let value = |key: &str| said.out.lines().find_map(|l| l.strip_prefix(key));
        match self {
            Self::Curl(_) => curl(said),
            Self::Grpc(_) => {
                let by = said
                    .out
                    .lines()
                    .find_map(|l| l.split_once(": "))
                    .map_or("", |(by, _)| by);
                let status = value("grpc-status=").map_or_else(nothing, |s| format!("gRPC {s}"));
                vec![of(status, by)]
            }
            Self::WebSocket(_) => {
                let status = value("status=").map_or_else(nothing, str::to_owned);
                let complete = said.ok && said.out.ends_with("closed\n");
                let status = if complete {
                    status
                } else {
                    format!("{status}, broken")
                };
                vec![of(status, said.out.lines().nth(1).unwrap_or_default())]
            }
            Self::Tcp if said.ok && said.out == "hello" => vec![of("echo".to_owned(), "")],
            Self::Tcp => vec![of(nothing(), "")],
        }
    }
}

/// Each transfer ends with a line of its own (see [`CURL_SAYS`]).
fn curl(said: &Said) -> Vec<Answer> {
    let mut answers = Vec::new();
    let mut text = String::new();
    for line in said.out.lines() {
        let Some(summary) = line.strip_prefix(MARK) else {
            text += &format!("{line}\n");
            continue;
        };
        let mut words = summary.split(' ');
        let status = words
            .next()
            .filter(|s| *s != "000")
            .map_or_else(nothing, str::to_owned);
        let took = words.next().and_then(|s| s.parse().ok()).unwrap_or_default();
        answers.push(Answer {
            status,
            took: Duration::from_secs_f64(took),
            by: words.next().unwrap_or_default().to_owned(),
            text: std::mem::take(&mut text),
        });
    }
    if answers.is_empty() {
        answers.push(Answer {
            status: nothing(),
            by: String::new(),
            took: said.took,
            text: said.err.clone(),
        });
    }
    answers
}

impl Answer {
    /// How long the slowest took.
    pub(super) fn time(answers: &[Self]) -> String {
        answers.iter().map(|a| a.took).max().map(ms).unwrap_or_default()
    }
}

fn nothing() -> String {
    "nothing".to_owned()
}

fn filled(dir: &Path, argument: &str, number: usize) -> Result<String> {
    let Some((before, rest)) = argument.split_once('{') else {
        return Ok(argument.to_owned());
    };
    let (name, after) = rest.split_once('}').context("a brace without its other")?;
    let value = match name {
        "number" => number.to_string(),
        file => read(dir, file)?,
    };
    Ok(format!("{before}{}{after}", value.trim()))
}

/// The TCP port of the service that is called.
const TCP: &str = "10.96.2.1:9000";
const MARK: &str = "==> ";
const CURL_SAYS: &str = "\n==> %{http_code} %{time_total} %header{x-served-by}\n";
