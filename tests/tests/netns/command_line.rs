//! The command line beside a mesh that is made of files: every question that it asks without a cluster is answered by the parts
//! themselves.

use anyhow::{Context, Result, ensure};
use lab::Lab;
use lab::ip::Namespace;
use mesh_types::ports;
use serde_json::Value;

use crate::client::LIMIT;
use crate::harness::{Test, test};
use crate::l7_stage::Stage;

pub(crate) const TESTS: &[Test] = &[test(
    "the_command_line_asks_a_mesh_of_files_as_it_asks_a_cluster",
    asked,
)];

/// A question, how it is to end, and what is to be in its table and in its data.
struct Asked<'a> {
    /// Whose namespace it is asked in.
    within: &'a Namespace,
    arguments: &'a [&'a str],
    code: i32,
    table: &'a [&'a str],
    /// A place in the data, and what is to stand there.
    data: (&'a str, Value),
}

fn asked(lab: &mut Lab) -> Result<()> {
    let stage = Stage::set(lab)?;
    lab.config().write("deny.yaml", DENY)?;
    for node in 0..2 {
        lab.nodes()[node].wait_for_config("the policy", |dump| {
            dump["policies"].as_array().is_some_and(|all| all.len() == 1)
        })?;
    }
    let control = lab.control_namespace();
    let at_control = format!("http://127.0.0.1:{}", ports::CONTROL_MONITORING);
    let at_proxy = format!("http://127.0.0.1:{}", ports::ADMIN);
    let (control_url, proxy_url) = (at_control.as_str(), at_proxy.as_str());
    in_step(lab, control_url)?;
    let [first, second] = [0, 1].map(|node| lab.nodes()[node].ztunnel_namespace());
    let waypoint = stage.waypoint.replicas[0].pod.namespace();
    let files = lab.config().path().display().to_string();
    let files = files.as_str();
    let text = |text: &str| Value::from(text);
    let at = |within, arguments, code, table, data| Asked {
        within,
        arguments,
        code,
        table,
        data,
    };
    let mut wrong: Vec<String> = Vec::new();
    for question in [
        at(
            control,
            &["status", "--url", control_url],
            0,
            &["SYNCED", "waypoint-5f6b7c8d9-1.shop"],
            ("/proxies/2/node/kind", text("waypoint")),
        ),
        at(
            control,
            &["version", "--url", control_url],
            0,
            &["control plane", "waypoint"],
            ("/client", text(env!("CARGO_PKG_VERSION"))),
        ),
        at(
            control,
            &["waypoint", "list", "--url", control_url],
            0,
            &["shop        waypoint   default    service   True"],
            ("/0/programmed", true.into()),
        ),
        at(
            control,
            &["waypoint", "list", "-n", "other", "--url", control_url],
            0,
            &["there is no waypoint"],
            ("", Value::Array(Vec::new())),
        ),
        at(
            control,
            &["waypoint", "status", "waypoint", "--url", control_url],
            0,
            &[
                "Programmed",
                "proxy waypoint-5f6b7c8d9-1",
                "in step with the control plane",
            ],
            ("/0/well", true.into()),
        ),
        at(
            first,
            &["node", "workloads", "-n", "shop", "--url", proxy_url],
            0,
            &["app-v1", "client", "HBONE"],
            ("/0/namespace", text("shop")),
        ),
        at(
            first,
            &["node", "services", "--name", "app", "--url", proxy_url],
            0,
            &["10.96.3.1", "shop"],
            ("/0/name", text("app")),
        ),
        at(
            second,
            &["node", "policies", "--url", proxy_url],
            0,
            &["deny", "shop"],
            ("/0/action", text("Deny")),
        ),
        at(
            second,
            &["node", "certificates", "--url", proxy_url],
            0,
            &["spiffe://cluster.local/ns/shop/sa/"],
            ("/0/state", text("Available")),
        ),
        at(
            second,
            &["authz", "check", "shop/app-v1", "--url", proxy_url],
            0,
            &["shop/deny", "Deny"],
            ("/pod", text("shop/app-v1")),
        ),
        at(
            first,
            &[
                "explain",
                "shop/client",
                "10.96.3.1:80",
                "--url",
                proxy_url,
                "-f",
                files,
            ],
            0,
            &["Service shop/app has the label", "--waypoint-url names"],
            ("/passes", text("unknown")),
        ),
        at(
            waypoint,
            &["waypoint", "routes", "-n", "shop", "--url", proxy_url],
            0,
            &["requests go to the services"],
            ("/0/proxy", text("waypoint")),
        ),
        at(
            control,
            &["validate", "-f", files],
            0,
            &["nothing is wrong with them"],
            ("/faults", Value::Array(Vec::new())),
        ),
        at(
            control,
            &["analyze", files],
            0,
            &["nothing to be said of them"],
            ("/messages", Value::Array(Vec::new())),
        ),
    ] {
        wrong.extend(question.check(lab).err().map(|error| format!("{error:#}")));
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

impl Asked<'_> {
    fn check(&self, lab: &Lab) -> Result<()> {
        let Self { arguments, code, .. } = self;
        let table = self.ask(lab, &[])?;
        let json = self.ask(lab, &["-o", "json"])?;
        for part in self.table {
            ensure!(
                table.contains(part),
                "lateen {arguments:?} does not say {part:?}:\n{table}"
            );
        }
        let data: Value = serde_json::from_str(&json).with_context(|| format!("{arguments:?}: {json}"))?;
        let (place, wanted) = &self.data;
        ensure!(
            data.pointer(place) == Some(wanted),
            "lateen {arguments:?} (exit {code}) does not say {wanted} at {place}: {data:#}"
        );
        Ok(())
    }

    fn ask(&self, lab: &Lab, format: &[&str]) -> Result<String> {
        let Self { arguments, code, .. } = self;
        let (said, error, ended) = lateen(lab, self.within, &[arguments, format].concat())?;
        ensure!(
            ended == Some(*code),
            "lateen {arguments:?} ended with {ended:?}: {said}{error}"
        );
        Ok(said)
    }
}

/// Every proxy has answered all that it was sent.
fn in_step(lab: &Lab, url: &str) -> Result<()> {
    lab::wait::until("every proxy to be in step", LIMIT, || {
        let (said, _, code) = lateen(lab, lab.control_namespace(), &["status", "--url", url]).ok()?;
        (code == Some(0) && !said.contains("STALE") && !said.contains("NOT SENT")).then_some(())
    })
}

/// Output, errors, and how it ended.
fn lateen(lab: &Lab, within: &Namespace, arguments: &[&str]) -> Result<(String, String, Option<i32>)> {
    let mut command = within.command(lab.products().path("lateen"));
    // There is no cluster, whatever the machine has.
    command.args(arguments).env("KUBECONFIG", "/nowhere");
    let output = command.output().context("lateen")?;
    let text = |bytes| String::from_utf8(bytes).context("no UTF-8");
    Ok((text(output.stdout)?, text(output.stderr)?, output.status.code()))
}

/// It is of no matter to those who are asked about.
const DENY: &str = "
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: deny, namespace: shop}
spec:
  selector: {matchLabels: {name: app-v1}}
  action: DENY
  rules: [{from: [{source: {principals: [cluster.local/ns/shop/sa/nobody]}}]}]
";
