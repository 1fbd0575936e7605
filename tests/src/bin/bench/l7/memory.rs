//! Memory: after a while under load, for each connection, for each thousand routes.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use lab::load::{Pace, Protocol, client};

use super::Bench;
use super::changes::Asking;
use super::mesh::MARK_PATH;
use super::proxy::Proxy;
use super::rounds::{MANY, WARM};
use super::sheet::{Kind, Sheet, Variant};
use crate::measure::memory;

/// Resident memory at the end of a long load.
pub(super) fn under_load(bench: &Bench, length: Duration, sheet: &mut Sheet) -> Result<()> {
    let title = format!("RSS after {} s at {MANY} connections, MB", length.as_secs());
    each(bench, |variant, proxy| {
        let mut client = client::hold(proxy.plain, Protocol::Http1, MANY)?;
        client.measure(length, Pace::Closed)?;
        sheet.add(&title, Kind::Memory, variant, memory(&[proxy.pid()])?);
        Ok(())
    })
}

/// Resident memory that open connections add, which were each asked once.
pub(super) fn per_connection(bench: &Bench, sheet: &mut Sheet) -> Result<()> {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let title = format!("{protocol}: memory for each idle connection, KB");
        each(bench, |variant, proxy| {
            client::run(&bench.load(proxy, protocol, 1, Pace::Closed, WARM))?;
            thread::sleep(SETTLED);
            let before = memory(&[proxy.pid()])?;
            let _open = client::hold(proxy.plain, protocol, CONNECTIONS)?;
            thread::sleep(SETTLED);
            let after = memory(&[proxy.pid()])?;
            sheet.add(
                &title,
                Kind::Told,
                variant,
                (after - before) * 1000.0 / CONNECTIONS as f64,
            );
            Ok(())
        })?;
    }
    Ok(())
}

/// Resident memory that routes add. Our waypoint learns them while it runs, Envoy reads them when it starts.
pub(super) fn per_thousand_routes(bench: &Bench, sheet: &mut Sheet) -> Result<()> {
    let title = "memory for each 1,000 routes, MB";
    let thousands = ROUTES as f64 / 1000.0;
    let warm = |proxy: &Proxy| client::run(&bench.load(proxy, Protocol::Http1, MANY, Pace::Closed, WARM));
    let ours = bench.starter.ours()?;
    warm(&ours)?;
    thread::sleep(SETTLED);
    let before = memory(&[ours.pid()])?;
    bench.starter.mesh.publish_routes(ROUTES);
    bench.starter.mesh.mark(0);
    Asking::connect(ours.plain)?.until(MARK_PATH, "0")?;
    warm(&ours)?;
    thread::sleep(SETTLED);
    let after = memory(&[ours.pid()])?;
    sheet.add(title, Kind::Told, Variant::Ours, (after - before) / thousands);
    drop(ours);
    let mut envoys = Vec::new();
    for routes in [0, ROUTES] {
        let Some(envoy) = bench.starter.envoy(false, routes)? else {
            return Ok(());
        };
        warm(&envoy)?;
        thread::sleep(SETTLED);
        envoys.push(memory(&[envoy.pid()])?);
    }
    sheet.add(
        title,
        Kind::Told,
        Variant::Envoy,
        (envoys[1] - envoys[0]) / thousands,
    );
    Ok(())
}

/// One after the other, each alone.
fn each(bench: &Bench, mut measure: impl FnMut(Variant, &Proxy) -> Result<()>) -> Result<()> {
    let ours = bench.starter.ours()?;
    measure(Variant::Ours, &ours).context("Lateen")?;
    drop(ours);
    if let Some(envoy) = bench.starter.envoy(false, 0)? {
        measure(Variant::Envoy, &envoy).context("Envoy")?;
    }
    Ok(())
}

const CONNECTIONS: usize = 2000;
/// After the start, and after a load: what is only needed for a moment is given back.
const SETTLED: Duration = Duration::from_secs(3);
/// Also those among which one changes.
pub(super) const ROUTES: usize = 10_000;
