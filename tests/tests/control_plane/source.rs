//! What a control plane knows of a cluster.

use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::bench::{Bench, SHOP};

pub(super) fn proxies_are_told_of_a_clusters_pods_also_while_the_api_server_is_away(
    bench: &mut Bench,
) -> Result<()> {
    let plane = bench.plane(1)?;
    let kubectl = bench.api.kubectl();
    kubectl.apply(SHOP)?;
    bench.until_told(&plane, "shop/cart.shop.svc.cluster.local", true)?;
    ensure!(
        !bench.tells_of(&plane, CART),
        "a pod without an address is told of"
    );
    // As its kubelet would say.
    let status = r#"{"status": {"podIP": "10.9.0.5", "podIPs": [{"ip": "10.9.0.5"}], "phase": "Running"}}"#;
    kubectl.run(&[
        "patch",
        "pod",
        "cart",
        "-n",
        "shop",
        "--subresource=status",
        "--type=merge",
        "-p",
        status,
    ])?;
    bench.until_told(&plane, CART, true)?;
    ensure!(
        bench.away_seconds(&plane) == Some(0),
        "it says that the API server is away"
    );

    bench.api.stop_api_server();
    bench.until(&plane, "the outage is seen", || {
        bench.away_seconds(&plane).filter(|s| *s > 0)
    })?;
    thread::sleep(OUTAGE);
    ensure!(bench.tells_of(&plane, CART), "the outage took a pod away");
    ensure!(
        bench.page(&plane, "/readyz").is_ok(),
        "the outage made it unready"
    );
    bench.api.start_api_server()?;
    kubectl.run(&["delete", "pod", "cart", "-n", "shop", "--force", "--wait=false"])?;
    bench.until_told(&plane, CART, false)?;
    bench.until(&plane, "it is over", || {
        bench.away_seconds(&plane).filter(|s| *s == 0)
    })?;
    Ok(())
}

pub(super) fn a_kind_whose_definition_comes_late_is_known_a_moment_later(bench: &mut Bench) -> Result<()> {
    let plane = bench.plane(2)?;
    let state = || {
        let status = bench.json(&plane, "/status")?;
        let watches = status["cluster"]["watches"].as_array()?;
        let watch = watches.iter().find(|w| w["kind"] == "ServiceEntry")?;
        Some(watch["state"].as_str()?.to_owned())
    };
    ensure!(state().as_deref() == Some("NotServed"), "{:?}", state());
    let kubectl = bench.api.kubectl();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/base/files/crds");
    kubectl.run(&["apply", "--server-side", "-f", &folder.display().to_string()])?;
    bench.until(&plane, "the kind is watched", || {
        state().filter(|s| s == "Current")
    })?;
    kubectl.apply(ENTRY)?;
    bench.until_told(&plane, "shop/db.example.com", true)?;
    kubectl.run(&["delete", "serviceentry", "db", "-n", "shop"])?;
    bench.until_told(&plane, "shop/db.example.com", false)
}

pub(super) fn hosts_of_service_entries_keep_the_addresses_that_their_statuses_have(
    bench: &mut Bench,
) -> Result<()> {
    let plane = bench.plane(7)?;
    let kubectl = bench.api.kubectl();
    kubectl.apply(EXTERNAL)?;
    let addresses = || {
        let entry = kubectl.get(&["serviceentry", "external", "-n", "shop"]).ok()?;
        let addresses = entry["status"]["addresses"].as_array()?.clone();
        (addresses.len() == 2).then_some(addresses)
    };
    let given = bench.until(&plane, "they are written", addresses)?;
    ensure!(
        given
            .iter()
            .all(|address| address["host"] == "external.example.com"),
        "{given:?}"
    );
    drop(plane);
    // A new one, without anything that the first one kept.
    let plane = bench.plane(8)?;
    bench.until_told(&plane, "shop/external.example.com", true)?;
    ensure!(
        addresses().as_ref() == Some(&given),
        "{:?} after {given:?}",
        addresses()
    );
    kubectl
        .run(&["delete", "serviceentry", "external", "-n", "shop"])
        .map(drop)
}

/// As long as an upgrade of an API server may take.
const OUTAGE: Duration = Duration::from_secs(60);
const CART: &str = "Kubernetes//Pod/shop/cart";
const EXTERNAL: &str = "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: external, namespace: shop}
spec:
  hosts: [external.example.com]
  ports: [{number: 443, name: tls, protocol: TLS}]
  resolution: DNS
";
const ENTRY: &str = "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: db, namespace: shop}
spec:
  hosts: [db.example.com]
  addresses: [192.0.2.7]
  ports: [{number: 5432, name: tcp, protocol: TCP}]
  resolution: STATIC
  endpoints: [{address: 192.0.2.8}]
";
