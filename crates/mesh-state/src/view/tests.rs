use mesh_model::service::Visibility;

use super::*;
use crate::fixtures::{at, hostname, member, pod, service, with};
use crate::{StateReader, Update, mesh};

fn services(services: impl IntoIterator<Item = Service>) -> StateReader {
    with(services.into_iter().map(Update::Service)).1
}

fn namespace_at(reader: &StateReader, ip: &str, client_namespace: &str) -> Option<String> {
    reader.query(|view| {
        let service = view.service_by_address(&at(ip), client_namespace);
        service.map(|s| s.hostname.namespace.to_string())
    })
}

fn canonical(service: Service) -> Service {
    Service {
        canonical: true,
        ..service
    }
}

fn hidden(service: Service) -> Service {
    Service {
        visibility: Visibility::Namespace,
        ..service
    }
}

#[test]
fn of_services_that_share_an_address_the_clients_own_comes_first_then_the_canonical_one() {
    let reader = services([
        service("a/web", "10.96.0.1"),
        canonical(service("b/web", "10.96.0.1")),
        service("c/web", "10.96.0.1"),
    ]);
    assert_eq!(namespace_at(&reader, "10.96.0.1", "c").as_deref(), Some("c"));
    assert_eq!(
        namespace_at(&reader, "10.96.0.1", "elsewhere").as_deref(),
        Some("b")
    );
    let called = |ns: &str| {
        reader.query(|v| {
            v.service_by_hostname("web", ns)
                .unwrap()
                .hostname
                .namespace
                .clone()
        })
    };
    assert_eq!(called("a"), "a");
    assert_eq!(called("elsewhere"), "b");
}

#[test]
fn without_a_canonical_one_the_preferred_namespace_comes_first_then_the_first_name() {
    let all = || ["a/web", "b/web"].map(|name| Update::Service(service(name, "10.96.0.1")));
    let settings = Settings {
        preferred_namespace: Some("b".into()),
    };
    let (mut writer, reader) = mesh(settings);
    writer.apply(all().to_vec());
    assert_eq!(
        namespace_at(&reader, "10.96.0.1", "elsewhere").as_deref(),
        Some("b")
    );
    assert_eq!(
        namespace_at(&with(all()).1, "10.96.0.1", "elsewhere").as_deref(),
        Some("a")
    );
}

#[test]
fn a_hidden_service_is_not_there_for_other_namespaces() {
    let reader = services([
        hidden(canonical(service("a/web", "10.96.0.1"))),
        service("b/web", "10.96.0.1"),
    ]);
    assert_eq!(namespace_at(&reader, "10.96.0.1", "a").as_deref(), Some("a"));
    assert_eq!(
        namespace_at(&reader, "10.96.0.1", "elsewhere").as_deref(),
        Some("b")
    );
    let alone = services([hidden(service("a/web", "10.96.0.1"))]);
    assert_eq!(namespace_at(&alone, "10.96.0.1", "elsewhere"), None);
    let named = alone.query(|v| v.service_by_hostname("web", "elsewhere").is_some());
    assert!(!named);
    assert!(alone.query(|v| v.service_by_name(&hostname("a/web")).is_some()));
}

#[test]
fn an_exact_address_comes_before_any_range_and_a_long_prefix_before_a_short_one() {
    let reader = services([
        service("exact/web", "10.96.0.1"),
        service("narrow/web", "10.96.0.0/24"),
        service("wide/web", "10.96.0.0/16"),
    ]);
    assert_eq!(
        namespace_at(&reader, "10.96.0.1", "wide").as_deref(),
        Some("exact")
    );
    assert_eq!(
        namespace_at(&reader, "10.96.0.2", "elsewhere").as_deref(),
        Some("narrow")
    );
    assert_eq!(
        namespace_at(&reader, "10.96.0.2", "wide").as_deref(),
        Some("wide")
    );
    assert_eq!(
        namespace_at(&reader, "10.96.7.2", "elsewhere").as_deref(),
        Some("wide")
    );
    assert_eq!(namespace_at(&reader, "10.97.0.1", "elsewhere"), None);
}

#[test]
fn an_exact_address_that_is_hidden_gives_way_to_a_range() {
    let reader = services([
        hidden(service("a/web", "10.96.0.1")),
        service("b/web", "10.96.0.0/24"),
    ]);
    assert_eq!(
        namespace_at(&reader, "10.96.0.1", "elsewhere").as_deref(),
        Some("b")
    );
}

#[test]
fn a_workload_comes_before_a_service_at_the_same_address() {
    let (_, reader) = with([
        Update::Workload(pod("a", "10.0.0.1")),
        Update::Service(service("shop/web", "10.0.0.0/24")),
    ]);
    let found = |ip| reader.query(|v| v.destination(&at(ip), "shop"));
    assert!(matches!(found("10.0.0.1"), Some(Destination::Workload(_))));
    assert!(matches!(found("10.0.0.2"), Some(Destination::Service(_))));
    assert_eq!(found("10.1.0.1"), None);
}

#[test]
fn endpoints_are_those_of_the_very_service() {
    let (_, reader) = with([
        Update::Workload(member("a", "10.0.0.1", "shop/web")),
        Update::Service(service("shop/web", "10.96.0.1")),
        Update::Service(service("bank/web", "10.96.0.1")),
    ]);
    reader.query(|view| {
        let count = |name| {
            view.endpoints(view.service_by_name(&hostname(name)).unwrap())
                .len()
        };
        assert_eq!((count("shop/web"), count("bank/web")), (1, 0));
        let workload = view.workload_by_address(&at("10.0.0.1")).unwrap();
        let served: Vec<_> = view
            .services_of(workload)
            .map(|s| s.hostname.to_string())
            .collect();
        assert_eq!(served, ["shop/web"]);
    });
}
