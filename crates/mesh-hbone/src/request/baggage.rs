//! The `baggage` header as the mesh uses it: labels of a workload, for telemetry only
//! (W3C Baggage, section 3.2.1; key names from OpenTelemetry's resource conventions, as Istio chose them).

use std::fmt::Write;

use http::header::{HeaderMap, HeaderValue};
use mesh_types::Strng;

use super::BAGGAGE;

/// Labels of one end of a tunnel. Believed for labels only, never for a decision.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Baggage {
    /// `k8s.cluster.name`
    pub cluster: Option<Strng>,
    /// `k8s.namespace.name`
    pub namespace: Option<Strng>,
    /// `k8s.<kind>.name`
    pub workload: Option<(WorkloadKind, Strng)>,
    /// `service.name`: the canonical service.
    pub service: Option<Strng>,
    /// `service.version`: its canonical revision.
    pub revision: Option<Strng>,
    /// `cloud.region`
    pub region: Option<Strng>,
    /// `cloud.availability_zone`
    pub zone: Option<Strng>,
}

/// What kind of object a workload belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum WorkloadKind {
    /// A Deployment.
    Deployment,
    /// A CronJob.
    CronJob,
    /// A bare Pod.
    Pod,
    /// A Job.
    Job,
}

// === impl Baggage ===

impl Baggage {
    /// Collects the known keys of all `baggage` headers. A member that is malformed, unknown or too long is skipped;
    /// of a key given twice the first counts.
    pub(super) fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let mut baggage = Self::default();
        let mut members = 0;
        for value in headers.get_all(BAGGAGE) {
            let Ok(text) = value.to_str() else { continue };
            for member in text.split(',') {
                members += 1;
                if members > MAX_MEMBERS {
                    return baggage.if_any();
                }
                baggage.take(member);
            }
        }
        baggage.if_any()
    }

    /// The header, or nothing when there is nothing to say. Values are written raw, as the peers of this protocol
    /// read them; a value that cannot stand raw in the header is left out.
    pub(super) fn to_header(&self) -> Option<HeaderValue> {
        let mut text = String::with_capacity(256);
        let mut put = |key: &str, value: Option<&Strng>| {
            if let Some(value) = value.filter(|v| is_value(v)) {
                let separator = if text.is_empty() { "" } else { "," };
                write!(text, "{separator}{key}={value}").expect("writing to a String cannot fail");
            }
        };
        put(CLUSTER, self.cluster.as_ref());
        put(NAMESPACE, self.namespace.as_ref());
        if let Some((kind, name)) = &self.workload {
            put(kind.key(), Some(name));
        }
        put(SERVICE, self.service.as_ref());
        put(REVISION, self.revision.as_ref());
        put(REGION, self.region.as_ref());
        put(ZONE, self.zone.as_ref());
        if text.is_empty() {
            return None;
        }
        HeaderValue::from_str(&text).ok()
    }

    fn take(&mut self, member: &str) {
        // Properties after a semicolon say nothing to us (W3C Baggage, 3.2.1.4).
        let pair = member.split(';').next().unwrap_or_default();
        let Some((key, value)) = pair.split_once('=') else {
            return;
        };
        let (key, value) = (key.trim(), value.trim());
        if !is_value(value) {
            return;
        }
        let field = match key {
            CLUSTER => &mut self.cluster,
            NAMESPACE => &mut self.namespace,
            SERVICE => &mut self.service,
            REVISION => &mut self.revision,
            REGION => &mut self.region,
            ZONE => &mut self.zone,
            _ => {
                if let Some(kind) = WorkloadKind::of_key(key) {
                    self.workload.get_or_insert_with(|| (kind, Strng::from(value)));
                }
                return;
            }
        };
        field.get_or_insert_with(|| Strng::from(value));
    }

    fn if_any(self) -> Option<Self> {
        (self != Self::default()).then_some(self)
    }
}

// === impl WorkloadKind ===

impl WorkloadKind {
    const ALL: [Self; 4] = [Self::Deployment, Self::CronJob, Self::Pod, Self::Job];

    fn key(self) -> &'static str {
        match self {
            Self::Deployment => "k8s.deployment.name",
            Self::CronJob => "k8s.cronjob.name",
            Self::Pod => "k8s.pod.name",
            Self::Job => "k8s.job.name",
        }
    }

    fn of_key(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.key() == key)
    }
}

/// Printable ASCII that neither ends a member nor starts its properties.
fn is_value(value: &str) -> bool {
    (1..=MAX_VALUE).contains(&value.len())
        && value
            .bytes()
            .all(|b| b.is_ascii_graphic() && !matches!(b, b',' | b';' | b'"' | b'\\'))
}

const CLUSTER: &str = "k8s.cluster.name";
const NAMESPACE: &str = "k8s.namespace.name";
const SERVICE: &str = "service.name";
const REVISION: &str = "service.version";
const REGION: &str = "cloud.region";
const ZONE: &str = "cloud.availability_zone";

/// W3C Baggage, section 3.3.2: at least 64 members must be propagated; we propagate none and read seven.
const MAX_MEMBERS: usize = 64;
/// Object names in Kubernetes end at 253 bytes.
const MAX_VALUE: usize = 253;
