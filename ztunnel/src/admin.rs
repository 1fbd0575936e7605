//! The admin server's pages: `/config_dump`, `/explain`, `/listeners`, `/quitquitquit`, and those of the libraries.

mod certificates;
mod listeners;

use std::sync::Arc;

use http::StatusCode;
use mesh_certs::CertManager;
use mesh_runtime::admin::{Routes, json, text};
use mesh_runtime::signals::StopRequest;
use mesh_state::StateReader;
use mesh_state::dump::Dump;
use mesh_xds::{ClientHandle, ClientStatus};
use serde::Serialize;

use crate::config::Config;
use crate::explain::{Question, explain};
use crate::workloads::PodTable;
use certificates::CertificateDump;

/// What the pages show.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The configuration of the process.
    pub config: Arc<Config>,
    /// The mesh.
    pub state: StateReader,
    /// The certificates.
    pub certs: CertManager,
    /// The control plane's stream.
    pub xds: ClientHandle,
    /// The pods.
    pub pods: PodTable,
}

/// `/config_dump`, in the shape that `istioctl ztunnel-config` reads. Keys and tokens are not in it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ConfigDump<'a> {
    #[serde(flatten)]
    state: Dump,
    static_config: StaticConfig,
    version: BuildInfo,
    config: &'a Config,
    certificates: Vec<CertificateDump>,
    workload_state: &'a PodTable,
    control_plane: ClientStatus,
}

/// Upstream's place for configuration from files, which this proxy does not take.
#[derive(Default, Serialize)]
struct StaticConfig {
    workloads: [(); 0],
    services: [(); 0],
    policies: [(); 0],
}

/// What was built.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct BuildInfo {
    /// The product.
    pub component: &'static str,
    /// Its version.
    pub version: &'static str,
    /// `release` or `debug`.
    pub build_profile: &'static str,
}

/// This build.
pub const BUILD: BuildInfo = BuildInfo {
    component: "ztunnel",
    version: env!("CARGO_PKG_VERSION"),
    build_profile: if cfg!(debug_assertions) {
        "debug"
    } else {
        "release"
    },
};

/// `GET /config_dump`, `GET /explain`, `GET /listeners`, `GET /certificates` and `POST /quitquitquit`.
#[must_use]
pub fn routes(shown: Shown, stop: StopRequest) -> Routes {
    let state = shown.state.clone();
    let lifetimes = mesh_dataplane::certificates::routes(shown.certs.clone());
    let pods = shown.pods.clone();
    Routes::new()
        .get(
            "/explain",
            "what would become of a connection, and which policy says so",
            move |request| {
                let explained = Question::read(&request)
                    .and_then(|question| explain(&state, &question, &mut fastrand::Rng::new()));
                std::future::ready(match explained {
                    Ok(explained) => json(StatusCode::OK, &explained),
                    Err(why) => text(StatusCode::BAD_REQUEST, format!("{why}\n")),
                })
            },
        )
        .get("/config_dump", "everything this proxy knows", move |_| {
            let dump = ConfigDump {
                state: shown.state.dump(),
                static_config: StaticConfig::default(),
                version: BUILD,
                config: &shown.config,
                certificates: certificates::dump(&shown.certs.snapshot()),
                workload_state: &shown.pods,
                control_plane: shown.xds.status(),
            };
            std::future::ready(json(StatusCode::OK, &dump))
        })
        .post("/quitquitquit", "drains and ends the process", move |_| {
            stop.request();
            std::future::ready(text(StatusCode::OK, "shutdown now\n"))
        })
        .get(
            "/listeners",
            "which ports the pods of this node listen on",
            move |_| std::future::ready(json(StatusCode::OK, &listeners::dump(&pods))),
        )
        .merge(lifetimes)
}
