//! The memory allocator of the owner: a program has it by naming this crate, `use nightshift_allocator as _`.
//!
//! It is jemalloc, for Rust and for C (SQLite), with what an owner wants that works for a hundred runs in one minute and lives
//! for weeks in which it is idle: threads that allocate much do not wait for each other, and what was free for a second is
//! given back by a thread of the allocator's own, also where nobody allocates any more. `docs/decisions/0027` has the figures.
#![expect(unsafe_code, reason = "jemalloc finds its settings by a symbol's name")]

use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// The allocator's settings (<https://jemalloc.net/jemalloc.3.html>, "TUNING"), of which `MALLOC_CONF` in the environment
/// changes any.
///
/// Two arenas are enough for a program that waits for others most of the time; by default there are four for each processor,
/// each with free memory of its own.
// SAFETY: nothing else in the program has this name, and jemalloc reads it as a pointer to a text that ends with a zero.
#[used]
#[unsafe(export_name = "malloc_conf")]
static SETTINGS: &[u8; 70] = b"background_thread:true,dirty_decay_ms:1000,muzzy_decay_ms:0,narenas:2\0";
