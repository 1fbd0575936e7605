use mesh_kube::fake::FakeApi;

use super::*;

async fn root(api: &FakeApi) -> Result<String, ClusterRootError> {
    let root = load_or_create(
        &api.client(),
        "istio-system",
        &TrustDomain::default(),
        SystemTime::now(),
    )
    .await?;
    Ok(root.certificate_pem().to_owned())
}

#[tokio::test]
async fn replicas_that_start_together_have_one_root() {
    let api = FakeApi::new();
    api.serve(&SECRETS);
    let (one, two, three) = tokio::join!(root(&api), root(&api), root(&api));
    let one = one.expect("a root");
    assert_eq!([&two.expect("a root"), &three.expect("a root")], [&one, &one]);
    assert_eq!(
        root(&api).await.expect("a root"),
        one,
        "the next start has it too"
    );
    let secret = api
        .object(&SECRETS, &ObjectName::new("istio-system", NAME))
        .expect("a Secret");
    assert_eq!(secret["type"], TYPE);
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_is_away_is_waited_for_and_a_missing_right_is_not() {
    let api = FakeApi::new();
    api.serve(&SECRETS);
    api.away(true);
    let back = async {
        sleep(Duration::from_secs(60)).await;
        api.away(false);
    };
    let (root_of, ()) = tokio::join!(root(&api), back);
    assert!(root_of.is_ok());
    api.forbid(&SECRETS, true);
    let error = root(&api).await.expect_err("no right");
    assert!(
        error
            .to_string()
            .starts_with("Secret istio-system/istio-ca-secret: not allowed"),
        "{error}"
    );
}

#[tokio::test]
async fn a_secret_that_is_no_authority_is_named() {
    let api = FakeApi::new();
    let metadata = json!({"namespace": "istio-system", "name": NAME});
    for data in [
        json!({}),
        json!({CERTIFICATE: "!", KEY: ""}),
        json!({CERTIFICATE: "YQ==", KEY: "YQ=="}),
    ] {
        api.put(&SECRETS, json!({"metadata": metadata, "data": data}));
        let error = root(&api).await.expect_err("no authority");
        assert!(matches!(error, ClusterRootError::Unusable { .. }), "{error}");
    }
}

#[test]
fn a_mounted_authority_is_whole_or_an_error() {
    let dir = tempfile::tempdir().expect("a directory");
    let now = SystemTime::now();
    assert!(mounted(dir.path(), now).expect("nothing there").is_none());
    let pems = AuthorityPems::make(&TrustDomain::default(), now).expect("made");
    let write = |file: &str, text: &str| std::fs::write(dir.path().join(file), text).expect("a file");
    write("ca-cert.pem", &pems.certificate);
    write("ca-key.pem", &pems.key);
    write("cert-chain.pem", &pems.certificate);
    assert!(
        mounted(dir.path(), now)
            .expect_err("a part is missing")
            .contains("root-cert.pem")
    );
    write("root-cert.pem", &pems.certificate);
    let root = mounted(dir.path(), now).expect("whole").expect("there");
    assert_eq!(root.certificate_pem().trim(), pems.certificate.trim());
}
