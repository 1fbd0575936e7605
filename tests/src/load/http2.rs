//! HTTP/2 as the load speaks it: frames (RFC 9113), and header blocks that were written down once (RFC 7541): the first
//! of a connection puts its fields into the dynamic table, all others refer to them, as programs of real life do.

use std::collections::VecDeque;

use anyhow::{Result, bail, ensure};

use super::BODY;

/// What a client sends first.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The client's side of a connection: one request at a time.
#[derive(Debug)]
pub struct Client {
    frames: Frames,
    next: u32,
    /// Received, and not given back to the connection's window.
    taken: u32,
    begun: bool,
}

/// The server's side of a connection.
#[derive(Debug)]
pub struct Server {
    frames: Frames,
    /// What may still be sent on the connection.
    window: i64,
    /// Requests that wait for it.
    waiting: VecDeque<u32>,
    /// The fields are in the dynamic table.
    begun: bool,
}

/// Cuts what comes into frames.
#[derive(Debug, Default)]
struct Frames {
    pending: Vec<u8>,
}

struct Frame<'a> {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: &'a [u8],
}

impl Default for Client {
    fn default() -> Self {
        Self {
            frames: Frames::default(),
            next: 1,
            taken: 0,
            begun: false,
        }
    }
}

impl Client {
    /// What is sent first.
    pub fn begin(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(PREFACE);
        frame(out, SETTINGS, 0, 0, &[0, 2, 0, 0, 0, 0]);
        frame(
            out,
            WINDOW_UPDATE,
            0,
            0,
            &(LARGEST_WINDOW - FIRST_WINDOW).to_be_bytes(),
        );
    }

    /// A request.
    pub fn ask(&mut self, out: &mut Vec<u8>) {
        let mut block = vec![0x82, 0x86];
        literal(&mut block, 0x04, b"/api/items/42?view=full");
        match std::mem::replace(&mut self.begun, true) {
            true => block.extend_from_slice(&[0x80 | 65, 0x80 | 64, 0x80 | 63, 0x80 | 62]),
            false => {
                literal(&mut block, 0x40 | 1, b"shop.shop.svc.cluster.local");
                literal(&mut block, 0x40 | 58, b"lateen-bench/1");
                literal(&mut block, 0x40 | 19, b"application/json");
                literal(&mut block, 0x40 | 16, b"gzip");
            }
        }
        frame(out, HEADERS, END_HEADERS | END_STREAM, self.next, &block);
        self.next += 2;
    }

    /// Takes what came; gives how many answers are complete now. What it has to say itself goes to `out`.
    ///
    /// # Errors
    /// Fails with an answer that is none, or not 200.
    pub fn read(&mut self, came: &[u8], out: &mut Vec<u8>) -> Result<u32> {
        let (mut complete, mut taken) = (0, self.taken);
        self.frames.read(came, |f| {
            match f.kind {
                HEADERS => {
                    ensure!(
                        f.payload.first() == Some(&0x88),
                        "the answer's head is {:?}",
                        f.payload
                    );
                    ensure!(f.flags & END_STREAM == 0, "an empty answer");
                }
                DATA => {
                    taken += u32::try_from(f.payload.len())?;
                    complete += u32::from(f.flags & END_STREAM != 0);
                }
                RST_STREAM => bail!("stream {} was reset", f.stream),
                _ => common(&f, out)?,
            }
            Ok(())
        })?;
        if taken > FIRST_WINDOW {
            frame(out, WINDOW_UPDATE, 0, 0, &taken.to_be_bytes());
            taken = 0;
        }
        self.taken = taken;
        Ok(complete)
    }
}

impl Default for Server {
    fn default() -> Self {
        Self {
            frames: Frames::default(),
            window: i64::from(FIRST_WINDOW),
            waiting: VecDeque::new(),
            begun: false,
        }
    }
}

impl Server {
    /// What is sent first.
    pub fn begin(&self, out: &mut Vec<u8>) {
        frame(out, SETTINGS, 0, 0, &[0, 3, 0, 0, 4, 0]);
    }

    /// Takes what came behind the preface, and answers it.
    ///
    /// # Errors
    /// Fails with what is no HTTP/2, or asks for more than this has.
    pub fn read(&mut self, came: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let (window, waiting) = (&mut self.window, &mut self.waiting);
        self.frames.read(came, |f| {
            match f.kind {
                HEADERS | DATA => {
                    if f.flags & END_STREAM != 0 {
                        waiting.push_back(f.stream);
                    }
                }
                WINDOW_UPDATE if f.stream == 0 => *window += i64::from(number(f.payload)),
                // Nobody waits for the rest of an answer that went at once.
                RST_STREAM => {}
                _ => common(&f, out)?,
            }
            Ok(())
        })?;
        while self.window >= BODY as i64
            && let Some(stream) = self.waiting.pop_front()
        {
            self.window -= BODY as i64;
            self.answer(stream, out);
        }
        Ok(())
    }

    fn answer(&mut self, stream: u32, out: &mut Vec<u8>) {
        let mut block = vec![0x88];
        match std::mem::replace(&mut self.begun, true) {
            true => block.extend_from_slice(&[0x80 | 64, 0x80 | 63, 0x80 | 62]),
            false => {
                literal(&mut block, 0x40 | 31, b"application/json");
                literal(&mut block, 0x40 | 24, b"no-store");
                literal(&mut block, 0x40 | 28, BODY.to_string().as_bytes());
            }
        }
        frame(out, HEADERS, END_HEADERS, stream, &block);
        frame(out, DATA, END_STREAM, stream, &[b'x'; BODY]);
    }
}

impl Frames {
    fn read(&mut self, came: &[u8], mut each: impl FnMut(Frame<'_>) -> Result<()>) -> Result<()> {
        self.pending.extend_from_slice(came);
        let mut rest = self.pending.as_slice();
        while let Some((head, behind)) = rest.split_first_chunk::<9>() {
            let length = number(&head[..3]) as usize;
            let Some(payload) = behind.get(..length) else {
                break;
            };
            each(Frame {
                kind: head[3],
                flags: head[4],
                stream: number(&head[5..]) & LARGEST_WINDOW,
                payload,
            })?;
            rest = &behind[length..];
        }
        let used = self.pending.len() - rest.len();
        self.pending.drain(..used);
        Ok(())
    }
}

/// What both sides do alike.
fn common(f: &Frame<'_>, out: &mut Vec<u8>) -> Result<()> {
    match f.kind {
        SETTINGS if f.flags & ACK == 0 => {
            for setting in f.payload.chunks_exact(6) {
                let (id, value) = (number(&setting[..2]), number(&setting[2..]));
                ensure!(
                    id != 1 || value >= 4096,
                    "a header table of {value} bytes is too small"
                );
                ensure!(
                    id != 4 || value as usize >= BODY,
                    "a window of {value} bytes is too small"
                );
            }
            frame(out, SETTINGS, ACK, 0, &[]);
        }
        PING if f.flags & ACK == 0 => frame(out, PING, ACK, 0, f.payload),
        GOAWAY => bail!("the other side ends the connection"),
        _ => {}
    }
    Ok(())
}

fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).expect("frames here are short");
    out.extend_from_slice(&length.to_be_bytes()[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

/// A field whose name is in the static table: `first` is its index with the bits of how it is to be kept.
fn literal(block: &mut Vec<u8>, first: u8, value: &[u8]) {
    block.push(first);
    block.push(u8::try_from(value.len()).expect("values here are short"));
    block.extend_from_slice(value);
}

fn number(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |n, b| n << 8 | u32::from(*b))
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// Of a connection, before anybody said otherwise.
const FIRST_WINDOW: u32 = 65_535;
const LARGEST_WINDOW: u32 = 0x7fff_ffff;

#[cfg(test)]
mod tests;
