//! Waiting for room where only the driver of sandboxes knows of it: on the hosts that they are on.

use nightshift_protocol::{Live, LiveBody, SandboxFacts};
use nightshift_sandbox::{CloneRequest, RestoreRequest, StartError};

use super::Acts;
use crate::desk::{Desk, DeskError};

impl Acts {
    /// Clones a template once a host has room, and says meanwhile why none has. Who gives the run up ends the waiting.
    pub(super) async fn clone_when_there_is_room(
        &self,
        request: &CloneRequest,
    ) -> Result<(Desk, SandboxFacts), DeskError> {
        let (clock, entropy) = (self.shared.clock.as_ref(), self.shared.entropy.as_ref());
        let (driver, threads) = (self.shared.driver.as_ref(), self.shared.intake.handle());
        loop {
            let cloned = Desk::clone_template(driver, request.clone(), clock, entropy, &threads).await;
            match cloned {
                Err(DeskError::Start(StartError::NoRoom { what, .. })) => self.wait_for_room(what).await,
                cloned => return cloned,
            }
        }
    }

    /// Brings a sandbox back in the same way.
    pub(super) async fn restore_when_there_is_room(
        &self,
        request: RestoreRequest,
    ) -> Result<Desk, DeskError> {
        let (clock, entropy) = (self.shared.clock.as_ref(), self.shared.entropy.as_ref());
        let (driver, threads) = (self.shared.driver.as_ref(), self.shared.intake.handle());
        loop {
            let restored = Desk::restore(driver, request.clone(), clock, entropy, &threads).await;
            match restored {
                Err(DeskError::Start(StartError::NoRoom { what, .. })) => self.wait_for_room(what).await,
                restored => return restored,
            }
        }
    }

    async fn wait_for_room(&self, what: String) {
        tracing::debug!(run = %self.run, what, "it waits for room");
        let body = LiveBody::SetUpProgress { what: "sandbox".to_owned(), phase: what, number: 1, of: 1 };
        let _watchers = self.shared.live.send(Live { run: self.run.clone(), body });
        self.shared.rooms.changed().await;
    }
}
