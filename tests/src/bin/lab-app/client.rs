//! Clients that say exactly what happened to them.

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::time::Instant;

/// Sends `text`, half-closes, and prints what comes back until the server closes too.
pub(crate) fn send(to: SocketAddr, text: &str, limit: Duration, count: bool) -> Result<()> {
    let mut stream = connect(to, limit)?;
    let mut writer = stream.try_clone()?;
    let text = text.to_owned();
    // Both directions at once, so that a text larger than all buffers cannot lock up.
    let sender = thread::spawn(move || -> std::io::Result<()> {
        writer.write_all(text.as_bytes())?;
        writer.shutdown(Shutdown::Write)
    });
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    let sent = sender
        .join()
        .map_err(|_| anyhow::anyhow!("the sender panicked"))?;
    if count {
        println!("{}", answer.len());
    } else {
        print!("{}", String::from_utf8_lossy(&answer));
    }
    read.with_context(|| format!("reading from {to}"))?;
    sent.with_context(|| format!("writing to {to}"))
}

/// Prints the first line that the server says by itself.
pub(crate) fn greeted(to: SocketAddr) -> Result<()> {
    let mut line = String::new();
    let stream = connect(to, LIMIT)?;
    if BufReader::new(stream)
        .read_line(&mut line)
        .with_context(|| format!("reading from {to}"))?
        == 0
    {
        bail!("{to} closed without a word");
    }
    print!("{line}");
    Ok(())
}

/// Sends one datagram and prints its echo.
pub(crate) fn udp(to: SocketAddr, text: &str) -> Result<()> {
    let any = if to.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
    socket.set_read_timeout(Some(LIMIT))?;
    socket.send_to(text.as_bytes(), to)?;
    let mut buffer = vec![0; 64 << 10];
    let (n, _) = socket
        .recv_from(&mut buffer)
        .with_context(|| format!("no echo from {to}"))?;
    println!("{}", String::from_utf8_lossy(&buffer[..n]));
    Ok(())
}

/// Echoes line after line over one connection and prints `lines=<n> end=<reason>`.
pub(crate) fn hold(to: SocketAddr, every: Duration, limit: Duration, tell: bool) -> Result<()> {
    let mut stream = connect(to, LIMIT)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let start = Instant::now();
    let mut lines = 0_u64;
    println!("open");
    let end = loop {
        if start.elapsed() > limit {
            break "mine".to_owned();
        }
        let line = format!("line {lines}\n");
        let mut answer = String::new();
        let exchange = stream
            .write_all(line.as_bytes())
            .and_then(|()| reader.read_line(&mut answer));
        match exchange {
            Ok(0) => break "closed".to_owned(),
            Ok(_) if answer == line => {
                lines += 1;
                if tell {
                    println!("{lines}");
                }
            }
            Ok(_) => break format!("garbled: {answer:?}"),
            Err(e) if e.kind() == ErrorKind::ConnectionReset || e.kind() == ErrorKind::BrokenPipe => {
                break "reset".to_owned();
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => break "silent".to_owned(),
            Err(e) => break e.to_string(),
        }
        thread::sleep(every);
    };
    let end = format!("lines={lines} end={end} ms={}\n", start.elapsed().as_millis());
    // Whoever asked may be gone.
    drop(std::io::stdout().write_all(end.as_bytes()));
    Ok(())
}

/// A connection whose every step is bounded.
pub(crate) fn connect(to: SocketAddr, limit: Duration) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&to, limit).with_context(|| format!("connecting to {to}"))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(limit))?;
    stream.set_write_timeout(Some(limit))?;
    Ok(stream)
}

const LIMIT: Duration = Duration::from_secs(5);
