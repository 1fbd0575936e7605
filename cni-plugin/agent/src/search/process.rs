//! What `/proc` says of a process (proc_pid_cgroup(5), proc_pid_stat(5)). Pure.

/// The uid of the pod that a process belongs to, out of its `cgroup` file: whatever the runtime and the cgroup's driver,
/// the path has `pod` and the uid in it. Nothing where there is none, or where two are named.
///
/// ```text
/// 0::/kubepods/burstable/pod2c48913c-b29f-11e7-9350-020968147796/9bca8d…
/// 1:name=systemd:/kubepods.slice/kubepods-pod2c48913c_b29f_11e7_9350_020968147796.slice/cri-containerd-9bca8d….scope
/// 0::/../../pod2c48913c-b29f-11e7-9350-020968147796/9bca8d…
/// ```
/// A static pod's uid is a hash: 32 digits without anything in between.
#[must_use]
pub fn pod_uid(cgroup: &[u8]) -> Option<String> {
    let mut found: Option<String> = None;
    for line in cgroup.split(|byte| *byte == b'\n') {
        // Hierarchy, controllers, path.
        let Some(path) = line.splitn(3, |byte| *byte == b':').nth(2) else {
            continue;
        };
        for uid in uids(path) {
            match &found {
                Some(other) if *other != uid => return None,
                _ => found = Some(uid),
            }
        }
    }
    found
}

/// When a process started, in the kernel's ticks since its boot, out of its `stat` file.
#[must_use]
pub fn start_time(stat: &[u8]) -> Option<u64> {
    // The second field is the program's name in parentheses, and may hold anything.
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(stat.get(end + 1..)?).ok()?;
    rest.split_ascii_whitespace().nth(STARTTIME - 3)?.parse().ok()
}

/// Every uid in a path.
fn uids(path: &[u8]) -> impl Iterator<Item = String> + '_ {
    let starts = (0..path.len()).filter(|at| {
        let before = at.checked_sub(1).and_then(|before| path.get(before));
        path[*at..].starts_with(PREFIX) && before.is_some_and(u8::is_ascii_punctuation)
    });
    starts.filter_map(|at| uid(&path[at + PREFIX.len()..]))
}

/// The uid at the beginning of a text, as Kubernetes writes it.
fn uid(text: &[u8]) -> Option<String> {
    let mut uid = String::with_capacity(36);
    let mut rest = text;
    for (group, digits) in GROUPS.into_iter().enumerate() {
        if group > 0
            && let Some((first, behind)) = rest.split_first()
            && first.is_ascii_punctuation()
        {
            uid.push('-');
            rest = behind;
        }
        let (these, behind) = rest.split_at_checked(digits)?;
        if !these.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        uid.extend(these.iter().map(|byte| char::from(byte.to_ascii_lowercase())));
        rest = behind;
    }
    // A longer word is something else.
    rest.first().is_none_or(u8::is_ascii_punctuation).then_some(uid)
}

const PREFIX: &[u8] = b"pod";
const GROUPS: [usize; 5] = [8, 4, 4, 4, 12];
/// The number of the field in proc_pid_stat(5).
const STARTTIME: usize = 22;

#[cfg(test)]
mod tests;
