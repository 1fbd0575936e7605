//! HTTP/1.1 as the load speaks it.

use anyhow::{Context, Result, bail, ensure};

use super::BODY;

/// What is asked: a request as a service of a mesh sends it.
pub const QUESTION: &[u8] = b"GET /api/items/42?view=full HTTP/1.1\r\nhost: shop.shop.svc.cluster.local\r\n\
user-agent: lateen-bench/1\r\naccept: application/json\r\naccept-encoding: gzip\r\n\r\n";

/// Reads answers.
#[derive(Debug, Default)]
pub struct Answers {
    /// The beginning of a head.
    head: Vec<u8>,
    /// Of a body.
    left: usize,
}

impl Answers {
    /// Takes what came; gives how many answers are complete now.
    ///
    /// # Errors
    /// Fails with an answer that is none, or not 200.
    pub fn read(&mut self, mut came: &[u8]) -> Result<u32> {
        let mut complete = 0;
        while !came.is_empty() {
            if self.left == 0 {
                let Some((length, used)) = self.head(came)? else {
                    return Ok(complete);
                };
                came = &came[used..];
                self.left = length;
            }
            let body = self.left.min(came.len());
            came = &came[body..];
            self.left -= body;
            complete += u32::from(self.left == 0);
        }
        Ok(complete)
    }

    /// The length of the body behind a head that ends here, and how much of `came` belongs to the head.
    fn head(&mut self, came: &[u8]) -> Result<Option<(usize, usize)>> {
        let before = self.head.len();
        let found = if before == 0 {
            end_of_head(came).map(|end| (content_length(&came[..end]), end))
        } else {
            self.head.extend_from_slice(came);
            let end = end_of_head(&self.head);
            end.map(|end| (content_length(&self.head[..end]), end - before))
        };
        match found {
            Some((length, used)) => {
                self.head.clear();
                Ok(Some((length?, used)))
            }
            None => {
                if before == 0 {
                    self.head.extend_from_slice(came);
                }
                ensure!(self.head.len() < LONGEST_HEAD, "a head without an end");
                Ok(None)
            }
        }
    }
}

/// Reads requests without bodies.
#[derive(Debug, Default)]
pub struct Questions {
    /// How much of a head's end was there at the end of what came last.
    matched: usize,
}

impl Questions {
    /// Takes what came; gives how many requests are complete now.
    pub fn read(&mut self, came: &[u8]) -> u32 {
        let mut complete = 0;
        for byte in came {
            self.matched = match (byte, self.matched) {
                (b'\r', 2) => 3,
                (b'\r', _) => 1,
                (b'\n', 1) => 2,
                (b'\n', 3) => {
                    complete += 1;
                    0
                }
                _ => 0,
            };
        }
        complete
    }
}

/// What is answered.
#[must_use]
pub fn answer() -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncache-control: no-store\r\ncontent-length: {BODY}\r\n\r\n"
    );
    let mut answer = head.into_bytes();
    answer.resize(answer.len() + BODY, b'x');
    answer
}

fn end_of_head(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|w| w == b"\r\n\r\n").map(|at| at + 4)
}

fn content_length(head: &[u8]) -> Result<usize> {
    let head = std::str::from_utf8(head).context("a head")?;
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap_or_default();
    ensure!(status.starts_with("HTTP/1.1 200"), "the answer is {status:?}");
    let mut fields = lines.filter_map(|line| line.split_once(':'));
    let Some((_, length)) = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length")) else {
        bail!("an answer without a length");
    };
    let length = length.trim().parse().context("content-length")?;
    ensure!(length > 0, "an empty answer");
    Ok(length)
}

const LONGEST_HEAD: usize = 16 * 1024;

#[cfg(test)]
mod tests;
