//! An authority and a serving certificate of an operator's own: the Secrets `cacerts` and `istiod-tls`, there before the mesh is.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType, SerialNumber,
};
use serde_json::{Value, json};

use crate::Test;
use crate::command_line::asked;
use crate::mesh::{AMBIENT, LIMIT, Mesh, Pod, SYSTEM, printed};
use crate::traffic::Captures;

/// It begins where the mesh is gone, and leaves it so.
pub(crate) const LAST: &[Test] = &[Test {
    name: "a_mesh_with_an_authority_and_a_serving_certificate_of_ones_own_signs_with_the_one_and_serves_with_the_other",
    run: plugged_in,
}];

fn plugged_in(mesh: &mut Mesh) -> Result<()> {
    mesh.take_release_away()?;
    forget_roots(mesh)?;
    let own = Own::make()?;
    for secret in own.secrets() {
        mesh.kubectl.apply(&secret.to_string())?;
    }
    mesh.install()?;
    let checked = signs_and_serves(mesh, &own);
    mesh.lateen.run(&["uninstall"])?;
    for secret in own.secrets() {
        mesh.kubectl.delete(&secret.to_string())?;
    }
    forget_roots(mesh)?;
    checked
}

fn signs_and_serves(mesh: &Mesh, own: &Own) -> Result<()> {
    mesh.namespace("notary", AMBIENT)?;
    mesh.strict("notary")?;
    let root = ["configmap", "istio-ca-root-cert", "-n", "notary"];
    mesh.kubectl
        .wait("the mounted root is what pods trust", &root, LIMIT, |map| {
            let roots = map["data"]["root-cert.pem"].as_str()?;
            (roots.trim() == own.root.trim()).then_some(())
        })?;
    let made = [
        "secrets",
        "-n",
        SYSTEM,
        "--field-selector",
        "metadata.name=istio-ca-secret",
    ];
    let made = mesh.kubectl.get(&made)?;
    ensure!(
        made["items"].as_array().is_some_and(Vec::is_empty),
        "a root is made beside the mounted one"
    );
    let client = mesh.server("notary", "client", 0, "")?;
    let server = mesh.server("notary", "server", 1, "")?;
    mesh.wait_tunnel(&client, &server)?;
    let captures = Captures::start(mesh, &["canary-of-the-notary"])?;
    let answer = mesh.send(&client, &server, "canary-of-the-notary")?;
    let seen = captures.stop();
    ensure!(answer == "canary-of-the-notary", "{answer}");
    seen.nothing_in_the_clear()?;
    ensure!(seen.wire.tunnelled > 0, "{seen:?}");
    for pod in [&client, &server] {
        chains_to_the_root(mesh, pod)?;
    }
    serves_with_it(mesh, own)?;
    mesh.lateen.run(&["verify-install"])?;
    mesh.forget("notary")
}

/// A pod's certificate, the authority's behind it, and the root that is trusted.
fn chains_to_the_root(mesh: &Mesh, pod: &Pod) -> Result<()> {
    let node = mesh.cluster.nodes()[pod.node].name();
    let ask = ["node", "certificates", "--node", &node, "-n", "notary"];
    let (said, _) = asked(mesh, &ask)?;
    let certificate = &said[0];
    let serials = |list: &Value| -> Vec<String> {
        let shards = list.as_array().into_iter().flatten();
        let serial = |shard: &Value| shard["serialNumber"].as_str().map(str::to_owned);
        shards.filter_map(serial).collect()
    };
    let (chain, roots) = (
        serials(&certificate["certChain"]),
        serials(&certificate["rootCerts"]),
    );
    ensure!(
        certificate["identity"] == pod.identity("default"),
        "{}: {said}",
        pod.name
    );
    ensure!(
        chain.len() == 2 && chain[1] == AUTHORITY.to_string() && roots == [ROOT.to_string()],
        "{}: {chain:?} under {roots:?}",
        pod.name
    );
    Ok(())
}

/// Whoever asks the control plane's port by a name that only the mounted certificate has is answered by it, and so is whoever asks by
/// the name that proxies know.
fn serves_with_it(mesh: &Mesh, own: &Own) -> Result<()> {
    let service = mesh.kubectl.get(&["service", "istiod", "-n", SYSTEM])?;
    let address = service["spec"]["clusterIP"].as_str().context("an address")?;
    let address = SocketAddr::new(address.parse()?, 15012);
    let root = tempfile::NamedTempFile::new().context("a file of the root")?;
    std::fs::write(root.path(), &own.root).context("a file of the root")?;
    for name in [SERVED, "istiod.istio-system.svc"] {
        let resolve = format!("{name}:15012:{}", address.ip());
        let url = format!("https://{name}:15012/");
        // What comes back is nothing that curl understands; that there is something means that the certificate was verified.
        let mut curl = mesh.kubectl.beside("curl");
        curl.args([
            "-s",
            "-o",
            "/dev/null",
            "--max-time",
            "5",
            "-w",
            "%{ssl_verify_result} %{time_appconnect}",
        ]);
        curl.arg("--cacert").arg(root.path());
        let said = printed(curl.args(["--resolve", &resolve, "--http2", &url]));
        let said = said.with_context(|| format!("curl {url}"))?;
        let (verified, connected) = said.split_once(' ').context("two words")?;
        ensure!(
            verified == "0" && connected.parse::<f64>()? > 0.0,
            "{name}: {said}"
        );
    }
    Ok(())
}

/// A mesh made anew, whatever was trusted before.
fn forget_roots(mesh: &Mesh) -> Result<()> {
    let delete = ["delete", "--ignore-not-found", "-n", SYSTEM];
    let secrets = ["secret", "istio-ca-secret", "lateen-trusted-roots"];
    mesh.kubectl.run(&[&delete[..], &secrets].concat())?;
    let roots = [
        "delete",
        "configmap",
        "-A",
        "--field-selector",
        "metadata.name=istio-ca-root-cert",
    ];
    mesh.kubectl.run(&roots).map(drop)
}

/// What an operator brings: a root that signs nothing but the authority, the authority, and a serving certificate, as PEM.
struct Own {
    root: String,
    authority: String,
    authority_key: String,
    serving: String,
    serving_key: String,
}

impl Own {
    fn make() -> Result<Self> {
        let root = CertifiedIssuer::self_signed(authority("our own root", ROOT), KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let authority_key = key.serialize_pem();
        let authority = CertifiedIssuer::signed_by(authority("our own authority", AUTHORITY), key, &root)?;
        let mut serving = CertificateParams::default();
        serving.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        serving.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let names = ["istiod.istio-system.svc", "istiod.istio-system", SERVED];
        let names = names.iter().map(|name| Ok(SanType::DnsName((*name).try_into()?)));
        serving.subject_alt_names = names.collect::<Result<_>>()?;
        let serving_key = KeyPair::generate()?;
        let serving = serving.signed_by(&serving_key, &authority)?;
        Ok(Self {
            root: root.pem(),
            serving: format!("{}{}", serving.pem(), authority.pem()),
            authority: authority.pem(),
            authority_key,
            serving_key: serving_key.serialize_pem(),
        })
    }

    /// As Istio's documentation and cert-manager have them.
    fn secrets(&self) -> [Value; 2] {
        let secret = |name: &str, kind: &str, data: Value| {
            json!({
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": name, "namespace": SYSTEM},
                "type": kind,
                "stringData": data,
            })
        };
        let cacerts = json!({
            "ca-cert.pem": self.authority,
            "ca-key.pem": self.authority_key,
            "cert-chain.pem": self.authority,
            "root-cert.pem": self.root,
        });
        let serving = json!({"tls.crt": self.serving, "tls.key": self.serving_key, "ca.crt": self.root});
        [
            secret("cacerts", "Opaque", cacerts),
            secret("istiod-tls", "kubernetes.io/tls", serving),
        ]
    }
}

fn authority(name: &str, serial: u64) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    parameters.serial_number = Some(SerialNumber::from(serial));
    parameters
}

const ROOT: u64 = 710_001;
const AUTHORITY: u64 = 710_002;
/// A name of the control plane that no certificate of its own making has.
const SERVED: &str = "control-plane.of-our-own";
