//! What was acknowledged survives the end of the process at any instant.
//!
//! Each test starts its own program again as a child that does the dangerous part.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]
#![expect(clippy::print_stdout, reason = "the child tells its parent what was acknowledged")]
#![expect(clippy::disallowed_methods, reason = "the child is told by its environment that it is one")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::{at, run, said, submitted};
use nightshift_store::{PutError, RunFilter, Store};

const CHILD: &str = "NIGHTSHIFT_TEST_CHILD_FOLDER";

fn child_folder() -> Option<PathBuf> {
    std::env::var_os(CHILD).map(PathBuf::from)
}

fn child(wrapper: &[&str], test: &str, folder: &Path) -> Command {
    let program = std::env::current_exe().unwrap();
    let mut command = match wrapper {
        [] => Command::new(&program),
        [first, rest @ ..] => {
            let mut command = Command::new(first);
            command.args(rest).arg(&program);
            command
        }
    };
    command
        .args(["--exact", &format!("crash::{test}"), "--nocapture", "--test-threads=1"])
        .env(CHILD, folder)
        .stdout(Stdio::piped());
    command
}

/// Appends to two runs at once until it is killed, and says what was acknowledged.
async fn append_for_ever(folder: &Path) {
    let store = Store::open(folder).await.unwrap();
    let appenders = [1, 2].map(|number| {
        let store = store.clone();
        tokio::spawn(async move {
            if store.run(&run(number)).await.unwrap().is_none() {
                store.append(&run(number), at(0), &[submitted(number, "/src/app")]).await.unwrap();
            }
            loop {
                let events = store.append(&run(number), at(1), &[said("a"), said("b")]).await.unwrap();
                println!("\nacknowledged {number} {}", events[1].seq);
            }
        })
    });
    futures_util::future::join_all(appenders).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_was_acknowledged_before_a_kill_is_there_and_has_no_gaps() {
    if let Some(folder) = child_folder() {
        return append_for_ever(&folder).await;
    }
    let folder = tempfile::tempdir().unwrap();
    for round in 0..4_u32 {
        let test = "whatever_was_acknowledged_before_a_kill_is_there_and_has_no_gaps";
        let mut child = child(&[], test, folder.path()).spawn().unwrap();
        let mut acknowledged = BTreeMap::new();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut left = 20 + 7 * round;
        for line in lines {
            let words: Vec<_> = line.split(' ').collect();
            if let ["acknowledged", run, seq] = words[..] {
                acknowledged.insert(run.parse::<u32>().unwrap(), seq.parse::<u64>().unwrap());
                left = left.saturating_sub(1);
                if left == 0 {
                    // The child goes on appending until the signal arrives, and its last words are read too.
                    child.kill().unwrap();
                }
            }
        }
        child.wait().unwrap();

        let store = Store::open(folder.path()).await.unwrap();
        store.check().await.unwrap();
        for (number, seq) in acknowledged {
            let events = store.replay(&run(number)).await.unwrap();
            let seqs: Vec<u64> = events.iter().map(|event| event.seq).collect();
            assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
            assert!(
                seqs.len() as u64 >= seq,
                "run {number}: {seq} was acknowledged, {} are there",
                seqs.len()
            );
            assert_eq!(seqs.len() % 2, 1, "an append is there whole or not at all");
        }
        let before = store.runs(&RunFilter::default(), None, 10).await.unwrap();
        store.rebuild().await.unwrap();
        assert_eq!(store.runs(&RunFilter::default(), None, 10).await.unwrap(), before);
        store.close().await;
    }
}

#[tokio::test]
async fn a_file_that_finds_no_room_is_refused_by_name_and_leaves_nothing() {
    if let Some(folder) = child_folder() {
        let store = Store::open(&folder).await.unwrap();
        let refused = store.put(vec![0_u8; 4 << 20], "image/png").await.unwrap_err();
        println!(
            "\n{}",
            if matches!(refused, PutError::DiskFull(_)) { "disk full" } else { "another error" }
        );
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    Store::open(folder.path()).await.unwrap().close().await;
    // No file may grow above 2 MiB (blocks of 512 bytes or 1 KiB, by shell); the signal about it is ignored.
    let limited = ["sh", "-c", "trap '' XFSZ; ulimit -f 2048; exec \"$0\" \"$@\""];
    let test = "a_file_that_finds_no_room_is_refused_by_name_and_leaves_nothing";
    let output = child(&limited, test, folder.path()).output().unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    assert!(output.contains("\ndisk full\n"), "{output}");
    assert_eq!(
        std::fs::read_dir(folder.path().join("artifacts"))
            .unwrap()
            .flatten()
            .flat_map(|entry| std::fs::read_dir(entry.path()).unwrap())
            .count(),
        0
    );
}
