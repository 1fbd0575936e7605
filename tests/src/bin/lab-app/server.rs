//! Servers, a thread a connection: simple enough to be right.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;

use anyhow::{Context, Result, bail};

/// Serves on every given port until killed.
pub(crate) fn serve(
    name: &str,
    tcp: Option<u16>,
    http: Option<u16>,
    greet: Option<u16>,
    udp: Option<u16>,
) -> Result<()> {
    let mut threads = Vec::new();
    for (port, handle) in [(tcp, echo as Handler), (http, answer_http), (greet, greet_first)] {
        let Some(port) = port else { continue };
        let listener =
            TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).with_context(|| format!("port {port}"))?;
        let name = name.to_owned();
        threads.push(thread::spawn(move || accept(&listener, &name, handle)));
    }
    if let Some(port) = udp {
        let socket =
            UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port)).with_context(|| format!("UDP port {port}"))?;
        threads.push(thread::spawn(move || echo_datagrams(&socket)));
    }
    if threads.is_empty() {
        bail!("nothing to serve: give --tcp, --http, --greet or --udp");
    }
    // Whoever started the server waits for this line.
    println!("serving");
    for thread in threads {
        if thread.join().is_err() {
            bail!("a server thread panicked");
        }
    }
    Ok(())
}

/// What is done with one connection; the text is the server's name.
type Handler = fn(TcpStream, &str) -> std::io::Result<()>;

fn accept(listener: &TcpListener, name: &str, handle: Handler) {
    for stream in listener.incoming() {
        let Ok(stream) = stream else { continue };
        let name = name.to_owned();
        // A connection's end, good or bad, is the client's to judge.
        thread::spawn(move || drop(handle(stream, &name)));
    }
}

fn echo(mut stream: TcpStream, _: &str) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 64 << 10];
    loop {
        match stream.read(&mut buffer)? {
            0 => return stream.shutdown(Shutdown::Write),
            n => stream.write_all(&buffer[..n])?,
        }
    }
}

fn greet_first(mut stream: TcpStream, name: &str) -> std::io::Result<()> {
    stream.write_all(format!("220 {name} at your service\r\n").as_bytes())?;
    echo(stream, name)
}

/// HTTP/1.1, no bodies taken: the request line comes back with who asked.
fn answer_http(mut stream: TcpStream, name: &str) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let (peer, local) = (stream.peer_addr()?, stream.local_addr()?);
    let mut lines = BufReader::new(stream.try_clone()?);
    loop {
        let mut request = String::new();
        if lines.read_line(&mut request)? == 0 {
            return Ok(());
        }
        let mut close = false;
        loop {
            let mut header = String::new();
            if lines.read_line(&mut header)? == 0 || header.trim().is_empty() {
                break;
            }
            close |= header.trim().eq_ignore_ascii_case("connection: close");
        }
        let (peer, local) = (plain(peer), plain(local));
        let body = format!("{name} at {local} answers {peer}: {}\n", request.trim());
        let end = if close { "Connection: close\r\n" } else { "" };
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n{end}\r\n",
            body.len()
        );
        stream.write_all(format!("{head}{body}").as_bytes())?;
        if close {
            return stream.shutdown(Shutdown::Write);
        }
    }
}

fn plain(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

fn echo_datagrams(socket: &UdpSocket) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        if let Ok((n, from)) = socket.recv_from(&mut buffer) {
            // A datagram may be lost; so may its echo.
            drop(socket.send_to(&buffer[..n], from));
        }
    }
}
