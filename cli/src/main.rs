//! `lateen`: the mesh's command line.

use std::process::ExitCode;

use clap::Parser as _;
use lateen::args::CommandLine;

fn main() -> ExitCode {
    lateen::run(&CommandLine::parse())
}
