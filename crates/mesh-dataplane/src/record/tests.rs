use std::io::Write;
use std::time::Duration;

use mesh_net::TcpChunks;
use mesh_runtime::logging;
use parking_lot::Mutex;
use prometheus::{Registry, TextEncoder};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The lines that `body` logs, as JSON.
fn logged(body: impl FnOnce()) -> Vec<serde_json::Value> {
    let sink = Sink::default();
    let subscriber = logging::subscriber("access=debug", logging::LogFormat::Json, {
        let sink = sink.clone();
        move || sink.clone()
    });
    tracing::subscriber::with_default(subscriber.unwrap(), body);
    let bytes = sink.0.lock().clone();
    let text = String::from_utf8(bytes).unwrap();
    text.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

fn keys(line: &serde_json::Value) -> Vec<&str> {
    let mut keys: Vec<_> = line.as_object().unwrap().keys().map(String::as_str).collect();
    keys.retain(|k| !["level", "time", "scope", "message"].contains(k));
    keys
}

fn end(name: &str) -> End {
    let s = |s: &str| Some(Strng::from(s));
    End {
        name: s(&format!("{name}-7d8-x")),
        workload: s(name),
        canonical_service: s(&format!("{name}-svc")),
        canonical_revision: s("v1"),
        namespace: s("shop"),
        principal: Some(
            format!("spiffe://cluster.local/ns/shop/sa/{name}")
                .parse()
                .unwrap(),
        ),
        cluster: s("Kubernetes"),
        region: None,
        zone: None,
    }
}

fn opening(reporter: Reporter) -> Opening {
    Opening {
        reporter,
        security: Security::MutualTls,
        src: Peer::new("10.0.0.1:4000".parse().unwrap()),
        dst: "10.0.1.2:15008".parse().unwrap(),
        hbone_target: Some("10.0.1.2:80".parse().unwrap()),
        source: end("web"),
        destination: end("db"),
        service: Some(ServiceName {
            hostname: "db.shop.svc.cluster.local".into(),
            namespace: "shop".into(),
            name: "db".into(),
        }),
        start: Instant::now(),
    }
}

fn scrape(registry: &Registry) -> String {
    TextEncoder::new().encode_to_string(&registry.gather()).unwrap()
}

async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let connect = TcpStream::connect(listener.local_addr().unwrap());
    let (near, far) = tokio::join!(connect, listener.accept());
    (near.unwrap(), far.unwrap().0)
}

/// The value of the one series of `family` whose labels contain all of `labels`.
fn value(text: &str, family: &str, labels: &[&str]) -> f64 {
    let mut found = text
        .lines()
        .filter(|l| l.starts_with(&format!("{family}{{")))
        .filter(|l| labels.iter().all(|label| l.contains(label)));
    let line = found
        .next()
        .unwrap_or_else(|| panic!("no {family} {labels:?} in\n{text}"));
    assert!(found.next().is_none(), "several {family} {labels:?}");
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

const OUTBOUND_KEYS: [&str; 16] = [
    "bytes_recv",
    "bytes_sent",
    "direction",
    "dst.addr",
    "dst.cluster",
    "dst.hbone_addr",
    "dst.identity",
    "dst.namespace",
    "dst.service",
    "dst.workload",
    "duration",
    "src.addr",
    "src.cluster",
    "src.identity",
    "src.namespace",
    "src.workload",
];

#[tokio::test(start_paused = true)]
async fn a_finished_connection_writes_one_line_with_upstreams_keys() {
    let traffic = Traffic::new(&Registry::new());
    let record = ConnectionRecord::open(&traffic, opening(Reporter::Source));
    tokio::time::advance(Duration::from_millis(12)).await;
    let lines = logged(|| record.finish(&Outcome::Complete));
    assert_eq!(lines.len(), 1);
    let line = &lines[0];
    assert_eq!(keys(line), OUTBOUND_KEYS);
    assert_eq!(line["level"], "info");
    assert_eq!(line["scope"], "access");
    assert_eq!(line["message"], "connection complete");
    assert_eq!(line["direction"], "outbound");
    assert_eq!(line["duration"], "12ms");
    assert_eq!(line["src.workload"], "web-7d8-x");
    assert_eq!(line["src.identity"], "spiffe://cluster.local/ns/shop/sa/web");
    assert_eq!(line["dst.hbone_addr"], "10.0.1.2:80");
    assert_eq!(line["dst.service"], "db.shop.svc.cluster.local");
}

#[tokio::test]
async fn opening_is_logged_at_debug() {
    let traffic = Traffic::new(&Registry::new());
    let lines = logged(|| {
        ConnectionRecord::open(&traffic, opening(Reporter::Destination)).finish(&Outcome::Complete);
    });
    let told: Vec<_> = lines.iter().map(|l| (&l["level"], &l["message"])).collect();
    assert_eq!(
        told,
        [
            (&"debug".into(), &"connection opened".into()),
            (&"info".into(), &"connection complete".into())
        ]
    );
    assert_eq!(lines[0]["direction"], "inbound");
}

#[tokio::test]
async fn a_denial_names_its_policy() {
    let registry = Registry::new();
    let traffic = Traffic::new(&registry);
    let record = ConnectionRecord::open(&traffic, opening(Reporter::Destination));
    let policy = "shop/only-web".parse().unwrap();
    let outcome = Outcome::denied(Some(policy), "policy rejection: explicitly denied");
    let lines = logged(|| record.finish(&outcome));
    assert_eq!(lines[0]["level"], "error");
    assert_eq!(lines[0]["policy"], "shop/only-web");
    assert_eq!(lines[0]["error"], "policy rejection: explicitly denied");
    let text = scrape(&registry);
    let deny = ["response_flags=\"DENY\""];
    assert_eq!(value(&text, "istio_tcp_connections_closed_total", &deny), 1.0);
    assert_eq!(value(&text, "istio_tcp_connections_failed_total", &deny), 1.0);
    let none = ["response_flags=\"-\""];
    assert_eq!(value(&text, "istio_tcp_connections_opened_total", &none), 1.0);
}

#[tokio::test]
async fn a_dropped_record_was_drained() {
    let registry = Registry::new();
    let traffic = Traffic::new(&registry);
    let record = ConnectionRecord::open(&traffic, opening(Reporter::Source));
    let lines = logged(|| drop(record));
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["error"], "connection closed due to connection drain");
    assert_eq!(
        value(&scrape(&registry), "istio_tcp_connections_closed_total", &[]),
        1.0
    );
}

#[tokio::test]
async fn plain_connections_claim_no_identity_and_unknown_is_left_out() {
    let traffic = Traffic::new(&Registry::new());
    let record = ConnectionRecord::open(
        &traffic,
        Opening {
            security: Security::Unknown,
            destination: End::default(),
            service: None,
            hbone_target: None,
            ..opening(Reporter::Source)
        },
    );
    let lines = logged(|| record.finish(&Outcome::Complete));
    let line = &lines[0];
    for absent in [
        "src.identity",
        "dst.identity",
        "dst.workload",
        "dst.service",
        "dst.hbone_addr",
    ] {
        assert!(line.get(absent).is_none(), "{absent} in {line}");
    }
}

#[tokio::test]
async fn early_refusals_are_logged_and_counted() {
    let registry = Registry::new();
    let traffic = Traffic::new(&registry);
    let lines = logged(|| {
        let src = Peer::new("10.0.0.1:4000".parse().unwrap());
        let dst = "10.0.1.2:80".parse().unwrap();
        refused_early(
            &traffic,
            Reporter::Source,
            src,
            dst,
            "unknown_source",
            &"unknown source",
        );
    });
    assert_eq!(keys(&lines[0]), ["direction", "dst.addr", "error", "src.addr"]);
    assert_eq!(lines[0]["level"], "warn");
    assert_eq!(lines[0]["message"], "connection failed");
    let counted = value(
        &scrape(&registry),
        "lateen_connections_refused_early_total",
        &["reason=\"unknown_source\"", "reporter=\"source\""],
    );
    assert_eq!(counted, 1.0);
}

#[tokio::test]
async fn series_carry_upstreams_names_and_labels() {
    let registry = Registry::new();
    let traffic = Traffic::new(&registry);
    let record = ConnectionRecord::open(&traffic, opening(Reporter::Source));
    let second = ConnectionRecord::open(&traffic, opening(Reporter::Source));
    second.finish(&Outcome::Complete);
    let text = scrape(&registry);
    let labels = [
        "reporter=\"source\"",
        "source_workload=\"web\"",
        "source_canonical_service=\"web-svc\"",
        "source_canonical_revision=\"v1\"",
        "source_workload_namespace=\"shop\"",
        "source_principal=\"spiffe://cluster.local/ns/shop/sa/web\"",
        "source_app=\"web-svc\"",
        "source_version=\"v1\"",
        "source_cluster=\"Kubernetes\"",
        "destination_service=\"db.shop.svc.cluster.local\"",
        "destination_service_namespace=\"shop\"",
        "destination_service_name=\"db\"",
        "destination_workload=\"db\"",
        "request_protocol=\"tcp\"",
        "response_flags=\"-\"",
        "connection_security_policy=\"mutual_tls\"",
        "source_region=\"unknown\"",
        "destination_zone=\"unknown\"",
    ];
    assert_eq!(value(&text, "istio_tcp_connections_opened_total", &labels), 2.0);
    assert_eq!(value(&text, "istio_tcp_connections_closed_total", &labels), 1.0);
    assert_eq!(value(&text, "istio_tcp_received_bytes_total", &labels), 0.0);
    assert_eq!(value(&text, "istio_tcp_sent_bytes_total", &labels), 0.0);
    drop(record);
}

#[tokio::test]
async fn bytes_show_while_a_connection_is_open_and_are_kept_after_it() {
    let registry = Registry::new();
    let traffic = Traffic::new(&registry);
    let record = ConnectionRecord::open(&traffic, opening(Reporter::Destination));
    let (mut client, down) = tcp_pair().await;
    let (up, mut server) = tcp_pair().await;
    let counters = record.counters().clone();
    let relay = mesh_net::relay(TcpChunks::new(down), TcpChunks::new(up), &counters);
    let talk = async {
        client.write_all(b"request").await.unwrap();
        let mut buffer = [0; 7];
        server.read_exact(&mut buffer).await.unwrap();
        let text = scrape(&registry);
        assert_eq!(value(&text, "istio_tcp_received_bytes_total", &[]), 7.0);
        server.write_all(b"re").await.unwrap();
        drop(server);
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).await.unwrap();
        drop(client);
    };
    tokio::join!(relay, talk);
    let lines = logged(|| record.finish(&Outcome::Complete));
    assert_eq!(
        (&lines[0]["bytes_sent"], &lines[0]["bytes_recv"]),
        (&2.into(), &7.into())
    );
    let text = scrape(&registry);
    assert_eq!(value(&text, "istio_tcp_received_bytes_total", &[]), 7.0);
    assert_eq!(value(&text, "istio_tcp_sent_bytes_total", &[]), 2.0);
}

#[tokio::test(start_paused = true)]
async fn idle_series_are_forgotten_and_busy_ones_are_not() {
    let registry = Registry::new();
    let traffic = Traffic::new(&registry);
    let open = ConnectionRecord::open(&traffic, opening(Reporter::Source));
    ConnectionRecord::open(&traffic, opening(Reporter::Destination)).finish(&Outcome::Complete);
    let hour = Duration::from_secs(3600);
    tokio::time::advance(hour / 2).await;
    assert_eq!(traffic.evict(Instant::now(), hour), 0);
    tokio::time::advance(hour).await;
    assert_eq!(traffic.evict(Instant::now(), hour), 1);
    let text = scrape(&registry);
    assert!(!text.contains("reporter=\"destination\",source_"), "{text}");
    open.finish(&Outcome::Complete);
    tokio::time::advance(hour).await;
    assert_eq!(traffic.evict(Instant::now(), hour), 1);
}

#[test]
fn sockets_are_counted_while_their_guards_live() {
    let registry = Registry::new();
    let traffic = Traffic::new(&registry);
    let guard = traffic.socket(Reporter::Destination);
    let open = |text: String| value(&text, "istio_tcp_sockets_open", &["reporter=\"destination\""]);
    assert_eq!(open(scrape(&registry)), 1.0);
    drop(guard);
    assert_eq!(open(scrape(&registry)), 0.0);
}

#[tokio::test]
async fn series_are_bounded() {
    let registry = Registry::new();
    let traffic = Traffic::new(&registry);
    let count = 20_010;
    for i in 0..count {
        let source = End {
            workload: Some(Strng::from(format!("w{i}"))),
            ..End::default()
        };
        let opening = Opening {
            source,
            ..opening(Reporter::Destination)
        };
        ConnectionRecord::open(&traffic, opening).finish(&Outcome::Complete);
    }
    let families = registry.gather();
    let opened = families
        .iter()
        .find(|f| f.name() == "istio_tcp_connections_opened_total")
        .unwrap();
    assert_eq!(opened.get_metric().len(), 20_001);
    let sum: f64 = opened
        .get_metric()
        .iter()
        .map(|m| m.get_counter().get_value())
        .sum();
    assert_eq!(sum, f64::from(count));
}
