//! What holds after any events in any order.

use std::collections::BTreeMap;

use nightshift_protocol::{ResultPart, StepId, ToolOutcome, UserPart};
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::json;

use super::tests::{answer, call, picture, settings, started, text};
use super::*;
use crate::tools::ToolRequest;

/// What an owner does next, where `Perform` answers what is awaited.
#[derive(Debug, Clone)]
enum Move {
    Perform(Vec<Index>, Index, bool),
    Deliver,
    SendBack,
    Repeat(Index),
    Person,
    Pause(bool),
    Resume,
    LetGo,
    Time(u64),
    Raise(u32),
    Stray(u32, u32),
    Cancel,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let perform = (prop::collection::vec(any::<Index>(), 0..4), any::<Index>(), any::<bool>())
        .prop_map(|(calls, stop, good)| Move::Perform(calls, stop, good));
    let one = prop_oneof![
        24 => perform,
        3 => Just(Move::Deliver),
        2 => Just(Move::SendBack),
        2 => any::<Index>().prop_map(Move::Repeat),
        2 => Just(Move::Person),
        1 => any::<bool>().prop_map(Move::Pause),
        4 => Just(Move::Resume),
        1 => Just(Move::LetGo),
        1 => (0_u64..10_000).prop_map(Move::Time),
        1 => (0_u32..40).prop_map(Move::Raise),
        1 => (0_u32..4, 0_u32..4).prop_map(|(turn, call)| Move::Stray(turn, call)),
    ];
    (prop::collection::vec(one, 1..70), any::<bool>()).prop_map(|(mut moves, cancel)| {
        if cancel {
            let middle = moves.len() / 2;
            moves.insert(middle, Move::Cancel);
        }
        moves
    })
}

fn some_calls(turn: u32, picks: &[Index]) -> Vec<ToolCall> {
    let inputs = [
        ("shell", json!({"command": "make"})),
        ("shell", json!({"command": "serve", "background": true})),
        ("shell", json!({})),
        ("shell_output", json!({"step": "1.1"})),
        ("computer", json!({"action": "screenshot"})),
        ("computer", json!({"action": "left_click", "coordinate": [9_999, 0]})),
        ("evidence", json!({"claim": "So it is.", "step": "1.1"})),
        ("plan", json!({"steps": [{"title": "a", "state": "done"}]})),
        ("plan", json!({"steps": [{"title": "a", "state": "active"}]})),
        ("ask", json!({"question": "Which?"})),
        ("spawn", json!({"title": "Look", "task": "Look at it."})),
        ("subagents", json!({"action": "list"})),
        ("finish", json!({"title": "a", "summary": "b"})),
        (
            "verdict",
            json!({"criteria": [{"criterion": 1, "verdict": "met", "why": "So it is.", "step": "2.1"}]}),
        ),
        ("nonsense", json!(null)),
    ];
    picks
        .iter()
        .enumerate()
        .map(|(place, pick)| {
            let (name, input) = inputs[pick.index(inputs.len())].clone();
            call(&format!("call-{turn}-{place}"), name, input)
        })
        .collect()
}

/// The calls with which an agent ends its work.
fn delivery(turn: u32) -> Vec<ToolCall> {
    let inputs = [
        ("computer", json!({"action": "screenshot"})),
        ("evidence", json!({"claim": "So it is.", "step": format!("{turn}.1")})),
        ("plan", json!({"steps": [{"title": "a", "state": "done"}]})),
        ("finish", json!({"title": "a", "summary": "b"})),
    ];
    let calls = inputs.into_iter().enumerate();
    calls.map(|(place, (name, input))| call(&format!("call-{turn}-{place}"), name, input)).collect()
}

fn some_stop(pick: Index) -> StopReason {
    let usual = std::iter::repeat_n(StopReason::ToolUse, 24);
    let stops: Vec<StopReason> = usual
        .chain([
            StopReason::EndTurn,
            StopReason::MaxTokens,
            StopReason::PauseTurn,
            StopReason::Refusal { explanation: String::new() },
            StopReason::ContextExceeded,
            StopReason::Other { reason: "new".to_owned() },
        ])
        .collect();
    stops[pick.index(stops.len())].clone()
}

/// The event with which an owner answers an effect.
fn performed(effect: Effect, calls: &[Index], stop: Index, good: bool) -> Option<AgentEvent> {
    let finished = |step, call: ToolCall, outcome, content| AgentEvent::StepFinished {
        step,
        call: call.id,
        outcome,
        content,
        exit_code: Some(0),
    };
    let outcome = if good { ToolOutcome::Done } else { ToolOutcome::Failed };
    Some(match effect {
        Effect::AskModel { turn } if calls.is_empty() && !good => {
            let error = UserError::new(ErrorCode::ModelUnavailable, "down", "");
            AgentEvent::TurnFailed { turn, trouble: ModelTrouble::MayPass(error) }
        }
        Effect::AskModel { turn } => answer(turn, some_calls(turn, calls), some_stop(stop)),
        Effect::Compact { turn } => AgentEvent::Compacted {
            turn,
            summary: good.then(|| "What was done.".to_owned()),
            usage: Usage { input_tokens: 50, ..Usage::default() },
        },
        Effect::RunTool { step, call, request: ToolRequest::Computer(_) } => {
            finished(step, call, outcome, picture())
        }
        Effect::RunTool { step, call, .. } => {
            finished(step, call, outcome, text(&format!("output {}", stop.index(5))))
        }
        Effect::Answer { step, call, outcome, content } => finished(step, call, outcome, content),
        Effect::AwaitSubagents => {
            AgentEvent::SubagentEnded { name: "a-1".to_owned(), report: "a-1 reports.".to_owned() }
        }
        Effect::AskPerson { .. } if good => AgentEvent::Asked,
        Effect::AskPerson { .. } => AgentEvent::PersonSaid { text: "This one.".to_owned() },
        Effect::Pause { reason } => AgentEvent::Paused { reason },
        Effect::Finish { .. }
        | Effect::Fail { .. }
        | Effect::Judge { .. }
        | Effect::Report { .. }
        | Effect::GiveUp { .. } => {
            return None;
        }
    })
}

fn new_machine() -> AgentMachine {
    let limits = Limits { turns: 25, ..Limits::default() };
    // So small that most conversations are summed up several times.
    AgentMachine::new(AgentSettings {
        limits,
        max_images: 3,
        compact_tokens: 11_000,
        context_tokens: 40_000,
        ..settings()
    })
}

/// Plays `moves` and returns the events they became, the first of them `Started`.
fn play(moves: &[Move]) -> Vec<AgentEvent> {
    play_on(new_machine(), moves)
}

fn play_on(mut machine: AgentMachine, moves: &[Move]) -> Vec<AgentEvent> {
    let mut events = vec![started()];
    machine.handle(started());
    for next in moves {
        let event = match next {
            Move::Perform(calls, stop, good) => match machine.outstanding().pop() {
                Some(effect) => performed(effect, calls, *stop, *good),
                None => Some(AgentEvent::Resumed),
            },
            Move::Deliver => match machine.outstanding().pop() {
                Some(Effect::AskModel { turn }) => Some(answer(turn, delivery(turn), StopReason::ToolUse)),
                _ => None,
            },
            Move::SendBack => Some(AgentEvent::SentBack { text: "One is missing.".to_owned() }),
            Move::Repeat(pick) => Some(events[pick.index(events.len())].clone()),
            Move::Person => Some(AgentEvent::PersonSaid { text: "Use blue.".to_owned() }),
            Move::Pause(by_person) => {
                let error = UserError::new(ErrorCode::DiskFull, "full", "");
                let trouble = PauseReason::Trouble { error };
                Some(AgentEvent::Paused { reason: if *by_person { PauseReason::Person } else { trouble } })
            }
            Move::Resume => Some(AgentEvent::Resumed),
            Move::LetGo => Some(AgentEvent::LetGo),
            Move::Time(seconds) => Some(AgentEvent::TimeUsed { seconds: *seconds }),
            Move::Raise(turns) => {
                Some(AgentEvent::LimitsRaised { limits: Limits { turns: *turns, ..Limits::default() } })
            }
            Move::Stray(turn, call) => Some(AgentEvent::StepFinished {
                step: StepId { turn: *turn, call: *call },
                call: "call-1-0".to_owned(),
                outcome: ToolOutcome::Done,
                content: text("late"),
                exit_code: None,
            }),
            Move::Cancel => Some(AgentEvent::Cancelled),
        };
        if let Some(event) = event {
            machine.handle(event.clone());
            events.push(event);
        }
    }
    events
}

fn calls_of(message: &Message) -> Vec<&str> {
    match message {
        Message::Assistant { blocks, .. } => blocks
            .iter()
            .filter_map(|block| match block {
                AssistantBlock::ToolCall { call } => Some(call.id.as_str()),
                AssistantBlock::Text { .. }
                | AssistantBlock::Thinking { .. }
                | AssistantBlock::Unknown { .. } => None,
            })
            .collect(),
        Message::User { .. } => Vec::new(),
    }
}

fn results_of(message: &Message) -> Vec<&str> {
    match message {
        Message::User { content } => content
            .iter()
            .filter_map(|part| match part {
                UserPart::ToolResult { result } => Some(result.call.as_str()),
                UserPart::Text { .. } | UserPart::Image { .. } => None,
            })
            .collect(),
        Message::Assistant { .. } => Vec::new(),
    }
}

fn is_user(message: &Message) -> bool {
    matches!(message, Message::User { .. })
}

fn pictures(message: &Message) -> usize {
    let of_part = |part: &UserPart| match part {
        UserPart::ToolResult { result } => {
            result.content.iter().filter(|part| matches!(part, ResultPart::Image { .. })).count()
        }
        UserPart::Image { .. } => 1,
        UserPart::Text { .. } => 0,
    };
    match message {
        Message::User { content } => content.iter().map(of_part).sum(),
        Message::Assistant { .. } => 0,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_replay_of_any_beginning_comes_to_the_same_state_and_awaits_the_same(moves in moves()) {
        let events = play(&moves);
        let mut live = new_machine();
        for (count, event) in events.iter().enumerate() {
            let effects = live.handle(event.clone());
            prop_assert!(effects.is_empty() || effects == live.outstanding());
            let mut replayed = new_machine();
            for event in &events[..=count] {
                replayed.handle(event.clone());
            }
            prop_assert_eq!(&replayed, &live);
            prop_assert_eq!(replayed.outstanding(), live.outstanding());
        }
    }

    #[test]
    fn whenever_the_model_is_asked_roles_alternate_and_each_call_has_its_one_result(moves in moves()) {
        let mut machine = new_machine();
        for event in play(&moves) {
            let [Effect::AskModel { .. }] = machine.handle(event).as_slice() else { continue };
            let messages = machine.conversation().messages;
            prop_assert!(is_user(&messages[0]));
            for pair in messages.windows(2) {
                prop_assert!(is_user(&pair[0]) != is_user(&pair[1]));
                prop_assert_eq!(calls_of(&pair[0]), results_of(&pair[1]));
            }
            let last = &messages[messages.len() - 1];
            prop_assert_eq!(calls_of(last), Vec::<&str>::new());
            prop_assert!(messages.iter().map(|message| pictures(message)).sum::<usize>() <= 3);
        }
    }

    #[test]
    fn a_step_is_handed_out_once_unless_a_pause_came_between_and_turns_only_grow(moves in moves()) {
        let mut machine = new_machine();
        let mut handed_out: BTreeMap<StepId, u32> = BTreeMap::new();
        let (mut newest_turn, mut resumed) = (0, 0);
        for event in play(&moves) {
            resumed += u32::from(matches!(event, AgentEvent::Resumed | AgentEvent::LimitsRaised { .. }));
            match machine.handle(event).as_slice() {
                [Effect::RunTool { step, .. }] => {
                    let before = handed_out.insert(*step, resumed);
                    prop_assert!(before.is_none_or(|before| before < resumed));
                }
                [Effect::AskModel { turn }] => {
                    prop_assert!(*turn >= newest_turn);
                    newest_turn = *turn;
                }
                _ => {}
            }
        }
    }

    #[test]
    fn no_call_is_made_beyond_the_limit_on_calls(moves in moves()) {
        let mut machine = new_machine();
        let mut limit = 25;
        for event in play(&moves) {
            if let AgentEvent::LimitsRaised { limits } = &event {
                limit = limits.turns;
            }
            if let [Effect::AskModel { turn }] = machine.handle(event).as_slice() {
                prop_assert!(*turn <= limit);
            }
        }
    }

    #[test]
    fn a_final_machine_ignores_everything_and_asks_for_nothing_more(moves in moves(), more in moves()) {
        let mut machine = new_machine();
        for event in play(&moves) {
            machine.handle(event);
        }
        machine.handle(AgentEvent::Cancelled);
        let mut before = machine.clone();
        // One that had finished was final before: work that comes back opens it again, and what was counted counts then.
        let finished = matches!(machine.position, Position::Finished { .. });
        for event in play(&more).into_iter().filter(|event| !matches!(event, AgentEvent::SentBack { .. })) {
            let counts = matches!(event, AgentEvent::TimeUsed { .. } | AgentEvent::LimitsRaised { .. });
            prop_assert_eq!(machine.handle(event), Vec::new());
            if finished && counts {
                before.budget = machine.budget.clone();
            }
        }
        prop_assert_eq!(machine, before);
    }

    #[test]
    fn a_critic_asks_nobody_and_hands_nothing_over_and_its_calls_are_numbered_on_and_few(
        moves in moves(),
        stop in any::<Index>(),
    ) {
        let mut worker = new_machine();
        worker.handle(started());
        worker.handle(answer(1, delivery(1), StopReason::ToolUse));
        while let Some(event) = worker.outstanding().pop().and_then(|effect| performed(effect, &[], stop, true)) {
            worker.handle(event);
        }
        let mut machine = worker.critic(1);
        for event in play_on(machine.clone(), &moves) {
            for effect in machine.handle(event) {
                match effect {
                    Effect::AskModel { turn } | Effect::Compact { turn } => prop_assert!((2..42).contains(&turn)),
                    Effect::RunTool { step, .. } | Effect::Answer { step, .. } => prop_assert!(step.turn >= 2),
                    Effect::Judge { verdicts, .. } => prop_assert_eq!(verdicts.len(), 1),
                    Effect::Pause { .. } | Effect::GiveUp { .. } => {}
                    other => prop_assert!(false, "{:?}", other),
                }
            }
        }
    }
}
