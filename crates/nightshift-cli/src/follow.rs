//! Follows a run: a progress bar while it is prepared, then its steps, until it is decided.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use nightshift_protocol::{Event, EventBody, Live, LiveBody, RunState, UserError};

use crate::client::{Arrived, Client, Follow};
use crate::show;

/// How a run that was followed stands at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Its pull request is open, or already decided.
    Delivered,
    /// It waits for a person.
    Waiting,
    Cancelled,
    Failed,
}

impl Ended {
    fn of(state: &RunState) -> Option<Self> {
        match state {
            RunState::InReview { .. } | RunState::Merged { .. } | RunState::Closed { .. } => {
                Some(Self::Delivered)
            }
            RunState::Paused { .. } | RunState::Waiting { .. } => Some(Self::Waiting),
            RunState::Cancelled => Some(Self::Cancelled),
            RunState::Failed { .. } => Some(Self::Failed),
            RunState::Queued { .. }
            | RunState::Preparing { .. }
            | RunState::Working
            | RunState::Delivering => None,
        }
    }

    /// The process's exit status.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Delivered => 0,
            Self::Failed => 1,
            Self::Waiting => 3,
            Self::Cancelled => 4,
        }
    }
}

/// How what happens is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    Text,
    JsonLines,
}

/// Follows `run` until it is decided or waits for a person. When the owner ends or is restarted meanwhile, it is
/// found again and the events go on where they stopped.
pub(crate) async fn follow(
    reconnect: impl AsyncFn() -> Result<Client, UserError>,
    run: &str,
    output: Output,
) -> Result<Ended, UserError> {
    let mut watcher = Watcher::new(output);
    let mut client = reconnect().await?;
    let mut failures = 0;
    loop {
        let after = watcher.last_seq;
        match client.follow(run, after, &mut |arrived| watcher.take(&arrived)).await {
            Ok(Follow::Enough) => break,
            Ok(Follow::More) => {}
            Err(error) if failures >= 5 => return Err(error),
            Err(_) => {}
        }
        failures = if watcher.last_seq > after { 0 } else { failures + 1 };
        tokio::time::sleep(Duration::from_millis(200)).await;
        client = reconnect().await?;
    }
    watcher.bar.finish_and_clear();
    Ok(watcher.ended.unwrap_or(Ended::Failed))
}

struct Watcher {
    output: Output,
    bar: ProgressBar,
    last_seq: u64,
    ended: Option<Ended>,
}

impl Watcher {
    fn new(output: Output) -> Self {
        let bar = if output == Output::Text && std::io::stderr().is_terminal() {
            let bar = ProgressBar::new_spinner();
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        } else {
            ProgressBar::hidden()
        };
        if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg} [{elapsed}]") {
            bar.set_style(style);
        }
        Self { output, bar, last_seq: 0, ended: None }
    }

    fn take(&mut self, arrived: &Arrived) -> Follow {
        match arrived {
            Arrived::Event(event) => self.event(event),
            Arrived::Live(live) => {
                self.live(live);
                Follow::More
            }
        }
    }

    fn event(&mut self, event: &Event) -> Follow {
        // A stream that was taken up again may repeat; an event is shown once.
        if event.seq <= self.last_seq {
            return Follow::More;
        }
        self.last_seq = event.seq;
        match self.output {
            Output::Text => {
                if let Some(line) = show::event(event) {
                    self.print(&line);
                }
            }
            Output::JsonLines => self.print_json(event),
        }
        let EventBody::StateChanged { state } = &event.body else { return Follow::More };
        self.bar.set_message(show::state(state));
        self.ended = Ended::of(state);
        if self.ended.is_some() { Follow::Enough } else { Follow::More }
    }

    fn live(&mut self, live: &Live) {
        if self.output == Output::JsonLines {
            self.print_json(live);
            return;
        }
        match &live.body {
            LiveBody::SetUpProgress { what, phase, number, of } => {
                let text = format!("{what} {number}/{of}: {phase}");
                if self.bar.is_hidden() {
                    self.print(&format!("· {text}"));
                }
                self.bar.set_message(text);
            }
            LiveBody::StepOutput { text, .. } => {
                if let Some(last) = show::plain(text).lines().rfind(|line| !line.trim().is_empty()) {
                    self.bar.set_message(last.chars().take(100).collect::<String>());
                }
            }
            LiveBody::ModelText { .. } => self.bar.set_message("the model answers"),
        }
    }

    fn print_json(&self, value: &impl serde::Serialize) {
        if let Ok(line) = serde_json::to_string(value) {
            self.print(&line);
        }
    }

    fn print(&self, line: &str) {
        self.bar.suspend(|| out(line));
    }
}

/// Writes a line to standard output; a reader that went away is not an error of ours.
pub(crate) fn out(line: &str) {
    let _reader_gone = writeln!(std::io::stdout(), "{line}");
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]
    use nightshift_protocol::{OffsetDateTime, PauseReason, PullRequestId};

    use super::*;

    fn changed(seq: u64, state: RunState) -> Arrived {
        Arrived::Event(Box::new(Event {
            position: seq,
            run: "run-0000000000".parse().unwrap(),
            seq,
            at: OffsetDateTime::UNIX_EPOCH,
            body: EventBody::StateChanged { state },
        }))
    }

    #[test]
    fn following_ends_when_there_is_something_to_review() {
        let mut watcher = Watcher::new(Output::JsonLines);
        assert_eq!(watcher.take(&changed(1, RunState::Working)), Follow::More);
        assert_eq!(
            watcher.take(&changed(2, RunState::InReview { pull_request: PullRequestId(1) })),
            Follow::Enough
        );
        assert_eq!(watcher.ended.unwrap().exit_code(), 0);
    }

    #[test]
    fn an_event_that_is_repeated_after_a_reconnection_is_passed_over() {
        let mut watcher = Watcher::new(Output::JsonLines);
        assert_eq!(watcher.take(&changed(2, RunState::Working)), Follow::More);
        assert_eq!(watcher.take(&changed(1, RunState::Cancelled)), Follow::More);
        assert_eq!(watcher.ended, None);
    }

    #[test]
    fn a_pause_is_told_apart_from_a_failure_by_the_exit_status() {
        assert_eq!(Ended::of(&RunState::Paused { reason: PauseReason::Person }).unwrap().exit_code(), 3);
        assert_eq!(Ended::of(&RunState::Cancelled).unwrap().exit_code(), 4);
    }
}
