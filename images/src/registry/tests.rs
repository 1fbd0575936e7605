use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use ::http::{HeaderMap, Method, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;
use crate::files::Files;
use crate::layer::digest;
use crate::layout::ImageConfig;

/// A registry in this process, as strict as the specification allows.
#[derive(Clone, Debug, Default)]
struct Fake(Arc<Mutex<Shelves>>);

#[derive(Debug, Default)]
struct Shelves {
    address: Option<SocketAddr>,
    blobs: BTreeMap<String, Vec<u8>>,
    manifests: BTreeMap<String, Vec<u8>>,
    uploads: usize,
    /// The token that requests must have.
    token: Option<&'static str>,
    /// What the giver of tokens was told of who asks.
    asked: Vec<(Option<String>, String)>,
    spoils_manifests: bool,
    /// The token that is wanted from the first blob on: what was given before is over.
    token_after_a_blob: Option<&'static str>,
    /// Who gives tokens, where it is somebody else.
    realm: Option<String>,
}

impl Shelves {
    fn realm(&self) -> String {
        let address = self.address.expect("started");
        self.realm
            .clone()
            .unwrap_or_else(|| format!("http://{address}/token"))
    }

    fn renewed(&self) -> bool {
        self.token == Some("renewed")
    }
}

impl Fake {
    async fn start(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        self.0.lock().address = Some(address);
        let fake = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let fake = fake.clone();
                let service = service_fn(move |request: Request<Incoming>| {
                    let fake = fake.clone();
                    async move {
                        let (head, body) = request.into_parts();
                        let body = body.collect().await.expect("a body").to_bytes();
                        Ok::<_, Infallible>(fake.answer(&head.method, &head.uri, &head.headers, &body))
                    }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        address
    }

    fn answer(
        &self,
        method: &Method,
        uri: &::http::Uri,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Response<Full<Bytes>> {
        let mut shelves = self.0.lock();
        let authorization = headers.get("authorization").and_then(|v| v.to_str().ok());
        let reply = |status: u16, header: Option<(&str, String)>, body: &str| {
            let mut response = Response::builder().status(status);
            if let Some((name, value)) = header {
                response = response.header(name, value);
            }
            let body = Full::new(Bytes::copy_from_slice(body.as_bytes()));
            response.body(body).expect("an answer")
        };
        if uri.path() == "/token" {
            let who = authorization.map(str::to_owned);
            shelves
                .asked
                .push((who, uri.query().unwrap_or_default().to_owned()));
            let given = if shelves.renewed() {
                r#"{"token": "renewed"}"#
            } else {
                r#"{"token": "secret"}"#
            };
            return reply(200, None, given);
        }
        if shelves
            .token
            .is_some_and(|token| authorization != Some(&format!("Bearer {token}")))
        {
            let realm = shelves.realm();
            let challenge = format!(r#"Bearer realm="{realm}",service="fake",scope="a""#);
            return reply(401, Some(("www-authenticate", challenge)), "");
        }
        let Some(path) = uri.path().strip_prefix("/v2/mesh/hello/") else {
            return reply(404, None, r#"{"errors": [{"code": "NAME_UNKNOWN"}]}"#);
        };
        let path = path.to_owned();
        if *method == Method::HEAD {
            let there = path
                .strip_prefix("blobs/")
                .is_some_and(|d| shelves.blobs.contains_key(d));
            return reply(if there { 200 } else { 404 }, None, "");
        }
        if *method == Method::POST && path == "blobs/uploads/" {
            shelves.uploads += 1;
            let place = format!("/v2/mesh/hello/blobs/uploads/{}?state=x", shelves.uploads);
            return reply(202, Some(("location", place)), "");
        }
        if *method == Method::PUT && path.starts_with("blobs/uploads/") {
            let query = uri.query().unwrap_or_default();
            let Some(name) = query.strip_prefix("state=x&digest=") else {
                return reply(400, None, "the upload's state is missing");
            };
            if digest(body) != name {
                return reply(400, None, r#"{"errors": [{"code": "DIGEST_INVALID"}]}"#);
            }
            shelves.blobs.insert(name.to_owned(), body.to_owned());
            if let Some(token) = shelves.token_after_a_blob {
                shelves.token = Some(token);
            }
            return reply(201, None, "");
        }
        if *method == Method::PUT && path.starts_with("manifests/") {
            let manifest: Value = serde_json::from_slice(body).expect("JSON");
            let layers = manifest["layers"].as_array().expect("layers").iter();
            for descriptor in layers.chain([&manifest["config"]]) {
                let name = descriptor["digest"].as_str().expect("a digest");
                if !shelves.blobs.contains_key(name) {
                    return reply(400, None, r#"{"errors": [{"code": "MANIFEST_BLOB_UNKNOWN"}]}"#);
                }
            }
            if headers["content-type"] != manifest["mediaType"].as_str().expect("a media type") {
                return reply(400, None, "MANIFEST_INVALID");
            }
            let said = if shelves.spoils_manifests {
                digest(b"another")
            } else {
                digest(body)
            };
            shelves.manifests.insert(path, body.to_owned());
            return reply(201, Some(("docker-content-digest", said)), "");
        }
        reply(405, None, "")
    }
}

fn image(text: &str) -> Image {
    let mut files = Files::base();
    files.make("/hello", text);
    Image::of(&files, &ImageConfig::default()).expect("made")
}

fn registry(address: SocketAddr) -> Registry {
    let reference: Reference = format!("{address}/mesh/hello:1").parse().expect("a reference");
    let mut registry = Registry::of(&reference, true).expect("a registry");
    // Not the credentials of whoever runs the tests.
    registry.credentials = None;
    registry
}

#[tokio::test]
async fn a_registry_gets_every_blob_once_and_the_manifest_under_its_tag() {
    let fake = Fake::default();
    let address = fake.start().await;
    let image = image("text");
    let pushed = registry(address).push(&image, "1").await.expect("pushed");
    assert_eq!(pushed, Pushed { sent: 2, there: 0 });
    let again = registry(address).push(&image, "2").await.expect("pushed");
    assert_eq!(again, Pushed { sent: 0, there: 2 });
    let shelves = fake.0.lock();
    assert_eq!(shelves.uploads, 2);
    for tag in ["manifests/1", "manifests/2"] {
        assert_eq!(digest(&shelves.manifests[tag]), image.digest());
    }
}

#[tokio::test]
async fn a_registry_that_asks_who_one_is_gets_a_token_that_was_given_for_a_password() {
    let fake = Fake::default();
    fake.0.lock().token = Some("secret");
    let address = fake.start().await;
    let mut registry = registry(address);
    registry.credentials = Some(Credentials::new("me", "pass"));
    registry.push(&image("text"), "1").await.expect("pushed");
    let shelves = fake.0.lock();
    let (who, query) = &shelves.asked[0];
    assert_eq!(who.as_deref(), Some("Basic bWU6cGFzcw=="));
    assert_eq!(query, "service=fake&scope=repository:mesh/hello:pull,push");
    assert_eq!(shelves.asked.len(), 1, "one token does for the whole push");
}

#[tokio::test]
async fn a_token_that_is_not_taken_is_an_error_and_no_loop() {
    let fake = Fake::default();
    fake.0.lock().token = Some("another");
    let address = fake.start().await;
    let error = registry(address)
        .push(&image("text"), "1")
        .await
        .expect_err("refused");
    assert!(format!("{error:#}").contains("401"), "{error:#}");
    assert_eq!(fake.0.lock().asked.len(), 1);
}

#[tokio::test]
async fn a_token_that_ends_between_two_blobs_is_asked_for_again() {
    let fake = Fake::default();
    fake.0.lock().token = Some("secret");
    fake.0.lock().token_after_a_blob = Some("renewed");
    let address = fake.start().await;
    let image = image("text");
    let pushed = registry(address).push(&image, "1").await.expect("pushed");
    assert_eq!(pushed, Pushed { sent: 2, there: 0 });
    let shelves = fake.0.lock();
    assert_eq!(
        shelves.asked.len(),
        2,
        "once at first, once when the token was over"
    );
    assert_eq!(digest(&shelves.manifests["manifests/1"]), image.digest());
}

#[tokio::test]
async fn whoever_refuses_the_new_token_too_is_believed() {
    let fake = Fake::default();
    fake.0.lock().token = Some("secret");
    fake.0.lock().token_after_a_blob = Some("nobody has it");
    let address = fake.start().await;
    let error = registry(address)
        .push(&image("text"), "1")
        .await
        .expect_err("refused");
    assert!(format!("{error:#}").contains("401"), "{error:#}");
    let shelves = fake.0.lock();
    assert_eq!((shelves.blobs.len(), shelves.asked.len()), (1, 2));
}

#[tokio::test]
async fn a_password_goes_nowhere_without_tls_for_a_registry_with_it() {
    let fake = Fake::default();
    let address = fake.start().await;
    let http = Http::new(Transport::Plain).expect("made");
    let me = Credentials::new("me", "pass");
    let login = async |transport, realm: String| {
        let challenge = format!(r#"Bearer realm="{realm}",service="fake""#);
        auth::login(&http, transport, &challenge, "a", Some(&me)).await
    };
    for realm in [
        format!("http://{address}/token"),
        format!("HTTP://{address}/token"),
        format!("//{address}/token"),
        format!("{address}/token"),
    ] {
        let error = login(Transport::Tls, realm.clone()).await.expect_err("refused");
        assert!(error.to_string().contains(&format!("{realm:?}")), "{error:#}");
    }
    assert_eq!(fake.0.lock().asked, [], "nobody was told anything");
    let realm = format!("http://{address}/token");
    login(Transport::Plain, realm)
        .await
        .expect("a registry on this machine");
    assert_eq!(fake.0.lock().asked.len(), 1);
}

#[tokio::test]
async fn a_push_ends_where_the_registry_sends_us_to_nobody_that_is_known() {
    let fake = Fake::default();
    fake.0.lock().token = Some("secret");
    fake.0.lock().realm = Some("ftp://127.0.0.1/token".to_owned());
    let address = fake.start().await;
    let error = registry(address)
        .push(&image("text"), "1")
        .await
        .expect_err("refused");
    assert!(
        format!("{error:#}").contains("neither https:// nor http://"),
        "{error:#}"
    );
}

#[test]
fn without_roots_no_registry_is_spoken_to_with_tls() {
    let dir = tempfile::tempdir().expect("a folder");
    let (missing, empty) = (dir.path().join("missing"), dir.path().join("empty"));
    std::fs::write(&empty, "no certificate").expect("written");
    for bundle in [&missing, &empty] {
        let error = Http::with_roots(Transport::Tls, &[bundle]).expect_err("nobody can be known");
        let said = error.to_string();
        assert!(said.contains(&bundle.display().to_string()), "{said}");
        assert!(said.contains("install the package ca-certificates"), "{said}");
        Http::with_roots(Transport::Plain, &[bundle]).expect("a registry on this machine");
    }
}

#[tokio::test]
async fn what_a_registry_refuses_is_said_with_its_reason() {
    let fake = Fake::default();
    let address = fake.start().await;
    let mut other = registry(address);
    other.repository = "elsewhere".into();
    let error = other.push(&image("text"), "1").await.expect_err("refused");
    assert!(format!("{error:#}").contains("NAME_UNKNOWN"), "{error:#}");
    fake.0.lock().spoils_manifests = true;
    let error = registry(address)
        .push(&image("text"), "1")
        .await
        .expect_err("noticed");
    assert!(format!("{error:#}").contains("the registry says"), "{error:#}");
}

#[test]
fn references_are_read_as_container_engines_read_them() {
    for (text, registry, repository, tag) in [
        ("localhost:5000/mesh/a:2", "localhost:5000", "mesh/a", "2"),
        ("ghcr.io/mesh/a", "ghcr.io", "mesh/a", "latest"),
        ("lateen/a:1", "registry-1.docker.io", "lateen/a", "1"),
        ("docker.io/lateen/a:1", "registry-1.docker.io", "lateen/a", "1"),
        ("a", "registry-1.docker.io", "library/a", "latest"),
        ("localhost/a", "localhost", "a", "latest"),
    ] {
        let found: Reference = text.parse().expect(text);
        let expected = Reference {
            registry: registry.into(),
            repository: repository.into(),
            tag: tag.into(),
        };
        assert_eq!(found, expected, "{text}");
    }
    for text in [
        "",
        "ghcr.io/",
        "ghcr.io/A:1",
        "ghcr.io/a:",
        "ghcr.io/a//b",
        "ghcr.io/a:b c",
    ] {
        assert!(text.parse::<Reference>().is_err(), "{text}");
    }
}

#[test]
fn credentials_are_found_where_container_engines_keep_them() {
    let file =
        json!({"auths": {"ghcr.io": {"auth": "YTpi"}, "https://index.docker.io/v1/": {"auth": "Yzpk"}}});
    let file = file.to_string();
    let find = |registry| {
        let found = Credentials::from_file(file.as_bytes(), registry).expect("read");
        found.map(|c| Login::Basic(c).header().expect("a header"))
    };
    assert_eq!(find("ghcr.io").expect("there"), "Basic YTpi");
    assert_eq!(find("registry-1.docker.io").expect("there"), "Basic Yzpk");
    assert!(find("example.com").is_none());
    assert!(Credentials::from_file(b"{", "ghcr.io").is_err());
}

#[test]
fn challenges_are_taken_apart() {
    let text = r#"realm="https://a/token?x=1",service="b c", scope=d"#;
    let expected = [
        ("realm", "https://a/token?x=1"),
        ("service", "b c"),
        ("scope", "d"),
    ];
    let expected: Vec<_> = expected.map(|(n, v)| (n.to_owned(), v.to_owned())).into();
    assert_eq!(auth::parameters(text), expected);
}
