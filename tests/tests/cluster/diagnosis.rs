//! What `lateen` says of a mesh in which something is wrong, and whether that is so.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use crate::Test;
use crate::command_line::asked;
use crate::mesh::{AMBIENT, Mesh, SYSTEM, printed};
use crate::waypoint::Shop;

pub(crate) const TESTS: &[Test] = &[
    Test {
        name: "explain_across_a_waypoint_and_authz_check_say_what_becomes_of_requests_and_by_which_policy",
        run: across_a_waypoint,
    },
    Test {
        name: "analyze_names_what_is_wrong_with_the_objects_of_a_running_cluster",
        run: analyzed,
    },
    Test {
        name: "node_shows_policies_and_certificates_as_they_are_and_changes_what_is_logged_and_back",
        run: node,
    },
    Test {
        name: "status_names_a_waypoint_that_lost_the_control_plane_and_serves_on_until_it_is_back",
        run: lost,
    },
    Test {
        name: "a_bug_report_has_what_it_promises_and_neither_a_key_nor_a_token",
        run: bug_report,
    },
];

fn across_a_waypoint(mesh: &mut Mesh) -> Result<()> {
    let shop = Shop::open(mesh, "gallery")?;
    shop.lateen(&["waypoint", "apply", "--enroll-namespace", "--wait"])?;
    mesh.kubectl.apply(GALLERY)?;
    shop.answers("/admin", "403", "RBAC: access denied")?;
    let to = shop.service.to_string();
    for (method, path, status) in [
        ("GET", "/", "200"),
        ("GET", "/admin", "403"),
        ("POST", "/", "403"),
        ("POST", "/basket", "200"),
    ] {
        let ask = ["explain", "gallery/client", &to, method, path];
        let agreed = mesh.eventually(&format!("{method} {path} is explained"), || {
            let (said, passes) = asked(mesh, &ask)?;
            let answered = shop.request(method, path)?.0;
            let allowed = answered != "403";
            let policy = said["waypoint"]["policy"].as_str().unwrap_or_default();
            ensure!(
                passes == allowed && (said["passes"] == "yes") == allowed && answered == status,
                "{method} {path} is answered with {answered}: {said}"
            );
            ensure!(
                allowed || policy.starts_with("ns[gallery]-policy[guarded]"),
                "{said}"
            );
            Ok(true)
        });
        agreed?;
    }
    // Whoever passes the waypoint by is refused at the pod.
    let (said, _) = asked(mesh, &["authz", "check", "gallery/cart-v1"])?;
    let guards = |of: &Value| -> Vec<String> {
        let policies = of["policies"].as_array().into_iter().flatten();
        let name = |policy: &Value| {
            let name = policy["policy"].as_str().or_else(|| policy["name"].as_str())?;
            Some(name.to_owned())
        };
        policies.filter_map(name).collect()
    };
    ensure!(
        guards(&said).contains(&"doorkeeper".to_owned()),
        "at ztunnel: {said}"
    );
    let waypoints = said["waypoints"].as_array().context("waypoints")?;
    let of_cart = waypoints.iter().find(|w| w["of"] == "Service gallery/cart");
    let of_cart = of_cart.with_context(|| said.to_string())?;
    ensure!(
        guards(of_cart) == ["AuthorizationPolicy/gallery/guarded"],
        "at the waypoint: {said}"
    );
    ensure!(of_cart["policies"][0]["action"] == "Deny", "{said}");
    // Whoever lets in the application's port alone keeps the waypoint's tunnels out, where the network carries that out.
    let ask = ["explain", "gallery/client", &to, "GET", "/"];
    let (said, _) = asked(mesh, &ask)?;
    ensure!(said["networkPolicies"] == json!([]), "{said}");
    mesh.kubectl.apply(APPLICATION_ALONE)?;
    let (said, passes) = asked(mesh, &ask)?;
    let kept = said["networkPolicies"].as_array().context("a list")?;
    let kept: Vec<&str> = kept.iter().filter_map(Value::as_str).collect();
    let [kept] = kept[..] else {
        bail!("one hop is kept: {said}");
    };
    ensure!(
        passes
            && kept.starts_with("NetworkPolicy application-alone of gallery: nothing from gallery/waypoint-")
            && kept.ends_with(" at TCP 15008"),
        "{kept}"
    );
    mesh.forget("gallery")
}

fn lost(mesh: &mut Mesh) -> Result<()> {
    let shop = Shop::open(mesh, "attic")?;
    shop.lateen(&["waypoint", "apply", "--enroll-namespace", "--wait"])?;
    let mut waypoints = mesh.pods("attic", "gateway.networking.k8s.io/gateway-name=waypoint", 1)?;
    let waypoint = waypoints.pop().context("a waypoint")?;
    let is_named = || -> Result<bool> {
        let (said, is_well) = asked(mesh, &["status"])?;
        let absent = said["notConnected"].as_array().context("a list")?;
        let named = absent.iter().find(|one| one["name"] == *waypoint.name);
        if let Some(named) = named {
            ensure!(!is_well && named["kind"] == "waypoint", "{said}");
            ensure!(named["certificates"]["count"] == 1, "it is asked itself: {named}");
        }
        Ok(named.is_some())
    };
    ensure!(!is_named()?, "it is connected");
    let rules = |text: &str| -> Result<()> {
        let done = printed(mesh.inside(&waypoint, "nft")?.arg(text));
        done.map(drop)
    };
    rules(NO_NEW)?;
    // What is open ends at once where the kernel can end it, and else when one side asks whether the other is there.
    let _ = mesh
        .inside(&waypoint, "ss")?
        .args(["-K", "dport", "=", "15012"])
        .output();
    rules(NOTHING)?;
    mesh.eventually("status names the waypoint", is_named)?;
    let (status, _) = shop.request("GET", "/")?;
    ensure!(status == "200", "it does not serve on: {status}");
    rules("delete table inet cut")?;
    mesh.eventually("the waypoint is connected again", || Ok(!is_named()?))?;
    mesh.forget("attic")
}

/// Nothing new passes from a pod to the control plane.
const NO_NEW: &str = "add table inet cut; \
                      add chain inet cut out { type filter hook output priority 0; }; \
                      add rule inet cut out tcp dport 15012 tcp flags & (syn | ack) == syn reject with tcp reset";
/// Nor anything else.
const NOTHING: &str = "add rule inet cut out tcp dport 15012 reject with tcp reset";

fn analyzed(mesh: &mut Mesh) -> Result<()> {
    mesh.namespace("sloppy", AMBIENT)?;
    mesh.start_server("sloppy", "web", 0, "")?;
    mesh.pod("sloppy", "web")?;
    let (said, is_well) = asked(mesh, &["analyze", "-n", "sloppy"])?;
    ensure!(is_well, "nothing is wrong yet: {said}");
    mesh.kubectl.apply(SLOPPY)?;
    let (said, is_well) = asked(mesh, &["analyze", "-n", "sloppy"])?;
    let messages = said["messages"].as_array().context("messages")?;
    for (code, object) in [
        ("IST0101", "sloppy/nowhere"),
        ("IST0127", "sloppy/nobody"),
        ("LAT0001", "sloppy/orphan"),
        ("LAT0003", "sloppy/web"),
        ("LAT0007", "sloppy/foreign"),
    ] {
        let tells = |message: &Value| {
            message["code"] == code
                && message["object"]
                    .as_str()
                    .is_some_and(|about| about.contains(object))
                && message["message"].as_str().is_some_and(|text| !text.is_empty())
        };
        ensure!(messages.iter().any(tells), "{code} of {object} is not in: {said}");
    }
    ensure!(!is_well, "two of them are errors");
    let few = ["analyze", "-n", "sloppy", "-S", "IST0101,LAT0001"];
    let (said, is_well) = asked(mesh, &few)?;
    ensure!(is_well, "the rest are warnings: {said}");
    mesh.forget("sloppy")
}

fn node(mesh: &mut Mesh) -> Result<()> {
    mesh.namespace("census", AMBIENT)?;
    let web = mesh.server("census", "web", 0, "")?;
    let far = mesh.server("census", "far", 1, "")?;
    mesh.wait_tunnel(&web, &far)?;
    mesh.kubectl.apply(CENSUS)?;
    let of_node = |what: &str, node: &str| {
        let (said, _) = asked(mesh, &["node", what, "--node", node, "-n", "census"])?;
        said.as_array().cloned().with_context(|| said.to_string())
    };
    for node in ["node1", "node2"] {
        mesh.eventually("each proxy shows the policy", || {
            let policies = of_node("policies", node)?;
            Ok(policies.len() == 1
                && policies[0]["name"] == "count"
                && policies[0]["action"] == "Deny"
                && policies[0]["scope"] == "WorkloadSelector")
        })?;
        let certificates = of_node("certificates", node)?;
        ensure!(
            certificates.len() == 1
                && certificates[0]["identity"] == web.identity("default")
                && certificates[0]["certChain"]
                    .as_array()
                    .is_some_and(|all| !all.is_empty())
                && certificates[0]["rootCerts"]
                    .as_array()
                    .is_some_and(|all| !all.is_empty()),
            "{certificates:?}"
        );
        ensure!(
            !serde_json::to_string(&certificates)?.contains("PRIVATE KEY"),
            "a key"
        );
    }
    mesh.kubectl
        .run(&["delete", "authorizationpolicy", "count", "-n", "census"])?;
    mesh.eventually("it is shown no more", || {
        Ok(of_node("policies", "node1")?.is_empty())
    })?;
    logged(mesh)?;
    mesh.forget("census")
}

/// What is logged by all proxies, or by one; asking changes nothing.
fn logged(mesh: &Mesh) -> Result<()> {
    let logs = |more: &[&str]| -> Result<BTreeMap<String, String>> {
        let (said, is_well) = asked(mesh, &[&["node", "log"], more].concat())?;
        ensure!(is_well, "{said}");
        Ok(serde_json::from_value(said)?)
    };
    let before = logs(&[])?;
    ensure!(before.len() == 2, "both proxies: {before:?}");
    let changed = logs(&["--node", "node1", "--level", "mesh_tls=trace"])?;
    ensure!(
        changed.len() == 1 && changed.values().all(|said| said.contains("mesh_tls=trace")),
        "{changed:?}"
    );
    let now = logs(&[])?;
    let noisy = now.values().filter(|said| said.contains("mesh_tls=trace"));
    ensure!(noisy.count() == 1, "one of two: {now:?}");
    logs(&["--reset"])?;
    ensure!(logs(&[])? == before, "back");
    Ok(())
}

fn bug_report(mesh: &mut Mesh) -> Result<()> {
    mesh.namespace("confidential", AMBIENT)?;
    mesh.kubectl.apply(CONFIDENTIAL)?;
    let web = mesh.server("confidential", "web", 0, "")?;
    let far = mesh.server("confidential", "far", 1, "")?;
    mesh.wait_tunnel(&web, &far)?;
    let dir = tempfile::tempdir().context("a directory for the report")?;
    let archive = dir.path().join("report.tar.gz").display().to_string();
    let ask = ["bug-report", "--archive", &archive];
    let mut asked = mesh.lateen.command(&ask);
    // Helm is asked for what is installed.
    asked
        .arg("--helm")
        .arg(lab::cluster::mesh::find_helm().context("helm")?);
    let said = printed(&mut asked)?;
    ensure!(
        said.contains("files") && !said.contains("could not be asked"),
        "{said}"
    );
    let mut tar = Command::new("tar");
    printed(tar.arg("-xzf").arg(&archive).arg("-C").arg(dir.path()))?;
    let files = files(&dir.path().join("lateen-bug-report"))?;
    for wanted in [
        "about.txt",
        "analysis.json",
        "release.yaml",
        "objects/namespaces.json",
        "objects/pods.json",
        "objects/peerauthentications.json",
        "objects/daemonsets.json",
        "objects/events.json",
    ] {
        ensure!(files.contains_key(wanted), "no {wanted}: {:?}", files.keys());
    }
    for (begin, end, count) in [
        ("pages/istiod-", "_debug_syncz.txt", 2),
        ("pages/ztunnel-", "_config_dump.txt", 2),
        ("pages/istio-cni-node-", "_pods.txt", 2),
        ("logs/istiod-", ".log", 2),
        ("logs/ztunnel-", ".log", 2),
        ("logs/istio-cni-node-", ".log", 2),
    ] {
        let found = files.iter().filter(|(name, text)| {
            let name = name.strip_prefix("pages/istio-system_").unwrap_or(name);
            name.starts_with(begin) && name.ends_with(end) && !text.is_empty()
        });
        ensure!(found.count() >= count, "{begin}…{end}: {:?}", files.keys());
    }
    ensure!(
        files["objects/pods.json"].contains("\"confidential\""),
        "pods of the namespace are in it"
    );
    is_clean(mesh, &files)?;
    mesh.forget("confidential")
}

/// No key and no token, of anybody; nothing of Secrets, of applications' ConfigMaps and of what containers are told.
fn is_clean(mesh: &Mesh, files: &BTreeMap<String, String>) -> Result<()> {
    let secret = mesh.kubectl.get(&["secret", "istio-ca-secret", "-n", SYSTEM])?;
    let key = secret["data"]["ca-key.pem"].as_str().context("the root's key")?;
    for (name, text) in files {
        for word in ["PRIVATE KEY", "correct horse", &key[..60], "Bearer eyJ"] {
            ensure!(!text.contains(word), "{name} has {word:?}");
        }
        // RFC 7519: a token is three parts in base64url, of which the first two are objects.
        let is_part = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let mut words = text.split(|c| !is_part(c));
        let token = words.find(|word| word.starts_with("eyJ") && word.contains(".eyJ"));
        ensure!(token.is_none(), "{name} has a token");
    }
    ensure!(!files.keys().any(|name| name.contains("secrets")), "Secrets");
    Ok(())
}

/// All files below a directory, by their paths in it.
fn files(dir: &std::path::Path) -> Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    for entry in walkdir::WalkDir::new(dir) {
        let entry = entry?;
        if entry.file_type().is_file() {
            let name = entry.path().strip_prefix(dir)?.display().to_string();
            files.insert(name, fs::read_to_string(entry.path())?);
        }
    }
    Ok(files)
}

const APPLICATION_ALONE: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: application-alone, namespace: gallery}
spec:
  podSelector: {matchLabels: {app: cart}}
  ingress: [{ports: [{port: 8080}]}]
";

const GALLERY: &str = r#"
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: guarded, namespace: gallery}
spec:
  targetRefs: [{group: "", kind: Service, name: cart}]
  action: DENY
  rules:
  - to: [{operation: {paths: [/admin]}}]
  - to: [{operation: {methods: [POST], notPaths: [/basket]}}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: doorkeeper, namespace: gallery}
spec:
  selector: {matchLabels: {app: cart}}
  action: DENY
  rules: [{from: [{source: {notNamespaces: [gallery]}}]}]
"#;
/// Each with one thing that is wrong.
const SLOPPY: &str = r#"
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: nowhere, namespace: sloppy}
spec:
  targetRefs: [{group: "", kind: Service, name: missing}]
  action: DENY
  rules: [{to: [{operation: {paths: [/admin]}}]}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: nobody, namespace: sloppy}
spec:
  selector: {matchLabels: {app: moved-out}}
  action: DENY
  rules: [{from: [{source: {principals: [cluster.local/ns/sloppy/sa/default]}}]}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: foreign, namespace: sloppy}
spec:
  selector: {matchLabels: {app: web}}
  action: DENY
  rules: [{from: [{source: {principals: [example.com/ns/sloppy/sa/default]}}]}]
---
apiVersion: v1
kind: Service
metadata: {name: orphan, namespace: sloppy, labels: {istio.io/use-waypoint: nobody}}
spec: {selector: {app: web}, ports: [{port: 9000}]}
---
apiVersion: v1
kind: Service
metadata: {name: misnamed, namespace: sloppy}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: wbe}]}
"#;
const CENSUS: &str = "
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: count, namespace: census}
spec:
  selector: {matchLabels: {app: web}}
  action: DENY
  rules: [{from: [{source: {namespaces: [nobody]}}]}]
";
const CONFIDENTIAL: &str = "
apiVersion: v1
kind: Secret
metadata: {name: sesame, namespace: confidential}
stringData: {password: correct horse battery staple}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: sesame, namespace: confidential}
data: {password: correct horse battery staple}
---
apiVersion: v1
kind: Pod
metadata: {name: told, namespace: confidential}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: app
    image: lab/app:1
    imagePullPolicy: Never
    args: [serve, --tcp, '9000']
    env: [{name: PASSPHRASE, value: correct horse battery staple}]
";
