//! Packets between the nodes: a capture on the wire that looks for words which must never cross it in the clear.

use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};
use mesh_net::Netns;
use mesh_types::ports;
use parking_lot::Mutex;
use socket2::{Domain, Protocol, Socket, Type};

use crate::ip::Namespace;

/// A running capture in the lab's own namespace, of every interface in it: all that leaves a node passes there.
#[derive(Debug)]
pub struct Capture {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    stop: AtomicBool,
    frames: AtomicU64,
    bytes: AtomicU64,
    tunnelled: AtomicU64,
    words: Vec<Vec<u8>>,
    found: Mutex<Vec<String>>,
}

/// What a capture saw.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Frames.
    pub frames: u64,
    /// Bytes, headers included.
    pub bytes: u64,
    /// Frames to or from port 15008 whose payload begins with a record of TLS.
    pub tunnelled: u64,
    /// Each frame that carried one of the words, described.
    pub found: Vec<String>,
}

impl Capture {
    /// Starts to look for `words` in the payload of every frame.
    ///
    /// # Errors
    /// Fails when packet sockets are not allowed.
    pub fn start(words: &[&str]) -> Result<Self> {
        Self::on(open()?, words)
    }

    /// The same in another network namespace: what passes between the pods of a node passes its interfaces.
    ///
    /// # Errors
    /// Fails when packet sockets are not allowed, or there is no such namespace.
    pub fn start_in(namespace: &Namespace, words: &[&str]) -> Result<Self> {
        let path = namespace.path();
        let inside = Netns::open(&path).with_context(|| path.display().to_string())?;
        let socket = inside.run(open).with_context(|| path.display().to_string())??;
        Self::on(socket, words)
    }

    fn on(socket: Socket, words: &[&str]) -> Result<Self> {
        socket.set_read_timeout(Some(POLL))?;
        // A burst must not overflow the queue: a frame that was not seen proves nothing.
        socket.set_recv_buffer_size(QUEUE)?;
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            frames: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            tunnelled: AtomicU64::new(0),
            words: words.iter().map(|w| w.as_bytes().to_vec()).collect(),
            found: Mutex::default(),
        });
        let inner = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("capture".to_owned())
            .spawn(move || inner.run(&socket))?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// What was seen so far.
    #[must_use]
    pub fn seen(&self) -> Seen {
        Seen {
            frames: self.shared.frames.load(Ordering::Relaxed),
            bytes: self.shared.bytes.load(Ordering::Relaxed),
            tunnelled: self.shared.tunnelled.load(Ordering::Relaxed),
            found: self.shared.found.lock().clone(),
        }
    }

    /// Ends the capture, after what is queued was read.
    #[must_use]
    pub fn stop(mut self) -> Seen {
        self.end();
        self.seen()
    }

    fn end(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic in the thread shows as missing frames; there is nothing to add here.
            drop(thread.join());
        }
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    fn run(&self, mut socket: &Socket) {
        let mut frame = vec![0_u8; MAX_FRAME];
        while !self.stop.load(Ordering::Relaxed) {
            // Nothing came for a while.
            let Ok(length) = socket.read(&mut frame) else {
                continue;
            };
            self.inspect(&frame[..length]);
        }
        // What is queued by now counts; what comes from now on does not, or traffic that goes on would keep this going.
        if socket.set_nonblocking(true).is_ok() {
            for _ in 0..LAST_FRAMES {
                let Ok(length) = socket.read(&mut frame) else {
                    return;
                };
                self.inspect(&frame[..length]);
            }
        }
    }

    fn inspect(&self, frame: &[u8]) {
        self.frames.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(frame.len() as u64, Ordering::Relaxed);
        self.tunnelled
            .fetch_add(u64::from(is_tunnelled(frame)), Ordering::Relaxed);
        for word in &self.words {
            if frame.windows(word.len()).any(|w| w == word) {
                let word = String::from_utf8_lossy(word);
                self.found
                    .lock()
                    .push(format!("{word:?} in a frame of {} bytes", frame.len()));
            }
        }
    }
}

/// A packet socket that sees every frame of the namespace it is made in.
fn open() -> Result<Socket> {
    let protocol = Protocol::from(i32::from(ETH_P_ALL.to_be()));
    Socket::new(Domain::PACKET, Type::RAW, Some(protocol)).context("a packet socket on the wire")
}

/// Whether a frame of Ethernet carries a TCP segment of HBONE's port that begins with a record of TLS (RFC 8446, 5.1). A
/// record that began in an earlier segment is not counted.
fn is_tunnelled(frame: &[u8]) -> bool {
    tunnelled(frame).unwrap_or(false)
}

fn tunnelled(frame: &[u8]) -> Option<bool> {
    let packet = frame.get(14..)?;
    let tcp = match frame.get(12..14)? {
        [0x08, 0x00] if *packet.get(9)? == TCP => packet.get(usize::from(packet[0] & 0x0f) * 4..)?,
        // Extension headers are not used between pods.
        [0x86, 0xdd] if *packet.get(6)? == TCP => packet.get(40..)?,
        _ => return Some(false),
    };
    let ends = [tcp.get(0..2)?, tcp.get(2..4)?];
    let payload = tcp.get(usize::from(tcp.get(12)? >> 4) * 4..)?;
    let record = matches!(payload, [20..=23, 3, 1..=3, ..]);
    Some(record && ends.contains(&ports::HBONE.to_be_bytes().as_slice()))
}

const TCP: u8 = 6;
/// `ETH_P_ALL` of `linux/if_ether.h`: every protocol, both directions.
const ETH_P_ALL: u16 = 0x0003;
const POLL: Duration = Duration::from_millis(50);
const QUEUE: usize = 16 << 20;
/// More than the queue holds.
const LAST_FRAMES: usize = 1 << 16;
const MAX_FRAME: usize = 70_000;

#[cfg(test)]
mod tests;
