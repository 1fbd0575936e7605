//! End-to-end tests: the real products on two nodes, in network namespaces.
//!
//! Every test is a process of its own in namespaces of its own with a mesh of its own, so that it may kill whatever it
//! likes. The arguments are libtest's: `cargo test -p mesh-tests --test netns [FILTER]... [-- --list --nocapture]`.

mod basics;
mod harness;

use std::process::ExitCode;

use harness::Test;

fn main() -> ExitCode {
    let tests: Vec<Test> = [basics::TESTS].concat();
    harness::main(&tests)
}
