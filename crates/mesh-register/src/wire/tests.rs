use super::*;

fn report() -> Report {
    Report {
        workload: NamespacedName::new("default", "web-0"),
        uid: "2f3e".to_owned(),
        addresses: vec!["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()],
        redirection: Redirection::Enabled,
        network_ready: true,
    }
}

#[test]
fn requests_come_back_as_they_were_sent() {
    let withdrawal = Withdrawal {
        workload: NamespacedName::new("default", "web-0"),
        uid: "2f3e".to_owned(),
    };
    let hello = Hello {
        instance: "i".to_owned(),
        version: String::new(),
    };
    for request in [
        Request::Hello(hello),
        Request::Report(7, Ok(report())),
        Request::Withdraw(8, Ok(withdrawal)),
        Request::Renew,
    ] {
        let wire = wire::RegisterRequest::from(request.clone());
        assert_eq!(Request::try_from(wire), Ok(request));
    }
}

#[test]
fn responses_come_back_as_they_were_sent() {
    let assignment = Assignment {
        workload: NamespacedName::new("default", "web-0"),
        service_account: "web".into(),
        membership: Membership::Member,
        options: Options {
            bypass_inbound_capture: true,
            dns_capture: Some(false),
            reroute_virtual_interfaces: vec!["net1".to_owned()],
        },
    };
    for response in [
        Response::Welcome {
            lease_seconds: 30,
            place: "n1".to_owned(),
        },
        Response::Assign(Ok(assignment)),
        Response::Unassign(NamespacedName::new("default", "web-0")),
        Response::SnapshotComplete,
        Response::Ack(1, Outcome::Accepted),
        Response::Ack(2, Outcome::NotAssigned),
        Response::Ack(3, Outcome::Invalid("report.uid: is empty".to_owned())),
        Response::Ack(4, Outcome::Unavailable("loading".to_owned())),
    ] {
        let wire = wire::RegisterResponse::from(response.clone());
        assert_eq!(Response::try_from(wire), Ok(response));
    }
}

#[test]
fn a_malformed_report_names_its_field() {
    let broken = |change: fn(&mut wire::Report)| {
        let mut message = encode_report(7, report());
        change(&mut message);
        decode_report(message).unwrap_err().to_string()
    };
    assert_eq!(broken(|r| r.workload = None), "report.workload: is missing");
    assert!(
        broken(|r| r.workload.as_mut().unwrap().name = "a/b".to_owned())
            .starts_with("report.workload.name: ")
    );
    assert_eq!(broken(|r| r.uid.clear()), "report.uid: is empty");
    assert_eq!(
        broken(|r| r.addresses[1] = Bytes::from_static(b"12345")),
        "report.addresses[1]: is neither 4 nor 16 bytes long"
    );
    assert!(
        broken(|r| r.addresses[0] = Bytes::from_static(&[127, 0, 0, 1])).starts_with("report.addresses[0]: ")
    );
    assert_eq!(
        broken(|r| r.redirection = 9),
        "report.redirection: is no value of the enumeration"
    );
    assert_eq!(
        broken(|r| r.addresses = vec![Bytes::from_static(&[1, 1, 1, 1]); 17]),
        "report.addresses: are more than 16"
    );
}

#[test]
fn an_interface_name_that_could_reach_a_rule_is_refused() {
    for bad in ["", "eth0; drop", "a/b", "sixteen-bytes-xx", "..", "a b"] {
        assert!(!is_interface(bad), "{bad}");
    }
    assert!(is_interface("net1"));
}

#[test]
fn messages_without_payload_are_refused() {
    let empty = wire::RegisterRequest { payload: None };
    assert_eq!(Request::try_from(empty).unwrap_err().field, "payload");
    let empty = wire::RegisterResponse { payload: None };
    assert_eq!(Response::try_from(empty).unwrap_err().field, "payload");
}
