use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

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

    fn holds(&self, _: &Identity) -> bool {
        false
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

/// Refuses so many times, then says that certificates are no longer served.
#[derive(Clone)]
struct Refusing(Rc<RefCell<u32>>);

impl CertSource for Refusing {
    async fn get(&self, identity: &Identity) -> Result<Arc<WorkloadCertificate>, CertUnavailable> {
        let mut left = self.0.borrow_mut();
        if *left == 0 {
            return Err(CertUnavailable::Closed);
        }
        *left -= 1;
        Err(CertUnavailable::Refused {
            identity: identity.clone(),
            reason: "not known yet".into(),
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_waits_for_its_certificate_and_not_for_ever() {
    let web: Identity = "spiffe://cluster.local/ns/shop/sa/web".parse().unwrap();
    for (refusals, waited, last) in [
        (3, Duration::from_millis(300), true),
        (u32::MAX, PATIENCE - PAUSE, false),
    ] {
        let start = Instant::now();
        let error = Patient::new(Refusing(Rc::new(RefCell::new(refusals))))
            .get(&web)
            .await
            .unwrap_err();
        assert_eq!(matches!(error, CertUnavailable::Closed), last);
        assert_eq!(start.elapsed(), waited);
    }
}
