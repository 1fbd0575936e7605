use super::*;

#[test]
fn what_was_written_is_read_and_the_first_start_finds_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = AddressStore::new(dir.path());
    assert_eq!(store.load().unwrap(), []);
    let addresses = vec![(
        NamespacedHostname::new("shop", "www.example.com"),
        vec!["240.240.0.1".parse().unwrap(), "2001:2::1".parse().unwrap()],
    )];
    store.write(&addresses).unwrap();
    assert_eq!(store.load().unwrap(), addresses);
    store.write(&Vec::new()).unwrap();
    assert_eq!(store.load().unwrap(), []);
}

#[test]
fn what_cannot_be_read_names_the_file() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(FILE), "[{").unwrap();
    let error = AddressStore::new(dir.path()).load().unwrap_err().to_string();
    assert!(error.contains("addresses.json"), "{error}");
}
