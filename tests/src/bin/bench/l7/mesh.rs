//! The control plane of the L7 bench: one thread that publishes a small mesh to one waypoint and signs its certificate.
//! What the real one would derive from objects is written down here as the waypoint receives it.

use std::net::SocketAddr;
use std::thread;

use anyhow::{Context, Result};
use mesh_certs::server::{CaServer, Issue, Refused};
use mesh_grpc::{AuthenticateCaller, ConnectionInfo, Denied};
use mesh_model::Address;
use mesh_model::l7::bind::{BindProtocol, Frontend, Serves};
use mesh_model::l7::filter::Respond;
use mesh_model::l7::resilience::Timeouts;
use mesh_model::l7::route::{
    Destination, HttpAction, HttpBackend, HttpMatch, HttpRule, Order, PathMatch, RouteParent, Rules,
};
use mesh_model::l7::{Bind, Created, ObjectRef, Route, ServicePort};
use mesh_testkit::TestAuthority;
use mesh_testkit::objects::{NAMESPACE, hostname, identity, pod, service};
use mesh_types::{Identity, NamespacedName};
use mesh_xds::{AdmitNode, Change, NodeInfo, ResourceCache, TypeUrl, XdsServer};
use tokio::net::TcpListener;
use tonic::metadata::MetadataMap;
use tonic::transport::server::TcpIncoming;

/// What is published, and by whom it is signed.
#[derive(Clone)]
pub(crate) struct Mesh {
    /// Where xDS and the certificate authority are, without TLS.
    pub(crate) address: SocketAddr,
    pub(crate) authority: TestAuthority,
    cache: ResourceCache,
}

/// Lets everybody in, and signs whatever is asked for: all of it is this one machine's loopback.
#[derive(Clone)]
struct Open(TestAuthority);

impl Mesh {
    /// Publishes the mesh whose only application listens at `plain`, and as well behind tunnels to `tunnels`.
    pub(crate) fn start(plain: SocketAddr, tunnels: SocketAddr) -> Result<Self> {
        let cache = ResourceCache::new(&TypeUrl::IN_ORDER);
        let authority = TestAuthority::new();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").context("control plane")?;
        listener.set_nonblocking(true)?;
        let mesh = Self {
            address: listener.local_addr()?,
            authority,
            cache,
        };
        mesh.cache.publish(everything(plain, tunnels));
        mesh.cache.set_ready();
        let server = mesh.clone();
        thread::Builder::new()
            .name("control plane".into())
            .spawn(move || server.serve(listener))?;
        Ok(mesh)
    }

    fn serve(self, listener: std::net::TcpListener) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let listener = TcpListener::from_std(listener)?;
            let open = Open(self.authority);
            mesh_grpc::serve::builder()
                .add_service(XdsServer::new(self.cache, open.clone()))
                .add_service(CaServer::new(open.clone(), open).into_service())
                .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)))
                .await?;
            Ok(())
        })
    }

    /// So many routes beside the one that takes everything, each for a path of its own.
    pub(crate) fn publish_routes(&self, count: usize) {
        let routes = (0..count).map(|n| {
            let name = format!("r{n:05}");
            let path = PathMatch::Segments(format!("/r/{n}").into());
            of_route(&route(
                &name,
                path,
                HttpAction::Forward(vec![to_the_application()]),
            ))
        });
        self.cache.publish(routes.collect());
    }

    /// One more route, whose answer to [`MARK_PATH`] is this number.
    pub(crate) fn mark(&self, number: usize) {
        let respond = Respond {
            status: 200,
            body: number.to_string().into(),
        };
        let path = PathMatch::Exact(MARK_PATH.into());
        self.cache
            .publish(vec![of_route(&route("mark", path, HttpAction::Respond(respond)))]);
    }
}

/// Who the waypoint is.
pub(crate) fn waypoint_identity() -> Identity {
    identity(NAMESPACE, GATEWAY)
}

/// Who is at the other end of tunnels.
pub(crate) fn far_identity() -> Identity {
    identity(NAMESPACE, "far")
}

fn everything(plain: SocketAddr, tunnels: SocketAddr) -> Vec<Change> {
    let (near_port, far_port) = (plain.port(), plain.port());
    let near = pod("near")
        .at(&plain.ip().to_string())
        .serving("plain", 80, near_port);
    let far = pod("far")
        .at(&tunnels.ip().to_string())
        .hbone()
        .serving("tunnelled", 80, far_port);
    let addresses = [
        Address::Service(
            service("plain")
                .port(80, near_port)
                .at(PLAIN_VIP)
                .behind(GATEWAY)
                .build(),
        ),
        Address::Service(
            service("tunnelled")
                .port(80, far_port)
                .at(TUNNELLED_VIP)
                .behind(GATEWAY)
                .build(),
        ),
        Address::Workload(near.build()),
        Address::Workload(far.build()),
    ];
    let addresses = addresses
        .iter()
        .map(|address| Change::upsert(TypeUrl::ADDRESS, address.name().as_str(), address.encode()));
    let all = PathMatch::Segments("/".into());
    let route = route("all", all, HttpAction::Forward(vec![to_the_application()]));
    let binds = [
        bind(
            "plain",
            PLAIN_PORT,
            BindProtocol::Plain(Frontend::Service(service_port("plain"))),
        ),
        bind("mesh", HBONE_PORT, BindProtocol::Hbone { serves: Serves::All }),
    ];
    let binds = binds
        .iter()
        .map(|bind| Change::upsert(TypeUrl::BIND, bind.key().as_str(), bind.encode()));
    addresses.chain([of_route(&route)]).chain(binds).collect()
}

fn bind(listener: &str, port: u16, protocol: BindProtocol) -> Bind {
    Bind {
        gateway: NamespacedName::new(NAMESPACE, GATEWAY),
        listener: listener.into(),
        port,
        protocol,
    }
}

fn route(name: &str, path: PathMatch, action: HttpAction) -> Route {
    Route {
        object: ObjectRef {
            kind: "HTTPRoute".into(),
            name: NamespacedName::new(NAMESPACE, name),
        },
        part: "".into(),
        parents: vec![RouteParent::ServicePort(service_port("plain"))],
        created: Created::at(1),
        consumer: None,
        hostnames: Vec::new(),
        rules: Rules::Http {
            order: Order::Specificity,
            rules: vec![HttpRule {
                name: None,
                matches: vec![HttpMatch {
                    path: Some(path),
                    ..HttpMatch::default()
                }],
                filters: Vec::new(),
                action,
                timeouts: Timeouts::default(),
                retry: None,
                session: None,
            }],
        },
    }
}

fn to_the_application() -> HttpBackend {
    HttpBackend {
        weight: 1,
        destination: Destination::Service {
            service: service_port("plain"),
            subset: None,
        },
        filters: Vec::new(),
    }
}

fn of_route(route: &Route) -> Change {
    Change::upsert(TypeUrl::ROUTE, route.key().as_str(), route.encode())
}

fn service_port(name: &str) -> ServicePort {
    ServicePort {
        service: hostname(NAMESPACE, name),
        port: 80,
    }
}

impl AuthenticateCaller for Open {
    type Caller = ();

    async fn authenticate(&self, _: &MetadataMap, _: Option<&ConnectionInfo>) -> Result<(), Denied> {
        Ok(())
    }
}

impl AdmitNode for Open {
    fn admit(&self, (): &(), _: &NodeInfo) -> Result<(), Denied> {
        Ok(())
    }
}

impl Issue for Open {
    type Caller = ();

    async fn issue(&self, (): &(), order: mesh_certs::request::Order) -> Result<Vec<String>, Refused> {
        Ok(self.0.sign(&order.request))
    }
}

/// The Gateway that the waypoint carries out.
pub(crate) const GATEWAY: &str = "waypoint";
/// Where the waypoint takes connections as they are.
pub(crate) const PLAIN_PORT: u16 = 18080;
/// Where it takes tunnels.
pub(crate) const HBONE_PORT: u16 = 18008;
/// Where clients of tunnels say that they want to go.
pub(crate) const TUNNELLED_VIP: &str = "10.96.0.2";
const PLAIN_VIP: &str = "10.96.0.1";
/// See [`Mesh::mark`].
pub(crate) const MARK_PATH: &str = "/mark";
