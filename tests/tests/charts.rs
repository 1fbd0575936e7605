//! The charts, rendered by real Helm: what comes out is what is checked in under `charts/golden`, every object of it keeps the
//! house's rules, and names are upstream's. `LATEEN_UPDATE=1` rewrites the golden files.
//!
//! # Layout
//! - this file: the installations, the golden files, names, roles, and how Helm is run.
//! - `charts/pods.rs`: images, users and places of pods; `network.rs`: NetworkPolicies and monitors; `values.rs`: values that
//!   are refused; `revisions.rs`: two control planes; `platforms.rs`: what a platform changes; `notes.rs`: what people are told.
//!
//! Helm is where `scripts/setup.sh` put it (`target/helm`), in the path, or what `HELM` names. Without it the tests say loudly
//! what they leave out.

#[path = "charts/network.rs"]
mod network;
#[path = "charts/notes.rs"]
mod notes;
#[path = "charts/platforms.rs"]
mod platforms;
#[path = "charts/pods.rs"]
mod pods;
#[path = "charts/revisions.rs"]
mod revisions;
#[path = "charts/values.rs"]
mod values;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use clap::{CommandFactory as _, Parser as _};
use controlplane::args::CommandLine;
use controlplane_k8s_api::{Group, Kind};
use lab::cluster::mesh::find_helm;
use serde_json::{Value, json};

/// A way to install the mesh, with the values that make it.
struct Install {
    name: &'static str,
    values: &'static str,
}

const INSTALLS: &[Install] = &[
    Install {
        name: "default",
        values: "{}",
    },
    // Mutual TLS and L4 policy only.
    Install {
        name: "l4-only",
        values: "controlplane: {features: {waypoints: false}}",
    },
    Install {
        name: "openshift",
        values: "global: {platform: openshift}",
    },
    Install {
        name: "gke",
        values: "global: {platform: gke, networkPolicy: true, podMonitor: true}",
    },
    Install {
        name: UPSTREAMS_ZTUNNEL,
        values: "ztunnel: {enabled: false}",
    },
    Install {
        name: "configured",
        values: "
global:
  hub: registry.example.com/mesh
  imagePullPolicy: Always
  imagePullSecrets: [registry]
  trustDomain: example.com
  clusterName: east
  network: east-1
  revision: canary
  controlPlane: istiod-canary
  logLevel: debug
  logFormat: json
controlplane:
  name: istiod-canary
  replicaCount: 1
  hub: mirror.example.com/mesh
  image: lateen-controlplane
  digest: sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
  imagePullPolicy: IfNotPresent
  nodeSelector: {pool: infra}
  tolerations: [{key: infra, operator: Exists}]
  extraArgs: [--lease=1m]
  env: {EXTRA: \"1\"}
  meshConfig: {accessLogFile: /dev/stdout, trustDomainAliases: [old.example.com]}
  features:
    clusterTrustBundle: false
    allowFromWaypoints: true
    untaint: {enabled: true, agents: k8s-app=canary-cni-node}
    secretNamespaces: [edge, shop]
  podMonitor: {enabled: true, labels: {release: prometheus}}
cni:
  name: canary-cni
  dacOverride: true
  unenrollDrainSeconds: 30
  cniBinDir: /opt/bin
  cniConfFileName: 10-net.conflist
  ownConfig: {enabled: true}
  dnsCapture: on-request
  networkPolicy: {enabled: true}
ztunnel:
  resources: {requests: {cpu: 1, memory: 1Gi}, limits: {memory: 2Gi}}
  env: {PROXY_CONFIG: \"{}\"}
",
    },
];

/// Istio's ztunnel stands in for ours.
const UPSTREAMS_ZTUNNEL: &str = "upstreams-ztunnel";

#[test]
fn charts_are_what_helm_calls_clean() {
    let Some(helm) = helm() else { return };
    for chart in CHARTS {
        let out = helm.run(&["lint", "--strict", chart]);
        assert!(out.status.success(), "{chart}: {}", text(&out));
    }
}

#[test]
fn charts_render_what_is_checked_in() {
    let Some(helm) = helm() else { return };
    for install in INSTALLS {
        let path = charts().join("golden").join(format!("{}.yaml", install.name));
        let rendered = without_crds(&helm.render("lateen", install.values));
        if std::env::var_os("LATEEN_UPDATE").is_some() {
            fs::write(&path, &rendered).expect("a golden file can be written");
        }
        let golden = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            golden == rendered,
            "{} is not what the charts give: read what changed, then LATEEN_UPDATE=1 cargo test -p mesh-tests --test charts",
            path.display()
        );
    }
}

/// Whoever looks for upstream's parts finds ours.
#[test]
fn names_are_upstreams() {
    let Some(helm) = helm() else { return };
    let objects = objects(&helm.render("lateen", "{}"));
    for (kind, name) in [
        ("Deployment", "istiod"),
        ("Service", "istiod"),
        ("ServiceAccount", "istiod"),
        ("ConfigMap", "istio"),
        ("DaemonSet", "istio-cni-node"),
        ("ServiceAccount", "istio-cni"),
        ("ConfigMap", "istio-cni-config"),
        ("DaemonSet", "ztunnel"),
        ("ServiceAccount", "ztunnel"),
    ] {
        let object = find(&objects, kind, name);
        assert_eq!(object["metadata"]["namespace"], "istio-system", "{kind} {name}");
    }
    for (kind, name, labels, container) in [
        (
            "Deployment",
            "istiod",
            json!({"app": "istiod", "istio": "pilot"}),
            "discovery",
        ),
        (
            "DaemonSet",
            "istio-cni-node",
            json!({"k8s-app": "istio-cni-node"}),
            "install-cni",
        ),
        ("DaemonSet", "ztunnel", json!({"app": "ztunnel"}), "istio-proxy"),
    ] {
        let spec = &find(&objects, kind, name)["spec"];
        assert_eq!(spec["selector"]["matchLabels"], labels, "{name}");
        assert_eq!(
            spec["template"]["spec"]["containers"][0]["name"], container,
            "{name}"
        );
        for (key, value) in labels.as_object().expect("labels") {
            assert_eq!(
                &spec["template"]["metadata"]["labels"][key], value,
                "{name} {key}"
            );
        }
        // Nothing of the mesh goes through the mesh.
        let mode = &spec["template"]["metadata"]["labels"]["istio.io/dataplane-mode"];
        assert_eq!(mode, "none", "{name}");
    }
    let service = find(&objects, "Service", "istiod");
    let ports: Vec<_> = service["spec"]["ports"]
        .as_array()
        .expect("ports")
        .iter()
        .collect();
    assert!(
        ports
            .iter()
            .any(|p| p["name"] == "https-dns" && p["port"] == 15012),
        "{ports:?}"
    );
    assert!(
        ports
            .iter()
            .any(|p| p["name"] == "http-monitoring" && p["port"] == 15014),
        "{ports:?}"
    );
}

/// No right that is not named, none to read every Secret, none to give oneself more.
#[test]
fn roles_say_exactly_what_is_needed() {
    let Some(helm) = helm() else { return };
    for install in INSTALLS {
        for object in objects(&helm.render("lateen", install.values)) {
            let name = format!(
                "{}: {} {}",
                install.name, object["kind"], object["metadata"]["name"]
            );
            let Some(rules) = object["rules"].as_array() else {
                continue;
            };
            for rule in rules {
                for list in ["apiGroups", "resources", "verbs"] {
                    let all = rule[list].as_array().unwrap_or_else(|| panic!("{name}: {list}"));
                    assert!(!all.is_empty() && all.iter().all(|v| v != "*"), "{name}: {rule}");
                }
                for verb in ["escalate", "bind", "impersonate", "deletecollection"] {
                    assert!(!has(rule, "verbs", verb), "{name}: {rule}");
                }
                let everywhere = object["kind"] == "ClusterRole";
                let secrets = has(rule, "resources", "secrets");
                assert!(
                    !(everywhere && secrets),
                    "{name} reads Secrets everywhere: {rule}"
                );
                let of_pods = has(rule, "resources", "pods") && has(rule, "apiGroups", "");
                let changes = ["create", "update", "patch", "delete"]
                    .iter()
                    .any(|v| has(rule, "verbs", v));
                // Only while the mesh is being taken away, labels are taken off pods.
                let leaving = object["metadata"]["annotations"]["helm.sh/hook"] == "pre-delete";
                assert!(leaving || !(of_pods && changes), "{name} changes Pods: {rule}");
            }
        }
    }
    let asked = "controlplane: {features: {secrets: true}}";
    let roles = objects(&helm.render("lateen", asked));
    let reads = |o: &Value| {
        let rules = o["rules"].as_array().map(Vec::as_slice).unwrap_or_default();
        o["kind"] == "ClusterRole" && rules.iter().any(|r| has(r, "resources", "secrets"))
    };
    assert!(roles.iter().any(reads), "who asks for it gets it");
}

#[test]
fn without_waypoints_nothing_of_a_namespace_is_made_or_changed() {
    let Some(helm) = helm() else { return };
    let install = INSTALLS
        .iter()
        .find(|i| i.name == "l4-only")
        .expect("it is there");
    for object in objects(&helm.render("lateen", install.values)) {
        let leaving = object["metadata"]["annotations"]["helm.sh/hook"] == "pre-delete";
        let rules = object["rules"].as_array().map(Vec::as_slice).unwrap_or_default();
        let everywhere = object["kind"] == "ClusterRole" && !leaving;
        for rule in rules.iter().filter(|_| everywhere) {
            let changes = ["create", "update", "patch", "delete"]
                .iter()
                .any(|v| has(rule, "verbs", v));
            if !changes {
                continue;
            }
            // What is said of an object in its status is no part of it: docs/least-privilege.md.
            for resource in strings(&rule["resources"]) {
                let allowed =
                    ["configmaps", "tokenreviews", "clustertrustbundles"].contains(&resource.as_str());
                assert!(allowed || resource.ends_with("/status"), "{rule}");
            }
        }
    }
}

/// The control plane may watch every kind that it reads, and say what became of those that are the mesh's.
#[test]
fn the_control_plane_may_read_every_kind_that_it_understands() {
    let Some(helm) = helm() else { return };
    let objects = objects(&helm.render("lateen", "{}"));
    let role = find(&objects, "ClusterRole", "istiod-istio-system");
    let rules = role["rules"].as_array().expect("rules");
    let may = |group: &str, resource: &str, verb: &str| {
        rules.iter().any(|r| {
            has(r, "apiGroups", group)
                && has(r, "resources", resource)
                && has(r, "verbs", verb)
                && r["resourceNames"].is_null()
        })
    };
    for kind in Kind::ALL {
        // Secrets are a feature, the mesh's configuration is a ConfigMap, and accounts are read in files only.
        let elsewhere = [Kind::Secret, Kind::MeshConfig, Kind::ServiceAccount];
        if elsewhere.contains(kind) {
            continue;
        }
        let resource = plural(kind.as_str());
        for verb in ["list", "watch"] {
            assert!(may(kind.group().name(), &resource, verb), "{verb} {resource}");
        }
        // Where lists of conditions are maps, statuses are applied.
        let verb = match (kind, kind.group()) {
            (Kind::Service | Kind::GatewayClass | Kind::Gateway, _) => "patch",
            (Kind::FaultFilter | Kind::ExternalProcessorFilter, _) => "patch",
            (_, Group::Security | Group::Networking | Group::Telemetry | Group::Lateen) => "update",
            _ => continue,
        };
        let status = format!("{resource}/status");
        assert!(may(kind.group().name(), &status, verb), "{verb} {status}");
        assert!(may(kind.group().name(), &resource, "get"), "get {resource}");
    }
    for crd in controlplane_crds::CRDS {
        assert_eq!(plural(crd.kind.as_str()), crd.plural);
    }
}

/// Each container has the rights that it was given one by one, and writes nothing into its image.
#[test]
fn containers_have_no_more_than_they_need() {
    let Some(helm) = helm() else { return };
    for install in INSTALLS {
        for object in objects(&helm.render("lateen", install.values)) {
            let pod = &object["spec"]["template"]["spec"];
            let Some(containers) = pod["containers"].as_array() else {
                continue;
            };
            let name = format!("{}: {}", install.name, object["metadata"]["name"]);
            assert_eq!(
                pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault",
                "{name}"
            );
            for forbidden in ["hostNetwork", "hostPID", "hostIPC"] {
                assert!(pod[forbidden].is_null(), "{name}: {forbidden}");
            }
            for container in containers {
                let context = &container["securityContext"];
                assert_eq!(context["readOnlyRootFilesystem"], true, "{name}");
                assert_ne!(context["privileged"], true, "{name}");
                assert_eq!(context["capabilities"]["drop"], json!(["ALL"]), "{name}");
                let added: BTreeSet<_> = strings(&context["capabilities"]["add"]).into_iter().collect();
                let expected: &[&str] = match container["name"].as_str() {
                    // Where it is asked for.
                    Some("install-cni") if install.name == "configured" => {
                        &["DAC_OVERRIDE", "NET_ADMIN", "SYS_ADMIN", "SYS_PTRACE"]
                    }
                    Some("install-cni") => &["NET_ADMIN", "SYS_ADMIN", "SYS_PTRACE"],
                    Some("istio-proxy") => &["NET_ADMIN", "SYS_ADMIN"],
                    _ => &[],
                };
                assert_eq!(
                    added,
                    expected.iter().map(ToString::to_string).collect(),
                    "{name}"
                );
                if added.is_empty() {
                    assert_eq!(context["runAsNonRoot"], true, "{name}");
                    assert_eq!(context["allowPrivilegeEscalation"], false, "{name}");
                }
                assert!(container["resources"]["requests"]["memory"].is_string(), "{name}");
                let runs_on = object["kind"] != "Job";
                assert_eq!(container["readinessProbe"].is_object(), runs_on, "{name}");
            }
        }
    }
}

/// Whatever it is called: the plugin lets the next agent start, and the agent finds its own DaemonSet, which its role lets it.
#[test]
fn an_agent_of_another_name_is_not_held_up_by_itself_and_knows_when_it_leaves() {
    let Some(helm) = helm() else { return };
    for (values, name) in [("{}", "istio-cni"), ("cni: {name: canary-cni}", "canary-cni")] {
        let objects = objects(&helm.render("lateen", values));
        let daemonset = format!("{name}-node");
        find(&objects, "DaemonSet", &daemonset);
        let data = &find(&objects, "ConfigMap", &format!("{name}-config"))["data"];
        assert_eq!(data["DAEMONSET_NAME"], daemonset.as_str());
        let prefixes = data["EXEMPT_POD_PREFIXES"].as_str().expect("text");
        let prefixes: Vec<_> = prefixes.split(',').collect();
        for own in [format!("{daemonset}-").as_str(), "ztunnel-", "istiod-"] {
            assert!(prefixes.contains(&own), "{own}: {prefixes:?}");
        }
        let role = find(&objects, "Role", name);
        assert_eq!(role["rules"][0]["resourceNames"], json!([daemonset]));
    }
}

/// Nobody starts with an empty directory where the root is to be: a kubelet looks at one again after a minute or more, and at
/// a mount that failed within seconds. Node agents do without the root, and start without it: pods of the node wait for them.
#[test]
fn whoever_needs_the_root_starts_with_it() {
    let Some(helm) = helm() else { return };
    for install in INSTALLS {
        let mut mounted = Vec::new();
        for object in objects(&helm.render("lateen", install.values)) {
            let volumes = object["spec"]["template"]["spec"]["volumes"].as_array();
            for volume in volumes.map(Vec::as_slice).unwrap_or_default() {
                let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
                if volume["configMap"]["name"] == "istio-ca-root-cert" {
                    let optional = volume["configMap"]["optional"] == true;
                    mounted.push((name, if optional { "root, optional" } else { "root" }));
                } else if volume.to_string().contains("serviceAccountToken") {
                    mounted.push((name, "token"));
                }
            }
        }
        mounted.sort();
        let all = [
            ("node agent", "root, optional"),
            ("node agent", "token"),
            ("ztunnel", "root"),
            ("ztunnel", "token"),
        ];
        let expected: &[_] = match install.name {
            UPSTREAMS_ZTUNNEL => &all[..2],
            _ => &all,
        };
        let mounted: Vec<_> = mounted
            .iter()
            .map(|(name, what)| {
                (
                    if name.ends_with("-node") {
                        "node agent"
                    } else {
                        name
                    },
                    *what,
                )
            })
            .collect();
        assert_eq!(mounted, expected, "{}", install.name);
    }
}

/// What `helm test` runs may ask nobody anything, and tries both what has to pass and what must not.
#[test]
fn helm_test_has_no_rights_and_tries_both_ways() {
    let Some(helm) = helm() else { return };
    for install in INSTALLS {
        let all = objects(&helm.render("lateen", install.values));
        let of_test = |o: &&Value| o["metadata"]["annotations"]["helm.sh/hook"] == "test";
        let hooks: Vec<&Value> = all.iter().filter(of_test).collect();
        assert!(hooks.iter().all(|o| o["rules"].is_null()), "{}", install.name);
        let mut accounts = BTreeSet::new();
        let mut tried = Vec::new();
        for hook in hooks {
            let name = hook["metadata"]["name"].as_str().unwrap_or_default();
            let pod = match hook["kind"].as_str() {
                Some("ServiceAccount") => {
                    accounts.insert(name);
                    continue;
                }
                Some("Pod") => &hook["spec"],
                Some("Deployment") => &hook["spec"]["template"]["spec"],
                _ => continue,
            };
            assert_eq!(pod["automountServiceAccountToken"], false, "{name}");
            assert!(
                accounts.contains(pod["serviceAccountName"].as_str().unwrap_or_default()),
                "{name}"
            );
            let context = &pod["containers"][0]["securityContext"];
            assert_eq!(context["runAsNonRoot"], true, "{name}");
            assert_eq!(context["readOnlyRootFilesystem"], true, "{name}");
            assert_eq!(context["capabilities"], json!({"drop": ["ALL"]}), "{name}");
            if hook["kind"] == "Pod" {
                let mode = &hook["metadata"]["labels"]["istio.io/dataplane-mode"];
                let refused = strings(&pod["containers"][0]["args"]).contains(&"--refused".to_owned());
                tried.push((mode.as_str().unwrap_or_default(), refused));
            }
        }
        assert_eq!(
            tried,
            [("ambient", false), ("ambient", true), ("none", true)],
            "{}",
            install.name
        );
    }
}

/// Every object says what it belongs to, and each that is in a namespace is in the release's.
#[test]
fn every_object_is_labelled_and_placed() {
    let Some(helm) = helm() else { return };
    for install in INSTALLS {
        let mut seen = BTreeSet::new();
        for object in objects(&helm.render("lateen", install.values)) {
            let id = format!(
                "{} {}/{}",
                object["kind"], object["metadata"]["namespace"], object["metadata"]["name"]
            );
            let labels = &object["metadata"]["labels"];
            assert_eq!(labels["app.kubernetes.io/part-of"], "lateen", "{id}");
            assert!(labels["app.kubernetes.io/name"].is_string(), "{id}");
            assert_eq!(labels["app.kubernetes.io/managed-by"], "Helm", "{id}");
            let cluster_wide = ["ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition"];
            let kind = object["kind"].as_str().unwrap_or_default();
            let placed = object["metadata"]["namespace"].is_string();
            let wide = cluster_wide.contains(&kind) || kind.starts_with("ValidatingAdmission");
            assert_eq!(placed, !wide, "{id}");
            assert!(seen.insert(id.clone()), "{id} is there twice");
        }
    }
}

/// What a container of the control plane is started with is what its program takes, variables too.
#[test]
fn the_control_plane_takes_what_it_is_given() {
    let Some(helm) = helm() else { return };
    let mut seen = 0;
    for install in INSTALLS {
        for object in objects(&helm.render("lateen", install.values)) {
            let containers = object["spec"]["template"]["spec"]["containers"].as_array();
            let containers = containers.map(Vec::as_slice).unwrap_or_default();
            for container in containers {
                let args = strings(&container["args"]);
                if !["discovery", "unenroll"].iter().any(|n| container["name"] == *n) {
                    continue;
                }
                seen += 1;
                let given = container["env"].as_array().map(Vec::as_slice).unwrap_or_default();
                let command = CommandLine::command();
                let command = command.find_subcommand(&args[0]).expect("a command");
                let mut line = vec!["lateen-controlplane".to_owned()];
                line.extend(args);
                for variable in given {
                    let name = variable["name"].as_str().expect("a name");
                    let argument = command
                        .get_arguments()
                        .find(|a| a.get_env().is_some_and(|e| e == name));
                    // Its value, where it is a literal, is one that the program takes.
                    if let (Some(argument), Some(value)) = (argument, variable["value"].as_str()) {
                        line.push(format!("--{}={value}", argument.get_long().expect("a flag")));
                    }
                    let read_elsewhere = ["RUST_LOG", "LOG_FORMAT", "POD_NAME", "POD_NAMESPACE", "EXTRA"];
                    assert!(
                        argument.is_some() || read_elsewhere.contains(&name),
                        "{name} is read by nobody"
                    );
                }
                if let Err(error) = CommandLine::try_parse_from(&line) {
                    panic!("{}: {line:?}: {error}", install.name);
                }
            }
        }
    }
    assert_eq!(seen, 2 * INSTALLS.len());
}

/// Who wants to see more of one part says so in its `env`; a name that stands twice is refused by Helm or the API server.
#[test]
fn one_parts_logging_is_set_apart_from_the_others() {
    let Some(helm) = helm() else { return };
    let own = "env: {RUST_LOG: debug, LOG_FORMAT: json}";
    for chart in ["cni", "controlplane", "ztunnel"] {
        let rendered = helm.render(chart, own);
        for (name, value) in [("RUST_LOG", "debug"), ("LOG_FORMAT", "json")] {
            assert_eq!(rendered.matches(name).count(), 1, "{chart}: {name}");
            let (_, after) = rendered.split_once(name).expect("it is there");
            let line_or_next: String = after.lines().take(2).collect();
            assert!(
                line_or_next.contains(&format!("\"{value}\"")),
                "{chart}: {line_or_next}"
            );
        }
    }
}

#[test]
fn values_that_there_are_not_are_refused() {
    let Some(helm) = helm() else { return };
    for (chart, value) in [
        ("base", "crds.istoi=true"),
        ("controlplane", "replicas=3"),
        ("controlplane", "replicaCount=0"),
        ("controlplane", "trustedNodeAccounts={ztunnel}"),
        ("cni", "dnsCapture=sometimes"),
        ("cni", "xdsAddress=istiod.istio-system.svc:15012"),
        ("cni", "cniBinDir=opt/cni/bin"),
        ("ztunnel", "digest=latest"),
        ("ztunnel", "global.platform=gkee"),
        ("lateen", "istiod.replicaCount=3"),
        ("lateen", "controlplane.replicas=3"),
    ] {
        let out = helm.run(&["template", "lateen", chart, "--set", value]);
        assert!(!out.status.success(), "{chart}: {value} is taken");
        assert!(
            text(&out).contains("values don't meet the specifications"),
            "{}",
            text(&out)
        );
    }
}

// === helpers ===

const CHARTS: [&str; 5] = ["base", "controlplane", "cni", "ztunnel", "lateen"];

/// Helm, and copies of the charts with the umbrella's parts in place.
struct Helm {
    program: PathBuf,
    charts: tempfile::TempDir,
}

fn helm() -> Option<&'static Helm> {
    static HELM: OnceLock<Option<Helm>> = OnceLock::new();
    HELM.get_or_init(Helm::find).as_ref()
}

impl Helm {
    fn find() -> Option<Self> {
        let Some(program) = find_helm() else {
            // Past libtest, which keeps what passing tests print.
            let line =
                b"LEFT OUT: the charts were not rendered, since there is no Helm (scripts/setup.sh test)\n";
            drop(std::io::stderr().write_all(line));
            return None;
        };
        let helm = Self {
            program,
            charts: tempfile::tempdir().expect("a temporary directory"),
        };
        copy(&charts(), helm.charts.path());
        let out = helm.run(&["dependency", "update", "--skip-refresh", "lateen"]);
        assert!(out.status.success(), "{}", text(&out));
        Some(helm)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(&self.program);
        command.args(arguments).current_dir(self.charts.path());
        let home = self.charts.path().join(".helm");
        for variable in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            command.env(variable, &home);
        }
        command.env_remove("KUBECONFIG").output().expect("helm runs")
    }

    /// Why a chart is not rendered with these values.
    fn refusal(&self, chart: &str, values: &str) -> String {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.write_all(values.as_bytes()).expect("values are written");
        let path = file.path().display().to_string();
        let out = self.run(&["template", "lateen", chart, "-n", "istio-system", "-f", &path]);
        assert!(!out.status.success(), "{chart}: {values} is taken");
        text(&out)
    }

    fn render(&self, chart: &str, values: &str) -> String {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.write_all(values.as_bytes()).expect("values are written");
        let path = file.path().display().to_string();
        let out = self.run(&["template", "lateen", chart, "-n", "istio-system", "-f", &path]);
        assert!(out.status.success(), "{}", text(&out));
        String::from_utf8(out.stdout).expect("text")
    }
}

fn charts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts")
}

/// Files that Helm made beside the sources stay behind.
fn copy(from: &Path, to: &Path) {
    for entry in walkdir::WalkDir::new(from) {
        let entry = entry.expect("charts can be read");
        let inner = entry.path().strip_prefix(from).expect("below").to_owned();
        let made = inner.ends_with("Chart.lock")
            || inner
                .components()
                .nth(1)
                .is_some_and(|c| c.as_os_str() == "charts");
        if made {
            continue;
        }
        if entry.file_type().is_dir() {
            fs::create_dir_all(to.join(&inner)).expect("a directory can be made");
        } else {
            fs::copy(entry.path(), to.join(&inner)).expect("a file can be copied");
        }
    }
}

fn documents(rendered: &str) -> impl Iterator<Item = &str> {
    let all = rendered
        .split("\n---\n")
        .map(|d| d.strip_prefix("---\n").unwrap_or(d));
    all.filter(|d| d.lines().any(|l| !l.starts_with('#') && !l.trim().is_empty()))
}

fn objects(rendered: &str) -> Vec<Value> {
    let parse = |d: &str| serde_saphyr::from_str(d).unwrap_or_else(|e| panic!("{e}:\n{d}"));
    documents(rendered).map(parse).collect()
}

/// CRDs are held by `generated.rs`.
fn without_crds(rendered: &str) -> String {
    let others = documents(rendered).filter(|d| !d.contains("\nkind: CustomResourceDefinition\n"));
    others.map(|d| format!("---\n{}\n", d.trim_end())).collect()
}

/// The pods that an object is or makes: their labels, and their `spec`.
fn pod_of(object: &Value) -> Option<(&Value, &Value)> {
    let (labels, spec) = match object["kind"].as_str()? {
        "Pod" => (&object["metadata"]["labels"], &object["spec"]),
        "DaemonSet" | "Deployment" | "Job" => {
            let template = &object["spec"]["template"];
            (&template["metadata"]["labels"], &template["spec"])
        }
        _ => return None,
    };
    Some((labels, spec))
}

fn containers(pod: &Value) -> &[Value] {
    pod["containers"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default()
}

fn find<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let found = objects
        .iter()
        .find(|o| o["kind"] == kind && o["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("there is no {kind} {name}"))
}

fn has(rule: &Value, list: &str, wanted: &str) -> bool {
    rule[list]
        .as_array()
        .is_some_and(|all| all.iter().any(|v| v == wanted))
}

fn strings(list: &Value) -> Vec<String> {
    let items = list.as_array().map(Vec::as_slice).unwrap_or_default();
    items
        .iter()
        .filter_map(|v| v.as_str().map(str::to_owned))
        .collect()
}

fn plural(kind: &str) -> String {
    let lower = kind.to_ascii_lowercase();
    if lower.ends_with('s') {
        format!("{lower}es")
    } else if let Some(stem) = lower.strip_suffix('y').filter(|s| !s.ends_with('a')) {
        format!("{stem}ies")
    } else {
        format!("{lower}s")
    }
}

fn text(out: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    )
}
