//! Starting a server in a sandbox.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use nightshift_channel::{
    Channel, ChannelError, Command, ForgetError, GuestUser, Input, JobId, JobStatus, KillError, OutputMode,
    Signal, StartJobError,
};
use nightshift_mcp_client::{Client, ConnectError, Generation, Launch};
use nightshift_sandbox::Acceleration;
use tokio::runtime::Handle;

use super::carrier::{Carrier, End};
use super::{Line, Running, Unreached, silence};
use crate::desk::Desk;
use crate::intake::there;
use crate::tools::job_id;

/// Variables with their values.
pub(super) type Environment = BTreeMap<String, String>;

/// The most of an environment that is read, in bytes.
const ENVIRONMENT: usize = 256 * 1024;

/// How long the shell may take to tell its environment.
const TOLD_WITHIN: Duration = Duration::from_secs(60);

/// How often it is looked whether a program has ended that was made to.
const LOOKS: u32 = 50;
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

/// Exit statuses with which a shell says that there is no such program, or that it cannot be run.
const NO_PROGRAM: [i32; 2] = [126, 127];

/// How long a server may take to answer from its start on: it may have to be downloaded.
pub(super) fn within(desk: &Desk) -> Duration {
    match desk.machine.acceleration() {
        Acceleration::Kvm => Duration::from_secs(60),
        Acceleration::Tcg => Duration::from_secs(180),
    }
}

impl From<ChannelError> for Unreached {
    fn from(error: ChannelError) -> Self {
        Self::Cut(error.to_string())
    }
}

/// The environment that the agent's programs have in the sandbox: that of its login shell.
pub(super) async fn environment(desk: &Desk) -> Result<Environment, Unreached> {
    let id = job_id("mcp-variables");
    clear(&desk.channel, &id).await?;
    // What the profile prints stands before the mark.
    let script = "printf 'nightshift\\0'; exec env -0";
    let command = Command::shell(id.clone(), script).user(GuestUser::Agent).output(OutputMode::Separate);
    let job = match desk.channel.start(command.time_limit(TOLD_WITHIN)).await {
        Ok(job) => job,
        Err(StartJobError::Channel(error)) => return Err(error.into()),
        Err(refused) => return Err(unknown(&refused.to_string())),
    };
    let told = job.collect(ENVIRONMENT).await?;
    if told.exit.status != JobStatus::Code(0) || told.truncated > 0 {
        return Err(unknown("its login shell does not tell them"));
    }
    variables(&told.stdout).ok_or_else(|| unknown("its login shell tells something else"))
}

fn unknown(why: &str) -> Unreached {
    Unreached::Not(format!("the sandbox's variables are not known: {why}"))
}

/// Reads what `env -0` prints behind the mark; `None` without it.
fn variables(told: &[u8]) -> Option<Environment> {
    let mark = told.windows(MARK.len()).position(|window| window == MARK)?;
    let told = told.get(mark + MARK.len()..)?;
    let texts = told.split(|byte| *byte == 0).filter_map(|text| std::str::from_utf8(text).ok());
    let named = texts.filter_map(|text| text.split_once('='));
    Some(named.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

/// What stands before the variables.
const MARK: &[u8] = b"nightshift\0";

/// The generations in which a server is spoken to, one after the other where it does not take one: the last is for one that knows
/// the newest only and was too slow to say so in time.
pub(super) const GENERATIONS: [Generation; 3] =
    [Generation::Newest, Generation::Initialize, Generation::NewestOnly];

/// Starts a server and begins to speak with it.
pub(super) async fn launch(
    desk: &Desk,
    threads: &Handle,
    name: &str,
    folder: &str,
    launch: Launch,
) -> Result<Running, Unreached> {
    let mut first = None;
    for generation in GENERATIONS {
        match begin(desk, threads, name, folder, &launch, generation).await {
            Ok(running) => return Ok(running),
            Err(Refused::Otherwise(unreached)) => return Err(unreached),
            // What it says to what it is asked first tells most.
            Err(Refused::Begun(what)) => {
                first.get_or_insert(what);
            }
        }
    }
    Err(Unreached::Not(first.unwrap_or_default()))
}

/// Why there is no conversation.
enum Refused {
    /// The program ended when it was spoken to, or answered something odd.
    Begun(String),
    Otherwise(Unreached),
}

impl From<Unreached> for Refused {
    fn from(unreached: Unreached) -> Self {
        Self::Otherwise(unreached)
    }
}

impl From<ChannelError> for Refused {
    fn from(error: ChannelError) -> Self {
        Self::Otherwise(error.into())
    }
}

async fn begin(
    desk: &Desk,
    threads: &Handle,
    name: &str,
    folder: &str,
    launch: &Launch,
    generation: Generation,
) -> Result<Running, Refused> {
    // A sandbox has one server of a name. One that an owner before this one left, or that was in a checkpoint, ends first.
    let id = id(name);
    clear(&desk.channel, &id).await?;
    let job = match desk.channel.start(command(id.clone(), folder, launch)).await {
        Ok(job) => job,
        Err(StartJobError::Channel(error)) => return Err(error.into()),
        Err(refused) => return Err(Unreached::Not(format!("it was not started: {refused}")).into()),
    };
    let (stream, carrier) = Carrier::begin(job, threads);
    let within = within(desk);
    let connected = there(threads, async move { Client::connect(stream, generation, within).await }).await;
    let connected = connected.map_err(|error| Unreached::Not(error.to_string()))?;
    match connected {
        Ok(client) => {
            let silence = launch.silence.unwrap_or_else(|| silence(desk.machine.acceleration()));
            Ok(Running { client, line: Line::Program(carrier), silence, unanswered: AtomicU32::new(0) })
        }
        Err(error) => {
            let refused = refused(&error, &carrier);
            // One that does not end by itself would run on beside the next.
            let _ended = clear(&desk.channel, &id).await;
            Err(refused)
        }
    }
}

fn refused(error: &ConnectError, carrier: &Carrier) -> Refused {
    let what = format!("{error}{}", carrier.last_words());
    match (error, carrier.end()) {
        (_, Some(End::Cut)) => Unreached::Cut(what).into(),
        (ConnectError::HungUp { .. }, Some(End::Exited(JobStatus::Code(code))))
            if NO_PROGRAM.contains(&code) =>
        {
            Unreached::Not(what).into()
        }
        (ConnectError::HungUp { .. } | ConnectError::Odd { .. }, _) => Refused::Begun(what),
        (ConnectError::Silent { .. } | ConnectError::NotReached { .. }, _) => Unreached::Not(what).into(),
    }
}

/// A login shell becomes the program, so that it has what the user's profile sets up.
fn command(id: JobId, folder: &str, launch: &Launch) -> Command {
    let shell = ["/bin/bash", "-lc", "exec \"$@\"", "bash"].map(str::to_owned);
    let program = std::iter::once(&launch.command).chain(&launch.arguments).cloned();
    let folder = match &launch.folder {
        Some(within) => format!("{folder}/{within}"),
        None => folder.to_owned(),
    };
    let command = Command::new(id, shell.into_iter().chain(program))
        .user(GuestUser::Agent)
        .folder(folder)
        .output(OutputMode::Separate)
        .input(Input::Stream);
    launch.environment.iter().fold(command, |command, (name, value)| command.variable(name, value))
}

fn id(name: &str) -> JobId {
    job_id(&format!("mcp-server-{name}"))
}

/// Ends a server's program.
pub(super) async fn end(channel: &Channel, name: &str) -> Result<(), Unreached> {
    clear(channel, &id(name)).await
}

/// Ends what was started under an id, so that it is free.
async fn clear(channel: &Channel, id: &JobId) -> Result<(), Unreached> {
    match channel.kill(id, Signal::Kill).await {
        Ok(()) => {}
        Err(KillError::NoSuchJob) => return Ok(()),
        Err(KillError::Channel(error)) => return Err(error.into()),
    }
    for _ in 0..LOOKS {
        match channel.forget(id).await {
            Ok(()) | Err(ForgetError::NoSuchJob) => return Ok(()),
            Err(ForgetError::StillRunning) => tokio::time::sleep(BETWEEN_LOOKS).await,
            Err(ForgetError::Channel(error)) => return Err(error.into()),
        }
    }
    Err(Unreached::Not("the one that ran before does not end".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_is_read_with_line_ends_and_equals_signs_in_its_values() {
        let read =
            variables(b"Welcome!\n\nnightshift\0HOME=/home/agent\0ODD=a=b\nc\0nothing\0\xff=x\0EMPTY=\0");
        let expected = [("EMPTY", ""), ("HOME", "/home/agent"), ("ODD", "a=b\nc")];
        assert_eq!(read, Some(expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into()));
        assert_eq!(
            (variables(b"HOME=/home/agent\0"), variables(b"nightshift\0")),
            (None, Some(Environment::new()))
        );
    }

    #[test]
    fn a_server_is_a_program_of_the_agents_user_in_the_repository() {
        let launch = Launch {
            command: "npx".to_owned(),
            arguments: vec!["-y".to_owned(), "a b".to_owned()],
            environment: vec![("LEVEL".to_owned(), "$(id)".to_owned())],
            folder: Some("tools".to_owned()),
            silence: None,
        };
        let command = command(job_id("mcp-db"), "/home/agent/work/app", &launch);
        // Words of the file are arguments, and nothing that a shell would read.
        assert_eq!(command.argv, ["/bin/bash", "-lc", "exec \"$@\"", "bash", "npx", "-y", "a b"]);
        assert_eq!(command.folder.as_deref(), Some("/home/agent/work/app/tools"));
        assert_eq!(command.environment, [("LEVEL".to_owned(), "$(id)".to_owned())]);
        assert_eq!((command.user, command.input), (GuestUser::Agent, Input::Stream));
    }
}
