//! The one loop that changes anything: files, reports and ends of leases go in, one after the other; what follows from
//! them is written down, published, and only then answered.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;

use controlplane_index::allocation::HostAddresses;
use controlplane_index::waypoint::Waypoints;
use controlplane_index::{ObjectStatus, UnrecordedAddresses};
use mesh_register::server::Assignments;
use mesh_register::{Outcome, Place, Report, Withdrawal};
use mesh_runtime::readiness::BlockReady;
use mesh_types::NamespacedName;
use mesh_xds::ResourceCache;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

use crate::address_claims::AddressClaims;
use crate::address_store::AddressStore;
use crate::delivery::{Count, DeliveryBoard};
use crate::derivation::{AssignmentChange, Derivation, ObjectCondition};
use crate::gateways::GatewayBoard;
use crate::leases::{LeaseChange, Leases, Record, ReportRefused};
use crate::pods::PodBoard;
use crate::registrar::PlaceEvent;
use crate::registration_store::{PlaceRecords, RegistrationStore};
use crate::registrations::RegistrationBoard;
use crate::remarks;
use crate::sources::{SourceBatch, Sources};

/// Everything that the loop owns.
#[derive(Debug)]
pub struct Control {
    sources: Sources,
    derivation: Derivation,
    leases: Leases,
    /// Where each workload belongs, by the manifests.
    assigned: BTreeMap<NamespacedName, Place>,
    /// Which addresses places may claim, by the manifests.
    claims: AddressClaims,
    store: RegistrationStore,
    address_store: AddressStore,
    outputs: Outputs,
    /// Held until the configuration is known completely.
    unready: Option<BlockReady>,
    /// Lease changes of this round.
    changes: Vec<LeaseChange>,
    /// Places whose file does not say what is true.
    unwritten: BTreeSet<Place>,
    /// Addresses that the file does not have yet.
    unwritten_addresses: Option<HostAddresses>,
    answers: Vec<(oneshot::Sender<Outcome>, Outcome)>,
}

/// Something that somebody wants to know.
#[derive(Debug)]
pub enum Question {
    /// What the authors of objects should know.
    Conditions(oneshot::Sender<Vec<ObjectCondition>>),
    /// What became of each object.
    Statuses(oneshot::Sender<Vec<ObjectStatus>>),
    /// The same, once everything is known: what is found out before may turn out otherwise.
    KnownStatuses(oneshot::Sender<Option<KnownStatuses>>),
    /// What is to be made of Gateways of our classes, once everything is known.
    Waypoints(oneshot::Sender<Option<Waypoints>>),
    /// Which ServiceEntries' statuses lack the addresses of their hosts.
    UnrecordedAddresses(oneshot::Sender<Vec<UnrecordedAddresses>>),
}

/// What became of each object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KnownStatuses {
    /// Of each one.
    pub statuses: Vec<ObjectStatus>,
    /// Whether they say how far each came.
    pub count: Count,
}

/// Where things are kept.
#[derive(Clone, Debug)]
pub struct Stores {
    /// What runs where.
    pub registrations: RegistrationStore,
    /// The addresses of hosts.
    pub addresses: AddressStore,
}

/// Where results go.
#[derive(Clone, Debug)]
pub struct Outputs {
    /// To proxies.
    pub cache: ResourceCache,
    /// To places.
    pub assignments: Assignments,
    /// To those who only look.
    pub registrations: RegistrationBoard,
    /// To those who let gateways' proxies in.
    pub gateways: GatewayBoard,
    /// To those who judge tokens of pods.
    pub pods: PodBoard,
    /// From those who know how far what is published came.
    pub deliveries: DeliveryBoard,
    /// To those who write down what became of objects: moves when that may have changed.
    pub changed: Arc<watch::Sender<u64>>,
}

impl Control {
    /// A loop that begins with what was registered before. Nothing is served until the configuration is known
    /// completely; then `unready` is closed.
    #[must_use]
    pub fn new(
        sources: Sources,
        derivation: Derivation,
        mut leases: Leases,
        restored: Vec<Record>,
        stores: Stores,
        outputs: Outputs,
        unready: BlockReady,
    ) -> Self {
        let changes = leases.restore(restored, Instant::now());
        Self {
            sources,
            derivation,
            leases,
            assigned: BTreeMap::new(),
            claims: AddressClaims::default(),
            store: stores.registrations,
            address_store: stores.addresses,
            outputs,
            unready: Some(unready),
            changes,
            unwritten: BTreeSet::new(),
            unwritten_addresses: None,
            answers: Vec::new(),
        }
    }

    /// Runs until the places' queue has ended.
    ///
    /// # Errors
    /// Never; the type is the supervisor's.
    pub async fn run(
        mut self,
        mut config: mpsc::Receiver<SourceBatch>,
        mut places: mpsc::Receiver<PlaceEvent>,
        mut questions: mpsc::Receiver<Question>,
    ) -> Result<(), Infallible> {
        let mut events = Vec::with_capacity(BATCH);
        loop {
            let deadline = self.leases.next_deadline();
            tokio::select! {
                // Manifests first: a report of a pod whose manifest is waiting would be refused in vain.
                biased;
                Some(batch) = config.recv() => self.take_config(batch),
                count = places.recv_many(&mut events, BATCH) => {
                    if count == 0 {
                        return Ok(());
                    }
                    for event in events.drain(..) {
                        self.take_event(event, Instant::now());
                    }
                }
                Some(question) = questions.recv() => {
                    self.answer(question);
                    continue;
                }
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                    let expired = self.leases.expire(Instant::now());
                    self.note(expired);
                }
            }
            self.settle().await;
        }
    }

    fn answer(&self, question: Question) {
        // Whoever asked may have gone.
        match question {
            Question::Conditions(answer) => drop(answer.send(self.derivation.conditions())),
            Question::Statuses(answer) => drop(answer.send(self.all_statuses().statuses)),
            Question::KnownStatuses(answer) => {
                drop(answer.send(self.is_known().then(|| self.all_statuses())));
            }
            Question::Waypoints(answer) => {
                drop(answer.send(self.is_known().then(|| self.derivation.waypoints())));
            }
            Question::UnrecordedAddresses(answer) => {
                // Who has what is found out only when all are known.
                let known = self.is_known().then(|| self.derivation.unrecorded_addresses());
                drop(answer.send(known.unwrap_or_default()));
            }
        }
    }

    /// What became of each object, how many proxies have it, and what is to be said of those that are not understood, or not
    /// wholly.
    fn all_statuses(&self) -> KnownStatuses {
        let mut statuses = self.derivation.statuses();
        let count = self.outputs.deliveries.state(&mut statuses);
        remarks::state(self.sources.remarks(), &mut statuses);
        KnownStatuses { statuses, count }
    }

    fn is_known(&self) -> bool {
        self.unready.is_none()
    }

    fn take_config(&mut self, batch: SourceBatch) {
        let of_cluster = matches!(batch, SourceBatch::Kube(_));
        let remarked = matches!(&batch, SourceBatch::Kube(batch) if batch.remarks.is_some());
        let changes = self.sources.take(batch);
        if of_cluster {
            self.outputs.pods.update(&changes);
        }
        if !changes.is_empty() {
            self.claims.apply(&changes);
            self.outputs.deliveries.take(&changes);
            self.derivation.apply(changes);
            self.take_assignments();
            self.outputs.changed.send_modify(|changed| *changed += 1);
            if let Some(addresses) = self.derivation.take_addresses() {
                self.unwritten_addresses = Some(addresses);
            }
        } else if remarked {
            self.outputs.changed.send_modify(|changed| *changed += 1);
        }
        if self.sources.are_known()
            && let Some(unready) = self.unready.take()
        {
            // Manifests that were deleted while nobody looked.
            let gone: Vec<_> = self
                .leases
                .records()
                .filter(|r| self.assigned.get(&r.report.workload) != Some(&r.place))
                .map(|r| r.report.workload.clone())
                .collect();
            for workload in gone {
                self.forget(&workload);
            }
            self.publish();
            self.outputs.cache.set_ready();
            self.outputs.assignments.set_ready();
            unready.ready();
            self.outputs.changed.send_modify(|changed| *changed += 1);
            tracing::info!("configuration and registrations are loaded: serving");
        }
    }

    /// Tells the operator what objects do not say, once.
    fn warn(&mut self) {
        for warning in self.derivation.take_warnings() {
            tracing::warn!("{}: {}", warning.object.reference(), warning.text);
        }
    }

    fn take_event(&mut self, event: PlaceEvent, now: Instant) {
        match event {
            PlaceEvent::Alive(place) => {
                let renewed = self.leases.renew(&place, now);
                self.note(renewed);
            }
            PlaceEvent::Report(place, report, answer) => {
                let outcome = self.take_report(&place, report, now);
                self.answers.push((answer, outcome));
            }
            PlaceEvent::Withdraw(place, withdrawal, answer) => {
                self.take_withdrawal(&place, &withdrawal);
                self.answers.push((answer, Outcome::Accepted));
            }
        }
    }

    fn take_report(&mut self, place: &Place, report: Report, now: Instant) -> Outcome {
        if self.assigned.get(&report.workload) != Some(place) {
            return Outcome::NotAssigned;
        }
        let workload = report.workload.clone();
        let mut addresses = report.addresses.iter();
        if let Err(refused) = addresses.try_for_each(|address| self.claims.check(place, *address)) {
            tracing::warn!(%place, %workload, "report refused: {refused}");
            return Outcome::Invalid(refused.to_string());
        }
        match self.leases.report(place, report, now) {
            Ok(changes) => {
                self.note(changes);
                Outcome::Accepted
            }
            Err(refused) => {
                tracing::warn!(%place, %workload, "report refused: {refused}");
                match refused {
                    // The other place may let go of it.
                    ReportRefused::AddressTaken { .. } => Outcome::Unavailable(refused.to_string()),
                    ReportRefused::NoAddress(_) => Outcome::Invalid(refused.to_string()),
                }
            }
        }
    }

    fn take_withdrawal(&mut self, place: &Place, withdrawal: &Withdrawal) {
        let changes = self.leases.withdraw(place, withdrawal);
        self.unwritten.insert(place.clone());
        self.note(changes);
    }

    /// What the manifests say about where things belong; what does not belong where it runs is gone.
    fn take_assignments(&mut self) {
        for change in self.derivation.take_assignments() {
            match change {
                AssignmentChange::Assign(place, assignment) => {
                    let workload = assignment.workload.clone();
                    let before = self.assigned.insert(workload.clone(), place.clone());
                    if let Some(before) = before.filter(|b| *b != place) {
                        self.outputs.assignments.unassign(&before, &workload);
                        self.forget_on(&before, &workload);
                    }
                    self.outputs.assignments.assign(&place, assignment);
                }
                AssignmentChange::Unassign(place, workload) => {
                    self.outputs.assignments.unassign(&place, &workload);
                    if self.assigned.get(&workload) == Some(&place) {
                        self.assigned.remove(&workload);
                    }
                    self.forget_on(&place, &workload);
                }
            }
        }
    }

    fn forget_on(&mut self, place: &Place, workload: &NamespacedName) {
        if self.leases.get(workload).is_some_and(|r| r.place == *place) {
            self.forget(workload);
        }
    }

    fn forget(&mut self, workload: &NamespacedName) {
        if let Some(record) = self.leases.get(workload) {
            self.unwritten.insert(record.place.clone());
        }
        let changes = self.leases.forget(workload);
        self.note(changes);
    }

    fn note(&mut self, changes: Vec<LeaseChange>) {
        for change in &changes {
            match change {
                LeaseChange::Set(record) => {
                    self.unwritten.insert(record.place.clone());
                    let (place, workload) = (&record.place, &record.report.workload);
                    if record.live {
                        tracing::debug!(%place, %workload, "registered");
                    } else {
                        tracing::warn!(%place, %workload, "unhealthy: its node's lease has ended");
                    }
                }
                LeaseChange::Removed(workload) => {
                    // Whoever had it may be another place than the one that now writes.
                    let place = self.assigned.get(workload);
                    self.unwritten.extend(place.cloned());
                    tracing::debug!(%workload, "registration removed");
                }
            }
        }
        self.changes.extend(changes);
    }

    /// Writes down, publishes, answers.
    async fn settle(&mut self) {
        let written = self.write().await;
        self.write_addresses().await;
        self.publish();
        self.warn();
        for (answer, outcome) in self.answers.drain(..) {
            let outcome = match (&written, outcome) {
                (Err(e), Outcome::Accepted) => Outcome::Unavailable(e.clone()),
                (_, outcome) => outcome,
            };
            // A stream that is gone asks again on its next one.
            let _ = answer.send(outcome);
        }
    }

    async fn write(&mut self) -> Result<(), String> {
        if self.unwritten.is_empty() {
            return Ok(());
        }
        let records = PlaceRecords::of(&self.leases, &self.unwritten);
        let store = self.store.clone();
        let written = tokio::task::spawn_blocking(move || store.write(&records)).await;
        let result = match written {
            Ok(written) => written.map_err(|e| e.to_string()),
            Err(e) => Err(format!("registrations: {e}")),
        };
        match &result {
            Ok(()) => self.unwritten.clear(),
            // The places stay unwritten, and are tried with the next change.
            Err(e) => tracing::error!("cannot be kept: {e}"),
        }
        result
    }

    /// Without the file, most hosts have the same addresses after a restart all the same: nothing waits for it.
    async fn write_addresses(&mut self) {
        let Some(addresses) = self.unwritten_addresses.take() else {
            return;
        };
        let store = self.address_store.clone();
        let written = tokio::task::spawn_blocking(move || (store.write(&addresses), addresses)).await;
        match written {
            Ok((Ok(()), _)) => {}
            Ok((Err(e), addresses)) => {
                tracing::error!("cannot be kept: {e}");
                self.unwritten_addresses = Some(addresses);
            }
            Err(e) => tracing::error!("addresses of hosts cannot be kept: {e}"),
        }
    }

    fn publish(&mut self) {
        let changes = std::mem::take(&mut self.changes);
        self.outputs.registrations.update(&changes);
        self.derivation.register(changes);
        // Whom a gateway's proxies run as is known before there is anything for them.
        self.outputs.gateways.update(self.derivation.take_accounts());
        let resources = self.derivation.take_resources();
        if resources.is_empty() {
            return;
        }
        let published = self.outputs.cache.publish(resources);
        tracing::debug!(
            sequence = published.sequence,
            changed = published.changed,
            "published"
        );
    }
}

/// Reports that are written and published together.
const BATCH: usize = 256;

#[cfg(test)]
mod tests;
