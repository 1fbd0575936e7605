//! Object and request together, in one process and in milliseconds.
//!
//! ```text
//!   YAML --> ConfigFiles --> Derivation --> ResourceCache --> both xDS sessions --> Subscription --> state
//!            `------------- controlplane -------------'       `--- mesh-xds ---'   `-- mesh-dataplane --'
//!                                                                                                  |
//!   test --- tunnel (mutual TLS) or plain connection ---> workers of the waypoint on their threads v---> backends
//! ```
//! Everything between the user's text and the backend's socket is the product's; only the control plane's loop and its
//! gRPC sockets are not there, so that what was applied is in force when the call returns.
//!
//! # Use
//! ```ignore
//! let mesh = Together::shop("{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, ...}");
//! let answer = mesh.get("/cart").header("version", "two").send();
//! assert_eq!(answer.by(), "web-v2");                        // empty: nobody but the waypoint itself
//! assert_eq!(answer.seen().header("x-added").as_deref(), Some("yes"));   // what the backend was asked
//! mesh.apply("...");                                         // replaces the object of the same kind and name
//! mesh.remove("HTTPRoute", "web");
//! assert!(mesh.holds("HTTPRoute", "web", "Accepted"));       // conditions; `mesh.status(..)` is the JSON of `/status`
//! assert!(mesh.log(1)[0].contains("GET /cart"));             // access-log lines, once there are so many
//! assert!(mesh.metrics().contains("istio_requests_total"));
//! ```
//! - [`Together::shop`] is the usual stage: namespace `shop` with waypoint `waypoint`; Service `web` over the backends
//!   `web-v1` and `web-v2`, each with a Service of its own name. [`Together::start`] has only namespace and waypoint,
//!   [`Together::gateway`] a gateway of class `lateen` instead. YAML that is given first is there from the beginning.
//! - [`Together::backend`] starts a backend: a Pod with labels, in no Service by itself; [`Together::service`] writes a
//!   Service with the usual ports: 80 (HTTP), 81 (nothing is said: detected), 443 (TLS), 9000 (TCP), 9090 (gRPC).
//! - Requests go through a tunnel to `web:80` as `client`; say [`Ask::to`], [`Ask::from`], [`Ask::http2`], [`Ask::host`]
//!   for others, [`Ask::at`] for a port of a gateway without tunnels. [`Together::grpc`] is one call of gRPC,
//!   [`Together::connect`] a connection for any bytes, [`Together::keep`] one for several requests.
//! - What backends do: [`Backend::answers`], `fails`, `takes`, `says`, `hangs_up`, `stop`; a request header `say-status`
//!   asks for a status. What they saw: [`Backend::requests`], for copies within [`Together::until`].
//! - [`Together::shop_over_grpc`] has xDS over gRPC and TLS. What is wrong: [`Together::try_apply`], [`Together::overwrite`]
//!   an object's file with anything, [`Together::apply_unchecked`] an object that no file could hold, [`Together::inject`] a
//!   resource that no object becomes.
//! - Rows of `docs/l7.md`: a test that runs one names it in a comment, `// row: HTTPRoute rules.timeouts.request`, and
//!   `tests/l7_table.rs` holds that each row which says "yes" is named by a test here or in `tests/netns`.
//!
//! # Layout
//! - this file: [`Together`]. - [`plane`]: the control plane's half. - [`proxy`]: the waypoint's half.
//! - [`streams`]: xDS over gRPC. - [`backend`]: applications. - [`request`]: what is asked and answered.
//! - [`wire`][]: connections. - `chat`: calls that are open both ways.

#![expect(clippy::unwrap_used, reason = "this is test code outside of test functions")]

pub(crate) mod backend;
mod chat;
mod plane;
mod proxy;
pub(crate) mod request;
mod streams;
pub(crate) mod wire;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use mesh_register::Redirection;
use mesh_testkit::TestAuthority;
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::task::LocalSet;
use tokio::time::Instant;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;
use waypoint::settings::Settings;

pub(crate) use backend::{Backend, Seen};
use plane::{Plane, Transport};
use proxy::Proxy;
pub(crate) use request::{Answer, Ask, Call};
use wire::Clients;
pub(crate) use wire::{Conn, Kept};

/// A mesh of one namespace, one waypoint, and some backends.
pub(crate) struct Together {
    plane: RefCell<Plane>,
    proxy: RefCell<Proxy>,
    pub(crate) authority: TestAuthority,
    backends: RefCell<BTreeMap<String, Rc<Backend>>>,
    clients: Clients,
    peers: RefCell<BTreeMap<String, wire::Peers>>,
    services: Cell<u8>,
    local: LocalSet,
    runtime: Runtime,
}

/// The namespace of everything whose namespace nobody says.
pub(crate) const NAMESPACE: &str = "shop";
const NODE: &str = "node-a";

impl Together {
    /// A namespace with a waypoint for everything in it, `shop/waypoint`.
    pub(crate) fn start(yaml: &str) -> Self {
        Self::with(
            "waypoint",
            Settings::default(),
            2,
            &format!("{WAYPOINT}---\n{yaml}"),
        )
    }

    /// The usual stage: Service `web` over `web-v1` and `web-v2`, and each with a Service of its own name.
    pub(crate) fn shop(yaml: &str) -> Self {
        Self::shop_where(Settings::default(), yaml)
    }

    /// The usual stage with other limits and timers.
    pub(crate) fn shop_where(settings: Settings, yaml: &str) -> Self {
        Self::with("waypoint", settings, 2, WAYPOINT).furnished(yaml)
    }

    /// The usual stage, with xDS as products have it.
    pub(crate) fn shop_over_grpc(yaml: &str) -> Self {
        Self::over(Transport::Grpc, "waypoint", Settings::default(), 2, WAYPOINT).furnished(yaml)
    }

    fn furnished(self, yaml: &str) -> Self {
        let mesh = self;
        mesh.service("web", "app: web");
        for version in ["v1", "v2"] {
            let name = format!("web-{version}");
            mesh.service(&name, &format!("version: {version}"));
            mesh.backend(&name, &format!("app: web, version: {version}"));
        }
        mesh.apply(yaml);
        mesh
    }

    /// A proxy of the gateway `shop/<name>`, which `yaml` has to have; there is no waypoint.
    pub(crate) fn gateway(name: &str, yaml: &str) -> Self {
        Self::with(
            name,
            Settings::default(),
            2,
            &format!("{NAMESPACE_OBJECT}---\n{yaml}"),
        )
    }

    /// Any of these.
    pub(crate) fn with(gateway: &str, settings: Settings, workers: usize, yaml: &str) -> Self {
        Self::over(Transport::Calls, gateway, settings, workers, yaml)
    }

    fn over(transport: Transport, gateway: &str, settings: Settings, workers: usize, yaml: &str) -> Self {
        quiet();
        let authority = TestAuthority::new();
        let ip = address();
        let (mut proxy, subscription) = Proxy::start(gateway, ip, &authority, settings, workers);
        let mut plane = Plane::new(gateway, subscription, transport);
        plane.apply(yaml).unwrap_or_else(|wrong| panic!("{wrong:#?}"));
        let pod = format!("{gateway}-0");
        let label = format!("gateway.networking.k8s.io/gateway-name: {gateway}");
        plane.apply(&pod_object(&pod, gateway, &label)).unwrap();
        plane.register(&pod, Redirection::Plain, vec![ip]);
        proxy.follow_binds();
        Self {
            plane: RefCell::new(plane),
            proxy: RefCell::new(proxy),
            clients: Clients::new(&authority, gateway),
            authority,
            backends: RefCell::default(),
            peers: RefCell::default(),
            services: Cell::new(0),
            local: LocalSet::new(),
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap(),
        }
    }

    /// Applies objects; what they mean is in force when this returns. None of them may be wrong, and the waypoint may
    /// refuse nothing.
    pub(crate) fn apply(&self, yaml: &str) {
        self.try_apply(yaml).unwrap_or_else(|wrong| panic!("{wrong:#?}"));
    }

    /// Applies objects; says what is wrong with them.
    pub(crate) fn try_apply(&self, yaml: &str) -> Result<(), Vec<String>> {
        let outcome = self.plane.borrow_mut().apply(yaml);
        self.settle();
        outcome
    }

    /// Puts a text, whatever it is, in place of an object's file; says what is wrong with it.
    pub(crate) fn overwrite(&self, kind: &str, name: &str, text: &str) -> Vec<String> {
        let (namespace, name) = split(name);
        let wrong = self.plane.borrow_mut().overwrite(kind, namespace, name, text);
        self.settle();
        wrong
    }

    /// Applies an object that is changed after somebody looked at it, as a source without admission might give it.
    pub(crate) fn apply_unchecked(
        &self,
        yaml: &str,
        break_it: impl FnOnce(&mut controlplane_k8s_api::Object),
    ) {
        let object = controlplane_k8s_api::parse(yaml).remove(0);
        let mut object = object.unwrap_or_else(|wrong| panic!("{wrong}")).value;
        break_it(&mut object);
        self.plane.borrow_mut().apply_unchecked(object);
        self.settle();
    }

    /// Sends the waypoint resources that no object becomes; says what it refuses.
    pub(crate) fn inject(&self, changes: Vec<mesh_xds::Change>) -> Vec<String> {
        let mut plane = self.plane.borrow_mut();
        plane.inject(changes);
        self.proxy.borrow_mut().follow_binds();
        plane.take_refused()
    }

    /// The page `/status`.
    pub(crate) fn status_page(&self) -> Value {
        self.plane.borrow().status_page()
    }

    /// Takes an object away; `name` may have a namespace before it.
    pub(crate) fn remove(&self, kind: &str, name: &str) {
        let (namespace, name) = split(name);
        self.plane.borrow_mut().remove(kind, namespace, name);
        self.settle();
    }

    /// What `/status` says of an object; null where it says nothing.
    pub(crate) fn status(&self, kind: &str, name: &str) -> Value {
        let (namespace, name) = split(name);
        self.plane
            .borrow()
            .status(kind, namespace, name)
            .unwrap_or_default()
    }

    /// Whether a condition of an object holds: its own, or that of all its parents.
    pub(crate) fn holds(&self, kind: &str, name: &str, condition: &str) -> bool {
        let found = self.conditions(kind, name, condition);
        assert!(
            !found.is_empty(),
            "{kind} {name} has no {condition}: {}",
            self.status(kind, name)
        );
        found.iter().all(|c| c["status"] == "True")
    }

    /// The reason of a condition of an object.
    pub(crate) fn reason(&self, kind: &str, name: &str, condition: &str) -> String {
        let found = self.conditions(kind, name, condition);
        let reason = found.first().and_then(|c| c["reason"].as_str());
        reason.unwrap_or_default().to_owned()
    }

    /// All conditions of a type that an object has: its own, and those of its parents.
    pub(crate) fn conditions(&self, kind: &str, name: &str, condition: &str) -> Vec<Value> {
        let status = self.status(kind, name);
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let of_parents = list(&status["parents"]).into_iter();
        let all = list(&status["conditions"])
            .into_iter()
            .chain(of_parents.flat_map(|p| list(&p["conditions"])));
        all.filter(|c| c["type"] == condition).collect()
    }

    /// Starts a backend: a Pod with these labels, which its node's proxy does not serve.
    pub(crate) fn backend(&self, name: &str, labels: &str) -> Rc<Backend> {
        self.start_backend(name, labels, Redirection::Plain)
    }

    /// Starts a backend in the mesh: the waypoint reaches it through a tunnel, as itself.
    pub(crate) fn mesh_backend(&self, name: &str, labels: &str) -> Rc<Backend> {
        let backend = self.start_backend(name, labels, Redirection::Enabled);
        let identity = mesh_testkit::objects::identity(NAMESPACE, name);
        let peers = wire::Peers::default();
        wire::end_tunnels(self.authority.certificate(&identity), backend.ip, peers.clone());
        self.peers.borrow_mut().insert(name.to_owned(), peers);
        backend
    }

    /// A Pod that is registered and where nobody listens.
    pub(crate) fn absent(&self, name: &str, labels: &str) {
        self.apply(&pod_object(name, name, labels));
        let ip = address();
        self.plane
            .borrow_mut()
            .register(name, Redirection::Plain, vec![ip]);
        self.settle();
    }

    /// Whether the waypoint knows a host.
    pub(crate) fn knows(&self, host: &str) -> bool {
        let proxy = self.proxy.borrow();
        proxy
            .state
            .query(|view| view.service_by_hostname(host, NAMESPACE).is_some())
    }

    /// Whose tunnels came to a backend in the mesh.
    pub(crate) fn peers_of(&self, name: &str) -> Vec<String> {
        self.peers.borrow()[name].lock().clone()
    }

    fn start_backend(&self, name: &str, labels: &str, redirection: Redirection) -> Rc<Backend> {
        let backend = Rc::new(Backend::start(name, address()));
        self.apply(&pod_object(name, name, labels));
        self.plane
            .borrow_mut()
            .register(name, redirection, vec![backend.ip]);
        self.settle();
        self.backends
            .borrow_mut()
            .insert(name.to_owned(), backend.clone());
        backend
    }

    /// A backend that was started before.
    pub(crate) fn of(&self, name: &str) -> Rc<Backend> {
        self.backends.borrow()[name].clone()
    }

    /// The backend's Pod is gone from the mesh; its process goes on.
    pub(crate) fn deregister(&self, name: &str) {
        self.plane.borrow_mut().deregister(name);
        self.settle();
    }

    /// Writes a Service with the usual ports; its address is the next one of 10.96.0.0/24.
    pub(crate) fn service(&self, name: &str, selector: &str) {
        self.service_with(name, selector, "", "");
    }

    /// The same with labels and annotations.
    pub(crate) fn service_with(&self, name: &str, selector: &str, labels: &str, annotations: &str) {
        self.services.set(self.services.get() + 1);
        let vip = self.services.get();
        self.apply(&format!(
            "{{apiVersion: v1, kind: Service, metadata: {{name: {name}, namespace: {NAMESPACE}, labels: {{{labels}}}, annotations: {{{annotations}}}}}, \
             spec: {{clusterIP: 10.96.0.{vip}, selector: {{{selector}}}, ports: [{{name: http, port: 80, targetPort: 8080}}, \
             {{name: any, port: 81, targetPort: 8080}}, {{name: https, port: 443, targetPort: 8443}}, \
             {{name: tcp, port: 9000}}, {{name: grpc, port: 9090, targetPort: 8080}}]}}}}"
        ));
    }

    /// A GET.
    pub(crate) fn get(&self, path: &str) -> Ask<'_> {
        self.ask("GET", path)
    }

    /// A POST.
    pub(crate) fn post(&self, path: &str, body: &str) -> Ask<'_> {
        self.ask("POST", path).body(body.to_owned())
    }

    /// Any request.
    pub(crate) fn ask(&self, method: &str, path: &str) -> Ask<'_> {
        Ask::new(self, method, path)
    }

    /// A call of gRPC to `web:9090`.
    pub(crate) fn grpc(&self, method: &str) -> Call<'_> {
        Call::new(self, method)
    }

    /// A connection to a service's port, as `client`, through a tunnel.
    pub(crate) fn connect(&self, to: &str) -> Conn<'_> {
        self.connect_as("client", to)
    }

    /// A connection as somebody else.
    pub(crate) fn connect_as(&self, account: &str, to: &str) -> Conn<'_> {
        self.try_connect(account, to)
            .unwrap_or_else(|error| panic!("{to}: {error}"))
    }

    /// A connection, or why there is none.
    pub(crate) fn try_connect(&self, account: &str, to: &str) -> Result<Conn<'_>, String> {
        let target = self.target(to);
        let tunnel = self.block_on(self.clients.tunnel(account, self.tunnels_at(), &target))?;
        Ok(Conn::new(self, tunnel.into_io()))
    }

    /// A connection to a gateway's port that is no tunnel; one that is reset is one that ends.
    pub(crate) fn connect_at(&self, port: u16) -> Conn<'_> {
        let address = self.listener(port);
        match self.block_on(tokio::net::TcpStream::connect(address)) {
            Ok(stream) => Conn::new(self, stream),
            // It was refused before anything was said.
            Err(_) => Conn::new(self, tokio::io::join(tokio::io::empty(), tokio::io::sink())),
        }
    }

    /// One connection for several requests.
    pub(crate) fn keep(&self, ask: Ask<'_>) -> Kept<'_> {
        Kept::open(self, &ask)
    }

    /// The access log, once it has so many lines.
    pub(crate) fn log(&self, lines: usize) -> Vec<String> {
        self.until("lines of the access log", || {
            let log = self.proxy.borrow().log();
            (log.len() >= lines).then_some(log)
        })
    }

    /// What DNS says of a host from now on; without an address it is unknown.
    pub(crate) fn resolves(&self, host: &str, addresses: &[IpAddr]) {
        self.proxy.borrow().names.set(host, addresses);
    }

    /// A directory for what the waypoint writes.
    pub(crate) fn directory(&self) -> std::path::PathBuf {
        self.proxy.borrow().directory().to_owned()
    }

    /// All metrics, as they are scraped.
    pub(crate) fn metrics(&self) -> String {
        self.proxy.borrow().metrics()
    }

    /// What the waypoint serves, as it sees it.
    pub(crate) fn l7(&self) -> std::sync::Arc<mesh_state::l7::L7Snapshot> {
        self.proxy.borrow().l7.snapshot()
    }

    /// Looks until there is something to see; how long that takes decides nothing.
    pub(crate) fn until<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let begin = Instant::now();
        loop {
            if let Some(seen) = look() {
                return seen;
            }
            assert!(
                begin.elapsed() < PATIENCE,
                "{what} did not come within {PATIENCE:?}"
            );
            self.block_on(async { tokio::time::sleep(Duration::from_millis(5)).await });
        }
    }

    /// Runs a future beside the clients' connections.
    pub(crate) fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.local.block_on(&self.runtime, async {
            let limited = tokio::time::timeout(PATIENCE, future).await;
            limited.unwrap_or_else(|_| panic!("nothing happened within {PATIENCE:?}"))
        })
    }

    /// Where a port of the gateway is.
    pub(crate) fn listener(&self, port: u16) -> SocketAddr {
        let at = self.proxy.borrow().at(port);
        at.unwrap_or_else(|| panic!("the gateway does not listen on {port}"))
    }

    /// What a client's proxy asks for: the address of a service, by the name that people use; anything else as it is.
    pub(crate) fn target(&self, to: &str) -> String {
        let (host, port) = to.rsplit_once(':').unwrap_or((to, "80"));
        if to.parse::<SocketAddr>().is_ok() {
            return to.to_owned();
        }
        if let Some(backend) = host.strip_prefix("pod/") {
            return format!("{}:{port}", self.of(backend).ip);
        }
        let full = match host.matches('.').count() {
            0 => format!("{host}.{NAMESPACE}.svc.cluster.local"),
            _ => host.to_owned(),
        };
        let vip = self.proxy.borrow().state.query(|view| {
            let service = view.service_by_hostname(&full, NAMESPACE)?;
            service.addresses.iter().find_map(|address| match address {
                mesh_model::service::VirtualAddress::Single(address) => Some(address.address),
                mesh_model::service::VirtualAddress::Range(_) => None,
            })
        });
        match vip {
            Some(vip) => SocketAddr::new(vip, port.parse().unwrap()).to_string(),
            None => panic!("{full} is no service with an address"),
        }
    }

    fn tunnels_at(&self) -> SocketAddr {
        self.listener(15008)
    }

    fn settle(&self) {
        let refused = self.plane.borrow_mut().take_refused();
        assert!(refused.is_empty(), "the waypoint refuses: {refused:#?}");
        self.proxy.borrow_mut().follow_binds();
    }
}

/// Backends run here, for all tests.
fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(2).enable_all().build().unwrap()
    })
}

/// Access logs are written where somebody listens to them; everything else is for those who ask by `RUST_LOG`.
fn quiet() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| {
        let asked = std::env::var("RUST_LOG").ok().and_then(|text| text.parse().ok());
        let shown: Targets = asked.unwrap_or_default();
        let show = tracing_subscriber::fmt::layer()
            .with_test_writer()
            .with_filter(shown);
        let listens = tracing_subscriber::fmt::layer()
            .with_writer(std::io::sink)
            .with_filter(Targets::new().with_target("access", tracing_subscriber::filter::LevelFilter::INFO));
        tracing_subscriber::registry().with(show).with(listens).init();
    });
}

/// An address of this machine that nobody else has: the process and a number say which.
fn address() -> IpAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed) + 256;
    let process = 64 + std::process::id() % 64;
    let [_, _, high, low] = number.to_be_bytes();
    Ipv4Addr::new(127, u8::try_from(process).unwrap(), high, low).into()
}

fn split(name: &str) -> (&str, &str) {
    name.split_once('/').unwrap_or((NAMESPACE, name))
}

fn pod_object(name: &str, account: &str, labels: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, namespace: {NAMESPACE}, labels: {{{labels}}}}}, \
         spec: {{nodeName: {NODE}, serviceAccountName: {account}}}}}"
    )
}

const NAMESPACE_OBJECT: &str = "
{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {istio.io/dataplane-mode: ambient}}}
";
const WAYPOINT: &str = "
{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {istio.io/dataplane-mode: ambient, istio.io/use-waypoint: waypoint}}}
---
{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: waypoint, namespace: shop, labels: {istio.io/waypoint-for: all}}, spec: {gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: waypoint, namespace: shop, labels: {gateway.networking.k8s.io/gateway-name: waypoint}}, spec: {clusterIP: 10.96.255.1, selector: {gateway.networking.k8s.io/gateway-name: waypoint}, ports: [{name: mesh, port: 15008, appProtocol: hbone}]}}
";
const PATIENCE: Duration = Duration::from_secs(60);
