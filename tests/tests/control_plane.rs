//! The control plane beside a real API server: what it knows of a cluster, while the API server is away too, and what it
//! keeps there.
//!
//! Needs the machine's root, and Go, of whose modules the API server is built once; says loudly what it leaves out otherwise.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lab::cluster::{self, ControlPlane, Tools, tools};
use lab::process::Process;
use lab::wait;
use lab::world::{self, Rights};
use serde_json::Value;

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
        name: "replicas_share_a_root_which_every_namespace_trusts_and_take_over_duties",
        run: replicas_share_a_root_which_every_namespace_trusts_and_take_over_duties,
    },
];

/// An API server, and control planes that read it.
struct Bench {
    api: ControlPlane,
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
    if world::enter()? != Rights::Root {
        eprintln!("LEFT OUT: no API server was read, which needs the machine's root");
        return Ok(true);
    }
    let dir = PathBuf::from("/run/lateen-planes");
    std::fs::create_dir_all(&dir)?;
    let api = cluster::control_plane_alone(&tools)?;
    api.kubectl().apply(NAMESPACES)?;
    let mut bench = Bench { api, program, dir };
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
        let state = self.dir.join(format!("state-{number}"));
        let (monitoring, listen) = (16000 + number, 17000 + number);
        let mut command = self.api.namespace().command(&self.program);
        command
            .args(["--source", "kube", "--kubeconfig"])
            .arg(self.api.kubectl().config());
        command.arg("--state-dir").arg(&state);
        command.args(["--listen", &format!("127.0.0.1:{listen}")]);
        command.args(["--monitoring", &format!("127.0.0.1:{monitoring}")]);
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
    let token = |audience: &str| {
        let arguments = [
            "create",
            "token",
            "ztunnel",
            "-n",
            "istio-system",
            "--audience",
            audience,
            "--bound-object-kind",
            "Pod",
            "--bound-object-name",
            "ztunnel-1",
        ];
        kubectl.run(&arguments).map(|token| token.trim().to_owned())
    };
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

const PATIENCE: Duration = Duration::from_secs(90);
/// As long as an upgrade of an API server may take.
const OUTAGE: Duration = Duration::from_secs(60);
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
