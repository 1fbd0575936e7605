//! What a Service's port speaks, as far as the object tells (Istio documentation, "Protocol Selection").

use controlplane_k8s_api::core::Protocol;
use controlplane_k8s_api::service::ServicePort;
use mesh_model::AppProtocol;

/// The protocol that `appProtocol` names, else the port's name before the first dash, else what the port number is known
/// for. A protocol that is known and has no meaning for proxies (`mysql`) is [`AppProtocol::Unknown`] and does not fall
/// back to the number.
pub(crate) fn app_protocol(port: &ServicePort) -> AppProtocol {
    if port.protocol == Protocol::Udp {
        return AppProtocol::Unknown;
    }
    match port.app_protocol.as_deref() {
        Some("kubernetes.io/h2c") => return AppProtocol::Http2,
        Some("kubernetes.io/ws") => return AppProtocol::Http11,
        Some("kubernetes.io/wss") => return AppProtocol::Tls,
        _ => {}
    }
    let name = port
        .app_protocol
        .as_deref()
        .unwrap_or(&port.name)
        .to_ascii_lowercase();
    if name.starts_with("grpc-web") {
        return AppProtocol::GrpcWeb;
    }
    match name.split('-').next().unwrap_or_default() {
        "http" => AppProtocol::Http11,
        "http2" => AppProtocol::Http2,
        "grpc" => AppProtocol::Grpc,
        "https" | "tls" => AppProtocol::Tls,
        "tcp" => AppProtocol::Tcp,
        "mongo" | "redis" | "mysql" | "udp" | "hbone" | "auto" => AppProtocol::Unknown,
        _ if SERVER_FIRST_PORTS.contains(&port.port) => AppProtocol::Tcp,
        _ => AppProtocol::Unknown,
    }
}

/// SMTP, DNS, MySQL, MongoDB: nothing may be sniffed where the server speaks first.
const SERVER_FIRST_PORTS: [u16; 4] = [25, 53, 3306, 27017];

#[cfg(test)]
mod tests;
