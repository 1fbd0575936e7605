//! Policy routing inside a pod's namespace: replies to the client that ztunnel pretends to be stay in the pod.
//!
//! Like `ip rule add fwmark 0x111/0xfff pref 32764 lookup 100` and `ip route add local default dev lo table 100`, for both
//! families.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};

use cni_rules::audit::Finding;
use cni_rules::plan::PolicyRoute;
use cni_rules::rule::Family;
use mesh_net::Netns;
use rtnetlink::packet_route::route::{RouteMessage, RouteProtocol, RouteScope, RouteType};
use rtnetlink::packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use rtnetlink::{Handle, LinkUnspec, RouteMessageBuilder};

/// Why a route or routing rule is not as it should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RouteError {
    /// The namespace cannot be entered, or has no netlink.
    #[error("netlink cannot be reached inside the pod's namespace: {0}")]
    Netlink(#[source] io::Error),
    /// The kernel refused.
    #[error("{what} failed: {source}")]
    Refused {
        /// What was asked for.
        what: &'static str,
        /// What the kernel said.
        source: rtnetlink::Error,
    },
}

/// Makes these routes and rules be there; returns what was missing.
///
/// # Errors
/// Fails when one cannot be added. Where the namespace has no IPv6 there is nothing of it to bring back, and IPv6's
/// refusal is no error.
pub async fn ensure(netns: &Netns, wanted: &[PolicyRoute]) -> Result<Vec<Finding>, RouteError> {
    let has_ipv6 = netns.run(ipv6_is_on).map_err(RouteError::Netlink)?;
    inside(netns, async |handle| {
        up(&handle).await?;
        let mut findings = Vec::new();
        for policy in wanted {
            let tolerated = policy.family == Family::V6 && !has_ipv6;
            match ensure_one(&handle, policy).await {
                Ok(missing) => findings.extend(missing),
                Err(_) if tolerated => {}
                Err(error) => return Err(error),
            }
        }
        Ok(findings)
    })
    .await
}

/// Removes these routes and rules; one that is not there is removed already.
///
/// # Errors
/// Fails when one cannot be removed.
pub async fn remove(netns: &Netns, all: &[PolicyRoute]) -> Result<(), RouteError> {
    inside(netns, async |handle| {
        for policy in all {
            let what = "removing the routing rule for replies to ztunnel";
            gone(what, handle.rule().del(rule(policy)).execute().await)?;
            let what = "removing the local route for replies to ztunnel";
            gone(what, handle.route().del(route(policy)).execute().await)?;
        }
        Ok(())
    })
    .await
}

async fn inside<T>(
    netns: &Netns,
    work: impl AsyncFnOnce(Handle) -> Result<T, RouteError>,
) -> Result<T, RouteError> {
    // The socket belongs to the namespace that it was made in, wherever it is used.
    let connection = netns
        .run(rtnetlink::new_connection)
        .map_err(RouteError::Netlink)?;
    let (connection, handle, _) = connection.map_err(RouteError::Netlink)?;
    tokio::select! {
        result = work(handle) => result,
        () = connection => Err(RouteError::Netlink(io::ErrorKind::ConnectionAborted.into())),
    }
}

/// Traffic between ztunnel and the application passes `lo`.
async fn up(handle: &Handle) -> Result<(), RouteError> {
    let message = LinkUnspec::new_with_index(LOOPBACK).up().build();
    let result = handle.link().set(message).execute().await;
    result.map_err(|source| RouteError::Refused {
        what: "setting lo up",
        source,
    })
}

async fn ensure_one(handle: &Handle, policy: &PolicyRoute) -> Result<Vec<Finding>, RouteError> {
    let mut missing = Vec::new();
    let mut request = handle.rule().add();
    *request.message_mut() = rule(policy);
    let what = "adding the routing rule for replies to ztunnel";
    if added(what, request.execute().await)? {
        missing.push(finding(
            policy,
            "the routing rule for replies to ztunnel is missing",
        ));
    }
    let what = "adding the local route for replies to ztunnel";
    if added(what, handle.route().add(route(policy)).execute().await)? {
        missing.push(finding(
            policy,
            "the local route for replies to ztunnel is missing",
        ));
    }
    Ok(missing)
}

fn rule(policy: &PolicyRoute) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = match policy.family {
        Family::V4 => rtnetlink::packet_route::AddressFamily::Inet,
        Family::V6 => rtnetlink::packet_route::AddressFamily::Inet6,
    };
    message.header.action = RuleAction::ToTable;
    message.attributes = vec![
        RuleAttribute::Priority(policy.priority),
        RuleAttribute::FwMark(policy.mark.value),
        RuleAttribute::FwMask(policy.mark.mask),
        RuleAttribute::Table(policy.table),
    ];
    message
}

fn route(policy: &PolicyRoute) -> RouteMessage {
    match policy.family {
        Family::V4 => RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(Ipv4Addr::UNSPECIFIED, 0)
            .output_interface(LOOPBACK)
            .table_id(policy.table)
            .kind(RouteType::Local)
            .scope(RouteScope::Host)
            .protocol(RouteProtocol::Static)
            .build(),
        Family::V6 => RouteMessageBuilder::<Ipv6Addr>::new()
            .destination_prefix(Ipv6Addr::UNSPECIFIED, 0)
            .output_interface(LOOPBACK)
            .table_id(policy.table)
            .kind(RouteType::Local)
            .protocol(RouteProtocol::Static)
            .build(),
    }
}

fn finding(policy: &PolicyRoute, what: &str) -> Finding {
    Finding {
        table: "policy routing",
        what: format!("{what} ({:?})", policy.family),
    }
}

/// Whether it was not there before.
fn added(what: &'static str, result: Result<(), rtnetlink::Error>) -> Result<bool, RouteError> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if errno(&error) == Some(io::ErrorKind::AlreadyExists) => Ok(false),
        Err(source) => Err(RouteError::Refused { what, source }),
    }
}

fn gone(what: &'static str, result: Result<(), rtnetlink::Error>) -> Result<(), RouteError> {
    const NO_SUCH_PROCESS: i32 = 3;
    match result {
        Ok(()) => Ok(()),
        // ENOENT for rules, ESRCH for routes; other errors where the kernel has no such family at all.
        Err(rtnetlink::Error::NetlinkError(message)) => match message.to_io().raw_os_error() {
            Some(NO_SUCH_PROCESS | NO_SUCH_ENTRY | NO_SUCH_FAMILY | NOT_SUPPORTED) => Ok(()),
            _ => Err(RouteError::Refused {
                what,
                source: rtnetlink::Error::NetlinkError(message),
            }),
        },
        Err(source) => Err(RouteError::Refused { what, source }),
    }
}

fn errno(error: &rtnetlink::Error) -> Option<io::ErrorKind> {
    match error {
        rtnetlink::Error::NetlinkError(message) => Some(message.to_io().kind()),
        _ => None,
    }
}

/// Of the calling thread's namespace; absent where the kernel has no IPv6.
fn ipv6_is_on() -> bool {
    fs::read_to_string("/proc/sys/net/ipv6/conf/lo/disable_ipv6").is_ok_and(|value| value.trim() == "0")
}

/// The kernel gives every namespace's `lo` this index.
const LOOPBACK: u32 = 1;
const NO_SUCH_ENTRY: i32 = 2;
const NOT_SUPPORTED: i32 = 95;
const NO_SUCH_FAMILY: i32 = 97;
