//! What signs, and where pods find what they trust.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use lab::wait;
use serde_json::json;

use super::bench::{Bench, PATIENCE, Plane};

pub(super) fn replicas_share_a_root_which_every_namespace_trusts_and_take_over_duties(
    bench: &mut Bench,
) -> Result<()> {
    let (mut first, second) = (bench.plane(4)?, bench.plane(5)?);
    let root = |plane: &Plane| std::fs::read_to_string(plane.state.join("root-cert.pem"));
    let trusted = root(&first)?;
    ensure!(trusted == root(&second)?, "two roots");
    let kubectl = bench.api.kubectl();
    let data = |namespace: &str| {
        let map = kubectl
            .get(&["configmap", "istio-ca-root-cert", "-n", namespace])
            .ok()?;
        Some(map["data"]["root-cert.pem"].as_str()?.to_owned())
    };
    let right = |namespace: &str| data(namespace).filter(|data| *data == trusted);
    bench.until(&second, "shop trusts it", || right("shop"))?;
    let holder = || {
        let lease = kubectl
            .get(&["lease", "lateen-root-cert", "-n", "istio-system"])
            .ok()?;
        Some(lease["spec"]["holderIdentity"].as_str()?.to_owned()).filter(|holder| !holder.is_empty())
    };
    let before = bench.until(&second, "somebody has the duty", holder)?;
    first.process.terminate(PATIENCE)?;
    kubectl.apply("{apiVersion: v1, kind: Namespace, metadata: {name: late}}")?;
    bench.until(&second, "late trusts it", || right("late"))?;
    kubectl.run(&["delete", "configmap", "istio-ca-root-cert", "-n", "shop"])?;
    bench.until(&second, "it is put back", || right("shop"))?;
    let after = bench.until(&second, "somebody has the duty still", holder)?;
    ensure!(!before.is_empty() && !after.is_empty(), "nobody holds the Lease");
    Ok(())
}

/// As a test of somebody's does, run after run.
pub(super) fn a_namespace_that_is_made_anew_again_and_again_trusts_the_root_at_once(
    bench: &mut Bench,
) -> Result<()> {
    let plane = bench.plane(13)?;
    let kubectl = bench.api.kubectl();
    let map = ["configmap", "istio-ca-root-cert", "-n", "phoenix"];
    kubectl.apply(PHOENIX)?;
    // It may have to get the duty first.
    bench.until(&plane, "it trusts the root", || kubectl.get(&map).ok())?;
    for round in 1..=MADE_ANEW {
        end_namespace(bench, "phoenix")?;
        kubectl.apply(PHOENIX)?;
        // Sooner than anything that is fought over would be.
        wait::until("it trusts the root", AT_ONCE, || kubectl.get(&map).ok())
            .with_context(|| format!("made anew, {round} of {MADE_ANEW}; {}", plane.process.log_tail()))?;
    }
    end_namespace(bench, "phoenix")
}

/// As the controller of namespaces would, which does not run here.
fn end_namespace(bench: &Bench, name: &str) -> Result<()> {
    let kubectl = bench.api.kubectl();
    kubectl.run(&["delete", "namespace", name, "--wait=false"])?;
    kubectl.run(&["delete", "configmap", "--all", "-n", name])?;
    let ended = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}, "spec": {"finalizers": []}});
    kubectl.replace_raw(&format!("/api/v1/namespaces/{name}/finalize"), &ended.to_string())?;
    wait::until("the namespace is gone", PATIENCE, || {
        kubectl.get(&["namespace", name]).is_err().then_some(())
    })
}

/// Two replicas follow the Secret, and a third that starts when both are gone trusts both roots still.
pub(super) fn another_secret_signs_without_a_restart_and_the_old_root_outlives_them(
    bench: &mut Bench,
) -> Result<()> {
    let (mut first, mut second) = (bench.plane(7)?, bench.plane(8)?);
    let kubectl = bench.api.kubectl();
    let old = signing(bench)?;
    ensure!(trusted(&first)?.contains(&old), "it does not trust what signs");
    let (certificate, key) = authority()?;
    // As an operator would.
    let patch = json!({"stringData": {"ca-cert.pem": certificate, "ca-key.pem": key}}).to_string();
    let secret = [
        "patch",
        "secret",
        "istio-ca-secret",
        "-n",
        "istio-system",
        "--type=merge",
        "-p",
        &patch,
    ];
    kubectl.run(&secret)?;
    let both = |plane: &Plane| {
        let trusted = trusted(plane).ok()?;
        (trusted.contains(certificate.trim()) && trusted.contains(&old)).then_some(())
    };
    for plane in [&first, &second] {
        bench.until(plane, "the new root is trusted beside the old one", || {
            both(plane)
        })?;
    }
    let spread = || {
        let map = kubectl
            .get(&["configmap", "istio-ca-root-cert", "-n", "shop"])
            .ok()?;
        let text = map["data"]["root-cert.pem"].as_str()?.to_owned();
        (text.contains(certificate.trim()) && text.contains(&old)).then_some(())
    };
    bench.until(&first, "pods are told of both", spread)?;
    ensure!(signing(bench)? == certificate.trim(), "the Secret was written to");

    first.process.terminate(PATIENCE)?;
    second.process.terminate(PATIENCE)?;
    let third = bench.plane(9)?;
    ensure!(
        both(&third).is_some(),
        "a restart forgot the old root: {}",
        trusted(&third)?
    );

    // Somebody who lost the old key ends the trust in it at once.
    kubectl.run(&["delete", "secret", "lateen-trusted-roots", "-n", "istio-system"])?;
    bench.until(&third, "the old root is not trusted any more", || {
        let trusted = trusted(&third).ok()?;
        (trusted.trim() == certificate.trim()).then_some(())
    })
}

/// Where clients of the machine find what a control plane trusts.
fn trusted(plane: &Plane) -> Result<String> {
    let path = plane.state.join("root-cert.pem");
    std::fs::read_to_string(&path).with_context(|| path.display().to_string())
}

/// The certificate that signs, by the Secret.
fn signing(bench: &Bench) -> Result<String> {
    let text = bench.api.kubectl().run(&[
        "get",
        "secret",
        "istio-ca-secret",
        "-n",
        "istio-system",
        "-o",
        "go-template={{index .data \"ca-cert.pem\" | base64decode}}",
    ])?;
    ensure!(
        text.contains("BEGIN CERTIFICATE"),
        "there is no authority: {text}"
    );
    Ok(text.trim().to_owned())
}

/// A self-signed one, for a day.
pub(super) fn authority() -> Result<(String, String)> {
    let key = rcgen::KeyPair::generate()?;
    let mut params = rcgen::CertificateParams::default();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "another root");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
    params.not_before = (SystemTime::now() - Duration::from_secs(60)).into();
    params.not_after = (SystemTime::now() + Duration::from_secs(24 * 3600)).into();
    Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
}

/// More often than two that fight over an object may write it at once (the control plane's `Pace`).
const MADE_ANEW: u32 = 12;
const AT_ONCE: Duration = Duration::from_secs(5);
const PHOENIX: &str = "{apiVersion: v1, kind: Namespace, metadata: {name: phoenix}}";
