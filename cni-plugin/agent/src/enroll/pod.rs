//! One pod: what is done, what is wanted, which operation comes next.

mod announced;

use std::collections::BTreeSet;
use std::mem::{Discriminant, discriminant};
use std::net::IpAddr;
use std::time::Duration;

use mesh_register::{Assignment, Membership, Redirection};

use super::action::{Action, Answer, Failure, Operation, Pace};
use super::drift::Drift;
use super::record::{Enrolment, Record, Role, Settings};
use super::{Epoch, RequestId, SandboxName};

pub use announced::annotation;

/// Whether something changed that is written down.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Progress {
    Made,
    Recorded,
    /// Something else was written than what was reported.
    Contradicted,
}

/// What is known of ztunnel's part.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Proxy {
    /// No ztunnel has it, nor will be told of it.
    Absent,
    /// ztunnels are told of it when they connect; whether one has taken it is not known.
    Listed(Role),
    /// ztunnel has taken it.
    Taken(Role),
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Rules {
    /// There may be some: an operation on them was begun, or the agent has restarted.
    Unknown,
    /// None of ours.
    None,
    These(Settings),
    /// Nothing new is redirected. `drained`: nothing redirected is open any more either, or its time is over.
    Released {
        drained: bool,
    },
}

#[derive(Debug)]
pub(super) struct Pod {
    pub(super) record: Record,
    /// ADDs and CHECKs that wait until all is in order.
    pub(super) adds: Vec<RequestId>,
    pub(super) dels: Vec<RequestId>,
    problem: Option<Problem>,
    rules: Rules,
    proxy: Proxy,
    reported: Option<Redirection>,
    /// What others said while a report was under way: somebody has written something else since, or it is not heard of yet.
    contradicted: bool,
    /// Others who write what is reported.
    pub(super) drift: Drift,
    /// How long its connections are given when it leaves.
    pace: Pace,
    /// Its namespace was found to be the one that it was, since the last doubt.
    seen: bool,
    /// There was doubt while it was being looked at: what is found then may be older.
    doubted: bool,
    /// It has run outside the mesh, so its traffic must not stop on the way in.
    running: bool,
    leaving: Option<Leaving>,
    busy: Option<(Operation, Epoch)>,
    /// Nothing is begun before [`Pod::retry`] with this epoch.
    resting: Option<Epoch>,
}

/// Why an operation failed last; it stands until one of that kind succeeds.
#[derive(Debug)]
struct Problem {
    of: Discriminant<Operation>,
    reason: String,
    /// How often in a row.
    failures: u32,
}

/// What is done of a pod's end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Leaving {
    Underway,
    Withdrawn,
}

impl Pod {
    pub(super) fn started(record: Record, request: RequestId) -> Self {
        Self {
            record,
            adds: vec![request],
            dels: Vec::new(),
            problem: None,
            rules: Rules::None,
            proxy: Proxy::Absent,
            reported: None,
            contradicted: false,
            drift: Drift::default(),
            pace: Pace::Usual,
            seen: true,
            doubted: false,
            running: false,
            leaving: None,
            busy: None,
            resting: None,
        }
    }

    pub(super) fn restored(record: Record) -> Self {
        let (rules, proxy) = match &record.enrolment {
            Some(enrolment) => (Rules::Unknown, Proxy::Listed(enrolment.role.clone())),
            None => (Rules::None, Proxy::Absent),
        };
        let running = record.enrolment.is_none();
        Self {
            adds: Vec::new(),
            rules,
            proxy,
            seen: false,
            running,
            ..Self::started(record, RequestId(0))
        }
    }

    /// It runs, and no plugin told of it. `marked`: somebody says that it is in the mesh, so it may have rules.
    pub(super) fn found(record: Record, marked: bool, wanted: &Assignment) -> Self {
        let mut pod = Self::restored(record);
        pod.seen = true;
        if marked {
            pod.rules = Rules::Unknown;
            pod.record.enrolment = enrolment(wanted).or_else(|| {
                Some(Enrolment {
                    role: Role {
                        service_account: wanted.service_account.to_string(),
                    },
                    settings: Settings::default(),
                })
            });
        }
        pod
    }

    // === requests ===

    pub(super) fn is_same_sandbox(&self, other: &Record) -> bool {
        let mine = &self.record;
        self.leaving.is_none()
            && (mine.netns, &mine.container_id, &mine.ips) == (other.netns, &other.container_id, &other.ips)
    }

    /// DEL and CHECK name a sandbox by its id; a foreign plugin's ADD gave none.
    pub(super) fn is(&self, sandbox: &SandboxName) -> bool {
        match &self.record.container_id {
            Some(id) => *id == sandbox.container_id,
            None => sandbox.pod.as_ref() == Some(&self.record.pod),
        }
    }

    pub(super) fn waits(&self, request: RequestId) -> bool {
        self.adds.contains(&request) || self.dels.contains(&request)
    }

    pub(super) fn added_again(&mut self, request: RequestId) {
        self.adds.push(request);
        self.doubt();
        self.try_now();
    }

    /// The same pod has a new sandbox: nothing that was done for the old one holds.
    pub(super) fn replaced(&mut self, record: Record, request: RequestId, actions: &mut Vec<Action>) {
        let replaced = "the pod has got another sandbox".to_owned();
        self.answer_all(&Answer::Refused(replaced), actions);
        self.answer_dels(actions);
        let proxy = match &self.proxy {
            Proxy::Absent => Proxy::Absent,
            Proxy::Listed(role) | Proxy::Taken(role) => Proxy::Listed(role.clone()),
        };
        *self = Self {
            proxy,
            ..Self::started(record, request)
        };
    }

    /// Its end has begun; there is no way back.
    pub(super) fn gone(&mut self) {
        if self.leaving.is_none() {
            self.leaving = Some(Leaving::Underway);
            self.busy = None;
            self.try_now();
        }
    }

    /// What is known of it may be wrong.
    pub(super) fn doubt(&mut self) {
        self.seen = false;
        self.doubted = self.busy.is_some();
    }

    pub(super) fn try_now(&mut self) {
        self.resting = None;
    }

    /// It is to stay after all: nobody waits for its connections to end.
    pub(super) fn stays(&mut self) {
        self.busy
            .take_if(|(operation, _)| matches!(operation, Operation::Drain(_)));
    }

    /// The mesh leaves the node.
    pub(super) fn hurry(&mut self) {
        if self.pace != Pace::Leaving {
            self.pace = Pace::Leaving;
            self.stays();
        }
    }

    pub(super) fn answer_all(&mut self, answer: &Answer, actions: &mut Vec<Action>) {
        let adds = self.adds.drain(..);
        actions.extend(adds.map(|request| Action::Answer(request, answer.clone())));
    }

    pub(super) fn answer_dels(&mut self, actions: &mut Vec<Action>) {
        let dels = self.dels.drain(..);
        actions.extend(dels.map(|request| Action::Answer(request, Answer::Done)));
    }

    // === decisions ===

    /// Takes note of what is wanted before anything is done about it; true when that is to be written down.
    pub(super) fn note_wanted(&mut self, wanted: Option<&Assignment>) -> bool {
        let Some(enrolment) = wanted.and_then(enrolment) else {
            return false;
        };
        if self.leaving.is_some() || self.record.enrolment.as_ref() == Some(&enrolment) {
            return false;
        }
        self.record.enrolment = Some(enrolment);
        true
    }

    /// The operation that comes next, if one is to be begun now.
    pub(super) fn next(
        &self,
        wanted: Option<&Assignment>,
        host: Option<&BTreeSet<IpAddr>>,
    ) -> Option<Operation> {
        if self.busy.is_some() || self.resting.is_some() {
            return None;
        }
        if let Some(leaving) = self.leaving {
            return self.next_of_leaving(leaving);
        }
        match (&self.record.enrolment, wanted.map(|a| a.membership)) {
            (Some(enrolment), Some(Membership::Member) | None) => self.next_of_member(enrolment, host),
            (Some(_), Some(Membership::Outside)) => self.next_of_reversal(),
            (None, Some(_)) => self.next_of_outsider(),
            (None, None) => (!self.seen).then_some(Operation::EnsureNamespace),
        }
    }

    fn next_of_member(&self, enrolment: &Enrolment, host: Option<&BTreeSet<IpAddr>>) -> Option<Operation> {
        let Enrolment { role, settings } = enrolment;
        match &self.proxy {
            // ztunnel does not notice another name for a namespace that it has.
            Proxy::Listed(other) | Proxy::Taken(other) if other != role => return Some(Operation::ProxyDel),
            Proxy::Listed(_) | Proxy::Absent if self.running => {
                return Some(Operation::ProxyAdd(role.clone()));
            }
            _ => {}
        }
        if !self.seen || self.rules != Rules::These(settings.clone()) {
            return Some(Operation::EnsureRules(settings.clone()));
        }
        if !self.probes_work(host) {
            return None;
        }
        if self.proxy != Proxy::Taken(role.clone()) {
            return Some(Operation::ProxyAdd(role.clone()));
        }
        self.report(Redirection::Enabled)
    }

    /// First nobody may send it mTLS any more, then its own traffic is no longer captured, then what ztunnel carries of it
    /// ends, and only then ztunnel lets it go: the other way round, new connections would run into listeners that are gone.
    fn next_of_reversal(&self) -> Option<Operation> {
        if self.reported != Some(Redirection::Plain) {
            return Some(Operation::Report(Redirection::Plain));
        }
        Some(match self.rules {
            Rules::Unknown | Rules::These(_) => Operation::ReleaseRules,
            Rules::Released { drained: false } => Operation::Drain(self.pace),
            Rules::Released { drained: true } | Rules::None => Operation::RemoveRules,
        })
    }

    /// What is reported already need not be, and what somebody else changes all the time waits.
    fn report(&self, redirection: Redirection) -> Option<Operation> {
        let due = self.reported != Some(redirection) && !self.drift.holds();
        due.then_some(Operation::Report(redirection))
    }

    fn next_of_outsider(&self) -> Option<Operation> {
        if !self.seen {
            return Some(Operation::EnsureNamespace);
        }
        if self.proxy != Proxy::Absent {
            return Some(Operation::ProxyDel);
        }
        self.report(Redirection::Plain)
    }

    fn next_of_leaving(&self, leaving: Leaving) -> Option<Operation> {
        match leaving {
            Leaving::Underway if self.proxy == Proxy::Absent => Some(Operation::Withdraw),
            Leaving::Underway => Some(Operation::ProxyDel),
            Leaving::Withdrawn => None,
        }
    }

    /// Everything is as the control plane wants it.
    pub(super) fn is_settled(&self, wanted: Option<&Assignment>, host: Option<&BTreeSet<IpAddr>>) -> bool {
        let idle = self.busy.is_none() && self.leaving.is_none() && self.seen && !self.drift.holds();
        idle && wanted.is_some() && self.next(wanted, host).is_none() && self.resting.is_none() && {
            self.record.enrolment.is_none() || self.probes_work(host)
        }
    }

    /// It is in the mesh, by all that is known.
    pub(super) fn is_enrolled(&self) -> bool {
        matches!(self.proxy, Proxy::Taken(_))
            && matches!(self.rules, Rules::These(_))
            && self.reported == Some(Redirection::Enabled)
    }

    /// The node's probe rules are to hold for it.
    pub(super) fn wants_probes(&self) -> bool {
        self.leaving.is_none() && self.record.enrolment.is_some()
    }

    pub(super) fn is_forgotten(&self) -> bool {
        self.leaving == Some(Leaving::Withdrawn)
    }

    fn probes_work(&self, host: Option<&BTreeSet<IpAddr>>) -> bool {
        host.is_some_and(|host| self.record.ips.iter().all(|ip| host.contains(ip)))
    }

    /// Why the last operation failed.
    pub(super) fn problem(&self) -> Option<&str> {
        self.problem.as_ref().map(|problem| problem.reason.as_str())
    }

    // === operations ===

    pub(super) fn doing(&self) -> Option<&Operation> {
        self.busy.as_ref().map(|(operation, _)| operation)
    }

    pub(super) fn begin(&mut self, operation: Operation, epoch: Epoch) {
        match &operation {
            // From here on it may be half done.
            Operation::EnsureRules(_) if !matches!(self.rules, Rules::These(_)) => {
                self.rules = Rules::Unknown
            }
            Operation::ReleaseRules => self.rules = Rules::Unknown,
            Operation::RemoveRules => {
                // ztunnel lets go of it on the way.
                if let Proxy::Taken(role) = &self.proxy {
                    self.proxy = Proxy::Listed(role.clone());
                }
            }
            Operation::ProxyAdd(role) => self.proxy = Proxy::Listed(role.clone()),
            Operation::Report(_) => {
                self.reported = None;
                self.contradicted = false;
                self.drift.announced();
            }
            _ => {}
        }
        self.doubted = false;
        self.busy = Some((operation, epoch));
    }

    /// The operation of this epoch, if it is still awaited.
    pub(super) fn finished(&mut self, epoch: Epoch) -> Option<Operation> {
        let (operation, _) = self.busy.take_if(|(_, began)| *began == epoch)?;
        Some(operation)
    }

    pub(super) fn succeeded(&mut self, operation: Operation) -> Progress {
        self.problem
            .take_if(|problem| problem.of == discriminant(&operation));
        match operation {
            Operation::EnsureRules(settings) => {
                self.seen = !self.doubted;
                self.rules = Rules::These(settings);
            }
            Operation::EnsureNamespace => self.seen = !self.doubted,
            Operation::ReleaseRules => self.rules = Rules::Released { drained: false },
            Operation::Drain(_) => self.rules = Rules::Released { drained: true },
            Operation::RemoveRules => {
                self.rules = Rules::None;
                self.record.enrolment = None;
                self.record.older.clear();
                return Progress::Recorded;
            }
            Operation::ProxyAdd(role) => self.proxy = Proxy::Taken(role),
            Operation::ProxyDel => self.proxy = Proxy::Absent,
            Operation::Report(redirection) => {
                self.reported = Some(redirection);
                self.running = redirection == Redirection::Plain;
                if self.contradicted {
                    return Progress::Contradicted;
                }
            }
            Operation::Withdraw => self.leaving = Some(Leaving::Withdrawn),
        }
        Progress::Made
    }

    pub(super) fn failed(
        &mut self,
        operation: &Operation,
        failure: &Failure,
        epoch: Epoch,
        actions: &mut Vec<Action>,
    ) {
        let longest = match failure {
            Failure::Unavailable(_) => UNAVAILABLE_RETRY_MAX,
            Failure::Refused(reason) => {
                self.answer_all(&Answer::Refused(reason.clone()), actions);
                REFUSED_RETRY_MAX
            }
            Failure::NamespaceGone => return self.gone(),
        };
        let of = discriminant(operation);
        let before = self.problem.take_if(|problem| problem.of == of);
        let failures = before.map_or(0, |problem| problem.failures);
        self.problem = Some(Problem {
            of,
            reason: failure.reason().to_owned(),
            failures: failures + 1,
        });
        let delay = RETRY_MIN.saturating_mul(1 << failures.min(16)).min(longest);
        self.resting = Some(epoch);
        actions.push(Action::RetryAfter(self.record.key.clone(), epoch, delay));
    }

    pub(super) fn retry(&mut self, epoch: Epoch) {
        if self.resting == Some(epoch) {
            self.resting = None;
        }
    }
}

/// As what a pod is to be in the mesh; `None`: not at all.
pub(super) fn enrolment(assignment: &Assignment) -> Option<Enrolment> {
    match assignment.membership {
        Membership::Outside => None,
        Membership::Member => Some(Enrolment {
            role: Role {
                service_account: assignment.service_account.to_string(),
            },
            settings: Settings {
                bypass_inbound_capture: assignment.options.bypass_inbound_capture,
                dns_capture: assignment.options.dns_capture,
                reroute_virtual_interfaces: assignment.options.reroute_virtual_interfaces.clone(),
            },
        }),
    }
}

const RETRY_MIN: Duration = Duration::from_millis(50);
/// Whoever is away may come back at any time, and pods wait for it.
const UNAVAILABLE_RETRY_MAX: Duration = Duration::from_secs(2);
const REFUSED_RETRY_MAX: Duration = Duration::from_secs(30);
