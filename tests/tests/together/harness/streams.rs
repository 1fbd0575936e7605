//! xDS as products have it: the server and the client of `mesh-xds`, over gRPC and TLS on this machine.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use mesh_dataplane::subscribe::Subscription;
use mesh_grpc::{
    AuthenticateCaller, ChannelConfig, ConnectionInfo, Credentials, Denied, Security, TlsTrust, TokenSource,
};
use mesh_xds::{AdmitNode, ClientConfig, NodeInfo, ResourceCache, SubscriberStatus, TypeUrl, XdsServer};
use rustls::RootCertStore;
use rustls::pki_types::PrivateKeyDer;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::time::Instant;
use tonic::metadata::MetadataMap;

/// A server and its one client.
pub(super) struct Streams {
    server: XdsServer<Anybody>,
    /// How often the client refused something, by type, when somebody last looked.
    refusals: BTreeMap<TypeUrl, u64>,
    types: usize,
    _runtime: Runtime,
}

impl Streams {
    pub(super) fn start(cache: ResourceCache, config: &ClientConfig, subscription: Subscription) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let server = XdsServer::new(cache, Anybody);
        let (serving, trusting) = trust();
        let _entered = runtime.enter();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        let incoming = mesh_grpc::serve::incoming(listener, move || serving.clone());
        let router = mesh_grpc::serve::builder().add_service(server.clone());
        runtime.spawn(router.serve_with_incoming(incoming));
        let channel = mesh_grpc::channel(ChannelConfig {
            address: format!("https://{address}").parse().unwrap(),
            server_name: Some(SERVER.to_owned()),
            security: Security::Tls(TlsTrust::new(move || Ok::<_, Infallible>(trusting.clone()))),
            credentials: Credentials::new(TokenSource::Anonymous),
        });
        let (_, driver) = mesh_xds::client(config, channel.unwrap(), subscription);
        runtime.spawn(async move {
            driver.await;
        });
        Self {
            server,
            refusals: BTreeMap::new(),
            types: config.types.len(),
            _runtime: runtime,
        }
    }

    /// Returns when the client answered everything that was published up to here.
    pub(super) fn settle(&self, sequence: u64) {
        let begin = Instant::now();
        while !self.is_settled(sequence) {
            assert!(begin.elapsed() < super::PATIENCE, "{:#?}", self.subscribers());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn is_settled(&self, sequence: u64) -> bool {
        let subscribers = self.server.subscribers();
        let mut all = subscribers.iter().flat_map(|s| &s.subscriptions);
        let count = all.clone().count();
        count == self.types && all.all(|s| s.sent >= sequence && !s.outstanding)
    }

    /// How the client stands.
    pub(super) fn subscribers(&self) -> Vec<SubscriberStatus> {
        self.server.subscribers()
    }

    /// What the client refused since the last call.
    pub(super) fn take_refused(&mut self) -> Vec<String> {
        let subscribers = self.server.subscribers();
        let all = subscribers.into_iter().flat_map(|s| s.subscriptions);
        let refused = all.filter_map(|subscription| {
            let before = self.refusals.insert(subscription.type_url, subscription.refusals);
            let more = subscription.refusals > before.unwrap_or_default();
            let last = subscription.last_refusal.filter(|_| more);
            last.map(|refusal| refusal.message)
        });
        refused.collect()
    }
}

/// Lets in whoever calls.
#[derive(Debug)]
struct Anybody;

impl AuthenticateCaller for Anybody {
    type Caller = ();

    async fn authenticate(&self, _: &MetadataMap, _: Option<&ConnectionInfo>) -> Result<(), Denied> {
        Ok(())
    }
}

impl AdmitNode for Anybody {
    fn admit(&self, (): &(), _: &NodeInfo) -> Result<(), Denied> {
        Ok(())
    }
}

/// A certificate of the server's own, and the trust in it.
fn trust() -> (Arc<rustls::ServerConfig>, Arc<rustls::ClientConfig>) {
    let made = rcgen::generate_simple_self_signed([SERVER.to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = mesh_tls::provider(&mesh_tls::TlsSettings::default());
    let mut server = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    server.alpn_protocols = vec![b"h2".to_vec()];
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (Arc::new(server), Arc::new(client))
}

const SERVER: &str = "istiod.istio-system.svc";
