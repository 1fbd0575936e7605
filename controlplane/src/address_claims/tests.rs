use super::*;
use crate::config::files::ConfigFiles;
use crate::config::scan::FileName;

#[derive(Default)]
struct Fixture {
    files: ConfigFiles,
    claims: AddressClaims,
}

impl Fixture {
    fn write(&mut self, file: &str, text: &str) {
        self.files.update(&FileName::new(file), text);
        self.claims.apply(&self.files.take_changes());
    }

    fn remove(&mut self, file: &str) {
        self.files.remove(&FileName::new(file));
        self.claims.apply(&self.files.take_changes());
    }

    fn said(&self, place: &str, address: &str) -> String {
        let checked = self.claims.check(&Place::new(place), address.parse().unwrap());
        checked.map_or_else(|e| e.to_string(), |()| "may".to_owned())
    }
}

fn node(ranges: &str) -> String {
    format!("{{apiVersion: v1, kind: Node, metadata: {{name: a}}, spec: {{podCIDRs: [{ranges}]}}}}")
}

fn service(name: &str, addresses: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Service, metadata: {{namespace: shop, name: {name}}}, spec: {{clusterIPs: [{addresses}], ports: [{{port: 80}}]}}}}"
    )
}

#[test]
fn what_no_workload_can_have_is_always_refused() {
    let f = Fixture::default();
    for (address, what) in [
        ("0.0.0.0", "is unspecified"),
        ("::", "is unspecified"),
        ("127.3.2.1", "is a loopback address"),
        ("::1", "is a loopback address"),
        ("169.254.169.254", "is a link-local address"),
        ("fe80::1", "is a link-local address"),
        ("224.0.0.1", "is a multicast or broadcast address"),
        ("ff02::1", "is a multicast or broadcast address"),
        ("255.255.255.255", "is a multicast or broadcast address"),
        ("::ffff:10.0.0.1", "is an IPv4 address written as an IPv6 one"),
    ] {
        let address = address.parse::<IpAddr>().unwrap().to_string();
        assert_eq!(f.said("a", &address), format!("address {address} {what}"));
    }
    assert_eq!(f.said("a", "10.0.0.1"), "may");
}

#[test]
fn a_virtual_address_is_its_services_as_long_as_one_has_it() {
    let mut f = Fixture::default();
    f.write("one.yaml", &service("one", "10.96.0.1, 'fd00::1'"));
    f.write("two.yaml", &service("two", "10.96.0.1"));
    let one = "address 10.96.0.1 is the virtual address of Service shop/one";
    assert_eq!(f.said("a", "10.96.0.1"), one);
    assert_ne!(f.said("a", "fd00::1"), "may");
    f.write("one.yaml", &service("one", "10.96.0.7"));
    assert_eq!(f.said("a", "fd00::1"), "may");
    assert_ne!(f.said("a", "10.96.0.7"), "may");
    assert_eq!(
        f.said("a", "10.96.0.1"),
        "address 10.96.0.1 is the virtual address of Service shop/two"
    );
    f.remove("two.yaml");
    assert_eq!(f.said("a", "10.96.0.1"), "may");
    // None is no address.
    f.write("none.yaml", &service("none", "None"));
    assert_eq!(f.said("a", "10.96.0.1"), "may");
}

#[test]
fn a_node_with_ranges_is_held_to_them_in_both_families() {
    let mut f = Fixture::default();
    assert_eq!(f.said("a", "10.244.2.1"), "may");
    f.write("node.yaml", &node("10.244.1.0/24"));
    assert_eq!(f.said("a", "10.244.1.255"), "may");
    assert_eq!(
        f.said("a", "10.244.2.1"),
        "address 10.244.2.1 is outside of the ranges of node a (spec.podCIDRs: 10.244.1.0/24)"
    );
    assert_ne!(f.said("a", "fd00::5"), "may");
    assert_eq!(f.said("b", "10.244.2.1"), "may");
    f.write("node.yaml", &node("10.244.1.0/24, 'fd00::/64'"));
    assert_eq!(f.said("a", "fd00::5"), "may");
    f.remove("node.yaml");
    assert_eq!(f.said("a", "10.244.2.1"), "may");
}

#[test]
fn the_single_range_of_old_objects_counts() {
    let mut f = Fixture::default();
    f.write(
        "node.yaml",
        "{apiVersion: v1, kind: Node, metadata: {name: a}, spec: {podCIDR: 10.1.0.0/16}}",
    );
    assert_eq!(f.said("a", "10.1.2.3"), "may");
    assert_ne!(f.said("a", "10.2.2.3"), "may");
}
