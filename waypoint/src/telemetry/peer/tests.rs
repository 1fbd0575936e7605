use mesh_model::Workload;
use mesh_state::{Settings, StateReader, Update, mesh};
use mesh_types::{Peer, WorkloadUid};

use super::*;

fn identity(namespace: &str, account: &str) -> Identity {
    format!("spiffe://cluster.local/ns/{namespace}/sa/{account}")
        .parse()
        .unwrap()
}

fn state() -> StateReader {
    let (mut writer, reader) = mesh(Settings::default());
    let mut workload = Workload::new(WorkloadUid::new("a"), "web-1", identity("shop", "web"));
    workload.addresses = vec!["10.0.0.1".parse().unwrap()];
    workload.workload_name = "web".into();
    workload.canonical_name = "web".into();
    workload.cluster_id = "known".into();
    writer.apply(vec![Update::Workload(workload)]);
    reader
}

fn client(address: &str, identity: Option<Identity>, baggage: Option<Baggage>) -> Client {
    let destination = "10.96.0.1:80".parse().unwrap();
    let plain = Client::plain(Peer::new(address.parse().unwrap()), destination);
    Client {
        identity,
        baggage,
        ..plain
    }
}

fn of(client: &Client) -> Known {
    state().query(|view| known(client, &Strng::default(), view))
}

fn said() -> Baggage {
    Baggage {
        namespace: Some("shop".into()),
        workload: Some((WorkloadKind::Deployment, "web-said".into())),
        service: Some("web".into()),
        cluster: Some("said".into()),
        ..Baggage::default()
    }
}

#[test]
fn what_the_node_says_counts_with_the_certificates_namespace() {
    let known = of(&client("10.0.0.1:1", Some(identity("shop", "web")), Some(said())));
    assert_eq!(known.end.workload.as_deref(), Some("web-said"));
    assert_eq!(known.end.name.as_deref(), Some("web-1"));
    assert_eq!(known.end.cluster.as_deref(), Some("said"));
    assert_eq!(known.end.namespace.as_deref(), Some("shop"));
    assert_eq!(known.end.principal, Some(identity("shop", "web")));
    assert!(!known.may_come);
}

#[test]
fn else_what_the_mesh_knows_of_the_address_if_it_is_the_clients() {
    let known = of(&client("10.0.0.1:1", Some(identity("shop", "web")), None));
    assert_eq!(known.end.workload.as_deref(), Some("web"));
    assert!(!known.may_come);
    let somebody_else = of(&client("10.0.0.1:1", Some(identity("shop", "other")), None));
    assert_eq!(somebody_else.end.workload, None);
    assert_eq!(somebody_else.end.namespace.as_deref(), Some("shop"));
    assert!(somebody_else.may_come);
    let stranger = of(&client("10.0.0.9:1", None, None));
    assert_eq!(stranger.end, End::default());
    assert!(!stranger.may_come);
    let plain = of(&client("10.0.0.1:1", None, None));
    assert_eq!(
        (plain.end.workload.as_deref(), plain.end.principal),
        (Some("web"), None)
    );
}
