//! `lateen-cni`: executed by the container runtime for every pod, last in the chain of CNI plugins.

use std::io::{self, Read as _, Write as _};
use std::process::ExitCode;

use cni_plugin::command::{OnSocket, run};
use cni_plugin::spec::{CniError, CniVersion, Environment, ErrorCode};

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        None => {}
        Some("--version" | "-V") => {
            println!("lateen-cni {}", env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        Some("--help" | "-h") => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Some(other) => {
            eprintln!("lateen-cni takes no argument {other:?}; try --help");
            return ExitCode::FAILURE;
        }
    }
    let output = match read_input() {
        Ok(input) => run(&environment(), &input, &OnSocket),
        Err(error) => {
            println!("{}", error.to_json(CniVersion::NEWEST));
            return ExitCode::FAILURE;
        }
    };
    if !output.stderr.is_empty() {
        eprintln!("lateen-cni: {}", output.stderr);
    }
    // A result that the runtime did not get is no result.
    let written = writeln!(io::stdout(), "{}", output.stdout).is_ok();
    if output.success && written {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn read_input() -> Result<Vec<u8>, CniError> {
    let mut input = Vec::new();
    let read = io::stdin().take(MAX_INPUT + 1).read_to_end(&mut input);
    read.map_err(|e| CniError::new(ErrorCode::Io, format!("standard input cannot be read: {e}")))?;
    if input.len() as u64 > MAX_INPUT {
        return Err(CniError::new(
            ErrorCode::Decode,
            "standard input is longer than 1 MiB",
        ));
    }
    Ok(input)
}

/// The variables of the specification; one that is no text counts as missing.
fn environment() -> Environment {
    let variables = std::env::vars_os();
    let text =
        variables.filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)));
    text.filter(|(key, _)| key.starts_with("CNI_")).collect()
}

const MAX_INPUT: u64 = 1024 * 1024;

const HELP: &str = "\
lateen-cni: the CNI plugin that brings a starting pod into the mesh

It is executed by the container runtime as the CNI specification says (0.3.1 to 1.1.0), last in a chain of plugins:
the command in CNI_COMMAND (ADD, CHECK, DEL, GC, STATUS, VERSION), the network configuration on standard input. It
asks the node agent (lateen-node), and ADD succeeds only once the agent says that the pod is in order.

Keys of its network configuration:
  cni_agent_run_dir      directory of the agent's socket, pluginevent.sock   [/var/run/istio-cni]
  chained                whether a plugin before it makes the network; alone it is called by one that has
                         made it, and the agent looks for the pod's addresses     [true]
  agent_timeout_seconds  how long the agent may take                         [15]
  pod_namespace          namespace of the mesh's own pods, which start without the agent; nobody else may
                         be able to make pods there                          [no such pods]
  exempt_pod_prefixes    what the names of the mesh's own pods begin with    [istio-cni-node-, lateen-node-,
                         ztunnel-, istiod-, lateen-controlplane-]

Options:
  -h, --help     print this
  -V, --version  print the version

Exit codes:
  0  the command succeeded; standard output has its result, if it has one
  1  it did not, and standard output has the error as the CNI specification says (code, msg); or an argument
     is not known";
