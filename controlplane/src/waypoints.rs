//! `lateen-controlplane waypoint`: what Gateways become in a cluster, ready for `kubectl apply -f -`.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use controlplane_index::waypoint::deployment::{Manifests, Settings, render};
use controlplane_k8s_api::gateway::{Gateway, GatewayClass};
use controlplane_k8s_api::{Object, parse};
use mesh_types::Strng;
use serde_json::json;

use crate::args::{Manifest, WaypointArgs, names};

/// Prints the objects of every waypoint among the Gateways of some files.
///
/// # Errors
/// Fails naming the first file, object and field that nothing can be made of; then nothing is printed.
pub fn print(args: &WaypointArgs) -> Result<()> {
    let mut found = Found::default();
    for file in &args.files {
        found.read(file)?;
    }
    let text = found.render(&settings(args), args.output)?;
    io::stdout().write_all(text.as_bytes()).context("standard output")
}

fn settings(args: &WaypointArgs) -> Settings {
    let default = Settings::default();
    Settings {
        image: args.image.as_deref().map_or(default.image, Strng::from),
        image_pull_policy: args.image_pull_policy.as_deref().map(Strng::from),
        image_pull_secrets: names(&args.image_pull_secrets),
        user: args.platform.pod_user(),
        control_plane: args.control_plane.as_str().into(),
        cluster_id: args.cluster_id.as_str().into(),
        cluster_domain: args.domain.as_str().into(),
        trust_domain: args.trust_domain.clone(),
        network: args.network.as_str().into(),
        revision: args.revision.as_str().into(),
        ..default
    }
}

/// What the files hold of interest.
#[derive(Default)]
struct Found {
    gateways: Vec<Gateway>,
    classes: BTreeMap<Strng, GatewayClass>,
}

impl Found {
    fn read(&mut self, path: &Path) -> Result<()> {
        if path.as_os_str() == "-" {
            let mut text = String::new();
            io::stdin().read_to_string(&mut text).context("standard input")?;
            return self.take(&text).context("standard input");
        }
        let shown = path.display();
        if !path.is_dir() {
            let text = fs::read_to_string(path).with_context(|| shown.to_string())?;
            return self.take(&text).with_context(|| shown.to_string());
        }
        let entries = fs::read_dir(path).with_context(|| shown.to_string())?;
        let mut files = entries
            .map(|e| e.map(|e| e.path()))
            .collect::<io::Result<Vec<_>>>()
            .with_context(|| shown.to_string())?;
        files.retain(|f| f.is_file() && f.extension().is_some_and(|e| EXTENSIONS.iter().any(|x| e == *x)));
        files.sort();
        files.iter().try_for_each(|file| self.read(file))
    }

    fn take(&mut self, text: &str) -> Result<()> {
        for object in parse(text) {
            match object?.value {
                Object::Gateway(gateway) => self.gateways.push(gateway),
                Object::GatewayClass(class) => {
                    self.classes.insert(class.metadata.name.clone(), class);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn render(&self, settings: &Settings, output: Manifest) -> Result<String> {
        if self.gateways.is_empty() {
            bail!("there is no Gateway");
        }
        let mut all = Vec::new();
        for gateway in &self.gateways {
            let meta = &gateway.metadata;
            let class = self.classes.get(&gateway.spec.gateway_class_name);
            let manifests = render(gateway, class, settings)
                .with_context(|| format!("Gateway {}/{}", meta.namespace, meta.name))?;
            all.push(manifests);
        }
        match output {
            Manifest::Yaml => yaml(&all),
            Manifest::Json => Ok(json_list(&all)),
        }
    }
}

fn yaml(all: &[Manifests]) -> Result<String> {
    let mut documents = Vec::new();
    for manifests in all {
        documents.push(serde_saphyr::to_string(&manifests.service_account)?);
        documents.push(serde_saphyr::to_string(&manifests.deployment)?);
        documents.push(serde_saphyr::to_string(&manifests.service)?);
    }
    Ok(documents.join("---\n"))
}

fn json_list(all: &[Manifests]) -> String {
    let of = |m: &Manifests| [json!(m.service_account), json!(m.deployment), json!(m.service)];
    let items: Vec<_> = all.iter().flat_map(of).collect();
    format!(
        "{:#}\n",
        json!({"apiVersion": "v1", "kind": "List", "items": items})
    )
}

/// What `kubectl` takes out of a directory.
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

#[cfg(test)]
mod tests;
