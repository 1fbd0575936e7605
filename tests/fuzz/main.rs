//! One program for all targets: `LATEEN_FUZZ` names one; `list` as its value prints all, each with its corpus.

#![no_main]

#[expect(unused_imports, reason = "its own test needs more")]
#[path = "../tests/together/lowering.rs"]
mod lowering;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

type Target = (&'static str, fn(&[u8]), &'static str);

/// Name, function, and corpus: a folder of the repository.
const TARGETS: [Target; 56] = [
    ("agent-state-file", cni_agent::fuzz::state_file, "cni-plugin/agent/fuzz/corpus/state_file"),
    ("agent-configuration", cni_agent::fuzz::cni_configuration, "cni-plugin/agent/fuzz/corpus/cni_configuration"),
    ("agent-process", cni_agent::fuzz::process, "cni-plugin/agent/fuzz/corpus/proc"),
    ("cni-answer", cni_plugin::fuzz::answer, "cni-plugin/fuzz/corpus/answer"),
    ("cni-call", cni_plugin::fuzz::call, "cni-plugin/fuzz/corpus/call"),
    ("cni-event", cni_plugin::fuzz::event, "cni-plugin/fuzz/corpus/event"),
    ("ca-claims", controlplane_ca::fuzz::claims, "controlplane/ca/fuzz/corpus/claims"),
    ("ca-signing-request", controlplane_ca::fuzz::signing_request, "controlplane/ca/fuzz/corpus/signing_request"),
    ("ca-token", controlplane_ca::fuzz::token, "controlplane/ca/fuzz/corpus/token"),
    ("objects-derive", controlplane_index::fuzz::fuzz, "controlplane/index/fuzz/corpus/derive"),
    ("objects-lowering", lowering::fuzz, "controlplane/index/fuzz/corpus/derive"),
    ("objects-parse", controlplane_k8s_api::fuzz::fuzz, "controlplane/k8s-api/fuzz/corpus/parse"),
    ("certs-orders", mesh_certs::fuzz::fuzz, "crates/mesh-certs/fuzz/corpus/orders"),
    ("dns-answer", mesh_dns::fuzz::answer, "crates/mesh-dns/fuzz/corpus/answer"),
    ("dns-query", mesh_dns::fuzz::query, "crates/mesh-dns/fuzz/corpus/query"),
    ("extensions-framing", mesh_extensions::fuzz::framing, "crates/mesh-extensions/fuzz/corpus/framing"),
    ("extensions-messages", mesh_extensions::fuzz::messages, "crates/mesh-extensions/fuzz/corpus/messages"),
    ("grpc-callers", mesh_grpc::fuzz::fuzz, "crates/mesh-grpc/fuzz/corpus/callers"),
    ("hbone-records", mesh_hbone::fuzz::records, "crates/mesh-hbone/fuzz/corpus/records"),
    ("hbone-request", mesh_hbone::fuzz::request, "crates/mesh-hbone/fuzz/corpus/request"),
    ("kube-answers", mesh_kube::fuzz::fuzz, "crates/mesh-kube/fuzz/corpus/answers"),
    ("model-address", mesh_model::fuzz::address, "crates/mesh-model/fuzz/corpus/address"),
    ("model-authorization", mesh_model::fuzz::authorization, "crates/mesh-model/fuzz/corpus/authorization"),
    ("model-backend", mesh_model::fuzz::backend, "crates/mesh-model/fuzz/corpus/backend"),
    ("model-bind", mesh_model::fuzz::bind, "crates/mesh-model/fuzz/corpus/bind"),
    ("model-endpoint-labels", mesh_model::fuzz::endpoint_labels, "crates/mesh-model/fuzz/corpus/endpoint-labels"),
    ("model-path", mesh_model::fuzz::l7::path, "crates/mesh-model/fuzz/corpus/path"),
    ("model-policy", mesh_model::fuzz::policy, "crates/mesh-model/fuzz/corpus/policy"),
    ("model-quota", mesh_model::fuzz::quota, "crates/mesh-model/fuzz/corpus/quota"),
    ("model-request", mesh_model::fuzz::l7::request, "crates/mesh-model/fuzz/corpus/request"),
    ("model-route", mesh_model::fuzz::route, "crates/mesh-model/fuzz/corpus/route"),
    ("model-service", mesh_model::fuzz::service, "crates/mesh-model/fuzz/corpus/service"),
    ("model-workload", mesh_model::fuzz::workload, "crates/mesh-model/fuzz/corpus/workload"),
    ("net-proxy-protocol", mesh_net::proxy_protocol::fuzz, "crates/mesh-net/fuzz/corpus/proxy-protocol"),
    ("quota-log", mesh_quota::fuzz::log, "crates/mesh-quota/fuzz/corpus/log"),
    ("register-streams", mesh_register::fuzz::fuzz, "crates/mesh-register/fuzz/corpus/streams"),
    ("runtime-text", mesh_runtime::fuzz::fuzz, "crates/mesh-runtime/fuzz/corpus/text"),
    ("telemetry-b3", mesh_telemetry::fuzz::b3, "crates/mesh-telemetry/fuzz/corpus/b3"),
    ("telemetry-cel", mesh_telemetry::fuzz::cel, "crates/mesh-telemetry/fuzz/corpus/cel"),
    ("telemetry-format", mesh_telemetry::fuzz::format, "crates/mesh-telemetry/fuzz/corpus/format"),
    ("telemetry-messages", mesh_telemetry::fuzz::messages, "crates/mesh-telemetry/fuzz/corpus/messages"),
    ("telemetry-traceparent", mesh_telemetry::fuzz::traceparent, "crates/mesh-telemetry/fuzz/corpus/traceparent"),
    ("tls-chain", mesh_tls::fuzz::chain, "crates/mesh-tls/fuzz/corpus/chain"),
    ("tls-peer-certificate", mesh_tls::fuzz::peer_certificate, "crates/mesh-tls/fuzz/corpus/peer_certificate"),
    ("tls-signing-request", mesh_tls::fuzz::signing_request, "crates/mesh-tls/fuzz/corpus/signing_request"),
    ("xds-sessions", mesh_xds::fuzz::fuzz, "crates/mesh-xds/fuzz/corpus/sessions"),
    ("zds-packet", mesh_zds::fuzz::packet, "crates/mesh-zds/fuzz/corpus/packet"),
    ("waypoint-date", waypoint::fuzz::date, "waypoint/fuzz/corpus/date"),
    ("waypoint-detect", waypoint::fuzz::detect, "waypoint/fuzz/corpus/detect"),
    ("waypoint-grpc-web", waypoint::fuzz::grpc_web, "waypoint/fuzz/corpus/grpc-web"),
    ("waypoint-http1-framing", waypoint::fuzz::http1_framing, "waypoint/fuzz/corpus/http1-framing"),
    ("waypoint-http2-frames", waypoint::fuzz::http2_frames, "waypoint/fuzz/corpus/http2-frames"),
    ("waypoint-sessions", waypoint::fuzz::sessions, "waypoint/fuzz/corpus/sessions"),
    ("waypoint-jwt-keys", waypoint::filters::jwt::fuzz::keys, "waypoint/fuzz/corpus/jwt-keys"),
    ("waypoint-jwt-places", waypoint::filters::jwt::fuzz::places, "waypoint/fuzz/corpus/jwt-places"),
    ("waypoint-jwt-token", waypoint::filters::jwt::fuzz::token, "waypoint/fuzz/corpus/jwt-token"),
];

fuzz_target!(
    init: if std::env::var("LATEEN_FUZZ").is_ok_and(|name| name == "list") {
        for (name, _, corpus) in TARGETS {
            println!("{name} {corpus}");
        }
        std::process::exit(0);
    },
    |data: &[u8]| CHOSEN(data)
);

static CHOSEN: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let name = std::env::var("LATEEN_FUZZ").expect("LATEEN_FUZZ names a target");
    let found = TARGETS.iter().find(|target| target.0 == name);
    found.unwrap_or_else(|| panic!("no target {name}")).1
});
