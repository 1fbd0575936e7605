//! Signing, counted. The names are istiod's (control-plane.md, 3.2).

use std::sync::Arc;
use std::time::SystemTime;

use controlplane_ca::authority::Authority;
use controlplane_ca::caller::Caller;
use controlplane_ca::issuer::Issuer;
use controlplane_ca::node_authorizer::NodeWorkloads;
use mesh_certs::{Issue, Order, Refused};
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// An authority whose answers are counted.
#[derive(Debug)]
pub struct CountedAuthority<W> {
    authority: Authority<W>,
    counts: Counts,
}

#[derive(Clone, Debug)]
struct Counts {
    requests: IntCounter,
    issued: IntCounter,
    refused: IntCounterVec,
}

/// When what signs now ends.
struct RootEnd {
    issuer: Arc<Issuer>,
    gauge: IntGauge,
}

impl<W> CountedAuthority<W> {
    /// Counts in `registry`, which also shows when the root that signs ends.
    ///
    /// # Panics
    /// Panics when the registry has these metrics already.
    #[must_use]
    pub fn new(authority: Authority<W>, issuer: Arc<Issuer>, registry: &Registry) -> Self {
        let counter = |name, help| IntCounter::new(name, help).expect("constant names are valid");
        let refused = Opts::new("lateen_ca_refused_total", "Signing requests refused, by reason");
        let root = IntGauge::new(
            "citadel_server_root_cert_expiry_timestamp",
            "The unix timestamp when the root certificate expires",
        );
        let counts = Counts {
            requests: counter(
                "citadel_server_csr_count",
                "The number of signing requests received",
            ),
            issued: counter(
                "citadel_server_success_cert_issuance_count",
                "The number of certificates issued",
            ),
            refused: IntCounterVec::new(refused, &["reason"]).expect("constant names are valid"),
        };
        let root = RootEnd {
            issuer,
            gauge: root.expect("constant names are valid"),
        };
        let collectors: [Box<dyn Collector>; 4] = [
            Box::new(root),
            Box::new(counts.requests.clone()),
            Box::new(counts.issued.clone()),
            Box::new(counts.refused.clone()),
        ];
        for collector in collectors {
            registry
                .register(collector)
                .expect("each is registered once, here");
        }
        Self { authority, counts }
    }
}

impl Collector for RootEnd {
    fn desc(&self) -> Vec<&Desc> {
        self.gauge.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let end = self.issuer.root().not_after();
        let end = end.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.gauge.set(i64::try_from(end.as_secs()).unwrap_or(i64::MAX));
        self.gauge.collect()
    }
}

impl<W: NodeWorkloads + Send + Sync + 'static> Issue for CountedAuthority<W> {
    type Caller = Caller;

    async fn issue(&self, caller: &Caller, order: Order) -> Result<Vec<String>, Refused> {
        self.counts.requests.inc();
        let result = self.authority.issue(caller, order).await;
        match &result {
            Ok(_) => self.counts.issued.inc(),
            Err(refused) => self.counts.refused.with_label_values(&[reason(refused)]).inc(),
        }
        result
    }
}

fn reason(refused: &Refused) -> &'static str {
    match refused {
        Refused::Forbidden(_) => "forbidden",
        Refused::Invalid(_) => "invalid",
        Refused::Throttled(_) => "throttled",
        Refused::Unavailable(_) => "unavailable",
        Refused::Internal(_) => "internal",
    }
}
