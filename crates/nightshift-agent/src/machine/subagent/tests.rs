use nightshift_protocol::{
    AssistantBlock, Limits, Message, PauseReason, ResultPart, StopReason, ToolCall, ToolOutcome, Usage,
    UserPart,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::machine::Effect;

const PRICE: CallPrice = CallPrice { input: 1_000, output: 1_000 };

fn started(text: &str) -> AgentEvent {
    let content = vec![UserPart::Text { text: text.to_owned() }];
    AgentEvent::Started { system: "You work.".to_owned(), message: Message::User { content } }
}

fn call(name: &str, input: Value) -> ToolCall {
    ToolCall { id: format!("id-{name}"), name: name.to_owned(), input, malformed: None }
}

fn answered(turn: u32, say: &str, calls: Vec<ToolCall>, usage: Usage) -> AgentEvent {
    let stop = if calls.is_empty() { StopReason::EndTurn } else { StopReason::ToolUse };
    let text = (!say.is_empty()).then(|| AssistantBlock::Text { text: say.to_owned() });
    let blocks =
        text.into_iter().chain(calls.into_iter().map(|call| AssistantBlock::ToolCall { call })).collect();
    AgentEvent::TurnFinished {
        turn,
        message: Message::Assistant { blocks, verbatim: Value::Null },
        stop,
        usage,
    }
}

fn tokens(input_tokens: u64) -> Usage {
    Usage { input_tokens, ..Usage::default() }
}

fn only(machine: &AgentMachine) -> Effect {
    let [effect] = <[Effect; 1]>::try_from(machine.outstanding()).unwrap();
    effect
}

/// Carries out, or records, what is awaited.
fn carry_out(machine: &mut AgentMachine) {
    let (step, call, outcome, content) = match only(machine) {
        Effect::RunTool { step, call, .. } => {
            (step, call, ToolOutcome::Done, vec![ResultPart::Text { text: format!("ran {step}") }])
        }
        Effect::Answer { step, call, outcome, content } => (step, call, outcome, content),
        other => panic!("{other:?}"),
    };
    machine.handle(AgentEvent::StepFinished { step, call: call.id, outcome, content, exit_code: Some(0) });
}

fn shell() -> ToolCall {
    call("shell", json!({"command": "ls"}))
}

fn parent(limits: Limits) -> AgentMachine {
    let settings =
        AgentSettings { limits, max_output_tokens: 1_000, price: Some(PRICE), ..AgentSettings::default() };
    let mut parent = AgentMachine::new(settings);
    parent.handle(started("Add a dark mode."));
    parent
}

fn facts(number: u32) -> SubagentFacts {
    SubagentFacts {
        number,
        grant: Grant::ALL,
        max_turns: 20,
        share: Share::default(),
        price: Some(PRICE),
        window: None,
    }
}

fn child(of: &AgentMachine, facts: SubagentFacts) -> AgentMachine {
    let mut child = of.subagent(facts);
    child.handle(started("Look."));
    child
}

#[test]
fn a_subagent_begins_with_a_fresh_conversation_and_numbers_of_its_own() {
    let parent = parent(Limits::default());
    let second = child(&parent, facts(2));
    assert_eq!(second.outstanding(), [Effect::AskModel { turn: 20_001 }]);
    assert_eq!((second.conversation().messages.len(), second.used()), (1, Usage::default()));
}

#[test]
fn what_it_says_without_a_call_is_its_report() {
    let mut child = child(&parent(Limits::default()), facts(1));
    child.handle(answered(10_001, "I look.", vec![shell()], tokens(10)));
    carry_out(&mut child);
    child.handle(answered(10_002, "  There is one file. ", Vec::new(), tokens(10)));
    assert_eq!(only(&child), Effect::Report { text: "There is one file.".to_owned() });
    assert_eq!(child.last_words(), Some("There is one file.".to_owned()));
}

#[test]
fn one_that_says_nothing_is_reminded_and_then_gives_up_and_nobody_has_to_come() {
    let mut child = child(&parent(Limits::default()), facts(1));
    for turn in 10_001..10_005 {
        assert_eq!(only(&child), Effect::AskModel { turn });
        child.handle(answered(turn, "", Vec::new(), tokens(10)));
    }
    assert!(
        matches!(only(&child), Effect::GiveUp { reason } if reason.starts_with("It ended its turn 4 times"))
    );
}

#[test]
fn one_that_made_its_calls_gives_up_and_its_last_words_are_kept() {
    let mut child = child(&parent(Limits::default()), SubagentFacts { max_turns: 2, ..facts(1) });
    for turn in [10_001, 10_002] {
        child.handle(answered(turn, "Still looking.", vec![shell()], tokens(10)));
        carry_out(&mut child);
    }
    let reason = "It made 2 model calls, as many as it may, and reported nothing.".to_owned();
    assert_eq!(only(&child), Effect::GiveUp { reason });
    assert_eq!(child.last_words(), Some("Still looking.".to_owned()));
}

#[test]
fn what_another_wrote_is_read_before_a_report_goes_out() {
    let mut child = child(&parent(Limits::default()), facts(1));
    child.handle(AgentEvent::Told { text: "Look at the tests too.".to_owned() });
    child.handle(answered(10_001, "Done.", Vec::new(), tokens(10)));
    assert_eq!(only(&child), Effect::AskModel { turn: 10_002 });
    let last = format!("{:?}", child.conversation().messages.last().unwrap());
    assert!(last.contains("Look at the tests too."), "{last}");
}

#[test]
fn one_that_may_only_look_views_and_changes_nothing() {
    let grant = Grant::default().with(Granted::View);
    let mut child = child(&parent(Limits::default()), SubagentFacts { grant, ..facts(1) });
    let view = call("edit", json!({"action": "view", "path": "a"}));
    let create = call("edit", json!({"action": "create", "path": "a", "text": "x"}));
    child.handle(answered(10_001, "", vec![view, create], tokens(10)));
    assert!(matches!(only(&child), Effect::RunTool { .. }));
    carry_out(&mut child);
    let Effect::Answer { outcome: ToolOutcome::Failed, content, .. } = only(&child) else {
        panic!("it writes")
    };
    assert!(format!("{content:?}").contains("you may view files and change none"));
}

#[test]
fn one_that_is_stopped_ends_in_the_midst_of_a_step() {
    let mut child = child(&parent(Limits::default()), facts(1));
    child.handle(answered(10_001, "", vec![shell()], tokens(10)));
    let Effect::RunTool { step, call, .. } = only(&child) else { panic!("no step") };
    assert_eq!(child.call_of(step), Some(call.id.as_str()));
    child.handle(AgentEvent::Stopped { reason: "It is not needed.".to_owned() });
    assert_eq!(only(&child), Effect::GiveUp { reason: "It is not needed.".to_owned() });
    child.handle(AgentEvent::StepFinished {
        step,
        call: call.id,
        outcome: ToolOutcome::Done,
        content: Vec::new(),
        exit_code: None,
    });
    assert!(matches!(only(&child), Effect::GiveUp { .. }));
}

#[test]
fn a_subagent_of_another_model_keeps_within_that_model_s_window() {
    let parent = parent(Limits::default());
    let smaller = parent.subagent(SubagentFacts { window: Some(32_768), ..facts(1) });
    let AgentSettings { context_tokens, compact_tokens, max_output_tokens, .. } = smaller.settings;
    assert!(context_tokens + u64::from(max_output_tokens) <= 32_768, "{context_tokens} {max_output_tokens}");
    assert!(compact_tokens < context_tokens);
    let same = parent.subagent(facts(2)).settings;
    assert_eq!(same.context_tokens, parent.settings.context_tokens);
}

#[test]
fn what_a_call_used_that_was_let_go_of_counts_on_the_limits_and_is_no_call() {
    let mut parent = parent(Limits { turns: 1, tokens: 50_000, ..Limits::default() });
    parent.handle(AgentEvent::Lost { usage: tokens(100) });
    assert_eq!(only(&parent), Effect::AskModel { turn: 1 });
    assert_eq!(parent.used(), tokens(100));
}

#[test]
fn who_ends_its_turn_while_subagents_work_rests_until_one_reports() {
    let mut parent = parent(Limits::default());
    parent.handle(AgentEvent::SubagentBegan { name: "a-1".to_owned() });
    parent.handle(answered(1, "I wait.", Vec::new(), tokens(10)));
    assert_eq!(only(&parent), Effect::AwaitSubagents);
    parent.handle(AgentEvent::SubagentEnded {
        name: "a-1".to_owned(),
        report: "a-1 reports: fine.".to_owned(),
    });
    assert_eq!(only(&parent), Effect::AskModel { turn: 2 });
    let last = format!("{:?}", parent.conversation().messages.last().unwrap());
    assert!(last.contains("a-1 reports: fine."), "{last}");
}

#[test]
fn who_rests_hears_a_person() {
    let mut parent = parent(Limits::default());
    parent.handle(AgentEvent::SubagentBegan { name: "a-1".to_owned() });
    parent.handle(answered(1, "I wait.", Vec::new(), tokens(10)));
    parent.handle(AgentEvent::PersonSaid { text: "Go on.".to_owned() });
    assert_eq!(only(&parent), Effect::AskModel { turn: 2 });
}

#[test]
fn nobody_finishes_while_subagents_work_or_their_report_is_not_read() {
    let finish = || call("finish", json!({"title": "Add it", "summary": "Added."}));
    let mut parent = parent(Limits::default());
    parent.handle(AgentEvent::SubagentBegan { name: "a-1".to_owned() });
    parent.handle(answered(1, "", vec![finish()], tokens(10)));
    let Effect::Answer { outcome: ToolOutcome::Failed, content, .. } = only(&parent) else {
        panic!("it finishes")
    };
    assert!(format!("{content:?}").contains("still work: a-1."));
    carry_out(&mut parent);
    parent.handle(AgentEvent::SubagentEnded { name: "a-1".to_owned(), report: "Fine.".to_owned() });
    parent.handle(answered(2, "", vec![finish()], tokens(10)));
    let Effect::Answer { outcome: ToolOutcome::Failed, content, .. } = only(&parent) else {
        panic!("it finishes")
    };
    assert!(format!("{content:?}").contains("a subagent reported meanwhile"));
}

#[test]
fn the_limit_of_a_task_is_one_for_all_and_raising_it_lets_all_go_on() {
    let limits = Limits { turns: 2, ..Limits::default() };
    let mut parent = parent(limits);
    let mut child = child(&parent, facts(1));
    balance(&mut [&mut parent, &mut child]);
    parent.handle(answered(1, "", vec![shell()], tokens(10)));
    child.handle(answered(10_001, "", vec![shell()], tokens(10)));
    balance(&mut [&mut parent, &mut child]);
    carry_out(&mut child);
    balance(&mut [&mut parent, &mut child]);
    assert!(matches!(only(&child), Effect::Pause { reason: PauseReason::Limit { .. } }));
    child.handle(AgentEvent::Paused { reason: PauseReason::Person });
    child.handle(AgentEvent::LimitsRaised { limits: Limits::default() });
    child.handle(AgentEvent::Resumed);
    assert_eq!(only(&child), Effect::AskModel { turn: 10_002 });
}

#[test]
fn a_smaller_share_that_is_used_up_ends_the_subagent_and_not_the_task() {
    let mut parent = parent(Limits::default());
    let share = Share { tokens: Some(30_000), ..Share::default() };
    let mut child = child(&parent, SubagentFacts { share, ..facts(1) });
    child.handle(answered(10_001, "", vec![shell()], tokens(29_500)));
    carry_out(&mut child);
    balance(&mut [&mut parent, &mut child]);
    let Effect::GiveUp { reason } = only(&child) else { panic!("it goes on") };
    assert!(reason.starts_with("It may use 30,000 tokens; 29,500 are used"), "{reason}");
    parent.absorb(&child);
    assert_eq!(parent.used(), tokens(29_500));
    assert_eq!(only(&parent), Effect::AskModel { turn: 1 });
}

#[test]
fn a_share_of_money_that_is_used_up_ends_the_subagent_before_its_next_call_and_counts_on_the_task() {
    let mut parent = parent(Limits::default());
    let share = Share { cost_microdollars: Some(100_000), ..Share::default() };
    let mut child = child(&parent, SubagentFacts { share, ..facts(1) });
    assert_eq!(only(&child), Effect::AskModel { turn: 10_001 }, "its first call fits");
    let used = Usage { cost_microdollars: 99_999, ..tokens(10) };
    child.handle(answered(10_001, "Halfway.", vec![shell()], used));
    carry_out(&mut child);
    balance(&mut [&mut parent, &mut child]);
    let Effect::GiveUp { reason } = only(&child) else { panic!("it goes on") };
    assert!(reason.starts_with("It may cost $0.10; $0.09 are spent and the next call may cost"), "{reason}");
    assert_eq!(child.last_words(), Some("Halfway.".to_owned()));
    parent.absorb(&child);
    assert_eq!(parent.used(), used);
    assert_eq!(only(&parent), Effect::AskModel { turn: 1 });
}

#[test]
fn a_share_of_time_begins_with_the_subagent_and_its_end_ends_the_subagent_before_its_next_call() {
    let mut parent = parent(Limits::default());
    parent.handle(AgentEvent::TimeUsed { seconds: 1_000 });
    let share = Share { seconds: Some(120), ..Share::default() };
    let mut child = child(&parent, SubagentFacts { share, ..facts(1) });
    assert_eq!(only(&child), Effect::AskModel { turn: 10_001 }, "what the task took before is not its time");
    child.handle(AgentEvent::TimeUsed { seconds: 1_119 });
    child.handle(answered(10_001, "Halfway.", vec![shell()], tokens(10)));
    carry_out(&mut child);
    assert_eq!(only(&child), Effect::AskModel { turn: 10_002 }, "a second is left");
    child.handle(AgentEvent::TimeUsed { seconds: 1_125 });
    assert_eq!(only(&child), Effect::AskModel { turn: 10_002 }, "what is under way is not cut off");
    child.handle(answered(10_002, "Further.", vec![shell()], tokens(10)));
    carry_out(&mut child);
    let reason = "It may work for 120 seconds; 125 are used.".to_owned();
    assert_eq!(only(&child), Effect::GiveUp { reason });
    assert_eq!(child.last_words(), Some("Further.".to_owned()));
    assert_eq!(only(&parent), Effect::AskModel { turn: 1 });
}

#[test]
fn who_went_back_has_its_share_of_time_again() {
    let parent = parent(Limits::default());
    let share = Share { seconds: Some(120), ..Share::default() };
    let mut child = child(&parent, SubagentFacts { share, ..facts(1) });
    child.handle(AgentEvent::TimeUsed { seconds: 100 });
    // Those 800 seconds were worked in what was given up.
    child.forget_spending(900);
    for (seconds, next) in [(1_019, true), (1_020, false)] {
        child.handle(AgentEvent::TimeUsed { seconds });
        let mut then = child.clone();
        then.handle(answered(10_001, "", vec![shell()], tokens(10)));
        carry_out(&mut then);
        assert_eq!(matches!(only(&then), Effect::AskModel { .. }), next, "{seconds}");
    }
}

/// What one machine of a task does next, in the order of an arbitrary schedule.
fn act(machine: &mut AgentMachine, share: u8) -> Usage {
    match machine.outstanding().into_iter().next() {
        Some(Effect::AskModel { turn }) => {
            // A call uses at worst what was reserved for it: some part of that, or all.
            let worst = machine.conversation_tokens() + u64::from(machine.max_output_tokens());
            let used = worst * u64::from(share) / u64::from(u8::MAX);
            let usage = Usage { input_tokens: used, cost_microdollars: used, ..Usage::default() };
            machine.handle(answered(turn, "", vec![shell()], usage));
            usage
        }
        Some(Effect::RunTool { .. } | Effect::Answer { .. }) => {
            carry_out(machine);
            Usage::default()
        }
        _ => Usage::default(),
    }
}

proptest! {
    /// Whatever the interleaving: the sum of all machines' use stays within the limits, and while anything may be spent
    /// somebody can go on or asks for more.
    #[test]
    fn a_tree_of_agents_never_spends_more_than_its_task_may(
        children in 0..5_u32,
        limit in 0_u64..400_000,
        turns in 1..40_u32,
        schedule in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..120),
    ) {
        let limits = Limits { tokens: limit, cost_microdollars: limit, turns, ..Limits::default() };
        let mut machines = vec![parent(limits)];
        for number in 1..=children {
            let begun = child(&machines[0], facts(number));
            machines.push(begun);
            balance(&mut machines.iter_mut().collect::<Vec<_>>());
        }
        let (mut used, mut calls) = (0_u64, 0_u32);
        for (who, share) in schedule {
            let who = who.index(machines.len());
            let asked = matches!(machines[who].outstanding().first(), Some(Effect::AskModel { .. }));
            used += act(&mut machines[who], share).input_tokens;
            calls += u32::from(asked);
            balance(&mut machines.iter_mut().collect::<Vec<_>>());
            prop_assert!(used <= limit, "{used} of {limit}");
            prop_assert!(calls <= turns, "{calls} of {turns}");
        }
        let stuck = machines.iter().all(|machine| matches!(machine.outstanding().first(), Some(Effect::AwaitSubagents) | None));
        prop_assert!(!stuck, "all wait for each other");
    }
}
