//! ExternalProcessorFilter: what a route asks for, and what becomes of requests and answers; the processor is real, on
//! Envoy's wire.

#![expect(clippy::unwrap_used, reason = "this is test code outside of test functions")]

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use mesh_extensions::headers::{ChangedName, HeaderAction, HeaderChange};
use mesh_extensions::processing::{BodyMode, Changes, Immediate, ModeOverride, Part, Processed, Sent};
use parking_lot::Mutex;

use crate::harness::Together;
use crate::services::{self, Words};

type Heard = Arc<Mutex<Vec<Sent>>>;

/// The usual stage with a processor that is there, and a route that names the filter `f` for all requests to `web`.
fn stage(spec: &str) -> (Together, SocketAddr) {
    let mesh = Together::shop("");
    let at = services::place(&mesh, "processor", "grpc");
    mesh.apply(&filter(spec));
    mesh.apply(
        "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: web, namespace: shop}, spec: \
         {parentRefs: [{group: '', kind: Service, name: web}], rules: [{filters: [{type: ExtensionRef, extensionRef: \
         {group: lateen.dev, kind: ExternalProcessorFilter, name: f}}], backendRefs: [{name: web-v1, port: 80}]}]}}",
    );
    assert!(mesh.holds("HTTPRoute", "web", "ResolvedRefs"));
    (mesh, at)
}

fn filter(spec: &str) -> String {
    format!(
        "{{apiVersion: lateen.dev/v1alpha1, kind: ExternalProcessorFilter, metadata: {{name: f, namespace: shop}}, \
         spec: {{backendRef: {{name: processor, port: 80}}, {spec}}}}}"
    )
}

/// A processor that notes what it hears; `says` has the answer to each.
fn processor(at: SocketAddr, says: impl Fn(Sent) -> Words + Send + Sync + 'static) -> Heard {
    let heard = Heard::default();
    let log = heard.clone();
    services::streaming(at, move |message| {
        let sent = Sent::decode(&message).unwrap();
        log.lock().push(sent.clone());
        says(sent)
    });
    heard
}

fn part(sent: &Sent) -> Part {
    match sent {
        Sent::Headers { of_request: true, .. } => Part::RequestHeaders,
        Sent::Headers { .. } => Part::ResponseHeaders,
        Sent::Body { of_request: true, .. } => Part::RequestBody,
        Sent::Body { .. } => Part::ResponseBody,
        Sent::Trailers { of_request: true, .. } => Part::RequestTrailers,
        Sent::Trailers { .. } => Part::ResponseTrailers,
    }
}

fn go(sent: &Sent, changes: Changes) -> Words {
    Ok(vec![Processed::Go(part(sent), changes).encode()])
}

fn set(name: &str, value: &str) -> HeaderChange {
    let name = match name {
        ":path" => ChangedName::Path,
        ":method" => ChangedName::Method,
        ":authority" => ChangedName::Authority,
        ":status" => ChangedName::Status,
        name => ChangedName::Header(name.parse().unwrap()),
    };
    HeaderChange {
        name,
        value: value.parse().unwrap(),
        action: HeaderAction::Overwrite,
    }
}

fn headers(changes: &[(&str, &str)]) -> Changes {
    Changes {
        headers: changes.iter().map(|(name, value)| set(name, value)).collect(),
        ..Changes::default()
    }
}

/// Of the request's head.
fn path(sent: &Sent) -> String {
    let Sent::Headers { headers, .. } = sent else {
        return String::new();
    };
    let path = headers.iter().find(|(name, _)| name == ":path");
    path.map_or_else(String::new, |(_, value)| value.to_str().unwrap().to_owned())
}

// row: ExternalProcessorFilter backendRef
// row: ExternalProcessorFilter processingMode
#[test]
fn heads_and_whole_bodies_are_changed_on_both_ways() {
    let (mesh, at) = stage("processingMode: {requestBodyMode: BUFFERED, responseBodyMode: BUFFERED}");
    let heard = processor(at, |sent| {
        let changes = match &sent {
            Sent::Headers { of_request: true, .. } => Changes {
                remove: vec!["x-secret".parse().unwrap()],
                ..headers(&[(":path", "/new?q"), ("x-user", "bob")])
            },
            Sent::Headers { .. } => headers(&[("x-seen", "yes"), (":status", "201")]),
            Sent::Body { of_request, body, .. } => Changes {
                body: Some(match of_request {
                    true => [b"<", &body[..], b">"].concat().into(),
                    false => [&body[..], b"    "].concat().into(),
                }),
                ..Changes::default()
            },
            Sent::Trailers { .. } => Changes::default(),
        };
        go(&sent, changes)
    });
    let answer = mesh.post("/old", "hello").header("x-secret", "s").send();
    assert_eq!(answer.brief(), (201, "web-v1"));
    assert_eq!(answer.header("x-seen"), Some("yes"));
    assert_eq!(
        answer.header("content-length"),
        Some(answer.body.len().to_string().as_str())
    );
    assert!(answer.body.ends_with("    "));
    let seen = answer.seen();
    assert_eq!((seen.path.as_str(), seen.body.as_str()), ("/new?q", "<hello>"));
    assert_eq!(seen.header("x-user").as_deref(), Some("bob"));
    assert_eq!(seen.header("content-length").as_deref(), Some("7"));
    assert_eq!(seen.header("x-secret"), None);
    let parts: Vec<_> = heard.lock().iter().map(part).collect();
    let all = [
        Part::RequestHeaders,
        Part::RequestBody,
        Part::ResponseHeaders,
        Part::ResponseBody,
    ];
    assert_eq!(parts, all);
    // A request without a body has none to show.
    heard.lock().clear();
    assert_eq!(mesh.get("/").send().status, 201);
    assert!(matches!(heard.lock()[0], Sent::Headers { end: true, .. }));
    assert_eq!(heard.lock().len(), 3);
}

#[test]
fn bodies_are_streamed_piece_by_piece() {
    let (mesh, at) = stage("processingMode: {requestBodyMode: STREAMED, responseBodyMode: STREAMED}");
    let heard = processor(at, |sent| {
        let changes = match &sent {
            Sent::Body { of_request, body, .. } => Changes {
                body: Some(match of_request {
                    true => body.iter().map(u8::to_ascii_uppercase).collect(),
                    false => body.iter().map(u8::to_ascii_lowercase).collect(),
                }),
                ..Changes::default()
            },
            _ => Changes::default(),
        };
        go(&sent, changes)
    });
    // More than may be on its way at once.
    let long = "abc".repeat(200_000);
    for two in [false, true] {
        heard.lock().clear();
        let ask = mesh.post("/long", &long);
        let answer = if two { ask.http2().send() } else { ask.send() };
        assert_eq!(answer.brief(), (200, "web-v1"));
        assert_eq!(answer.header("content-length"), None);
        assert!(answer.seen().body == long, "{} bytes", answer.body.len());
        let seen = mesh.of("web-v1").requests().pop().unwrap();
        assert!(seen.body == long.to_uppercase(), "{} bytes", seen.body.len());
        assert_eq!(seen.header("content-length"), None);
        let heard = heard.lock();
        for of_request in [true, false] {
            let pieces = heard.iter().filter_map(|sent| match sent {
                Sent::Body {
                    of_request: of,
                    body,
                    end,
                } if *of == of_request => Some((body.len(), *end)),
                _ => None,
            });
            let pieces: Vec<_> = pieces.collect();
            assert!(pieces.len() > 2, "{pieces:?}");
            let (last, before) = pieces.split_last().unwrap();
            assert!(last.1 && before.iter().all(|(_, end)| !end), "{pieces:?}");
        }
    }
}

#[test]
fn whoever_ends_a_stream_of_pieces_breaks_it_off_or_lets_it_pass() {
    let spec =
        "processingMode: {requestHeaderMode: SKIP, responseHeaderMode: SKIP, requestBodyMode: STREAMED}";
    let (mesh, at) = stage(spec);
    processor(at, |sent| match &sent {
        Sent::Body { body, .. } if body.starts_with(b"answer") => {
            let answer = Immediate {
                status: 418,
                headers: vec![set("x-why", "because")],
                body: Bytes::from_static(b"no"),
                grpc_status: None,
                details: String::new(),
            };
            Ok(vec![Processed::Answer(answer).encode()])
        }
        Sent::Body { body, .. } if body.starts_with(b"break") => Err(13),
        Sent::Body { body, .. } if body.starts_with(b"enough") => Err(0),
        _ => go(&sent, Changes::default()),
    });
    let answer = mesh.post("/", "answer").send();
    assert_eq!(
        (answer.status, answer.body.as_str(), answer.header("x-why")),
        (418, "no", Some("because"))
    );
    assert_eq!(mesh.post("/", "break").send().status, 500);
    let enough = mesh.post("/", "enough").send();
    assert_eq!((enough.status, enough.seen().body.as_str()), (200, "enough"));
    let log = mesh.log(3);
    assert!(log.iter().any(|line| line.contains("ext_proc_error")), "{log:#?}");
    mesh.apply(&filter(&format!("{spec}, failureModeAllow: true")));
    let passed = mesh.post("/", "break").send();
    assert_eq!((passed.status, passed.seen().body.as_str()), (200, "break"));
}

// row: ExternalProcessorFilter failureModeAllow
// row: ExternalProcessorFilter messageTimeout
#[test]
fn what_is_not_answered_fails_or_passes() {
    let (mesh, at) = stage("messageTimeout: 300ms");
    processor(at, |sent| match path(&sent).as_str() {
        "/stop" => {
            let answer = Immediate {
                status: 403,
                headers: vec![set("x-why", "because"), set("content-length", "999")],
                body: Bytes::from_static(b"no"),
                grpc_status: Some(7),
                details: "policy".to_owned(),
            };
            Ok(vec![Processed::Answer(answer).encode()])
        }
        "/broken" => Err(13),
        "/over" => Err(0),
        "/silent" => Ok(Vec::new()),
        "/odd" => Ok(vec![
            Processed::Go(Part::ResponseBody, Changes::default()).encode(),
        ]),
        "/twice" => Ok(vec![
            Processed::Go(Part::RequestHeaders, Changes::default())
                .encode();
            2
        ]),
        "/garbage" => Ok(vec![Bytes::from_static(b"\xff")]),
        _ => go(&sent, Changes::default()),
    });
    let stopped = mesh.get("/stop").send();
    assert_eq!(
        (stopped.status, stopped.body.as_str(), stopped.by()),
        (403, "no", "")
    );
    assert_eq!(stopped.header("x-why"), Some("because"));
    assert_eq!(mesh.get("/fine").send().brief(), (200, "web-v1"));
    assert_eq!(mesh.get("/over").send().brief(), (200, "web-v1"));
    let broken = ["/broken", "/silent", "/odd", "/garbage", "/twice"];
    for path in broken {
        assert_eq!(mesh.get(path).send().brief(), (500, ""), "{path}");
    }
    let log = mesh.log(8);
    let lines = |text: &str| log.iter().filter(|line| line.contains(text)).count();
    assert_eq!(
        (lines("ext_proc_immediate_response"), lines("ext_proc_error")),
        (1, 5),
        "{log:#?}"
    );
    mesh.apply(&filter("messageTimeout: 300ms, failureModeAllow: true"));
    for path in broken {
        assert_eq!(mesh.get(path).send().brief(), (200, "web-v1"), "{path}");
    }
    // Nobody is there at all.
    mesh.deregister("processor");
    assert_eq!(mesh.get("/fine").send().brief(), (200, "web-v1"));
    mesh.apply(&filter(""));
    assert_eq!(mesh.get("/fine").send().brief(), (500, ""));
}

// row: ExternalProcessorFilter mutationRules
#[test]
fn only_what_is_allowed_is_changed() {
    let (mesh, at) = stage("");
    processor(at, |sent| {
        let changes = match &sent {
            Sent::Headers { of_request: true, .. } => headers(&[
                ("x-a", "1"),
                (":path", "/changed"),
                (":method", "PUT"),
                (":authority", "elsewhere"),
                ("content-length", "5"),
                ("transfer-encoding", "chunked"),
                ("connection", "x-a"),
                ("x-envoy-original-path", "/"),
                ("x-forwarded-client-cert", "URI=spiffe://x"),
            ]),
            _ => headers(&[("x-b", "1"), ("content-length", "5")]),
        };
        go(&sent, changes)
    });
    // Rules, what becomes of x-a, the path, the method and the host.
    let yes = Some("1");
    for (rules, a, path, method, host) in [
        ("", yes, "/changed", "GET", "web"),
        (
            "mutationRules: {allowAllRouting: true}",
            yes,
            "/changed",
            "PUT",
            "elsewhere",
        ),
        (
            "mutationRules: {disallowSystem: true, allowAllRouting: true}",
            yes,
            "/old",
            "GET",
            "web",
        ),
        ("mutationRules: {disallowAll: true}", None, "/old", "GET", "web"),
    ] {
        mesh.apply(&filter(rules));
        let answer = mesh.get("/old").send();
        assert_eq!(answer.brief(), (200, "web-v1"), "{rules}");
        let seen = answer.seen();
        let got = (
            seen.header("x-a"),
            seen.path.as_str(),
            seen.method.as_str(),
            seen.host.as_str(),
        );
        assert_eq!(got, (a.map(str::to_owned), path, method, host), "{rules}");
        for never in [
            "content-length",
            "transfer-encoding",
            "x-envoy-original-path",
            "x-forwarded-client-cert",
        ] {
            assert_eq!(seen.header(never), None, "{rules}");
        }
        assert_eq!(answer.header("x-b"), a, "{rules}");
    }
}

// row: ExternalProcessorFilter maxBodyBytes
#[test]
fn no_more_of_a_body_is_held_back_than_may_be() {
    let both = "processingMode: {requestBodyMode: BUFFERED, responseBodyMode: BUFFERED}, maxBodyBytes: 2000";
    let (mesh, at) = stage(both);
    processor(at, |sent| go(&sent, Changes::default()));
    assert_eq!(mesh.post("/", &"x".repeat(500)).send().brief(), (200, "web-v1"));
    let long = mesh.post("/", &"x".repeat(2001)).send();
    assert_eq!((long.status, long.by()), (413, ""));
    // Of an answer: it cannot be processed, which fails or passes.
    let big = "y".repeat(2500);
    assert_eq!(mesh.get("/").header("x-big", &big).send().brief(), (500, ""));
    mesh.apply(&filter(&format!("{both}, failureModeAllow: true")));
    let passed = mesh.get("/").header("x-big", &big).send();
    assert_eq!(
        (passed.brief(), passed.seen().header("x-big").unwrap().len()),
        ((200, "web-v1"), 2500)
    );
}

// row: ExternalProcessorFilter allowModeOverride
#[test]
fn an_answer_to_a_head_may_change_what_is_sent_further() {
    let (mesh, at) = stage("allowModeOverride: true");
    let heard = processor(at, |sent| {
        let mode = matches!(&sent, Sent::Headers { of_request: true, .. }).then_some(ModeOverride {
            response_headers: false,
            request_body: BodyMode::Buffered,
            response_body: BodyMode::Streamed,
            request_trailers: false,
            response_trailers: false,
        });
        go(
            &sent,
            Changes {
                mode,
                ..Changes::default()
            },
        )
    });
    assert_eq!(mesh.post("/", "body").send().brief(), (200, "web-v1"));
    let parts: Vec<_> = heard.lock().iter().map(part).collect();
    assert_eq!(parts[..2], [Part::RequestHeaders, Part::RequestBody]);
    assert!(
        parts[2..].iter().all(|part| *part == Part::ResponseBody) && parts.len() > 2,
        "{parts:?}"
    );
    heard.lock().clear();
    mesh.apply(&filter("allowModeOverride: false"));
    assert_eq!(mesh.post("/", "body").send().brief(), (200, "web-v1"));
    let parts: Vec<_> = heard.lock().iter().map(part).collect();
    assert_eq!(parts, [Part::RequestHeaders, Part::ResponseHeaders]);
}

#[test]
fn calls_of_grpc_are_processed_with_their_trailers() {
    let spec =
        "processingMode: {requestBodyMode: STREAMED, responseBodyMode: STREAMED, responseTrailerMode: SEND}";
    let (mesh, at) = stage(spec);
    mesh.apply(
        "{apiVersion: gateway.networking.k8s.io/v1, kind: GRPCRoute, metadata: {name: calls, namespace: shop}, spec: \
         {parentRefs: [{group: '', kind: Service, name: web, port: 9090}], rules: [{filters: [{type: ExtensionRef, \
         extensionRef: {group: lateen.dev, kind: ExternalProcessorFilter, name: f}}], backendRefs: [{name: web-v2, \
         port: 9090}]}]}}",
    );
    let heard = processor(at, |sent| {
        let changes = match &sent {
            Sent::Trailers { .. } => headers(&[("x-sum", "1")]),
            _ => Changes::default(),
        };
        go(&sent, changes)
    });
    let end = mesh.grpc("/echo.Echo/Say").message("hello").send();
    assert_eq!((end.code, end.answer.by()), (0, "web-v2"));
    assert_eq!(end.answer.seen().body, "hello");
    assert_eq!(end.answer.trailers["x-sum"], "1");
    assert_eq!(part(heard.lock().last().unwrap()), Part::ResponseTrailers);
}

#[test]
fn what_cannot_be_carried_out_is_answered_with_500_and_says_so() {
    let (mesh, at) = stage("");
    processor(at, |sent| go(&sent, Changes::default()));
    assert_eq!(mesh.get("/").send().brief(), (200, "web-v1"));
    mesh.apply(
        "{apiVersion: lateen.dev/v1alpha1, kind: ExternalProcessorFilter, metadata: {name: f, namespace: shop}, spec: \
         {backendRef: {name: nobody, port: 80}}}",
    );
    assert_eq!(mesh.get("/").send().status, 500);
    assert_eq!(mesh.reason("HTTPRoute", "web", "ResolvedRefs"), "BackendNotFound");
    mesh.remove("ExternalProcessorFilter", "f");
    assert_eq!(mesh.get("/").send().status, 500);
    assert_eq!(mesh.reason("HTTPRoute", "web", "ResolvedRefs"), "FilterNotFound");
    let wrong = mesh.try_apply(&filter("messageTimeout: 0s")).unwrap_err();
    assert!(wrong[0].contains("spec.messageTimeout"), "{wrong:?}");
}
