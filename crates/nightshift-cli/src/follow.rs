//! Follows a run: a progress bar while it is prepared, then its steps, until it is decided.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use nightshift_protocol::{
    ErrorCode, Event, EventBody, Live, LiveBody, RunDetail, RunId, RunState, UserError,
};

use crate::show;
use nightshift_client::{Arrived, Client, Follow};

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
    /// How a run's state ends the following; nothing while it goes on.
    pub(crate) fn of(state: &RunState) -> Option<Self> {
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
    /// Text too, on standard error: standard output is kept for the result.
    TextBeside,
    JsonLines,
}

/// What of a run is shown, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) output: Output,
    /// Events up to this one are not shown.
    pub(crate) after: u64,
    /// What every line begins with, where several runs are followed at once: there is no bar then.
    pub(crate) mark: Option<String>,
}

/// How often in a row the stream may end without anything new before following is given up.
const FRUITLESS: u32 = 5;

/// Follows the run named `named` until it is decided or waits for a person. What it was before, such as a pause that
/// is over, is shown and does not end it. When the stream ends before, `reconnect` finds the owner again and the
/// events go on where they stopped.
pub(crate) async fn follow(
    mut client: Client,
    reconnect: impl AsyncFn(&RunId) -> Result<Client, UserError>,
    named: &str,
    shown: Shown,
) -> Result<Ended, UserError> {
    let RunDetail { summary, .. } = client.get(&format!("/runs/{named}")).await?;
    let mut watcher = Watcher::new(shown, summary.last_seq, &summary.state);
    let mut fruitless = 0;
    loop {
        let after = watcher.last_seq;
        let stopped = client.follow(summary.run.as_str(), after, &mut |arrived| watcher.take(&arrived)).await;
        if matches!(stopped, Ok(Follow::Enough)) {
            break;
        }
        fruitless = if watcher.last_seq > after { 0 } else { fruitless + 1 };
        if fruitless > FRUITLESS {
            return Err(stopped.err().unwrap_or_else(|| broken_off(&summary.run)));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        client = reconnect(&summary.run).await?;
    }
    watcher.bar.finish_and_clear();
    Ok(watcher.stands.unwrap_or(Ended::Failed))
}

fn broken_off(run: &RunId) -> UserError {
    UserError::new(
        ErrorCode::Internal,
        format!("the owner ends the stream of {run} again and again"),
        "The run itself may be well: `nightshift show` tells. The reason is in owner.log in the data folder.",
    )
}

/// Turns on standard error while something takes long; hidden where nobody sees it.
pub(crate) fn spinner() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg} [{elapsed}]") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

struct Watcher {
    output: Output,
    mark: Option<String>,
    bar: ProgressBar,
    last_seq: u64,
    /// The newest event when following began: up to it everything is history.
    history: u64,
    /// What the newest state comes to, if it is one that ends the following.
    stands: Option<Ended>,
}

impl Watcher {
    /// `state` is what the run is in after the event `history`.
    fn new(shown: Shown, history: u64, state: &RunState) -> Self {
        let Shown { output, after, mark } = shown;
        let hidden = output == Output::JsonLines || mark.is_some();
        let bar = if hidden { ProgressBar::hidden() } else { spinner() };
        Self { output, mark, bar, last_seq: after, history, stands: Ended::of(state) }
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
            Output::Text | Output::TextBeside => {
                if let Some(text) = show::event(event) {
                    self.print(&self.marked(&text));
                }
            }
            Output::JsonLines => self.print_json(event),
        }
        if let EventBody::StateChanged { state } = &event.body {
            self.bar.set_message(show::state(state));
            self.stands = Ended::of(state);
        }
        if self.stands.is_some() && event.seq >= self.history { Follow::Enough } else { Follow::More }
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
                    self.print(&self.marked(&format!("· {text}")));
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

    /// The text, each line of it with the mark.
    fn marked(&self, text: &str) -> String {
        let Some(mark) = &self.mark else { return text.to_owned() };
        text.lines().map(|line| format!("{mark} {line}")).collect::<Vec<_>>().join("\n")
    }

    fn print_json(&self, value: &impl serde::Serialize) {
        self.print(&show::json(value));
    }

    fn print(&self, line: &str) {
        self.bar.suspend(|| match self.output {
            Output::Text | Output::JsonLines => out(line),
            Output::TextBeside => beside(line),
        });
    }
}

/// Writes a line to standard output; a reader that went away is not an error of ours.
pub(crate) fn out(line: &str) {
    let _reader_gone = writeln!(std::io::stdout(), "{line}");
}

/// Writes a line to standard error.
pub(crate) fn beside(line: &str) {
    let _reader_gone = writeln!(std::io::stderr(), "{line}");
}

#[cfg(test)]
mod tests {
    use nightshift_protocol::{OffsetDateTime, PauseReason, PullRequestId};

    use super::*;

    fn happened(seq: u64, body: EventBody) -> Arrived {
        Arrived::Event(Box::new(Event {
            position: seq,
            run: "run-0000000000".parse().unwrap(),
            seq,
            at: OffsetDateTime::UNIX_EPOCH,
            body,
        }))
    }

    fn changed(seq: u64, state: RunState) -> Arrived {
        happened(seq, EventBody::StateChanged { state })
    }

    fn watcher(output: Output, history: u64) -> Watcher {
        Watcher::new(Shown { output, after: 0, mark: None }, history, &RunState::Working)
    }

    #[test]
    fn of_several_runs_every_line_says_whose_it_is_and_there_is_no_bar() {
        let shown = Shown { output: Output::Text, after: 4, mark: Some("[2/3]".to_owned()) };
        let mut watcher = Watcher::new(shown, 4, &RunState::Working);
        assert_eq!(watcher.marked("one\ntwo"), "[2/3] one\n[2/3] two");
        assert!(watcher.bar.is_hidden());
        assert_eq!(watcher.take(&changed(4, RunState::Cancelled)), Follow::More, "it was shown before");
        assert_eq!(self::watcher(Output::Text, 0).marked("one\ntwo"), "one\ntwo");
    }

    #[test]
    fn following_ends_when_there_is_something_to_review() {
        let mut watcher = watcher(Output::JsonLines, 0);
        assert_eq!(watcher.take(&changed(1, RunState::Working)), Follow::More);
        assert_eq!(
            watcher.take(&changed(2, RunState::InReview { pull_request: PullRequestId(1) })),
            Follow::Enough
        );
        assert_eq!(watcher.stands.unwrap().exit_code(), 0);
    }

    #[test]
    fn an_event_that_is_repeated_after_a_reconnection_is_passed_over() {
        let mut watcher = watcher(Output::JsonLines, 0);
        assert_eq!(watcher.take(&changed(2, RunState::Working)), Follow::More);
        assert_eq!(watcher.take(&changed(1, RunState::Cancelled)), Follow::More);
        assert_eq!(watcher.stands, None);
    }

    #[test]
    fn a_pause_that_is_over_does_not_end_the_following() {
        let paused = || RunState::Paused { reason: PauseReason::Person };
        let mut watcher = watcher(Output::JsonLines, 3);
        assert_eq!(watcher.take(&changed(1, paused())), Follow::More);
        assert_eq!(watcher.take(&changed(2, RunState::Working)), Follow::More);
        assert_eq!(watcher.take(&happened(3, EventBody::TurnRequested { turn: 1 })), Follow::More);
        assert_eq!(watcher.take(&changed(4, paused())), Follow::Enough);
        assert_eq!(watcher.stands, Some(Ended::Waiting));
    }

    #[test]
    fn words_to_a_run_that_waits_for_a_yes_do_not_make_it_be_followed_for_ever() {
        let waiting =
            RunState::Waiting { question: "Run it?".to_owned(), approval: Some("1.1".parse().unwrap()) };
        let shown = Shown { output: Output::JsonLines, after: 8, mark: None };
        let mut watcher = Watcher::new(shown, 9, &waiting);
        let said = EventBody::PersonSaid { text: "Mind the port.".to_owned() };
        assert_eq!(watcher.take(&happened(9, said)), Follow::Enough);
        assert_eq!(watcher.stands.unwrap().exit_code(), 3);
    }

    #[test]
    fn of_a_run_that_stands_already_the_whole_history_is_shown() {
        let mut watcher = watcher(Output::JsonLines, 3);
        assert_eq!(
            watcher.take(&changed(1, RunState::InReview { pull_request: PullRequestId(1) })),
            Follow::More
        );
        assert_eq!(
            watcher.take(&changed(2, RunState::Merged { pull_request: PullRequestId(1) })),
            Follow::More
        );
        let gone = EventBody::PersonSaid { text: "thanks".to_owned() };
        assert_eq!(watcher.take(&happened(3, gone)), Follow::Enough);
        assert_eq!(watcher.stands, Some(Ended::Delivered));
    }

    #[test]
    fn the_exit_status_tells_how_a_run_stands() {
        let states: Vec<RunState> =
            serde_json::from_str(include_str!("../../nightshift-protocol/wire/states.json")).unwrap();
        for state in states {
            let expected = match state.name() {
                "inReview" | "merged" | "closed" => Some(0),
                "failed" => Some(1),
                "paused" | "waiting" => Some(3),
                "cancelled" => Some(4),
                _ => None,
            };
            assert_eq!(Ended::of(&state).map(|ended| ended.exit_code()), expected, "{}", state.name());
        }
    }

    #[test]
    fn what_passes_never_ends_the_following() {
        let mut watcher = watcher(Output::TextBeside, 0);
        let run: RunId = "run-0000000000".parse().unwrap();
        let bodies = [
            LiveBody::ModelText { text: "x".to_owned() },
            LiveBody::StepOutput { step: "1.1".parse().unwrap(), text: "\u{1b}[2J\n\n".to_owned() },
        ];
        for body in bodies {
            assert_eq!(watcher.take(&Arrived::Live(Live { run: run.clone(), body })), Follow::More);
        }
    }
}
