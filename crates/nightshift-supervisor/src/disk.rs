//! Which sandbox stands still so that the disk of the host does not run full under the others.
//!
//! ```text
//!              it wrote its quota, or the disk is below its reserve and this one fills it fastest
//!      writes ───────────────────────────────────────────────────────────────────────────────────▶ held
//!         ▲                 the disk has room again, or a person lets it go on                      │
//!         └─────────────────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! A guest that stands still loses nothing: what it was writing is written when it goes on. It decides only; what it has
//! seen is passed in with its time, and what it wants done is returned.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nightshift_protocol::SandboxId;
use nightshift_sandbox::{DiskUse, Hold, Written};

/// What of the disk stays free where nobody says how much, in bytes: this, or a part of a small disk.
const RESERVE: u64 = 2 << 30;
/// The part of a disk that stays free at most where nobody says how much.
const RESERVE_PART: u64 = 20;
/// Over which time it is looked how fast a sandbox writes.
const WINDOW: Duration = Duration::from_secs(10);
/// Over which time at least, so that one burst is not taken for a pace.
const LEAST_WINDOW: Duration = Duration::from_secs(1);
/// Below its reserve, a disk that would be full within this time at the pace at which all write together is in danger. A
/// sandbox that writes a log or a page of its browser's cache now and then is no danger.
const DANGER_SECONDS: u64 = 120;
/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often it is looked when the disk is near its reserve: a fast disk takes gigabytes in a second.
const LOOK_CLOSELY_EVERY: Duration = Duration::from_millis(200);

/// What sandboxes may take of the host's disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskSettings {
    /// What stays free, in MiB; 0 for nothing. 2 GiB when `None`, or a twentieth of a disk that is smaller than 40 GiB.
    pub reserve_mib: Option<u64>,
    /// What one sandbox may write, in MiB; 0 for any amount.
    pub sandbox_mib: u64,
}

impl Default for DiskSettings {
    /// 12 GiB for each, of a disk of 16 GiB that it sees.
    fn default() -> Self {
        Self { reserve_mib: None, sandbox_mib: 12 * 1024 }
    }
}

impl DiskSettings {
    /// What stays free of a disk of so many bytes, in bytes.
    fn reserve(&self, total: u64) -> u64 {
        self.reserve_mib.map_or(RESERVE.min(total / RESERVE_PART), |mib| mib.saturating_mul(1 << 20))
    }

    /// What one sandbox may write, in bytes.
    fn quota(&self) -> u64 {
        if self.sandbox_mib == 0 { u64::MAX } else { self.sandbox_mib.saturating_mul(1 << 20) }
    }

    /// When it is to be looked again.
    pub(crate) fn next_look(&self, seen: Option<&DiskUse>) -> Duration {
        let near = seen.is_some_and(|seen| {
            !seen.sandboxes.is_empty() && seen.free_bytes < self.reserve(seen.total_bytes).saturating_mul(2)
        });
        if near { LOOK_CLOSELY_EVERY } else { LOOK_EVERY }
    }
}

/// What has to be free until a sandbox that was held for the disk's reserve goes on by itself: more than below what it was
/// held, or it would be held again at once.
fn enough(reserve: u64) -> u64 {
    reserve.saturating_add(reserve / 4)
}

/// What is to be done with a sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Order {
    /// It is to stand still.
    Hold(SandboxId, Hold),
    /// It is to go on.
    GoOn(SandboxId),
}

/// The sandboxes that are being made. They are not made to stand still: their guests are waited for.
#[derive(Debug, Clone, Default)]
pub(crate) struct BeingMade(Arc<Mutex<HashSet<SandboxId>>>);

/// Says that a sandbox is being made, until it is dropped.
#[derive(Debug)]
pub(crate) struct Making {
    all: BeingMade,
    sandbox: SandboxId,
}

impl BeingMade {
    /// Notes that a sandbox is being made from now on.
    pub(crate) fn begin(&self, sandbox: &SandboxId) -> Making {
        self.lock().insert(sandbox.clone());
        Making { all: self.clone(), sandbox: sandbox.clone() }
    }

    /// Leaves them out of what is seen.
    pub(crate) fn leave_out(&self, seen: &mut DiskUse) {
        let all = self.lock();
        seen.sandboxes.retain(|one| !all.contains(&one.sandbox));
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<SandboxId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        self.all.lock().remove(&self.sandbox);
    }
}

/// What is known of how sandboxes write.
#[derive(Debug, Default)]
pub(crate) struct Growth(HashMap<SandboxId, Known>);

#[derive(Debug, Default)]
struct Known {
    /// What it had written and when, the newest last.
    looks: VecDeque<(Duration, u64)>,
    /// Why it stood still when it was looked at last.
    held: Option<Hold>,
    /// What a person who let it go on allowed it with that.
    allowed: Allowed,
}

#[derive(Debug, Clone, Copy, Default)]
struct Allowed {
    /// It may go on until so little is free, in bytes.
    down_to: Option<u64>,
    /// It may go on until it has written so much, in bytes.
    up_to: Option<u64>,
}

impl Known {
    fn look(&mut self, at: Duration, bytes: u64) {
        self.looks.push_back((at, bytes));
        // One look that is older stays, so that the whole time is seen.
        while self.looks.get(1).is_some_and(|(then, _)| at.saturating_sub(*then) >= WINDOW) {
            self.looks.pop_front();
        }
    }

    /// Bytes a second, of late; 0 as long as too little was seen of it.
    fn pace(&self) -> u64 {
        let (Some((from, before)), Some((to, now))) = (self.looks.front(), self.looks.back()) else {
            return 0;
        };
        let took = to.saturating_sub(*from);
        if took < LEAST_WINDOW {
            return 0;
        }
        let grown = u128::from(now.saturating_sub(*before)) * 1_000;
        u64::try_from(grown.checked_div(took.as_millis()).unwrap_or(0)).unwrap_or(u64::MAX)
    }

    /// Whether it wrote more between the last two looks.
    fn grew(&self) -> bool {
        let mut newest = self.looks.iter().rev();
        matches!((newest.next(), newest.next()), (Some((_, now)), Some((_, before))) if now > before)
    }
}

impl Growth {
    /// Takes in what is seen at a moment, `at` after some beginning, and returns what is to be done.
    pub(crate) fn look(&mut self, settings: &DiskSettings, at: Duration, seen: &DiskUse) -> Vec<Order> {
        let (free, reserve) = (seen.free_bytes, settings.reserve(seen.total_bytes));
        self.0.retain(|known, _| seen.sandboxes.iter().any(|one| one.sandbox == *known));
        for one in &seen.sandboxes {
            self.take_in(one, at, free, enough(reserve));
        }
        let mut orders: Vec<Order> = seen
            .sandboxes
            .iter()
            .filter_map(|one| self.of_one(one, settings.quota(), free, enough(reserve)))
            .collect();
        if free < reserve {
            let dangerous = self.dangerous(seen, &orders);
            orders.extend(dangerous.into_iter().map(|one| {
                let (written_bytes, enough_bytes) = (one.bytes, enough(reserve));
                let hold = Hold::Reserve { written_bytes, free_bytes: free, enough_bytes };
                Order::Hold(one.sandbox.clone(), hold)
            }));
        }
        orders
    }

    fn take_in(&mut self, one: &Written, at: Duration, free: u64, enough: u64) {
        let unknown = !self.0.contains_key(&one.sandbox);
        let known = self.0.entry(one.sandbox.clone()).or_default();
        if free >= enough {
            known.allowed.down_to = None;
        }
        // It was let go on. With its disk as it was that was a person's word, and the person wants to see it get on. What one
        // said to an owner before this one, or before the sandbox was brought back, is with the sandbox.
        let before = if unknown { one.let_go } else { known.held.filter(|_| one.held.is_none()) };
        match before {
            Some(Hold::Reserve { free_bytes, .. }) if free < enough => {
                known.allowed.down_to = Some(if unknown { free_bytes } else { free } / 2);
            }
            Some(Hold::Quota { quota_bytes, written_bytes }) => {
                let then = if unknown { written_bytes } else { one.bytes };
                known.allowed.up_to = Some(then.saturating_add(quota_bytes));
            }
            Some(Hold::Reserve { .. }) | None => {}
        }
        if known.held.is_some() != one.held.is_some() {
            // How fast it was before says nothing of how fast it is now.
            known.looks.clear();
        }
        known.held = one.held;
        known.look(at, one.bytes);
    }

    /// What is to be done with a sandbox whatever others do.
    fn of_one(&self, one: &Written, quota: u64, free: u64, enough: u64) -> Option<Order> {
        let known = self.0.get(&one.sandbox)?;
        let sandbox = one.sandbox.clone();
        match one.held {
            Some(Hold::Reserve { .. }) if free >= enough => Some(Order::GoOn(sandbox)),
            // Something else let its guest go on, in the moment in which it was to stand still.
            Some(hold) if known.grew() => Some(Order::Hold(sandbox, hold)),
            Some(_) => None,
            None => {
                let reached = one.bytes >= known.allowed.up_to.unwrap_or(quota);
                let hold = Hold::Quota { written_bytes: one.bytes, quota_bytes: quota };
                reached.then_some(Order::Hold(sandbox, hold))
            }
        }
    }

    /// The sandboxes that fill the disk fastest: as few as have to stand still for the others to be no danger.
    fn dangerous<'a>(&self, seen: &'a DiskUse, orders: &[Order]) -> Vec<&'a Written> {
        let free = seen.free_bytes;
        let stands = |one: &Written| {
            one.held.is_some()
                || orders.iter().any(|order| matches!(order, Order::Hold(held, _) if *held == one.sandbox))
        };
        // One that a person let go on is no danger yet, and others are not to stand still for what it writes.
        let counts = |known: &Known| known.allowed.down_to.is_none_or(|least| free < least);
        let mut writing: Vec<(&Written, u64)> = seen
            .sandboxes
            .iter()
            .filter(|one| !stands(one))
            .filter_map(|one| Some((one, self.0.get(&one.sandbox).filter(|known| counts(known))?.pace())))
            .collect();
        writing.sort_by_key(|(one, pace)| (*pace, one.bytes));
        let mut dangerous = Vec::new();
        loop {
            let together = writing.iter().fold(0_u64, |sum, (_, pace)| sum.saturating_add(*pace));
            match writing.pop() {
                Some((fastest, pace)) if pace > 0 && together.saturating_mul(DANGER_SECONDS) >= free => {
                    dangerous.push(fastest);
                }
                Some(_) | None => return dangerous,
            }
        }
    }
}

#[cfg(test)]
mod tests;
