use http::Request;

use super::*;

fn prepared(request: http::request::Builder) -> Result<Prepared, Box<Malformed>> {
    prepare(request.body(()).unwrap().into_parts().0)
}

fn refused(request: http::request::Builder) -> &'static str {
    match prepared(request) {
        Ok(_) => panic!("passed on"),
        Err(malformed) => malformed.reply.details,
    }
}

#[test]
fn one_host_is_meant() {
    let two = Request::get("/").header("host", "a").header("host", "a");
    assert_eq!(refused(two), "http1.multiple_hosts");
    assert_eq!(refused(Request::get("/")), "missing_host_header");
    let differ = Request::get("http://a/").header("host", "b");
    assert_eq!(refused(differ), "host_differs_from_authority");
    for host in ["user@a", "a/b", "a,b", "a b"] {
        assert_eq!(
            refused(Request::get("/").header("host", host)),
            "invalid_authority"
        );
    }
    let same = prepared(Request::get("http://A:80/x?y").header("host", "a:80"))
        .ok()
        .unwrap();
    assert_eq!(same.authority, "A:80");
    assert_eq!(same.head.uri, "/x?y");
    assert!(same.head.headers.get("host").is_none());
}

#[test]
fn what_is_for_this_hop_stays_here() {
    let request = Request::get("/")
        .header("host", "a")
        .header("connection", "close, X-Mine")
        .header("x-mine", "1")
        .header("keep-alive", "timeout=5")
        .header("te", "gzip, trailers")
        .header("transfer-encoding", "chunked")
        .header("x-theirs", "2");
    let mut head = prepared(request).ok().unwrap().head;
    // Whoever decides sees it, but for what the client itself takes away.
    for (name, value) in [
        ("connection", "close, X-Mine"),
        ("te", "gzip, trailers"),
        ("x-theirs", "2"),
    ] {
        assert_eq!(head.headers[name], value);
    }
    assert!(!head.headers.contains_key("x-mine"));
    strip_known(&mut head.headers);
    let names: Vec<_> = head.headers.keys().map(HeaderName::as_str).collect();
    assert_eq!(names, ["x-theirs", "te"]);
    assert_eq!(head.headers["te"], "trailers");
}

#[test]
fn an_upgrade_is_one_that_is_asked_for_twice() {
    let with = |connection: &str, upgrade: &str| {
        let request = Request::get("/")
            .header("host", "a")
            .header("connection", connection)
            .header("upgrade", upgrade);
        prepared(request).ok().unwrap().upgrade
    };
    assert_eq!(with("keep-alive, Upgrade", "websocket").unwrap(), "websocket");
    assert!(with("close", "websocket").is_none());
    assert!(with("upgrade", "h2c").is_none());
}

#[test]
fn there_is_no_tunnel_inside_a_request() {
    let request = Request::builder()
        .method("CONNECT")
        .uri("a:443")
        .header("host", "a:443");
    assert_eq!(refused(request), "connect_not_allowed");
}

#[test]
fn a_length_in_disguise_is_refused() {
    for name in ["content_length", "Transfer_Encoding"] {
        let request = Request::get("/").header("host", "a").header(name, "1");
        assert_eq!(refused(request), "disguised_framing_header", "{name}");
    }
    let other = Request::get("/").header("host", "a").header("x_length", "1");
    assert!(
        prepared(other).is_ok(),
        "underscores by themselves are nothing bad"
    );
}

#[test]
fn crumbs_of_http2_are_one_cookie() {
    let request = |version| {
        let request = Request::get("http://a/").version(version).header("host", "a");
        request.header("cookie", "a=1").header("cookie", "b=2; c=3")
    };
    let cookies = |version| {
        let head = prepared(request(version)).expect("it is passed on").head;
        let all = head.headers.get_all("cookie").iter();
        all.map(|value| value.to_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(cookies(Version::HTTP_2), ["a=1; b=2; c=3"]);
    assert_eq!(cookies(Version::HTTP_11), ["a=1", "b=2; c=3"]);
}
