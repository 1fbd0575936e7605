//! Rates, latencies and CPU time: rounds in which the proxies take turns.

use std::time::Duration;

use anyhow::{Context, Result};
use lab::load::tunnels::{self, TunnelLoad};
use lab::load::{Load, Outcome, Pace, Protocol, client};
use mesh_testkit::objects::{NAMESPACE, identity};

use super::Bench;
use super::mesh::{TUNNELLED_VIP, far_identity, waypoint_identity};
use super::proxy::Proxy;
use super::sheet::{Kind, Sheet, Variant};
use crate::measure::cpu;

/// One round of a protocol: at the proxies' limit with one connection and with many, then all at the same load.
pub(super) fn requests(bench: &Bench, protocol: Protocol, round: usize, sheet: &mut Sheet) -> Result<()> {
    let ours = bench.starter.ours()?;
    let envoy = bench.starter.envoy(protocol == Protocol::Http2, 0)?;
    let mut proxies = vec![(Variant::Ours, &ours)];
    proxies.extend(envoy.as_ref().map(|envoy| (Variant::Envoy, envoy)));
    // Neither always follows the other.
    if round % 2 == 1 {
        proxies.reverse();
    }
    for (variant, proxy) in &proxies {
        let warm = bench.load(proxy, protocol, MANY, Pace::Closed, WARM);
        client::run(&warm).with_context(|| format!("{variant}, {protocol}, first requests"))?;
    }
    let mut envoys_limit = None;
    for connections in [1, MANY] {
        let at = format!(
            "at {connections} connection{}",
            if connections == 1 { "" } else { "s" }
        );
        let direct = client::run(&Load {
            to: bench.starter.origin,
            ..bench.load(&ours, protocol, connections, Pace::Closed, bench.length)
        })?;
        sheet.add(
            format!("{protocol}: requests/s {at}"),
            Kind::Rate,
            Variant::Direct,
            direct.rate(),
        );
        for (variant, proxy) in &proxies {
            let load = bench.load(proxy, protocol, connections, Pace::Closed, bench.length);
            let (outcome, cpu) =
                measured(proxy, &load).with_context(|| format!("{variant}, {protocol}, {at}"))?;
            let mut add = |what: &str, kind, value| {
                sheet.add(format!("{protocol}: {what} {at}"), kind, *variant, value);
            };
            add("requests/s", Kind::Rate, outcome.rate());
            add("CPU us per request", Kind::Cpu, cpu);
            add(
                "latency p50, us,",
                Kind::Told,
                outcome.latency.quantile(0.5) as f64,
            );
            add(
                "latency p99, us,",
                Kind::Told,
                outcome.latency.quantile(0.99) as f64,
            );
            if *variant == Variant::Envoy && connections == MANY {
                envoys_limit = Some(outcome.rate());
            }
        }
    }
    // Without Envoy there is no common load to find.
    let Some(limit) = envoys_limit else {
        return Ok(());
    };
    let pace = Pace::Open(limit * SHARE);
    for (variant, proxy) in &proxies {
        let load = bench.load(proxy, protocol, MANY, pace, bench.length);
        let (outcome, cpu) =
            measured(proxy, &load).with_context(|| format!("{variant}, {protocol}, equal load"))?;
        let mut add = |what: &str, kind, value| {
            sheet.add(
                format!("{protocol}: {what} at 70 % of Envoy's limit"),
                kind,
                *variant,
                value,
            );
        };
        add("answers/s", Kind::Told, outcome.rate());
        add("CPU us per request", Kind::Cpu, cpu);
        add(
            "latency p50, us,",
            Kind::Told,
            outcome.latency.quantile(0.5) as f64,
        );
        add(
            "latency p99, us,",
            Kind::Tail,
            outcome.latency.quantile(0.99) as f64,
        );
    }
    Ok(())
}

/// One round through tunnels, in and out; nobody to compare with but the generator alone.
pub(super) fn through_tunnels(bench: &Bench, sheet: &mut Sheet) -> Result<()> {
    let ours = bench.starter.ours()?;
    for streams in [1, MANY] {
        let at = format!("at {streams} stream{}", if streams == 1 { "" } else { "s" });
        let load = TunnelLoad {
            to: ours.tunnels,
            server: waypoint_identity(),
            client: identity(NAMESPACE, "client"),
            target: format!("{TUNNELLED_VIP}:80").parse()?,
            streams,
            length: bench.length,
        };
        let authority = &bench.starter.mesh.authority;
        let direct = TunnelLoad {
            to: bench.far,
            server: far_identity(),
            ..load.clone()
        };
        let direct = tunnels::run(&direct, authority).context("tunnels, direct")?;
        let warm = TunnelLoad {
            length: WARM,
            ..load.clone()
        };
        tunnels::run(&warm, authority).context("tunnels, first requests")?;
        let before = cpu(&[ours.pid()])?;
        let outcome = tunnels::run(&load, authority).context("tunnels")?;
        let spent = cpu(&[ours.pid()])?.saturating_sub(before);
        let mut add = |what: &str, kind, variant, value| {
            sheet.add(format!("HBONE in and out: {what} {at}"), kind, variant, value);
        };
        add("requests/s", Kind::Rate, Variant::Direct, direct.rate());
        add("requests/s", Kind::Rate, Variant::Ours, outcome.rate());
        add(
            "CPU us per request",
            Kind::Cpu,
            Variant::Ours,
            per_request(spent, &outcome),
        );
        add(
            "latency p50, us,",
            Kind::Told,
            Variant::Ours,
            outcome.latency.quantile(0.5) as f64,
        );
        add(
            "latency p99, us,",
            Kind::Told,
            Variant::Ours,
            outcome.latency.quantile(0.99) as f64,
        );
    }
    Ok(())
}

/// A load, and the proxy's CPU time for each of its requests, in µs.
fn measured(proxy: &Proxy, load: &Load) -> Result<(Outcome, f64)> {
    let before = cpu(&[proxy.pid()])?;
    let outcome = client::run(load)?;
    let spent = cpu(&[proxy.pid()])?.saturating_sub(before);
    let each = per_request(spent, &outcome);
    Ok((outcome, each))
}

fn per_request(spent: Duration, outcome: &Outcome) -> f64 {
    spent.as_secs_f64() * 1e6 / outcome.requests as f64
}

/// Connections of the loads that are to find a proxy's limit.
pub(super) const MANY: usize = 64;
/// Of Envoy's limit.
const SHARE: f64 = 0.7;
pub(super) const WARM: Duration = Duration::from_millis(500);
