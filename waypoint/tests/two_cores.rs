//! Two streams of one tunnel that cost much: two workers pay for them, by the clocks of their threads. Alone in its
//! process, so that no other test has threads of these names.

#[expect(dead_code, reason = "other tests use more of it")]
mod lab;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::rc::Rc;
use std::sync::Arc;

use lab::{App, get, http1, in_lab_with_threads, read};
use mesh_model::AppProtocol;
use mesh_model::l7::resilience::Timeouts;
use mesh_model::l7::route::{
    Destination, HttpAction, HttpBackend, HttpMatch, HttpRule, NamedMatch, Order, Route, RouteParent, Rules,
};
use mesh_model::l7::{Created, ObjectRef, Pattern, ServicePort, TextMatch};
use mesh_state::l7::L7Update;
use mesh_testkit::objects::hostname;
use mesh_testkit::pod;
use mesh_types::NamespacedName;
use tokio::task::spawn_local;

/// Rules that take nobody, and look at all of a long header to find that out.
fn costly() -> L7Update {
    let shop = || HttpBackend {
        weight: 1,
        destination: Destination::Service {
            service: ServicePort {
                service: hostname("shop", "shop"),
                port: 80,
            },
            subset: None,
        },
        filters: Vec::new(),
    };
    let rule = |n: usize| HttpRule {
        name: None,
        matches: vec![HttpMatch {
            headers: vec![NamedMatch {
                name: "x-long".into(),
                value: TextMatch::Regex(Pattern::new(&format!("(a|b)*[ab]{{{n}}}c")).expect("it is one")),
            }],
            ..HttpMatch::default()
        }],
        filters: Vec::new(),
        action: HttpAction::Forward(vec![shop()]),
        timeouts: Timeouts::default(),
        retry: None,
        session: None,
    };
    let mut rules: Vec<_> = (1..30).map(rule).collect();
    rules.push(HttpRule {
        matches: Vec::new(),
        ..rule(1)
    });
    L7Update::Route(Arc::new(Route {
        object: ObjectRef {
            kind: "HTTPRoute".into(),
            name: NamespacedName::new("shop", "costly"),
        },
        part: "".into(),
        parents: vec![RouteParent::Service(hostname("shop", "shop"))],
        created: Created::unknown(),
        consumer: None,
        hostnames: Vec::new(),
        rules: Rules::Http {
            order: Order::Specificity,
            rules,
        },
    }))
}

/// The time that each worker's thread has had on a processor, in clock ticks (proc(5), `utime` and `stime`).
fn ticks() -> BTreeMap<String, u64> {
    let mut all = BTreeMap::new();
    for task in fs::read_dir("/proc/self/task").expect("it is Linux") {
        let task = task.expect("a thread").path();
        // One that ends meanwhile is none of ours.
        let Ok(stat) = fs::read_to_string(task.join("stat")) else {
            continue;
        };
        let (name, rest) = stat.split_once(") ").expect("a name");
        let name = name.split_once('(').expect("a name").1;
        let fields: Vec<&str> = rest.split(' ').collect();
        let clock = |at: usize| fields[at].parse::<u64>().expect("a number");
        if name.starts_with("data-") {
            all.insert(name.to_owned(), clock(11) + clock(12));
        }
    }
    all
}

#[test]
fn two_costly_streams_of_one_tunnel_occupy_two_workers() {
    in_lab_with_threads(2, |lab| async move {
        let ip = lab.ip(1);
        lab.enroll(AppProtocol::Unknown);
        lab.apply([pod("web").at(&ip).serving("shop", 80, 9000).into()]);
        lab.app(App::Http, "web", 1, 9000).await;
        lab.serve([costly()]);
        let waypoint = lab.open_hbone();
        let client = lab.client("client");
        let enough = Rc::new(Cell::new(false));
        let before = ticks();
        let mut streams = Vec::new();
        for _ in 0..2 {
            let tunnel = lab.tunnel(&client, "client", waypoint, "10.96.0.1:80").await;
            let mut http = http1(tunnel.expect("a tunnel").into_io()).await;
            let enough = enough.clone();
            streams.push(spawn_local(async move {
                let mut requests = 0;
                while !enough.get() {
                    let mut ask = get("/");
                    let long = "ab".repeat(20_000).parse().expect("a value");
                    ask.headers_mut().insert("x-long", long);
                    let answer = read(http.send_request(ask).await.expect("an answer")).await;
                    assert_eq!(answer.status, 200);
                    requests += 1;
                }
                requests
            }));
        }
        // Until both have paid, however busy the machine is; one that pays alone is found out.
        let spent = loop {
            tokio::task::yield_now().await;
            let now = ticks();
            let spent: Vec<u64> = now
                .iter()
                .map(|(name, ticks)| ticks - before.get(name).copied().unwrap_or_default())
                .collect();
            assert_eq!(spent.len(), 2, "{now:?}");
            let (least, most) = (spent[0].min(spent[1]), spent[0].max(spent[1]));
            if least >= 20 {
                break spent;
            }
            assert!(most < 1000, "one worker pays for both: {spent:?}");
        };
        enough.set(true);
        for stream in streams {
            let requests = stream.await.expect("it ends well");
            assert!(requests > 0, "{spent:?}");
        }
        assert_eq!(client.connections(), 1, "both came in one tunnel");
        assert_eq!(lab.threads(), ["data-0", "data-1"]);
    });
}
