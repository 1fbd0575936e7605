//! Namespaces, links, addresses and routes, by iproute2.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// A named network namespace; it lives as long as its mount under `/run/netns`, thus at most as long as the lab.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Namespace(String);

impl Namespace {
    /// Makes a namespace, with its loopback interface up.
    ///
    /// # Errors
    /// Fails when the kernel or `ip` refuses.
    pub fn create(name: &str) -> Result<Self> {
        ip(&format!("netns add {name}"))?;
        let ns = Self(name.to_owned());
        ns.ip("link set lo up")?;
        // Nobody else can have the lab's addresses. Looking for duplicates would take each interface two seconds, which
        // the `ptp` plugin waits for.
        ns.sysctl("net/ipv6/conf/default/accept_dad", "0")?;
        Ok(ns)
    }

    /// Removes the namespace's name; it ends with its last process.
    ///
    /// # Errors
    /// Fails when there is no such namespace.
    pub fn delete(&self) -> Result<()> {
        ip(&format!("netns del {}", self.0))
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
    }

    /// The path that programs open, as a container runtime would give it.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        Path::new(NETNS_DIR).join(&self.0)
    }

    /// Runs one `ip` command inside.
    ///
    /// # Errors
    /// Fails with what `ip` printed.
    pub fn ip(&self, arguments: &str) -> Result<()> {
        ip(&format!("-n {} {arguments}", self.0))
    }

    /// Sets a kernel parameter of the namespace, such as `net/ipv4/ip_forward`.
    ///
    /// # Errors
    /// Fails when the kernel refuses.
    pub fn sysctl(&self, key: &str, value: &str) -> Result<()> {
        let script = format!("echo {value} > /proc/sys/{key}");
        let out = self.command("sh").args(["-c", &script]).output().context("sh")?;
        if !out.status.success() {
            bail!(
                "{self}: {key} = {value}: {}",
                String::from_utf8_lossy(&out.stderr).trim()
            );
        }
        Ok(())
    }

    /// A command that will run inside.
    #[must_use]
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net={}", self.path().display()))
            .arg("--")
            .arg(program);
        command
    }

    /// What a command that runs inside prints.
    ///
    /// # Errors
    /// Fails when it does, with what it wrote to standard error.
    pub fn output(&self, program: &str, arguments: &[&str]) -> Result<String> {
        let out = self
            .command(program)
            .args(arguments)
            .output()
            .with_context(|| program.to_owned())?;
        if !out.status.success() {
            let said = String::from_utf8_lossy(&out.stderr);
            bail!(
                "{self}: {program} {}: {}: {}",
                arguments.join(" "),
                out.status,
                said.trim()
            );
        }
        Ok(String::from_utf8_lossy(&out.stdout).into_owned())
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Joins a namespace to a bridge of the lab's own namespace by a pair of interfaces: `eth0` inside, with an address of
/// each family.
///
/// # Errors
/// Fails with what `ip` printed.
pub fn plug(ns: &Namespace, bridge: &str, addresses: &[(IpAddr, u8)]) -> Result<()> {
    let outer = format!("{bridge}-{ns}");
    ip(&format!("link add {outer} type veth peer name eth0 netns {ns}"))?;
    ip(&format!("link set {outer} master {bridge} up"))?;
    ns.ip("link set eth0 up")?;
    for (address, length) in addresses {
        // Without duplicate address detection an IPv6 address can be used at once.
        let nodad = if address.is_ipv6() { " nodad" } else { "" };
        ns.ip(&format!("address add {address}/{length} dev eth0{nodad}"))?;
    }
    Ok(())
}

/// Runs one `ip` command in the lab's own namespace.
///
/// # Errors
/// Fails with what `ip` printed.
pub fn ip(arguments: &str) -> Result<()> {
    let out = Command::new("ip")
        .args(arguments.split_whitespace())
        .output()
        .context("ip")?;
    if !out.status.success() {
        bail!("ip {arguments}: {}", String::from_utf8_lossy(&out.stderr).trim());
    }
    Ok(())
}

const NETNS_DIR: &str = "/run/netns";
