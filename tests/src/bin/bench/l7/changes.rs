//! How long until a change counts.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::time::Instant;

use super::Bench;
use super::memory::ROUTES;
use super::mesh::MARK_PATH;
use super::sheet::{Kind, Sheet, Variant};

/// A changed route among ten thousand of one service: from its publication to the first answer that shows it, while the
/// waypoint is asked without a pause.
pub(super) fn one_among_many(bench: &Bench, changes: usize, sheet: &mut Sheet) -> Result<()> {
    let mesh = &bench.starter.mesh;
    mesh.publish_routes(ROUTES);
    mesh.mark(0);
    let ours = bench.starter.ours()?;
    let mut asking = Asking::connect(ours.plain)?;
    asking.until(MARK_PATH, "0")?;
    let mut took = Vec::with_capacity(changes);
    for number in 1..=changes {
        let began = Instant::now();
        mesh.mark(number);
        asking.until(MARK_PATH, &number.to_string())?;
        took.push(began.elapsed());
        // The changes of a person come one by one.
        std::thread::sleep(PAUSE);
    }
    took.sort();
    for (share, name, kind) in [
        (0.5, "p50", Kind::Told),
        (0.99, "p99", Kind::Within(IN_THE_WAYPOINT_MS)),
    ] {
        let title = format!(
            "one route of {ROUTES} changes: from its publication to the first changed answer, {name} of {changes}, ms"
        );
        sheet.add(title, kind, Variant::Ours, quantile_ms(&took, share));
    }
    Ok(())
}

/// Of sorted times, in ms.
pub(super) fn quantile_ms(sorted: &[Duration], share: f64) -> f64 {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    let at = rank.clamp(1, sorted.len().max(1)) - 1;
    sorted.get(at).map_or(f64::NAN, |took| took.as_secs_f64() * 1e3)
}

/// A connection on which one thing is asked again and again.
pub(super) struct Asking {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Asking {
    pub(super) fn connect(to: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(to)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let buffer = vec![0; 16 * 1024];
        Ok(Self { stream, buffer })
    }

    /// Asks until the answer's body is this.
    pub(super) fn until(&mut self, path: &str, wanted: &str) -> Result<()> {
        self.repeat(path, Duration::ZERO, |answer| {
            answer
                .split_once("\r\n\r\n")
                .is_some_and(|(_, body)| body == wanted)
        })
    }

    /// Asks until the answer has this in it, with pauses.
    pub(super) fn until_says(&mut self, path: &str, wanted: &str, pause: Duration) -> Result<()> {
        self.repeat(path, pause, |answer| answer.contains(wanted))
    }

    fn repeat(&mut self, path: &str, pause: Duration, is_right: impl Fn(&str) -> bool) -> Result<()> {
        let start = Instant::now();
        loop {
            let answer = self.ask(path)?;
            if is_right(&answer) {
                return Ok(());
            }
            ensure!(start.elapsed() < PATIENCE, "{path} is answered with {answer:?}");
            if !pause.is_zero() {
                std::thread::sleep(pause);
            }
        }
    }

    /// The whole answer.
    fn ask(&mut self, path: &str) -> Result<String> {
        let question = format!("GET {path} HTTP/1.1\r\nhost: shop\r\n\r\n");
        self.stream.write_all(question.as_bytes())?;
        let mut came = String::new();
        loop {
            let n = self.stream.read(&mut self.buffer).context("the answer")?;
            ensure!(n > 0, "the connection was closed");
            came.push_str(std::str::from_utf8(&self.buffer[..n])?);
            let Some((head, body)) = came.split_once("\r\n\r\n") else {
                continue;
            };
            let head = head.to_ascii_lowercase();
            let length = head
                .split("\r\n")
                .find_map(|line| line.strip_prefix("content-length:"));
            let length: usize = length.unwrap_or("0").trim().parse()?;
            if body.len() >= length {
                return Ok(came);
            }
        }
    }
}

const PAUSE: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_secs(60);
/// What is asked.
const IN_THE_WAYPOINT_MS: f64 = 10.0;
