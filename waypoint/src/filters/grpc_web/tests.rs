use http::Request;

use super::*;

fn of(content: &str, accept: Option<&str>, protocol: AppProtocol) -> Option<(Coding, Coding, String)> {
    let mut request = Request::post("/a.B/C").header("content-type", content);
    if let Some(accept) = accept {
        request = request.header("accept", accept);
    }
    let (head, ()) = request.body(()).expect("it is one").into_parts();
    let web = Web::of(&head, protocol)?;
    let name = media_type("application/grpc", &web.suffix);
    Some((web.request, web.answer, name.to_str().expect("text").to_owned()))
}

#[test]
fn the_content_type_says_what_a_request_is_and_accept_what_is_read() {
    use Coding::{Binary, Text};
    let web = AppProtocol::GrpcWeb;
    for (content, accept, expected) in [
        (
            "application/grpc-web",
            None,
            Some((Binary, Binary, "application/grpc")),
        ),
        (
            "application/grpc-web+proto",
            None,
            Some((Binary, Binary, "application/grpc+proto")),
        ),
        (
            "Application/gRPC-Web+json",
            None,
            Some((Binary, Binary, "application/grpc+json")),
        ),
        (
            "application/grpc-web-text",
            None,
            Some((Text, Text, "application/grpc")),
        ),
        (
            "application/grpc-web-text+proto",
            Some("application/grpc-web+proto"),
            Some((Text, Binary, "application/grpc+proto")),
        ),
        (
            "application/grpc-web+proto",
            Some("application/grpc-web-text"),
            Some((Binary, Text, "application/grpc+proto")),
        ),
        (
            "application/grpc-web",
            Some("*/*"),
            Some((Binary, Binary, "application/grpc")),
        ),
        ("application/grpc", None, None),
        ("application/grpc+proto", None, None),
        ("application/grpc-webx", None, None),
        ("application/json", Some("application/grpc-web"), None),
    ] {
        let expected = expected.map(|(a, b, name)| (a, b, name.to_owned()));
        assert_eq!(of(content, accept, web), expected, "{content} {accept:?}");
    }
    assert_eq!(of("application/grpc-web", None, AppProtocol::Grpc), None);
    assert_eq!(of("application/grpc-web", None, AppProtocol::Unknown), None);
}
