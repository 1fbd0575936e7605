//! A small HTTP/1.1 server shell: products and libraries hang [`Routes`] into it.
//!
//! It serves people, probes and scrapers, never traffic: a bounded number of connections, small requests, answers that
//! fit in memory. No route changes anything on a GET.

mod request;
mod serve;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::fmt::Write as _;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt, Full};

pub use request::Request;
pub use serve::{AdminLimits, serve, serve_connection};

/// An answer; its body is in memory.
pub type Response = http::Response<Full<Bytes>>;

type Handler = Arc<dyn Fn(Request) -> Pin<Box<dyn Future<Output = Response> + Send>> + Send + Sync>;

/// What the server answers to which method and path.
#[derive(Clone, Default)]
pub struct Routes {
    by_path: BTreeMap<&'static str, Vec<Route>>,
}

#[derive(Clone)]
struct Route {
    method: Method,
    about: &'static str,
    handler: Handler,
}

// === impl Routes ===

impl Routes {
    /// No route; every path is unknown.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a route for GET (and HEAD). `about` is its line in the index.
    #[must_use]
    pub fn get<F>(
        self,
        path: &'static str,
        about: &'static str,
        handler: impl Fn(Request) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Response> + Send + 'static,
    {
        self.add(Method::GET, path, about, handler)
    }

    /// Adds a route for POST.
    #[must_use]
    pub fn post<F>(
        self,
        path: &'static str,
        about: &'static str,
        handler: impl Fn(Request) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Response> + Send + 'static,
    {
        self.add(Method::POST, path, about, handler)
    }

    /// Adds every route of `other`.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        for (path, routes) in other.by_path {
            self.by_path.entry(path).or_default().extend(routes);
        }
        self
    }

    /// Adds `GET /`: a list of all routes that were added before.
    #[must_use]
    pub fn with_index(self) -> Self {
        let mut index = String::from("<!doctype html><title>admin</title><ul>\n");
        for (path, routes) in &self.by_path {
            for route in routes {
                // Writing to a String cannot fail.
                let _ = writeln!(
                    index,
                    "<li>{} <a href=\"{path}\">{path}</a>: {}</li>",
                    route.method, route.about
                );
            }
        }
        index.push_str("</ul>\n");
        let index = Bytes::from(index);
        self.get("/", "this index", move |_| {
            std::future::ready(bytes(StatusCode::OK, "text/html; charset=utf-8", index.clone()))
        })
    }

    /// Answers one request, without a network.
    pub async fn answer(&self, request: Request) -> Response {
        let Some(routes) = self.by_path.get(single_slashes(request.path()).as_ref()) else {
            return text(StatusCode::NOT_FOUND, "no such page; see /\n");
        };
        let asked = match *request.method() {
            Method::HEAD => Method::GET,
            ref other => other.clone(),
        };
        match routes.iter().find(|r| r.method == asked) {
            Some(route) => (route.handler)(request).await,
            None => {
                let allowed: Vec<_> = routes.iter().map(|r| r.method.as_str()).collect();
                let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n");
                if let Ok(allow) = HeaderValue::from_str(&allowed.join(", ")) {
                    answer.headers_mut().insert(header::ALLOW, allow);
                }
                answer
            }
        }
    }

    fn add<F>(
        mut self,
        method: Method,
        path: &'static str,
        about: &'static str,
        handler: impl Fn(Request) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Response> + Send + 'static,
    {
        let handler: Handler = Arc::new(move |request| Box::pin(handler(request)));
        let route = Route {
            method,
            about,
            handler,
        };
        self.by_path.entry(path).or_default().push(route);
        self
    }
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_path.keys()).finish()
    }
}

/// A plain-text answer.
#[must_use]
pub fn text(status: StatusCode, body: impl Into<Bytes>) -> Response {
    bytes(status, "text/plain; charset=utf-8", body)
}

/// A JSON answer, indented for people.
#[must_use]
pub fn json(status: StatusCode, value: &impl serde::Serialize) -> Response {
    match serde_json::to_vec_pretty(value) {
        Ok(mut body) => {
            body.push(b'\n');
            bytes(status, "application/json", body)
        }
        Err(e) => text(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("cannot be written as JSON: {e}\n"),
        ),
    }
}

/// An answer of any type; `content_type` is a constant of the caller's.
#[must_use]
pub fn bytes(status: StatusCode, content_type: &str, body: impl Into<Bytes>) -> Response {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    if let Ok(value) = HeaderValue::from_str(content_type) {
        response.headers_mut().insert(header::CONTENT_TYPE, value);
    }
    response
}

/// The body of an answer.
pub async fn body_bytes(response: Response) -> Bytes {
    match response.into_body().collect().await {
        Ok(body) => body.to_bytes(),
        Err(never) => match never {},
    }
}

/// The body of an answer as text.
pub async fn body_text(response: Response) -> String {
    String::from_utf8_lossy(&body_bytes(response).await).into_owned()
}

/// `//version`, as istioctl asks for it, is `/version`.
fn single_slashes(path: &str) -> Cow<'_, str> {
    if !path.contains("//") {
        return Cow::Borrowed(path);
    }
    let mut single = String::with_capacity(path.len());
    for character in path.chars() {
        if character != '/' || !single.ends_with('/') {
            single.push(character);
        }
    }
    Cow::Owned(single)
}

#[cfg(test)]
mod tests;
