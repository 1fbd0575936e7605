//! `images`: makes the products' container images, as OCI layouts and archives, and pushes them.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Parser;
use images::{COMPONENTS, Component, Image, Reference, Registry};

/// Makes the products' container images without a container engine
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Directory of the products (release binaries)
    #[arg(long)]
    products: PathBuf,
    /// Where the images go: NAME.tar and the folder NAME for each
    #[arg(long, default_value = "out/images")]
    out: PathBuf,
    /// Registry and folder before each image's name
    #[arg(long, default_value = "docker.io/lateen")]
    hub: String,
    /// What stands behind the colon
    #[arg(long, default_value = env!("CARGO_PKG_VERSION"))]
    tag: String,
    /// The workspace that the products were built from
    #[arg(long, default_value = "Cargo.toml")]
    manifest: PathBuf,
    /// Push them to the registry that --hub names, too
    #[arg(long)]
    push: bool,
    /// Only the lists of materials of the programs, as NAME.cdx.json: for images that are made elsewhere on a base image, whose
    /// packages its own database lists
    #[arg(long, conflicts_with = "push")]
    sbom_only: bool,
    /// Push without TLS, to a registry on this machine
    #[arg(long, requires = "push")]
    plain_http: bool,
    /// Only these: controlplane, ztunnel, cni, waypoint
    #[arg(long)]
    only: Vec<String>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("images: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let components = chosen(&arguments.only)?;
    if arguments.sbom_only {
        return list_materials(&components, arguments);
    }
    for component in components {
        let name = format!("{}/{}:{}", arguments.hub, component.name, arguments.tag);
        let image = component.image(&arguments.products, &arguments.manifest, &arguments.tag)?;
        let archive = image.archive(&name)?;
        let folder = arguments.out.join(component.name);
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
        }
        image.write_to(&folder, &name)?;
        let file = arguments.out.join(format!("{}.tar", component.name));
        fs::write(&file, &archive).with_context(|| file.display().to_string())?;
        println!("{name}\t{}\t{:.1} MB", image.digest(), archive.len() as f64 / 1e6);
        if arguments.push {
            push(&image, &name, arguments.plain_http)?;
        }
    }
    Ok(())
}

fn list_materials(components: &[&Component], arguments: &Arguments) -> Result<()> {
    let out = &arguments.out;
    fs::create_dir_all(out).with_context(|| out.display().to_string())?;
    for component in components {
        let file = out.join(component.materials_file());
        let materials = component.materials(&arguments.manifest)?;
        fs::write(&file, materials).with_context(|| file.display().to_string())?;
        println!("{}", file.display());
    }
    Ok(())
}

fn push(image: &Image, name: &str, plain: bool) -> Result<()> {
    let reference: Reference = name.parse()?;
    let mut registry = Registry::of(&reference, plain)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let pushed = runtime.block_on(registry.push(image, &reference.tag))?;
    println!(
        "  pushed to {}: {} blobs sent, {} were there",
        reference.registry, pushed.sent, pushed.there
    );
    Ok(())
}

fn chosen(only: &[String]) -> Result<Vec<&'static Component>> {
    if only.is_empty() {
        return Ok(COMPONENTS.iter().collect());
    }
    let find = |name: &String| match COMPONENTS.iter().find(|c| c.name == name) {
        Some(component) => Ok(component),
        None => bail!("there is no image {name}: controlplane, ztunnel, cni, waypoint are"),
    };
    only.iter().map(find).collect()
}
