//! A program that runs itself again inside namespaces: how it ends, and that nothing of it stays behind.

#![expect(
    clippy::unwrap_used,
    reason = "a test, which clippy cannot tell without a harness"
)]

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio, exit};

use mesh_net::process::{Isolation, Reentered, reenter};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::{Pid, getpid};

fn main() {
    let role = std::env::args().nth(1).unwrap_or_default();
    match role.as_str() {
        ROLE => play(),
        // What a test runner may pass along means nothing here.
        _ => {
            the_inner_status_is_the_outer_one();
            signals_reach_the_inner_process();
            killing_the_outer_process_kills_the_inner_one();
            println!("reenter: 3 tests passed");
        }
    }
}

fn the_inner_status_is_the_outer_one() {
    let mut outer = start("exits");
    assert_eq!(outer.wait().unwrap().code(), Some(7));
}

fn signals_reach_the_inner_process() {
    let mut outer = start("waits");
    let mut said = BufReader::new(outer.stdout.take().unwrap());
    expect_ready(&mut said);
    kill(pid(&outer), Signal::SIGTERM).unwrap();
    assert_eq!(outer.wait().unwrap().code(), Some(Signal::SIGTERM as i32));
}

fn killing_the_outer_process_kills_the_inner_one() {
    let mut outer = start("waits");
    let mut said = BufReader::new(outer.stdout.take().unwrap());
    expect_ready(&mut said);
    outer.kill().unwrap();
    // The pipe ends when the last process that holds it is gone: the inner one, and the child it had started.
    said.read_to_end(&mut Vec::new()).unwrap();
    assert_eq!(outer.wait().unwrap().signal(), Some(Signal::SIGKILL as i32));
}

/// The program under test: an outer process that becomes, or starts, the inner one.
fn play() {
    let part = std::env::args().nth(2).unwrap();
    let status = match reenter(&Isolation::default()).unwrap_or_else(|e| panic!("{e}")) {
        Reentered::Ended(status) => status.code().unwrap(),
        Reentered::Inside(_) => {
            assert_eq!(getpid(), Pid::from_raw(1));
            if part == "waits" { wait_for_a_signal() } else { 7 }
        }
    };
    exit(status);
}

fn wait_for_a_signal() -> i32 {
    let signals = SigSet::all();
    signals.thread_block().unwrap();
    let mut child = Command::new("sleep")
        .arg("1000")
        .stdout(Stdio::inherit())
        .spawn()
        .unwrap();
    println!("ready");
    loop {
        match signals.wait().unwrap() {
            Signal::SIGCHLD => {}
            signal => {
                child.kill().unwrap();
                child.wait().unwrap();
                return signal as i32;
            }
        }
    }
}

fn start(part: &str) -> Child {
    let program = std::env::current_exe().unwrap();
    Command::new(program)
        .args([ROLE, part])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn expect_ready(said: &mut impl BufRead) {
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.id().cast_signed())
}

const ROLE: &str = "play";
