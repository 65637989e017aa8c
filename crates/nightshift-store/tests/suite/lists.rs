//! Searching, counting, and asking what changed.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use nightshift_protocol::{EventBody, IssueReference, RunCounts, RunState, SearchHit, Task};
use nightshift_store::{RunFilter, SearchCursor, SearchWords, Store};

use crate::support::{at, run, said, submitted};

async fn opened() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    (folder, store)
}

async fn found(store: &Store, text: &str) -> Vec<SearchHit> {
    store.search(&SearchWords::of(text).unwrap(), None, 50).await.unwrap().hits
}

fn places(hits: &[SearchHit]) -> Vec<(String, u64, &str)> {
    hits.iter().map(|hit| (hit.run.to_string(), hit.seq, hit.kind.as_str())).collect()
}

fn body(value: serde_json::Value) -> EventBody {
    serde_json::from_value(value).unwrap()
}

#[tokio::test]
async fn what_is_said_done_and_shown_is_found_by_its_words() {
    let (_folder, store) = opened().await;
    let usage = serde_json::json!({"inputTokens": 0, "cacheReadTokens": 0, "cacheWriteTokens": 0, "outputTokens": 0,
        "costMicrodollars": 0});
    let bodies = [
        submitted(1, "/src/orchard"),
        said("apple"),
        body(
            serde_json::json!({"type": "turnFinished", "turn": 1, "stop": {"type": "endTurn"}, "usage": usage,
            "model": "m", "message": {"type": "assistant", "verbatim": "banana",
            "blocks": [{"type": "text", "text": "cherry"}, {"type": "thinking", "text": "durian"}]}}),
        ),
        body(serde_json::json!({"type": "stepIntended", "step": "1.1",
            "call": {"id": "c", "name": "shell", "input": {"command": "elder", "seconds": 3}}})),
        body(
            serde_json::json!({"type": "stepFinished", "step": "1.1", "call": "c", "outcome": "done", "tookMs": 1,
            "content": [{"type": "text", "text": "fig"}]}),
        ),
        body(
            serde_json::json!({"type": "planChanged", "plan": {"steps": [{"title": "grape", "state": "active"}]}}),
        ),
        body(serde_json::json!({"type": "evidenceNoted", "evidence": {"claim": "hazel", "source":
            {"type": "command", "step": "1.1", "command": "x", "exitCode": 0, "outputTail": "iris"}}})),
        body(
            serde_json::json!({"type": "workFinished", "title": "juniper", "summary": "kiwi", "notVerified": "lemon"}),
        ),
        body(serde_json::json!({"type": "handedBack", "summary": "mango", "seconds": 1})),
    ];
    store.append(&run(1), at(1), &bodies).await.unwrap();
    for (word, seq) in [
        ("orchard", 1),
        ("apple", 2),
        ("cherry", 3),
        ("elder", 4),
        ("fig", 5),
        ("grape", 6),
        ("hazel", 7),
        ("juniper", 8),
        ("kiwi", 8),
        ("mango", 9),
    ] {
        let hits = found(&store, word).await;
        assert_eq!(hits.iter().map(|hit| hit.seq).collect::<Vec<_>>(), [seq], "{word}");
        assert!(hits[0].excerpt.iter().any(|part| part.is_match && part.text == word), "{word}");
    }
    // What only the provider reads, and what nobody said, is not searched.
    for word in ["banana", "durian", "iris", "lemon"] {
        assert_eq!(found(&store, word).await, [], "{word}");
    }
}

#[tokio::test]
async fn all_words_must_be_there_and_the_last_one_may_be_a_beginning() {
    let (_folder, store) = opened().await;
    store
        .append(&run(1), at(1), &[submitted(1, "/src"), said("dark mode toggle"), said("dark")])
        .await
        .unwrap();
    assert_eq!(places(&found(&store, "DARK tog").await), [("run-0000000001".to_owned(), 2, "personSaid")]);
    assert_eq!(found(&store, "tog dark light").await, []);
    assert_eq!(found(&store, "tog dark").await, [], "only the last word may be a beginning");
}

#[tokio::test]
async fn accents_do_not_matter_to_a_search() {
    let (_folder, store) = opened().await;
    store.append(&run(1), at(1), &[submitted(1, "/src"), said("Füge den Schalter hinzu")]).await.unwrap();
    assert_eq!(found(&store, "fuge").await.len(), 1);
    assert_eq!(found(&store, "füge").await.len(), 1);
}

#[tokio::test]
async fn finds_come_newest_first_in_parts_that_leave_nothing_out() {
    let (_folder, store) = opened().await;
    store.append(&run(1), at(1), &[submitted(1, "/src")]).await.unwrap();
    for number in 0..7 {
        store.append(&run(1), at(2), &[said(format!("needle {number}"))]).await.unwrap();
    }
    let words = SearchWords::of("needle").unwrap();
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let page = store.search(&words, cursor, 3).await.unwrap();
        assert!(page.hits.len() <= 3);
        seen.extend(page.hits.iter().map(|hit| hit.seq));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, (2..=8).rev().collect::<Vec<u64>>());
}

#[tokio::test]
async fn a_cursor_beyond_either_end_finds_what_lies_before_it() {
    let (_folder, store) = opened().await;
    store.append(&run(1), at(1), &[submitted(1, "/src"), said("needle")]).await.unwrap();
    let words = SearchWords::of("needle").unwrap();
    assert_eq!(store.search(&words, Some(SearchCursor(0)), 10).await.unwrap().hits, []);
    assert_eq!(store.search(&words, Some(SearchCursor(u64::MAX)), 10).await.unwrap().hits.len(), 1);
    let runs = store.runs(&RunFilter::default(), Some(nightshift_store::RunCursor(0)), 10).await.unwrap();
    assert_eq!((runs.runs, runs.next), (Vec::new(), None));
    let runs =
        store.runs(&RunFilter::default(), Some(nightshift_store::RunCursor(u64::MAX)), 10).await.unwrap();
    assert_eq!(runs.runs.len(), 1);
}

#[tokio::test]
async fn what_stands_far_down_in_a_long_text_is_not_searched() {
    let (_folder, store) = opened().await;
    let long = format!("{} needle", "x ".repeat(4_000));
    store.append(&run(1), at(1), &[submitted(1, "/src"), said(long)]).await.unwrap();
    assert_eq!(found(&store, "needle").await, []);
    assert_eq!(found(&store, "x").await.len(), 1);
}

#[tokio::test]
async fn a_search_survives_a_rebuild_and_finds_nothing_twice() {
    let (_folder, store) = opened().await;
    store.append(&run(1), at(1), &[submitted(1, "/src"), said("needle")]).await.unwrap();
    store.rebuild().await.unwrap();
    store.rebuild().await.unwrap();
    assert_eq!(found(&store, "needle").await.len(), 1);
}

#[tokio::test]
async fn a_list_of_runs_is_searched_by_description_and_repository_only() {
    let (_folder, store) = opened().await;
    store.append(&run(1), at(1), &[submitted(1, "/src/orchard"), said("needle")]).await.unwrap();
    let listed = async |text: &str| {
        let filter = RunFilter { words: SearchWords::of(text), ..RunFilter::default() };
        store.runs(&filter, None, 10).await.unwrap().runs.len()
    };
    assert_eq!((listed("orch").await, listed("dark mo").await, listed("needle").await), (1, 1, 0));
}

#[tokio::test]
async fn the_issues_of_a_repository_are_those_that_its_runs_were_asked_for_by_over_or_not() {
    let (_folder, store) = opened().await;
    let asked = |number: u64, comment| IssueReference {
        number,
        url: format!("https://forge.example/o/r/issues/{number}"),
        comment,
    };
    let of = |task, repository: &str, issue| match submitted(task, repository) {
        EventBody::RunSubmitted { task, branch, attempt, context_tokens } => {
            EventBody::RunSubmitted { task: Task { issue, ..task }, branch, attempt, context_tokens }
        }
        other => other,
    };
    let over = EventBody::StateChanged { state: RunState::Cancelled };
    for (number, bodies) in (1..).zip([
        vec![of(1, "here", Some(asked(4, None)))],
        vec![of(2, "here", Some(asked(4, Some(77)))), over],
        vec![of(3, "here", None)],
        vec![of(4, "there", Some(asked(5, None)))],
    ]) {
        store.append(&run(number), at(number), &bodies).await.unwrap();
    }
    let found = |repository| store.issues_of(repository);
    let mut here = found("here").await.unwrap();
    here.sort_by_key(|issue| issue.comment);
    assert_eq!(here, [asked(4, None), asked(4, Some(77))]);
    assert_eq!(found("there").await.unwrap(), [asked(5, None)]);
    assert_eq!(found("nowhere").await.unwrap(), []);
}

#[tokio::test]
async fn every_state_is_counted_in_its_own_place() {
    let (_folder, store) = opened().await;
    let states: Vec<RunState> =
        serde_json::from_str(include_str!("../../../nightshift-protocol/wire/states.json")).unwrap();
    for (number, state) in (0..).zip(states) {
        let bodies = [submitted(number, "/src"), EventBody::StateChanged { state }];
        store.append(&run(number), at(1), &bodies).await.unwrap();
    }
    let overview = store.overview().await.unwrap();
    let expected = RunCounts {
        queued: 4,
        preparing: 1,
        working: 1,
        waiting: 2,
        paused: 3,
        delivering: 1,
        in_review: 1,
        merged: 1,
        closed: 1,
        cancelled: 1,
        failed: 1,
    };
    assert_eq!(overview.counts, expected);
    assert_eq!((overview.waits_for_you, overview.position), (2 + 2 + 1, 34), "a person paused one");
    assert_eq!(store.count_in_review().await.unwrap(), 1);
}

#[tokio::test]
async fn an_empty_history_counts_nothing() {
    let (_folder, store) = opened().await;
    assert_eq!(store.overview().await.unwrap(), nightshift_protocol::Overview::default());
    assert_eq!(store.changed_runs(0, 10).await.unwrap(), []);
    assert_eq!(store.runs(&RunFilter::default(), None, 10).await.unwrap().runs, []);
}

#[tokio::test]
async fn who_was_away_is_told_each_changed_run_once_as_it_is_now() {
    let (_folder, store) = opened().await;
    for number in 0..3 {
        store.append(&run(number), at(1), &[submitted(number, "/src")]).await.unwrap();
    }
    let seen = store.overview().await.unwrap().position;
    store.append(&run(2), at(2), &[said("x"), said("y")]).await.unwrap();
    store.append(&run(0), at(3), &[EventBody::StateChanged { state: RunState::Cancelled }]).await.unwrap();
    let changed = store.changed_runs(seen, 10).await.unwrap();
    let told: Vec<_> =
        changed.iter().map(|change| (change.position, change.run.run.clone(), change.run.last_seq)).collect();
    assert_eq!(told, [(5, run(2), 3), (6, run(0), 2)]);
    assert_eq!(store.changed_runs(seen, 1).await.unwrap(), changed[..1]);
    assert_eq!(store.changed_runs(6, 10).await.unwrap(), []);
    assert_eq!(store.changed_runs(u64::MAX, 10).await.unwrap(), []);
}

#[tokio::test]
async fn a_limit_of_none_gives_none() {
    let (_folder, store) = opened().await;
    store.append(&run(1), at(1), &[submitted(1, "/src"), said("needle")]).await.unwrap();
    assert_eq!(store.events(&run(1), 0, 0).await.unwrap(), []);
    assert_eq!(store.events_after(0, 0).await.unwrap(), []);
    assert_eq!(store.changed_runs(0, 0).await.unwrap(), []);
}

#[tokio::test]
async fn a_run_that_nobody_knows_has_no_events_and_no_row() {
    let (_folder, store) = opened().await;
    assert_eq!(store.run(&run(9)).await.unwrap(), None);
    assert_eq!(store.events(&run(9), 0, 10).await.unwrap(), []);
    assert_eq!(store.replay(&run(9)).await.unwrap(), []);
    assert!(store.find_task("task-0000000009").await.is_err());
}

#[tokio::test]
async fn a_closed_store_refuses_and_does_not_open_itself_again() {
    let (_folder, store) = opened().await;
    store.append(&run(1), at(1), &[submitted(1, "/src")]).await.unwrap();
    let other = store.clone();
    store.close().await;
    assert!(other.append(&run(1), at(1), &[said("x")]).await.is_err());
    assert!(other.replay(&run(1)).await.is_err());
    assert!(other.put(&b"x"[..], "text/plain").await.is_err());
}

#[tokio::test]
async fn an_excerpt_begins_with_a_whole_word() {
    let (_folder, store) = opened().await;
    let before = "unmistakable ".repeat(9);
    store.append(&run(1), at(1), &[submitted(1, "/src/app"), said(format!("{before}apple"))]).await.unwrap();
    // One word that is longer than what is shown before a match has no beginning to begin with.
    store
        .append(&run(2), at(2), &[submitted(2, "/src/app"), said(format!("{}-pear", "long".repeat(99)))])
        .await
        .unwrap();
    let begins = async |word| {
        let hits = found(&store, word).await;
        hits[0].excerpt.iter().map(|part| part.text.clone()).collect::<String>()
    };
    assert_eq!(begins("apple").await, format!("{}apple", "unmistakable ".repeat(4)));
    assert_eq!(begins("pear").await, "-pear");
}
