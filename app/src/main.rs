//! The desktop window: it shows the owner's web UI and carries out what `nightshift_desktop::Shell` decides.
//!
//! It decides nothing by itself, gives the pages in it no command of the system, and never ends the owner.

mod carry_out;
mod renderer;
mod window;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use nightshift_client::{BaseDirectories, Folders, Program};
use nightshift_desktop::{Instance, Outside, Place, Told, claim};

/// Shows Nightshift's window; with a link, at the place it names. When the window is open already it comes to the front.
///
/// Closing the window or quitting the app stops nothing: runs go on.
#[derive(Debug, Parser)]
#[command(name = "nightshift-app", version, after_help = "Example: nightshift-app nightshift://review")]
struct Arguments {
    /// A link: nightshift://runs/RUN, nightshift://review/RUN, nightshift://new, …
    link: Option<String>,
}

/// What the program needs to know of where it runs.
#[derive(Debug, Clone)]
struct Surroundings {
    folders: Arc<Folders>,
    /// The `nightshift` program, which is the owner.
    program: Arc<Program>,
    /// What other programs are started with.
    outside: Arc<Outside>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    renderer::choose();
    log();
    match begin(arguments) {
        Ok(code) => code,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn begin(arguments: Arguments) -> Result<ExitCode, String> {
    let surroundings = surroundings()?;
    let place = arguments.link.as_deref().and_then(read_link);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| format!("starting threads: {error}"))?;
    tauri::async_runtime::set(runtime.handle().clone());
    let told = Told { link: arguments.link };
    let claimed = runtime.block_on(claim(&surroundings.folders.data, &told));
    match claimed.map_err(|error| error.to_string())? {
        Instance::Later => Ok(ExitCode::SUCCESS),
        Instance::First(first) => window::run(surroundings, first, place),
    }
}

/// The place that a link names; one that names none shows the window all the same.
fn read_link(link: &str) -> Option<Place> {
    Place::from_link(link).map_err(|refused| complain(&format!("{link:.200}: {refused}"))).ok()
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
fn surroundings() -> Result<Surroundings, String> {
    let executable = std::env::current_exe().ok();
    let environment: Vec<_> = std::env::vars_os().collect();
    let outside = executable.as_deref().map(|own| Outside::of(own, &environment)).unwrap_or_default();
    let mut base = BaseDirectories::read(|name| std::env::var_os(name));
    base.nightshift_home = base.nightshift_home.map(|own| outside.path(own));
    let folders = Folders::of(&base).map_err(|error| format!("{}. {}", error.message, error.hint))?;
    let named = std::env::var_os("NIGHTSHIFT_PROGRAM").filter(|name| !name.is_empty()).map(PathBuf::from);
    // One that is on no path is told about when it is started.
    let program = outside.program(executable.as_deref(), named);
    Ok(Surroundings { folders: Arc::new(folders), program: Arc::new(program), outside: Arc::new(outside) })
}

fn log() {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new("warn"))
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
}

#[expect(clippy::print_stderr, reason = "the program's complaints")]
fn complain(error: &str) {
    eprintln!("error: {error}");
}
