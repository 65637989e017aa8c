//! Long trials whose outcome is a few numbers: `nightshift-soak delivery|redaction [--points N] [--seed N] [--json]`.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a trial: a failed step ends it, and its outcome is what it prints"
)]

mod delivery;
mod redaction;

use serde_json::{Value, json};

/// What every run does: a command, two clicks that are seen, evidence of all, the end.
fn script(command: &str) -> Value {
    let evidence =
        |claim: &str, step: &str| json!({"tool": "evidence", "input": {"claim": claim, "step": step}});
    let click =
        |x: u32| json!({"tool": "computer", "input": {"action": "left_click", "coordinate": [x, 100]}});
    json!({"turns": [
        {"calls": [{"tool": "shell", "input": {"command": command}}]},
        {"calls": [
            click(100), click(200), evidence("There are two notes.", "1.1"), evidence("One click.", "2.1"),
            evidence("Two clicks.", "2.2"),
        ]},
        {"calls": [{"tool": "finish", "input": {"title": "Add a note", "summary": "There is a second note now."}}]},
    ]})
}

/// The addresses of the pictures in a body.
fn pictures(body: &str) -> Vec<String> {
    body.split("](").skip(1).filter_map(|rest| rest.split(')').next()).map(str::to_owned).collect()
}

async fn fetch(url: &str) -> Option<Vec<u8>> {
    let answer = suite::site::get(url).await.ok()?;
    answer.status().is_success().then_some(())?;
    Some(answer.bytes().await.ok()?.to_vec())
}

#[tokio::main]
async fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1)?.parse::<u64>().ok()
    };
    let points = number("--points").and_then(|points| usize::try_from(points).ok());
    let seed = number("--seed").unwrap_or_else(delivery::fresh_seed);
    let (outcome, good) = match arguments.first().map(String::as_str) {
        Some("delivery") => delivery::soak(points.unwrap_or(200), seed).await,
        Some("redaction") => redaction::soak().await,
        _ => {
            say("usage: nightshift-soak delivery|redaction [--points N] [--seed N] [--json]");
            return std::process::ExitCode::from(2);
        }
    };
    println!("{outcome}");
    if good { std::process::ExitCode::SUCCESS } else { std::process::ExitCode::FAILURE }
}

/// Tells people how it goes; scripts read the last line of standard output.
#[expect(clippy::print_stderr, reason = "it is a program")]
fn say(words: &str) {
    eprintln!("{words}");
}
