//! Carries bytes between a program in the sandbox and whoever speaks with it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Buf as _, Bytes};
use nightshift_channel::{Job, JobEvent, JobStatus, Source};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

/// How much is on its way in each direction, in bytes.
const ON_THE_WAY: usize = 64 * 1024;

/// How much is sent to the program at once, in bytes.
const BATCH: usize = 32 * 1024;

/// Bytes of what a program wrote to its standard error that are kept: the last of them.
const LAST_WORDS: usize = 2_000;

/// How a program came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// By itself, or by a signal.
    Exited(JobStatus),
    /// It may run: the channel to the sandbox was cut.
    Cut,
}

/// Carries until it is dropped; the program's input ends then.
pub(super) struct Carrier {
    seen: Arc<Seen>,
    task: AbortHandle,
}

#[derive(Default)]
struct Seen {
    written: AtomicU64,
    last: Mutex<Last>,
}

#[derive(Default)]
struct Last {
    words: Vec<u8>,
    end: Option<End>,
}

impl Drop for Carrier {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Carrier {
    /// Begins to carry, and returns the end at which the program is spoken with.
    pub(super) fn begin(job: Job, threads: &Handle) -> (DuplexStream, Self) {
        let (ours, theirs) = tokio::io::duplex(ON_THE_WAY);
        let seen: Arc<Seen> = Arc::default();
        let task = threads.spawn(carry(job, theirs, Arc::clone(&seen))).abort_handle();
        (ours, Self { seen, task })
    }

    /// How many bytes the program has written.
    pub(super) fn written(&self) -> u64 {
        self.seen.written.load(Ordering::Relaxed)
    }

    /// How it came to its end, once it has.
    pub(super) fn end(&self) -> Option<End> {
        self.seen.last().end
    }

    /// How it ended and what it wrote last to its standard error, for a sentence.
    pub(super) fn last_words(&self) -> String {
        let last = self.seen.last();
        let status = match last.end {
            Some(End::Exited(JobStatus::Code(code))) => format!(" (exit status {code})"),
            Some(End::Exited(JobStatus::Signal(signal))) => format!(" (ended by signal {signal})"),
            Some(End::Exited(JobStatus::TimedOut | JobStatus::Lost) | End::Cut) | None => String::new(),
        };
        let text = String::from_utf8_lossy(&last.words);
        let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
        let line: String = line.chars().filter(|character| !character.is_control()).take(300).collect();
        if line.is_empty() { status } else { format!("{status}; it wrote: {line}") }
    }
}

impl Seen {
    fn last(&self) -> std::sync::MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear(&self, words: &[u8]) {
        let mut last = self.last();
        last.words.extend_from_slice(words);
        let superfluous = last.words.len().saturating_sub(LAST_WORDS);
        last.words.drain(..superfluous);
    }
}

/// Carries both ways. While the program takes no input nothing of what it writes is handed on: the guest keeps it meanwhile.
async fn carry(mut job: Job, stream: DuplexStream, seen: Arc<Seen>) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut coming = Bytes::new();
    let mut going = vec![0; BATCH];
    let mut open = true;
    loop {
        tokio::select! {
            event = job.next(), if coming.is_empty() => match event {
                Some(JobEvent::Output { source: Source::Stderr, bytes }) => seen.hear(&bytes),
                Some(JobEvent::Output { source: Source::Stdout | Source::Merged, bytes }) => coming = bytes,
                Some(JobEvent::Exited(exit)) => {
                    seen.last().end = Some(End::Exited(exit.status));
                    return;
                }
                None => {
                    seen.last().end = Some(End::Cut);
                    return;
                }
            },
            written = writer.write(&coming), if !coming.is_empty() => match written {
                Ok(0) | Err(_) => return,
                Ok(length) => coming.advance(length),
            },
            read = reader.read(&mut going), if open => match read {
                // Whoever spoke with it has hung up: a server ends by that.
                Ok(0) | Err(_) => {
                    open = false;
                    job.end_input();
                }
                // What is wrong with the channel is told by its end.
                Ok(length) => {
                    let _sent = job.send_input(going.get(..length).unwrap_or_default()).await;
                }
            },
        }
        seen.written.store(job.offset(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carrier(words: &[&[u8]], end: Option<End>) -> Carrier {
        let seen = Seen::default();
        words.iter().for_each(|words| seen.hear(words));
        seen.last().end = end;
        Carrier { seen: Arc::new(seen), task: tokio::spawn(async {}).abort_handle() }
    }

    #[tokio::test]
    async fn the_last_line_that_a_program_wrote_is_told_with_how_it_ended() {
        let exited = Some(End::Exited(JobStatus::Code(1)));
        let said = |words: &[&[u8]], end| carrier(words, end).last_words();
        assert_eq!(
            said(&[b"starting\nError: no ", b"database\x1b[0m\n\n"], exited),
            " (exit status 1); it wrote: Error: no database[0m"
        );
        assert_eq!(said(&[], exited), " (exit status 1)");
        assert_eq!(said(&[], Some(End::Exited(JobStatus::Signal(9)))), " (ended by signal 9)");
        assert_eq!(said(&[b"listening"], None), "; it wrote: listening");
        assert_eq!(said(&[], Some(End::Cut)), "");
    }

    #[tokio::test]
    async fn of_what_a_program_writes_beside_the_protocol_only_the_end_is_kept() {
        let carrier = carrier(&[&[b'a'; 9_000], &[b'b'; 100]], None);
        let kept = carrier.seen.last().words.clone();
        assert_eq!((kept.len(), kept.iter().filter(|byte| **byte == b'b').count()), (LAST_WORDS, 100));
    }
}
