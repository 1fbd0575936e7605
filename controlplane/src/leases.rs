//! Who runs where, as the places say it, and for how long they are believed. Pure: time is a parameter, the file is
//! written by others.
//!
//! ```text
//!             report                     the place's lease ends
//!  (nothing) --------> live ------------------------------------------> expired (unhealthy, still there)
//!      ^                ^                                                  |
//!      |                +------- report, renewal by the same place --------+
//!      +---- withdrawal of this uid, deletion of the manifest, another workload has the address
//! ```
//! An expired lease takes nobody away: a control plane that was cut off from a node must not tear down what still runs
//! there.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use mesh_register::{Place, Report, Withdrawal};
use mesh_types::NamespacedName;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// All leases.
#[derive(Debug)]
pub struct Leases {
    period: Duration,
    records: BTreeMap<NamespacedName, Record>,
    holders: BTreeMap<IpAddr, NamespacedName>,
    /// When each place's lease ends; no entry once it has.
    deadlines: BTreeMap<Place, Instant>,
}

/// What a place said of a workload last. This is also what is written to the state directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Who said it.
    pub place: Place,
    /// What it said.
    pub report: Report,
    /// Whether the place's lease is running.
    pub live: bool,
}

/// What changed about a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseChange {
    /// This is true now.
    Set(Record),
    /// It does not run any more.
    Removed(NamespacedName),
}

/// Why a report is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReportRefused {
    /// Another place is alive and has the address: it must let go first, or fall silent for a lease.
    #[error("address {address} belongs to {holder} on {place}, whose lease is running")]
    AddressTaken {
        /// The address.
        address: IpAddr,
        /// Whose it is.
        holder: NamespacedName,
        /// Where that runs.
        place: Place,
    },
    /// Nothing can be reached without an address.
    #[error("the report of {0} has no address")]
    NoAddress(NamespacedName),
}

impl Leases {
    /// No workload yet.
    #[must_use]
    pub fn new(period: Duration) -> Self {
        Self {
            period,
            records: BTreeMap::new(),
            holders: BTreeMap::new(),
            deadlines: BTreeMap::new(),
        }
    }

    /// What was known before a restart. Places whose leases were running have a whole period to come back.
    pub fn restore(&mut self, records: Vec<Record>, now: Instant) -> Vec<LeaseChange> {
        let mut changes = Vec::new();
        for record in records {
            if record.live {
                self.deadlines.insert(record.place.clone(), now + self.period);
            }
            self.insert(record, &mut changes);
        }
        changes
    }

    /// How long a lease is.
    #[must_use]
    pub fn period(&self) -> Duration {
        self.period
    }

    /// Takes a place's word for a workload, and renews its lease.
    ///
    /// # Errors
    /// See [`ReportRefused`]; nothing is changed then.
    pub fn report(
        &mut self,
        place: &Place,
        report: Report,
        now: Instant,
    ) -> Result<Vec<LeaseChange>, ReportRefused> {
        self.check(place, &report)?;
        let mut changes = self.renew(place, now);
        let record = Record {
            place: place.clone(),
            report,
            live: true,
        };
        self.insert(record, &mut changes);
        Ok(changes)
    }

    /// The place says that a workload is gone. Somebody else's, or an earlier instance, is left alone.
    pub fn withdraw(&mut self, place: &Place, withdrawal: &Withdrawal) -> Vec<LeaseChange> {
        let same = |r: &Record| r.place == *place && r.report.uid == withdrawal.uid;
        if self.records.get(&withdrawal.workload).is_some_and(same) {
            return self.forget(&withdrawal.workload);
        }
        Vec::new()
    }

    /// The workload does not exist any more, whatever its place says.
    pub fn forget(&mut self, workload: &NamespacedName) -> Vec<LeaseChange> {
        let Some(record) = self.records.remove(workload) else {
            return Vec::new();
        };
        for address in &record.report.addresses {
            self.holders.remove(address);
        }
        vec![LeaseChange::Removed(workload.clone())]
    }

    /// The place is there: everything that it reported is believed for another period.
    pub fn renew(&mut self, place: &Place, now: Instant) -> Vec<LeaseChange> {
        self.deadlines.insert(place.clone(), now + self.period);
        self.set_live(&BTreeSet::from([place.clone()]), true)
    }

    /// Ends the leases whose time is over.
    pub fn expire(&mut self, now: Instant) -> Vec<LeaseChange> {
        let over: BTreeSet<Place> = self
            .deadlines
            .iter()
            .filter(|(_, deadline)| **deadline <= now)
            .map(|(place, _)| place.clone())
            .collect();
        self.deadlines.retain(|place, _| !over.contains(place));
        self.set_live(&over, false)
    }

    /// When the next lease ends, if any runs; perhaps that of a place that has nothing any more.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.values().min().copied()
    }

    /// What is known of one workload.
    #[must_use]
    pub fn get(&self, workload: &NamespacedName) -> Option<&Record> {
        self.records.get(workload)
    }

    /// Everything that is known, by workload.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.records.values()
    }

    fn check(&self, place: &Place, report: &Report) -> Result<(), ReportRefused> {
        if report.addresses.is_empty() {
            return Err(ReportRefused::NoAddress(report.workload.clone()));
        }
        for address in &report.addresses {
            let holder = self.holders.get(address).filter(|h| **h != report.workload);
            let Some(record) = holder.and_then(|h| self.records.get(h)) else {
                continue;
            };
            // A node must not take another's address as long as that one is heard of: it would draw its traffic.
            if record.live && record.place != *place {
                return Err(ReportRefused::AddressTaken {
                    address: *address,
                    holder: record.report.workload.clone(),
                    place: record.place.clone(),
                });
            }
        }
        Ok(())
    }

    /// Puts a record in its place; whoever had one of its addresses is gone.
    fn insert(&mut self, record: Record, changes: &mut Vec<LeaseChange>) {
        let workload = record.report.workload.clone();
        if self.records.get(&workload) == Some(&record) {
            return;
        }
        for address in &record.report.addresses {
            if let Some(holder) = self.holders.get(address).filter(|h| **h != workload).cloned() {
                changes.extend(self.forget(&holder));
            }
        }
        if let Some(before) = self.records.get(&workload) {
            for address in &before.report.addresses {
                self.holders.remove(address);
            }
        }
        for address in &record.report.addresses {
            self.holders.insert(*address, workload.clone());
        }
        changes.push(LeaseChange::Set(record.clone()));
        self.records.insert(workload, record);
    }

    fn set_live(&mut self, places: &BTreeSet<Place>, live: bool) -> Vec<LeaseChange> {
        if places.is_empty() {
            return Vec::new();
        }
        let changed = self
            .records
            .values_mut()
            .filter(|r| r.live != live && places.contains(&r.place));
        changed
            .map(|record| {
                record.live = live;
                LeaseChange::Set(record.clone())
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
