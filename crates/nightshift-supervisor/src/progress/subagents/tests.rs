use nightshift_protocol::{
    AssistantBlock, CheckpointCause, CheckpointCost, Limits, Message, PauseReason, RunState, StopReason,
    UserPart, WorkingTree,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::next;
use super::super::tests::{answer, begun, events, finished, fold, fold_events, intended, state};
use super::*;

fn start(number: u32, background: bool) -> SubagentStart {
    SubagentStart {
        context_tokens: None,
        number,
        name: format!("general-{number}"),
        agent: "general".to_owned(),
        definition: None,
        step: StepId { turn: 1, call: number },
        title: "Look".to_owned(),
        rule: None,
        model: "claude-sonnet-5-5".to_owned(),
        input_price: None,
        output_price: None,
        tools: vec!["shell".to_owned(), "edit".to_owned()],
        background,
        max_turns: 20,
        max_tokens: None,
        max_cents: None,
        max_minutes: None,
        working_tree: None,
        notes: Vec::new(),
    }
}

fn started(number: u32, background: bool) -> EventBody {
    let message = Message::User { content: vec![UserPart::Text { text: "Look at it.".to_owned() }] };
    EventBody::SubagentStarted {
        subagent: start(number, background),
        system: "You are a subagent.".to_owned(),
        message,
    }
}

fn wanted() -> Value {
    json!({"title": "Look", "task": "Look at it."})
}

/// A run whose agent started `many` subagents in its first turn, the last of them in the foreground if that is wanted.
fn spawned(many: u32, last_waits: bool) -> Vec<EventBody> {
    let ids: Vec<String> = (1..=many).map(|number| format!("s{number}")).collect();
    let calls: Vec<(&str, &str, Value)> = ids.iter().map(|id| (id.as_str(), "spawn", wanted())).collect();
    let mut bodies = [begun(), vec![EventBody::TurnRequested { turn: 1 }, answer(1, &calls)]].concat();
    for number in 1..=many {
        let (step, id) = (format!("1.{number}"), format!("s{number}"));
        let waits = last_waits && number == many;
        bodies.extend([intended(&step, &id, "spawn", wanted(), None), started(number, !waits)]);
        if !waits {
            bodies.push(finished(&step, &id, None));
        }
    }
    bodies
}

fn says(turn: u32, text: &str) -> EventBody {
    EventBody::TurnFinished {
        turn,
        message: Message::Assistant {
            blocks: vec![AssistantBlock::Text { text: text.to_owned() }],
            verbatim: json!([]),
        },
        stop: StopReason::EndTurn,
        usage: Usage { output_tokens: 10, ..Usage::default() },
        model: "m".to_owned(),
    }
}

fn over(number: u32) -> EventBody {
    EventBody::SubagentFinished {
        number,
        outcome: SubagentOutcome::Reported,
        report: "Fine.".to_owned(),
        work: None,
    }
}

fn runs(turn: u32) -> Vec<EventBody> {
    let command = json!({"command": "ls"});
    vec![
        EventBody::TurnRequested { turn },
        answer(turn, &[("c", "shell", command.clone())]),
        intended(&format!("{turn}.1"), "c", "shell", command, None),
    ]
}

fn last_words(progress: &RunProgress) -> String {
    format!("{:?}", progress.agent.conversation().messages.last().unwrap())
}

#[test]
fn a_wish_for_a_subagent_is_carried_out_and_then_waited_for() {
    let asked =
        [begun(), vec![EventBody::TurnRequested { turn: 1 }, answer(1, &[("s1", "spawn", wanted())])]]
            .concat();
    assert!(matches!(next(&fold(asked)), Action::BeginSubagent { .. }));
    let progress = fold(spawned(1, true));
    assert_eq!(next(&progress), Action::AwaitSubagents);
    assert_eq!(progress.next_beside(), [Action::AskModel { turn: 10_001, intention: Intention::New }]);
}

#[test]
fn in_the_background_both_go_on() {
    let progress = fold(spawned(2, false));
    assert_eq!(next(&progress), Action::AskModel { turn: 2, intention: Intention::New });
    let asks = |turn| Action::AskModel { turn, intention: Intention::New };
    assert_eq!(progress.next_beside(), [asks(10_001), asks(20_001)]);
}

#[test]
fn what_was_begun_beside_and_has_no_outcome_is_looked_for_and_not_repeated() {
    let progress =
        fold([spawned(2, false), runs(10_001), vec![EventBody::TurnRequested { turn: 20_001 }]].concat());
    let [one, other] = <[Action; 2]>::try_from(progress.next_beside()).unwrap();
    assert!(matches!(one, Action::RunStep { intention: Intention::Open(None), .. }), "{one:?}");
    assert_eq!(other, Action::AskModel { turn: 20_001, intention: Intention::Open(None) });
    // The agent's own step is another.
    assert_eq!(progress.open_step, None);
    assert!(progress.is_under_way());
}

#[test]
fn one_that_reports_is_ended_before_the_agent_goes_on_and_its_report_is_read() {
    let mut bodies =
        [spawned(1, false), vec![EventBody::TurnRequested { turn: 10_001 }, says(10_001, "Fine.")]].concat();
    let ended = Ended { outcome: SubagentOutcome::Reported, report: "Fine.".to_owned() };
    assert_eq!(next(&fold(bodies.clone())), Action::EndSubagent { number: 1, ended });
    bodies.push(over(1));
    let call = json!({"command": "ls"});
    bodies.extend([EventBody::TurnRequested { turn: 2 }, answer(2, &[("a", "shell", call.clone())])]);
    bodies.extend([intended("2.1", "a", "shell", call, None), finished("2.1", "a", Some(0))]);
    let progress = fold(bodies);
    assert!(last_words(&progress).contains("Your subagent general-1 reports:"), "{}", last_words(&progress));
    assert_eq!(progress.usage.output_tokens, 30);
    assert_eq!(progress.agent.used().output_tokens, 30);
}

#[test]
fn the_agent_s_own_step_comes_to_its_end_before_another_s_work_comes_home() {
    let reported = vec![EventBody::TurnRequested { turn: 10_001 }, says(10_001, "Fine.")];
    let bodies = [spawned(1, false), runs(2), reported].concat();
    assert!(matches!(next(&fold(bodies.clone())), Action::RunStep { .. }));
    let bodies = [bodies, vec![finished("2.1", "c", Some(0))]].concat();
    assert!(matches!(next(&fold(bodies)), Action::EndSubagent { number: 1, .. }));
}

#[test]
fn nothing_is_begun_beside_a_run_that_pauses_waits_or_is_a_person_s() {
    let quiet = |more: Vec<EventBody>| fold([spawned(2, false), more].concat()).next_beside();
    assert_eq!(quiet(vec![state(RunState::Paused { reason: PauseReason::Person })]), []);
    assert_eq!(quiet(vec![state(RunState::Waiting { question: "Which?".to_owned(), approval: None })]), []);
    assert_eq!(quiet(vec![EventBody::TakenOver { screen: None }]), []);
    assert_eq!(quiet(vec![state(RunState::Cancelled)]), []);
}

#[test]
fn an_interruption_ends_the_one_that_is_waited_for_and_what_the_others_do() {
    let bodies = [spawned(2, true), runs(10_001), runs(20_001), vec![EventBody::Interrupted]].concat();
    let progress = fold(bodies);
    let Action::EndSubagent { number: 2, ended } = next(&progress) else { panic!("{:?}", next(&progress)) };
    assert_eq!(ended.outcome, SubagentOutcome::GaveUp { reason: "A person interrupted it.".to_owned() });
    let step: StepId = "10001.1".parse().unwrap();
    assert!(progress.open_step_of(step).unwrap().interrupted);
    assert_eq!(progress.subagents.numbered(2).unwrap().commands(), ["20001.1".parse().unwrap()]);
}

#[test]
fn a_limit_that_is_reached_by_any_pauses_the_run_and_raising_it_lets_all_go_on() {
    let mut bodies = spawned(1, false);
    let EventBody::RunSubmitted { task, .. } = &mut bodies[0] else { unreachable!() };
    task.limits.turns = 3;
    bodies.extend([runs(2), vec![finished("2.1", "c", Some(0))]].concat());
    // The last call is the subagent's, which is under way: whether it is made is waited for.
    assert_eq!(next(&fold(bodies.clone())), Action::AwaitSubagents);
    bodies.extend([runs(10_001), vec![finished("10001.1", "c", Some(0))]].concat());
    let Action::Pause(reason @ PauseReason::Limit { .. }) = next(&fold(bodies.clone())) else {
        panic!("it goes on")
    };
    bodies.extend([
        state(RunState::Paused { reason }),
        EventBody::LimitsRaised { limits: Limits::default() },
        state(RunState::Working),
    ]);
    let progress = fold(bodies);
    assert_eq!(progress.next_beside(), [Action::AskModel { turn: 10_002, intention: Intention::New }]);
    assert_eq!(next(&progress), Action::AskModel { turn: 3, intention: Intention::New });
}

#[test]
fn a_share_of_time_is_of_the_time_that_the_run_works_from_the_subagents_start_on() {
    let (paused, works) = (state(RunState::Paused { reason: PauseReason::Person }), state(RunState::Working));
    let mut bodies = [spawned(1, false), runs(10_001), vec![paused, works]].concat();
    for body in &mut bodies {
        if let EventBody::SubagentStarted { subagent, .. } = body {
            subagent.max_minutes = Some(1);
        }
    }
    bodies.push(finished("10001.1", "c", Some(0)));
    let all = events(bodies);
    let at = |kind: &str| all.iter().rposition(|event| event.body.name() == kind).unwrap();
    // So long after its start its step ends. An hour of pause is none of its time.
    let ends_after = |seconds: i64| {
        let (mut all, last) = (all.clone(), all.len() - 1);
        let hour = time::Duration::HOUR;
        (all[last - 1].at, all[last].at) = (all[last - 1].at + hour, all[last].at + hour);
        let worked = all[last].at - hour - all[at("subagentStarted")].at - time::Duration::SECOND;
        all[last].at += time::Duration::seconds(seconds) - worked;
        fold_events(&all)
    };
    let asks = Action::AskModel { turn: 10_002, intention: Intention::New };
    assert_eq!(ends_after(59).next_beside(), [asks]);
    let Action::EndSubagent { number: 1, ended } = next(&ends_after(60)) else { panic!("it goes on") };
    let reason = "It may work for 60 seconds; 60 are used.".to_owned();
    assert_eq!(ended.outcome, SubagentOutcome::GaveUp { reason });
}

#[test]
fn a_run_that_goes_back_has_its_subagents_of_then_and_what_was_spent_stays_spent() {
    let checkpoint: nightshift_protocol::CheckpointId = "checkpoint-0000000001".parse().unwrap();
    let cost = CheckpointCost { changed_bytes: 1, written_bytes: 1, paused_ms: 1, took_ms: 1 };
    let cause = CheckpointCause::Asked;
    let saved = vec![
        EventBody::CheckpointIntended { checkpoint: checkpoint.clone(), cause, suspended_for: None },
        EventBody::CheckpointSaved { checkpoint: checkpoint.clone(), cause, cost },
    ];
    let since = [
        runs(10_001),
        vec![
            finished("10001.1", "c", Some(0)),
            EventBody::TurnRequested { turn: 10_002 },
            says(10_002, "Fine."),
            over(1),
        ],
    ]
    .concat();
    let back = vec![
        EventBody::RewindIntended { checkpoint: checkpoint.clone(), reason: "A person asked.".to_owned() },
        EventBody::Rewound { checkpoint },
    ];
    let progress = fold([spawned(1, false), saved, since, back].concat());
    assert_eq!(
        progress.subagents.numbered(1).unwrap().agent.outstanding(),
        [Effect::AskModel { turn: 10_001 }]
    );
    assert_eq!(progress.agent.used().output_tokens, 30);
    assert_eq!(progress.subagents.numbered(1).unwrap().agent.used(), Usage::default());
}

#[test]
fn a_checkpoint_by_itself_waits_until_none_is_in_the_midst_of_a_step() {
    assert!(
        fold([spawned(1, false), vec![EventBody::TurnRequested { turn: 10_001 }]].concat())
            .subagents
            .are_between_steps()
    );
    assert!(!fold([spawned(1, false), runs(10_001)].concat()).subagents.are_between_steps());
}

#[test]
fn writes_of_a_subagent_are_its_own() {
    let write = IntendedWrite { path: "/a".to_owned(), before: None, after: None };
    let input = json!({"action": "create", "path": "/a", "text": "x"});
    let bodies = vec![
        EventBody::TurnRequested { turn: 10_001 },
        answer(10_001, &[("e", "edit", input.clone())]),
        intended("10001.1", "e", "edit", input, Some(write.clone())),
        finished("10001.1", "e", None),
    ];
    let progress = fold([spawned(1, false), bodies].concat());
    assert_eq!(
        (progress.writes.len(), progress.subagents.numbered(1).unwrap().writes.clone()),
        (0, vec![write])
    );
}

#[test]
fn no_more_may_be_started_than_work_at_once() {
    let most = u32::try_from(AT_ONCE).unwrap();
    assert_eq!(fold(spawned(most - 1, false)).subagents.full(), None);
    let full = fold(spawned(most, false)).subagents.full().unwrap();
    assert!(full.starts_with("6 subagents work already"), "{full}");
    assert_eq!(fold(spawned(most, false)).subagents.next_number(), most + 1);
}

#[test]
fn one_that_is_not_there_is_named_as_such_with_those_that_are() {
    let progress = fold(spawned(1, false));
    let request = ToolRequest::Subagents(SubagentsRequest::Stop { name: "general-9".to_owned() });
    let end = progress.answer_of_subagents("2.1".parse().unwrap(), &request).unwrap();
    assert_eq!(end, StepEnd::failed("No subagent general-9 works now; those that do: general-1."));
    let request = ToolRequest::Subagents(SubagentsRequest::Message {
        name: "general-1".to_owned(),
        text: "Hurry.".to_owned(),
    });
    let end = progress.answer_of_subagents("2.1".parse().unwrap(), &request).unwrap();
    assert_eq!(end.notes, [EventBody::SubagentTold { number: 1, text: "Hurry.".to_owned() }]);
}

#[test]
fn what_became_of_a_subagent_reads_like_this() {
    let tree =
        WorkingTree { folder: "/s/general-1".to_owned(), branch: "nightshift-subagent/general-1".to_owned() };
    let start = SubagentStart { working_tree: Some(tree), ..start(1, true) };
    let gave_up = SubagentOutcome::GaveUp { reason: "It went in circles.".to_owned() };
    let apart = SubagentWork::Apart { commits: 2, why: "CONFLICT in a.txt".to_owned() };
    insta::assert_snapshot!(report_words(&start, &gave_up, "Half is done.", Some(&apart)), @r"
    Your subagent general-1 ended without a report. It went in circles. Its last words:

    Half is done.

    (Note from Nightshift: its 2 commits do not fit your branch as it is now. What it did is on the branch nightshift-subagent/general-1; bring over what you want of it, for example with git cherry-pick, and resolve the conflicts. Git said:
    CONFLICT in a.txt)
    ");
    assert_eq!(
        report_words(&start, &SubagentOutcome::Reported, "Done.", Some(&SubagentWork::Joined { commits: 1 })),
        "Your subagent general-1 reports:\n\nDone.\n\n(Note from Nightshift: its commit is on your branch now.)"
    );
}

#[test]
fn who_waits_for_a_subagent_reads_with_its_report_what_is_otherwise_than_defined() {
    let notes = vec!["its definition names the skill deploy, which is not there.".to_owned()];
    let waits = SubagentStart { notes: notes.clone(), ..start(1, false) };
    let words = |start: &SubagentStart| report_words(start, &SubagentOutcome::Reported, "Done.", None);
    assert_eq!(
        words(&waits),
        "Your subagent general-1 reports:\n\nDone.\n\n\
         (Note from Nightshift: its definition names the skill deploy, which is not there.)"
    );
    let told = SubagentStart { notes, ..start(1, true) };
    assert_eq!(words(&told), "Your subagent general-1 reports:\n\nDone.");
}

#[test]
fn tools_are_recorded_by_names_that_lead_back_to_them() {
    for grant in
        [Grant::ALL, Grant::default(), Grant::ALL.without_screen(), Grant::default().with(Granted::View)]
    {
        assert_eq!(granted(&recorded(grant)), grant);
    }
}

/// What becomes of an action that somebody of the tree wants.
fn outcome(action: &Action, good: bool) -> Vec<EventBody> {
    let command = json!({"command": "ls"});
    match action {
        Action::AskModel { turn, .. } if subagent_of(*turn).is_some() && good => {
            vec![EventBody::TurnRequested { turn: *turn }, says(*turn, "Fine.")]
        }
        Action::AskModel { turn, .. } => {
            vec![EventBody::TurnRequested { turn: *turn }, answer(*turn, &[("c", "shell", command)])]
        }
        Action::RunStep { step, call, intention, .. } => {
            let intended = EventBody::StepIntended { step: *step, call: call.clone(), write: None };
            let finished = finished(&step.to_string(), &call.id, Some(0));
            if *intention == Intention::New { vec![intended, finished] } else { vec![finished] }
        }
        Action::EndSubagent { number, .. } => vec![over(*number)],
        _ => Vec::new(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// In whatever order they act: no step is wanted twice, a fold made anew wants the same, and what all used is what the
    /// run used.
    #[test]
    fn in_any_order_nothing_is_done_twice_and_a_new_owner_goes_on_the_same_way(
        many in 1..4_u32, moves in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 0..14)
    ) {
        let mut bodies = spawned(many, false);
        for (pick, good) in moves {
            let progress = fold(bodies.clone());
            let mut wanted = progress.next_beside();
            wanted.push(next(&progress));
            let action = &wanted[pick.index(wanted.len())];
            bodies.extend(outcome(action, good));
        }
        let (progress, again) = (fold(bodies.clone()), fold(bodies.clone()));
        prop_assert_eq!(next(&progress), next(&again));
        prop_assert_eq!(progress.next_beside(), again.next_beside());
        let mut steps: Vec<StepId> = bodies.iter().filter_map(|body| match body {
            EventBody::StepFinished { step, .. } => Some(*step),
            _ => None,
        }).collect();
        let all = steps.len();
        steps.sort_unstable();
        steps.dedup();
        prop_assert_eq!(steps.len(), all);
        let live: u64 = progress.subagents.running.iter().map(|one| one.agent.used().output_tokens).sum();
        prop_assert_eq!(progress.agent.used().output_tokens + live, progress.usage.output_tokens);
    }
}
