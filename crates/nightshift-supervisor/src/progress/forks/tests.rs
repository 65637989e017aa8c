use nightshift_protocol::{
    ErrorCode, FeedbackItem, FeedbackSource, Limits, Message, PauseReason, PreparingPhase, PullRequestId,
    ResultPart, StopReason, UserError, UserPart,
};
use serde_json::json;

use super::super::tests::{answer, begun_able, events, finished, fold, intended, last_texts, state};
use super::super::{Action, Intention, next, road_to, sandbox_ended};
use super::*;
use crate::transition::Stage;

const NOTICE: &str =
    "(This run is a fork: its branch is now nightshift/greet-1, no longer nightshift/greet-0.)";

fn id(number: usize) -> CheckpointId {
    format!("checkpoint-{number:010}").parse().unwrap()
}

fn saved(number: usize) -> EventBody {
    let cost = CheckpointCost { changed_bytes: 4096, written_bytes: 5000, paused_ms: 20, took_ms: 100 };
    EventBody::CheckpointSaved { checkpoint: id(number), cause: CheckpointCause::Asked, cost }
}

/// A run that asks its person.
fn asking() -> Vec<EventBody> {
    let question = "Which port?".to_owned();
    let mut bodies = begun_able();
    bodies.push(EventBody::TurnRequested { turn: 1 });
    bodies.push(answer(1, &[("c1", "ask", json!({ "question": question }))]));
    bodies.push(state(RunState::Waiting { question, approval: None }));
    bodies
}

/// A turn with one shell command that ran to its end.
fn turn(number: u32) -> [EventBody; 4] {
    let (step, call) = (format!("{number}.1"), format!("call{number}"));
    let input = json!({ "command": format!("echo {number}") });
    [
        EventBody::TurnRequested { turn: number },
        answer(number, &[(&call, "shell", input.clone())]),
        intended(&step, &call, "shell", input, None),
        finished(&step, &call, Some(0)),
    ]
}

/// A fork of run `number`, whose history is `road`, from one of its checkpoints.
fn forked(
    number: usize,
    road: Vec<EventBody>,
    checkpoint: &CheckpointId,
    text: Option<&str>,
) -> Vec<EventBody> {
    let events = events(road);
    let fork = Fork {
        from: format!("run-000000000{number}").parse().unwrap(),
        checkpoint: checkpoint.clone(),
        sandbox: format!("sandbox-000000000{number}").parse().unwrap(),
        own: id(10 + number),
        cost: CheckpointCost { changed_bytes: 0, written_bytes: 0, paused_ms: 0, took_ms: 0 },
        branch: format!("nightshift/greet-{number}"),
        text: text.map(str::to_owned),
    };
    fork.history(&road_to(&events, checkpoint).unwrap()).unwrap()
}

/// A fork of run `number` at the end of its `road`, whose sandbox is there.
fn working(number: usize, mut road: Vec<EventBody>, text: Option<&str>) -> Vec<EventBody> {
    road.push(saved(number));
    let mut bodies = forked(number, road, &id(number), text);
    bodies.push(state(RunState::Working));
    let sandbox = fold(bodies.clone()).sandbox.unwrap().id;
    assert_eq!(
        next(&fold(bodies.clone())),
        Action::RestoreSandbox { sandbox: sandbox.clone(), checkpoint: id(10 + number) }
    );
    bodies.push(EventBody::SandboxRestored { sandbox, checkpoint: id(10 + number), took_ms: 300 });
    bodies
}

fn said(text: &str) -> String {
    format!("The person who gave you the task writes:\n\n{text}")
}

/// The answer to the agent's question.
fn answered(action: Action) -> String {
    let Action::AnswerStep { content, .. } = action else { panic!("no answer: {action:?}") };
    let [ResultPart::Text { text }] = content.as_slice() else { panic!("{content:?}") };
    text.clone()
}

#[test]
fn a_fork_of_a_run_that_asks_asks_on_and_its_agent_learns_what_it_is_with_the_answer() {
    let mut bodies = working(1, asking(), None);
    let question = "Which port?".to_owned();
    assert_eq!(
        next(&fold(bodies.clone())),
        Action::Ask { question: question.clone(), approval: None },
        "that it is a fork answers nothing"
    );
    bodies.push(state(RunState::Waiting { question, approval: None }));
    bodies.push(EventBody::PersonSaid { text: "8080".to_owned() });
    bodies.push(state(RunState::Working));
    assert_eq!(answered(next(&fold(bodies.clone()))), "The person answers:\n\n8080");
    bodies.push(finished("1.1", "c1", None));
    assert_eq!(last_texts(&fold(bodies)), [said(NOTICE)]);
}

#[test]
fn what_a_person_says_to_a_fork_of_a_run_that_asks_is_the_answer() {
    let bodies = working(1, asking(), Some("8080"));
    assert_eq!(answered(next(&fold(bodies))), "The person answers:\n\n8080");
}

#[test]
fn a_fork_s_agent_is_told_what_it_is_and_what_the_person_says_with_its_first_call() {
    let bodies = working(1, [begun_able(), turn(1).to_vec()].concat(), Some("Use port 8080."));
    let progress = fold(bodies);
    assert_eq!(next(&progress), Action::AskModel { turn: 2, intention: Intention::New });
    assert_eq!(last_texts(&progress), [said("Use port 8080."), said(NOTICE)]);
}

#[test]
fn a_fork_that_goes_back_to_its_beginning_is_told_again_what_it_is() {
    let mut bodies = working(1, [begun_able(), turn(1).to_vec()].concat(), None);
    bodies.extend(turn(2));
    bodies.push(EventBody::RewindIntended { checkpoint: id(11), reason: "a person asked for it".to_owned() });
    bodies.push(EventBody::Rewound { checkpoint: id(11) });
    assert_eq!(last_texts(&fold(bodies)), [said(NOTICE)]);
}

#[test]
fn what_an_older_owner_told_a_fork_in_its_person_s_words_is_not_told_twice() {
    let words = format!("{NOTICE}\nUse port 8080.");
    let bodies = working(1, [begun_able(), turn(1).to_vec()].concat(), Some(&words));
    let mut bodies = [bodies, turn(2).to_vec()].concat();
    assert_eq!(last_texts(&fold(bodies.clone())), [said(&words)]);
    bodies.push(state(RunState::Paused { reason: PauseReason::Person }));
    bodies.push(state(RunState::Working));
    assert_eq!(last_texts(&fold(bodies)), [said(&words)]);
}

/// The id under which the guest knows a step's command in a run with this history, which is run 0.
fn job(bodies: &[EventBody], step: &str) -> String {
    fold(bodies.to_vec()).jobs().of(step.parse().unwrap()).as_str().to_owned()
}

#[test]
fn a_command_is_known_by_the_run_that_began_it_in_forks_of_forks_too() {
    let road = [begun_able(), turn(1).to_vec()].concat();
    assert_eq!(job(&road, "1.1"), "run-0000000000-1.1");
    let fork = [working(1, road, None), turn(2).to_vec()].concat();
    assert_eq!(["1.1", "2.1"].map(|step| job(&fork, step)), ["run-0000000001-1.1", "run-0000000000-2.1"]);
    let again = [working(2, fork, None), turn(3).to_vec()].concat();
    assert_eq!(
        ["1.1", "2.1", "3.1"].map(|step| job(&again, step)),
        ["run-0000000001-1.1", "run-0000000002-2.1", "run-0000000000-3.1"]
    );
}

#[test]
fn a_command_that_runs_in_the_sandbox_of_a_fork_is_looked_for_where_the_other_run_began_it() {
    let mut road = begun_able();
    road.extend(turn(1).into_iter().take(3));
    road.push(state(RunState::Paused { reason: PauseReason::Person }));
    let fork = working(1, road, None);
    let Action::RunStep { step, intention, .. } = next(&fold(fork.clone())) else { panic!("no step") };
    assert_eq!((step.to_string(), intention), ("1.1".to_owned(), Intention::Open(None)));
    assert_eq!(job(&fork, "1.1"), "run-0000000001-1.1");
}

#[test]
fn a_fork_that_goes_back_knows_the_commands_of_then() {
    let mut fork = [working(1, [begun_able(), turn(1).to_vec()].concat(), None), turn(2).to_vec()].concat();
    fork.push(EventBody::Rewound { checkpoint: id(11) });
    assert_eq!(["1.1", "2.1"].map(|step| job(&fork, step)), ["run-0000000001-1.1", "run-0000000000-2.1"]);
}

#[test]
fn the_branch_has_in_a_fork_s_first_checkpoint_the_name_that_the_other_run_gave_it() {
    let fork = working(1, [begun_able(), turn(1).to_vec()].concat(), None);
    let found = |road: Vec<EventBody>, checkpoint: usize| {
        let progress = fold(forked(2, road, &id(checkpoint), None));
        progress.checkpoints.branch_in_sandbox().map(str::to_owned)
    };
    assert_eq!(found(fork.clone(), 11).as_deref(), Some("nightshift/greet-0"));
    assert_eq!(found([fork, vec![saved(2)]].concat(), 2).as_deref(), Some("nightshift/greet-1"));
}

#[test]
fn what_a_call_cost_that_was_lost_is_paid_by_the_other_run_alone() {
    let usage = Usage { output_tokens: 7, cost_microdollars: 5, ..Usage::default() };
    let lost = EventBody::TurnLost { turn: 1, usage, model: "claude-sonnet-5-5".to_owned() };
    let road = [begun_able(), vec![lost], turn(1).to_vec()].concat();
    assert_eq!(fold(road.clone()).usage.cost_microdollars, 10);
    let used = fold(working(1, road, None)).usage;
    assert_eq!((used.cost_microdollars, used.output_tokens), (0, 17));
}

/// A pause because the agent is at a loss, after which a person writes and lets it go on.
fn helped_on(text: &str) -> Vec<EventBody> {
    let error = UserError::new(ErrorCode::ModelRefused, "It does not go on.", "");
    vec![
        state(RunState::Paused { reason: PauseReason::Trouble { error } }),
        EventBody::PersonSaid { text: text.to_owned() },
        state(RunState::Queued { reason: QueueReason::Submitted }),
        state(RunState::Working),
    ]
}

/// A turn in which the model declined.
fn declined(number: u32) -> Vec<EventBody> {
    let EventBody::TurnFinished { turn, message, usage, model, .. } = answer(number, &[]) else {
        panic!("no answer")
    };
    let stop = StopReason::Refusal { explanation: "Not this.".to_owned() };
    vec![
        EventBody::TurnRequested { turn: number },
        EventBody::TurnFinished { turn, message, stop, usage, model },
    ]
}

/// Turns in which the model did nothing.
fn idle(numbers: std::ops::RangeInclusive<u32>) -> Vec<EventBody> {
    numbers.flat_map(|turn| [EventBody::TurnRequested { turn }, answer(turn, &[])]).collect()
}

/// What the agent of a run knows, but for notes that a sandbox was lost.
fn known(progress: &RunProgress) -> Vec<Message> {
    let loss = "Note from Nightshift: your sandbox ended";
    let is_loss = |part: &UserPart| matches!(part, UserPart::Text { text } if text.starts_with(loss));
    let messages = progress.agent.conversation().messages.iter().map(|message| match &**message {
        Message::User { content } => {
            Message::User { content: content.iter().filter(|part| !is_loss(part)).cloned().collect() }
        }
        other => other.clone(),
    });
    messages.collect()
}

/// What a run did is what its fork knows, which goes on with call number `turn`.
fn assert_knows_all(road: &[EventBody], turn: u32) {
    let run = fold(road.to_vec());
    let fork = fold(forked(1, [road.to_vec(), vec![saved(1)]].concat(), &id(1), None));
    assert_eq!(known(&fork), known(&run));
    let asks = Action::AskModel { turn, intention: Intention::New };
    assert_eq!((next(&run), next(&fold(working(1, road.to_vec(), None)))), (asks.clone(), asks));
}

#[test]
fn a_fork_knows_what_a_run_did_after_a_person_had_helped_it_on() {
    for (trouble, turns) in [(declined(1), 1), (idle(1..=4), 4)] {
        let helped = helped_on("Use port 8080.");
        let road = [begun_able(), trouble, helped, turn(turns + 1).to_vec(), turn(turns + 2).to_vec()];
        assert_knows_all(&road.concat(), turns + 3);
    }
}

#[test]
fn a_fork_knows_what_a_run_did_that_had_gone_back_to_before_or_in_a_pause() {
    let before = [begun_able(), declined(1), vec![saved(5)], helped_on("Go on."), turn(2).to_vec()].concat();
    let paused = state(RunState::Paused { reason: PauseReason::Person });
    let goes_on = state(RunState::Working);
    let within = [begun_able(), turn(1).to_vec(), vec![paused, saved(5), goes_on], turn(2).to_vec()].concat();
    for road in [before, within] {
        let (checkpoint, sandbox) = (id(5), "sandbox-0000000000".parse().unwrap());
        let back = vec![
            EventBody::Rewound { checkpoint: checkpoint.clone() },
            EventBody::SandboxRestored { sandbox, checkpoint, took_ms: 300 },
            EventBody::PersonSaid { text: "Use port 8080.".to_owned() },
        ];
        let again = [back, turn(2).to_vec()].concat();
        assert_knows_all(&[road, again].concat(), 3);
    }
}

#[test]
fn what_a_run_may_use_since_before_it_went_back_its_fork_may_use_too() {
    let limits = Limits { turns: 500, ..Limits::default() };
    let mut road = [begun_able(), vec![saved(5)], turn(1).to_vec()].concat();
    road.extend([EventBody::LimitsRaised { limits }, EventBody::Rewound { checkpoint: id(5) }]);
    assert_eq!(fold(working(1, road, None)).task.limits, limits);
}

/// A turn that ends the work.
fn finishing(number: u32) -> Vec<EventBody> {
    let step = |call: u32| format!("{number}.{call}");
    let calls = [
        ("a", "shell", json!({ "command": "npm test" })),
        ("b", "evidence", json!({ "claim": "So it is.", "step": step(1) })),
        ("c", "finish", json!({ "title": "Greet", "summary": "It greets." })),
    ];
    let mut bodies = vec![EventBody::TurnRequested { turn: number }, answer(number, &calls)];
    for (place, (id, name, input)) in (1..).zip(calls) {
        bodies.extend([intended(&step(place), id, name, input, None), finished(&step(place), id, Some(0))]);
    }
    bodies
}

/// The end of the work is noted, and it is on its way.
fn delivering() -> Vec<EventBody> {
    let (title, summary) = ("Greet".to_owned(), "It greets.".to_owned());
    let done = EventBody::WorkFinished { title, summary, not_verified: String::new() };
    vec![done, state(RunState::Delivering)]
}

/// Reviewers ask for changes.
fn asked_for_changes(round: u32) -> Vec<EventBody> {
    let source = FeedbackSource::Review { review: 0, author: "ada".to_owned() };
    let item = FeedbackItem { name: format!("f{round}"), source, words: "Shorter".to_owned() };
    vec![
        state(RunState::InReview { pull_request: PullRequestId(7) }),
        EventBody::FeedbackReceived { round, items: vec![item] },
        state(RunState::Queued { reason: QueueReason::Feedback }),
        state(RunState::Preparing { phase: PreparingPhase::Sandbox }),
        state(RunState::Working),
    ]
}

#[test]
fn a_fork_knows_what_was_said_of_the_other_run_s_work_and_answers_it_to_nobody() {
    let road = [begun_able(), finishing(1), delivering(), asked_for_changes(1), turn(2).to_vec()].concat();
    assert_knows_all(&road, 3);
    let fork = fold(working(1, road, None));
    assert_eq!((fork.delivery.remarks(), fork.delivery.rounds), (Vec::new(), 0));
    assert_eq!(fork.delivery.next_name(), "f2");
}

#[test]
fn a_fork_of_finished_work_goes_on_with_what_the_person_says_and_is_delivered_without() {
    for end in [Vec::new(), delivering()] {
        let road = [begun_able(), finishing(1), end].concat();
        let fork = fold(working(1, road.clone(), Some("Greet in German.")));
        assert_eq!(next(&fork), Action::AskModel { turn: 2, intention: Intention::New });
        assert_eq!(last_texts(&fork), [called_back(&["Greet in German.".to_owned()]), said(NOTICE)]);
        assert_eq!(fork.finished, None);
        assert!(matches!(next(&fold(working(1, road, None))), Action::FinishWork(_)));
    }
    let road = [begun_able(), finishing(1), delivering(), vec![saved(1)]].concat();
    assert_eq!(next(&fold(forked(1, road, &id(1), None))), Action::Admit(Stage::Finished));
}

/// The sandbox is lost, and the run goes back to a checkpoint.
fn lost(number: usize) -> Vec<EventBody> {
    let reason = sandbox_ended("it ran out of memory");
    vec![
        EventBody::RewindIntended { checkpoint: id(number), reason },
        EventBody::Rewound { checkpoint: id(number) },
    ]
}

#[test]
fn what_a_fork_of_finished_work_is_made_for_is_done_although_its_sandbox_is_lost_before_it_was_saved() {
    for end in [Vec::new(), delivering()] {
        let road = [begun_able(), finishing(1), end].concat();
        let mut bodies = [working(1, road, Some("Greet in German.")), turn(2).to_vec(), lost(11)].concat();
        let progress = fold(bodies.clone());
        let texts = last_texts(&progress);
        let [wish, loss, notice] = texts.as_slice() else { panic!("{texts:?}") };
        assert_eq!((wish, notice), (&called_back(&["Greet in German.".to_owned()]), &said(NOTICE)));
        assert!(loss.starts_with("Note from Nightshift: your sandbox ended"), "{loss}");
        assert_eq!(progress.finished, None);
        let sandbox = progress.sandbox.unwrap().id;
        bodies.push(EventBody::SandboxRestored { sandbox, checkpoint: id(11), took_ms: 300 });
        assert_eq!(next(&fold(bodies)), Action::AskModel { turn: 2, intention: Intention::New });
    }
}

/// The sandbox is lost, and brought back from a checkpoint.
fn lost_and_restored(number: usize) -> Vec<EventBody> {
    let (sandbox, checkpoint) = ("sandbox-0000000000".parse().unwrap(), id(number));
    [lost(number), vec![EventBody::SandboxRestored { sandbox, checkpoint, took_ms: 300 }]].concat()
}

/// The same, and then the agent takes a turn.
fn lost_and_redone(number: usize, again: u32) -> Vec<EventBody> {
    [lost_and_restored(number), turn(again).to_vec()].concat()
}

fn says(text: &str) -> EventBody {
    EventBody::PersonSaid { text: text.to_owned() }
}

#[test]
fn a_fork_knows_what_reviewers_had_asked_for_although_the_other_run_lost_its_sandbox_then() {
    let delivered = [begun_able(), finishing(1), delivering(), vec![saved(5)]].concat();
    let once = [asked_for_changes(1), turn(2).to_vec()].concat();
    let twice = [once.clone(), delivering(), asked_for_changes(2), turn(3).to_vec()].concat();
    for since in [once, twice] {
        let road = [delivered.clone(), since, lost_and_redone(5, 2)].concat();
        assert_knows_all(&road, 3);
        assert_knows_all(&[road.clone(), lost_and_redone(5, 2)].concat(), 3);
        assert_eq!(fold(working(1, road, None)).finished, None);
    }
}

#[test]
fn a_fork_knows_what_a_person_had_said_although_the_other_run_lost_its_sandbox_then() {
    let finished_work = [begun_able(), finishing(1), vec![saved(5)]].concat();
    let unfinished = [begun_able(), turn(1).to_vec(), vec![saved(5)]].concat();
    for road in [finished_work, unfinished] {
        let since = [vec![says("Use port 8080.")], turn(2).to_vec(), vec![says("Mind the tests.")]].concat();
        assert_knows_all(&[road, since, lost_and_redone(5, 2)].concat(), 3);
    }
}

#[test]
fn a_fork_knows_what_a_person_had_answered_although_the_other_run_lost_its_sandbox_then() {
    let (question, input) = ("Which port?".to_owned(), json!({ "question": "Which port?" }));
    let asks = vec![EventBody::TurnRequested { turn: 1 }, answer(1, &[("c1", "ask", input)])];
    let waiting = vec![state(RunState::Waiting { question, approval: None })];
    let answered = vec![says("8080"), state(RunState::Working), finished("1.1", "c1", None)];
    let before = [begun_able(), vec![saved(5)], asks.clone(), waiting.clone(), answered.clone()].concat();
    assert_knows_all(&[before, lost_and_redone(5, 1)].concat(), 2);
    // At the question it has the answer, and is not asked.
    let at = [begun_able(), asks, vec![saved(5)], waiting, answered].concat();
    let result = [vec![finished("1.1", "c1", None)], turn(2).to_vec()].concat();
    assert_knows_all(&[at, lost_and_restored(5), result].concat(), 3);
}

#[test]
fn a_fork_knows_what_the_other_one_was_made_for_although_that_lost_its_sandbox_then() {
    let road = [begun_able(), finishing(1), delivering()].concat();
    let fork =
        [working(1, road, Some("Greet in German.")), turn(2).to_vec(), lost_and_redone(11, 2)].concat();
    assert_knows_all(&fork, 3);
}

#[test]
fn what_a_run_went_back_behind_on_somebody_s_wish_its_fork_does_not_know() {
    let mut road = [begun_able(), turn(1).to_vec(), vec![saved(5), says("Use port 8080.")]].concat();
    road.push(EventBody::RewindIntended { checkpoint: id(5), reason: "a person asked for it".to_owned() });
    road.push(EventBody::Rewound { checkpoint: id(5) });
    road.extend([turn(2).to_vec(), lost_and_redone(5, 2)].concat());
    assert_knows_all(&road, 3);
    assert!(!format!("{:?}", known(&fold(working(1, road, None)))).contains("8080"));
}

#[test]
fn the_delivery_of_a_fork_is_work_again_when_it_is_lost_behind_what_the_fork_was_made_for() {
    let road = [begun_able(), finishing(1), delivering()].concat();
    for (text, finished) in [(Some("Greet in German."), false), (None, true)] {
        let intended: Vec<EventBody> = lost(11).into_iter().take(1).collect();
        let bodies = [working(1, road.clone(), text), delivering(), intended].concat();
        assert_eq!(fold(bodies).will_have_finished_at(&id(11)), finished);
    }
}

#[test]
fn what_a_person_says_to_a_fork_is_no_answer_to_a_question_that_was_not_shown() {
    let mut road = asking();
    road.pop();
    let fork = fold(working(1, road, Some("Mind the tests.")));
    assert_eq!(next(&fork), Action::Ask { question: "Which port?".to_owned(), approval: None });
}

/// The history of a fork as owners before this one wrote it, who carried no states over.
fn as_before(mut bodies: Vec<EventBody>) -> Vec<EventBody> {
    let forked = bodies.iter().position(|body| matches!(body, EventBody::RunForked { .. })).unwrap();
    let since = bodies.split_off(forked);
    bodies.retain(|body| !matches!(body, EventBody::StateChanged { .. }));
    [bodies, since].concat()
}

#[test]
fn a_fork_that_an_older_owner_made_stays_what_it_was() {
    let mut asks = asking();
    asks.pop();
    let answers = as_before(working(1, asks, Some("8080")));
    assert_eq!(answered(next(&fold(answers))), "The person answers:\n\n8080");
    let finished = [begun_able(), finishing(1), delivering()].concat();
    let fork = fold(as_before(working(1, finished, Some("Greet in German."))));
    assert!(fork.finished.is_some());
}

#[test]
fn a_command_that_a_fork_begins_itself_is_its_own_whatever_the_other_run_numbered_so() {
    let fork = working(1, [begun_able(), turn(1).to_vec()].concat(), None);
    assert_eq!(job(&fork, "1.1"), "run-0000000001-1.1");
    assert_eq!(job(&[fork, turn(1).to_vec()].concat(), "1.1"), "run-0000000000-1.1");
}
