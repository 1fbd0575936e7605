use super::{accepted, refused, warned};

fn service_entry(spec: &str) -> String {
    format!(
        "{{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {{name: e, namespace: a}}, spec: {spec}}}"
    )
}

fn workload_entry(spec: &str) -> String {
    format!(
        "{{apiVersion: networking.istio.io/v1, kind: WorkloadEntry, metadata: {{name: w, namespace: a}}, spec: {spec}}}"
    )
}

fn workload_group(spec: &str) -> String {
    format!(
        "{{apiVersion: networking.istio.io/v1, kind: WorkloadGroup, metadata: {{name: g, namespace: a}}, spec: {spec}}}"
    )
}

#[test]
fn good_service_entries() {
    for spec in [
        "{hosts: [api.example.com], ports: [{number: 443, name: tls, protocol: TLS, targetPort: 8443}], resolution: DNS}",
        "{hosts: [a.example.com, b.example.com], ports: [{number: 80, name: http, protocol: http}], resolution: DNS_ROUND_ROBIN}",
        "{hosts: [db.example.com], addresses: [192.0.2.0/24], ports: [{number: 5432, name: tcp, protocol: TCP}]}",
        "{hosts: [db.example.com], addresses: [192.0.2.1], ports: [{number: 6379, name: redis, protocol: Redis}], resolution: STATIC, endpoints: [{address: 192.0.2.9, ports: {redis: 7000}, locality: eu/eu-a, weight: 3, labels: {v: \"1\"}}]}",
        "{hosts: [vm.internal], location: MESH_INTERNAL, resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}], workloadSelector: {labels: {app: vm}}}",
        "{hosts: [\"*.example.com\"], ports: [{number: 443, name: tls, protocol: TLS}], resolution: DYNAMIC_DNS}",
        "{hosts: [\"*.example.com\"], ports: [{number: 443, name: tls, protocol: TLS}], resolution: NONE, exportTo: [\".\", other]}",
        "{hosts: [x.example.com], resolution: DNS, endpoints: [{address: real.example.com}], ports: [{number: 80, name: any}], subjectAltNames: [\"spiffe://e/x\"]}",
    ] {
        accepted(&service_entry(spec));
    }
}

#[test]
fn bad_service_entries() {
    for (spec, reasons) in [
        ("{}", &["spec.hosts: is required"][..]),
        ("{hosts: [\"*\"]}", &["spec.hosts[0]: \"*\" would be every host"]),
        (
            "{hosts: [\"a.*.com\"]}",
            &["spec.hosts[0]: \"a.*.com\" has a `*` elsewhere"],
        ),
        (
            "{hosts: [a.com, A.com]}",
            &["spec.hosts[1]: \"A.com\" is there twice"],
        ),
        (
            "{hosts: [\"*.com\"], resolution: DNS}",
            &["spec.hosts[0]: is a wildcard, which DNS"],
        ),
        (
            "{hosts: [a.com], resolution: DYNAMIC_DNS, addresses: [1.2.3.4], ports: [{number: 1, name: a, protocol: TCP}]}",
            &[
                "spec.hosts[0]: is no wildcard",
                "spec.addresses: cannot stand beside the resolution DYNAMIC_DNS",
                "spec.ports[0].protocol: must be HTTP",
            ],
        ),
        (
            "{hosts: [a.com], addresses: [x]}",
            &["spec.addresses[0]: \"x\" is neither an IP"],
        ),
        (
            "{hosts: [a.com], resolution: DNS, addresses: [10.0.0.0/8]}",
            &["spec.addresses[0]: is a range"],
        ),
        (
            "{hosts: [a.com], ports: [{number: 0, name: A}, {number: 80, name: b, targetPort: 0}, {number: 80, name: b}]}",
            &[
                "spec.ports[0].number: 0 is not a port",
                "spec.ports[0].name: ",
                "spec.ports[1].targetPort: 0 is not",
                "spec.ports[2].name: \"b\" is there twice",
                "spec.ports[2].number: 80 is there twice",
            ],
        ),
        (
            "{hosts: [a.com], ports: [{number: 80, name: a, protocol: HTTPX}]}",
            &["spec.ports[0].protocol: \"HTTPX\" is not known"],
        ),
        (
            "{hosts: [a.com], ports: [{name: a}]}",
            &["spec.ports[0].number: is required"],
        ),
        (
            "{hosts: [a.com, b.com], ports: [{number: 1, name: a, protocol: MySQL}]}",
            &["spec.ports[0].protocol: MYSQL tells no host"],
        ),
        (
            "{hosts: [a.com], endpoints: [{address: 1.2.3.4}]}",
            &["spec.endpoints: cannot stand beside the resolution NONE"],
        ),
        (
            "{hosts: [a.com], resolution: STATIC, endpoints: [{address: b.com}, {address: \"unix:///x\"}, {address: 1.2.3.4, ports: {x: 1}}]}",
            &[
                "spec.endpoints[0].address: \"b.com\" is no IP address, as STATIC needs",
                "spec.endpoints[1].address: is a Unix socket",
                "spec.endpoints[1].address: ",
                "spec.endpoints[2].ports.x: is no port of this service",
            ],
        ),
        (
            "{hosts: [a.com], resolution: DNS_ROUND_ROBIN, endpoints: [{address: a.com}, {address: b.com}]}",
            &["spec.endpoints: has more than one item"],
        ),
        (
            "{hosts: [a.com], resolution: STATIC, workloadSelector: {labels: {a: b}}, endpoints: [{address: 1.2.3.4}]}",
            &["spec: may have only one of endpoints"],
        ),
        (
            "{hosts: [a.com], resolution: STATICC}",
            &["spec.resolution: \"STATICC\" is not known; did you mean \"STATIC\"?"],
        ),
        (
            "{hosts: [a.com], exportTo: [A]}",
            &["spec.exportTo[0]: \"A\" is neither"],
        ),
    ] {
        refused(&service_entry(spec), reasons);
    }
    let hosts: Vec<String> = (0..257).map(|i| format!("h{i}.com")).collect();
    let many = service_entry(&format!("{{hosts: [{}]}}", hosts.join(",")));
    refused(&many, &["spec.hosts: has more than 256"]);
}

#[test]
fn service_entries_that_do_less_than_they_seem_to() {
    warned(
        &service_entry("{hosts: [a.com], ports: [{number: 1, name: a, protocol: TCP}]}"),
        &["spec.addresses: is absent"],
    );
    warned(
        &service_entry("{hosts: [a.com], resolution: STATIC}"),
        &["spec.endpoints: is absent"],
    );
    warned(
        &service_entry("{hosts: [a.com], resolution: STATIC, workloadSelector: {labels: {}}}"),
        &["spec.workloadSelector.labels: is empty"],
    );
}

#[test]
fn what_is_found_by_the_name_that_a_request_asks_for_is_not_of_the_mesh() {
    let entry = |labels: &str| {
        format!(
            "{{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {{name: e, namespace: a, labels: {{{labels}}}}}, spec: \
             {{hosts: ['*.a.com'], location: MESH_INTERNAL, resolution: DYNAMIC_DNS, ports: [{{number: 443, name: tls, protocol: TLS}}]}}}}"
        )
    };
    let has_no_effect = &["spec.location: MESH_INTERNAL has no effect beside DYNAMIC_DNS"];
    warned(&entry(""), has_no_effect);
    warned(&entry("istio.io/use-waypoint: none"), has_no_effect);
    refused(
        &entry("istio.io/use-waypoint: w"),
        &["spec.location: MESH_INTERNAL cannot stand beside the resolution DYNAMIC_DNS"],
    );
}

#[test]
fn workload_entries_are_reachable() {
    accepted(&workload_entry(
        "{address: 10.0.0.1, ports: {http: 8080}, network: n, locality: a/b/c, weight: 2, serviceAccount: x}",
    ));
    accepted(&workload_entry("{network: n}"));
    accepted(&workload_entry("{address: vm.example.com}"));
    for (spec, reason) in [
        ("{}", "spec.address: is required where no network"),
        (
            "{address: \"a b\"}",
            "spec.address: \"a b\" is neither an IP address nor a host name",
        ),
        (
            "{address: 10.0.0.1, ports: {http: 0}}",
            "spec.ports.http: 0 is not",
        ),
        ("{address: 10.0.0.1, ports: {HTTP: 1}}", "spec.ports.HTTP: "),
        ("{address: 10.0.0.1, locality: a/b/c/d}", "spec.locality: "),
        ("{address: 10.0.0.1, serviceAccount: A}", "spec.serviceAccount: "),
        ("{address: 10.0.0.1, weight: -1}", "spec.weight: "),
        ("{address: 10.0.0.1, labels: {a: \"-\"}}", "spec.labels.a: "),
    ] {
        refused(&workload_entry(spec), &[reason]);
    }
}

#[test]
fn workload_groups_have_one_probe_and_no_address() {
    accepted(&workload_group(
        "{metadata: {labels: {app: vm}}, template: {serviceAccount: x, ports: {http: 80}}, probe: {periodSeconds: 5, httpGet: {path: /ready, port: 8080, httpHeaders: [{name: a, value: b}]}}}",
    ));
    for (spec, reason) in [
        (
            "{template: {address: 10.0.0.1}}",
            "spec.template.address: is each workload's own",
        ),
        ("{probe: {}}", "spec.probe: needs exactly one of"),
        (
            "{probe: {tcpSocket: {port: 1}, grpc: {port: 1}}}",
            "spec.probe: needs exactly one of",
        ),
        (
            "{probe: {tcpSocket: {port: 0}}}",
            "spec.probe.tcpSocket.port: 0 is not",
        ),
        (
            "{probe: {exec: {command: []}}}",
            "spec.probe.exec.command: is required",
        ),
        (
            "{probe: {httpGet: {port: 1, scheme: FTP}}}",
            "spec.probe.httpGet.scheme: ",
        ),
    ] {
        refused(&workload_group(spec), &[reason]);
    }
}
