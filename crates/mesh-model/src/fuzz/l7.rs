//! Targets for what is decided about requests: whatever is asked, there is an answer, and it holds what it promises.

use std::sync::{Arc, LazyLock};

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use mesh_types::{NamespacedName, Strng};

use crate::l7::authorization::{
    Action, Authorization, Authorizer, Operation, PathPattern, Rule, Segment, Values,
};
use crate::l7::edit::{cors, normalize, redirect, rewrite_path};
use crate::l7::filter::{Cors, PathRewrite, Redirect, RedirectPort};
use crate::l7::policy::PathNormalization;
use crate::l7::request::{Claims, Client, Local, Request};
use crate::l7::route::{HttpAction, HttpMatch, HttpRule, NamedMatch, Order, PathMatch, Route, Rules};
use crate::l7::select::{Hostnames, RouteTable};
use crate::l7::{Created, ObjectRef, Pattern, TextMatch};

/// Paths: normalising twice is normalising once, and leaves nothing that another reader would resolve.
pub fn path(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for mode in MODES {
        let once = normalize(&text, mode);
        assert_eq!(normalize(&once, mode), once, "{text:?} {mode:?}");
        if !text.starts_with(['/', '\\']) {
            assert_eq!(once, text);
            continue;
        }
        assert!(once.starts_with('/') && !once.contains('\\'), "{text:?} {mode:?}");
        assert!(
            !once.split('/').any(|s| s == "." || s == ".."),
            "{text:?} {mode:?}"
        );
        assert!(!once.to_ascii_lowercase().contains("%2e"), "{text:?} {mode:?}");
        let merges = mode != PathNormalization::Base;
        assert!(!merges || !once.contains("//"), "{text:?} {mode:?}");
        let decodes = mode == PathNormalization::DecodeAndMergeSlashes;
        assert!(!decodes || !once.contains("%2F"), "{text:?} {mode:?}");
    }
}

/// Requests: method, authority, path with query, then headers, a line each.
pub fn request(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.split('\n');
    let method = lines.next().and_then(|m| m.parse().ok()).unwrap_or(Method::GET);
    let authority = lines.next().unwrap_or_default();
    let target = lines.next().unwrap_or_default();
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        let name = HeaderName::from_bytes(name.as_bytes());
        let value = HeaderValue::from_bytes(value.as_bytes());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    let path = normalize(path, PathNormalization::Base);
    decide(&Request {
        method: &method,
        scheme: "http",
        authority,
        path: &path,
        query,
        headers: &headers,
        metadata: None,
    });
}

fn decide(request: &Request<'_>) {
    let client = Client {
        identity: None,
        address: [10, 0, 0, 1].into(),
        remote_address: [10, 0, 0, 1].into(),
        server_name: Some(request.host()),
        labels: &[],
    };
    let claims = Claims::none();
    let selected = TABLE.select(request, &client, &claims);
    let by_rule = |n: usize| {
        RULES[n]
            .0
            .iter()
            .position(|m| m.matches(request, &client, &claims))
    };
    match &selected {
        Some(s) => assert!(s.matched().is_some_and(|m| m.matches(request, &client, &claims))),
        None => assert!((0..RULES.len()).all(|n| by_rule(n).is_none()), "{request:?}"),
    }
    let matched = selected.and_then(|s| s.matched());
    for rewrite in &*REWRITES {
        assert!(rewrite_path(rewrite, request.path, matched).starts_with('/'));
    }
    let sent = redirect(&REDIRECT, request, matched, 80);
    assert!(sent.location.starts_with("https://"));
    let _ = cors(&CORS, request);
    let local = Local {
        address: [10, 96, 0, 1].into(),
        port: 80,
    };
    let decision = AUTHORIZER.request(request, &client, &claims, local);
    let secret = SECRET.iter().any(|pattern| pattern.matches(request.path));
    assert_eq!(decision.is_allowed(), !secret, "{request:?}");
    let _ = TABLE.select_tls(client.server_name, &client);
}

const MODES: [PathNormalization; 3] = [
    PathNormalization::Base,
    PathNormalization::MergeSlashes,
    PathNormalization::DecodeAndMergeSlashes,
];

/// Matches of each rule, and its name.
static RULES: LazyLock<Vec<(Vec<HttpMatch>, &str)>> = LazyLock::new(|| {
    let path = |path| HttpMatch {
        path: Some(path),
        ..HttpMatch::default()
    };
    let named = |name: &str, value: TextMatch| NamedMatch {
        name: name.into(),
        value,
    };
    let pattern = Pattern::new("/v[0-9]+(/.*)?").expect("the expression is well formed");
    let header = HttpMatch {
        headers: vec![named("version", TextMatch::Prefix("t".into()))],
        without_headers: vec![named("x-user", TextMatch::Exact("bob".into()))],
        ..HttpMatch::default()
    };
    let query = HttpMatch {
        query: vec![named("animal", TextMatch::Suffix("le".into()))],
        authority: Some(TextMatch::Suffix(".example.com".into())),
        ..path(PathMatch::Segments("/shop".into()))
    };
    vec![
        (vec![path(PathMatch::Exact("/shop/cart".into())), header], "cart"),
        (vec![path(PathMatch::Prefix("/sh".into())), query], "shop"),
        (
            vec![path(PathMatch::PrefixIgnoringCase("/shop/S".into()))],
            "secret",
        ),
        (vec![path(PathMatch::Regex(pattern))], "version"),
        (
            vec![path(PathMatch::Segments("/shop/cart".into()))],
            "below the cart",
        ),
    ]
});

static TABLE: LazyLock<RouteTable> = LazyLock::new(|| {
    let rules = RULES.iter().map(|(matches, name)| HttpRule {
        name: Some((*name).into()),
        matches: matches.clone(),
        filters: Vec::new(),
        action: HttpAction::Forward(Vec::new()),
        timeouts: Default::default(),
        retry: None,
        session: None,
    });
    let route = Route {
        object: ObjectRef {
            kind: "HTTPRoute".into(),
            name: NamespacedName::new("app", "route"),
        },
        part: Strng::default(),
        parents: Vec::new(),
        created: Created::unknown(),
        consumer: None,
        hostnames: Vec::new(),
        rules: Rules::Http {
            order: Order::Specificity,
            rules: rules.collect(),
        },
    };
    RouteTable::compile([Arc::new(route)], Hostnames::Ignored)
});

static SECRET: LazyLock<Vec<PathPattern>> = LazyLock::new(|| {
    let literal = |text: &str| Segment::Literal(text.into());
    vec![
        PathPattern::Text(TextMatch::Exact("/shop/secret".into())),
        PathPattern::Text(TextMatch::Suffix("/secret".into())),
        PathPattern::Template(vec![
            literal("shop"),
            Segment::Many,
            literal("secret"),
            Segment::One,
        ]),
    ]
});

static AUTHORIZER: LazyLock<Authorizer> = LazyLock::new(|| {
    let paths = Values {
        any: SECRET.clone(),
        ..Values::default()
    };
    let rule = Rule {
        to: vec![Operation {
            paths,
            ..Operation::default()
        }],
        ..Rule::default()
    };
    let object = ObjectRef {
        kind: "AuthorizationPolicy".into(),
        name: NamespacedName::new("app", "no-secrets"),
    };
    let policy = Authorization {
        action: Action::Deny,
        rules: vec![rule],
        dry_run: false,
    };
    Authorizer::compile([(&object, &policy)])
});

static REWRITES: LazyLock<Vec<PathRewrite>> = LazyLock::new(|| {
    let pattern = Pattern::new("/([^/]*)/").expect("the expression is well formed");
    vec![
        PathRewrite::Prefix("/new".into()),
        PathRewrite::Prefix(Strng::default()),
        PathRewrite::RawPrefix(Strng::default()),
        PathRewrite::Regex(pattern, "\\1/x".into()),
    ]
});

static REDIRECT: LazyLock<Redirect> = LazyLock::new(|| Redirect {
    scheme: Some("https".into()),
    hostname: None,
    port: RedirectPort::Requested,
    path: Some(PathRewrite::Prefix("/new".into())),
    status: 301,
});

static CORS: LazyLock<Cors> = LazyLock::new(|| Cors {
    allow_origins: vec![TextMatch::Suffix(".foo.com".into())],
    allow_methods: vec!["*".into()],
    allow_headers: vec!["*".into()],
    expose_headers: vec!["x-a".into()],
    max_age: None,
    allow_credentials: true,
    forward_unmatched_preflights: true,
});
