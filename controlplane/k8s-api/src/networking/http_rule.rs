//! The HTTP routes of a VirtualService (Istio reference, "Virtual Service", `HTTPRoute`).

use std::collections::BTreeMap;

use mesh_types::Strng;
use serde::Deserialize;

use super::http_action::{HttpRedirect, HttpRewrite, VsCors, VsDirectResponse, VsFault};
use super::virtual_service::Destination;
use crate::object::Labels;
use crate::value::{IstioDuration, Percent};

/// What becomes of HTTP requests.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "HttpRouteFields")]
pub struct VsHttpRoute {
    /// What logs call it.
    pub name: Strng,
    /// Those that one of these fits; all where empty.
    pub matches: Vec<VsHttpMatch>,
    /// What becomes of them.
    pub action: VsHttpAction,
    /// Changes of host and path.
    pub rewrite: Option<HttpRewrite>,
    /// How long a request may take, all tries together; zero and absence are no limit.
    pub timeout: Option<IstioDuration>,
    /// What is tried again; as the mesh says where absent.
    pub retries: Option<VsRetry>,
    /// Faults that are made on purpose.
    pub fault: Option<VsFault>,
    /// Copies, `mirror` and `mirrors` alike.
    pub mirrors: Vec<VsMirror>,
    /// What browsers are told about requests from other origins.
    pub cors_policy: Option<VsCors>,
    /// Changes of headers.
    pub headers: VsHeaders,
}

/// What becomes of HTTP requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VsHttpAction {
    /// They go somewhere.
    Route(Vec<VsHttpDestination>),
    /// They are answered with a redirect.
    Redirect(HttpRedirect),
    /// They are answered here.
    DirectResponse(VsDirectResponse),
    /// Another VirtualService says.
    Delegate(Delegate),
}

/// Where requests go, and which share of them.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct VsHttpDestination {
    /// Where.
    pub destination: Destination,
    /// The share, relative to those beside it; the only one takes everything.
    pub weight: u32,
    /// Changes of headers of those.
    pub headers: VsHeaders,
}

/// Another VirtualService, which has no hosts.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Delegate {
    /// Its name.
    pub name: Strng,
    /// Its namespace; the object's own where empty.
    pub namespace: Strng,
}

/// What an HTTP request must be; everything that is given must match.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VsHttpMatch {
    /// What logs call it.
    pub name: Strng,
    /// Its path, without the query.
    pub uri: Option<StringMatch>,
    /// Its scheme.
    pub scheme: Option<StringMatch>,
    /// Its method.
    pub method: Option<StringMatch>,
    /// Its host.
    pub authority: Option<StringMatch>,
    /// Its headers; `@request.auth.claims.a` is a claim of its token.
    pub headers: BTreeMap<Strng, PresenceMatch>,
    /// Headers that it must not have.
    pub without_headers: BTreeMap<Strng, PresenceMatch>,
    /// The port that it goes to; any where 0.
    pub port: u16,
    /// Labels of the client's workload.
    pub source_labels: Labels,
    /// The client's namespace.
    pub source_namespace: Strng,
    /// The Gateways at which it counts.
    pub gateways: Vec<Strng>,
    /// The parameters of its query.
    pub query_params: BTreeMap<Strng, PresenceMatch>,
    /// Whether the case of letters counts nothing in the path.
    pub ignore_uri_case: bool,
    /// What its metrics are called; a matter of Envoy.
    pub stat_prefix: Strng,
}

/// What a text must be.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StringMatch {
    /// This one.
    Exact(Strng),
    /// One that begins so.
    Prefix(Strng),
    /// One that matches as a whole (RE2).
    Regex(Strng),
}

/// What a header or parameter must be; with nothing said, it must be there.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "PresenceFields")]
pub enum PresenceMatch {
    /// There.
    Present,
    /// There, and with such a value.
    Value(StringMatch),
}

/// What is tried again.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VsRetry {
    /// So often at most, beyond the first try; 0 for never.
    pub attempts: u32,
    /// How long one try may take.
    pub per_try_timeout: Option<IstioDuration>,
    /// Conditions and statuses, with commas between; the mesh's own where empty.
    pub retry_on: Strng,
    /// Whether endpoints of other places may be tried.
    pub retry_remote_localities: Option<bool>,
    /// Whether endpoints that were tried are avoided; so where absent.
    pub retry_ignore_previous_hosts: Option<bool>,
    /// The shortest wait; 25 ms where absent.
    pub backoff: Option<IstioDuration>,
}

/// A copy of requests.
#[derive(Clone, Debug, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct VsMirror {
    /// Where it goes.
    pub destination: Destination,
    /// Which share is copied; all where absent.
    pub percentage: Option<Percent>,
}

/// Changes of headers.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct VsHeaders {
    /// Of requests.
    pub request: HeaderOperations,
    /// Of responses.
    pub response: HeaderOperations,
}

/// Changes of headers.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct HeaderOperations {
    /// Headers that get this value, whatever was there.
    pub set: BTreeMap<Strng, Strng>,
    /// Headers that get this value beside what was there.
    pub add: BTreeMap<Strng, Strng>,
    /// Headers that go.
    pub remove: Vec<Strng>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct HttpRouteFields {
    name: Strng,
    /// Requests that one of these fits; all where empty.
    #[serde(rename = "match")]
    matches: Vec<VsHttpMatch>,
    /// They go to these.
    route: Vec<VsHttpDestination>,
    /// They are sent elsewhere.
    redirect: Option<HttpRedirect>,
    /// They are answered here.
    direct_response: Option<VsDirectResponse>,
    /// Another VirtualService decides.
    delegate: Option<Delegate>,
    rewrite: Option<HttpRewrite>,
    timeout: Option<IstioDuration>,
    retries: Option<VsRetry>,
    fault: Option<VsFault>,
    /// Copies go there, under its name of old.
    mirror: Option<Destination>,
    mirrors: Vec<VsMirror>,
    /// Which share is copied, in per cent, under its name of old.
    mirror_percent: Option<u32>,
    /// Which share is copied to `mirror`.
    mirror_percentage: Option<Percent>,
    cors_policy: Option<VsCors>,
    headers: VsHeaders,
}

#[derive(Default, Deserialize)]
#[serde(rename = "StringMatch", default)]
struct PresenceFields {
    /// This very text.
    exact: Option<Strng>,
    /// A text that begins with this.
    prefix: Option<Strng>,
    /// A text that this expression (RE2) matches as a whole.
    regex: Option<Strng>,
}

impl TryFrom<HttpRouteFields> for VsHttpRoute {
    type Error = &'static str;

    fn try_from(fields: HttpRouteFields) -> Result<Self, &'static str> {
        let routed = (!fields.route.is_empty()).then_some(VsHttpAction::Route(fields.route));
        let actions = [
            routed,
            fields.redirect.map(VsHttpAction::Redirect),
            fields.direct_response.map(VsHttpAction::DirectResponse),
            fields.delegate.map(VsHttpAction::Delegate),
        ];
        let mut actions = actions.into_iter().flatten();
        let (Some(action), None) = (actions.next(), actions.next()) else {
            return Err("needs exactly one of route, redirect, directResponse and delegate");
        };
        let mut mirrors = fields.mirrors;
        if let Some(destination) = fields.mirror {
            if !mirrors.is_empty() {
                return Err("may have only one of mirror and mirrors");
            }
            let of_old = fields.mirror_percent.map(|p| Percent { value: f64::from(p) });
            mirrors.push(VsMirror {
                destination,
                percentage: fields.mirror_percentage.or(of_old),
            });
        } else if fields.mirror_percent.is_some() || fields.mirror_percentage.is_some() {
            return Err("has a share of copies, but no mirror");
        }
        Ok(Self {
            name: fields.name,
            matches: fields.matches,
            action,
            rewrite: fields.rewrite,
            timeout: fields.timeout,
            retries: fields.retries,
            fault: fields.fault,
            mirrors,
            cors_policy: fields.cors_policy,
            headers: fields.headers,
        })
    }
}

impl TryFrom<PresenceFields> for PresenceMatch {
    type Error = &'static str;

    fn try_from(fields: PresenceFields) -> Result<Self, &'static str> {
        match (fields.exact, fields.prefix, fields.regex) {
            (None, None, None) => Ok(Self::Present),
            (Some(text), None, None) => Ok(Self::Value(StringMatch::Exact(text))),
            (None, Some(text), None) => Ok(Self::Value(StringMatch::Prefix(text))),
            (None, None, Some(text)) => Ok(Self::Value(StringMatch::Regex(text))),
            _ => Err("may have only one of exact, prefix and regex"),
        }
    }
}
