//! The messages of `lateen/register.proto`, both directions. Decoding is strict: what is malformed is named by field.

use std::net::IpAddr;

use bytes::Bytes;
use mesh_proto::lateen::register::v1 as wire;
use mesh_proto::lateen::register::v1::register_request::Payload as RequestPayload;
use mesh_proto::lateen::register::v1::register_response::Payload as ResponsePayload;
use mesh_types::{NamespacedName, Strng};

use crate::model::{Assignment, Hello, Membership, Options, Outcome, Redirection, Report, Withdrawal};

/// A message that breaks the protocol's rules.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct Malformed {
    /// The field, as a path from the message.
    pub field: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// What a place sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// The first message.
    Hello(Hello),
    /// A workload's state, or what is wrong with the message.
    Report(u64, Result<Report, Malformed>),
    /// A workload's end, or what is wrong with the message.
    Withdraw(u64, Result<Withdrawal, Malformed>),
    /// The leases go on.
    Renew,
}

/// What the control plane sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// Answers [`Request::Hello`].
    Welcome {
        /// In seconds, at least 1.
        lease_seconds: u32,
        /// The place's name as the token gives it.
        place: String,
    },
    /// A workload that belongs here; a malformed one names the workload where it can be told.
    Assign(Result<Assignment, (Option<NamespacedName>, Malformed)>),
    /// A workload that no longer does.
    Unassign(NamespacedName),
    /// Everything assigned was listed.
    SnapshotComplete,
    /// What became of the request with this id.
    Ack(u64, Outcome),
}

impl From<Request> for wire::RegisterRequest {
    fn from(request: Request) -> Self {
        let payload = match request {
            Request::Hello(Hello { instance, version }) => {
                Some(RequestPayload::Hello(wire::Hello { instance, version }))
            }
            Request::Report(id, report) => report.ok().map(|r| RequestPayload::Report(encode_report(id, r))),
            Request::Withdraw(id, withdrawal) => withdrawal.ok().map(|w| {
                RequestPayload::Withdraw(wire::Withdraw {
                    id,
                    workload: Some(key(&w.workload)),
                    uid: w.uid,
                })
            }),
            Request::Renew => Some(RequestPayload::Renew(wire::Renew {})),
        };
        Self { payload }
    }
}

impl TryFrom<wire::RegisterRequest> for Request {
    type Error = Malformed;

    fn try_from(request: wire::RegisterRequest) -> Result<Self, Malformed> {
        Ok(
            match request
                .payload
                .ok_or_else(|| malformed("payload", "is missing or unknown"))?
            {
                RequestPayload::Hello(hello) => Self::Hello(Hello {
                    instance: text("hello.instance", hello.instance)?,
                    version: bounded("hello.version", hello.version)?,
                }),
                RequestPayload::Report(report) => Self::Report(report.id, decode_report(report)),
                RequestPayload::Withdraw(withdraw) => Self::Withdraw(withdraw.id, decode_withdraw(withdraw)),
                RequestPayload::Renew(wire::Renew {}) => Self::Renew,
            },
        )
    }
}

impl From<Response> for wire::RegisterResponse {
    fn from(response: Response) -> Self {
        let payload = match response {
            Response::Welcome { lease_seconds, place } => {
                Some(ResponsePayload::Welcome(wire::Welcome { lease_seconds, place }))
            }
            Response::Assign(assignment) => {
                assignment.ok().map(|a| ResponsePayload::Assign(encode_assign(a)))
            }
            Response::Unassign(workload) => Some(ResponsePayload::Unassign(wire::Unassign {
                workload: Some(key(&workload)),
            })),
            Response::SnapshotComplete => Some(ResponsePayload::SnapshotComplete(wire::SnapshotComplete {})),
            Response::Ack(id, outcome) => Some(ResponsePayload::Ack(encode_ack(id, outcome))),
        };
        Self { payload }
    }
}

impl TryFrom<wire::RegisterResponse> for Response {
    type Error = Malformed;

    fn try_from(response: wire::RegisterResponse) -> Result<Self, Malformed> {
        Ok(
            match response
                .payload
                .ok_or_else(|| malformed("payload", "is missing or unknown"))?
            {
                ResponsePayload::Welcome(wire::Welcome { lease_seconds, place }) => {
                    if lease_seconds == 0 {
                        return Err(malformed("welcome.lease_seconds", "is 0"));
                    }
                    Self::Welcome {
                        lease_seconds,
                        place: text("welcome.place", place)?,
                    }
                }
                ResponsePayload::Assign(assign) => Self::Assign(decode_assign(assign)),
                ResponsePayload::Unassign(unassign) => {
                    Self::Unassign(decode_key("unassign.workload", unassign.workload)?)
                }
                ResponsePayload::SnapshotComplete(wire::SnapshotComplete {}) => Self::SnapshotComplete,
                ResponsePayload::Ack(ack) => decode_ack(ack)?,
            },
        )
    }
}

fn encode_report(id: u64, report: Report) -> wire::Report {
    wire::Report {
        id,
        workload: Some(key(&report.workload)),
        uid: report.uid,
        addresses: report.addresses.iter().map(encode_address).collect(),
        redirection: match report.redirection {
            Redirection::Plain => wire::Redirection::Plain,
            Redirection::Pending => wire::Redirection::Pending,
            Redirection::Enabled => wire::Redirection::Enabled,
        } as i32,
        network_ready: report.network_ready,
    }
}

fn decode_report(report: wire::Report) -> Result<Report, Malformed> {
    let redirection = match wire::Redirection::try_from(report.redirection) {
        Ok(wire::Redirection::Plain) => Redirection::Plain,
        Ok(wire::Redirection::Pending) => Redirection::Pending,
        Ok(wire::Redirection::Enabled) => Redirection::Enabled,
        Err(_) => return Err(malformed("report.redirection", "is no value of the enumeration")),
    };
    Ok(Report {
        workload: decode_key("report.workload", report.workload)?,
        uid: text("report.uid", report.uid)?,
        addresses: decode_addresses("report.addresses", &report.addresses)?,
        redirection,
        network_ready: report.network_ready,
    })
}

fn decode_withdraw(withdraw: wire::Withdraw) -> Result<Withdrawal, Malformed> {
    Ok(Withdrawal {
        workload: decode_key("withdraw.workload", withdraw.workload)?,
        uid: text("withdraw.uid", withdraw.uid)?,
    })
}

fn encode_assign(assignment: Assignment) -> wire::Assign {
    wire::Assign {
        workload: Some(key(&assignment.workload)),
        service_account: assignment.service_account.into(),
        membership: match assignment.membership {
            Membership::Outside => wire::Membership::Outside,
            Membership::Member => wire::Membership::Member,
        } as i32,
        options: Some(wire::Options {
            bypass_inbound_capture: assignment.options.bypass_inbound_capture,
            dns_capture: assignment.options.dns_capture,
            reroute_virtual_interfaces: assignment.options.reroute_virtual_interfaces,
        }),
    }
}

fn decode_assign(assign: wire::Assign) -> Result<Assignment, (Option<NamespacedName>, Malformed)> {
    let workload = decode_key("assign.workload", assign.workload).map_err(|e| (None, e))?;
    let wrong = |e| (Some(workload.clone()), e);
    let membership = match wire::Membership::try_from(assign.membership) {
        Ok(wire::Membership::Outside) => Membership::Outside,
        Ok(wire::Membership::Member) => Membership::Member,
        Err(_) => {
            return Err(wrong(malformed(
                "assign.membership",
                "is no value of the enumeration",
            )));
        }
    };
    let service_account = name("assign.service_account", assign.service_account).map_err(wrong)?;
    let options = assign.options.unwrap_or_default();
    let interfaces = &options.reroute_virtual_interfaces;
    if let Some(index) = interfaces.iter().position(|i| !is_interface(i)) {
        let field = format!("assign.options.reroute_virtual_interfaces[{index}]");
        return Err(wrong(malformed(&field, "is no name of an interface")));
    }
    Ok(Assignment {
        service_account,
        membership,
        options: Options {
            bypass_inbound_capture: options.bypass_inbound_capture,
            dns_capture: options.dns_capture,
            reroute_virtual_interfaces: options.reroute_virtual_interfaces,
        },
        workload,
    })
}

fn encode_ack(id: u64, outcome: Outcome) -> wire::Ack {
    let (outcome, message) = match outcome {
        Outcome::Accepted => (wire::Outcome::Accepted, String::new()),
        Outcome::NotAssigned => (wire::Outcome::NotAssigned, String::new()),
        Outcome::Invalid(message) => (wire::Outcome::Invalid, message),
        Outcome::Unavailable(message) => (wire::Outcome::Unavailable, message),
    };
    wire::Ack {
        id,
        outcome: outcome as i32,
        message,
    }
}

fn decode_ack(ack: wire::Ack) -> Result<Response, Malformed> {
    let message: String = ack.message.chars().take(MAX_TEXT).collect();
    let outcome = match wire::Outcome::try_from(ack.outcome) {
        Ok(wire::Outcome::Accepted) => Outcome::Accepted,
        Ok(wire::Outcome::NotAssigned) => Outcome::NotAssigned,
        Ok(wire::Outcome::Invalid) => Outcome::Invalid(message),
        Ok(wire::Outcome::Unavailable) => Outcome::Unavailable(message),
        Err(_) => return Err(malformed("ack.outcome", "is no value of the enumeration")),
    };
    Ok(Response::Ack(ack.id, outcome))
}

fn key(workload: &NamespacedName) -> wire::WorkloadKey {
    wire::WorkloadKey {
        namespace: workload.namespace.to_string(),
        name: workload.name.to_string(),
    }
}

fn decode_key(field: &str, key: Option<wire::WorkloadKey>) -> Result<NamespacedName, Malformed> {
    let key = key.ok_or_else(|| malformed(field, "is missing"))?;
    Ok(NamespacedName::new(
        name(&format!("{field}.namespace"), key.namespace)?,
        name(&format!("{field}.name"), key.name)?,
    ))
}

pub(crate) fn encode_address(ip: &IpAddr) -> Bytes {
    match ip {
        IpAddr::V4(v4) => Bytes::copy_from_slice(&v4.octets()),
        IpAddr::V6(v6) => Bytes::copy_from_slice(&v6.octets()),
    }
}

pub(crate) fn decode_addresses(field: &str, addresses: &[Bytes]) -> Result<Vec<IpAddr>, Malformed> {
    if addresses.len() > MAX_ADDRESSES {
        return Err(malformed(field, "are more than 16"));
    }
    let decoded = addresses.iter().enumerate().map(|(index, bytes)| {
        decode_address(bytes).map_err(|reason| malformed(&format!("{field}[{index}]"), reason))
    });
    decoded.collect()
}

fn decode_address(bytes: &Bytes) -> Result<IpAddr, &'static str> {
    let ip = if let Ok(v4) = <[u8; 4]>::try_from(bytes.as_ref()) {
        IpAddr::from(v4)
    } else if let Ok(v6) = <[u8; 16]>::try_from(bytes.as_ref()) {
        IpAddr::from(v6).to_canonical()
    } else {
        return Err("is neither 4 nor 16 bytes long");
    };
    if ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() {
        return Err("is unspecified, loopback or multicast, which no workload has");
    }
    Ok(ip)
}

/// A Kubernetes name: it becomes part of keys and identities, so nothing that could end one may stand in it.
pub(crate) fn name(field: &str, text: String) -> Result<Strng, Malformed> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    if text.is_empty() || text.len() > MAX_NAME || !text.bytes().all(allowed) {
        return Err(malformed(
            field,
            "is empty, too long, or holds a character that no name has",
        ));
    }
    Ok(text.into())
}

fn text(field: &str, text: String) -> Result<String, Malformed> {
    if text.is_empty() {
        return Err(malformed(field, "is empty"));
    }
    bounded(field, text)
}

pub(crate) fn bounded(field: &str, text: String) -> Result<String, Malformed> {
    if text.len() > MAX_TEXT || text.chars().any(char::is_control) {
        return Err(malformed(
            field,
            "is longer than 256 bytes or holds control characters",
        ));
    }
    Ok(text)
}

/// What Linux allows as an interface's name (`dev_valid_name`), and less: it ends up in rules.
fn is_interface(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'@');
    (1..=15).contains(&name.len()) && name != "." && name != ".." && name.bytes().all(allowed)
}

pub(crate) fn malformed(field: &str, reason: &'static str) -> Malformed {
    Malformed {
        field: field.to_owned(),
        reason,
    }
}

const MAX_ADDRESSES: usize = 16;
/// RFC 1123 subdomains, which pods and service accounts are named by.
const MAX_NAME: usize = 253;
const MAX_TEXT: usize = 256;

#[cfg(test)]
mod tests;
