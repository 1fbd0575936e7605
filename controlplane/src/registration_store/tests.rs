use std::time::Duration;

use mesh_register::{Redirection, Report};
use tokio::time::Instant;

use super::*;

fn report(workload: &str, address: &str) -> Report {
    Report {
        workload: workload.parse().unwrap(),
        uid: "1".to_owned(),
        addresses: vec![address.parse().unwrap()],
        redirection: Redirection::Enabled,
        network_ready: true,
    }
}

#[test]
fn what_is_written_comes_back_and_what_is_gone_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (Place::new("a"), Place::new("b"));
    let both = BTreeSet::from([a.clone(), b.clone()]);
    let mut leases = Leases::new(Duration::from_secs(30));
    leases
        .report(&a, report("shop/cart", "10.0.0.1"), Instant::now())
        .unwrap();
    leases
        .report(&b, report("shop/db", "10.0.1.1"), Instant::now())
        .unwrap();
    let store = RegistrationStore::open(dir.path()).unwrap();
    store.write(&PlaceRecords::of(&leases, &both)).unwrap();
    let mut loaded = RegistrationStore::open(dir.path()).unwrap().load().unwrap();
    loaded.sort_by(|x, y| x.place.cmp(&y.place));
    assert_eq!(loaded, leases.records().cloned().collect::<Vec<_>>());

    leases.forget(&"shop/cart".parse().unwrap());
    store.write(&PlaceRecords::of(&leases, &both)).unwrap();
    assert_eq!(store.load().unwrap().len(), 1);
    assert_eq!(fs::read_dir(dir.path().join(DIRECTORY)).unwrap().count(), 1);
}

#[test]
fn a_broken_file_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let store = RegistrationStore::open(dir.path()).unwrap();
    fs::write(dir.path().join("registrations/x.json"), "{").unwrap();
    let error = store.load().unwrap_err().to_string();
    assert!(error.contains("registrations/x.json"), "{error}");
}
