//! The `istio_tcp_*` metrics.
//!
//! One map from labels to [`Series`] stands behind all five families, so that a connection looks its labels up once and
//! not five times. Bytes of open connections are not copied into metrics while they flow: a scrape adds up the relays'
//! own counters.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mesh_net::RelayCounters;
use parking_lot::Mutex;
use prometheus::core::{Collector, Desc};
use prometheus::proto::{Counter, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};
use tokio::time::Instant;

use super::{Reporter, ResponseFlag, TrafficLabels};

/// The traffic metrics of a process. Cheap to clone; every worker writes into the same.
#[derive(Clone)]
pub struct Traffic {
    series: Arc<Mutex<SeriesMap>>,
    sockets: [IntGauge; 2],
    refused: IntCounterVec,
}

type SeriesMap = HashMap<Arc<TrafficLabels>, Arc<Series>>;

/// Counts a socket as open until it is dropped.
#[derive(Debug)]
pub struct SocketGuard {
    gauge: IntGauge,
}

/// The series that an open connection counts in.
#[derive(Debug)]
pub(super) struct OpenSeries {
    labels: Arc<TrafficLabels>,
    series: Arc<Series>,
    key: u64,
    counters: Arc<RelayCounters>,
}

#[derive(Debug)]
struct Series {
    opened: AtomicU64,
    closed: AtomicU64,
    failed: AtomicU64,
    flows: Mutex<Flows>,
}

/// The byte counts of a series: the sum of closed connections, and the counters of the open ones.
#[derive(Debug)]
struct Flows {
    received: u64,
    sent: u64,
    open: BTreeMap<u64, Arc<RelayCounters>>,
    next_key: u64,
    touched: Instant,
}

// === impl Traffic ===

impl Traffic {
    /// Registers the families.
    ///
    /// # Panics
    /// Panics when `registry` has families of these names already.
    #[must_use]
    pub fn new(registry: &Registry) -> Self {
        let sockets = IntGaugeVec::new(
            Opts::new(
                "istio_tcp_sockets_open",
                "The current number of open TCP sockets (unstable)",
            ),
            &["reporter"],
        )
        .expect("constant names are valid");
        let refused = IntCounterVec::new(
            Opts::new(
                "lateen_connections_refused_early_total",
                "Connections refused before their source or destination was known",
            ),
            &["reporter", "reason"],
        )
        .expect("constant names are valid");
        let traffic = Self {
            series: Arc::default(),
            sockets: [Reporter::Source, Reporter::Destination]
                .map(|r| sockets.with_label_values(&[r.as_str()])),
            refused: refused.clone(),
        };
        let collectors: [Box<dyn Collector>; 3] = [
            Box::new(sockets),
            Box::new(refused),
            Box::new(TrafficCollector::new(&traffic)),
        ];
        for collector in collectors {
            registry
                .register(collector)
                .expect("the traffic metrics are registered once");
        }
        traffic
    }

    /// Counts an accepted socket as open while the guard lives.
    #[must_use]
    pub fn socket(&self, reporter: Reporter) -> SocketGuard {
        let gauge = self.sockets[usize::from(reporter == Reporter::Destination)].clone();
        gauge.inc();
        SocketGuard { gauge }
    }

    /// Forgets the series that have no open connection and did not change for `idle`. Without this a node where pods
    /// come and go collects series forever. Returns how many were forgotten.
    pub fn evict(&self, now: Instant, idle: Duration) -> usize {
        let mut map = self.series.lock();
        let before = map.len();
        // A series that somebody else holds is about to be counted in; nobody gets hold of it without the map's lock.
        map.retain(|_, series| Arc::strong_count(series) > 1 || !series.flows.lock().is_idle(now, idle));
        before - map.len()
    }

    pub(super) fn open(&self, labels: TrafficLabels) -> OpenSeries {
        let (labels, series) = self.series(labels);
        series.opened.fetch_add(1, Ordering::Relaxed);
        let counters = Arc::new(RelayCounters::default());
        let key = series.flows.lock().begin(counters.clone());
        OpenSeries {
            labels,
            series,
            key,
            counters,
        }
    }

    pub(super) fn close(&self, open: &OpenSeries, flag: ResponseFlag) {
        open.series.flows.lock().end(open.key);
        if flag == ResponseFlag::None {
            open.series.closed.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let labels = TrafficLabels {
            flag,
            ..TrafficLabels::clone(&open.labels)
        };
        let (_, series) = self.series(labels);
        series.closed.fetch_add(1, Ordering::Relaxed);
        series.failed.fetch_add(1, Ordering::Relaxed);
        series.flows.lock().touched = Instant::now();
    }

    pub(super) fn refused_early(&self, reporter: Reporter, reason: &'static str) {
        self.refused.with_label_values(&[reporter.as_str(), reason]).inc();
    }

    fn series(&self, mut labels: TrafficLabels) -> (Arc<TrafficLabels>, Arc<Series>) {
        let mut map = self.series.lock();
        for _ in 0..2 {
            if let Some((labels, series)) = map.get_key_value(&labels) {
                return (labels.clone(), series.clone());
            }
            if map.len() < MAX_SERIES {
                break;
            }
            labels = labels.without_ends();
        }
        let (labels, series) = (Arc::new(labels), Arc::new(Series::new()));
        map.insert(labels.clone(), series.clone());
        (labels, series)
    }
}

impl fmt::Debug for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Traffic").finish_non_exhaustive()
    }
}

impl Drop for SocketGuard {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}

// === impl OpenSeries ===

impl OpenSeries {
    pub(super) fn labels(&self) -> &TrafficLabels {
        &self.labels
    }

    pub(super) fn counters(&self) -> &Arc<RelayCounters> {
        &self.counters
    }
}

// === impl Series, Flows ===

impl Series {
    fn new() -> Self {
        Self {
            opened: AtomicU64::new(0),
            closed: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            flows: Mutex::new(Flows {
                received: 0,
                sent: 0,
                open: BTreeMap::new(),
                next_key: 0,
                touched: Instant::now(),
            }),
        }
    }
}

impl Flows {
    fn begin(&mut self, counters: Arc<RelayCounters>) -> u64 {
        let key = self.next_key;
        self.next_key += 1;
        self.open.insert(key, counters);
        self.touched = Instant::now();
        key
    }

    fn end(&mut self, key: u64) {
        if let Some(counters) = self.open.remove(&key) {
            self.received += counters.to_up();
            self.sent += counters.to_down();
        }
        self.touched = Instant::now();
    }

    fn is_idle(&self, now: Instant, idle: Duration) -> bool {
        self.open.is_empty() && now.saturating_duration_since(self.touched) >= idle
    }

    /// Bytes of requests and of responses, so far.
    fn bytes(&self) -> (u64, u64) {
        let open = self.open.values().map(|c| (c.to_up(), c.to_down()));
        open.fold((self.received, self.sent), |(r, s), (up, down)| {
            (r + up, s + down)
        })
    }
}

/// Turns the series into Prometheus' families when scraped.
struct TrafficCollector {
    series: Arc<Mutex<SeriesMap>>,
    descriptions: Vec<Desc>,
}

impl TrafficCollector {
    fn new(traffic: &Traffic) -> Self {
        let names: Vec<_> = TrafficLabels::NAMES.iter().map(|n| (*n).to_owned()).collect();
        let describe = |(name, help): (&str, &str)| {
            Desc::new(name.to_owned(), help.to_owned(), names.clone(), HashMap::new())
                .expect("constant names are valid")
        };
        Self {
            series: traffic.series.clone(),
            descriptions: FAMILIES.into_iter().map(describe).collect(),
        }
    }
}

impl Collector for TrafficCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        // Formatting takes long; the workers must not wait for it.
        let series: Vec<_> = {
            let map = self.series.lock();
            map.iter().map(|(l, s)| (l.clone(), s.clone())).collect()
        };
        let mut metrics: [Vec<Metric>; 5] = Default::default();
        for (labels, series) in series {
            let pairs = label_pairs(&labels);
            let (received, sent) = series.flows.lock().bytes();
            let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
            let flagged = labels.flag != ResponseFlag::None;
            let values = [
                (!flagged).then(|| load(&series.opened)),
                Some(load(&series.closed)).filter(|n| *n > 0),
                Some(load(&series.failed)).filter(|n| *n > 0),
                (!flagged).then_some(received),
                (!flagged).then_some(sent),
            ];
            for (family, value) in metrics.iter_mut().zip(values) {
                family.extend(value.map(|v| counter(pairs.clone(), v)));
            }
        }
        FAMILIES
            .into_iter()
            .zip(metrics)
            .filter(|(_, metrics)| !metrics.is_empty())
            .map(|((name, help), metrics)| family(name, help, metrics))
            .collect()
    }
}

fn label_pairs(labels: &TrafficLabels) -> Vec<LabelPair> {
    let pairs = TrafficLabels::NAMES.into_iter().zip(labels.values());
    pairs
        .map(|(name, value)| {
            let mut pair = LabelPair::default();
            pair.set_name(name.to_owned());
            pair.set_value(value);
            pair
        })
        .collect()
}

fn counter(labels: Vec<LabelPair>, value: u64) -> Metric {
    let mut counter = Counter::default();
    #[expect(clippy::cast_precision_loss, reason = "Prometheus counts in floating point")]
    counter.set_value(value as f64);
    let mut metric = Metric::from_label(labels);
    metric.set_counter(counter);
    metric
}

fn family(name: &str, help: &str, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(MetricType::COUNTER);
    family.set_metric(metrics);
    family
}

/// More series than this would be more than a scrape should carry, and some labels are told by the other end: what comes
/// beyond is counted without naming its two ends.
const MAX_SERIES: usize = 20_000;
/// Names and help texts, in the order in which [`TrafficCollector::collect`] fills them. "Received" is what the client
/// sent and "sent" what it got back, at both reporters: Istio's convention (istio issue 32399).
const FAMILIES: [(&str, &str); 5] = [
    (
        "istio_tcp_connections_opened_total",
        "The total number of TCP connections opened",
    ),
    (
        "istio_tcp_connections_closed_total",
        "The total number of TCP connections closed",
    ),
    (
        "istio_tcp_connections_failed_total",
        "The total number of TCP connections that failed to establish (unstable)",
    ),
    (
        "istio_tcp_received_bytes_total",
        "The size of total bytes received during request in case of a TCP connection",
    ),
    (
        "istio_tcp_sent_bytes_total",
        "The size of total bytes sent during response in case of a TCP connection",
    ),
];
