//! What one worker tells. Nothing here waits.

mod record;

pub(crate) use record::Begun;

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::{Rc, Weak};
use std::sync::{Arc, Weak as ArcWeak};
use std::time::Duration;

use http::HeaderMap;
use mesh_runtime::supervise::Tasks;
use mesh_state::StateReader;
use mesh_telemetry::export::otlp::LogRecord;
use mesh_telemetry::export::{Destination, Queue, drive};
use mesh_telemetry::metrics::{ByteCounts, EndRef, OpenFlow, Recorder, Sample};
use mesh_telemetry::plan::{Log, Output, Plan};
use mesh_telemetry::record::Record;
use mesh_telemetry::sink::{LINGER, LineBuffer};
use mesh_telemetry::trace::{self, decide};
use mesh_types::{Peer, Strng};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tracing::Level;

use super::calls::{Call, Calls};
use super::{Report, Telemetry, deliver, peer};
use crate::connection::Accepted;
use crate::worker::Worker;

/// What one worker tells. Clones are the same.
#[derive(Clone)]
pub struct Reporting(Rc<Inner>);

struct Inner {
    telemetry: Telemetry,
    state: StateReader,
    network: Strng,
    tasks: Tasks,
    recorder: Recorder,
    /// Without any policy: Istio's line on standard output.
    standard: Log,
    /// Of what ended before it was known which policies count.
    unplanned: Rc<Plan>,
    /// Clients of connections that are open.
    clients: RefCell<HashMap<usize, (ArcWeak<Accepted>, EndRef)>>,
    files: RefCell<HashMap<Strng, LineBuffer>>,
    queues: RefCell<HashMap<Destination, Exporting>>,
    /// Of clients that the mesh does not know yet.
    waiting: RefCell<VecDeque<Waiting>>,
    calls: Calls,
    /// There is something to hand over.
    came: Notify,
    worker: RefCell<Weak<Worker>>,
}

/// What waits for a collector, and the task that sends it.
type Exporting = (Rc<Queue>, JoinHandle<()>);

struct Waiting {
    until: Instant,
    report: Box<Report>,
    plan: Rc<Plan>,
    call: Option<Rc<Call>>,
}

impl Reporting {
    /// Of one worker.
    #[must_use]
    pub fn new(telemetry: Telemetry, state: StateReader, network: Strng, tasks: Tasks) -> Self {
        Self(Rc::new(Inner {
            recorder: telemetry.metrics.recorder(),
            telemetry,
            state,
            network,
            tasks,
            standard: Log::standard(),
            unplanned: Rc::new(Plan::standard()),
            clients: RefCell::default(),
            files: RefCell::default(),
            queues: RefCell::default(),
            waiting: RefCell::default(),
            calls: Calls::default(),
            came: Notify::new(),
            worker: RefCell::default(),
        }))
    }

    /// Collectors are reached over this worker's connections.
    pub(crate) fn attach(&self, worker: &Rc<Worker>) {
        *self.0.worker.borrow_mut() = Rc::downgrade(worker);
    }

    /// A connection or tunnel that means nothing here. `reason` is the closed word for metrics.
    pub fn refused(&self, peer: Peer, reason: &'static str) {
        self.0.telemetry.refused(peer, reason);
    }

    /// A request or connection has no endpoint, since all of its service's are in other networks.
    pub(crate) fn elsewhere(&self) {
        self.0.telemetry.elsewhere.inc();
    }

    /// A policy on trial would have done this. `would` is the closed word for metrics.
    pub(crate) fn on_trial(&self, would: &'static str) {
        self.0.telemetry.on_trial.with_label_values(&[would]).inc();
    }

    /// Takes part in a request's trace: notes the span of ours, and passes the context on.
    pub(crate) fn trace(&self, plan: &Plan, report: &mut Report, headers: &mut HeaderMap) {
        let Some(tracer) = &plan.tracer else { return };
        let decision = decide(tracer.tracing(), headers, || fastrand::u64(..));
        report.trace = decision.span;
        if let Some(span) = &decision.span {
            trace::inject(headers, span, decision.inject);
            if span.sampled && !tracer.tracing().not_by_request_id {
                trace::request_id::mark(headers);
            }
        }
    }

    /// A connection that is no HTTP is open; its bytes count as long as the answer is held.
    #[must_use]
    pub(crate) fn opened(&self, plan: &Plan, report: &Report, counts: Arc<dyn ByteCounts>) -> OpenFlow {
        let source = self.client(&report.accepted).0;
        self.with_record(report, &source, |record, destination, service| {
            self.0.recorder.opened(
                &Sample {
                    record,
                    source: &source,
                    destination,
                    service,
                    plan: &plan.metrics,
                },
                counts,
            )
        })
    }

    /// A call of gRPC begins; its messages count while it lasts.
    pub(crate) fn call(&self, accepted: &Arc<Accepted>, plan: &Rc<Plan>) -> Rc<Call> {
        if self.0.calls.is_empty() {
            self.0.came.notify_one();
        }
        self.0.calls.begin(accepted.clone(), plan.clone())
    }

    /// A call whose messages are not counted after all.
    pub(crate) fn forget(&self, call: &Call) {
        self.0.calls.end(call);
    }

    /// A request or connection is over.
    pub(crate) fn finished(&self, report: Box<Report>, plan: Option<Rc<Plan>>, call: Option<Rc<Call>>) {
        if let Some(call) = &call {
            self.0.calls.end(call);
        }
        let plan = plan.unwrap_or_else(|| self.0.unplanned.clone());
        if let Some(observer) = &self.0.telemetry.observer {
            observer(&report);
        }
        let (source, may_come) = self.client(&report.accepted);
        if !may_come {
            return self.tell(&report, &plan, call.as_deref(), &source);
        }
        let mut waiting = self.0.waiting.borrow_mut();
        if waiting.len() >= MOST_WAITING {
            drop(waiting);
            return self.tell(&report, &plan, call.as_deref(), &source);
        }
        waiting.push_back(Waiting {
            until: Instant::now() + PATIENCE,
            report,
            plan,
            call,
        });
        self.0.came.notify_one();
    }

    /// Who a client is, and whether more may become known of it.
    fn client(&self, accepted: &Arc<Accepted>) -> (EndRef, bool) {
        let place = Arc::as_ptr(accepted) as usize;
        if let Some((_, known)) = self.0.clients.borrow().get(&place) {
            return (known.clone(), false);
        }
        let found = (self.0.state).query(|view| peer::known(&accepted.client, &self.0.network, view));
        let end = self.0.recorder.end(found.end);
        if !found.may_come {
            // While somebody holds on to it, weakly or not, nothing else gets its address.
            let known = (Arc::downgrade(accepted), end.clone());
            self.0.clients.borrow_mut().insert(place, known);
        }
        (end, found.may_come)
    }

    fn tell(&self, report: &Report, plan: &Plan, call: Option<&Call>, source: &EndRef) {
        let messages = call.map(Call::news);
        self.with_messages(report, messages, source, |record, destination, service| {
            let sample = Sample {
                record,
                source,
                destination,
                service,
                plan: &plan.metrics,
            };
            match &record.request {
                Some(_) => self.0.recorder.request(&sample),
                // What never reached an endpoint was never opened.
                None if report.opened => self.0.recorder.closed(&sample),
                None => {}
            }
            self.log(plan, record);
            if let Some(tracer) = &plan.tracer
                && let Some(exporter) = &tracer.tracing().exporter
                && let Some(span) = tracer.span(record, &self.0.telemetry.reporter)
            {
                self.queue(&Destination::of(exporter)).span(span);
            }
        });
        if let Some(audited) = &report.audited {
            tracing::event!(target: "audit", parent: None, Level::INFO, src.addr = %report.accepted.client.peer, policy = audited.as_str(), "audited");
        }
        if let Some(dry_run) = &report.dry_run {
            tracing::event!(target: "audit", parent: None, Level::INFO, src.addr = %report.accepted.client.peer, would = dry_run.as_str(), "on trial");
        }
    }

    fn log(&self, plan: &Plan, record: &Record<'_>) {
        match &plan.logs {
            Some(logs) => logs.iter().for_each(|log| self.log_to(log, record)),
            None if tracing::enabled!(target: "access", Level::INFO) => self.log_to(&self.0.standard, record),
            None => {}
        }
    }

    fn log_to(&self, log: &Log, record: &Record<'_>) {
        if !log.takes(record) {
            return;
        }
        match &log.output {
            Output::File { path, format } => {
                let mut files = self.0.files.borrow_mut();
                if !files.contains_key(path) {
                    match self.0.telemetry.files.file(path) {
                        Ok(file) => drop(files.insert(path.clone(), file.buffer())),
                        Err(error) => {
                            tracing::warn!(%path, %error, "an access log cannot be opened");
                            return;
                        }
                    }
                }
                if let Some(file) = files.get_mut(path)
                    && file.line(|out| format.write(record, out))
                {
                    self.0.came.notify_one();
                }
            }
            Output::Otlp {
                service,
                body,
                attributes,
            } => {
                let queue = self.queue(&Destination::Logs(service.clone()));
                queue.log(LogRecord::new(record, body, attributes));
            }
        }
    }

    fn queue(&self, destination: &Destination) -> Rc<Queue> {
        if let Some((queue, _)) = self.0.queues.borrow().get(destination) {
            return queue.clone();
        }
        let queue = Queue::new(destination.clone(), &self.0.telemetry.exported);
        let upstream = deliver::Upstream(self.0.worker.borrow().clone());
        let reporter = Rc::new(self.0.telemetry.reporter.as_ref().clone());
        let driver = drive(queue.clone(), upstream, reporter, fastrand::f64);
        let driver = self.0.tasks.spawn_local("telemetry export", driver);
        self.0
            .queues
            .borrow_mut()
            .insert(destination.clone(), (queue.clone(), driver));
        queue
    }

    /// Hands over what waits, every now and then while there is something; never ends. Also forgets what is not used.
    pub(crate) fn follow(&self) -> impl Future<Output = ()> + use<> {
        let weak = Rc::downgrade(&self.0);
        let mut closing = self.0.telemetry.closing.subscribe();
        async move {
            let (mut tidied, mut called) = (Instant::now(), Instant::now());
            loop {
                let Some(inner) = weak.upgrade() else { return };
                let wait = async {
                    inner.came.notified().await;
                };
                let patience = if inner.calls.is_empty() { TIDY } else { CALLS };
                let woken = tokio::select! {
                    woken = tokio::time::timeout(patience, wait) => woken.is_ok(),
                    // Whoever asks waits until this is dropped.
                    Ok(_) = closing.wait_for(|closing| *closing) => break,
                };
                drop(inner);
                if woken {
                    tokio::select! {
                        () = sleep(LINGER) => {}
                        Ok(_) = closing.wait_for(|closing| *closing) => break,
                    }
                }
                let Some(inner) = weak.upgrade() else { return };
                let reporting = Self(inner);
                reporting.hand_over();
                if called.elapsed() >= CALLS {
                    called = Instant::now();
                    reporting.tell_calls();
                }
                if tidied.elapsed() >= TIDY {
                    tidied = Instant::now();
                    reporting.tidy();
                }
            }
            if let Some(inner) = weak.upgrade() {
                Self(inner).close().await;
            }
            drop(closing);
        }
    }

    /// Nothing more comes: nobody is waited for, and collectors are told what there is.
    async fn close(&self) {
        let waiting = std::mem::take(&mut *self.0.waiting.borrow_mut());
        for waited in waiting {
            let source = self.client(&waited.report.accepted).0;
            self.tell(&waited.report, &waited.plan, waited.call.as_deref(), &source);
        }
        self.hand_over();
        let drivers: Vec<_> = {
            let mut queues = self.0.queues.borrow_mut();
            let queues = queues.drain().map(|(_, (queue, driver))| {
                queue.close();
                driver
            });
            queues.collect()
        };
        for driver in drivers {
            // One that was stopped has told.
            let _ = driver.await;
        }
    }

    fn hand_over(&self) {
        self.0
            .files
            .borrow_mut()
            .values_mut()
            .for_each(LineBuffer::hand_over);
        let waiting = std::mem::take(&mut *self.0.waiting.borrow_mut());
        for waited in waiting {
            let (source, may_come) = self.client(&waited.report.accepted);
            if may_come && Instant::now() < waited.until {
                self.0.waiting.borrow_mut().push_back(waited);
            } else {
                self.tell(&waited.report, &waited.plan, waited.call.as_deref(), &source);
            }
        }
        if !self.0.waiting.borrow().is_empty() {
            self.0.came.notify_one();
        }
    }

    /// What has passed of calls that go on.
    fn tell_calls(&self) {
        for call in self.0.calls.answered() {
            // Labels that are made of the request's end are not known yet.
            if call.plan.metrics.has_expressions() {
                continue;
            }
            let (source, may_come) = self.client(&call.accepted);
            if may_come {
                continue;
            }
            let mut report = Report::new(call.accepted.clone());
            report.upstream_workload.clone_from(&call.endpoint.borrow());
            let (received, sent) = call.news();
            self.with_record(&report, &source, |record, destination, service| {
                let sample = Sample {
                    record,
                    source: &source,
                    destination,
                    service,
                    plan: &call.plan.metrics,
                };
                self.0.recorder.messages(&sample, received, sent);
            });
        }
    }

    fn tidy(&self) {
        self.0
            .clients
            .borrow_mut()
            .retain(|_, (accepted, _)| accepted.strong_count() > 0);
        self.0.recorder.tidy();
    }
}

impl std::fmt::Debug for Reporting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reporting").finish_non_exhaustive()
    }
}

/// How long a record waits for its client to become known.
const PATIENCE: Duration = Duration::from_secs(5);
const MOST_WAITING: usize = 1024;
const TIDY: Duration = Duration::from_secs(15);
/// As often as Istio reports what goes on.
const CALLS: Duration = Duration::from_secs(5);
