use mesh_register::Redirection;

use super::*;

const PERIOD: Duration = Duration::from_secs(30);

fn name(s: &str) -> NamespacedName {
    s.parse().unwrap()
}

fn place(s: &str) -> Place {
    Place::new(s)
}

fn report(workload: &str, uid: &str, address: &str) -> Report {
    Report {
        workload: name(workload),
        uid: uid.to_owned(),
        addresses: vec![address.parse().unwrap()],
        redirection: Redirection::Enabled,
        network_ready: true,
    }
}

/// `+shop/cart`: set and live; `!shop/cart`: set and expired; `-shop/cart`: removed.
fn said(changes: Vec<LeaseChange>) -> Vec<String> {
    changes
        .into_iter()
        .map(|change| match change {
            LeaseChange::Set(r) if r.live => format!("+{}", r.report.workload),
            LeaseChange::Set(r) => format!("!{}", r.report.workload),
            LeaseChange::Removed(workload) => format!("-{workload}"),
        })
        .collect()
}

struct Fixture {
    leases: Leases,
    start: Instant,
}

impl Fixture {
    fn new() -> Self {
        Self {
            leases: Leases::new(PERIOD),
            start: Instant::now(),
        }
    }

    fn at(&self, seconds: u64) -> Instant {
        self.start + Duration::from_secs(seconds)
    }

    fn report(&mut self, at: u64, on: &str, workload: &str, uid: &str, address: &str) -> Vec<String> {
        let now = self.at(at);
        said(
            self.leases
                .report(&place(on), report(workload, uid, address), now)
                .unwrap(),
        )
    }
}

#[test]
fn an_expired_lease_makes_unhealthy_and_removes_nobody() {
    let mut f = Fixture::new();
    assert_eq!(f.report(0, "a", "shop/cart", "1", "10.0.0.1"), ["+shop/cart"]);
    assert_eq!(f.leases.next_deadline(), Some(f.at(30)));
    assert_eq!(said(f.leases.expire(f.at(29))), [""; 0]);
    assert_eq!(said(f.leases.expire(f.at(30))), ["!shop/cart"]);
    assert_eq!(said(f.leases.expire(f.at(3000))), [""; 0]);
    assert!(f.leases.get(&name("shop/cart")).is_some());
    assert_eq!(said(f.leases.renew(&place("a"), f.at(3001))), ["+shop/cart"]);
}

#[test]
fn a_renewal_keeps_everything_of_its_place_and_nothing_else() {
    let mut f = Fixture::new();
    f.report(0, "a", "shop/cart", "1", "10.0.0.1");
    f.report(0, "a", "shop/web", "2", "10.0.0.2");
    f.report(0, "b", "shop/db", "3", "10.0.1.1");
    assert_eq!(said(f.leases.renew(&place("a"), f.at(20))), [""; 0]);
    assert_eq!(said(f.leases.expire(f.at(30))), ["!shop/db"]);
    assert_eq!(said(f.leases.expire(f.at(50))), ["!shop/cart", "!shop/web"]);
}

#[test]
fn the_same_report_again_is_no_change() {
    let mut f = Fixture::new();
    f.report(0, "a", "shop/cart", "1", "10.0.0.1");
    assert_eq!(f.report(10, "a", "shop/cart", "1", "10.0.0.1"), [""; 0]);
    assert_eq!(
        f.leases.next_deadline(),
        Some(f.at(40)),
        "but it renews the lease"
    );
}

#[test]
fn only_its_own_instance_is_withdrawn() {
    let mut f = Fixture::new();
    f.report(0, "a", "shop/cart", "2", "10.0.0.1");
    let withdrawal = |uid: &str| Withdrawal {
        workload: name("shop/cart"),
        uid: uid.to_owned(),
    };
    assert_eq!(said(f.leases.withdraw(&place("a"), &withdrawal("1"))), [""; 0]);
    assert_eq!(said(f.leases.withdraw(&place("b"), &withdrawal("2"))), [""; 0]);
    assert_eq!(
        said(f.leases.withdraw(&place("a"), &withdrawal("2"))),
        ["-shop/cart"]
    );
    assert_eq!(said(f.leases.expire(f.at(30))), [""; 0]);
    assert_eq!(f.leases.next_deadline(), None);
}

#[test]
fn an_address_has_one_holder() {
    let mut f = Fixture::new();
    f.report(0, "a", "shop/cart", "1", "10.0.0.1");
    assert_eq!(
        f.report(1, "a", "shop/web", "2", "10.0.0.1"),
        ["-shop/cart", "+shop/web"],
        "its own place says that it was reused"
    );
    // Another place may not take it as long as the first is heard of.
    let now = f.at(2);
    let taken = f
        .leases
        .report(&place("b"), report("shop/db", "3", "10.0.0.1"), now);
    let refused = taken.unwrap_err().to_string();
    assert_eq!(
        refused,
        "address 10.0.0.1 belongs to shop/web on a, whose lease is running"
    );
    assert_eq!(said(f.leases.expire(f.at(60))), ["!shop/web"]);
    assert_eq!(
        f.report(61, "b", "shop/db", "3", "10.0.0.1"),
        ["-shop/web", "+shop/db"]
    );
}

#[test]
fn a_workload_that_moves_takes_its_name_along() {
    let mut f = Fixture::new();
    f.report(0, "a", "shop/db-0", "1", "10.0.0.1");
    assert_eq!(f.report(1, "b", "shop/db-0", "2", "10.0.1.1"), ["+shop/db-0"]);
    assert_eq!(f.report(2, "b", "shop/web", "3", "10.0.1.2"), ["+shop/web"]);
    let late = Withdrawal {
        workload: name("shop/db-0"),
        uid: "1".to_owned(),
    };
    assert_eq!(said(f.leases.withdraw(&place("a"), &late)), [""; 0]);
    // The address on the first place is free again.
    assert_eq!(f.report(3, "a", "shop/cart", "4", "10.0.0.1"), ["+shop/cart"]);
}

#[test]
fn a_report_without_an_address_is_refused() {
    let mut f = Fixture::new();
    let mut without = report("shop/cart", "1", "10.0.0.1");
    without.addresses.clear();
    let now = f.at(0);
    assert!(matches!(
        f.leases.report(&place("a"), without, now),
        Err(ReportRefused::NoAddress(_))
    ));
    assert_eq!(f.leases.records().count(), 0);
}

#[test]
fn a_restart_gives_places_a_whole_period_to_come_back() {
    let mut f = Fixture::new();
    f.report(0, "a", "shop/cart", "1", "10.0.0.1");
    f.report(0, "b", "shop/db", "2", "10.0.1.1");
    f.leases.expire(f.at(30));
    f.report(31, "a", "shop/cart", "1", "10.0.0.1");
    let records: Vec<_> = f.leases.records().cloned().collect();
    let written = serde_json::to_string(&records).unwrap();

    let mut later = Leases::new(PERIOD);
    let restored = later.restore(serde_json::from_str(&written).unwrap(), f.at(1000));
    assert_eq!(said(restored), ["+shop/cart", "!shop/db"]);
    assert_eq!(said(later.expire(f.at(1029))), [""; 0]);
    assert_eq!(said(later.expire(f.at(1030))), ["!shop/cart"]);
}
