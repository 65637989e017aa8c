//! A foreign agent's program in the sandbox: started, spoken to by lines, and ended.

use std::time::Duration;

use nightshift_channel::{
    Channel, ChannelError, Command, GuestUser, Input, Job, JobEvent, JobExit, JobId, JobState, JobStatus,
    OutputMode, Signal, Source, StartJobError,
};
use nightshift_engine::{Lines, TooLong};
use nightshift_protocol::RunId;
use tokio::sync::OwnedMutexGuard;

use crate::tools::job_id;

/// Starts the program as the user's login shell finds it; 127 where it does not.
const START: &str = r#"command -v "$0" >/dev/null 2>&1 || exit 127; exec "$0" "$@""#;

/// The end of what it writes beside its messages that is kept, in bytes.
const SAID: usize = 4_096;

/// Output of one program that is read, in bytes: the guest keeps no more than 64 MiB of it.
pub(super) const MOST_OUTPUT: u64 = 48 * 1024 * 1024;

/// How long it may take to end when it is asked to, and again when it is told to.
const ENDS_WITHIN: Duration = Duration::from_secs(3);

/// Programs of one turn that are looked for.
const MOST_TRIES: u32 = 10_000;

/// What it does.
#[derive(Debug, PartialEq)]
pub(super) enum Heard {
    Lines(Result<Vec<Vec<u8>>, TooLong>),
    Exited { code: Option<i32>, said: String },
    Cut,
}

/// A program that runs. Dropped, it is asked to stop, and ended in the background.
pub(super) struct Program {
    /// `None` once it is ending.
    running: Option<Running>,
    /// What asks it to stop, while it has something to stop.
    pub(super) cancel: Option<String>,
}

struct Running {
    job: Job,
    lines: Lines,
    said: Vec<u8>,
    /// Held until it has ended, so that no other is started before.
    _alone: OwnedMutexGuard<()>,
}

/// How it is started.
pub(super) struct Start<'a> {
    pub(super) run: &'a RunId,
    pub(super) turn: u32,
    pub(super) folder: &'a str,
    pub(super) argv: Vec<String>,
    pub(super) variables: Vec<(String, String)>,
}

impl Program {
    /// Starts it. What an owner before this one left running for the same turn is ended first.
    pub(super) async fn start(
        channel: &Channel,
        start: Start<'_>,
        alone: OwnedMutexGuard<()>,
    ) -> Result<Self, StartJobError> {
        let id = unused(channel, start.run, start.turn).await?;
        let words = ["/bin/bash", "-lc", START].map(str::to_owned).into_iter().chain(start.argv);
        let mut command = Command::new(id, words)
            .user(GuestUser::Agent)
            .folder(start.folder)
            .output(OutputMode::Separate)
            .input(Input::Stream);
        for (name, value) in start.variables {
            command = command.variable(name, value);
        }
        let job = channel.start(command).await?;
        let running = Running { job, lines: Lines::default(), said: Vec::new(), _alone: alone };
        Ok(Self { running: Some(running), cancel: None })
    }

    /// Sends it a line.
    pub(super) async fn send(&mut self, line: &str) -> Result<(), ChannelError> {
        match &mut self.running {
            Some(running) => running.job.send_input(line.as_bytes()).await,
            None => Err(ChannelError::Cut),
        }
    }

    /// What it does next. It may be waited for again and again, and loses nothing.
    pub(super) async fn hear(&mut self) -> Heard {
        let Some(running) = &mut self.running else { return std::future::pending().await };
        loop {
            match running.job.next().await {
                Some(JobEvent::Output { source: Source::Stderr, bytes }) => running.note_said(&bytes),
                Some(JobEvent::Output { bytes, .. }) => match running.lines.push(&bytes) {
                    Ok(lines) if lines.is_empty() => {}
                    read => return Heard::Lines(read),
                },
                Some(JobEvent::Exited(exit)) => return running.exited(&exit),
                None => return Heard::Cut,
            }
        }
    }

    /// How much it has written.
    pub(super) fn written(&self) -> u64 {
        self.running.as_ref().map_or(0, |running| running.job.offset())
    }

    /// Ends it, and returns when it has ended.
    pub(super) async fn end(mut self) {
        if let Some(running) = self.running.take() {
            end(running, None).await;
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let (Some(running), Ok(runtime)) = (self.running.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(end(running, self.cancel.take()));
        }
    }
}

impl Running {
    fn note_said(&mut self, bytes: &[u8]) {
        self.said.extend_from_slice(bytes);
        let much = self.said.len().saturating_sub(SAID);
        self.said.drain(..much);
    }

    fn exited(&self, exit: &JobExit) -> Heard {
        let code = match exit.status {
            JobStatus::Code(code) => Some(code),
            JobStatus::Signal(_) | JobStatus::TimedOut | JobStatus::Lost => None,
        };
        Heard::Exited { code, said: String::from_utf8_lossy(&self.said).into_owned() }
    }
}

async fn end(mut running: Running, cancel: Option<String>) {
    if let Some(line) = cancel
        && matches!(
            tokio::time::timeout(ENDS_WITHIN, running.job.send_input(line.as_bytes())).await,
            Ok(Ok(()))
        )
    {
        // It may write down where it was.
        let _or_not = tokio::time::timeout(ENDS_WITHIN, exit(&mut running.job)).await;
    }
    running.job.end_input();
    for signal in [None, Some(Signal::Terminate), Some(Signal::Kill)] {
        if let Some(signal) = signal
            && running.job.kill(signal).await.is_err()
        {
            return;
        }
        if tokio::time::timeout(ENDS_WITHIN, exit(&mut running.job)).await.is_ok() {
            return;
        }
    }
}

/// Returns when it has ended, or nobody can know.
async fn exit(job: &mut Job) {
    while let Some(event) = job.next().await {
        if matches!(event, JobEvent::Exited(_)) {
            return;
        }
    }
}

/// An id for the program of a turn that was not used yet. Those that were are ended.
async fn unused(channel: &Channel, run: &RunId, turn: u32) -> Result<JobId, ChannelError> {
    for tried in 0..MOST_TRIES {
        let id = job_id(&format!("{run}-engine-{turn}-{tried}"));
        match channel.job(&id).await? {
            None => return Ok(id),
            Some(JobState::Running { .. }) => {
                // It may end by itself in this moment.
                let _gone = channel.kill(&id, Signal::Kill).await;
            }
            Some(JobState::Exited { .. }) => {}
        }
    }
    Err(ChannelError::Cut)
}
