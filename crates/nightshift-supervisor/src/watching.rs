//! The screens of runs, for people: seen without disturbing the agent.
//!
//! QEMU's display serves one client, so a sandbox is attached to once: the run's driver and all viewers share it. A
//! viewer of a run that is not driven (paused, waiting, after a restart) attaches to it as the driver would.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use nightshift_channel::{Channel, Command, GuestUser, Input, JobId, JobStatus};
use nightshift_protocol::{ErrorCode, Image, RunId, RunState, UserError};
use nightshift_screen::{Condition, Gesture, Screen};

use crate::desk::{Desk, DeskError};
use crate::shared::Shared;
use crate::spare_keys;
use crate::supervisor::Supervisor;
use crate::tools::{computer, job_id};
use crate::trouble;

/// How long a guest that runs already may take to answer a viewer.
const ATTACH_WITHIN: Duration = Duration::from_secs(30);

/// How long the guest's clipboard may take.
const CLIPBOARD_WITHIN: Duration = Duration::from_secs(10);

/// How long the guest may take to answer at all: it may stand still.
const ANSWERED_WITHIN: Duration = Duration::from_secs(15);

/// The longest text of the guest's clipboard that is taken, in bytes.
const LONGEST_CLIPBOARD: usize = 100_000;

/// Offers standard input as the clipboard's text. The program goes to the background and stays.
const OFFER: &str = "xclip -selection clipboard -i >/dev/null 2>&1";

/// Empties the selection that a middle click pastes.
const FORGET_PRIMARY: &str = "timeout 4 xsel --primary --clear";

/// A place for a run's sandbox in use.
pub(crate) type Slot = Arc<tokio::sync::Mutex<Option<Desk>>>;

/// The sandboxes in use, each in one place for all who use it.
#[derive(Default)]
pub(crate) struct Desks {
    slots: Mutex<HashMap<RunId, Weak<tokio::sync::Mutex<Option<Desk>>>>>,
}

impl Desks {
    /// The place of a run's sandbox. When the last who has it lets go of it, the sandbox is let go.
    pub(crate) fn slot(&self, run: &RunId) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|_, slot| slot.strong_count() > 0);
        if let Some(slot) = slots.get(run).and_then(Weak::upgrade) {
            return slot;
        }
        let slot = Slot::default();
        slots.insert(run.clone(), Arc::downgrade(&slot));
        slot
    }
}

/// A run's screen, for as long as it is held.
#[derive(Clone)]
pub struct RunScreen {
    run: RunId,
    desk: Desk,
    shared: Arc<Shared>,
    _slot: Slot,
}

impl RunScreen {
    /// The screen.
    pub fn screen(&self) -> &Screen {
        &self.desk.screen
    }

    /// The way into the sandbox.
    pub(crate) fn channel(&self) -> &Channel {
        &self.desk.channel
    }

    /// A number that stays the same for as long as it is the same machine, attached to once.
    pub fn identity(&self) -> usize {
        Arc::as_ptr(&self.desk.machine).cast::<()>() as usize
    }

    /// Whether a person has mouse and keyboard.
    pub fn is_leased(&self) -> bool {
        self.shared.is_leased(&self.run)
    }

    /// Puts text into the guest's clipboard.
    pub async fn set_clipboard(&self, text: &str) -> Result<(), UserError> {
        // The program goes to the background and stays: in X11 a text is with the one that offers it.
        self.clipboard(&format!("exec {OFFER}"), text).await.map(drop)
    }

    /// Reads the text in the guest's clipboard, at most 100,000 bytes.
    pub async fn clipboard_text(&self) -> Result<String, UserError> {
        self.clipboard("xclip -selection clipboard -o 2>/dev/null || true", "").await
    }

    /// Types a text of any length: by keys, or, if one of several characters has none, as it would be pasted.
    ///
    /// It may be a password. So it stays in neither selection, whether it was pasted or not: what the clipboard held is there
    /// again if it was text of no more than 100,000 bytes, and otherwise nothing.
    pub(crate) async fn type_text(&self, text: &str) -> Result<(), UserError> {
        let refused = |refused: computer::Refused| not_taken(&refused.to_string());
        if let Ok(gesture) = Gesture::text(text) {
            return self.desk.screen.perform(gesture).await.map_err(|error| refused(error.into()));
        }
        let mut characters = text.chars();
        if let (Some(only), None) = (characters.next(), characters.next()) {
            return self.type_character(only).await;
        }
        let before = self.clipboard_text().await?;
        let pasted = computer::paste_whole(&self.desk, self.job(), text).await;
        let left = if before.is_empty() || before.len() >= LONGEST_CLIPBOARD {
            self.clipboard(&format!("{FORGET_PRIMARY}; exec timeout 4 xsel --clipboard --clear"), "").await
        } else {
            self.clipboard(&format!("{FORGET_PRIMARY}; exec {OFFER}"), &before).await
        };
        pasted.map_err(refused)?;
        left.map(drop)
    }

    /// Types one character for which the keyboard has no key, and leaves the clipboard as it is: a person who types in
    /// between may have put something there.
    pub(crate) async fn type_character(&self, character: char) -> Result<(), UserError> {
        let mut keys = self.desk.spare_keys.lock().await;
        let key = match keys.known(character) {
            Some(key) => Some(key),
            None => keys.give(character, &self.clipboard(spare_keys::ASK, "").await?),
        };
        let typed = match key {
            Some(key) => self.clipboard(&key.script(), "").await,
            None => self.clipboard("exec xdotool type --delay 12 --file -", &character.to_string()).await,
        };
        typed.map(drop)
    }

    /// The id of something that is done for a person. Each has its own: of one that the guest knows it tells how that ended,
    /// and begins nothing.
    fn job(&self) -> JobId {
        let mut random = [0; 8];
        self.shared.entropy.fill(&mut random);
        job_id(&format!("{}-person-{:016x}", self.run, u64::from_be_bytes(random)))
    }

    async fn clipboard(&self, script: &str, input: &str) -> Result<String, UserError> {
        let failed = |what: String| not_taken(&what);
        let job = self.job();
        let command = Command::shell(job.clone(), script)
            .user(GuestUser::Agent)
            .input(Input::Bytes(input.as_bytes().to_vec()))
            .time_limit(CLIPBOARD_WITHIN);
        let done = async {
            let started =
                self.desk.channel.start(command).await.map_err(|error| failed(error.to_string()))?;
            let ended =
                started.collect(LONGEST_CLIPBOARD).await.map_err(|error| failed(error.to_string()))?;
            let _forgotten = self.desk.channel.forget(&job).await;
            Ok(ended)
        };
        let ended = tokio::time::timeout(ANSWERED_WITHIN, done).await.unwrap_or_else(|_| {
            Err(failed(format!("it did not answer for {} s", ANSWERED_WITHIN.as_secs())))
        })?;
        if ended.exit.status != JobStatus::Code(0) {
            return Err(failed(String::from_utf8_lossy(&ended.stderr).trim().to_owned()));
        }
        Ok(String::from_utf8_lossy(&ended.stdout).into_owned())
    }
}

fn not_taken(what: &str) -> UserError {
    UserError::new(
        ErrorCode::SandboxFailed,
        format!("the sandbox did not take it: {what}"),
        "Try again; the screen itself is not affected.",
    )
}

/// What a screen that is not there looked like.
const RECORDED: &str = "The recorded screenshots show what it looked like.";

/// Why a run without a sandbox shows no screen, and what brings one.
fn without_sandbox(run: &RunId, state: &RunState) -> UserError {
    let hint = match state {
        RunState::InReview { .. } => {
            format!(
                "{RECORDED} Ask for changes (`nightshift review ask {run} \"…\"`): its sandbox comes back."
            )
        }
        RunState::Paused { .. } => {
            format!("{RECORDED} `nightshift continue {run}` lets it go on, in a sandbox.")
        }
        RunState::Queued { .. } | RunState::Preparing { .. } => {
            format!("It has one when there is room; `nightshift watch {run}` follows it.")
        }
        RunState::Working
        | RunState::Waiting { .. }
        | RunState::Delivering
        | RunState::Merged { .. }
        | RunState::Closed { .. }
        | RunState::Cancelled
        | RunState::Failed { .. } => RECORDED.to_owned(),
    };
    let message = format!("the run is {} and has no sandbox", state.words());
    UserError::new(ErrorCode::Conflict, message, hint)
}

impl Supervisor {
    /// The screen of a run's sandbox.
    pub async fn screen(&self, run: &RunId) -> Result<RunScreen, UserError> {
        let summary = self.shared().store.run(run).await.map_err(|error| trouble::reading(&error))?;
        let none = |why: String| Err(UserError::new(ErrorCode::Conflict, why, RECORDED));
        let Some(summary) = summary else {
            return Err(UserError::new(ErrorCode::NotFound, "there is no such run", "List the runs."));
        };
        let Some(sandbox) = summary.sandbox else {
            return Err(without_sandbox(run, &summary.state));
        };
        if matches!(summary.state, RunState::Preparing { .. }) {
            return none("the sandbox is being made ready".to_owned());
        }
        let slot = self.shared().desks.slot(run);
        let mut held = slot.lock().await;
        if let Some(desk) = held.as_ref()
            && matches!(desk.screen.condition(), Condition::Ended(_))
        {
            *held = None;
        }
        let desk = match held.as_ref() {
            Some(desk) => desk.clone(),
            None => {
                let found = self.shared().driver.find(&sandbox).await;
                let Some(machine) = found.map_err(|error| UserError::from(DeskError::from(error)))? else {
                    return none("the sandbox does not run now".to_owned());
                };
                let attached = Desk::attach(
                    machine,
                    self.shared().entropy.as_ref(),
                    ATTACH_WITHIN,
                    &self.shared().intake.handle(),
                )
                .await;
                let desk = match attached {
                    Ok(desk) => desk,
                    Err(error) => return none(format!("the sandbox cannot be reached: {error}")),
                };
                held.insert(desk).clone()
            }
        };
        drop(held);
        let shared = Arc::clone(self.shared());
        Ok(RunScreen { run: run.clone(), desk, shared, _slot: slot })
    }

    /// Keeps what a run's screen shows now, if it shows something.
    pub(crate) async fn keep_picture(&self, screen: &RunScreen) -> Option<Image> {
        let frame = screen.screen().frame().await.ok()?;
        let (width, height) = (frame.size().width(), frame.size().height());
        let file = tokio::task::spawn_blocking(move || frame.encode_png()).await.ok()?.ok()?;
        let bytes = file.len() as u64;
        let artifact = self.shared().store.put(file, "image/png").await.ok()?;
        Some(Image { artifact, media_type: "image/png".to_owned(), width, height, bytes })
    }
}

impl Shared {
    /// Whether somebody has a run's mouse and keyboard in this process.
    pub(crate) fn is_leased(&self, run: &RunId) -> bool {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner).contains(run)
    }
}

#[cfg(test)]
mod tests {
    use nightshift_protocol::PullRequestId;

    use super::*;

    #[test]
    fn who_looks_for_the_screen_of_a_run_in_review_is_told_what_brings_its_sandbox_back() {
        let run: RunId = "run-0123456789".parse().unwrap();
        let error = without_sandbox(&run, &RunState::InReview { pull_request: PullRequestId(4) });
        assert_eq!(error.message, "the run is in review and has no sandbox");
        assert!(error.hint.contains("`nightshift review ask run-0123456789 \"…\"`"), "{}", error.hint);
        assert_eq!(without_sandbox(&run, &RunState::Cancelled).hint, RECORDED);
    }
}
