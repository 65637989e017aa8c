use nightshift_protocol::{PauseReason, ResultPart};
use serde_json::json;

use super::super::tests::{answer, begun_able, events, finished, fold, intended, last_texts, state};
use super::super::{Action, Intention, next, road_to};
use super::*;

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
