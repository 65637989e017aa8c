//! Fills a home with a history, for tests of the web UI: what would take a night is written in seconds, and by the
//! same store and forge that the owner uses, so that nothing is in it which a night could not have left.
//!
//! It reads one JSON object a line from standard input and answers each with one line; `tests/ui/night.ts` writes the
//! lines. It ends with the first error.

use std::io::{BufRead, Write};
use std::path::PathBuf;

use clap::Parser;
use nightshift_forge::secrets::Redactor;
use nightshift_forge::{
    BaseBranch, BodyFacts, CommandFact, Delivery, Forge, Git, Identity, NewPullRequest, ReceiveLimits,
    Source, compose_body, inspect,
};
use nightshift_protocol::{
    CommitId, EventBody, Evidence, OffsetDateTime, PullRequestId, RunId, TaskId, Usage,
};
use nightshift_store::Store;
use serde::Deserialize;
use serde_json::{Value, json};

type Failure = Box<dyn std::error::Error>;

#[derive(Parser)]
struct Arguments {
    /// The folder that `NIGHTSHIFT_HOME` will name.
    #[arg(long)]
    home: PathBuf,
}

/// One line of input.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
enum Line {
    /// Keeps a file; answers its `id`.
    Artifact { file: PathBuf, media_type: String },
    /// Takes a person's repository in; answers `commit`, `branch` and `source`.
    Import { repository: PathBuf },
    /// Takes a branch out of a bundle, as a delivery does; answers `head`, `commits`, `files`, `added` and `removed`.
    Receive { source: String, branch: String, base: CommitId, bundle: PathBuf },
    /// Appends events of one instant; answers `seq`, the number of the last.
    Append {
        run: RunId,
        #[serde(with = "time::serde::rfc3339")]
        at: OffsetDateTime,
        bodies: Vec<EventBody>,
    },
    /// Opens a pull request; answers `number`.
    Open(Box<Opened>),
    /// Merges a pull request.
    Merge {
        source: String,
        number: u64,
        #[serde(with = "time::serde::rfc3339")]
        at: OffsetDateTime,
    },
    /// Closes a pull request.
    Close {
        source: String,
        number: u64,
        #[serde(with = "time::serde::rfc3339")]
        at: OffsetDateTime,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Opened {
    source: String,
    title: String,
    summary: String,
    not_verified: String,
    branch: String,
    base: String,
    base_commit: CommitId,
    head: CommitId,
    task: TaskId,
    run: RunId,
    evidence: Vec<Evidence>,
    commands: Vec<Command>,
    model: String,
    turns: u32,
    usage: Usage,
    seconds: u64,
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Command {
    command: String,
    exit_code: Option<i32>,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let Arguments { home } = Arguments::parse();
    let git = Git::new(std::env::vars_os());
    let store = Store::open(&home.join("data")).await?;
    let forge = Forge::open(&home.join("data/repositories"), git.clone()).await?;
    for line in std::io::stdin().lock().lines() {
        let answer = carry_out(serde_json::from_str(&line?)?, &store, &forge, &git).await?;
        let mut output = std::io::stdout().lock();
        writeln!(output, "{answer}")?;
        output.flush()?;
    }
    store.close().await;
    Ok(())
}

async fn carry_out(line: Line, store: &Store, forge: &Forge, git: &Git) -> Result<Value, Failure> {
    Ok(match line {
        Line::Artifact { file, media_type } => {
            json!({ "id": store.put(std::fs::read(file)?, &media_type).await? })
        }
        Line::Import { repository } => {
            let checkout = inspect(git, &Source::Folder(repository), BaseBranch::Current).await?;
            forge.repository(&checkout.source).import(&checkout).await?;
            json!({
                "commit": checkout.commit, "branch": checkout.branch.to_string(), "source": checkout.source.to_string(),
            })
        }
        Line::Receive { source, branch, base, bundle } => {
            let delivery = Delivery { branch: branch.parse()?, base: base.clone(), previous: None };
            let repository = forge.repository(&source.parse::<Source>()?);
            let received = repository.receive(&bundle, &delivery, &ReceiveLimits::default()).await?;
            let changed = repository.changed_files(&base, &received.head).await?;
            let lines: Vec<_> = changed.iter().filter_map(|change| change.lines).collect();
            json!({
                "head": received.head, "commits": received.commits, "files": changed.len(),
                "added": lines.iter().map(|lines| lines.added).sum::<u64>(),
                "removed": lines.iter().map(|lines| lines.removed).sum::<u64>(),
            })
        }
        Line::Append { run, at, bodies } => {
            json!({ "seq": store.append(&run, at, &bodies).await?.last().map(|event| event.seq) })
        }
        Line::Open(opened) => json!({ "number": open(*opened, forge).await? }),
        Line::Merge { source, number, at } => {
            let who =
                Identity { name: "Nightshift".to_owned(), email: "merge@nightshift.invalid".to_owned() };
            let source: Source = source.parse()?;
            let merged = forge.repository(&source).merge(PullRequestId(number), None, &who, at).await?;
            json!({ "commit": merged.commit })
        }
        Line::Close { source, number, at } => {
            let source: Source = source.parse()?;
            forge.repository(&source).close(PullRequestId(number), at).await?;
            json!({})
        }
    })
}

async fn open(opened: Opened, forge: &Forge) -> Result<PullRequestId, Failure> {
    let source: Source = opened.source.parse()?;
    let repository = forge.repository(&source);
    let changed_files = repository.changed_files(&opened.base_commit, &opened.head).await?;
    let commands: Vec<CommandFact> = opened
        .commands
        .into_iter()
        .map(|Command { command, exit_code }| CommandFact { command, exit_code })
        .collect();
    let body = compose_body(&BodyFacts {
        findings: &[],
        recording: None,
        video: None,
        settles: "",
        summary: &opened.summary,
        criteria: &[],
        self_reviews: &[],
        evidence: &opened.evidence,
        commands: &commands,
        changed_files: &changed_files,
        not_verified: &opened.not_verified,
        run: &opened.run,
        model: &opened.model,
        turns: opened.turns,
        usage: opened.usage,
        seconds: opened.seconds,
        redactor: &Redactor::default(),
    });
    let new = NewPullRequest {
        key: opened.run.to_string(),
        title: opened.title,
        body,
        branch: opened.branch.parse()?,
        base: opened.base.parse()?,
        base_commit: opened.base_commit,
        head: opened.head,
        task: opened.task,
        run: opened.run,
        evidence: opened.evidence,
    };
    Ok(repository.open_pull_request(new, opened.at).await?.id)
}
