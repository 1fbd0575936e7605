//! What is asked and answered.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;

use super::wire::{Sender, handshake};
use super::{Seen, Together};

/// A request that is not sent yet.
#[derive(Clone)]
pub(crate) struct Ask<'a> {
    mesh: &'a Together,
    method: String,
    path: String,
    host: Option<String>,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
    two: bool,
    account: String,
    to: To,
}

#[derive(Clone, Debug)]
enum To {
    /// Through a tunnel.
    Tunnel(String),
    /// To a listener of a gateway.
    Listener(u16),
}

/// An answer, read to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
    pub(crate) trailers: HeaderMap,
}

/// A call of gRPC that is not made yet.
pub(crate) struct Call<'a> {
    ask: Ask<'a>,
}

/// What a call of gRPC was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CallEnd {
    /// The status of gRPC.
    pub(crate) code: u16,
    /// `grpc-message`.
    pub(crate) message: String,
    /// The answer of HTTP; its body is the first message.
    pub(crate) answer: Answer,
}

impl<'a> Ask<'a> {
    pub(super) fn new(mesh: &'a Together, method: &str, path: &str) -> Self {
        Self {
            mesh,
            method: method.to_owned(),
            path: path.to_owned(),
            host: None,
            headers: Vec::new(),
            body: Bytes::new(),
            two: false,
            account: "client".to_owned(),
            to: To::Tunnel("web:80".to_owned()),
        }
    }

    /// To a service's port, a Pod's (`pod/web-v1:8080`), or an address.
    pub(crate) fn to(mut self, to: &str) -> Self {
        self.to = To::Tunnel(to.to_owned());
        self
    }

    /// To a listener of a gateway, without a tunnel.
    pub(crate) fn at(mut self, port: u16) -> Self {
        self.to = To::Listener(port);
        self
    }

    /// As a service account, of the namespace `shop` if it does not say another one.
    pub(crate) fn from(mut self, account: &str) -> Self {
        account.clone_into(&mut self.account);
        self
    }

    /// With one more header.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.parse().unwrap(), value.parse().unwrap()));
        self
    }

    /// With another host than the service's name.
    pub(crate) fn host(mut self, host: &str) -> Self {
        self.host = Some(host.to_owned());
        self
    }

    /// With a body.
    pub(crate) fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Over HTTP/2.
    pub(crate) fn http2(mut self) -> Self {
        self.two = true;
        self
    }

    /// Asks.
    pub(crate) fn send(&self) -> Answer {
        self.try_send()
            .unwrap_or_else(|error| panic!("{self:?}: {error}"))
    }

    /// Asks; says why there is no answer.
    pub(crate) fn try_send(&self) -> Result<Answer, String> {
        self.mesh.block_on(self.sending())
    }

    /// Asks, for several at once.
    pub(crate) async fn sending(&self) -> Result<Answer, String> {
        let mut sender = self.open().await?;
        send(&mut sender, self.request()).await
    }

    pub(super) async fn open(&self) -> Result<Sender, String> {
        match &self.to {
            To::Tunnel(to) => {
                let (target, at) = (self.mesh.target(to), self.mesh.tunnels_at());
                let tunnel = self.mesh.clients.tunnel(&self.account, at, &target).await?;
                handshake(tunnel.into_io(), self.two).await
            }
            To::Listener(port) => {
                let stream = tokio::net::TcpStream::connect(self.mesh.listener(*port)).await;
                handshake(stream.map_err(|error| error.to_string())?, self.two).await
            }
        }
    }

    pub(super) fn request(&self) -> Request<Full<Bytes>> {
        let host = self.host.clone().unwrap_or_else(|| match &self.to {
            To::Tunnel(to) => to
                .trim_start_matches("pod/")
                .split(':')
                .next()
                .unwrap_or_default()
                .to_owned(),
            To::Listener(_) => "localhost".to_owned(),
        });
        let uri = match self.two {
            true => format!("http://{host}{}", self.path),
            false => self.path.clone(),
        };
        let mut request = Request::builder().method(self.method.as_str()).uri(uri);
        if !self.two {
            request = request.header(header::HOST, host);
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request.body(Full::new(self.body.clone())).unwrap()
    }
}

impl std::fmt::Debug for Ask<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} {} {:?} to {:?}",
            self.method, self.path, self.headers, self.to
        )
    }
}

impl Answer {
    /// Which backend answered; empty where none did.
    pub(crate) fn by(&self) -> &str {
        self.header("x-served-by").unwrap_or_default()
    }

    /// A header of the answer.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// What the backend was asked.
    pub(crate) fn seen(&self) -> Seen {
        Seen::of_answer(&self.body).unwrap_or_else(|| panic!("no backend's answer: {self:?}"))
    }

    /// Status and backend together, for tables.
    pub(crate) fn brief(&self) -> (u16, &str) {
        (self.status, self.by())
    }
}

impl<'a> Call<'a> {
    pub(super) fn new(mesh: &'a Together, method: &str) -> Self {
        let ask = Ask::new(mesh, "POST", method)
            .to("web:9090")
            .http2()
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        Self { ask }.message("")
    }

    /// With a message.
    pub(crate) fn message(mut self, text: &str) -> Self {
        let mut framed = vec![0];
        framed.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
        framed.extend(text.as_bytes());
        self.ask = self.ask.body(framed);
        self
    }

    /// To a service's port.
    pub(crate) fn to(mut self, to: &str) -> Self {
        self.ask = self.ask.to(to);
        self
    }

    /// To a listener of a gateway.
    pub(crate) fn at(mut self, port: u16) -> Self {
        self.ask = self.ask.at(port);
        self
    }

    /// With another host.
    pub(crate) fn host(mut self, host: &str) -> Self {
        self.ask = self.ask.host(host);
        self
    }

    /// As a service account.
    pub(crate) fn from(mut self, account: &str) -> Self {
        self.ask = self.ask.from(account);
        self
    }

    /// With one more header.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.ask = self.ask.header(name, value);
        self
    }

    /// Calls.
    pub(crate) fn send(&self) -> CallEnd {
        let mut answer = self.ask.send();
        let end = |name: &str| {
            let value = answer.trailers.get(name).or_else(|| answer.headers.get(name));
            value.and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned()
        };
        let (code, message) = (end("grpc-status"), end("grpc-message"));
        // Prefix and length are no text.
        answer.body = answer.body.get(5..).unwrap_or_default().to_owned();
        CallEnd {
            code: code.parse().unwrap_or(u16::MAX),
            message,
            answer,
        }
    }
}

pub(super) async fn send(sender: &mut Sender, request: Request<Full<Bytes>>) -> Result<Answer, String> {
    let answered = match sender {
        Sender::One(sender) => {
            sender.ready().await.map_err(|error| error.to_string())?;
            sender.send_request(request).await
        }
        Sender::Two(sender) => {
            sender.ready().await.map_err(|error| error.to_string())?;
            sender.send_request(request).await
        }
    };
    read(answered.map_err(|error| error.to_string())?).await
}

async fn read(response: Response<Incoming>) -> Result<Answer, String> {
    let (head, body) = response.into_parts();
    let body = body.collect().await.map_err(|error| error.to_string())?;
    let trailers = body.trailers().cloned().unwrap_or_default();
    Ok(Answer {
        status: head.status.as_u16(),
        headers: head.headers,
        body: String::from_utf8_lossy(&body.to_bytes()).into_owned(),
        trailers,
    })
}
