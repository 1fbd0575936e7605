//! Re-entry into private namespaces: mounts, network, process ids, IPC, host name, and users where the caller is not root.
//!
//! A lab is a process tree in namespaces of its own, so that nothing of it outlives it: when its first process ends, for
//! whatever reason, the kernel kills the rest, and with them go interfaces, rules, mounts and files. Two labs do not see
//! each other. `unshare` and `setpriv` (util-linux) do the work; each link of the chain dies with the one above it, down
//! from the process that the person started.

use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio, exit};

use anyhow::{Context, Result, bail};
use nix::mount::{MsFlags, mount};
use nix::unistd::{getpid, getuid};

/// What the caller may do inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// The machine's root.
    Root,
    /// Root of a user namespace in which other users exist too (`newuidmap`).
    UserNamespace,
    /// Root of a user namespace in which nobody else exists: programs that give up root cannot run.
    SingleUser,
}

/// Runs the rest of the program inside: returns in the inner process, and never in the outer one, which exits as the
/// inner one did. Call it before any thread is started.
///
/// # Errors
/// Fails in one sentence that says what the machine lacks.
pub fn enter() -> Result<Rights> {
    if let Some(rights) = Rights::of_inner_process() {
        furnish().context("the lab's private namespaces cannot be furnished")?;
        return Ok(rights);
    }
    let rights = possible()?;
    let me = std::env::current_exe().context("own path")?;
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let status = rights
        .unshare()
        .arg("--")
        .arg(&me)
        .args(&arguments)
        .env(MARKER, rights.name())
        .status()
        .context("unshare cannot be started")?;
    exit(code(status));
}

impl Rights {
    fn of_inner_process() -> Option<Self> {
        // The marker alone is not proof: a person may have exported it. Only the first process of a namespace is inside.
        let marker = std::env::var(MARKER).ok().filter(|_| getpid().as_raw() == 1)?;
        [Self::Root, Self::UserNamespace, Self::SingleUser]
            .into_iter()
            .find(|r| r.name() == marker)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::UserNamespace => "user-namespace",
            Self::SingleUser => "single-user",
        }
    }

    fn unshare(self) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "unshare"]);
        command.args([
            "--mount",
            "--net",
            "--pid",
            "--ipc",
            "--uts",
            "--fork",
            "--kill-child=KILL",
            "--mount-proc",
        ]);
        match self {
            Self::Root => {}
            Self::UserNamespace => drop(command.args(["--user", "--map-root-user", "--map-auto"])),
            Self::SingleUser => drop(command.args(["--user", "--map-root-user"])),
        }
        command
    }

    fn works(self) -> Result<(), String> {
        let out = self.unshare().args(["--", "true"]).stdin(Stdio::null()).output();
        match out {
            Ok(out) if out.status.success() => Ok(()),
            Ok(out) => Err(String::from_utf8_lossy(&out.stderr).trim().to_owned()),
            Err(e) => Err(e.to_string()),
        }
    }
}

fn possible() -> Result<Rights> {
    if getuid().is_root() {
        return match Rights::Root.works() {
            Ok(()) => Ok(Rights::Root),
            Err(why) => bail!(
                "a lab needs the right to make namespaces (CAP_SYS_ADMIN), which this root lacks: {why}"
            ),
        };
    }
    for rights in [Rights::UserNamespace, Rights::SingleUser] {
        if rights.works().is_ok() {
            return Ok(rights);
        }
    }
    let why = Rights::SingleUser.works().err().unwrap_or_default();
    bail!(
        "a lab needs root, or user namespaces for everybody (sysctl kernel.unprivileged_userns_clone=1): {why}"
    )
}

/// A private `/run` with room for named namespaces, and a hosts file of the lab's own.
fn furnish() -> Result<()> {
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).context("private mounts")?;
    mount(
        Some("tmpfs"),
        "/run",
        Some("tmpfs"),
        MsFlags::empty(),
        Some("mode=755"),
    )
    .context("a private /run")?;
    for dir in ["/run/netns", "/run/lock"] {
        fs::create_dir_all(dir).with_context(|| dir.to_owned())?;
    }
    let hosts = Path::new("/run/hosts");
    fs::File::create(hosts)
        .and_then(|mut f| f.write_all(b"127.0.0.1 localhost\n"))
        .context("the lab's hosts file")?;
    if !Path::new("/etc/hosts").exists() {
        bail!("/etc/hosts is missing: the lab mounts its own over it");
    }
    mount(Some(hosts), "/etc/hosts", none, MsFlags::MS_BIND, none)
        .context("the lab's hosts file over /etc/hosts")
}

fn code(status: ExitStatus) -> i32 {
    // As shells say it: 128 and the signal's number.
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

const MARKER: &str = "LATEEN_LAB";
