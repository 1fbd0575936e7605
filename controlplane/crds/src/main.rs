//! `crds`: writes the CustomResourceDefinitions into the chart.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;

/// Writes the CustomResourceDefinitions, made from the types that objects are read into
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Sources of the types
    #[arg(long, default_value = "controlplane/k8s-api/src")]
    sources: PathBuf,
    /// Where the files go
    #[arg(long, default_value = "charts/base/files/crds")]
    out: PathBuf,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("crds: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let files = controlplane_crds::files(&arguments.sources)?;
    if arguments.out.exists() {
        fs::remove_dir_all(&arguments.out).with_context(|| arguments.out.display().to_string())?;
    }
    fs::create_dir_all(&arguments.out).with_context(|| arguments.out.display().to_string())?;
    for file in files {
        let path = arguments.out.join(&file.name);
        fs::write(&path, &file.text).with_context(|| path.display().to_string())?;
    }
    Ok(())
}
