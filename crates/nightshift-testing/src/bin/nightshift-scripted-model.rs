//! Serves a scripted model on the loopback address.
//!
//! It prints one line of JSON with its address when it listens, and on SIGINT or SIGTERM it ends: with 0 if every
//! request kept the rules, with 1 if one did not; the breaches are told on standard error.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use nightshift_testing::scripted_model::{Script, ScriptedModel};
use tokio::signal::unix::{SignalKind, signal};

/// A model provider that answers from a script.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The script, a JSON file.
    #[arg(long)]
    script: PathBuf,
    /// The port to listen on; 0 for a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Where to append one line of JSON for each request.
    #[arg(long)]
    log: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match serve(&Arguments::parse()).await {
        Ok(breaches) if breaches.is_empty() => ExitCode::SUCCESS,
        Ok(breaches) => {
            for breach in breaches {
                tell(&format!("breach: {breach}"));
            }
            ExitCode::FAILURE
        }
        Err(error) => {
            let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
            tell(&format!("{error}{cause}"));
            ExitCode::from(2)
        }
    }
}

/// Serves until a signal; gives the breaches.
async fn serve(arguments: &Arguments) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    let script = Script::parse(&std::fs::read_to_string(&arguments.script)?)?;
    let model = ScriptedModel::bind(script, arguments.port, arguments.log.as_deref()).await?;
    let mut out = std::io::stdout();
    writeln!(out, "{}", serde_json::json!({"listening": model.base_url()}))?;
    out.flush()?;
    tokio::select! {
        _ = interrupted.recv() => {}
        _ = terminated.recv() => {}
    }
    Ok(model.breaches())
}

fn tell(line: &str) {
    // Nobody is left to tell if standard error is closed.
    let _ = writeln!(std::io::stderr(), "{line}");
}
