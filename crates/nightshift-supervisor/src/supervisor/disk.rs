//! Watches the disk below the sandboxes, and makes one stand still before it is full.

use std::time::Duration;

use nightshift_protocol::SandboxId;
use tokio::time::{Instant, sleep, timeout};

use super::Supervisor;
use crate::disk::{Growth, Order};

/// How long a machine may take to be made to stand still or to go on. Others wait for it meanwhile.
const WITHIN: Duration = Duration::from_secs(5);

impl Supervisor {
    /// Looks at what sandboxes write, again and again until the owner ends.
    ///
    /// Whose a sandbox is does not matter here: the driver of a run, a set-up and whoever uses a loan see that it stands
    /// still (`Machine::stalled`), and say so.
    pub(super) async fn watch_disk(self) {
        let (began, mut growth) = (Instant::now(), Growth::default());
        let settings = self.shared.settings.disk;
        loop {
            let mut seen = self.shared.driver.disk_use().await;
            if let Some(seen) = &mut seen {
                self.shared.being_made.leave_out(seen);
                for order in growth.look(&settings, began.elapsed(), seen) {
                    self.obey(order).await;
                }
            }
            let next = settings.next_look(seen.as_ref());
            match seen {
                Some(seen) if !seen.sandboxes.is_empty() => sleep(next).await,
                Some(_) | None => self.shared.rooms.rest(next).await,
            }
        }
    }

    async fn obey(&self, order: Order) {
        let (Order::Hold(sandbox, _) | Order::GoOn(sandbox)) = &order;
        let done = timeout(WITHIN, self.carry_out(sandbox, &order)).await;
        match done {
            Ok(Ok(())) => {
                tracing::info!(%sandbox, ?order, "a sandbox stands still for the disk, or no longer does")
            }
            // It is decided anew at the next look.
            Ok(Err(why)) => tracing::warn!(%sandbox, ?order, why, "not done"),
            Err(_) => tracing::warn!(%sandbox, ?order, "not done in time"),
        }
    }

    async fn carry_out(&self, sandbox: &SandboxId, order: &Order) -> Result<(), String> {
        let found = self.shared.driver.find(sandbox).await.map_err(|error| error.to_string())?;
        let machine = found.ok_or("its virtual machine no longer runs")?;
        let done = match order {
            Order::Hold(_, why) => machine.hold(*why).await,
            Order::GoOn(_) => machine.go_on().await,
        };
        done.map_err(|error| error.to_string())
    }
}
