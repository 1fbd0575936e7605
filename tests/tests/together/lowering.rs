//! The fuzz target from end to end: any text that a user may write, through the control plane's derivation, over the wire,
//! into the waypoint's state, compiled there, and asked about. It stands by itself, so that libFuzzer can have it.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use controlplane_index::l7::Scoped;
use controlplane_index::{Index, MeshConfig, ObjectChange, ResourceChange};
use http::{HeaderMap, HeaderValue, Method, Uri};
use mesh_model::l7::request::{Claims, Client, Request};
use mesh_model::l7::{Backend, Bind, EndpointLabels, Policy, Route};
use mesh_model::service::VirtualAddress;
use mesh_model::{Address, AppProtocol, Authorization, Service};
use mesh_state::l7::{L7Snapshot, L7Update, l7};
use mesh_state::{Settings, StateReader, Update, mesh};
use mesh_types::fuzzing::{corpus, mutations};
use mesh_types::{Authority, NamespacedName};
use waypoint::explain::{Asked, Question, explain};
use waypoint::frontend::{Frontend, Gateway};
use waypoint::route::Tables;

/// Text in, answers about requests out. What is written survives the wire as it is; whatever it was, the waypoint compiles
/// it, and knows what becomes of every request.
///
/// # Panics
/// Panics when any of that does not hold.
pub(crate) fn fuzz(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let objects = controlplane_k8s_api::parse(text)
        .into_iter()
        .filter_map(Result::ok);
    let mut index = Index::new(MeshConfig::default());
    index.apply(objects.map(|object| ObjectChange::Set(object.value)));
    let changes = index.take_changes();
    let (mut writer, state) = mesh(Settings::default());
    let mut updates = Vec::new();
    for change in changes.addresses {
        let sent = change.value.expect("nothing was there to be removed");
        let again = Address::decode(&change.name, sent.clone()).expect("what is sent is understood");
        assert_eq!(again.encode(), sent);
        updates.push(match again {
            Address::Workload(workload) => Update::Workload(workload),
            Address::Service(service) => Update::Service(service),
        });
    }
    for change in changes.authorizations {
        let policy = change.value.expect("nothing was there to be removed");
        let again = Authorization::decode(&change.name, policy.encode()).expect("what is sent is understood");
        assert_eq!(again, policy);
        updates.push(Update::Authorization(again));
    }
    writer.apply(updates);
    let (mut l7_writer, reader) = l7();
    let l7 = changes.l7;
    let mut updates = Vec::new();
    for change in l7.binds {
        updates.push(L7Update::Bind(again(change, Bind::encode, Bind::decode)));
    }
    for change in l7.routes {
        updates.push(L7Update::Route(again(change, Route::encode, Route::decode)));
    }
    for change in l7.backends {
        updates.push(L7Update::Backend(again(change, Backend::encode, Backend::decode)));
    }
    for change in l7.policies {
        updates.push(L7Update::Policy(again(change, Policy::encode, Policy::decode)));
    }
    for change in l7.endpoint_labels {
        let labels = again(change, EndpointLabels::encode, EndpointLabels::decode);
        updates.push(L7Update::EndpointLabels(labels));
    }
    l7_writer.apply(updates);
    ask(&state, &reader.snapshot());
}

/// What the waypoint reads of what the control plane sends; written again, it is the same.
fn again<T, E: std::fmt::Debug>(
    change: ResourceChange<Scoped<T>>,
    encode: fn(&T) -> Bytes,
    decode: fn(&str, Bytes) -> Result<T, E>,
) -> Arc<T> {
    let sent = change.value.expect("nothing was there to be removed").value;
    let read = decode(&change.name, encode(&sent)).expect("what is sent is understood");
    // Times beyond what the wire can say are shortened there: the values may differ, the bytes may not.
    assert_eq!(encode(&read), encode(&sent), "{}", change.name);
    Arc::new(read)
}

/// Requests and connections to everything that is served.
fn ask(state: &StateReader, snapshot: &L7Snapshot) {
    let gateways: BTreeSet<NamespacedName> = snapshot.binds().map(|bind| bind.gateway.clone()).collect();
    let services: Vec<_> = state.query(|view| view.services().cloned().collect());
    for gateway in gateways.into_iter().take(4) {
        let gateway = Gateway::new(gateway, "cluster.local");
        for service in &services {
            for to in places(service) {
                for (method, path) in REQUESTS {
                    let question = question(to.clone(), Some((method, path, &service.hostname.hostname)));
                    let _ = explain(state, snapshot, &gateway, &question);
                }
                let _ = explain(state, snapshot, &gateway, &question(to, None));
            }
        }
    }
    let tables = Tables::default();
    for bind in snapshot.binds() {
        let gateway = Gateway::new(bind.gateway.clone(), "cluster.local");
        let frontend = Frontend::Listener {
            bind: bind.key(),
            hostnames: Arc::default(),
            port: bind.port,
            protocol: AppProtocol::Http11,
        };
        let compiled = tables.compiled(snapshot, &frontend, &gateway);
        let headers = headers();
        for (method, path) in REQUESTS {
            let request = Request {
                method: &method.parse().expect("a constant"),
                scheme: "http",
                authority: "web.example.com",
                path,
                query: None,
                headers: &headers,
                metadata: None,
            };
            let _ = tables.route(&compiled, &frontend, &request, &CLIENT, &Claims::none());
        }
    }
}

/// Some of a service's addresses and ports.
fn places(service: &Service) -> Vec<Authority> {
    let addresses = service.addresses.iter().filter_map(|address| match address {
        VirtualAddress::Single(address) => Some(address.address),
        VirtualAddress::Range(_) => None,
    });
    let ports: Vec<u16> = service
        .ports
        .iter()
        .map(|port| port.service_port)
        .take(3)
        .collect();
    let places = addresses
        .take(2)
        .flat_map(|address| ports.iter().map(move |port| SocketAddr::new(address, *port)));
    places.map(Authority::from).collect()
}

fn question(to: Authority, request: Option<(&str, &str, &str)>) -> Question {
    let asked = |(method, path, host): (&str, &str, &str)| Asked {
        method: method.parse::<Method>().expect("a constant"),
        target: path.parse::<Uri>().expect("a constant"),
        host: host.to_owned(),
        headers: headers(),
    };
    Question {
        to,
        from: "spiffe://cluster.local/ns/shop/sa/client".parse().ok(),
        address: CLIENT.address,
        server_name: Some("web.example.com".to_owned()),
        request: request.map(asked),
        claims: Claims::none(),
    }
}

fn headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("version", HeaderValue::from_static("two"));
    headers.insert("cookie", HeaderValue::from_static("a=b"));
    headers
}

const CLIENT: Client<'static> = Client {
    identity: None,
    address: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 9)),
    remote_address: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 9)),
    server_name: Some("web.example.com"),
    labels: &[],
};
const REQUESTS: [(&str, &str); 4] = [
    ("GET", "/"),
    ("POST", "/api/v1/cart?version=two"),
    ("GET", "//a/../%2fb"),
    ("OPTIONS", "/shop.Cart/Add"),
];

#[test]
fn whatever_is_written_the_waypoint_knows_what_becomes_of_requests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let corpus = corpus(&root.join("../controlplane/index/fuzz/corpus/derive"));
    mutations(&corpus, 11, 500).for_each(|text| fuzz(&text));
}
