use std::fs;
use std::future::pending;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::install::{Hooks, Installation, Ownership, Release, Values};

const TARGET: Target<'static> = Target {
    system: "istio-system",
    kubeconfig: None,
    context: None,
};

/// A helm that runs this script.
fn stub(script: &str) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("helm");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("a script");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a program");
    (directory, path)
}

fn installation(helm: PathBuf) -> Installation {
    Installation {
        release: Release {
            release: "lateen".into(),
            helm,
        },
        values: Values::default(),
        no_wait: false,
        timeout: 300,
        dry_run: false,
        skip_checks: false,
    }
}

#[tokio::test]
async fn without_helm_the_ways_to_go_on_are_said() {
    let installation = installation("/nowhere/helm".into());
    let task = Task::Install(&installation, Ownership::Respect);
    let ended = change(task, &TARGET, Format::Table, pending(), &mut pending_stops, LONG).await;
    let error = ended.expect_err("no helm").to_string();
    for part in ["/nowhere/helm", "helm.sh", "--helm PATH"] {
        assert!(error.contains(part), "{error}");
    }
}

#[tokio::test]
async fn what_was_only_asked_changed_nothing() {
    let installation = installation("false".into());
    let error = output(Task::Installed(&installation.release), &TARGET).await;
    let error = error.expect_err("refused");
    assert!(error.to_string().ends_with("nothing was changed"), "{error}");
}

#[tokio::test]
async fn helm_is_told_and_waited_for_when_somebody_wants_us_to_stop() {
    let (directory, helm) = stub(
        "cd \"$(dirname \"$0\")\"; trap 'touch ended; exit 7' TERM; sleep 60 > /dev/null 2>&1 & touch begun; wait",
    );
    let release = installation(helm).release;
    let task = Task::Uninstall(&release, Hooks::Run);
    let mut stops = once_there_is(directory.path().join("begun"));
    let ended = change(task, &TARGET, Format::Table, pending(), &mut stops, LONG).await;
    let ended = ended.expect("it ran");
    assert!(ended.stopped && ended.status.code() == Some(7), "{ended:?}");
    assert!(directory.path().join("ended").exists());
}

#[tokio::test]
async fn a_helm_that_does_not_end_is_killed() {
    let (directory, helm) =
        stub("cd \"$(dirname \"$0\")\"; trap '' TERM; touch begun; while :; do sleep 60; done");
    let release = installation(helm).release;
    let task = Task::Uninstall(&release, Hooks::Run);
    let mut stops = once_there_is(directory.path().join("begun"));
    let patience = Duration::from_millis(50);
    let ended = change(task, &TARGET, Format::Table, pending(), &mut stops, patience).await;
    let ended = ended.expect("it ran");
    assert!(ended.stopped && ended.status.signal() == Some(9), "{ended:?}");
}

/// Longer than any test.
const LONG: Duration = Duration::from_secs(600);

/// Nobody wants it to stop.
async fn pending_stops() {
    pending().await
}

/// Somebody wants it to stop once a file is there.
fn once_there_is(file: PathBuf) -> impl AsyncFnMut() {
    let mut wanted = false;
    async move || {
        if wanted {
            pending::<()>().await;
        }
        while !file.exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        wanted = true;
    }
}
