use controlplane_ca::root::AuthorityPems;
use mesh_kube::ObjectName;
use mesh_kube::fake::FakeApi;
use mesh_types::TrustDomain;
use tokio::time::sleep;

use super::super::{load_or_create, object};
use super::*;

const SYSTEM: &str = "istio-system";

/// A replica, until it is dropped.
struct Replica {
    issuer: Arc<Issuer>,
    state: tempfile::TempDir,
    mount: tempfile::TempDir,
    task: tokio::task::JoinHandle<Result<(), Infallible>>,
}

impl Replica {
    /// One that an operator mounted nothing for.
    async fn start(api: &FakeApi) -> Self {
        Self::with(api, tempfile::tempdir().unwrap()).await
    }

    /// As the process does it.
    async fn with(api: &FakeApi, mount: tempfile::TempDir) -> Self {
        let (client, now) = (api.client(), SystemTime::now());
        let root = match mounted(mount.path(), now).unwrap() {
            Some(root) => root,
            None => load_or_create(&client, SYSTEM, &TrustDomain::default(), now)
                .await
                .unwrap(),
        };
        let known = record::begin(&client, SYSTEM, &root, now).await;
        let issuer = Arc::new(Issuer::new(root.trusting(known.trusted(now), now)));
        let state = tempfile::tempdir().unwrap();
        let paths = [mount.path(), state.path()].map(Path::to_owned);
        let [mounted, published] = paths;
        let keeper = Keeper::new(client, SYSTEM, mounted, published, issuer.clone(), known);
        Self {
            issuer,
            state,
            mount,
            task: tokio::spawn(keeper.keep()),
        }
    }

    fn trusts(&self, roots: &[&str]) -> bool {
        let trusted = self.issuer.root().certificate_pem().to_owned();
        let all = roots.iter().all(|root| trusted.contains(root.trim()));
        all && trusted.matches(BEGIN).count() == roots.len()
    }

    fn signer(&self) -> String {
        let root = self.issuer.root();
        root.intermediates()
            .first()
            .unwrap_or_else(|| &root.own()[0])
            .clone()
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn api() -> FakeApi {
    let api = FakeApi::new();
    api.serve(&SECRETS);
    api
}

/// Somebody replaces the Secret of the root; gives what signs then.
fn replace(api: &FakeApi) -> String {
    let pems = AuthorityPems::make(&TrustDomain::default(), SystemTime::now()).unwrap();
    api.put(&SECRETS, object(&ObjectName::new(SYSTEM, NAME), &pems));
    pems.certificate.clone()
}

fn recorded(api: &FakeApi) -> Succession {
    let name = ObjectName::new(SYSTEM, record::NAME);
    record::read(&api.object(&SECRETS, &name).expect("a record")).expect("that can be read")
}

async fn a_while() {
    sleep(LOOK * 3).await;
}

#[tokio::test(start_paused = true)]
async fn another_secret_is_followed_by_all_replicas_and_what_was_trusted_outlives_them() {
    let api = api();
    let (one, two) = (Replica::start(&api).await, Replica::start(&api).await);
    let old = one.signer();
    assert!(one.trusts(&[&old]) && two.trusts(&[&old]));
    a_while().await;
    let writes = api.requests().iter().filter(|r| r.starts_with("PUT")).count();
    assert_eq!(writes, 0, "nothing changed");

    let new = replace(&api);
    a_while().await;
    for replica in [&one, &two] {
        assert_eq!(replica.signer().trim(), new.trim());
        assert!(replica.trusts(&[&old, &new]));
        let public = std::fs::read_to_string(Root::public_path(replica.state.path())).unwrap();
        assert_eq!(public, replica.issuer.root().certificate_pem());
    }
    drop((one, two));
    let three = Replica::start(&api).await;
    assert!(three.trusts(&[&old, &new]), "after a restart of all");
    a_while().await;
    assert!(three.trusts(&[&old, &new]));
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_is_replaced_while_nobody_runs_succeeds_what_was_there() {
    let api = api();
    let old = Replica::start(&api).await.signer();
    let new = replace(&api);
    let replica = Replica::start(&api).await;
    assert_eq!(replica.signer().trim(), new.trim());
    assert!(replica.trusts(&[&old, &new]));
}

/// A root of which a tenth of its life is left.
fn old_root(api: &FakeApi) -> String {
    let made = SystemTime::now() - Duration::from_secs(3285 * 24 * 3600);
    let pems = AuthorityPems::make(&TrustDomain::default(), made).unwrap();
    api.put(&SECRETS, object(&ObjectName::new(SYSTEM, NAME), &pems));
    pems.certificate.clone()
}

fn renewals(api: &FakeApi) -> usize {
    let requests = api.requests();
    let of_root = requests
        .iter()
        .filter(|r| r.starts_with("PUT") && r.contains(NAME));
    of_root.count()
}

#[tokio::test(start_paused = true)]
async fn a_root_near_its_end_is_renewed_once_and_both_are_trusted() {
    let api = api();
    let old = old_root(&api);
    let (one, two) = (Replica::start(&api).await, Replica::start(&api).await);
    a_while().await;
    let new = one.signer();
    assert_ne!(new.trim(), old.trim());
    assert_eq!(new, two.signer());
    assert!(one.trusts(&[&old, &new]) && two.trusts(&[&old, &new]));
    let year = Duration::from_secs(365 * 24 * 3600);
    assert!(one.issuer.root().not_after() > SystemTime::now() + 9 * year);
    sleep(RENEW_AGAIN * 3).await;
    assert!(renewals(&api) <= 2, "who was second met a conflict");
    assert_eq!(one.signer(), new, "and it is renewed once");
}

#[tokio::test(start_paused = true)]
async fn a_root_that_cannot_be_renewed_is_tried_again_now_and_then_and_goes_on_signing() {
    let api = api();
    let old = old_root(&api);
    api.refuse(&SECRETS, SYSTEM, Some(403));
    let replica = Replica::start(&api).await;
    sleep(RENEW_AGAIN * 5).await;
    assert_eq!(replica.signer().trim(), old.trim());
    assert!((2..=7).contains(&renewals(&api)), "{}", renewals(&api));
    api.refuse(&SECRETS, SYSTEM, None);
    sleep(RENEW_AGAIN * 2).await;
    assert_ne!(replica.signer().trim(), old.trim());
}

#[tokio::test(start_paused = true)]
async fn nonsense_and_nothing_change_nothing() {
    let api = api();
    let replica = Replica::start(&api).await;
    let signer = replica.signer();
    let name = ObjectName::new(SYSTEM, NAME);
    let metadata = serde_json::json!({"namespace": SYSTEM, "name": NAME});
    api.put(
        &SECRETS,
        serde_json::json!({"metadata": metadata, "data": {"ca-cert.pem": "!"}}),
    );
    a_while().await;
    api.remove(&SECRETS, &name);
    a_while().await;
    assert_eq!(replica.signer(), signer);
    assert!(replica.trusts(&[&signer]));
}

#[tokio::test(start_paused = true)]
async fn an_earlier_root_is_not_trusted_any_more_when_its_time_is_over_or_somebody_says_so() {
    let api = api();
    let replica = Replica::start(&api).await;
    let old = replica.signer();
    let new = replace(&api);
    a_while().await;
    assert!(replica.trusts(&[&old, &new]));
    let over = SystemTime::now() - Duration::from_secs(1);
    record::change(&api.client(), SYSTEM, |known| {
        let mut next = known.clone();
        next.retired.values_mut().for_each(|until| *until = over);
        next
    })
    .await
    .unwrap();
    a_while().await;
    assert!(replica.trusts(&[&new]));
    assert!(recorded(&api).retired.is_empty(), "it is forgotten");

    let third = replace(&api);
    a_while().await;
    assert!(replica.trusts(&[&new, &third]));
    api.remove(&SECRETS, &ObjectName::new(SYSTEM, record::NAME));
    a_while().await;
    assert!(replica.trusts(&[&third]));
    assert_eq!(recorded(&api).signing, replica.issuer.root().own());
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_is_away_is_told_later_and_a_missing_right_ends_nothing() {
    let api = api();
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (Operator::new("old"), Operator::new("new"));
    old.mount(dir.path(), &[&old]);
    let replica = Replica::with(&api, dir).await;
    api.away(true);
    new.mount(replica.mount.path(), &[&new]);
    a_while().await;
    assert!(replica.trusts(&[&old.root.pem(), &new.root.pem()]));
    assert_eq!(recorded(&api).retired.len(), 0);
    api.away(false);
    sleep(Duration::from_secs(120)).await;
    assert_eq!(recorded(&api).retired.len(), 1, "said in the end");

    api.forbid(&SECRETS, true);
    old.mount(replica.mount.path(), &[&old]);
    a_while().await;
    assert!(replica.trusts(&[&old.root.pem(), &new.root.pem()]));
}

#[tokio::test(start_paused = true)]
async fn a_longer_life_is_remembered_before_it_is_needed() {
    let api = api();
    let replica = Replica::start(&api).await;
    let key = rcgen::KeyPair::generate().unwrap();
    let week = Duration::from_secs(7 * 24 * 3600);
    let spki = rcgen::PublicKeyData::subject_public_key_info(&key);
    let identity = "spiffe://cluster.local/ns/shop/sa/cart".parse().unwrap();
    replica
        .issuer
        .issue(&identity, &spki, week, SystemTime::now())
        .unwrap();
    a_while().await;
    assert_eq!(recorded(&api).longest, week);
    drop(replica);
    replace(&api);
    let _next = Replica::start(&api).await;
    let until = *recorded(&api).retired.values().next().expect("one");
    assert!(until > SystemTime::now() + week - Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn what_an_operator_mounts_comes_before_the_secret() {
    let api = api();
    let dir = tempfile::tempdir().unwrap();
    let operator = Operator::new("operator");
    operator.mount(dir.path(), &[&operator]);
    let replica = Replica::with(&api, dir).await;
    let signer = replica.signer();
    replace(&api);
    a_while().await;
    assert_eq!(replica.signer(), signer);
    assert!(replica.trusts(&[&operator.root.pem()]));
}

/// An authority under a root, as an operator would mount it.
struct Operator {
    root: rcgen::CertifiedIssuer<'static, rcgen::KeyPair>,
}

impl Operator {
    fn new(name: &str) -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let root = rcgen::CertifiedIssuer::self_signed(authority(name), key).unwrap();
        Self { root }
    }

    fn mount(&self, dir: &Path, roots: &[&Self]) {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = authority("intermediate").signed_by(&key, &self.root).unwrap();
        let roots: String = roots.iter().map(|operator| operator.root.pem()).collect();
        for (file, text) in [
            ("ca-key.pem", key.serialize_pem()),
            ("ca-cert.pem", certificate.pem()),
            ("cert-chain.pem", certificate.pem()),
            ("root-cert.pem", roots),
        ] {
            std::fs::write(dir.join(file), text).unwrap();
        }
    }
}

fn authority(name: &str) -> rcgen::CertificateParams {
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
    params
}

#[tokio::test(start_paused = true)]
async fn another_mounted_authority_signs_without_a_restart_and_roots_add_up() {
    let (api, dir) = (api(), tempfile::tempdir().unwrap());
    let (old, new) = (Operator::new("old"), Operator::new("new"));
    old.mount(dir.path(), &[&old]);
    let replica = Replica::with(&api, dir).await;
    let first = replica.signer();
    a_while().await;
    assert_eq!(replica.signer(), first, "nothing changed");

    let dir = replica.mount.path();
    old.mount(dir, &[&old]);
    a_while().await;
    let second = replica.signer();
    assert_ne!(second, first, "a new intermediate under the same root");
    assert!(replica.trusts(&[&old.root.pem()]));

    // Nonsense meanwhile changes nothing.
    let good = std::fs::read(dir.join("ca-key.pem")).unwrap();
    std::fs::write(dir.join("ca-key.pem"), "hello").unwrap();
    a_while().await;
    assert_eq!(replica.signer(), second);
    std::fs::write(dir.join("ca-key.pem"), good).unwrap();

    new.mount(dir, &[&new]);
    a_while().await;
    assert_ne!(replica.signer(), second);
    assert!(replica.trusts(&[&old.root.pem(), &new.root.pem()]));
    std::fs::remove_dir_all(dir).unwrap();
    a_while().await;
    assert!(
        replica.trusts(&[&old.root.pem(), &new.root.pem()]),
        "what is taken away stays in force"
    );
}
