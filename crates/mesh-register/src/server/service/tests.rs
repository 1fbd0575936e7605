//! Both ends in one process, over in-memory pipes.

use std::sync::Arc;

use hyper_util::rt::TokioIo;
use mesh_grpc::{ConnectionInfo, Credentials, GrpcChannel, TokenSource, channel_over};
use mesh_proto::lateen::register::v1 as wire;
use mesh_proto::lateen::register::v1::registration_client::RegistrationClient;
use mesh_types::NamespacedName;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic::metadata::MetadataMap;

use super::*;
use crate::client::{AssignmentEvent, AssignmentEvents, ClientConfig, RegisterHandle, ReportError};
use crate::model::{Assignment, Membership, Options, Redirection};
use crate::wire::{Request as Sent, Response as Got};

/// The token is the node's name.
struct Tokens;

impl AuthenticateCaller for Tokens {
    type Caller = String;

    async fn authenticate(
        &self,
        metadata: &MetadataMap,
        _: Option<&ConnectionInfo>,
    ) -> Result<String, Denied> {
        Ok(mesh_grpc::caller::bearer_token(metadata)?.to_owned())
    }

    fn good_for(&self, metadata: &MetadataMap, _: Option<&ConnectionInfo>) -> Option<Duration> {
        let brief = mesh_grpc::caller::bearer_token(metadata) == Ok("brief");
        brief.then_some(Duration::from_secs(5))
    }
}

/// Writes down what it is told.
struct Log {
    lines: mpsc::UnboundedSender<String>,
    lease: Duration,
}

impl Registrar for Log {
    type Caller = String;

    fn place(&self, caller: &String) -> Result<Place, Denied> {
        if caller == "nowhere" {
            return Err(Denied::Forbidden("a token without a node".to_owned()));
        }
        Ok(Place::new(caller.as_str()))
    }

    fn lease(&self) -> Duration {
        self.lease
    }

    fn connected(&self, place: &Place, hello: &Hello) {
        self.write(format!("{place} connected {}", hello.instance));
    }

    async fn report(&self, place: &Place, report: Report) -> Outcome {
        self.write(format!("{place} reports {} {}", report.workload, report.uid));
        match report.workload.name.as_str() {
            "unknown" => Outcome::NotAssigned,
            "foreign" => Outcome::Invalid("report.addresses[0]: belongs to another place".to_owned()),
            _ => Outcome::Accepted,
        }
    }

    async fn withdraw(&self, place: &Place, withdrawal: Withdrawal) -> Outcome {
        self.write(format!(
            "{place} withdraws {} {}",
            withdrawal.workload, withdrawal.uid
        ));
        Outcome::Accepted
    }

    fn renewed(&self, place: &Place) {
        self.write(format!("{place} renewed"));
    }

    fn disconnected(&self, place: &Place) {
        self.write(format!("{place} disconnected"));
    }
}

impl Log {
    fn write(&self, line: String) {
        self.lines.send(line).unwrap();
    }
}

/// A control plane that takes connections through pipes, and forgets them all when dropped.
struct ControlPlane {
    assignments: Assignments,
    lines: mpsc::UnboundedReceiver<String>,
    _running: tokio::task::JoinSet<()>,
}

type Accepted = Arc<tokio::sync::Mutex<mpsc::Receiver<DuplexStream>>>;

impl ControlPlane {
    fn start(accepted: &Accepted) -> Self {
        let assignments = Assignments::new();
        let (log, lines) = mpsc::unbounded_channel();
        let registrar = Arc::new(Log {
            lines: log,
            lease: Duration::from_secs(30),
        });
        let service = RegisterServer::new(assignments.clone(), Tokens, registrar).into_service();
        let mut running = tokio::task::JoinSet::new();
        let accepted = accepted.clone();
        running.spawn(async move {
            let mut accepted = accepted.lock().await;
            let mut connections = tokio::task::JoinSet::new();
            while let Some(io) = accepted.recv().await {
                let service = tower::ServiceExt::map_request(
                    service.clone(),
                    |request: http::Request<hyper::body::Incoming>| request.map(tonic::body::Body::new),
                );
                let service = hyper_util::service::TowerToHyperService::new(service);
                let http2 = hyper::server::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new());
                connections.spawn(async move {
                    // How a connection ends is seen by the place.
                    let _ = http2.serve_connection(TokioIo::new(io), service).await;
                });
            }
        });
        Self {
            assignments,
            lines,
            _running: running,
        }
    }

    async fn line(&mut self) -> String {
        self.lines.recv().await.unwrap()
    }
}

fn pipes(token: &str) -> (GrpcChannel, Accepted) {
    let (connections, accepted) = mpsc::channel(16);
    (
        channel(token, connections),
        Arc::new(tokio::sync::Mutex::new(accepted)),
    )
}

fn channel(token: &str, connections: mpsc::Sender<DuplexStream>) -> GrpcChannel {
    let connector = tower::service_fn(move |_: http::Uri| {
        let connections = connections.clone();
        async move {
            let (near, far) = tokio::io::duplex(64 * 1024);
            let refused = |_| std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
            connections.send(far).await.map_err(refused)?;
            Ok::<_, std::io::Error>(TokioIo::new(near))
        }
    });
    channel_over(connector, Credentials::new(TokenSource::literal(token)))
}

fn join(
    channel: GrpcChannel,
    instance: &str,
) -> (RegisterHandle, AssignmentEvents, tokio::task::JoinHandle<()>) {
    let config = ClientConfig {
        instance: instance.to_owned(),
        version: "test".to_owned(),
    };
    let (handle, events, driver) = crate::client(config, channel);
    let running = tokio::spawn(async move {
        driver.await;
    });
    (handle, events, running)
}

fn assignment(name: &str) -> Assignment {
    Assignment {
        workload: NamespacedName::new("default", name),
        service_account: "sa".into(),
        membership: Membership::Member,
        options: Options::default(),
    }
}

fn report(name: &str, uid: &str) -> Report {
    Report {
        workload: NamespacedName::new("default", name),
        uid: uid.to_owned(),
        addresses: vec!["10.0.0.1".parse().unwrap()],
        redirection: Redirection::Enabled,
        network_ready: true,
    }
}

#[tokio::test(start_paused = true)]
async fn a_place_is_told_what_belongs_there_and_tells_what_runs_there() {
    let (channel, accepted) = pipes("n1");
    let mut control = ControlPlane::start(&accepted);
    let n1 = Place::new("n1");
    control.assignments.assign(&n1, assignment("a"));
    control
        .assignments
        .assign(&Place::new("n2"), assignment("elsewhere"));
    control.assignments.set_ready();
    let (handle, mut events, _running) = join(channel, "i1");
    assert_eq!(control.line().await, "n1 connected i1");
    assert_eq!(
        events.next().await,
        Some(AssignmentEvent::Assign(assignment("a")))
    );
    assert_eq!(events.next().await, Some(AssignmentEvent::SnapshotComplete));
    assert_eq!(handle.report(report("a", "1")).await, Ok(()));
    assert_eq!(control.line().await, "n1 reports default/a 1");
    control.assignments.assign(&n1, assignment("b"));
    control
        .assignments
        .unassign(&n1, &NamespacedName::new("default", "a"));
    assert_eq!(
        events.next().await,
        Some(AssignmentEvent::Unassign(NamespacedName::new("default", "a")))
    );
    assert_eq!(
        events.next().await,
        Some(AssignmentEvent::Assign(assignment("b")))
    );
    let gone = Withdrawal {
        workload: NamespacedName::new("default", "a"),
        uid: "1".to_owned(),
    };
    assert_eq!(handle.withdraw(gone).await, Ok(()));
    assert_eq!(control.line().await, "n1 withdraws default/a 1");
    let status = handle.status();
    assert_eq!(
        (status.connected, status.place.as_deref(), status.reported),
        (true, Some("n1"), 0)
    );
}

#[tokio::test(start_paused = true)]
async fn answers_reach_the_report_that_they_are_for() {
    let (channel, accepted) = pipes("n1");
    let control = ControlPlane::start(&accepted);
    control.assignments.set_ready();
    let (handle, _events, _running) = join(channel, "i1");
    let (good, unknown, foreign) = tokio::join!(
        handle.report(report("a", "1")),
        handle.report(report("unknown", "2")),
        handle.report(report("foreign", "3")),
    );
    assert_eq!(good, Ok(()));
    assert_eq!(unknown, Err(ReportError::NotAssigned));
    let why = "report.addresses[0]: belongs to another place".to_owned();
    assert_eq!(foreign, Err(ReportError::Invalid(why)));
}

#[tokio::test(start_paused = true)]
async fn leases_are_renewed_three_times_in_their_life() {
    let (channel, accepted) = pipes("n1");
    let mut control = ControlPlane::start(&accepted);
    control.assignments.set_ready();
    let (_handle, _events, _running) = join(channel, "i1");
    assert_eq!(control.line().await, "n1 connected i1");
    let begun = tokio::time::Instant::now();
    for _ in 0..3 {
        assert_eq!(control.line().await, "n1 renewed");
    }
    assert_eq!(begun.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_with_its_credentials_and_the_next_one_tells_everything_again() {
    let (channel, accepted) = pipes("brief");
    let mut control = ControlPlane::start(&accepted);
    control.assignments.set_ready();
    let (handle, _events, _running) = join(channel, "i1");
    assert!(control.line().await.starts_with("brief connected"));
    handle.report(report("a", "1")).await.unwrap();
    assert_eq!(control.line().await, "brief reports default/a 1");
    let opened = tokio::time::Instant::now();
    // No renewal comes before: a third of the lease is ten seconds.
    let line = control.line().await;
    let after = opened.elapsed();
    assert_eq!(line, "brief disconnected");
    assert!(
        after > Duration::from_secs(4) && after <= Duration::from_secs(10),
        "{after:?}"
    );
    assert!(control.line().await.starts_with("brief connected"));
    assert_eq!(control.line().await, "brief reports default/a 1");
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_of_the_control_plane_everything_is_told_again() {
    let (channel, accepted) = pipes("n1");
    let mut control = ControlPlane::start(&accepted);
    let n1 = Place::new("n1");
    control.assignments.assign(&n1, assignment("a"));
    control.assignments.set_ready();
    let (handle, mut events, _running) = join(channel, "i1");
    assert_eq!(handle.report(report("a", "1")).await, Ok(()));
    assert_eq!(
        events.next().await,
        Some(AssignmentEvent::Assign(assignment("a")))
    );
    assert_eq!(events.next().await, Some(AssignmentEvent::SnapshotComplete));
    assert_eq!(control.line().await, "n1 connected i1");
    drop(control);
    assert_eq!(events.next().await, Some(AssignmentEvent::Disconnected));
    // Meanwhile another pod starts: its report waits.
    let waiting = tokio::spawn(handle.report(report("b", "2")));
    let mut control = ControlPlane::start(&accepted);
    // Not loaded yet: streams are refused, and nobody is told that nothing belongs there.
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(!*handle.connected().borrow());
    control.assignments.assign(&n1, assignment("a"));
    control.assignments.set_ready();
    assert_eq!(control.line().await, "n1 connected i1");
    assert_eq!(control.line().await, "n1 reports default/a 1");
    assert_eq!(control.line().await, "n1 reports default/b 2");
    assert_eq!(waiting.await.unwrap(), Ok(()));
    // What is assigned as before is no event.
    assert_eq!(events.next().await, Some(AssignmentEvent::SnapshotComplete));
}

#[tokio::test(start_paused = true)]
async fn a_new_report_does_not_wait_for_the_whole_backoff() {
    let (channel, accepted) = pipes("n1");
    let unloaded = ControlPlane::start(&accepted);
    let (handle, _events, _running) = join(channel, "i1");
    tokio::time::sleep(Duration::from_mins(5)).await;
    unloaded.assignments.set_ready();
    // Until something is to be told, the next attempt may be 18 s away.
    let asked = tokio::time::Instant::now();
    assert_eq!(handle.report(report("a", "1")).await, Ok(()));
    assert!(asked.elapsed() <= Duration::from_secs(1), "{:?}", asked.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_newer_stream_of_a_place_replaces_the_older() {
    let (connections, accepted) = mpsc::channel(16);
    let accepted = Arc::new(tokio::sync::Mutex::new(accepted));
    let mut control = ControlPlane::start(&accepted);
    control.assignments.set_ready();
    let (_old, mut old_events, old_running) = join(channel("n1", connections.clone()), "i1");
    assert_eq!(old_events.next().await, Some(AssignmentEvent::SnapshotComplete));
    assert_eq!(control.line().await, "n1 connected i1");
    let (handle, _events, new_running) = join(channel("n1", connections), "i2");
    assert_eq!(control.line().await, "n1 connected i2");
    assert_eq!(old_events.next().await, Some(AssignmentEvent::Disconnected));
    old_running.abort();
    // The older stream's end is not the place's end.
    assert_eq!(handle.report(report("a", "1")).await, Ok(()));
    let mut lines = vec![control.line().await];
    new_running.abort();
    while lines.last().unwrap() != "n1 disconnected" {
        lines.push(control.line().await);
    }
    assert_eq!(lines.iter().filter(|line| *line == "n1 disconnected").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_token_without_a_place_is_refused() {
    let (channel, accepted) = pipes("nowhere");
    let control = ControlPlane::start(&accepted);
    control.assignments.set_ready();
    let refused = RegistrationClient::new(channel)
        .register(tokio_stream::iter([]))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(!refused.message().contains("node"));
}

#[tokio::test(start_paused = true)]
async fn when_the_client_stops_its_callers_are_told() {
    let (channel, _accepted) = pipes("n1");
    let (handle, _events, running) = join(channel, "i1");
    let waiting = tokio::spawn(handle.report(report("a", "1")));
    tokio::time::sleep(Duration::from_secs(1)).await;
    running.abort();
    assert_eq!(waiting.await.unwrap(), Err(ReportError::Stopped));
    assert_eq!(handle.report(report("a", "1")).await, Err(ReportError::Stopped));
}

/// Sends these messages and gives what came back, up to the error that ended the stream.
async fn exchange(messages: Vec<RegisterRequest>) -> (Vec<Got>, Option<Status>) {
    let (channel, accepted) = pipes("n1");
    let control = ControlPlane::start(&accepted);
    control.assignments.set_ready();
    let (requests, outgoing) = mpsc::channel(16);
    for message in messages {
        requests.send(message).await.unwrap();
    }
    // Held to the end: with it the pipes go.
    let mut client = RegistrationClient::new(channel);
    let opened = client.register(ReceiverStream::new(outgoing)).await;
    let mut responses = opened.unwrap().into_inner();
    let mut got = Vec::new();
    loop {
        match tokio::time::timeout(Duration::from_secs(60), responses.message()).await {
            Ok(Ok(Some(response))) => got.push(Got::try_from(response).unwrap()),
            Ok(Err(status)) => return (got, Some(status)),
            Ok(Ok(None)) | Err(_) => return (got, None),
        }
    }
}

fn hello() -> RegisterRequest {
    let hello = Hello {
        instance: "i".to_owned(),
        version: String::new(),
    };
    Sent::Hello(hello).into()
}

#[tokio::test(start_paused = true)]
async fn messages_that_break_the_protocol_end_the_stream_and_name_the_field() {
    let refused = |(_, status): (Vec<Got>, Option<Status>)| {
        let status = status.unwrap();
        assert_eq!(status.code(), Code::InvalidArgument);
        status.message().to_owned()
    };
    let empty = RegisterRequest { payload: None };
    assert_eq!(
        refused(exchange(vec![empty.clone()]).await),
        "payload: is missing or unknown"
    );
    assert_eq!(
        refused(exchange(vec![Sent::Renew.into()]).await),
        "payload: the first message is not hello"
    );
    assert_eq!(
        refused(exchange(vec![hello(), empty]).await),
        "payload: is missing or unknown"
    );
    assert_eq!(
        refused(exchange(vec![hello(), hello()]).await),
        "hello: came a second time"
    );
    let nameless = RegisterRequest {
        payload: Some(wire::register_request::Payload::Hello(wire::Hello::default())),
    };
    assert_eq!(
        refused(exchange(vec![nameless]).await),
        "hello.instance: is empty"
    );
}

#[tokio::test(start_paused = true)]
async fn a_malformed_report_costs_only_itself() {
    let mut bad = RegisterRequest::from(Sent::Report(7, Ok(report("a", "1"))));
    if let Some(wire::register_request::Payload::Report(report)) = &mut bad.payload {
        report.addresses = vec![bytes::Bytes::from_static(b"12345")];
    }
    let good = Sent::Report(8, Ok(report("b", "2"))).into();
    let (got, status) = exchange(vec![hello(), bad, good]).await;
    let why = "report.addresses[0]: is neither 4 nor 16 bytes long".to_owned();
    assert_eq!(
        got[2..],
        [Got::Ack(7, Outcome::Invalid(why)), Got::Ack(8, Outcome::Accepted)]
    );
    assert!(status.is_none(), "{status:?}");
}

#[tokio::test(start_paused = true)]
async fn a_place_that_does_not_greet_is_let_go() {
    let (got, status) = exchange(vec![]).await;
    assert_eq!(got, []);
    let status = status.unwrap();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
}

#[tokio::test(start_paused = true)]
async fn five_hundred_workloads_are_assigned_and_reported() {
    let (channel, accepted) = pipes("n1");
    let control = ControlPlane::start(&accepted);
    let n1 = Place::new("n1");
    for n in 0..500 {
        control.assignments.assign(&n1, assignment(&format!("w{n}")));
    }
    control.assignments.set_ready();
    let (handle, mut events, _running) = join(channel, "i1");
    let reports = (0..500).map(|n| handle.report(report(&format!("w{n}"), "1")));
    let answers = futures_util::future::join_all(reports).await;
    assert!(answers.iter().all(Result::is_ok));
    for _ in 0..500 {
        assert!(matches!(events.next().await, Some(AssignmentEvent::Assign(_))));
    }
    assert_eq!(events.next().await, Some(AssignmentEvent::SnapshotComplete));
    assert_eq!(handle.status().accepted, 500);
}
