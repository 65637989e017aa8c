use nightshift_protocol::{Approval, ApprovalPolicy, EventBody, PauseReason, RunState};
use proptest::prelude::*;
use serde_json::json;

use super::super::next;
use super::super::tests::{answer, begun, finished, fold, intended, state};
use super::*;

const PUBLISH: &str = "npm publish";

fn step() -> StepId {
    "1.1".parse().unwrap()
}

/// A run whose agent wants to run `command`, and whose owner's list has one command.
fn wants(command: &str) -> Vec<EventBody> {
    let mut bodies = begun();
    let EventBody::RunSubmitted { task, .. } = &mut bodies[0] else { unreachable!() };
    task.approval = Approval { policy: ApprovalPolicy::Listed, commands: vec![PUBLISH.to_owned()] };
    bodies.push(EventBody::TurnRequested { turn: 1 });
    bodies.push(answer(1, &[("a", "shell", json!({"command": command}))]));
    bodies
}

fn waiting() -> EventBody {
    let Action::Ask { question, approval } = next(&fold(wants(PUBLISH))) else { panic!("it asks nobody") };
    state(RunState::Waiting { question, approval })
}

fn decided(decision: ApprovalDecision) -> Vec<EventBody> {
    let decided = vec![EventBody::ApprovalDecided { step: step(), decision }, state(RunState::Working)];
    [wants(PUBLISH), vec![waiting()], decided].concat()
}

fn no(words: &str) -> ApprovalDecision {
    ApprovalDecision::Denied { words: words.to_owned() }
}

#[test]
fn a_command_of_the_list_waits_for_a_yes_and_others_do_not() {
    let question = "May it run `npm publish`? It is on the list of commands that need a yes.".to_owned();
    assert_eq!(next(&fold(wants(PUBLISH))), Action::Ask { question, approval: Some(step()) });
    assert!(matches!(next(&fold(wants("npm test"))), Action::RunStep { intention: Intention::New, .. }));
    assert_eq!(next(&fold([wants(PUBLISH), vec![waiting()]].concat())), Action::AwaitPerson);
}

#[test]
fn a_yes_lets_it_run_and_is_for_this_step_alone() {
    let approved = decided(ApprovalDecision::Approved);
    assert!(matches!(next(&fold(approved.clone())), Action::RunStep { step: run, .. } if run == step()));
    let input = json!({"command": PUBLISH});
    let again = vec![
        intended("1.1", "a", "shell", input.clone(), None),
        finished("1.1", "a", Some(0)),
        EventBody::TurnRequested { turn: 2 },
        answer(2, &[("a", "shell", input)]),
    ];
    let progress = fold([approved, again].concat());
    assert!(matches!(next(&progress), Action::Ask { approval: Some(_), .. }), "{:?}", next(&progress));
    assert_eq!(progress.approvals, Approvals::default());
}

#[test]
fn a_no_is_told_to_the_agent_and_nothing_is_run() {
    let Action::AnswerStep { step: answered, outcome, content, .. } =
        next(&fold(decided(no("Not from here."))))
    else {
        panic!("it is run")
    };
    assert_eq!((answered, outcome), (step(), ToolOutcome::Failed));
    let [ResultPart::Text { text }] = content.as_slice() else { panic!("{content:?}") };
    assert!(text.contains("The person writes: Not from here."), "{text}");
    let silent = denied(" ");
    assert!(!silent.contains("writes"), "{silent}");
}

#[test]
fn a_command_that_was_begun_is_looked_for_and_not_asked_about_again() {
    let input = json!({"command": PUBLISH});
    let begun = vec![intended("1.1", "a", "shell", input, None)];
    let action = next(&fold([decided(ApprovalDecision::Approved), begun].concat()));
    assert!(matches!(action, Action::RunStep { intention: Intention::Open(None), .. }), "{action:?}");
}

#[test]
fn a_pause_keeps_the_question_open() {
    let paused =
        vec![waiting(), state(RunState::Paused { reason: PauseReason::Person }), state(RunState::Working)];
    let action = next(&fold([wants(PUBLISH), paused].concat()));
    assert!(matches!(action, Action::Ask { approval: Some(_), .. }), "{action:?}");
}

#[test]
fn what_a_person_writes_meanwhile_is_read_by_the_agent_and_decides_nothing() {
    let said = EventBody::PersonSaid { text: "Use the test registry.".to_owned() };
    let bodies = [wants(PUBLISH), vec![waiting(), said]].concat();
    assert_eq!(next(&fold(bodies.clone())), Action::AwaitPerson);
    let working = fold([bodies, vec![state(RunState::Working)]].concat());
    assert!(matches!(next(&working), Action::Ask { approval: Some(_), .. }));
}

proptest! {
    /// Whatever was decided about other steps, a command of the list is run after a yes to itself only.
    #[test]
    fn nothing_of_the_list_is_run_without_a_yes_of_its_own(
        others in prop::collection::vec((1..4_u32, 1..4_u32, any::<bool>()), 0..12)
    ) {
        let mut bodies = wants(PUBLISH);
        let mut newest = None;
        for (turn, call, yes) in others {
            let decision = if yes { ApprovalDecision::Approved } else { no("") };
            if (turn, call) == (1, 1) {
                newest = Some(yes);
            }
            bodies.push(EventBody::ApprovalDecided { step: StepId { turn, call }, decision });
        }
        let runs = matches!(next(&fold(bodies)), Action::RunStep { .. });
        prop_assert_eq!(runs, newest == Some(true));
    }
}
