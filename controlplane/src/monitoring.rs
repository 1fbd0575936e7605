//! Port 15014: metrics and health for everybody, `/status`, debug pages and the log filter for this machine only
//! (control-plane.md, 2.10): they show who runs where and what may talk to what.
//!
//! # Layout
//! - this file: the pages and gauges. `syncz`: how xDS clients stand, in our words and istiod's. `waypoints`: how Gateways of
//!   our classes stand.

mod syncz;
mod waypoints;

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use controlplane_kube::KubeBoard;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http::StatusCode;
use mesh_runtime::admin::{self, AdminLimits, Routes};
use mesh_runtime::drain::DrainWatcher;
use mesh_runtime::logging::LogControl;
use mesh_runtime::readiness::Readiness;
use mesh_xds::{ResourceCache, TypeUrl, XdsServer};
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntGauge, IntGaugeVec, Opts, Registry};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

use crate::build;
use crate::config::files::ContentState;
use crate::config::source::StatusBoard;
use crate::control::Question;
use crate::registrations::RegistrationBoard;
use crate::serve::admission::XdsAdmission;
use crate::statuses::StatusPage;

/// Everything that the pages show.
#[derive(Clone, Debug)]
pub struct Views {
    /// Where to ask what became of objects.
    pub ask: mpsc::Sender<Question>,
    /// The configuration directory.
    pub config: StatusBoard,
    /// The cluster, where it is a source.
    pub kube: Option<KubeBoard>,
    /// What the places reported.
    pub registrations: RegistrationBoard,
    /// What is published.
    pub cache: ResourceCache,
    /// Who is connected.
    pub xds: XdsServer<XdsAdmission>,
    /// What is still waited for.
    pub readiness: Readiness,
}

/// The pages, for everybody and for this machine.
#[derive(Clone, Debug)]
pub struct Pages {
    everybody: Arc<Routes>,
    this_machine: Arc<Routes>,
}

impl Pages {
    /// Pages that show `views` and the metrics in `registry`.
    ///
    /// # Panics
    /// Panics when the registry has the metrics of the views already.
    #[must_use]
    pub fn new(views: &Views, registry: &Registry, log: Option<&LogControl>) -> Self {
        registry
            .register(Box::new(Gauges::new(views.clone())))
            .expect("each is registered once, here");
        let everybody = || mesh_runtime::metrics::routes(registry).merge(health(views));
        let log = log.map(LogControl::routes).unwrap_or_default();
        let this_machine = everybody().merge(debug(views)).merge(log);
        Self {
            everybody: Arc::new(everybody().with_index()),
            this_machine: Arc::new(this_machine.with_index()),
        }
    }

    /// What a client at this address is shown.
    fn routes_for(&self, peer: IpAddr) -> &Routes {
        if peer.to_canonical().is_loopback() {
            &self.this_machine
        } else {
            &self.everybody
        }
    }

    /// Serves the pages until the drain's cut.
    ///
    /// # Errors
    /// Does not fail; the type is the supervisor's.
    pub async fn serve(self, listener: TcpListener, mut drain: DrainWatcher) -> io::Result<()> {
        let limits = AdminLimits::default();
        let mut connections = FuturesUnordered::new();
        loop {
            tokio::select! {
                biased;
                () = drain.cut() => return Ok(()),
                Some(()) = connections.next(), if !connections.is_empty() => {}
                accepted = listener.accept(), if connections.len() < limits.connections => match accepted {
                    Ok((stream, peer)) => {
                        let routes = self.routes_for(peer.ip());
                        connections.push(admin::serve_connection(stream, routes, limits));
                    }
                    Err(e) => {
                        tracing::warn!("monitoring cannot accept: {e}");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
    }
}

fn health(views: &Views) -> Routes {
    let views = views.clone();
    Routes::new()
        .get("/healthz", "whether the process lives", |_| {
            std::future::ready(admin::text(StatusCode::OK, "ok\n"))
        })
        .get("/readyz", "whether everything is loaded", move |_| {
            std::future::ready(ready(&views))
        })
        .get("/version", "which version this is", |_| {
            std::future::ready(admin::text(StatusCode::OK, build::line()))
        })
}

/// What is missing is named: the operator who asks wants to mend it.
fn ready(views: &Views) -> admin::Response {
    let pending = views.readiness.pending();
    if pending.is_empty() {
        return admin::text(StatusCode::OK, "ready\n");
    }
    let mut text = format!("not ready, pending: {}\n", pending.join(", "));
    let config = views.config.latest();
    let bad = config.files.iter().filter(|f| f.state == ContentState::NeverGood);
    for error in config.error.iter().chain(bad.flat_map(|f| &f.errors)) {
        text.push_str(error);
        text.push('\n');
    }
    for watch in views.kube.iter().flat_map(KubeBoard::watches) {
        if watch.state == "Listing" || watch.reason.is_some() {
            let reason = watch.reason.as_deref().unwrap_or("not listed yet");
            text.push_str(&format!("{}: {reason}\n", watch.kind));
        }
    }
    admin::text(StatusCode::SERVICE_UNAVAILABLE, text)
}

/// The files' status, with what the index has to say of their objects.
async fn config(views: Views) -> admin::Response {
    let (answer, answered) = oneshot::channel();
    let mut conditions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    // The loop is gone only while the process ends.
    if views.ask.send(Question::Conditions(answer)).await.is_ok() {
        for condition in answered.await.unwrap_or_default() {
            let object = condition.object.reference().to_string();
            conditions.entry(object).or_default().push(condition.text);
        }
    }
    let mut status = views.config.latest();
    for object in status.files.iter_mut().flat_map(|f| &mut f.objects) {
        object.conditions = conditions.get(&object.object).cloned().unwrap_or_default();
    }
    admin::json(StatusCode::OK, &status)
}

/// What became of each object, what is wrong with its file as it is now, and what proxies refuse.
async fn status(views: Views) -> admin::Response {
    let (answer, answered) = oneshot::channel();
    let statuses = match views.ask.send(Question::Statuses(answer)).await {
        Ok(()) => answered.await.unwrap_or_default(),
        // The loop is gone only while the process ends.
        Err(_) => Vec::new(),
    };
    let page = StatusPage::new(statuses, views.config.latest().files, &views.xds.subscribers());
    let page = match &views.kube {
        Some(kube) => page.with_cluster(kube),
        None => page,
    };
    admin::json(StatusCode::OK, &page)
}

/// How the Gateways of our classes stand, once all are known.
async fn waypoints(views: Views) -> admin::Response {
    let (answer, answered) = oneshot::channel();
    let (told, statuses) = oneshot::channel();
    // The loop is gone only while the process ends.
    let known = match views.ask.send(Question::Waypoints(answer)).await {
        Ok(()) => answered.await.ok().flatten(),
        Err(_) => None,
    };
    let Some(known) = known else {
        return admin::text(
            StatusCode::SERVICE_UNAVAILABLE,
            "not everything is known yet: /readyz says what is missing\n",
        );
    };
    let statuses = match views.ask.send(Question::Statuses(told)).await {
        Ok(()) => statuses.await.unwrap_or_default(),
        Err(_) => Vec::new(),
    };
    admin::json(StatusCode::OK, &waypoints::page(known, statuses))
}

fn debug(views: &Views) -> Routes {
    let (objects, registrations, statuses) = (views.clone(), views.registrations.clone(), views.clone());
    let gateways = views.clone();
    let (xds, cache) = (views.xds.clone(), views.cache.clone());
    Routes::new()
        .get(
            "/debug/config",
            "each file and object, and what is wrong with it",
            move |_| config(objects.clone()),
        )
        .get(
            "/status",
            "what became of each object: conditions, and addresses that were given out",
            move |_| status(statuses.clone()),
        )
        .get(
            "/debug/waypoints",
            "the Gateways that are waypoints, and how they stand",
            move |_| waypoints(gateways.clone()),
        )
        .get("/debug/registrations", "what the nodes reported", move |_| {
            std::future::ready(admin::json(StatusCode::OK, &registrations.all()))
        })
        .get("/debug/syncz", "how each xDS client stands", move |_| {
            std::future::ready(admin::json(StatusCode::OK, &syncz::page(&xds.subscribers())))
        })
        .get(
            "/debug/resources",
            "names and versions of what is published",
            move |_| {
                let all = json!({
                    "addresses": cache.versions(TypeUrl::ADDRESS),
                    "authorizations": cache.versions(TypeUrl::AUTHORIZATION),
                });
                std::future::ready(admin::json(StatusCode::OK, &all))
            },
        )
}

/// Read when scraped.
struct Gauges {
    views: Views,
    files: IntGaugeVec,
    registrations: IntGaugeVec,
    resources: IntGaugeVec,
    clients: IntGaugeVec,
    watches: IntGaugeVec,
    /// Only there is a cluster that could be away.
    away: Option<IntGauge>,
}

impl Gauges {
    fn new(views: Views) -> Self {
        let gauge = |name, help, label| {
            IntGaugeVec::new(Opts::new(name, help), &[label]).expect("constant names are valid")
        };
        let away = views.kube.as_ref().map(|_| {
            let help = "For how long the API server has been away, as far as some watch knows";
            IntGauge::new("lateen_kube_away_seconds", help).expect("constant names are valid")
        });
        Self {
            views,
            files: gauge(
                "lateen_config_files",
                "Configuration files, by which content counts",
                "state",
            ),
            registrations: gauge(
                "lateen_registrations",
                "Registered workloads, by their node's lease",
                "lease",
            ),
            resources: gauge("lateen_xds_resources", "Published resources", "type"),
            clients: gauge("lateen_xds_clients", "Connected xDS clients", "kind"),
            watches: gauge(
                "lateen_kube_watches",
                "Watches of the API server, by how they stand",
                "state",
            ),
            away,
        }
    }

    fn collectors(&self) -> impl Iterator<Item = &dyn Collector> {
        let vectors = [
            &self.files,
            &self.registrations,
            &self.resources,
            &self.clients,
            &self.watches,
        ];
        let vectors = vectors.into_iter().map(|vector| vector as &dyn Collector);
        vectors.chain(self.away.as_ref().map(|away| away as &dyn Collector))
    }

    fn read(&self) {
        let set = |vector: &IntGaugeVec, label: &str, value: usize| {
            vector
                .with_label_values(&[label])
                .set(i64::try_from(value).unwrap_or(i64::MAX));
        };
        let config = &self.views.config;
        set(&self.files, "current", config.count(ContentState::Current));
        set(&self.files, "last_good", config.count(ContentState::LastGood));
        set(&self.files, "never_good", config.count(ContentState::NeverGood));
        let (live, expired) = self.views.registrations.count();
        set(&self.registrations, "running", live);
        set(&self.registrations, "expired", expired);
        let cache = &self.views.cache;
        set(&self.resources, "address", cache.len(TypeUrl::ADDRESS));
        set(
            &self.resources,
            "authorization",
            cache.len(TypeUrl::AUTHORIZATION),
        );
        let clients = self.views.xds.subscribers();
        let refusing = |c: &&mesh_xds::SubscriberStatus| c.subscriptions.iter().any(|s| s.refused.is_some());
        set(&self.clients, "all", clients.len());
        set(&self.clients, "refusing", clients.iter().filter(refusing).count());
        self.read_kube();
    }

    fn read_kube(&self) {
        let (Some(kube), Some(away)) = (&self.views.kube, &self.away) else {
            return;
        };
        away.set(i64::try_from(kube.away_seconds()).unwrap_or(i64::MAX));
        self.watches.reset();
        for watch in kube.watches() {
            self.watches.with_label_values(&[watch.state]).inc();
        }
    }
}

impl Collector for Gauges {
    fn desc(&self) -> Vec<&Desc> {
        self.collectors().flat_map(|c| c.desc()).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.read();
        self.collectors().flat_map(|c| c.collect()).collect()
    }
}

const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests;
