//! Runs each test in a process of its own, two at a time, and reports as libtest does.

use std::collections::VecDeque;
use std::process::{Command, ExitCode, Output};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use lab::lab::Options;
use lab::products::Products;
use lab::{Lab, world};
use parking_lot::Mutex;
use tokio::time::Instant;

/// A test: a name that is a sentence, and what it does to a fresh mesh.
#[derive(Clone, Copy)]
pub(crate) struct Test {
    pub(crate) name: &'static str,
    pub(crate) options: fn() -> Options,
    pub(crate) run: fn(&mut Lab) -> Result<()>,
}

/// Runs the tests that the command line selects.
pub(crate) fn main(tests: &[Test]) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, name] = arguments.as_slice()
        && flag == INSIDE
    {
        return inside(tests, name);
    }
    // What libtest knows and we need not: threads, colours, formats.
    let filters: Vec<_> = arguments.iter().filter(|a| !a.starts_with('-')).collect();
    let selected = |t: &&Test| filters.is_empty() || filters.iter().any(|f| t.name.contains(f.as_str()));
    let chosen: Vec<_> = tests.iter().filter(selected).copied().collect();
    if arguments.iter().any(|a| a == "--list") {
        chosen.iter().for_each(|t| println!("{}: test", t.name));
        return ExitCode::SUCCESS;
    }
    let shown = arguments.iter().any(|a| a == "--nocapture");
    outside(&chosen, tests.len() - chosen.len(), shown)
}

/// A test of the default mesh.
pub(crate) const fn test(name: &'static str, run: fn(&mut Lab) -> Result<()>) -> Test {
    Test {
        name,
        options: Options::default,
        run,
    }
}

fn outside(tests: &[Test], filtered: usize, shown: bool) -> ExitCode {
    println!("\nrunning {} tests", tests.len());
    let start = Instant::now();
    let queue = Mutex::new(tests.iter().copied().collect::<VecDeque<_>>());
    let failures = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some(test) = queue.lock().pop_front() else {
                        return;
                    };
                    let began = Instant::now();
                    let result = in_own_process(test.name);
                    let took = began.elapsed().as_secs_f64();
                    let passed = matches!(&result, Ok(out) if out.status.success());
                    println!(
                        "test {} ... {} ({took:.1}s)",
                        test.name,
                        if passed { "ok" } else { "FAILED" }
                    );
                    if !passed || shown {
                        println!("{}", said(&result));
                    }
                    if !passed {
                        failures.lock().push(test.name);
                    }
                }
            });
        }
    });
    let failures = failures.into_inner();
    if !failures.is_empty() {
        println!("\nfailures:\n    {}", failures.join("\n    "));
    }
    let verdict = if failures.is_empty() { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {verdict}. {} passed; {} failed; 0 ignored; 0 measured; {filtered} filtered out; finished in {:.2}s\n",
        tests.len() - failures.len(),
        failures.len(),
        start.elapsed().as_secs_f64(),
    );
    if failures.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(101)
    }
}

fn in_own_process(name: &str) -> std::io::Result<Output> {
    Command::new(std::env::current_exe()?)
        .args([INSIDE, name])
        .output()
}

fn said(result: &std::io::Result<Output>) -> String {
    match result {
        Ok(out) => format!(
            "---- ended with {}\n{}{}",
            out.status,
            String::from_utf8_lossy(&out.stdout),
            String::from_utf8_lossy(&out.stderr)
        ),
        Err(e) => format!("---- cannot be started: {e}"),
    }
}

fn inside(tests: &[Test], name: &str) -> ExitCode {
    let Some(test) = tests.iter().find(|t| t.name == name) else {
        eprintln!("no test is called {name:?}");
        return ExitCode::FAILURE;
    };
    if let Err(e) = world::enter() {
        eprintln!("{e:#}");
        return ExitCode::FAILURE;
    }
    // Whatever hangs, hangs here: the whole mesh dies with this process.
    thread::spawn(|| {
        thread::sleep(LIMIT);
        eprintln!("the test did not end within {} s", LIMIT.as_secs());
        std::process::exit(124);
    });
    match mesh_of_its_own(*test) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{e:#}");
            ExitCode::FAILURE
        }
    }
}

fn mesh_of_its_own(test: Test) -> Result<()> {
    let products = Products::beside_me()?;
    let mut lab = Lab::start(products, (test.options)()).context("the mesh does not start")?;
    let result = (test.run)(&mut lab);
    if result.is_err() {
        for log in std::fs::read_dir(lab.logs())?.flatten() {
            let text = std::fs::read_to_string(log.path()).unwrap_or_default();
            let lines: Vec<_> = text.lines().collect();
            eprintln!("==== {}", log.file_name().to_string_lossy());
            eprintln!("{}", lines[lines.len().saturating_sub(LOG_LINES)..].join("\n"));
        }
    }
    result
}

const INSIDE: &str = "--inside";
const AT_ONCE: usize = 2;
const LIMIT: Duration = Duration::from_secs(120);
const LOG_LINES: usize = 40;
