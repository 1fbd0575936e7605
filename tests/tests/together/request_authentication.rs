//! RequestAuthentication, field by field: which tokens are taken, and what the service learns of them.

use controlplane_k8s_api::{Kind, RawObject};
use http::Response;
use serde_json::{Value, json};

use crate::harness::{Ask, Together};
use crate::services;
use crate::tokens::{ISSUER, authentication, authentication_with, key_set, key_set_of, token, token_of};

fn bearer<'a>(mesh: &'a Together, token: &str) -> Ask<'a> {
    mesh.get("/a").header("authorization", &format!("Bearer {token}"))
}

// row: RequestAuthentication jwtRules.issuer
// row: RequestAuthentication jwtRules.jwks
#[test]
fn no_token_passes_a_good_one_passes_and_any_other_is_refused() {
    let mesh = Together::shop("");
    mesh.apply(&authentication(""));
    let good = token(json!({}));
    assert_eq!(mesh.get("/a").send().status, 200);
    assert_eq!(bearer(&mesh, &good).send().status, 200);
    let (head, rest) = good.split_once('.').unwrap();
    let (payload, signature) = rest.split_once('.').unwrap();
    // {"alg":"none"}, and the header of ES512, which nobody here can verify.
    let none = format!("eyJhbGciOiJub25lIn0.{payload}.{signature}");
    let es512 = format!("eyJhbGciOiJFUzUxMiIsImtpZCI6ImsxIn0.{payload}.{signature}");
    let other = token(json!({"sub": "mallory"}));
    let swapped = format!("{head}.{}.{signature}", other.split('.').nth(1).unwrap());
    for (bad, why) in [
        ("x.y", "no token"),
        (none.as_str(), "not signed"),
        (es512.as_str(), "an algorithm that is not known"),
        (swapped.as_str(), "signed for something else"),
        (
            &token(json!({"iss": "https://elsewhere.example"})),
            "another issuer",
        ),
        (&token(json!({"exp": 1})), "over"),
        (&token(json!({"nbf": 4_000_000_000_u64})), "not yet"),
        (&token_of("k2", json!({})), "a key that is not in the set"),
    ] {
        let answer = bearer(&mesh, bad).send();
        assert_eq!((answer.status, answer.by()), (401, ""), "{why}");
        let told = answer.header("www-authenticate").unwrap_or_default();
        assert!(told.starts_with("Bearer realm=\"http://web/a\""), "{why}: {told}");
    }
    // Clocks differ by a minute.
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    assert_eq!(bearer(&mesh, &token(json!({"exp": now - 30}))).send().status, 200);
    assert_eq!(
        bearer(&mesh, &token(json!({"exp": now - 120}))).send().status,
        401
    );
    // Every token of a request must be good.
    let two = mesh
        .get(&format!("/a?access_token={good}"))
        .header("authorization", "Bearer x.y.z");
    assert_eq!(two.send().status, 401);
    // A browser's question about another origin has none.
    let preflight = mesh
        .ask("OPTIONS", "/a")
        .header("origin", "https://x.example")
        .header("access-control-request-method", "GET")
        .header("authorization", "Bearer x");
    assert_eq!(preflight.send().status, 200);
}

// row: RequestAuthentication jwtRules.audiences
#[test]
fn another_audience_is_refused_in_another_way() {
    let mesh = Together::shop("");
    mesh.apply(&authentication("audiences: [shop, 'https://shop.example/']"));
    for (aud, expected) in [
        (json!("shop"), 200),
        (json!(["bank", "shop"]), 200),
        (json!("shop.example"), 200),
        (json!("bank"), 403),
        (json!([]), 403),
    ] {
        assert_eq!(
            bearer(&mesh, &token(json!({"aud": aud}))).send().status,
            expected,
            "{aud}"
        );
    }
    assert_eq!(bearer(&mesh, &token(json!({}))).send().status, 403);
}

// row: RequestAuthentication jwtRules.fromHeaders
// row: RequestAuthentication jwtRules.fromParams
// row: RequestAuthentication jwtRules.fromCookies
// row: RequestAuthentication jwtRules.forwardOriginalToken
#[test]
fn tokens_are_looked_for_where_they_may_be_and_go_no_further_unless_wanted() {
    let mesh = Together::shop("");
    let good = token(json!({}));
    let places = "fromHeaders: [{name: X-Token, prefix: 'JWT '}, {name: X-Bare}], fromParams: [t], fromCookies: [session]";
    let needs = "{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: needs, namespace: shop}, spec: \
                 {targetRefs: [{group: '', kind: Service, name: web}], rules: [{from: [{source: {requestPrincipals: \
                 ['*']}}]}]}}";
    mesh.apply(needs);
    for forward in [false, true] {
        mesh.apply(&authentication(&format!(
            "forwardOriginalToken: {forward}, {places}"
        )));
        let with = |name: &str, value: String| mesh.get("/a?x=1").header(name, &value);
        for (ask, left) in [
            (with("x-token", format!("JWT {good}")), "x-token"),
            (with("x-bare", good.clone()), "x-bare"),
            (with("cookie", format!("a=1; session={good}; b=2")), "cookie"),
        ] {
            let answer = ask.send();
            assert_eq!(answer.status, 200, "{left}");
            let seen = answer.seen().header(left).unwrap_or_default();
            assert_eq!(seen.contains(&good), forward, "{left}: {seen}");
        }
        let answer = mesh.get(&format!("/a?x=1&t={good}&y=2")).send();
        assert_eq!(answer.status, 200);
        assert_eq!(
            answer.seen().path.contains(&good),
            forward,
            "{}",
            answer.seen().path
        );
        assert!(answer.seen().path.contains("x=1") && answer.seen().path.contains("y=2"));
        // Where nobody looks there is none.
        assert_eq!(bearer(&mesh, &good).send().status, 403);
        assert_eq!(with("x-token", good.clone()).send().status, 403);
    }
}

// row: RequestAuthentication jwtRules.outputPayloadToHeader
// row: RequestAuthentication jwtRules.outputClaimToHeaders
// row: RequestAuthentication jwtRules.spaceDelimitedClaims
#[test]
fn the_service_learns_what_a_token_says_and_nothing_that_a_client_makes_up() {
    let mesh = Together::shop("");
    mesh.apply(&authentication(
        "outputPayloadToHeader: x-payload, spaceDelimitedClaims: [roles], outputClaimToHeaders: [{header: x-sub, claim: sub}, \
         {header: x-role, claim: nested.role}, {header: x-groups, claim: groups}, {header: x-age, claim: age}, \
         {header: x-none, claim: missing}]",
    ));
    let good = token(json!({
        "nested": {"role": "owner"}, "groups": ["a", "b"], "age": 42, "roles": "reader writer",
    }));
    let outputs = ["x-payload", "x-sub", "x-role", "x-groups", "x-age", "x-none"];
    let forged = |ask: Ask<'_>| {
        let ask = outputs.iter().fold(ask, |ask, name| ask.header(name, "forged"));
        ask.send().seen()
    };
    let seen = forged(bearer(&mesh, &good));
    let header = |name: &str| seen.header(name).unwrap_or_default();
    assert_eq!(header("x-payload"), good.split('.').nth(1).unwrap());
    // The list is JSON in base64url.
    let told = ["x-sub", "x-role", "x-groups", "x-age", "x-none"].map(header);
    assert_eq!(told, ["bob", "owner", "WyJhIiwiYiJd", "42", ""]);
    assert_eq!(header("authorization"), "");
    let without = forged(mesh.get("/a"));
    for name in outputs {
        assert_eq!(without.header(name), None, "{name}");
    }
    mesh.apply(
        "{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: writers, namespace: shop}, spec: \
         {targetRefs: [{group: '', kind: Service, name: web}], rules: [{when: [{key: 'request.auth.claims[roles]', values: \
         [writer]}]}]}}",
    );
    assert_eq!(bearer(&mesh, &good).send().status, 200);
    assert_eq!(
        bearer(&mesh, &token(json!({"roles": "reader"}))).send().status,
        403
    );
}

#[test]
fn keys_never_come_from_where_only_the_proxy_could_reach() {
    let mesh = Together::shop("");
    let at = services::place(&mesh, "keys", "http");
    services::http(at, |_| Response::new(key_set().into()));
    let good = token(json!({}));
    for (uri, refused_when_read) in [
        ("http://127.0.0.1:15000/config_dump", true),
        ("http://localhost/keys", true),
        ("http://169.254.169.254/latest/meta-data", true),
        ("http://[::1]/keys", true),
        ("http://[fe80::1]/keys", true),
        ("http://metadata.google.internal/keys", true),
        ("http://10.1.2.3/keys", false),
        ("http://192.168.0.1/keys", false),
        // Of the mesh, and well; but where its endpoint says that it is, is this machine.
        ("http://keys.shop.svc.cluster.local/keys", false),
    ] {
        let applied = mesh.try_apply(&authentication_with(&format!("jwksUri: '{uri}', timeout: 500ms")));
        match refused_when_read {
            true => assert!(
                applied.unwrap_err()[0].contains("spec.jwtRules[0].jwksUri"),
                "{uri}"
            ),
            false => {
                assert_eq!(applied, Ok(()), "{uri}");
                assert_eq!(bearer(&mesh, &good).send().status, 401, "{uri}");
                assert_eq!(mesh.get("/a").send().status, 200, "{uri}");
            }
        }
    }
}

#[test]
fn a_set_of_several_keys_is_read_and_several_issuers_are_known() {
    let mesh = Together::shop("");
    mesh.apply(&format!(
        "{{apiVersion: security.istio.io/v1, kind: RequestAuthentication, metadata: {{name: jwt, namespace: shop}}, spec: \
         {{targetRefs: [{{group: '', kind: Service, name: web}}], jwtRules: [{{issuer: '{ISSUER}', jwks: '{}'}}, {{issuer: \
         second, jwks: '{}'}}]}}}}",
        key_set(),
        key_set_of("k2"),
    ));
    assert_eq!(bearer(&mesh, &token(json!({}))).send().status, 200);
    assert_eq!(
        bearer(&mesh, &token_of("k2", json!({"iss": "second"})))
            .send()
            .status,
        200
    );
    assert_eq!(bearer(&mesh, &token_of("k2", json!({}))).send().status, 401);
    assert_eq!(
        bearer(&mesh, &token_of("k1", json!({"iss": "second"})))
            .send()
            .status,
        401
    );
}

#[test]
fn keys_that_nothing_can_be_verified_with_are_refused_when_they_are_read() {
    let mesh = Together::shop("");
    // ES512 is of P-521.
    let set = r#"{"keys": [{"kty": "EC", "crv": "P-521", "x": "AA", "y": "AA"}]}"#;
    let wrong = mesh.try_apply(&authentication_with(&format!("jwks: '{set}'")));
    let wrong = wrong.unwrap_err();
    assert!(
        wrong[0].contains("spec.jwtRules[0].jwks") && wrong[0].contains("EC P-521"),
        "{wrong:?}"
    );
}

/// A policy that an API server took and that never was good, as it counts then.
fn apply_broken(mesh: &Together, rules: &Value, beside: &Value) {
    let mut object = json!({
        "metadata": {"name": "jwt", "namespace": "shop"},
        "spec": {"targetRefs": [{"group": "", "kind": "Service", "name": "web"}], "jwtRules": rules},
    });
    for (field, value) in beside.as_object().expect("fields") {
        object["spec"][field] = value.clone();
    }
    let raw: RawObject = serde_json::from_value(object).expect("an object");
    assert!(raw.clone().understand(Kind::RequestAuthentication).is_err());
    let left = raw
        .strictest(Kind::RequestAuthentication)
        .expect("something is left");
    mesh.apply_unchecked(&authentication(""), |object| *object = left.object.value);
}

#[test]
fn a_policy_that_never_was_good_refuses_the_tokens_that_it_cannot_judge_and_nothing_else() {
    let mesh = Together::shop_over_grpc("");
    let known = token(json!({}));
    let second = token(json!({"iss": "second"}));
    let with = |header: &str, token: &str| mesh.get("/a").header(header, token).send();
    // Without it anything passes.
    assert_eq!(with("x-token", &second).status, 200);
    let good = json!({"issuer": ISSUER, "jwks": key_set(), "fromHeaders": [{"name": "x-token"}]});
    for (broken, bearer_is_a_token) in [
        (
            json!({"issuer": "second", "jwksUrl": "https://keys.example", "fromHeaders": [{"name": "x-token"}]}),
            false,
        ),
        (
            json!({"isuer": "second", "jwks": key_set(), "fromHeaders": [{"name": "x-token"}]}),
            false,
        ),
        // Where its tokens stand is unknown: they are looked for where they usually are.
        (
            json!({"issuer": "second", "jwks": key_set(), "fromHeadres": [{"name": "x-token"}]}),
            true,
        ),
    ] {
        apply_broken(&mesh, &json!([good, broken]), &json!({}));
        assert_eq!(mesh.get("/a").send().status, 200, "{broken}: no token");
        assert_eq!(
            with("x-token", &known).status,
            200,
            "{broken}: the rule beside it"
        );
        assert_eq!(
            with("x-token", &second).status,
            401,
            "{broken}: nobody can judge it"
        );
        let usual = bearer(&mesh, &second).send().status;
        assert_eq!(usual, if bearer_is_a_token { 401 } else { 200 }, "{broken}");
    }
    // Alone, and with its rules under another name.
    for (rules, beside) in [
        (
            json!([{"issuer": ISSUER, "jwks": key_set(), "audience": ["a"]}]),
            json!({}),
        ),
        (
            json!([]),
            json!({"jwtRule": [{"issuer": ISSUER, "jwks": key_set()}]}),
        ),
    ] {
        apply_broken(&mesh, &rules, &beside);
        assert_eq!(mesh.get("/a").send().status, 200, "{rules} {beside}");
        assert_eq!(bearer(&mesh, &known).send().status, 401, "{rules} {beside}");
    }
}

#[test]
fn a_rule_that_cannot_be_read_still_keeps_clients_from_making_up_what_it_would_say() {
    let mesh = Together::shop("");
    let rule = json!({
        "issuer": ISSUER, "jwkz": key_set(),
        "outputPayloadToHeader": "x-payload", "outputClaimToHeaders": [{"header": "x-sub", "claim": "sub"}],
    });
    apply_broken(&mesh, &json!([rule]), &json!({}));
    let ask = mesh
        .get("/a")
        .header("x-sub", "mallory")
        .header("x-payload", "e30");
    let seen = ask.send().seen();
    assert_eq!((seen.header("x-sub"), seen.header("x-payload")), (None, None));
}
