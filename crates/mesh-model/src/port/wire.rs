//! Ports on the wire: `istio.workload.Port` and `PortList`.

use mesh_proto::istio::workload as pb;

use super::{AppProtocol, Port, Ports};
use crate::invalid::{FieldProblem, InField, Problem, items};

pub(crate) fn decode_ports(field: &str, ports: &[pb::Port]) -> Result<Ports, FieldProblem> {
    items(field, ports, decode_port).map(Ports::from)
}

pub(crate) fn encode_ports(ports: &Ports) -> Vec<pb::Port> {
    ports.iter().map(encode_port).collect()
}

/// A port number; 0 is for the caller to judge.
pub(crate) fn decode_port_number(number: u32) -> Result<u16, Problem> {
    u16::try_from(number).map_err(|_| Problem::Port(number))
}

fn decode_port(port: &pb::Port) -> Result<Port, FieldProblem> {
    let target_port = decode_port_number(port.target_port).field("target_port")?;
    Ok(Port {
        service_port: decode_port_number(port.service_port).field("service_port")?,
        target_port: (target_port != 0).then_some(target_port),
        app_protocol: match port.lateen_grpc_web {
            true => AppProtocol::GrpcWeb,
            false => decode_protocol(port.app_protocol),
        },
    })
}

fn encode_port(port: &Port) -> pb::Port {
    pb::Port {
        service_port: port.service_port.into(),
        target_port: port.target_port.unwrap_or_default().into(),
        app_protocol: encode_protocol(port.app_protocol).into(),
        lateen_grpc_web: port.app_protocol == AppProtocol::GrpcWeb,
    }
}

/// A protocol of tomorrow is carried as bytes today: nothing at this layer depends on it.
fn decode_protocol(protocol: i32) -> AppProtocol {
    match pb::AppProtocol::try_from(protocol).unwrap_or(pb::AppProtocol::Unknown) {
        pb::AppProtocol::Unknown => AppProtocol::Unknown,
        pb::AppProtocol::Http11 => AppProtocol::Http11,
        pb::AppProtocol::Http2 => AppProtocol::Http2,
        pb::AppProtocol::Grpc => AppProtocol::Grpc,
        pb::AppProtocol::Tcp => AppProtocol::Tcp,
        pb::AppProtocol::Tls => AppProtocol::Tls,
    }
}

fn encode_protocol(protocol: AppProtocol) -> pb::AppProtocol {
    match protocol {
        // The wire has a field of its own for gRPC-web.
        AppProtocol::Unknown | AppProtocol::GrpcWeb => pb::AppProtocol::Unknown,
        AppProtocol::Http11 => pb::AppProtocol::Http11,
        AppProtocol::Http2 => pb::AppProtocol::Http2,
        AppProtocol::Grpc => pb::AppProtocol::Grpc,
        AppProtocol::Tcp => pb::AppProtocol::Tcp,
        AppProtocol::Tls => pb::AppProtocol::Tls,
    }
}
