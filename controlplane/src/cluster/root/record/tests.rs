use controlplane_ca::root::{AuthorityPems, Kept};
use mesh_kube::fake::FakeApi;
use mesh_types::TrustDomain;

use super::*;

fn root() -> Root {
    let now = SystemTime::now();
    let pems = AuthorityPems::make(&TrustDomain::default(), now).unwrap();
    Root::from_pems(&pems, Kept::Secret, now).unwrap()
}

#[test]
fn what_is_written_is_what_is_read() {
    let (old, new) = (root(), root());
    let now = SystemTime::UNIX_EPOCH + Duration::from_millis(1_790_000_000_250);
    let known = Succession::default().begin(old.own(), &[], DEFAULT_TTL, now);
    let known = known.begin(new.own(), &[], DEFAULT_TTL * 3, now);
    let name = ObjectName::new("istio-system", NAME);
    let first = read(&object(&name, None, &known)).expect("it can be read");
    assert_eq!(first.signing, known.signing);
    assert_eq!(first.longest, known.longest);
    let (read_until, until) = (first.retired.values().next(), known.retired.values().next());
    assert_eq!(
        *read_until.unwrap(),
        *until.unwrap() + Duration::from_millis(750),
        "rounded up"
    );
    let second = read(&object(&name, None, &first)).expect("it can be read");
    assert_eq!(second, first);
}

#[test]
fn what_is_wrong_with_it_is_said() {
    let secret = |text: &str| json!({"data": {KEY: BASE64.encode(text)}});
    for (text, said) in [
        ("{", "data.roots.json: "),
        (
            r#"{"signing": ["hello"], "longestLifetimeSeconds": 1}"#,
            "is not one certificate",
        ),
    ] {
        let error = read(&secret(text)).expect_err("it is wrong");
        assert!(error.contains(said), "{error}");
    }
    let certificate = root().own()[0].clone();
    let text = json!({"signing": [], "longestLifetimeSeconds": 1, "retired": [{"certificate": certificate, "until": "soon"}]});
    let error = read(&secret(&text.to_string())).expect_err("it is wrong");
    assert!(error.contains("until \"soon\""), "{error}");
    assert!(read(&json!({})).expect_err("it is empty").contains("is missing"));
}

#[tokio::test(start_paused = true)]
async fn replicas_that_write_together_lose_nothing() {
    let api = FakeApi::new();
    api.serve(&SECRETS);
    let (one, two, three) = (root(), root(), root());
    let now = SystemTime::now();
    let client = api.client();
    tokio::join!(
        begin(&client, "istio-system", &one, now),
        begin(&client, "istio-system", &two, now),
        begin(&client, "istio-system", &three, now),
    );
    let known = begin(&client, "istio-system", &one, now).await;
    assert_eq!(known.signing, one.own());
    let all: Vec<&str> = known.trusted(now).collect();
    assert_eq!(all.len(), 3, "{known:?}");
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_is_away_is_waited_for_and_a_missing_right_is_not() {
    let api = FakeApi::new();
    api.serve(&SECRETS);
    let (root, now) = (root(), SystemTime::now());
    api.away(true);
    let back = async {
        sleep(Duration::from_secs(60)).await;
        api.away(false);
    };
    let client = api.client();
    let (known, ()) = tokio::join!(begin(&client, "istio-system", &root, now), back);
    assert_eq!(known.signing, root.own());
    api.forbid(&SECRETS, true);
    let known = begin(&client, "istio-system", &root, now).await;
    assert_eq!(known.signing, root.own());
}
