use crate::error::KubeError;
use crate::fake::FakeApi;

#[tokio::test]
async fn a_path_is_read_as_text() {
    let api = FakeApi::new();
    api.page("/openid/v1/jwks", r#"{"keys":[]}"#);
    let client = api.client();
    assert_eq!(
        client.text("/openid/v1/jwks").await,
        Ok(r#"{"keys":[]}"#.to_owned())
    );
    let error = client.text("/nothing").await.expect_err("no such page");
    assert!(matches!(error, KubeError::NotFound(_)), "{error}");
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_never_answers_is_given_up() {
    let api = FakeApi::new();
    api.page("/version", "{}");
    api.hang(true);
    let error = api.client().text("/version").await.expect_err("no answer");
    assert!(error.is_worth_retrying(), "{error}");
    assert!(error.to_string().contains("30 s"), "{error}");
}

#[tokio::test]
async fn an_api_server_that_is_away_is_worth_asking_again() {
    let api = FakeApi::new();
    api.away(true);
    let error = api.client().text("/version").await.expect_err("nobody there");
    assert!(matches!(error, KubeError::Unreachable(_)), "{error}");
}
