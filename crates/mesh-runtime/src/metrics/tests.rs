use std::io::Read as _;

use super::*;

#[tokio::test]
async fn both_paths_serve_the_text_format() {
    let registry = registry("ztunnel", "1.2.3");
    for path in ["/metrics", "/stats/prometheus"] {
        let answer = routes(&registry).answer(admin::Request::get(path)).await;
        assert_eq!(
            answer.headers()[header::CONTENT_TYPE],
            "text/plain; version=0.0.4"
        );
        let body = admin::body_text(answer).await;
        assert!(
            body.contains("istio_build{component=\"ztunnel\",tag=\"1.2.3\"} 1"),
            "{body}"
        );
        assert!(body.contains("process_open_fds "), "{body}");
        assert!(body.contains("process_max_fds "), "{body}");
    }
}

#[tokio::test]
async fn gzip_when_asked() {
    let registry = registry("ztunnel", "1.2.3");
    let request = admin::Request::get("/metrics").header(header::ACCEPT_ENCODING, "br, gzip;q=0.5");
    let answer = routes(&registry).answer(request).await;
    assert_eq!(answer.headers()[header::CONTENT_ENCODING], "gzip");
    let body = admin::body_bytes(answer).await;
    let mut text = String::new();
    flate2::read::GzDecoder::new(&body[..])
        .read_to_string(&mut text)
        .unwrap();
    assert!(text.contains("istio_build"));
}

#[test]
fn the_limit_is_the_soft_one() {
    let limits = "Limit                     Soft Limit           Hard Limit           Units\n\
                  Max open files            1024                 524288               files\n";
    assert_eq!(max_fds(limits), Some(1024));
    assert_eq!(max_fds("Max open files  unlimited unlimited files"), None);
    assert_eq!(max_fds(""), None);
}
