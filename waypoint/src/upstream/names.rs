//! Host names to addresses, for all workers: resolved in the background, again whenever DNS says that it is time.

use std::collections::HashMap;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use mesh_dns::resolv_conf::ResolvConf;
use mesh_dns::resolver::FromHere;
use mesh_dns::{Link, ResolveError, Resolver, ResolverOptions, Servers};
use mesh_runtime::supervise::Tasks;
use mesh_types::Strng;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

/// Finds the addresses of a host.
pub trait Resolve: Send + Sync {
    /// Looks a host up; cheap as long as the last answer holds.
    fn resolve(&self, host: Strng) -> Resolving<'_>;
}

/// A host that is being looked up.
pub type Resolving<'a> = Pin<Box<dyn Future<Output = Result<Arc<[IpAddr]>, ResolveError>> + Send + 'a>>;

impl Resolve for Resolver {
    fn resolve(&self, host: Strng) -> Resolving<'_> {
        Box::pin(async move { Self::resolve(self, &host).await })
    }
}

/// Names and what is known of them. Clones are the same.
#[derive(Clone)]
pub(super) struct Names {
    inner: Arc<Inner>,
}

struct Inner {
    resolver: Arc<dyn Resolve>,
    known: Mutex<HashMap<Strng, Known>>,
    changed: watch::Sender<u64>,
}

#[derive(Debug)]
struct Known {
    /// Absent before the first answer; empty when there is no address.
    addresses: Option<Arc<[IpAddr]>>,
    /// When somebody asked last.
    asked: Instant,
}

impl Names {
    /// As the machine's servers say.
    pub(super) fn of_the_machine() -> Self {
        let ask = FromHere {
            servers: Servers::new(ResolvConf::at(RESOLV_CONF)),
            link: Link::default(),
        };
        Self::of(Arc::new(Resolver::new(ask, ResolverOptions::default())))
    }

    /// As somebody says.
    pub(super) fn of(resolver: Arc<dyn Resolve>) -> Self {
        let (changed, _) = watch::channel(0);
        Self {
            inner: Arc::new(Inner {
                resolver,
                known: Mutex::default(),
                changed,
            }),
        }
    }

    /// Tells when any name has other addresses.
    pub(super) fn changed(&self) -> watch::Receiver<u64> {
        self.inner.changed.subscribe()
    }

    /// The addresses of a host; nothing until they are known. Whoever asks first has them looked up.
    pub(super) fn addresses(&self, host: &Strng, tasks: &Tasks) -> Option<Arc<[IpAddr]>> {
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Some(Arc::from([ip]));
        }
        let mut known = self.inner.known.lock();
        if let Some(known) = known.get_mut(host) {
            known.asked = Instant::now();
            return known.addresses.clone();
        }
        let asked = Instant::now();
        known.insert(
            host.clone(),
            Known {
                addresses: None,
                asked,
            },
        );
        drop(known);
        let follow = self.clone().follow(host.clone());
        tasks.spawn_local(format!("addresses of {host}"), follow);
        None
    }

    /// Somebody still needs these.
    pub(super) fn keep(&self, hosts: &[Strng]) {
        let mut known = self.inner.known.lock();
        for host in hosts {
            if let Some(known) = known.get_mut(host) {
                known.asked = Instant::now();
            }
        }
    }

    /// Resolves a name as long as somebody asks for it. The resolver keeps answers for as long as they say, so that
    /// looking often costs nothing.
    async fn follow(self, host: Strng) {
        loop {
            let found = self.inner.resolver.resolve(host.clone()).await;
            {
                let mut all = self.inner.known.lock();
                let Some(known) = all.get_mut(&host) else { return };
                let addresses = match found {
                    Ok(addresses) => addresses,
                    Err(error) => {
                        tracing::debug!(%host, %error, "a destination has no address");
                        // While nobody answers, what was known is better than nothing.
                        let last = known.addresses.clone();
                        let silent = matches!(error, ResolveError::Failed { .. });
                        last.filter(|_| silent).unwrap_or_else(|| Arc::from([]))
                    }
                };
                if known.asked.elapsed() > UNUSED {
                    all.remove(&host);
                    return;
                }
                let same = known
                    .addresses
                    .as_deref()
                    .is_some_and(|old| same_set(old, &addresses));
                if !same {
                    known.addresses = Some(addresses);
                    self.inner.changed.send_modify(|changes| *changes += 1);
                }
            }
            sleep(LOOK_AGAIN).await;
        }
    }
}

/// Servers give the same addresses in another order each time.
fn same_set(a: &[IpAddr], b: &[IpAddr]) -> bool {
    a.len() == b.len() && a.iter().all(|ip| b.contains(ip))
}

const RESOLV_CONF: &str = "/etc/resolv.conf";
/// How soon a change is seen once the last answer is over.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// A name that nobody asks for is forgotten. Destinations say every few seconds that they need theirs.
const UNUSED: Duration = Duration::from_secs(60);
