//! Text for people: what runs, pull requests and events look like in a terminal.

mod attempts;
mod engines;
pub(crate) mod environments;
mod markdown;
mod mcp;
mod network;
mod prune;
mod reviewing;
mod self_review;
pub(crate) mod settings;
mod subagents;

use nightshift_protocol::{
    ApprovalDecision, Attempt, CheckOutcome, CheckpointSummary, DoctorReport, ErrorCode, Event, EventBody,
    EvidenceSource, FeedbackSource, OWN_ENGINE, PauseReason, PlanStepState, PreparingPhase,
    PullRequestDetail, PullRequestState, PullRequestSummary, QueueReason, RemarkState, ResultPart,
    ReviewRemark, RunDetail, RunState, RunSummary, ToolCall, ToolOutcome, UserError,
};

pub(crate) use attempts::{attempts, others, submitted};
pub(crate) use markdown::artifacts;
pub(crate) use prune::pruned;
pub(crate) use reviewing::{queue, statistics};

/// The longest line of an event.
const WIDTH: usize = 110;

/// Takes out what could move the cursor, colour the terminal or forge lines: texts come from sandboxes and models.
pub(crate) fn plain(text: &str) -> String {
    text.chars().filter(|character| !steers(*character) || *character == '\n' || *character == '\t').collect()
}

/// Whether a terminal obeys the character instead of showing it: controls (C0, DEL, C1) and those that change the
/// direction of writing (Unicode Standard Annex #9), which make a line read other than it is.
fn steers(character: char) -> bool {
    let directs = matches!(
        character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    character.is_control() || directs
}

/// JSON in one line that means the same and does nothing to a terminal: JSON itself escapes only C0.
pub(crate) fn json(value: &impl serde::Serialize) -> String {
    let text = serde_json::to_string(value).unwrap_or_default();
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        if steers(character) {
            // Such a character can only be inside a string, and all of them are in the basic plane.
            safe += &format!("\\u{:04x}", u32::from(character));
        } else {
            safe.push(character);
        }
    }
    safe
}

/// One line of plain text, cut to fit.
fn line(text: &str) -> String {
    let flat: String = plain(text).split_whitespace().collect::<Vec<_>>().join(" ");
    if flat.chars().count() <= WIDTH { flat } else { flat.chars().take(WIDTH - 1).chain(['…']).collect() }
}

pub(crate) fn error(error: &UserError) -> String {
    if error.hint.is_empty() {
        format!("error: {}", plain(&error.message))
    } else {
        format!("error: {}\n  what to do: {}", plain(&error.message), plain(&error.hint))
    }
}

pub(crate) fn state(state: &RunState) -> String {
    match state {
        RunState::Queued { reason: QueueReason::Submitted } => "queued".to_owned(),
        RunState::Queued { reason: QueueReason::Feedback } => "queued: feedback to deal with".to_owned(),
        RunState::Queued { reason } => format!("queued: {}", reason.words()),
        RunState::Preparing { phase } => match phase {
            PreparingPhase::Image => "preparing: guest image".to_owned(),
            PreparingPhase::Template => "preparing: template".to_owned(),
            PreparingPhase::Sandbox => "preparing: sandbox".to_owned(),
            PreparingPhase::Repository => "preparing: repository".to_owned(),
        },
        RunState::Working => "working".to_owned(),
        RunState::Waiting { question, approval: None } => format!("waits for you: {}", line(question)),
        RunState::Waiting { question, approval: Some(step) } => {
            format!("waits for your yes to step {step}: {}", line(question))
        }
        RunState::Delivering => "delivering".to_owned(),
        RunState::InReview { pull_request } => format!("in review: pull request #{pull_request}"),
        RunState::Paused { reason: PauseReason::Person } => "paused".to_owned(),
        RunState::Paused { reason: PauseReason::Limit { limit } } => format!("paused: {}", line(limit)),
        RunState::Paused { reason: PauseReason::Trouble { error } } => {
            format!("paused: {}", line(&error.message))
        }
        RunState::Merged { pull_request } => format!("merged: pull request #{pull_request}"),
        RunState::Closed { pull_request } => format!("closed: pull request #{pull_request}"),
        RunState::Cancelled => "cancelled".to_owned(),
        RunState::Failed { reason } => format!("failed: {}", line(&reason.error.message)),
    }
}

pub(crate) fn money(microdollars: u64) -> String {
    // Rounded as in the pull request's body: the same run must not cost two prices.
    let cents = (microdollars + 5_000) / 10_000;
    format!("${}.{:02}", cents / 100, cents % 100)
}

/// A number with its noun.
fn counted(number: u32, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

pub(crate) fn runs(runs: &[RunSummary]) -> String {
    if runs.is_empty() {
        return "Nothing runs or waits; `nightshift tasks --all` lists what has ended. Give a task: nightshift exec \"…\" --repo PATH".to_owned();
    }
    let rows: Vec<[String; 4]> = runs
        .iter()
        .map(|run| {
            [
                run.run.to_string(),
                if run.suspended { format!("{} (suspended)", state(&run.state)) } else { state(&run.state) },
                format!("{} {}", counted(run.turns, "turn"), money(run.usage.cost_microdollars)),
                match run.attempt {
                    Some(attempt) => {
                        format!("[{}/{}] {}", attempt.number, attempt.of, line(&run.task.title()))
                    }
                    None => line(&run.task.title()),
                },
            ]
        })
        .collect();
    let table = table(&rows);
    let trees = table
        .lines()
        .zip(runs)
        .flat_map(|(row, run)| std::iter::once(row.to_owned()).chain(subagents::tree(run)));
    trees.collect::<Vec<_>>().join("\n")
}

pub(crate) fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let lines = rows.iter().map(|row| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

pub(crate) fn detail(detail: &RunDetail) -> String {
    let run = &detail.summary;
    let mut text = format!("{}\n\n", plain(&run.task.title()));
    let mut rows = vec![
        ["run".to_owned(), run.run.to_string()],
        ["task".to_owned(), run.task.id.to_string()],
        ["state".to_owned(), state(&run.state)],
        ["repository".to_owned(), plain(&run.task.repository)],
        ["branch".to_owned(), format!("{} (from {})", run.branch, run.task.base_branch)],
        ["engine".to_owned(), plain(run.task.engine.as_deref().unwrap_or(OWN_ENGINE))],
        ["model".to_owned(), plain(&run.task.model)],
        [
            "used".to_owned(),
            format!(
                "{}, {}, {}",
                counted(run.turns, "turn"),
                counted(run.steps, "step"),
                money(run.usage.cost_microdollars)
            ),
        ],
    ];
    if let Some(Attempt { number, of }) = run.attempt {
        let compare = format!("`nightshift review attempts {}` compares them", run.task.id);
        rows.insert(2, ["attempt".to_owned(), format!("{number} of {of}; {compare}")]);
    }
    text += &table(&rows);
    if let Some(suspension) = &detail.suspension {
        let why = suspension.reason.map(|reason| format!(": {}", reason.words())).unwrap_or_default();
        let rests = matches!(run.state, RunState::Waiting { .. } | RunState::Paused { .. });
        let when = if rests { "the run goes on" } else { "there is room" };
        text += &format!("\n\nIts sandbox is suspended to disk{why}. It comes back when {when}.");
    }
    if !run.subagents.is_empty() {
        text += "\n\nSubagents";
        for subagent in subagents::tree(run) {
            text += &format!("\n{subagent}");
        }
    }
    if !detail.plan.steps.is_empty() {
        text += "\n\nPlan";
        for step in &detail.plan.steps {
            let mark = match step.state {
                PlanStepState::Pending => ' ',
                PlanStepState::Active => '>',
                PlanStepState::Done => 'x',
                PlanStepState::Dropped => '-',
            };
            text += &format!("\n  [{mark}] {}", line(&step.title));
        }
    }
    if !detail.evidence.is_empty() {
        text += "\n\nEvidence";
        text += &evidence(&detail.evidence);
    }
    for review in &detail.self_reviews {
        text += &self_review::text(review);
    }
    if let RunState::Waiting { question, approval: Some(step) } = &run.state {
        let run = &run.run;
        text += &format!(
            "\n\n{}\nYes: nightshift approve {run} --step {step}\nNo:  nightshift deny {run} --step {step} \"why\"",
            plain(question)
        );
    }
    if let RunState::Failed { reason } = &run.state {
        text += &format!("\n\n{}", error(&reason.error));
    }
    if let RunState::Paused { reason: PauseReason::Trouble { error: trouble } } = &run.state {
        text += &format!("\n\n{}", error(trouble));
    }
    if let Some(pull_request) = &detail.pull_request {
        text += &format!("\n\nPull request #{}: nightshift review show {}", pull_request.number, run.run);
    }
    text
}

fn evidence(evidence: &[nightshift_protocol::Evidence]) -> String {
    let lines = evidence.iter().map(|evidence| match &evidence.source {
        EvidenceSource::Screenshot { step, label, .. } => {
            format!("\n  {} (screenshot of step {step}: {})", line(&evidence.claim), line(label))
        }
        EvidenceSource::Command { step, command, exit_code, .. } => {
            let status = exit_code.map_or("ended by a signal".to_owned(), |code| format!("exit {code}"));
            format!("\n  {} (step {step}: `{}`, {status})", line(&evidence.claim), line(command))
        }
    });
    lines.collect()
}

pub(crate) fn pull_requests(pull_requests: &[PullRequestSummary]) -> String {
    if pull_requests.is_empty() {
        return "There is no pull request yet.".to_owned();
    }
    let rows: Vec<[String; 4]> = pull_requests
        .iter()
        .map(|pull_request| {
            [
                pull_request.run.to_string(),
                format!("#{} {}", pull_request.number, pull_request_state(&pull_request.state)),
                line(&pull_request.title),
                plain(&pull_request.repository),
            ]
        })
        .collect();
    table(&rows)
}

fn pull_request_state(state: &PullRequestState) -> &'static str {
    match state {
        PullRequestState::Open => "open",
        PullRequestState::Merged { .. } => "merged",
        PullRequestState::Closed => "closed",
    }
}

/// What was said about a pull request and what became of it; nothing where nothing was.
fn remarks(remarks: &[ReviewRemark]) -> String {
    let mut text = String::new();
    for ReviewRemark { feedback, state, answer } in remarks {
        let place = match &feedback.source {
            FeedbackSource::Line { path, line: number, .. }
            | FeedbackSource::Thread { path, line: Some(number), .. } => format!("{}:{number}", line(path)),
            FeedbackSource::Thread { path, .. } => line(path),
            FeedbackSource::Comment { author, .. } | FeedbackSource::Review { author, .. } => line(author),
            FeedbackSource::Check { check, .. } => format!("check {}", line(check)),
            FeedbackSource::Conflict { .. } => "conflict with the base branch".to_owned(),
        };
        let state = match state {
            RemarkState::Pending => "not sent",
            RemarkState::Asked => "asked",
            RemarkState::Answered => "answered",
            RemarkState::Resolved => "resolved",
        };
        text += &format!("\n{} {place} ({state})\n  {}\n", feedback.name, line(&feedback.words));
        if let Some(answer) = answer {
            text += &format!("  → {}\n", line(answer));
        }
    }
    if text.is_empty() { text } else { format!("\nRemarks\n{text}") }
}

/// How many comments wait to be sent, in words.
pub(crate) fn pending(detail: &PullRequestDetail) -> String {
    let waits = |remark: &&ReviewRemark| remark.state == RemarkState::Pending;
    match detail.remarks.iter().filter(waits).count() {
        0 => "No comments wait".to_owned(),
        1 => "1 comment waits".to_owned(),
        many => format!("{many} comments wait"),
    }
}

pub(crate) fn pull_request(detail: &PullRequestDetail) -> String {
    let summary = &detail.summary;
    let mut text = format!(
        "#{} {} ({})\n{} into {}, {}\n",
        summary.number,
        line(&summary.title),
        if detail.approved && summary.state == PullRequestState::Open {
            "approved"
        } else {
            pull_request_state(&summary.state)
        },
        summary.branch,
        summary.base,
        counted(u32::try_from(detail.commits.len()).unwrap_or(u32::MAX), "commit"),
    );
    for commit in &detail.commits {
        text += &format!("  {}\n", line(commit));
    }
    text += &format!("\n{}\n", markdown::markdown(&detail.body));
    text += &remarks(&detail.remarks);
    if !detail.run_state.is_final() && !matches!(detail.run_state, RunState::InReview { .. }) {
        text += &format!("\nThe agent deals with what was asked for: {}.\n", state(&detail.run_state));
    }
    if summary.state == PullRequestState::Open {
        text += &format!(
            "\nDiff:  nightshift review diff {run}\nAsk:   nightshift review ask {run} \"…\"\nMerge: nightshift review merge {run}\nClose: nightshift review close {run}",
            run = summary.run
        );
    }
    text
}

pub(crate) fn doctor(report: &DoctorReport) -> String {
    let checks = report.checks.iter().map(|check| match &check.outcome {
        CheckOutcome::Good { found } => format!("[ok]   {}: {}", check.name, plain(found)),
        CheckOutcome::Weak { found, hint } => {
            format!("[weak] {}: {}\n         {}", check.name, plain(found), plain(hint))
        }
        CheckOutcome::Bad { error } => {
            format!("[bad]  {}: {}\n         {}", check.name, plain(&error.message), plain(&error.hint))
        }
    });
    checks.collect::<Vec<_>>().join("\n")
}

/// A call in one line: what a person wants to know of it.
pub(crate) fn call(call: &ToolCall) -> String {
    let input = &call.input;
    let text = |key: &str| input[key].as_str().unwrap_or_default().to_owned();
    let what = match call.name.as_str() {
        "shell" => format!("$ {}", text("command")),
        "edit" => format!("edit {} {}", text("action"), text("path")),
        "computer" => {
            let at = &input["coordinate"];
            let at = if at.is_null() { String::new() } else { format!(" at {at}") };
            let typed = input["text"].as_str().map(|typed| format!(" \"{typed}\"")).unwrap_or_default();
            format!("screen {}{at}{typed}", text("action"))
        }
        "browser" => {
            let with = ["url", "reference", "text", "expression"].map(|field| input[field].as_str());
            let with: Vec<&str> = with.into_iter().flatten().filter(|text| !text.is_empty()).collect();
            format!("browser {} {}", text("action"), with.join(" ")).trim_end().to_owned()
        }
        "evidence" => format!("evidence: {}", text("claim")),
        "finish" => format!("finish: {}", text("title")),
        "spawn" => format!("spawn: {}", text("title")),
        "subagents" => format!("subagents {} {}", text("action"), text("name")).trim_end().to_owned(),
        "tell" => format!("tell: {}", text("text")),
        "verdict" => {
            let found = input["criteria"].as_array().into_iter().flatten();
            let one = |found: &serde_json::Value| {
                format!("{} {}", found["criterion"], found["verdict"].as_str().unwrap_or_default())
            };
            format!("verdict: {}", found.map(one).collect::<Vec<_>>().join(", "))
        }
        other => format!("{} {input}", mcp::named(other)),
    };
    line(&what)
}

/// A checkpoint in one line.
pub(crate) fn checkpoint(checkpoint: &CheckpointSummary) -> String {
    // Before the first step there is none to name.
    let step = checkpoint.step.map(|step| format!("step {step}")).unwrap_or_default();
    let CheckpointSummary { cost, cause, .. } = checkpoint;
    format!(
        "{}  {step:<11}  {:<15}  {} changed, {} written, stood still for {} ms",
        checkpoint.checkpoint,
        cause.words(),
        mebibytes(cost.changed_bytes),
        mebibytes(cost.written_bytes),
        cost.paused_ms
    )
}

/// Checkpoints, one a line.
pub(crate) fn checkpoints(list: &[CheckpointSummary]) -> String {
    if list.is_empty() {
        return "There are no checkpoints. Some are saved as the agent works; `nightshift checkpoint save` saves one now."
            .to_owned();
    }
    list.iter().map(checkpoint).collect::<Vec<_>>().join("\n")
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// An event in one line, or nothing where a person need not see it.
pub(crate) fn event(event: &Event) -> Option<String> {
    match &event.body {
        EventBody::RunSubmitted { task, branch, .. } => {
            Some(format!("{} on {branch}: {}", event.run, line(&task.title())))
        }
        EventBody::StateChanged { state: now } => Some(format!("· {}", state(now))),
        EventBody::SandboxReady { facts, .. } => Some(format!(
            "· sandbox ready in {} ms ({}, {})",
            facts.ready_ms, facts.driver, facts.acceleration
        )),
        EventBody::NetworkOpened { allowed, not_permitted, problem, .. } => {
            network::opened(allowed, not_permitted, problem.as_deref())
        }
        EventBody::McpServersStarted { servers, problem } => mcp::started(servers, problem.as_deref()),
        EventBody::ConnectionsRecorded { connections } => network::connections(connections),
        EventBody::SandboxStopped { reason, .. } => Some(format!("· sandbox gone: {}", line(reason))),
        EventBody::TurnRetried { reason, wait_ms, .. } => {
            let reason = line(reason);
            let reason = reason.trim_end_matches('.');
            Some(format!("· model: {reason}; next try in {:.1} s", *wait_ms as f64 / 1000.0))
        }
        EventBody::TurnLost { usage, .. } => {
            let paid = money(usage.cost_microdollars);
            Some(format!("· model: a try brought no answer; {paid} of it are paid"))
        }
        EventBody::TurnFinished { message, .. } => said(message),
        EventBody::StepIntended { step, call: wanted, .. } => Some(subagents::begun(*step, &call(wanted))),
        EventBody::StepFinished { step, outcome: ToolOutcome::Failed, content, .. } => {
            let reason = content.iter().find_map(|part| match part {
                ResultPart::Text { text } => Some(line(text)),
                ResultPart::Image { .. } => None,
            });
            Some(format!("{}{step} failed: {}", subagents::mark(step.turn), reason.unwrap_or_default()))
        }
        EventBody::SubagentStarted { subagent, .. } => Some(subagents::started(subagent)),
        EventBody::EngineStarted { .. }
        | EventBody::EngineSaid { .. }
        | EventBody::EngineActed { .. }
        | EventBody::EngineCallIntended { .. }
        | EventBody::EngineCalledModel { .. } => engines::event(&event.body),
        EventBody::SubagentSaid { number, text } => {
            Some(format!("· subagent {number} writes: {}", line(text)))
        }
        EventBody::SubagentTold { number, text } => Some(format!("· to subagent {number}: {}", line(text))),
        EventBody::SubagentFinished { number, outcome, report, work } => {
            Some(subagents::ended(*number, outcome, report, work.as_ref()))
        }
        EventBody::PersonSaid { text } => Some(format!("> {}", line(text))),
        EventBody::MessageQueued { text } => Some(format!("> (for later) {}", line(text))),
        EventBody::Interrupted => Some("> (interrupted)".to_owned()),
        EventBody::LimitsRaised { limits } => Some(format!(
            "· may use {} turns, {} tokens, {}, {} min",
            limits.turns,
            limits.tokens,
            money(limits.cost_microdollars),
            limits.seconds / 60
        )),
        EventBody::CompactionRequested { .. } => {
            Some("· sums up the older part of the conversation".to_owned())
        }
        EventBody::ApprovalDecided { step, decision: ApprovalDecision::Approved } => {
            Some(format!("> yes to step {step}"))
        }
        EventBody::ApprovalDecided { step, decision: ApprovalDecision::Denied { words } } => {
            Some(format!("> no to step {step}: {}", line(words)).trim_end_matches([':', ' ']).to_owned())
        }
        EventBody::SelfReviewBegun { round, .. } => {
            Some(format!("· self-review, round {round}: a critic with a fresh context looks at the work"))
        }
        EventBody::SelfReviewed { review } => {
            Some(format!("· self-review, round {}: {}", review.round, line(&review.outcome_in_words())))
        }
        EventBody::PullRequestOpened { url: Some(url), .. } => Some(format!("· pull request: {}", line(url))),
        EventBody::BranchPushed { branch, .. } => Some(format!("· pushed {}", line(branch))),
        EventBody::LintRan { command, exit_code, .. } => Some(match exit_code {
            Some(0) => format!("· the lint passed: {}", line(command)),
            Some(code) => format!("· the lint failed with exit code {code}: {}", line(command)),
            None => format!("· the lint did not end by itself: {}", line(command)),
        }),
        EventBody::PictureKept { why, .. } => {
            Some(format!("· a picture stays on this machine: {}", line(why)))
        }
        EventBody::PullRequestReadied { why_not: None } => {
            Some("· the pull request is ready for reviewers".to_owned())
        }
        EventBody::PullRequestReadied { why_not: Some(why) } => {
            Some(format!("· the pull request stays a draft: {}", line(why)))
        }
        EventBody::FeedbackReceived { round, items } => {
            Some(format!("· feedback, round {round}: {} to deal with", items.len()))
        }
        EventBody::FeedbackAnswered { answers } => {
            let settled = answers.iter().filter(|answer| answer.settled).count();
            Some(format!("· the agent answered {} of what was asked and dealt with {settled}", answers.len()))
        }
        EventBody::FeedbackNoted { item } => Some(format!("· a comment: {}", line(&item.words))),
        EventBody::ReviewApproved { .. } => Some("· a person found the work good".to_owned()),
        EventBody::BranchReceived { branch, commits, .. } => {
            Some(format!("· {} on {branch}", counted(*commits, "commit")))
        }
        EventBody::TakenOver { .. } => {
            Some("· a person took mouse and keyboard over; the agent waits".to_owned())
        }
        EventBody::HandedBack { summary, .. } => Some(format!("· {}", line(summary))),
        EventBody::OwnerResumed { found } => Some(format!("· the owner was restarted: {}", line(found))),
        EventBody::HostSlept { seconds } => {
            Some(format!("· the computer slept for {}", reviewing::time(Some(*seconds))))
        }
        EventBody::CheckpointSaved { checkpoint, cause, cost } => Some(format!(
            "· {checkpoint} saved ({}; {} changed, the sandbox stood still for {} ms)",
            cause.words(),
            mebibytes(cost.changed_bytes),
            cost.paused_ms
        )),
        EventBody::CheckpointFailed { reason, .. } => {
            Some(format!("· the checkpoint was not saved: {}", line(reason)))
        }
        EventBody::Rewound { checkpoint } => Some(format!("· back at {checkpoint}")),
        EventBody::RewindIntended { reason, .. } => Some(format!("· going back: {}", line(reason))),
        EventBody::SandboxRestored { checkpoint, took_ms, .. } => {
            Some(format!("· sandbox brought back from {checkpoint} in {took_ms} ms"))
        }
        EventBody::RunForked { from, checkpoint, .. } => {
            Some(format!("· forked from {from} at {checkpoint}"))
        }
        EventBody::CheckpointIntended { suspended_for: Some(reason), .. } => {
            Some(format!("· the sandbox is suspended to disk: {}", reason.words()))
        }
        EventBody::CheckpointIntended { suspended_for: None, .. }
        | EventBody::SubagentStopped { .. }
        | EventBody::CheckpointRemoved { .. }
        | EventBody::SandboxRequested { .. }
        | EventBody::RepositoryImported { .. }
        | EventBody::ConversationStarted { .. }
        | EventBody::TurnRequested { .. }
        | EventBody::StepFinished { .. }
        | EventBody::PlanChanged { .. }
        | EventBody::EvidenceNoted { .. }
        | EventBody::Compacted { .. }
        | EventBody::WorkFinished { .. }
        | EventBody::DeliveryIntended { .. }
        | EventBody::DeliveryChecked { .. }
        | EventBody::PicturesPrepared { .. }
        | EventBody::PushIntended { .. }
        | EventBody::PicturePublished { .. }
        | EventBody::ReadyIntended { .. }
        | EventBody::PullRequestIntended { .. }
        | EventBody::PullRequestDescribed { .. }
        | EventBody::PullRequestRouted { .. }
        | EventBody::FeedbackTold { .. }
        | EventBody::FeedbackWithdrawn { .. }
        | EventBody::BaseBroughtIn { .. }
        | EventBody::IssueTold { .. }
        | EventBody::PullRequestOpened { .. } => None,
    }
}

fn said(message: &nightshift_protocol::Message) -> Option<String> {
    let nightshift_protocol::Message::Assistant { blocks, .. } = message else { return None };
    let words: Vec<String> = blocks
        .iter()
        .filter_map(|block| match block {
            nightshift_protocol::AssistantBlock::Text { text } if !text.trim().is_empty() => Some(line(text)),
            _ => None,
        })
        .collect();
    (!words.is_empty()).then(|| words.join("\n"))
}

/// The process's exit status for an error.
pub(crate) fn exit_code(code: ErrorCode) -> u8 {
    match code {
        ErrorCode::InvalidRequest => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests;
