//! Notices that the agent goes in circles: first a hint to the model, then a pause.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

use nightshift_protocol::{ResultPart, ToolCall, ToolOutcome};

/// How often a call or an error is repeated before it counts as going in circles.
const REPETITIONS: usize = 3;

/// Steps looked back on: two calls in turn, three times each.
const WINDOW: usize = 2 * REPETITIONS;

/// After this many steps in good order a hint is forgotten, so that two harmless circles hours apart do not pause
/// a run.
const HINT_LASTS: u32 = 30;

/// The newest steps of an agent, as far as circles show in them.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Stuck {
    newest: VecDeque<Seen>,
    found: Option<Circle>,
    steps_since_hint: Option<u32>,
}

/// One step as digests: what was called, and what came back. The digests live within one process only.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Seen {
    call: u64,
    result: u64,
    outcome: ToolOutcome,
}

/// A way to go in circles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Circle {
    /// The same call with the same result, again and again.
    SameCall,
    /// The same error from different calls.
    SameError,
    /// Two calls in turn, each with the same result as before.
    Alternating,
}

impl Circle {
    /// The circle in words that follow "You" or "The agent".
    pub(crate) fn description(self) -> &'static str {
        match self {
            Self::SameCall => "made the same call with the same result three times in a row",
            Self::SameError => "met the same error three times in a row",
            Self::Alternating => {
                "went back and forth between the same two calls three times, with the same results"
            }
        }
    }
}

/// What is to be done about circles when a turn's steps are over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Going,
    Hint(Circle),
    Pause(Circle),
}

impl Stuck {
    /// Notes a step that was carried out or refused. Steps that only wait are not circles, however often they come.
    pub(crate) fn note(&mut self, call: &ToolCall, outcome: ToolOutcome, content: &[ResultPart]) {
        if only_waits(call) {
            return;
        }
        let seen = Seen {
            call: digest(&[
                call.name.as_str(),
                &call.input.to_string(),
                call.malformed.as_deref().unwrap_or(""),
            ]),
            result: digest(&content.iter().map(shown).collect::<Vec<_>>()),
            outcome,
        };
        if self.newest.len() == WINDOW {
            self.newest.pop_front();
        }
        self.newest.push_back(seen);
        self.steps_since_hint =
            self.steps_since_hint.map(|steps| steps + 1).filter(|steps| *steps < HINT_LASTS);
        if let Some(circle) = self.circle() {
            self.found = Some(circle);
            self.newest.clear();
        }
    }

    /// Judges the steps since the last verdict. Within one turn several circles count once, for the model could
    /// not read a hint in between.
    pub(crate) fn verdict(&mut self) -> Verdict {
        let Some(circle) = self.found.take() else { return Verdict::Going };
        if self.steps_since_hint.take().is_some() {
            return Verdict::Pause(circle);
        }
        self.steps_since_hint = Some(0);
        Verdict::Hint(circle)
    }

    fn circle(&self) -> Option<Circle> {
        let mut newest_first = self.newest.iter().rev();
        let newest = newest_first.next()?;
        let before: Vec<&Seen> = newest_first.collect();
        let last = before.get(..REPETITIONS - 1)?;
        if last.iter().all(|seen| *seen == newest) {
            return Some(Circle::SameCall);
        }
        let same_error = |seen: &&Seen| seen.outcome == ToolOutcome::Failed && seen.result == newest.result;
        if same_error(&newest) && last.iter().all(same_error) {
            return Some(Circle::SameError);
        }
        let all: Vec<&Seen> = self.newest.iter().collect();
        match all.as_slice() {
            [a, b, c, d, e, f] if a == c && c == e && b == d && d == f => Some(Circle::Alternating),
            _ => None,
        }
    }
}

/// Whether a call is a look at something that takes its time.
fn only_waits(call: &ToolCall) -> bool {
    match call.name.as_str() {
        "shell_output" => true,
        "computer" => call.input.get("action").is_some_and(|action| action == "wait"),
        _ => false,
    }
}

fn shown(part: &ResultPart) -> &str {
    match part {
        ResultPart::Text { text } => text,
        ResultPart::Image { image } => image.artifact.as_str(),
    }
}

fn digest(texts: &[&str]) -> u64 {
    let mut hasher = DefaultHasher::new();
    texts.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shell(command: &str) -> ToolCall {
        ToolCall {
            id: "c".to_owned(),
            name: "shell".to_owned(),
            input: json!({"command": command}),
            malformed: None,
        }
    }

    fn text(text: &str) -> Vec<ResultPart> {
        vec![ResultPart::Text { text: text.to_owned() }]
    }

    /// Feeds `(command, result)` pairs, all done, and returns the verdict.
    fn done(stuck: &mut Stuck, steps: &[(&str, &str)]) -> Verdict {
        for (command, result) in steps {
            stuck.note(&shell(command), ToolOutcome::Done, &text(result));
        }
        stuck.verdict()
    }

    #[test]
    fn the_same_call_with_the_same_result_three_times_is_a_circle() {
        assert_eq!(done(&mut Stuck::default(), &[("ls", "a"); 2]), Verdict::Going);
        assert_eq!(done(&mut Stuck::default(), &[("ls", "a"); 3]), Verdict::Hint(Circle::SameCall));
    }

    #[test]
    fn the_same_call_with_another_result_is_progress() {
        assert_eq!(
            done(&mut Stuck::default(), &[("test", "3 fail"), ("test", "2 fail"), ("test", "ok")]),
            Verdict::Going
        );
    }

    #[test]
    fn the_same_error_from_different_calls_is_a_circle() {
        let mut stuck = Stuck::default();
        for command in ["a", "b", "c"] {
            stuck.note(&shell(command), ToolOutcome::Failed, &text("no such file"));
        }
        assert_eq!(stuck.verdict(), Verdict::Hint(Circle::SameError));
    }

    #[test]
    fn the_same_success_from_different_calls_is_none() {
        assert_eq!(
            done(&mut Stuck::default(), &[("a", ""), ("b", ""), ("c", ""), ("d", "")]),
            Verdict::Going
        );
    }

    #[test]
    fn two_calls_in_turn_three_times_are_a_circle() {
        let steps = [("edit", "x"), ("test", "fail")].repeat(3);
        assert_eq!(done(&mut Stuck::default(), &steps), Verdict::Hint(Circle::Alternating));
    }

    #[test]
    fn the_second_circle_pauses_and_the_next_begins_anew() {
        let mut stuck = Stuck::default();
        let verdicts = [(); 3].map(|()| done(&mut stuck, &[("ls", "a"); 3]));
        assert_eq!(
            verdicts,
            [
                Verdict::Hint(Circle::SameCall),
                Verdict::Pause(Circle::SameCall),
                Verdict::Hint(Circle::SameCall)
            ]
        );
    }

    #[test]
    fn circles_within_one_turn_count_once() {
        assert_eq!(done(&mut Stuck::default(), &[("ls", "a"); 6]), Verdict::Hint(Circle::SameCall));
    }

    #[test]
    fn a_hint_is_forgotten_after_many_steps_in_good_order() {
        let mut stuck = Stuck::default();
        done(&mut stuck, &[("ls", "a"); 3]);
        for step in 0..HINT_LASTS {
            done(&mut stuck, &[(&step.to_string(), "ok")]);
        }
        assert_eq!(done(&mut stuck, &[("ls", "a"); 3]), Verdict::Hint(Circle::SameCall));
    }

    #[test]
    fn waiting_is_no_circle() {
        let mut stuck = Stuck::default();
        let wait = ToolCall {
            name: "computer".to_owned(),
            input: json!({"action": "wait", "duration": 5}),
            ..shell("")
        };
        let output = ToolCall { name: "shell_output".to_owned(), ..shell("") };
        for _ in 0..5 {
            stuck.note(&wait, ToolOutcome::Done, &text("waited"));
            stuck.note(&output, ToolOutcome::Done, &text("still running"));
        }
        assert_eq!(stuck.verdict(), Verdict::Going);
    }
}
