//! An earlier version of the mesh that becomes this one under load. Which one is written in `tests/cluster/earlier`, a commit.
//!
//! What is earlier here are the charts, as that commit has them; programs are today's, in images of another version, since
//! building another commit's takes as long as building today's. `make upgrade-test` does build them, and names their directory in
//! `LATEEN_EARLIER` (docs/decisions/upgrade.md).

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use lab::cluster::mesh::{TAG, images};
use lab::products::Products;
use serde_json::Value;

use crate::Test;
use crate::mesh::{Mesh, SYSTEM, printed};
use crate::traffic::Load;
use crate::waypoint::{GATEWAY_NAME, Shop};

/// Nothing of the mesh may be there before it.
pub(crate) const LAST: &[Test] = &[Test {
    name: "an_earlier_version_becomes_this_one_by_lateen_upgrade_under_load_and_no_connection_fails",
    run: upgraded,
}];

fn upgraded(mesh: &mut Mesh) -> Result<()> {
    let earlier = match Earlier::find(mesh)? {
        Ok(earlier) => earlier,
        Err(missing) => {
            println!("  !! LEFT OUT: the upgrade from an earlier version: {missing}");
            return Ok(());
        }
    };
    earlier.install(mesh)?;
    let shop = Shop::open(mesh, NAMESPACE)?;
    shop.lateen(&["waypoint", "apply", "--enroll-namespace", "--wait"])?;
    ensure!(
        tags(mesh)?.iter().all(|tag| tag == EARLIER_TAG),
        "{:?}",
        tags(mesh)?
    );
    let [near, far] = ["cart-v1", "cart-v2"].map(|name| mesh.pod(NAMESPACE, name));
    let servers: [(&str, SocketAddr); 3] = [
        ("a pod of the same node", near?.echo()),
        ("a pod of the other node", far?.echo()),
        ("a Service through its waypoint", shop.echo),
    ];
    let loads =
        servers.map(|(what, server)| (what, Load::start(mesh, &shop.client, server, RATE, "old and new")));
    let upgraded = mesh.upgrade().and_then(|()| {
        // Whoever made the waypoint makes it anew: it runs what the control plane says.
        mesh.eventually("all of it is the new version's", || {
            Ok(tags(mesh)?.iter().all(|tag| tag == TAG))
        })?;
        mesh.rolled_out(NAMESPACE, "deployment/waypoint")
    });
    let mut ledgers = Vec::new();
    for (what, load) in loads {
        ledgers.push((what, load?.finish()?));
    }
    upgraded?;
    for (what, ledger) in &ledgers {
        println!(
            "  upgraded, {what}: {} connections, {} failed, slowest {} ms",
            ledger.ok + ledger.failed,
            ledger.failed,
            ledger.max_us / 1000
        );
    }
    for (what, ledger) in &ledgers {
        ledger.nobody_noticed().context(*what)?;
    }
    mesh.lateen.run(&["verify-install"])?;
    mesh.forget(NAMESPACE)
}

/// The charts of the earlier version, and what its images are made of.
struct Earlier {
    charts: tempfile::TempDir,
    products: Products,
}

impl Earlier {
    /// What is missing, where it cannot be had.
    fn find(mesh: &Mesh) -> Result<std::result::Result<Self, String>> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let commit =
            fs::read_to_string(root.join("tests/cluster/earlier")).context("tests/cluster/earlier")?;
        let commit = commit.trim();
        let built = std::env::var_os("LATEEN_EARLIER").map(PathBuf::from);
        let charts = tempfile::tempdir().context("a directory for charts")?;
        let archive = charts.path().join("charts.tar");
        let mut git = Command::new("git");
        git.arg("-C")
            .arg(&root)
            .args(["-c", "safe.directory=*", "archive", "-o"]);
        if let Err(error) = printed(git.arg(&archive).args([commit, "charts"])) {
            return Ok(Err(format!("git has no commit {commit} here: {error:#}")));
        }
        let mut tar = Command::new("tar");
        printed(tar.arg("-xf").arg(&archive).arg("-C").arg(charts.path()))?;
        let earlier = Self {
            charts,
            products: match built {
                Some(dir) => Products::in_dir(&dir)?,
                None => mesh.products.clone(),
            },
        };
        earlier.call_it_earlier()?;
        Ok(Ok(earlier))
    }

    /// Before the first release all commits have the same version: this one is to have another.
    fn call_it_earlier(&self) -> Result<()> {
        for entry in fs::read_dir(self.dir())? {
            for file in ["Chart.yaml", "values.yaml"] {
                let path = entry
                    .as_ref()
                    .map_or_else(|_| self.dir(), fs::DirEntry::path)
                    .join(file);
                let Ok(text) = fs::read_to_string(&path) else {
                    continue;
                };
                fs::write(&path, text.replace(TAG, EARLIER_TAG))?;
            }
        }
        Ok(())
    }

    fn dir(&self) -> PathBuf {
        self.charts.path().join("charts")
    }

    /// As somebody did it then: by Helm, without what today's command line knows.
    fn install(&self, mesh: &Mesh) -> Result<()> {
        mesh.take_release_away()?;
        for (name, image) in images(&self.products, EARLIER_TAG)? {
            mesh.cluster.load(&name, &image).with_context(|| name.clone())?;
        }
        mesh.install_by_helm(&self.dir())
    }
}

/// The versions of all images that parts of the mesh run, waypoints' too.
fn tags(mesh: &Mesh) -> Result<Vec<String>> {
    let mut tags = Vec::new();
    for selection in [["-n", SYSTEM], ["-n", NAMESPACE]] {
        let pods = mesh.kubectl.get(&[&["pods"], &selection[..]].concat())?;
        for pod in pods["items"].as_array().context("pods")? {
            let is_ours = selection[1] == SYSTEM || pod["metadata"]["labels"][GATEWAY_NAME].is_string();
            if is_ours {
                let containers = pod["spec"]["containers"].as_array().context("containers")?;
                tags.extend(containers.iter().filter_map(tag));
            }
        }
    }
    ensure!(tags.len() > 6, "parts of the mesh are missing: {tags:?}");
    Ok(tags)
}

fn tag(container: &Value) -> Option<String> {
    let (_, tag) = container["image"].as_str()?.rsplit_once(':')?;
    Some(tag.to_owned())
}

const NAMESPACE: &str = "veterans";
const EARLIER_TAG: &str = "0.0.9";
/// Connections a second of each load.
const RATE: u32 = 10;
