//! The fuzz targets of what the agent reads: no content may panic, and what is read survives being written.

use crate::install::plan::{self, Entry, File, Found, Place, Step, Wanted};

/// Reads `data` as a state file.
///
/// # Panics
/// Panics when records do not survive their own encoding.
pub fn state_file(data: &[u8]) {
    if let Ok(known) = crate::state_file::parse(data) {
        let written =
            crate::state_file::encode(known.records.iter(), known.complete).expect("records are JSON");
        assert_eq!(crate::state_file::parse(&written).as_ref(), Ok(&known));
    }
}

/// Installs the plugin into `data` as a network's list, and as a single plugin's configuration, and takes it out again.
///
/// # Panics
/// Panics when a second installation has something to do, or something of the plugin is left after its removal.
pub fn cni_configuration(data: &[u8]) {
    let wanted = Wanted {
        place: Place::Primary,
        primary: None,
        entry: Entry {
            run_dir: "/run".to_owned(),
            pod_namespace: None,
            exempt_prefixes: None,
            timeout_seconds: None,
        },
        group_readable: false,
    };
    for name in ["10.conflist", "10.conf"] {
        let content = data.to_vec();
        let mut found = Found::from([(name.to_owned(), File { content, mode: 0o644 })]);
        let Ok(steps) = plan::install(&wanted, &found) else {
            continue;
        };
        apply(&mut found, steps);
        assert_eq!(plan::install(&wanted, &found), Ok(Vec::new()));
        let steps = plan::remove(&wanted, &found);
        apply(&mut found, steps);
        assert_eq!(plan::remove(&wanted, &found), Vec::new());
    }
}

fn apply(found: &mut Found, steps: Vec<Step>) {
    for step in steps {
        match step {
            Step::Write { name, content, mode } => drop(found.insert(name, File { content, mode })),
            Step::Remove { name } => drop(found.remove(&name)),
        }
    }
}

/// Reads `data` as what `/proc` says of a process and of a network.
///
/// # Panics
/// Panics when a pod's uid is none.
pub fn process(data: &[u8]) {
    if let Some(uid) = crate::search::process::pod_uid(data) {
        assert!((32..=36).contains(&uid.len()) && uid.is_ascii());
    }
    let _ = crate::search::process::start_time(data);
    let _ = crate::sockets::parse(data).count();
}
