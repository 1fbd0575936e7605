//! `docs/attributes.md`, made from the dictionary.

use std::fmt::Write as _;

use super::{Since, entries};
use crate::cel::FUNCTIONS;

/// The page.
#[must_use]
pub fn document() -> String {
    let mut page = String::from(HEAD);
    for (since, title) in SECTIONS {
        let _ = write!(
            page,
            "\n## {title}\n\n| attribute | type | says |\n|---|---|---|\n"
        );
        for entry in entries().filter(|entry| entry.since == since) {
            let _ = writeln!(
                page,
                "| `{}` | {} | {} |",
                entry.name,
                entry.kind.as_str(),
                entry.text
            );
        }
    }
    page.push_str("\n## Functions\n\n| function | gives |\n|---|---|\n");
    for (usage, text) in FUNCTIONS {
        let _ = writeln!(page, "| `{usage}` | {text} |");
    }
    page.push_str(TAIL);
    page
}

const SECTIONS: [(Since, &str); 4] = [
    (Since::Connection, "Known of a connection"),
    (Since::Request, "Known when a request is there"),
    (
        Since::Response,
        "Known when an endpoint answered, or the proxy instead",
    ),
    (Since::End, "Known when it is over"),
];

const HEAD: &str = "# Attributes

What expressions (CEL, <https://cel.dev>) may name, in log filters, labels of metrics, policies and limits. The names are
Envoy's and Istio's. This page is made from the dictionary in `crates/mesh-telemetry/src/attributes`; a test holds it to it:
`LATEEN_UPDATE=1 cargo test -p mesh-telemetry attributes` writes it anew.

An expression that names what is not here, or compares what cannot be compared, is refused with a status that says so. A
value that is not there at evaluation makes the expression fail: a filter then does not pass, a label is `unknown`. `has()`
and `in` ask first: `has(response.grpc_status) && response.grpc_status != 0`, `'x-user' in request.headers`.

Limits (RateLimitPolicy, `when` and `expression`) are decided when a request begins: what is known only later is refused there.
Paths are the normalised ones, as policies see them. Of what is absent a `when` is not true, and an `expression` gives no key:
the request does not count. Where one fails for another reason (it takes too long, or cannot compare what a client sent), the
request counts: nobody gets around a limit by making it fail.
";

const TAIL: &str = "
Operators are those of CEL: `== != < <= > >= && || ! ?: + - * / % in [] .`, lists, maps, `has()`, and the macros `all`,
`exists`, `exists_one`, `map` and `filter`.

## Limits

An expression has at most 4,096 bytes, 512 parts and a depth of 48. An evaluation takes at most 10,000 steps; strings that
it makes count by their length. The pattern of `matches()` must be a constant (RE2 syntax, compiled once).
";
