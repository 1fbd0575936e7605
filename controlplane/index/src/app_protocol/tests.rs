use controlplane_k8s_api::service::TargetPort;

use super::*;

fn protocol(name: &str, port: u16, app_protocol: Option<&str>, transport: Protocol) -> AppProtocol {
    super::app_protocol(&ServicePort {
        name: name.into(),
        port,
        target_port: Some(TargetPort::Number(1)),
        app_protocol: app_protocol.map(Into::into),
        protocol: transport,
    })
}

#[test]
fn names_tell_the_protocol_up_to_the_first_dash() {
    for (name, expected) in [
        ("http", AppProtocol::Http11),
        ("HTTP-web", AppProtocol::Http11),
        ("http2-api", AppProtocol::Http2),
        ("grpc", AppProtocol::Grpc),
        ("grpc-web", AppProtocol::GrpcWeb),
        ("gRPC-Web-api", AppProtocol::GrpcWeb),
        ("https", AppProtocol::Tls),
        ("tls-x", AppProtocol::Tls),
        ("tcp-x", AppProtocol::Tcp),
        ("web-http", AppProtocol::Unknown),
        ("httpx", AppProtocol::Unknown),
        ("", AppProtocol::Unknown),
    ] {
        assert_eq!(protocol(name, 80, None, Protocol::Tcp), expected, "{name}");
    }
}

#[test]
fn the_field_counts_before_the_name_and_the_name_before_the_number() {
    assert_eq!(
        protocol("http", 80, Some("kubernetes.io/h2c"), Protocol::Tcp),
        AppProtocol::Http2
    );
    assert_eq!(
        protocol("tcp", 80, Some("kubernetes.io/ws"), Protocol::Tcp),
        AppProtocol::Http11
    );
    assert_eq!(
        protocol("tcp", 80, Some("kubernetes.io/wss"), Protocol::Tcp),
        AppProtocol::Tls
    );
    assert_eq!(
        protocol("http", 80, Some("example.com/own"), Protocol::Tcp),
        AppProtocol::Unknown
    );
    assert_eq!(
        protocol("http", 80, Some("grpc-web"), Protocol::Tcp),
        AppProtocol::GrpcWeb
    );
    assert_eq!(protocol("", 3306, None, Protocol::Tcp), AppProtocol::Tcp);
    assert_eq!(protocol("db", 27017, None, Protocol::Tcp), AppProtocol::Tcp);
    assert_eq!(protocol("mysql", 3306, None, Protocol::Tcp), AppProtocol::Unknown);
    assert_eq!(protocol("http", 3306, None, Protocol::Tcp), AppProtocol::Http11);
    assert_eq!(protocol("http", 80, None, Protocol::Udp), AppProtocol::Unknown);
}
