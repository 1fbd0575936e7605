//! Which configuration the plugin belongs into, and what the files are to be. Pure: no file is touched here.
//!
//! A runtime takes the first usable network in the order of the names (libcni, `ConfFiles`), and executes its plugins one
//! after the other. Ours is the last: it needs the addresses that those before it gave. Either it stands in the file that
//! the runtime takes, or, where whoever writes that file keeps throwing it out, in a copy of it that comes before. Where
//! another plugin calls others by files of their own (Multus), it stands alone in one.

use std::collections::BTreeMap;

use cni_plugin::spec::CniVersion;
use serde_json::{Map, Value, json};

/// The plugin's name in configurations and in the directory of plugins. It is upstream's, so that one takes over from the
/// other and there never are two of them in a chain.
pub const PLUGIN: &str = "istio-cni";

/// What is to be so.
#[derive(Clone, PartialEq, Debug)]
pub struct Wanted {
    /// Where.
    pub place: Place,
    /// The file of the primary network; the first usable one where it is not named.
    pub primary: Option<String>,
    /// The plugin's own configuration.
    pub entry: Entry,
    /// Whether a file of our own may be read by its group.
    pub group_readable: bool,
}

/// Where the plugin's entry stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// In the primary network's file.
    Primary,
    /// In a file of our own: the primary network's plugins, and ours.
    OwnFile(String),
    /// In a file of our own, as the only plugin: somebody who has made the network calls it.
    Alone(String),
}

/// What the plugin reads of its configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The directory of the agent's socket, as the host sees it.
    pub run_dir: String,
    /// The namespace of the mesh's own pods.
    pub pod_namespace: Option<String>,
    /// What the names of those begin with; the plugin's default where it is not given.
    pub exempt_prefixes: Option<Vec<String>>,
    /// How long the agent may take, in seconds; the plugin's default where it is not given.
    pub timeout_seconds: Option<u64>,
}

/// The files of the directory that a runtime would read, by name.
pub type Found = BTreeMap<String, File>;

/// One of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct File {
    /// Its content.
    pub content: Vec<u8>,
    /// Its mode.
    pub mode: u32,
}

/// What is to be done, in this order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// A file is to have this content, in one step.
    Write {
        /// Its name.
        name: String,
        /// Its content.
        content: Vec<u8>,
        /// Its mode.
        mode: u32,
    },
    /// A file is to be gone.
    Remove {
        /// Its name.
        name: String,
    },
}

/// Why the plugin has no place now. Somebody else is to change that; the directory is looked at again when it does.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotYet {
    /// No network yet.
    #[error(
        "there is no usable network configuration yet, so there is nothing to be a part of: is a CNI plugin installed?"
    )]
    NoNetwork,
    /// The file is missing.
    #[error("the network configuration {0} (CNI_CONF_NAME) is not there, or is none")]
    NoSuchNetwork(String),
    /// The runtime would take another file than ours.
    #[error(
        "our own file {own} must come before the primary network's {primary} in the order of names, or it is never used"
    )]
    OwnFileComesLater {
        /// Our file.
        own: String,
        /// The file that is used instead.
        primary: String,
    },
    /// The plugin would refuse every pod.
    #[error("{file} is of cniVersion {version:?}; this plugin speaks 0.3.1, 0.4.0, 1.0.0 and 1.1.0")]
    Version {
        /// The file.
        file: String,
        /// Its version.
        version: String,
    },
}

/// What is to be done so that every pod that starts passes the plugin; nothing where it is so already.
///
/// # Errors
/// Fails when there is no network that the plugin could be a part of.
pub fn install(wanted: &Wanted, found: &Found) -> Result<Vec<Step>, NotYet> {
    if let Place::Alone(own) = &wanted.place {
        // Nobody is to pass it twice.
        let others = remove(wanted, found).into_iter();
        let others = others.filter(|step| !matches!(step, Step::Remove { name } if name == own));
        let write = in_own_file(wanted, own, found, &wanted.entry.alone());
        return Ok(others.chain(write).collect());
    }
    let (file, mode, network) = primary(wanted, found)?;
    let version = network.version(file)?;
    let list = network.with(&wanted.entry, version);
    let mut steps = match &wanted.place {
        Place::OwnFile(own) if own.as_str() >= file => {
            return Err(NotYet::OwnFileComesLater {
                own: own.clone(),
                primary: file.to_owned(),
            });
        }
        Place::OwnFile(own) => in_own_file(wanted, own, found, &list),
        Place::Primary | Place::Alone(_) => in_primary(file, mode, &network, &list),
    };
    steps.extend(found.iter().filter_map(remove_alone));
    Ok(steps)
}

/// What is to be done so that nothing of the plugin is left in any configuration.
#[must_use]
pub fn remove(wanted: &Wanted, found: &Found) -> Vec<Step> {
    let mut steps: Vec<Step> = found.iter().filter_map(remove_alone).collect();
    for (name, file) in found.iter().filter(|(name, _)| name.ends_with(LIST)) {
        if matches!(&wanted.place, Place::OwnFile(own) if own == name) {
            steps.push(Step::Remove { name: name.clone() });
            continue;
        }
        let Ok(mut list) = serde_json::from_slice::<Map<String, Value>>(&file.content) else {
            continue;
        };
        let Some(plugins) = list.get_mut("plugins").and_then(Value::as_array_mut) else {
            continue;
        };
        let before = plugins.len();
        plugins.retain(|plugin| !is_ours(plugin));
        if plugins.len() == before {
            continue;
        }
        steps.push(match plugins.is_empty() {
            true => Step::Remove { name: name.clone() },
            false => Step::Write {
                name: name.clone(),
                content: text(&Value::Object(list)),
                mode: file.mode,
            },
        });
    }
    steps
}

/// A file in which our plugin stands alone goes.
fn remove_alone((name, file): (&String, &File)) -> Option<Step> {
    let plugin = serde_json::from_slice::<Value>(&file.content).ok()?;
    let alone = !name.ends_with(LIST) && is_ours(&plugin);
    alone.then(|| Step::Remove { name: name.clone() })
}

/// The network that pods are given without us.
fn primary<'a>(wanted: &Wanted, found: &'a Found) -> Result<(&'a str, u32, Network), NotYet> {
    let usable = |name: &'a str| {
        let file = found.get(name)?;
        Some((name, file.mode, Network::parse(name, &file.content)?))
    };
    if let Some(named) = &wanted.primary {
        // It may have been made a list meanwhile, by us or by who wrote it.
        let candidates = [
            named.clone(),
            format!("{}.conflist", stem(named)),
            format!("{}.conf", stem(named)),
        ];
        let mut names = candidates.iter().filter_map(|name| found.get_key_value(name));
        let network = names.find_map(|(name, _)| usable(name));
        return network.ok_or_else(|| NotYet::NoSuchNetwork(named.clone()));
    }
    let mut names = found.keys().map(String::as_str);
    let others = |name: &&str| !matches!(&wanted.place, Place::OwnFile(own) if own == name);
    names
        .by_ref()
        .filter(others)
        .find_map(usable)
        .ok_or(NotYet::NoNetwork)
}

fn in_primary(file: &str, mode: u32, network: &Network, list: &Value) -> Vec<Step> {
    match network {
        Network::List(now) if Some(now) == list.as_object() => Vec::new(),
        Network::List(_) => vec![Step::Write {
            name: file.to_owned(),
            content: text(list),
            mode,
        }],
        // The list comes after the file that it is made of, so until that is gone the runtime sees no change.
        Network::Single(_) => vec![
            Step::Write {
                name: format!("{}.conflist", stem(file)),
                content: text(list),
                mode,
            },
            Step::Remove {
                name: file.to_owned(),
            },
        ],
    }
}

fn in_own_file(wanted: &Wanted, own: &str, found: &Found, list: &Value) -> Vec<Step> {
    let content = text(list);
    if found.get(own).is_some_and(|file| file.content == content) {
        return Vec::new();
    }
    vec![Step::Write {
        name: own.to_owned(),
        content,
        mode: if wanted.group_readable { 0o640 } else { 0o600 },
    }]
}

/// A network as a runtime reads it.
enum Network {
    /// A list of plugins.
    List(Map<String, Value>),
    /// A single plugin's configuration, the older form.
    Single(Map<String, Value>),
}

impl Network {
    /// Nothing where a runtime would pass the file over.
    fn parse(name: &str, content: &[u8]) -> Option<Self> {
        let object: Map<String, Value> = serde_json::from_slice(content).ok()?;
        let has_type = |plugin: &Value| {
            plugin
                .get("type")
                .and_then(Value::as_str)
                .is_some_and(|t| !t.is_empty())
        };
        if name.ends_with(LIST) {
            let plugins = object.get("plugins")?.as_array()?;
            // Ours alone is no network.
            let usable = plugins.iter().all(has_type) && !plugins.iter().all(is_ours);
            return (object.get("name").is_some_and(is_name) && usable).then_some(Self::List(object));
        }
        let plugin = Value::Object(object.clone());
        (has_type(&plugin) && !is_ours(&plugin)).then_some(Self::Single(object))
    }

    fn object(&self) -> &Map<String, Value> {
        match self {
            Self::List(object) | Self::Single(object) => object,
        }
    }

    /// The version that the plugin would be called with.
    fn version(&self, file: &str) -> Result<CniVersion, NotYet> {
        let said = self.object().get("cniVersion").and_then(Value::as_str);
        // A list may offer several (CNI 1.1.0, section 1).
        let offered = self.object().get("cniVersions").and_then(Value::as_array);
        let offered = offered.into_iter().flatten().filter_map(Value::as_str);
        let known = |text: &str| {
            CniVersion::ALL
                .into_iter()
                .find(|version| version.as_str() == text)
        };
        let best = offered.chain(said).filter_map(known).max();
        match (self, best) {
            (_, Some(version)) => Ok(version),
            // What is made of it is ours to say, and its plugin spoke this before there were lists.
            (Self::Single(_), None) => Ok(CniVersion::V0_3_1),
            (Self::List(_), None) => Err(NotYet::Version {
                file: file.to_owned(),
                version: said.unwrap_or_default().to_owned(),
            }),
        }
    }

    /// The same network, with our plugin at its end.
    fn with(&self, entry: &Entry, version: CniVersion) -> Value {
        match self {
            Self::List(list) => {
                let mut list = list.clone();
                if let Some(plugins) = list.get_mut("plugins").and_then(Value::as_array_mut) {
                    plugins.retain(|plugin| !is_ours(plugin));
                    plugins.push(entry.json());
                }
                Value::Object(list)
            }
            Self::Single(plugin) => {
                let mut plugin = plugin.clone();
                plugin.remove("cniVersion");
                // Addresses are given out by the network's name: it must stay the same.
                let name = plugin
                    .remove("name")
                    .filter(is_name)
                    .unwrap_or_else(|| json!("k8s-pod-network"));
                json!({
                    "cniVersion": version.as_str(),
                    "name": name,
                    "plugins": [plugin, entry.json()],
                })
            }
        }
    }
}

impl Entry {
    /// As a file of its own, with no plugin before it.
    fn alone(&self) -> Value {
        let mut entry = self.json();
        entry["cniVersion"] = json!(CniVersion::V0_3_1.as_str());
        entry["name"] = json!(PLUGIN);
        entry["chained"] = json!(false);
        entry
    }

    fn json(&self) -> Value {
        let mut entry = json!({"type": PLUGIN, "cni_agent_run_dir": self.run_dir});
        if let Some(namespace) = &self.pod_namespace {
            entry["pod_namespace"] = json!(namespace);
        }
        if let Some(prefixes) = &self.exempt_prefixes {
            entry["exempt_pod_prefixes"] = json!(prefixes);
        }
        if let Some(seconds) = self.timeout_seconds {
            entry["agent_timeout_seconds"] = json!(seconds);
        }
        entry
    }
}

fn is_ours(plugin: &Value) -> bool {
    plugin.get("type").and_then(Value::as_str) == Some(PLUGIN)
}

fn is_name(value: &Value) -> bool {
    value.as_str().is_some_and(|name| !name.is_empty())
}

fn stem(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

fn text(value: &Value) -> Vec<u8> {
    let mut text = serde_json::to_vec_pretty(value).expect("a value of JSON is always JSON");
    text.push(b'\n');
    text
}

const LIST: &str = ".conflist";

#[cfg(test)]
mod tests;
