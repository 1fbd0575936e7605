//! What TCP promises holds end to end: who speaks first, halves that end apart, ends and resets, every byte in order.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use lab::Lab;
use socket2::SockRef;

use crate::client::{Fate, connect, hold, listen, say};
use crate::harness::{Test, test};
use crate::party::{Party, namespaces};
use crate::trace::Trace;

pub(crate) const TESTS: &[Test] = &[
    test(
        "a_server_may_speak_first_and_each_half_of_a_connection_ends_on_its_own",
        halves,
    ),
    test(
        "resets_arrive_as_resets_and_ends_as_ends_and_a_refusal_by_the_application_is_told",
        ends,
    ),
    test(
        "whoever_does_not_read_holds_the_writer_back_and_then_gets_every_byte",
        back_pressure,
    ),
    test("megabytes_go_both_ways_at_once_and_arrive_unchanged", megabytes),
    test(
        "hundreds_of_connections_at_once_share_tunnels_and_none_is_lost",
        many,
    ),
    test("datagrams_pass_untouched_in_both_families", datagrams),
];

/// A client and a server, on two nodes.
struct Pair {
    name: &'static str,
    client: Party,
    server: Party,
}

/// One pair for each way of carrying a connection: tunnelled, taken in plaintext, sent in plaintext.
fn pairs(lab: &mut Lab) -> Result<[Pair; 3]> {
    namespaces(lab)?;
    let mut pair = |name, client, server| -> Result<Pair> {
        let (from, to) = (format!("client-{name}"), format!("server-{name}"));
        Ok(Pair {
            name,
            client: Party::start(lab, &from, 0, client)?,
            server: Party::start(lab, &to, 1, server)?,
        })
    };
    Ok([
        pair("tunnel", true, true)?,
        pair("inbound", false, true)?,
        pair("outbound", true, false)?,
    ])
}

fn halves(lab: &mut Lab) -> Result<()> {
    for Pair { name, client, server } in &pairs(lab)? {
        // The client says nothing until it was greeted.
        let mut stream = connect(client.namespace(), server.at(9001))?.context(*name)?;
        let mut greeting = String::new();
        BufReader::new(stream.try_clone()?)
            .read_line(&mut greeting)
            .context(*name)?;
        ensure!(greeting.starts_with("220 "), "{name}: {greeting:?}");
        stream.write_all(b"hello")?;
        stream.shutdown(Shutdown::Write)?;
        let mut rest = String::new();
        stream.read_to_string(&mut rest).context(*name)?;
        ensure!(rest == "hello", "{name}: {rest:?}");

        // The server ends its half first, and still hears the client.
        let at = server.at(7001);
        let listener = listen(server.namespace(), at)?;
        let heard = thread::spawn(move || -> std::io::Result<String> {
            let mut stream = bounded(listener.accept()?.0)?;
            stream.write_all(b"that is all")?;
            stream.shutdown(Shutdown::Write)?;
            let mut heard = String::new();
            stream.read_to_string(&mut heard).map(|_| heard)
        });
        let mut stream = connect(client.namespace(), at)?.context(*name)?;
        let mut said = String::new();
        stream.read_to_string(&mut said).context(*name)?;
        ensure!(said == "that is all", "{name}: {said:?}");
        stream.write_all(b"but I have more")?;
        drop(stream);
        let heard = join(heard)?.context(*name)?;
        ensure!(heard == "but I have more", "{name}: {heard:?}");
    }
    Ok(())
}

fn ends(lab: &mut Lab) -> Result<()> {
    let pairs = pairs(lab)?;
    let mut trace = Trace::follow(lab)?;
    for Pair { name, client, server } in &pairs {
        // Nobody listens.
        let nobody = server.at(7999);
        for text in ["hello", ""] {
            let fate = say(client.namespace(), nobody, text)?;
            ensure!(fate == Fate::Reset, "{name}, nobody listens: {fate:?}");
        }
        let (from, to) = (client.name(), server.name());
        for (node, direction, party) in [(0, "outbound", client), (1, "inbound", server)] {
            if party.captured {
                let values = [
                    ("direction", direction),
                    ("src.workload", from),
                    ("dst.workload", to),
                ];
                let line = trace.expect(node, &values).context(*name)?;
                ensure!(line.get("error").is_some(), "{name}: {line:?}");
                ensure!(line.is("level", "error"), "{name}: {line:?}");
            }
        }
        // The application takes the connection and ends it, or resets it, with and without having said something.
        for (said, by_reset, expected) in [
            ("", false, Fate::Closed),
            ("bye", false, Fate::Answered("bye".to_owned())),
            ("", true, Fate::Reset),
        ] {
            let at = server.at(7002);
            let listener = listen(server.namespace(), at)?;
            let app = thread::spawn(move || -> std::io::Result<()> {
                let mut stream = bounded(listener.accept()?.0)?;
                stream.read_exact(&mut [0; 2])?;
                stream.write_all(said.as_bytes())?;
                if by_reset {
                    reset_on_close(&stream)?;
                }
                Ok(())
            });
            let fate = say(client.namespace(), at, "hi")?;
            join(app)?.context(*name)?;
            ensure!(fate == expected, "{name}, {said:?}, {by_reset}: {fate:?}");
        }
        // The client resets, and the application is told so.
        let at = server.at(7003);
        let listener = listen(server.namespace(), at)?;
        let app = thread::spawn(move || -> std::io::Result<Fate> {
            let mut stream = bounded(listener.accept()?.0)?;
            stream.write_all(b"!")?;
            Ok(match stream.read(&mut [0]) {
                Ok(_) => Fate::Closed,
                Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => Fate::Reset,
                Err(e) => Fate::Other(e.to_string()),
            })
        });
        let mut stream = connect(client.namespace(), at)?.context(*name)?;
        stream.read_exact(&mut [0]).context(*name)?;
        reset_on_close(&stream)?;
        drop(stream);
        let fate = join(app)?.context(*name)?;
        ensure!(fate == Fate::Reset, "{name}: the application saw {fate:?}");
    }
    Ok(())
}

fn megabytes(lab: &mut Lab) -> Result<()> {
    for Pair { name, client, server } in &pairs(lab)? {
        let mut sent = vec![0_u8; SIZE];
        fastrand::Rng::with_seed(1).fill(&mut sent);
        let mut stream = connect(client.namespace(), server.echo())?.context(*name)?;
        let mut back = Vec::with_capacity(SIZE);
        thread::scope(|scope| -> Result<()> {
            let (mut writer, bytes) = (stream.try_clone()?, &sent);
            let writing = scope.spawn(move || -> std::io::Result<()> {
                writer.write_all(bytes)?;
                writer.shutdown(Shutdown::Write)
            });
            stream.read_to_end(&mut back).context("reading")?;
            writing
                .join()
                .map_err(|_| anyhow!("the writer panicked"))?
                .context("writing")
        })
        .context(*name)?;
        let differs = sent.iter().zip(&back).position(|(a, b)| a != b);
        ensure!(
            back.len() == SIZE && differs.is_none(),
            "{name}: {} bytes, different at {differs:?}",
            back.len()
        );
    }
    Ok(())
}

fn back_pressure(lab: &mut Lab) -> Result<()> {
    for Pair { name, client, server } in &pairs(lab)? {
        let at = server.at(7004);
        let listener = listen(server.namespace(), at)?;
        let near = connect(client.namespace(), at)?.context(*name)?;
        (&near).write_all(b"!")?;
        let far = bounded(listener.accept()?.0)?;
        (&far).read_exact(&mut [0])?;
        for (way, from, to) in [("up", &near, &far), ("down", &far, &near)] {
            let taken = fill(from).with_context(|| format!("{name}, {way}"))?;
            let mut left = taken;
            let mut buffer = vec![0; 1 << 20];
            while left > 0 {
                let wanted = left.min(buffer.len());
                let read = (&mut &*to)
                    .read(&mut buffer[..wanted])
                    .with_context(|| format!("{name}, {way}: {left} of {taken} bytes are missing"))?;
                ensure!(read > 0, "{name}, {way}: {left} of {taken} bytes are missing");
                left -= read;
            }
        }
    }
    Ok(())
}

/// Writes until nothing more is taken for a moment; says how much was. A moment too short makes the test weaker, never
/// wrong.
fn fill(mut stream: &TcpStream) -> Result<usize> {
    stream.set_write_timeout(Some(Duration::from_millis(250)))?;
    let chunk = vec![b'x'; 1 << 16];
    let mut taken = 0;
    loop {
        match stream.write(&chunk) {
            Ok(n) => taken += n,
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => return Ok(taken),
            Err(e) => return Err(e.into()),
        }
        ensure!(taken < BOUND, "{taken} bytes were taken that nobody read");
    }
}

fn many(lab: &mut Lab) -> Result<()> {
    namespaces(lab)?;
    let client = Party::start(lab, "client", 0, true)?;
    let server = Party::start(lab, "server", 1, true)?;
    let mut open = Vec::new();
    for _ in 0..MANY {
        open.push(hold(client.namespace(), server.echo())?);
    }
    // All of them are alive at once.
    for round in 0..2 {
        for (i, held) in open.iter_mut().enumerate() {
            held.echo(&format!("connection {i}, round {round}"))?;
        }
    }
    // More than one tunnel connection carries them, but by far not one each.
    let sockets = lab.nodes()[1].metrics()?;
    let sockets = sockets
        .lines()
        .find_map(|l| l.strip_prefix("istio_tcp_sockets_open{reporter=\"destination\"} "))
        .context("no istio_tcp_sockets_open")?;
    let sockets: usize = sockets.trim().parse().context("a count of sockets")?;
    ensure!(
        (MANY / 100..=MANY / 10).contains(&sockets),
        "{sockets} sockets carry {MANY} connections"
    );
    // And from many threads at once, as a burst.
    let (from, to) = (client.namespace(), server.echo());
    thread::scope(|scope| {
        let burst: Vec<_> = (0..BURST)
            .map(|i| scope.spawn(move || (i, say(from, to, &format!("burst {i}")))))
            .collect();
        for thread in burst {
            let (i, fate) = thread.join().map_err(|_| anyhow!("a client panicked"))?;
            let fate = fate?;
            ensure!(fate == Fate::Answered(format!("burst {i}")), "{i}: {fate:?}");
        }
        Ok(())
    })
}

fn datagrams(lab: &mut Lab) -> Result<()> {
    let pairs = pairs(lab)?;
    let mut trace = Trace::follow(lab)?;
    let app = lab.products().path("lab-app").display().to_string();
    for Pair { name, client, server } in &pairs {
        for ip in [server.pod.v4(), server.pod.v6()] {
            let to = SocketAddr::new(ip, 9002).to_string();
            let said = client.pod.run(&app, &["udp", &to, "a datagram"])?;
            ensure!(said.ok && said.out == "a datagram\n", "{name}, {to}: {said:?}");
        }
    }
    let rest = trace.rest();
    ensure!(
        rest.is_empty(),
        "the proxies have nothing to do with datagrams: {rest:#?}"
    );
    Ok(())
}

fn bounded(stream: TcpStream) -> std::io::Result<TcpStream> {
    stream.set_read_timeout(Some(crate::client::LIMIT))?;
    Ok(stream)
}

fn reset_on_close(stream: &TcpStream) -> std::io::Result<()> {
    SockRef::from(stream).set_linger(Some(Duration::ZERO))
}

fn join<T>(thread: thread::JoinHandle<T>) -> Result<T> {
    thread.join().map_err(|_| anyhow!("the application panicked"))
}

const SIZE: usize = 8 << 20;
/// More than the sockets on the way and the proxies' windows can hold together.
const BOUND: usize = 32 << 20;
/// Three tunnels' worth of streams.
const MANY: usize = 250;
const BURST: usize = 60;
