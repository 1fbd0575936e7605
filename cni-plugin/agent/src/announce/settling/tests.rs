//! Against a control plane on this machine.

use mesh_grpc::{
    AuthenticateCaller, ChannelConfig, ConnectionInfo, Credentials, Denied, Security, TokenSource,
};
use mesh_net::NetnsId;
use mesh_register::settled::{Settle, SettledServer, Standing};
use mesh_types::NamespacedName;
use tokio::net::TcpListener;
use tonic::metadata::MetadataMap;
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;

use super::*;
use crate::enroll::PodKey;

struct Anybody;

impl AuthenticateCaller for Anybody {
    type Caller = ();

    async fn authenticate(&self, _: &MetadataMap, _: Option<&ConnectionInfo>) -> Result<(), Denied> {
        Ok(())
    }
}

/// Answers this, at once.
struct Says(Standing);

impl Settle for Says {
    type Caller = ();
    type Scope = ();

    fn scope(&self, (): &()) -> Result<(), Denied> {
        Ok(())
    }

    async fn await_plain(&self, (): (), question: Question) -> Answer {
        assert_eq!(question.workload, NamespacedName::new("shop", "web"));
        assert_eq!(question.addresses, record().ips);
        Answer {
            instance: "one".to_owned(),
            standing: self.0.clone(),
        }
    }
}

fn record() -> Record {
    Record {
        key: PodKey("u1".to_owned()),
        pod: NamespacedName::new("shop", "web"),
        container_id: None,
        netns_path: "/run/netns/x".into(),
        netns: NetnsId { dev: 1, inode: 2 },
        ips: vec!["10.0.0.1".parse().expect("an address")],
        older: Vec::new(),
        enrolment: None,
    }
}

/// Asks a control plane that serves this; nobody listens where it serves nothing.
async fn asking(served: Option<Routes>) -> Settling {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    if let Some(routes) = served {
        let router = mesh_grpc::serve::builder().add_routes(routes);
        tokio::spawn(router.serve_with_incoming(TcpIncoming::from(listener)));
    }
    let channel = mesh_grpc::channel(ChannelConfig {
        address: format!("http://{address}").parse().expect("an address"),
        server_name: None,
        security: Security::Plaintext,
        credentials: Credentials::new(TokenSource::Anonymous),
    });
    Settling::blindly(BLIND).asking(Ask {
        channel: channel.expect("a channel"),
        patience: Duration::from_secs(5),
    })
}

fn says(standing: Standing) -> Option<Routes> {
    let server = SettledServer::new(Anybody, Says(standing));
    Some(Routes::new(server.into_service()))
}

/// For how long the rules of a pod stay.
async fn stays(settling: &Settling) -> Duration {
    let began = Instant::now();
    settling.settled(&record()).await;
    began.elapsed()
}

const BLIND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn nothing_is_waited_for_once_everybody_has_heard() {
    let everybody = Standing {
        proxies: 3,
        acknowledged: 3,
        ..Standing::default()
    };
    let settling = asking(says(everybody)).await;
    assert!(stays(&settling).await < BLIND);
}

#[tokio::test]
async fn a_pod_goes_after_some_time_though_somebody_has_not_heard() {
    let not_all = Standing {
        proxies: 3,
        acknowledged: 2,
        missing: vec!["z.istio-system".to_owned()],
        ..Standing::default()
    };
    let settling = asking(says(not_all)).await;
    assert!(stays(&settling).await >= BLIND);
    assert_eq!(*settling.told.lock(), None, "each pod has a line of its own");
}

#[tokio::test]
async fn another_control_plane_is_no_news_and_one_that_is_away_is_told_once() {
    let settling = asking(Some(Routes::default())).await;
    assert!(stays(&settling).await >= BLIND);
    assert_eq!(*settling.told.lock(), None);
    let settling = asking(None).await;
    assert!(stays(&settling).await >= BLIND);
    let told = settling.told.lock().clone().expect("a reason");
    assert!(told.contains("cannot be asked"), "{told}");
}

#[tokio::test]
async fn where_nobody_is_to_be_asked_others_are_given_some_time() {
    let settling = Settling::blindly(BLIND);
    assert!(stays(&settling).await >= BLIND);
    assert_eq!(*settling.told.lock(), None);
}

#[test]
fn what_an_answer_means() {
    let of = |error| heard(Err(error));
    assert_eq!(of(AskError::NotServed), Heard::Unknown(None));
    let refused = of(AskError::Refused("another audience".to_owned()));
    let Heard::Unknown(Some(why)) = refused else {
        panic!("{refused:?}");
    };
    assert!(why.contains("another audience"), "{why}");
}
