use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};

use super::*;
use crate::process::in_namespaces;

#[test]
fn a_child_runs_in_the_namespace() {
    in_namespaces(|| {
        let pod = Netns::create().unwrap();
        let mut command = Command::new("stat");
        command.args(["-L", "-c", "%i", "/proc/self/ns/net"]);
        let output = command.in_netns(&pod).output().unwrap();
        let inode = String::from_utf8(output.stdout).unwrap();
        assert_eq!(inode.trim(), pod.id().inode.to_string());
        assert_ne!(Netns::current().unwrap().id(), pod.id());
    });
}

#[test]
fn a_child_dies_with_the_thread_that_started_it() {
    let started = std::thread::spawn(|| {
        let mut command = Command::new("sleep");
        command
            .arg("1000")
            .stdin(Stdio::null())
            .die_with_parent()
            .spawn()
            .unwrap()
    });
    let mut child = started.join().unwrap();
    // Waiting returns because the child was killed, or the test would take a quarter of an hour.
    let status = child.wait().unwrap();
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&status),
        Some(libc::SIGKILL)
    );
}

#[test]
fn a_child_leads_its_own_session() {
    let mut command = Command::new("cat");
    let output = command.arg("/proc/self/stat").new_session().output().unwrap();
    let stat = String::from_utf8(output.stdout).unwrap();
    let fields: Vec<_> = stat.split_whitespace().collect();
    // proc_pid_stat(5): 1 pid, 5 process group, 6 session.
    assert_eq!((fields[4], fields[5]), (fields[0], fields[0]));
}

#[tokio::test]
async fn tokio_children_are_the_same() {
    let own = std::fs::metadata("/proc/self/ns/net").unwrap().ino().to_string();
    let mut command = tokio::process::Command::new("stat");
    command
        .args(["-L", "-c", "%i", "/proc/self/ns/net"])
        .die_with_parent();
    let output = command.output().await.unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), own);
}
