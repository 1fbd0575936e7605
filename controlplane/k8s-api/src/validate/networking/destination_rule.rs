//! DestinationRule.

use std::collections::HashSet;

use crate::error::FieldPath;
use crate::networking::{
    ClientTls, ClientTlsMode, ConnectionPool, DestinationRule, H2UpgradePolicy, OutlierDetection,
    RetryBudget, TrafficPolicy, Tunnel,
};
use crate::validate::networking::load_balancer;
use crate::validate::{Check, http, names};

pub(in crate::validate) fn destination_rule(check: &mut Check, rule: &DestinationRule) {
    let (spec, path) = (&rule.spec, FieldPath::from("spec"));
    if spec.host.is_empty() {
        check.refuse(path.field("host"), "is required");
    } else {
        check.grammar(path.field("host"), names::wildcard_domain(&spec.host));
    }
    if let Some(policy) = &spec.traffic_policy {
        traffic_policy(check, &path.field("trafficPolicy"), policy);
    }
    let mut seen = HashSet::new();
    for (i, subset) in spec.subsets.iter().enumerate() {
        let path = path.field("subsets").item(i);
        check.grammar(path.field("name"), names::label(&subset.name));
        if !seen.insert(&subset.name) {
            check.refuse(
                path.field("name"),
                format!("{:?} is there twice", subset.name.as_str()),
            );
        }
        check.labels(path.field("labels"), &subset.labels);
        if let Some(policy) = &subset.traffic_policy {
            traffic_policy(check, &path.field("trafficPolicy"), policy);
        }
    }
    for (i, visible) in spec.export_to.iter().enumerate() {
        check.grammar(path.field("exportTo").item(i), names::export_to(visible));
    }
    if spec.workload_selector.is_some() {
        let reason = "has no effect: a waypoint serves every client alike";
        check.warn(path.field("workloadSelector"), reason);
    }
}

fn traffic_policy(check: &mut Check, path: &FieldPath, policy: &TrafficPolicy) {
    if let Some(balancer) = &policy.load_balancer {
        load_balancer::load_balancer(check, &path.field("loadBalancer"), balancer);
    }
    if let Some(pool) = &policy.connection_pool {
        connection_pool(check, &path.field("connectionPool"), pool);
    }
    if let Some(outliers) = &policy.outlier_detection {
        outlier_detection(check, &path.field("outlierDetection"), outliers);
    }
    if let Some(tls) = &policy.tls {
        client_tls(check, &path.field("tls"), tls);
    }
    let mut seen = HashSet::new();
    for (i, port) in policy.port_level_settings.iter().enumerate() {
        let path = path.field("portLevelSettings").item(i);
        let field = path.field("port").field("number");
        check.port(field.clone(), port.port.number);
        if !seen.insert(port.port.number) {
            check.refuse(field, format!("{} is there twice", port.port.number));
        }
        if let Some(balancer) = &port.load_balancer {
            load_balancer::load_balancer(check, &path.field("loadBalancer"), balancer);
        }
        if let Some(pool) = &port.connection_pool {
            connection_pool(check, &path.field("connectionPool"), pool);
        }
        if let Some(outliers) = &port.outlier_detection {
            outlier_detection(check, &path.field("outlierDetection"), outliers);
        }
        if let Some(tls) = &port.tls {
            client_tls(check, &path.field("tls"), tls);
        }
    }
    if let Some(tunnel) = &policy.tunnel {
        self::tunnel(check, &path.field("tunnel"), tunnel);
        if policy.proxy_protocol.is_some() {
            check.refuse(path.field("proxyProtocol"), "cannot stand beside tunnel");
        }
    }
    if let Some(budget) = &policy.retry_budget {
        retry_budget(check, &path.field("retryBudget"), budget);
    }
}

pub(in crate::validate) fn connection_pool(check: &mut Check, path: &FieldPath, pool: &ConnectionPool) {
    if let Some(tcp) = &pool.tcp {
        let path = path.field("tcp");
        for (name, duration) in [
            ("connectTimeout", tcp.connect_timeout),
            ("maxConnectionDuration", tcp.max_connection_duration),
        ] {
            check.positive(path.field(name), duration);
        }
        if let Some(keepalive) = &tcp.tcp_keepalive {
            check.positive(path.field("tcpKeepalive").field("time"), keepalive.time);
            check.positive(path.field("tcpKeepalive").field("interval"), keepalive.interval);
        }
    }
    if let Some(requests) = &pool.http {
        let path = path.field("http");
        if requests.use_client_protocol && requests.h2_upgrade_policy == H2UpgradePolicy::Upgrade {
            let reason = "cannot stand beside the h2UpgradePolicy UPGRADE";
            check.refuse(path.field("useClientProtocol"), reason);
        }
        if let Some(keepalive) = &requests.http2_keep_alive {
            check.positive(path.field("http2KeepAlive").field("interval"), keepalive.interval);
            check.positive(path.field("http2KeepAlive").field("timeout"), keepalive.timeout);
        }
    }
}

pub(in crate::validate) fn outlier_detection(
    check: &mut Check,
    path: &FieldPath,
    outliers: &OutlierDetection,
) {
    check.positive(path.field("interval"), outliers.interval);
    check.positive(path.field("baseEjectionTime"), outliers.base_ejection_time);
    for (name, percent) in [
        ("maxEjectionPercent", outliers.max_ejection_percent),
        ("minHealthPercent", outliers.min_health_percent),
    ] {
        if percent.is_some_and(|p| p > 100) {
            check.refuse(path.field(name), "is more than 100");
        }
    }
    if outliers.consecutive_local_origin_failures.is_some() && !outliers.split_external_local_origin_errors {
        let reason = "has no effect without splitExternalLocalOriginErrors";
        check.warn(path.field("consecutiveLocalOriginFailures"), reason);
    }
    if outliers.consecutive_errors != 0 {
        let reason = "is deprecated: use consecutiveGatewayErrors, which it counts, or consecutive5xxErrors";
        check.warn(path.field("consecutiveErrors"), reason);
    }
    for (i, status) in outliers.outlier_detection_http_error_codes.iter().enumerate() {
        let field = path.field("outlierDetectionHttpErrorCodes").item(i);
        check.grammar(field, http::status(u32::from(*status)));
    }
}

pub(in crate::validate) fn client_tls(check: &mut Check, path: &FieldPath, tls: &ClientTls) {
    let files = [
        ("clientCertificate", &tls.client_certificate),
        ("privateKey", &tls.private_key),
        ("caCertificates", &tls.ca_certificates),
        ("caCrl", &tls.ca_crl),
    ];
    let given = files.into_iter().filter(|(_, file)| !file.is_empty());
    if !tls.credential_name.is_empty() {
        for (name, _) in given {
            check.refuse(path.field(name), "cannot stand beside credentialName");
        }
    } else if tls.mode == ClientTlsMode::Mutual {
        for (name, file) in &files[..2] {
            if file.is_empty() {
                check.refuse(
                    path.field(name),
                    "is required for the mode MUTUAL, or credentialName is",
                );
            }
        }
    }
    if matches!(tls.mode, ClientTlsMode::IstioMutual | ClientTlsMode::Disable) {
        let mut own = files.into_iter().filter(|(_, file)| !file.is_empty());
        if let Some((name, _)) = own.next() {
            check.refuse(path.field(name), "has no meaning for this mode");
        }
    }
    if tls.mode == ClientTlsMode::IstioMutual {
        let reason = "ISTIO_MUTUAL has no effect: endpoints of the mesh are reached by mutual TLS anyhow, others never";
        check.warn(path.field("mode"), reason);
    }
    if tls.insecure_skip_verify == Some(true) {
        if !tls.ca_certificates.is_empty() || !tls.subject_alt_names.is_empty() {
            let reason = "cannot stand beside caCertificates and subjectAltNames, which are about checking";
            check.refuse(path.field("insecureSkipVerify"), reason);
        } else {
            check.warn(path.field("insecureSkipVerify"), "takes any certificate");
        }
    }
    if !tls.sni.is_empty() {
        check.grammar(path.field("sni"), names::domain(&tls.sni));
    }
}

fn tunnel(check: &mut Check, path: &FieldPath, tunnel: &Tunnel) {
    if !["", "CONNECT", "POST"].contains(&tunnel.protocol.as_str()) {
        let reason = format!("{:?} is neither CONNECT nor POST", tunnel.protocol.as_str());
        check.refuse(path.field("protocol"), reason);
    }
    if names::ip(&tunnel.target_host).is_err() {
        check.grammar(path.field("targetHost"), names::domain(&tunnel.target_host));
    }
    check.port(path.field("targetPort"), tunnel.target_port);
}

fn retry_budget(check: &mut Check, path: &FieldPath, budget: &RetryBudget) {
    if let Some(percent) = budget.percent {
        check.percent(path.field("percent"), percent);
    }
}
