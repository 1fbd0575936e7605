//! End-to-end tests: the real products on two nodes, in network namespaces.
//!
//! Every test is a process of its own in namespaces of its own with a mesh of its own, so that it may kill whatever it
//! likes. The arguments are libtest's: `cargo test -p mesh-tests --test netns [FILTER]... [-- --list --nocapture]`.

mod client;
mod command_line;
mod dns;
mod entries;
mod fail_closed;
mod fail_closed_input;
mod harness;
mod hbone;
mod l7_binding;
mod l7_direct;
mod l7_life;
mod l7_limits;
mod l7_policy;
mod l7_programs;
mod l7_rules;
mod l7_stage;
mod l7_traffic;
mod lifecycle_config;
mod lifecycle_credentials;
mod lifecycle_lease;
mod lifecycle_load;
mod lifecycle_pods;
mod lifecycle_restart;
mod party;
mod policy;
mod programs;
mod quota;
mod reach;
mod relay;
mod stand_in;
mod streams;
mod telemetry;
mod trace;
mod waypoint;
mod wire;

use std::process::ExitCode;

use harness::Test;

fn main() -> ExitCode {
    let tests: Vec<Test> = [
        reach::TESTS,
        dns::TESTS,
        waypoint::TESTS,
        l7_traffic::TESTS,
        l7_binding::TESTS,
        l7_life::TESTS,
        l7_direct::TESTS,
        l7_policy::TESTS,
        l7_limits::TESTS,
        quota::TESTS,
        l7_programs::TESTS,
        l7_rules::TESTS,
        streams::TESTS,
        relay::TESTS,
        command_line::TESTS,
        programs::TESTS,
        policy::TESTS,
        telemetry::TESTS,
        wire::TESTS,
        fail_closed::TESTS,
        fail_closed_input::TESTS,
        entries::TESTS,
        lifecycle_config::TESTS,
        lifecycle_credentials::TESTS,
        lifecycle_lease::TESTS,
        lifecycle_pods::TESTS,
        lifecycle_restart::TESTS,
    ]
    .concat();
    harness::main(&tests)
}
