//! Finds the network namespace of a pod that runs already: no plugin told of it, so `/proc` must.
//!
//! A process belongs to the pod whose uid its cgroup's path names. That is not enough: a process may be in another network
//! than its pod's (upstream was misled by such, istio#61211). So a namespace counts only if it is not the node's, and has
//! one of the pod's addresses; of several, that of the oldest process does.
//!
//! # Layout
//! - this file: the search. [`process`]: what `/proc` says of a process; pure.

pub mod process;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use mesh_net::{Netns, NetnsId, netns as network};
use mesh_types::NamespacedName;

use crate::enroll::{PodKey, Record};

/// Where to look.
#[derive(Clone, Debug)]
pub struct Places {
    /// The host's `/proc`.
    pub proc: PathBuf,
    /// Where runtimes keep namespaces by name (`/var/run/netns`); a name there outlives every process.
    pub named: PathBuf,
    /// The node's own namespace, which is no pod's.
    pub host: NetnsId,
}

/// A pod whose namespace is sought.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sought {
    /// Its uid.
    pub key: PodKey,
    /// Its name.
    pub pod: NamespacedName,
    /// Its addresses; at least one of them must be in the namespace.
    pub ips: Vec<IpAddr>,
}

/// What was found, and of what was not found why, by the pods' keys.
#[derive(Debug, Default)]
pub struct Findings {
    /// The pods that run, with their namespaces.
    pub found: Vec<(Record, Netns)>,
    /// Why the others were not found.
    pub missing: BTreeMap<PodKey, String>,
}

struct Candidate {
    started: u64,
    path: PathBuf,
}

/// Looks for all of these at once.
///
/// # Errors
/// Fails when there is no `/proc` to look at.
pub fn search(places: &Places, sought: &[Sought]) -> io::Result<Findings> {
    let mut candidates = candidates(places, sought)?;
    let mut findings = Findings::default();
    let mut named = None;
    for pod in sought {
        let mut of_pod = candidates.remove(&pod.key.0).unwrap_or_default();
        of_pod.sort_by_key(|candidate| candidate.started);
        match of_pod
            .iter()
            .find_map(|candidate| owned(places, candidate, &pod.ips))
        {
            Some(netns) => {
                let named = named.get_or_insert_with(|| names(&places.named));
                let path = match named.get(&(netns.1.id().dev, netns.1.id().inode)) {
                    Some(path) => path.clone(),
                    None => netns.0,
                };
                findings.found.push((record(pod, path, &netns.1), netns.1));
            }
            None => {
                let why = match of_pod.len() {
                    0 => "no process of it is there".to_owned(),
                    n => format!("none of its {n} processes is in a network with one of its addresses"),
                };
                findings.missing.insert(pod.key.clone(), why);
            }
        }
    }
    Ok(findings)
}

fn record(pod: &Sought, netns_path: PathBuf, netns: &Netns) -> Record {
    Record {
        key: pod.key.clone(),
        pod: pod.pod.clone(),
        container_id: None,
        netns_path,
        netns: netns.id(),
        ips: pod.ips.clone(),
        enrolment: None,
        older: Vec::new(),
    }
}

/// The processes of the pods that are sought, by the pods' uids. Processes come and go while one looks.
fn candidates(places: &Places, sought: &[Sought]) -> io::Result<HashMap<String, Vec<Candidate>>> {
    let mut candidates: HashMap<String, Vec<Candidate>> = HashMap::new();
    for entry in fs::read_dir(&places.proc)?.flatten() {
        let name = entry.file_name();
        if !name
            .to_str()
            .is_some_and(|name| name.bytes().all(|b| b.is_ascii_digit()))
        {
            continue;
        }
        let process = entry.path();
        let uid = fs::read(process.join("cgroup"))
            .ok()
            .and_then(|text| process::pod_uid(&text));
        let Some(uid) = uid.filter(|uid| sought.iter().any(|pod| pod.key.0 == *uid)) else {
            continue;
        };
        let started = fs::read(process.join("stat"))
            .ok()
            .and_then(|text| process::start_time(&text));
        if let Some(started) = started {
            let path = process.join("ns/net");
            candidates
                .entry(uid)
                .or_default()
                .push(Candidate { started, path });
        }
    }
    Ok(candidates)
}

/// The candidate's namespace, if it is the pod's.
fn owned(places: &Places, candidate: &Candidate, ips: &[IpAddr]) -> Option<(PathBuf, Netns)> {
    let netns = Netns::open(&candidate.path).ok()?;
    if netns.id() == places.host {
        return None;
    }
    let addresses = netns.run(network::addresses).ok()?.ok()?;
    addresses
        .iter()
        .any(|address| ips.contains(address))
        .then(|| (candidate.path.clone(), netns))
}

/// The namespaces that have a name.
fn names(directory: &Path) -> HashMap<(u64, u64), PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let identified = entries.filter_map(|entry| {
        let meta = fs::metadata(entry.path()).ok()?;
        Some(((meta.dev(), meta.ino()), entry.path()))
    });
    identified.collect()
}

#[cfg(test)]
mod tests;
