//! Values that cannot be meant: names that do not exist, two names that must be one, a variable that stands twice.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{CHARTS, containers, find, helm, objects, pod_of};

/// What all charts share is checked by each: Helm gives a part the whole of it.
#[test]
fn a_misspelt_value_for_all_charts_is_refused_by_each() {
    let Some(helm) = helm() else { return };
    for chart in CHARTS {
        let said = helm.refusal(chart, "global: {platfrom: k3s}");
        assert!(said.contains("platfrom is not allowed"), "{chart}: {said}");
    }
    // And what there is, all know of.
    let all = "global: {hub: h, tag: t, imagePullPolicy: Never, imagePullSecrets: [s], trustDomain: a.b, clusterDomain: c.d, \
               clusterName: east, network: w, revision: r, controlPlane: istiod, controlPlaneNamespace: istio-system, \
               logLevel: info, logFormat: json, platform: k3s, networkPolicy: true, podMonitor: true}";
    for chart in CHARTS {
        helm.render(chart, all);
    }
}

/// Part by part Istio's stands in for ours; alone a chart that is off would be nothing.
#[test]
fn a_part_that_is_off_is_left_out() {
    let Some(helm) = helm() else { return };
    let whole: BTreeSet<String> = names(&objects(&helm.render("lateen", "{}")));
    for (part, its) in [
        (
            "base",
            "CustomResourceDefinition authorizationpolicies.security.istio.io",
        ),
        ("controlplane", "Deployment istiod"),
        ("cni", "DaemonSet istio-cni-node"),
        ("ztunnel", "DaemonSet ztunnel"),
    ] {
        let rest = names(&objects(
            &helm.render("lateen", &format!("{part}: {{enabled: false}}")),
        ));
        assert!(whole.contains(its) && !rest.contains(its), "{part}");
        // Everybody else stays, and so does what takes pods out of the mesh before a removal.
        assert!(
            rest.is_subset(&whole) && rest.contains("Job lateen-unenroll"),
            "{part}"
        );
        let own = names(&objects(&helm.render(part, "{}")));
        assert_eq!(rest.len() + own.len(), whole.len(), "{part}");
        let said = helm.refusal(part, "enabled: false");
        assert!(said.contains("enabled"), "{part}: {said}");
    }
}

/// The two stand in different charts, of which neither sees the other's.
#[test]
fn names_that_must_be_one_are_not_two() {
    let Some(helm) = helm() else { return };
    for (values, said) in [
        (
            "controlplane: {name: istiod-canary}",
            [
                r#"controlplane.name is "istiod-canary""#,
                r#"global.controlPlane "istiod""#,
            ],
        ),
        (
            "global: {controlPlane: istiod-canary}",
            [
                r#"controlplane.name is "istiod""#,
                r#"global.controlPlane "istiod-canary""#,
            ],
        ),
        (
            "global: {controlPlaneNamespace: mesh}",
            [
                r#"global.controlPlaneNamespace is "mesh""#,
                r#"namespace "istio-system""#,
            ],
        ),
        (
            "ztunnel: {name: proxy}",
            [
                r#"ztunnel.name is "proxy""#,
                r#"controlplane.trustedNodeAccounts "istio-system/ztunnel""#,
            ],
        ),
        (
            "controlplane: {trustedNodeAccounts: [a/b, c/d]}",
            [r#"ztunnel.name is "ztunnel""#, r#"add "istio-system/ztunnel""#],
        ),
        (
            "{cni: {name: lateen-cni}, controlplane: {features: {untaint: {enabled: true}}}}",
            [
                r#"cni.name is "lateen-cni""#,
                r#"controlplane.features.untaint.agents "k8s-app=istio-cni-node""#,
            ],
        ),
    ] {
        let refusal = helm.refusal("lateen", values);
        for said in said {
            assert!(refusal.contains(said), "{values}: {refusal}");
        }
    }
    for values in [
        "{global: {controlPlane: cp}, controlplane: {name: cp}}",
        "{ztunnel: {name: proxy}, controlplane: {trustedNodeAccounts: [istio-system/proxy]}}",
        "{cni: {name: agent}, controlplane: {features: {untaint: {enabled: true, agents: k8s-app=agent-node}}}}",
        // Nobody looks at them.
        "cni: {name: agent}",
        "{ztunnel: {enabled: false, name: proxy}}",
        "{controlplane: {enabled: false}, global: {controlPlane: istiod-canary, controlPlaneNamespace: mesh}}",
    ] {
        helm.render("lateen", values);
    }
}

/// Of two variables of one name one counts; which is decided by whoever merges last.
#[test]
fn a_variable_that_the_chart_sets_is_not_set_a_second_time() {
    let Some(helm) = helm() else { return };
    let of_control_plane = "{global: {imagePullSecrets: [s]}, features: {allowFromWaypoints: true, secretNamespaces: [a], \
                            untaint: {enabled: true}}}";
    for (chart, values, at_least) in [
        ("cni", "{cniConfFileName: f, ownConfig: {enabled: true}}", 14),
        ("controlplane", of_control_plane, 22),
        ("ztunnel", "global: {network: east}", 14),
    ] {
        let all = objects(&helm.render(chart, values));
        let mut set = BTreeSet::new();
        for object in &all {
            let pods = pod_of(object).into_iter().flat_map(|(_, pod)| containers(pod));
            for container in pods {
                let variables = container["env"].as_array().into_iter().flatten();
                set.extend(variables.filter_map(|v| v["name"].as_str()));
                if let Some(name) = container["envFrom"][0]["configMapRef"]["name"].as_str() {
                    let data = find(&all, "ConfigMap", name)["data"].as_object();
                    set.extend(data.expect("variables").keys().map(String::as_str));
                }
            }
        }
        // Those count before `global`, by their names.
        assert!(set.remove("RUST_LOG") && set.remove("LOG_FORMAT"), "{chart}");
        // That one may be set, in the chart's place.
        set.remove("EXEMPT_POD_PREFIXES");
        assert!(set.len() >= at_least, "{chart}: {set:?}");
        for name in set {
            let said = helm.refusal(chart, &format!("env: {{{name}: x}}"));
            assert!(
                said.contains(&format!("env.{name}: the chart sets this variable itself; ")),
                "{chart}: {said}"
            );
        }
        assert!(helm.render(chart, "env: {OF_MY_OWN: x}").contains("OF_MY_OWN"));
    }
}

fn names(objects: &[Value]) -> BTreeSet<String> {
    let name = |o: &Value| {
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        format!("{} {}", text(&o["kind"]), text(&o["metadata"]["name"]))
    };
    objects.iter().map(name).collect()
}
