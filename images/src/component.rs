//! Which images there are.

use std::path::Path;

use anyhow::Result;

use crate::files::Files;
use crate::layer::Effort;
use crate::layout::{Image, ImageConfig};
use crate::{roots, sbom};

/// One image of the product.
#[derive(Clone, Copy, Debug)]
pub struct Component {
    /// The last part of its name: `lateen/<name>`.
    pub name: &'static str,
    /// What the image is for, in one line.
    pub description: &'static str,
    /// Its programs. The first is the entry point.
    pub programs: &'static [Program],
    /// Programs of this machine that it needs: where one lies here, and where in the image.
    pub tools: &'static [(&'static str, &'static str)],
    /// Whom its programs trust outside of the mesh.
    pub trust: Trust,
    /// Cargo's packages that these binaries are made of.
    pub packages: &'static [&'static str],
    /// Who it runs as.
    pub user: User,
}

/// A program of an image.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// The binary's name among the products.
    pub binary: &'static str,
    /// Where it lies in the image.
    pub at: &'static str,
    /// Where it runs.
    pub runs: Runs,
}

/// Where a program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runs {
    /// In the container, with the libraries of its image.
    Inside,
    /// On the host, of which nothing is known: without any library (`scripts/plugin.sh` builds it so).
    OnHost,
}

/// Who a container runs as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    /// Nobody in particular.
    Nobody,
    /// Root, with the capabilities that its chart leaves it.
    Root,
}

/// Whom an image's programs can be told to trust by names outside of the mesh: issuers of tokens over HTTPS, TLS to other
/// services, a control plane with a public certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Nobody: all that they speak to shows certificates of roots that they are given.
    Given,
    /// The authorities that an operating system trusts ([`roots`]).
    System,
}

/// All of them.
pub const COMPONENTS: &[Component] = &[
    Component {
        name: "controlplane",
        description: "Lateen's control plane: discovery, configuration and certificates",
        programs: &[inside(
            "lateen-controlplane",
            "/usr/local/bin/lateen-controlplane",
        )],
        tools: &[],
        trust: Trust::System,
        packages: &["controlplane"],
        user: User::Nobody,
    },
    Component {
        name: "ztunnel",
        description: "Lateen's node proxy: mutual TLS and L4 policy for all pods of a node",
        programs: &[inside("ztunnel", "/usr/local/bin/ztunnel")],
        tools: &[],
        trust: Trust::System,
        packages: &["ztunnel"],
        user: User::Root,
    },
    Component {
        name: "cni",
        description: "Lateen's node agent and CNI plugin: bring pods into the mesh",
        programs: &[
            inside("lateen-node", "/usr/local/bin/lateen-node"),
            // What the agent copies to the host.
            Program {
                binary: "lateen-cni",
                at: "/opt/cni/bin/lateen-cni",
                runs: Runs::OnHost,
            },
        ],
        tools: &[("/usr/sbin/nft", "/usr/local/bin/nft")],
        trust: Trust::Given,
        packages: &["cni-agent", "cni-plugin"],
        user: User::Root,
    },
    Component {
        name: "waypoint",
        description: "Lateen's L7 proxy: routing, policy and telemetry for the services that ask for it",
        programs: &[inside("lateen-waypoint", "/usr/local/bin/lateen-waypoint")],
        tools: &[],
        trust: Trust::System,
        packages: &["waypoint"],
        user: User::Nobody,
    },
];

const fn inside(binary: &'static str, at: &'static str) -> Program {
    Program {
        binary,
        at,
        runs: Runs::Inside,
    }
}

impl Component {
    /// Its image, from the products in a directory. The version goes into labels and the list of materials.
    ///
    /// # Errors
    /// Fails naming the product or tool that is missing, and a program for hosts that needs a library or is too large.
    pub fn image(&self, products: &Path, manifest: &Path, version: &str) -> Result<Image> {
        let mut files = self.files(products, Effort::Smallest)?;
        let materials = sbom::of(manifest, self.packages, &files.carried()?)?;
        let at = format!("/usr/share/sbom/{}", self.materials_file());
        files.make(at, serde_json::to_vec_pretty(&materials)?);
        Image::of(&files, &self.config(version))
    }

    /// The same, made quickly: without the list of materials, and not as small. For a cluster on this machine.
    ///
    /// # Errors
    /// Fails naming the product or tool that is missing, and a program for hosts that needs a library.
    pub fn quick_image(&self, products: &Path, version: &str) -> Result<Image> {
        let effort = Effort::Quickest;
        Image::with(&self.files(products, effort)?, &self.config(version), effort)
    }

    /// The list of materials of its programs alone (CycloneDX, JSON), without files of this machine.
    ///
    /// # Errors
    /// Fails when cargo cannot resolve the workspace from its lock file.
    pub fn materials(&self, manifest: &Path) -> Result<Vec<u8>> {
        Ok(serde_json::to_vec_pretty(&sbom::of(
            manifest,
            self.packages,
            &[],
        )?)?)
    }

    /// What the list of materials is called, in the image in `/usr/share/sbom`.
    #[must_use]
    pub fn materials_file(&self) -> String {
        format!("{}.cdx.json", self.name)
    }

    fn files(&self, products: &Path, effort: Effort) -> Result<Files> {
        let mut files = Files::base();
        for program in self.programs {
            let from = products.join(program.binary);
            match program.runs {
                Runs::Inside => files.program(program.at, &from)?,
                Runs::OnHost => files.static_program(program.at, &from, host_limit(effort))?,
            }
        }
        for (tool, at) in self.tools {
            files.tool(*at, Path::new(tool))?;
        }
        match self.trust {
            Trust::Given => {}
            Trust::System => {
                let bundle = roots::bundle(Path::new(roots::BUNDLE), Path::new(roots::PACKAGED))?;
                files.make_from(roots::BUNDLE, bundle, Path::new(roots::PACKAGED));
            }
        }
        Ok(files)
    }

    fn config(&self, version: &str) -> ImageConfig {
        let label = |key: &str, value: &str| (format!("org.opencontainers.image.{key}"), value.to_owned());
        ImageConfig {
            entrypoint: self
                .programs
                .iter()
                .take(1)
                .map(|program| program.at.to_owned())
                .collect(),
            user: match self.user {
                User::Nobody => "65534:65534".to_owned(),
                User::Root => String::new(),
            },
            env: vec!["PATH=/usr/local/bin:/usr/bin:/bin".to_owned()],
            labels: vec![
                label("title", self.name),
                label("description", self.description),
                label("version", version),
                label("licenses", "Apache-2.0"),
            ],
        }
    }
}

/// How large a program for hosts may be, in bytes: each pod's start and end reads it anew. What was built quickly is larger.
fn host_limit(effort: Effort) -> Option<usize> {
    match effort {
        Effort::Smallest => Some(3 << 20),
        Effort::Quickest => None,
    }
}

#[cfg(test)]
mod tests;
