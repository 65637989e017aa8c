use nightshift_protocol::{
    CheckpointCause, CheckpointCost, CheckpointId, CommitId, FeedbackSource, PreparingPhase, PullRequestId,
    QueueReason, ToolOutcome,
};
use serde_json::json;

use super::super::tests::{answer, begun_able, finished, fold, intended, last_texts, state};
use super::super::{Action, Intention, next, sandbox_ended};
use super::*;

fn id() -> CheckpointId {
    "checkpoint-0000000001".parse().unwrap()
}

fn saved(cause: CheckpointCause) -> Vec<EventBody> {
    let cost = CheckpointCost { changed_bytes: 1, written_bytes: 1, paused_ms: 1, took_ms: 1 };
    vec![
        EventBody::CheckpointIntended { checkpoint: id(), cause, suspended_for: None },
        EventBody::CheckpointSaved { checkpoint: id(), cause, cost },
    ]
}

/// A turn with one shell command that ran to its end.
fn turn(number: u32) -> Vec<EventBody> {
    let (step, call) = (format!("{number}.1"), format!("call{number}"));
    let input = json!({ "command": format!("echo {number}") });
    vec![
        EventBody::TurnRequested { turn: number },
        answer(number, &[(&call, "shell", input.clone())]),
        intended(&step, &call, "shell", input, None),
        finished(&step, &call, Some(0)),
    ]
}

fn back(reason: String) -> Vec<EventBody> {
    vec![EventBody::RewindIntended { checkpoint: id(), reason }, EventBody::Rewound { checkpoint: id() }]
}

/// The sandbox is lost, and the run goes back.
fn lost() -> Vec<EventBody> {
    back(sandbox_ended("it ran out of memory"))
}

/// Somebody takes the run back.
fn taken_back() -> Vec<EventBody> {
    back("a person asked for it".to_owned())
}

fn restored() -> EventBody {
    let sandbox = "sandbox-0000000000".parse().unwrap();
    EventBody::SandboxRestored { sandbox, checkpoint: id(), took_ms: 300 }
}

fn says(text: &str) -> EventBody {
    EventBody::PersonSaid { text: text.to_owned() }
}

fn said(text: &str) -> String {
    format!("The person who gave you the task writes:\n\n{text}")
}

/// The agent finishes in a turn without an answer to anything, and is refused for this reason.
fn refusal(mut bodies: Vec<EventBody>, turn: u32) -> String {
    bodies.extend([
        restored(),
        EventBody::TurnRequested { turn },
        answer(turn, &[("f", "finish", json!({"title": "Greet", "summary": "It greets."}))]),
    ]);
    match next(&fold(bodies)) {
        Action::AnswerStep { outcome: ToolOutcome::Failed, content, .. } => format!("{content:?}"),
        other => panic!("{other:?}"),
    }
}

/// A checkpoint, and words before and after it.
fn spoken_to() -> Vec<EventBody> {
    let before = [begun_able(), vec![says("Be polite.")], turn(1), saved(CheckpointCause::Steps)];
    let queued = EventBody::MessageQueued { text: "Sign it.".to_owned() };
    let since = [vec![says("Use port 8080.")], turn(2), vec![queued]];
    [before.concat(), since.concat()].concat()
}

#[test]
fn what_people_said_since_is_told_again_when_the_sandbox_is_lost_and_not_when_somebody_goes_back() {
    let road = spoken_to();
    assert_eq!(last_texts(&fold([road.clone(), taken_back()].concat())), [said("Be polite.")]);
    for times in 1..=2 {
        let losses: Vec<EventBody> = (0..times).flat_map(|_| lost()).collect();
        let bodies = [road.clone(), losses].concat();
        let texts = last_texts(&fold(bodies.clone()));
        let [before, loss, since] = texts.as_slice() else { panic!("{texts:?}") };
        assert_eq!((before, since), (&said("Be polite."), &said("Use port 8080.")));
        assert!(loss.starts_with("Note from Nightshift: your sandbox ended"), "{loss}");
        // What was kept for the end is kept again.
        assert!(refusal(bodies, 2).contains("the person wrote to you meanwhile"));
    }
}

#[test]
fn what_a_run_went_back_behind_on_somebody_s_wish_stays_unsaid_when_the_sandbox_is_lost_then() {
    let then = [vec![restored()], turn(2), vec![says("Greet in German.")], lost()].concat();
    let texts = last_texts(&fold([spoken_to(), taken_back(), then].concat()));
    assert_eq!(texts.last(), Some(&said("Greet in German.")));
    assert!(!texts.contains(&said("Use port 8080.")), "{texts:?}");
}

#[test]
fn words_to_a_run_that_is_paused_by_the_loss_are_told_when_it_goes_on() {
    let error = nightshift_protocol::UserError::new(nightshift_protocol::ErrorCode::SandboxFailed, "", "");
    let paused = state(RunState::Paused { reason: PauseReason::Trouble { error } });
    let [intended, rewound] = <[EventBody; 2]>::try_from(lost()).unwrap();
    let mut bodies = [spoken_to(), vec![intended, paused, rewound]].concat();
    assert_eq!(next(&fold(bodies.clone())), Action::AwaitPerson);
    bodies.push(state(RunState::Working));
    assert_eq!(last_texts(&fold(bodies)).last(), Some(&said("Use port 8080.")));
}

/// The agent asks in a turn, with `saved` before the person answers.
fn asked_and_answered(turn: u32, saved: Vec<EventBody>) -> Vec<EventBody> {
    let question = "Which port?".to_owned();
    let asks = vec![
        EventBody::TurnRequested { turn },
        answer(turn, &[("q", "ask", json!({ "question": question }))]),
        state(RunState::Waiting { question, approval: None }),
    ];
    let answered = vec![says("8080"), state(RunState::Working), finished(&format!("{turn}.1"), "q", None)];
    [asks, saved, answered].concat()
}

#[test]
fn a_question_that_was_answered_before_the_sandbox_was_lost_is_not_asked_again() {
    let answered = asked_and_answered(1, saved(CheckpointCause::Asked));
    let progress = fold([begun_able(), answered, turn(2), lost(), vec![restored()]].concat());
    let Action::AnswerStep { content, .. } = next(&progress) else { panic!("{:?}", next(&progress)) };
    let content = format!("{content:?}");
    assert!(content.contains("8080") && !content.contains("You had asked"), "{content}");
}

#[test]
fn a_question_that_was_shown_and_answered_since_it_was_saved_is_not_asked_again() {
    let (command, question) = (json!({ "command": "ss -l" }), "Which port?".to_owned());
    let step = vec![
        EventBody::TurnRequested { turn: 1 },
        answer(1, &[("a", "shell", command.clone()), ("q", "ask", json!({ "question": question }))]),
        intended("1.1", "a", "shell", command, None),
        finished("1.1", "a", Some(0)),
    ];
    let answered = vec![
        state(RunState::Waiting { question, approval: None }),
        says("8080"),
        state(RunState::Working),
        finished("1.2", "q", None),
    ];
    let road = [begun_able(), step, saved(CheckpointCause::Steps), answered, turn(2)].concat();
    let progress = fold([road, lost(), vec![restored()]].concat());
    let Action::AnswerStep { content, .. } = next(&progress) else { panic!("{:?}", next(&progress)) };
    let content = format!("{content:?}");
    assert!(content.contains("8080") && !content.contains("You had asked"), "{content}");
}

#[test]
fn an_answer_to_a_question_that_was_not_asked_yet_is_told_with_the_question() {
    let asked = asked_and_answered(2, Vec::new());
    let before = [begun_able(), turn(1), saved(CheckpointCause::Steps)].concat();
    let texts = last_texts(&fold([before, asked, lost()].concat()));
    assert_eq!(texts.last(), Some(&said("8080\n\n(You had asked: Which port?)")));
}

fn work_finished() -> Vec<EventBody> {
    let end = |text: &str| text.to_owned();
    let head = "c".repeat(40).parse().unwrap();
    let finished =
        EventBody::WorkFinished { title: end("Greet"), summary: end("It greets."), not_verified: end("") };
    let received = EventBody::BranchReceived { branch: end("nightshift/greet-0"), head, commits: 1 };
    vec![finished, state(RunState::Delivering), received]
}

fn in_review() -> Vec<EventBody> {
    let pull_request = PullRequestId(7);
    let sandbox = "sandbox-0000000000".parse().unwrap();
    vec![
        EventBody::PullRequestOpened { pull_request, url: None },
        state(RunState::InReview { pull_request }),
        EventBody::SandboxStopped { sandbox, reason: "the work is delivered".to_owned() },
    ]
}

/// Reviewers ask for changes, and the agent has its sandbox again.
fn asked_for_changes(round: u32, words: &str) -> Vec<EventBody> {
    let source = FeedbackSource::Review { review: 0, author: "ada".to_owned() };
    let item = FeedbackItem { name: format!("f{round}"), source, words: words.to_owned() };
    vec![
        EventBody::FeedbackReceived { round, items: vec![item] },
        state(RunState::Queued { reason: QueueReason::Feedback }),
        state(RunState::Preparing { phase: PreparingPhase::Sandbox }),
        restored(),
        state(RunState::Working),
    ]
}

/// A run whose agent finished in turn 2, which was saved and delivered, and that deals with feedback.
fn reworking() -> Vec<EventBody> {
    let (command, claim) = (json!({"command": "npm test"}), json!({"claim": "So it is.", "step": "1.1"}));
    let end = json!({"title": "Greet", "summary": "It greets."});
    let work = vec![
        EventBody::TurnRequested { turn: 1 },
        answer(1, &[("a", "shell", command.clone()), ("b", "evidence", claim.clone())]),
        intended("1.1", "a", "shell", command, None),
        finished("1.1", "a", Some(0)),
        intended("1.2", "b", "evidence", claim, None),
        finished("1.2", "b", None),
        EventBody::TurnRequested { turn: 2 },
        answer(2, &[("f", "finish", end.clone())]),
        intended("2.1", "f", "finish", end, None),
        finished("2.1", "f", None),
    ];
    let [done, delivering, received] = <[EventBody; 3]>::try_from(work_finished()).unwrap();
    let delivered =
        [vec![done, delivering], saved(CheckpointCause::BeforeDelivery), vec![received], in_review()];
    [begun_able(), work, delivered.concat(), asked_for_changes(1, "Shorter")].concat()
}

#[test]
fn what_reviewers_asked_for_is_dealt_with_although_the_sandbox_is_lost_before_it_was_saved_again() {
    let again = Action::AskModel { turn: 3, intention: Intention::New };
    assert_eq!(next(&fold(reworking())), again);
    let bodies = [reworking(), turn(3), lost(), vec![restored()]].concat();
    let progress = fold(bodies.clone());
    assert_eq!((next(&progress), progress.finished.is_some()), (again, false));
    let texts = last_texts(&progress).join("\n");
    assert!(texts.contains("Shorter") && texts.contains("your sandbox ended"), "{texts}");
    assert!(refusal(bodies, 3).contains("these pieces of feedback have no answer: f1"));
    // Whoever takes it back to its delivery has it delivered.
    let taken_back = fold([reworking(), turn(3), taken_back(), vec![restored()]].concat());
    assert!(matches!(next(&taken_back), Action::FinishWork(_)), "{:?}", next(&taken_back));
}

#[test]
fn the_commit_that_the_work_conflicts_with_is_in_the_sandbox_again_before_the_agent_works() {
    let base: CommitId = "e".repeat(40).parse().unwrap();
    let brought = EventBody::BaseBroughtIn { commit: base.clone() };
    let mut bodies = reworking();
    for body in &mut bodies {
        if let EventBody::FeedbackReceived { items, .. } = body {
            items[0].source = FeedbackSource::Conflict { base: base.clone() };
        }
    }
    bodies.extend([vec![brought.clone()], turn(3), lost(), vec![restored()]].concat());
    assert_eq!(next(&fold(bodies.clone())), Action::BringBase(base));
    bodies.push(brought);
    assert_eq!(next(&fold(bodies)), Action::AskModel { turn: 3, intention: Intention::New });
}

#[test]
fn a_delivery_that_is_lost_behind_feedback_is_work_again() {
    let intends = |back: Vec<EventBody>| {
        let bodies = [reworking(), turn(3), work_finished(), back.into_iter().take(1).collect()].concat();
        fold(bodies).will_have_finished_at(&id())
    };
    assert!(!intends(lost()));
    assert!(intends(taken_back()));
}

#[test]
fn feedback_of_several_rounds_that_were_not_saved_is_dealt_with_as_one() {
    let round = [turn(3), work_finished(), in_review(), asked_for_changes(2, "Longer")].concat();
    let bodies = [reworking(), round, lost()].concat();
    let texts = last_texts(&fold(bodies.clone())).join("\n");
    assert!(texts.contains("(round 2)") && !texts.contains("(round 1)"), "{texts}");
    assert!(texts.contains("Shorter") && texts.contains("Longer"), "{texts}");
    assert!(refusal(bodies, 3).contains("have no answer: f1, f2"));
}

#[test]
fn feedback_reaches_an_agent_that_is_back_at_a_moment_before_it_had_finished() {
    let before = [begun_able(), turn(1), saved(CheckpointCause::Steps)].concat();
    let since = [work_finished(), in_review(), asked_for_changes(1, "Shorter")].concat();
    let progress = fold([before, since, lost(), vec![restored()]].concat());
    assert_eq!(next(&progress), Action::AskModel { turn: 2, intention: Intention::New });
    assert!(last_texts(&progress).join("\n").contains("Shorter"));
}

#[test]
fn a_history_in_which_feedback_was_forgotten_and_the_work_delivered_again_goes_on() {
    let delivered_again = [vec![restored()], work_finished(), in_review()].concat();
    let bodies = [reworking(), turn(3), lost(), delivered_again, asked_for_changes(2, "Longer")].concat();
    let progress = fold(bodies);
    assert_eq!(next(&progress), Action::AskModel { turn: 3, intention: Intention::New });
    assert!(last_texts(&progress).join("\n").contains("Longer"));
}
