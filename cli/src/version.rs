//! What runs in which version: this program, the control plane, the proxies. Pure.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::output::{Table, View};

/// What is known of versions, beside this program's own.
#[derive(Clone, Debug, Default)]
pub struct Versions {
    control_plane: Vec<Part>,
    data_plane: Vec<Part>,
    /// Why nothing else is known.
    unknown: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    kind: String,
    name: String,
    version: String,
}

impl Versions {
    /// Nobody could be asked.
    #[must_use]
    pub fn unknown(why: &anyhow::Error) -> Self {
        Self {
            unknown: Some(format!("{why:#}")),
            ..Self::default()
        }
    }

    /// What a proxy's `/config_dump` says.
    #[must_use]
    pub fn of_proxy(page: &Value) -> Self {
        let said = |field: &str| text(&page["version"][field], "unknown");
        let part = Part {
            kind: said("component"),
            name: String::new(),
            version: said("version"),
        };
        Self {
            data_plane: vec![part],
            ..Self::default()
        }
    }

    /// What a replica's `/version` says: `<version>-<revision>-<status>`, as istiod's.
    pub fn control_plane(&mut self, name: &str, line: &str) {
        let line = line.trim();
        let mut parts = line.rsplitn(3, '-');
        let version = match (parts.next(), parts.next(), parts.next()) {
            (Some(_), Some(_), Some(version)) => version,
            _ => line,
        };
        self.control_plane.push(Part {
            kind: "control plane".to_owned(),
            name: name.to_owned(),
            version: version.to_owned(),
        });
    }

    /// What a replica's `/debug/syncz` says of its clients.
    pub fn clients(&mut self, page: &Value) {
        let clients = page.as_array().into_iter().flatten();
        let named = clients.filter(|client| client["proxy"].is_string());
        self.data_plane.extend(named.map(|client| Part {
            kind: text(&client["proxy_type"], "proxy"),
            name: text(&client["proxy"], ""),
            version: text(&client["istio_version"], "unknown"),
        }));
        self.data_plane.sort_by(|a, b| a.name.cmp(&b.name));
        // One that has a stream to two replicas for a moment is still one.
        self.data_plane.dedup();
    }

    /// For people and programs.
    #[must_use]
    pub fn view(&self) -> View {
        let mut table = Table::new(["COMPONENT", "NAME", "VERSION"]);
        table.row(["client".to_owned(), "lateen".to_owned(), CLIENT.to_owned()]);
        let parts = || self.control_plane.iter().chain(&self.data_plane);
        for part in parts() {
            table.row([
                part.kind.clone(),
                crate::validate::or_dash(&part.name),
                part.version.clone(),
            ]);
        }
        let all: BTreeSet<&str> = parts()
            .map(|part| part.version.as_str())
            .chain([CLIENT])
            .collect();
        if all.len() > 1 {
            table.foot("not all are of the same version");
        }
        if let Some(why) = &self.unknown {
            table.foot(format!("the mesh was not asked: {why}"));
        }
        let of = |parts: &[Part]| -> Vec<Value> {
            let parts = parts.iter();
            let data =
                parts.map(|part| json!({"kind": part.kind, "name": part.name, "version": part.version}));
            data.collect()
        };
        let mut data = json!({
            "client": CLIENT,
            "controlPlane": of(&self.control_plane),
            "dataPlane": of(&self.data_plane),
        });
        if let Some(why) = &self.unknown {
            data["notAsked"] = why.as_str().into();
        }
        View { table, data }
    }
}

fn text(value: &Value, otherwise: &str) -> String {
    value.as_str().unwrap_or(otherwise).to_owned()
}

const CLIENT: &str = env!("CARGO_PKG_VERSION");

#[cfg(test)]
mod tests;
