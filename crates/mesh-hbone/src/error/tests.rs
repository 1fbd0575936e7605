use std::io;
use std::rc::Rc;
use std::time::Duration;

use http::StatusCode;
use mesh_net::DialError;
use mesh_tls::CertUnavailable;
use mesh_types::NextHop;

use super::{Blame, ConnectError, ConnectStep, ResponseFlag};
use crate::closed::ConnectionEnd;

fn to() -> NextHop {
    NextHop::new("10.0.0.1:15008".parse().unwrap())
}

#[test]
fn every_failure_says_whose_it_is_whether_to_retry_and_what_metrics_call_it() {
    let timeout = DialError::Timeout {
        to: to(),
        after: Duration::from_secs(10),
    };
    let local = DialError::Local {
        to: to(),
        step: mesh_net::dial::DialStep::Source,
        source: io::Error::from_raw_os_error(1),
    };
    let in_step = |step| ConnectError::TimedOut { step };
    let table = [
        (CertUnavailable::Closed.into(), Blame::Us, false, "IDENTITY_ERROR"),
        (timeout.into(), Blame::Network, true, "NETWORK_POLICY"),
        (
            DialError::Refused { to: to() }.into(),
            Blame::Network,
            true,
            "CONNECT",
        ),
        (local.into(), Blame::Us, false, "CONNECT"),
        (
            in_step(ConnectStep::Certificate),
            Blame::Us,
            true,
            "IDENTITY_ERROR",
        ),
        (in_step(ConnectStep::Dial), Blame::Network, true, "NETWORK_POLICY"),
        (in_step(ConnectStep::Tls), Blame::Network, true, "TLS_FAILURE"),
        (
            in_step(ConnectStep::Http2),
            Blame::Network,
            true,
            "H2_HANDSHAKE_FAILURE",
        ),
        (in_step(ConnectStep::Answer), Blame::Network, true, "CONNECT"),
        (
            ConnectError::WrongPeer(rustls::Error::DecryptError),
            Blame::Peer,
            false,
            "IDENTITY_ERROR",
        ),
        (
            ConnectError::Tls(ConnectionEnd::PeerGone),
            Blame::Peer,
            false,
            "TLS_FAILURE",
        ),
        (
            ConnectError::Http2(ConnectionEnd::PeerGone),
            Blame::Peer,
            false,
            "H2_HANDSHAKE_FAILURE",
        ),
        (
            ConnectError::Refused(StatusCode::BAD_REQUEST),
            Blame::Peer,
            false,
            "CONNECT",
        ),
        (
            ConnectError::Refused(StatusCode::UNAUTHORIZED),
            Blame::Peer,
            false,
            "DENY",
        ),
        (
            ConnectError::Refused(StatusCode::SERVICE_UNAVAILABLE),
            Blame::Peer,
            true,
            "CONNECT",
        ),
        (
            ConnectError::Lost(ConnectionEnd::PingTimeout),
            Blame::Network,
            true,
            "CONNECT",
        ),
        (ConnectError::Reset, Blame::Peer, true, "CONNECT"),
        (ConnectError::Draining, Blame::Us, false, "CONNECT"),
    ];
    for (error, blame, retry, flag) in table {
        let got = (error.blame(), error.is_retryable(), error.flag().as_str());
        assert_eq!(got, (blame, retry, flag), "{error}");
    }
}

#[test]
fn a_server_calls_its_failures_likewise() {
    use super::AcceptError;
    let late = |step| AcceptError::TimedOut { step }.flag();
    assert_eq!(late(ConnectStep::Tls), ResponseFlag::TlsFailure);
    assert_eq!(late(ConnectStep::Http2), ResponseFlag::Http2HandshakeFailure);
    let nobody = mesh_tls::PeerIdentityError::NoUri;
    assert_eq!(
        AcceptError::Peer(Rc::new(nobody)).flag(),
        ResponseFlag::IdentityError
    );
}

#[test]
fn who_hears_nothing_from_the_port_of_tunnels_is_asked_of_network_policies() {
    let timeout = DialError::Timeout {
        to: to(),
        after: Duration::from_secs(10),
    };
    assert_eq!(
        ConnectError::from(timeout).to_string(),
        "connecting to 10.0.0.1:15008: no answer within 10000 ms; does a NetworkPolicy allow port 15008?"
    );
    let step = ConnectStep::Dial;
    assert_eq!(
        ConnectError::TimedOut { step }.to_string(),
        "connecting did not finish in time; does a NetworkPolicy allow port 15008?"
    );
    let refused = ConnectError::from(DialError::Refused { to: to() });
    assert_eq!(refused.to_string(), "connecting to 10.0.0.1:15008: refused");
}
