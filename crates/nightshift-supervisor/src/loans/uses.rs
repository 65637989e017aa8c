//! What a borrower can do with a sandbox: screen, mouse and keyboard, commands, files.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nightshift_agent::{ComputerAction, OUTPUT_LIMIT, Region, computer_action, shorten};
use nightshift_channel::{
    Channel, ChannelError, Command, FileError, FileMode, GuestUser, JobId, JobStatus, OutputMode, Signal,
    StartJobError,
};
use nightshift_protocol::{CommandAnswer, ErrorCode, RunCommand, ScreenAction, ScreenAnswer, UserError};
use nightshift_screen::{Frame, Rect};
use serde_json::Value;

use super::{InUse, Loan};
use crate::supervisor::Supervisor;
use crate::tools::computer::{Refused, perform};
use crate::trouble;

/// Commands that run at once in one sandbox at most.
pub(super) const COMMANDS: usize = 8;

/// Seconds a command may take.
const TIME_LIMITS: std::ops::RangeInclusive<u32> = 1..=1_800;
const TIME_LIMIT: u32 = 120;

/// The longest command line, in characters.
const LONGEST_COMMAND: usize = 100_000;

/// How much of a command's output is read, in bytes; of that the beginning and the end are given.
const READ: usize = 4 * 1024 * 1024;

/// The largest file that is given or taken, in bytes.
pub(super) const LARGEST_FILE: usize = 1 << 20;

/// The longest path Linux takes, in bytes.
const LONGEST_PATH: usize = 4_096;

impl Supervisor {
    fn use_loan(&self, sandbox: &str) -> Result<InUse, UserError> {
        self.shared().loans.find(sandbox).map(InUse::begin)
    }

    /// Does one action on a lent sandbox's screen, and shows the screen once it has settled.
    pub async fn act_on_screen(
        &self,
        sandbox: &str,
        action: ScreenAction,
    ) -> Result<ScreenAnswer, UserError> {
        let loan = self.use_loan(sandbox)?;
        let action = computer_action(&Value::Object(action.0), loan.screen_size)
            .map_err(|error| invalid(error.to_string(), "Mend the action and do it again."))?;
        let _turn = loan.screen.lock().await;
        unless_it_stands_still(&loan, act(&loan, &action)).await
    }

    /// Runs a command in a lent sandbox to its end. When the one who asked goes away, it is ended.
    pub async fn run_command(&self, sandbox: &str, asked: RunCommand) -> Result<CommandAnswer, UserError> {
        let loan = self.use_loan(sandbox)?;
        let seconds = asked.time_limit_seconds.unwrap_or(TIME_LIMIT);
        if !TIME_LIMITS.contains(&seconds) {
            let message = format!(
                "a time limit of {seconds} s is not between {} and {} s",
                TIME_LIMITS.start(),
                TIME_LIMITS.end()
            );
            return Err(invalid(message, "What takes longer is started in the background, with nohup … &."));
        }
        if asked.command.trim().is_empty() || asked.command.chars().count() > LONGEST_COMMAND {
            let message = format!("the command is empty, or longer than {LONGEST_COMMAND} characters");
            return Err(invalid(message, "Put a long script into a file and run that."));
        }
        let Ok(_turn) = loan.commands.try_acquire() else {
            let message = format!("{COMMANDS} commands run in {sandbox} already");
            return Err(UserError::new(ErrorCode::Conflict, message, "Wait until one has ended."));
        };
        unless_it_stands_still(&loan, run(&loan, asked.command, Duration::from_secs(seconds.into()))).await
    }

    /// Reads a file of a lent sandbox, of at most 1 MiB.
    pub async fn read_lent_file(&self, sandbox: &str, path: &str) -> Result<Vec<u8>, UserError> {
        let loan = self.use_loan(sandbox)?;
        let path = full_path(loan.desk.machine.home(), path)?;
        let read = async {
            let read = loan.desk.channel.read_file(&path, LARGEST_FILE as u64).await;
            read.map_err(|error| file(&path, &error))
        };
        unless_it_stands_still(&loan, read).await
    }

    /// Writes a file of a lent sandbox whole, with the folders above it.
    pub async fn write_lent_file(&self, sandbox: &str, path: &str, content: &[u8]) -> Result<(), UserError> {
        let loan = self.use_loan(sandbox)?;
        let path = full_path(loan.desk.machine.home(), path)?;
        if content.len() > LARGEST_FILE {
            return Err(file(&path, &FileError::TooLarge));
        }
        let mode = FileMode { mode: 0o644, owner: GuestUser::Agent };
        let write = async {
            let written = loan.desk.channel.write_file(&path, content, mode).await;
            written.map_err(|error| file(&path, &error))
        };
        unless_it_stands_still(&loan, write).await
    }
}

/// Does something with a loan unless its machine stands still, which would never answer.
async fn unless_it_stands_still<T>(
    loan: &Loan,
    doing: impl Future<Output = Result<T, UserError>>,
) -> Result<T, UserError> {
    tokio::select! {
        done = doing => done,
        stall = loan.desk.machine.stalled() => {
            let hint = "It goes on by itself when there is room on the disk; if it wrote too much, close it and open another.";
            Err(UserError { hint: hint.to_owned(), ..trouble::stalled(&stall) })
        }
    }
}

async fn act(loan: &Loan, action: &ComputerAction) -> Result<ScreenAnswer, UserError> {
    let screen = &loan.desk.screen;
    match action {
        ComputerAction::Screenshot => {}
        ComputerAction::CursorPosition => {
            let text = match screen.pointer() {
                Some(at) => format!("The pointer is at {},{}.", at.x, at.y),
                None => "The pointer was not moved yet.".to_owned(),
            };
            return Ok(ScreenAnswer { text: Some(text), picture: None });
        }
        ComputerAction::Zoom { region } => return zoom(loan, *region).await,
        ComputerAction::Wait { duration_ms } => tokio::time::sleep(Duration::from_millis(*duration_ms)).await,
        ComputerAction::MouseMove { .. }
        | ComputerAction::Click { .. }
        | ComputerAction::Drag { .. }
        | ComputerAction::LeftMouseDown
        | ComputerAction::LeftMouseUp
        | ComputerAction::Scroll { .. }
        | ComputerAction::Type { .. }
        | ComputerAction::Key { .. }
        | ComputerAction::HoldKey { .. } => {
            let mut damage = screen.damage();
            perform(&loan.desk, &|what| loan.next_job(what), action).await.map_err(
                |refused| match refused {
                    Refused::Ended(what) => gone(&what),
                    other => {
                        invalid(format!("nothing was done: {other}"), "Look at the screen and try again.")
                    }
                },
            )?;
            loan.desk.settle(&mut damage).await.map_err(|ended| gone(&ended.to_string()))?;
        }
    }
    let frame = screen.frame().await.map_err(|error| gone(&error.to_string()))?;
    show(frame).await
}

async fn zoom(loan: &Loan, region: Region) -> Result<ScreenAnswer, UserError> {
    let frame = loan.desk.screen.frame().await.map_err(|error| gone(&error.to_string()))?;
    let rect = Rect::new(region.left, region.top, region.right - region.left, region.bottom - region.top);
    let outside = |why: String| invalid(why, "Name a part of the screen.");
    let rect = rect.ok_or_else(|| outside("the region has no pixel in it".to_owned()))?;
    show(frame.region(rect).map_err(|error| outside(error.to_string()))?).await
}

async fn show(frame: Frame) -> Result<ScreenAnswer, UserError> {
    let failed = |error: &dyn std::error::Error| crate::trouble::internal("encoding a screenshot", error);
    let picture = tokio::task::spawn_blocking(move || frame.encode_png().map(|png| STANDARD.encode(png)));
    let picture = picture.await.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
    Ok(ScreenAnswer { text: None, picture: Some(picture) })
}

async fn run(loan: &Loan, line: String, time_limit: Duration) -> Result<CommandAnswer, UserError> {
    let id = loan.next_job("command");
    let command = Command::shell(id.clone(), line)
        .user(GuestUser::Agent)
        .folder(loan.desk.machine.home())
        .output(OutputMode::Merged)
        .time_limit(time_limit);
    let started = match loan.desk.channel.start(command).await {
        Ok(started) => started,
        Err(StartJobError::Channel(error)) => return Err(cut(&error)),
        Err(refused) => return Err(invalid(format!("the command did not start: {refused}"), "")),
    };
    let _ends = EndsWithUs { channel: loan.desk.channel.clone(), id };
    let ended = started.collect(READ).await.map_err(|error| cut(&error))?;
    let (exit_code, ending) = match ended.exit.status {
        JobStatus::Code(code) => (Some(code), format!("exit status {code}")),
        JobStatus::Signal(signal) => (None, format!("ended by signal {signal}")),
        JobStatus::TimedOut => (None, format!("ended after {} s, its time limit", time_limit.as_secs())),
        JobStatus::Lost => (None, "its exit status is not known".to_owned()),
    };
    let mut output = shorten(&String::from_utf8_lossy(&ended.stdout), OUTPUT_LIMIT);
    if ended.truncated > 0 {
        output += &format!("\n({} more bytes were not read)", ended.truncated);
    }
    Ok(CommandAnswer { exit_code, ending, output })
}

/// A command of the guest that nobody asks for any more when this is dropped: it is ended if it runs, and forgotten.
struct EndsWithUs {
    channel: Channel,
    id: JobId,
}

impl Drop for EndsWithUs {
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (channel, id) = (self.channel.clone(), self.id.clone());
        runtime.spawn(async move {
            // One that has ended is only forgotten.
            let _ended = channel.kill(&id, Signal::Kill).await;
            let _forgotten = channel.forget(&id).await;
        });
    }
}

fn full_path(home: &str, path: &str) -> Result<String, UserError> {
    let trimmed = path.strip_prefix("~/").unwrap_or(path);
    if trimmed.is_empty() || trimmed.len() > LONGEST_PATH || trimmed.contains('\0') {
        return Err(invalid("the path is empty, too long or holds a NUL", "Name a file."));
    }
    Ok(if trimmed.starts_with('/') { trimmed.to_owned() } else { format!("{home}/{trimmed}") })
}

fn file(path: &str, error: &FileError) -> UserError {
    match error {
        FileError::Channel(error) => cut(error),
        FileError::NotFound => {
            UserError::new(ErrorCode::NotFound, format!("{path}: {error}"), "List the folder with a command.")
        }
        FileError::TooLarge => UserError::new(
            ErrorCode::TooLarge,
            format!("{path}: more than 1 MiB"),
            "Take it in parts, with head and tail or split.",
        ),
        FileError::IsAFolder
        | FileError::NotAFolder
        | FileError::PermissionDenied
        | FileError::NoSpace
        | FileError::Other { .. } => invalid(format!("{path}: {error}"), "Look at it with a command."),
    }
}

fn invalid(message: impl Into<String>, hint: &str) -> UserError {
    UserError::new(ErrorCode::InvalidRequest, message, hint)
}

fn cut(error: &ChannelError) -> UserError {
    gone(&error.to_string())
}

fn gone(why: &str) -> UserError {
    let hint = "Try again; if it does not come back, close it and open another.";
    UserError::new(ErrorCode::SandboxFailed, format!("the sandbox does not answer: {why}"), hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_absolute_or_begins_at_home() {
        assert_eq!(full_path("/home/agent", "/etc/hosts"), Ok("/etc/hosts".to_owned()));
        assert_eq!(full_path("/home/agent", "a/b.txt"), Ok("/home/agent/a/b.txt".to_owned()));
        assert_eq!(full_path("/home/agent", "~/a"), Ok("/home/agent/a".to_owned()));
        for bad in ["", "~/", "a\0b", &"x".repeat(5_000)] {
            assert_eq!(full_path("/home/agent", bad).unwrap_err().code, ErrorCode::InvalidRequest);
        }
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said_with_its_path() {
        let error = file("/root/x", &FileError::PermissionDenied);
        assert_eq!(
            (error.code, error.message.as_str()),
            (ErrorCode::InvalidRequest, "/root/x: permission denied")
        );
        assert_eq!(file("/big", &FileError::TooLarge).code, ErrorCode::TooLarge);
        assert_eq!(file("/none", &FileError::NotFound).code, ErrorCode::NotFound);
    }
}
