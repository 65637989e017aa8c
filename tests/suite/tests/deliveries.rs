//! Work that is delivered to a GitHub on the wire.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod handover;

use nightshift_protocol::{ErrorCode, EventBody, Merge, PauseReason, RunState};
use nightshift_testing::github::{Fault, Token};
use serde_json::{Value, json};
use suite::site::{SiteNight, TOKEN, delivery};
use suite::{assert_exactly_once, names};

fn shell(command: &str) -> Value {
    json!({"tool": "shell", "input": {"command": command}})
}

fn evidence(claim: &str, step: &str) -> Value {
    json!({"tool": "evidence", "input": {"claim": claim, "step": step}})
}

fn finish() -> Value {
    json!({"tool": "finish", "input": {"title": "Add a note", "summary": "There is a second note now."}})
}

/// A command, two clicks that are seen, evidence of all, the end.
fn script(command: &str) -> Value {
    json!({"turns": [
        {"calls": [shell(command)]},
        {"calls": [
            {"tool": "computer", "input": {"action": "left_click", "coordinate": [100, 100]}},
            {"tool": "computer", "input": {"action": "left_click", "coordinate": [200, 100]}},
            evidence("There are two notes.", "1.1"),
            evidence("It was one click.", "2.1"),
            evidence("It is two clicks.", "2.2"),
        ]},
        {"calls": [finish()]},
    ]})
}

const WORK: &str = "echo two >> notes.txt && git commit -qam 'Add a note' && cat notes.txt";

/// The addresses of the pictures in a body.
fn pictures(body: &str) -> Vec<String> {
    body.split("](").skip(1).filter_map(|rest| rest.split(')').next()).map(str::to_owned).collect()
}

async fn resolve(url: &str) -> (u16, Vec<u8>) {
    let answer = suite::site::get(url).await.unwrap();
    (answer.status().as_u16(), answer.bytes().await.unwrap().to_vec())
}

async fn delivered_with(kind: Token) -> SiteNight {
    let site_night = SiteNight::begin_with(script(WORK), kind, delivery()).await;
    let run = site_night.submit("Add a note").await;
    let events = site_night.night.until_in_review(&run).await;
    assert_exactly_once(&events);
    site_night.assert_no_breach();
    site_night
}

#[tokio::test(flavor = "multi_thread")]
async fn the_work_is_a_pull_request_whose_pictures_resolve_and_whose_diff_has_only_the_work() {
    let site_night = delivered_with(Token::Personal).await;
    let site = &site_night.site;
    let opened = site.pull_requests("ada", "notes");
    assert_eq!(opened.len(), 1);
    assert_eq!((opened[0].title.as_str(), opened[0].base.as_str()), ("Add a note", "trunk"));
    assert!(opened[0].labels.contains("nightshift"));
    let urls = pictures(&opened[0].body);
    assert_eq!(urls.len(), 3, "two pictures and the recording: {}", opened[0].body);
    for url in &urls {
        let (status, bytes) = resolve(url).await;
        assert!(
            status == 200 && (bytes.starts_with(b"\x89PNG") || bytes.starts_with(b"GIF8")),
            "{url}: {status}"
        );
    }
    assert_eq!(site.branches("ada", "notes"), [opened[0].head.as_str(), "trunk"]);
    assert_eq!(site.changed_files("ada", "notes", "trunk", &opened[0].head), ["notes.txt"]);
    assert!(!opened[0].body.contains("artifact:") && !opened[0].body.contains(TOKEN));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_right_to_upload_pictures_are_on_a_side_branch_and_in_no_diff() {
    let site_night = delivered_with(Token::Installation).await;
    let site = &site_night.site;
    let opened = &site.pull_requests("ada", "notes")[0];
    for url in pictures(&opened.body) {
        assert!(url.contains("/blob/nightshift-assets/"), "{url}");
        assert_eq!(resolve(&url).await.0, 200, "{url}");
    }
    assert_eq!(site.changed_files("ada", "notes", "trunk", &opened.head), ["notes.txt"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_request_is_merged_and_closed_from_here() {
    let site_night = delivered_with(Token::Personal).await;
    let run = site_night.night.owner.api.runs(&Default::default()).await.unwrap().runs.remove(0).run;
    let merged = site_night.night.owner.api.merge(run.as_str(), Merge::default()).await.unwrap();
    assert_eq!(site_night.site.head("ada", "notes", "trunk"), Some(merged.commit.to_string()));
    assert!(matches!(site_night.night.state(&run).await, RunState::Merged { .. }));
    site_night.assert_no_breach();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_lost_makes_no_second_pull_request() {
    let site_night = SiteNight::begin(script(WORK)).await;
    for operation in ["git/receive-pack", "pulls/create", "issues/add-labels", "attachments/upload"] {
        site_night.site.fail_next(operation, Fault::CutAfterActing, 1);
    }
    let run = site_night.submit("Add a note").await;
    site_night.night.until_in_review(&run).await;
    assert_eq!(site_night.site.pull_requests("ada", "notes").len(), 1);
    assert_eq!(site_night.site.branches("ada", "notes").len(), 2);
    site_night.assert_no_breach();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_may_not_pauses_the_run_and_says_what_to_do() {
    let site_night = SiteNight::begin(script(WORK)).await;
    site_night.site.fail_next("pulls/create", Fault::NoPermission, 1);
    let run = site_night.submit("Add a note").await;
    let RunState::Paused { reason: PauseReason::Trouble { error } } =
        site_night.night.until_paused(&run).await
    else {
        panic!("it paused for another reason");
    };
    assert_eq!(error.code, ErrorCode::ForgeRefused);
    assert!(error.hint.contains("docs/github.md"), "{}", error.hint);
    site_night.night.owner.api.continue_run(run.as_str()).await.unwrap();
    site_night.night.until_in_review(&run).await;
    assert_eq!(site_night.site.pull_requests("ada", "notes").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_recording_is_linked_as_a_video_from_an_attachment_or_the_side_branch() {
    for kind in [Token::Personal, Token::Installation] {
        let settings = nightshift_supervisor::DeliverySettings { video: true, ..delivery() };
        let site_night = SiteNight::begin_with(script(WORK), kind, settings).await;
        let run = site_night.submit("Add a note").await;
        let events = site_night.night.until_in_review(&run).await;
        assert_exactly_once(&events);
        let opened = &site_night.site.pull_requests("ada", "notes")[0];
        let (_, link) = opened.body.split_once("\n[The same as a video (MP4)](").unwrap();
        let (status, bytes) = resolve(link.split(')').next().unwrap()).await;
        assert_eq!((status, bytes.get(4..8)), (200, Some(&b"ftyp"[..])), "{kind:?}");
        assert_eq!(pictures(&opened.body).len(), 4, "{}", opened.body);
        let changed = site_night.site.changed_files("ada", "notes", "trunk", &opened.head);
        assert_eq!(changed, ["notes.txt"], "{kind:?}");
        site_night.assert_no_breach();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_in_the_work_is_not_delivered_and_its_place_is_named() {
    // By pieces: a token that the model writes as a whole is taken out before it is acted on.
    let (begin, end) = TOKEN.split_at(20);
    let planted = format!(
        "printf 'token=%s%s\\n' {begin} {end} > settings.txt && git add -A && git commit -qm Settings"
    );
    let site_night = SiteNight::begin(script(&planted)).await;
    let run = site_night.submit("Add settings").await;
    let RunState::Paused { reason: PauseReason::Trouble { error } } =
        site_night.night.until_paused(&run).await
    else {
        panic!("it paused for another reason");
    };
    assert_eq!(error.code, ErrorCode::DeliveryRefused);
    assert!(
        error.message.contains("settings.txt line 1") && !error.message.contains(TOKEN),
        "{}",
        error.message
    );
    assert_eq!(site_night.site.branches("ada", "notes"), ["trunk"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_a_later_commit_removes_is_not_delivered_either_nor_is_one_in_a_binary_file() {
    let (begin, end) = TOKEN.split_at(20);
    for (planted, place) in [
        (
            format!(
                "printf 'token=%s%s\\n' {begin} {end} > .env && git add -A && git commit -qm Settings && git rm -q .env && \
                 echo two >> notes.txt && git commit -qam 'Keep it out'"
            ),
            ".env, as an earlier commit has it, line 1",
        ),
        (
            format!("printf '\\0\\0%s%s' {begin} {end} > state.db && git add -A && git commit -qm State"),
            "state.db, as an earlier commit has it, line 1",
        ),
    ] {
        let site_night = SiteNight::begin(script(&planted)).await;
        let run = site_night.submit("Add settings").await;
        let RunState::Paused { reason: PauseReason::Trouble { error } } =
            site_night.night.until_paused(&run).await
        else {
            panic!("it paused for another reason");
        };
        assert_eq!(error.code, ErrorCode::DeliveryRefused);
        assert!(error.message.contains(place) && !error.message.contains(TOKEN), "{}", error.message);
        assert_eq!(site_night.site.branches("ada", "notes"), ["trunk"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_command_prints_is_in_no_event_when_it_is_a_secret() {
    let (begin, end) = TOKEN.split_at(20);
    let command = format!("{WORK}; printf 'the token is %s%s\\n' {begin} {end}");
    let site_night = SiteNight::begin(script(&command)).await;
    let run = site_night.submit("Add a note").await;
    let events = site_night.night.until_in_review(&run).await;
    let finished = events.iter().find(|event| matches!(&event.body, EventBody::StepFinished { .. }));
    let text = serde_json::to_string(&finished).unwrap();
    assert!(text.contains("[redacted: GITHUB_TOKEN]") && !text.contains(TOKEN), "{text}");
    assert!(names(&events).contains(&"pullRequestOpened"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_the_model_writes_itself_is_in_no_event() {
    let command = format!("{WORK}; echo {TOKEN} | wc -c");
    let site_night = SiteNight::begin(script(&command)).await;
    let run = site_night.submit(&format!("Add a note. The token is {TOKEN}.")).await;
    let events = site_night.night.until_in_review(&run).await;
    let text = serde_json::to_string(&events).unwrap();
    assert!(text.contains("echo [redacted: GITHUB_TOKEN] | wc -c") && !text.contains(TOKEN), "{text}");
    assert!(!site_night.site.pull_requests("ada", "notes")[0].body.contains(TOKEN));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issue_becomes_a_task_once_and_has_a_link_to_its_pull_request() {
    let issues = nightshift_supervisor::IssueSettings {
        label: Some("nightshift".to_owned()),
        mention: Some("nightshift-bot".to_owned()),
        who: vec!["ada".to_owned()],
        repositories: Vec::new(),
    };
    let settings = nightshift_supervisor::DeliverySettings { issues, ..delivery() };
    let mut site_night = SiteNight::begin_with(script(WORK), Token::Personal, settings).await;
    let issue = |labels: &[&str]| nightshift_testing::github::Issue {
        number: 0,
        title: "Add a note".to_owned(),
        body: "One is not enough.".to_owned(),
        labels: labels.iter().map(|label| (*label).to_owned()).collect(),
        user: "eve".to_owned(),
        association: "NONE".to_owned(),
    };
    let labelled = site_night.site.open_issue("ada", "notes", issue(&["nightshift"]));
    let other = site_night.site.open_issue("ada", "notes", issue(&[]));
    for (user, association) in [("eve", "MEMBER"), ("ada", "NONE")] {
        let comment = nightshift_testing::github::IssueComment {
            id: 0,
            number: other,
            body: "@nightshift-bot do it".to_owned(),
            user: user.to_owned(),
            association: association.to_owned(),
        };
        site_night.site.comment("ada", "notes", comment);
    }
    site_night.delivery.issues.repositories = vec![format!("{}/ada/notes", site_night.site.web_url())];
    site_night.owner_restarts().await;
    site_night.watch().await;
    let mut news = site_night.night.owner.store.subscribe();
    let runs = loop {
        let runs = site_night.night.owner.api.runs(&Default::default()).await.unwrap().runs;
        if !runs.is_empty() {
            break runs;
        }
        let _news = news.recv().await;
    };
    let run = runs[0].run.clone();
    site_night.night.until_in_review(&run).await;
    // A restart and more looks begin nothing again.
    site_night.owner_restarts().await;
    site_night.watch().await;
    let looked = || site_night.site.requests().iter().filter(|one| *one == "issues/list-for-repo").count();
    let before = looked();
    while looked() < before + 3 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let runs = site_night.night.owner.api.runs(&Default::default()).await.unwrap().runs;
    assert_eq!(runs.len(), 1);
    assert_eq!(runs[0].task.description, "Add a note\n\nOne is not enough.");
    let opened = &site_night.site.pull_requests("ada", "notes")[0];
    assert!(opened.body.contains(&format!("Closes #{labelled}")), "{}", opened.body);
    let links = site_night.site.issue_comments("ada", "notes").into_iter();
    let links: Vec<_> = links.filter(|comment| comment.number == labelled).collect();
    assert_eq!(links.len(), 1);
    assert!(links[0].body.starts_with(&format!("#{} is ready for a review.", opened.number)), "{links:?}");
    site_night.assert_no_breach();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_taken_once_with_the_right_signature_and_leads_to_a_look() {
    use nightshift_api::Webhook;
    let secret = nightshift_forge::secrets::Secret::new("It's a Secret to Everybody");
    let poll_every = std::time::Duration::from_secs(3_600);
    let settings =
        nightshift_supervisor::DeliverySettings { webhook_secret: Some(secret), poll_every, ..delivery() };
    let site_night = SiteNight::begin_with(script(WORK), Token::Personal, settings).await;
    let run = site_night.submit("Add a note").await;
    site_night.night.until_in_review(&run).await;
    site_night.watch().await;
    let looked = || site_night.site.requests().iter().filter(|one| *one == "pulls/get").count();
    let patience = std::time::Duration::from_millis(20);
    while looked() == 0 {
        tokio::time::sleep(patience).await;
    }
    let opened = site_night.site.pull_requests("ada", "notes")[0].clone();
    let merged = nightshift_testing::github::PullRequestState::Merged("a".repeat(40));
    site_night.site.settle("ada", "notes", opened.number, merged);
    let body = nightshift_testing::github::webhook_example("pull_request.closed").to_string();
    let signature = suite::site::signature("It's a Secret to Everybody", body.as_bytes());
    let webhook =
        |signature, delivery| Webhook { event: "pull_request", delivery, signature, body: body.as_bytes() };
    let api = &site_night.night.owner.api;
    let refused = |webhook: &Webhook<'_>| api.take_webhook(webhook).unwrap_err().code;
    assert_eq!(refused(&webhook("sha256=00", "1")), ErrorCode::NotAuthorized);
    assert_eq!(api.take_webhook(&webhook(&signature, "1")), Ok(()));
    site_night.night.until_state(&run, "the merge", |state| matches!(state, RunState::Merged { .. })).await;
    assert_eq!(refused(&webhook(&signature, "1")), ErrorCode::Conflict);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issue_that_cannot_be_taken_in_holds_up_no_other() {
    let label = Some("nightshift".to_owned());
    let issues = nightshift_supervisor::IssueSettings { label, ..Default::default() };
    // There is one look only.
    let poll_every = std::time::Duration::from_secs(3_600);
    let settings = nightshift_supervisor::DeliverySettings { issues, poll_every, ..delivery() };
    let mut site_night = SiteNight::begin_with(script(WORK), Token::Personal, settings).await;
    let issue = |title: &str| nightshift_testing::github::Issue {
        number: 0,
        title: title.to_owned(),
        body: String::new(),
        labels: ["nightshift".to_owned()].into(),
        user: "ada".to_owned(),
        association: "MEMBER".to_owned(),
    };
    site_night.site.open_issue("ada", "notes", issue("Add nothing"));
    site_night.site.open_issue("ada", "notes", issue("Add a note"));
    site_night.delivery.issues.repositories = vec![format!("{}/ada/notes", site_night.site.web_url())];
    site_night.owner_restarts().await;
    site_night.site.fail_next("git/upload-pack", Fault::NotFound, 1);
    let mut news = site_night.night.owner.store.subscribe();
    site_night.watch().await;
    let runs = loop {
        let runs = site_night.night.owner.api.runs(&Default::default()).await.unwrap().runs;
        if !runs.is_empty() {
            break runs;
        }
        let _news = news.recv().await;
    };
    assert_eq!(runs[0].task.description, "Add a note");
    site_night.night.until_in_review(&runs[0].run).await;
    assert_eq!(site_night.night.owner.api.runs(&Default::default()).await.unwrap().runs.len(), 1);
}
