use super::*;

#[test]
fn parameters_are_set_and_removed() {
    let pairs = |pairs: &[(&str, &str)]| -> Vec<_> {
        let owned = |(a, b): &(&str, &str)| ((*a).to_owned(), (*b).to_owned());
        pairs.iter().map(owned).collect()
    };
    for (uri, set, remove, expected) in [
        ("/a?b=1&c", &[][..], &["b"][..], "/a?c"),
        ("/a?b=1", &[], &["b"], "/a"),
        ("/a", &[("x", "y z&")], &[], "/a?x=y%20z%26"),
        ("/a?x=1&x=2&y", &[("x", "3")], &[], "/a?y&x=3"),
        ("/a?b", &[], &[], "/a?b"),
    ] {
        let mut changed: Uri = uri.parse().unwrap();
        let remove: Vec<_> = remove.iter().map(|name| (*name).to_owned()).collect();
        change_query(&mut changed, &pairs(set), &remove);
        assert_eq!(changed, expected, "{uri}");
    }
}

#[test]
fn what_frames_a_message_stays() {
    let mut headers = HeaderMap::new();
    headers.insert("content-length", "3".parse().unwrap());
    for name in ["content-length", "transfer-encoding", "connection", "x-fine"] {
        let change = HeaderChange::overwrite(name.parse().unwrap(), "9".parse().unwrap());
        change_answer(&mut headers, &change);
    }
    assert_eq!(headers.len(), 2);
    assert_eq!(headers["content-length"], "3");
}
