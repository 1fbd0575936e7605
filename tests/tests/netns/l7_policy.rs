//! Who may do what, decided by the waypoint.

use anyhow::{Result, ensure};
use lab::Lab;

use crate::harness::{Test, test};
use crate::l7_stage::Stage;
use crate::party::ENROLLED;

pub(crate) const TESTS: &[Test] = &[test(
    "policies_at_the_waypoint_deny_and_allow_by_request_and_identity",
    requests,
)];

// row: AuthorizationPolicy rules.from.source
// row: AuthorizationPolicy rules.to.operation
// row: AuthorizationPolicy action
// row: AuthorizationPolicy targetRefs
fn requests(lab: &mut Lab) -> Result<()> {
    let stage = Stage::set(lab)?;
    let write = |action: &str, rules: &str| {
        let text = format!(
            "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: app, namespace: {ENROLLED}}}\nspec:\n  targetRefs: [{{group: '', kind: Service, name: app}}]\n  action: {action}\n  rules:\n{rules}"
        );
        lab.config().write("policy.yaml", &text)
    };
    let status = |arguments: &[&str], status: &str| -> Result<()> {
        let answer = stage.get(arguments)?;
        ensure!(answer.status == status, "{arguments:?}: {answer:?}");
        // A refusal is the waypoint's own.
        ensure!(
            answer.by.is_empty() == (status == "403"),
            "{arguments:?}: {answer:?}"
        );
        Ok(())
    };
    let shelf = "http://10.96.3.1/shelf";
    let admin = "http://10.96.3.1/admin/users";

    write(
        "DENY",
        "  - to: [{operation: {methods: [DELETE]}}]\n  - to: [{operation: {paths: ['/admin*']}}]\n",
    )?;
    stage.until("the denial", &["-X", "DELETE", shelf], |a| a.status == "403")?;
    status(&[admin], "403")?;
    status(&["--path-as-is", "http://10.96.3.1/shelf/../admin/users"], "403")?;
    status(&[shelf], "200")?;

    let own = "  - from: [{source: {principals: [cluster.local/ns/shop/sa/client]}}]\n    to: [{operation: {paths: [/shelf]}}]\n";
    write("ALLOW", own)?;
    stage.until("the allowance", &["-X", "DELETE", shelf], |a| a.status == "200")?;
    status(&[admin], "403")?;
    write("ALLOW", &own.replace("sa/client", "sa/somebody"))?;
    stage.until("somebody else's", &[shelf], |a| a.status == "403")?;

    lab.config().remove("policy.yaml")?;
    stage.until("no policy any more", &[admin], |a| a.status == "200")?;
    Ok(())
}
