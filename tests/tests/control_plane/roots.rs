//! An authority that is replaced in the cluster.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::{Bench, PATIENCE, Plane};

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
