//! Pushing an image to a registry (OCI distribution specification 1.1), without a container engine.
//!
//! # Layout
//! - this file: which requests a push is. [`reference`]: what an image is called. [`auth`]: who one is to a registry.
//!   [`http`]: one request.

pub mod auth;
pub mod http;
pub mod reference;

use ::http::{Method, Request, StatusCode};
use anyhow::{Context, Result, bail};
use bytes::Bytes;

use crate::layout::{Blob, Image};
use auth::{Credentials, Login};
use http::{Answer, Http, Transport, body};
pub use reference::Reference;

/// A registry, and who one is to it.
#[derive(Debug)]
pub struct Registry {
    http: Http,
    transport: Transport,
    credentials: Option<Credentials>,
    login: Option<Login>,
    base: String,
    repository: String,
}

/// What a push did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pushed {
    /// Blobs that were sent.
    pub sent: usize,
    /// Blobs that the registry had already.
    pub there: usize,
}

impl Registry {
    /// The registry that a reference names. `plain` speaks HTTP without TLS, as registries on one's own machine do.
    ///
    /// # Errors
    /// Fails when credentials are there and cannot be read, or when there are no roots to check a certificate by.
    pub fn of(reference: &Reference, plain: bool) -> Result<Self> {
        let transport = if plain { Transport::Plain } else { Transport::Tls };
        Ok(Self {
            http: Http::new(transport)?,
            transport,
            credentials: Credentials::find(&reference.registry)?,
            login: None,
            base: format!("{}://{}", transport.scheme(), reference.registry),
            repository: reference.repository.clone(),
        })
    }

    /// Sends what the registry has not got, and names it.
    ///
    /// # Errors
    /// Fails with the request that the registry refused, and what it said.
    pub async fn push(&mut self, image: &Image, tag: &str) -> Result<Pushed> {
        let mut pushed = Pushed::default();
        let Some((manifest, blobs)) = image.blobs().split_last() else {
            bail!("an image without blobs");
        };
        for blob in blobs {
            if self.has(blob).await? {
                pushed.there += 1;
            } else {
                self.upload(blob).await?;
                pushed.sent += 1;
            }
        }
        let path = format!("manifests/{tag}");
        let request = self
            .request(Method::PUT, &path)
            .header("content-type", crate::layout::MANIFEST);
        let answer = self.ask(request, &manifest.bytes).await?;
        answer.expect(&[StatusCode::CREATED], &path)?;
        // A registry that changed what it got would give another digest.
        match answer.header("docker-content-digest") {
            Some(digest) if digest != manifest.digest => {
                bail!("{path}: the registry says {digest} of {}", manifest.digest)
            }
            _ => Ok(pushed),
        }
    }

    async fn has(&mut self, blob: &Blob) -> Result<bool> {
        let path = format!("blobs/{}", blob.digest);
        let request = self.request(Method::HEAD, &path);
        let answer = self.ask(request, &[]).await?;
        match answer.status {
            StatusCode::OK => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            _ => answer.expect(&[StatusCode::OK], &path).map(|()| true),
        }
    }

    /// In one piece: a session, and its end.
    async fn upload(&mut self, blob: &Blob) -> Result<()> {
        let path = "blobs/uploads/";
        let request = self.request(Method::POST, path);
        let answer = self.ask(request, &[]).await?;
        answer.expect(&[StatusCode::ACCEPTED], path)?;
        let location = answer
            .header("location")
            .context("the registry names no place to upload to")?;
        let separator = if location.contains('?') { '&' } else { '?' };
        let absolute = if location.starts_with('/') {
            format!("{}{location}", self.base)
        } else {
            location.to_owned()
        };
        let place = format!("{absolute}{separator}digest={}", blob.digest);
        let request = Request::builder()
            .method(Method::PUT)
            .uri(&place)
            .header("content-type", "application/octet-stream");
        let answer = self.ask(request, &blob.bytes).await?;
        answer.expect(&[StatusCode::CREATED], &format!("upload of {}", blob.digest))
    }

    fn request(&self, method: Method, path: &str) -> ::http::request::Builder {
        let uri = format!("{}/v2/{}/{path}", self.base, self.repository);
        Request::builder().method(method).uri(uri)
    }

    /// Asks, and once again as somebody when the registry wants to know who asks, be it for the first time or since a token's time
    /// is over: a large image takes longer than some tokens last.
    async fn ask(&mut self, request: ::http::request::Builder, bytes: &[u8]) -> Result<Answer> {
        let bytes = Bytes::copy_from_slice(bytes);
        let request = request.body(body(bytes.clone())).context("a request")?;
        let (parts, _) = request.into_parts();
        let again = || {
            let mut request = Request::new(body(bytes.clone()));
            *request.method_mut() = parts.method.clone();
            *request.uri_mut() = parts.uri.clone();
            *request.headers_mut() = parts.headers.clone();
            request
        };
        // A login is for this registry: nobody else is told of it, wherever an upload is to go.
        let own = parts.uri.to_string().starts_with(&format!("{}/", self.base));
        let login = |login: &Option<Login>, mut request: Request<http::Body>| {
            if let Some(login) = login.as_ref().filter(|_| own) {
                request.headers_mut().insert("authorization", login.header()?);
            }
            Ok::<_, anyhow::Error>(request)
        };
        let answer = self.http.send(login(&self.login, again())?).await?;
        if answer.status != StatusCode::UNAUTHORIZED || !own {
            return Ok(answer);
        }
        let Some(challenge) = answer.header("www-authenticate") else {
            return Ok(answer);
        };
        let scope = format!("repository:{}:pull,push", self.repository);
        let credentials = self.credentials.as_ref();
        let renewed = auth::login(&self.http, self.transport, challenge, &scope, credentials).await?;
        self.login = Some(renewed);
        self.http.send(login(&self.login, again())?).await
    }
}

#[cfg(test)]
mod tests;
