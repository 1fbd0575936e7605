//! How one client stands, as `envoy.service.status.v3.ClientConfig` says it (Envoy API reference, "Client status
//! discovery service"), with the words that istiod chooses.

use std::time::{Duration, SystemTime};

use mesh_proto::envoy::admin::v3::UpdateFailureState;
use mesh_proto::envoy::config::core::v3::Node;
use mesh_proto::envoy::service::status::v3::client_config::GenericXdsConfig;
use mesh_proto::envoy::service::status::v3::{ClientConfig, ConfigStatus};
use mesh_proto::google::protobuf::value::Kind;
use mesh_proto::google::protobuf::{Any, Struct, Timestamp, Value};
use prost::Message as _;

use crate::server::session::{SubscriberStatus, SubscriptionStatus};

/// How a client stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientStanding {
    /// Its pod.
    pub pod: String,
    /// Its namespace.
    pub namespace: String,
    /// The cluster that it says it is in; may be empty.
    pub cluster: String,
    /// The version that it says it is of; may be empty.
    pub version: String,
    /// What it follows, ordered by type.
    pub types: Vec<TypeStanding>,
}

/// How a client stands with one type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeStanding {
    /// The type.
    pub type_url: String,
    /// How.
    pub standing: Standing,
    /// When it was last sent anything, in whole seconds.
    pub pushed: Option<SystemTime>,
}

/// The words for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It took everything.
    Synced,
    /// Nothing was sent yet.
    NotSent,
    /// Something was sent, and it has not answered yet.
    Stale,
    /// It refuses what it was sent; why.
    Refused(String),
}

/// Why a message is not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidStanding {
    /// It is no message of this type.
    #[error("type_url: {0:?} is not {TYPE}")]
    Type(String),
    /// Its bytes are none.
    #[error("{TYPE}: {0}")]
    Bytes(String),
    /// The node's id names no pod and namespace.
    #[error("node.id {0:?} is not of the form <pod>.<namespace>")]
    Id(String),
    /// A status that does not exist, or says nothing.
    #[error("config_status: {0} of {1}")]
    Status(i32, String),
}

impl ClientStanding {
    /// That of a subscriber; nothing before it has said who it is.
    #[must_use]
    pub fn of(subscriber: &SubscriberStatus) -> Option<Self> {
        let node = subscriber.node.as_ref()?;
        let mut types: Vec<_> = subscriber.subscriptions.iter().map(TypeStanding::of).collect();
        types.sort_by(|a, b| a.type_url.cmp(&b.type_url));
        Some(Self {
            pod: node.name.clone(),
            namespace: node.namespace.clone(),
            cluster: node.cluster().unwrap_or_default().to_owned(),
            version: node.version().unwrap_or_default().to_owned(),
            types,
        })
    }

    /// `<pod>.<namespace>`, by which istioctl knows it.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}.{}", self.pod, self.namespace)
    }

    /// As a resource of a response.
    #[must_use]
    pub fn to_any(&self) -> Any {
        Any {
            type_url: TYPE.to_owned(),
            value: ClientConfig::from(self).encode_to_vec().into(),
        }
    }

    /// Out of a resource of a response.
    ///
    /// # Errors
    /// See [`InvalidStanding`].
    pub fn from_any(any: &Any) -> Result<Self, InvalidStanding> {
        if any.type_url != TYPE {
            return Err(InvalidStanding::Type(any.type_url.clone()));
        }
        let decoded = ClientConfig::decode(any.value.clone());
        Self::try_from(decoded.map_err(|error| InvalidStanding::Bytes(error.to_string()))?)
    }
}

impl TypeStanding {
    fn of(subscription: &SubscriptionStatus) -> Self {
        let SubscriptionStatus {
            outstanding, pushed, ..
        } = *subscription;
        let standing = if let Some(why) = &subscription.refused {
            Standing::Refused(why.clone())
        } else if outstanding || subscription.behind() > 0 {
            Standing::Stale
        } else if pushed.is_none() {
            // A type of which there is nothing is sent too: empty.
            Standing::NotSent
        } else {
            Standing::Synced
        };
        Self {
            type_url: subscription.type_url.as_str().to_owned(),
            standing,
            pushed: pushed.and_then(whole_seconds),
        }
    }
}

// === the wire ===

impl From<&ClientStanding> for ClientConfig {
    fn from(client: &ClientStanding) -> Self {
        let said = [
            (CLUSTER_ID, &client.cluster),
            (NAMESPACE, &client.namespace),
            (ISTIO_VERSION, &client.version),
        ];
        let said = said.into_iter().filter(|(_, text)| !text.is_empty());
        let fields = said.map(|(key, text)| {
            let kind = Some(Kind::StringValue(text.clone()));
            (key.to_owned(), Value { kind })
        });
        Self {
            node: Some(Node {
                id: client.id(),
                cluster: String::new(),
                metadata: Some(Struct {
                    fields: fields.collect(),
                }),
            }),
            generic_xds_configs: client.types.iter().map(GenericXdsConfig::from).collect(),
        }
    }
}

impl From<&TypeStanding> for GenericXdsConfig {
    fn from(of: &TypeStanding) -> Self {
        let pushed = of.pushed.and_then(timestamp);
        let (status, error_state) = match &of.standing {
            Standing::Synced => (ConfigStatus::Synced, None),
            Standing::NotSent => (ConfigStatus::NotSent, None),
            Standing::Stale => (ConfigStatus::Stale, None),
            Standing::Refused(why) => {
                let refused = UpdateFailureState {
                    last_update_attempt: pushed,
                    details: why.clone(),
                };
                (ConfigStatus::Error, Some(refused))
            }
        };
        Self {
            type_url: of.type_url.clone(),
            last_updated: pushed,
            config_status: status.into(),
            error_state,
        }
    }
}

impl TryFrom<ClientConfig> for ClientStanding {
    type Error = InvalidStanding;

    fn try_from(config: ClientConfig) -> Result<Self, InvalidStanding> {
        let node = config.node.unwrap_or_default();
        let metadata = node.metadata.unwrap_or_default();
        let text = |key: &str| match metadata.fields.get(key).map(|value| &value.kind) {
            Some(Some(Kind::StringValue(text))) => text.clone(),
            _ => String::new(),
        };
        let namespace = text(NAMESPACE);
        // Names of pods may have dots, so that only the namespace tells where theirs ends.
        let pod = node.id.strip_suffix(&format!(".{namespace}"));
        let pod = pod
            .ok_or_else(|| InvalidStanding::Id(node.id.clone()))?
            .to_owned();
        let types = config.generic_xds_configs.into_iter().map(TypeStanding::try_from);
        Ok(Self {
            pod,
            cluster: text(CLUSTER_ID),
            version: text(ISTIO_VERSION),
            namespace,
            types: types.collect::<Result<_, _>>()?,
        })
    }
}

impl TryFrom<GenericXdsConfig> for TypeStanding {
    type Error = InvalidStanding;

    fn try_from(config: GenericXdsConfig) -> Result<Self, InvalidStanding> {
        let standing = match ConfigStatus::try_from(config.config_status) {
            Ok(ConfigStatus::Synced) => Standing::Synced,
            Ok(ConfigStatus::NotSent) => Standing::NotSent,
            Ok(ConfigStatus::Stale) => Standing::Stale,
            Ok(ConfigStatus::Error) => Standing::Refused(config.error_state.unwrap_or_default().details),
            Ok(ConfigStatus::Unknown) | Err(_) => {
                return Err(InvalidStanding::Status(config.config_status, config.type_url));
            }
        };
        let pushed = config.last_updated.and_then(|at| {
            let seconds = u64::try_from(at.seconds).ok()?;
            SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
        });
        Ok(Self {
            type_url: config.type_url,
            standing,
            pushed,
        })
    }
}

/// Nobody reads more of it; a time before 1970 is a wrong clock's.
fn whole_seconds(at: SystemTime) -> Option<SystemTime> {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(since.as_secs()))
}

fn timestamp(at: SystemTime) -> Option<Timestamp> {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(Timestamp {
        seconds: i64::try_from(since.as_secs()).ok()?,
        nanos: 0,
    })
}

/// The type of the resources.
pub const TYPE: &str = "type.googleapis.com/envoy.service.status.v3.ClientConfig";
const CLUSTER_ID: &str = "CLUSTER_ID";
const NAMESPACE: &str = "NAMESPACE";
const ISTIO_VERSION: &str = "ISTIO_VERSION";

#[cfg(test)]
mod tests;
