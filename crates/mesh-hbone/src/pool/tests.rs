use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use mesh_net::{DialError, DialOptions, StreamError};
use mesh_tls::ExpectedPeers;
use mesh_types::{NextHop, WorkloadUid};
use tokio::io::DuplexStream;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{Instant, sleep};

use super::{Dialing, Hop, Pool};
use crate::error::{ConnectError, ConnectStep, ResponseFlag};
use crate::server::serve_tls;
use crate::testing::{
    Control, Fixed, Mesh, Running, identity, local, pipe, receive, receive_exactly, request, send,
};
use crate::tunnel::Tunnel;
use crate::{HboneOptions, ReceiveBudget};

/// A client's worker and the far end of whatever it dials.
struct World {
    pool: Pool<Fixed>,
    certs: Fixed,
    mesh: Mesh,
    dialed: Rc<Dialed>,
    tasks: Rc<RefCell<Vec<JoinHandle<()>>>>,
}

#[derive(Default)]
struct Dialed {
    count: Cell<usize>,
    /// Far ends that no server took yet.
    waiting: RefCell<VecDeque<DuplexStream>>,
    arrived: tokio::sync::Notify,
    behaviour: Cell<Behaviour>,
}

#[derive(Clone, Copy, Default)]
enum Behaviour {
    #[default]
    Connects,
    Refuses,
    NeverAnswers,
}

impl World {
    fn new() -> Self {
        Self::with(HboneOptions::default())
    }

    fn with(options: HboneOptions) -> Self {
        let mesh = Mesh::new();
        let certs = Fixed::new(mesh.certificate("client"));
        let dialed: Rc<Dialed> = Rc::default();
        let tasks: Rc<RefCell<Vec<_>>> = Rc::default();
        let (spawned, dialer) = (tasks.clone(), dialed.clone());
        let pool = Pool::with_dialer(
            certs.clone(),
            Rc::new(options),
            ReceiveBudget::default(),
            move |_, task| spawned.borrow_mut().push(spawn_local(task)),
            Box::new(move |hop| dialer.dial(hop)),
        );
        Self {
            pool,
            certs,
            mesh,
            dialed,
            tasks,
        }
    }

    /// The far end of the next connection.
    async fn server(&self) -> Running {
        self.server_with(HboneOptions::default()).await
    }

    async fn server_with(&self, options: HboneOptions) -> Running {
        let far = self.far_end().await;
        let config = self.mesh.certificate("server").server_config();
        let server = serve_tls(far, config, &options, &ReceiveBudget::default()).await;
        Running::new(server.unwrap())
    }

    async fn far_end(&self) -> DuplexStream {
        loop {
            if let Some(far) = self.dialed.waiting.borrow_mut().pop_front() {
                return far;
            }
            self.dialed.arrived.notified().await;
        }
    }

    /// A server, and the first tunnel to it.
    async fn first_tunnel(&self) -> (Running, Tunnel, Tunnel) {
        let hop = hop();
        let asked = request();
        let (near, (server, far)) = tokio::join!(self.pool.tunnel(&hop, &asked), async {
            let server = self.server().await;
            let far = server.accept().await;
            (server, far)
        });
        (server, near.unwrap(), far)
    }

    async fn tunnel_to(&self, server: &Running) -> (Tunnel, Tunnel) {
        let (hop, asked) = (hop(), request());
        let (near, far) = tokio::join!(self.pool.tunnel(&hop, &asked), server.accept());
        (near.unwrap(), far)
    }

    /// A request that somebody else makes.
    fn ask(&self) -> JoinHandle<Result<Tunnel, ConnectError>> {
        let pool = self.pool.clone();
        spawn_local(async move { pool.tunnel(&hop(), &request()).await })
    }

    fn dials(&self) -> usize {
        self.dialed.count.get()
    }
}

impl Dialed {
    fn dial(self: &Rc<Self>, hop: &Hop) -> Dialing {
        let (this, to) = (self.clone(), hop.next);
        Box::pin(async move {
            this.count.set(this.count.get() + 1);
            match this.behaviour.get() {
                Behaviour::Refuses => return Err(DialError::Refused { to }),
                Behaviour::NeverAnswers => std::future::pending().await,
                Behaviour::Connects => {}
            }
            let (near, far) = pipe();
            this.waiting.borrow_mut().push_back(far);
            this.arrived.notify_one();
            Ok(super::Dialed {
                transport: Box::new(near),
                local: None,
            })
        })
    }
}

fn hop() -> Hop {
    Hop {
        next: NextHop::new("10.0.0.9:15008".parse().unwrap()),
        netns: None,
        dial: DialOptions::default(),
        source: identity("client"),
        source_ip: "10.0.0.2".parse().unwrap(),
        expected: ExpectedPeers::one(&identity("server")),
        instance: WorkloadUid::of_pod("Kubernetes", "default", "server-1"),
    }
}

#[tokio::test(start_paused = true)]
async fn tunnels_to_one_peer_share_a_connection() {
    local(async {
        let world = World::new();
        let (server, mut near, mut far) = world.first_tunnel().await;
        let (mut near_2, mut far_2) = world.tunnel_to(&server).await;
        send(&mut near, "one").await.unwrap();
        send(&mut near_2, "two").await.unwrap();
        assert_eq!(receive_exactly(&mut far, 3).await, b"one");
        assert_eq!(receive_exactly(&mut far_2, 3).await, b"two");
        assert_eq!((world.dials(), world.pool.connections()), (1, 1));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_must_not_share_a_connection_does_not() {
    local(async {
        let world = World::new();
        let (_server, _near, _far) = world.first_tunnel().await;
        let others = [
            Hop {
                next: NextHop::new("10.0.0.10:15008".parse().unwrap()),
                ..hop()
            },
            Hop {
                source_ip: "10.0.0.3".parse().unwrap(),
                ..hop()
            },
            Hop {
                instance: WorkloadUid::of_pod("Kubernetes", "default", "server-2"),
                ..hop()
            },
            Hop {
                expected: ExpectedPeers::identity_or(&identity("server"), ["spiffe://x/y"]),
                ..hop()
            },
        ];
        for (i, other) in others.iter().enumerate() {
            let asked = request();
            let (near, _far) = tokio::join!(world.pool.tunnel(other, &asked), async {
                world.server().await.accept().await
            });
            near.unwrap();
            assert_eq!(world.dials(), 2 + i);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn concurrent_callers_wait_for_one_dial() {
    local(async {
        let world = World::new();
        let asked: Vec<_> = (0..20).map(|_| world.ask()).collect();
        let server = world.server().await;
        let mut far = Vec::new();
        for _ in 0..20 {
            far.push(server.accept().await);
        }
        for ask in asked {
            ask.await.unwrap().unwrap();
        }
        assert_eq!(world.dials(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_gives_up_does_not_spoil_the_dial_for_the_others() {
    local(async {
        let world = World::new();
        let (first, second) = (world.ask(), world.ask());
        let far = world.far_end().await;
        // The one that began to dial leaves.
        first.abort();
        assert!(first.await.is_err());
        let config = world.mesh.certificate("server").server_config();
        let server = serve_tls(far, config, &HboneOptions::default(), &ReceiveBudget::default()).await;
        let server = Running::new(server.unwrap());
        let _far = server.accept().await;
        second.await.unwrap().unwrap();
        assert_eq!(world.dials(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_dial_fails_all_who_waited_and_nobody_after() {
    local(async {
        let world = World::new();
        world.dialed.behaviour.set(Behaviour::Refuses);
        let asked: Vec<_> = (0..5).map(|_| world.ask()).collect();
        for ask in asked {
            let error = ask.await.unwrap().err().expect("refused");
            assert!(matches!(error, ConnectError::Dial(_)), "{error}");
            assert!(error.is_retryable());
            assert_eq!(error.flag(), ResponseFlag::ConnectFailure);
        }
        assert_eq!(world.dials(), 1);
        world.dialed.behaviour.set(Behaviour::Connects);
        world.first_tunnel().await;
        assert_eq!(world.dials(), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn nobody_answering_within_ten_seconds_looks_like_a_network_policy() {
    local(async {
        let world = World::new();
        world.dialed.behaviour.set(Behaviour::NeverAnswers);
        let start = Instant::now();
        let error = world.ask().await.unwrap().err().expect("no answer");
        assert!(
            matches!(
                error,
                ConnectError::TimedOut {
                    step: ConnectStep::Dial
                }
            ),
            "{error}"
        );
        assert_eq!(error.flag(), ResponseFlag::NetworkPolicy);
        assert_eq!(start.elapsed().as_secs(), 10);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn no_certificate_no_dial() {
    local(async {
        let world = World::new();
        let stranger = Hop {
            source: identity("stranger"),
            ..hop()
        };
        let error = world
            .pool
            .tunnel(&stranger, &request())
            .await
            .err()
            .expect("no certificate");
        assert!(matches!(error, ConnectError::Certificate(_)), "{error}");
        assert_eq!(error.flag(), ResponseFlag::IdentityError);
        assert_eq!(world.dials(), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_a_peer_allows_is_respected() {
    local(async {
        let world = World::new();
        let few = HboneOptions {
            max_streams_served: 2,
            ..HboneOptions::default()
        };
        let mut open = Vec::new();
        let first = world.ask();
        let server = world.server_with(few.clone()).await;
        open.push(server.accept().await);
        open.push(world_tunnel(first).await);
        let second = world.ask();
        open.push(server.accept().await);
        open.push(world_tunnel(second).await);
        assert_eq!(world.dials(), 1);
        // The third finds the first connection full.
        let third = world.ask();
        let other = world.server_with(few).await;
        open.push(other.accept().await);
        open.push(world_tunnel(third).await);
        assert_eq!(world.dials(), 2);
        // When a stream ends its connection serves again.
        open.clear();
        sleep(Duration::from_secs(1)).await;
        let (_near, _far) = world.tunnel_to(&server).await;
        assert_eq!(world.dials(), 2);
    })
    .await;
}

async fn world_tunnel(ask: JoinHandle<Result<Tunnel, ConnectError>>) -> Tunnel {
    ask.await.unwrap().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_died_unnoticed_is_replaced_and_the_caller_sees_nothing() {
    local(async {
        let world = World::new();
        let (server, near, far) = world.first_tunnel().await;
        drop((near, far));
        server.task.abort();
        let (_server, mut near, mut far) = world.first_tunnel().await;
        send(&mut near, "as if nothing happened").await.unwrap();
        assert_eq!(receive_exactly(&mut far, 22).await.len(), 22);
        assert_eq!(world.dials(), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_dies_with_the_request_under_way_is_replaced() {
    local(async {
        let world = World::new();
        let (server, _near, _far) = world.first_tunnel().await;
        let asked = world.ask();
        let _unanswered = server.incoming().await;
        server.task.abort();
        let again = world.server().await;
        let _far = again.accept().await;
        asked.await.unwrap().unwrap();
        assert_eq!(world.dials(), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_always_hangs_up_is_not_tried_forever() {
    local(async {
        let world = World::new();
        let asked = world.ask();
        for _ in 0..super::ATTEMPTS {
            let server = world.server().await;
            let _unanswered = server.incoming().await;
            server.task.abort();
        }
        let error = asked.await.unwrap().err().expect("it hung up");
        assert!(matches!(error, ConnectError::Lost(_)), "{error}");
        assert_eq!(world.dials(), super::ATTEMPTS);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_goes_away_gets_no_new_stream_and_keeps_the_old_ones() {
    local(async {
        let world = World::new();
        let (server, mut near, mut far) = world.first_tunnel().await;
        server.control.send(Control::Drain).unwrap();
        sleep(Duration::from_secs(1)).await;
        let (_other, _near, _far) = world.first_tunnel().await;
        assert_eq!(world.dials(), 2);
        send(&mut near, "old").await.unwrap();
        assert_eq!(receive_exactly(&mut far, 3).await, b"old");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_unused_connection_goes_after_five_minutes() {
    local(async {
        let world = World::new();
        let (server, near, far) = world.first_tunnel().await;
        sleep(Duration::from_secs(1000)).await;
        assert_eq!(world.pool.connections(), 1);
        drop((near, far));
        sleep(Duration::from_secs(299)).await;
        assert_eq!(world.pool.connections(), 1);
        sleep(Duration::from_secs(2)).await;
        assert_eq!(world.pool.connections(), 0);
        assert!(server.task.await.unwrap().is_empty());
        assert!(world.pool.shared.peers.borrow().is_empty());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_takes_no_stream_when_there_is_a_newer_certificate_and_ends_with_its_own() {
    local(async {
        let world = World::new();
        let (server, mut near, mut far) = world.first_tunnel().await;
        sleep(Duration::from_secs(13 * 3600)).await;
        let (_near, _far) = world.tunnel_to(&server).await;
        assert_eq!(
            world.dials(),
            1,
            "half of its life is over, but there is no newer one"
        );

        world.certs.renew(world.mesh.certificate("client"));
        sleep(Duration::from_secs(301)).await;
        let (_other, _near, _far) = world.first_tunnel().await;
        assert_eq!(world.dials(), 2);
        send(&mut near, "still open").await.unwrap();
        assert_eq!(receive_exactly(&mut far, 10).await, b"still open");

        sleep(Duration::from_secs(11 * 3600)).await;
        // Both ends know when it expires; to whoever is second the other has gone.
        let ends = [receive(&mut near).await, receive(&mut far).await];
        assert!(ends.contains(&Err(StreamError::Expired)), "{ends:?}");
        assert!(ends.iter().all(Result::is_err), "{ends:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_draining_pool_finishes_its_streams() {
    local(async {
        let world = World::new();
        let (server, mut near, mut far) = world.first_tunnel().await;
        world.pool.drain();
        assert!(matches!(
            world.ask().await.unwrap().err(),
            Some(ConnectError::Draining)
        ));
        send(&mut near, "last").await.unwrap();
        assert_eq!(receive_exactly(&mut far, 4).await, b"last");
        drop((near, far));
        assert!(server.task.await.unwrap().is_empty());
        for task in world.tasks.take() {
            task.await.unwrap();
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_closed_pool_ends_its_streams() {
    local(async {
        let world = World::new();
        let (_server, mut near, _far) = world.first_tunnel().await;
        let waiting = Hop {
            source_ip: "10.0.0.3".parse().unwrap(),
            ..hop()
        };
        world.dialed.behaviour.set(Behaviour::NeverAnswers);
        let asked = request();
        let (closed, ()) = tokio::join!(world.pool.tunnel(&waiting, &asked), async {
            sleep(Duration::from_secs(1)).await;
            world.pool.close();
        });
        assert!(matches!(closed.err(), Some(ConnectError::Draining)));
        assert_eq!(receive(&mut near).await, Err(StreamError::Closed));
        for task in world.tasks.take() {
            task.await.unwrap();
        }
    })
    .await;
}

/// Every connection of an application holds the first while it waits, every pooled connection the second.
#[tokio::test]
async fn futures_stay_small() {
    let world = World::new();
    let (hop, asked) = (hop(), request());
    let tunnel = size_of_val(&world.pool.tunnel(&hop, &asked));
    assert!(tunnel <= 2048, "{tunnel} bytes");
    let super::peer::Chosen::Dial(dial) = world.pool.peer(&hop).unwrap().choose() else {
        panic!("the pool is empty");
    };
    let closed = world.pool.shared.closed.subscribe();
    let task = super::run_connection(world.pool.shared.clone(), dial, hop, closed);
    assert!(size_of_val(&task) <= 1536, "{} bytes", size_of_val(&task));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_pool_drains() {
    local(async {
        let world = World::new();
        let (server, near, far) = world.first_tunnel().await;
        let tasks = world.tasks.take();
        drop(world);
        drop((near, far));
        for task in tasks {
            task.await.unwrap();
        }
        assert!(server.task.await.unwrap().is_empty());
    })
    .await;
}
