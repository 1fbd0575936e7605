//! What of the host the agent sees and changes; the names of variables are those of upstream's DaemonSet.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{ArgAction, Args};

use crate::install::Paths;
use crate::install::plan::{Entry, Place, Wanted};

/// The host, as it is mounted into the agent's container.
#[derive(Args, Clone, Debug)]
pub struct HostConfig {
    /// Where the host's /proc, /var/run/netns, /etc/cni/net.d and /opt/cni/bin are seen; /host in upstream's DaemonSet
    #[arg(long, env = "HOST_ROOT", value_name = "DIR", default_value = "/")]
    pub host_root: PathBuf,

    /// Whether the node's own network is that of the host's first process, not the agent's
    #[arg(long, env = "ALLOW_SWITCH_TO_HOST_NS", value_name = "BOOL", default_value_t = false, action = ArgAction::Set)]
    pub switch_to_host_network: bool,

    /// Whether the plugin is installed on the host and kept there
    #[arg(long, env = "INSTALL_PLUGIN", value_name = "BOOL", default_value_t = false, action = ArgAction::Set)]
    pub install_plugin: bool,

    /// The plugin that is installed
    #[arg(
        long,
        env = "CNI_PLUGIN_SOURCE",
        value_name = "PATH",
        default_value = "/opt/cni/bin/lateen-cni"
    )]
    pub plugin_source: PathBuf,

    /// Where the runtime looks for plugins [default: <host-root>/opt/cni/bin]
    #[arg(long, env = "MOUNTED_CNI_BIN_DIR", value_name = "DIR")]
    pub plugins_dir: Option<PathBuf>,

    /// Where the runtime looks for network configurations [default: <host-root>/etc/cni/net.d]
    #[arg(long, env = "MOUNTED_CNI_NET_DIR", value_name = "DIR")]
    pub configurations_dir: Option<PathBuf>,

    /// The primary network's file [default: the first that the runtime would take], or that of the plugin alone [default:
    /// YYY-istio-cni.conf]
    #[arg(
        long,
        env = "CNI_CONF_NAME",
        value_name = "FILE",
        default_value = "",
        hide_default_value = true
    )]
    pub primary: String,

    /// Whether the plugin is one of the primary network's chain; alone it is offered in a file of its own (CNI_CONF_NAME), for a
    /// plugin that calls others, such as Multus
    #[arg(long, env = "CHAINED_CNI_PLUGIN", value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
    pub chained: bool,

    /// Whether the plugin's chain stands in a file of its own before the primary network's, which is left alone
    #[arg(long, env = "ISTIO_OWNED_CNI_CONFIG", value_name = "BOOL", default_value_t = false, action = ArgAction::Set)]
    pub own_file: bool,

    /// The name of that file
    #[arg(
        long,
        env = "ISTIO_OWNED_CNI_CONFIG_FILENAME",
        value_name = "FILE",
        default_value = "02-istio-cni.conflist"
    )]
    pub own_file_name: String,

    /// Whether that file's group may read it
    #[arg(long, env = "CNI_CONF_GROUP_READ", value_name = "BOOL", default_value_t = false, action = ArgAction::Set)]
    pub group_readable: bool,

    /// What the names of the mesh's own pods begin with, with commas [default: the plugin's]
    #[arg(
        long,
        env = "EXEMPT_POD_PREFIXES",
        value_name = "PREFIXES",
        value_delimiter = ','
    )]
    pub exempt_pod_prefixes: Option<Vec<String>>,
}

impl HostConfig {
    /// A path of the host as this process sees it.
    #[must_use]
    pub fn path(&self, of_host: &Path) -> PathBuf {
        self.host_root.join(of_host.strip_prefix("/").unwrap_or(of_host))
    }

    /// Where the node's own network namespace is found.
    #[must_use]
    pub fn network(&self) -> PathBuf {
        match self.switch_to_host_network {
            true => self.path(Path::new("/proc/1/ns/net")),
            false => PathBuf::from("/proc/self/ns/net"),
        }
    }

    /// What is to be installed; `run_dir` and `pod_namespace` are what the plugin is told, which waits for somewhat longer than
    /// the agent lets an ADD wait (`add_deadline`).
    #[must_use]
    pub fn wanted(&self, run_dir: &Path, pod_namespace: Option<&str>, add_deadline: Duration) -> Wanted {
        let own = match self.own_file_name.as_str() {
            // As upstream's chart leaves it.
            "" => OWN_FILE,
            name => name,
        };
        let named = Some(self.primary.clone()).filter(|name| !name.is_empty());
        let place = match (self.chained, self.own_file) {
            (false, _) => Place::Alone(named.clone().unwrap_or_else(|| ALONE.to_owned())),
            (true, true) => Place::OwnFile(own.to_owned()),
            (true, false) => Place::Primary,
        };
        Wanted {
            place,
            primary: named,
            entry: Entry {
                run_dir: run_dir.display().to_string(),
                pod_namespace: pod_namespace.filter(|n| !n.is_empty()).map(str::to_owned),
                exempt_prefixes: self.exempt_pod_prefixes.clone(),
                timeout_seconds: Some((add_deadline + PLUGIN_WAITS_LONGER).as_secs()),
            },
            group_readable: self.group_readable,
        }
    }

    /// Where it is installed.
    #[must_use]
    pub fn paths(&self) -> Paths {
        let or = |given: &Option<PathBuf>, usual: &str| {
            given.clone().unwrap_or_else(|| self.path(Path::new(usual)))
        };
        Paths {
            configurations: or(&self.configurations_dir, "/etc/cni/net.d"),
            plugins: or(&self.plugins_dir, "/opt/cni/bin"),
            source: self.plugin_source.clone(),
        }
    }
}

/// So that the reason of a failure is the agent's.
const PLUGIN_WAITS_LONGER: Duration = Duration::from_secs(5);
const OWN_FILE: &str = "02-istio-cni.conflist";
/// Upstream's name: behind every network's, so that no runtime takes it for one.
const ALONE: &str = "YYY-istio-cni.conf";

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::config::Config;

    #[test]
    fn the_plugin_waits_longer_than_the_agent_lets_it_wait() {
        for (set, waits) in [(&[][..], 15), (&["--add-deadline", "300"], 305)] {
            let arguments = ["lateen-node"].iter().chain(set);
            let config = Config::try_parse_from(arguments).expect("valid");
            let wanted = config.host.wanted(Path::new("/run"), None, config.add_deadline());
            assert_eq!(wanted.entry.timeout_seconds, Some(waits), "{set:?}");
        }
    }
}
