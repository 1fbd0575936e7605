//! Which endpoint gets a request.

use std::time::Duration;

use crate::error::FieldPath;
use crate::networking::{
    Algorithm, ConsistentHash, HashKey, HashTable, LoadBalancer, LocalityLbSetting, Warmup,
};
use crate::validate::{Check, http};

pub(super) fn load_balancer(check: &mut Check, path: &FieldPath, balancer: &LoadBalancer) {
    if let Algorithm::ConsistentHash(hash) = &balancer.algorithm {
        consistent_hash(check, &path.field("consistentHash"), hash);
    }
    if let Some(locality) = &balancer.locality {
        self::locality(check, &path.field("localityLbSetting"), locality);
    }
    if let Some(warmup) = &balancer.warmup {
        self::warmup(check, &path.field("warmup"), warmup);
    }
}

fn consistent_hash(check: &mut Check, path: &FieldPath, hash: &ConsistentHash) {
    match &hash.key {
        HashKey::Header(name) => check.grammar(path.field("httpHeaderName"), http::header_name(name)),
        HashKey::Cookie(cookie) => {
            check.grammar(
                path.field("httpCookie").field("name"),
                http::header_name(&cookie.name),
            );
        }
        HashKey::QueryParameter(name) if name.is_empty() => {
            check.refuse(path.field("httpQueryParameterName"), "is empty");
        }
        HashKey::QueryParameter(_) | HashKey::SourceIp => {}
    }
    match hash.table {
        HashTable::Ring { minimum_size } if !(1..=MAX_RING).contains(&minimum_size) => {
            let reason = format!("{minimum_size} is not from 1 to {MAX_RING}");
            check.refuse(path.field("ringHash").field("minimumRingSize"), reason);
        }
        HashTable::Maglev { size } if size > MAX_MAGLEV || !is_prime(size) => {
            let reason = format!("{size} is no prime number up to {MAX_MAGLEV}");
            check.refuse(path.field("maglev").field("tableSize"), reason);
        }
        HashTable::Ring { .. } | HashTable::Maglev { .. } => {}
    }
}

pub(in crate::validate) fn locality(check: &mut Check, path: &FieldPath, setting: &LocalityLbSetting) {
    let fails_over = !setting.failover.is_empty() || !setting.failover_priority.is_empty();
    if fails_over && !setting.distribute.is_empty() {
        check.refuse(
            path.field("distribute"),
            "cannot stand beside failover and failoverPriority",
        );
    }
    for (i, distribute) in setting.distribute.iter().enumerate() {
        let path = path.field("distribute").item(i);
        check.grammar(path.field("from"), place(&distribute.from));
        for to in distribute.to.keys() {
            check.grammar(path.field("to").field(to), place(to));
        }
        let sum: u64 = distribute.to.values().map(|w| u64::from(*w)).sum();
        if sum != 100 || distribute.to.values().any(|w| *w == 0) {
            check.refuse(path.field("to"), "must have shares above 0 that add up to 100");
        }
    }
    for (i, failover) in setting.failover.iter().enumerate() {
        let path = path.field("failover").item(i);
        for (name, region) in [("from", &failover.from), ("to", &failover.to)] {
            if region.is_empty() || region.contains(['/', '*']) {
                let reason = format!("{:?} is no region", region.as_str());
                check.refuse(path.field(name), reason);
            }
        }
        if failover.from == failover.to {
            check.refuse(path.field("to"), "is where the traffic comes from");
        }
    }
    for (i, label) in setting.failover_priority.iter().enumerate() {
        if label.is_empty() || label.starts_with('=') {
            check.refuse(path.field("failoverPriority").item(i), "names no label");
        }
    }
}

/// `region/zone/subzone`, or the beginning of one; `*` at the end is any.
fn place(text: &str) -> Result<(), String> {
    let parts: Vec<&str> = text.split('/').collect();
    let star = parts.iter().position(|p| p.contains('*'));
    let star_ok = star.is_none_or(|i| parts[i] == "*" && i + 1 == parts.len());
    if parts.len() > 3 || parts.iter().any(|p| p.is_empty()) || !star_ok {
        return Err(format!("{text:?} is no place like region/zone/* "));
    }
    Ok(())
}

fn warmup(check: &mut Check, path: &FieldPath, warmup: &Warmup) {
    if warmup.duration.0 < Duration::from_secs(1) {
        check.refuse(path.field("duration"), "is less than a second");
    }
    if let Some(percent) = warmup.minimum_percent {
        check.percent(path.field("minimumPercent"), percent);
    }
    // Not a number is refused as well.
    if warmup.aggression.is_some_and(|a| !(a >= 1.0 && a.is_finite())) {
        check.refuse(path.field("aggression"), "is less than 1");
    }
}

fn is_prime(number: u64) -> bool {
    number >= 2
        && (2..)
            .take_while(|d| d * d <= number)
            .all(|d| !number.is_multiple_of(d))
}

/// Envoy's limits.
const MAX_RING: u64 = 8 * 1024 * 1024;
const MAX_MAGLEV: u64 = 5_000_011;
