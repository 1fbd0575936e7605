//! The program itself, beside a helm and an API server that are made up: what it does when it is told to stop, and what it says
//! of a release that is not whole.

#![expect(clippy::unwrap_used, reason = "whatever fails here fails its test")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use http::StatusCode;
use mesh_runtime::admin::{self, AdminLimits, Routes};
use mesh_runtime::drain;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::process::Command;

/// A helm that keeps a release in a file: `during` while it changes something, `after` once it has failed or was told to stop.
const HELM: &str = r#"#!/bin/sh
cd "$(dirname "$0")"
if [ "$1" = get ]; then
    [ "$2" = manifest ] && cat manifest
    exit 0
fi
[ -e during ] && cp during secrets.new && mv secrets.new secrets
[ -e after ] || exit 1
end() { echo "$1" >> signals; [ -s after ] && cp after secrets.new && mv secrets.new secrets; exit 1; }
trap 'end TERM' TERM
trap 'end INT' INT
trap 'end HUP' HUP
# Whoever is not told goes on to an end that no test expects. It holds no pipe of ours, and is there before it can be told.
sleep 60 > /dev/null 2>&1 &
echo $$ > pid.new
mv pid.new pid
wait
"#;

/// A directory with such a helm, and what an API server is to say.
struct Stage(TempDir);

impl Stage {
    /// With these revisions of the release, each by its status.
    fn of(revisions: &[&str]) -> Self {
        let stage = Self(tempfile::tempdir().unwrap());
        stage.put("secrets", &secrets(revisions));
        let ztunnel = json!({"apiVersion": "apps/v1", "kind": "DaemonSet",
            "metadata": {"name": "ztunnel", "namespace": "istio-system"}});
        stage.put("manifest", &ztunnel.to_string());
        stage.put("helm", HELM);
        fs::set_permissions(stage.path("helm"), fs::Permissions::from_mode(0o755)).unwrap();
        stage
    }

    fn put(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs a command to its end; once helm is at it, sends the signal.
    async fn run(&self, arguments: &[&str], signal: Option<Signal>) -> Output {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let access = json!({"apiVersion": "v1", "kind": "Config", "current-context": "a",
            "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
            "clusters": [{"name": "a", "cluster": {"server": server}}], "users": [{"name": "a", "user": {}}]});
        self.put("kubeconfig", &access.to_string());
        let mut command = Command::new(env!("CARGO_BIN_EXE_lateen"));
        command
            .args(arguments)
            .arg("--helm")
            .arg(self.path("helm"))
            .arg("--kubeconfig")
            .arg(self.path("kubeconfig"))
            .current_dir(self.0.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let (_drain, watcher) = drain::channel();
        let api = admin::serve(listener, self.api(), AdminLimits::default(), watcher);
        let ends = async {
            let child = command.spawn().unwrap();
            if let Some(signal) = signal {
                there_is(&self.path("pid")).await;
                let lateen = child.id().unwrap();
                kill(Pid::from_raw(lateen.try_into().unwrap()), signal).unwrap();
            }
            child.wait_with_output().await.unwrap()
        };
        tokio::select! {
            ended = api => panic!("the server ended: {ended:?}"),
            output = ends => output,
        }
    }

    /// A cluster with one DaemonSet, whose pods a quota refuses.
    fn api(&self) -> Routes {
        let list = |items: Value| json!({"metadata": {"resourceVersion": "1"}, "items": items});
        let ztunnel = json!({"apiVersion": "apps/v1", "kind": "DaemonSet",
            "metadata": {"name": "ztunnel", "namespace": "istio-system"},
            "status": {"desiredNumberScheduled": 2, "currentNumberScheduled": 0}});
        let event = json!({"metadata": {"name": "e", "namespace": "istio-system"}, "type": "Warning",
            "involvedObject": {"kind": "DaemonSet", "name": "ztunnel"}, "lastTimestamp": "2026-11-22T10:00:00Z",
            "message": "exceeded quota: pods"});
        let served = json!({"resources": [{"name": "daemonsets", "kind": "DaemonSet", "namespaced": true}]});
        let apps = "/apis/apps/v1/namespaces/istio-system";
        let core = "/api/v1/namespaces/istio-system";
        let secrets = self.path("secrets");
        let mut routes = Routes::new().get(leaked(format!("{core}/secrets")), "releases", move |_| {
            let page: Value = serde_json::from_str(&fs::read_to_string(&secrets).unwrap()).unwrap();
            std::future::ready(admin::json(StatusCode::OK, &page))
        });
        for (path, page) in [
            ("/apis/apps/v1".to_owned(), served),
            (format!("{apps}/daemonsets"), list(json!([ztunnel]))),
            (format!("{apps}/daemonsets/ztunnel"), ztunnel),
            (format!("{core}/pods"), list(json!([]))),
            (format!("{core}/events"), list(json!([event]))),
            ("/api/v1/configmaps".to_owned(), list(json!([]))),
        ] {
            routes = routes.get(leaked(path), "objects", move |_| {
                std::future::ready(admin::json(StatusCode::OK, &page))
            });
        }
        routes
    }
}

/// What helm keeps: one Secret for each revision.
fn secrets(revisions: &[&str]) -> String {
    let items = revisions.iter().enumerate().map(|(at, status)| {
        let revision = at + 1;
        json!({"metadata": {"name": format!("sh.helm.release.v1.lateen.v{revision}"), "namespace": "istio-system",
            "labels": {"owner": "helm", "name": "lateen", "status": status, "version": revision.to_string()}}})
    });
    let items: Vec<Value> = items.collect();
    json!({"metadata": {"resourceVersion": "1"}, "items": items}).to_string()
}

fn leaked(path: String) -> &'static str {
    Box::leak(path.into_boxed_str())
}

async fn there_is(file: &Path) {
    while !file.exists() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// What is said of the objects that are there.
const THERE: &str = "in the cluster now, of the release: 1 object (DaemonSet istio-system/ztunnel)\n\
    DaemonSet istio-system/ztunnel: 0 of 2 pods could be made: exceeded quota: pods\n";

#[tokio::test]
async fn told_to_stop_it_has_helm_end_and_says_what_is_there_and_the_ways_on_and_back() {
    for (arguments, signal, before, during, after, said) in [
        (
            &["install", "--skip-checks"][..],
            Signal::SIGTERM,
            &[][..],
            &["pending-install"][..],
            &["failed"][..],
            "lateen: stopped, and helm has ended (exit status: 1); to go on once the cause is gone: lateen upgrade; to go back: \
             lateen uninstall (pods that joined the mesh leave it first)\n",
        ),
        (
            &["install", "--skip-checks"],
            Signal::SIGHUP,
            &[],
            &["pending-install"],
            // It had no time to write that it was stopped.
            &["pending-install"],
            "lateen: stopped, and helm has ended (exit status: 1); helm was cut off, and the release is held: to go back: \
             lateen uninstall (pods that joined the mesh leave it first)\n",
        ),
        (
            &["upgrade", "--skip-checks"],
            Signal::SIGINT,
            &["deployed"],
            &["deployed", "pending-upgrade"],
            &["deployed", "failed"],
            "lateen: stopped, and helm has ended (exit status: 1); to go on once the cause is gone: lateen upgrade; to go back: \
             helm rollback lateen 1 -n istio-system; what ran before goes on wherever it was not replaced yet\n",
        ),
        (
            &["uninstall"],
            Signal::SIGTERM,
            &["deployed"],
            &["uninstalling"],
            &["uninstalling"],
            "lateen: stopped, and helm has ended (exit status: 1); to go on: lateen uninstall again; helm uninstall lateen -n \
             istio-system --no-hooks leaves pods as they are\n",
        ),
    ] {
        let stage = Stage::of(before);
        stage.put("during", &secrets(during));
        stage.put("after", &secrets(after));
        let output = stage.run(arguments, Some(signal)).await;
        let errors = err(&output);
        assert_eq!(output.status.code(), Some(3), "{arguments:?} {signal}: {errors}");
        // Whatever we are told, helm is told once, by the signal that it knows.
        assert_eq!(
            stage.read("signals"),
            "TERM\n",
            "{arguments:?} {signal}: {errors}"
        );
        let (number, status) = (after.len(), after.last().unwrap());
        let release =
            format!("release lateen in namespace istio-system is there: revision {number}, {status}\n");
        let end = format!("{release}{THERE}{said}");
        assert!(
            errors.ends_with(&end),
            "{arguments:?} {signal}: {errors}\ndoes not end with\n{end}"
        );
        let helm: i32 = stage.read("pid").trim().parse().unwrap();
        assert_eq!(
            kill(Pid::from_raw(helm), None),
            Err(Errno::ESRCH),
            "helm is still there"
        );
    }
}

#[tokio::test]
async fn told_to_stop_before_helm_began_it_says_that_nothing_was_changed() {
    let stage = Stage::of(&["deployed"]);
    // An upgrade asks for the values that were set, and is told to stop while it does.
    stage.put(
        "helm",
        "#!/bin/sh\ncd \"$(dirname \"$0\")\"; echo $$ > pid.new; mv pid.new pid; exec sleep 600\n",
    );
    let output = stage.run(&["upgrade"], Some(Signal::SIGTERM)).await;
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(err(&output), "lateen: stopped; nothing was changed\n");
}

#[tokio::test]
async fn a_failed_installation_says_what_is_there_and_the_ways_on_and_back() {
    let stage = Stage::of(&[]);
    stage.put("during", &secrets(&["failed"]));
    let output = stage.run(&["install", "--skip-checks"], None).await;
    assert_eq!(output.status.code(), Some(3));
    let release = "release lateen in namespace istio-system is there: revision 1, failed\n";
    assert_eq!(
        err(&output),
        format!(
            "{release}{THERE}lateen: helm gave up (exit status: 1); to go on once the cause is gone: lateen upgrade; to go back: \
             lateen uninstall (pods that joined the mesh leave it first)\n"
        )
    );
}

#[tokio::test]
async fn of_a_release_that_is_not_whole_each_command_names_the_way_out() {
    for (revisions, command, said) in [
        (
            &["pending-install"][..],
            "install",
            "is pending-install (revision 1): another helm is at it, or was cut off: wait for it, or go back with lateen uninstall",
        ),
        (
            &["pending-install"],
            "upgrade",
            "is pending-install (revision 1): another helm is at it, or was cut off: wait for it, or go back with lateen uninstall",
        ),
        (
            &["deployed", "pending-upgrade"],
            "upgrade",
            "is pending-upgrade (revision 2): another helm is at it, or was cut off: wait for it, or go back with helm rollback \
             lateen 1 -n istio-system, or lateen uninstall",
        ),
        (
            &["failed"],
            "install",
            "is there from an installation that failed: lateen upgrade goes on with it, lateen uninstall goes back",
        ),
        (
            &["uninstalling"],
            "install",
            "is uninstalling (revision 1): another helm is at it, or was cut off: wait for it, or go on with lateen uninstall",
        ),
    ] {
        let output = Stage::of(revisions).run(&[command], None).await;
        assert_eq!(output.status.code(), Some(3), "{command} {revisions:?}");
        assert_eq!(
            err(&output),
            format!("lateen: release lateen in namespace istio-system {said}\n"),
            "{command} {revisions:?}"
        );
    }
}
