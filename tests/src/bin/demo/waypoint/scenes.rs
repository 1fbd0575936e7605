//! The scenes: a file of `examples/waypoint/`, what to call, and what must come back.
//!
//! The first call of a scene is one whose answer the file changes.

mod policies;

use std::sync::LazyLock;

use super::call::{Call, Program};
use super::expect::{ANYBODY, Expect, WAYPOINT};

/// A file, and what it does.
pub(super) struct Scene {
    pub(super) title: &'static str,
    /// For people who see it for the first time.
    pub(super) tells: &'static str,
    pub(super) file: &'static str,
    /// The line of the file after which it becomes interesting.
    pub(super) shown_after: &'static str,
    /// Calls before the change.
    pub(super) before: Vec<Call>,
    pub(super) calls: Vec<Call>,
}

/// The namespace asks for the waypoint.
pub(super) fn opening() -> Scene {
    Scene {
        before: vec![Call {
            logged: false,
            ..curl("GET /", &["http://reviews.store/"], Expect::once("200", ANYBODY))
        }],
        calls: vec![
            curl("GET /", &["http://reviews.store/"], Expect::once("200", ANYBODY)),
            Call {
                title: "gRPC, three messages each way",
                with: Program::Grpc(&["one", "two", "three"]),
                expect: Expect::once("gRPC 0", ANYBODY).says(&[": one", ": two", ": three"]),
                logged: true,
            },
            Call {
                title: "WebSocket, two messages each way",
                with: Program::WebSocket(&["hello", "again"]),
                expect: Expect::once("101", ANYBODY).says(&["hello", "again"]),
                logged: true,
            },
            Call {
                title: "TCP, a line each way",
                with: Program::Tcp,
                expect: Expect::once("echo", ANYBODY),
                logged: true,
            },
        ],
        ..scene(
            "The namespace opts in",
            "One label on the namespace, and its services are reached through the waypoint: HTTP, gRPC, WebSocket and TCP \
             alike. Below each call stands the waypoint's line of it, the first of several.",
            "",
            "",
        )
    }
}

/// All others, in order.
pub(super) fn scenes() -> &'static [Scene] {
    static SCENES: LazyLock<Vec<Scene>> = LazyLock::new(|| {
        let acts = [routing(), resilience(), policies::scenes(), egress()];
        acts.into_iter().flatten().collect()
    });
    &SCENES
}

fn routing() -> Vec<Scene> {
    vec![
        Scene {
            calls: vec![curl(
                "GET /canary × 60",
                &["http://reviews.store/canary?[1-60]"],
                Expect::default().and("200", V1, 44..=59).and("200", V2, 1..=16),
            )],
            ..scene(
                "A canary: one request in ten goes to the next version",
                "Shares are by request: all sixty come over one connection.",
                "weights.yaml",
                "  rules:",
            )
        },
        Scene {
            calls: vec![curl(
                "GET /canary × 60",
                &["http://reviews.store/canary?[1-60]"],
                Expect::all("200", V2, 60),
            )],
            ..scene(
                "The canary sang: everything goes to the next version",
                "Two numbers in the same file.",
                "weights-moved.yaml",
                "  rules:",
            )
        },
        Scene {
            calls: vec![
                curl("GET /ab", &["http://reviews.store/ab"], Expect::once("200", V1)),
                curl(
                    "GET /ab, x-tester: yes",
                    &["-H", "x-tester: yes", "http://reviews.store/ab"],
                    Expect::once("200", V2),
                ),
            ],
            ..scene(
                "A/B: who carries a header sees the next version",
                "Everybody else sees the present one.",
                "header.yaml",
                "  rules:",
            )
        },
        Scene {
            calls: vec![
                curl(
                    "GET /old/shelf",
                    &["-i", "http://reviews.store/old/shelf"],
                    Expect::once("301", WAYPOINT).says(&["location: http://reviews.store/new/shelf"]),
                ),
                curl(
                    "GET /api/v1/all, cookie: secret",
                    &["-i", "-H", "cookie: secret", "http://reviews.store/api/v1/all"],
                    Expect::once("200", V1)
                        .says(&["x-stage: demo", "x-reviewed: yes"])
                        .lacks(&["cookie"]),
                ),
            ],
            ..scene(
                "Redirects, rewrites, headers",
                "The first answer is the waypoint's own; the second request reaches the program as /headers/all, with one header \
                 more and one less, and its answer comes back with one more.",
                "edits.yaml",
                "  rules:",
            )
        },
        Scene {
            calls: vec![
                curl(
                    "OPTIONS /shelf from https://shop.example",
                    &[
                        "-i",
                        "-X",
                        "OPTIONS",
                        "-H",
                        "origin: https://shop.example",
                        "-H",
                        "access-control-request-method: PUT",
                        "http://reviews.store/shelf",
                    ],
                    Expect::once("200", WAYPOINT)
                        .says(&["access-control-allow-origin: https://shop.example"]),
                ),
                curl(
                    "GET /shelf from https://shop.example",
                    &[
                        "-i",
                        "-H",
                        "origin: https://shop.example",
                        "http://reviews.store/shelf",
                    ],
                    Expect::once("200", V1).says(&["access-control-allow-origin: https://shop.example"]),
                ),
            ],
            ..scene(
                "CORS: which pages may read this, browsers ask first",
                "The waypoint answers them; the program never hears of it.",
                "cors.yaml",
                "  rules:",
            )
        },
        Scene {
            calls: vec![curl(
                "POST /mirrored, then ask v2 whether it saw it",
                &[
                    "-X",
                    "POST",
                    "http://reviews.store/mirrored/{number}",
                    "http://reviews-v2.store/seen/mirrored",
                ],
                Expect::once("200", V1).and("200", V2, 1..=1),
            )],
            ..scene(
                "A mirror: the next version sees what the present one answers",
                "A copy of each request goes to it; what it answers, nobody sees.",
                "mirror.yaml",
                "  rules:",
            )
        },
    ]
}

fn resilience() -> Vec<Scene> {
    vec![
        Scene {
            calls: vec![curl(
                "GET /flaky/2: fails twice",
                &["http://reviews.store/flaky/2/{number}"],
                Expect::once("200", V1),
            )],
            ..scene(
                "Retries: who fails twice is asked a third time",
                "The program answers this path with 500 twice, then with 200. The caller sees the last answer only.",
                "retries.yaml",
                "  rules:",
            )
        },
        Scene {
            calls: vec![
                curl(
                    "GET /slow/600: takes 600 ms",
                    &["http://reviews.store/slow/600"],
                    Expect::once("504", WAYPOINT).within(200..=590),
                ),
                curl(
                    "GET /fast",
                    &["http://reviews.store/fast"],
                    Expect::once("200", V1),
                ),
            ],
            ..scene(
                "A timeout: nobody waits longer than 250 ms",
                "The waypoint gives up, says so, and tells the program that nobody waits any more.",
                "timeout.yaml",
                "  rules:",
            )
        },
        Scene {
            calls: vec![
                curl(
                    "GET /, x-chaos: fail",
                    &["-H", "x-chaos: fail", "http://reviews.store/"],
                    Expect::once("418", WAYPOINT),
                ),
                curl(
                    "GET /, x-chaos: dawdle",
                    &["-H", "x-chaos: dawdle", "http://reviews.store/"],
                    Expect::once("200", V1).within(300..=2000),
                ),
                curl("GET /", &["http://reviews.store/"], Expect::once("200", V1)),
            ],
            ..scene(
                "Faults on purpose: how callers bear failures and delays",
                "Istio's own kind, VirtualService, does what Gateway API has no word for.",
                "fault.yaml",
                "  http:",
            )
        },
    ]
}

fn egress() -> Vec<Scene> {
    vec![Scene {
        calls: vec![
            curl(
                "GET http://partner.example/headers",
                &["--max-time", "0.5", "http://partner.example/headers"],
                Expect::once("200", "partner").says(&["x-from: store"]),
            ),
            curl(
                "POST http://partner.example/",
                &["-X", "POST", "http://partner.example/"],
                Expect::once("404", WAYPOINT),
            ),
        ],
        ..scene(
            "Egress: rules for what leaves the mesh",
            "A service of somebody else, known by its name; what goes there passes the waypoint, which lets only reads out.",
            "egress.yaml",
            "  rules:",
        )
    }]
}

fn scene(title: &'static str, tells: &'static str, file: &'static str, shown_after: &'static str) -> Scene {
    Scene {
        title,
        tells,
        file,
        shown_after,
        before: Vec::new(),
        calls: Vec::new(),
    }
}

fn curl(title: &'static str, arguments: &'static [&'static str], expect: Expect) -> Call {
    Call {
        title,
        with: Program::Curl(arguments),
        expect,
        logged: true,
    }
}

const V1: &str = "reviews-v1";
const V2: &str = "reviews-v2";
