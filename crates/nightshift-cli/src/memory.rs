//! Gives the system back what the owner's memory has free.
//!
//! The owner lives for weeks and is idle for most of them. A list of ten thousand runs, a statistic, a picture that is
//! read take some ten megabytes for a moment, and the C library keeps what was freed, for each of its arenas, until it is
//! asked to give it back (mallopt(3), malloc_trim(3)).

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// How often it is looked at.
const EVERY: Duration = Duration::from_secs(2);

/// How often it is thought of once it is quiet and what was free is given back.
const RARELY: Duration = Duration::from_secs(30);

/// Work of the processors without which it is not looked at then, since the last look: the C library walks through all
/// that is free to count it, which takes some 25 ms after a long history was read, and an owner that does nothing uses
/// about 1 ms a second.
const WORK: Duration = Duration::from_millis(100);

/// Free memory that is kept for what comes next, in bytes.
const KEPT: usize = 4 << 20;

/// What is free may change by so much, in bytes, without anybody having done anything.
const STIR: usize = 256 << 10;

/// After so many looks without a stir it is quiet.
const QUIET: u32 = 10;

/// Gives memory back whenever more than a few megabytes of it are free, and once more when it has become quiet; it
/// never returns.
///
/// Where the C library is not glibc it has its own ways, and there is nothing to do.
pub(crate) async fn give_back() {
    let mut looks = Looks::default();
    loop {
        tokio::time::sleep(looks.next()).await;
        if !looks.is_worth(worked()) {
            continue;
        }
        if looks.say(glibc::free()) {
            // It may take milliseconds.
            let _ended = tokio::task::spawn_blocking(glibc::trim).await;
        }
        looks.looked(worked());
    }
}

/// How long processors have worked for this process.
fn worked() -> Duration {
    // It cannot be negative (clock_gettime(2)).
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}

/// What was seen of the free memory.
#[derive(Debug, Default)]
struct Looks {
    /// What was free when memory was given back, or less that was free since: what was given back still counts as free,
    /// so only what came to be free since is worth another walk through it.
    given: usize,
    last: usize,
    quiet: u32,
    /// Whether there was a stir since it was last given back when it was quiet. Between two looks much may be taken
    /// and freed again, which `given` does not show.
    stirred: bool,
    /// How long processors had worked when the last look was over.
    worked: Duration,
}

impl Looks {
    /// When to look again.
    fn next(&self) -> Duration {
        if self.is_quiet() { RARELY } else { EVERY }
    }

    /// Whether nothing has happened for a while and nothing is left to give back.
    fn is_quiet(&self) -> bool {
        self.quiet >= QUIET && !self.stirred
    }

    /// Whether to look at all, when processors have worked for so long since the process began.
    fn is_worth(&self, worked: Duration) -> bool {
        !self.is_quiet() || worked.saturating_sub(self.worked) >= WORK
    }

    /// A look is over, and maybe memory was given back: that is no work after which to look again.
    fn looked(&mut self, worked: Duration) {
        self.worked = worked;
    }

    /// Whether to give back, with so many bytes free.
    fn say(&mut self, free: usize) -> bool {
        if free.abs_diff(self.last) > STIR {
            (self.stirred, self.quiet) = (true, 0);
        } else {
            self.quiet = self.quiet.saturating_add(1);
        }
        self.last = free;
        self.given = self.given.min(free);
        let rests = self.stirred && self.quiet >= QUIET;
        if rests {
            self.stirred = false;
        }
        let give = rests || free > self.given + KEPT;
        if give {
            self.given = free;
        }
        give
    }
}

/// Lets threads share what is free; to be called before there are any.
pub(crate) fn share() {
    glibc::few_arenas();
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod glibc {
    #![expect(unsafe_code, reason = "functions of the C library that take and return numbers")]

    /// Two arenas are enough for a program that waits for others most of the time; by default there are eight for each
    /// processor, each with free memory of its own.
    pub(super) fn few_arenas() {
        // SAFETY: it takes two numbers and may be called at any time.
        unsafe { libc::mallopt(libc::M_ARENA_MAX, 2) };
    }

    /// Bytes that are free and were not given back.
    pub(super) fn free() -> usize {
        // SAFETY: it takes nothing and returns numbers.
        unsafe { libc::mallinfo2() }.fordblks
    }

    /// Gives all whole free pages back.
    pub(super) fn trim() {
        // SAFETY: it takes a number and may be called at any time, by any thread.
        unsafe { libc::malloc_trim(0) };
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
mod glibc {
    pub(super) fn few_arenas() {}

    pub(super) fn free() -> usize {
        0
    }

    pub(super) fn trim() {}
}

#[cfg(test)]
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod tests {
    use super::{EVERY, KEPT, Looks, QUIET, RARELY, STIR, WORK, glibc, worked};

    /// At which looks memory is given back.
    fn given(free: impl IntoIterator<Item = usize>) -> Vec<usize> {
        let mut looks = Looks::default();
        free.into_iter().enumerate().filter(|(_, free)| looks.say(*free)).map(|(look, _)| look).collect()
    }

    #[test]
    fn megabytes_that_came_to_be_free_are_given_back_at_once_and_once() {
        let much = 2 * KEPT;
        assert_eq!(given([0, 100, much, much, much, much + STIR]), [2]);
        assert_eq!(given([much, 100, much]), [0, 2], "it was used meanwhile");
    }

    #[test]
    fn what_is_less_is_given_back_once_when_it_has_become_quiet() {
        let quiet = QUIET as usize;
        assert_eq!(given(std::iter::once(0).chain([KEPT; 60])), [1 + quiet]);
        assert_eq!(given([0; 60]), Vec::<usize>::new());
        let restless = (0..60).map(|look| (look % 2) * 2 * STIR);
        assert_eq!(given(restless), Vec::<usize>::new());
    }

    #[test]
    fn it_is_looked_at_rarely_once_it_is_quiet_and_often_again_when_something_stirs() {
        let mut looks = Looks::default();
        assert_eq!(looks.next(), EVERY, "nothing was seen yet");
        for _ in 0..QUIET {
            looks.say(KEPT / 2);
        }
        assert_eq!((looks.next(), looks.say(KEPT / 2)), (EVERY, true), "it is still to be given back");
        assert_eq!(looks.next(), RARELY);
        looks.say(KEPT / 2 + 2 * STIR);
        assert_eq!(looks.next(), EVERY);
    }

    #[test]
    fn once_it_is_quiet_it_is_not_looked_at_until_something_was_done() {
        let mut looks = Looks::default();
        assert!(looks.is_worth(WORK / 2), "nothing was seen yet");
        for _ in 0..=QUIET {
            looks.say(KEPT / 2);
            looks.looked(WORK);
        }
        assert_eq!((looks.is_worth(WORK + WORK / 2), looks.is_worth(2 * WORK)), (false, true));
        looks.looked(2 * WORK);
        assert!(!looks.is_worth(2 * WORK + WORK / 2));
    }

    #[test]
    fn work_of_the_processors_is_counted() {
        let (before, began) = (worked(), std::time::Instant::now());
        while worked() == before {
            assert!(began.elapsed().as_secs() < 60, "it stands still");
        }
        assert!(worked() > before);
    }

    #[test]
    fn what_was_freed_is_given_back() {
        // Small pieces are not mapped by themselves; the last one keeps the others' end from being given back at once.
        let mut pieces: Vec<Vec<u8>> = (0..20_000).map(|_| vec![1; 1_000]).collect();
        let last = pieces.pop();
        drop(pieces);
        let resident = || {
            let status = std::fs::read_to_string("/proc/self/statm").unwrap();
            status.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4_096
        };
        assert!(glibc::free() > 15_000_000, "{} bytes are free", glibc::free());
        let before = resident();
        glibc::trim();
        let after = resident();
        assert!(after + 10_000_000 < before, "{before} before, {after} after");
        drop(last);
    }
}
