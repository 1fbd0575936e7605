//! docs/getting-started.md, as a newcomer follows it: every command of the page, in its order, on a cluster without the mesh.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use images::{Effort, Files, Image, ImageConfig};

use crate::Test;
use crate::mesh::Mesh;

/// It begins where the mesh is gone.
pub(crate) const LAST: &[Test] = &[Test {
    name: "every_command_of_the_page_getting_started_does_what_the_page_says",
    run: page,
}];

/// Commands of the page, and what the page says that they print.
struct Step {
    line: usize,
    commands: String,
    prints: Vec<String>,
}

fn page(mesh: &mut Mesh) -> Result<()> {
    mesh.take_release_away()?;
    stand_ins(mesh)?;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/getting-started.md");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let steps = steps(&text);
    ensure!(steps.len() > 15, "the page has {} steps", steps.len());
    for step in steps {
        // No network leads out of the cluster of the tests.
        let commands = step
            .commands
            .replace(GATEWAY_API, &mesh.gateway_api.display().to_string());
        let printed = mesh
            .lateen
            .shell(&commands, &mesh.kubectl)
            .with_context(|| format!("line {}: {commands}", step.line))?;
        for wanted in step.prints {
            ensure!(
                printed.contains(&wanted),
                "line {}: {wanted:?} is not in: {printed}",
                step.line
            );
        }
    }
    Ok(())
}

/// The fenced blocks `sh`, each with the `output` behind it.
fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut lines = page.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        let block = |lines: &mut dyn Iterator<Item = (usize, &str)>| -> Vec<String> {
            let inside = lines.take_while(|(_, line)| *line != "```");
            inside.map(|(_, line)| line.to_owned()).collect()
        };
        match line {
            "```sh" => steps.push(Step {
                line: at + 1,
                commands: block(&mut lines).join("\n"),
                prints: Vec::new(),
            }),
            "```output" => {
                let prints = block(&mut lines);
                if let Some(step) = steps.last_mut() {
                    step.prints = prints;
                }
            }
            _ => {}
        }
    }
    steps
}

/// The images of the page's pods, made of programs of this machine: `curl` is curl, and the server answers with the text that it
/// is given, as `http-echo` does.
fn stand_ins(mesh: &Mesh) -> Result<()> {
    let mut client = Files::base();
    for program in ["curl", "sh", "sleep", "grep"] {
        client.program(format!("/bin/{program}"), &found(program)?)?;
    }
    load(mesh, "docker.io/curlimages/curl:8.10.1", &client)?;
    let mut server = Files::base();
    server.program("/bin/sh", &found("sh")?)?;
    server.program("/lab-app", mesh.app_program())?;
    let script = tempfile::NamedTempFile::new().context("a script")?;
    fs::write(script.path(), ECHO).context("a script")?;
    server.copy("/http-echo", script.path(), 0o755);
    load(mesh, "docker.io/hashicorp/http-echo:1.0", &server)
}

fn load(mesh: &Mesh, name: &str, files: &Files) -> Result<()> {
    let config = ImageConfig {
        env: vec!["PATH=/bin".to_owned()],
        ..ImageConfig::default()
    };
    let image = Image::with(files, &config, Effort::Quickest).with_context(|| name.to_owned())?;
    mesh.cluster.load(name, &image).with_context(|| name.to_owned())
}

/// A program of this machine.
fn found(program: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut all = std::env::split_paths(&path).map(|dir| dir.join(program));
    let found = all.find(|path| path.is_file());
    found.with_context(|| format!("{program} is not on this machine"))
}

/// What `http-echo` is told, as the lab's server is told it.
const ECHO: &str = "#!/bin/sh\nexec /lab-app serve --http \"${1#-listen=:}\" --name \"${2#-text=}\"\n";
const GATEWAY_API: &str =
    "https://github.com/kubernetes-sigs/gateway-api/releases/download/v1.6.3/standard-install.yaml";
