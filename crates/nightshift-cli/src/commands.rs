//! Each command: ask the owner, show what it answers.

use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nightshift_forge::github::Address;
use nightshift_protocol::{
    ApprovalDecision, ApprovalPolicy, Approve, AskForChanges, CheckOutcome, DecideApproval, DiffSide,
    DoctorReport, ErrorCode, Event, EventBody, EvidenceSource, MergeReply, MessageDelivery, NewComment,
    Prune, PruneReport, PullRequestDetail, PullRequestSummary, RaiseLimits, ReviewQueue, RunDetail,
    RunSummary, SayToRun, StepId, SubmitReply, SubmitTask, Ticket, Uncommitted, UserError,
};
use serde_json::json;

use crate::access::Listen;
use crate::accounts;
use crate::arguments::{
    Agents, ApprovalChoice, Arguments, Command, Exec, LimitArguments, McpArguments, Review, Template,
};
use crate::environment::Environment;
use crate::follow::{Ended, Output, Shown, beside, follow, out, spinner};
use crate::terminal::{Keyboard, Pressed};
use crate::{agents, mcp, models, owner, quoting, settings, show};
use nightshift_client::Client;

mod attempts;
mod checkpoints;
mod environments;
mod pictures;
mod resume;
mod settings_commands;
mod shell;
mod statistics;
mod tasks;

/// What a command ended with, if not with an error.
pub(crate) type Status = Result<u8, UserError>;

pub(crate) fn run(arguments: Arguments, environment: &Environment) -> ExitCode {
    let json = arguments.json;
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&UserError::new(ErrorCode::Internal, format!("starting threads: {error}"), ""), json);
            return ExitCode::FAILURE;
        }
    };
    let with_keys;
    let environment = if matches!(arguments.command, Command::Serve { .. }) {
        // Before the log, which must know what it may not show.
        with_keys = runtime.block_on(settings::with_kept_keys(environment));
        log(&with_keys);
        &with_keys
    } else {
        environment
    };
    let ended = runtime.block_on(dispatch(arguments, environment));
    // A read of standard input that waits for somebody must not keep the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    match ended {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            complain(&error, json);
            ExitCode::from(show::exit_code(error.code))
        }
    }
}

fn complain(error: &UserError, json: bool) {
    if json {
        out(&show::json(&json!({ "type": "error", "error": error })));
        // Only the owner has a log: it keeps the reason when whoever started it is gone.
        if !said_together() {
            tracing::error!(hint = error.hint, "{}", error.message);
        }
    } else {
        beside(&show::error(error));
    }
}

/// Whether standard output and standard error go to the same place, such as a terminal: who looks there is told once.
fn said_together() -> bool {
    let place = |stream: BorrowedFd<'_>| {
        let facts = std::fs::File::from(stream.try_clone_to_owned()?).metadata()?;
        std::io::Result::Ok((facts.dev(), facts.ino()))
    };
    match (place(std::io::stdout().as_fd()), place(std::io::stderr().as_fd())) {
        (Ok(output), Ok(error)) => output == error,
        _ => false,
    }
}

/// What is logged where nobody says otherwise. The library that speaks with a repository's servers would write down what they say.
const LOG: &str = "info,rmcp=off";

fn log(environment: &Environment) {
    let filter = environment.log.clone().unwrap_or_else(|| LOG.to_owned());
    // The configuration, which may name another secret, is not read yet: a log must not depend on it. What is learnt later
    // is kept out of it all the same.
    accounts::teach(&environment.redactor, environment.secrets(), None);
    let clean = accounts::CleanLog(environment.redactor.clone());
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(filter))
        .with_writer(clean)
        .with_ansi(false)
        .init();
}

async fn dispatch(arguments: Arguments, environment: &Environment) -> Status {
    let json = arguments.json;
    match arguments.command {
        Command::Exec { command: Some(Exec::Resume { what, last, background }), .. } => {
            resume::resume(environment, json, &what, last, background).await
        }
        Command::Exec {
            command: None,
            description,
            criteria,
            self_review,
            approval,
            repo,
            base,
            model,
            engine,
            limits: wanted,
            attempts,
            leave_out_uncommitted,
            background,
            result_json,
        } => {
            let request = SubmitTask {
                description: description.unwrap_or_default(),
                criteria,
                self_review_rounds: self_review,
                approval: approval.map(policy),
                repository: repository(&repo)?,
                base_branch: base,
                model,
                limits: raised(wanted)?,
                attempts,
                engine,
                issue: None,
                uncommitted: if leave_out_uncommitted { Uncommitted::LeaveOut } else { Uncommitted::Refuse },
            };
            exec(environment, request, json, background, result_json).await
        }
        Command::Tasks { all, watch: false } => tasks::list(environment, json, all).await,
        Command::Tasks { all, watch: true } => tasks::watch(environment, json, all).await,
        Command::Show { run, events } => show_run(environment, json, &run, events).await,
        Command::Watch { run } => watch(environment, json, &run).await,
        Command::Steer { run, text, queue, interrupt } => {
            let delivery = match (queue, interrupt) {
                (true, _) => MessageDelivery::Queue,
                (false, true) => MessageDelivery::Interrupt,
                (false, false) => MessageDelivery::Steer,
            };
            act(environment, json, &run, "messages", &json!(SayToRun { text, delivery })).await
        }
        Command::Approve { run, step } => {
            decide(environment, json, &run, step, ApprovalDecision::Approved).await
        }
        Command::Deny { run, words, step } => {
            decide(environment, json, &run, step, ApprovalDecision::Denied { words }).await
        }
        Command::Interrupt { run } => act(environment, json, &run, "interrupt", &json!({})).await,
        Command::Shell { run } => shell::shell(environment, &run).await,
        Command::Pause { run } => act(environment, json, &run, "pause", &json!({})).await,
        Command::Suspend { run } => checkpoints::suspend(environment, json, &run).await,
        Command::Checkpoint { command } => checkpoints::checkpoint(environment, json, command).await,
        Command::Continue { run, limits } => {
            let raised = raised(limits)?;
            if !raised.is_empty() {
                let client = owner::connect(environment).await?;
                let _changed: RunSummary = client.post(&format!("/runs/{run}/limits"), &raised).await?;
            }
            act(environment, json, &run, "continue", &json!({})).await
        }
        Command::Cancel { run } => act(environment, json, &run, "cancel", &json!({})).await,
        Command::Review { command } => review(environment, json, command).await,
        Command::Stats { by, since } => statistics::statistics(environment, json, by, since.as_deref()).await,
        Command::Template { command: Template::Build } => build_template(environment, json).await,
        Command::Environment { command } => environments::environment(environment, json, command).await,
        Command::Prune { dry_run } => {
            let client = owner::connect(environment).await?;
            let report: PruneReport = client.post("/prune", &Prune { dry_run }).await?;
            print(json, &report, || show::pruned(&report));
            Ok(0)
        }
        Command::Serve { port, listen, name } => {
            let listen = Listen { port, address: listen, names: name };
            owner::serve(environment, listen).await.map(|()| 0)
        }
        Command::Settings { command } => settings_commands::settings(environment, json, command).await,
        Command::Key { command } => settings_commands::key(environment, json, command).await,
        Command::Restart => settings_commands::restart(environment, json).await,
        Command::Agents { command } => show_agents(environment, json, &command),
        Command::Mcp(McpArguments { command: Some(command), .. }) => mcp::check::run(json, &command),
        Command::Mcp(arguments) => mcp::serve(environment, arguments).await.map(|()| 0),
        Command::Open => open(environment, json).await,
        Command::Stop => stop(environment, json).await,
        Command::Models { containing } => {
            let list = models::list(environment, containing.as_deref()).await?;
            print(json, &list, || models::show(&list, containing.as_deref()));
            Ok(u8::from(list.models.is_empty()))
        }
        Command::Doctor { model } => doctor(environment, json, model).await,
    }
}

fn policy(choice: ApprovalChoice) -> ApprovalPolicy {
    match choice {
        ApprovalChoice::Never => ApprovalPolicy::Never,
        ApprovalChoice::Listed => ApprovalPolicy::Listed,
        ApprovalChoice::Risky => ApprovalPolicy::Risky,
    }
}

async fn decide(
    environment: &Environment,
    json: bool,
    run: &str,
    step: Option<StepId>,
    decision: ApprovalDecision,
) -> Status {
    act(environment, json, run, "approval", &json!(DecideApproval { step, decision })).await
}

pub(crate) fn print(json: bool, value: &impl serde::Serialize, text: impl FnOnce() -> String) {
    if json {
        out(&show::json(value));
    } else {
        out(&text());
    }
}

/// A folder becomes absolute, because the owner may run elsewhere; a URL stays as it is, and so does `OWNER/NAME` where
/// there is no such folder.
fn repository(given: &str) -> Result<String, UserError> {
    let short = !Path::new(given).exists() && Address::short(given, "github.com").is_some();
    if given.contains("://") || given.starts_with("git@") || short {
        return Ok(given.to_owned());
    }
    match std::path::absolute(Path::new(given)) {
        Ok(path) => Ok(path.display().to_string()),
        Err(error) => Err(UserError::new(
            ErrorCode::RepositoryNotFound,
            format!("{given}: {error}"),
            "Name a folder with --repo.",
        )),
    }
}

/// The limits as they are typed.
fn raised(wanted: LimitArguments) -> Result<RaiseLimits, UserError> {
    let LimitArguments { budget, turns, tokens, minutes } = wanted;
    if let Some(dollars) = budget.filter(|dollars| !(0.01..=100_000.0).contains(dollars)) {
        let message = format!("--budget {dollars} is not between 0.01 and 100000 US dollars");
        let hint = "Give it in dollars, for example 2.50.";
        return Err(UserError::new(ErrorCode::InvalidRequest, message, hint));
    }
    Ok(RaiseLimits {
        turns,
        tokens,
        // In range and positive, so the conversion cannot wrap.
        cost_microdollars: budget.map(|dollars| (dollars * 1_000_000.0).round() as u64),
        seconds: minutes.map(|minutes| minutes.saturating_mul(60)),
    })
}

async fn exec(
    environment: &Environment,
    request: SubmitTask,
    json: bool,
    background: bool,
    result_json: bool,
) -> Status {
    let began = Instant::now();
    let client = owner::connect(environment).await?;
    let reply: SubmitReply = client.post("/tasks", &request).await?;
    reply.notes.iter().for_each(|note| beside(&format!("note: {}", show::plain(note))));
    if background {
        print(json || result_json, &reply, || show::submitted(&reply));
        return Ok(0);
    }
    let output = match (json, result_json) {
        (true, _) => Output::JsonLines,
        (false, true) => Output::TextBeside,
        (false, false) => Output::Text,
    };
    if reply.attempts.len() > 1 {
        return attempts::see_through(environment, &client, &reply, output, result_json).await;
    }
    let run = reply.run.to_string();
    see_through(environment, client, &run, Seen { output, after: 0, began, result_json }).await
}

/// How a run is followed to its end.
struct Seen {
    output: Output,
    /// The newest event that is not shown.
    after: u64,
    began: Instant,
    result_json: bool,
}

/// Follows a run until it is decided or left to the background, and shows what it came to.
async fn see_through(environment: &Environment, client: Client, run: &str, seen: Seen) -> Status {
    let Seen { output, after, began, result_json } = seen;
    let json = output == Output::JsonLines;
    let Some(ended) = follow_at_keyboard(environment, client, run, output, after).await? else {
        let said = format!("{run} goes on in the background.\nFollow it: nightshift watch {run}");
        if json {
            beside(&said)
        } else {
            out(&said)
        }
        return Ok(0);
    };
    let client = owner::connect(environment).await?;
    let detail: RunDetail = client.get(&format!("/runs/{run}")).await?;
    match output {
        Output::Text => out(&format!("\n{}", show::detail(&detail))),
        Output::TextBeside if ended != Ended::Delivered => {
            beside(&format!("\n{}", show::detail(&detail)));
        }
        Output::TextBeside | Output::JsonLines => {}
    }
    if result_json {
        let mut events = Vec::new();
        each_page(&client, run, |page| events.extend(page)).await?;
        out(&show::json(&result(&detail, &events, began.elapsed().as_secs_f64())));
    }
    Ok(ended.exit_code())
}

/// Follows a run while its person may press keys; `None` when they left it to the background.
async fn follow_at_keyboard(
    environment: &Environment,
    client: Client,
    run: &str,
    output: Output,
    after: u64,
) -> Result<Option<Ended>, UserError> {
    let mut keyboard = Keyboard::take();
    let shown = Shown { output, after, mark: None };
    let followed = follow(client, async |run| owner::reconnect(environment, run).await, run, shown);
    tokio::pin!(followed);
    loop {
        let pressed = async {
            match &mut keyboard {
                Some(keyboard) => keyboard.pressed().await,
                None => std::future::pending().await,
            }
        };
        let pressed = tokio::select! {
            ended = &mut followed => return ended.map(Some),
            pressed = pressed => pressed,
        };
        let (operation, done) = match pressed {
            Pressed::Background => return Ok(None),
            Pressed::Interrupt => ("interrupt", "Interrupted."),
            Pressed::Cancel => ("cancel", "Given up."),
        };
        let more = if pressed == Pressed::Interrupt {
            " Ctrl+C again gives the run up; Ctrl+B leaves it to the background."
        } else {
            ""
        };
        let client = owner::connect(environment).await?;
        let asked = client.post::<RunSummary>(&format!("/runs/{run}/{operation}"), &json!({})).await;
        match asked {
            Ok(_) => beside(&format!("{done}{more}")),
            Err(error) => beside(&format!("{}.{more}", error.message)),
        }
    }
}

/// Reads all events of a run, as many at a time as the owner gives.
async fn each_page(client: &Client, run: &str, mut each: impl FnMut(Vec<Event>)) -> Result<(), UserError> {
    let mut after = 0;
    loop {
        let page: Vec<Event> = client.get(&format!("/runs/{run}/events?after={after}")).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.seq;
        each(page);
    }
}

/// The result as scripts read it.
fn result(detail: &RunDetail, events: &[Event], seconds: f64) -> serde_json::Value {
    let ready = events.iter().find_map(|event| match &event.body {
        EventBody::SandboxReady { facts, .. } => Some(facts.ready_ms),
        _ => None,
    });
    let commits = events.iter().rev().find_map(|event| match &event.body {
        EventBody::BranchReceived { commits, .. } => Some(*commits),
        _ => None,
    });
    let evidence: Vec<_> = detail
        .evidence
        .iter()
        .map(|evidence| match &evidence.source {
            EvidenceSource::Screenshot { step, label, image } => json!({
                "kind": "screenshot", "claim": evidence.claim, "step": step, "label": label, "artifact": image.artifact,
            }),
            EvidenceSource::Command { step, command, exit_code, .. } => json!({
                "kind": "command", "claim": evidence.claim, "step": step, "command": command, "exitCode": exit_code,
            }),
        })
        .collect();
    json!({
        "task": detail.summary.task.id,
        "run": detail.summary.run,
        "state": detail.summary.state.name(),
        "pullRequest": detail.pull_request.as_ref().map(|pull_request| pull_request.number),
        "pullRequestUrl": detail.pull_request.as_ref().and_then(|pull_request| pull_request.url.as_ref()),
        "branch": detail.summary.branch,
        "commits": commits.unwrap_or(0),
        "seconds": (seconds * 10.0).round() / 10.0,
        "sandboxReadyMs": ready,
        "evidence": evidence,
    })
}

async fn show_run(environment: &Environment, json: bool, run: &str, events: bool) -> Status {
    let client = owner::connect(environment).await?;
    let detail: RunDetail = client.get(&format!("/runs/{run}")).await?;
    print(json, &detail, || show::detail(&detail));
    if events {
        each_page(&client, run, |page| {
            for event in &page {
                print(json, event, || {
                    let text = show::event(event).unwrap_or_else(|| format!("· {}", event.body.name()));
                    format!("{:>4} {} {text}", event.seq, event.at.time().truncate_to_second())
                });
            }
        })
        .await?;
    }
    Ok(0)
}

async fn watch(environment: &Environment, json: bool, run: &str) -> Status {
    let output = if json { Output::JsonLines } else { Output::Text };
    let client = owner::connect(environment).await?;
    let shown = Shown { output, after: 0, mark: None };
    let ended = follow(client, async |run| owner::reconnect(environment, run).await, run, shown).await?;
    Ok(ended.exit_code())
}

async fn act(
    environment: &Environment,
    json: bool,
    run: &str,
    operation: &str,
    body: &serde_json::Value,
) -> Status {
    let client = owner::connect(environment).await?;
    let summary: RunSummary = client.post(&format!("/runs/{run}/{operation}"), body).await?;
    print(json, &summary, || format!("{}: {}", summary.run, show::state(&summary.state)));
    Ok(0)
}

async fn review(environment: &Environment, json: bool, command: Review) -> Status {
    let client = owner::connect(environment).await?;
    match command {
        Review::List { all: false } => {
            let queue: ReviewQueue = client.get("/reviews").await?;
            print(json, &queue, || show::queue(&queue));
        }
        Review::List { all: true } => {
            let list: Vec<PullRequestSummary> = client.get("/pull-requests").await?;
            print(json, &list, || show::pull_requests(&list));
        }
        Review::Show { run, pictures } => {
            let detail: PullRequestDetail = client.get(&format!("/pull-requests/{run}")).await?;
            print(json, &detail, || show::pull_request(&detail));
            if let Some(folder) = pictures {
                pictures::write(&client, &detail, &folder, json).await?;
            }
        }
        Review::Diff { run } => {
            let diff = client.bytes(&format!("/pull-requests/{run}/diff")).await?;
            out(&show::plain(&String::from_utf8_lossy(&diff)));
        }
        Review::Comment { run, file, line, removed, words } => {
            let side = if removed { DiffSide::Before } else { DiffSide::After };
            let comment = NewComment { path: file, line, side, quote: String::new(), words };
            let detail: PullRequestDetail =
                client.post(&format!("/pull-requests/{run}/comments"), &comment).await?;
            print(json, &detail, || {
                let waiting = show::pending(&detail);
                format!("Kept. {waiting} to be sent: nightshift review ask {}", detail.summary.run)
            });
        }
        Review::Uncomment { run, comment } => {
            let detail: PullRequestDetail =
                client.delete(&format!("/pull-requests/{run}/comments/{comment}")).await?;
            print(json, &detail, || format!("Taken back. {} to be sent.", show::pending(&detail)));
        }
        Review::Ask { run, words } => {
            let ask = AskForChanges { words: words.unwrap_or_default(), comments: Vec::new() };
            let detail: PullRequestDetail = client.post(&format!("/pull-requests/{run}/ask"), &ask).await?;
            print(json, &detail, || {
                let run = &detail.summary.run;
                format!(
                    "The agent goes on: nightshift watch {run}\nThen:               nightshift review show {run}"
                )
            });
        }
        Review::Approve { run, words } => {
            let approve = Approve { words: words.unwrap_or_default() };
            let detail: PullRequestDetail =
                client.post(&format!("/pull-requests/{run}/approve"), &approve).await?;
            print(json, &detail, || {
                format!("Approved. Merge: nightshift review merge {}", detail.summary.run)
            });
        }
        Review::Attempts { task } => return attempts::ranking(&client, json, &task).await,
        Review::Merge { run, close_others: true } => {
            return attempts::merge_and_close_others(&client, json, &run).await;
        }
        Review::Merge { run, close_others: false } => {
            let merged: MergeReply = client.post(&format!("/pull-requests/{run}/merge"), &json!({})).await?;
            print(json, &merged, || said_of_merge(&merged));
        }
        Review::Close { others_of: Some(kept), .. } => {
            return attempts::close_others(&client, json, &kept).await;
        }
        Review::Close { run, others_of: None } => {
            let run = run.unwrap_or_default();
            let closed: PullRequestSummary =
                client.post(&format!("/pull-requests/{run}/close"), &json!({})).await?;
            print(json, &closed, || {
                format!("Closed #{}; its branch {} is kept.", closed.number, closed.branch)
            });
        }
    }
    Ok(0)
}

fn said_of_merge(merged: &MergeReply) -> String {
    let take = quoting::pull(&merged.bare_repository, &merged.base);
    format!("Merged as {} into {}.\nTake it over: {take}", merged.commit, merged.base)
}

fn show_agents(environment: &Environment, json: bool, command: &Agents) -> Status {
    let here = std::path::absolute(".").map_err(|error| {
        UserError::new(ErrorCode::Internal, format!("this folder: {error}"), "Go to another one.")
    })?;
    let named = match command {
        Agents::Lint { paths } => paths.as_slice(),
        Agents::List => &[],
    };
    let checked = agents::check(environment, named, &here)?;
    let (text, good) = agents::lint(&checked);
    match command {
        Agents::List => print(json, &agents::json(&checked), || agents::list(&checked)),
        Agents::Lint { .. } => print(json, &agents::json(&checked), || text),
    }
    Ok(u8::from(matches!(command, Agents::Lint { .. }) && !good))
}

async fn build_template(environment: &Environment, json: bool) -> Status {
    let client = owner::connect(environment).await?;
    let log = owner::folders(environment)?.owner_log();
    beside(
        "Guest image and template are made if they are missing: 8-15 minutes without hardware virtualisation, once.",
    );
    beside(&format!("How far it is: tail -f {}", quoting::quoted_path(&log)));
    let bar = spinner();
    bar.set_message("making guest image and template");
    let built = client.post::<serde_json::Value>("/template", &json!({})).await;
    bar.finish_and_clear();
    let built = built?;
    print(json, &built, || {
        format!("The template {} is ready.", built["template"].as_str().unwrap_or_default())
    });
    Ok(0)
}

async fn open(environment: &Environment, json: bool) -> Status {
    let client = owner::connect(environment).await?;
    let ticket: Ticket = client.post("/session/tickets", &json!({})).await?;
    print(json, &ticket, || ticket.url.clone());
    Ok(0)
}

async fn stop(environment: &Environment, json: bool) -> Status {
    let stopped = owner::stop(environment).await?;
    print(json, &json!({ "stopped": stopped }), || {
        let said = if stopped {
            "The owner ended; its runs go on when it is started again."
        } else {
            "No owner runs."
        };
        said.to_owned()
    });
    Ok(0)
}

async fn doctor(environment: &Environment, json: bool, model: Option<String>) -> Status {
    let report: DoctorReport = match model {
        Some(model) => {
            let bar = spinner();
            bar.set_message(format!("asking {}", show::plain(&model)));
            let tried = models::try_model(environment, model).await;
            bar.finish_and_clear();
            tried?
        }
        None => owner::connect(environment).await?.get("/doctor").await?,
    };
    print(json, &report, || show::doctor(&report));
    let bad = report.checks.iter().any(|check| matches!(check.outcome, CheckOutcome::Bad { .. }));
    Ok(u8::from(bad))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_becomes_absolute_and_a_url_stays() {
        assert!(repository("./some/where").unwrap().starts_with('/'));
        assert_eq!(repository("https://example.org/a.git").unwrap(), "https://example.org/a.git");
        assert_eq!(repository("git@example.org:a.git").unwrap(), "git@example.org:a.git");
        assert_eq!(repository("octocat/hello-world").unwrap(), "octocat/hello-world");
        assert!(repository("src/main.rs").unwrap().starts_with('/'), "a path that is there is a path");
    }

    #[test]
    fn a_budget_is_given_in_dollars() {
        let given = |budget| raised(LimitArguments { budget: Some(budget), ..LimitArguments::default() });
        assert_eq!(given(2.5).unwrap().cost_microdollars, Some(2_500_000));
        assert_eq!(given(-1.0).unwrap_err().code, ErrorCode::InvalidRequest);
        assert_eq!(given(f64::NAN).unwrap_err().code, ErrorCode::InvalidRequest);
    }

    #[test]
    fn minutes_and_turns_are_passed_on_and_the_rest_is_left_to_the_owner() {
        let given = LimitArguments { turns: Some(5), minutes: Some(3), ..LimitArguments::default() };
        let limits = raised(given).unwrap();
        let named = RaiseLimits { turns: Some(5), seconds: Some(180), ..RaiseLimits::default() };
        assert_eq!(limits, named);
    }

    #[test]
    fn a_budget_that_is_none_is_refused_with_an_example() {
        for odd in [0.0, 0.009, 100_000.01, f64::INFINITY, f64::NEG_INFINITY] {
            let wanted = LimitArguments { budget: Some(odd), ..LimitArguments::default() };
            let error = raised(wanted).unwrap_err();
            assert_eq!(
                (error.code, error.hint.as_str()),
                (ErrorCode::InvalidRequest, "Give it in dollars, for example 2.50.")
            );
        }
    }

    #[test]
    fn minutes_beyond_all_time_are_as_many_as_there_are() {
        let wanted = LimitArguments { minutes: Some(u64::MAX), ..LimitArguments::default() };
        assert_eq!(raised(wanted).unwrap().seconds, Some(u64::MAX));
    }

    #[test]
    fn nothing_named_changes_no_limit() {
        assert_eq!(raised(LimitArguments::default()).unwrap(), RaiseLimits::default());
    }

    #[test]
    fn a_result_counts_what_the_last_delivery_had() {
        let detail: RunDetail = serde_json::from_value(json!({
            "summary": {
                "run": "run-0123456789", "state": {"type": "inReview", "pullRequest": 4}, "sandbox": null, "branch": "b",
                "turns": 1, "steps": 1, "lastSeq": 9, "updatedAt": "2026-11-28T18:00:00Z",
                "usage": {"inputTokens": 1, "cacheReadTokens": 1, "cacheWriteTokens": 1, "outputTokens": 1,
                    "costMicrodollars": 1},
                "glance": {"planSteps": 0, "planDone": 0, "doing": "", "screen": null},
                "task": {"id": "task-0123456789", "description": "x", "repository": "/src/app", "baseBranch": "main",
                    "baseCommit": "c".repeat(40), "model": "m", "createdAt": "2026-11-28T17:00:00Z",
                    "limits": {"turns": 1, "tokens": 1, "costMicrodollars": 1, "seconds": 1}},
            },
            "plan": {"steps": []}, "pullRequest": null,
            "evidence": [{"claim": "Tests pass.", "source": {"type": "command", "step": "8.1", "command": "npm test",
                "exitCode": 0, "outputTail": "ok"}}],
        }))
        .unwrap();
        let bodies: Vec<EventBody> =
            serde_json::from_str(include_str!("../../nightshift-protocol/wire/events.json")).unwrap();
        let events: Vec<Event> = (1..)
            .zip(bodies)
            .map(|(seq, body)| Event {
                position: seq,
                run: detail.summary.run.clone(),
                seq,
                at: nightshift_protocol::OffsetDateTime::UNIX_EPOCH,
                body,
            })
            .collect();
        let expected = json!({
            "task": "task-0123456789", "run": "run-0123456789", "state": "inReview", "pullRequest": null,
            "pullRequestUrl": null, "branch": "b",
            "commits": 2, "seconds": 12.3, "sandboxReadyMs": 3,
            "evidence": [{"kind": "command", "claim": "Tests pass.", "step": "8.1", "command": "npm test", "exitCode": 0}],
        });
        assert_eq!(result(&detail, &events, 12.345), expected);
        let nothing = result(&detail, &[], 0.0);
        assert_eq!((&nothing["commits"], &nothing["sandboxReadyMs"]), (&json!(0), &json!(null)));
    }
}
