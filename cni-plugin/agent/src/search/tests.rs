use std::os::unix::fs::symlink;
use std::process::Command;

use mesh_net::process::in_namespaces;
use tempfile::TempDir;

use super::*;

const UID: &str = "2c48913c-b29f-11e7-9350-020968147796";

struct Host {
    dir: TempDir,
}

impl Host {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        for folder in ["proc", "named"] {
            fs::create_dir(dir.path().join(folder)).expect("made");
        }
        Self { dir }
    }

    fn places(&self) -> Places {
        Places {
            proc: self.dir.path().join("proc"),
            named: self.dir.path().join("named"),
            host: Netns::current().expect("own").id(),
        }
    }

    /// A network with this address.
    fn network(&self, name: &str, address: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        let netns = Netns::create_at(&path).expect("a namespace");
        netns
            .run(|| {
                for command in ["link set lo up", &format!("address add {address}/32 dev lo")] {
                    let status = Command::new("ip").args(command.split(' ')).status();
                    assert!(status.expect("ip").success(), "{command}");
                }
            })
            .expect("entered");
        path
    }

    /// What `/proc` says of a process.
    fn process(&self, pid: u32, uid: &str, started: u32, network: &Path) {
        let process = self.dir.path().join("proc").join(pid.to_string());
        fs::create_dir_all(process.join("ns")).expect("made");
        fs::write(process.join("cgroup"), format!("0::/kubepods/pod{uid}/box\n")).expect("written");
        let stat = format!("{pid} (x) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 {started} 0 0\n");
        fs::write(process.join("stat"), stat).expect("written");
        symlink(network, process.join("ns/net")).expect("linked");
    }
}

fn sought() -> Sought {
    Sought {
        key: PodKey(UID.to_owned()),
        pod: NamespacedName::new("shop", "web"),
        ips: vec!["10.0.0.1".parse().expect("an address")],
    }
}

#[test]
fn a_pod_is_found_in_the_network_that_has_its_address() {
    in_namespaces(|| {
        let host = Host::new();
        let foreign = host.network("foreign", "10.0.0.9");
        let own = host.network("own", "10.0.0.1");
        // The oldest is on the node's network, the next in another pod's.
        host.process(10, UID, 100, Path::new("/proc/self/ns/net"));
        host.process(11, UID, 200, &foreign);
        host.process(12, UID, 300, &own);
        host.process(13, "ffffffff-b29f-11e7-9350-020968147796", 50, &own);
        let findings = search(&host.places(), &[sought()]).expect("searched");
        let [(record, netns)] = &findings.found[..] else {
            panic!("{findings:?}")
        };
        assert_eq!(netns.id(), Netns::open(&own).expect("there").id());
        assert_eq!((&record.key, record.netns), (&sought().key, netns.id()));
        assert_eq!(record.netns_path, host.places().proc.join("12/ns/net"));
        assert_eq!(record.uid(), Some(UID));
    });
}

#[test]
fn a_name_is_kept_rather_than_a_process_since_it_outlives_it() {
    in_namespaces(|| {
        let host = Host::new();
        let own = host.network("named/cni-1", "10.0.0.1");
        host.process(12, UID, 300, &own);
        let findings = search(&host.places(), &[sought()]).expect("searched");
        assert_eq!(findings.found[0].0.netns_path, host.places().named.join("cni-1"));
    });
}

#[test]
fn what_is_not_found_says_why() {
    in_namespaces(|| {
        let host = Host::new();
        let findings = search(&host.places(), &[sought()]).expect("searched");
        assert!(findings.found.is_empty() && findings.missing[&sought().key].contains("no process"));
        let foreign = host.network("foreign", "10.0.0.9");
        host.process(11, UID, 200, &foreign);
        let findings = search(&host.places(), &[sought()]).expect("searched");
        assert!(
            findings.found.is_empty() && findings.missing[&sought().key].contains("none of its 1 processes")
        );
    });
}
