//! When a spare clone is kept: while tasks are written and come, and for a while after the last one.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nightshift_protocol::{SandboxId, UserError};
use nightshift_sandbox::{CloneRequest, StartError, Template};
use tokio::task::JoinHandle;

use crate::Supervisor;
use crate::shared::Shared;

/// How long after a clone was taken the next one is made: by then the sandbox that was asked for shows its desktop, and
/// the two do not take the processors from each other.
const AFTER: Duration = Duration::from_secs(3);
/// How long a spare clone waits. It needs some tens of megabytes, which a host that has gone quiet gets back.
const KEPT: Duration = Duration::from_secs(30 * 60);

/// When a spare clone is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Somebody writes a task, which needs it as soon as it is submitted.
    Now,
    /// A task has got its sandbox, and another may follow.
    Soon,
}

/// Sees to it that a clone waits for the next task.
#[derive(Debug)]
pub(crate) struct Spares {
    after: Duration,
    kept: Duration,
    keeper: Mutex<Option<JoinHandle<()>>>,
}

impl Default for Spares {
    fn default() -> Self {
        Self { after: AFTER, kept: KEPT, keeper: Mutex::default() }
    }
}

impl Spares {
    /// Makes a spare clone with `make`, and ends it with `end` when none was wanted again for a while.
    pub(crate) fn keep(
        &self,
        wanted: Wanted,
        make: impl Future<Output = Result<(), StartError>> + Send + 'static,
        end: impl Future<Output = ()> + Send + 'static,
    ) {
        let kept = self.kept;
        let after = match wanted {
            Wanted::Now => Duration::ZERO,
            Wanted::Soon => self.after,
        };
        let next = tokio::spawn(async move {
            tokio::time::sleep(after).await;
            if let Err(error) = make.await {
                tracing::info!(%error, "no spare clone is kept");
                return;
            }
            tokio::time::sleep(kept).await;
            end.await;
        });
        let before = self.keeper.lock().unwrap_or_else(PoisonError::into_inner).replace(next);
        if let Some(before) = before {
            before.abort();
        }
    }
}

impl Shared {
    /// Sees to it that a clone of that template waits for a task, unless a person wants none to.
    pub(crate) fn keep_spare(&self, template: Template, wanted: Wanted) {
        if !self.settings.spare {
            return;
        }
        let sandbox = SandboxId::new(self.entropy.as_ref());
        let request = CloneRequest { sandbox, template, size: self.templates.size() };
        let (maker, ender) = (Arc::clone(&self.driver), Arc::clone(&self.driver));
        let rooms = Arc::clone(&self.rooms);
        let make = async move {
            // It would be given back at once.
            if rooms.is_short_of_memory() { Ok(()) } else { maker.keep_spare(request).await }
        };
        self.spares.keep(wanted, make, async move {
            ender.drop_spare().await;
        });
    }
}

impl Supervisor {
    /// Somebody is writing a task: sees to it that a clone waits for it, so that its sandbox is there when it is submitted.
    ///
    /// It returns before the clone is there. Where there is no template yet, or none is to wait, nothing is done.
    ///
    /// # Errors
    ///
    /// If it cannot be looked for the template.
    pub async fn expect_task(&self) -> Result<(), UserError> {
        if let Some(template) = self.shared().templates.find().await? {
            self.shared().keep_spare(template, Wanted::Now);
        }
        Ok(())
    }
}

impl Drop for Spares {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.get_mut().unwrap_or_else(PoisonError::into_inner) {
            keeper.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

    use super::*;

    const LONG: Duration = Duration::from_secs(3_600);

    fn spares(kept: Duration) -> Spares {
        Spares { after: Duration::ZERO, kept, keeper: Mutex::default() }
    }

    fn come(spares: &Spares, said: &UnboundedSender<&'static str>, made: Result<(), StartError>) {
        wanted(spares, Wanted::Soon, said, made);
    }

    fn wanted(
        spares: &Spares,
        wanted: Wanted,
        said: &UnboundedSender<&'static str>,
        made: Result<(), StartError>,
    ) {
        let (maker, ender) = (said.clone(), said.clone());
        let make = async move {
            let _ = maker.send("made");
            made
        };
        spares.keep(wanted, make, async move {
            let _ = ender.send("ended");
        });
    }

    /// All that is said until nobody is left to say anything.
    async fn all(
        mut heard: UnboundedReceiver<&'static str>,
        said: UnboundedSender<&'static str>,
    ) -> Vec<&'static str> {
        drop(said);
        let mut all = Vec::new();
        while let Some(word) = heard.recv().await {
            all.push(word);
        }
        all
    }

    #[tokio::test]
    async fn a_spare_is_made_after_a_task_came_and_ended_when_no_other_comes() {
        let (said, heard) = unbounded_channel();
        let spares = spares(Duration::from_millis(1));
        come(&spares, &said, Ok(()));
        assert_eq!(all(heard, said).await, ["made", "ended"]);
    }

    #[tokio::test]
    async fn a_task_that_comes_meanwhile_makes_the_spare_wait_anew() {
        let (said, mut heard) = unbounded_channel();
        let spares = spares(LONG);
        come(&spares, &said, Ok(()));
        assert_eq!(heard.recv().await, Some("made"));
        come(&spares, &said, Ok(()));
        assert_eq!(heard.recv().await, Some("made"));
        // Both would wait for an hour: the first was given up, and the second goes with the owner.
        drop(spares);
        assert_eq!(all(heard, said).await, [""; 0]);
    }

    #[tokio::test]
    async fn while_a_task_is_written_its_spare_does_not_wait_for_the_sandbox_of_the_one_before() {
        let (said, mut heard) = unbounded_channel();
        let spares = Spares { after: LONG, kept: LONG, keeper: Mutex::default() };
        come(&spares, &said, Ok(()));
        wanted(&spares, Wanted::Now, &said, Ok(()));
        assert_eq!(heard.recv().await, Some("made"));
    }

    #[tokio::test]
    async fn a_spare_that_could_not_be_made_is_not_ended() {
        let (said, heard) = unbounded_channel();
        let spares = spares(Duration::ZERO);
        come(&spares, &said, Err(StartError::DiskFull { folder: "/data".into() }));
        assert_eq!(all(heard, said).await, ["made"]);
    }
}
