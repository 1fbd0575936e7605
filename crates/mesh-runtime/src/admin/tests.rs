use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

fn routes() -> Routes {
    Routes::new()
        .get("/echo", "echoes", |request| async move {
            text(StatusCode::OK, request.query("q").unwrap_or("nothing").to_owned())
        })
        .post("/body", "counts", |request| async move {
            text(StatusCode::OK, request.body().len().to_string())
        })
        .with_index()
}

#[tokio::test]
async fn paths_methods_and_queries() {
    let routes = routes();
    let ask = |request| async { routes.answer(request).await };
    assert_eq!(
        body_text(ask(Request::get("/echo?q=a%20b%2b+c%")).await).await,
        "a b+ c%"
    );
    // istioctl asks for `//version`.
    for doubled in ["//echo?q=x", "///echo?q=x"] {
        assert_eq!(body_text(ask(Request::get(doubled)).await).await, "x");
    }
    assert_eq!(ask(Request::get("/none")).await.status(), StatusCode::NOT_FOUND);
    let refused = ask(Request::get("/body")).await;
    assert_eq!(refused.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(refused.headers()[header::ALLOW], "POST");
    let posted = ask(Request::post("/body").with_body("12345")).await;
    assert_eq!(body_text(posted).await, "5");
    let index = body_text(ask(Request::get("/")).await).await;
    assert!(index.contains("<a href=\"/echo\">/echo</a>: echoes"), "{index}");
}

#[tokio::test(start_paused = true)]
async fn one_connection_serves_several_requests() {
    let (mut client, server) = tokio::io::duplex(4096);
    let routes = routes();
    let talk = async move {
        client
            .write_all(b"GET /echo?q=1 HTTP/1.1\r\nhost: x\r\n\r\nPOST /body HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\nconnection: close\r\n\r\nabc")
            .await
            .unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let ((), answer) = tokio::join!(serve_connection(server, &routes, AdminLimits::default()), talk);
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 2, "{answer}");
    assert!(answer.ends_with("\r\n\r\n3"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_slow_or_greedy_client_is_cut_off() {
    let limits = AdminLimits {
        body: 4,
        ..AdminLimits::default()
    };
    let routes = routes();
    let (mut client, server) = tokio::io::duplex(4096);
    let greedy = async move {
        client
            .write_all(b"POST /body HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nabcde")
            .await
            .unwrap();
        let mut start = [0; 12];
        client.read_exact(&mut start).await.unwrap();
        start
    };
    let ((), start) = tokio::join!(serve_connection(server, &routes, limits), greedy);
    assert_eq!(&start, b"HTTP/1.1 413");

    let (mut client, server) = tokio::io::duplex(4096);
    let slow = async move {
        client.write_all(b"GET /echo HTTP").await.unwrap();
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).await.unwrap();
    };
    tokio::join!(serve_connection(server, &routes, limits), slow);
}

#[tokio::test]
async fn the_server_ends_at_the_cut() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (trigger, watcher) = crate::drain::channel();
    let server = serve(listener, routes(), AdminLimits::default(), watcher);
    let client = async move {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream
            .write_all(b"HEAD /echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            .await
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        drop(trigger);
        answer
    };
    let (served, answer) = tokio::join!(server, client);
    served.unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("\r\n\r\n"),
        "{answer}"
    );
}
