//! Which endpoint answers, and what happens when one does not: between a real client and real endpoints.

#![expect(clippy::unwrap_used, reason = "this is test code outside of test functions")]

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use mesh_model::AppProtocol;
use mesh_model::l7::backend::Location;
use mesh_model::l7::health::{HealthCheck, Probe};
use mesh_model::l7::session::{Session, SessionCarrier};
use mesh_model::l7::tls::{BackendTls, TlsOrigination, Trust};
use mesh_model::l7::traffic::{
    Balancer, ConnectionLimits, FailureRate, HashKey, HashRing, LocalityRules, OutlierDetection,
    ProxyProtocolVersion, Subset, TrafficRules, TrafficSettings,
};
use mesh_model::l7::{Backend, EndpointLabels, ObjectRef, PolicyKind};
use mesh_model::workload::Locality;
use mesh_state::Update;
use mesh_state::l7::L7Update;
use mesh_testkit::objects::{CLUSTER, identity};
use mesh_testkit::{pod, service};
use mesh_tls::TlsSettings;
use mesh_types::{NamespacedName, Strng, WorkloadUid};
use rcgen::{CertificateParams, CertifiedKey, KeyPair, SanType};
use rustls_pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use waypoint::flags::ResponseFlag;
use waypoint::upstream::call::{CallError, CallVersion};
use waypoint::upstream::names::{Resolve, Resolving};
use waypoint::upstream::{ClusterKey, Needs, Registry, Upstream};

use super::lab::{Answer, App, Lab, gateway, get, http1, in_lab, in_lab_with_threads, read};
use super::security::policy;

/// The service `shop` with endpoints `a`, `b`, … at hosts 1, 2, …, port 9000; none of them listens yet.
fn endpoints(lab: &Lab, names: &[&'static str]) {
    lab.apply([service("shop").at("10.96.0.1").port(80, 9000).into()]);
    for (host, name) in (1..).zip(names) {
        lab.apply([endpoint(lab, name, host)]);
    }
}

fn endpoint(lab: &Lab, name: &str, host: u8) -> Update {
    pod(name).at(&lab.ip(host)).serving("shop", 80, 9000).into()
}

fn traffic(settings: TrafficSettings) -> L7Update {
    policy(
        "traffic",
        PolicyKind::Traffic(Box::new(TrafficRules {
            settings,
            ..TrafficRules::default()
        })),
    )
}

pub(super) fn limited(limits: ConnectionLimits) -> L7Update {
    traffic(TrafficSettings {
        limits: Some(limits),
        ..TrafficSettings::default()
    })
}

async fn ask(
    waypoint: std::net::SocketAddr,
    request: http::Request<http_body_util::Full<bytes::Bytes>>,
) -> Answer {
    let mut http = http1(TcpStream::connect(waypoint).await.unwrap()).await;
    read(http.send_request(request).await.unwrap()).await
}

/// Who answers.
async fn who(waypoint: std::net::SocketAddr) -> String {
    let answer = ask(waypoint, get("/")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.headers["x-app"].to_str().unwrap().to_owned()
}

async fn until(waypoint: std::net::SocketAddr, wanted: &str) {
    while who(waypoint).await != wanted {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[test]
fn who_fails_gets_nothing_and_comes_back() {
    in_lab(|lab| async move {
        endpoints(&lab, &["a", "b"]);
        lab.app(App::Http, "a", 1, 9000).await;
        lab.serve([traffic(TrafficSettings {
            outliers: Some(OutlierDetection {
                consecutive_5xx: 2,
                base_ejection_time: Duration::from_secs(2),
                max_ejection_percent: 50,
                ..OutlierDetection::default()
            }),
            ..TrafficSettings::default()
        })]);
        let waypoint = lab.open_plain("shop", 80);
        // Nobody listens at b; whoever is sent there is sent to a then.
        let mut count = 0;
        while lab
            .reports(count)
            .await
            .iter()
            .map(|report| report.attempts - 1)
            .sum::<u32>()
            < 2
        {
            assert_eq!(who(waypoint).await, "a");
            count += 1;
        }
        for _ in 0..30 {
            assert_eq!(who(waypoint).await, "a");
        }
        let reports = lab.reports(count + 30).await;
        assert!(
            reports[count..].iter().all(|report| report.attempts == 1),
            "b is left out"
        );
        lab.app(App::Http, "b", 2, 9000).await;
        until(waypoint, "b").await;
    });
}

#[test]
fn who_fails_too_often_gets_nothing_however_rarely_in_a_row() {
    in_lab(|lab| async move {
        endpoints(&lab, &["a", "b", "c", "d"]);
        for (host, name) in [(1, "a"), (2, "b"), (3, "c")] {
            lab.app(App::Http, name, host, 9000).await;
        }
        lab.serve([traffic(TrafficSettings {
            outliers: Some(OutlierDetection {
                consecutive_5xx: 0,
                interval: Duration::from_millis(100),
                base_ejection_time: Duration::from_secs(3_600),
                failure_rate: Some(FailureRate {
                    percent: 85,
                    minimum_hosts: 3,
                    request_volume: 3,
                }),
                ..OutlierDetection::default()
            }),
            ..TrafficSettings::default()
        })]);
        let waypoint = lab.open_plain("shop", 80);
        // Nobody listens at d; whoever is sent there is sent elsewhere then, until nobody is.
        let (mut calm, mut count) = (0, 0);
        while calm < 60 {
            assert_ne!(who(waypoint).await, "d");
            count += 1;
            let attempts = lab.reports(count).await[count - 1].attempts;
            calm = if attempts == 1 { calm + 1 } else { 0 };
        }
    });
}

#[test]
fn a_full_circuit_says_so() {
    in_lab(|lab| async move {
        endpoints(&lab, &["a"]);
        lab.app(App::Http, "a", 1, 9000).await;
        lab.serve([limited(ConnectionLimits {
            max_connections: Some(1),
            max_pending_requests: Some(1),
            ..ConnectionLimits::default()
        })]);
        let waypoint = lab.open_plain("shop", 80);
        let slow = || async { ask(waypoint, get("/slow")).await };
        // A request is pending, too, while its connection is being made.
        assert_eq!(who(waypoint).await, "a");
        // One has the connection, one waits for it, and for the third there is no place.
        let (first, second, third) = tokio::join!(slow(), slow(), slow());
        let mut answers = [first, second, third];
        answers.sort_by_key(|answer| answer.status);
        assert_eq!(answers.each_ref().map(|answer| answer.status), [200, 200, 503]);
        assert_eq!(answers[2].headers["x-envoy-overloaded"], "true");
        let reports = lab.reports(4).await;
        let full: Vec<_> = reports
            .iter()
            .filter(|r| r.flags.has(ResponseFlag::UpstreamOverflow))
            .collect();
        assert_eq!(
            (full.len(), full[0].details),
            (1, "upstream_reset_before_response_started{overflow}")
        );
        assert_eq!(who(waypoint).await, "a", "and then there is place again");
    });
}

#[test]
fn limits_are_the_gateways_and_not_each_threads() {
    in_lab_with_threads(2, |lab| async move {
        endpoints(&lab, &["a"]);
        lab.app(App::Http, "a", 1, 9000).await;
        lab.serve([limited(ConnectionLimits {
            max_requests: Some(3),
            ..ConnectionLimits::default()
        })]);
        let waypoint = lab.open_plain("shop", 80);
        let all = (0..12).map(|_| ask(waypoint, get("/slow")));
        let answers = futures_util::future::join_all(all).await;
        let passed = answers.iter().filter(|answer| answer.status == 200).count();
        assert_eq!(passed, 3);
        assert_eq!(lab.threads().len(), 2, "both threads had some");
    });
}

#[test]
fn a_subset_is_those_with_its_labels() {
    in_lab(|lab| async move {
        endpoints(&lab, &["a", "b", "c"]);
        for (host, name) in [(1, "a"), (2, "b"), (3, "c")] {
            lab.app(App::Http, name, host, 9000).await;
        }
        let labels = |name: &str, version: &str| {
            L7Update::EndpointLabels(Arc::new(EndpointLabels {
                workload: WorkloadUid::of_pod(CLUSTER, "shop", name),
                labels: [("version".into(), version.into())].into(),
            }))
        };
        let subset = Subset {
            name: "v2".into(),
            labels: vec![("version".into(), "v2".into())],
            settings: TrafficSettings::default(),
            ports: Default::default(),
        };
        let rules = TrafficRules {
            subsets: vec![subset],
            ..TrafficRules::default()
        };
        lab.serve([
            labels("a", "v1"),
            labels("b", "v2"),
            policy("traffic", PolicyKind::Traffic(Box::new(rules))),
            super::to_subset("v2"),
        ]);
        let waypoint = lab.open_plain("shop", 80);
        for _ in 0..20 {
            assert_eq!(who(waypoint).await, "b");
        }
        // Whose labels nobody told is in none.
        lab.serve([labels("c", "v2"), labels("b", "v1")]);
        for _ in 0..20 {
            assert_eq!(who(waypoint).await, "c");
        }
        lab.serve([super::to_subset("v3")]);
        let answer = ask(waypoint, get("/")).await;
        assert_eq!(answer.status, 503, "nobody defines it");
        let flags = lab.reports(41).await[40].flags;
        assert!(flags.has(ResponseFlag::NoHealthyUpstream));
    });
}

#[test]
fn the_nearest_answer_and_others_when_those_are_gone() {
    in_lab(|lab| async move {
        let placed = |update: Update, region: &str| match update {
            Update::Workload(mut workload) => {
                workload.locality = Locality {
                    region: region.into(),
                    ..Locality::default()
                };
                Update::Workload(workload)
            }
            other => other,
        };
        endpoints(&lab, &[]);
        lab.apply([
            placed(pod("waypoint").at(&lab.ip(99)).into(), "east"),
            placed(endpoint(&lab, "near", 1), "east"),
            placed(endpoint(&lab, "far", 2), "west"),
        ]);
        lab.app(App::Http, "near", 1, 9000).await;
        lab.app(App::Http, "far", 2, 9000).await;
        lab.serve([traffic(TrafficSettings {
            locality: Some(LocalityRules::Nearest),
            ..TrafficSettings::default()
        })]);
        let waypoint = lab.open_plain("shop", 80);
        for _ in 0..20 {
            assert_eq!(who(waypoint).await, "near");
        }
        lab.apply([Update::RemoveAddress(
            WorkloadUid::of_pod(CLUSTER, "shop", "near").as_str().into(),
        )]);
        for _ in 0..5 {
            assert_eq!(who(waypoint).await, "far");
        }
    });
}

#[test]
fn equal_keys_go_to_the_same_endpoint() {
    in_lab_with_threads(2, |lab| async move {
        endpoints(&lab, &["a", "b", "c"]);
        for (host, name) in [(1, "a"), (2, "b"), (3, "c")] {
            lab.app(App::Http, name, host, 9000).await;
        }
        for ring in [HashRing::Ring(1_024), HashRing::Maglev(65_537)] {
            lab.serve([traffic(TrafficSettings {
                balancer: Some(Balancer::ConsistentHash {
                    key: HashKey::Header("x-user".into()),
                    ring,
                }),
                ..TrafficSettings::default()
            })]);
            let waypoint = lab.open_plain("shop", 80);
            let mut seen = std::collections::BTreeSet::new();
            for user in 0..12 {
                let asked = || async {
                    let mut request = get("/");
                    request.headers_mut().insert("x-user", user.into());
                    let answer = ask(waypoint, request).await;
                    answer.headers["x-app"].to_str().unwrap().to_owned()
                };
                let home = asked().await;
                for _ in 0..4 {
                    assert_eq!(asked().await, home, "on every connection and thread");
                }
                seen.insert(home);
            }
            assert!(seen.len() > 1, "not all in one place");
        }
    });
}

#[test]
fn health_checks_take_out_and_bring_back() {
    let probes = [
        Probe::Tcp,
        Probe::Http {
            path: "/health".into(),
            host: None,
            statuses: vec![(200, 204)],
        },
    ];
    for probe in probes {
        in_lab(|lab| async move {
            endpoints(&lab, &["a", "b"]);
            lab.app(App::Http, "a", 1, 9000).await;
            lab.serve([policy(
                "health",
                PolicyKind::HealthCheck(HealthCheck {
                    probe,
                    interval: Duration::from_millis(50),
                    timeout: Duration::from_millis(500),
                    unhealthy_threshold: 2,
                    healthy_threshold: 2,
                }),
            )]);
            let waypoint = lab.open_plain("shop", 80);
            let (mut calm, mut count) = (0, 0);
            while calm < 30 {
                assert_eq!(who(waypoint).await, "a");
                count += 1;
                let attempts = lab.reports(count).await[count - 1].attempts;
                calm = if attempts == 1 { calm + 1 } else { 0 };
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            lab.app(App::Http, "b", 2, 9000).await;
            until(waypoint, "b").await;
        });
    }
}

/// An application over HTTP/2 that says of itself whether it is well, as `grpc.health.v1.Health` does.
async fn grpc_app(lab: &Lab, name: &'static str, host: u8, well: Arc<AtomicBool>) {
    let listener = TcpListener::bind(format!("{}:9000", lab.ip(host))).await.unwrap();
    spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let well = well.clone();
            let answer = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                let status = if well.load(Ordering::Relaxed) { 1 } else { 2 };
                let body = match request.uri().path() {
                    "/grpc.health.v1.Health/Check" => vec![0, 0, 0, 0, 2, 8, status],
                    _ => Vec::new(),
                };
                let answer = http::Response::builder()
                    .header("x-app", name)
                    .header("grpc-status", "0");
                let answer = answer.body(http_body_util::Full::new(bytes::Bytes::from(body)));
                async move { answer }
            });
            let server = hyper::server::conn::http2::Builder::new(super::lab::LocalExecutor);
            spawn_local(async move { drop(server.serve_connection(TokioIo::new(stream), answer).await) });
        }
    });
}

#[test]
fn health_is_asked_over_grpc() {
    in_lab(|lab| async move {
        endpoints(&lab, &["a", "b"]);
        let shop = service("shop").at("10.96.0.1").port(80, 9000);
        lab.apply([shop.speaking(AppProtocol::Http2).into()]);
        let (a, b) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(false)));
        grpc_app(&lab, "a", 1, a.clone()).await;
        grpc_app(&lab, "b", 2, b.clone()).await;
        lab.serve([policy(
            "health",
            PolicyKind::HealthCheck(HealthCheck {
                probe: Probe::Grpc {
                    service: "shop".into(),
                },
                interval: Duration::from_millis(30),
                timeout: Duration::from_millis(500),
                unhealthy_threshold: 1,
                healthy_threshold: 1,
            }),
        )]);
        let waypoint = lab.open_plain("shop", 80);
        let only = async |wanted: &str| {
            let mut calm = 0;
            while calm < 25 {
                calm = if who(waypoint).await == wanted {
                    calm + 1
                } else {
                    0
                };
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        only("a").await;
        b.store(true, Ordering::Relaxed);
        // Not before it is known to be well: with both ill there would be nobody to ask.
        while who(waypoint).await != "b" {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        a.store(false, Ordering::Relaxed);
        only("b").await;
    });
}

#[test]
fn a_session_stays_and_moves_on_when_its_endpoint_is_gone() {
    in_lab(|lab| async move {
        endpoints(&lab, &["a", "b", "c"]);
        for (host, name) in [(1, "a"), (2, "b"), (3, "c")] {
            lab.app(App::Http, name, host, 9000).await;
        }
        lab.serve([policy(
            "session",
            PolicyKind::Session(Session {
                name: "sid".into(),
                carrier: SessionCarrier::Cookie { permanent: false },
                absolute_timeout: None,
                idle_timeout: None,
            }),
        )]);
        let waypoint = lab.open_plain("shop", 80);
        let asked = |cookie: String| async move {
            let mut request = get("/");
            request.headers_mut().insert("cookie", cookie.parse().unwrap());
            ask(waypoint, request).await
        };
        let cookie = |answer: &Answer| {
            let set = answer.headers.get("set-cookie")?.to_str().unwrap();
            Some(set.split(';').next().unwrap().to_owned())
        };
        let app = |answer: &Answer| answer.headers["x-app"].to_str().unwrap().to_owned();
        let first = ask(waypoint, get("/")).await;
        let (home, held) = (app(&first), cookie(&first).expect("a session begins"));
        for _ in 0..15 {
            let answer = asked(held.clone()).await;
            assert_eq!((app(&answer), cookie(&answer)), (home.clone(), None));
        }
        // It takes nothing new, and keeps whom it has until it is gone.
        let host = [(1, "a"), (2, "b"), (3, "c")]
            .iter()
            .find(|(_, name)| *name == home)
            .unwrap()
            .0;
        let leaving = pod(&home).at(&lab.ip(host)).serving("shop", 80, 9000).unhealthy();
        lab.apply([leaving.into()]);
        for _ in 0..15 {
            let answer = asked(held.clone()).await;
            assert_eq!((app(&answer), cookie(&answer)), (home.clone(), None));
            assert_ne!(app(&ask(waypoint, get("/")).await), home, "somebody new");
        }
        let uid = WorkloadUid::of_pod(CLUSTER, "shop", &home);
        lab.apply([Update::RemoveAddress(uid.as_str().into())]);
        let moved = asked(held.clone()).await;
        assert_ne!(app(&moved), home);
        let held = cookie(&moved).expect("the session moves");
        for _ in 0..15 {
            assert_eq!(app(&asked(held.clone()).await), app(&moved));
        }
    });
}

#[test]
fn tls_begins_here_and_only_with_whom_it_should() {
    in_lab(|lab| async move {
        endpoints(&lab, &["a"]);
        let root = tls_app(&lab, "a", 1, 9000, "shop.example").await;
        let waypoint = lab.open_plain("shop", 80);
        let tls = |names: &[&str], trust| TlsOrigination {
            server_name: Some("shop.example".into()),
            subject_alt_names: names.iter().map(|name| (*name).into()).collect(),
            trust,
            ..TlsOrigination::default()
        };
        let ours = || Trust::Authorities(root.clone().into());
        let wrong = TlsOrigination {
            server_name: Some("other.example".into()),
            ..tls(&[], ours())
        };
        let cases = [
            (tls(&[], ours()), true),
            (tls(&["other.example", "shop.example"], ours()), true),
            (tls(&["spiffe://cluster.local/ns/shop/sa/a"], ours()), true),
            (tls(&["other.example"], ours()), false),
            (tls(&["spiffe://cluster.local/ns/shop/sa/b"], ours()), false),
            (wrong.clone(), false),
            (
                TlsOrigination {
                    trust: Trust::Anybody,
                    ..wrong
                },
                true,
            ),
            (tls(&[], Trust::Authorities(stranger().into())), false),
            (tls(&[], Trust::Authorities(b"no PEM".as_slice().into())), false),
        ];
        for (n, (origination, passes)) in cases.into_iter().enumerate() {
            lab.serve([policy("tls", PolicyKind::BackendTls(BackendTls::On(origination)))]);
            let answer = ask(waypoint, get("/")).await;
            assert_eq!(
                answer.status,
                if passes { 200 } else { 503 },
                "case {n}: {answer:?}"
            );
            let flags = lab.reports(n + 1).await[n].flags;
            assert_eq!(flags.has(ResponseFlag::UpstreamConnectionFailure), !passes);
        }
        lab.serve([policy(
            "tls",
            PolicyKind::BackendTls(BackendTls::Invalid("no secret".into())),
        )]);
        assert_eq!(ask(waypoint, get("/")).await.status, 503, "never in the clear");
    });
}

fn stranger() -> Vec<u8> {
    self_signed("shop.example").cert.pem().into_bytes()
}

fn self_signed(name: &str) -> CertifiedKey<KeyPair> {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let uri = "spiffe://cluster.local/ns/shop/sa/a".try_into().unwrap();
    params.subject_alt_names.push(SanType::URI(uri));
    let signing_key = KeyPair::generate().unwrap();
    let cert = params.self_signed(&signing_key).unwrap();
    CertifiedKey { cert, signing_key }
}

/// An application behind TLS; gives its certificate. It answers each connection once.
async fn tls_app(lab: &Lab, name: &'static str, host: u8, port: u16, server_name: &str) -> String {
    let certified = self_signed(server_name);
    let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(mesh_tls::provider(&TlsSettings::default()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind(format!("{}:{port}", lab.ip(host)))
        .await
        .unwrap();
    spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let _ = stream.read(&mut [0; 4096]).await;
            let answer =
                format!("HTTP/1.1 200 OK\r\nx-app: {name}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    certified.cert.pem()
}

/// What a part of this proxy has to call services.
fn upstream(lab: &Lab, registry: Registry) -> Upstream {
    Upstream::new(Needs {
        state: lab.state.clone(),
        l7: lab.l7_reader.clone(),
        tunnels: Rc::new(lab.client("waypoint")),
        identity: identity("shop", "waypoint"),
        gateway: Arc::new(gateway()),
        settings: Arc::default(),
        registry,
        tasks: lab.tasks.clone(),
    })
}

#[test]
fn a_connection_can_begin_with_its_clients_address() {
    in_lab(|lab| async move {
        endpoints(&lab, &["a"]);
        let listener = TcpListener::bind(format!("{}:9000", lab.ip(1))).await.unwrap();
        lab.serve([traffic(TrafficSettings {
            proxy_protocol: Some(ProxyProtocolVersion::V1),
            ..TrafficSettings::default()
        })]);
        let waypoint = lab.open_plain("shop", 80);
        let mut client = TcpStream::connect(waypoint).await.unwrap();
        let from = client.local_addr().unwrap();
        client
            .write_all(b"GET / HTTP/1.1\r\nhost: shop\r\n\r\n")
            .await
            .unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        let mut seen = Vec::new();
        while !seen.ends_with(b"\r\n\r\n") {
            assert_ne!(server.read_buf(&mut seen).await.unwrap(), 0);
        }
        let (header, request) = std::str::from_utf8(&seen).unwrap().split_once("\r\n").unwrap();
        assert!(
            header.starts_with(&format!("PROXY TCP4 {} ", from.ip())),
            "{header}"
        );
        assert!(header.contains(&format!(" {} ", from.port())), "{header}");
        assert!(request.starts_with("GET / HTTP/1.1\r\n"), "{request}");
    });
}

/// A resolver of the test's own: what it says may change.
#[derive(Default)]
struct Book(parking_lot::Mutex<std::collections::BTreeMap<String, Vec<std::net::IpAddr>>>);

impl Resolve for Book {
    fn resolve(&self, host: Strng) -> Resolving<'_> {
        let found = self.0.lock().get(host.as_str()).cloned();
        let found = found
            .map(Arc::from)
            .ok_or(mesh_dns::ResolveError::NoAddress(host));
        Box::pin(async move { found })
    }
}

#[test]
fn names_are_resolved_and_again_when_they_change() {
    in_lab(|lab| async move {
        let book = Arc::new(Book::default());
        let tell = |host: &str, ip: String| book.0.lock().insert(host.into(), vec![ip.parse().unwrap()]);
        tell("out.example", lab.ip(1));
        tell("www.wild.example", lab.ip(1));
        lab.app(App::Http, "a", 1, 9000).await;
        lab.app(App::Http, "b", 2, 9000).await;
        let backend = |name: &str, location| {
            L7Update::Backend(Arc::new(Backend {
                name: name.into(),
                object: ObjectRef {
                    kind: "ServiceEntry".into(),
                    name: NamespacedName::new("shop", "out"),
                },
                location,
            }))
        };
        let dns = Location::Dns {
            host: "out.example".into(),
            port: 9000,
        };
        let dynamic = Location::Dynamic {
            suffixes: vec![".wild.example".into()],
            port: 9000,
        };
        lab.serve([backend("dns", dns), backend("dynamic", dynamic)]);
        let upstream = upstream(&lab, Registry::resolving_by(book.clone()));
        let tidy = spawn_local(upstream.tidy());
        let key = ClusterKey::Backend("dns".into());
        let who = async || {
            let request = http::Request::get("http://out.example/")
                .body(waypoint::body::Body::empty())
                .unwrap();
            let limit = Duration::from_secs(5);
            let answer = upstream
                .call_to(&key, CallVersion::Http1, request, limit)
                .await
                .unwrap();
            answer.headers()["x-app"].to_str().unwrap().to_owned()
        };
        assert_eq!(who().await, "a", "the first request waits for the address");
        tell("out.example", lab.ip(2));
        while who().await != "b" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // Whoever owns a name may not point it at this machine.
        let wild = ClusterKey::Backend("dynamic".into());
        for (host, exists) in [
            ("www.wild.example", true),
            ("WWW.wild.example:80", true),
            ("wild.example", true),
        ] {
            let cluster = upstream.destination(&wild, Some(host), None).await;
            assert_eq!(
                (cluster.exists(), cluster.endpoints().len()),
                (exists, 0),
                "{host}"
            );
        }
        book.0
            .lock()
            .insert("www.wild.example".into(), vec!["192.0.2.7".parse().unwrap()]);
        while upstream
            .destination(&wild, Some("www.wild.example"), None)
            .await
            .endpoints()
            .is_empty()
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(
            upstream
                .destination(&wild, Some("www.evil.example"), None)
                .await
                .endpoints()
                .is_empty()
        );
        tidy.abort();
    });
}

#[test]
fn services_are_called_with_one_request() {
    use waypoint::body::Body;
    in_lab(|lab| async move {
        endpoints(&lab, &["a"]);
        lab.app(App::Http, "a", 1, 9000).await;
        let upstream = Rc::new(upstream(&lab, Registry::default()));
        let to = super::at("shop");
        let call = async |path: &str, limit| {
            let request = http::Request::get(format!("http://shop{path}"))
                .body(Body::empty())
                .unwrap();
            upstream.call(&to, CallVersion::Declared, request, limit).await
        };
        for _ in 0..3 {
            let answer = call("/hi?x=1", Duration::from_secs(5)).await.unwrap();
            assert_eq!(
                (answer.status().as_u16(), &answer.headers()["x-app"]),
                (200, &"a".parse().unwrap())
            );
            let body = http_body_util::BodyExt::collect(answer.into_body())
                .await
                .unwrap()
                .to_bytes();
            assert!(body.starts_with(b"a\nGET /hi?x=1\nhost: shop\n"), "{body:?}");
        }
        let late = call("/slow", Duration::from_millis(20)).await.err().unwrap();
        assert!(matches!(late, CallError::TimedOut(..)), "{late}");
        lab.serve([limited(ConnectionLimits {
            max_requests: Some(0),
            ..ConnectionLimits::default()
        })]);
        let full = call("/", Duration::from_secs(5)).await.err().unwrap();
        assert!(matches!(full, CallError::Overflow(..)), "{full}");
        let nobody = http::Request::get("/").body(Body::empty()).unwrap();
        let missing = super::at("missing");
        let unknown = upstream
            .call(&missing, CallVersion::Http2, nobody, Duration::from_secs(5))
            .await;
        assert!(matches!(unknown.err().unwrap(), CallError::Unknown(..)));
    });
}
