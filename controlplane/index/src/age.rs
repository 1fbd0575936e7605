//! Which of two objects was there first.

use controlplane_k8s_api::Metadata;
use mesh_model::l7::Created;
use mesh_types::{NamespacedName, Strng};

/// The order in which objects were made; those that do not say when come last, by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Age {
    unknown: bool,
    /// RFC 3339 in UTC, as API servers write it: the order of the text is that of time.
    created: Option<Strng>,
    name: NamespacedName,
}

impl Age {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self {
            unknown: metadata.creation_timestamp.is_none(),
            created: metadata.creation_timestamp.clone(),
            name: NamespacedName::new(metadata.namespace.clone(), metadata.name.clone()),
        }
    }
}

/// When an object was made, as proxies are told it.
pub(crate) fn created(metadata: &Metadata) -> Created {
    let seconds = metadata.creation_timestamp.as_deref().and_then(seconds_of);
    seconds.map_or_else(Created::unknown, Created::at)
}

/// Seconds since 1970 of a time as API servers write it: `2026-01-31T23:59:59Z`, years from 1970 on.
fn seconds_of(text: &str) -> Option<u64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let [year, month, day] = numbers(date, '-')?;
    let time = time.split_once('.').map_or(time, |(whole, _)| whole);
    let [hour, minute, second] = numbers(time, ':')?;
    let fit = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !fit {
        return None;
    }
    // Years that begin in March have their leap day at their end (Hinnant, "chrono-Compatible Low-Level Date Algorithms").
    let (years, months) = match month {
        3.. => (year, month - 3),
        _ => (year - 1, month + 9),
    };
    let of_year = (153 * months + 2) / 5 + day - 1;
    let days = years * 365 + years / 4 - years / 100 + years / 400 + of_year - DAYS_TO_1970;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

fn numbers(text: &str, separator: char) -> Option<[u64; 3]> {
    let mut parts = text.split(separator).map(|part| part.parse::<u64>().ok());
    let numbers = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(numbers)
}

/// From March of the year 0 to 1970.
const DAYS_TO_1970: u64 = 719_468;

#[cfg(test)]
mod tests;
