//! Gives the system back what the owner's memory has free.
//!
//! The owner lives for weeks and is idle for most of them. A list of ten thousand runs, a statistic, a picture that is
//! read take some ten megabytes for a moment, and the C library keeps what was freed, for each of its arenas, until it is
//! asked to give it back (mallopt(3), malloc_trim(3)).

use std::time::Duration;

/// How often it is looked at.
const EVERY: Duration = Duration::from_secs(2);

/// Free memory that is kept for what comes next, in bytes.
const KEPT: usize = 4 << 20;

/// Gives memory back whenever more than a few megabytes of it are free; it never returns.
///
/// Where the C library is not glibc it has its own ways, and there is nothing to do.
pub(crate) async fn give_back() {
    // What was given back still counts as free: only what came to be free since is worth another walk through it.
    let mut given = 0;
    loop {
        tokio::time::sleep(EVERY).await;
        let free = glibc::free();
        given = given.min(free);
        if free > given + KEPT {
            // It may take milliseconds.
            let _ended = tokio::task::spawn_blocking(glibc::trim).await;
            given = glibc::free();
        }
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
    use super::glibc;

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
