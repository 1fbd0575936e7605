//! WebSocket, as much as an echo needs (RFC 6455): short text messages, and the key of the RFC's own example, so that no
//! SHA-1 is needed.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::spawn_local;

use super::{Body, text};

pub(super) fn is(request: &Request<Incoming>) -> bool {
    let upgrade = request.headers().get(header::UPGRADE);
    upgrade.is_some_and(|u| u.as_bytes().eq_ignore_ascii_case(PROTOCOL.as_bytes()))
}

pub(super) fn answer(mut request: Request<Incoming>) -> Response<Body> {
    let key = request.headers().get(header::SEC_WEBSOCKET_KEY);
    if key.is_none_or(|k| k != KEY) {
        return text(
            StatusCode::BAD_REQUEST,
            "this server knows the key of RFC 6455, section 1.3, only\n".to_owned(),
        );
    }
    let upgraded = hyper::upgrade::on(&mut request);
    spawn_local(echo(upgraded));
    let mut response = Response::new(Body::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    for (name, value) in [
        (header::UPGRADE, PROTOCOL),
        (header::CONNECTION, "Upgrade"),
        (header::SEC_WEBSOCKET_ACCEPT, ACCEPT),
    ] {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn echo(upgraded: OnUpgrade) {
    let Ok(upgraded) = upgraded.await else { return };
    let mut io = TokioIo::new(upgraded);
    while let Ok((opcode, message)) = read(&mut io).await {
        if write(&mut io, opcode, &message, None).await.is_err() || opcode == CLOSE {
            break;
        }
    }
}

/// Sends each message, prints its echo, and closes as the protocol wants it.
pub(crate) async fn talk(authority: &str, path: &str, name: &str, messages: &[String]) -> Result<()> {
    let stream = TcpStream::connect(authority).await.context("connect")?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    spawn_local(async move { drop(connection.with_upgrades().await) });
    let request = Request::get(path)
        .header(header::HOST, authority)
        .header(header::USER_AGENT, name)
        .header(header::UPGRADE, PROTOCOL)
        .header(header::CONNECTION, "Upgrade")
        .header(header::SEC_WEBSOCKET_VERSION, "13")
        .header(header::SEC_WEBSOCKET_KEY, KEY)
        .body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await.context("request")?;
    println!("status={}", response.status().as_u16());
    ensure!(
        response.status() == StatusCode::SWITCHING_PROTOCOLS,
        "no change of protocol"
    );
    let accept = response.headers().get(header::SEC_WEBSOCKET_ACCEPT);
    ensure!(accept.is_some_and(|a| a == ACCEPT), "the key was not understood");
    let served_by = response.headers().get("x-served-by").cloned();
    if let Some(name) = served_by.as_ref().and_then(|n| n.to_str().ok()) {
        println!("{name}");
    }
    let mut io = TokioIo::new(hyper::upgrade::on(response).await?);
    for message in messages {
        write(&mut io, TEXT, message.as_bytes(), Some(MASK)).await?;
        let (opcode, echo) = read(&mut io).await?;
        ensure!(opcode == TEXT, "opcode {opcode}");
        println!("{}", String::from_utf8_lossy(&echo));
    }
    write(&mut io, CLOSE, &NORMAL, Some(MASK)).await?;
    let (opcode, _) = read(&mut io).await?;
    ensure!(opcode == CLOSE, "opcode {opcode}");
    println!("closed");
    Ok(())
}

type Io = TokioIo<Upgraded>;

/// RFC 6455, section 5.2; a message is one short frame.
async fn write(io: &mut Io, opcode: u8, message: &[u8], mask: Option<[u8; 4]>) -> Result<()> {
    let length = u8::try_from(message.len()).ok().filter(|l| *l < LONG);
    let length = length.context("too long a message")?;
    let mut frame = vec![FINAL | opcode, length | mask.map_or(0, |_| MASKED)];
    frame.extend(mask.unwrap_or_default().iter().take(mask.map_or(0, |m| m.len())));
    frame.extend(masked(message, mask.unwrap_or_default()));
    io.write_all(&frame).await?;
    io.flush().await?;
    Ok(())
}

async fn read(io: &mut Io) -> Result<(u8, Vec<u8>)> {
    let mut head = [0; 2];
    io.read_exact(&mut head).await?;
    let length = head[1] & !MASKED;
    ensure!(head[0] & FINAL != 0 && length < LONG, "not one short frame");
    let mut mask = [0; 4];
    if head[1] & MASKED != 0 {
        io.read_exact(&mut mask).await?;
    }
    let mut message = vec![0; length.into()];
    io.read_exact(&mut message).await?;
    Ok((head[0] & !FINAL, masked(&message, mask).collect()))
}

fn masked(message: &[u8], mask: [u8; 4]) -> impl Iterator<Item = u8> {
    message.iter().zip(mask.into_iter().cycle()).map(|(b, m)| b ^ m)
}

const PROTOCOL: &str = "websocket";
/// RFC 6455, section 1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzhZRbK+xOo8=";
const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const FINAL: u8 = 0x80;
const MASKED: u8 = 0x80;
/// From this number on a length has further bytes.
const LONG: u8 = 126;
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
/// 1000, normal closure.
const NORMAL: [u8; 2] = [0x03, 0xe8];
