//! A bind on the wire: `lateen.l7.v1.Bind`.

use bytes::Bytes;
use mesh_proto::lateen::l7::v1 as pb;
use mesh_types::Strng;

use super::{Bind, BindProtocol, Frontend, ProxyTrust, Serves};
use crate::AppProtocol;
use crate::invalid::{FieldProblem, InField, InvalidResource, Problem, ResourceKind};
use crate::l7::wire::{
    Resource, Wire, check, decode_resource, encode_resource, list, list_to_wire, required, strings,
};

impl Bind {
    /// Reads a resource as it came over xDS.
    ///
    /// # Errors
    /// Names the resource and the field.
    pub fn decode(name: &str, body: Bytes) -> Result<Self, InvalidResource> {
        decode_resource(name, body)
    }

    /// The body of the resource.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        encode_resource(self)
    }
}

impl Resource for Bind {
    const KIND: ResourceKind = ResourceKind::Bind;

    fn own_name(&self) -> Strng {
        self.key()
    }
}

impl Wire for Bind {
    type Message = pb::Bind;

    fn from_wire(m: &pb::Bind) -> Result<Self, FieldProblem> {
        Ok(Self {
            gateway: required("gateway", m.gateway.as_ref())?,
            listener: check::name(&m.listener).field("listener")?,
            port: check::port(m.port).field("port")?,
            protocol: protocol(m)?,
        })
    }

    fn to_wire(&self) -> pb::Bind {
        use pb::bind::Protocol;
        let serves = |serves| serves_to_wire(serves).into();
        let protocol = match &self.protocol {
            BindProtocol::Hbone { serves: s } => Protocol::Hbone(pb::HboneBind { serves: serves(*s) }),
            BindProtocol::Proxy { serves: s, trust } => Protocol::Proxy(pb::ProxyBind {
                serves: serves(*s),
                trusts_node: trust.node,
                trusts_addresses_from: list_to_wire(&trust.addresses_from),
            }),
            BindProtocol::Plain(frontend) => Protocol::Plain(pb::PlainBind {
                frontend: Some(frontend.to_wire()),
            }),
            BindProtocol::Tls(termination, frontend) => Protocol::Tls(pb::TlsBind {
                termination: Some(termination.to_wire()),
                frontend: Some(frontend.to_wire()),
            }),
        };
        pb::Bind {
            gateway: Some(self.gateway.to_wire()),
            listener: self.listener.to_string(),
            port: self.port.into(),
            protocol: Some(protocol),
        }
    }
}

fn protocol(m: &pb::Bind) -> Result<BindProtocol, FieldProblem> {
    use pb::bind::Protocol;
    Ok(
        match m.protocol.as_ref().ok_or(Problem::Missing).field("protocol")? {
            Protocol::Hbone(m) => BindProtocol::Hbone {
                serves: serves(m.serves).field("hbone.serves")?,
            },
            Protocol::Proxy(m) => BindProtocol::Proxy {
                serves: serves(m.serves).field("proxy.serves")?,
                trust: ProxyTrust {
                    node: m.trusts_node,
                    addresses_from: list("proxy.trusts_addresses_from", &m.trusts_addresses_from)?,
                },
            },
            Protocol::Plain(m) => {
                BindProtocol::Plain(required("frontend", m.frontend.as_ref()).field("plain")?)
            }
            Protocol::Tls(m) => BindProtocol::Tls(
                required("termination", m.termination.as_ref()).field("tls")?,
                required("frontend", m.frontend.as_ref()).field("tls")?,
            ),
        },
    )
}

impl Wire for Frontend {
    type Message = pb::Frontend;

    fn from_wire(m: &pb::Frontend) -> Result<Self, FieldProblem> {
        use pb::frontend::Serves;
        match m.serves.as_ref().ok_or(Problem::Missing).field("serves")? {
            Serves::Service(m) => Wire::from_wire(m).map(Self::Service).field("service"),
            Serves::Routes(m) => routes(m).field("routes"),
        }
    }

    fn to_wire(&self) -> pb::Frontend {
        use pb::frontend::Serves;
        let serves = match self {
            Self::Service(service) => Serves::Service(service.to_wire()),
            Self::Routes { hostnames, protocol } => Serves::Routes(pb::RoutesFrontend {
                hostnames: strings(hostnames),
                protocol: app_protocol_to_wire(*protocol).into(),
            }),
        };
        pb::Frontend { serves: Some(serves) }
    }
}

fn routes(m: &pb::RoutesFrontend) -> Result<Frontend, FieldProblem> {
    Ok(Frontend::Routes {
        hostnames: check::each("hostnames", &m.hostnames, check::host_pattern)?,
        protocol: app_protocol(m.protocol).field("protocol")?,
    })
}

fn serves(value: i32) -> Result<Serves, Problem> {
    match pb::Serves::try_from(value) {
        Ok(pb::Serves::Services) => Ok(Serves::Services),
        Ok(pb::Serves::Workloads) => Ok(Serves::Workloads),
        Ok(pb::Serves::All) => Ok(Serves::All),
        Ok(pb::Serves::Nothing) => Ok(Serves::Nothing),
        Ok(pb::Serves::Unspecified) | Err(_) => Err(Problem::UnknownValue(value)),
    }
}

fn serves_to_wire(serves: Serves) -> pb::Serves {
    match serves {
        Serves::Services => pb::Serves::Services,
        Serves::Workloads => pb::Serves::Workloads,
        Serves::All => pb::Serves::All,
        Serves::Nothing => pb::Serves::Nothing,
    }
}

/// Unlike a service's port, which its proxy may carry as bytes whatever it is called, this one says what to listen for.
fn app_protocol(value: i32) -> Result<AppProtocol, Problem> {
    match pb::AppProtocol::try_from(value) {
        Ok(pb::AppProtocol::Unknown) => Ok(AppProtocol::Unknown),
        Ok(pb::AppProtocol::Http11) => Ok(AppProtocol::Http11),
        Ok(pb::AppProtocol::Http2) => Ok(AppProtocol::Http2),
        Ok(pb::AppProtocol::Grpc) => Ok(AppProtocol::Grpc),
        Ok(pb::AppProtocol::Tcp) => Ok(AppProtocol::Tcp),
        Ok(pb::AppProtocol::Tls) => Ok(AppProtocol::Tls),
        Ok(pb::AppProtocol::GrpcWeb) => Ok(AppProtocol::GrpcWeb),
        Ok(pb::AppProtocol::Unspecified) | Err(_) => Err(Problem::UnknownValue(value)),
    }
}

fn app_protocol_to_wire(protocol: AppProtocol) -> pb::AppProtocol {
    match protocol {
        AppProtocol::Unknown => pb::AppProtocol::Unknown,
        AppProtocol::Http11 => pb::AppProtocol::Http11,
        AppProtocol::Http2 => pb::AppProtocol::Http2,
        AppProtocol::Grpc => pb::AppProtocol::Grpc,
        AppProtocol::Tcp => pb::AppProtocol::Tcp,
        AppProtocol::Tls => pb::AppProtocol::Tls,
        AppProtocol::GrpcWeb => pb::AppProtocol::GrpcWeb,
    }
}
