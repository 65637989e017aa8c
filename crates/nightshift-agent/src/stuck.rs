//! Notices that the agent goes in circles: first a hint to the model, then a pause.

use std::collections::{BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use nightshift_protocol::{ResultPart, ToolCall, ToolOutcome};

use crate::tools::{ASK, COMPUTER, EDIT, EVIDENCE, MCP, SHELL, SHELL_OUTPUT};

/// How often a call or an error is repeated before it counts as going in circles.
const REPETITIONS: usize = 3;

/// Steps looked back on: three calls in turn, three times each.
const WINDOW: usize = 3 * REPETITIONS;

/// Pictures looked back on: two screens in turn, three times each.
const SCREENS: usize = 2 * REPETITIONS;

/// After this many steps in good order a hint is forgotten, so that two harmless circles hours apart do not pause
/// a run.
const HINT_LASTS: u32 = 30;

/// Actions with mouse and keyboard in a row that leave the screen as it is before they count as going in circles.
const STILL_ACTIONS: u32 = 5;

/// Turns in a row without a change before they count as going in circles. Reading into a large repository takes
/// some; no well-scoped task takes so many.
const IDLE_TURNS: u32 = 30;

/// Commands remembered since the last change.
const COMMANDS: usize = 500;

/// The newest steps of an agent, as far as circles show in them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stuck {
    newest: VecDeque<Seen>,
    /// What the turn that goes on is made of so far.
    turn: Turn,
    found: Option<Circle>,
    steps_since_hint: Option<u32>,
    screens: Screens,
    changes: Changes,
}

/// The newest pictures after actions.
#[derive(Debug, Clone, Default, PartialEq)]
struct Screens {
    shown: Option<u64>,
    still_actions: u32,
    after_actions: VecDeque<u64>,
}

/// When the agent last changed something.
#[derive(Debug, Clone, PartialEq)]
struct Changes {
    /// Whether none are expected, as of one who only reviews.
    expected: bool,
    in_this_turn: bool,
    idle_turns: u32,
    hinted: bool,
    /// Commands since the last change: one that is run a second time changes nothing more.
    commands: BTreeSet<u64>,
}

/// The steps of a turn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Turn {
    #[default]
    Begins,
    /// Nothing but waiting.
    Waits,
    Works,
}

/// What an agent does for a living.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Occupation {
    /// It changes files.
    #[default]
    Works,
    /// It only looks.
    Looks,
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
    /// Two calls in turn, each with the same result as before, or two screens in turn.
    Alternating,
    /// Three calls in turn, each with the same result as before.
    Threefold,
    /// Actions that leave the screen as it is.
    StillScreen,
    /// Many turns in which no file was changed and nothing new was run.
    NoChange,
}

impl Circle {
    /// The circle in words that follow "You" or "The agent".
    pub(crate) fn description(self) -> &'static str {
        match self {
            Self::SameCall => "made the same call with the same result three times in a row",
            Self::SameError => "met the same error three times in a row",
            Self::Alternating => "went back and forth between the same two states three times",
            Self::Threefold => "went round the same three steps three times",
            Self::StillScreen => {
                "used mouse and keyboard five times in a row and the screen stayed as it was"
            }
            Self::NoChange => "changed no file and ran nothing new for thirty turns",
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
    pub(crate) fn new(occupation: Occupation) -> Self {
        let changes = Changes {
            expected: occupation == Occupation::Works,
            in_this_turn: false,
            idle_turns: 0,
            hinted: false,
            commands: BTreeSet::new(),
        };
        Self {
            newest: VecDeque::new(),
            turn: Turn::default(),
            found: None,
            steps_since_hint: None,
            screens: Screens::default(),
            changes,
        }
    }

    /// Notes a step that was carried out or refused. Steps that only wait are not circles, however often they come.
    pub(crate) fn note(&mut self, call: &ToolCall, outcome: ToolOutcome, content: &[ResultPart]) {
        if only_waits(call) {
            if self.turn == Turn::Begins {
                self.turn = Turn::Waits;
            }
            return;
        }
        self.turn = Turn::Works;
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
        self.changes.note(call, outcome);
        if let Some(circle) = self.circle().or_else(|| self.screens.note(call, content)) {
            self.found = Some(circle);
            self.newest.clear();
        }
    }

    /// Judges the steps of a turn that is over. Within one turn several circles count once, for the model could
    /// not read a hint in between.
    pub(crate) fn verdict(&mut self) -> Verdict {
        let change = match std::mem::take(&mut self.turn) {
            // Who only waits neither changes something nor fails to.
            Turn::Waits => Verdict::Going,
            Turn::Begins | Turn::Works => self.changes.turn_over(),
        };
        let Some(circle) = self.found.take() else { return change };
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
        if self.goes_round(2) {
            return Some(Circle::Alternating);
        }
        self.goes_round(3).then_some(Circle::Threefold)
    }

    /// Whether the newest steps are so many that were taken three times, one after the other.
    fn goes_round(&self, length: usize) -> bool {
        let Some(first) = self.newest.len().checked_sub(length * REPETITIONS) else { return false };
        let rounds = self.newest.iter().skip(first);
        rounds.clone().zip(rounds.skip(length)).all(|(before, after)| before == after)
    }
}

impl Screens {
    fn note(&mut self, call: &ToolCall, content: &[ResultPart]) -> Option<Circle> {
        let (action, picture) = (action_of(call), newest_picture(content)?);
        let before = self.shown.replace(picture);
        if !action.is_some_and(acts) {
            return None;
        }
        self.still_actions = if before == Some(picture) { self.still_actions + 1 } else { 0 };
        if self.after_actions.len() == SCREENS {
            self.after_actions.pop_front();
        }
        self.after_actions.push_back(picture);
        let circle = match self.after_actions.make_contiguous() {
            _ if self.still_actions >= STILL_ACTIONS => Some(Circle::StillScreen),
            [a, b, c, d, e, f] if a == c && c == e && b == d && d == f && a != b => Some(Circle::Alternating),
            _ => None,
        };
        if circle.is_some() {
            self.still_actions = 0;
            self.after_actions.clear();
        }
        circle
    }
}

impl Changes {
    fn note(&mut self, call: &ToolCall, outcome: ToolOutcome) {
        let text = |field: &str| call.input.get(field).and_then(|value| value.as_str());
        let changes = match call.name.as_str() {
            EDIT => outcome == ToolOutcome::Done && text("action").is_some_and(|action| action != "view"),
            SHELL => {
                let command = text("command").unwrap_or_default();
                !only_reads(command) && self.is_new(&[command])
            }
            EVIDENCE => outcome == ToolOutcome::Done,
            ASK => true,
            // What it does is not known; the same again changes nothing more.
            name if name.starts_with(MCP) => {
                outcome == ToolOutcome::Done && self.is_new(&[name, &call.input.to_string()])
            }
            _ => false,
        };
        if changes {
            self.in_this_turn = true;
            self.hinted = false;
            if call.name != SHELL && !call.name.starts_with(MCP) {
                self.commands.clear();
            }
        }
    }

    /// Whether it was not done since the last change.
    fn is_new(&mut self, words: &[&str]) -> bool {
        if self.commands.len() == COMMANDS {
            self.commands.clear();
        }
        self.commands.insert(digest(words))
    }

    fn turn_over(&mut self) -> Verdict {
        if std::mem::take(&mut self.in_this_turn) || !self.expected {
            self.idle_turns = 0;
            return Verdict::Going;
        }
        self.idle_turns += 1;
        if self.idle_turns < IDLE_TURNS {
            return Verdict::Going;
        }
        self.idle_turns = 0;
        if std::mem::replace(&mut self.hinted, true) {
            self.hinted = false;
            return Verdict::Pause(Circle::NoChange);
        }
        Verdict::Hint(Circle::NoChange)
    }
}

fn action_of(call: &ToolCall) -> Option<&str> {
    if call.name == COMPUTER { call.input.get("action").and_then(|action| action.as_str()) } else { None }
}

/// Whether an action of the computer tool is meant to change what the screen shows.
fn acts(action: &str) -> bool {
    !matches!(action, "screenshot" | "zoom" | "wait" | "mouse_move" | "cursor_position")
}

fn newest_picture(content: &[ResultPart]) -> Option<u64> {
    content.iter().rev().find_map(|part| match part {
        ResultPart::Image { image } => Some(digest(&[image.artifact.as_str()])),
        ResultPart::Text { .. } => None,
    })
}

/// Programs that only read, by the word a command begins with.
const READERS: [&str; 26] = [
    "awk", "cat", "curl", "cut", "date", "diff", "echo", "env", "file", "find", "grep", "head", "jq", "ls",
    "ps", "pwd", "rg", "sed", "sleep", "sort", "stat", "tail", "test", "tree", "uniq", "wc",
];

/// Whether a command line looks like one that changes no file: a guess, for a hint.
fn only_reads(command: &str) -> bool {
    let command = without_quieting(command);
    let reads = |part: &str| {
        let mut words = part.split_whitespace();
        match (words.next(), words.next()) {
            (None | Some("cd"), _) => true,
            (Some("git"), Some(verb)) => {
                matches!(verb, "blame" | "branch" | "diff" | "grep" | "log" | "ls-files" | "show" | "status")
            }
            (Some("sed" | "awk"), _) => !edits_in_place(part),
            (Some(word), _) => READERS.contains(&word),
        }
    };
    let writes = command.contains('>') || command.contains("-exec");
    !writes && command.split(['&', '|', ';', '\n']).all(reads)
}

/// Whether an editor of streams writes back what it read: `-i`, also among other letters, and of GNU awk `-i inplace`.
fn edits_in_place(part: &str) -> bool {
    let has_letter = |word: &str| {
        let letters = word.strip_prefix('-').unwrap_or_default();
        letters.chars().take_while(char::is_ascii_alphabetic).any(|letter| letter == 'i')
    };
    part.split_whitespace().any(|word| word.starts_with("--in-place") || has_letter(word))
}

/// A command line without what sends its output to nowhere, or to where its other output goes: `2>/dev/null`, `2>&1`.
fn without_quieting(command: &str) -> String {
    let mut left = String::with_capacity(command.len());
    let mut rest = command;
    while let Some(at) = rest.find('>') {
        let (before, redirection) = rest.split_at(at);
        match after_quieting(redirection) {
            Some(after) => {
                // What is redirected stands before it: `2>`, `&>`.
                let names_it = |letter: char| letter.is_ascii_digit() || letter == '&';
                left.push_str(before.trim_end_matches(names_it));
                rest = after;
            }
            None => {
                left.push_str(before);
                left.push('>');
                rest = &redirection[1..];
            }
        }
    }
    left.push_str(rest);
    left
}

/// What follows a redirection that writes no file; `None` for any other.
fn after_quieting(redirection: &str) -> Option<&str> {
    let target = redirection.trim_start_matches('>');
    let after = match target.strip_prefix('&') {
        Some(descriptor) => {
            let after = descriptor.trim_start_matches(|letter: char| letter.is_ascii_digit());
            (after.len() < descriptor.len()).then_some(after)?
        }
        None => target.trim_start_matches(' ').strip_prefix("/dev/null")?,
    };
    after.chars().next().is_none_or(|next| next.is_whitespace() || ";|&)".contains(next)).then_some(after)
}

/// Whether a call is a look at something that takes its time.
fn only_waits(call: &ToolCall) -> bool {
    match call.name.as_str() {
        SHELL_OUTPUT => true,
        COMPUTER => call.input.get("action").is_some_and(|action| action == "wait"),
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

    fn worker() -> Stuck {
        Stuck::new(Occupation::Works)
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
        assert_eq!(done(&mut worker(), &[("ls", "a"); 2]), Verdict::Going);
        assert_eq!(done(&mut worker(), &[("ls", "a"); 3]), Verdict::Hint(Circle::SameCall));
    }

    #[test]
    fn the_same_call_with_another_result_is_progress() {
        assert_eq!(
            done(&mut worker(), &[("test", "3 fail"), ("test", "2 fail"), ("test", "ok")]),
            Verdict::Going
        );
    }

    #[test]
    fn the_same_error_from_different_calls_is_a_circle() {
        let mut stuck = worker();
        for command in ["a", "b", "c"] {
            stuck.note(&shell(command), ToolOutcome::Failed, &text("no such file"));
        }
        assert_eq!(stuck.verdict(), Verdict::Hint(Circle::SameError));
    }

    #[test]
    fn the_same_success_from_different_calls_is_none() {
        assert_eq!(done(&mut worker(), &[("a", ""), ("b", ""), ("c", ""), ("d", "")]), Verdict::Going);
    }

    #[test]
    fn two_calls_in_turn_three_times_are_a_circle() {
        let steps = [("edit", "x"), ("test", "fail")].repeat(3);
        assert_eq!(done(&mut worker(), &steps), Verdict::Hint(Circle::Alternating));
    }

    #[test]
    fn three_calls_in_turn_three_times_are_a_circle_and_two_rounds_of_them_are_none() {
        let round = [("edit", "x"), ("test", "fail"), ("log", "same")];
        assert_eq!(done(&mut worker(), &round.repeat(2)), Verdict::Going);
        assert_eq!(done(&mut worker(), &round.repeat(3)), Verdict::Hint(Circle::Threefold));
        let mut otherwise = round.repeat(3);
        otherwise[5] = ("log", "another");
        assert_eq!(done(&mut worker(), &otherwise), Verdict::Going);
    }

    #[test]
    fn the_second_circle_pauses_and_the_next_begins_anew() {
        let mut stuck = worker();
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
        assert_eq!(done(&mut worker(), &[("ls", "a"); 6]), Verdict::Hint(Circle::SameCall));
    }

    #[test]
    fn a_hint_is_forgotten_after_many_steps_in_good_order() {
        let mut stuck = worker();
        done(&mut stuck, &[("ls", "a"); 3]);
        for step in 0..HINT_LASTS {
            done(&mut stuck, &[(&step.to_string(), "ok")]);
        }
        assert_eq!(done(&mut stuck, &[("ls", "a"); 3]), Verdict::Hint(Circle::SameCall));
    }

    #[test]
    fn waiting_is_no_circle() {
        let mut stuck = worker();
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

    fn picture(of: char) -> Vec<ResultPart> {
        let artifact = String::from(of).repeat(64).parse().unwrap();
        let image = nightshift_protocol::Image {
            artifact,
            media_type: "image/png".to_owned(),
            width: 1,
            height: 1,
            bytes: 1,
        };
        vec![ResultPart::Image { image }]
    }

    /// Clicks at places that all differ and returns the verdict.
    fn clicks(stuck: &mut Stuck, screens: &str) -> Verdict {
        for (place, screen) in screens.chars().enumerate() {
            let input = json!({"action": "left_click", "coordinate": [place, 0]});
            let click = ToolCall { name: "computer".to_owned(), input, ..shell("") };
            stuck.note(&click, ToolOutcome::Done, &picture(screen));
        }
        stuck.verdict()
    }

    #[test]
    fn actions_that_leave_the_screen_as_it_is_are_a_circle() {
        assert_eq!(clicks(&mut worker(), "aaaaa"), Verdict::Going);
        assert_eq!(clicks(&mut worker(), "aaaaaa"), Verdict::Hint(Circle::StillScreen));
        assert_eq!(clicks(&mut worker(), "aaabaaa"), Verdict::Going);
    }

    #[test]
    fn two_screens_in_turn_three_times_are_a_circle_whatever_was_clicked() {
        assert_eq!(clicks(&mut worker(), "ababa"), Verdict::Going);
        assert_eq!(clicks(&mut worker(), "ababab"), Verdict::Hint(Circle::Alternating));
    }

    /// Plays turns with one command each and returns the verdicts that are no `Going`, with their turns.
    fn turns(stuck: &mut Stuck, count: u32, command: impl Fn(u32) -> String) -> Vec<(u32, Verdict)> {
        let played = (1..=count).map(|turn| {
            stuck.note(&shell(&command(turn)), ToolOutcome::Done, &text(&format!("result {turn}")));
            (turn, stuck.verdict())
        });
        played.filter(|(_, verdict)| *verdict != Verdict::Going).collect()
    }

    #[test]
    fn turns_that_only_read_lead_to_a_hint_and_then_to_a_pause() {
        let read = |turn: u32| format!("cd src && grep -n word{turn} -r . | head");
        assert_eq!(
            turns(&mut worker(), 61, read),
            [(30, Verdict::Hint(Circle::NoChange)), (60, Verdict::Pause(Circle::NoChange))]
        );
        assert_eq!(turns(&mut Stuck::new(Occupation::Looks), 61, read), []);
    }

    #[test]
    fn turns_that_only_wait_are_not_counted_whatever_comes_between_them() {
        let mut stuck = worker();
        let output = ToolCall { name: "shell_output".to_owned(), ..shell("") };
        for turn in 1..=100 {
            stuck.note(&output, ToolOutcome::Done, &text("still running"));
            assert_eq!(stuck.verdict(), Verdict::Going, "turn {turn}");
        }
        // Those that read count on from where they were.
        let mut read = |turn: u32| {
            stuck.note(&shell(&format!("cat part{turn}")), ToolOutcome::Done, &text(&turn.to_string()));
            let verdict = stuck.verdict();
            stuck.note(&output, ToolOutcome::Done, &text("still running"));
            assert_eq!(stuck.verdict(), Verdict::Going, "the wait behind turn {turn}");
            verdict
        };
        assert!((1..30).all(|turn| read(turn) == Verdict::Going));
        assert_eq!(read(30), Verdict::Hint(Circle::NoChange));
    }

    #[test]
    fn running_the_same_tests_again_without_a_change_is_no_change_and_a_new_command_is_one() {
        assert_eq!(
            turns(&mut worker(), 31, |_| "npm test".to_owned()),
            [(31, Verdict::Hint(Circle::NoChange))]
        );
        assert_eq!(turns(&mut worker(), 61, |turn| format!("echo {turn} > notes")), []);
    }

    #[test]
    fn a_command_that_writes_is_told_from_one_that_reads() {
        for reads in [
            "ls -la",
            "git log -3 | head",
            "cat a && sed -n 1,5p b",
            "cd src; rg word",
            "cat a 2>/dev/null",
            "ls b 2> /dev/null | wc -l",
            "grep -rin word . >/dev/null 2>&1; echo $?",
            "cat a &>/dev/null && tail -n 5 b >&2",
            "echo $(cat a 2>/dev/null)",
            "sed -n -e s/x/i/p a",
        ] {
            assert!(only_reads(reads), "{reads}");
        }
        for writes in [
            "echo a > b",
            "echo a >> b 2>&1",
            "cat a 2>errors",
            "cat a >/dev/null/b",
            "cat a >&b",
            "sed -i s/a/b/ c",
            "sed -Ei.bak s/a/b/ c",
            "cat a | sed --in-place s/a/b/ c",
            "awk -i inplace 1 c",
            "perl -pi -e s/a/b/ c",
            "git commit -m x",
            "npm install",
            "find . -exec rm {} +",
        ] {
            assert!(!only_reads(writes), "{writes}");
        }
    }
}
