//! What a user writes and what happens to a request, together: see [`harness`].

#[expect(
    dead_code,
    reason = "what tests may need; not all of it is in use at any time"
)]
mod harness;
mod usual;
