//! Scenes of policies: who may do what, how much, and which endpoints are asked.

use super::super::call::Call;
use super::super::expect::{ANYBODY, Expect, WAYPOINT};
use super::{Scene, V1, V2, curl, scene};

pub(super) fn scenes() -> Vec<Scene> {
    vec![
        Scene {
            calls: vec![
                curl(
                    "DELETE /shelf",
                    &["-X", "DELETE", "http://reviews.store/shelf"],
                    Expect::once("403", WAYPOINT),
                ),
                curl(
                    "GET /admin/users",
                    &["http://reviews.store/admin/users"],
                    Expect::once("403", WAYPOINT),
                ),
                curl(
                    "GET /shelf/../admin/users",
                    &["--path-as-is", "http://reviews.store/shelf/../admin/users"],
                    Expect::once("403", WAYPOINT),
                ),
                curl(
                    "GET /shelf",
                    &["http://reviews.store/shelf"],
                    Expect::once("200", ANYBODY),
                ),
            ],
            ..scene(
                "Denied by method and by path",
                "The policy names who may: an identity that a certificate proves. A path that only looks different is the same path.",
                "deny.yaml",
                "spec:",
            )
        },
        Scene {
            calls: vec![
                curl(
                    "GET /drafts, no token",
                    &["http://reviews.store/drafts"],
                    Expect::once("403", WAYPOINT),
                ),
                curl(
                    "GET /drafts, a forged token",
                    &[
                        "-H",
                        "authorization: Bearer {editor.jwt}A",
                        "http://reviews.store/drafts",
                    ],
                    Expect::once("401", WAYPOINT),
                ),
                curl(
                    "GET /drafts, a reader's token",
                    &[
                        "-H",
                        "authorization: Bearer {reader.jwt}",
                        "http://reviews.store/drafts",
                    ],
                    Expect::once("403", WAYPOINT),
                ),
                curl(
                    "GET /drafts, an editor's token",
                    &[
                        "-H",
                        "authorization: Bearer {editor.jwt}",
                        "http://reviews.store/drafts",
                    ],
                    Expect::once("200", ANYBODY),
                ),
            ],
            ..scene(
                "Tokens: editors only",
                "The waypoint checks the token's signature, issuer and audience, and the policy asks for a claim of it.",
                "jwt.yaml",
                "spec:",
            )
        },
        Scene {
            calls: vec![
                curl(
                    "GET /api × 5 by one user",
                    &["-H", "x-user: one-{number}", "http://reviews.store/api?[1-5]"],
                    Expect::all("200", ANYBODY, 3).and("429", WAYPOINT, 2..=2),
                ),
                curl(
                    "GET /api by another",
                    &["-H", "x-user: two-{number}", "http://reviews.store/api"],
                    Expect::once("200", ANYBODY),
                ),
            ],
            ..scene(
                "A rate limit: three requests a minute for each user",
                "One user's haste is not another's trouble.",
                "rate-limit.yaml",
                "spec:",
            )
        },
        Scene {
            calls: vec![curl(
                "GET /slow/600 × 6 at once",
                &[
                    "-Z",
                    "--parallel-immediate",
                    "http://reviews.store/slow/600?[1-6]",
                ],
                Expect::default()
                    .and("200", ANYBODY, 1..=4)
                    .and("503", WAYPOINT, 2..=5),
            )],
            ..scene(
                "A circuit opens: no more at once than the program can bear",
                "Who is beyond the limit is told so at once, instead of waiting in line.",
                "circuit.yaml",
                "spec:",
            )
        },
        Scene {
            before: vec![Call {
                logged: false,
                ..curl(
                    "version 2 loses its database",
                    &["http://reviews-v2.store/break"],
                    Expect::once("200", V2),
                )
            }],
            calls: vec![
                curl(
                    "GET /stock × 20",
                    &["http://reviews.store/stock?[1-20]"],
                    Expect::all("200", V1, 20),
                ),
                Call {
                    logged: false,
                    ..curl(
                        "version 2 gets it back",
                        &["http://reviews-v2.store/mend"],
                        Expect::once("200", V2),
                    )
                },
            ],
            ..scene(
                "An endpoint that fails is left out",
                "After three failures in a row, version 2 is asked no more; callers get answers of version 1 only.",
                "outlier.yaml",
                "spec:",
            )
        },
    ]
}
