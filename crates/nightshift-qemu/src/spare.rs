//! A clone made before anybody asks for it: its QEMU has started and taken up the template's state, and its guest has
//! run for a moment and stands still.
//!
//! Starting QEMU is most of the way from a request to a clone's first frame. The moment after it, in which a guest that
//! was frozen for days does what it has put off, finds its memory and has its code translated, is most of the way to
//! its first answer. Neither depends on whose the clone will be: it is given its identity, its clock and its entropy
//! when it is given away.

use std::io;
use std::path::Path;
use std::time::Duration;

use nightshift_protocol::SandboxId;
use nightshift_sandbox::{Expendable, StartError, TemplateKey};
use tokio::sync::Mutex;

use crate::failure;
use crate::machine::QemuMachine;
use crate::start::Standing;

/// How long a spare clone's guest runs before it waits. What it has put off is done in about a second where QEMU
/// translates its code, and sooner elsewhere.
const WARM_UP: Duration = Duration::from_secs(2);

/// The way of the pointer meanwhile, in thousandths of the screen: over the page, along the browser's buttons, which light
/// up below it, and back to the middle, where it was. With QEMU translating the guest's code, the first click in a machine waits
/// for the code of everything between the mouse and the screen; this has it translated.
const POINTER_WAY: [(u32, u32); 9] =
    [(480, 560), (300, 300), (73, 79), (228, 25), (915, 79), (983, 79), (600, 300), (500, 483), (500, 500)];

/// A clone that nobody has asked for yet. Dropped, it leaves nothing.
#[derive(Debug)]
pub(crate) struct Spare(Standing);

impl Spare {
    /// Lets it run as the machine of `sandbox`.
    pub(crate) async fn run_as(
        self,
        sandbox: SandboxId,
        sandboxes: &Path,
    ) -> Result<QemuMachine, StartError> {
        let Self(mut standing) = self;
        let place = sandboxes.join(sandbox.as_str());
        standing.give_to(sandbox, sandboxes).map_err(|source: io::Error| {
            failure::io(format!("{} could not be made", place.display()), &place, source)
        })?;
        standing.set_expendable(Expendable::Works);
        standing.go_on().await
    }
}

/// Where a driver keeps its spare clone, with the key of its template.
#[derive(Debug, Default)]
pub(crate) struct SpareSlot(Mutex<Option<(TemplateKey, Spare)>>);

impl SpareSlot {
    /// Takes the spare clone of the template, if it is there and whole by now.
    ///
    /// Whoever needs a clone does not wait for one that is being made for later.
    pub(crate) fn take(&self, key: &TemplateKey) -> Option<Spare> {
        let mut kept = self.0.try_lock().ok()?;
        kept.take_if(|(of, _)| of == key).map(|(_, spare)| spare)
    }

    /// Makes a spare clone of the template, unless there is one. One of another template gives way first.
    pub(crate) async fn keep(
        &self,
        key: TemplateKey,
        make: impl AsyncFnOnce() -> Result<Standing, StartError>,
    ) -> Result<(), StartError> {
        let mut kept = self.0.lock().await;
        if kept.as_ref().is_some_and(|(of, _)| *of == key) {
            return Ok(());
        }
        *kept = None;
        let standing = make().await?;
        standing.set_expendable(Expendable::Spare);
        standing.run_for(WARM_UP, &POINTER_WAY).await?;
        *kept = Some((key, Spare(standing)));
        Ok(())
    }

    /// Ends the spare clone, if there is one, and tells whether there was.
    pub(crate) async fn clear(&self) -> bool {
        self.0.lock().await.take().is_some()
    }
}
