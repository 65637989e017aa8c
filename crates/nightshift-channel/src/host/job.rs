//! Jobs: programs the guest runs, addressed by an id the host chooses, which outlive the channel.

use std::time::Duration;

use bytes::Bytes;

use crate::wire::frame::Lane;
use crate::wire::service::{
    AttachAnswer, ExecAnswer, ExecRequest, GuestUser, InputKind, JobAnswer, JobExit, JobId, JobRefusal,
    JobState, Request, Signal, Source,
};

use super::error::{AttachError, ChannelError, ForgetError, KillError, StartJobError};
use super::link::Channel;
use super::stream::Stream;

/// A job to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Its id: starting the same id again attaches to the job instead of starting it twice.
    pub job: JobId,
    /// The program, looked up in `PATH`, and its arguments.
    pub argv: Vec<String>,
    /// The folder it starts in; the user's home when absent.
    pub folder: Option<String>,
    /// Variables set over those the user has by default.
    pub environment: Vec<(String, String)>,
    /// The user it runs as.
    pub user: GuestUser,
    /// How long it may run before it and all it started is ended.
    pub time_limit: Option<Duration>,
    /// Whether its outputs are kept apart.
    pub output: OutputMode,
    /// What it reads.
    pub input: Input,
}

/// Whether a job's two outputs are kept apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputMode {
    /// Both become one, in the order they were written.
    Merged,
    /// Each is told apart; between the two the order is only roughly that in which they were written.
    Separate,
}

/// What a job reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Nothing.
    None,
    /// These bytes, all of which are in the guest before the job starts; at most 64 MiB.
    Bytes(Vec<u8>),
    /// What [`Job::send_input`] sends. It ends when the guest learns that this channel is closed: at the latest when
    /// another is opened.
    Stream,
}

impl Command {
    /// A program with its arguments, run by the agent's user, both outputs merged, without input or time limit.
    pub fn new(job: JobId, argv: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            job,
            argv: argv.into_iter().map(Into::into).collect(),
            folder: None,
            environment: Vec::new(),
            user: GuestUser::Agent,
            time_limit: None,
            output: OutputMode::Merged,
            input: Input::None,
        }
    }

    /// A script for bash as a login shell, so that it has what the user's profile sets up.
    pub fn shell(job: JobId, script: impl Into<String>) -> Self {
        Self::new(job, ["/bin/bash".to_owned(), "-lc".to_owned(), script.into()])
    }

    /// Sets the folder it starts in.
    pub fn folder(self, folder: impl Into<String>) -> Self {
        Self { folder: Some(folder.into()), ..self }
    }

    /// Sets a variable of its environment.
    pub fn variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Sets the user it runs as.
    pub fn user(self, user: GuestUser) -> Self {
        Self { user, ..self }
    }

    /// Sets how long it may run.
    pub fn time_limit(self, time_limit: Duration) -> Self {
        Self { time_limit: Some(time_limit), ..self }
    }

    /// Sets whether its outputs are kept apart.
    pub fn output(self, output: OutputMode) -> Self {
        Self { output, ..self }
    }

    /// Sets what it reads.
    pub fn input(self, input: Input) -> Self {
        Self { input, ..self }
    }

    fn request(&self) -> ExecRequest {
        ExecRequest {
            job: self.job.clone(),
            argv: self.argv.clone(),
            folder: self.folder.clone(),
            environment: self.environment.clone(),
            user: self.user,
            time_limit_milliseconds: self
                .time_limit
                .map(|limit| limit.as_millis().try_into().unwrap_or(u64::MAX)),
            merge_output: self.output == OutputMode::Merged,
            input: match self.input {
                Input::None => InputKind::None,
                Input::Bytes(_) => InputKind::Whole,
                Input::Stream => InputKind::Stream,
            },
        }
    }
}

/// A job that is followed. Dropping it stops following; the job goes on.
pub struct Job {
    channel: Channel,
    id: JobId,
    stream: Stream,
    offset: u64,
    exited: bool,
}

impl std::fmt::Debug for Job {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Job")
            .field("id", &self.id)
            .field("offset", &self.offset)
            .finish_non_exhaustive()
    }
}

/// What a job does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobEvent {
    /// It wrote.
    Output {
        /// On which output.
        source: Source,
        /// What: 1 to 32,768 bytes.
        bytes: Bytes,
    },
    /// It has ended; nothing follows.
    Exited(JobExit),
}

/// What came of following a job while it is sent input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Followed {
    /// It did this; the rest of the input is still to be sent.
    Did(JobEvent),
    /// All of the input is on its way.
    Sent,
}

/// A job that has ended, with the beginning of its output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completed {
    /// Standard output, or both outputs when they were merged.
    pub stdout: Vec<u8>,
    /// Standard error, when it was kept apart.
    pub stderr: Vec<u8>,
    /// How it ended.
    pub exit: JobExit,
    /// How many bytes of output came after those returned.
    pub truncated: u64,
}

impl Channel {
    /// Starts a job and follows it from its first byte of output. A job with that id that was started before, even by
    /// an earlier owner, is followed instead, whatever the command says.
    pub async fn start(&self, command: Command) -> Result<Job, StartJobError> {
        let mut stream = self.request(&Request::Exec(command.request())).await?;
        if let Input::Bytes(bytes) = &command.input {
            match stream.send(bytes).await {
                // The guest may refuse before it has all of the input; its answer says why.
                Ok(()) | Err(ChannelError::Cut) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if command.input != Input::Stream {
            stream.end();
        }
        stream.answer::<ExecAnswer>().await??;
        Ok(Job { channel: self.clone(), id: command.job, stream, offset: 0, exited: false })
    }

    /// Follows a job, passing over the first `from` bytes of its output (both outputs counted together).
    pub async fn attach(&self, job: &JobId, from: u64) -> Result<Job, AttachError> {
        let mut stream = self.request(&Request::Attach { job: job.clone(), offset: from }).await?;
        stream.end();
        stream.answer::<AttachAnswer>().await??;
        Ok(Job { channel: self.clone(), id: job.clone(), stream, offset: from, exited: false })
    }

    /// Asks for a job's state; `None` when the guest has no such job.
    pub async fn job(&self, job: &JobId) -> Result<Option<JobState>, ChannelError> {
        match self.ask::<JobAnswer<JobState>>(&Request::Job { job: job.clone() }).await? {
            Ok(state) => Ok(Some(state)),
            Err(JobRefusal::NoSuchJob) => Ok(None),
            Err(JobRefusal::StillRunning) => Err(ChannelError::NotUnderstood),
        }
    }

    /// Ends a job, or interrupts it. Returns when the signal is sent, not when the job has ended. For a job that has
    /// ended it reaches what the job left running.
    pub async fn kill(&self, job: &JobId, signal: Signal) -> Result<(), KillError> {
        match self.ask::<JobAnswer<()>>(&Request::Kill { job: job.clone(), signal }).await? {
            Ok(()) => Ok(()),
            Err(JobRefusal::NoSuchJob) => Err(KillError::NoSuchJob),
            Err(JobRefusal::StillRunning) => Err(ChannelError::NotUnderstood.into()),
        }
    }

    /// Lets the guest remove what it keeps of a job that has ended.
    pub async fn forget(&self, job: &JobId) -> Result<(), ForgetError> {
        self.ask::<JobAnswer<()>>(&Request::Forget { job: job.clone() }).await??;
        Ok(())
    }
}

impl Job {
    /// Its id.
    pub fn id(&self) -> &JobId {
        &self.id
    }

    /// How many bytes of its output have been returned or passed over: where [`Channel::attach`] goes on.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Returns what it does next. `None` follows [`JobEvent::Exited`]; without that before it, the channel is closed
    /// ([`Channel::closed`] tells why) and the job may go on.
    pub async fn next(&mut self) -> Option<JobEvent> {
        self.event().await.ok().flatten()
    }

    /// Sends it input, for a job started with [`Input::Stream`]. Returns when the input is on its way.
    pub async fn send_input(&mut self, bytes: &[u8]) -> Result<(), ChannelError> {
        self.stream.send(bytes).await
    }

    /// Sends it input and returns what it does meanwhile, whichever is first: of two that both wait until the other reads,
    /// one has to. What was sent is taken off `input`. `None` as in [`Job::next`].
    pub async fn follow(&mut self, input: &mut Bytes) -> Option<Followed> {
        if !input.is_empty() {
            match self.stream.send_or_receive(input).await.ok()? {
                None => return Some(Followed::Sent),
                Some(piece) => return self.take_in(piece).await.ok().map(Followed::Did),
            }
        }
        self.next().await.map(Followed::Did)
    }

    /// Ends its input.
    pub fn end_input(&mut self) {
        self.stream.end();
    }

    /// Ends it, or interrupts it, as [`Channel::kill`] does.
    pub async fn kill(&self, signal: Signal) -> Result<(), KillError> {
        self.channel.kill(&self.id, signal).await
    }

    /// Waits for its end and returns the first `limit` bytes of its output, both outputs counted together.
    pub async fn collect(mut self, limit: usize) -> Result<Completed, ChannelError> {
        let (mut stdout, mut stderr, mut truncated) = (Vec::new(), Vec::new(), 0);
        loop {
            match self.event().await?.ok_or(ChannelError::Cut)? {
                JobEvent::Output { source, bytes } => {
                    let room = limit - stdout.len() - stderr.len();
                    let kept = bytes.get(..room).unwrap_or(&bytes);
                    truncated += u64::try_from(bytes.len() - kept.len()).unwrap_or(u64::MAX);
                    match source {
                        Source::Stdout | Source::Merged => stdout.extend_from_slice(kept),
                        Source::Stderr => stderr.extend_from_slice(kept),
                    }
                }
                JobEvent::Exited(exit) => return Ok(Completed { stdout, stderr, exit, truncated }),
            }
        }
    }

    async fn event(&mut self) -> Result<Option<JobEvent>, ChannelError> {
        if self.exited {
            return Ok(None);
        }
        let piece = self.stream.receive().await?.ok_or(ChannelError::Cut)?;
        self.take_in(piece).await.map(Some)
    }

    async fn take_in(&mut self, (lane, bytes): (Lane, Bytes)) -> Result<JobEvent, ChannelError> {
        let source = match lane {
            Lane::Bytes => Source::Merged,
            Lane::Stdout => Source::Stdout,
            Lane::Stderr => Source::Stderr,
            Lane::MessagePart | Lane::Message => {
                let exit = self.stream.message_from(lane, bytes).await?;
                self.exited = true;
                return Ok(JobEvent::Exited(exit));
            }
        };
        self.offset += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Ok(JobEvent::Output { source, bytes })
    }
}
