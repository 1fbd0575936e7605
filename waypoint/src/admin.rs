//! The admin server's pages: `/config_dump`, `/explain`, `/quitquitquit`, and those of the libraries.

mod authorizations;

use std::sync::Arc;

use http::StatusCode;
use mesh_certs::CertManager;
use mesh_model::l7::Policy;
use mesh_runtime::admin::{Routes, json, text};
use mesh_runtime::signals::StopRequest;
use mesh_state::StateReader;
use mesh_state::dump::Dump;
use mesh_state::l7::L7Reader;
use mesh_types::Strng;
use mesh_xds::{ClientHandle, ClientStatus};
use serde::Serialize;

use authorizations::AuthorizationDump;

use crate::config::Config;
use crate::explain::{Question, explain};
use crate::filters::jwt::store::{Fetched, KeySets};
use crate::filters::not_enforced::why_not;
use crate::frontend::Gateway;

/// What the pages show.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The configuration of the process.
    pub config: Arc<Config>,
    /// The mesh.
    pub state: StateReader,
    /// What is served.
    pub l7: L7Reader,
    /// Key sets that are elsewhere.
    pub key_sets: KeySets,
    /// The proxy's own certificate.
    pub certs: CertManager,
    /// The control plane's stream.
    pub xds: ClientHandle,
    /// The gateway that this is a proxy of.
    pub gateway: Arc<Gateway>,
}

/// `/config_dump`. Keys and tokens are not in it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ConfigDump<'a> {
    version: BuildInfo,
    config: &'a Config,
    binds: Vec<String>,
    routes: Vec<String>,
    backends: Vec<String>,
    attached_policies: Vec<String>,
    authorizations: Vec<AuthorizationDump>,
    not_enforced: Vec<NotEnforced>,
    key_sets: Vec<KeySetStatus>,
    #[serde(flatten)]
    state: Dump,
    control_plane: ClientStatus,
}

/// A policy that this proxy does not carry out: what it is attached to is not served.
#[derive(Serialize)]
struct NotEnforced {
    policy: String,
    targets: Vec<String>,
    reason: String,
}

/// A key set that is elsewhere; nothing of the keys.
#[derive(Serialize)]
struct KeySetStatus {
    uri: String,
    known: bool,
    attempts: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl KeySetStatus {
    fn of((uri, fetched): (Strng, Fetched)) -> Self {
        Self {
            uri: uri.to_string(),
            known: fetched.keys.is_some(),
            attempts: fetched.attempts,
            error: fetched.error.map(|error| error.to_string()),
        }
    }
}

fn not_enforced(policy: &Policy) -> Option<NotEnforced> {
    let reason = why_not(policy)?;
    Some(NotEnforced {
        policy: policy.key().to_string(),
        targets: policy.targets.iter().map(ToString::to_string).collect(),
        reason: reason.to_string(),
    })
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
    component: "waypoint",
    version: env!("CARGO_PKG_VERSION"),
    build_profile: if cfg!(debug_assertions) {
        "debug"
    } else {
        "release"
    },
};

/// `GET /config_dump`, `GET /explain`, `GET /certificates` and `POST /quitquitquit`.
#[must_use]
pub fn routes(shown: Shown, stop: StopRequest) -> Routes {
    let about = shown.clone();
    let lifetimes = mesh_dataplane::certificates::routes(shown.certs.clone());
    Routes::new()
        .get(
            "/explain",
            "what would become of a request, and which policy says so",
            move |request| {
                let explained = Question::read(&request).and_then(|question| {
                    explain(&about.state, &about.l7.snapshot(), &about.gateway, &question)
                });
                std::future::ready(match explained {
                    Ok(explained) => json(StatusCode::OK, &explained),
                    Err(why) => text(StatusCode::BAD_REQUEST, format!("{why}\n")),
                })
            },
        )
        .get("/config_dump", "everything this proxy knows", move |_| {
            let l7 = shown.l7.snapshot();
            let dump = ConfigDump {
                version: BUILD,
                config: &shown.config,
                binds: l7.binds().map(|bind| bind.key().to_string()).collect(),
                routes: l7.routes().map(|route| route.key().to_string()).collect(),
                backends: l7.backends().map(|backend| backend.name.to_string()).collect(),
                attached_policies: l7.policies().map(|policy| policy.key().to_string()).collect(),
                authorizations: l7
                    .policies()
                    .filter_map(|policy| AuthorizationDump::of(policy))
                    .collect(),
                key_sets: shown.key_sets.all().into_iter().map(KeySetStatus::of).collect(),
                not_enforced: l7.policies().filter_map(|policy| not_enforced(policy)).collect(),
                state: shown.state.dump(),
                control_plane: shown.xds.status(),
            };
            std::future::ready(json(StatusCode::OK, &dump))
        })
        .post("/quitquitquit", "drains and ends the process", move |_| {
            stop.request();
            std::future::ready(text(StatusCode::OK, "shutdown now\n"))
        })
        .merge(lifetimes)
}
