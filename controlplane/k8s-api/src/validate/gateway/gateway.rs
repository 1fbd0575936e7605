//! Gateway API's kinds: the rules of its CRDs.

use std::collections::HashSet;

use crate::error::FieldPath;
use crate::gateway::{
    FromNamespaces, Gateway, GatewayAddress, GatewayClass, LabelSelector, Listener, ListenerTls,
    RouteNamespaces, SecretRef, SelectorOperator, TlsMode,
};
use crate::validate::{Check, names};

pub(in crate::validate) fn gateway_class(check: &mut Check, class: &GatewayClass) {
    let path = FieldPath::from("spec");
    check.grammar(
        path.field("controllerName"),
        names::controller(&class.spec.controller_name),
    );
    if let Some(parameters) = &class.spec.parameters_ref {
        let path = path.field("parametersRef");
        object_ref(
            check,
            &path,
            &parameters.group,
            &parameters.kind,
            &parameters.name,
        );
        if let Some(namespace) = &parameters.namespace {
            check.grammar(path.field("namespace"), names::label(namespace));
        }
    }
}

pub(in crate::validate) fn gateway(check: &mut Check, gateway: &Gateway) {
    let spec = &gateway.spec;
    let path = FieldPath::from("spec");
    if spec.gateway_class_name.is_empty() {
        check.refuse(path.field("gatewayClassName"), "is required");
    } else {
        let grammar = names::subdomain(&spec.gateway_class_name);
        check.grammar(path.field("gatewayClassName"), grammar);
    }
    listeners(check, &path.field("listeners"), &spec.listeners);
    check.at_most(&path.field("addresses"), spec.addresses.len(), MAX_ADDRESSES);
    for (i, address) in spec.addresses.iter().enumerate() {
        self::address(check, &path.field("addresses").item(i), address);
    }
    if let Some(infrastructure) = &spec.infrastructure {
        let path = path.field("infrastructure");
        check.labels(path.field("labels"), &infrastructure.labels);
        if let Some(parameters) = &infrastructure.parameters_ref {
            let path = path.field("parametersRef");
            object_ref(
                check,
                &path,
                &parameters.group,
                &parameters.kind,
                &parameters.name,
            );
        }
    }
    if let Some(namespaces) = spec
        .allowed_listeners
        .as_ref()
        .and_then(|l| l.namespaces.as_ref())
    {
        self::namespaces(
            check,
            &path.field("allowedListeners").field("namespaces"),
            namespaces,
        );
    }
    tls(check, &path.field("tls"), gateway);
    for (i, address) in gateway.status.addresses.iter().enumerate() {
        let path = FieldPath::from("status").field("addresses").item(i);
        self::address(check, &path, address);
    }
}

fn listeners(check: &mut Check, path: &FieldPath, listeners: &[Listener]) {
    if listeners.is_empty() {
        check.refuse(path.clone(), "is required");
    }
    check.at_most(path, listeners.len(), MAX_LISTENERS);
    let mut names_seen = HashSet::new();
    let mut places_seen = HashSet::new();
    for (i, listener) in listeners.iter().enumerate() {
        let path = path.item(i);
        check.grammar(path.field("name"), names::subdomain(&listener.name));
        if !names_seen.insert(&listener.name) {
            let reason = format!("{:?} is there twice", listener.name.as_str());
            check.refuse(path.field("name"), reason);
        }
        if !places_seen.insert((listener.port, &listener.protocol, &listener.hostname)) {
            check.refuse(
                path.clone(),
                "has the port, protocol and hostname of another listener",
            );
        }
        check.port(path.field("port"), listener.port);
        check.grammar(
            path.field("protocol"),
            names::listener_protocol(&listener.protocol),
        );
        if let Some(hostname) = &listener.hostname {
            hostname_of(check, &path, listener, hostname);
        }
        listener_tls(check, &path, listener);
        let allowed = path.field("allowedRoutes");
        namespaces(
            check,
            &allowed.field("namespaces"),
            &listener.allowed_routes.namespaces,
        );
        check.at_most(
            &allowed.field("kinds"),
            listener.allowed_routes.kinds.len(),
            MAX_KINDS,
        );
        for (i, kind) in listener.allowed_routes.kinds.iter().enumerate() {
            let path = allowed.field("kinds").item(i);
            check.grammar(path.field("group"), names::group(&kind.group));
            check.grammar(path.field("kind"), names::kind(&kind.kind));
        }
    }
}

fn hostname_of(check: &mut Check, path: &FieldPath, listener: &Listener, hostname: &str) {
    let field = path.field("hostname");
    if matches!(listener.protocol.as_str(), "TCP" | "UDP" | "HBONE") && !hostname.is_empty() {
        let reason = format!("has no meaning for the protocol {}", listener.protocol.as_str());
        check.refuse(field, reason);
    } else if !hostname.is_empty() {
        check.grammar(field, names::hostname(hostname));
    }
}

fn listener_tls(check: &mut Check, path: &FieldPath, listener: &Listener) {
    let field = path.field("tls");
    match (listener.protocol.as_str(), &listener.tls) {
        ("HTTPS" | "TLS", None) => {
            let reason = format!("is required for the protocol {}", listener.protocol.as_str());
            check.refuse(field, reason);
        }
        ("HTTP" | "TCP" | "UDP", Some(_)) => {
            let reason = format!("has no meaning for the protocol {}", listener.protocol.as_str());
            check.refuse(field, reason);
        }
        (protocol, Some(tls)) => {
            if protocol == "HTTPS" && tls.mode == TlsMode::Passthrough {
                check.refuse(field.field("mode"), "must be Terminate for the protocol HTTPS");
            }
            certificates(check, &field, tls);
        }
        (_, None) => {}
    }
}

fn certificates(check: &mut Check, path: &FieldPath, tls: &ListenerTls) {
    let field = path.field("certificateRefs");
    if tls.mode == TlsMode::Terminate && tls.certificate_refs.is_empty() && tls.options.is_empty() {
        check.refuse(field.clone(), "is required when the Gateway ends TLS");
    }
    check.at_most(&field, tls.certificate_refs.len(), MAX_CERTIFICATES);
    for (i, certificate) in tls.certificate_refs.iter().enumerate() {
        secret_ref(check, &field.item(i), certificate);
    }
}

fn tls(check: &mut Check, path: &FieldPath, gateway: &Gateway) {
    let Some(tls) = &gateway.spec.tls else { return };
    let client = tls
        .backend
        .as_ref()
        .and_then(|b| b.client_certificate_ref.as_ref());
    if let Some(certificate) = client {
        let path = path.field("backend").field("clientCertificateRef");
        secret_ref(check, &path, certificate);
    }
    let Some(frontend) = &tls.frontend else { return };
    let path = path.field("frontend");
    let default = (path.field("default"), &frontend.default);
    let ports = frontend.per_port.iter().enumerate();
    let ports = ports.map(|(i, p)| (path.field("perPort").item(i).field("tls"), &p.tls));
    for (path, validation) in [default].into_iter().chain(ports.collect::<Vec<_>>()) {
        let Some(validation) = &validation.validation else {
            continue;
        };
        let path = path.field("validation").field("caCertificateRefs");
        if validation.ca_certificate_refs.is_empty() {
            check.refuse(path.clone(), "is required");
        }
        for (i, bundle) in validation.ca_certificate_refs.iter().enumerate() {
            secret_ref(check, &path.item(i), bundle);
        }
    }
    let mut seen = HashSet::new();
    for (i, port) in frontend.per_port.iter().enumerate() {
        let field = path.field("perPort").item(i).field("port");
        check.port(field.clone(), port.port);
        if !seen.insert(port.port) {
            check.refuse(field, format!("{} is there twice", port.port));
        }
    }
}

fn namespaces(check: &mut Check, path: &FieldPath, namespaces: &RouteNamespaces) {
    match (&namespaces.from, &namespaces.selector) {
        (FromNamespaces::Selector, None) => {
            check.refuse(path.field("selector"), "is required when from is Selector");
        }
        (_, Some(selector)) => label_selector(check, &path.field("selector"), selector),
        (_, None) => {}
    }
}

fn label_selector(check: &mut Check, path: &FieldPath, selector: &LabelSelector) {
    check.labels(path.field("matchLabels"), &selector.match_labels);
    for (i, requirement) in selector.match_expressions.iter().enumerate() {
        let path = path.field("matchExpressions").item(i);
        check.grammar(path.field("key"), names::label_key(&requirement.key));
        let needed = matches!(
            requirement.operator,
            SelectorOperator::In | SelectorOperator::NotIn
        );
        if needed == requirement.values.is_empty() {
            let reason = if needed {
                "is required for the operators In and NotIn"
            } else {
                "must be absent for the operators Exists and DoesNotExist"
            };
            check.refuse(path.field("values"), reason);
        }
    }
}

fn address(check: &mut Check, path: &FieldPath, address: &GatewayAddress) {
    let field = path.field("value");
    match address.kind.as_str() {
        _ if address.value.is_empty() => {}
        "IPAddress" => check.grammar(field, names::ip(&address.value).map(drop)),
        "Hostname" => check.grammar(field, names::domain(&address.value)),
        kind if kind.contains('/') => {}
        kind => {
            let reason = format!("{kind:?} is neither IPAddress nor Hostname nor of a domain of its own");
            check.refuse(path.field("type"), reason);
        }
    }
}

fn secret_ref(check: &mut Check, path: &FieldPath, secret: &SecretRef) {
    object_ref(check, path, &secret.group, &secret.kind, &secret.name);
    if let Some(namespace) = &secret.namespace {
        check.grammar(path.field("namespace"), names::label(namespace));
    }
}

fn object_ref(check: &mut Check, path: &FieldPath, group: &str, kind: &str, name: &str) {
    check.grammar(path.field("group"), names::group(group));
    check.grammar(path.field("kind"), names::kind(kind));
    check.grammar(path.field("name"), names::subdomain(name));
}

/// The CRDs' limits (`gateway.networking.k8s.io/v1`).
const MAX_LISTENERS: usize = 64;
const MAX_ADDRESSES: usize = 16;
const MAX_CERTIFICATES: usize = 64;
const MAX_KINDS: usize = 8;
