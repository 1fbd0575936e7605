use std::cell::RefCell;
use std::rc::Rc;

use super::*;

#[derive(Clone, Default)]
struct Log(Rc<RefCell<Vec<String>>>);

impl KeepCertificates for Log {
    fn warm(&self, identity: &Identity) {
        self.0
            .borrow_mut()
            .push(format!("warm {}", identity.service_account()));
    }

    fn forget(&self, identity: &Identity) {
        self.0
            .borrow_mut()
            .push(format!("forget {}", identity.service_account()));
    }
}

#[test]
fn the_first_warms_and_the_last_forgets() {
    let log = Log::default();
    let mut identities = Identities::new(log.clone());
    let web: Identity = "spiffe://cluster.local/ns/shop/sa/web".parse().unwrap();
    let db: Identity = "spiffe://cluster.local/ns/shop/sa/db".parse().unwrap();
    identities.arrive(web.clone());
    identities.arrive(web.clone());
    identities.arrive(db.clone());
    identities.leave(&web);
    identities.leave(&web);
    identities.leave(&web);
    identities.arrive(web);
    identities.leave(&db);
    assert_eq!(
        *log.0.borrow(),
        ["warm web", "warm db", "forget web", "warm web", "forget db"]
    );
}
