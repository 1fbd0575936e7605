//! A mesh made of YAML, seen as a proxy and a node see it: through the changes that they are told.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use controlplane_k8s_api::{Kind, Object, ObjectKey};
use mesh_model::authz::{Connection, PolicyGroup, PolicySet, evaluate};
use mesh_model::l7::{Bind, Route};
use mesh_model::policy::Scope;
use mesh_model::{Address, Authorization, Service, Workload};
use mesh_types::{Identity, NamespacedName, Strng};

use crate::status::StatusCondition;
use crate::{
    Assignment, AssignmentChange, AssignmentKey, ConditionReason, Index, MeshConfig, ObjectChange,
    Redirection, Registration, RegistrationChange, Scoped,
};

/// An index, and what everybody who followed its changes knows now.
pub(crate) struct Mesh {
    pub(crate) index: Index,
    pub(crate) addresses: BTreeMap<String, Address>,
    pub(crate) policies: BTreeMap<String, Authorization>,
    pub(crate) assignments: BTreeMap<AssignmentKey, Assignment>,
    pub(crate) binds: BTreeMap<String, Scoped<Bind>>,
    pub(crate) routes: BTreeMap<String, Scoped<Route>>,
    pub(crate) accounts: BTreeMap<String, Strng>,
    /// How many changes the last step told.
    pub(crate) told: usize,
    /// How many changes to binds and routes the last step told.
    pub(crate) told_l7: usize,
}

impl Mesh {
    pub(crate) fn of(yaml: &str) -> Self {
        Self::with(MeshConfig::default(), yaml)
    }

    pub(crate) fn with(config: MeshConfig, yaml: &str) -> Self {
        let mut mesh = Self {
            index: Index::new(config),
            addresses: BTreeMap::new(),
            policies: BTreeMap::new(),
            assignments: BTreeMap::new(),
            binds: BTreeMap::new(),
            routes: BTreeMap::new(),
            accounts: BTreeMap::new(),
            told: 0,
            told_l7: 0,
        };
        mesh.set(yaml);
        mesh
    }

    /// Applies every object of a YAML text.
    pub(crate) fn set(&mut self, yaml: &str) {
        self.apply(objects(yaml).into_iter().map(ObjectChange::Set).collect());
    }

    pub(crate) fn remove(&mut self, kind: Kind, name: &str) {
        let (namespace, name) = name.split_once('/').unwrap_or(("", name));
        let key = ObjectKey {
            kind,
            namespace: namespace.into(),
            name: name.into(),
        };
        self.apply(vec![ObjectChange::Remove(key)]);
    }

    pub(crate) fn apply(&mut self, changes: Vec<ObjectChange>) {
        self.index.apply(changes);
        self.follow();
    }

    pub(crate) fn register(&mut self, name: &str, registration: Registration) {
        self.index
            .register([RegistrationChange::Set(named(name), registration)]);
        self.follow();
    }

    pub(crate) fn withdraw(&mut self, name: &str) {
        self.index.register([RegistrationChange::Remove(named(name))]);
        self.follow();
    }

    pub(crate) fn find_pod(&self, name: &str) -> Option<&Workload> {
        match self.addresses.get(&format!("Kubernetes//Pod/{name}")) {
            Some(Address::Workload(workload)) => Some(workload),
            _ => None,
        }
    }

    pub(crate) fn pod(&self, name: &str) -> &Workload {
        self.find_pod(name)
            .unwrap_or_else(|| panic!("there is no workload of Pod {name}"))
    }

    pub(crate) fn service(&self, name: &str) -> &Service {
        match self.addresses.get(name) {
            Some(Address::Service(service)) => service,
            _ => panic!("there is no service {name}"),
        }
    }

    pub(crate) fn policy(&self, name: &str) -> &Authorization {
        self.policies
            .get(name)
            .unwrap_or_else(|| panic!("there is no policy {name}"))
    }

    /// A route, by its key: `HTTPRoute/shop/web`.
    pub(crate) fn route(&self, key: &str) -> &Route {
        let route = self.routes.get(key);
        &route.unwrap_or_else(|| panic!("there is no route {key}")).value
    }

    /// The gateways that are sent a route.
    pub(crate) fn route_gateways(&self, key: &str) -> Vec<String> {
        let route = self.routes.get(key);
        let gateways = route.into_iter().flat_map(|r| &r.gateways);
        gateways.map(ToString::to_string).collect()
    }

    /// What an object's status says of each parent, as `<parent's name> <type>=<status>/<reason>`.
    pub(crate) fn parents(&self, kind: Kind, name: &str) -> Vec<String> {
        let statuses = self.index.statuses().into_iter();
        let of_object = statuses
            .filter(|s| s.object.kind == kind && format!("{}/{}", s.object.namespace, s.object.name) == name);
        let parents = of_object.flat_map(|s| s.parents);
        let said = parents.flat_map(|p| {
            let name = p.parent.name.clone();
            let condition = move |c: StatusCondition| format!("{name} {}={}/{}", c.kind, c.holds, c.reason);
            p.conditions.into_iter().map(condition)
        });
        said.collect()
    }

    pub(crate) fn reasons(&self, name: &str) -> Vec<ConditionReason> {
        let conditions = self.index.conditions().into_iter();
        let of_object =
            conditions.filter(|(object, _)| format!("{}/{}", object.namespace, object.name) == name);
        of_object.map(|(_, condition)| condition.reason).collect()
    }

    /// Whether a Pod takes a connection, by the policies that it lists and those of its namespace and the mesh.
    pub(crate) fn admits(&self, pod: &str, source: Option<&str>, source_ip: &str, port: u16) -> bool {
        let workload = self.pod(pod);
        let everywhere = self.policies.values().filter(|p| match p.scope {
            Scope::Global => true,
            Scope::Namespace => p.name.namespace == *workload.namespace(),
            Scope::WorkloadSelector => workload.authorization_policies.contains(&p.name),
        });
        let unknown = workload.authorization_policies.iter();
        let unknown = unknown.filter(|name| !self.policies.contains_key(&name.to_string()));
        let policies = PolicySet {
            unknown: unknown.cloned().collect(),
            groups: vec![Arc::new(PolicyGroup::compile(everywhere.cloned().map(Arc::new)))],
        };
        let source: Option<Identity> = source.map(|s| s.parse().expect("an identity"));
        let connection = Connection {
            source: source.as_ref(),
            source_ip: source_ip.parse().expect("an address"),
            destination_ip: workload.addresses[0],
            destination_port: port,
        };
        evaluate(&connection, &policies).is_allowed()
    }

    fn follow(&mut self) {
        let changes = self.index.take_changes();
        self.told = changes.addresses.len() + changes.authorizations.len() + changes.assignments.len();
        let l7 = changes.l7;
        self.told_l7 = l7.binds.len() + l7.routes.len();
        for change in l7.binds {
            fold(&mut self.binds, change.name.to_string(), change.value);
        }
        for change in l7.routes {
            fold(&mut self.routes, change.name.to_string(), change.value);
        }
        for change in l7.accounts {
            fold(&mut self.accounts, change.name.to_string(), change.value);
        }
        for change in changes.addresses {
            let address = change.value.map(|body| {
                let address = Address::decode(&change.name, body);
                address.unwrap_or_else(|e| panic!("{e}"))
            });
            fold(&mut self.addresses, change.name.to_string(), address);
        }
        for change in changes.authorizations {
            fold(&mut self.policies, change.name.to_string(), change.value);
        }
        for change in changes.assignments {
            match change {
                AssignmentChange::Assign(a) => {
                    let key = AssignmentKey {
                        node: a.node.clone(),
                        workload: a.workload.clone(),
                    };
                    self.assignments.insert(key, a);
                }
                AssignmentChange::Unassign(key) => {
                    assert!(
                        self.assignments.remove(&key).is_some(),
                        "{key:?} was never assigned"
                    );
                }
            }
        }
    }
}

fn fold<T: PartialEq>(known: &mut BTreeMap<String, T>, name: String, value: Option<T>) {
    match value {
        Some(value) => {
            assert!(
                known.get(&name) != Some(&value),
                "{name} was told anew and did not change"
            );
            known.insert(name, value);
        }
        // Nobody minds a removal of what was never there.
        None => drop(known.remove(&name)),
    }
}

pub(crate) fn objects(yaml: &str) -> Vec<Object> {
    let results = controlplane_k8s_api::parse(yaml).into_iter();
    results
        .map(|r| r.unwrap_or_else(|e| panic!("{e}\n{yaml}")).value)
        .collect()
}

pub(crate) fn named(name: &str) -> NamespacedName {
    name.parse().expect("<namespace>/<name>")
}

/// A live, ready and enrolled Pod on node `n1` with this address.
pub(crate) fn registered(address: &str) -> Registration {
    Registration {
        node: "n1".into(),
        uid: "sandbox".into(),
        addresses: vec![ip(address)],
        redirection: Redirection::Enabled,
        ready: true,
        live: true,
    }
}

pub(crate) fn ip(address: &str) -> IpAddr {
    address.parse().expect("an address")
}

/// A Pod on node `n1` without a status: `shop/web` with further YAML for its metadata and spec.
pub(crate) fn pod(name: &str, metadata: &str, spec: &str) -> String {
    let named = named(name);
    let (namespace, name) = (&named.namespace, &named.name);
    format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, namespace: {namespace}, {metadata}}}, \
         spec: {{nodeName: n1, {spec}}}}}\n---\n"
    )
}
