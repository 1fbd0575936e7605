use super::{accepted, refused, warned};

fn object(kind: &str, spec: &str) -> String {
    format!(
        "{{apiVersion: networking.istio.io/v1, kind: {kind}, metadata: {{name: n, namespace: a}}, spec: {spec}}}"
    )
}

/// A DestinationRule with one traffic policy.
fn policy(policy: &str) -> String {
    object(
        "DestinationRule",
        &format!("{{host: reviews, trafficPolicy: {policy}}}"),
    )
}

/// A VirtualService with one HTTP route.
fn http(route: &str) -> String {
    object(
        "VirtualService",
        &format!("{{hosts: [reviews], http: [{route}]}}"),
    )
}

const TO: &str = "route: [{destination: {host: reviews}}]";

#[test]
fn good_destination_rules() {
    for text in [
        "{loadBalancer: {simple: ROUND_ROBIN, localityLbSetting: {enabled: true, distribute: [{from: \"eu/a/*\", to: {\"eu/a/*\": 80, \"eu/b/*\": 20}}]}, warmup: {duration: 30s, minimumPercent: 10, aggression: 1}}}",
        "{loadBalancer: {consistentHash: {httpCookie: {name: user, ttl: 0s, path: /, attributes: [{name: SameSite, value: Lax}]}, ringHash: {minimumRingSize: 2048}}}}",
        "{loadBalancer: {consistentHash: {useSourceIp: true, maglev: {}}}}",
        "{connectionPool: {tcp: {maxConnections: 1, connectTimeout: 30ms, tcpKeepalive: {probes: 3, time: 7200s, interval: 75s}}, http: {http1MaxPendingRequests: 1, http2MaxRequests: 10, maxRequestsPerConnection: 1, maxRetries: 3, idleTimeout: 1h, h2UpgradePolicy: UPGRADE, maxConcurrentStreams: 10, http2KeepAlive: {interval: 10s, timeout: 2s}}}}",
        "{outlierDetection: {consecutive5xxErrors: 7, consecutiveGatewayErrors: 3, splitExternalLocalOriginErrors: true, consecutiveLocalOriginFailures: 2, interval: 5m, baseEjectionTime: 15m, maxEjectionPercent: 100, minHealthPercent: 0, outlierDetectionHttpErrorCodes: [429]}}",
        "{tls: {mode: MUTUAL, credentialName: client, sni: a.example.com, subjectAltNames: [a.example.com]}}",
        "{portLevelSettings: [{port: {number: 443}, tls: {mode: SIMPLE}}, {port: {number: 80}, loadBalancer: {simple: RANDOM}}]}",
        "{proxyProtocol: {version: V2}, retryBudget: {percent: 20, minRetryConcurrency: 3, budgetInterval: 10s}}",
        "{tunnel: {protocol: CONNECT, targetHost: a.example.com, targetPort: 443}}",
    ] {
        accepted(&policy(text));
    }
    accepted(&object(
        "DestinationRule",
        "{host: \"*.example.com\", subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}, trafficPolicy: {loadBalancer: {simple: RANDOM}}}], exportTo: [\".\"]}",
    ));
}

#[test]
fn bad_destination_rules() {
    for (spec, reason) in [
        ("{}", "spec.host: is required"),
        ("{host: \"a b\"}", "spec.host: "),
        (
            "{host: a, subsets: [{name: v1}, {name: v1}]}",
            "spec.subsets[1].name: \"v1\" is there twice",
        ),
        ("{host: a, subsets: [{name: V_1}]}", "spec.subsets[0].name: "),
    ] {
        refused(&object("DestinationRule", spec), &[reason]);
    }
    let at = "spec.trafficPolicy";
    for (text, reason) in [
        (
            "{loadBalancer: {simple: RANDOM, consistentHash: {useSourceIp: true}}}",
            ".loadBalancer: may have only one of simple",
        ),
        (
            "{loadBalancer: {simple: LEAST}}",
            ".loadBalancer.simple: \"LEAST\" is not known",
        ),
        (
            "{loadBalancer: {consistentHash: {}}}",
            ".loadBalancer.consistentHash: needs exactly one of",
        ),
        (
            "{loadBalancer: {consistentHash: {useSourceIp: true, maglev: {tableSize: 100}}}}",
            ".loadBalancer.consistentHash.maglev.tableSize: 100 is no prime",
        ),
        (
            "{loadBalancer: {consistentHash: {useSourceIp: true, minimumRingSize: 0}}}",
            ".loadBalancer.consistentHash.ringHash.minimumRingSize: ",
        ),
        (
            "{loadBalancer: {localityLbSetting: {distribute: [{from: eu, to: {eu: 90}}]}}}",
            ".loadBalancer.localityLbSetting.distribute[0].to: must have shares",
        ),
        (
            "{loadBalancer: {localityLbSetting: {distribute: [{from: \"*/a\", to: {eu: 100}}]}}}",
            ".loadBalancer.localityLbSetting.distribute[0].from: ",
        ),
        (
            "{loadBalancer: {localityLbSetting: {failover: [{from: eu, to: eu}]}}}",
            ".loadBalancer.localityLbSetting.failover[0].to: is where",
        ),
        (
            "{loadBalancer: {warmup: {duration: 10ms}}}",
            ".loadBalancer.warmup.duration: is less than a second",
        ),
        (
            "{loadBalancer: {warmup: {duration: 10s, aggression: 0.5}}}",
            ".loadBalancer.warmup.aggression: is less than 1",
        ),
        (
            "{connectionPool: {tcp: {connectTimeout: 0s}}}",
            ".connectionPool.tcp.connectTimeout: is less than 1ms",
        ),
        (
            "{connectionPool: {tcp: {maxConnections: -1}}}",
            ".connectionPool.tcp.maxConnections: ",
        ),
        (
            "{connectionPool: {http: {useClientProtocol: true, h2UpgradePolicy: UPGRADE}}}",
            ".connectionPool.http.useClientProtocol: cannot stand",
        ),
        (
            "{outlierDetection: {maxEjectionPercent: 101}}",
            ".outlierDetection.maxEjectionPercent: is more than 100",
        ),
        (
            "{outlierDetection: {interval: 5}}",
            ".outlierDetection.interval: is integer `5`, but must be a string",
        ),
        (
            "{tls: {mode: SIMPLE, credentialName: a, caCertificates: /b}}",
            ".tls.caCertificates: cannot stand beside credentialName",
        ),
        (
            "{tls: {mode: SIMPLE, caCertificates: /b, insecureSkipVerify: true}}",
            ".tls.insecureSkipVerify: cannot stand",
        ),
        (
            "{portLevelSettings: [{port: {}}]}",
            ".portLevelSettings[0].port.number: 0 is not",
        ),
        (
            "{tunnel: {protocol: GET, targetHost: a, targetPort: 1}}",
            ".tunnel.protocol: \"GET\" is neither",
        ),
        (
            "{retryBudget: {percent: 101}}",
            ".retryBudget.percent: 101 is not from 0 to 100",
        ),
    ] {
        refused(&policy(text), &[&format!("{at}{reason}")]);
    }
    refused(
        &policy("{tls: {mode: MUTUAL}}"),
        &[
            "spec.trafficPolicy.tls.clientCertificate: is required",
            "spec.trafficPolicy.tls.privateKey: is required",
        ],
    );
}

#[test]
fn destination_rules_that_do_less_than_they_seem_to() {
    warned(
        &policy("{tls: {mode: ISTIO_MUTUAL}}"),
        &["spec.trafficPolicy.tls.mode: ISTIO_MUTUAL has no effect"],
    );
    warned(
        &policy("{outlierDetection: {consecutiveErrors: 5}}"),
        &["spec.trafficPolicy.outlierDetection.consecutiveErrors: is deprecated"],
    );
    warned(
        &policy("{loadBalancer: {simpel: RANDOM}}"),
        &["spec.trafficPolicy.loadBalancer.simpel: there is no such field; did you mean \"simple\"?"],
    );
    warned(
        &object(
            "DestinationRule",
            "{host: a, workloadSelector: {matchLabels: {a: b}}}",
        ),
        &["spec.workloadSelector: has no effect"],
    );
}

#[test]
fn good_virtual_services() {
    for text in [
        "{route: [{destination: {host: reviews, subset: v1}, weight: 90}, {destination: {host: reviews.shop.svc.cluster.local, subset: v2, port: {number: 80}}, weight: 10, headers: {request: {set: {x: y}}}}]}",
        "{name: a, match: [{uri: {prefix: /v1}, method: {exact: GET}, authority: {regex: \"a.*\"}, headers: {x-user: {exact: jason}, x-any: {}, \"@request.auth.claims.group\": {exact: dev}}, queryParams: {q: {prefix: a}}, withoutHeaders: {x-b: {}}, ignoreUriCase: true, sourceLabels: {app: web}, sourceNamespace: shop, gateways: [mesh], port: 80}], rewrite: {uri: /, authority: b.example.com}, route: [{destination: {host: b}}]}",
        "{redirect: {uri: /x, authority: a.example.com, scheme: https, derivePort: FROM_PROTOCOL_DEFAULT, redirectCode: 308}}",
        "{directResponse: {status: 503, body: {string: closed}}}",
        "{directResponse: {status: 200, body: {bytes: aGVsbG8=}}}",
        "{delegate: {name: other, namespace: shop}}",
        "{route: [{destination: {host: a}}], timeout: 5s, retries: {attempts: 3, perTryTimeout: 2s, retryOn: \"connect-failure, 5xx,503,unavailable\", backoff: 10ms, retryRemoteLocalities: true, retryIgnorePreviousHosts: false}}",
        "{route: [{destination: {host: a}}], fault: {delay: {fixedDelay: 5s, percentage: {value: 0.1}}, abort: {grpcStatus: UNAVAILABLE, percentage: {value: 50}}}}",
        "{route: [{destination: {host: a}}], mirror: {host: b}, mirrorPercentage: {value: 10}}",
        "{route: [{destination: {host: a}}], mirrors: [{destination: {host: b}}, {destination: {host: c}, percentage: {value: 1}}]}",
        "{route: [{destination: {host: a}}], corsPolicy: {allowOrigins: [{exact: \"https://a.example.com\"}, {regex: \".*\"}], allowMethods: [GET], allowHeaders: [x-a], exposeHeaders: [x-b], maxAge: 24h, allowCredentials: false, unmatchedPreflights: IGNORE}}",
        "{route: [{destination: {host: a}}], rewrite: {uriRegexRewrite: {match: \"^/a/(.*)$\", rewrite: '/\\1'}}, headers: {request: {set: {Host: b, x: y}, add: {a: b}, remove: [c]}, response: {remove: [server]}}}",
    ] {
        accepted(&http(text));
    }
    accepted(&object(
        "VirtualService",
        "{hosts: [\"*.example.com\"], tls: [{match: [{sniHosts: [a.example.com], port: 443}], route: [{destination: {host: a.example.com}}]}], tcp: [{match: [{destinationSubnets: [10.0.0.0/8], port: 27017}], route: [{destination: {host: mongo}, weight: 1}, {destination: {host: mongo2}, weight: 3}]}], exportTo: [\"*\"]}",
    ));
    accepted(&object("VirtualService", &format!("{{http: [{{{TO}}}]}}")));
}

#[test]
fn bad_http_routes() {
    let at = "spec.http[0]";
    for (text, reason) in [
        ("{}", ": needs exactly one of route, redirect"),
        (
            "{route: [{destination: {host: a}}], redirect: {uri: /}}",
            ": needs exactly one of route, redirect",
        ),
        ("{route: [{}]}", ".route[0].destination.host: is required"),
        (
            "{route: [{destination: {host: \"*.a\"}}]}",
            ".route[0].destination.host: is a wildcard",
        ),
        (
            "{route: [{destination: {host: a}}, {destination: {host: b}}]}",
            ".route: has several items and no weight",
        ),
        ("{redirect: {}}", ".redirect: redirects to where the request was"),
        (
            "{redirect: {uri: /, redirectCode: 200}}",
            ".redirect.redirectCode: 200 is none of",
        ),
        (
            "{redirect: {uri: /, prefixRewrite: /}}",
            ".redirect: may have only one of uri",
        ),
        ("{redirect: {scheme: ftp}}", ".redirect.scheme: "),
        (
            "{directResponse: {status: 99}}",
            ".directResponse.status: 99 is no status",
        ),
        (
            "{directResponse: {status: 200, body: {bytes: \"?\"}}}",
            ".directResponse.body.bytes: is not base64",
        ),
        (
            "{directResponse: {status: 200, body: {}}}",
            ".directResponse.body: needs one of string, bytes",
        ),
        ("{delegate: {name: \"\"}}", ".delegate.name: "),
    ] {
        refused(&http(text), &[&format!("{at}{reason}")]);
    }
    for (text, reason) in [
        (
            "match: [{uri: {}}]",
            ".match[0].uri: needs one of exact, prefix, regex",
        ),
        (
            "match: [{uri: {exact: a, prefix: b}}]",
            ".match[0].uri: has both exact and prefix",
        ),
        (
            "match: [{uri: {regex: \"(\"}}]",
            ".match[0].uri.regex: \"(\" is no regular expression",
        ),
        ("match: [{uri: {prefix: \"\"}}]", ".match[0].uri.prefix: is empty"),
        ("match: [{headers: {\"a b\": {}}}]", ".match[0].headers.a b: "),
        (
            "match: [{headers: {a: {exact: x, regex: y}}}]",
            ".match[0].headers.a: may have only one of",
        ),
        (
            "match: [{sourceLabels: {a: \"-\"}}]",
            ".match[0].sourceLabels.a: ",
        ),
        ("rewrite: {}", ".rewrite: needs uri"),
        (
            "rewrite: {uriRegexRewrite: {match: \"[\", rewrite: a}}",
            ".rewrite.uriRegexRewrite.match: ",
        ),
        ("timeout: 5", ".timeout: is integer"),
        (
            "retries: {attempts: 1, retryOn: 5xxx}",
            ".retries.retryOn: \"5xxx\" is not known; did you mean \"5xx\"?",
        ),
        (
            "retries: {perTryTimeout: 0s}",
            ".retries.perTryTimeout: is less than 1ms",
        ),
        ("fault: {}", ".fault: needs delay or abort"),
        (
            "fault: {delay: {percentage: {value: 1}}}",
            ".fault.delay: needs fixedDelay",
        ),
        (
            "fault: {abort: {}}",
            ".fault.abort: needs exactly one of httpStatus",
        ),
        (
            "fault: {abort: {grpcStatus: BUSY}}",
            ".fault.abort: has no gRPC status: \"BUSY\"",
        ),
        (
            "fault: {abort: {httpStatus: 503, percentage: {value: 101}}}",
            ".fault.abort.percentage.value: 101 is not",
        ),
        (
            "mirror: {host: a}, mirrors: [{destination: {host: b}}]",
            ": may have only one of mirror and mirrors",
        ),
        (
            "mirrorPercentage: {value: 1}",
            ": has a share of copies, but no mirror",
        ),
        (
            "corsPolicy: {allowMethods: [\"G T\"]}",
            ".corsPolicy.allowMethods[0]: ",
        ),
        (
            "headers: {response: {set: {host: x}}}",
            ".headers.response.set.host: ",
        ),
    ] {
        refused(&http(&format!("{{{TO}, {text}}}")), &[&format!("{at}{reason}")]);
    }
}

#[test]
fn bad_virtual_services() {
    for (spec, reason) in [
        ("{hosts: [a]}", "spec: needs http, tls or tcp"),
        (
            "{hosts: [a, A], http: [{redirect: {uri: /}}]}",
            "spec.hosts[1]: \"A\" is there twice",
        ),
        (
            "{http: [{delegate: {name: b}}]}",
            "spec.http[0].delegate: cannot stand in an object that others delegate to",
        ),
        (
            "{tcp: [{route: [{destination: {host: a}}]}]}",
            "spec.hosts: is required",
        ),
        ("{hosts: [a], tcp: [{}]}", "spec.tcp[0].route: is required"),
        (
            "{hosts: [a], tls: [{route: [{destination: {host: a}}]}]}",
            "spec.tls[0].match: is required",
        ),
        (
            "{hosts: [a.com], tls: [{match: [{sniHosts: [b.com]}], route: [{destination: {host: a}}]}]}",
            "spec.tls[0].match[0].sniHosts[0]: \"b.com\" is none of the hosts",
        ),
        (
            "{hosts: [a.com], tcp: [{match: [{destinationSubnets: [x]}], route: [{destination: {host: a}}]}]}",
            "spec.tcp[0].match[0].destinationSubnets[0]: ",
        ),
    ] {
        refused(&object("VirtualService", spec), &[reason]);
    }
    warned(
        &object(
            "VirtualService",
            &format!("{{hosts: [a], gateways: [mesh, shop/gw], http: [{{{TO}}}]}}"),
        ),
        &["spec.gateways[1]: \"shop/gw\" is no Gateway of this mesh"],
    );
}

#[test]
fn proxy_configs() {
    accepted(&object(
        "ProxyConfig",
        "{concurrency: 0, selector: {matchLabels: {a: b}}}",
    ));
    warned(
        &object(
            "ProxyConfig",
            "{image: {imageType: debug}, environmentVariables: {A: b}}",
        ),
        &[
            "spec.image: has no effect",
            "spec.environmentVariables: has no effect",
        ],
    );
}
