//! The control plane's half: YAML in, resources over xDS out, statuses beside them. The product's own types in the order
//! in which its loop calls them; only the loop, the files and the sockets are not there.

use std::net::IpAddr;

use clap::Parser;
use controlplane::args::CommandLine;
use controlplane::config::files::{ConfigFiles, Verdict};
use controlplane::config::scan::FileName;
use controlplane::derivation::Derivation;
use controlplane::leases::{LeaseChange, Record};
use controlplane::statuses::StatusView;
use mesh_dataplane::subscribe::{GATEWAY_TYPES, Subscription};
use mesh_register::{Place, Redirection, Report};
use mesh_types::NamespacedName;
use mesh_xds::client::{ClientSession, Received};
use mesh_xds::server::ServerSession;
use mesh_xds::{ApplyBatch, ClientConfig, NodeInfo, ResourceCache, TypeUrl};
use serde_json::Value;

/// A control plane with one subscriber.
pub(crate) struct Plane {
    files: ConfigFiles,
    derivation: Derivation,
    cache: ResourceCache,
    server: ServerSession,
    client: ClientSession,
    subscription: Subscription,
    refused: Vec<String>,
}

impl Plane {
    /// Followed by a proxy of the gateway `shop/<gateway>`.
    pub(crate) fn new(gateway: &str, subscription: Subscription) -> Self {
        let line = ["lateen-controlplane", "--config-dir", "/", "--state-dir", "/"];
        let args = CommandLine::try_parse_from(line).unwrap().serve.unwrap();
        let cache = ResourceCache::new(&TypeUrl::IN_ORDER);
        cache.set_ready();
        let config = ClientConfig {
            node: NodeInfo::waypoint(None, gateway, super::NAMESPACE, super::NODE, gateway),
            types: GATEWAY_TYPES.to_vec(),
        };
        let client = ClientSession::new(&config);
        let mut server = ServerSession::new(cache.clone());
        for request in client.open() {
            server.receive(request).unwrap();
        }
        Self {
            files: ConfigFiles::default(),
            derivation: Derivation::new(&args),
            cache,
            server,
            client,
            subscription,
            refused: Vec::new(),
        }
    }

    /// Takes documents, each as a file of its own, named like its object: one that is there already is replaced.
    ///
    /// # Errors
    /// Everything that is wrong with them; those that are right count all the same.
    pub(crate) fn apply(&mut self, yaml: &str) -> Result<(), Vec<String>> {
        let mut wrong = Vec::new();
        for document in yaml.split("\n---").filter(|text| !text.trim().is_empty()) {
            let mut keys = controlplane_k8s_api::parse(document).into_iter();
            let key = keys.find_map(|object| object.ok()?.value.key());
            let name = match key {
                Some(key) => file(key.kind.as_str(), &key.namespace, &key.name),
                // Broken, or of no kind that is read: the text is its own name.
                None => format!("unnamed-{:.40}.yaml", document.trim().replace(['/', '\n'], " ")),
            };
            match self.files.update(&FileName::new(&name), document) {
                Verdict::Good | Verdict::StillBroken => {}
                Verdict::KeptLastGood(errors) | Verdict::NeverGood(errors) => wrong.extend(errors),
            }
        }
        self.derivation.apply(self.files.take_changes());
        self.publish();
        match wrong.is_empty() {
            true => Ok(()),
            false => Err(wrong),
        }
    }

    /// Takes an object away.
    pub(crate) fn remove(&mut self, kind: &str, namespace: &str, name: &str) {
        self.files.remove(&FileName::new(&file(kind, namespace, name)));
        let changes = self.files.take_changes();
        assert!(!changes.is_empty(), "there is no {kind} {namespace}/{name}");
        self.derivation.apply(changes);
        self.publish();
    }

    /// A Pod of the namespace has these addresses now.
    pub(crate) fn register(&mut self, pod: &str, redirection: Redirection, addresses: Vec<IpAddr>) {
        let report = Report {
            workload: NamespacedName::new(super::NAMESPACE, pod),
            uid: format!("uid-of-{pod}"),
            addresses,
            redirection,
            network_ready: true,
        };
        let record = Record {
            place: Place::new(super::NODE),
            report,
            live: true,
        };
        self.derivation.register(vec![LeaseChange::Set(record)]);
        self.publish();
    }

    /// A Pod of the namespace does not run any more.
    pub(crate) fn deregister(&mut self, pod: &str) {
        let workload = NamespacedName::new(super::NAMESPACE, pod);
        self.derivation.register(vec![LeaseChange::Removed(workload)]);
        self.publish();
    }

    /// What `/status` says of an object.
    pub(crate) fn status(&self, kind: &str, namespace: &str, name: &str) -> Option<Value> {
        let mut statuses = self.derivation.statuses().into_iter();
        let status = statuses.find(|status| {
            let object = &status.object;
            object.kind.as_str() == kind && object.namespace == *namespace && object.name == *name
        })?;
        Some(serde_json::to_value(StatusView::from(status)).unwrap())
    }

    /// What the proxy refused since the last call.
    pub(crate) fn take_refused(&mut self) -> Vec<String> {
        std::mem::take(&mut self.refused)
    }

    /// What follows from everything so far is at the proxy when this returns.
    fn publish(&mut self) {
        self.cache.publish(self.derivation.take_resources());
        while let Some(push) = self.server.next_push().unwrap() {
            let response = push.decode().unwrap();
            let answer = match self.client.receive(response) {
                Received::Answer(answer) => *answer,
                Received::Apply(batch, pending) => {
                    let outcome = self.subscription.apply(batch);
                    if let Err(rejected) = &outcome {
                        let text = rejected.iter().map(|r| format!("{}: {}", r.name, r.reason));
                        self.refused.extend(text);
                    }
                    self.client.answer(pending, outcome)
                }
            };
            self.server.receive(answer).unwrap();
        }
    }
}

fn file(kind: &str, namespace: &str, name: &str) -> String {
    format!("{kind}/{namespace}/{name}.yaml")
}
