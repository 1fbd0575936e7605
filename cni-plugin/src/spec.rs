//! The CNI specification's input and output (CNI 1.1.0, sections 2 to 5): environment, network configuration, errors.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::event::{IpConfig, IpNet};

/// The specification's versions that this plugin speaks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum CniVersion {
    /// 0.3.1.
    V0_3_1,
    /// 0.4.0: adds CHECK.
    V0_4_0,
    /// 1.0.0.
    V1_0_0,
    /// 1.1.0: adds GC and STATUS.
    V1_1_0,
}

/// What the runtime asks for (`CNI_COMMAND`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Command {
    /// A sandbox starts.
    Add,
    /// Is it still in order?
    Check,
    /// A sandbox is gone.
    Del,
    /// Only the listed sandboxes are left.
    Gc,
    /// Can an ADD be served?
    Status,
    /// Which versions are spoken here?
    Version,
}

/// The environment of a call, as text: `CNI_*`.
pub type Environment = BTreeMap<String, String>;

/// Which sandbox a call is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sandbox {
    /// `CNI_CONTAINERID`.
    pub container_id: String,
    /// `CNI_NETNS`.
    pub netns: Option<PathBuf>,
    /// `K8S_POD_*` of `CNI_ARGS`.
    pub pod: Option<PodArgs>,
}

/// The pod that a sandbox belongs to, as Kubernetes' runtimes pass it in `CNI_ARGS`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PodArgs {
    /// `K8S_POD_NAMESPACE`.
    pub namespace: String,
    /// `K8S_POD_NAME`.
    pub name: String,
    /// `K8S_POD_UID`; older runtimes do not pass it.
    pub uid: Option<String>,
}

/// This plugin's network configuration, from standard input.
#[derive(Debug)]
pub struct NetworkConfig {
    /// The version that answers are to have.
    pub version: CniVersion,
    /// The agent's socket.
    pub agent_socket: PathBuf,
    /// How long the agent may take.
    pub agent_timeout: Duration,
    /// Whether a plugin before this one makes the network. Alone, it is called by somebody who has made it already.
    pub chained: bool,
    /// What the plugin before this one returned, byte for byte.
    pub prev_result: Option<Box<RawValue>>,
    /// The sandboxes that still exist (GC only).
    pub valid_attachments: Option<Vec<String>>,
    /// Which pods start without the agent.
    pub exempt: Exempt,
}

/// The mesh's own pods of a node, which the agent needs before it can say yes to any other: they pass without it, and are
/// never captured. Without a namespace there are none.
///
/// The plugin knows of a pod its namespace and name, no more. A name proves nothing, so nobody but the mesh's operator
/// may be able to make pods in that namespace.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Exempt {
    namespace: Option<String>,
    prefixes: Vec<String>,
}

impl Exempt {
    /// Whether this pod is one of them.
    #[must_use]
    pub fn holds(&self, namespace: &str, name: &str) -> bool {
        self.namespace.as_deref() == Some(namespace)
            && self.prefixes.iter().any(|prefix| {
                // What comes behind is what a DaemonSet or Deployment adds.
                name.strip_prefix(prefix.as_str())
                    .is_some_and(|rest| !rest.is_empty())
            })
    }
}

/// An error as the specification wants it (section 5, "Error").
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CniError {
    /// What kind of error it is.
    pub code: ErrorCode,
    /// One line: what is wrong, and with which input.
    pub message: String,
}

/// The specification's error codes that this plugin uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum ErrorCode {
    /// The version of the configuration is not spoken here, or has no such command.
    IncompatibleVersion = 1,
    /// A variable of the environment is missing or invalid.
    InvalidEnvironment = 4,
    /// Standard input or output failed.
    Io = 5,
    /// Standard input is not JSON.
    Decode = 6,
    /// The network configuration misses something.
    InvalidConfig = 7,
    /// Nothing is wrong with the request: try again.
    TryAgainLater = 11,
    /// STATUS: an ADD would fail now.
    NotAvailable = 50,
    /// The agent refused (codes from 100 on belong to the plugin).
    Refused = 100,
}

// === impl CniVersion ===

impl CniVersion {
    /// Every version, oldest first.
    pub const ALL: [Self; 4] = [Self::V0_3_1, Self::V0_4_0, Self::V1_0_0, Self::V1_1_0];

    /// The newest version.
    pub const NEWEST: Self = Self::V1_1_0;

    /// The version as the specification writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V0_3_1 => "0.3.1",
            Self::V0_4_0 => "0.4.0",
            Self::V1_0_0 => "1.0.0",
            Self::V1_1_0 => "1.1.0",
        }
    }

    fn parse(text: &str) -> Result<Self, CniError> {
        let known = Self::ALL.into_iter().find(|version| version.as_str() == text);
        known.ok_or_else(|| {
            CniError::new(
                ErrorCode::IncompatibleVersion,
                format!("cniVersion {text:?} is not spoken here; 0.3.1, 0.4.0, 1.0.0 and 1.1.0 are"),
            )
        })
    }
}

// === impl Command ===

impl Command {
    /// The command that the environment asks for.
    ///
    /// # Errors
    /// Fails when `CNI_COMMAND` is missing or unknown.
    pub fn from_environment(environment: &Environment) -> Result<Self, CniError> {
        match required(environment, "CNI_COMMAND")? {
            "ADD" => Ok(Self::Add),
            "CHECK" => Ok(Self::Check),
            "DEL" => Ok(Self::Del),
            "GC" => Ok(Self::Gc),
            "STATUS" => Ok(Self::Status),
            "VERSION" => Ok(Self::Version),
            other => Err(environment_error(
                "CNI_COMMAND",
                &format!("{other:?} is no command"),
            )),
        }
    }

    /// The first version that has this command.
    #[must_use]
    pub fn since(self) -> CniVersion {
        match self {
            Self::Add | Self::Del | Self::Version => CniVersion::V0_3_1,
            Self::Check => CniVersion::V0_4_0,
            Self::Gc | Self::Status => CniVersion::V1_1_0,
        }
    }
}

// === impl Sandbox ===

impl Sandbox {
    /// The sandbox that the environment names.
    ///
    /// # Errors
    /// Fails when a variable is missing or is not what the specification allows.
    pub fn from_environment(environment: &Environment) -> Result<Self, CniError> {
        let container_id = required(environment, "CNI_CONTAINERID")?;
        if !is_container_id(container_id) {
            return Err(environment_error(
                "CNI_CONTAINERID",
                "must start with a letter or digit, and hold only letters, digits, '.', '_' and '-'",
            ));
        }
        let interface = required(environment, "CNI_IFNAME")?;
        if !is_interface_name(interface) {
            return Err(environment_error("CNI_IFNAME", "is no name of an interface"));
        }
        let netns = environment.get("CNI_NETNS").filter(|path| !path.is_empty());
        let args = environment.get("CNI_ARGS").map_or("", String::as_str);
        Ok(Self {
            container_id: container_id.to_owned(),
            netns: netns.map(PathBuf::from),
            pod: PodArgs::parse(args)?,
        })
    }
}

impl PodArgs {
    fn parse(args: &str) -> Result<Option<Self>, CniError> {
        let mut known = BTreeMap::new();
        for pair in args.split(';').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair
                .split_once('=')
                .ok_or_else(|| environment_error("CNI_ARGS", "is not of the form KEY=VALUE;KEY=VALUE"))?;
            // Multus says all of it twice where it calls further plugins.
            if key.starts_with("K8S_POD_") && known.insert(key, value).is_some_and(|before| before != value) {
                let problem = format!("has two different values of {key}");
                return Err(environment_error("CNI_ARGS", &problem));
            }
        }
        let (namespace, name) = match (known.get("K8S_POD_NAMESPACE"), known.get("K8S_POD_NAME")) {
            (Some(namespace), Some(name)) => (*namespace, *name),
            (None, None) => return Ok(None),
            (Some(_), None) => return Err(environment_error("CNI_ARGS", "lacks K8S_POD_NAME")),
            (None, Some(_)) => return Err(environment_error("CNI_ARGS", "lacks K8S_POD_NAMESPACE")),
        };
        let uid = known.get("K8S_POD_UID").filter(|uid| !uid.is_empty());
        for (key, value, longest) in [
            ("K8S_POD_NAMESPACE", namespace, 63),
            ("K8S_POD_NAME", name, 253),
            ("K8S_POD_UID", uid.copied().unwrap_or("none"), 128),
        ] {
            if !is_object_name(value, longest) {
                let problem = format!("{key} is empty, too long, or holds more than a-z, 0-9, '-' and '.'");
                return Err(environment_error("CNI_ARGS", &problem));
            }
        }
        Ok(Some(Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            uid: uid.map(|uid| (*uid).to_owned()),
        }))
    }
}

// === impl NetworkConfig ===

/// The configuration's keys; those of upstream's plugin where it has them.
#[derive(Deserialize)]
struct RawConfig {
    #[serde(rename = "cniVersion")]
    cni_version: Option<String>,
    #[serde(rename = "prevResult")]
    prev_result: Option<Box<RawValue>>,
    cni_agent_run_dir: Option<PathBuf>,
    chained: Option<bool>,
    agent_timeout_seconds: Option<u64>,
    #[serde(rename = "cni.dev/valid-attachments")]
    valid_attachments: Option<Vec<RawAttachment>>,
    /// The namespace of the mesh's own pods; upstream's key.
    pod_namespace: Option<String>,
    exempt_pod_prefixes: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct RawAttachment {
    #[serde(rename = "containerID")]
    container_id: String,
}

impl NetworkConfig {
    /// Reads standard input.
    ///
    /// # Errors
    /// Fails when it is not JSON, of a version that is not spoken here, or of values that make no sense.
    pub fn parse(input: &[u8]) -> Result<Self, CniError> {
        let raw: RawConfig = serde_json::from_slice(input).map_err(|e| {
            CniError::new(
                ErrorCode::Decode,
                format!("network configuration on standard input: {e}"),
            )
        })?;
        // An absent version means 0.1.0 (section 1), which is too old for a chained plugin.
        let version = CniVersion::parse(raw.cni_version.as_deref().unwrap_or("0.1.0"))?;
        let run_dir = raw.cni_agent_run_dir.unwrap_or_else(|| PathBuf::from(RUN_DIR));
        if !run_dir.is_absolute() {
            return Err(CniError::new(
                ErrorCode::InvalidConfig,
                "cni_agent_run_dir in the network configuration is no absolute path",
            ));
        }
        let seconds = raw.agent_timeout_seconds.unwrap_or(AGENT_TIMEOUT_SECONDS);
        let attachments = raw
            .valid_attachments
            .map(|all| all.into_iter().map(|a| a.container_id).collect());
        let prefixes = raw.exempt_pod_prefixes.unwrap_or_else(|| {
            let own = OWN_PODS.iter().copied();
            own.map(str::to_owned).collect()
        });
        if prefixes.iter().any(String::is_empty) {
            return Err(CniError::new(
                ErrorCode::InvalidConfig,
                "exempt_pod_prefixes in the network configuration holds an empty prefix: every pod would begin with it",
            ));
        }
        let exempt = Exempt {
            namespace: raw.pod_namespace.filter(|namespace| !namespace.is_empty()),
            prefixes,
        };
        Ok(Self {
            exempt,
            version,
            agent_socket: run_dir.join(EVENT_SOCKET),
            agent_timeout: Duration::from_secs(seconds.clamp(1, 600)),
            chained: raw.chained.unwrap_or(true),
            prev_result: raw.prev_result.filter(|raw| raw.get() != "null"),
            valid_attachments: attachments,
        })
    }

    /// The previous result, and the addresses in it; neither where this plugin stands alone and there is none.
    ///
    /// # Errors
    /// Fails when there is none though there is to be a plugin before this one, or when its addresses make no sense.
    pub fn previous(&self) -> Result<(Option<&RawValue>, Vec<IpConfig>), CniError> {
        let raw = match self.prev_result.as_deref() {
            Some(raw) => raw,
            None if !self.chained => return Ok((None, Vec::new())),
            None => {
                return Err(CniError::new(
                    ErrorCode::InvalidConfig,
                    "prevResult is missing: this plugin must be chained behind one that makes the interface",
                ));
            }
        };
        let previous: PreviousResult = serde_json::from_str(raw.get())
            .map_err(|e| CniError::new(ErrorCode::Decode, format!("prevResult: {e}")))?;
        let ips = previous
            .ips
            .into_iter()
            .map(PreviousIp::convert)
            .collect::<Result<_, _>>()?;
        Ok((Some(raw), ips))
    }
}

#[derive(Deserialize)]
struct PreviousResult {
    #[serde(default)]
    ips: Vec<PreviousIp>,
}

#[derive(Deserialize)]
struct PreviousIp {
    address: String,
    gateway: Option<IpAddr>,
    interface: Option<u32>,
}

impl PreviousIp {
    fn convert(self) -> Result<IpConfig, CniError> {
        let address = parse_cidr(&self.address).ok_or_else(|| {
            let message = format!(
                "prevResult.ips.address {:?} is no address with a prefix",
                self.address
            );
            CniError::new(ErrorCode::InvalidConfig, message)
        })?;
        Ok(IpConfig {
            interface: self.interface,
            address,
            gateway: self.gateway,
        })
    }
}

fn parse_cidr(text: &str) -> Option<IpNet> {
    let (ip, prefix) = text.split_once('/')?;
    let (ip, prefix) = (ip.parse::<IpAddr>().ok()?, prefix.parse::<u8>().ok()?);
    let longest = if ip.is_ipv4() { 32 } else { 128 };
    (prefix <= longest).then_some(IpNet { ip, prefix })
}

// === impl CniError ===

impl CniError {
    /// An error of this kind.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { code, message }
    }

    /// The error as the specification wants it on standard output.
    #[must_use]
    pub fn to_json(&self, version: CniVersion) -> String {
        #[derive(Serialize)]
        struct Json<'a> {
            #[serde(rename = "cniVersion")]
            cni_version: &'a str,
            code: u32,
            msg: &'a str,
        }
        let json = Json {
            cni_version: version.as_str(),
            code: self.code as u32,
            msg: &self.message,
        };
        serde_json::to_string(&json).expect("a plain struct of strings and numbers is always JSON")
    }
}

impl fmt::Display for CniError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (code {})", self.message, self.code as u32)
    }
}

impl std::error::Error for CniError {}

fn required<'a>(environment: &'a Environment, key: &str) -> Result<&'a str, CniError> {
    match environment.get(key).map(String::as_str) {
        None | Some("") => Err(environment_error(key, "is missing")),
        Some(value) => Ok(value),
    }
}

fn environment_error(key: &str, problem: &str) -> CniError {
    CniError::new(ErrorCode::InvalidEnvironment, format!("{key} {problem}"))
}

fn is_container_id(text: &str) -> bool {
    text.len() <= 256
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

/// As the kernel's `dev_valid_name`.
fn is_interface_name(text: &str) -> bool {
    text.len() < 16
        && text != "."
        && text != ".."
        && !text.contains(|c: char| c == '/' || c == ':' || c.is_whitespace())
}

fn is_object_name(text: &str, longest: usize) -> bool {
    !text.is_empty()
        && text.len() <= longest
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.')
}

/// The mesh's own pods: the agent under upstream's name and ours, the node proxy, the control plane. The agent cannot
/// answer for itself, and without the other two it can for nobody.
const OWN_PODS: [&str; 5] = [
    "istio-cni-node-",
    "lateen-node-",
    "ztunnel-",
    "istiod-",
    "lateen-controlplane-",
];
/// Upstream's directory and name of the agent's socket.
const RUN_DIR: &str = "/var/run/istio-cni";
const EVENT_SOCKET: &str = "pluginevent.sock";
/// Longer than the agent itself waits for the control plane and ztunnel, so that the reason is the agent's.
const AGENT_TIMEOUT_SECONDS: u64 = 15;

#[cfg(test)]
mod tests;
