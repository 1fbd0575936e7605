//! What people look at: `/counters`, `/limits`.

use std::fmt::Write as _;

use http::StatusCode;
use mesh_quota::counters::Count;
use mesh_runtime::admin::{Request, Routes, json, text};
use serde::Serialize;

use crate::clock::Clock;
use crate::limits::Board;
use crate::store::Store;

/// A counter, as JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    key: String,
    unit: String,
    /// Seconds since 1970.
    start: u64,
    used: u64,
    reserved: u64,
    reset_seconds: u64,
}

/// `GET /counters` and `GET /limits`; `?output=json` for programs, `?contains=<text>` and `?most=<number>` to see less.
#[must_use]
pub fn routes(store: &Store, board: &Board, clock: &Clock) -> Routes {
    let (store, board, clock) = (store.clone(), board.clone(), clock.clone());
    Routes::new()
        .get(
            "/counters",
            "what is counted now: ?contains=, ?most=, ?output=json",
            move |request| std::future::ready(counters(&store, &clock, &request)),
        )
        .get("/limits", "what is limited", move |request| {
            let lines = board.lines();
            let page = match request.query("output") {
                Some("json") => json(StatusCode::OK, &lines),
                _ => text(
                    StatusCode::OK,
                    lines.iter().fold(String::new(), |page, line| page + line + "\n"),
                ),
            };
            std::future::ready(page)
        })
}

fn counters(store: &Store, clock: &Clock, request: &Request) -> mesh_runtime::admin::Response {
    let most = request.query("most").and_then(|most| most.parse().ok());
    let now = clock.now();
    let list = store.list(
        request.query("contains").unwrap_or_default(),
        most.unwrap_or(SHOWN).min(MOST_SHOWN),
        now,
    );
    let shown = |count: Count| Shown {
        reset_seconds: count.window.left(now),
        unit: count.window.unit.to_string(),
        start: count.window.start.0,
        used: count.used,
        reserved: count.reserved,
        key: count.key.to_string(),
    };
    let list: Vec<Shown> = list.into_iter().map(shown).collect();
    if request.query("output") == Some("json") {
        return json(StatusCode::OK, &list);
    }
    let mut page = format!(
        "{:>10} {:>10} {:>8} {:>10}  KEY\n",
        "USED", "RESERVED", "PER", "RESET"
    );
    for s in list {
        // Writing to a String cannot fail.
        let _ = writeln!(
            page,
            "{:>10} {:>10} {:>8} {:>9}s  {}",
            s.used, s.reserved, s.unit, s.reset_seconds, s.key
        );
    }
    text(StatusCode::OK, page)
}

const SHOWN: usize = 100;
/// What fits in an answer.
const MOST_SHOWN: usize = 10_000;
