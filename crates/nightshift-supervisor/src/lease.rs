//! A person's hold of a run's mouse and keyboard.
//!
//! ```text
//!   take_over ─▶ takenOver in the history ─▶ Lease: input ─▶ hand_back, dropped, or idle ─▶ handedBack in the history
//! ```
//!
//! At most one person has a run's at a time. The agent finishes the step it is in and begins nothing; what the
//! person did it is told when they hand back. A lease ends with its holder: a browser that is gone holds nothing.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use nightshift_protocol::{ErrorCode, PointerButton, PressedKey, RunId, UserError, ViewerMessage};
use nightshift_screen::{Button, Gesture, InputError, KeyAction, PersonKeyboard, Point, Scroll};

use crate::run::Wish;
use crate::supervisor::Supervisor;
use crate::watching::RunScreen;

/// A person who does nothing for so long has gone away, and the agent waits for them.
pub const IDLE: Duration = Duration::from_secs(15 * 60);

/// The longest text typed at once, in characters.
const LONGEST_TEXT: usize = 10_000;

/// The most notches of the wheel in one message.
const MOST_NOTCHES: u32 = 20;

/// Mouse and keyboard of a run, in a person's hands. Dropped, they are the agent's again.
pub struct Lease {
    supervisor: Supervisor,
    run: RunId,
    screen: RunScreen,
    keyboard: PersonKeyboard,
    buttons: Vec<Button>,
    began: Instant,
    did: Did,
    over: bool,
}

/// What a person did, in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Did {
    clicks: u32,
    keys: u32,
    scrolls: u32,
}

impl Supervisor {
    /// Gives mouse and keyboard of a run to a person.
    pub async fn take_over(&self, run: &RunId) -> Result<Lease, UserError> {
        let screen = self.screen(run).await?;
        let first = self.shared().leases.lock().unwrap_or_else(PoisonError::into_inner).insert(run.clone());
        if !first {
            return Err(UserError::new(
                ErrorCode::Conflict,
                "somebody else has mouse and keyboard of this run",
                "They have to hand them back first; you can watch meanwhile.",
            ));
        }
        let picture = self.keep_picture(&screen).await;
        let lease = Lease {
            supervisor: self.clone(),
            run: run.clone(),
            screen,
            keyboard: PersonKeyboard::default(),
            buttons: Vec::new(),
            began: Instant::now(),
            did: Did::default(),
            over: false,
        };
        match self.wish(run, Wish::TakeOver(picture)).await {
            Ok(()) => Ok(lease),
            Err(error) => {
                lease.give_up();
                Err(error)
            }
        }
    }
}

impl Lease {
    /// Does what a person did at a viewer. Messages that are no input do nothing.
    pub async fn input(&mut self, message: &ViewerMessage) -> Result<(), UserError> {
        match message {
            ViewerMessage::Pointer { x, y } => self.perform(Gesture::pointer_move(Point::new(*x, *y))).await,
            ViewerMessage::Button { x, y, button, down } => self.button(*x, *y, *button, *down).await,
            ViewerMessage::Wheel { x, y, right, down } => self.wheel(Point::new(*x, *y), *right, *down).await,
            ViewerMessage::Key { code, key, down } => {
                self.did.keys += u32::from(*down);
                let actions = if *down { self.keyboard.down(code, key) } else { self.keyboard.up(code) };
                self.keys(actions).await
            }
            ViewerMessage::Text { text } => {
                if text.chars().count() > LONGEST_TEXT {
                    return Err(too_long());
                }
                self.did.keys += 1;
                self.type_text(text).await
            }
            ViewerMessage::SetClipboard { text, .. } if text.len() > LONGEST_TEXT * 10 => Err(too_long()),
            ViewerMessage::SetClipboard { text, press } => {
                self.screen.set_clipboard(text).await?;
                let Some(PressedKey { code, key }) = press else { return Ok(()) };
                self.did.keys += 1;
                let mut actions = self.keyboard.down(code, key);
                actions.extend(self.keyboard.up(code));
                self.keys(actions).await
            }
            ViewerMessage::GetClipboard
            | ViewerMessage::Acknowledge { .. }
            | ViewerMessage::TakeOver
            | ViewerMessage::HandBack { .. } => Ok(()),
        }
    }

    /// Types a text as it is, whatever the person holds.
    async fn type_text(&self, text: &str) -> Result<(), UserError> {
        let held = self.keyboard.modifiers();
        for key in held.iter().rev() {
            self.perform(Gesture::key_up(*key)).await?;
        }
        let typed = self.screen.type_text(text).await;
        for key in held {
            self.perform(Gesture::key_down(key)).await?;
        }
        typed
    }

    /// Reads the guest's clipboard.
    pub async fn clipboard(&self) -> Result<String, UserError> {
        self.screen.clipboard_text().await
    }

    /// Gives mouse and keyboard back, and tells the agent.
    pub async fn hand_back(mut self, note: &str) -> Result<(), UserError> {
        self.over = true;
        end(self.supervisor.clone(), self.run.clone(), self.screen.clone(), self.left(note)).await
    }

    /// It never began: nothing is written.
    fn give_up(mut self) {
        self.over = true;
        self.supervisor.free(&self.run);
    }

    fn left(&mut self, note: &str) -> Left {
        Left {
            keys: self.keyboard.release(),
            buttons: std::mem::take(&mut self.buttons),
            seconds: self.began.elapsed().as_secs(),
            summary: summary(self.did, self.began.elapsed().as_secs(), note),
        }
    }

    async fn button(&mut self, x: u32, y: u32, button: PointerButton, down: bool) -> Result<(), UserError> {
        self.perform(Gesture::pointer_move(Point::new(x, y))).await?;
        let button = match button {
            PointerButton::Left => Button::Left,
            PointerButton::Middle => Button::Middle,
            PointerButton::Right => Button::Right,
            PointerButton::Back => Button::Back,
            PointerButton::Forward => Button::Forward,
        };
        self.buttons.retain(|held| *held != button);
        if down {
            self.did.clicks += 1;
            self.buttons.push(button);
            self.perform(Gesture::press(button)).await
        } else {
            self.perform(Gesture::release(button)).await
        }
    }

    async fn wheel(&mut self, at: Point, right: i32, down: i32) -> Result<(), UserError> {
        self.did.scrolls += 1;
        let turns = [
            (right.unsigned_abs(), if right > 0 { Scroll::Right } else { Scroll::Left }),
            (down.unsigned_abs(), if down > 0 { Scroll::Down } else { Scroll::Up }),
        ];
        for (notches, direction) in turns {
            if notches > 0 {
                let gesture = Gesture::scroll(at, direction, notches.min(MOST_NOTCHES));
                self.perform(gesture.map_err(|error| refused(&error))?).await?;
            }
        }
        Ok(())
    }

    async fn keys(&mut self, actions: Vec<KeyAction>) -> Result<(), UserError> {
        for action in actions {
            match action {
                KeyAction::Down(key) => self.perform(Gesture::key_down(key)).await?,
                KeyAction::Up(key) => self.perform(Gesture::key_up(key)).await?,
                KeyAction::Type(character) => self.screen.type_character(character).await?,
            }
        }
        Ok(())
    }

    async fn perform(&self, gesture: Gesture) -> Result<(), UserError> {
        match self.screen.screen().perform(gesture).await {
            Ok(()) => Ok(()),
            // The screen became smaller while the pointer moved, or is dark for a moment: nothing to tell anybody.
            Err(InputError::OutOfScreen(_) | InputError::Dark) => Ok(()),
            Err(error) => Err(refused(&error)),
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let (supervisor, run, screen, left) =
            (self.supervisor.clone(), self.run.clone(), self.screen.clone(), self.left(""));
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Err(error) = end(supervisor, run.clone(), screen, left).await {
                    tracing::warn!(%run, %error, "mouse and keyboard were not handed back");
                }
            });
        }
    }
}

/// What is left to do when a lease ends.
struct Left {
    keys: Vec<KeyAction>,
    buttons: Vec<Button>,
    seconds: u64,
    summary: String,
}

async fn end(supervisor: Supervisor, run: RunId, screen: RunScreen, left: Left) -> Result<(), UserError> {
    let keys = left.keys.into_iter().filter_map(|action| match action {
        KeyAction::Up(key) => Some(Gesture::key_up(key)),
        KeyAction::Down(_) | KeyAction::Type(_) => None,
    });
    for release in keys.chain(left.buttons.into_iter().map(Gesture::release)) {
        // A machine that is gone holds nothing.
        let _released = screen.screen().perform(release).await;
    }
    let picture = supervisor.keep_picture(&screen).await;
    let wish = Wish::HandBack { summary: left.summary, seconds: left.seconds, screen: picture };
    let told = supervisor.wish(&run, wish).await;
    supervisor.free(&run);
    told
}

impl Supervisor {
    fn free(&self, run: &RunId) {
        self.shared().leases.lock().unwrap_or_else(PoisonError::into_inner).remove(run);
    }
}

/// What the agent is told of what a person did.
fn summary(did: Did, seconds: u64, note: &str) -> String {
    let count = |number: u32, one: &str, many: &str| match number {
        0 => None,
        1 => Some(format!("1 {one}")),
        more => Some(format!("{more} {many}")),
    };
    let parts: Vec<String> = [
        count(did.clicks, "click", "clicks"),
        count(did.keys, "key", "keys"),
        count(did.scrolls, "turn of the wheel", "turns of the wheel"),
    ]
    .into_iter()
    .flatten()
    .collect();
    let did = if parts.is_empty() { "no input".to_owned() } else { parts.join(", ") };
    let note = note.trim();
    let said = if note.is_empty() { String::new() } else { format!(" They say: {note}") };
    format!(
        "A person had mouse and keyboard for {seconds} s ({did}) and handed them back. The screen, and files, may \
         have changed: look before you act.{said}"
    )
}

fn too_long() -> UserError {
    UserError::new(ErrorCode::TooLarge, "the text is too long", "Paste it in parts, or put it into a file.")
}

fn refused(error: &dyn std::error::Error) -> UserError {
    UserError::new(ErrorCode::SandboxFailed, error.to_string(), "Try again; the screen shows what happened.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agent_is_told_what_a_person_did_in_numbers_and_their_words() {
        let did = Did { clicks: 1, keys: 12, scrolls: 0 };
        assert_eq!(
            summary(did, 42, " I logged in. "),
            "A person had mouse and keyboard for 42 s (1 click, 12 keys) and handed them back. The screen, and files, \
             may have changed: look before you act. They say: I logged in."
        );
        assert!(summary(Did::default(), 3, "").contains("(no input)"));
    }
}
