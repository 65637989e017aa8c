//! The keyboard of the terminal in which a run is followed.
//!
//! ```text
//!   Ctrl+B ─▶ the run goes on in the background
//!   Ctrl+C ─▶ what it does now is interrupted ─ Ctrl+C within ten seconds ─▶ the run is given up
//! ```

use std::fs::File;
use std::io::{IsTerminal, Read};
use std::time::{Duration, Instant};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

/// How long after the first Ctrl+C another one gives the run up.
const AGAIN_WITHIN: Duration = Duration::from_secs(10);

/// Ctrl+B, as terminals send it (ECMA-48: STX).
const CTRL_B: u8 = 0x02;

/// What a person wants of the run that is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pressed {
    Background,
    Interrupt,
    Cancel,
}

/// The presses of Ctrl+C. It never reads the clock.
#[derive(Debug, Default)]
struct Presses {
    last: Option<Instant>,
}

impl Presses {
    fn ctrl_c(&mut self, now: Instant) -> Pressed {
        let again = self.last.is_some_and(|last| now.saturating_duration_since(last) <= AGAIN_WITHIN);
        self.last = if again { None } else { Some(now) };
        if again { Pressed::Cancel } else { Pressed::Interrupt }
    }
}

/// The keyboard while a run is followed. When it is dropped the terminal is as it was before.
pub(crate) struct Keyboard {
    terminal: File,
    before: Termios,
    interrupts: Signal,
    left: mpsc::Receiver<()>,
    presses: Presses,
}

impl Keyboard {
    /// Takes the keyboard, where a person sits at one and this process is in the foreground.
    pub(crate) fn take() -> Option<Self> {
        if !std::io::stdin().is_terminal() {
            return None;
        }
        let terminal = File::open("/dev/tty").ok()?;
        // One in the background would be stopped by touching the terminal.
        if tcgetpgrp(&terminal).ok()? != rustix::process::getpgrp() {
            return None;
        }
        let interrupts = signal(SignalKind::interrupt()).ok()?;
        let keys = terminal.try_clone().ok()?;
        let before = tcgetattr(&terminal).ok()?;
        let mut modes = before.clone();
        // Each key at once, and not shown. Ctrl+C and Ctrl+Z stay signals.
        modes.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
        tcsetattr(&terminal, OptionalActions::Now, &modes).ok()?;
        let (leave, left) = mpsc::channel(1);
        let this = Self { terminal, before, interrupts, left, presses: Presses::default() };
        // A thread of its own: one of the runtime's would have to be waited for at the end, until a key is pressed.
        let reader = std::thread::Builder::new().name("keyboard".to_owned());
        reader.spawn(move || until_left(keys, &leave)).ok()?;
        Some(this)
    }

    /// Waits for the next key that means something.
    pub(crate) async fn pressed(&mut self) -> Pressed {
        tokio::select! {
            _signal = self.interrupts.recv() => self.presses.ctrl_c(Instant::now()),
            Some(()) = self.left.recv() => Pressed::Background,
        }
    }
}

impl Drop for Keyboard {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let _set = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
    }
}

/// Reads keys until one of them is Ctrl+B, or the terminal is gone.
fn until_left(mut keys: File, leave: &mpsc::Sender<()>) {
    let mut read = [0_u8; 64];
    while let Ok(count) = keys.read(&mut read) {
        if count == 0 {
            return;
        }
        if read[..count].contains(&CTRL_B) && leave.blocking_send(()).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_ctrl_c_interrupts_and_the_second_gives_up() {
        let (mut presses, now) = (Presses::default(), Instant::now());
        assert_eq!(presses.ctrl_c(now), Pressed::Interrupt);
        assert_eq!(presses.ctrl_c(now + Duration::from_secs(9)), Pressed::Cancel);
        assert_eq!(presses.ctrl_c(now + Duration::from_secs(10)), Pressed::Interrupt);
    }

    #[test]
    fn one_that_comes_late_interrupts_again() {
        let (mut presses, now) = (Presses::default(), Instant::now());
        assert_eq!(presses.ctrl_c(now), Pressed::Interrupt);
        assert_eq!(presses.ctrl_c(now + Duration::from_secs(11)), Pressed::Interrupt);
        assert_eq!(presses.ctrl_c(now + Duration::from_secs(12)), Pressed::Cancel);
    }
}
