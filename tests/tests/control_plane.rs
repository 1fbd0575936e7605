//! The control plane beside a real API server: what it knows of a cluster, while the API server is away too, and what it
//! keeps there.
//!
//! Needs the machine's root, and Go, of whose modules the API server is built once; says loudly what it leaves out otherwise.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lab::cluster::{self, ControlPlane, Tools, tools};
use lab::process::Process;
use lab::wait;
use lab::world::{self, Rights};
use mesh_certs::client::{CaClientSettings, FetchCertificate as _};
use mesh_certs::{CaClient, FetchError};
use mesh_grpc::{ChannelConfig, Credentials, GrpcChannel, Security, TlsTrust, TokenSource};
use mesh_tls::TlsSettings;
use mesh_tls::service::{RootSource, client_config};
use mesh_types::Identity;
use mesh_xds::{ApplyBatch, Batch, ClientConfig, NodeInfo, Rejected, TypeUrl};
use serde_json::Value;

#[path = "control_plane/options.rs"]
mod options;
#[path = "control_plane/others.rs"]
mod others;
#[path = "control_plane/roots.rs"]
mod roots;

/// A test, named by a sentence.
struct Test {
    name: &'static str,
    run: fn(&mut Bench) -> Result<()>,
}

/// In this order, with one API server: each finds what those before it made.
const TESTS: &[Test] = &[
    Test {
        name: "proxies_are_told_of_a_clusters_pods_also_while_the_api_server_is_away",
        run: proxies_are_told_of_a_clusters_pods_also_while_the_api_server_is_away,
    },
    Test {
        name: "a_kind_whose_definition_comes_late_is_known_a_moment_later",
        run: a_kind_whose_definition_comes_late_is_known_a_moment_later,
    },
    Test {
        name: "a_pods_token_is_believed_until_the_pod_is_another_one",
        run: a_pods_token_is_believed_until_the_pod_is_another_one,
    },
    Test {
        name: "where_the_api_servers_keys_cannot_be_read_it_is_asked_about_each_token",
        run: where_the_api_servers_keys_cannot_be_read_it_is_asked_about_each_token,
    },
    Test {
        name: "a_pods_certificate_is_issued_as_soon_as_the_pod_is_bound_to_its_node",
        run: a_pods_certificate_is_issued_as_soon_as_the_pod_is_bound_to_its_node,
    },
    Test {
        name: "hosts_of_service_entries_keep_the_addresses_that_their_statuses_have",
        run: hosts_of_service_entries_keep_the_addresses_that_their_statuses_have,
    },
    Test {
        name: "a_policys_author_is_told_how_many_proxies_of_all_replicas_have_it",
        run: a_policys_author_is_told_how_many_proxies_of_all_replicas_have_it,
    },
    Test {
        name: "replicas_share_a_root_which_every_namespace_trusts_and_take_over_duties",
        run: replicas_share_a_root_which_every_namespace_trusts_and_take_over_duties,
    },
    Test {
        name: "a_gateway_becomes_what_runs_it_and_what_became_of_routes_is_written",
        run: a_gateway_becomes_what_runs_it_and_what_became_of_routes_is_written,
    },
    Test {
        name: "whom_waypoints_stand_before_lets_them_in_for_as_long_as_they_are_there",
        run: options::whom_waypoints_stand_before_lets_them_in_for_as_long_as_they_are_there,
    },
    Test {
        name: "a_listener_follows_the_secret_of_its_certificate_where_secrets_are_read",
        run: options::a_listener_follows_the_secret_of_its_certificate_where_secrets_are_read,
    },
    Test {
        name: "another_secret_signs_without_a_restart_and_the_old_root_outlives_them",
        run: roots::another_secret_signs_without_a_restart_and_the_old_root_outlives_them,
    },
];

/// An API server, and control planes that read it.
struct Bench {
    api: ControlPlane,
    /// The CRDs of Gateway API.
    gateway_api: String,
    program: PathBuf,
    dir: PathBuf,
}

/// One control plane.
struct Plane {
    process: Process,
    state: PathBuf,
    monitoring: u16,
    listen: u16,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let filters: Vec<_> = arguments.iter().filter(|a| !a.starts_with('-')).collect();
    let chosen = |t: &&Test| filters.is_empty() || filters.iter().any(|f| t.name.contains(f.as_str()));
    let tests: Vec<&Test> = TESTS.iter().filter(chosen).collect();
    if arguments.iter().any(|a| a == "--list") {
        tests.iter().for_each(|t| println!("{}: test", t.name));
        return ExitCode::SUCCESS;
    }
    match run(&tests) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(101),
        Err(error) => {
            eprintln!("control_plane: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(tests: &[&Test]) -> Result<bool> {
    if tests.is_empty() {
        return Ok(true);
    }
    let program = program()?;
    if let Some(missing) = tools::missing() {
        println!(
            "!! LEFT OUT: {} tests of the control plane beside an API server: {missing}",
            tests.len()
        );
        return Ok(true);
    }
    let tools = Tools::of_tests()?;
    let gateway_api = gateway_api()?;
    if world::enter()? != Rights::Root {
        eprintln!("LEFT OUT: no API server was read, which needs the machine's root");
        return Ok(true);
    }
    let dir = PathBuf::from("/run/lateen-planes");
    std::fs::create_dir_all(&dir)?;
    let api = cluster::control_plane_alone(&tools)?;
    api.kubectl().apply(NAMESPACES)?;
    let mut bench = Bench {
        api,
        gateway_api,
        program,
        dir,
    };
    println!("\nrunning {} tests", tests.len());
    let mut well = true;
    for test in tests {
        let result = (test.run)(&mut bench);
        let word = if result.is_ok() { "ok" } else { "FAILED" };
        println!("test {} ... {word}", test.name);
        if let Err(error) = result {
            println!("{error:#}");
            well = false;
        }
    }
    Ok(well)
}

/// The control plane beside this test; the other products are not needed.
fn program() -> Result<PathBuf> {
    let me = std::env::current_exe().context("own path")?;
    let dir = me.ancestors().nth(2).context("target directory")?;
    let program = dir.join("lateen-controlplane");
    ensure!(
        program.is_file(),
        "{} is missing: cargo build -p controlplane",
        program.display()
    );
    Ok(program)
}

impl Bench {
    /// A control plane that is ready.
    fn plane(&self, number: u16) -> Result<Plane> {
        self.plane_with(number, &[])
    }

    /// One with further arguments.
    fn plane_with(&self, number: u16, arguments: &[&str]) -> Result<Plane> {
        self.plane_as(self.api.kubectl().config(), number, arguments)
    }

    /// One that is somebody else for the API server.
    fn plane_as(&self, kubeconfig: &Path, number: u16, arguments: &[&str]) -> Result<Plane> {
        let state = self.dir.join(format!("state-{number}"));
        let (monitoring, listen) = (16000 + number, 17000 + number);
        let mut command = self.api.namespace().command(&self.program);
        command.args(["--source", "kube", "--kubeconfig"]).arg(kubeconfig);
        command.arg("--state-dir").arg(&state);
        command.args(["--listen", &format!("0.0.0.0:{listen}")]);
        command.args(["--monitoring", &format!("127.0.0.1:{monitoring}")]);
        command.args(arguments);
        let process = Process::start(&format!("plane-{number}"), command, &self.dir)?;
        let plane = Plane {
            process,
            state,
            monitoring,
            listen,
        };
        self.until(&plane, "ready", || self.page(&plane, "/readyz").ok())?;
        Ok(plane)
    }

    fn page(&self, plane: &Plane, path: &str) -> Result<String> {
        let url = format!("http://127.0.0.1:{}{path}", plane.monitoring);
        let arguments = ["--silent", "--fail", "--max-time", "5", &url];
        self.api.namespace().output("curl", &arguments)
    }

    fn json(&self, plane: &Plane, path: &str) -> Option<Value> {
        serde_json::from_str(&self.page(plane, path).ok()?).ok()
    }

    /// Whether proxies are told of an address of this name.
    fn tells_of(&self, plane: &Plane, name: &str) -> bool {
        let resources = self.json(plane, "/debug/resources").unwrap_or_default();
        resources["addresses"].get(name).is_some()
    }

    fn away_seconds(&self, plane: &Plane) -> Option<u64> {
        self.json(plane, "/status")?["cluster"]["awaySeconds"].as_u64()
    }

    fn until<T>(&self, plane: &Plane, what: &str, probe: impl FnMut() -> Option<T>) -> Result<T> {
        wait::until(what, PATIENCE, probe).with_context(|| plane.process.log_tail())
    }

    fn until_told(&self, plane: &Plane, name: &str, told: bool) -> Result<()> {
        let what = format!("{name} is {}", if told { "told of" } else { "gone" });
        self.until(plane, &what, || {
            (self.tells_of(plane, name) == told).then_some(())
        })
    }

    /// A token of the node proxy's pod.
    fn token(&self, audience: &str) -> Result<String> {
        let whose = [
            "create",
            "token",
            "ztunnel",
            "-n",
            "istio-system",
            "--audience",
            audience,
        ];
        let bound = ["--bound-object-kind", "Pod", "--bound-object-name", "ztunnel-1"];
        let token = self.api.kubectl().run(&[&whose[..], &bound].concat())?;
        Ok(token.trim().to_owned())
    }

    /// A channel to a control plane, from outside of its network namespace.
    fn channel(&self, plane: &Plane, token: &str) -> Result<GrpcChannel> {
        let roots = RootSource::Path(plane.state.join("root-cert.pem"));
        let config = ChannelConfig {
            address: format!("https://{CONTROL_PLANE}:{}", plane.listen).parse()?,
            server_name: Some("istiod.istio-system.svc".to_owned()),
            security: Security::Tls(TlsTrust::new(move || {
                client_config(&roots, &TlsSettings::default())
            })),
            credentials: Credentials::new(TokenSource::literal(token)),
        };
        Ok(mesh_grpc::channel(config)?)
    }

    /// What the authority answers to a signing request that is none: who is believed is told that it is none.
    fn answer_to(&self, plane: &Plane, token: &str) -> Result<String> {
        let root = plane.state.join("root-cert.pem").display().to_string();
        let empty = self.dir.join("empty-message");
        std::fs::write(&empty, [0; 5])?;
        let (at, body) = (
            format!("istiod.istio-system.svc:443:127.0.0.1:{}", plane.listen),
            format!("@{}", empty.display()),
        );
        let bearer = format!("authorization: Bearer {token}");
        let arguments = [
            "--silent",
            "--http2",
            "--include",
            "--max-time",
            "10",
            "--cacert",
            &root,
            "--connect-to",
            &at,
            "--header",
            "content-type: application/grpc",
            "--header",
            "te: trailers",
            "--header",
            &bearer,
            "--data-binary",
            &body,
            "https://istiod.istio-system.svc/istio.v1.auth.IstioCertificateService/CreateCertificate",
        ];
        self.api.namespace().output("curl", &arguments)
    }
}

fn proxies_are_told_of_a_clusters_pods_also_while_the_api_server_is_away(bench: &mut Bench) -> Result<()> {
    let plane = bench.plane(1)?;
    let kubectl = bench.api.kubectl();
    kubectl.apply(SHOP)?;
    bench.until_told(&plane, "shop/cart.shop.svc.cluster.local", true)?;
    ensure!(
        !bench.tells_of(&plane, CART),
        "a pod without an address is told of"
    );
    // As its kubelet would say.
    let status = r#"{"status": {"podIP": "10.9.0.5", "podIPs": [{"ip": "10.9.0.5"}], "phase": "Running"}}"#;
    kubectl.run(&[
        "patch",
        "pod",
        "cart",
        "-n",
        "shop",
        "--subresource=status",
        "--type=merge",
        "-p",
        status,
    ])?;
    bench.until_told(&plane, CART, true)?;
    ensure!(
        bench.away_seconds(&plane) == Some(0),
        "it says that the API server is away"
    );

    bench.api.stop_api_server();
    bench.until(&plane, "the outage is seen", || {
        bench.away_seconds(&plane).filter(|s| *s > 0)
    })?;
    thread::sleep(OUTAGE);
    ensure!(bench.tells_of(&plane, CART), "the outage took a pod away");
    ensure!(
        bench.page(&plane, "/readyz").is_ok(),
        "the outage made it unready"
    );
    bench.api.start_api_server()?;
    kubectl.run(&["delete", "pod", "cart", "-n", "shop", "--force", "--wait=false"])?;
    bench.until_told(&plane, CART, false)?;
    bench.until(&plane, "it is over", || {
        bench.away_seconds(&plane).filter(|s| *s == 0)
    })?;
    Ok(())
}

fn a_kind_whose_definition_comes_late_is_known_a_moment_later(bench: &mut Bench) -> Result<()> {
    let plane = bench.plane(2)?;
    let state = || {
        let status = bench.json(&plane, "/status")?;
        let watches = status["cluster"]["watches"].as_array()?;
        let watch = watches.iter().find(|w| w["kind"] == "ServiceEntry")?;
        Some(watch["state"].as_str()?.to_owned())
    };
    ensure!(state().as_deref() == Some("NotServed"), "{:?}", state());
    let kubectl = bench.api.kubectl();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/base/files/crds");
    kubectl.run(&["apply", "--server-side", "-f", &folder.display().to_string()])?;
    bench.until(&plane, "the kind is watched", || {
        state().filter(|s| s == "Current")
    })?;
    kubectl.apply(ENTRY)?;
    bench.until_told(&plane, "shop/db.example.com", true)?;
    kubectl.run(&["delete", "serviceentry", "db", "-n", "shop"])?;
    bench.until_told(&plane, "shop/db.example.com", false)
}

fn a_pods_token_is_believed_until_the_pod_is_another_one(bench: &mut Bench) -> Result<()> {
    let plane = bench.plane(3)?;
    let kubectl = bench.api.kubectl();
    kubectl.apply(ZTUNNEL)?;
    let token = |audience: &str| bench.token(audience);
    let (good, other) = (token("istio-ca")?, token("another")?);
    let believed = |answer: &str| answer.contains("grpc-status: 3");
    let denied = |answer: &str| answer.contains("grpc-status: 16");
    let answer = bench.until(&plane, "the token is believed", || {
        bench
            .answer_to(&plane, &good)
            .ok()
            .filter(|answer| believed(answer))
    });
    answer?;
    let answer = bench.answer_to(&plane, &other)?;
    ensure!(denied(&answer) && answer.contains("audience"), "{answer}");
    // Another pod of this name: the token is of one that is gone.
    kubectl.run(&["delete", "pod", "ztunnel-1", "-n", "istio-system", "--force"])?;
    kubectl.apply(ZTUNNEL)?;
    bench.until(&plane, "the token is not believed any more", || {
        bench
            .answer_to(&plane, &good)
            .ok()
            .filter(|answer| denied(answer))
    })?;
    let renewed = token("istio-ca")?;
    bench.until(&plane, "the new pod's is", || {
        bench
            .answer_to(&plane, &renewed)
            .ok()
            .filter(|answer| believed(answer))
    })?;
    Ok(())
}

/// A role that has every resource and no path beside them, such as that of the keys.
fn where_the_api_servers_keys_cannot_be_read_it_is_asked_about_each_token(bench: &mut Bench) -> Result<()> {
    let kubectl = bench.api.kubectl();
    kubectl.apply(ZTUNNEL)?;
    kubectl.apply(KEYLESS)?;
    bench.api.keys().issue("keyless", "keyless", None, &[], &[])?;
    let plane = bench.plane_as(&bench.api.keys().kubeconfig("keyless")?, 11, &[])?;
    bench.until(&plane, "it says that it has no keys", || {
        let log = plane.process.log();
        log.contains("tokens are reviewed by the API server, one by one")
            .then_some(())
    })?;
    let (good, other) = (bench.token("istio-ca")?, bench.token("another")?);
    let answers = |what: &str, token: &str, status: &str| {
        bench.until(&plane, what, || {
            let answer = bench.answer_to(&plane, token).ok()?;
            answer.contains(status).then_some(())
        })
    };
    answers("the token is believed", &good, "grpc-status: 3")?;
    answers("one for somebody else is not", &other, "grpc-status: 16")?;
    let (signed, _) = good.rsplit_once('.').context("a token")?;
    let forged = format!("{signed}.AAAA");
    answers("nor is one that nobody signed", &forged, "grpc-status: 16")
}

/// A pod that has no address yet, and of which no kubelet said anything.
fn a_pods_certificate_is_issued_as_soon_as_the_pod_is_bound_to_its_node(bench: &mut Bench) -> Result<()> {
    let plane = bench.plane(6)?;
    let kubectl = bench.api.kubectl();
    kubectl.apply(ZTUNNEL)?;
    kubectl.apply(EARLY)?;
    let token = bench.token("istio-ca")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let identity: Identity = "spiffe://cluster.local/ns/shop/sa/early".parse()?;
    let fetch = || {
        runtime.block_on(async {
            let settings = CaClientSettings {
                lifetime: Duration::from_secs(600),
                impersonate: true,
                tls: TlsSettings::default(),
            };
            let client = CaClient::new(bench.channel(&plane, &token)?, settings);
            Ok::<_, anyhow::Error>(client.fetch(&identity).await)
        })
    };
    // Nobody but the scheduler says where it will run.
    bench.until(&plane, "the node proxy is known", || {
        matches!(fetch(), Ok(Err(FetchError::Refused(_)))).then_some(())
    })?;
    let binding = r#"{"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "early", "namespace": "shop"},
        "target": {"apiVersion": "v1", "kind": "Node", "name": "node-a"}}"#;
    kubectl.create_raw("/api/v1/namespaces/shop/pods/early/binding", binding)?;
    let certificate = bench.until(&plane, "it is issued", || fetch().ok()?.ok())?;
    ensure!(*certificate.identity() == identity, "{}", certificate.identity());
    let pod = kubectl.get(&["pod", "early", "-n", "shop"])?;
    ensure!(pod["status"]["podIP"].is_null(), "it had an address already");
    Ok(())
}

fn hosts_of_service_entries_keep_the_addresses_that_their_statuses_have(bench: &mut Bench) -> Result<()> {
    let plane = bench.plane(7)?;
    let kubectl = bench.api.kubectl();
    kubectl.apply(EXTERNAL)?;
    let addresses = || {
        let entry = kubectl.get(&["serviceentry", "external", "-n", "shop"]).ok()?;
        let addresses = entry["status"]["addresses"].as_array()?.clone();
        (addresses.len() == 2).then_some(addresses)
    };
    let given = bench.until(&plane, "they are written", addresses)?;
    ensure!(
        given
            .iter()
            .all(|address| address["host"] == "external.example.com"),
        "{given:?}"
    );
    drop(plane);
    // A new one, without anything that the first one kept.
    let plane = bench.plane(8)?;
    bench.until_told(&plane, "shop/external.example.com", true)?;
    ensure!(
        addresses().as_ref() == Some(&given),
        "{:?} after {given:?}",
        addresses()
    );
    kubectl
        .run(&["delete", "serviceentry", "external", "-n", "shop"])
        .map(drop)
}

fn a_policys_author_is_told_how_many_proxies_of_all_replicas_have_it(bench: &mut Bench) -> Result<()> {
    let (first, second) = (bench.plane(9)?, bench.plane(10)?);
    let kubectl = bench.api.kubectl();
    kubectl.apply(ZTUNNEL)?;
    kubectl.apply(DENY)?;
    kubectl.apply(&replicas(&[first.listen, second.listen]))?;
    let token = bench.token("istio-ca")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    // One proxy of each replica.
    let config = ClientConfig {
        node: NodeInfo::ztunnel(None, "ztunnel-1", "istio-system", "node-a"),
        types: vec![TypeUrl::AUTHORIZATION, TypeUrl::ADDRESS],
    };
    for plane in [&first, &second] {
        let _on_runtime = runtime.enter();
        let (handle, driver) = mesh_xds::client(&config, bench.channel(plane, &token)?, Accepts);
        runtime.spawn(driver);
        let ready = handle.ready();
        bench.until(plane, "a proxy holds everything", || ready.borrow().then_some(()))?;
    }
    let said = || {
        let policy = kubectl.get(&["authorizationpolicy", "deny", "-n", "shop"]).ok()?;
        let conditions = policy["status"]["conditions"].as_array()?.clone();
        let delivered = conditions
            .into_iter()
            .find(|c| c["type"] == "lateen.dev/Delivered")?;
        Some((
            delivered["status"] == "True",
            delivered["message"].as_str()?.to_owned(),
        ))
    };
    let both = || said().filter(|(holds, message)| *holds && message == "Delivered 2/2 proxies");
    let told = bench.until(&first, "its author is told", both);
    told.with_context(|| format!("{:?}; {}", said(), second.process.log_tail()))?;
    Ok(())
}

/// The control plane's Service, with a replica behind each port. Nothing selects them: they are no pods.
fn replicas(ports: &[u16]) -> String {
    let mut yaml = "{apiVersion: v1, kind: Service, metadata: {name: istiod, namespace: istio-system}, \
                    spec: {ports: [{name: https-dns, port: 15012}]}}"
        .to_owned();
    for port in ports {
        yaml.push_str(&format!(
            "\n---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: istiod-{port}\n  \
             namespace: istio-system\n  labels: {{kubernetes.io/service-name: istiod}}\naddressType: IPv4\n\
             endpoints: [{{addresses: [{CONTROL_PLANE}]}}]\nports: [{{name: https-dns, port: {port}}}]\n"
        ));
    }
    yaml
}

/// A proxy that takes whatever it is sent.
struct Accepts;

impl ApplyBatch for Accepts {
    fn apply(&mut self, _: Batch) -> Result<(), Vec<Rejected>> {
        Ok(())
    }
}

fn replicas_share_a_root_which_every_namespace_trusts_and_take_over_duties(bench: &mut Bench) -> Result<()> {
    let (mut first, second) = (bench.plane(4)?, bench.plane(5)?);
    let root = |plane: &Plane| std::fs::read_to_string(plane.state.join("root-cert.pem"));
    let trusted = root(&first)?;
    ensure!(trusted == root(&second)?, "two roots");
    let kubectl = bench.api.kubectl();
    let data = |namespace: &str| {
        let map = kubectl
            .get(&["configmap", "istio-ca-root-cert", "-n", namespace])
            .ok()?;
        Some(map["data"]["root-cert.pem"].as_str()?.to_owned())
    };
    let right = |namespace: &str| data(namespace).filter(|data| *data == trusted);
    bench.until(&second, "shop trusts it", || right("shop"))?;
    let holder = || {
        let lease = kubectl
            .get(&["lease", "lateen-root-cert", "-n", "istio-system"])
            .ok()?;
        Some(lease["spec"]["holderIdentity"].as_str()?.to_owned()).filter(|holder| !holder.is_empty())
    };
    let before = bench.until(&second, "somebody has the duty", holder)?;
    first.process.terminate(PATIENCE)?;
    kubectl.apply("{apiVersion: v1, kind: Namespace, metadata: {name: late}}")?;
    bench.until(&second, "late trusts it", || right("late"))?;
    kubectl.run(&["delete", "configmap", "istio-ca-root-cert", "-n", "shop"])?;
    bench.until(&second, "it is put back", || right("shop"))?;
    let after = bench.until(&second, "somebody has the duty still", holder)?;
    ensure!(!before.is_empty() && !after.is_empty(), "nobody holds the Lease");
    Ok(())
}

fn a_gateway_becomes_what_runs_it_and_what_became_of_routes_is_written(bench: &mut Bench) -> Result<()> {
    let plane = bench.plane_with(6, &["--waypoint-image", "example.org/waypoint:1"])?;
    let kubectl = bench.api.kubectl();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/base/files/crds");
    kubectl.run(&["apply", "--server-side", "-f", &folder.display().to_string()])?;
    kubectl.run(&[
        "apply",
        "--server-side",
        "-f",
        &file_of(bench, &bench.gateway_api)?,
    ])?;
    let get = |kind: &str, name: &str| kubectl.get(&[kind, name, "-n", "shop"]).ok();
    bench.until(&plane, "the classes are there, and accepted", || {
        ["istio-waypoint", "lateen-waypoint"]
            .iter()
            .all(|class| {
                holds(
                    &get("gatewayclass", class).unwrap_or_default()["status"],
                    "Accepted",
                    "Accepted",
                )
            })
            .then_some(())
    })?;
    kubectl.apply(SHOP)?;
    kubectl.apply(WAYPOINT)?;
    bench.until(&plane, "the Gateway waits for its pods", || {
        let gateway = get("gateway", "waypoint")?;
        says(&gateway["status"], "Programmed", "False", "Pending").then_some(())
    })?;
    // As a Deployment's controller and a kubelet would.
    kubectl.apply(WAYPOINT_POD)?;
    let ready = r#"{"status": {"phase": "Running", "podIP": "10.9.0.8", "podIPs": [{"ip": "10.9.0.8"}],
        "conditions": [{"type": "Ready", "status": "True"}]}}"#;
    let arguments = [
        "patch",
        "pod",
        "waypoint-1",
        "-n",
        "shop",
        "--subresource=status",
        "-p",
        ready,
    ];
    kubectl.run(&arguments)?;
    let gateway = bench.until(&plane, "the Gateway is programmed", || {
        get("gateway", "waypoint").filter(|gateway| holds(&gateway["status"], "Programmed", "Programmed"))
    })?;
    let service = get("service", "waypoint").context("there is a Service")?;
    let addresses = &gateway["status"]["addresses"];
    let given = addresses.as_array().context("addresses")?.iter();
    let mut wanted = service["spec"]["clusterIPs"]
        .as_array()
        .context("addresses")?
        .clone();
    wanted.push("waypoint.shop.svc.cluster.local".into());
    ensure!(given.map(|address| &address["value"]).eq(&wanted), "{addresses}");
    let listener = &gateway["status"]["listeners"][0];
    ensure!(
        listener["name"] == "mesh"
            && holds(listener, "Conflicted", "NoConflicts")
            && listener["attachedRoutes"] == 0,
        "{listener}"
    );
    let uid = &gateway["metadata"]["uid"];
    let deployment = get("deployment", "waypoint").context("there is a Deployment")?;
    ensure!(
        deployment["metadata"]["ownerReferences"][0]["uid"] == *uid,
        "{deployment}"
    );
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    ensure!(container["image"] == "example.org/waypoint:1", "{container}");
    ensure!(get("serviceaccount", "waypoint").is_some(), "there is no account");

    settings_by_reference(bench, &plane)?;
    somebody_elses_entries(bench, &plane)?;

    // Made again when it is taken away; a Service that no Gateway became stays what it is.
    kubectl.run(&["delete", "deployment", "waypoint", "-n", "shop"])?;
    bench.until(&plane, "the Deployment is back", || get("deployment", "waypoint"))?;
    kubectl.apply(&WAYPOINT.replace("name: waypoint", "name: cart"))?;
    bench.until(&plane, "the rest of another Gateway is made", || {
        get("deployment", "cart")
    })?;
    let cart = get("service", "cart").context("there is a Service")?;
    ensure!(
        cart["spec"]["ports"].as_array().map(Vec::len) == Some(1),
        "{cart}"
    );
    let gateway = get("gateway", "cart").context("there is a Gateway")?;
    ensure!(
        !holds(&gateway["status"], "Programmed", "Programmed"),
        "{gateway}"
    );
    others::nobody_is_fought(bench, &plane)
}

/// Settings by reference count from when they are there, and not any more when nobody names them.
fn settings_by_reference(bench: &Bench, plane: &Plane) -> Result<()> {
    let kubectl = bench.api.kubectl();
    let get = |kind: &str, name: &str| kubectl.get(&[kind, name, "-n", "shop"]).ok();
    let refer = |reference: &str| {
        let patch = format!(r#"{{"spec": {{"infrastructure": {{"parametersRef": {reference}}}}}}}"#);
        kubectl.run(&[
            "patch",
            "gateway",
            "waypoint",
            "-n",
            "shop",
            "--type=merge",
            "-p",
            &patch,
        ])
    };
    refer(r#"{"group": "", "kind": "ConfigMap", "name": "options"}"#)?;
    let refused = || {
        let gateway = get("gateway", "waypoint")?;
        let conditions = gateway["status"]["conditions"].as_array()?.clone();
        let accepted = conditions.into_iter().find(|c| c["type"] == "Accepted")?;
        (accepted["reason"] == "InvalidParameters").then_some(accepted)
    };
    let accepted = bench.until(plane, "what is not there is said", refused)?;
    let generation = &get("gateway", "waypoint").context("there is a Gateway")?["metadata"]["generation"];
    ensure!(
        accepted["status"] == "False" && accepted["observedGeneration"] == *generation,
        "{accepted}"
    );
    kubectl.apply(OPTIONS)?;
    bench.until(plane, "settings count", || {
        let deployment = get("deployment", "waypoint")?;
        let budget = get("poddisruptionbudget", "waypoint")?;
        (deployment["spec"]["replicas"] == 3 && budget["spec"]["minAvailable"] == 1).then_some(())
    })?;
    refer("null")?;
    bench.until(plane, "settings do not count", || {
        let deployment = get("deployment", "waypoint")?;
        let gone = get("poddisruptionbudget", "waypoint").is_none();
        (gone && deployment["spec"]["replicas"] == 1).then_some(())
    })
}

/// Of a route's parents the Service is ours to speak of; what another controller says stays.
fn somebody_elses_entries(bench: &Bench, plane: &Plane) -> Result<()> {
    let kubectl = bench.api.kubectl();
    let parents = || {
        let route = kubectl.get(&["httproute", "cart", "-n", "shop"]).ok()?;
        Some(route["status"]["parents"].as_array()?.clone())
    };
    kubectl.apply(ROUTE)?;
    let ours = bench.until(plane, "the route's parents are told of", parents)?;
    ensure!(ours.len() == 1, "{ours:?}");
    ensure!(
        ours[0]["controllerName"] == "istio.io/gateway-controller"
            && ours[0]["parentRef"]["kind"] == "Service"
            && holds(&ours[0], "Accepted", "Accepted")
            && holds(&ours[0], "ResolvedRefs", "ResolvedRefs")
            && says(&ours[0], "ResolvedWaypoints", "False", "MissingUseWaypointLabel"),
        "{ours:?}"
    );
    let theirs = r#"{"controllerName": "example.org/gateways", "parentRef": {"name": "edge"}, "conditions": [
        {"type": "Accepted", "status": "True", "reason": "Accepted", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}"#;
    let patch = format!(r#"[{{"op": "add", "path": "/status/parents/0", "value": {theirs}}}]"#);
    let arguments = [
        "patch",
        "httproute",
        "cart",
        "-n",
        "shop",
        "--subresource=status",
        "--type=json",
        "-p",
        &patch,
    ];
    kubectl.run(&arguments)?;
    kubectl.apply(&ROUTE.replace("name: cart, port: 80", "name: none, port: 80"))?;
    let parents = bench.until(plane, "a backend that is not there is told of", || {
        parents().filter(|parents| {
            let ours = parents.iter().find(|p| p["parentRef"]["kind"] == "Service");
            ours.is_some_and(|ours| says(ours, "ResolvedRefs", "False", "BackendNotFound"))
        })
    })?;
    ensure!(
        parents.len() == 2 && parents[0]["controllerName"] == "example.org/gateways",
        "{parents:?}"
    );
    kubectl.apply(POLICY)?;
    bench.until(plane, "what became of a policy at its target is told of", || {
        let policy = kubectl.get(&["authorizationpolicy", "cart", "-n", "shop"]).ok()?;
        says(&policy["status"], "WaypointAccepted", "False", "AncestorNotBound").then_some(())
    })
}

/// Whether a list of conditions says so of one that is good news, or that good news is missing.
fn holds(status: &Value, kind: &str, reason: &str) -> bool {
    let good = if kind == "Conflicted" { "False" } else { "True" };
    says(status, kind, good, reason)
}

fn says(status: &Value, kind: &str, holds: &str, reason: &str) -> bool {
    let conditions = status["conditions"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let said = conditions.iter().find(|condition| condition["type"] == kind);
    said.is_some_and(|said| said["status"] == holds && said["reason"] == reason)
}

/// The CRDs of Gateway API, of the module that the conformance suite is built from.
fn gateway_api() -> Result<String> {
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("cluster/conformance");
    let go = |arguments: &[&str]| {
        let out = Command::new("go").args(arguments).current_dir(&module).output();
        let out = out.context("go")?;
        ensure!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        Ok(String::from_utf8_lossy(&out.stdout).trim().to_owned())
    };
    go(&["mod", "download", "sigs.k8s.io/gateway-api"])?;
    let dir = go(&["list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/gateway-api"])?;
    let folder = Path::new(&dir).join("config/crd/standard");
    let mut texts = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        texts.push(std::fs::read_to_string(entry?.path())?);
    }
    texts.sort();
    Ok(texts.join("\n---\n"))
}

/// Where kubectl finds a text.
fn file_of(bench: &Bench, text: &str) -> Result<String> {
    let file = bench.dir.join("objects.yaml");
    std::fs::write(&file, text).context("a file for kubectl")?;
    Ok(file.display().to_string())
}

const PATIENCE: Duration = Duration::from_secs(90);
/// In which whoever answers to every change would have done so.
const QUIET: Duration = Duration::from_secs(5);
/// As long as an upgrade of an API server may take.
const OUTAGE: Duration = Duration::from_secs(60);
/// Where the planes' network namespace is found on the wire.
const CONTROL_PLANE: &str = "10.240.0.10";
const CART: &str = "Kubernetes//Pod/shop/cart";
const NAMESPACES: &str = "
{apiVersion: v1, kind: Namespace, metadata: {name: istio-system}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: shop}}
---
{apiVersion: v1, kind: Node, metadata: {name: node-a}}
";
const SHOP: &str = "
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec: {selector: {app: cart}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: cart, namespace: shop}
---
apiVersion: v1
kind: Pod
metadata: {name: cart, namespace: shop, labels: {app: cart}, annotations: {ambient.istio.io/redirection: enabled}}
spec:
  nodeName: node-a
  serviceAccountName: cart
  automountServiceAccountToken: false
  containers: [{name: main, image: none}]
";
const ZTUNNEL: &str = "
apiVersion: v1
kind: ServiceAccount
metadata: {name: ztunnel, namespace: istio-system}
---
apiVersion: v1
kind: Pod
metadata: {name: ztunnel-1, namespace: istio-system}
spec:
  nodeName: node-a
  serviceAccountName: ztunnel
  automountServiceAccountToken: false
  containers: [{name: main, image: none}]
";
const KEYLESS: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: keyless}
rules: [{apiGroups: ['*'], resources: ['*'], verbs: ['*']}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: keyless}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: keyless}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: keyless}]
";
const WAYPOINT: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: waypoint, namespace: shop, labels: {istio.io/waypoint-for: service}}
spec: {gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
";
const WAYPOINT_POD: &str = "
apiVersion: v1
kind: Pod
metadata: {name: waypoint-1, namespace: shop, labels: {gateway.networking.k8s.io/gateway-name: waypoint}}
spec:
  nodeName: node-a
  serviceAccountName: waypoint
  automountServiceAccountToken: false
  containers: [{name: main, image: none}]
";
const OPTIONS: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: options, namespace: shop}
data:
  deployment: |
    spec: {replicas: 3}
  podDisruptionBudget: |
    spec: {minAvailable: 1}
";
/// Its second parent is a Gateway of somebody else's class, which is not there.
const ROUTE: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: cart, namespace: shop}
spec:
  parentRefs: [{group: '', kind: Service, name: cart}, {name: edge}]
  rules: [{backendRefs: [{name: cart, port: 80}]}]
";
const POLICY: &str = "
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: cart, namespace: shop}
spec:
  targetRefs: [{group: '', kind: Service, name: cart}]
  rules: [{to: [{operation: {paths: [/a]}}]}]
";
/// Not bound to any node.
const EARLY: &str = "
apiVersion: v1
kind: ServiceAccount
metadata: {name: early, namespace: shop}
---
apiVersion: v1
kind: Pod
metadata: {name: early, namespace: shop}
spec:
  schedulerName: nobody
  serviceAccountName: early
  automountServiceAccountToken: false
  containers: [{name: main, image: none}]
";
const EXTERNAL: &str = "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: external, namespace: shop}
spec:
  hosts: [external.example.com]
  ports: [{number: 443, name: tls, protocol: TLS}]
  resolution: DNS
";
const DENY: &str = "
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: deny, namespace: shop}
spec: {action: DENY, rules: [{from: [{source: {namespaces: [evil]}}]}]}
";
const ENTRY: &str = "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: db, namespace: shop}
spec:
  hosts: [db.example.com]
  addresses: [192.0.2.7]
  ports: [{number: 5432, name: tcp, protocol: TCP}]
  resolution: STATIC
  endpoints: [{address: 192.0.2.8}]
";
