//! What one worker counts.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::rc::Rc;
use std::sync::Arc;

use mesh_model::{Service, Workload};
use mesh_types::Strng;

use super::flows::{ByteCounts, OpenFlow};
use super::hub::Hub;
use super::labels::{self, Labels};
use super::plan::MetricPlan;
use super::series::Series;
use super::{IDLE_TICKS, Metric};
use crate::flags::ResponseFlags;
use crate::record::{End, Record, ServiceName};

/// Found by numbers that nobody else chooses.
type Numbered<K, V> = HashMap<K, V, BuildHasherDefault<Numbers>>;

/// By metric and labels.
type AllSeries = HashMap<(Metric, Arc<Labels>), Arc<Series>>;

/// One worker's counters. It stays on its thread.
#[derive(Debug)]
pub struct Recorder {
    hub: Arc<Hub>,
    /// What was counted before, by numbers: nothing is written down again.
    bundles: RefCell<Numbered<Key, Vec<Cached>>>,
    /// All series of this worker.
    series: RefCell<AllSeries>,
    ends: RefCell<HashMap<Arc<End>, u32>>,
    services: RefCell<HashMap<Arc<ServiceName>, u32>>,
    /// Ends by the address of what they were taken of, which is held so that nobody else gets that address.
    workloads: RefCell<Numbered<usize, Held<Arc<Workload>, EndRef>>>,
    addressed: RefCell<Numbered<usize, Held<Arc<Service>, ServiceRef>>>,
    next: Cell<u32>,
    nobody: EndRef,
}

/// A workload, with a number that this worker knows it by.
#[derive(Clone, Debug)]
pub struct EndRef {
    end: Arc<End>,
    id: u32,
}

/// A service, with a number that this worker knows it by.
#[derive(Clone, Debug)]
pub struct ServiceRef {
    service: Arc<ServiceName>,
    id: u32,
}

/// What is counted: a record, and the numbers of whom it is about.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'s> {
    /// The record.
    pub record: &'s Record<'s>,
    /// Its source.
    pub source: &'s EndRef,
    /// Its destination.
    pub destination: &'s EndRef,
    /// Its service.
    pub service: Option<&'s ServiceRef>,
    /// How it is counted.
    pub plan: &'s MetricPlan,
}

/// Everything that decides over labels, in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    source: u32,
    destination: u32,
    service: u32,
    plan: u32,
    flags: ResponseFlags,
    code: u16,
    grpc: u8,
    /// The protocol, and whether both ends proved who they are.
    kind: u8,
}

/// The values of expressions, and the series that count with them.
#[derive(Debug)]
struct Cached {
    values: Box<[Strng]>,
    bundle: Rc<Bundle>,
}

#[derive(Debug)]
struct Bundle {
    series: [Option<Arc<Series>>; 6],
}

#[derive(Debug)]
struct Held<T, R> {
    _held: T,
    found: R,
    used: u32,
}

impl Recorder {
    pub(super) fn new(hub: Arc<Hub>) -> Self {
        let nobody = EndRef {
            end: Arc::default(),
            id: 0,
        };
        Self {
            hub,
            bundles: RefCell::default(),
            series: RefCell::default(),
            ends: RefCell::new(HashMap::from([(nobody.end.clone(), 0)])),
            services: RefCell::default(),
            workloads: RefCell::default(),
            addressed: RefCell::default(),
            next: Cell::new(1),
            nobody,
        }
    }

    /// Somebody of whom nothing is known.
    #[must_use]
    pub fn nobody(&self) -> &EndRef {
        &self.nobody
    }

    /// A workload that labels name so. Names of instances make no difference here.
    #[must_use]
    pub fn end(&self, end: End) -> EndRef {
        let mut ends = self.ends.borrow_mut();
        if let Some((end, id)) = ends.get_key_value(&end) {
            return EndRef {
                end: end.clone(),
                id: *id,
            };
        }
        let end = Arc::new(end);
        let id = self.number();
        ends.insert(end.clone(), id);
        EndRef { end, id }
    }

    /// A workload of the mesh.
    #[must_use]
    pub fn workload(&self, workload: &Arc<Workload>) -> EndRef {
        let (now, place) = (self.hub.now(), Arc::as_ptr(workload) as usize);
        if let Some(held) = self.workloads.borrow_mut().get_mut(&place) {
            held.used = now;
            return held.found.clone();
        }
        let found = self.end(End::of_workload(workload));
        let held = Held {
            _held: workload.clone(),
            found: found.clone(),
            used: now,
        };
        self.workloads.borrow_mut().insert(place, held);
        found
    }

    /// A service of the mesh.
    #[must_use]
    pub fn service(&self, service: &Arc<Service>) -> ServiceRef {
        let (now, place) = (self.hub.now(), Arc::as_ptr(service) as usize);
        if let Some(held) = self.addressed.borrow_mut().get_mut(&place) {
            held.used = now;
            return held.found.clone();
        }
        let found = self.named_service(ServiceName::from(service.as_ref()));
        let held = Held {
            _held: service.clone(),
            found: found.clone(),
            used: now,
        };
        self.addressed.borrow_mut().insert(place, held);
        found
    }

    fn named_service(&self, name: ServiceName) -> ServiceRef {
        let mut services = self.services.borrow_mut();
        if let Some((service, id)) = services.get_key_value(&name) {
            return ServiceRef {
                service: service.clone(),
                id: *id,
            };
        }
        let (service, id) = (Arc::new(name), self.number());
        services.insert(service.clone(), id);
        ServiceRef { service, id }
    }

    fn number(&self) -> u32 {
        let id = self.next.get();
        self.next.set(id.wrapping_add(1));
        id
    }

    /// Counts a request.
    pub fn request(&self, sample: &Sample<'_>) {
        let key = Key::of(sample);
        if !sample.plan.has_expressions()
            && let Some(cached) = self.bundles.borrow().get(&key)
            && let [cached] = cached.as_slice()
            && cached.bundle.is_live()
        {
            cached.bundle.count(sample.record, self.hub.now());
            return;
        }
        self.bundle(key, sample).count(sample.record, self.hub.now());
    }

    /// Counts a connection as opened, and its bytes while the flow is held. Its end is counted by [`Recorder::closed`].
    #[must_use]
    pub fn opened(&self, sample: &Sample<'_>, counts: Arc<dyn ByteCounts>) -> OpenFlow {
        let values = sample.plan.evaluate(sample.record);
        let series = |metric| self.series_of(metric, sample, &values);
        let now = self.hub.now();
        if let Some(series) = series(Metric::TcpOpened) {
            series.add_shared(1, now);
        }
        let (received, sent) = (series(Metric::TcpReceivedBytes), series(Metric::TcpSentBytes));
        OpenFlow::new(self.hub.clone(), counts, received, sent)
    }

    /// Counts a connection as closed.
    pub fn closed(&self, sample: &Sample<'_>) {
        let values = sample.plan.evaluate(sample.record);
        if let Some(series) = self.series_of(Metric::TcpClosed, sample, &values) {
            series.add_shared(1, self.hub.now());
        }
    }

    /// Counts messages of a call of gRPC that goes on.
    pub fn messages(&self, sample: &Sample<'_>, received: u64, sent: u64) {
        let values = sample.plan.evaluate(sample.record);
        for (metric, count) in [
            (Metric::RequestMessages, received),
            (Metric::ResponseMessages, sent),
        ] {
            if let Some(series) = self.series_of(metric, sample, &values) {
                series.add(count, self.hub.now());
            }
        }
    }

    /// Forgets what is not used any more; to be called every now and then.
    pub fn tidy(&self) {
        let now = self.hub.now();
        let recent = |used: u32| now.saturating_sub(used) < IDLE_TICKS;
        self.workloads.borrow_mut().retain(|_, held| recent(held.used));
        self.addressed.borrow_mut().retain(|_, held| recent(held.used));
        self.bundles.borrow_mut().retain(|_, cached| {
            cached.retain(|cached| cached.bundle.is_live());
            !cached.is_empty()
        });
        self.series.borrow_mut().retain(|_, series| !series.is_retiring());
        self.ends
            .borrow_mut()
            .retain(|end, id| *id == 0 || Arc::strong_count(end) > 1);
        self.services
            .borrow_mut()
            .retain(|service, _| Arc::strong_count(service) > 1);
    }

    /// The series of a request that was not counted before.
    fn bundle(&self, key: Key, sample: &Sample<'_>) -> Rc<Bundle> {
        let values = sample.plan.evaluate(sample.record);
        let mut bundles = self.bundles.borrow_mut();
        if bundles.len() >= MAX_BUNDLES {
            bundles.clear();
        }
        let cached = bundles.entry(key).or_default();
        cached.retain(|cached| cached.bundle.is_live());
        if let Some(cached) = cached.iter().find(|cached| cached.values == values) {
            return cached.bundle.clone();
        }
        if cached.len() >= MAX_VALUES {
            cached.clear();
        }
        let series = REQUEST_METRICS.map(|metric| {
            // Messages are counted of gRPC only, and only where somebody looks at them.
            let counted = match metric {
                Metric::RequestMessages => sample.record.request.is_some_and(|r| r.messages.is_some()),
                Metric::ResponseMessages => sample.record.response.messages.is_some(),
                _ => true,
            };
            match counted {
                true => self.series_of(metric, sample, &values),
                false => None,
            }
        });
        let bundle = Rc::new(Bundle { series });
        cached.push(Cached {
            values,
            bundle: bundle.clone(),
        });
        bundle
    }

    fn series_of(&self, metric: Metric, sample: &Sample<'_>, values: &[Strng]) -> Option<Arc<Series>> {
        if !sample.plan.counts(metric) {
            return None;
        }
        let usual = labels::labels(sample.record, metric);
        let mut labels = sample.plan.labels(metric, &usual, values);
        let mut all = self.series.borrow_mut();
        for beyond in [false, true] {
            if beyond {
                labels::overflow(&mut labels);
            }
            let key = (metric, Arc::new(labels));
            if let Some(series) = all.get(&key)
                && !series.is_retiring()
            {
                return Some(series.clone());
            }
            if beyond || self.hub.has_room() {
                let series = Arc::new(Series::new(metric, key.1.clone(), self.hub.now()));
                self.hub.insert(series.clone());
                all.insert(key, series.clone());
                return Some(series);
            }
            labels = Labels::clone(&key.1);
        }
        None
    }
}

impl EndRef {
    /// Who it is.
    #[must_use]
    pub fn end(&self) -> &Arc<End> {
        &self.end
    }
}

impl ServiceRef {
    /// Which it is.
    #[must_use]
    pub fn service(&self) -> &Arc<ServiceName> {
        &self.service
    }
}

impl Bundle {
    fn is_live(&self) -> bool {
        self.series.iter().flatten().all(|series| !series.is_retiring())
    }

    fn count(&self, record: &Record<'_>, now: u32) {
        let [
            requests,
            duration,
            request_bytes,
            response_bytes,
            request_messages,
            response_messages,
        ] = &self.series;
        if let Some(series) = requests {
            series.add(1, now);
        }
        if let Some(series) = duration {
            series.observe(record.duration.as_secs_f64() * 1000.0, now);
        }
        #[expect(clippy::cast_precision_loss, reason = "Prometheus counts in floating point")]
        for (series, bytes) in [
            (request_bytes, record.received_whole),
            (response_bytes, record.sent_whole),
        ] {
            if let Some(series) = series {
                series.observe(bytes as f64, now);
            }
        }
        if let (Some(series), Some(messages)) = (request_messages, record.request.and_then(|r| r.messages)) {
            series.add(messages, now);
        }
        if let (Some(series), Some(messages)) = (response_messages, record.response.messages) {
            series.add(messages, now);
        }
    }
}

impl Key {
    fn of(sample: &Sample<'_>) -> Self {
        let record = sample.record;
        let grpc = record.request.is_some_and(|request| request.grpc);
        Self {
            source: sample.source.id,
            destination: sample.destination.id,
            service: sample.service.map_or(0, |service| service.id),
            plan: sample.plan.id,
            flags: record.response.flags,
            code: record.response.code,
            grpc: record.response.grpc_status.filter(|_| grpc).unwrap_or(u8::MAX),
            kind: u8::from(record.connection.mutual_tls)
                | if grpc { GRPC } else { 0 }
                | if record.response.messages.is_some() {
                    MESSAGES
                } else {
                    0
                },
        }
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let pair = |high: u32, low: u32| (u64::from(high) << 32) | u64::from(low);
        state.write_u64(pair(self.source, self.destination));
        state.write_u64(pair(self.service, self.plan));
        let answer = (u32::from(self.code) << 16) | (u32::from(self.grpc) << 8) | u32::from(self.kind);
        state.write_u64(pair(self.flags.bits(), answer));
    }
}

/// A hasher for numbers that we gave out ourselves: nobody else chooses them.
#[derive(Debug, Default)]
struct Numbers(u64);

impl Hasher for Numbers {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, n: u64) {
        self.0 = (self.0.rotate_left(5) ^ n).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    fn write_usize(&mut self, n: usize) {
        self.write_u64(n as u64);
    }

    fn finish(&self) -> u64 {
        // The table looks at the highest and the lowest bits.
        self.0 ^ (self.0 >> 29)
    }
}

const REQUEST_METRICS: [Metric; 6] = [
    Metric::Requests,
    Metric::RequestDuration,
    Metric::RequestBytes,
    Metric::ResponseBytes,
    Metric::RequestMessages,
    Metric::ResponseMessages,
];
/// In [`Key::kind`].
const GRPC: u8 = 2;
const MESSAGES: u8 = 4;
/// A cache, which may be emptied at any time.
const MAX_BUNDLES: usize = 20_000;
/// Values of expressions under one key, looked through one by one.
const MAX_VALUES: usize = 64;
