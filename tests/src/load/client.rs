//! The near end: connections, pace, latencies.

use std::collections::VecDeque;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::time::Instant;

use super::http1::{self, Answers};
use super::socket::Socket;
use super::{Load, Outcome, Pace, Protocol, http2};

/// Runs a load on the calling thread to its end. Its connections are made, and were answered once, before it counts.
///
/// # Errors
/// Fails with the first connection that does, and when nothing comes for a long time.
pub fn run(load: &Load) -> Result<Outcome> {
    let mut client = hold(load.to, load.protocol, load.connections)?;
    client.measure(load.length, load.pace)
}

/// Connections that were answered once, one after the other, and are held until they are dropped.
///
/// # Errors
/// Fails with the first connection that does.
pub fn hold(to: SocketAddr, protocol: Protocol, connections: usize) -> Result<Client> {
    let mut client = Client::connect(to, protocol, connections)?;
    client.ask_all()?;
    Ok(client)
}

/// Connections to one server.
#[derive(Debug)]
pub struct Client {
    epoll: Epoll,
    connections: Vec<Connection>,
    buffer: Vec<u8>,
    out: Vec<u8>,
    /// Strikes when requests are due, where they are not asked one after the other.
    clock: Option<TimerFd>,
}

#[derive(Debug)]
struct Connection {
    socket: Socket,
    talk: Talk,
    /// When what it is asked now was due.
    due: Option<Instant>,
}

#[derive(Debug)]
enum Talk {
    Http1(Answers),
    Http2(Box<http2::Client>),
}

/// What a measurement has come to.
struct Measuring {
    end: Instant,
    pace: Pace,
    outcome: Outcome,
    /// Connections without a request.
    free: VecDeque<usize>,
    /// When requests were due that found no connection.
    late: VecDeque<Instant>,
    next_due: Instant,
}

impl Client {
    fn connect(to: SocketAddr, protocol: Protocol, count: usize) -> Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let mut connections = Vec::with_capacity(count);
        for token in 0..count {
            let stream = TcpStream::connect(to).with_context(|| format!("connect to {to}"))?;
            let mut socket = Socket::new(stream, token as u64, &epoll)?;
            let talk = match protocol {
                Protocol::Http1 => Talk::Http1(Answers::default()),
                Protocol::Http2 => {
                    let (client, mut out) = (http2::Client::default(), Vec::new());
                    client.begin(&mut out);
                    socket.write(&out, &epoll)?;
                    Talk::Http2(Box::new(client))
                }
            };
            connections.push(Connection {
                socket,
                talk,
                due: None,
            });
        }
        Ok(Self {
            epoll,
            connections,
            buffer: vec![0; 64 * 1024],
            out: Vec::new(),
            clock: None,
        })
    }

    fn ask_all(&mut self) -> Result<()> {
        for at in 0..self.connections.len() {
            self.ask(at, Instant::now())?;
            let mut answered = false;
            while !answered {
                self.wait(|_, _, _| {
                    answered = true;
                    Ok(())
                })?;
            }
        }
        Ok(())
    }

    /// Asks for so long.
    ///
    /// # Errors
    /// Fails with the first connection that does, and when nothing comes for a long time.
    pub fn measure(&mut self, length: Duration, pace: Pace) -> Result<Outcome> {
        let start = Instant::now();
        let mut measuring = Measuring {
            end: start + length,
            pace,
            outcome: Outcome::default(),
            free: (0..self.connections.len()).collect(),
            late: VecDeque::new(),
            next_due: start,
        };
        match pace {
            Pace::Open(rate) => self.clock = Some(self.tick(Duration::from_secs_f64(1.0 / rate))?),
            Pace::Closed => {
                while let Some(at) = measuring.free.pop_front() {
                    self.ask(at, start)?;
                }
            }
        }
        let mut now = start;
        while now < measuring.end {
            self.ask_due(&mut measuring, now)?;
            self.wait(|client, at, asked| measuring.answered(client, at, asked))?;
            now = Instant::now();
        }
        self.clock = None;
        let mut outcome = measuring.outcome;
        outcome.seconds = (now - start).as_secs_f64();
        Ok(outcome)
    }

    /// A clock that epoll tells of.
    fn tick(&self, every: Duration) -> Result<TimerFd> {
        let timer = TimerFd::new(
            ClockId::CLOCK_MONOTONIC,
            TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC,
        )?;
        timer.set(
            Expiration::Interval(TimeSpec::from_duration(every)),
            TimerSetTimeFlags::empty(),
        )?;
        self.epoll
            .add(&timer, EpollEvent::new(EpollFlags::EPOLLIN, TIMER))?;
        Ok(timer)
    }

    /// Asks everything that is due by now.
    fn ask_due(&mut self, measuring: &mut Measuring, now: Instant) -> Result<()> {
        let Pace::Open(rate) = measuring.pace else {
            return Ok(());
        };
        while measuring.next_due <= now {
            let due = measuring.next_due;
            measuring.next_due += Duration::from_secs_f64(1.0 / rate);
            match measuring.free.pop_front() {
                Some(at) => self.ask(at, due)?,
                None => measuring.late.push_back(due),
            }
        }
        Ok(())
    }

    fn ask(&mut self, at: usize, due: Instant) -> Result<()> {
        let Connection {
            socket,
            talk,
            due: asked,
        } = &mut self.connections[at];
        *asked = Some(due);
        match talk {
            Talk::Http1(_) => socket.write(http1::QUESTION, &self.epoll),
            Talk::Http2(client) => {
                self.out.clear();
                client.ask(&mut self.out);
                socket.write(&self.out, &self.epoll)
            }
        }
    }

    /// Waits for something, and tells of each answer on which connection it came and when its question was due.
    fn wait(&mut self, mut answered: impl FnMut(&mut Self, usize, Instant) -> Result<()>) -> Result<()> {
        let mut events = [EpollEvent::empty(); 256];
        let ready = match self.epoll.wait(&mut events, EpollTimeout::from(PATIENCE)) {
            Err(Errno::EINTR) => return Ok(()),
            ready => ready?,
        };
        ensure!(ready > 0, "no answer for {} ms", PATIENCE);
        for event in &events[..ready] {
            if event.data() == TIMER {
                // It goes on only once it was read; how often it struck is known by the time.
                self.clock.as_ref().map(TimerFd::wait).transpose()?;
                continue;
            }
            let at = usize::try_from(event.data())?;
            if event.events().contains(EpollFlags::EPOLLOUT) {
                self.connections[at].socket.go_on(&self.epoll)?;
            }
            let complete = self.read(at)?;
            ensure!(complete <= 1, "{complete} answers to one question");
            if complete == 1
                && let Some(asked) = self.connections[at].due.take()
            {
                answered(self, at, asked)?;
            }
        }
        Ok(())
    }

    /// How many answers are complete now.
    fn read(&mut self, at: usize) -> Result<u32> {
        let Connection { socket, talk, .. } = &mut self.connections[at];
        let came = socket
            .read(&mut self.buffer)?
            .context("the connection was closed")?;
        match talk {
            Talk::Http1(answers) => answers.read(came),
            Talk::Http2(client) => {
                self.out.clear();
                let complete = client.read(came, &mut self.out)?;
                if !self.out.is_empty() {
                    socket.write(&self.out, &self.epoll)?;
                }
                Ok(complete)
            }
        }
    }
}

impl Measuring {
    fn answered(&mut self, client: &mut Client, at: usize, asked: Instant) -> Result<()> {
        let now = Instant::now();
        self.outcome.requests += 1;
        self.outcome.latency.record(now - asked);
        match self.pace {
            Pace::Closed => client.ask(at, now),
            Pace::Open(_) => match self.late.pop_front() {
                Some(due) => client.ask(at, due),
                None => {
                    self.free.push_back(at);
                    Ok(())
                }
            },
        }
    }
}

/// No connection's number.
const TIMER: u64 = u64::MAX;
/// In milliseconds.
const PATIENCE: u16 = 10_000;
