//! Who asks for a waypoint is reached through it: namespaces, services, workloads; and no longer once they do not.

use anyhow::{Result, ensure};
use lab::Lab;
use lab::config::PodSpec;

use crate::harness::{Test, test};
use crate::l7_stage::{APP, Answer, App, Stage, USE, service};
use crate::party::ENROLLED;
use crate::trace::Trace;

pub(crate) const TESTS: &[Test] = &[
    test(
        "namespaces_and_services_are_bound_by_a_label_and_free_without_it",
        services,
    ),
    test("workloads_are_bound_by_a_label_and_free_without_it", workloads),
    test("nobody_gets_past_the_waypoint_of_a_namespace_that_says_so", only),
];

fn services(lab: &mut Lab) -> Result<()> {
    let stage = Stage::unbound(lab, "service", &[1])?;
    let mut trace = Trace::follow(lab)?;
    direct(&stage, &mut trace, "10.96.3.1")?;
    // By its own label.
    service(lab, "app", APP, "app: app", USE)?;
    through(&stage, &mut trace, "10.96.3.1")?;
    service(lab, "app", APP, "app: app", "")?;
    direct(&stage, &mut trace, "10.96.3.1")?;
    // By its namespace's, which it may decline.
    let labels = format!("istio.io/dataplane-mode: ambient, {USE}");
    let namespace =
        format!("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {ENROLLED}\n  labels: {{{labels}}}\n");
    lab.config()
        .write(&format!("namespace-{ENROLLED}.yaml"), &namespace)?;
    through(&stage, &mut trace, "10.96.3.1")?;
    service(lab, "app", APP, "app: app", "istio.io/use-waypoint: none")?;
    direct(&stage, &mut trace, "10.96.3.1")?;
    service(lab, "app", APP, "app: app", "")?;
    through(&stage, &mut trace, "10.96.3.1")?;
    lab.config().namespace(ENROLLED, true)?;
    direct(&stage, &mut trace, "10.96.3.1")
}

fn workloads(lab: &mut Lab) -> Result<()> {
    let stage = Stage::unbound(lab, "workload", &[1])?;
    let spec = PodSpec::new(ENROLLED, "alone", 1).label("istio.io/use-waypoint", "waypoint");
    let alone = App::of(lab, &spec)?;
    let to = alone.pod.v4().to_string();
    let to = format!("{to}:8080");
    let mut trace = Trace::follow(lab)?;
    through(&stage, &mut trace, &to)?;
    let free = PodSpec::new(ENROLLED, "alone", 1)
        .label("app", "app")
        .label("name", "alone");
    lab.config().pod(&free)?;
    direct(&stage, &mut trace, &to)
}

/// R, I9: a Pod's own address, a waypoint that is gone, and one that comes back.
fn only(lab: &mut Lab) -> Result<()> {
    let mut stage = Stage::set(lab)?;
    let direct = format!("http://{}:8080/", stage.apps[0].pod.v4());
    let open = stage.get(&[&direct])?;
    ensure!(open.status == "200", "nobody asked to refuse it: {open:?}");
    let guarded = |lab: &Lab, only: bool| {
        let text = format!(
            "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {ENROLLED}\n  labels: {{istio.io/dataplane-mode: ambient, {USE}}}\n  annotations: {{lateen.dev/waypoint-only: '{only}'}}\n"
        );
        lab.config().write(&format!("namespace-{ENROLLED}.yaml"), &text)
    };
    guarded(lab, true)?;
    let refused = |a: &Answer| a.status == "000" || a.status == "503";
    stage.until("the refusal", &[&direct], refused)?;
    let mut trace = Trace::follow(lab)?;
    stage.get(&[&direct])?;
    trace.expect_error(1, &[("direction", "inbound")], "shop/lateen_waypoint_only")?;
    let through = stage.get(&["http://10.96.3.1/"])?;
    ensure!(through.status == "200", "through the waypoint: {through:?}");
    // Without its waypoint the service is closed, and its Pods with it.
    stage.waypoint.replicas[0].kill()?;
    stage.until("no way", &["http://10.96.3.1/"], refused)?;
    let past = stage.get(&[&direct])?;
    ensure!(refused(&past), "{past:?}");
    guarded(lab, false)?;
    stage.until("the way past it", &[&direct], |a| a.status == "200")?;
    Ok(())
}

/// Waits until a request to `host` passes the waypoint: its node's line of it names the waypoint.
fn through(stage: &Stage, trace: &mut Trace, host: &str) -> Result<()> {
    next_hop(stage, trace, host, &stage.waypoint.identity())
}

/// Waits until a request to `host` goes straight to the application.
fn direct(stage: &Stage, trace: &mut Trace, host: &str) -> Result<()> {
    next_hop(stage, trace, host, "")
}

fn next_hop(stage: &Stage, trace: &mut Trace, host: &str, waypoint: &str) -> Result<()> {
    let url = format!("http://{host}/");
    lab::wait::until(&format!("{host} by {waypoint:?}"), crate::client::LIMIT, || {
        let answer = stage.get(&[&url]).ok()?;
        let own = [("direction", "outbound"), ("src.workload", "client")];
        let line = trace.expect(0, &own).ok()?;
        let identity = line.get("dst.identity").unwrap_or_default();
        let right = match waypoint {
            "" => identity.ends_with(&format!("/sa/{}", answer.by)),
            waypoint => identity == waypoint,
        };
        (answer.status == "200" && right).then_some(())
    })
}
