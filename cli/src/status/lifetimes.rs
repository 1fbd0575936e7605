//! How long the certificates of a proxy are good.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::clock::{seconds, span};

/// What a proxy says of its certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lifetimes {
    /// These.
    Held(Vec<Held>),
    /// It was not asked, or did not answer; why.
    Unknown(String),
}

/// An identity, and how long its certificate is good.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Held {
    identity: String,
    /// RFC 3339; nothing where there is none.
    #[serde(default)]
    expiration_time: Option<String>,
}

/// The certificate that ends first.
struct First<'a> {
    identity: &'a str,
    time: &'a str,
    /// Seconds; none left is negative.
    left: i64,
}

impl Lifetimes {
    /// Reads `/certificates` of a proxy of ours.
    ///
    /// # Errors
    /// Fails when it is another page.
    pub fn read(page: &Value) -> Result<Self, serde_json::Error> {
        Vec::<Held>::deserialize(page).map(Self::Held)
    }

    /// Reads `/config_dump`, as upstream's ztunnel has it too; one that says nothing of certificates is of another proxy.
    #[must_use]
    pub fn of_dump(page: &Value) -> Option<Self> {
        let certificates = page["certificates"].as_array()?;
        let held = certificates.iter().map(|certificate| {
            let leaf = &certificate["certChain"][0]["expirationTime"];
            Held {
                identity: certificate["identity"].as_str().unwrap_or_default().to_owned(),
                expiration_time: leaf.as_str().map(str::to_owned),
            }
        });
        Some(Self::Held(held.collect()))
    }

    /// Whether one has ended and was not renewed. `now` is in seconds since 1970.
    #[must_use]
    pub fn has_ended(&self, now: i64) -> bool {
        self.first(now).is_some_and(|first| first.left <= 0)
    }

    /// In one cell.
    #[must_use]
    pub(super) fn cell(&self, now: i64) -> String {
        match (self, self.first(now)) {
            (Self::Unknown(why), _) => format!("unknown: {why}"),
            (Self::Held(held), None) if held.is_empty() => "holds none".to_owned(),
            (Self::Held(held), None) => format!("none yet, of {}", held.len()),
            (Self::Held(_), Some(first)) => {
                let missing = match self.missing() {
                    0 => String::new(),
                    missing => format!(", {missing} missing"),
                };
                match first.left {
                    left if left <= 0 => format!("{} ago: {}{missing}", span(left), first.identity),
                    left => format!("in {}{missing}", span(left)),
                }
            }
        }
    }

    /// For programs.
    #[must_use]
    pub(super) fn data(&self, now: i64) -> Value {
        let held = match self {
            Self::Unknown(why) => return json!({ "unknown": why }),
            Self::Held(held) => held,
        };
        let mut data = json!({ "count": held.len(), "missing": self.missing() });
        if let Some(first) = self.first(now) {
            data["ends"] = first.time.into();
            data["endsInSeconds"] = first.left.into();
            data["identity"] = first.identity.into();
        }
        data
    }

    fn missing(&self) -> usize {
        let held = match self {
            Self::Held(held) => held.as_slice(),
            Self::Unknown(_) => &[],
        };
        held.iter().filter(|held| held.expiration_time.is_none()).count()
    }

    fn first(&self, now: i64) -> Option<First<'_>> {
        let Self::Held(held) = self else { return None };
        let ends = held.iter().filter_map(|held| {
            let time = held.expiration_time.as_deref()?;
            Some(First {
                identity: &held.identity,
                time,
                left: seconds(time)? - now,
            })
        });
        ends.min_by_key(|first| first.left)
    }
}

#[cfg(test)]
mod tests;
