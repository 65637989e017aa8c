//! Commands in the sandbox.

use std::time::Duration;

use nightshift_agent::{OUTPUT_LIMIT, ShellMode, ShellRequest, shorten};
use nightshift_channel::{
    AttachError, Command, GuestUser, Job, JobEvent, JobExit, JobStatus, KillError, OutputMode, Signal,
    StartJobError,
};
use nightshift_protocol::{LiveBody, Reconciled, ResultPart, StepId, ToolOutcome};

use super::{Bench, StepEnd, StepTrouble};
use crate::progress::Intention;

/// How much of a command's output is kept, in bytes; the guest keeps no more than this either.
const KEPT: usize = 64 * 1024 * 1024;

/// How long a command may take to end when it is asked to, before it is made to.
const ENDS_WITHIN: Duration = Duration::from_secs(3);

/// How long a background command is watched before its step ends: long enough to see it fail at once.
const BACKGROUND_WATCH: Duration = Duration::from_millis(1_500);

pub(super) async fn run(
    bench: &Bench,
    step: StepId,
    request: &ShellRequest,
    intention: &Intention,
) -> Result<StepEnd, StepTrouble> {
    let id = bench.job(step);
    let found = match intention {
        Intention::New => None,
        Intention::Open(_) => match bench.desk.channel.attach(&id, 0).await {
            Ok(job) => Some(job),
            Err(AttachError::NoSuchJob) => None,
            Err(error) => return Err(StepTrouble::Cut(error.to_string())),
        },
    };
    let reconciled = match (intention, &found) {
        (Intention::New, _) => None,
        (Intention::Open(_), Some(_)) => Some(Reconciled::Found),
        (Intention::Open(_), None) => Some(Reconciled::NotBegun),
    };
    let job = match found {
        Some(job) => job,
        None => {
            let mut command = Command::shell(id, request.command.clone())
                .user(GuestUser::Agent)
                .folder(bench.folder.clone())
                .output(OutputMode::Merged);
            if let ShellMode::Foreground { timeout_seconds } = request.mode {
                command = command.time_limit(Duration::from_secs(timeout_seconds.into()));
            }
            match bench.desk.channel.start(command).await {
                Ok(job) => job,
                Err(StartJobError::Channel(error)) => return Err(StepTrouble::Cut(error.to_string())),
                Err(refused) => return Ok(StepEnd::failed(format!("The command did not start: {refused}."))),
            }
        }
    };
    let mut end = match request.mode {
        ShellMode::Background => watch_background(bench, step, job).await?,
        ShellMode::Foreground { .. } => {
            let (output, exit, ended_by) = read_to_end(bench, step, job).await?;
            let end = end_of(bench, output, &exit).await?;
            if ended_by == EndedBy::Person { interrupted(end) } else { end }
        }
    };
    end.reconciled = reconciled;
    Ok(end)
}

/// What an earlier background command has printed, and whether it still runs.
pub(super) async fn output(bench: &Bench, earlier: StepId) -> Result<StepEnd, StepTrouble> {
    let job = match bench.desk.channel.attach(&bench.job(earlier), 0).await {
        Ok(job) => job,
        Err(AttachError::NoSuchJob) => return Ok(no_such(earlier)),
        Err(error) => return Err(StepTrouble::Cut(error.to_string())),
    };
    watch_background(bench, earlier, job).await
}

pub(super) async fn stop(bench: &Bench, earlier: StepId) -> Result<StepEnd, StepTrouble> {
    let id = bench.job(earlier);
    match bench.desk.channel.job(&id).await {
        Ok(Some(_)) => {}
        Ok(None) => return Ok(no_such(earlier)),
        Err(error) => return Err(StepTrouble::Cut(error.to_string())),
    }
    match bench.desk.channel.kill(&id, Signal::Terminate).await {
        Ok(()) => Ok(StepEnd::done(format!("The command of step {earlier} and all it started was stopped."))),
        Err(error) => Err(StepTrouble::Cut(error.to_string())),
    }
}

fn no_such(earlier: StepId) -> StepEnd {
    StepEnd::failed(format!("Step {earlier} started no command in the background."))
}

/// Who ended a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EndedBy {
    Itself,
    Person,
}

async fn read_to_end(
    bench: &Bench,
    step: StepId,
    mut job: Job,
) -> Result<(Vec<u8>, JobExit, EndedBy), StepTrouble> {
    let mut output = Vec::new();
    let mut interrupt = bench.interrupt.clone();
    let mut ended_by = EndedBy::Itself;
    let patience = tokio::time::sleep(Duration::MAX);
    tokio::pin!(patience);
    loop {
        let event = tokio::select! {
            event = job.next() => event,
            () = interrupt.wished(), if ended_by == EndedBy::Itself => {
                ended_by = EndedBy::Person;
                signal(bench, step, Signal::Terminate).await?;
                patience.as_mut().reset(tokio::time::Instant::now() + ENDS_WITHIN);
                continue;
            }
            () = &mut patience, if ended_by == EndedBy::Person => {
                signal(bench, step, Signal::Kill).await?;
                patience.as_mut().reset(tokio::time::Instant::now() + ENDS_WITHIN);
                continue;
            }
        };
        match event {
            Some(JobEvent::Output { bytes, .. }) => {
                bench.say(LiveBody::StepOutput { step, text: String::from_utf8_lossy(&bytes).into_owned() });
                let room = KEPT.saturating_sub(output.len());
                output.extend_from_slice(&bytes[..bytes.len().min(room)]);
            }
            Some(JobEvent::Exited(exit)) => return Ok((output, exit, ended_by)),
            None => return Err(StepTrouble::Cut("the channel was cut while a command ran".to_owned())),
        }
    }
}

async fn signal(bench: &Bench, step: StepId, signal: Signal) -> Result<(), StepTrouble> {
    match bench.desk.channel.kill(&bench.job(step), signal).await {
        // One that has ended meanwhile tells so by its exit.
        Ok(()) | Err(KillError::NoSuchJob) => Ok(()),
        Err(error) => Err(StepTrouble::Cut(error.to_string())),
    }
}

/// The end of a command that a person stopped: its output is kept, and the agent is told.
fn interrupted(mut end: StepEnd) -> StepEnd {
    end.outcome = ToolOutcome::Failed;
    end.content.push(ResultPart::Text { text: "(interrupted by the person)".to_owned() });
    end
}

async fn watch_background(bench: &Bench, step: StepId, mut job: Job) -> Result<StepEnd, StepTrouble> {
    let mut output = Vec::new();
    let deadline = tokio::time::Instant::now() + BACKGROUND_WATCH;
    loop {
        match tokio::time::timeout_at(deadline, job.next()).await {
            Ok(Some(JobEvent::Output { bytes, .. })) => {
                let room = KEPT.saturating_sub(output.len());
                output.extend_from_slice(&bytes[..bytes.len().min(room)]);
            }
            Ok(Some(JobEvent::Exited(exit))) => return end_of(bench, output, &exit).await,
            Ok(None) => return Err(StepTrouble::Cut("the channel was cut while a command ran".to_owned())),
            Err(_elapsed) => break,
        }
    }
    let text = shorten(&String::from_utf8_lossy(&output), OUTPUT_LIMIT);
    Ok(StepEnd::done(format!(
        "{text}\n(still running; read it again with shell_output, end it with shell_stop, step {step})"
    )))
}

async fn end_of(bench: &Bench, output: Vec<u8>, exit: &JobExit) -> Result<StepEnd, StepTrouble> {
    let text = String::from_utf8_lossy(&output).into_owned();
    let shown = shorten(&text, OUTPUT_LIMIT);
    let (outcome, ending, exit_code) = match exit.status {
        JobStatus::Code(0) => (ToolOutcome::Done, "exit status 0".to_owned(), Some(0)),
        JobStatus::Code(code) => (ToolOutcome::Failed, format!("exit status {code}"), Some(code)),
        JobStatus::Signal(signal) => (ToolOutcome::Failed, format!("ended by signal {signal}"), None),
        JobStatus::TimedOut => (
            ToolOutcome::Failed,
            format!("ended after {} s, its time limit; run long work in the background", exit.wall.as_secs()),
            None,
        ),
        JobStatus::Lost => (ToolOutcome::Failed, "its exit status is not known".to_owned(), None),
    };
    let whole = if output.is_empty() { None } else { Some(bench.keep(output, "text/plain").await?) };
    let body = if shown.trim().is_empty() { "(no output)".to_owned() } else { shown };
    Ok(StepEnd {
        outcome,
        content: vec![ResultPart::Text { text: format!("{body}\n({ending})") }],
        output: whole,
        exit_code,
        reconciled: None,
        notes: Vec::new(),
    })
}
