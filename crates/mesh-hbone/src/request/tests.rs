use std::net::SocketAddr;
use std::path::Path;

use http::{HeaderMap, Method, Uri};
use mesh_types::{Authority, Strng};

use super::{
    Baggage, ConnectRequest, ConnectResponse, Forwarded, InvalidRequest, Refusal, Traceparent, TunnelHeaders,
    WorkloadKind,
};

fn decode(authority: &str, headers: &[(&'static str, &str)]) -> Result<ConnectRequest, InvalidRequest> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, value.parse().unwrap());
    }
    let uri = Uri::builder().authority(authority).build().unwrap();
    ConnectRequest::from_http(&Method::CONNECT, &uri, &map)
}

fn labels_of(baggage: &str) -> Option<Baggage> {
    decode("10.0.0.1:80", &[("baggage", baggage)])
        .unwrap()
        .headers
        .baggage
}

fn full_request() -> ConnectRequest {
    ConnectRequest {
        authority: "echo.default.svc.cluster.local:80".parse().unwrap(),
        headers: TunnelHeaders {
            baggage: Some(Baggage {
                cluster: Some("Kubernetes".into()),
                namespace: Some("default".into()),
                workload: Some((WorkloadKind::Deployment, "client".into())),
                service: Some("client".into()),
                revision: Some("v1".into()),
                region: Some("eu-west1".into()),
                zone: Some("eu-west1-b".into()),
            }),
            forwarded: Some(Forwarded {
                for_: "10.0.0.2:41234".parse().unwrap(),
                host: Some("echo.default.svc.cluster.local".into()),
            }),
            traceparent: Some(Traceparent::random()),
            forwarded_network: Some("west".into()),
        },
    }
}

#[test]
fn a_full_request_survives_the_wire() {
    let request = full_request();
    let http = request.to_http().unwrap();
    assert_eq!(http.method(), Method::CONNECT);
    assert_eq!(http.uri().to_string(), "echo.default.svc.cluster.local:80");
    let back = ConnectRequest::from_http(http.method(), http.uri(), http.headers()).unwrap();
    assert_eq!(back, request);
}

#[test]
fn the_header_bytes_are_those_of_the_protocol() {
    let http = full_request().to_http().unwrap();
    let header = |name: &str| http.headers()[name].to_str().unwrap();
    assert_eq!(
        header("baggage"),
        "k8s.cluster.name=Kubernetes,k8s.namespace.name=default,k8s.deployment.name=client,service.name=client,\
         service.version=v1,cloud.region=eu-west1,cloud.availability_zone=eu-west1-b"
    );
    assert_eq!(
        header("forwarded"),
        "for=\"10.0.0.2:41234\";host=echo.default.svc.cluster.local"
    );
    assert_eq!(header("x-forwarded-network"), "west");
    let traceparent = header("traceparent");
    assert_eq!(traceparent.len(), 55);
    assert!(traceparent.starts_with("00-") && traceparent.ends_with("-00"));
}

#[test]
fn every_form_of_authority_is_understood() {
    for authority in [
        "10.0.0.1:80",
        "[fd00::1]:15008",
        "echo.default.svc.cluster.local:80",
    ] {
        assert_eq!(decode(authority, &[]).unwrap().authority.to_string(), authority);
    }
}

#[test]
fn a_zone_index_stays_on_this_machine() {
    let addr: SocketAddr = "[fe80::1%3]:80".parse().unwrap();
    let http = ConnectRequest::to(Authority::Ip(addr)).to_http().unwrap();
    assert_eq!(http.uri().to_string(), "[fe80::1]:80");
}

#[test]
fn an_authority_that_is_none_is_refused() {
    for authority in [
        "10.0.0.1",
        "user@10.0.0.1:80",
        "echo:0",
        "echo:65536",
        "10.0.0:80",
    ] {
        assert!(
            matches!(decode(authority, &[]), Err(InvalidRequest::Authority(_))),
            "{authority}"
        );
    }
}

#[test]
fn only_connect_in_authority_form_is_a_request() {
    let none = HeaderMap::new();
    let uri = Uri::from_static("10.0.0.1:80");
    assert_eq!(
        ConnectRequest::from_http(&Method::GET, &uri, &none),
        Err(InvalidRequest::Method("GET".to_owned()))
    );
    for uri in ["https://10.0.0.1:80/", "/path"] {
        let uri = Uri::from_static(uri);
        assert_eq!(
            ConnectRequest::from_http(&Method::CONNECT, &uri, &none),
            Err(InvalidRequest::Target)
        );
    }
}

#[test]
fn a_network_that_is_unclear_refuses_the_request() {
    let long = "n".repeat(254);
    for bad in [&["a", "b"][..], &[""], &["a b"], &[&long]] {
        let headers: Vec<_> = bad.iter().map(|v| ("x-forwarded-network", *v)).collect();
        assert_eq!(
            decode("10.0.0.1:80", &headers),
            Err(InvalidRequest::ForwardedNetwork),
            "{bad:?}"
        );
    }
    let good = decode("10.0.0.1:80", &[("x-forwarded-network", "west")]).unwrap();
    assert_eq!(good.headers.forwarded_network, Some(Strng::from("west")));
}

#[test]
fn labels_that_make_no_sense_are_dropped_one_by_one() {
    let labels = labels_of(
        "nonsense, k8s.cluster.name=c1 ;ttl=3,other=1,service.name=, k8s.pod.name=p,cloud.region=a b",
    );
    let expected = Baggage {
        cluster: Some("c1".into()),
        workload: Some((WorkloadKind::Pod, "p".into())),
        ..Baggage::default()
    };
    assert_eq!(labels, Some(expected));
    assert_eq!(labels_of("nonsense"), None);
}

#[test]
fn the_first_of_a_repeated_label_counts() {
    let request = decode(
        "10.0.0.1:80",
        &[
            ("baggage", "service.name=a,service.name=b"),
            ("baggage", "service.name=c,cloud.region=r"),
        ],
    );
    let labels = request.unwrap().headers.baggage.unwrap();
    assert_eq!(labels.service, Some(Strng::from("a")));
    assert_eq!(labels.region, Some(Strng::from("r")));
}

#[test]
fn a_label_cannot_smuggle_in_another() {
    let labels = Baggage {
        namespace: Some("a,service.name=admin".into()),
        service: Some("b\r\nx: y".into()),
        region: Some("r".into()),
        ..Baggage::default()
    };
    let response = ConnectResponse {
        baggage: Some(labels),
    }
    .to_http();
    assert_eq!(response.headers()["baggage"], "cloud.region=r");
}

#[test]
fn forwarded_is_read_in_every_form_peers_write() {
    let read = |text: &str| {
        decode("10.0.0.1:80", &[("forwarded", text)])
            .unwrap()
            .headers
            .forwarded
    };
    let caller = |text: &str| read(text).map(|f| f.for_.to_string());
    assert_eq!(caller("for=10.0.0.2:80"), Some("10.0.0.2:80".to_owned()));
    assert_eq!(
        caller("For=\"[fd00::1]:80\";proto=http"),
        Some("[fd00::1]:80".to_owned())
    );
    assert_eq!(caller("for=\"[fd00::1]\""), Some("[fd00::1]:0".to_owned()));
    assert_eq!(
        caller("for=10.0.0.3, for=10.0.0.4"),
        Some("10.0.0.3:0".to_owned())
    );
    for nobody in ["for=unknown", "host=a", "for=\"10.0.0.1", "", "for"] {
        assert_eq!(caller(nobody), None, "{nobody}");
    }
}

#[test]
fn a_malformed_traceparent_is_none() {
    let read = |text: &str| {
        decode("10.0.0.1:80", &[("traceparent", text)])
            .unwrap()
            .headers
            .traceparent
    };
    let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    assert_eq!(read(good).map(|t| t.to_string()).as_deref(), Some(good));
    for bad in [
        "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319cb-7ad6b7169203331-01",
        "00",
    ] {
        assert_eq!(read(bad), None, "{bad}");
    }
}

#[test]
fn refusals_have_the_statuses_of_the_protocol() {
    let refusals = [
        Refusal::BadRequest,
        Refusal::HeadersTooLarge,
        Refusal::Denied,
        Refusal::Unavailable,
    ];
    assert_eq!(refusals.map(|r| r.status().as_u16()), [400, 431, 401, 503]);
}

#[test]
fn no_input_makes_the_parser_panic_or_disagree_with_itself() {
    let corpus =
        mesh_types::fuzzing::corpus(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/request"));
    for input in mesh_types::fuzzing::mutations(&corpus, 15008, 20_000) {
        crate::fuzz::request(&input);
    }
}
