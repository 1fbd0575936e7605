//! Tokens, between a real client and a real endpoint, with a key-set server of the test's own.

#![expect(clippy::unwrap_used, reason = "this is test code outside of test functions")]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jsonwebtoken::Algorithm;
use mesh_model::l7::authentication::{Authentication, JwtRule, KeySet};
use mesh_model::l7::authorization::{Action, Condition, TextAttribute, Values};
use mesh_model::l7::route::{ClaimMatch, Destination, HttpAction, HttpMatch, Rules};
use mesh_model::l7::{PolicyKind, TextMatch};
use mesh_state::l7::L7Update;
use mesh_testkit::{Issuer, pod, service};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;
use waypoint::filters::jwt::fetch::follow;
use waypoint::filters::jwt::fetch::network::{FetchError, Network};
use waypoint::stream::Stream;

use super::lab::{Answer, App, Lab, get, http1, in_lab, read};
use super::security::{authorization, policy};
use super::{at, route, shop};

fn rule(keys: KeySet) -> JwtRule {
    JwtRule {
        issuer: "https://issuer.example".into(),
        audiences: vec!["shop".into()],
        keys,
        locations: Vec::new(),
        payload_header: Some("x-payload".into()),
        claim_headers: vec![("x-user".into(), vec!["sub".into()])],
        forward: false,
        space_delimited_claims: Vec::new(),
    }
}

fn tokens(keys: KeySet) -> L7Update {
    let rules = vec![rule(keys)];
    policy("jwt", PolicyKind::Authentication(Authentication { rules }))
}

fn claims(sub: &str, expires_in: i64) -> Value {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let now = i64::try_from(now.as_secs()).unwrap();
    json!({"iss": "https://issuer.example", "sub": sub, "aud": "shop", "exp": now + expires_in, "role": ["admin", "dev"]})
}

async fn ask(address: SocketAddr, path: &str, token: Option<&str>) -> Answer {
    let mut http = http1(TcpStream::connect(address).await.unwrap()).await;
    let mut request = get(path);
    request.headers_mut().insert("x-user", "forged".parse().unwrap());
    if let Some(token) = token {
        let value = format!("Bearer {token}").parse().unwrap();
        request.headers_mut().insert("authorization", value);
    }
    read(http.send_request(request).await.unwrap()).await
}

#[test]
fn a_bad_token_is_refused_and_a_good_one_is_told_to_the_application() {
    in_lab(|lab| async move {
        shop(&lab, App::Http).await;
        let issuer = Issuer::new(Algorithm::ES256);
        lab.serve([tokens(KeySet::Inline(issuer.keys().into()))]);
        let address = lab.open_plain("shop", 80);

        let without = ask(address, "/", None).await;
        assert_eq!(without.status, 200);
        assert!(!without.body.contains("forged"), "{}", without.body);

        let good = ask(address, "/", Some(&issuer.token(&claims("bob", 60)))).await;
        assert_eq!(good.status, 200);
        assert!(good.body.contains("x-user: bob\n"), "{}", good.body);
        assert!(good.body.contains("x-payload: ey"), "{}", good.body);
        assert!(!good.body.contains("authorization"), "{}", good.body);

        let mut other_audience = claims("bob", 60);
        other_audience["aud"] = "bank".into();
        let mut other_issuer = claims("bob", 60);
        other_issuer["iss"] = "me".into();
        let stranger = Issuer::new(Algorithm::ES256);
        let bad = [
            (issuer.token(&claims("bob", -120)), 401, "Jwt is expired"),
            (
                issuer.token(&other_audience),
                403,
                "Audiences in Jwt are not allowed",
            ),
            (issuer.token(&other_issuer), 401, "Jwt issuer is not configured"),
            (stranger.token(&claims("bob", 60)), 401, "Jwt verification fails"),
            (
                "x".to_owned(),
                401,
                "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections",
            ),
        ];
        for (token, status, message) in bad {
            let answer = ask(address, "/a?b=1", Some(&token)).await;
            assert_eq!((answer.status, answer.body.as_str()), (status, message));
            assert_eq!(
                answer.headers["www-authenticate"],
                "Bearer realm=\"http://shop/a?b=1\", error=\"invalid_token\""
            );
        }
        let reports = lab.reports(7).await;
        assert_eq!(reports[2].details, "jwt_authn_access_denied{Jwt_is_expired}");
    });
}

#[test]
fn what_a_token_says_lets_pass_and_chooses_the_route() {
    in_lab(|lab| async move {
        shop(&lab, App::Http).await;
        lab.apply([
            service("admins").at("10.96.0.2").port(80, 9001).into(),
            pod("admins").at(&lab.ip(2)).serving("admins", 80, 9001).into(),
        ]);
        lab.app(App::Http, "admins", 2, 9001).await;
        let issuer = Issuer::new(Algorithm::RS256);
        let values = |text: &str| Values {
            any: vec![TextMatch::Exact(text.into())],
            ..Values::default()
        };
        let is_somebody = Condition::Text(
            TextAttribute::RequestPrincipal,
            Values {
                any: vec![TextMatch::Prefix("https://issuer.example/".into())],
                ..Values::default()
            },
        );
        let is_no_mallory = Condition::Text(TextAttribute::Claim(vec!["sub".into()]), values("mallory"));
        let mut routes = route("shop", &[("shop", 1)]);
        if let Rules::Http { rules, .. } = &mut routes.rules {
            let mut admins = rules[0].clone();
            admins.matches = vec![HttpMatch {
                claims: vec![ClaimMatch {
                    path: vec!["role".into()],
                    value: TextMatch::Exact("admin".into()),
                }],
                ..HttpMatch::default()
            }];
            if let HttpAction::Forward(backends) = &mut admins.action {
                backends[0].destination = Destination::Service {
                    service: at("admins"),
                    subset: None,
                };
            }
            rules.insert(0, admins);
        }
        lab.serve([
            tokens(KeySet::Inline(issuer.keys().into())),
            authorization("somebody", Action::Allow, false, vec![is_somebody]),
            authorization("not-mallory", Action::Deny, false, vec![is_no_mallory]),
            L7Update::Route(Arc::new(routes)),
        ]);
        let address = lab.open_plain("shop", 80);
        let denied = ask(address, "/", None).await;
        assert_eq!(
            (denied.status, denied.body.as_str()),
            (403, "RBAC: access denied")
        );
        let mallory = ask(address, "/", Some(&issuer.token(&claims("mallory", 60)))).await;
        assert_eq!(mallory.status, 403);
        let admin = ask(address, "/", Some(&issuer.token(&claims("bob", 60)))).await;
        assert_eq!(
            (admin.status, &admin.headers["x-app"] == "admins"),
            (200, true),
            "{admin:?}"
        );
        let mut plain = claims("eve", 60);
        plain["role"] = "dev".into();
        let plain = ask(address, "/", Some(&issuer.token(&plain))).await;
        assert_eq!(
            (plain.status, &plain.headers["x-app"] == "web"),
            (200, true),
            "{plain:?}"
        );
    });
}

/// Everything is at one address of the test's own, which no proxy outside of a test would ask.
struct Here(SocketAddr);

impl Network for Here {
    async fn connect(&self, _: &str, _: u16) -> Result<Stream, FetchError> {
        Ok(TcpStream::connect(self.0).await.unwrap().into())
    }
}

#[test]
fn keys_are_fetched_from_where_they_are_and_an_unknown_one_is_looked_for() {
    in_lab(|lab| async move {
        shop(&lab, App::Http).await;
        let issuer = Issuer::new(Algorithm::ES256);
        let (keys, address) = key_server(&lab, &issuer).await;
        lab.serve([tokens(KeySet::Remote {
            uri: "http://issuer.example/keys".into(),
            timeout: Duration::from_secs(5),
        })]);
        let network = Rc::new(Here(address));
        spawn_local(follow(
            lab.key_sets.clone(),
            lab.l7_reader.clone(),
            lab.tasks.clone(),
            network,
        ));
        let shop = lab.open_plain("shop", 80);
        let good = ask(shop, "/", Some(&issuer.token(&claims("bob", 60)))).await;
        assert_eq!(
            (good.status, good.body.contains("x-user: bob")),
            (200, true),
            "{good:?}"
        );
        // Only just fetched, the new key is not looked for yet.
        let newer = Issuer::new(Algorithm::ES256).named(Some("key-2"));
        *keys.lock() = newer.keys();
        let unknown = ask(shop, "/", Some(&newer.token(&claims("bob", 60)))).await;
        assert_eq!(
            (unknown.status, unknown.body.as_str()),
            (401, "Jwks doesn't have key to match kid or alg from Jwt")
        );
    });
}

async fn key_server(lab: &Lab, issuer: &Issuer) -> (Arc<Mutex<String>>, SocketAddr) {
    let listener = TcpListener::bind(format!("{}:0", lab.ip(50))).await.unwrap();
    let address = listener.local_addr().unwrap();
    let keys = Arc::new(Mutex::new(issuer.keys()));
    let served = keys.clone();
    spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let served = served.clone();
            let service = service_fn(move |_| {
                let body = Full::new(Bytes::from(served.lock().clone()));
                std::future::ready(Ok::<_, Infallible>(Response::new(body)))
            });
            let serve =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            spawn_local(async move { drop(serve.await) });
        }
    });
    (keys, address)
}
