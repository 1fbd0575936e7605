//! Who reaches whom, and how.

use anyhow::{Result, ensure};
use lab::Lab;
use lab::config::PodSpec;

use crate::harness::{Test, test};

pub(crate) const TESTS: &[Test] = &[test(
    "a_captured_pod_reaches_another_on_the_other_node_over_mtls",
    across_nodes,
)];

fn across_nodes(lab: &mut Lab) -> Result<()> {
    lab.config().namespace("shop", true)?;
    let server = lab.start_pod(&PodSpec::new("shop", "server", 1))?;
    let client = lab.start_pod(&PodSpec::new("shop", "client", 0))?;
    let app = lab.products().path("lab-app");
    let _server = server.serve(lab.products(), &["--tcp", "9000"])?;
    let mut log = lab.node(1).access_log()?;
    let to = format!("{}:9000", server.v4());
    let said = client.run(&app.display().to_string(), &["send", &to, "--text", "hello"])?;
    ensure!(said.ok && said.out == "hello", "{said:?}");
    let line = lab::wait::until(
        "the inbound access line",
        std::time::Duration::from_secs(5),
        || log.fresh().into_iter().find(|l| l.is("direction", "inbound")),
    )?;
    ensure!(
        line.is("src.identity", "spiffe://cluster.local/ns/shop/sa/client"),
        "{line:?}"
    );
    ensure!(
        line.is("dst.identity", "spiffe://cluster.local/ns/shop/sa/server"),
        "{line:?}"
    );
    Ok(())
}
