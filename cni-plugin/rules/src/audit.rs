//! Is what the kernel has what was wanted?
//!
//! The listing of `nft -j list ruleset` is compared with the ruleset as JSON, without handles and counters, element by
//! element and in order where order counts. Tables that are not ours are nobody's business here.

use serde_json::Value;

use crate::nftables;
use crate::rule::Ruleset;

/// What the kernel has that was not wanted, or lacks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// In which table.
    pub table: &'static str,
    /// One line for people.
    pub what: String,
}

/// Why a listing cannot be compared.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the listing of nft is not what libnftables-json describes: {0}")]
pub struct InvalidListing(pub String);

/// Compares a listing of `nft -j list ruleset` with what is wanted; no finding means that all is in order.
///
/// # Errors
/// Fails when the listing is not nft's JSON.
pub fn compare(wanted: &Ruleset, listing: &[u8]) -> Result<Vec<Finding>, InvalidListing> {
    let found = elements(listing)?;
    let listed = elements(nftables::listing(wanted).as_bytes())?;
    let mut findings = Vec::new();
    for name in wanted.names() {
        let name = name.as_str();
        let (found, wanted) = (of_table(&found, name), of_table(&listed, name));
        if found == wanted {
            continue;
        }
        let what = match (found.is_empty(), wanted.is_empty()) {
            (true, _) => "the table is missing".to_owned(),
            (_, true) => "the table should not be there".to_owned(),
            _ => difference(&found, &wanted),
        };
        findings.push(Finding { table: name, what });
    }
    Ok(findings)
}

/// What a listing says of the tables that `wanted` says something about, in one form: equal texts mean equal rules.
///
/// # Errors
/// Fails when the listing is not nft's JSON.
pub fn fingerprint(wanted: &Ruleset, listing: &[u8]) -> Result<String, InvalidListing> {
    let found = elements(listing)?;
    let ours = wanted.names().flat_map(|name| of_table(&found, name.as_str()));
    Ok(Value::Array(ours.cloned().collect()).to_string())
}

fn elements(listing: &[u8]) -> Result<Vec<Value>, InvalidListing> {
    let mut document: Value = serde_json::from_slice(listing).map_err(|e| InvalidListing(e.to_string()))?;
    let Some(Value::Array(elements)) = document.get_mut("nftables").map(Value::take) else {
        return Err(InvalidListing("it has no array \"nftables\"".to_owned()));
    };
    Ok(elements.into_iter().map(comparable).collect())
}

/// An element without what the kernel adds, and with sets' elements in one order.
fn comparable(mut element: Value) -> Value {
    let Some(body) = element
        .as_object_mut()
        .and_then(|e| e.values_mut().next())
        .and_then(Value::as_object_mut)
    else {
        return element;
    };
    body.remove("handle");
    if let Some(Value::Array(addresses)) = body.get_mut("elem") {
        addresses.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
    }
    element
}

/// A table's elements: the table, its sets and chains by name, then its rules as they come.
fn of_table<'a>(elements: &'a [Value], table: &str) -> Vec<&'a Value> {
    let belongs = |element: &&Value| {
        let is = |kind: &str, key: &str| element[kind]["family"] == "inet" && element[kind][key] == table;
        is("table", "name")
            || ["set", "chain", "rule", "map", "flowtable"]
                .iter()
                .any(|kind| is(kind, "table"))
    };
    let mut of_table: Vec<_> = elements.iter().filter(belongs).collect();
    of_table.sort_by_key(|element| {
        let order = ["table", "set", "map", "flowtable", "chain", "rule"];
        let kind = order.iter().position(|kind| element.get(kind).is_some());
        let name = ["set", "chain"]
            .iter()
            .find_map(|kind| element[kind]["name"].as_str());
        // The sort is stable: rules of a chain keep their order.
        let chain = element["rule"]["chain"].as_str();
        (kind, name.or(chain).unwrap_or_default().to_owned())
    });
    of_table
}

fn difference(found: &[&Value], wanted: &[&Value]) -> String {
    if let Some(missing) = wanted.iter().find(|w| !found.contains(w)) {
        return format!("missing: {}", short(missing));
    }
    match found.iter().find(|f| !wanted.contains(f)) {
        Some(foreign) => format!("not ours: {}", short(foreign)),
        None => "the rules are in another order".to_owned(),
    }
}

fn short(element: &Value) -> String {
    element.to_string().chars().take(300).collect()
}

#[cfg(test)]
mod tests;
