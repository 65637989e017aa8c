//! Waiting for room where only the driver of sandboxes knows of it: on the hosts that they are on.

use std::sync::Arc;

use nightshift_protocol::{ErrorCode, Live, LiveBody, SandboxFacts, UserError};
use nightshift_sandbox::{CloneRequest, RestoreRequest, StartError, Template};

use super::Acts;
use crate::admission::Holder;
use crate::desk::{Desk, DeskError};
use crate::images::SetUpPhase;
use crate::shared::Shared;
use crate::supervisor::to_its_end;

/// Waits for room for a holder's sandbox. Others who do nothing with theirs give it up meanwhile.
pub(crate) async fn wait(shared: &Arc<Shared>, holder: &Holder) {
    let _lacking = shared.rooms.lacks(holder);
    shared.rooms.changed().await;
}

impl Acts {
    /// Finds the template, or makes it once a host has room. Who gives the run up leaves it to the next one: minutes are not
    /// thrown away.
    pub(super) async fn template_when_there_is_room(&self) -> Result<Template, UserError> {
        loop {
            let (live, run) = (self.shared.live.clone(), self.run.clone());
            let say = move |phase: SetUpPhase| {
                let SetUpPhase { what, phase, number, of } = phase;
                let body = LiveBody::SetUpProgress { what: what.to_owned(), phase, number, of };
                let _watchers = live.send(Live { run: run.clone(), body });
            };
            let templates = Arc::clone(&self.shared.templates);
            match to_its_end(async move { templates.ensure(&say).await }).await {
                Err(error) if error.code == ErrorCode::OutOfMemory => self.wait_for_room(error.message).await,
                made => return made,
            }
        }
    }

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
        wait(&self.shared, &Holder::Run(self.run.clone())).await;
    }
}
