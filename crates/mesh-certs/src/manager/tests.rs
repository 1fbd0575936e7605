use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::*;
use crate::testing::{TestCa, identity, wall_clock};

const HOUR: Duration = Duration::from_hours(1);

/// An authority whose mood the test sets. Each fetch takes a second.
#[derive(Clone)]
struct Authority(Arc<Inner>);

struct Inner {
    ca: Mutex<TestCa>,
    clock: WallClock,
    life: Mutex<Duration>,
    mood: Mutex<Option<FetchError>>,
    fetches: AtomicUsize,
}

impl FetchCertificate for Authority {
    async fn fetch(&self, identity: &Identity) -> Result<Arc<WorkloadCertificate>, FetchError> {
        self.0.fetches.fetch_add(1, Ordering::Relaxed);
        sleep(Duration::from_secs(1)).await;
        if let Some(error) = self.0.mood.lock().clone() {
            return Err(error);
        }
        let life = *self.0.life.lock();
        Ok(self.0.ca.lock().certificate(identity, self.0.clock.now(), life))
    }
}

impl Authority {
    fn fetches(&self) -> usize {
        self.0.fetches.load(Ordering::Relaxed)
    }

    fn is_down(&self) {
        *self.0.mood.lock() = Some(FetchError::Unavailable("down".to_owned()));
    }

    fn is_back(&self) {
        *self.0.mood.lock() = None;
    }
}

fn start() -> (CertManager, Authority, JoinHandle<Infallible>) {
    let clock = wall_clock();
    let authority = Authority(Arc::new(Inner {
        ca: Mutex::new(TestCa::new()),
        clock: clock.clone(),
        life: Mutex::new(HOUR),
        mood: Mutex::default(),
        fetches: AtomicUsize::new(0),
    }));
    let (manager, driver) = CertManager::new(authority.clone(), clock);
    (manager, authority, tokio::spawn(driver))
}

async fn serial(manager: &CertManager, account: &str) -> Result<String, CertUnavailable> {
    let certificate = manager.get(&identity(account)).await?;
    Ok(certificate.serial().to_owned())
}

#[tokio::test(start_paused = true)]
async fn two_callers_cause_one_fetch() {
    let (manager, authority, _driver) = start();
    let (one, two) = tokio::join!(serial(&manager, "a"), serial(&manager, "a"));
    assert_eq!(one.unwrap(), two.unwrap());
    assert_eq!(authority.fetches(), 1);
    let asked = Instant::now();
    serial(&manager, "a").await.unwrap();
    assert_eq!(asked.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_warmed_identity_is_renewed_at_half_of_its_life() {
    let (manager, authority, _driver) = start();
    manager.warm(&identity("a"));
    sleep(Duration::from_secs(2)).await;
    assert_eq!(authority.fetches(), 1);
    let first = serial(&manager, "a").await.unwrap();
    sleep(HOUR / 2 - Duration::from_secs(2)).await;
    assert_eq!(serial(&manager, "a").await.unwrap(), first);
    sleep(Duration::from_secs(4)).await;
    assert_ne!(serial(&manager, "a").await.unwrap(), first);
    assert_eq!(authority.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn while_the_authority_is_down_the_old_certificate_serves_until_it_expires() {
    let (manager, authority, _driver) = start();
    manager.warm(&identity("a"));
    let first = serial(&manager, "a").await.unwrap();
    authority.is_down();
    sleep(HOUR - Duration::from_secs(10)).await;
    assert!(authority.fetches() > 5);
    assert_eq!(serial(&manager, "a").await.unwrap(), first);
    let snapshot = manager.snapshot().remove(0);
    assert_eq!(snapshot.state, CertState::Available);
    assert_eq!(snapshot.error, Some(FetchError::Unavailable("down".to_owned())));
    sleep(Duration::from_secs(15)).await;
    let refused = serial(&manager, "a").await.unwrap_err();
    assert!(
        matches!(&refused, CertUnavailable::Pending { reason, .. } if reason.contains("down")),
        "{refused}"
    );
    assert_eq!(manager.snapshot()[0].state, CertState::Unavailable);
    // Back again: whoever asks has it within seconds, whatever the backoff was.
    authority.is_back();
    let recovered = async {
        while serial(&manager, "a").await.is_err() {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(Duration::from_secs(7), recovered).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_told_as_one_and_asked_for_again() {
    let (manager, authority, _driver) = start();
    *authority.0.mood.lock() = Some(FetchError::Refused("not on this node".to_owned()));
    let refused = serial(&manager, "a").await.unwrap_err();
    assert!(matches!(&refused, CertUnavailable::Refused { .. }));
    assert!(!refused.is_retryable());
    // During the backoff the answer is at once.
    let asked = Instant::now();
    assert_eq!(serial(&manager, "a").await.unwrap_err(), refused);
    assert_eq!(asked.elapsed(), Duration::ZERO);
    // The authority did not know of the pod yet; a moment later it does.
    manager.warm(&identity("a"));
    authority.is_back();
    sleep(Duration::from_secs(7)).await;
    assert!(serial(&manager, "a").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_certificate_that_arrives_expired_is_no_certificate() {
    let (manager, authority, _driver) = start();
    *authority.0.life.lock() = Duration::ZERO;
    let refused = serial(&manager, "a").await.unwrap_err();
    assert!(
        matches!(&refused, CertUnavailable::Pending { reason, .. } if reason.contains("expired")),
        "{refused}"
    );
    assert!(manager.snapshot()[0].certificate.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_forgotten_identity_is_gone_and_its_waiters_know() {
    let (manager, authority, _driver) = start();
    manager.warm(&identity("a"));
    let waiting = tokio::spawn({
        let manager = manager.clone();
        async move { serial(&manager, "a").await }
    });
    sleep(Duration::from_millis(500)).await;
    manager.forget(&identity("a"));
    assert!(matches!(
        waiting.await.unwrap(),
        Err(CertUnavailable::Unknown { .. })
    ));
    sleep(2 * HOUR).await;
    assert_eq!(authority.fetches(), 1);
    assert!(manager.snapshot().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_was_asked_for_once_is_let_go_at_half_of_its_life() {
    let (manager, authority, _driver) = start();
    serial(&manager, "a").await.unwrap();
    assert_eq!(manager.snapshot().len(), 1);
    sleep(HOUR).await;
    assert!(manager.snapshot().is_empty());
    assert_eq!(authority.fetches(), 1);
    assert!(serial(&manager, "a").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn new_roots_reach_every_identity_within_minutes() {
    let (manager, authority, _driver) = start();
    for account in ["a", "b", "c"] {
        manager.warm(&identity(account));
        serial(&manager, account).await.unwrap();
    }
    *authority.0.ca.lock() = TestCa::new();
    manager.warm(&identity("d"));
    let roots = manager.get(&identity("d")).await.unwrap().roots_pem().to_owned();
    sleep(Duration::from_secs(65)).await;
    for snapshot in manager.snapshot() {
        assert_eq!(
            snapshot.certificate.unwrap().roots_pem(),
            roots,
            "{}",
            snapshot.identity
        );
    }
    assert_eq!(authority.fetches(), 7);
}

#[tokio::test(start_paused = true)]
async fn when_the_driver_stops_waiters_are_told() {
    let (manager, _authority, driver) = start();
    let waiting = tokio::spawn({
        let manager = manager.clone();
        async move { serial(&manager, "a").await }
    });
    sleep(Duration::from_millis(500)).await;
    driver.abort();
    assert_eq!(waiting.await.unwrap(), Err(CertUnavailable::Closed));
    assert_eq!(serial(&manager, "b").await, Err(CertUnavailable::Closed));
}

#[test]
fn the_handle_works_from_other_threads_and_runtimes() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let driving = runtime();
    let (manager, _driver) = driving.block_on(async {
        let (manager, _, driver) = start();
        (manager, driver)
    });
    let (done, mut wait) = tokio::sync::mpsc::channel::<()>(1);
    let threads: Vec<_> = (0..4)
        .map(|n| {
            let (manager, done) = (manager.clone(), done.clone());
            std::thread::spawn(move || {
                let serial = runtime().block_on(serial(&manager, &format!("a{}", n % 2)));
                drop(done);
                serial
            })
        })
        .collect();
    drop(done);
    driving.block_on(async { wait.recv().await });
    let serials: Vec<_> = threads.into_iter().map(|t| t.join().unwrap().unwrap()).collect();
    assert_eq!((&serials[0], &serials[1]), (&serials[2], &serials[3]));
    assert_ne!(serials[0], serials[1]);
}
