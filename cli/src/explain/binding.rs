//! Which Gateway a waypoint is of, and which label binds the destination to it. Proxies are told addresses, not labels: the
//! objects come from the cluster, or from files.

use controlplane_k8s_api::Object;
use mesh_kube::ObjectName;
use serde_json::{Value, json};

use super::Connection;
use crate::ask::cluster::GATEWAY_NAME;

/// The Gateway of a waypoint, and what binds to it; what is not known is not said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Binding {
    /// The Gateway: `shop/waypoint`.
    gateway: Option<String>,
    /// The object, and the label on it.
    by: Option<String>,
}

/// An object that may bind to a waypoint, or be the proxy of one: its name and labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labelled {
    /// `Pod`, `Service`, `ServiceEntry` or `Namespace`.
    pub kind: &'static str,
    /// Which.
    pub name: ObjectName,
    /// Its labels.
    pub labels: Vec<(String, String)>,
    /// The host names that a ServiceEntry stands for.
    pub hosts: Vec<String>,
}

impl Binding {
    /// What the objects that are known say of a connection through a waypoint.
    #[must_use]
    pub fn among(objects: &[Labelled], connection: &Connection) -> Self {
        if !connection.meets_waypoint() {
            return Self::default();
        }
        let find = |kind: &str, name: &ObjectName| {
            let mut objects = objects.iter();
            objects.find(|object| object.kind == kind && object.name == *name)
        };
        let proxy = connection.waypoint();
        let of_proxy = proxy.and_then(|proxy| {
            let name = find("Pod", &proxy)?.label(GATEWAY_NAME)?;
            Some(ObjectName::new(proxy.namespace, name).to_string())
        });
        let of_host = || {
            let (namespace, host) = connection.gateway()?.split_once('/')?;
            let (name, _) = host.split_once('.')?;
            Some(ObjectName::new(namespace, name).to_string())
        };
        let asked = match connection.service() {
            Some(service) => objects.iter().find(|object| object.is_service(service)),
            None => connection
                .destination()
                .and_then(|destination| find("Pod", &destination)),
        };
        let own = asked.and_then(Labelled::bound);
        let namespace = match connection.service() {
            Some(service) => service.split_once('/').map(|(namespace, _)| namespace.to_owned()),
            None => connection.destination().map(|destination| destination.namespace),
        };
        let wide = || find("Namespace", &ObjectName::cluster(namespace?))?.bound();
        Self {
            gateway: of_proxy.or_else(of_host),
            by: own.or_else(wide),
        }
    }

    /// The Gateway, where it is known.
    #[must_use]
    pub fn gateway(&self) -> Option<&str> {
        self.gateway.as_deref()
    }

    /// What binds to it, where that is known.
    #[must_use]
    pub fn by(&self) -> Option<&str> {
        self.by.as_deref()
    }

    /// Where something happens: `waypoint shop/waypoint`.
    #[must_use]
    pub fn waypoint(&self) -> String {
        match &self.gateway {
            Some(gateway) => format!("waypoint {gateway}"),
            None => "waypoint".to_owned(),
        }
    }

    pub(super) fn data(&self) -> Value {
        json!({ "gateway": self.gateway, "by": self.by })
    }
}

impl Labelled {
    /// An object, if it can bind.
    #[must_use]
    pub fn of(object: &Object) -> Option<Self> {
        let (kind, hosts) = match object {
            Object::Pod(_) => ("Pod", Vec::new()),
            Object::Service(_) => ("Service", Vec::new()),
            Object::Namespace(_) => ("Namespace", Vec::new()),
            Object::ServiceEntry(entry) => {
                let hosts = entry.spec.hosts.iter().map(ToString::to_string);
                ("ServiceEntry", hosts.collect())
            }
            _ => return None,
        };
        let metadata = object.metadata()?;
        let name = match kind {
            "Namespace" => ObjectName::cluster(&*metadata.name),
            _ => ObjectName::new(&*metadata.namespace, &*metadata.name),
        };
        let labels = metadata.labels.iter();
        Some(Self {
            kind,
            name,
            labels: labels
                .map(|(key, value)| (key.to_string(), value.to_string()))
                .collect(),
            hosts,
        })
    }

    fn label(&self, key: &str) -> Option<&str> {
        let mut labels = self.labels.iter();
        labels
            .find(|(known, _)| known == key)
            .map(|(_, value)| value.as_str())
    }

    /// What it says of its waypoint, in a line.
    fn bound(&self) -> Option<String> {
        let waypoint = self.label(USE_WAYPOINT)?;
        let mut said = format!(
            "{} {} has the label {USE_WAYPOINT}={waypoint}",
            self.kind, self.name
        );
        if let Some(namespace) = self.label(USE_WAYPOINT_NAMESPACE) {
            said.push_str(&format!(" and {USE_WAYPOINT_NAMESPACE}={namespace}"));
        }
        Some(said)
    }

    /// Whether it is the service of this name, `<namespace>/<host>`.
    fn is_service(&self, service: &str) -> bool {
        let Some((namespace, host)) = service.split_once('/') else {
            return false;
        };
        if self.name.namespace != namespace {
            return false;
        }
        match self.kind {
            "Service" => host
                .strip_prefix(self.name.name.as_str())
                .and_then(|rest| rest.strip_prefix('.'))
                .and_then(|rest| rest.strip_prefix(namespace))
                .is_some_and(|rest| rest.starts_with(".svc")),
            "ServiceEntry" => self.hosts.iter().any(|known| known == host),
            _ => false,
        }
    }
}

const USE_WAYPOINT: &str = "istio.io/use-waypoint";
const USE_WAYPOINT_NAMESPACE: &str = "istio.io/use-waypoint-namespace";

#[cfg(test)]
mod tests;
