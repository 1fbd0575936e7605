use super::*;
use controlplane_k8s_api::Metadata;

/// An allocator, and what every entry was told last.
#[derive(Default)]
struct Mesh {
    allocator: Allocator,
    told: BTreeMap<String, Vec<(Strng, IpAddr)>>,
}

fn name(entry: &str) -> NamespacedName {
    entry.parse().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn wants(entry: &str, hosts: &[&str]) -> Wanted {
    let name = name(entry);
    Wanted {
        hosts: hosts.iter().map(|h| Strng::from(*h)).collect(),
        recorded: Vec::new(),
        claimed: Vec::new(),
        age: Age::of(&Metadata {
            name: name.name,
            namespace: name.namespace,
            ..Metadata::default()
        }),
    }
}

fn recorded(entry: &str, host: &str, address: &str) -> Wanted {
    Wanted {
        recorded: vec![(host.into(), ip(address))],
        ..wants(entry, &[host])
    }
}

fn claims(entry: &str, range: &str) -> Wanted {
    Wanted {
        claimed: vec![range.parse().unwrap()],
        ..wants(entry, &[])
    }
}

impl Mesh {
    fn set(&mut self, entry: &str, wanted: Option<Wanted>) {
        self.allocator.set(&name(entry), wanted);
        self.settle();
    }

    fn settle(&mut self) {
        for (entry, addresses) in self.allocator.settle() {
            match addresses {
                Some(addresses) => drop(self.told.insert(entry.to_string(), addresses)),
                None => drop(self.told.remove(&entry.to_string())),
            }
        }
    }

    fn of(&self, entry: &str) -> Vec<IpAddr> {
        let told = self.told.get(entry);
        told.into_iter().flatten().map(|(_, ip)| *ip).collect()
    }
}

/// The host's address when nobody is in the way.
fn usual(entry: &str, host: &str) -> Vec<IpAddr> {
    let mut mesh = Mesh::default();
    mesh.set(entry, Some(wants(entry, &[host])));
    mesh.of(entry)
}

#[test]
fn each_host_gets_one_address_of_each_family_within_the_ranges() {
    let addresses = usual("shop/a", "a.example.com");
    let v4: IpNet = "240.240.0.0/16".parse().unwrap();
    let v6: IpNet = "2001:2::/48".parse().unwrap();
    assert_eq!(addresses.len(), 2);
    assert!(
        v4.contains(&addresses[0]) && v6.contains(&addresses[1]),
        "{addresses:?}"
    );
}

/// Clients, other replicas and other clusters rely on them.
#[test]
fn addresses_never_change_from_version_to_version() {
    assert_eq!(
        usual("shop/a", "a.example.com"),
        [ip("240.240.174.59"), ip("2001:2:0:1:b93e:7cc9:1858:c066")]
    );
}

#[test]
fn other_hosts_change_nothing_whatever_the_order() {
    let hosts: Vec<String> = (0..300).map(|i| format!("h{i}.example.com")).collect();
    let names: Vec<&str> = hosts.iter().map(String::as_str).collect();
    let mut forwards = Mesh::default();
    for host in &names {
        let entry = format!("shop/{host}");
        forwards.set(&entry, Some(wants(&entry, &[host])));
    }
    let mut all: Vec<IpAddr> = names
        .iter()
        .flat_map(|h| forwards.of(&format!("shop/{h}")))
        .collect();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 600, "no two have one address");
    let moved = names
        .iter()
        .filter(|h| forwards.of(&format!("shop/{h}")) != usual("shop/x", h));
    assert!(moved.count() <= 3, "only where two hashes meet");
}

#[test]
fn two_hosts_of_one_hash_get_neighbours_and_keep_them() {
    let first = usual("shop/a", "a.example.com");
    let mut mesh = Mesh::default();
    // Somebody else's status has the address that the hash gives.
    mesh.set(
        "shop/z",
        Some(recorded("shop/z", "z.example.com", &first[0].to_string())),
    );
    mesh.set("shop/a", Some(wants("shop/a", &["a.example.com"])));
    let next = mesh.of("shop/a");
    assert_ne!(next[0], first[0]);
    assert_eq!(next[1], first[1]);
    mesh.set("shop/z", None);
    mesh.set("shop/b", Some(wants("shop/b", &["b.example.com"])));
    assert_eq!(mesh.of("shop/a"), next, "what it has it keeps");
}

#[test]
fn entries_of_one_host_share_its_address_and_namespaces_do_not() {
    let mut mesh = Mesh::default();
    for entry in ["shop/a", "shop/b", "bank/a"] {
        mesh.set(entry, Some(wants(entry, &["a.example.com", "a.example.com"])));
    }
    assert_eq!(mesh.of("shop/a"), mesh.of("shop/b"));
    assert_ne!(mesh.of("shop/a"), mesh.of("bank/a"));
}

#[test]
fn what_a_status_records_counts_more_than_the_hash() {
    let mut mesh = Mesh::default();
    mesh.set("shop/a", Some(wants("shop/a", &["a.example.com"])));
    let taken = mesh.of("shop/a")[0];
    mesh.set(
        "shop/b",
        Some(recorded("shop/b", "b.example.com", &taken.to_string())),
    );
    assert_eq!(mesh.of("shop/b"), [taken]);
    assert!(!mesh.of("shop/a").is_empty() && !mesh.of("shop/a").contains(&taken));
    mesh.set("shop/b", Some(wants("shop/b", &["b.example.com"])));
    assert_eq!(mesh.of("shop/b"), [taken], "also when nobody records it any more");
}

#[test]
fn of_two_records_the_older_one_counts() {
    let mut mesh = Mesh::default();
    let at = |entry: &str, created: &str| Wanted {
        age: Age::of(&Metadata {
            creation_timestamp: Some(created.into()),
            ..Metadata::default()
        }),
        ..recorded(entry, &entry.replace('/', "."), "240.240.0.9")
    };
    mesh.set("shop/young", Some(at("shop/young", "2026-02-01T00:00:00Z")));
    assert_eq!(mesh.of("shop/young"), [ip("240.240.0.9")]);
    mesh.set("shop/old", Some(at("shop/old", "2026-01-01T00:00:00Z")));
    assert_eq!(mesh.of("shop/old"), [ip("240.240.0.9")]);
    assert_eq!(mesh.of("shop/young").len(), 2, "it got others");
    assert!(!mesh.of("shop/young").contains(&ip("240.240.0.9")));
}

#[test]
fn what_somebody_wrote_is_given_to_nobody_else() {
    let mut mesh = Mesh::default();
    mesh.set("shop/a", Some(wants("shop/a", &["a.example.com"])));
    let had = mesh.of("shop/a")[0];
    mesh.set("shop/own", Some(claims("shop/own", &format!("{had}/32"))));
    assert_ne!(mesh.of("shop/a")[0], had);
    mesh.set("shop/all", Some(claims("shop/all", "240.240.0.0/16")));
    assert!(mesh.of("shop/a").iter().all(IpAddr::is_ipv6), "none is left");
    mesh.set("shop/r", Some(recorded("shop/r", "r.example.com", "240.240.0.7")));
    assert!(mesh.of("shop/r").iter().all(IpAddr::is_ipv6), "nor by its status");
}

#[test]
fn a_freed_address_stays_reserved_and_comes_back() {
    let mut mesh = Mesh::default();
    mesh.set("shop/a", Some(wants("shop/a", &["a.example.com"])));
    let had = mesh.of("shop/a");
    mesh.set("shop/a", None);
    assert!(mesh.told.is_empty());
    assert_eq!(mesh.allocator.take_changed(), Some(Vec::new()));
    mesh.set("shop/b", Some(wants("shop/b", &["a.example.com"])));
    assert_eq!(mesh.of("shop/b"), had);
}

#[test]
fn a_restart_gives_everybody_what_they_had() {
    let first = usual("shop/a", "a.example.com");
    let mut mesh = Mesh::default();
    mesh.set(
        "shop/z",
        Some(recorded("shop/z", "z.example.com", &first[0].to_string())),
    );
    mesh.set("shop/a", Some(wants("shop/a", &["a.example.com"])));
    let had = mesh.of("shop/a");
    let kept = mesh.allocator.take_changed().expect("it is all new");
    assert_eq!(mesh.allocator.take_changed(), None);
    let mut restarted = Mesh::default();
    restarted.allocator.restore(kept);
    assert_eq!(restarted.allocator.take_changed(), None);
    restarted.set("shop/a", Some(wants("shop/a", &["a.example.com"])));
    assert_eq!(restarted.of("shop/a"), had);
    let nonsense = vec![(NamespacedHostname::new("shop", "q"), vec![ip("10.0.0.1")])];
    restarted.allocator.restore(nonsense);
    restarted.set("shop/q", Some(wants("shop/q", &["q"])));
    assert_eq!(restarted.of("shop/q").len(), 2);
}
