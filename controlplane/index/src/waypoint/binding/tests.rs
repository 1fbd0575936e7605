use controlplane_k8s_api::Kind;

use super::*;
use crate::fixture::{Mesh, pod, registered};

fn gateway(name: &str, waypoint_for: &str, listener: &str) -> String {
    let (namespace, name) = name.split_once('/').expect("<namespace>/<name>");
    format!(
        "{{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {{name: {name}, namespace: {namespace}, labels: {{istio.io/waypoint-for: {waypoint_for}}}}}, \
         spec: {{gatewayClassName: istio-waypoint, listeners: [{{name: mesh, port: 15008, protocol: HBONE, {listener}}}]}}, \
         status: {{addresses: [{{type: Hostname, value: {name}.{namespace}.svc.cluster.local}}]}}}}\n---\n"
    )
}

fn namespace(name: &str, labels: &str, annotations: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}, labels: {{{labels}}}, annotations: {{{annotations}}}}}}}\n---\n"
    )
}

fn service(labels: &str, annotations: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Service, metadata: {{name: web, namespace: shop, labels: {{{labels}}}, annotations: {{{annotations}}}}}, \
         spec: {{clusterIP: 10.96.0.1, ports: [{{port: 80}}]}}}}\n---\n"
    )
}

const USE: &str = "istio.io/use-waypoint: wp";
const OPEN: &str = "lateen.dev/waypoint-fail-open: \"true\"";

fn web(mesh: &Mesh) -> &mesh_model::Service {
    mesh.service("shop/web.shop.svc.cluster.local")
}

/// Where connections to the service go first.
fn waypoint(mesh: &Mesh) -> Option<String> {
    web(mesh).waypoint.as_ref().map(|w| w.destination.to_string())
}

fn status(mesh: &Mesh) -> Option<StatusCondition> {
    let mut all = mesh.index.statuses().into_iter();
    let web = all.find(|s| s.object.kind == Kind::Service && s.object.name == "web");
    web?.condition(ConditionType::WaypointBound).cloned()
}

fn reason(mesh: &Mesh) -> Option<(bool, StatusReason)> {
    status(mesh).map(|c| (c.holds, c.reason))
}

const ACCEPTED: Option<(bool, StatusReason)> = Some((true, StatusReason::WaypointAccepted));

#[test]
fn the_object_counts_before_its_namespace() {
    let gateways = gateway("shop/wp", "all", "") + &gateway("shop/own", "all", "");
    for (around, own, expected) in [
        ("", "", None),
        (USE, "", Some("shop/wp.shop.svc.cluster.local")),
        ("", USE, Some("shop/wp.shop.svc.cluster.local")),
        (
            USE,
            "istio.io/use-waypoint: own",
            Some("shop/own.shop.svc.cluster.local"),
        ),
        (USE, "istio.io/use-waypoint: none", None),
        ("istio.io/use-waypoint: none", "", None),
        (
            USE,
            "istio.io/use-waypoint: \"\"",
            Some("shop/wp.shop.svc.cluster.local"),
        ),
    ] {
        let mesh = Mesh::of(&format!(
            "{gateways}{}{}",
            namespace("shop", around, ""),
            service(own, "")
        ));
        assert_eq!(waypoint(&mesh).as_deref(), expected, "{around:?} {own:?}");
        assert_eq!(reason(&mesh), expected.and(ACCEPTED));
    }
}

/// Whoever asks for a waypoint never gets connections past it, unless they say so.
#[test]
fn what_cannot_be_had_is_bound_to_nobody() {
    let away = format!("{USE}, istio.io/use-waypoint-namespace: bank");
    let (no, denied) = (StatusReason::WaypointIsNotReady, StatusReason::AttachmentDenied);
    let unsupported = StatusReason::UnsupportedTrafficType;
    for (gateways, labels, reason_expected, told) in [
        (String::new(), USE, no, "shop/wp.shop.svc.cluster.local"),
        (
            gateway("shop/wp", "workload", ""),
            USE,
            unsupported,
            "shop/wp.shop.unsupportedtraffictype.invalid",
        ),
        (
            gateway("shop/wp", "none", ""),
            USE,
            unsupported,
            "shop/wp.shop.unsupportedtraffictype.invalid",
        ),
        (
            gateway("bank/wp", "all", ""),
            &away,
            denied,
            "bank/wp.bank.attachmentdenied.invalid",
        ),
        (String::new(), &away, no, "bank/wp.bank.svc.cluster.local"),
    ] {
        let mesh = Mesh::of(&(gateways.clone() + &service(labels, "")));
        assert_eq!(waypoint(&mesh).as_deref(), Some(told));
        assert_eq!(reason(&mesh), Some((false, reason_expected)), "{told}");
        let message = status(&mesh).unwrap().message;
        assert!(message.contains("connections are refused"), "{message}");
        let mesh = Mesh::of(&(gateways + &service(labels, OPEN)));
        assert_eq!(waypoint(&mesh), None, "{told}");
        assert_eq!(reason(&mesh), Some((false, reason_expected)));
        let message = status(&mesh).unwrap().message;
        assert!(message.contains("connections go past it"), "{message}");
    }
}

#[test]
fn opting_out_of_failing_closed_belongs_to_whoever_asks_for_the_waypoint() {
    for (around, own, annotation_around, annotation, open) in [
        (USE, "", "", "", false),
        (USE, "", OPEN, "", true),
        (USE, "", OPEN, "lateen.dev/waypoint-fail-open: \"false\"", false),
        (USE, "", "", OPEN, true),
        ("", USE, OPEN, "", false),
        ("", USE, "", OPEN, true),
        ("", USE, "", "lateen.dev/waypoint-fail-open: \"yes\"", false),
    ] {
        let objects = namespace("shop", around, annotation_around) + &service(own, annotation);
        let mesh = Mesh::of(&objects);
        assert_eq!(waypoint(&mesh).is_none(), open, "{objects}");
        let mesh = Mesh::of(&(gateway("shop/wp", "all", "") + &objects));
        assert_eq!(
            web(&mesh).waypoint.as_ref().map(|w| w.fail_open),
            Some(open),
            "{objects}"
        );
    }
}

#[test]
fn another_namespaces_waypoint_has_to_admit_this_one() {
    let labels = format!("{USE}, istio.io/use-waypoint-namespace: bank");
    let from = |from: &str| format!("allowedRoutes: {{namespaces: {{{from}}}}}");
    for (listener, bound) in [
        (String::new(), false),
        (from("from: Same"), false),
        (from("from: All"), true),
        (
            from("from: Selector, selector: {matchLabels: {team: front}}"),
            true,
        ),
        (
            from("from: Selector, selector: {matchLabels: {team: back}}"),
            false,
        ),
        (
            from("from: Selector, selector: {matchExpressions: [{key: team, operator: Exists}]}"),
            true,
        ),
    ] {
        let gateway = gateway("bank/wp", "service", &listener);
        let objects = gateway + &namespace("shop", "team: front", "") + &service(&labels, "");
        let mesh = Mesh::of(&objects);
        let expected = if bound {
            ACCEPTED
        } else {
            Some((false, StatusReason::AttachmentDenied))
        };
        assert_eq!(reason(&mesh), expected, "{listener}");
    }
}

#[test]
fn a_label_of_the_namespace_opens_and_closes_the_selector() {
    let selector = "allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {team: front}}}}";
    let labels = format!("{USE}, istio.io/use-waypoint-namespace: bank");
    let mut mesh = Mesh::of(&(gateway("bank/wp", "service", selector) + &service(&labels, "")));
    assert_eq!(reason(&mesh), Some((false, StatusReason::AttachmentDenied)));
    mesh.set(&namespace("shop", "team: front", ""));
    assert_eq!(reason(&mesh), ACCEPTED);
    mesh.set(&namespace("shop", "team: back", ""));
    assert_eq!(reason(&mesh), Some((false, StatusReason::AttachmentDenied)));
}

#[test]
fn a_namespace_asks_only_for_what_its_waypoint_is_for() {
    let around = namespace("shop", USE, "");
    for (waypoint_for, of_service, of_pod) in [
        ("service", true, false),
        ("workload", false, true),
        ("all", true, true),
        ("none", false, false),
    ] {
        let objects =
            gateway("shop/wp", waypoint_for, "") + &around + &service("", "") + &pod("shop/p", "", "");
        let mut mesh = Mesh::of(&objects);
        mesh.register("shop/p", registered("10.0.0.1"));
        assert_eq!(waypoint(&mesh).is_some(), of_service, "{waypoint_for}");
        assert_eq!(mesh.pod("shop/p").waypoint.is_some(), of_pod, "{waypoint_for}");
        assert_eq!(reason(&mesh), if of_service { ACCEPTED } else { None });
    }
    // What a waypoint that is not there would be for, nobody knows.
    let mut mesh = Mesh::of(&(around + &service("", "") + &pod("shop/p", "", "")));
    mesh.register("shop/p", registered("10.0.0.1"));
    assert!(waypoint(&mesh).is_some() && mesh.pod("shop/p").waypoint.is_some());
}

#[test]
fn pods_tell_when_their_connections_are_refused_and_not_otherwise() {
    let labelled = pod("shop/p", &format!("labels: {{{USE}}}"), "");
    let mut mesh = Mesh::of(&labelled);
    mesh.register("shop/p", registered("10.0.0.1"));
    let of_pod = |mesh: &Mesh| {
        let mut all = mesh.index.statuses().into_iter();
        all.find(|s| s.object.kind == Kind::Pod)
            .and_then(|s| s.condition(ConditionType::WaypointBound).map(|c| c.reason))
    };
    assert_eq!(of_pod(&mesh), Some(StatusReason::WaypointIsNotReady));
    mesh.set(&gateway("shop/wp", "service", ""));
    assert_eq!(of_pod(&mesh), Some(StatusReason::UnsupportedTrafficType));
    mesh.set(&gateway("shop/wp", "workload", ""));
    assert_eq!(of_pod(&mesh), None);
    assert!(mesh.pod("shop/p").waypoint.is_some());
}

#[test]
fn a_canary_takes_its_share_and_its_faults_leave_all_to_the_primary() {
    let canary = "istio.io/use-waypoint-canary: new";
    let weight = |w: &str| format!("istio.io/use-waypoint-canary-weight: {w:?}");
    let gateways = gateway("shop/wp", "service", "")
        + &gateway("shop/new", "service", "")
        + &gateway("shop/pods", "workload", "");
    let labels = |canary: &str| format!("{USE}, {canary}");
    for (label, annotation, shares) in [
        (canary, weight("10"), Some([90, 10])),
        (canary, weight("0"), Some([100, 0])),
        (canary, weight("100"), Some([0, 100])),
        (canary, String::new(), Some([100, 0])),
        (canary, weight("101"), None),
        (canary, weight("-1"), None),
        (canary, weight("a"), None),
        ("istio.io/use-waypoint-canary: wp", weight("10"), None),
        ("istio.io/use-waypoint-canary: missing", weight("10"), None),
        ("istio.io/use-waypoint-canary: pods", weight("10"), None),
    ] {
        let mesh = Mesh::of(&(gateways.clone() + &service(&labels(label), &annotation)));
        let weights: Vec<u32> = web(&mesh).weighted_waypoints.iter().map(|w| w.weight).collect();
        assert_eq!(
            weights,
            shares.map(|s| s.to_vec()).unwrap_or_default(),
            "{label} {annotation}"
        );
        assert_eq!(waypoint(&mesh).as_deref(), Some("shop/wp.shop.svc.cluster.local"));
        assert_eq!(reason(&mesh), ACCEPTED);
        let message = status(&mesh).unwrap().message;
        assert_eq!(
            message.contains("canary does not take a share"),
            shares.is_none(),
            "{message}"
        );
    }
    let none = Mesh::of(&(gateways + &service(&labels("istio.io/use-waypoint-canary: none"), "")));
    assert!(web(&none).weighted_waypoints.is_empty());
}

#[test]
fn the_namespaces_canary_counts_where_its_waypoint_does() {
    let gateways = gateway("shop/wp", "service", "") + &gateway("shop/new", "service", "");
    let around = namespace(
        "shop",
        &format!("{USE}, istio.io/use-waypoint-canary: new"),
        "istio.io/use-waypoint-canary-weight: \"30\"",
    );
    let mesh = Mesh::of(&(gateways.clone() + &around + &service("", "")));
    assert_eq!(web(&mesh).weighted_waypoints.len(), 2);
    let mesh = Mesh::of(&(gateways + &around + &service(USE, "")));
    assert!(web(&mesh).weighted_waypoints.is_empty());
}

#[test]
fn gateways_for_traffic_from_outside_use_it_where_asked_to() {
    let on = |value: &str| format!("istio.io/ingress-use-waypoint: {value:?}");
    let gateway = gateway("shop/wp", "service", "");
    for (around, own, expected) in [
        (String::new(), String::new(), false),
        (String::new(), on("true"), true),
        (on("true"), String::new(), true),
        (on("true"), on("false"), false),
        (String::new(), on("yes"), false),
    ] {
        let objects = namespace("shop", &around, "") + &service(&format!("{USE}, {own}"), "");
        let mesh = Mesh::of(&(gateway.clone() + &objects));
        assert_eq!(web(&mesh).ingress_use_waypoint, expected, "{objects}");
        let mesh = Mesh::of(&objects);
        // There is none yet: gateways must not go past it either.
        assert_eq!(web(&mesh).ingress_use_waypoint, expected, "{objects}");
    }
}

#[test]
fn only_what_is_bound_hears_of_a_gateway() {
    let mut mesh = Mesh::of(&(service("", "") + &pod("shop/p", "", "")));
    mesh.register("shop/p", registered("10.0.0.1"));
    let before = mesh.index.workload_computations();
    mesh.set(&gateway("shop/wp", "all", ""));
    mesh.set(&namespace("shop", "other: label", ""));
    assert_eq!((mesh.index.workload_computations(), mesh.told), (before, 0));
    mesh.set(&namespace("shop", USE, ""));
    assert_eq!(mesh.told, 2);
    mesh.remove(Kind::Gateway, "shop/wp");
    assert_eq!(mesh.told, 0, "it is told where the waypoint will be, as before");
    assert_eq!(reason(&mesh), Some((false, StatusReason::WaypointIsNotReady)));
}
