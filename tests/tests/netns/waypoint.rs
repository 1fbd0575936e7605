//! Connections through waypoints: what the client's node does, what the destination sees, and what if there is none.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use lab::Lab;
use lab::config::PodSpec;

use crate::client::{Fate, LIMIT, say};
use crate::harness::{Test, test};
use crate::party::{ENROLLED, Party, knows_service, namespaces};
use crate::stand_in::{Asked, StandIn};
use crate::trace::Trace;

pub(crate) const TESTS: &[Test] = &[
    test(
        "services_and_workloads_that_ask_for_a_waypoint_are_reached_through_it",
        through,
    ),
    test(
        "what_a_missing_waypoint_guards_is_closed_unless_its_binding_says_otherwise",
        missing,
    ),
    test("a_canary_waypoint_takes_its_share_of_the_connections", canary),
];

fn through(lab: &mut Lab) -> Result<()> {
    namespaces(lab)?;
    gateway(lab, "wp", VIP_OF_WP)?;
    service(lab, "web", "10.96.1.1", USE, "")?;
    let bound = PodSpec::new(ENROLLED, "web", 1).label("istio.io/use-waypoint", "wp");
    let web = Party::of(lab, &bound, true)?;
    let waypoint = waypoint_pod(lab, "wp", 1)?;
    let stand_in = StandIn::start(lab, &waypoint, &web, 9000)?;
    let client = Party::start(lab, "client", 0, true)?;
    knows_bound(lab, "web")?;
    let mut trace = Trace::follow(lab)?;
    let by_service: SocketAddr = "10.96.1.1:80".parse()?;
    for (to, host) in [
        (by_service, Some("web.shop.svc.cluster.local".to_owned())),
        (web.echo(), None),
    ] {
        let fate = say(client.namespace(), to, "hello")?;
        ensure!(fate == Fate::Answered("hello".to_owned()), "{to}: {fate:?}");
        let asked = stand_in.asked().pop().context("the waypoint was not asked")?;
        let expected = Asked {
            peer: client.identity(),
            authority: to.to_string(),
            host,
        };
        ensure!(asked == expected, "{asked:?}");
        let (own, hop, wp) = (
            to.to_string(),
            format!("{}:15008", waypoint.pod.v4()),
            waypoint.identity(),
        );
        trace.expect(
            0,
            &[
                ("direction", "outbound"),
                ("dst.addr", &hop),
                ("dst.hbone_addr", &own),
                ("dst.workload", "wp"),
                ("dst.identity", &wp),
            ],
        )?;
        trace.expect(
            1,
            &[
                ("direction", "inbound"),
                ("src.workload", "wp"),
                ("src.identity", &wp),
                ("dst.workload", "web"),
            ],
        )?;
    }
    Ok(())
}

fn missing(lab: &mut Lab) -> Result<()> {
    namespaces(lab)?;
    gateway(lab, "wp", VIP_OF_WP)?;
    service(lab, "web", "10.96.1.1", USE, "")?;
    // The same pods, by a service that would rather be reached without its waypoint than not at all.
    service(
        lab,
        "open",
        "10.96.1.2",
        USE,
        "lateen.dev/waypoint-fail-open: \"true\"",
    )?;
    let web = Party::start(lab, "web", 1, true)?;
    let waypoint = waypoint_pod(lab, "wp", 1)?;
    let client = Party::start(lab, "client", 0, true)?;
    for name in ["web", "open"] {
        knows_bound(lab, name)?;
    }
    let mut trace = Trace::follow(lab)?;
    let (closed, open): (SocketAddr, SocketAddr) = ("10.96.1.1:80".parse()?, "10.96.1.2:80".parse()?);
    let name = "shop/wp.shop.svc.cluster.local";

    // Its pod is there, and nobody listens.
    let unreachable = format!("{name} cannot be reached");
    rejected(&client, closed)?;
    trace.expect_error(0, &[("dst.workload", "wp")], "refused")?;
    direct(&mut trace, &client, &web, open, &unreachable)?;

    // It listens: both go through.
    let stand_in = StandIn::start(lab, &waypoint, &web, 9000)?;
    for to in [closed, open] {
        let fate = say(client.namespace(), to, "hello")?;
        ensure!(fate == Fate::Answered("hello".to_owned()), "{to}: {fate:?}");
    }
    ensure!(stand_in.asked().len() == 2, "{:?}", stand_in.asked());
    drop(stand_in);

    // It is gone, and the configuration knows.
    waypoint.pod.delete()?;
    lab.nodes()[0].wait_for_config("the end of the waypoint's pod", |dump| {
        let workloads = dump["workloads"].as_array().into_iter().flatten();
        !workloads
            .into_iter()
            .any(|w| w["name"] == "wp" && w["status"] == "Healthy")
    })?;
    rejected(&client, closed)?;
    let why =
        format!("waypoint {name} has no endpoint that is ready; going past it would evade its policies");
    trace.expect_error(0, &[("dst.addr", &closed.to_string())], &why)?;
    direct(
        &mut trace,
        &client,
        &web,
        open,
        &format!("{name} has no endpoint that is ready"),
    )
}

fn canary(lab: &mut Lab) -> Result<()> {
    namespaces(lab)?;
    gateway(lab, "wp", VIP_OF_WP)?;
    gateway(lab, "wp2", "10.96.9.2")?;
    let labels = format!("{USE}, istio.io/use-waypoint-canary: wp2");
    service(
        lab,
        "web",
        "10.96.1.1",
        &labels,
        "istio.io/use-waypoint-canary-weight: \"50\"",
    )?;
    let web = Party::start(lab, "web", 1, true)?;
    let pods = [waypoint_pod(lab, "wp", 1)?, waypoint_pod(lab, "wp2", 0)?];
    let mut stand_ins = Vec::new();
    for pod in &pods {
        stand_ins.push(StandIn::start(lab, pod, &web, 9000)?);
    }
    let client = Party::start(lab, "client", 0, true)?;
    knows_bound(lab, "web")?;
    lab.nodes()[0].wait_for_config("both shares", |dump| {
        let services = dump["services"].as_array().into_iter().flatten();
        let mut shares = services.into_iter().filter(|s| s["name"] == "web");
        shares.any(|s| s["weightedWaypoints"].as_array().is_some_and(|w| w.len() == 2))
    })?;
    let to: SocketAddr = "10.96.1.1:80".parse()?;
    for _ in 0..40 {
        let fate = say(client.namespace(), to, "hello")?;
        ensure!(fate == Fate::Answered("hello".to_owned()), "{fate:?}");
    }
    let shares: Vec<_> = stand_ins.iter().map(|s| s.asked().len()).collect();
    ensure!(shares.iter().sum::<usize>() == 40, "{shares:?}");
    // One in ten million says otherwise of a fair coin.
    ensure!(shares.iter().all(|n| *n >= 4), "{shares:?}");
    // One of them ends: the other takes all.
    drop(stand_ins.remove(0));
    for _ in 0..5 {
        let fate = lab::wait::until("an answer by the other waypoint", LIMIT, || {
            say(client.namespace(), to, "hello")
                .ok()
                .filter(|f| *f == Fate::Answered("hello".to_owned()))
        });
        fate?;
    }
    Ok(())
}

fn rejected(client: &Party, to: SocketAddr) -> Result<()> {
    let fate = say(client.namespace(), to, "never")?;
    ensure!(fate.is_rejection(), "{to}: {fate:?}");
    Ok(())
}

/// One exchange past the waypoint, which the log tells.
fn direct(trace: &mut Trace, client: &Party, web: &Party, to: SocketAddr, why: &str) -> Result<()> {
    let fate = say(client.namespace(), to, "direct")?;
    ensure!(fate == Fate::Answered("direct".to_owned()), "{to}: {fate:?}");
    let (from, at) = (client.identity(), web.identity());
    trace.expect(
        0,
        &[
            ("direction", "outbound"),
            ("dst.workload", "web"),
            ("src.identity", &from),
            ("dst.identity", &at),
            ("dst.waypoint_skipped", why),
        ],
    )?;
    Ok(())
}

/// A pod that is a waypoint: not captured itself, as upstream's.
fn waypoint_pod(lab: &mut Lab, name: &str, node: usize) -> Result<Party> {
    let spec = PodSpec::new(ENROLLED, name, node).label("istio.io/dataplane-mode", "none");
    Party::of(lab, &spec, false)
}

/// Waits until the client's node knows that a service has a waypoint.
fn knows_bound(lab: &Lab, name: &str) -> Result<()> {
    knows_service(lab, 0, name)?;
    lab.nodes()[0].wait_for_config(&format!("the waypoint of {name}"), |dump| {
        let services = dump["services"].as_array().into_iter().flatten();
        services
            .into_iter()
            .any(|s| s["name"] == name && !s["waypoint"].is_null())
    })
}

/// A Gateway that is a waypoint for everything, and the Service in front of its pods.
fn gateway(lab: &Lab, name: &str, vip: &str) -> Result<()> {
    lab.config()
        .service(ENROLLED, name, vip, name, &[(15008, 15008)])?;
    let text = format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata:\n  name: {name}\n  namespace: {ENROLLED}\n  labels: {{istio.io/waypoint-for: all}}\nspec:\n  gatewayClassName: istio-waypoint\n  listeners: [{{name: mesh, port: 15008, protocol: HBONE}}]\nstatus:\n  addresses: [{{type: Hostname, value: {name}.{ENROLLED}.svc.cluster.local}}]\n"
    );
    lab.config().write(&format!("gateway-{name}.yaml"), &text)
}

/// The Service of the pod `web`, with labels and annotations.
fn service(lab: &Lab, name: &str, vip: &str, labels: &str, annotations: &str) -> Result<()> {
    let text = format!(
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\n  namespace: {ENROLLED}\n  labels: {{{labels}}}\n  annotations: {{{annotations}}}\nspec:\n  clusterIP: {vip}\n  selector: {{app: web}}\n  ports: [{{name: tcp, port: 80, targetPort: 9000}}]\n"
    );
    lab.config()
        .write(&format!("service-{ENROLLED}-{name}.yaml"), &text)
}

const USE: &str = "istio.io/use-waypoint: wp";
const VIP_OF_WP: &str = "10.96.9.1";
