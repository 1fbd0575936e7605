use std::path::Path;
use std::time::Duration;

use mesh_types::NamespacedName;

use super::*;
use crate::model::{Assignment, Membership, Options, Outcome, Redirection, Report, Withdrawal};
use crate::settled::Standing;

#[test]
fn the_corpus_and_its_mutations() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/streams");
    let corpus = mesh_types::fuzzing::corpus(&dir);
    for input in mesh_types::fuzzing::mutations(&corpus, 2, 20_000) {
        fuzz(&input);
    }
}

/// The corpus is what a real exchange looks like; it is written anew with `LATEEN_UPDATE=1`.
#[test]
fn the_corpus_is_a_real_exchange() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/streams");
    for (name, content) in [
        ("requests", requests()),
        ("responses", responses()),
        ("settled", settlements()),
    ] {
        let path = dir.join(name);
        if std::env::var_os("LATEEN_UPDATE").is_some() {
            std::fs::write(&path, &content).unwrap();
        }
        assert_eq!(std::fs::read(&path).unwrap(), content, "{name}");
    }
}

fn workload() -> NamespacedName {
    NamespacedName::new("default", "web-0")
}

/// A question and its answer.
fn settlements() -> Vec<u8> {
    let question = Question {
        workload: workload(),
        addresses: vec!["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()],
        wait: Duration::from_secs(10),
    };
    let answer = Answer {
        instance: "istiod-1_7".to_owned(),
        standing: Standing {
            behind: 1,
            silent: 1,
            proxies: 3,
            acknowledged: 2,
            missing: vec!["ztunnel-a.istio-system".to_owned()],
        },
    };
    let (question, answer) = (
        told::AwaitPlainRequest::from(&question).encode_to_vec(),
        told::AwaitPlainResponse::from(answer).encode_to_vec(),
    );
    join([question, answer].into_iter())
}

fn requests() -> Vec<u8> {
    let hello = Hello {
        instance: "6b1f".to_owned(),
        version: "0.1.0".to_owned(),
    };
    let report = Report {
        workload: workload(),
        uid: "2f3e".to_owned(),
        addresses: vec!["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()],
        redirection: Redirection::Enabled,
        network_ready: true,
    };
    let withdrawal = Withdrawal {
        workload: workload(),
        uid: "2f3e".to_owned(),
    };
    let messages = [
        Request::Hello(hello),
        Request::Report(1, Ok(report)),
        Request::Renew,
        Request::Withdraw(2, Ok(withdrawal)),
    ];
    join(
        messages
            .into_iter()
            .map(|m| wire::RegisterRequest::from(m).encode_to_vec()),
    )
}

fn responses() -> Vec<u8> {
    let assignment = Assignment {
        workload: workload(),
        service_account: "web".into(),
        membership: Membership::Member,
        options: Options {
            bypass_inbound_capture: true,
            dns_capture: Some(true),
            reroute_virtual_interfaces: vec!["net1".to_owned()],
        },
    };
    let messages = [
        Response::Welcome {
            lease_seconds: 30,
            place: "n1".to_owned(),
        },
        Response::Assign(Ok(assignment)),
        Response::SnapshotComplete,
        Response::Ack(1, Outcome::Accepted),
        Response::Ack(2, Outcome::Invalid("report.uid: is empty".to_owned())),
        Response::Unassign(workload()),
    ];
    join(
        messages
            .into_iter()
            .map(|m| wire::RegisterResponse::from(m).encode_to_vec()),
    )
}

fn join(messages: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut joined = Vec::new();
    for message in messages {
        joined.extend_from_slice(&(message.len() as u16).to_le_bytes());
        joined.extend_from_slice(&message);
    }
    joined
}
