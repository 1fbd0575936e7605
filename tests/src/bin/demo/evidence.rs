//! What the proxies' access logs say of a flow. A fact that neither log nor program confirms is not one.

use std::time::{Duration, SystemTime};

use anyhow::Result;
use lab::Pod;
use lab::access::{AccessLine, AccessLog};
use lab::wait;
use serde_json::Value;

use crate::cast::Cast;
use crate::facts::{Facts, Verdict};
use crate::flow::{Answer, Flow, To, Wire};

/// The logs of both nodes' ztunnels, from one moment on.
pub(crate) struct Witness<'a> {
    cast: &'a Cast,
    since: SystemTime,
    logs: Vec<(usize, AccessLog)>,
    lines: Vec<(usize, AccessLine)>,
}

/// What one flow left in the logs.
struct Trace {
    /// The client's proxy, if the client has one.
    outbound: Option<AccessLine>,
    /// The server's proxy, if the server has one.
    inbound: Option<(usize, AccessLine)>,
}

impl<'a> Witness<'a> {
    /// Everything that is logged from now on.
    pub(crate) fn before(cast: &'a Cast) -> Self {
        let logs = cast.lab.nodes().iter();
        let path = |name: &str| cast.lab.logs().join(format!("{name}-ztunnel.log"));
        Self {
            cast,
            since: SystemTime::now(),
            logs: logs
                .map(|n| (n.index(), AccessLog::follow(&path(n.name()))))
                .collect(),
            lines: Vec::new(),
        }
    }

    /// What the logs and the answer together say of a flow.
    pub(crate) fn judge(&mut self, flow: &Flow, answer: &Answer) -> Result<Facts> {
        let client = self.cast.pod(flow.from)?;
        // Two proxies speak of a flow inside the mesh, one of a flow into it or out of it.
        let outbound = self.cast.in_mesh(flow.from);
        let inbound = flow.targets().iter().all(|t| self.cast.in_mesh(t));
        let mut trace = self.trace(flow)?;
        let complete = |t: &Trace| (t.outbound.is_some() || !outbound) && (t.inbound.is_some() || !inbound);
        // A line that is missing after this time is a doubt, not an error: it is shown as one.
        drop(wait::until("access log lines", PATIENCE, || {
            trace = self.trace(flow).ok()?;
            complete(&trace).then_some(())
        }));
        let mut doubts = Vec::new();
        if trace.outbound.is_none() && outbound {
            doubts.push("the client's ztunnel logged no such connection".to_owned());
        }
        if trace.inbound.is_none() && inbound {
            doubts.push("the server's ztunnel logged no such connection".to_owned());
        }
        let wire = trace.wire(&mut doubts);
        let verdict = trace.verdict(answer, &mut doubts);
        let pod = self.cast.pod(&trace.server(flow))?;
        let mut facts = Facts {
            from: client.full_name(),
            to: match flow.to {
                To::Pod(_) => pod.full_name(),
                To::Service(name, _) => format!("{} ({name})", pod.full_name()),
            },
            with: flow.with.title(self.cast),
            nodes: (
                client.spec().node,
                trace
                    .inbound
                    .as_ref()
                    .map_or_else(|| pod.spec().node, |(n, _)| *n),
            ),
            wire,
            identities: trace.identities(),
            took: answer.took.or_else(|| trace.duration()),
            verdict,
            policies: self.policies_of(pod),
            doubts,
        };
        facts.compare(flow.expect);
        Ok(facts)
    }

    fn policies_of(&self, pod: &Pod) -> Vec<String> {
        let dump = self.cast.lab.nodes()[pod.spec().node]
            .config_dump()
            .unwrap_or_default();
        let workloads = dump["workloads"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let is_pod = |w: &&Value| w["name"] == pod.spec().name.as_str();
        let policies = workloads
            .iter()
            .find(is_pod)
            .and_then(|w| w["authorizationPolicies"].as_array());
        let names = policies.into_iter().flatten().filter_map(Value::as_str);
        names.map(str::to_owned).collect()
    }

    fn trace(&mut self, flow: &Flow) -> Result<Trace> {
        for (node, log) in &mut self.logs {
            self.lines
                .extend(log.fresh().into_iter().map(|line| (*node, line)));
        }
        let client = self.cast.pod(flow.from)?;
        let from = format!("{}:", client.v4());
        let targets = flow.targets();
        // A connection from before may be logged only now; a program takes longer to start than the log is inexact.
        let since = self.since + LOG_PRECISION;
        let ours = |line: &AccessLine, direction: &str| {
            line.is("direction", direction)
                && line.begun().is_some_and(|begun| begun >= since)
                && line.get("src.addr").is_some_and(|a| a.starts_with(&from))
                && targets.iter().any(|t| line.is("dst.workload", t))
        };
        let find = |direction: &str| self.lines.iter().find(|(_, line)| ours(line, direction)).cloned();
        Ok(Trace {
            outbound: find("outbound").map(|(_, line)| line),
            inbound: find("inbound"),
        })
    }
}

impl Trace {
    /// mTLS is what every proxy that saw the connection says is mTLS, with the same two identities.
    fn wire(&self, doubts: &mut Vec<String>) -> Option<Wire> {
        let ends: Vec<_> = self.lines().map(pair).collect();
        let first = ends.first()?;
        if ends.iter().any(|e| e != first) {
            doubts.push("the two ztunnels disagree about the identities".to_owned());
            return None;
        }
        match first {
            (Some(_), Some(_)) if ends.len() == 2 => Some(Wire::Mtls),
            (None, None) => Some(Wire::Plain),
            _ => {
                doubts.push("only one end has an identity".to_owned());
                None
            }
        }
    }

    fn verdict(&self, answer: &Answer, doubts: &mut Vec<String>) -> Verdict {
        let server = self.inbound.as_ref().map(|(_, line)| line);
        let error = server.or(self.outbound.as_ref()).and_then(|l| l.get("error"));
        let refused = server.is_some_and(|l| l.get("policy").is_some())
            || error.is_some_and(|e| e.starts_with(REJECTION));
        match (answer.ok, refused) {
            (true, false) => Verdict::Allowed,
            (false, true) => Verdict::Denied {
                by: server.and_then(|l| l.get("policy")).map(str::to_owned),
                error: error.unwrap_or_default().trim_start_matches(REJECTION).to_owned(),
            },
            (true, true) => {
                doubts.push("the log says refused, and yet the program got its answer".to_owned());
                Verdict::Failed
            }
            (false, false) => {
                let said =
                    error.map_or_else(|| answer.said.clone(), |e| format!("{} (log: {e})", answer.said));
                doubts.push(format!("the program failed: {said}"));
                Verdict::Failed
            }
        }
    }

    fn identities(&self) -> (Option<String>, Option<String>) {
        self.lines().next().map(pair).unwrap_or_default()
    }

    fn duration(&self) -> Option<Duration> {
        let ms: u64 = self
            .lines()
            .next()?
            .get("duration")?
            .trim_end_matches("ms")
            .parse()
            .ok()?;
        Some(Duration::from_millis(ms))
    }

    /// Who answered: what the logs say, where they say it.
    fn server(&self, flow: &Flow) -> String {
        let logged = self.inbound.as_ref().map(|(_, l)| l).or(self.outbound.as_ref());
        logged.and_then(|l| l.get("dst.workload")).map_or_else(
            || flow.targets().first().copied().unwrap_or_default().to_owned(),
            str::to_owned,
        )
    }

    fn lines(&self) -> impl Iterator<Item = &AccessLine> {
        self.outbound
            .iter()
            .chain(self.inbound.iter().map(|(_, line)| line))
    }
}

fn pair(line: &AccessLine) -> (Option<String>, Option<String>) {
    let get = |key| line.get(key).map(str::to_owned);
    (get("src.identity"), get("dst.identity"))
}

const REJECTION: &str = "policy rejection: ";
const LOG_PRECISION: Duration = Duration::from_millis(1);
const PATIENCE: Duration = Duration::from_secs(5);
