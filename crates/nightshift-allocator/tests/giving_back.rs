//! What a program has that names this crate. One test: others beside it would allocate too.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::fs;
use std::thread::park_timeout;
use std::time::{Duration, Instant};

use nightshift_allocator as _;

/// The memory that this process has in use, in bytes.
fn resident() -> usize {
    let pages = fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4_096
}

/// The names of this process's threads.
fn threads() -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    tasks.map(|task| fs::read_to_string(task.unwrap().path().join("comm")).unwrap()).collect()
}

#[test]
fn what_was_freed_is_given_back_while_nobody_allocates() {
    // Small pieces are not mapped by themselves; the last one keeps the others' end from being given back at once.
    let mut pieces: Vec<Vec<u8>> = (0..20_000).map(|_| vec![1; 1_000]).collect();
    let last = pieces.pop();
    let before = resident();
    drop(pieces);
    // After a second, by the settings; far more than that when the host is busy.
    let began = Instant::now();
    while resident() + 15_000_000 > before {
        assert!(began.elapsed() < Duration::from_secs(60), "{before} bytes before, {} after", resident());
        park_timeout(Duration::from_millis(100));
    }
    assert!(threads().iter().any(|name| name.starts_with("jemalloc_bg_thd")), "{:?}", threads());
    drop(last);
}
