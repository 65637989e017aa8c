use nightshift_protocol::{
    AssistantBlock, Limits, Message, ResultPart, StopReason, ToolCall, ToolOutcome, Usage, UserPart, Verdict,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::machine::{AgentEvent, Effect};

fn started(text: &str) -> AgentEvent {
    let content = vec![UserPart::Text { text: text.to_owned() }];
    AgentEvent::Started { system: "You look.".to_owned(), message: Message::User { content } }
}

fn call(name: &str, input: Value) -> ToolCall {
    ToolCall { id: format!("id-{name}"), name: name.to_owned(), input, malformed: None }
}

fn turn(turn: u32, calls: Vec<ToolCall>) -> AgentEvent {
    let stop = if calls.is_empty() { StopReason::EndTurn } else { StopReason::ToolUse };
    let blocks = calls.into_iter().map(|call| AssistantBlock::ToolCall { call }).collect();
    let usage = Usage { input_tokens: 1_000, output_tokens: 10, ..Usage::default() };
    AgentEvent::TurnFinished {
        turn,
        message: Message::Assistant { blocks, verbatim: Value::Null },
        stop,
        usage,
    }
}

fn only(machine: &AgentMachine) -> Effect {
    let [effect] = <[Effect; 1]>::try_from(machine.outstanding()).unwrap();
    effect
}

/// Carries out, or records, what is awaited.
fn carry_out(machine: &mut AgentMachine) {
    let effect = only(machine);
    let (step, call, outcome, content) = match effect {
        Effect::RunTool { step, call, .. } => {
            let content = vec![ResultPart::Text { text: format!("ran {step}") }];
            (step, call, ToolOutcome::Done, content)
        }
        Effect::Answer { step, call, outcome, content } => (step, call, outcome, content),
        other => panic!("{other:?}"),
    };
    machine.handle(AgentEvent::StepFinished { step, call: call.id, outcome, content, exit_code: Some(0) });
}

fn play(machine: &mut AgentMachine, number: u32, calls: Vec<ToolCall>) {
    let count = calls.len();
    machine.handle(turn(number, calls));
    (0..count).for_each(|_| carry_out(machine));
}

fn shell(command: &str) -> ToolCall {
    call("shell", json!({"command": command}))
}

fn verdict(of: &[(&str, Option<&str>)]) -> ToolCall {
    let one = |(number, (verdict, step)): (usize, &(&str, Option<&str>))| {
        let mut one = json!({"criterion": number + 1, "verdict": verdict, "why": "Seen."});
        if let Some(step) = step {
            one["step"] = json!(step);
        }
        one
    };
    call("verdict", json!({"criteria": of.iter().enumerate().map(one).collect::<Vec<_>>()}))
}

/// A worker that has finished in two turns.
fn worker(limits: Limits) -> AgentMachine {
    let mut worker = AgentMachine::new(AgentSettings { limits, ..AgentSettings::default() });
    worker.handle(started("Add a dark mode."));
    let evidence = call("evidence", json!({"claim": "It works.", "step": "1.1"}));
    play(&mut worker, 1, vec![shell("npm test"), evidence]);
    play(&mut worker, 2, vec![call("finish", json!({"title": "Add it", "summary": "Added."}))]);
    assert!(matches!(worker.outstanding().as_slice(), [Effect::Finish { .. }]));
    worker
}

fn critic_of(worker: &AgentMachine, criteria: u32) -> AgentMachine {
    let mut critic = worker.critic(criteria);
    critic.handle(started("Look at it."));
    critic
}

#[test]
fn a_critic_begins_with_a_fresh_conversation_and_numbers_its_calls_on() {
    let worker = worker(Limits::default());
    let critic = critic_of(&worker, 1);
    assert_eq!(critic.outstanding(), [Effect::AskModel { turn: 3 }]);
    let conversation = critic.conversation();
    assert_eq!((&**conversation.system, conversation.messages.len()), ("You look.", 1));
    assert_eq!(critic.used(), worker.used());
}

#[test]
fn a_verdict_ends_it_and_the_worker_goes_on_with_the_next_number_and_what_was_used() {
    let mut worker = worker(Limits::default());
    let mut critic = critic_of(&worker, 2);
    play(&mut critic, 3, vec![shell("npm test")]);
    play(&mut critic, 4, vec![verdict(&[("met", Some("3.1")), ("notMet", Some("3.1"))])]);
    let Effect::Judge { verdicts, .. } = only(&critic) else { panic!("no verdict") };
    assert_eq!(verdicts.iter().map(|one| one.verdict).collect::<Vec<_>>(), [Verdict::Met, Verdict::NotMet]);
    worker.go_on_after(&critic);
    assert_eq!(worker.used().input_tokens, 4_000);
    worker.handle(AgentEvent::SentBack { text: "The second is not met.".to_owned() });
    assert_eq!(worker.outstanding(), [Effect::AskModel { turn: 5 }]);
    let said = format!("{:?}", worker.conversation().messages.last().unwrap());
    assert!(said.contains("The second is not met."), "{said}");
}

#[test]
fn a_verdict_without_a_step_of_its_own_is_refused_and_the_critic_goes_on() {
    let mut critic = critic_of(&worker(Limits::default()), 1);
    // Step 1.1 is the worker's.
    play(&mut critic, 3, vec![verdict(&[("met", Some("1.1"))])]);
    assert_eq!(critic.outstanding(), [Effect::AskModel { turn: 4 }]);
    let said = format!("{:?}", critic.conversation().messages.last().unwrap());
    assert!(said.contains("There is no step 1.1"), "{said}");
}

#[test]
fn a_critic_cannot_hand_over_or_change_files() {
    let mut critic = critic_of(&worker(Limits::default()), 1);
    let edit = call("edit", json!({"action": "create", "path": "a", "text": "x"}));
    critic.handle(turn(3, vec![edit]));
    let effect = only(&critic);
    assert!(matches!(effect, Effect::Answer { outcome: ToolOutcome::Failed, .. }), "{effect:?}");
}

#[test]
fn a_critic_at_a_loss_gives_up_and_nobody_has_to_come() {
    let mut critic = critic_of(&worker(Limits::default()), 1);
    for number in 3..=6 {
        critic.handle(turn(number, Vec::new()));
    }
    let Effect::GiveUp { reason } = only(&critic) else { panic!("{:?}", critic.outstanding()) };
    assert!(reason.starts_with("It ended its turn 4 times in a row"), "{reason}");
}

#[test]
fn a_critic_that_never_judges_ends_after_forty_calls() {
    let mut critic = critic_of(&worker(Limits::default()), 1);
    let mut made = 0;
    while let [Effect::AskModel { turn: number }] = critic.outstanding().as_slice() {
        let number = *number;
        play(&mut critic, number, vec![shell(&format!("echo {number}"))]);
        made += 1;
    }
    assert_eq!(made, MOST_TURNS);
    let Effect::GiveUp { reason } = only(&critic) else { panic!("it goes on") };
    assert_eq!(reason, "It made 40 model calls and judged nothing.");
}

#[test]
fn the_limits_of_the_task_hold_for_its_critic_too() {
    let limits = Limits { turns: 3, ..Limits::default() };
    let mut critic = critic_of(&worker(limits), 1);
    play(&mut critic, 3, vec![shell("npm test")]);
    assert!(matches!(critic.outstanding().as_slice(), [Effect::Pause { .. }]), "{:?}", critic.outstanding());
    critic.handle(AgentEvent::LimitsRaised { limits: Limits::default() });
    assert_eq!(critic.outstanding(), [Effect::AskModel { turn: 4 }]);
}

#[test]
fn a_critic_keeps_within_the_limits_that_were_set_after_the_work_was_finished() {
    let mut worker = worker(Limits::default());
    worker.handle(AgentEvent::LimitsRaised { limits: Limits { turns: 2, ..Limits::default() } });
    let critic = critic_of(&worker, 1);
    assert!(matches!(critic.outstanding().as_slice(), [Effect::Pause { .. }]), "{:?}", critic.outstanding());
}

#[test]
fn who_has_not_finished_is_not_sent_back_and_a_critic_never_is() {
    let mut critic = critic_of(&worker(Limits::default()), 1);
    let before = critic.clone();
    critic.handle(AgentEvent::SentBack { text: "Again.".to_owned() });
    assert_eq!(critic, before);
    play(&mut critic, 3, vec![shell("true")]);
    play(&mut critic, 4, vec![verdict(&[("met", Some("3.1"))])]);
    let judged = critic.clone();
    critic.handle(AgentEvent::SentBack { text: "Again.".to_owned() });
    assert_eq!(critic, judged);
}

proptest! {
    #[test]
    fn wherever_a_critic_is_left_no_number_is_given_twice(turns in 0..6_u32, asked in any::<bool>()) {
        let mut worker = worker(Limits::default());
        let mut critic = critic_of(&worker, 1);
        let mut given = vec![1, 2];
        for number in 3..3 + turns {
            play(&mut critic, number, vec![shell("echo")]);
            given.push(number);
        }
        if asked {
            // It is awaited, and its answer may still come.
            given.push(3 + turns);
        }
        worker.go_on_after(&critic);
        worker.handle(AgentEvent::SentBack { text: "A person wrote.".to_owned() });
        let Effect::AskModel { turn } = only(&worker) else { panic!("it waits") };
        prop_assert!(!given.contains(&turn), "{turn} of {given:?}");
    }
}
