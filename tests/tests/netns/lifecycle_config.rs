//! The control plane and its files: what is broken changes nothing, and is named.

use anyhow::{Result, ensure};
use lab::Lab;

use crate::client::{Fate, say};
use crate::harness::{Test, test};
use crate::lifecycle_restart::{LIMIT, Pair};
use crate::party::knows_service;

pub(crate) const TESTS: &[Test] = &[
    test(
        "a_file_that_breaks_keeps_its_last_good_content_through_a_restart_and_is_named",
        last_good,
    ),
    test(
        "a_control_plane_whose_file_was_never_good_is_not_ready_and_names_it",
        never_good,
    ),
];

fn last_good(lab: &mut Lab) -> Result<()> {
    let pair = Pair::start(lab)?;
    let denies = |spec: &str| {
        format!(
            "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: deny, namespace: shop}}\nspec:\n{spec}"
        )
    };
    let good = "  action: DENY\n  selector: {matchLabels: {app: two}}\n  rules: [{to: [{operation: {ports: [\"9001\"]}}]}]\n";
    lab.config().write("deny.yaml", &denies(good))?;
    let closed = |when: &str| {
        lab::wait::until(&format!("the policy to hold {when}"), LIMIT, || {
            let fate = say(pair.one.namespace(), pair.two.at(9001), "").ok()?;
            fate.is_rejection().then_some(())
        })?;
        let fate = say(pair.one.namespace(), pair.two.echo(), "else")?;
        ensure!(fate == Fate::Answered("else".to_owned()), "{when}: {fate:?}");

        Ok(())
    };
    closed("at first")?;
    // Broken in three ways, one after the other: no YAML, an unknown field, an unknown value.
    let misspelt = good.replace("operation", "opperation");
    let unheard = good.replace("DENY", "FORBID");
    for (n, text) in ["spec: [}\n".to_owned(), denies(&misspelt), denies(&unheard)]
        .iter()
        .enumerate()
    {
        lab.config().write("deny.yaml", text)?;
        said_once_more(lab, "deny.yaml", n + 1)?;
        closed("while its file is broken")?;
        // Nothing else is affected.
        let name = format!("other-{n}");
        lab.config()
            .service("shop", &name, &format!("10.96.8.{n}"), "two", &[(80, 9000)])?;
        knows_service(lab, 0, &name)?;
    }
    lab.controlplane()?.kill();
    lab.start_controlplane()?;
    lab.wait_controlplane_ready()?;
    lab.config()
        .service("shop", "after", "10.96.8.9", "two", &[(80, 9000)])?;
    knows_service(lab, 0, "after")?;
    closed("after a restart with a broken file")?;
    lab.config().remove("deny.yaml")?;
    lab::wait::until("the policy to go with its file", LIMIT, || {
        let fate = say(pair.one.namespace(), pair.two.at(9001), "").ok()?;
        (!fate.is_rejection()).then_some(())
    })?;
    pair.nothing_failed("a policy's file broken, and the control plane restarted with it")
}

/// Waits for the nth line of the control plane about a file that is wrong, and prints it.
fn said_once_more(lab: &mut Lab, file: &str, n: usize) -> Result<()> {
    let log = lab.controlplane()?.log_path().to_owned();
    let line = lab::wait::until(&format!("error {n} about {file}"), LIMIT, || {
        let log = std::fs::read_to_string(&log).ok()?;
        let errors: Vec<_> = log
            .lines()
            .filter(|l| l.contains("\terror\t") && l.contains(file))
            .collect();
        (errors.len() >= n).then(|| errors[errors.len() - 1].to_owned())
    })?;
    println!("{line}");
    Ok(())
}

fn never_good(lab: &mut Lab) -> Result<()> {
    let pair = Pair::start(lab)?;
    lab.controlplane()?.kill();
    lab.config().write("never.yaml", "kind: Pod\nmetadata: [}\n")?;
    lab.start_controlplane()?;
    let control = lab.control_namespace().clone();
    let url = format!(
        "http://127.0.0.1:{}/readyz",
        mesh_types::ports::CONTROL_MONITORING
    );
    let said = lab::wait::until("the file in the answer of /readyz", LIMIT, || {
        let said = control.output("curl", &["-s", "-w", "%{http_code}", &url]).ok()?;
        said.contains("never.yaml").then_some(said)
    })?;
    println!("{said}");
    ensure!(said.ends_with("503"), "{said}");
    // Nobody is told half of the truth: the proxies keep what they know.
    pair.answered(10)?;
    lab.config().remove("never.yaml")?;
    lab.wait_controlplane_ready()?;
    lab.config()
        .service("shop", "after", "10.96.8.9", "two", &[(80, 9000)])?;
    knows_service(lab, 0, "after")?;
    pair.nothing_failed("the control plane restarted with a file that was never good")
}
