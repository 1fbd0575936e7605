use controlplane_ca::authenticator::Authenticator;
use controlplane_ca::token::TokenKey;
use mesh_runtime::admin::{Request, body_text};
use mesh_types::TrustDomain;

use super::*;
use crate::gateways::GatewayBoard;

fn pages(readiness: &Readiness) -> Pages {
    let dir = tempfile::tempdir().unwrap();
    let tokens = Arc::new(TokenKey::load_or_create(dir.path()).unwrap());
    let admission = XdsAdmission {
        authenticator: Authenticator::new(tokens, TrustDomain::default()),
        gateways: GatewayBoard::default(),
        root_namespace: "istio-system".to_owned(),
    };
    let cache = ResourceCache::new(&TypeUrl::IN_ORDER);
    let (ask, _) = mpsc::channel(1);
    let views = Views {
        ask,
        config: StatusBoard::default(),
        kube: None,
        registrations: RegistrationBoard::default(),
        cache: cache.clone(),
        xds: XdsServer::new(cache, admission),
        readiness: readiness.clone(),
    };
    Pages::new(&views, &Registry::new(), None)
}

async fn get(pages: &Pages, peer: &str, path: &str) -> (u16, String) {
    let answer = pages
        .routes_for(peer.parse().unwrap())
        .answer(Request::get(path))
        .await;
    (answer.status().as_u16(), body_text(answer).await)
}

#[tokio::test]
async fn only_this_machine_is_shown_who_may_talk_to_whom() {
    let pages = pages(&Readiness::new());
    for page in [
        "/status",
        "/debug/config",
        "/debug/registrations",
        "/debug/syncz",
        "/debug/resources",
    ] {
        for local in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(get(&pages, local, page).await.0, 200, "{local} {page}");
        }
        for other in ["10.0.0.1", "fd00::1"] {
            assert_eq!(get(&pages, other, page).await.0, 404, "{other} {page}");
        }
    }
    // Nobody answers what is asked here.
    assert_eq!(get(&pages, "127.0.0.1", "/debug/waypoints").await.0, 503);
    assert_eq!(get(&pages, "10.0.0.1", "/debug/waypoints").await.0, 404);
    for page in ["/metrics", "/healthz", "/readyz", "/version"] {
        assert_eq!(get(&pages, "10.0.0.1", page).await.0, 200, "{page}");
    }
}

#[tokio::test]
async fn readiness_names_what_is_missing() {
    let readiness = Readiness::new();
    let pages = pages(&readiness);
    let block = readiness.block("configuration");
    let (status, text) = get(&pages, "10.0.0.1", "/readyz").await;
    assert_eq!(
        (status, text.as_str()),
        (503, "not ready, pending: configuration\n")
    );
    block.ready();
    assert_eq!(get(&pages, "10.0.0.1", "/readyz").await.0, 200);
}
