//! The template of a waypoint's pods.

use controlplane_k8s_api::Labels;
use controlplane_k8s_api::gateway::Gateway;
use mesh_types::{Strng, ports};

use super::objects::{
    Capabilities, Container, ContainerPort, EnvSource, EnvValue, EnvVar, HttpGet, LocalReference, ObjectMeta,
    PodSecurityContext, PodSpec, PodTemplate, Probe, Projection, SeccompProfile, SecurityContext, Volume,
    VolumeMount, VolumeSource,
};
use super::{NotRendered, PodUser, Settings, Shape};

pub(super) fn template(
    gateway: &Gateway,
    shape: &Shape<'_>,
    settings: &Settings,
) -> Result<PodTemplate, NotRendered> {
    Ok(PodTemplate {
        metadata: ObjectMeta {
            labels: labels(shape),
            annotations: annotations(shape, settings),
            ..ObjectMeta::default()
        },
        spec: PodSpec {
            service_account_name: shape.account.clone(),
            // Its token for the control plane is mounted below; the API server is none of its business.
            automount_service_account_token: false,
            image_pull_secrets: pull_secrets(settings),
            security_context: PodSecurityContext {
                run_as_non_root: true,
                seccomp_profile: SeccompProfile {
                    kind: "RuntimeDefault",
                },
            },
            termination_grace_period_seconds: settings.grace_seconds,
            containers: vec![container(gateway, shape, settings)?],
            volumes: volumes(settings),
        },
    })
}

fn pull_secrets(settings: &Settings) -> Vec<LocalReference> {
    let names = settings.image_pull_secrets.iter().cloned();
    names.map(|name| LocalReference { name }).collect()
}

/// A waypoint is not captured itself: it opens and ends tunnels with an identity of its own.
fn labels(shape: &Shape<'_>) -> Labels {
    let mut labels: Labels = [
        ("sidecar.istio.io/inject", "false"),
        ("istio.io/dataplane-mode", "none"),
        ("service.istio.io/canonical-name", shape.name.as_str()),
        ("service.istio.io/canonical-revision", "latest"),
    ]
    .map(|(key, value)| (key.into(), value.into()))
    .into();
    labels.extend(shape.labels.clone());
    shape.labelled(labels)
}

fn annotations(shape: &Shape<'_>, settings: &Settings) -> Labels {
    let stats = ports::STATS.to_string();
    let mut annotations = shape.annotations.clone();
    for (key, value) in [
        ("istio.io/rev", settings.revision.as_str()),
        ("prometheus.io/path", "/stats/prometheus"),
        ("prometheus.io/port", &stats),
        ("prometheus.io/scrape", "true"),
    ] {
        annotations.insert(key.into(), value.into());
    }
    annotations
}

fn container(gateway: &Gateway, shape: &Shape<'_>, settings: &Settings) -> Result<Container, NotRendered> {
    let user = match settings.user {
        PodUser::Upstreams => Some(USER),
        PodUser::Assigned => None,
    };
    Ok(Container {
        // Upstream's name: `kubectl logs -c istio-proxy` and dashboards go by it.
        name: "istio-proxy",
        image: settings.image.clone(),
        image_pull_policy: settings.image_pull_policy.clone(),
        args: vec!["proxy"],
        env: env(gateway, shape, settings)?,
        ports: vec![
            port("metrics", ports::STATS),
            port("status-port", ports::READINESS),
            port("mesh", ports::HBONE),
        ],
        resources: settings.resources.clone(),
        startup_probe: Probe {
            initial_delay_seconds: 1,
            period_seconds: 1,
            failure_threshold: 30,
            ..ready()
        },
        readiness_probe: ready(),
        security_context: SecurityContext {
            privileged: false,
            allow_privilege_escalation: false,
            run_as_user: user,
            run_as_group: user,
            run_as_non_root: true,
            read_only_root_filesystem: true,
            capabilities: Capabilities { drop: vec!["ALL"] },
        },
        volume_mounts: vec![
            mount(ROOT, "/var/run/secrets/istio"),
            mount(TOKEN, "/var/run/secrets/tokens"),
        ],
    })
}

/// What `lateen-waypoint` reads, by Istio's names where Istio has one.
fn env(gateway: &Gateway, shape: &Shape<'_>, settings: &Settings) -> Result<Vec<EnvVar>, NotRendered> {
    let meta = &gateway.metadata;
    let owner = format!(
        "kubernetes://apis/apps/v1/namespaces/{}/deployments/{}",
        meta.namespace, shape.name
    );
    let trust_domain: Strng = settings.trust_domain.to_string().into();
    let mut env = vec![
        field("POD_NAME", "metadata.name"),
        field("POD_NAMESPACE", "metadata.namespace"),
        field("INSTANCE_IP", "status.podIP"),
        field("SERVICE_ACCOUNT", "spec.serviceAccountName"),
        field("ISTIO_META_SERVICE_ACCOUNT", "spec.serviceAccountName"),
        field("ISTIO_META_NODE_NAME", "spec.nodeName"),
        EnvVar {
            name: "ISTIO_CPU_LIMIT",
            value: EnvValue::ValueFrom(EnvSource::ResourceFieldRef {
                resource: "limits.cpu",
                divisor: "1",
            }),
        },
        text("GATEWAY_NAME", &meta.name),
        text("XDS_ADDRESS", &settings.control_plane),
        text("CA_ADDR", &settings.control_plane),
        text("TRUST_DOMAIN", &trust_domain),
        text("CLUSTER_DOMAIN", &settings.cluster_domain),
        text("ISTIO_META_CLUSTER_ID", &settings.cluster_id),
        text("ISTIO_META_MESH_ID", &trust_domain),
        text("ISTIO_META_WORKLOAD_NAME", &shape.name),
        text("ISTIO_META_OWNER", &owner),
        text(
            "TERMINATION_GRACE_PERIOD_SECONDS",
            &settings.grace_seconds.to_string(),
        ),
    ];
    if !shape.network.is_empty() {
        env.push(text("ISTIO_META_NETWORK", &shape.network));
    }
    if let Some(level) = meta.annotations.get(LOG_LEVEL) {
        env.push(text("RUST_LOG", log_filter(level)?));
    }
    Ok(env)
}

/// Envoy's words for levels, as the annotation has them.
fn log_filter(level: &str) -> Result<&'static str, NotRendered> {
    match level {
        "trace" => Ok("trace"),
        "debug" => Ok("debug"),
        "info" => Ok("info"),
        "warning" | "warn" => Ok("warn"),
        "error" | "critical" => Ok("error"),
        "off" => Ok("off"),
        other => Err(NotRendered::Annotation {
            name: LOG_LEVEL,
            reason: format!("{other:?} is none of trace, debug, info, warning, error, critical and off"),
        }),
    }
}

fn text(name: &'static str, value: &str) -> EnvVar {
    EnvVar {
        name,
        value: EnvValue::Value(value.into()),
    }
}

fn field(name: &'static str, field_path: &'static str) -> EnvVar {
    EnvVar {
        name,
        value: EnvValue::ValueFrom(EnvSource::FieldRef { field_path }),
    }
}

fn port(name: &'static str, number: u16) -> ContainerPort {
    ContainerPort {
        name,
        container_port: number,
        protocol: "TCP",
    }
}

fn ready() -> Probe {
    Probe {
        http_get: HttpGet {
            path: "/healthz/ready",
            port: ports::READINESS,
            scheme: "HTTP",
        },
        initial_delay_seconds: 0,
        period_seconds: 15,
        timeout_seconds: 1,
        success_threshold: 1,
        failure_threshold: 4,
    }
}

fn mount(name: &'static str, mount_path: &'static str) -> VolumeMount {
    VolumeMount {
        name,
        mount_path,
        read_only: true,
    }
}

/// Where the proxy looks for them by default: the root certificate, and the token that it shows the control plane.
fn volumes(settings: &Settings) -> Vec<Volume> {
    let token = Projection::ServiceAccountToken {
        audience: "istio-ca",
        expiration_seconds: 43_200,
        path: "istio-token",
    };
    vec![
        Volume {
            name: ROOT,
            source: VolumeSource::ConfigMap {
                name: settings.root_certificate.clone(),
            },
        },
        Volume {
            name: TOKEN,
            source: VolumeSource::Projected { sources: vec![token] },
        },
    ]
}

const LOG_LEVEL: &str = "sidecar.istio.io/logLevel";
/// Upstream's names.
const ROOT: &str = "istiod-ca-cert";
const TOKEN: &str = "istio-token";
/// Upstream's user and group.
const USER: u32 = 1337;
