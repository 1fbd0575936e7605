//! Where a client is sent (Gateway API, HTTPRequestRedirectFilter).

use super::rewrite::rewrite_path;
use crate::l7::filter::{Redirect, RedirectPort};
use crate::l7::request::Request;
use crate::l7::route::HttpMatch;

/// An answer that sends a client elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirected {
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
    /// `Location`: an absolute URL.
    pub location: String,
}

/// Where a redirect sends a request, by what matched it. `local_port` is the port that the request came in on, which
/// counts where its authority names none.
#[must_use]
pub fn redirect(
    redirect: &Redirect,
    request: &Request<'_>,
    matched: Option<&HttpMatch>,
    local_port: u16,
) -> Redirected {
    let scheme = redirect.scheme.as_deref().unwrap_or(request.scheme);
    let host = redirect.hostname.as_deref().unwrap_or_else(|| request.host());
    let path = redirect.path.as_ref();
    let path = path.map(|path| rewrite_path(path, request.path, matched));
    let path = path.unwrap_or_else(|| request.path.into());
    let query = request.query.filter(|_| !path.contains('?'));
    let requested = request.port().unwrap_or(local_port);
    let port = match redirect.port {
        RedirectPort::Given(port) => Some(port),
        RedirectPort::Requested => Some(requested),
        RedirectPort::AsNamed => request.port(),
        // A scheme that is named brings its own port.
        RedirectPort::Derived if redirect.scheme.is_some() && default_port(scheme).is_some() => None,
        RedirectPort::Derived => Some(requested),
    };
    let mut location = format!("{scheme}://{host}");
    if let Some(port) = port.filter(|port| Some(*port) != default_port(scheme)) {
        location.push_str(&format!(":{port}"));
    }
    location.push_str(&path);
    if let Some(query) = query {
        location.push('?');
        location.push_str(query);
    }
    Redirected {
        status: redirect.status,
        location,
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
