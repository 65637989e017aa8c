//! What people and checks say about a pull request comes back to its run: on this machine, and from a GitHub on the wire.

use nightshift_protocol::{
    AskForChanges, DiffSide, ErrorCode, Event, EventBody, Merge, NewComment, PauseReason, QueueReason,
    RemarkState, RunId, RunState,
};
use nightshift_supervisor::DeliverySettings;
use nightshift_testing::github::{CheckRun, IssueComment, PullRequestState, Token};
use serde_json::{Value, json};
use suite::site::{SiteNight, delivery};
use suite::{Night, assert_exactly_once, evidence, finish, names, shell};

/// Turns of a round: a commit, and an end that answers the feedback of these names.
fn round(number: u32, answers: &[(&str, bool)]) -> Vec<Value> {
    let answers: Vec<Value> = answers
        .iter()
        .map(|(name, settled)| json!({"name": name, "words": format!("Answer to {name}."), "settled": settled}))
        .collect();
    // Of runs that commit the same within one second no two commits are the same.
    let work =
        format!("echo round {number} >> notes.txt && git commit -qam 'Round {number}' -m \"In shell $$.\"");
    let mut end = finish("Add a note");
    if !answers.is_empty() {
        end["input"]["answers"] = Value::Array(answers);
        end["input"]["summary"] = json!(format!("As asked in round {number}."));
    }
    vec![json!({"calls": [shell(&work), evidence("It is there.", "1.1")]}), json!({"calls": [end]})]
}

fn script(rounds: &[&[(&str, bool)]]) -> Value {
    let numbered = (0..).zip(rounds.iter().copied());
    json!({ "turns": numbered.flat_map(|(number, answers)| round(number, answers)).collect::<Vec<_>>() })
}

fn comment(line: u64, words: &str) -> NewComment {
    let (path, words) = ("notes.txt".to_owned(), words.to_owned());
    NewComment { path, line, side: DiffSide::After, quote: "round 0".to_owned(), words }
}

/// Waits until a run was delivered so many times and is in review.
async fn in_review(night: &Night, run: &RunId, times: usize) -> Vec<Event> {
    let reviewed =
        |event: &&Event| matches!(&event.body, EventBody::StateChanged { state: RunState::InReview { .. } });
    let enough = |events: &[Event]| events.iter().filter(reviewed).count() >= times;
    let events = night.until(run, &format!("delivery {times}"), enough).await;
    night.assert_no_breach();
    events
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_that_are_asked_for_come_back_to_the_same_run_and_are_delivered_again() {
    let night = Night::begin(script(&[&[], &[("f1", true), ("f2", false), ("f3", true)]])).await;
    let run = night.submit("Add a note").await;
    in_review(&night, &run, 1).await;
    let api = &night.owner.api;
    let before = api.pull_request(run.as_str()).await.unwrap();
    api.comment(run.as_str(), comment(2, "Say which round.")).await.unwrap();
    api.comment(run.as_str(), comment(1, "Is this line needed?")).await.unwrap();
    let ask = AskForChanges { words: "Shorter, please.".to_owned(), comments: Vec::new() };
    let asked = api.ask_for_changes(run.as_str(), ask).await.unwrap();
    assert!(asked.remarks.iter().all(|remark| remark.state == RemarkState::Asked), "{:?}", asked.remarks);

    let events = in_review(&night, &run, 2).await;
    assert_exactly_once(&events);
    let after = api.pull_request(run.as_str()).await.unwrap();
    let remarks: Vec<_> = after
        .remarks
        .iter()
        .map(|remark| {
            (remark.feedback.name.as_str(), remark.state, remark.answer.as_deref().unwrap_or_default())
        })
        .collect();
    use RemarkState::{Answered, Resolved};
    assert_eq!(
        remarks,
        [
            ("f1", Resolved, "Answer to f1."),
            ("f2", Answered, "Answer to f2."),
            ("f3", Resolved, "Answer to f3."),
        ]
    );
    assert_ne!(after.summary.head, before.summary.head);
    assert_eq!((after.summary.number, after.commits.len()), (before.summary.number, 2));
    assert!(after.body.contains("As asked in round 1.") && !before.body.contains("As asked in round 1."));
    // The sandboxes of this bench cannot be saved, so the agent was told that it is in a new one.
    let told = night
        .model
        .requests()
        .iter()
        .any(|request| request.body.to_string().contains("This is a new one: your branch"));
    assert!(told, "the agent was not told of its new sandbox");
    // What was reviewed before the agent went back to it is not what would be merged now.
    let merge = |head| api.merge(run.as_str(), Merge { head: Some(head) });
    assert_eq!(merge(before.summary.head.clone()).await.unwrap_err().code, ErrorCode::Conflict);
    assert!(matches!(night.state(&run).await, RunState::InReview { .. }));
    merge(after.summary.head.clone()).await.unwrap();
    assert!(matches!(night.state(&run).await, RunState::Merged { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_ends_while_the_agent_deals_with_feedback_loses_and_repeats_nothing() {
    let mut night = Night::begin(script(&[&[], &[("f1", true)]])).await;
    let run = night.submit("Add a note").await;
    in_review(&night, &run, 1).await;
    let ask = AskForChanges { words: "Again.".to_owned(), comments: Vec::new() };
    night.owner.api.ask_for_changes(run.as_str(), ask).await.unwrap();
    let step = |events: &[Event]| names(events).iter().filter(|name| **name == "turnRequested").count() >= 3;
    night.until(&run, "the second round's first call", step).await;
    night.owner_restarts().await;
    let events = in_review(&night, &run, 2).await;
    assert_exactly_once(&events);
    assert_eq!(names(&events).iter().filter(|name| **name == "feedbackReceived").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn wishes_that_make_no_sense_are_refused_with_what_to_do() {
    let night = Night::begin(script(&[&[]])).await;
    let run = night.submit("Add a note").await;
    in_review(&night, &run, 1).await;
    let api = &night.owner.api;
    let nothing = api.ask_for_changes(run.as_str(), AskForChanges::default()).await.unwrap_err();
    assert_eq!((nothing.code, nothing.message.as_str()), (ErrorCode::InvalidRequest, "nothing is asked for"));
    let elsewhere = NewComment { path: "other.txt".to_owned(), ..comment(1, "Why?") };
    let elsewhere = api.comment(run.as_str(), elsewhere).await.unwrap_err();
    assert_eq!(elsewhere.hint, "Lines count from 1, and it changes notes.txt.");
    let beyond = api.comment(run.as_str(), comment(400, "Why?")).await.unwrap_err();
    assert_eq!(beyond.message, "notes.txt has no line 400 after the work: it has 2");
    let before = NewComment { side: DiffSide::Before, ..comment(2, "Why?") };
    let before = api.comment(run.as_str(), before).await.unwrap_err();
    assert_eq!(before.message, "notes.txt has no line 2 before the work: it has 1");
    let kept = api.comment(run.as_str(), comment(1, "Why?")).await.unwrap();
    let name = kept.remarks[0].feedback.name.clone();
    assert_eq!(api.withdraw_comment(run.as_str(), &name).await.unwrap().remarks, []);
    assert_eq!(api.withdraw_comment(run.as_str(), &name).await.unwrap_err().code, ErrorCode::Conflict);
    let cancelled = api.cancel(run.as_str()).await.unwrap_err();
    assert_eq!(cancelled.message, "its pull request #1 is open");
    assert!(api.approve(run.as_str(), "Good.").await.unwrap().approved);
}

#[tokio::test(flavor = "multi_thread")]
async fn work_that_conflicts_is_merged_with_the_base_branch_by_the_agent() {
    let merge = "git merge -q refs/nightshift/base || true; printf 'one\\nround 0\\nthree\\n' > notes.txt && git commit -qam Merge";
    let answer = |name: &str| json!({"name": name, "words": "Merged.", "settled": true});
    let answers = [answer("f1"), answer("f2")];
    let end =
        json!({"tool": "finish", "input": {"title": "Add a note", "summary": "Merged.", "answers": answers}});
    let mut turns = round(0, &[]);
    turns.push(json!({"calls": [shell(merge), evidence("Both are there.", "3.1")]}));
    turns.push(json!({"calls": [end]}));
    let script = json!({ "turns": turns });
    let night = Night::begin(script).await;
    let run = night.submit("Add a note").await;
    in_review(&night, &run, 1).await;
    let repository = night.repository();
    std::fs::write(repository.join("notes.txt"), "one\nthree\n").unwrap();
    suite::git(&repository, &["commit", "-qam", "Three"]);
    // Another task brings the new commit here; it is given up at once.
    let other = night.submit("Something else").await;
    night.owner.api.cancel(other.as_str()).await.unwrap();
    assert!(night.owner.api.merge(run.as_str(), Merge::default()).await.is_err());
    let ask = AskForChanges { words: "Resolve the conflict.".to_owned(), comments: Vec::new() };
    night.owner.api.ask_for_changes(run.as_str(), ask).await.unwrap();
    let events = in_review(&night, &run, 2).await;
    assert!(names(&events).contains(&"baseBroughtIn"));
    // Only the run's own change is in the diff, and it can be merged.
    let diff = night.owner.api.diff(run.as_str(), None).await.unwrap();
    assert!(diff.contains("+round 0") && !diff.contains("+three"), "{diff}");
    night.owner.api.merge(run.as_str(), Merge::default()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_stays_queued_while_as_many_reviews_wait_as_may_and_begins_when_one_is_decided() {
    let settings = DeliverySettings { review_limit: Some(1), ..delivery() };
    let mut night = SiteNight::begin_with(script(&[&[], &[]]), Token::Personal, settings).await;
    let first = night.submit("Add a note").await;
    in_review(&night.night, &first, 1).await;
    let second = night.submit("Add another note").await;
    let held = RunState::Queued { reason: QueueReason::ReviewLimit { limit: 1 } };
    night.night.until_state(&second, "the limit", |state| *state == held).await;
    // An owner that comes after holds it back as well.
    night.owner_restarts().await;
    let api = &night.night.owner.api;
    let queue = api.review_queue().await.unwrap();
    assert_eq!((queue.limit, queue.waiting, queue.held_back), (Some(1), 1, 1));
    assert_eq!(queue.entries.iter().map(|entry| &entry.pull_request.run).collect::<Vec<_>>(), [&first]);
    assert_eq!(night.night.state(&second).await, held);

    api.merge(first.as_str(), Merge::default()).await.unwrap();
    in_review(&night.night, &second, 1).await;
    assert_eq!(api.review_queue().await.unwrap().held_back, 0);
    night.assert_no_breach();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_reviewers_sent_back_goes_on_although_the_limit_is_reached() {
    let settings = DeliverySettings { review_limit: Some(1), ..delivery() };
    let night = SiteNight::begin_with(script(&[&[], &[("f1", true)]]), Token::Personal, settings).await;
    let run = night.submit("Add a note").await;
    in_review(&night.night, &run, 1).await;
    let ask = AskForChanges { words: "Again.".to_owned(), comments: Vec::new() };
    night.night.owner.api.ask_for_changes(run.as_str(), ask).await.unwrap();
    let events = in_review(&night.night, &run, 2).await;
    assert!(!format!("{events:?}").contains("ReviewLimit"));
    // Both rounds wrote a line: of the two that are there now, one is new.
    let summary = night.night.owner.store.run(&run).await.unwrap().unwrap();
    let delivered = summary.reviewing.delivered.unwrap();
    assert_eq!((delivered.files, delivered.added, delivered.reworked_percent), (1, 2, 50));
    assert_eq!(summary.reviewing.rounds, 1);
}

fn failed_check(sha: &str) -> CheckRun {
    let (name, conclusion) = ("test".to_owned(), Some("failure".to_owned()));
    CheckRun { id: 0, sha: sha.to_owned(), name, conclusion, summary: "1 of 9 failed".to_owned() }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_rounds_of_comments_are_answered_in_their_threads_and_the_third_failure_goes_to_a_person() {
    let all: &[&[(&str, bool)]] = &[
        &[],
        &[("f1", true), ("f2", true), ("f3", true), ("f4", true)],
        &[("f5", true), ("f6", true), ("f7", true)],
        &[("f8", false), ("f9", true)],
    ];
    let night = SiteNight::begin(script(all)).await;
    let run = night.submit("Add a note").await;
    in_review(&night.night, &run, 1).await;
    let number = night.site.pull_requests("ada", "notes")[0].number;
    let place = ("ada", "notes", number);
    let head = |night: &SiteNight| {
        let branch = night.site.pull_requests("ada", "notes")[0].head.clone();
        night.site.head("ada", "notes", &branch).unwrap()
    };
    // One look sees all of a round, because the owner begins to look when it is all there.
    let comments = [("notes.txt", 1, "Why?"), ("notes.txt", 2, "Shorter.")];
    let first = night.site.review(place, "ada", "CHANGES_REQUESTED", "Two things.", &comments);
    night.site.check("ada", "notes", failed_check(&head(&night)));
    night.watch().await;
    in_review(&night.night, &run, 2).await;
    night.unwatch().await;
    let second = night.site.review(place, "ada", "COMMENTED", "", &[("notes.txt", 3, "And this?")]);
    night.site.comment(
        "ada",
        "notes",
        IssueComment {
            id: 0,
            number,
            body: "Please rebase.".to_owned(),
            user: "bob".to_owned(),
            association: "MEMBER".to_owned(),
        },
    );
    night.site.check("ada", "notes", failed_check(&head(&night)));
    night.watch().await;
    in_review(&night.night, &run, 3).await;
    night.unwatch().await;
    let third =
        night.site.review(place, "ada", "CHANGES_REQUESTED", "Almost.", &[("notes.txt", 1, "Still: why?")]);
    // A crash right after an answer was posted finds it.
    night.site.fail_next(
        "pulls/create-reply-for-review-comment",
        nightshift_testing::github::Fault::CutAfterActing,
        1,
    );
    night.watch().await;
    in_review(&night.night, &run, 4).await;

    for (comment, name) in first.iter().chain(&second).chain(&third).zip(["f1", "f2", "f5", "f8"]) {
        let replies: Vec<_> = night
            .site
            .review_comments("ada", "notes")
            .into_iter()
            .filter(|reply| reply.in_reply_to == Some(*comment))
            .map(|reply| reply.body.split("\n\n").next().unwrap_or_default().to_owned())
            .collect();
        assert_eq!(replies, [format!("Answer to {name}.")], "thread {comment}");
    }
    let resolved = [first[0], first[1], second[0]];
    assert_eq!(night.site.resolved_threads("ada", "notes"), resolved);
    assert_eq!(night.site.pull_requests("ada", "notes").len(), 1);
    assert!(night.site.pull_requests("ada", "notes")[0].body.contains("As asked in round 3."));

    night.site.check("ada", "notes", failed_check(&head(&night)));
    let RunState::Paused { reason: PauseReason::Trouble { error } } = night.night.until_paused(&run).await
    else {
        panic!("it paused for another reason");
    };
    assert_eq!(error.message, "checks fail, and the agent tried 2 times: test");
    let events = night.night.events(&run).await;
    assert_exactly_once(&events);
    night.assert_no_breach();
    // A person decides: it is merged there, and the run ends.
    night.site.settle("ada", "notes", number, PullRequestState::Merged(head(&night)));
    night.night.until_state(&run, "the merge", |state| matches!(state, RunState::Merged { .. })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_call_nobody_and_are_given_although_a_stranger_wrote_their_marks() {
    let said = "@dependabot merge\n/approve ![x](https://evil.example/a.png)";
    let answer = |name: &str| json!({"name": name, "words": said, "settled": false});
    let mut end = finish("Add a note");
    end["input"]["answers"] = json!([answer("f1"), answer("f2")]);
    let mut turns = round(0, &[]);
    turns.extend([round(1, &[])[0].clone(), json!({"calls": [end]})]);
    let night = SiteNight::begin(json!({ "turns": turns })).await;
    let run = night.submit("Add a note").await;
    in_review(&night.night, &run, 1).await;
    let number = night.site.pull_requests("ada", "notes")[0].number;
    let place = ("ada", "notes", number);
    let thread = night.site.review(place, "ada", "COMMENTED", "", &[("notes.txt", 1, "Why?")])[0];
    let mark = |name: &str| format!("<!-- nightshift {run} {name} -->");
    night.site.answer("ada", "notes", thread, "eve", &mark("f1"));
    for (user, association, body) in [("eve", "NONE", mark("f2")), ("bob", "MEMBER", "Rebase.".to_owned())] {
        let (user, association) = (user.to_owned(), association.to_owned());
        night.site.comment("ada", "notes", IssueComment { id: 0, number, body, user, association });
    }
    night.watch().await;
    let events = in_review(&night.night, &run, 2).await;
    assert_exactly_once(&events);

    let words = "@&#8203;dependabot merge\n\n\\/approve \\!\\[x\\](https\\://evil.example/a.png)";
    let ours = |user: &str| user == "nightshift-bot";
    let replies = night.site.review_comments("ada", "notes").into_iter();
    let replies: Vec<_> = replies.filter(|one| ours(&one.user)).map(|one| one.body).collect();
    assert_eq!(replies, [format!("{words}\n\n{}", mark("f1"))]);
    let comments = night.site.issue_comments("ada", "notes").into_iter();
    let comments: Vec<_> = comments.filter(|one| ours(&one.user)).map(|one| one.body).collect();
    assert_eq!(comments, [format!("@bob {words}\n\n{}", mark("f2"))]);
    night.assert_no_breach();
}
