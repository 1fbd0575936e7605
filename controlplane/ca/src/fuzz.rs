//! Fuzz targets: what strangers send to the authority.
//! [`token`], [`claims`] and [`signing_request`] each take raw bytes.

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use mesh_types::TrustDomain;

use crate::caller::is_name;
use crate::issuer::{IssueError, Issuer};
use crate::root::Root;
use crate::token::{InvalidToken, TokenKey, judge_claims};

/// A token, as the header carries it. Nothing that this key did not sign may pass.
///
/// # Panics
/// Panics when something does.
pub fn token(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let verdict = FIXTURE.tokens.verify(text, now());
    assert!(
        verdict.is_err(),
        "a token of another key was believed: {verdict:?}"
    );
    // What is not even of our key never reaches its claims.
    assert!(!matches!(
        verdict,
        Err(InvalidToken::Expired | InvalidToken::Audience)
    ));
}

/// The claims of a token whose signature was right. Whoever they name is named completely.
///
/// # Panics
/// Panics when somebody passes who is not.
pub fn claims(data: &[u8]) {
    let Ok(subject) = judge_claims(data, now()) else {
        return;
    };
    assert!(is_name(&subject.account.namespace) && is_name(&subject.account.name));
    assert!(!subject.node.is_empty());
    assert!(
        subject
            .pod
            .is_none_or(|p| !p.name.is_empty() && !p.uid.is_empty())
    );
}

/// A signing request, from its PEM to the certificate. Whatever it says, the certificate says only who was authorized.
///
/// # Panics
/// Panics when the certificate says something else.
pub fn signing_request(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(request) = mesh_tls::csr::decode(text) else {
        return;
    };
    let authorized = "spiffe://cluster.local/ns/shop/sa/cart"
        .parse()
        .expect("a constant");
    let issued = FIXTURE
        .issuer
        .issue(&authorized, request.public_key(), Duration::ZERO, now());
    let chain = match issued {
        Ok(issued) => issued.chain,
        Err(IssueError::PublicKey(_)) => return,
        Err(e) => panic!("{e}"),
    };
    let leaf = mesh_tls::pem::certificates(&chain[0]).expect("our own PEM");
    assert_eq!(mesh_tls::peer_identity(&leaf), Ok(authorized));
}

struct Fixture {
    tokens: TokenKey,
    issuer: Issuer,
}

static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let tokens = TokenKey::load_or_create(dir.path()).expect("a new key");
    let root = Root::load_or_create(dir.path(), &TrustDomain::default(), now()).expect("a new root");
    Fixture {
        tokens,
        issuer: Issuer::new(root),
    }
});

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000)
}

#[cfg(test)]
mod tests;
