//! `lateen-node`: the node agent.

use std::process::ExitCode;

use clap::Parser as _;
use cni_agent::app;
use cni_agent::config::{Config, LogFormatSetting};
use mesh_runtime::logging::{self, LogFormat};

fn main() -> ExitCode {
    let config = Config::parse();
    let format = match config.log_format {
        LogFormatSetting::Plain => LogFormat::Plain,
        LogFormatSetting::Json => LogFormat::Json,
    };
    let (log, _guard) = match logging::init(&config.log, format) {
        Ok(logging) => logging,
        Err(error) => {
            eprintln!("lateen-node: {error}");
            return ExitCode::FAILURE;
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(app::run(config, log)),
        Err(error) => Err(error.into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            eprintln!("lateen-node: {error:#}");
            ExitCode::FAILURE
        }
    }
}
