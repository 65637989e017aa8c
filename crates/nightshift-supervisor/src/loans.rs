//! Sandboxes that no run has, lent to programs that want a desktop to work in.
//!
//! ```text
//!   lend ─▶ lent ⇄ in use ── given back │ lapsed │ its machine ended │ the owner stops ──▶ gone
//! ```
//!
//! Nothing of them is in the history, and an owner that comes after removes what it finds of them. They take room as
//! the sandboxes of runs do: where there is none, none is lent. They reach nothing, and nothing is in them but what
//! the borrower puts there.

mod lease;
mod uses;

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nightshift_protocol::{BorrowSandbox, ErrorCode, SandboxId, SandboxLoan, UserError};
use nightshift_sandbox::CloneRequest;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::admission::{Holder, Room};
use crate::desk::{Desk, DeskError};
use crate::loans::lease::Lease;
use crate::supervisor::{Supervisor, to_its_end};

/// Sandboxes lent at once at most, however much room there is: runs come first.
const MOST: usize = 8;

/// Seconds a loan may last without being used.
const LEASES: std::ops::RangeInclusive<u32> = 1..=3_600;
const LEASE: u32 = 600;

/// How long an idle sandbox may take to give its room up.
const ROOM_WITHIN: Duration = Duration::from_secs(30);

/// Of how many loans that are over it is remembered why.
const REMEMBERED: usize = 64;

/// The sandboxes that are lent.
pub(crate) struct Loans {
    lent: Mutex<HashMap<SandboxId, Arc<Loan>>>,
    over: Mutex<VecDeque<(SandboxId, Over)>>,
    places: Arc<Semaphore>,
}

impl Default for Loans {
    fn default() -> Self {
        Self { lent: Mutex::default(), over: Mutex::default(), places: Arc::new(Semaphore::new(MOST)) }
    }
}

/// Why a loan is over.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Over {
    GivenBack,
    Lapsed,
    Ended(String),
}

impl std::fmt::Display for Over {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::GivenBack => formatter.write_str("it was closed"),
            Self::Lapsed => formatter.write_str("it was not used for longer than its lease, and was closed"),
            Self::Ended(reason) => write!(formatter, "its machine has ended: {reason}"),
        }
    }
}

/// One sandbox that is lent.
struct Loan {
    sandbox: SandboxId,
    desk: Desk,
    screen_size: (u32, u32),
    lease: Mutex<Lease>,
    changed: Notify,
    /// One action on the screen at a time.
    screen: tokio::sync::Mutex<()>,
    commands: Semaphore,
    jobs: AtomicU64,
    _place: OwnedSemaphorePermit,
    _room: Room,
}

impl Loan {
    fn lease(&self) -> MutexGuard<'_, Lease> {
        self.lease.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn facts(&self) -> SandboxLoan {
        SandboxLoan {
            sandbox: self.sandbox.clone(),
            width: self.screen_size.0,
            height: self.screen_size.1,
            home: self.desk.machine.home().to_owned(),
            lease_seconds: u32::try_from(self.lease().length().as_secs()).unwrap_or(u32::MAX),
        }
    }

    /// A number for what is done in the guest, whose jobs are known by their ids.
    fn next_job(&self, what: &str) -> nightshift_channel::JobId {
        let number = self.jobs.fetch_add(1, Ordering::Relaxed);
        crate::tools::job_id(&format!("{}-{number}-{what}", self.sandbox))
    }

    async fn lapses(&self) {
        loop {
            let Some(at) = self.lease().lapses_at() else {
                self.changed.notified().await;
                continue;
            };
            tokio::select! {
                () = tokio::time::sleep_until(at) => {
                    if self.lease().has_lapsed(Instant::now()) {
                        return;
                    }
                }
                () = self.changed.notified() => {}
            }
        }
    }
}

/// A loan while something is done with it: it does not lapse.
struct InUse(Arc<Loan>);

impl InUse {
    fn begin(loan: Arc<Loan>) -> Self {
        loan.lease().begin_use();
        loan.changed.notify_one();
        Self(loan)
    }
}

impl std::ops::Deref for InUse {
    type Target = Loan;

    fn deref(&self) -> &Loan {
        &self.0
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.0.lease().end_use(Instant::now());
        self.0.changed.notify_one();
    }
}

impl Loans {
    fn lent(&self) -> MutexGuard<'_, HashMap<SandboxId, Arc<Loan>>> {
        self.lent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn over(&self) -> MutexGuard<'_, VecDeque<(SandboxId, Over)>> {
        self.over.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a loan out of the list; whoever gets it stops its machine.
    fn take(&self, sandbox: &SandboxId, why: Over) -> Option<Arc<Loan>> {
        let loan = self.lent().remove(sandbox)?;
        let mut over = self.over();
        over.push_back((sandbox.clone(), why));
        if over.len() > REMEMBERED {
            over.pop_front();
        }
        Some(loan)
    }

    fn find(&self, sandbox: &str) -> Result<Arc<Loan>, UserError> {
        let found =
            self.lent().iter().find(|(id, _)| id.as_str() == sandbox).map(|(_, loan)| Arc::clone(loan));
        if let Some(loan) = found {
            return Ok(loan);
        }
        let given: String = sandbox.chars().take(80).collect();
        let (code, message) = match self.over().iter().rev().find(|(id, _)| id.as_str() == sandbox) {
            Some((_, why)) => (ErrorCode::Conflict, format!("{given} is not lent any more: {why}")),
            None => (ErrorCode::NotFound, format!("no sandbox \"{given}\" is lent")),
        };
        let hint = "Open another one. What was in it is gone; the sandboxes of runs are used by taking over.";
        Err(UserError::new(code, message, hint))
    }
}

impl Supervisor {
    /// Lends a sandbox without an agent. It is closed when it is not used for as long as its lease.
    pub async fn lend_sandbox(&self, wish: BorrowSandbox) -> Result<SandboxLoan, UserError> {
        let seconds = wish.lease_seconds.unwrap_or(LEASE);
        if !LEASES.contains(&seconds) {
            let message =
                format!("a lease of {seconds} s is not between {} and {} s", LEASES.start(), LEASES.end());
            return Err(UserError::new(
                ErrorCode::InvalidRequest,
                message,
                "A loan that is used is renewed by that.",
            ));
        }
        let this = self.clone();
        // A borrower that goes away in the middle leaves a loan that lapses.
        to_its_end(async move { this.lend(Duration::from_secs(seconds.into())).await }).await
    }

    async fn lend(&self, lease: Duration) -> Result<SandboxLoan, UserError> {
        let shared = self.shared();
        let full = |message: String| {
            let hint = "Close one that is not needed, or wait until a run has ended.";
            UserError::new(ErrorCode::Conflict, message, hint)
        };
        let place = Arc::clone(&shared.loans.places).try_acquire_owned();
        let place = place.map_err(|_| full(format!("{MOST} sandboxes are lent, and no more are")))?;
        let sandbox = SandboxId::new(shared.entropy.as_ref());
        let room = shared.rooms.ask_for(&Holder::Loan(sandbox.clone()), ROOM_WITHIN).await;
        let room =
            room.map_err(|reason| full(format!("there is no room for another sandbox: {}", reason.words())))?;
        let Some(template) = shared.templates.find().await? else {
            return Err(UserError::new(
                ErrorCode::ImageFailed,
                "the guest image and its template are not made yet",
                "`nightshift template build` makes them, once; it takes minutes.",
            ));
        };
        let _making = shared.being_made.begin(&sandbox);
        let request = CloneRequest { sandbox: sandbox.clone(), template, size: shared.templates.size() };
        let threads = shared.intake.handle();
        let cloned = Desk::clone_template(
            shared.driver.as_ref(),
            request,
            shared.clock.as_ref(),
            shared.entropy.as_ref(),
            &threads,
        );
        let desk = match cloned.await {
            Ok((desk, _)) => desk,
            Err(error) => {
                if let Ok(Some(machine)) = shared.driver.find(&sandbox).await
                    && let Err(error) = machine.stop().await
                {
                    tracing::warn!(%sandbox, %error, "a sandbox that failed could not be removed");
                }
                return Err(error.into());
            }
        };
        let Some(size) = desk.screen.size() else {
            let _stopped = desk.machine.stop().await;
            return Err(DeskError::Dark { what: "it shows nothing".to_owned() }.into());
        };
        let loan = Arc::new(Loan {
            sandbox: sandbox.clone(),
            desk,
            screen_size: (size.width(), size.height()),
            lease: Mutex::new(Lease::new(lease, Instant::now())),
            changed: Notify::new(),
            screen: tokio::sync::Mutex::default(),
            commands: Semaphore::new(uses::COMMANDS),
            jobs: AtomicU64::new(0),
            _place: place,
            _room: room,
        });
        let facts = loan.facts();
        shared.loans.lent().insert(sandbox, Arc::clone(&loan));
        tokio::spawn(watch(self.clone(), loan));
        Ok(facts)
    }

    /// The sandboxes that are lent, by their ids.
    pub fn lent_sandboxes(&self) -> Vec<SandboxLoan> {
        let mut list: Vec<_> = self.shared().loans.lent().values().map(|loan| loan.facts()).collect();
        list.sort_by(|one, other| one.sandbox.cmp(&other.sandbox));
        list
    }

    /// Lets a loan last for its lease from now on.
    pub fn renew_sandbox(&self, sandbox: &str) -> Result<SandboxLoan, UserError> {
        let loan = self.shared().loans.find(sandbox)?;
        loan.lease().renew(Instant::now());
        loan.changed.notify_one();
        Ok(loan.facts())
    }

    /// Closes a sandbox that was lent; what is in it is gone.
    pub async fn give_back_sandbox(&self, sandbox: &str) -> Result<(), UserError> {
        let found = self.shared().loans.find(sandbox)?;
        let this = self.clone();
        to_its_end(async move {
            this.close_loan(&found.sandbox, Over::GivenBack).await;
            Ok(())
        })
        .await
    }

    async fn close_loan(&self, sandbox: &SandboxId, why: Over) {
        let Some(loan) = self.shared().loans.take(sandbox, why.clone()) else { return };
        tracing::info!(%sandbox, %why, "a lent sandbox is gone");
        if let Err(error) = loan.desk.machine.stop().await {
            tracing::warn!(%sandbox, %error, "a lent sandbox could not be removed");
        }
    }

    /// Closes all of them.
    pub(crate) async fn close_loans(&self) {
        let all: Vec<SandboxId> = self.shared().loans.lent().keys().cloned().collect();
        for sandbox in all {
            self.close_loan(&sandbox, Over::GivenBack).await;
        }
    }
}

/// Closes a loan when it lapses or its machine ends; one that is given back needs no watching any more.
async fn watch(supervisor: Supervisor, loan: Arc<Loan>) {
    let machine = Arc::clone(&loan.desk.machine);
    let why = tokio::select! {
        () = loan.lapses() => Over::Lapsed,
        reason = machine.ended() => Over::Ended(reason),
    };
    supervisor.close_loan(&loan.sandbox, why).await;
}
