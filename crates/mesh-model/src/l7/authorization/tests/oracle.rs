//! A naive reading of policies: every rule of every policy, field by field, as their documentation says it.

use super::*;

/// The rules that match, as (policy, rule), of one action.
pub(super) fn matching(
    policies: &[(ObjectRef, Authorization)],
    of: fn(&Authorization) -> bool,
    sent: &Sent,
    known: Known,
) -> Vec<(usize, usize)> {
    let mut matching = Vec::new();
    for (at, (_, policy)) in policies.iter().enumerate().filter(|(_, (_, p))| of(p)) {
        let reader = Reader {
            sent,
            known,
            lets_pass: policy.action == Action::Allow,
        };
        let rules = policy.rules.iter().enumerate();
        matching.extend(rules.filter(|(_, r)| reader.rule(r)).map(|(n, _)| (at, n)));
    }
    matching
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    Everything,
    NoToken,
    Connection,
}

struct Reader<'a> {
    sent: &'a Sent,
    known: Known,
    lets_pass: bool,
}

impl Reader<'_> {
    fn rule(&self, rule: &Rule) -> bool {
        (rule.from.is_empty() || rule.from.iter().any(|s| self.source(s)))
            && (rule.to.is_empty() || rule.to.iter().any(|o| self.operation(o)))
            && rule.when.iter().all(|c| self.condition(c))
    }

    fn source(&self, s: &Source) -> bool {
        use TextAttribute as A;
        self.text(&A::SourcePrincipal, &s.principals)
            && self.text(&A::RequestPrincipal, &s.request_principals)
            && self.text(&A::SourceNamespace, &s.namespaces)
            && self.text(&A::SourceServiceAccount, &s.service_accounts)
            && self.text(&A::SourceTrustDomain, &s.trust_domains)
            && self.ip(self.sent.address, &s.ips)
            && self.ip(self.sent.remote, &s.remote_ips)
    }

    fn operation(&self, o: &Operation) -> bool {
        let http = self.known != Known::Connection;
        let request = self.sent.request();
        let host = request.host().trim_end_matches('.').to_lowercase();
        let mut hosts = vec![host.clone()];
        hosts.extend(request.port().map(|port| format!("{host}:{port}")));
        let host = |m: &TextMatch| hosts.iter().any(|h| m.matches_ignoring_case(h));
        self.values(http, &o.hosts, host, host)
            && self.values(
                true,
                &o.ports,
                |p| *p == self.sent.local.port,
                |p| *p == self.sent.local.port,
            )
            && self.values(http, &o.methods, |m| m.matches("GET"), |m| m.matches("GET"))
            && self.values(
                http,
                &o.paths,
                |p| p.matches(&self.sent.path),
                |p| p.matches(&self.sent.path),
            )
    }

    fn condition(&self, condition: &Condition) -> bool {
        match condition {
            Condition::Text(attribute, values) => self.text(attribute, values),
            Condition::Ip(IpAttribute::Source, values) => self.ip(self.sent.address, values),
            Condition::Ip(IpAttribute::Remote, values) => self.ip(self.sent.remote, values),
            Condition::Ip(IpAttribute::Destination, values) => self.ip(self.sent.local.address, values),
            Condition::DestinationPort(values) => {
                let here = |p: &u16| *p == self.sent.local.port;
                self.values(true, values, here, here)
            }
            Condition::Unknown(_) => !self.lets_pass,
        }
    }

    fn text(&self, attribute: &TextAttribute, values: &Values<TextMatch>) -> bool {
        let id = self.sent.identity.as_ref();
        let claims = &self.sent.claims;
        let (known, texts): (bool, Vec<String>) = match attribute {
            TextAttribute::RequestHeader(name) => {
                let all = self.sent.headers.get_all(name.as_str()).iter();
                let all: Vec<_> = all.map(|v| v.to_str().unwrap().to_owned()).collect();
                let joined: Vec<_> = (!all.is_empty()).then(|| all.join(",")).into_iter().collect();
                let each: Vec<_> = joined.iter().cloned().chain(all).collect();
                let among = |texts: &[String], m: &TextMatch| texts.iter().any(|t| m.matches(t));
                let (any, none) = if self.lets_pass {
                    (joined, each)
                } else {
                    (each, joined)
                };
                let known = self.known != Known::Connection;
                return self.values(known, values, |m| among(&any, m), |m| among(&none, m));
            }
            TextAttribute::SourceNamespace => (true, id.iter().map(|i| i.namespace().to_string()).collect()),
            TextAttribute::SourceServiceAccount => (
                true,
                id.iter()
                    .map(|i| format!("{}/{}", i.namespace(), i.service_account()))
                    .collect(),
            ),
            TextAttribute::SourcePrincipal => (true, id.iter().map(|i| i.principal()).collect()),
            TextAttribute::SourceTrustDomain => {
                (true, id.iter().map(|i| i.trust_domain().to_string()).collect())
            }
            TextAttribute::RequestPrincipal => {
                (false, claims.principal().iter().map(|p| p.to_string()).collect())
            }
            TextAttribute::Audiences => (false, claims.audiences().map(|a| a.into_owned()).collect()),
            TextAttribute::Presenter => (
                false,
                claims.presenter().iter().map(|p| (*p).to_owned()).collect(),
            ),
            TextAttribute::Claim(path) => (false, claims.values(path).map(|v| v.into_owned()).collect()),
            TextAttribute::ExternalAuth(name) => {
                let said = self.sent.metadata.as_ref().and_then(|m| m.get(&[name.as_str()]));
                let texts = said.iter().filter_map(|v| v.as_str());
                (false, texts.map(str::to_owned).collect())
            }
            TextAttribute::ServerName => (
                true,
                self.sent.server_name.iter().map(|n| n.to_lowercase()).collect(),
            ),
        };
        let matches = |m: &TextMatch| {
            texts.iter().any(|t| match attribute {
                TextAttribute::ServerName => m.matches_ignoring_case(t),
                _ => m.matches(t),
            })
        };
        self.values(known || self.known == Known::Everything, values, matches, matches)
    }

    fn ip(&self, ip: IpAddr, values: &Values<IpNet>) -> bool {
        self.values(
            true,
            values,
            |range| range.contains(&ip),
            |range| range.contains(&ip),
        )
    }

    fn values<T>(
        &self,
        known: bool,
        values: &Values<T>,
        any: impl Fn(&T) -> bool,
        none: impl Fn(&T) -> bool,
    ) -> bool {
        if values.is_any() {
            return true;
        }
        if values.broken || !known {
            return !self.lets_pass;
        }
        (values.any.is_empty() || values.any.iter().any(any)) && !values.none.iter().any(none)
    }
}
