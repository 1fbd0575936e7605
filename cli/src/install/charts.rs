//! The charts, as this version was built with them.

use std::io;
use std::path::{Path, PathBuf};

use include_dir::{Dir, include_dir};

/// The umbrella, and below it the charts that it is made of.
static UMBRELLA: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/../charts/lateen");
static PARTS: [(&str, Dir<'static>); 4] = [
    ("base", include_dir!("$CARGO_MANIFEST_DIR/../charts/base")),
    (
        "controlplane",
        include_dir!("$CARGO_MANIFEST_DIR/../charts/controlplane"),
    ),
    ("cni", include_dir!("$CARGO_MANIFEST_DIR/../charts/cni")),
    ("ztunnel", include_dir!("$CARGO_MANIFEST_DIR/../charts/ztunnel")),
];

/// Writes the charts below a directory, as helm wants a chart with its parts; gives the path of it.
///
/// # Errors
/// Fails when a file cannot be written.
pub fn write(directory: &Path) -> io::Result<PathBuf> {
    let chart = directory.join("lateen");
    extract(&UMBRELLA, &chart)?;
    for (name, part) in &PARTS {
        extract(part, &chart.join("charts").join(name))?;
    }
    Ok(chart)
}

fn extract(dir: &Dir<'_>, to: &Path) -> io::Result<()> {
    std::fs::create_dir_all(to)?;
    dir.extract(to)
}

#[cfg(test)]
mod tests;
