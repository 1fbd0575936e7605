use std::collections::HashMap;

use crate::message::{Query, Reply, Trouble, reply};

use super::*;

/// A server with names, which counts how often it was asked and may be away.
#[derive(Clone, Default)]
struct Zone(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    names: HashMap<&'static str, (Vec<IpAddr>, u32)>,
    away: bool,
    failing: Option<Kind>,
    truncating: bool,
    asked: usize,
}

impl Zone {
    fn with(name: &'static str, ips: &[&str], ttl: u32) -> Self {
        let zone = Self::default();
        zone.set(name, ips, ttl);
        zone
    }

    fn set(&self, name: &'static str, ips: &[&str], ttl: u32) {
        let ips = ips.iter().map(|ip| ip.parse().unwrap()).collect();
        self.0.lock().names.insert(name, (ips, ttl));
    }

    /// How many pairs of questions came.
    fn asked(&self) -> usize {
        self.0.lock().asked / 2
    }
}

impl Ask for Zone {
    async fn ask(&self, question: Vec<u8>, transport: Transport) -> Result<Vec<u8>, AskError> {
        // Others get their turn, as with a real server.
        tokio::task::yield_now().await;
        let mut state = self.0.lock();
        state.asked += 1;
        if state.away {
            return Err(AskError::TimedOut);
        }
        let query = Query::read(&question).unwrap();
        if state.failing == Some(query.kind()) {
            return Ok(reply(&query, &Reply::Trouble(Trouble::Failure), 512));
        }
        let name = query.name().unwrap();
        let (addresses, ttl) = state.names.get(name.as_str()).cloned().unwrap_or_default();
        let limit = match (state.truncating, transport) {
            (true, Transport::Udp) => 60,
            _ => 65_535,
        };
        let answer = Reply::Addresses {
            alias: None,
            addresses: &addresses,
            ttl,
        };
        Ok(reply(&query, &answer, limit))
    }
}

fn resolver(zone: &Zone) -> Resolver<Zone> {
    Resolver::new(zone.clone(), ResolverOptions::default())
}

async fn ask(resolver: &Resolver<Zone>, name: &str) -> Result<Vec<String>, ResolveError> {
    let found = resolver.resolve(&Strng::from(name)).await;
    found.map(|ips| ips.iter().map(ToString::to_string).collect())
}

async fn pass(seconds: u64) {
    tokio::time::advance(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn both_families_are_found_and_kept_for_their_time() {
    let zone = Zone::with("a.example", &["192.0.2.1", "2001:db8::1"], 60);
    let resolver = resolver(&zone);
    let expected = Ok(vec!["192.0.2.1".to_owned(), "2001:db8::1".to_owned()]);
    assert_eq!(ask(&resolver, "a.example").await, expected);
    pass(59).await;
    assert_eq!(ask(&resolver, "a.example").await, expected);
    assert_eq!(zone.asked(), 1);
    zone.set("a.example", &["192.0.2.2"], 60);
    pass(1).await;
    assert_eq!(
        ask(&resolver, "a.example").await,
        Ok(vec!["192.0.2.2".to_owned()])
    );
    assert_eq!(zone.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_address_is_its_own_name() {
    let zone = Zone::default();
    let resolver = resolver(&zone);
    assert_eq!(
        ask(&resolver, "192.0.2.9").await,
        Ok(vec!["192.0.2.9".to_owned()])
    );
    assert_eq!(ask(&resolver, "fd00::9").await, Ok(vec!["fd00::9".to_owned()]));
    assert_eq!(zone.asked(), 0);
}

#[tokio::test(start_paused = true)]
async fn many_who_want_one_name_ask_once() {
    let zone = Zone::with("a.example", &["192.0.2.1"], 60);
    let resolver = resolver(&zone);
    let (a, b, c) = tokio::join!(
        ask(&resolver, "a.example"),
        ask(&resolver, "a.example"),
        ask(&resolver, "a.example")
    );
    assert!(a.is_ok() && a == b && b == c);
    assert_eq!(zone.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_gives_up_leaves_the_asking_to_the_next() {
    let zone = Zone::with("a.example", &["192.0.2.1"], 60);
    let resolver = resolver(&zone);
    let name = Strng::from("a.example");
    {
        let mut first = std::pin::pin!(resolver.resolve(&name));
        // It asks, and is dropped while it waits.
        let polled = std::future::poll_fn(|cx| std::task::Poll::Ready(first.as_mut().poll(cx).is_pending()));
        assert!(polled.await);
    }
    assert!(ask(&resolver, "a.example").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_no_is_remembered_and_asked_about_again() {
    let zone = Zone::default();
    let resolver = resolver(&zone);
    let no = Err(ResolveError::NoAddress("b.example".into()));
    assert_eq!(ask(&resolver, "b.example").await, no);
    pass(1).await;
    assert_eq!(ask(&resolver, "b.example").await, no);
    assert_eq!(zone.asked(), 1);
    zone.set("b.example", &["192.0.2.1"], 60);
    pass(1).await;
    assert!(ask(&resolver, "b.example").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_was_known_stands_in_while_nobody_answers() {
    let zone = Zone::with("a.example", &["192.0.2.1"], 10);
    let resolver = resolver(&zone);
    assert!(ask(&resolver, "a.example").await.is_ok());
    zone.0.lock().away = true;
    pass(600).await;
    assert!(
        ask(&resolver, "a.example").await.is_ok(),
        "stale, but better than nothing"
    );
    pass(3_600).await;
    let failed = ask(&resolver, "a.example").await.unwrap_err();
    assert_eq!(
        failed.to_string(),
        "host name a.example: no DNS server answered in time"
    );
    // That somebody says there is none is another matter.
    zone.0.lock().away = false;
    pass(10).await;
    assert!(ask(&resolver, "a.example").await.is_ok());
    zone.set("a.example", &[], 10);
    pass(10).await;
    assert!(matches!(
        ask(&resolver, "a.example").await,
        Err(ResolveError::NoAddress(_))
    ));
}

#[tokio::test(start_paused = true)]
async fn one_family_that_fails_does_not_spoil_the_other() {
    let zone = Zone::with("a.example", &["192.0.2.1", "2001:db8::1"], 60);
    zone.0.lock().failing = Some(Kind::Aaaa);
    assert_eq!(
        ask(&resolver(&zone), "a.example").await,
        Ok(vec!["192.0.2.1".to_owned()])
    );
    zone.set("v6.example", &["2001:db8::1"], 60);
    let failed = ask(&resolver(&zone), "v6.example").await;
    assert!(matches!(failed, Err(ResolveError::Failed { .. })), "{failed:?}");
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_into_a_datagram_is_asked_for_by_stream() {
    let zone = Zone::with("a.example", &["192.0.2.1", "192.0.2.2", "192.0.2.3"], 60);
    zone.0.lock().truncating = true;
    assert_eq!(ask(&resolver(&zone), "a.example").await.unwrap().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_host_name_is_not_asked_about() {
    let zone = Zone::default();
    let long = "x".repeat(64);
    assert_eq!(
        ask(&resolver(&zone), &long).await,
        Err(ResolveError::InvalidName(long.as_str().into()))
    );
    assert_eq!(zone.asked(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_cache_is_bounded() {
    let zone = Zone::default();
    let options = ResolverOptions {
        capacity: 8,
        ..ResolverOptions::default()
    };
    let resolver = Resolver::new(zone, options);
    for n in 0..100 {
        let _ = ask(&resolver, &format!("n{n}.example")).await;
        assert!(resolver.inner.names.lock().len() <= 8);
    }
}
