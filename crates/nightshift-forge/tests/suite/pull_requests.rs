//! Pull requests from opening to merging.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::fs;

use nightshift_forge::{
    Identity, MergeError, Mergeable, PullRequest, PullRequestError, PullRequestFilter, PullRequestState,
    Repository, Revision, StateFilter, TransitionRefused,
};
use nightshift_protocol::{CommitId, PullRequestId};

use crate::support::{Bench, Work, at, branch, contents};

fn ada() -> Identity {
    Identity { name: "Ada <Lovelace>\n".to_owned(), email: "ada@example.org".to_owned() }
}

/// A run that changes one file, delivered.
async fn delivered(bench: &Bench, run: u32, path: &str, content: &str) -> (Work, CommitId) {
    let sandbox = bench.sandbox(&format!("sandbox-{run}"), &branch(run)).await;
    let head = sandbox.commit(path, content);
    bench.receive(&sandbox, &branch(run)).await;
    (sandbox, head)
}

async fn opened(bench: &Bench, run: u32, path: &str, content: &str) -> (Repository, PullRequest) {
    let (_, head) = delivered(bench, run, path, content).await;
    let repository = bench.forge.repository(&bench.person.source());
    let new = bench.new_pull_request(&branch(run), &head, run);
    let pull_request = repository.open_pull_request(new, at(0)).await.unwrap();
    (repository, pull_request)
}

fn in_bare(bench: &Bench, repository: &Repository, arguments: &[&str]) -> String {
    let bare = repository.bare_repository();
    bench.person.git(&[&["-C", bare.to_str().unwrap()], arguments].concat())
}

#[tokio::test]
async fn opening_with_the_same_key_gives_the_same_pull_request() {
    let bench = Bench::new().await;
    let (repository, opened) = opened(&bench, 1, "a.txt", "a").await;
    assert_eq!((opened.id, opened.generation), (PullRequestId(1), 1));
    let again = bench.new_pull_request(&branch(1), &bench.person.head(), 1);
    assert_eq!(repository.open_pull_request(again, at(9)).await.unwrap(), opened);
    assert_eq!(repository.pull_request(opened.id).await.unwrap(), opened);
    let missing = repository.pull_request(PullRequestId(2)).await.unwrap_err();
    assert!(matches!(missing, PullRequestError::NotFound(PullRequestId(2))));
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_have_no_gaps_however_many_are_opened_at_once() {
    let bench = Bench::new().await;
    bench.imported().await;
    let openings = (0..24_u32).map(|number| {
        // Each key twice, through handles that know nothing of each other.
        let repository = bench.forge.repository(&bench.person.source());
        let new = bench.new_pull_request(&branch(number / 2), &bench.person.head(), number / 2);
        tokio::spawn(async move { repository.open_pull_request(new, at(0)).await.unwrap().id.0 })
    });
    let mut numbers = Vec::new();
    for opening in openings.collect::<Vec<_>>() {
        numbers.push(opening.await.unwrap());
    }
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers, (1..=12).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_pull_request_shows_its_diff_its_files_and_its_commits() {
    let bench = Bench::new().await;
    let (repository, pull_request) = opened(&bench, 1, "README.md", "one\ntwo\n").await;
    let diff = repository.diff(&pull_request, 10_000).await.unwrap();
    assert!(diff.text.ends_with("@@ -1 +1,2 @@\n one\n+two\n") && !diff.cut, "{}", diff.text);
    let cut = repository.diff(&pull_request, 20).await.unwrap();
    assert_eq!((cut.text.len(), cut.cut), (20, true));
    let files = repository.diff_stat(&pull_request).await.unwrap();
    assert_eq!(
        files.iter().map(|file| (file.path.as_str(), file.size())).collect::<Vec<_>>(),
        [("README.md", 1)]
    );
    let commits = repository.commits(&pull_request).await.unwrap();
    let facts: Vec<_> =
        commits.iter().map(|commit| (&commit.id, commit.title.as_str(), commit.author.as_str())).collect();
    assert_eq!(facts, [(&pull_request.head, "Change README.md", "Ada")]);
}

#[tokio::test]
async fn a_merge_joins_both_sides_and_deletes_nothing() {
    let bench = Bench::new().await;
    let (repository, first) = opened(&bench, 1, "a.txt", "a").await;
    let (_, second) = opened(&bench, 2, "b.txt", "b").await;
    assert_eq!(repository.mergeable(&first).await.unwrap(), Mergeable::Clean);
    let before = contents(&bench.person.folder);
    repository.merge(first.id, None, &ada(), at(1)).await.unwrap();
    let merged = repository.merge(second.id, None, &ada(), at(2)).await.unwrap();

    let main = "main".parse().unwrap();
    assert_eq!(repository.branch_head(&main).await.unwrap(), Some(merged.commit.clone()));
    assert_eq!(in_bare(&bench, &repository, &["ls-tree", "--name-only", "main"]), "README.md\na.txt\nb.txt");
    let shown = in_bare(&bench, &repository, &["log", "-1", "--format=%an <%ae> %at%n%cn%n%P%n%B", "main"]);
    let parent = in_bare(&bench, &repository, &["rev-parse", "main^1"]);
    let expected = format!(
        "Ada Lovelace <ada@example.org> 1800000002\nAda Lovelace\n{parent} {}\n\
         Merge pull request #2 from {}\n\nAdd dark mode\n\nNightshift-Run: run-0000000002",
        second.head,
        branch(2)
    );
    assert_eq!(shown.trim_end(), expected);
    let state =
        PullRequestState::Merged { commit: merged.commit, by: "Ada <Lovelace>".to_owned(), at: at(2) };
    assert_eq!(
        merged.pull_request,
        PullRequest { state, generation: 2, updated_at: at(2), ..second.clone() }
    );
    assert_eq!(repository.branch_head(&branch(2)).await.unwrap(), Some(second.head));
    assert!(repository.diff(&merged.pull_request, 1000).await.unwrap().text.contains("+b"), "still shown");
    assert_eq!(contents(&bench.person.folder), before);
}

#[tokio::test]
async fn a_merge_with_conflicts_names_the_files_and_changes_nothing() {
    let bench = Bench::new().await;
    let (repository, first) = opened(&bench, 1, "README.md", "one of them\n").await;
    let (_, second) = opened(&bench, 2, "README.md", "the other\n").await;
    repository.merge(first.id, None, &ada(), at(1)).await.unwrap();
    let before = in_bare(&bench, &repository, &["for-each-ref"]);
    let files = vec!["README.md".to_owned()];
    assert_eq!(repository.mergeable(&second).await.unwrap(), Mergeable::Conflict { files: files.clone() });
    let refused = repository.merge(second.id, None, &ada(), at(2)).await.unwrap_err();
    assert!(matches!(refused, MergeError::Conflict { files: found } if found == files));
    assert_eq!(in_bare(&bench, &repository, &["for-each-ref"]), before);
    assert_eq!(repository.pull_request(second.id).await.unwrap(), second);
}

#[tokio::test]
async fn illegal_merges_are_refused_by_name() {
    let bench = Bench::new().await;
    let (repository, pull_request) = opened(&bench, 1, "a.txt", "a").await;
    let id = pull_request.id;
    assert!(matches!(
        repository.merge(PullRequestId(7), None, &ada(), at(1)).await,
        Err(MergeError::NotFound(PullRequestId(7)))
    ));
    repository.close(id, at(1)).await.unwrap();
    assert!(matches!(repository.merge(id, None, &ada(), at(1)).await, Err(MergeError::Closed)));
    let closed = repository.close(id, at(1)).await;
    assert!(matches!(closed, Err(PullRequestError::Refused(TransitionRefused::Closed))));
    repository.reopen(id, at(1)).await.unwrap();
    let merged = repository.merge(id, None, &ada(), at(2)).await.unwrap();
    let again = repository.merge(id, None, &ada(), at(3)).await.unwrap_err();
    assert!(matches!(again, MergeError::AlreadyMerged { commit } if commit == merged.commit));
    assert!(repository.reopen(id, at(3)).await.is_err());

    let (_, other) = opened(&bench, 2, "b.txt", "b").await;
    in_bare(&bench, &repository, &["update-ref", "-d", "refs/heads/main"]);
    let missing = repository.merge(other.id, None, &ada(), at(4)).await;
    assert!(matches!(missing, Err(MergeError::BaseMissing { .. })));
}

#[tokio::test]
async fn work_that_is_not_what_was_reviewed_is_not_merged() {
    let bench = Bench::new().await;
    let (repository, pull_request) = opened(&bench, 1, "a.txt", "a").await;
    let reviewed = "0".repeat(40).parse().unwrap();
    let refused = repository.merge(pull_request.id, Some(&reviewed), &ada(), at(1)).await.unwrap_err();
    assert!(matches!(refused, MergeError::Changed { newest } if newest == pull_request.head));
    assert_eq!(repository.pull_request(pull_request.id).await.unwrap(), pull_request);
    repository.merge(pull_request.id, Some(&pull_request.head), &ada(), at(2)).await.unwrap();
}

#[tokio::test]
async fn a_merge_cut_off_before_its_record_is_finished_and_not_repeated() {
    let bench = Bench::new().await;
    let (repository, pull_request) = opened(&bench, 1, "a.txt", "a").await;
    let record = repository.bare_repository().with_extension("pulls").join("1.json");
    let unmerged = fs::read(&record).unwrap();
    let merged = repository.merge(pull_request.id, None, &ada(), at(1)).await.unwrap();
    // As if the process had ended between the branch and the record; then somebody merged something else.
    fs::write(&record, unmerged).unwrap();
    let (_, other) = opened(&bench, 2, "b.txt", "b").await;
    let other = repository.merge(other.id, None, &ada(), at(2)).await.unwrap();
    let again = repository.merge(pull_request.id, None, &ada(), at(3)).await.unwrap();
    assert_eq!(again.commit, merged.commit);
    let main = "main".parse().unwrap();
    assert_eq!(repository.branch_head(&main).await.unwrap(), Some(other.commit));
}

#[tokio::test]
async fn a_branch_that_cannot_be_moved_leaves_the_pull_request_open() {
    let bench = Bench::new().await;
    let (repository, pull_request) = opened(&bench, 1, "a.txt", "a").await;
    let lock = repository.bare_repository().join("refs/heads/main.lock");
    fs::write(&lock, "").unwrap();
    let failed = repository.merge(pull_request.id, None, &ada(), at(1)).await.unwrap_err();
    assert!(matches!(failed, MergeError::Git(_)), "{failed}");
    assert_eq!(repository.pull_request(pull_request.id).await.unwrap(), pull_request);
    fs::remove_file(lock).unwrap();
    repository.merge(pull_request.id, None, &ada(), at(2)).await.unwrap();
}

#[tokio::test]
async fn new_work_is_recorded_once_and_only_while_open() {
    let bench = Bench::new().await;
    let (repository, pull_request) = opened(&bench, 1, "a.txt", "a").await;
    let head: CommitId = "b".repeat(40).parse().unwrap();
    let base_commit: CommitId = "c".repeat(40).parse().unwrap();
    let (body, evidence) = ("Better.".to_owned(), Vec::new());
    let revision = Revision { head: head.clone(), base_commit: base_commit.clone(), body, evidence };
    let revised = repository.revise(pull_request.id, revision.clone(), at(1)).await.unwrap();
    let expected = PullRequest {
        head,
        base_commit,
        body: "Better.".to_owned(),
        generation: 2,
        updated_at: at(1),
        ..pull_request.clone()
    };
    assert_eq!(revised, expected);
    assert_eq!(repository.revise(pull_request.id, revision.clone(), at(2)).await.unwrap(), expected);
    repository.close(pull_request.id, at(3)).await.unwrap();
    assert!(repository.revise(pull_request.id, revision, at(4)).await.is_err());
}

#[tokio::test]
async fn pull_requests_are_listed_newest_first_by_state_and_run() {
    let bench = Bench::new().await;
    let (repository, _) = opened(&bench, 1, "a.txt", "a").await;
    for run in 2..=4 {
        opened(&bench, run, &format!("{run}.txt"), "x").await;
    }
    repository.merge(PullRequestId(2), None, &ada(), at(1)).await.unwrap();
    repository.close(PullRequestId(3), at(1)).await.unwrap();
    let numbers = async |filter: PullRequestFilter| -> Vec<u64> {
        repository.pull_requests(&filter).await.unwrap().iter().map(|found| found.id.0).collect()
    };
    let with = |state| PullRequestFilter { state, run: None };
    assert_eq!(numbers(with(StateFilter::All)).await, [4, 3, 2, 1]);
    assert_eq!(numbers(with(StateFilter::Open)).await, [4, 1]);
    assert_eq!(numbers(with(StateFilter::Merged)).await, [2]);
    assert_eq!(numbers(with(StateFilter::Closed)).await, [3]);
    let run = "run-0000000004".parse().ok();
    assert_eq!(numbers(PullRequestFilter { state: StateFilter::All, run }).await, [4]);
}

#[tokio::test]
async fn the_newest_are_read_and_older_ones_are_not_even_opened() {
    let bench = Bench::new().await;
    let (repository, _) = opened(&bench, 1, "a.txt", "a").await;
    for run in 2..=12 {
        repository
            .open_pull_request(
                bench.new_pull_request(&branch(run), &bench.person.head(), run),
                at(run.into()),
            )
            .await
            .unwrap();
    }
    repository.close(PullRequestId(10), at(20)).await.unwrap();
    repository.close(PullRequestId(9), at(20)).await.unwrap();
    let records = repository.bare_repository().with_extension("pulls");
    // Ten comes after nine, although it does not by name; what is damaged further down is not looked at.
    fs::write(records.join("8.json"), "{").unwrap();
    fs::write(records.join("copy of 12.json"), "{").unwrap();
    fs::write(records.join("012.json"), "{").unwrap();
    let newest = async |state, most| -> Vec<u64> {
        let found = repository.newest_pull_requests(state, most).await.unwrap();
        found.iter().map(|found| found.id.0).collect()
    };
    assert_eq!(newest(StateFilter::All, 4).await, [12, 11, 10, 9]);
    assert_eq!(newest(StateFilter::Decided, 2).await, [10, 9]);
    assert_eq!(newest(StateFilter::All, 0).await, [0; 0]);
    assert!(repository.newest_pull_requests(StateFilter::Decided, 3).await.is_err(), "8 had to be read");
}
