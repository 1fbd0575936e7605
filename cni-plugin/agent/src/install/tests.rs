use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use mesh_runtime::metrics as runtime_metrics;
use tempfile::TempDir;

use super::plan::{Entry, Place};
use super::*;

const NETWORK: &str = r#"{"cniVersion":"0.3.1","name":"n","plugins":[{"type":"ptp"}]}"#;

struct Host {
    dir: TempDir,
    readiness: Readiness,
}

impl Host {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        for folder in ["net.d", "bin"] {
            fs::create_dir(dir.path().join(folder)).expect("made");
        }
        fs::write(dir.path().join("plugin"), "program").expect("written");
        Self {
            dir,
            readiness: Readiness::new(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn installer(&self) -> Installer {
        let wanted = Wanted {
            place: Place::Primary,
            primary: None,
            entry: Entry {
                run_dir: "/run/agent".to_owned(),
                pod_namespace: None,
                exempt_prefixes: None,
                timeout_seconds: None,
            },
            group_readable: false,
        };
        let paths = Paths {
            configurations: self.path("net.d"),
            plugins: self.path("bin"),
            source: self.path("plugin"),
        };
        let metrics = Metrics::register(&runtime_metrics::registry("cni", "0"));
        Installer::new(wanted, paths, self.readiness.clone(), metrics)
    }

    fn is_installed(&self) -> bool {
        let network = fs::read_to_string(self.path("net.d/10.conflist")).unwrap_or_default();
        let program = self.path("bin").join(plan::PLUGIN);
        network.contains("/run/agent") && fs::read(program).is_ok_and(|bytes| bytes == b"program")
    }
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .expect("a directory")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    names.sort();
    names
}

#[test]
fn it_is_ready_once_the_plugin_is_in_the_hosts_network_and_leaves_nothing_behind() {
    let host = Host::new();
    let installer = host.installer();
    assert!(!installer.state.lock().look(), "no network to be a part of");
    assert_eq!(host.readiness.pending(), [CONDITION]);
    assert_eq!(
        names(&host.path("bin")),
        [plan::PLUGIN],
        "the program waits there already"
    );

    fs::write(host.path("net.d/10.conflist"), NETWORK).expect("written");
    assert!(installer.state.lock().look());
    assert!(host.is_installed() && host.readiness.pending().is_empty());
    let mode = fs::metadata(host.path("bin").join(plan::PLUGIN))
        .expect("there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o755);
    assert!(!installer.state.lock().look(), "nothing to do");

    let removed = installer.remove().expect("removed");
    assert_eq!(removed.len(), 2, "{removed:?}");
    assert_eq!(names(&host.path("net.d")), ["10.conflist"]);
    assert!(names(&host.path("bin")).is_empty());
    let left: serde_json::Value =
        serde_json::from_slice(&fs::read(host.path("net.d/10.conflist")).expect("there")).expect("JSON");
    assert_eq!(
        left,
        serde_json::from_str::<serde_json::Value>(NETWORK).expect("JSON")
    );
}

#[test]
fn what_somebody_else_does_to_it_is_put_right_and_readiness_tells() {
    let host = Host::new();
    fs::write(host.path("net.d/10.conflist"), NETWORK).expect("written");
    let installer = host.installer();
    assert!(installer.state.lock().look());
    let program = host.path("bin").join(plan::PLUGIN);
    for change in [
        &|| fs::write(host.path("net.d/10.conflist"), NETWORK),
        &|| fs::write(&program, "virus!!"),
        &|| fs::remove_file(&program),
        &|| fs::set_permissions(&program, fs::Permissions::from_mode(0o644)),
    ] as [&dyn Fn() -> std::io::Result<()>; 4]
    {
        change().expect("changed");
        assert!(installer.state.lock().look());
        assert!(host.is_installed() && host.readiness.pending().is_empty());
        assert!(!installer.state.lock().look());
    }
    fs::remove_file(host.path("net.d/10.conflist")).expect("removed");
    assert!(!installer.state.lock().look());
    assert_eq!(
        host.readiness.pending(),
        [CONDITION],
        "pods would start without the plugin"
    );
}

#[tokio::test]
async fn a_change_is_seen_when_it_happens() {
    let host = Host::new();
    fs::write(host.path("net.d/10.conflist"), NETWORK).expect("written");
    let installer = host.installer();
    tokio::select! {
        () = installer.run() => {}
        () = async {
            for _ in 0..2 {
                while !host.is_installed() {
                    sleep(Duration::from_millis(5)).await;
                }
                fs::write(host.path("net.d/10.conflist"), NETWORK).expect("written");
            }
            while !host.is_installed() {
                sleep(Duration::from_millis(5)).await;
            }
        } => {}
    }
}
