//! Act 2, configuration: files change, and within moments so does who reaches whom.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lab::wait;
use tokio::time::Instant;

use crate::cast::{Cast, STRICT};
use crate::facts::{self, Facts};
use crate::flow::{Client, ECHO, Expect, Flow, NGINX, To};
use crate::held::{Fate, Held};
use crate::screen::{self, Findings, ms, note, say, verbatim};

/// STRICT, a DENY policy, and a running pod that joins and leaves.
pub(crate) fn act(cast: &mut Cast) -> Result<Findings> {
    screen::heading("Act 2: something changes, while everything runs");
    note(
        "A time to effect runs from the moment a file is in place to the end of the first new connection that shows the \
         new answer; one follows the other without a pause.",
    );
    let mut findings = Findings::new("Act 2");
    strict(cast, &mut findings)?;
    deny(cast, &mut findings)?;
    enrol(cast, &mut findings)?;
    Ok(findings)
}

fn strict(cast: &Cast, findings: &mut Findings) -> Result<()> {
    screen::part("STRICT: nothing plain may enter the shop any more, except the front end's port 80");
    show("Before", cast, &[FROM_OUTSIDE.with(Expect::PLAIN)], findings)?;
    let mut held = Held::open(cast, "batch", "cart-b", 9000, "strict")?;
    let text = fs::read_to_string(cast.lab.dir().join(STRICT)).context(STRICT)?;
    say(&format!("  Change: {STRICT} is added to the configuration"));
    let change = Instant::now();
    cast.lab.config().write(STRICT, &text)?;
    took_effect(
        cast,
        &FROM_OUTSIDE,
        false,
        change,
        "STRICT on: the plain client is refused",
        findings,
    )?;
    let fate = held.fate(change, FEEL);
    open_connection(
        "legacy/batch → shop/cart-b, plain",
        &fate,
        Fate::has_ended,
        findings,
    );
    let after = [
        FROM_OUTSIDE.with(Expect::PLAIN.denied()),
        flow("batch", To::Pod("web"), Client::Curl(80, NGINX), Expect::PLAIN),
        flow(
            "cart-a",
            To::Service("cache.shop", &["cache"]),
            Client::Redis,
            Expect::MTLS,
        ),
    ];
    show("After", cast, &after, findings)
}

fn deny(cast: &Cast, findings: &mut Findings) -> Result<()> {
    screen::part("A DENY policy: the front end may not use the cart's echo port");
    show("Before", cast, &[TO_ECHO.with(Expect::MTLS)], findings)?;
    let mut held = Held::open(cast, "web", "cart-b", 9000, "deny")?;
    let text = cast.lab.config().read(POLICIES)?;
    say(&format!("  Change: added to {POLICIES}"));
    verbatim("+ ", DENY);
    let change = Instant::now();
    cast.lab.config().write(POLICIES, &format!("{text}{DENY}"))?;
    took_effect(cast, &TO_ECHO, false, change, "DENY policy added", findings)?;
    let fate = held.fate(change, FEEL);
    open_connection("shop/web → shop/cart-b, mTLS", &fate, Fate::has_ended, findings);
    let others = flow("web", To::Pod("cart-b"), Client::Curl(8080, ECHO), Expect::MTLS);
    show(
        "After",
        cast,
        &[TO_ECHO.with(Expect::MTLS.denied()), others],
        findings,
    )?;

    say(&format!("  Change: the same lines are removed from {POLICIES}"));
    let change = Instant::now();
    cast.lab.config().write(POLICIES, &text)?;
    took_effect(cast, &TO_ECHO, true, change, "DENY policy removed", findings)?;
    show("After", cast, &[TO_ECHO.with(Expect::MTLS)], findings)
}

fn enrol(cast: &mut Cast, findings: &mut Findings) -> Result<()> {
    screen::part("A running pod joins the mesh, and leaves it, by a label");
    show(
        "Before",
        cast,
        &[FROM_OUTSIDE.with(Expect::PLAIN.denied())],
        findings,
    )?;
    let mut held = Held::open(cast, "batch", "printer", 9000, "enrol")?;
    let text = cast.lab.config().read(LEGACY)?;
    let labelled = text.replacen(BATCH_LABEL, &format!("{BATCH_LABEL}{LABEL}"), 1);
    ensure!(labelled != text, "{LEGACY} has no pod with the label app: batch");
    say(&format!(
        "  Change: pod batch in {LEGACY} gets a label; its program goes on running"
    ));
    verbatim("+ ", LABEL);
    let change = Instant::now();
    cast.lab.config().write(LEGACY, &labelled)?;
    took_effect(
        cast,
        &FROM_OUTSIDE,
        true,
        change,
        "running pod enrolled",
        findings,
    )?;
    cast.set_in_mesh("batch", true);
    let fate = held.fate(change, FEEL);
    open_connection(
        "legacy/batch → legacy/printer, from before",
        &fate,
        Fate::is_alive,
        findings,
    );
    let by_name = flow(
        "batch",
        To::Pod("cart-a"),
        Client::Curl(8080, ECHO),
        Expect::MTLS.denied(),
    );
    show(
        "After",
        cast,
        &[FROM_OUTSIDE.with(Expect::MTLS), by_name],
        findings,
    )?;

    let mut held = Held::open(cast, "batch", "printer", 9000, "leave")?;
    say(&format!(
        "  Change: the label is removed from pod batch in {LEGACY}"
    ));
    let change = Instant::now();
    cast.lab.config().write(LEGACY, &text)?;
    took_effect(
        cast,
        &FROM_OUTSIDE,
        false,
        change,
        "running pod un-enrolled",
        findings,
    )?;
    cast.set_in_mesh("batch", false);
    let fate = held.fate(change, FEEL);
    open_connection(
        "legacy/batch → legacy/printer, through ztunnel",
        &fate,
        Fate::is_told,
        findings,
    );
    show(
        "After",
        cast,
        &[FROM_OUTSIDE.with(Expect::PLAIN.denied())],
        findings,
    )
}

/// Calls until the answer is the new one.
fn took_effect(
    cast: &Cast,
    flow: &Flow,
    allowed: bool,
    change: Instant,
    what: &str,
    findings: &mut Findings,
) -> Result<()> {
    let effect = wait::until(what, PATIENCE, || {
        let answer = flow.call(cast).ok()?;
        (answer.ok == allowed).then(|| change.elapsed())
    });
    match effect {
        Ok(took) => {
            say(&format!("  Took effect after {}", ms(took)));
            findings.add(true, format!("{what}; took effect after {}", ms(took)));
        }
        Err(e) => {
            say(&format!("  ✗ Took no effect: {e}"));
            findings.add(
                false,
                format!("{what}: took no effect within {} s", PATIENCE.as_secs()),
            );
        }
    }
    Ok(())
}

fn open_connection(which: &str, fate: &Fate, right: impl Fn(&Fate) -> bool, findings: &mut Findings) {
    let text = format!("The open connection {which}: {}", fate.text());
    say(&format!("  {text}"));
    if !right(fate) {
        findings.add(false, text);
    }
}

/// A small table; what is wrong with it becomes a finding.
fn show(title: &str, cast: &Cast, flows: &[Flow], findings: &mut Findings) -> Result<()> {
    let facts: Vec<Facts> = flows.iter().map(|f| f.run(cast)).collect::<Result<_>>()?;
    screen::rows(title, &facts::rows(&facts));
    for facts in facts.iter().filter(|f| !f.good()) {
        findings.add(false, format!("{}: {}", facts.title(), facts.doubts().join("; ")));
    }
    Ok(())
}

impl Flow {
    const fn with(self, expect: Expect) -> Self {
        Self { expect, ..self }
    }
}

const fn flow(from: &'static str, to: To, with: Client, expect: Expect) -> Flow {
    Flow {
        from,
        to,
        with,
        expect,
    }
}

const FROM_OUTSIDE: Flow = flow("batch", To::Pod("cache"), Client::Redis, Expect::PLAIN);
const TO_ECHO: Flow = flow("web", To::Pod("cart-b"), Client::Echo(9000), Expect::MTLS);
const POLICIES: &str = "policies.yaml";
const LEGACY: &str = "legacy.yaml";
const DENY: &str = "---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: cart-echo-not-for-web, namespace: shop}
spec:
  selector: {matchLabels: {app: cart}}
  action: DENY
  rules:
  - from: [{source: {principals: [cluster.local/ns/shop/sa/web]}}]
    to: [{operation: {ports: [\"9000\"]}}]
";
const BATCH_LABEL: &str = "    app: batch\n";
const LABEL: &str = "    istio.io/dataplane-mode: ambient\n";
const PATIENCE: Duration = Duration::from_secs(15);
/// How long an open connection is given to feel a change that has reached new ones.
const FEEL: Duration = Duration::from_millis(500);
