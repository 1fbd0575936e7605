use http::{HeaderMap, Method};

use super::*;
use crate::l7::filter::PathRewrite;
use crate::l7::route::PathMatch;

/// The tables of (Mesh)HTTPRouteRedirectHostAndStatus, ...RedirectPort, ...SchemeRedirect, ...RedirectPortAndScheme.
#[test]
fn host_scheme_port_and_status() {
    let to = Redirect {
        scheme: None,
        hostname: None,
        port: RedirectPort::Derived,
        path: None,
        status: 302,
    };
    let host = || Redirect {
        hostname: Some("example.org".into()),
        ..to.clone()
    };
    let scheme = |scheme: &str, of: Redirect| Redirect {
        scheme: Some(scheme.into()),
        ..of
    };
    let port = |port, of: Redirect| Redirect {
        port: RedirectPort::Given(port),
        ..of
    };
    let requested = |of: Redirect| Redirect {
        port: RedirectPort::Requested,
        ..of
    };
    // What is asked for, the port that it came in on, and where it is sent.
    for (redirection, asked, local, location) in [
        (host(), "http://echo/a", 80, "http://example.org/a"),
        (host(), "http://echo:8080/a", 8080, "http://example.org:8080/a"),
        (host(), "http://echo/a", 8080, "http://example.org:8080/a"),
        (host(), "https://echo/a", 443, "https://example.org/a"),
        (port(8083, to.clone()), "http://echo/a", 80, "http://echo:8083/a"),
        (
            port(8083, host()),
            "http://echo/a?q=1",
            80,
            "http://example.org:8083/a?q=1",
        ),
        (port(80, to.clone()), "http://echo:8080/a", 8080, "http://echo/a"),
        (scheme("https", to.clone()), "http://echo/a", 80, "https://echo/a"),
        (
            scheme("https", to.clone()),
            "http://echo:8080/a",
            8080,
            "https://echo/a",
        ),
        (
            scheme("https", port(443, host())),
            "http://echo/a",
            80,
            "https://example.org/a",
        ),
        (
            scheme("https", port(8443, host())),
            "http://echo/a",
            80,
            "https://example.org:8443/a",
        ),
        (
            scheme("http", port(443, host())),
            "http://echo/a",
            80,
            "http://example.org:443/a",
        ),
        (scheme("http", to.clone()), "https://echo/a", 443, "http://echo/a"),
        (
            scheme("https", requested(to.clone())),
            "http://echo:8080/a",
            8080,
            "https://echo:8080/a",
        ),
        (
            scheme("https", requested(to.clone())),
            "http://echo/a",
            80,
            "https://echo:80/a",
        ),
        (to.clone(), "http://[fd00::1]:81/a", 81, "http://[fd00::1]:81/a"),
    ] {
        let answer = send(&redirection, asked, None, local);
        assert_eq!(answer.location, location, "{redirection:?} {asked}");
        assert_eq!(answer.status, 302);
    }
    for status in [301, 303, 307, 308] {
        let redirection = Redirect { status, ..host() };
        assert_eq!(send(&redirection, "http://echo/", None, 80).status, status);
    }
}

/// MeshHTTPRouteRedirectPath.
#[test]
fn paths() {
    let to = |path: PathRewrite, host: Option<&str>| Redirect {
        scheme: None,
        hostname: host.map(Into::into),
        port: RedirectPort::Derived,
        path: Some(path),
        status: 302,
    };
    let prefix = |prefix: &str| PathRewrite::Prefix(prefix.into());
    let full = |path: &str| PathRewrite::Full(path.into());
    for (redirection, asked, matched, location) in [
        (
            to(prefix("/replacement-prefix"), None),
            "http://echo/original-prefix/lemon",
            "/original-prefix",
            "http://echo/replacement-prefix/lemon",
        ),
        (
            to(full("/replacement-full"), None),
            "http://echo/full/path/original?x=1",
            "/full",
            "http://echo/replacement-full?x=1",
        ),
        (
            to(prefix("/replacement-prefix"), Some("example.org")),
            "http://echo/path-and-host/lemon",
            "/path-and-host",
            "http://example.org/replacement-prefix/lemon",
        ),
        (
            to(full("/new?y=2"), None),
            "http://echo/a?x=1",
            "/a",
            "http://echo/new?y=2",
        ),
    ] {
        assert_eq!(send(&redirection, asked, Some(matched), 80).location, location);
    }
}

fn send(to: &Redirect, asked: &str, matched: Option<&str>, local_port: u16) -> Redirected {
    let uri: http::Uri = asked.parse().unwrap();
    let headers = HeaderMap::new();
    let request = Request {
        method: &Method::GET,
        scheme: uri.scheme_str().unwrap(),
        authority: uri.authority().unwrap().as_str(),
        path: uri.path(),
        query: uri.query(),
        headers: &headers,
        metadata: None,
    };
    let matched = matched.map(|path| HttpMatch {
        path: Some(PathMatch::Segments(path.into())),
        ..HttpMatch::default()
    });
    redirect(to, &request, matched.as_ref(), local_port)
}
