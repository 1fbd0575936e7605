//! What an image is called: `registry/repository:tag`.

use std::str::FromStr;

use anyhow::{Result, bail};

/// An image's name, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Host and port.
    pub registry: String,
    /// The path there.
    pub repository: String,
    /// The tag; `latest` where none is given.
    pub tag: String,
}

impl FromStr for Reference {
    type Err = anyhow::Error;

    /// As container engines read it: the first part is a registry when it has a dot or a port, or is `localhost`.
    fn from_str(text: &str) -> Result<Self> {
        let (name, tag) = match text.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, tag),
            _ => (text, "latest"),
        };
        let (registry, path) = match name.split_once('/') {
            Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest),
            _ => ("docker.io", name),
        };
        let grammar = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-/".contains(c);
        if path.is_empty() || !path.chars().all(grammar) || path.split('/').any(str::is_empty) {
            bail!("{text:?} names no image, as registry.example.com/mesh/ztunnel:0.1.0 does");
        }
        if tag.is_empty()
            || !tag
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        {
            bail!("{text:?} has no tag that a registry takes");
        }
        // What everybody calls docker.io answers elsewhere, and puts plain names into a folder.
        let (registry, repository) = match registry {
            "docker.io" if path.contains('/') => ("registry-1.docker.io", path.to_owned()),
            "docker.io" => ("registry-1.docker.io", format!("library/{path}")),
            other => (other, path.to_owned()),
        };
        Ok(Self {
            registry: registry.to_owned(),
            repository,
            tag: tag.to_owned(),
        })
    }
}
