//! Who an xDS client is: `ztunnel~<ip>~<pod>.<namespace>~<namespace>.svc.cluster.local` and metadata, the same that
//! upstream's ztunnel sends and istiod expects.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use mesh_proto::envoy::config::core::v3::Node;
use mesh_proto::google::protobuf::value::Kind;
use mesh_proto::google::protobuf::{Struct, Value};
use serde::Serialize;

/// Who an xDS client says it is. A claim: the server's [`crate::AdmitNode`] compares it with the caller's token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeInfo {
    /// What it is: `ztunnel`, `waypoint`.
    pub kind: String,
    /// The pod's address; `1.1.1.1` when it does not know (as upstream's ztunnel says then).
    pub ip: IpAddr,
    /// The pod's name (`NAME`).
    pub name: String,
    /// The pod's namespace (`NAMESPACE`).
    pub namespace: String,
    /// The machine (`NODE_NAME`).
    pub node: String,
    /// Other metadata with string values: `CLUSTER_ID`, `GATEWAY_NAME`, the proxy's own.
    pub metadata: BTreeMap<String, String>,
}

/// Why a node is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidNode {
    /// The first request of a stream carries none.
    #[error("node is missing in the first request of the stream")]
    Missing,
    /// The id has another form.
    #[error("node.id {0:?} is not of the form <kind>~<ip>~<pod>.<namespace>~<domain>")]
    Id(String),
    /// A key of the metadata is missing or no string.
    #[error("node.metadata.{0} is missing or no string")]
    Metadata(&'static str),
}

/// The address that stands for "not known".
pub const UNKNOWN_IP: IpAddr = IpAddr::V4(Ipv4Addr::new(1, 1, 1, 1));

impl NodeInfo {
    /// A ztunnel.
    #[must_use]
    pub fn ztunnel(ip: Option<IpAddr>, name: &str, namespace: &str, node: &str) -> Self {
        Self {
            kind: "ztunnel".to_owned(),
            ip: ip.unwrap_or(UNKNOWN_IP),
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            node: node.to_owned(),
            metadata: BTreeMap::new(),
        }
    }

    /// A proxy of a gateway: a waypoint, or an ingress or egress gateway. The gateway is in the same namespace.
    #[must_use]
    pub fn waypoint(ip: Option<IpAddr>, name: &str, namespace: &str, node: &str, gateway: &str) -> Self {
        Self {
            kind: "waypoint".to_owned(),
            metadata: BTreeMap::from([(GATEWAY_NAME.to_owned(), gateway.to_owned())]),
            ..Self::ztunnel(ip, name, namespace, node)
        }
    }

    /// The same, of this version and in this cluster, unless its metadata says otherwise.
    #[must_use]
    pub fn described(mut self, version: &str, cluster: &str) -> Self {
        for (key, value) in [(ISTIO_VERSION, version), (CLUSTER_ID, cluster)] {
            let said = self.metadata.entry(key.to_owned());
            said.or_insert_with(|| value.to_owned());
        }
        self
    }

    /// The version that it says it is of.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.metadata.get(ISTIO_VERSION).map(String::as_str)
    }

    /// The cluster that it says it is in.
    #[must_use]
    pub fn cluster(&self) -> Option<&str> {
        self.metadata.get(CLUSTER_ID).map(String::as_str)
    }

    /// The gateway that it is a proxy of, `<namespace>/<name>`: what is published for that is sent to it. It cannot be in
    /// another namespace than the proxy itself, which is what its token is compared with.
    #[must_use]
    pub fn gateway(&self) -> Option<String> {
        let name = self.metadata.get(GATEWAY_NAME).filter(|name| !name.is_empty())?;
        Some(format!("{}/{name}", self.namespace))
    }

    /// The id on the wire.
    #[must_use]
    pub fn id(&self) -> String {
        let Self {
            kind,
            ip,
            name,
            namespace,
            ..
        } = self;
        format!("{kind}~{ip}~{name}.{namespace}~{namespace}.svc.cluster.local")
    }
}

impl From<&NodeInfo> for Node {
    fn from(info: &NodeInfo) -> Self {
        let own = [
            (NAME, info.name.clone()),
            (NAMESPACE, info.namespace.clone()),
            (INSTANCE_IPS, info.ip.to_string()),
            (NODE_NAME, info.node.clone()),
        ];
        let own = own.map(|(key, value)| (key.to_owned(), value));
        let others = info.metadata.iter().map(|(k, v)| (k.clone(), v.clone()));
        // The proxy's own metadata comes later and may replace a standard key, as upstream's does.
        let fields = own
            .into_iter()
            .chain(others)
            .map(|(k, v)| (k, string(v)))
            .collect();
        Self {
            id: info.id(),
            cluster: String::new(),
            metadata: Some(Struct { fields }),
        }
    }
}

impl TryFrom<&Node> for NodeInfo {
    type Error = InvalidNode;

    fn try_from(node: &Node) -> Result<Self, InvalidNode> {
        let bad_id = || InvalidNode::Id(node.id.chars().take(MAX_QUOTED).collect());
        let mut parts = node.id.split('~');
        let (Some(kind), Some(ip), Some(_pod), Some(_domain), None) = (
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
        ) else {
            return Err(bad_id());
        };
        if kind.is_empty() {
            return Err(bad_id());
        }
        let mut metadata = strings(node.metadata.as_ref());
        let mut take = |key| metadata.remove(key).ok_or(InvalidNode::Metadata(key));
        Ok(Self {
            kind: kind.to_owned(),
            ip: ip.parse().map_err(|_| bad_id())?,
            name: take(NAME)?,
            namespace: take(NAMESPACE)?,
            node: take(NODE_NAME)?,
            metadata: {
                metadata.remove(INSTANCE_IPS);
                metadata
            },
        })
    }
}

fn strings(metadata: Option<&Struct>) -> BTreeMap<String, String> {
    let fields = metadata.into_iter().flat_map(|m| &m.fields);
    let strings = fields.filter_map(|(key, value)| match &value.kind {
        Some(Kind::StringValue(text)) => Some((key.clone(), text.clone())),
        _ => None,
    });
    strings.collect()
}

fn string(text: String) -> Value {
    Value {
        kind: Some(Kind::StringValue(text)),
    }
}

const NAME: &str = "NAME";
const NAMESPACE: &str = "NAMESPACE";
const INSTANCE_IPS: &str = "INSTANCE_IPS";
const NODE_NAME: &str = "NODE_NAME";
const CLUSTER_ID: &str = "CLUSTER_ID";
/// A proxy's own version, which `istioctl version` shows.
const ISTIO_VERSION: &str = "ISTIO_VERSION";
/// Ours: istiod knows a gateway's proxies by the label `gateway.networking.k8s.io/gateway-name` of their pods.
const GATEWAY_NAME: &str = "GATEWAY_NAME";
/// How much of a malformed id is quoted.
const MAX_QUOTED: usize = 256;

#[cfg(test)]
mod tests;
