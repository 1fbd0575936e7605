use super::*;

#[test]
fn servers_are_read_as_resolvers_read_them() {
    for (text, expected) in [
        ("", vec![]),
        ("nameserver 10.96.0.10\n", vec!["10.96.0.10:53"]),
        (
            "# comment\nsearch a b\n  nameserver\tfd00::10  # why\noptions ndots:5\nnameserver 10.0.0.1",
            vec!["[fd00::10]:53", "10.0.0.1:53"],
        ),
        // Each namespace has a loopback of its own.
        (
            "nameserver 127.0.0.53\nnameserver ::1\nnameserver 0.0.0.0\n",
            vec![],
        ),
        (
            "nameserver\nnameserver here\nnameserver fe80::1%eth0\nnameservers 10.0.0.1\n",
            vec![],
        ),
        ("nameserver ::ffff:10.0.0.1\n", vec!["10.0.0.1:53"]),
        (
            "nameserver 10.0.0.1\nnameserver 10.0.0.2\nnameserver 10.0.0.3\nnameserver 10.0.0.4\n",
            vec!["10.0.0.1:53", "10.0.0.2:53", "10.0.0.3:53"],
        ),
    ] {
        let read: Vec<_> = parse(text).iter().map(ToString::to_string).collect();
        assert_eq!(read, expected, "{text:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_file_is_read_again_after_a_while_and_its_loss_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("resolv.conf");
    let conf = ResolvConf::at(&path);
    assert!(conf.servers().is_empty());
    fs::write(&path, "nameserver 10.0.0.1\n").unwrap();
    assert!(conf.servers().is_empty(), "not at each question");
    tokio::time::advance(REREAD).await;
    assert_eq!(conf.servers()[0].to_string(), "10.0.0.1:53");
    fs::remove_file(&path).unwrap();
    tokio::time::advance(REREAD).await;
    assert_eq!(conf.servers()[0].to_string(), "10.0.0.1:53");
}
