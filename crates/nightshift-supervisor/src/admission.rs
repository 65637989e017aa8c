//! Whether another sandbox may run now, by memory, processors and disk, and which one gives its memory back first.
//!
//! ```text
//!   Bounds, Resources, running, waiting ─▶ admit() ─▶ the first that waits may run, or why not
//!                                              └────▶ what gives its memory back, in which order
//! ```
//!
//! Clones share what they have not changed, so what they will need is not what they need now: how many may run is
//! bounded by what they may come to need, and by what the host has left at this moment.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nightshift_protocol::{EnvironmentId, QueueReason, RunId, SandboxId, SuspendReason};
use nightshift_sandbox::MachineSize;
use tokio::sync::Notify;

mod gauge;

pub(crate) use gauge::Gauge;

/// Memory of the host itself that no sandbox gets, in MiB.
const RESERVED_MIB: u64 = 1_536;
/// What must be available for one more sandbox, in parts of its memory: a clone that works comes to need about a half.
const NEEDED_PART: u64 = 2;
/// Virtual processors for each of the host's: agents mostly wait for models.
const PROCESSORS_EACH: u32 = 8;
/// Free space of the disk below which no sandbox is begun, in MiB.
const DISK_MIB: u64 = 2_048;
/// Available memory below which idle sandboxes are suspended, in MiB.
const SCARCE_MIB: u64 = 768;
/// The share of time that something stood still for memory above which idle sandboxes are suspended, in percent
/// (Documentation/accounting/psi.rst in Linux's source, "some avg10").
const STALLED_PERCENT: f32 = 20.0;
/// How often it is looked whether there is room, when nothing says so.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How often it is looked while nobody has room or waits for some: there is a spare clone at most.
const LOOK_RARELY_EVERY: Duration = Duration::from_secs(30);

/// Whose sandbox it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Holder {
    /// A run's.
    Run(RunId),
    /// That of an environment that is set up.
    SetUp(EnvironmentId),
    /// A sandbox that is lent.
    Loan(SandboxId),
}

/// What does not change while an owner runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Sandboxes that may run at once.
    pub(crate) sandboxes: u32,
    /// Each one's size.
    pub(crate) size: MachineSize,
    /// The host's processors, as far as they are known.
    pub(crate) processors: Option<u32>,
}

/// What the host has at a moment, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Resources {
    /// Memory that can be had without swapping, in MiB.
    pub(crate) available_mib: Option<u64>,
    /// How much of the time something stood still for memory, in percent.
    pub(crate) stalled_percent: Option<f32>,
    /// Free space of the disk, in MiB.
    pub(crate) free_disk_mib: Option<u64>,
}

/// What a sandbox is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// Something happens in it, or may at any time.
    Busy,
    /// Nothing happens unless a person does something, and it can be suspended.
    Idle,
}

/// A sandbox that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Running {
    pub(crate) holder: Holder,
    pub(crate) usage: Use,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Decision {
    /// Who may run now: the first that waits.
    pub(crate) admitted: Option<Holder>,
    /// Why those that wait wait on.
    pub(crate) reason: Option<QueueReason>,
    /// What is to give its memory back, if anything is.
    pub(crate) relief: Option<Relief>,
}

/// What gives its memory back, so that others have room or the kernel need not end any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Relief {
    /// Why.
    pub(crate) why: SuspendReason,
    /// Whether the clone that waits for the next task goes first: memory is what lacks, and nobody works in it.
    pub(crate) spare_first: bool,
    /// The sandboxes in which nothing happens, in the order in which they are tried: one may have begun to work again.
    pub(crate) idle: Vec<Holder>,
}

/// How many sandboxes a host's memory holds, at least one: a working one may come to use all of its memory.
pub(crate) fn sandboxes_for(host_memory_mib: Option<u64>, size: MachineSize) -> u32 {
    let Some(memory) = host_memory_mib else { return 1 };
    let room = memory.saturating_sub(RESERVED_MIB) * 3 / 4 / u64::from(size.memory_mib.max(1));
    u32::try_from(room).unwrap_or(u32::MAX).max(1)
}

/// Decides. `running` and `waiting` are in the order in which they came.
pub(crate) fn admit(
    bounds: &Bounds,
    resources: &Resources,
    running: &[Running],
    waiting: &[Holder],
) -> Decision {
    let reason = held_back(bounds, resources, running);
    let first = waiting.first().cloned();
    // What the disk lacks no suspension gives: it takes more of it.
    let room_helps = !matches!(reason, None | Some(QueueReason::Disk { .. }));
    let wanted = Some(SuspendReason::RoomWanted).filter(|_| first.is_some() && room_helps);
    let short = short_of_memory(resources);
    let spare_first =
        short.is_some() || wanted.is_some() && matches!(reason, Some(QueueReason::Memory { .. }));
    let idle = running.iter().filter(|one| one.usage == Use::Idle).map(|one| one.holder.clone()).collect();
    let relief = short.or(wanted).map(|why| Relief { why, spare_first, idle });
    Decision {
        admitted: first.filter(|_| reason.is_none()),
        reason: reason.filter(|_| !waiting.is_empty()),
        relief: relief.filter(|relief| relief.spare_first || !relief.idle.is_empty()),
    }
}

/// What gives its place on a host up for those whose sandbox has none.
fn room_on_hosts(running: &[Running], lacking: &[Holder]) -> Option<Relief> {
    let idle = running.iter().filter(|one| one.usage == Use::Idle && !lacking.contains(&one.holder));
    let idle: Vec<Holder> = idle.map(|one| one.holder.clone()).collect();
    let wanted = !lacking.is_empty() && !idle.is_empty();
    wanted.then_some(Relief { why: SuspendReason::RoomWanted, spare_first: false, idle })
}

/// What says that the host is short of memory, if anything does.
fn short_of_memory(resources: &Resources) -> Option<SuspendReason> {
    let scarce = resources.available_mib.filter(|available| *available < SCARCE_MIB);
    let scarce = scarce.map(|available_mib| SuspendReason::MemoryScarce { available_mib });
    let stalled = resources.stalled_percent.filter(|percent| *percent > STALLED_PERCENT);
    scarce.or(stalled.map(|percent| SuspendReason::MemoryStalled { percent: whole_percent(percent) }))
}

/// A share in whole percent, of 0 to 100.
fn whole_percent(percent: f32) -> u32 {
    percent.clamp(0.0, 100.0).round() as u32
}

/// Why one more may not run. The first one always may, unless the disk is full: a small host is slow and not useless.
fn held_back(bounds: &Bounds, resources: &Resources, running: &[Running]) -> Option<QueueReason> {
    if resources.free_disk_mib.is_some_and(|free| free < DISK_MIB) {
        return Some(QueueReason::Disk { needed_mib: DISK_MIB });
    }
    if running.is_empty() {
        return None;
    }
    let count = u32::try_from(running.len()).unwrap_or(u32::MAX);
    if count >= bounds.sandboxes {
        return Some(QueueReason::SandboxLimit { limit: bounds.sandboxes });
    }
    let busy = running.iter().filter(|one| one.usage == Use::Busy).count();
    let used = u32::try_from(busy).unwrap_or(u32::MAX).saturating_mul(bounds.size.processors);
    if bounds.processors.is_some_and(|own| used >= own.saturating_mul(PROCESSORS_EACH)) {
        return Some(QueueReason::Processors);
    }
    let needed = u64::from(bounds.size.memory_mib) / NEEDED_PART + SCARCE_MIB;
    if resources.available_mib.is_some_and(|available| available < needed) {
        return Some(QueueReason::Memory { needed_mib: needed });
    }
    None
}

/// The sandboxes that run in this process, and who waits.
pub(crate) struct Rooms {
    bounds: Bounds,
    gauge: Gauge,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    running: Vec<Running>,
    waiting: Vec<Holder>,
    /// Those who have room here, for whose sandbox none of the driver's hosts has any.
    lacking: Vec<Holder>,
}

impl Rooms {
    /// Rooms of a host that `gauge` looks at.
    pub(crate) fn new(bounds: Bounds, gauge: Gauge) -> Self {
        Self { bounds, gauge, state: Mutex::default(), changed: Notify::new() }
    }

    /// How many may run at once.
    pub(crate) fn limit(&self) -> u32 {
        self.bounds.sandboxes
    }

    /// Asks for room. Whoever gets none stands in line, and asks again after [`Rooms::changed`].
    pub(crate) fn ask(self: &Arc<Self>, holder: &Holder) -> Result<Room, QueueReason> {
        let resources = self.gauge.read();
        let mut state = self.state();
        if !state.waiting.contains(holder) {
            state.waiting.push(holder.clone());
        }
        let decision = admit(&self.bounds, &resources, &state.running, &state.waiting);
        match decision.admitted {
            Some(first) if first == *holder => Ok(self.enter(&mut state, holder)),
            // It is the turn of another one, which is just about to ask.
            Some(_) => Err(QueueReason::SandboxLimit { limit: self.bounds.sandboxes }),
            None => {
                Err(decision.reason.unwrap_or(QueueReason::SandboxLimit { limit: self.bounds.sandboxes }))
            }
        }
    }

    /// Asks for room and stands in line for `within` at most, and only while a sandbox is idle that may give its own up.
    pub(crate) async fn ask_for(
        self: &Arc<Self>,
        holder: &Holder,
        within: Duration,
    ) -> Result<Room, QueueReason> {
        let until = tokio::time::Instant::now() + within;
        loop {
            let reason = match self.ask(holder) {
                Ok(room) => return Ok(room),
                Err(reason) => reason,
            };
            let one_is_idle = self.state().running.iter().any(|one| one.usage == Use::Idle);
            if !one_is_idle || tokio::time::Instant::now() >= until {
                self.leave(holder);
                return Err(reason);
            }
            self.changed().await;
        }
    }

    /// Takes room that is used already: that of a sandbox that an earlier owner left running.
    pub(crate) fn take_again(self: &Arc<Self>, holder: &Holder) -> Room {
        let mut state = self.state();
        self.enter(&mut state, holder)
    }

    fn enter(self: &Arc<Self>, state: &mut State, holder: &Holder) -> Room {
        state.waiting.retain(|other| other != holder);
        state.running.retain(|other| other.holder != *holder);
        state.running.push(Running { holder: holder.clone(), usage: Use::Busy });
        // The next in line may fit too.
        self.changed.notify_waiters();
        Room { rooms: Arc::clone(self), holder: holder.clone() }
    }

    /// Returns when there may be room: somebody left, or some time has passed.
    pub(crate) async fn changed(&self) {
        let _or_not = tokio::time::timeout(LOOK_EVERY, self.changed.notified()).await;
    }

    /// Lets all who stand in line, or would, ask again.
    pub(crate) fn look_again(&self) {
        self.changed.notify_waiters();
    }

    /// Leaves the line.
    pub(crate) fn leave(&self, holder: &Holder) {
        let mut state = self.state();
        let before = state.waiting.len();
        state.waiting.retain(|other| other != holder);
        if state.waiting.len() != before {
            self.changed.notify_waiters();
        }
    }

    /// Waits until it is to be looked at memory or disk again: a while longer while nobody has room or waits for some,
    /// and then no longer than until somebody gets room.
    pub(crate) async fn rest(&self, usual: Duration) {
        let mut changed = std::pin::pin!(self.changed.notified());
        // Before it is looked who is there: nobody gets it unnoticed in between.
        changed.as_mut().enable();
        let nobody = {
            let state = self.state();
            state.running.is_empty() && state.waiting.is_empty() && state.lacking.is_empty()
        };
        if nobody {
            let _or_not = tokio::time::timeout(LOOK_RARELY_EVERY, changed).await;
        } else {
            tokio::time::sleep(usual).await;
        }
    }

    /// What is to give its memory back now, if anything is.
    pub(crate) fn relief(&self) -> Option<Relief> {
        let resources = self.gauge.read();
        let state = self.state();
        let relief = admit(&self.bounds, &resources, &state.running, &state.waiting).relief;
        relief.or_else(|| room_on_hosts(&state.running, &state.lacking))
    }

    /// Says that no host has room for a holder's sandbox, until what it returns is dropped: sandboxes in which nothing happens
    /// give theirs up meanwhile.
    pub(crate) fn lacks(self: &Arc<Self>, holder: &Holder) -> Lacking {
        self.state().lacking.push(holder.clone());
        Lacking { rooms: Arc::clone(self), holder: holder.clone() }
    }

    /// Whether the host is short of memory.
    pub(crate) fn is_short_of_memory(&self) -> bool {
        short_of_memory(&self.gauge.read()).is_some()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that is done under this lock can leave a value half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody for whose sandbox no host has room.
pub(crate) struct Lacking {
    rooms: Arc<Rooms>,
    holder: Holder,
}

impl Drop for Lacking {
    fn drop(&mut self) {
        let mut state = self.rooms.state();
        if let Some(place) = state.lacking.iter().position(|one| *one == self.holder) {
            state.lacking.remove(place);
        }
    }
}

/// Room for one sandbox, until it is dropped.
pub(crate) struct Room {
    rooms: Arc<Rooms>,
    holder: Holder,
}

impl Room {
    /// Says what the sandbox is at.
    pub(crate) fn set(&self, usage: Use) {
        let mut state = self.rooms.state();
        if let Some(own) = state.running.iter_mut().find(|one| one.holder == self.holder) {
            own.usage = usage;
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut state = self.rooms.state();
        state.running.retain(|one| one.holder != self.holder);
        self.rooms.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests;
