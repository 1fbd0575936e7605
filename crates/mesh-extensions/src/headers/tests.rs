use super::*;

fn change(name: &str, value: &str, action: HeaderAction) -> HeaderChange {
    HeaderChange {
        name: ChangedName::read(name).unwrap(),
        value: value.parse().unwrap(),
        action,
    }
}

const ACTIONS: [HeaderAction; 4] = [
    HeaderAction::Append,
    HeaderAction::AddIfAbsent,
    HeaderAction::Overwrite,
    HeaderAction::OverwriteIfPresent,
];

#[test]
fn changes_survive_the_wire() {
    for action in ACTIONS {
        for name in ["x-user", ":authority", ":path", ":method", ":status", ":scheme"] {
            let change = change(name, "v", action);
            assert_eq!(HeaderChange::from_wire(&change.to_wire()), Ok(change));
        }
    }
    let raw = HeaderChange::overwrite("x".parse().unwrap(), HeaderValue::from_bytes(b"\xff").unwrap());
    assert_eq!(HeaderChange::from_wire(&raw.to_wire()), Ok(raw));
}

#[test]
fn an_action_does_what_it_says() {
    let expected = [
        (HeaderAction::Append, "a,b", "b"),
        (HeaderAction::AddIfAbsent, "a", "b"),
        (HeaderAction::Overwrite, "b", "b"),
        (HeaderAction::OverwriteIfPresent, "b", ""),
    ];
    for (action, present, absent) in expected {
        let change = change("x", "b", action);
        let mut with = HeaderMap::new();
        with.insert("x", "a".parse().unwrap());
        let mut without = HeaderMap::new();
        for (headers, expected) in [(&mut with, present), (&mut without, absent)] {
            assert!(change.apply(headers));
            let values: Vec<_> = headers.get_all("x").iter().map(|v| v.to_str().unwrap()).collect();
            assert_eq!(values.join(","), expected, "{action:?}");
        }
    }
}

#[test]
fn what_is_not_said_replaces() {
    let mut message = change("x", "v", HeaderAction::Overwrite).to_wire();
    message.append_action = 0;
    let read = |message: &pb::HeaderValueOption| HeaderChange::from_wire(message).unwrap().action;
    assert_eq!(read(&message), HeaderAction::Overwrite);
    message.append = Some(BoolValue { value: false });
    assert_eq!(read(&message), HeaderAction::Overwrite);
    message.append = Some(BoolValue { value: true });
    assert_eq!(read(&message), HeaderAction::Append);
}

#[test]
fn what_would_break_a_message_is_refused() {
    for (key, value) in [("a b", "v"), ("", "v"), ("x", "a\r\nb"), ("x\0", "v")] {
        let message = pb::HeaderValueOption {
            header: Some(pb::HeaderValue {
                key: key.to_owned(),
                value: value.to_owned(),
                raw_value: Bytes::new(),
            }),
            ..pb::HeaderValueOption::default()
        };
        assert!(HeaderChange::from_wire(&message).is_err(), "{key:?}: {value:?}");
    }
    assert!(HeaderChange::from_wire(&pb::HeaderValueOption::default()).is_err());
    let many = vec![change("x", "v", HeaderAction::Append).to_wire(); 3];
    assert!(changes(&many, 2).is_err());
}

#[test]
fn hosts_and_pseudo_headers_stay() {
    let names = ["x-a", "Host", ":path"].map(str::to_owned);
    assert_eq!(removals(&names, 9), Ok(vec!["x-a".parse().unwrap()]));
    assert!(removals(&["a b".to_owned()], 9).is_err());
}
