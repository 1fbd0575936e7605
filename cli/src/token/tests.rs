use mesh_kube::fake::FakeApi;

use super::*;

fn args() -> TokenArgs {
    TokenArgs {
        account: "ztunnel".into(),
        namespace: Some("istio-system".into()),
        audience: "istio-ca".into(),
        duration: 600,
    }
}

#[tokio::test]
async fn the_account_is_asked_for_its_token() {
    let api = FakeApi::new();
    api.review(
        &ACCOUNTS,
        json!({"token": "t.o.k", "expirationTimestamp": "2030-01-01T00:00:00Z"}),
    );
    let token = request(&api.client(), &args()).await.expect("a token");
    assert_eq!(token.text(), "t.o.k");
    assert_eq!(token.view().data["expires"], "2030-01-01T00:00:00Z");
    assert_eq!(
        api.last_request(),
        "POST /api/v1/namespaces/istio-system/serviceaccounts/ztunnel/token"
    );
}

#[tokio::test]
async fn a_right_that_is_missing_names_the_account() {
    let api = FakeApi::new();
    api.serve(&ACCOUNTS);
    api.forbid(&ACCOUNTS, true);
    let Err(error) = request(&api.client(), &args()).await else {
        panic!("it is forbidden");
    };
    assert_eq!(
        format!("{error:#}"),
        "a token of ServiceAccount istio-system/ztunnel: not allowed: no role lets you"
    );
}
