//! Act 1: who reaches whom, and how.

use anyhow::Result;

use crate::cast::Cast;
use crate::facts::{self, Facts};
use crate::flow::{Client, ECHO, Expect, Flow, NGINX, To};
use crate::screen::{self, Findings, note};

/// Calls everybody, and shows what came of it.
pub(crate) fn act(cast: &Cast) -> Result<Findings> {
    screen::heading("Act 1: who reaches whom");
    note(
        "Ordinary programs call each other. Those in namespace shop are in the mesh: on its way to the other pod a \
         connection is encrypted, and both ends prove who they are with a certificate (mutual TLS, mTLS). No program \
         knows of it. Those in namespace legacy are outside: what they say and hear is plain.",
    );
    screen::say("");
    let facts: Vec<Facts> = FLOWS.iter().map(|flow| flow.run(cast)).collect::<Result<_>>()?;
    screen::table(&facts::table(&facts));
    screen::say("");
    note(LEGEND);
    let mut findings = Findings::new("Act 1");
    let good = facts.iter().filter(|f| f.good()).count();
    findings.add(
        good == facts.len(),
        format!(
            "{good} of {} flows as they should be, confirmed by the programs and by the ztunnels' logs",
            facts.len()
        ),
    );
    for facts in facts.iter().filter(|f| !f.good()) {
        findings.add(false, format!("{}: {}", facts.title(), facts.doubts().join("; ")));
    }
    Ok(findings)
}

const LEGEND: &str = "Nodes: 1 → 2 is from node1 to node2. Identities: shop/web is short for spiffe://cluster.local/ns/shop/sa/web. All columns but program and \
     time come from the access logs of the ztunnels that saw the connection. Time: from connecting to the last byte, as \
     curl and the echo client measured it; for redis and postgres how long the connection was open, as ztunnel logged it. \
     The first connection between two pods includes fetching certificates and a handshake.";

const CART: To = To::Service("cart.shop", &["cart-a", "cart-b"]);
const FLOWS: &[Flow] = &[
    flow("web", To::Pod("cart-a"), Client::Echo(9000), Expect::MTLS),
    flow("web", To::Pod("cart-b"), Client::Echo(9000), Expect::MTLS),
    flow("web", CART, Client::Curl(80, ECHO), Expect::MTLS),
    flow(
        "cart-b",
        To::Service("web.shop", &["web"]),
        Client::Curl(80, NGINX),
        Expect::MTLS,
    ),
    flow(
        "cart-a",
        To::Service("cache.shop", &["cache"]),
        Client::Redis,
        Expect::MTLS,
    ),
    flow(
        "cart-a",
        To::Service("database.shop", &["database"]),
        Client::Psql,
        Expect::MTLS,
    ),
    flow(
        "web",
        To::Service("database.shop", &["database"]),
        Client::Psql,
        Expect::MTLS.denied(),
    ),
    flow("web", To::Pod("printer"), Client::Curl(9100, ECHO), Expect::PLAIN),
    flow("batch", To::Pod("web"), Client::Curl(80, NGINX), Expect::PLAIN),
    flow("batch", To::Pod("cache"), Client::Redis, Expect::PLAIN),
    flow("batch", To::Pod("database"), Client::Psql, Expect::PLAIN.denied()),
];

const fn flow(from: &'static str, to: To, with: Client, expect: Expect) -> Flow {
    Flow {
        from,
        to,
        with,
        expect,
    }
}
