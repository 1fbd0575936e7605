use std::time::Duration;

use mesh_state::{Settings, mesh};
use mesh_testkit::objects::{self, identity};
use mesh_testkit::{allow, deny, pod};

use super::*;

fn local(account: &str) -> LocalPod {
    let info = PodInfo {
        name: "web".into(),
        namespace: objects::NAMESPACE.into(),
        service_account: account.into(),
    };
    LocalPod::new(info, objects::CLUSTER, Strng::default())
}

#[test]
fn node_agent_and_configuration_must_agree() {
    let (mut writer, state) = mesh(Settings::default());
    let address: IpAddr = "10.0.0.1".parse().unwrap();
    let found = |pod: &LocalPod| state.query(|view| pod.workload(view, address).cloned());
    assert!(matches!(found(&local("web")), Err(NotInMesh::Unknown { .. })));
    writer.apply(vec![pod("web").at("10.0.0.1").into()]);
    assert_eq!(found(&local("web")).unwrap().identity, identity("shop", "web"));
    assert!(matches!(
        found(&local("admin")),
        Err(NotInMesh::OtherAccount { .. })
    ));
    let known = |pod: &LocalPod| state.query(|view| pod.known_identity(view));
    assert_eq!(known(&local("web")), Some(identity("shop", "web")));
    assert_eq!(known(&local("admin")), None);
}

#[test]
fn an_address_alone_makes_nobody() {
    let (mut writer, state) = mesh(Settings::default());
    writer.apply(vec![
        pod("somebody-else").with_account("web").at("10.0.0.1").into(),
    ]);
    let found = state.query(|view| local("web").workload(view, "10.0.0.1".parse().unwrap()).cloned());
    assert!(matches!(found, Err(NotInMesh::Unknown { .. })));
}

#[test]
fn a_pod_refuses_plaintext_where_a_policy_of_its_own_does_or_is_not_there_yet() {
    let own = [IpAddr::from([127, 0, 0, 1]), IpAddr::from([10, 0, 0, 1])];
    let refuses_as = |account: &str, objects: Vec<mesh_state::Update>| {
        let (mut writer, state) = mesh(Settings::default());
        writer.apply(objects);
        state.query(|view| local(account).refuses_plaintext_at(view, &own))
    };
    let refuses = |objects| refuses_as("web", objects);
    let web = || pod("web").at("10.0.0.1");
    let strict = || deny("strict").by_selector().from_nobody();
    let (all, none) = (Some(PortSet::all()), Some(PortSet::none()));
    assert_eq!(
        refuses(vec![web().selected_by("strict").into(), strict().into()]),
        all
    );
    assert_eq!(
        refuses(vec![web().selected_by("strict").into()]),
        all,
        "not there yet"
    );
    assert_eq!(
        refuses(vec![web().into(), strict().into()]),
        none,
        "another pod's"
    );
    assert_eq!(refuses(vec![web().into()]), none, "PERMISSIVE");
    assert_eq!(
        refuses(vec![web().into(), deny("some").from_account("eve").into()]),
        none
    );
    let by_ports = vec![web().into(), deny("one").to_port(80).into()];
    assert_eq!(
        refuses(by_ports),
        Some(PortSet::Only([80].into())),
        "whoever it is"
    );
    assert_eq!(refuses(vec![web().into(), allow("one").to_port(80).into()]), none);

    assert_eq!(refuses(vec![strict().into()]), None, "nobody is known");
    assert_eq!(
        refuses(vec![pod("other").at("10.0.0.1").into()]),
        None,
        "an address alone is nobody's"
    );
    assert_eq!(
        refuses(vec![pod("web").at("10.0.0.9").into()]),
        none,
        "known by its uid"
    );
    assert_eq!(refuses_as("admin", vec![web().into()]), None, "another account");
}

#[tokio::test(start_paused = true)]
async fn a_connection_waits_for_news_of_its_pod_and_not_for_ever() {
    let (mut writer, state) = mesh(Settings::default());
    let address: IpAddr = "10.0.0.1".parse().unwrap();
    let start = Instant::now();
    let (pod_as_known, reader) = (local("web"), state.clone());
    let late = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        writer.apply(vec![pod("other").at("10.0.0.2").into()]);
        tokio::time::sleep(Duration::from_secs(1)).await;
        writer.apply(vec![pod("web").at("10.0.0.1").into()]);
    };
    let (found, ()) = tokio::join!(pod_as_known.wait_for_workload(&reader, address), late);
    found.unwrap();
    assert_eq!(start.elapsed(), Duration::from_secs(3));

    let (_writer, empty) = mesh(Settings::default());
    let start = Instant::now();
    local("web").wait_for_workload(&empty, address).await.unwrap_err();
    assert_eq!(start.elapsed(), PATIENCE);
}
