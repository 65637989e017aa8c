use nightshift_protocol::{CheckpointCause, CheckpointCost, Message, PauseReason, UserPart};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::next;
use super::super::tests::{answer, begun, finished, fold, intended, last_texts, state};
use super::*;

const ROUNDS: u32 = 2;

fn head() -> CommitId {
    "d".repeat(40).parse().unwrap()
}

/// The events of a run whose task has two criteria, up to where its agent has finished in turns 1 and 2.
fn done() -> Vec<EventBody> {
    let mut bodies = begun();
    let EventBody::RunSubmitted { task, .. } = &mut bodies[0] else { unreachable!() };
    task.criteria = vec!["It greets.".to_owned(), "It is polite.".to_owned()];
    task.self_review_rounds = ROUNDS;
    bodies.extend(work(1));
    bodies
}

fn shell(step: &str, turn: u32) -> Vec<EventBody> {
    let input = json!({"command": format!("echo {turn}")});
    vec![
        EventBody::TurnRequested { turn },
        answer(turn, &[("a", "shell", input.clone())]),
        intended(step, "a", "shell", input, None),
        finished(step, "a", Some(0)),
    ]
}

/// One turn that runs a command and notes it, and one that finishes.
fn work(turn: u32) -> Vec<EventBody> {
    let (step, second) = (format!("{turn}.1"), format!("{turn}.2"));
    let command = json!({"command": "npm test"});
    let claim = |criterion: u32| json!({"claim": "So it is.", "step": step, "criterion": criterion});
    let end = json!({"title": "Greet", "summary": "It greets."});
    let (third, last) = (format!("{turn}.3"), format!("{}.1", turn + 1));
    vec![
        EventBody::TurnRequested { turn },
        answer(
            turn,
            &[("a", "shell", command.clone()), ("b", "evidence", claim(1)), ("c", "evidence", claim(2))],
        ),
        intended(&step, "a", "shell", command, None),
        finished(&step, "a", Some(0)),
        intended(&second, "b", "evidence", claim(1), None),
        finished(&second, "b", None),
        intended(&third, "c", "evidence", claim(2), None),
        finished(&third, "c", None),
        EventBody::TurnRequested { turn: turn + 1 },
        answer(turn + 1, &[("f", "finish", end.clone())]),
        intended(&last, "f", "finish", end, None),
        finished(&last, "f", None),
    ]
}

fn begins(round: u32) -> EventBody {
    let content = vec![UserPart::Text { text: format!("Look, round {round}.") }];
    let message = Message::User { content };
    EventBody::SelfReviewBegun { round, head: head(), system: "You are a critic.".to_owned(), message }
}

/// The critic runs a command in `turn` and judges in the next.
fn judges(turn: u32, second: &str) -> Vec<EventBody> {
    let (step, last) = (format!("{turn}.1"), format!("{}.1", turn + 1));
    let one = |criterion: u32, verdict: &str| json!({"criterion": criterion, "verdict": verdict, "why": "Seen.", "step": step});
    let verdict: Value = json!({"criteria": [one(1, "met"), one(2, second)]});
    let judged = vec![
        EventBody::TurnRequested { turn: turn + 1 },
        answer(turn + 1, &[("v", "verdict", verdict.clone())]),
        intended(&last, "v", "verdict", verdict, None),
        finished(&last, "v", None),
    ];
    [shell(&step, turn), judged].concat()
}

fn ended(bodies: &[EventBody]) -> SelfReview {
    match next(&fold(bodies.to_vec())) {
        Action::EndSelfReview(review) => review,
        other => panic!("{other:?}"),
    }
}

/// The agent's work, and then critics that judge the second criterion so, the agent mending between them.
fn story(seconds: &[&str]) -> (Vec<EventBody>, Vec<SelfReviewOutcome>) {
    let (mut bodies, mut outcomes, mut turn) = (done(), Vec::new(), 3);
    for (round, second) in (1..).zip(seconds) {
        bodies.push(begins(round));
        bodies.extend(judges(turn, second));
        let review = ended(&bodies);
        outcomes.push(review.outcome.clone());
        let back = review.outcome == SelfReviewOutcome::SentBack;
        bodies.push(EventBody::SelfReviewed { review });
        turn += 2;
        if back {
            bodies.extend(work(turn));
            turn += 2;
        }
    }
    (bodies, outcomes)
}

#[test]
fn finished_work_is_looked_at_before_it_is_delivered() {
    assert_eq!(next(&fold(done())), Action::BeginSelfReview(1));
    let mut unreviewed = done();
    let EventBody::RunSubmitted { task, .. } = &mut unreviewed[0] else { unreachable!() };
    task.self_review_rounds = 0;
    assert!(matches!(next(&fold(unreviewed)), Action::FinishWork(_)));
}

#[test]
fn what_is_met_is_delivered_after_one_round() {
    let (bodies, outcomes) = story(&["met"]);
    assert_eq!(outcomes, [SelfReviewOutcome::Passed]);
    let progress = fold(bodies);
    assert!(matches!(next(&progress), Action::FinishWork(_)), "{:?}", next(&progress));
    assert_eq!(progress.self_reviews.list().len(), 1);
    assert!(!progress.self_reviews.is_under_way());
}

#[test]
fn what_cannot_be_verified_is_no_reason_to_send_the_work_back() {
    assert_eq!(story(&["notVerifiable"]).1, [SelfReviewOutcome::Passed]);
}

#[test]
fn what_is_not_met_goes_back_and_is_looked_at_again() {
    let (bodies, outcomes) = story(&["notMet", "met"]);
    assert_eq!(outcomes, [SelfReviewOutcome::SentBack, SelfReviewOutcome::Passed]);
    assert!(matches!(next(&fold(bodies)), Action::FinishWork(_)));
}

#[test]
fn what_is_never_met_is_delivered_with_the_disagreement() {
    let (bodies, outcomes) = story(&["notMet", "notMet"]);
    assert_eq!(outcomes, [SelfReviewOutcome::SentBack, SelfReviewOutcome::Disagreed]);
    let progress = fold(bodies);
    assert!(matches!(next(&progress), Action::FinishWork(_)));
    assert!(progress.self_reviews.list()[1].finds(Verdict::NotMet));
}

#[test]
fn the_agent_goes_on_with_what_was_found_and_a_number_of_its_own() {
    let mut bodies = [done(), vec![begins(1)], judges(3, "notMet")].concat();
    let review = ended(&bodies);
    bodies.push(EventBody::SelfReviewed { review });
    let progress = fold(bodies);
    assert_eq!(next(&progress), Action::AskModel { turn: 5, intention: Intention::New });
    let last = format!("{:?}", progress.agent.conversation().messages.last().unwrap());
    assert!(last.contains("round 1 of 2") && last.contains("2. Seen."), "{last}");
    // Both machines' calls count.
    assert_eq!(progress.agent.used().output_tokens, 40);
    assert_eq!(progress.usage.output_tokens, 40);
}

#[test]
fn what_the_critic_ran_is_not_among_the_commands_of_the_agent() {
    let commands = |bodies| fold(bodies).commands.len();
    assert_eq!(commands(done()), commands([done(), vec![begins(1)], judges(3, "met")].concat()));
}

#[test]
fn a_person_who_writes_breaks_it_off_and_is_heard_by_the_agent() {
    let said = EventBody::PersonSaid { text: "Greet in German.".to_owned() };
    let mut bodies = [done(), vec![begins(1)], shell("3.1", 3), vec![said]].concat();
    let review = ended(&bodies);
    assert_eq!(review.outcome, SelfReviewOutcome::BrokenOff);
    bodies.push(EventBody::SelfReviewed { review });
    let progress = fold(bodies.clone());
    assert_eq!(next(&progress), Action::AskModel { turn: 5, intention: Intention::New });
    let last = format!("{:?}", progress.agent.conversation().messages.last().unwrap());
    assert!(last.contains("Greet in German."), "{last}");
    assert!(progress.self_reviews.list().is_empty());
    // What it then finishes is looked at from the first round on.
    bodies.extend(work(5));
    assert_eq!(next(&fold(bodies)), Action::BeginSelfReview(1));
}

fn takes_over() -> EventBody {
    EventBody::TakenOver { screen: None }
}

fn hands_back() -> EventBody {
    EventBody::HandedBack { summary: "They say: I mended it.".to_owned(), seconds: 3, screen: None }
}

#[test]
fn what_a_person_does_by_hand_while_a_critic_looks_is_not_taken_back_with_what_the_critic_did() {
    let reviewed = [done(), vec![begins(1)], shell("3.1", 3)].concat();
    assert_eq!(fold(reviewed.clone()).self_reviews.put_back_to(), Some(&head()));
    let paused = state(RunState::Paused { reason: PauseReason::Person });
    let by_hand = vec![takes_over(), hands_back()];
    let while_paused = [vec![paused], by_hand.clone(), vec![state(RunState::Working)]].concat();
    for by_hand in [by_hand, while_paused] {
        let mut bodies = [reviewed.clone(), by_hand].concat();
        let review = ended(&bodies);
        assert_eq!(review.outcome, SelfReviewOutcome::BrokenOff);
        assert_eq!(fold(bodies.clone()).self_reviews.put_back_to(), None);
        bodies.push(EventBody::SelfReviewed { review });
        let progress = fold(bodies.clone());
        assert_eq!(next(&progress), Action::AskModel { turn: 5, intention: Intention::New });
        let texts = last_texts(&progress).join("\n");
        assert!(texts.contains("I mended it.") && texts.ends_with(BY_HAND), "{texts}");
        // The next review is one that nobody disturbed.
        bodies.extend([work(5), vec![begins(1)]].concat());
        assert_eq!(fold(bodies).self_reviews.put_back_to(), Some(&head()));
    }
}

#[test]
fn a_review_that_begins_while_a_person_has_the_mouse_takes_nothing_back() {
    let bodies = [done(), vec![takes_over(), begins(1), hands_back()]].concat();
    assert_eq!(fold(bodies.clone()).self_reviews.put_back_to(), None);
    assert_eq!(ended(&bodies).outcome, SelfReviewOutcome::BrokenOff);
}

fn says(text: &str) -> EventBody {
    EventBody::PersonSaid { text: text.to_owned() }
}

/// What a person may do while nobody listens who has begun something.
fn words() -> Vec<Vec<EventBody>> {
    let queued = EventBody::MessageQueued { text: "I mended it.".to_owned() };
    let paused = state(RunState::Paused { reason: PauseReason::Person });
    let while_paused = vec![paused, says("I mended it."), state(RunState::Working)];
    vec![vec![says("I mended it.")], vec![queued], vec![takes_over(), hands_back()], while_paused]
}

#[test]
fn what_a_person_says_before_a_critic_begins_is_read_and_what_the_agent_does_then_is_looked_at() {
    let mut unreviewed = done();
    let EventBody::RunSubmitted { task, .. } = &mut unreviewed[0] else { unreachable!() };
    task.self_review_rounds = 0;
    for (words, reviewed) in words().into_iter().flat_map(|words| [(words.clone(), true), (words, false)]) {
        let mut bodies = [if reviewed { done() } else { unreviewed.clone() }, words].concat();
        let progress = fold(bodies.clone());
        assert_eq!(next(&progress), Action::AskModel { turn: 3, intention: Intention::New });
        assert!(last_texts(&progress).join("\n").contains("I mended it."));
        assert!(!progress.taken_over);
        bodies.extend(work(3));
        let then = next(&fold(bodies));
        let goes_on =
            if reviewed { then == Action::BeginSelfReview(1) } else { matches!(then, Action::FinishWork(_)) };
        assert!(goes_on, "{then:?}");
    }
}

#[test]
fn what_a_person_says_between_a_good_verdict_and_the_delivery_is_read_and_the_work_is_looked_at_anew() {
    for words in words() {
        let mut bodies = [story(&["met"]).0, words].concat();
        let progress = fold(bodies.clone());
        assert_eq!(next(&progress), Action::AskModel { turn: 5, intention: Intention::New });
        assert!(last_texts(&progress).join("\n").contains("I mended it."));
        bodies.extend(work(5));
        assert_eq!(next(&fold(bodies)), Action::BeginSelfReview(1));
    }
}

#[test]
fn a_history_that_goes_on_without_the_words_is_that_of_who_had_finished() {
    for words in words() {
        let mut bodies = [done(), words.clone(), vec![begins(1)], judges(3, "met")].concat();
        let review = ended(&bodies);
        assert_eq!(review.outcome, SelfReviewOutcome::Passed, "{words:?}");
        bodies.push(EventBody::SelfReviewed { review });
        assert!(matches!(next(&fold(bodies.clone())), Action::FinishWork(_)), "{words:?}");
        assert_eq!(fold(bodies.clone()).agent.used().output_tokens, 40);
        // Here too they come between.
        let work_finished = EventBody::WorkFinished {
            title: "Greet".to_owned(),
            summary: "It greets.".to_owned(),
            not_verified: String::new(),
        };
        bodies.extend([words, vec![work_finished]].concat());
        let agent = fold(bodies).agent;
        assert!(
            matches!(agent.outstanding().as_slice(), [Effect::Finish { .. }]),
            "{:?}",
            agent.outstanding()
        );
    }
}

#[test]
fn a_step_that_was_begun_comes_to_its_end_before_the_review_is_broken_off() {
    let input = json!({"command": "npm test"});
    let said = EventBody::PersonSaid { text: "Wait.".to_owned() };
    let begun = vec![
        EventBody::TurnRequested { turn: 3 },
        answer(3, &[("a", "shell", input.clone())]),
        intended("3.1", "a", "shell", input, None),
    ];
    let mut bodies = [done(), vec![begins(1)], begun, vec![said]].concat();
    assert!(matches!(next(&fold(bodies.clone())), Action::RunStep { intention: Intention::Open(None), .. }));
    bodies.push(finished("3.1", "a", Some(0)));
    assert_eq!(ended(&bodies).outcome, SelfReviewOutcome::BrokenOff);
}

#[test]
fn what_is_kept_for_the_end_waits_for_the_verdict_and_then_comes_first() {
    let queued = EventBody::MessageQueued { text: "Sign it.".to_owned() };
    let mut bodies = [done(), vec![begins(1), queued], judges(3, "met")].concat();
    let review = ended(&bodies);
    assert_eq!(review.outcome, SelfReviewOutcome::Passed);
    bodies.push(EventBody::SelfReviewed { review });
    assert_eq!(next(&fold(bodies)), Action::AskModel { turn: 5, intention: Intention::New });
}

#[test]
fn a_critic_that_comes_to_no_verdict_holds_nothing_up() {
    let silent = (3..=6).flat_map(|turn| [EventBody::TurnRequested { turn }, answer(turn, &[])]);
    let mut bodies = [done(), vec![begins(1)], silent.collect()].concat();
    let review = ended(&bodies);
    assert!(matches!(review.outcome, SelfReviewOutcome::NoVerdict { .. }), "{review:?}");
    bodies.push(EventBody::SelfReviewed { review });
    assert!(matches!(next(&fold(bodies)), Action::FinishWork(_)));
}

#[test]
fn a_run_that_goes_back_into_a_review_has_its_critic_again() {
    let checkpoint: nightshift_protocol::CheckpointId = "checkpoint-0000000001".parse().unwrap();
    let cost = CheckpointCost { changed_bytes: 1, written_bytes: 1, paused_ms: 1, took_ms: 1 };
    let cause = CheckpointCause::Steps;
    let saved = vec![
        EventBody::CheckpointIntended { checkpoint: checkpoint.clone(), cause, suspended_for: None },
        EventBody::CheckpointSaved { checkpoint: checkpoint.clone(), cause, cost },
    ];
    let mut bodies = [done(), vec![begins(1)], shell("3.1", 3), saved, judges(4, "met")].concat();
    let review = ended(&bodies);
    bodies.push(EventBody::SelfReviewed { review });
    bodies.push(EventBody::RewindIntended {
        checkpoint: checkpoint.clone(),
        reason: "A person asked.".to_owned(),
    });
    bodies.push(EventBody::Rewound { checkpoint });
    let progress = fold(bodies);
    assert!(progress.self_reviews.is_under_way());
    assert!(progress.self_reviews.list().is_empty());
    assert!(matches!(progress.agent.outstanding().as_slice(), [Effect::AskModel { turn: 4 }]));
}

proptest! {
    /// Whatever critics find, every road ends in a delivery, with no more rounds than there may be.
    #[test]
    fn every_road_leads_to_a_delivery(seconds in prop::collection::vec(prop::sample::select(vec!["met", "notMet", "notVerifiable"]), ROUNDS as usize)) {
        // Rounds after a good one are not begun.
        let good = seconds.iter().position(|second| *second != "notMet");
        let seconds = &seconds[..good.map_or(seconds.len(), |good| good + 1)];
        let (bodies, outcomes) = story(seconds);
        let progress = fold(bodies);
        prop_assert!(matches!(next(&progress), Action::FinishWork(_)));
        prop_assert!(outcomes.len() <= ROUNDS as usize);
        let sent_back = outcomes.iter().filter(|outcome| **outcome == SelfReviewOutcome::SentBack).count();
        prop_assert_eq!(sent_back, outcomes.len() - 1);
        prop_assert_eq!(progress.self_reviews.list().len(), outcomes.len());
    }
}
