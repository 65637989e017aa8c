//! Checks of the repository itself: `cargo xtask tidy`; `cargo xtask tests` counts tests.
//!
//! Each rule of ARCHITECTURE.md that a program can check is checked here and nowhere else.

mod counts;
#[cfg(test)]
mod packer;
#[cfg(test)]
mod script;
mod tidy;

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["tidy"] => tidy_here(),
        ["tests"] => count_here(),
        _ => {
            say("usage: cargo xtask tidy | tests");
            ExitCode::from(2)
        }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

fn count_here() -> ExitCode {
    match counts::Counts::read(root()) {
        Ok(counts) => {
            say(counts.to_string().trim_end());
            ExitCode::SUCCESS
        }
        Err(error) => {
            say(&format!("tests: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn tidy_here() -> ExitCode {
    match tidy::check(root()) {
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
