//! Checks of the repository itself: `cargo xtask tidy`.
//!
//! Each rule of ARCHITECTURE.md that a program can check is checked here and nowhere else.

mod tidy;

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["tidy"] => tidy_here(),
        _ => {
            say("usage: cargo xtask tidy");
            ExitCode::from(2)
        }
    }
}

fn tidy_here() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    match tidy::check(root) {
        Ok(found) if found.is_empty() => {
            say("tidy: nothing found");
            ExitCode::SUCCESS
        }
        Ok(found) => {
            for breach in &found {
                say(&breach.to_string());
            }
            say(&format!("tidy: {} found", found.len()));
            ExitCode::FAILURE
        }
        Err(error) => {
            say(&format!("tidy: {error}"));
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "the program's output")]
fn say(line: &str) {
    println!("{line}");
}
