use std::path::Path;

use mesh_types::fuzzing::{corpus, mutations};

#[test]
fn requests_end_where_they_do_however_they_come() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/http1-framing");
    mutations(&corpus(&dir), 1, 20_000).for_each(|data| super::http1_framing(&data));
}

#[test]
fn what_is_known_of_a_beginning_stays_so() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/detect");
    mutations(&corpus(&dir), 2, 20_000).for_each(|data| super::detect(&data));
}

#[test]
fn frames_have_their_allowance_and_no_more() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/http2-frames");
    mutations(&corpus(&dir), 4, 5_000).for_each(|data| super::http2_frames(&data));
}

#[test]
fn sessions_mean_what_they_say() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/sessions");
    mutations(&corpus(&dir), 5, 20_000).for_each(|data| super::sessions(&data));
}

#[test]
fn dates_are_dates() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/date");
    mutations(&corpus(&dir), 6, 20_000).for_each(|data| super::date(&data));
}
