//! The control plane's half: YAML in, resources over xDS out, statuses beside them. The product's own types in the order
//! in which its loop calls them; only the loop and the files are not there, and the sockets where nobody asks for them.

use std::net::IpAddr;

use clap::Parser;
use controlplane::args::CommandLine;
use controlplane::config::files::{ConfigFiles, FileChange, Verdict};
use controlplane::config::scan::FileName;
use controlplane::derivation::Derivation;
use controlplane::leases::{LeaseChange, Record};
use controlplane::statuses::StatusPage;
use controlplane_k8s_api::error::Position;
use controlplane_k8s_api::{Located, Object};
use mesh_dataplane::subscribe::{GATEWAY_TYPES, Subscription};
use mesh_register::{Place, Redirection, Report};
use mesh_types::NamespacedName;
use mesh_xds::client::{ClientSession, Received};
use mesh_xds::server::ServerSession;
use mesh_xds::{ApplyBatch, Change, ClientConfig, NodeInfo, ResourceCache, SubscriberStatus, TypeUrl};
use serde_json::Value;

use super::streams::Streams;

/// A control plane with one subscriber.
pub(crate) struct Plane {
    files: ConfigFiles,
    derivation: Derivation,
    cache: ResourceCache,
    link: Link,
}

/// What carries xDS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// Calls: quick.
    Calls,
    /// gRPC and TLS, as products have it.
    Grpc,
}

enum Link {
    Calls(Box<Sessions>),
    Grpc(Streams),
}

/// Both sessions, hand in hand.
struct Sessions {
    server: ServerSession,
    client: ClientSession,
    subscription: Subscription,
    refused: Vec<String>,
}

impl Plane {
    /// Followed by a proxy of the gateway `shop/<gateway>`.
    pub(crate) fn new(gateway: &str, subscription: Subscription, transport: Transport) -> Self {
        let line = ["lateen-controlplane", "--config-dir", "/", "--state-dir", "/"];
        let args = CommandLine::try_parse_from(line).unwrap().serve.unwrap();
        let cache = ResourceCache::new(&TypeUrl::IN_ORDER);
        cache.set_ready();
        let config = ClientConfig {
            node: NodeInfo::waypoint(None, gateway, super::NAMESPACE, super::NODE, gateway),
            types: GATEWAY_TYPES.to_vec(),
        };
        let link = match transport {
            Transport::Calls => Link::Calls(Box::new(Sessions::new(&cache, &config, subscription))),
            Transport::Grpc => Link::Grpc(Streams::start(cache.clone(), &config, subscription)),
        };
        Self {
            files: ConfigFiles::default(),
            derivation: Derivation::new(&args),
            cache,
            link,
        }
    }

    /// Takes documents, each as a file of its own, named like its object: one that is there already is replaced.
    ///
    /// # Errors
    /// Everything that is wrong with them; those that are right count all the same.
    pub(crate) fn apply(&mut self, yaml: &str) -> Result<(), Vec<String>> {
        let mut wrong = Vec::new();
        for document in yaml.split("\n---").filter(|text| !text.trim().is_empty()) {
            wrong.extend(self.write(&name_of(document), document));
        }
        self.derivation.apply(self.files.take_changes());
        self.publish();
        match wrong.is_empty() {
            true => Ok(()),
            false => Err(wrong),
        }
    }

    /// Puts a text, whatever it is, in place of an object's file.
    pub(crate) fn overwrite(&mut self, kind: &str, namespace: &str, name: &str, text: &str) -> Vec<String> {
        let wrong = self.write(&file(kind, namespace, name), text);
        self.derivation.apply(self.files.take_changes());
        self.publish();
        wrong
    }

    /// Takes an object that nobody checked.
    pub(crate) fn apply_unchecked(&mut self, object: Object) {
        let key = object.key().unwrap();
        let located = Located {
            at: Position::START,
            value: object,
            warnings: Vec::new(),
        };
        self.derivation.apply(vec![FileChange::Set(key, located.into())]);
        self.publish();
    }

    /// Publishes a resource that no object of a user's becomes.
    pub(crate) fn inject(&mut self, changes: Vec<Change>) {
        self.cache.publish(changes);
        self.publish();
    }

    fn write(&mut self, file: &str, text: &str) -> Vec<String> {
        match self.files.update(&FileName::new(file), text) {
            Verdict::Good | Verdict::StillBroken => Vec::new(),
            Verdict::KeptLastGood(errors) | Verdict::NeverGood(errors) => errors,
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
        let page = self.status_page();
        let mut objects = page["objects"].as_array()?.iter();
        let of = |object: &&Value| {
            object["kind"] == kind && object["namespace"] == namespace && object["name"] == name
        };
        objects.find(of).cloned()
    }

    /// The page `/status`.
    pub(crate) fn status_page(&self) -> Value {
        let page = StatusPage::new(
            self.derivation.statuses(),
            self.files.status(),
            &self.link.subscribers(),
        );
        serde_json::to_value(page).unwrap()
    }

    /// What the proxy refused since the last call.
    pub(crate) fn take_refused(&mut self) -> Vec<String> {
        match &mut self.link {
            Link::Calls(sessions) => std::mem::take(&mut sessions.refused),
            Link::Grpc(streams) => streams.take_refused(),
        }
    }

    /// What follows from everything so far is at the proxy when this returns.
    fn publish(&mut self) {
        let published = self.cache.publish(self.derivation.take_resources());
        match &mut self.link {
            Link::Calls(sessions) => sessions.exchange(),
            Link::Grpc(streams) => streams.settle(published.sequence),
        }
    }
}

impl Link {
    fn subscribers(&self) -> Vec<SubscriberStatus> {
        match self {
            Self::Calls(sessions) => vec![sessions.server.status()],
            Self::Grpc(streams) => streams.subscribers(),
        }
    }
}

impl Sessions {
    fn new(cache: &ResourceCache, config: &ClientConfig, subscription: Subscription) -> Self {
        let client = ClientSession::new(config);
        let mut server = ServerSession::new(cache.clone());
        for request in client.open() {
            server.receive(request).unwrap();
        }
        Self {
            server,
            client,
            subscription,
            refused: Vec::new(),
        }
    }

    fn exchange(&mut self) {
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

/// The file of the first object of a text, if it can be told which that is.
fn name_of(document: &str) -> String {
    let object = controlplane_k8s_api::parse(document)
        .into_iter()
        .find_map(|parsed| {
            let object = match parsed {
                Ok(object) => object.value.key()?.reference(),
                Err(error) => *error.object?,
            };
            (!object.name.is_empty()).then_some(object)
        });
    match object {
        Some(object) => file(&object.kind, &object.namespace, &object.name),
        // Of no kind that is read: the text is its own name.
        None => format!("unnamed-{:.40}.yaml", document.trim().replace(['/', '\n'], " ")),
    }
}

fn file(kind: &str, namespace: &str, name: &str) -> String {
    format!("{kind}/{namespace}/{name}.yaml")
}
