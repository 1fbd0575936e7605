//! The control plane beside a real API server: what it knows of a cluster, while the API server is away too, and what it
//! keeps there.
//!
//! Needs the machine's root, and Go, of whose modules the API server is built once; says loudly what it leaves out otherwise.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use bench::Bench;
use lab::cluster::{self, Tools, tools};
use lab::world::{self, Rights};

#[path = "control_plane/bench.rs"]
mod bench;
#[path = "control_plane/clients.rs"]
mod clients;
#[path = "control_plane/gateways.rs"]
mod gateways;
#[path = "control_plane/options.rs"]
mod options;
#[path = "control_plane/others.rs"]
mod others;
#[path = "control_plane/roots.rs"]
mod roots;
#[path = "control_plane/source.rs"]
mod source;

/// A test, named by a sentence.
struct Test {
    name: &'static str,
    run: fn(&mut Bench) -> Result<()>,
}

/// In this order, with one API server: each finds what those before it made.
const TESTS: &[Test] = &[
    Test {
        name: "proxies_are_told_of_a_clusters_pods_also_while_the_api_server_is_away",
        run: source::proxies_are_told_of_a_clusters_pods_also_while_the_api_server_is_away,
    },
    Test {
        name: "a_kind_whose_definition_comes_late_is_known_a_moment_later",
        run: source::a_kind_whose_definition_comes_late_is_known_a_moment_later,
    },
    Test {
        name: "a_pods_token_is_believed_until_the_pod_is_another_one",
        run: clients::a_pods_token_is_believed_until_the_pod_is_another_one,
    },
    Test {
        name: "where_the_api_servers_keys_cannot_be_read_it_is_asked_about_each_token",
        run: clients::where_the_api_servers_keys_cannot_be_read_it_is_asked_about_each_token,
    },
    Test {
        name: "a_pods_certificate_is_issued_as_soon_as_the_pod_is_bound_to_its_node",
        run: clients::a_pods_certificate_is_issued_as_soon_as_the_pod_is_bound_to_its_node,
    },
    Test {
        name: "hosts_of_service_entries_keep_the_addresses_that_their_statuses_have",
        run: source::hosts_of_service_entries_keep_the_addresses_that_their_statuses_have,
    },
    Test {
        name: "a_policys_author_is_told_how_many_proxies_of_all_replicas_have_it",
        run: clients::a_policys_author_is_told_how_many_proxies_of_all_replicas_have_it,
    },
    Test {
        name: "replicas_share_a_root_which_every_namespace_trusts_and_take_over_duties",
        run: roots::replicas_share_a_root_which_every_namespace_trusts_and_take_over_duties,
    },
    Test {
        name: "a_namespace_that_is_made_anew_again_and_again_trusts_the_root_at_once",
        run: roots::a_namespace_that_is_made_anew_again_and_again_trusts_the_root_at_once,
    },
    Test {
        name: "a_gateway_becomes_what_runs_it_and_what_became_of_routes_is_written",
        run: gateways::a_gateway_becomes_what_runs_it_and_what_became_of_routes_is_written,
    },
    Test {
        name: "whom_waypoints_stand_before_lets_them_in_for_as_long_as_they_are_there",
        run: options::whom_waypoints_stand_before_lets_them_in_for_as_long_as_they_are_there,
    },
    Test {
        name: "a_listener_follows_the_secret_of_its_certificate_where_secrets_are_read",
        run: options::a_listener_follows_the_secret_of_its_certificate_where_secrets_are_read,
    },
    Test {
        name: "another_secret_signs_without_a_restart_and_the_old_root_outlives_them",
        run: roots::another_secret_signs_without_a_restart_and_the_old_root_outlives_them,
    },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let filters: Vec<_> = arguments.iter().filter(|a| !a.starts_with('-')).collect();
    let chosen = |t: &&Test| filters.is_empty() || filters.iter().any(|f| t.name.contains(f.as_str()));
    let tests: Vec<&Test> = TESTS.iter().filter(chosen).collect();
    if arguments.iter().any(|a| a == "--list") {
        tests.iter().for_each(|t| println!("{}: test", t.name));
        return ExitCode::SUCCESS;
    }
    match run(&tests) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(101),
        Err(error) => {
            eprintln!("control_plane: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(tests: &[&Test]) -> Result<bool> {
    if tests.is_empty() {
        return Ok(true);
    }
    let program = bench::program()?;
    if let Some(missing) = tools::missing() {
        println!(
            "!! LEFT OUT: {} tests of the control plane beside an API server: {missing}",
            tests.len()
        );
        return Ok(true);
    }
    let tools = Tools::of_tests()?;
    let gateway_api = gateway_api()?;
    if world::enter()? != Rights::Root {
        eprintln!("LEFT OUT: no API server was read, which needs the machine's root");
        return Ok(true);
    }
    let dir = PathBuf::from("/run/lateen-planes");
    std::fs::create_dir_all(&dir)?;
    let api = cluster::control_plane_alone(&tools)?;
    api.kubectl().apply(bench::NAMESPACES)?;
    let mut bench = Bench {
        api,
        gateway_api,
        program,
        dir,
    };
    println!("\nrunning {} tests", tests.len());
    let mut well = true;
    for test in tests {
        let result = (test.run)(&mut bench);
        let word = if result.is_ok() { "ok" } else { "FAILED" };
        println!("test {} ... {word}", test.name);
        if let Err(error) = result {
            println!("{error:#}");
            well = false;
        }
    }
    Ok(well)
}

/// The CRDs of Gateway API, of the module that the conformance suite is built from.
fn gateway_api() -> Result<String> {
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("cluster/conformance");
    let go = |arguments: &[&str]| {
        let out = Command::new("go").args(arguments).current_dir(&module).output();
        let out = out.context("go")?;
        ensure!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        Ok(String::from_utf8_lossy(&out.stdout).trim().to_owned())
    };
    go(&["mod", "download", "sigs.k8s.io/gateway-api"])?;
    let dir = go(&["list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/gateway-api"])?;
    let folder = Path::new(&dir).join("config/crd/standard");
    let mut texts = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        texts.push(std::fs::read_to_string(entry?.path())?);
    }
    texts.sort();
    Ok(texts.join("\n---\n"))
}
