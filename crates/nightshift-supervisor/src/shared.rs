//! What all runs of an owner share.

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use nightshift_forge::{Forge, Git};
use nightshift_model::Model;
use nightshift_protocol::{Clock, Entropy, Live, RunId};
use nightshift_sandbox::{Driver, MachineSize};
use nightshift_store::Store;
use tokio::sync::{Semaphore, broadcast};

use crate::delivery::DeliverySettings;
use crate::images::Images;
use crate::network::NetworkSettings;
use crate::spare::Spares;
use crate::templates::Templates;
use crate::terminal::Terminals;
use crate::watching::Desks;

/// Live updates kept for a watcher that is slow; one that is slower misses some.
const LIVE: usize = 1_024;

/// Memory of the host itself that no sandbox gets, in MiB.
const RESERVED_MIB: u64 = 1_536;

/// What a supervisor works with.
pub struct SupervisorParts {
    /// The history.
    pub store: Store,
    /// The repositories and pull requests.
    pub forge: Forge,
    /// The host's git.
    pub git: Git,
    /// What makes sandboxes.
    pub driver: Arc<dyn Driver>,
    /// The models.
    pub model: Arc<dyn Model>,
    /// The guest image.
    pub images: Images,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Random bytes.
    pub entropy: Arc<dyn Entropy>,
}

/// What a person may set.
#[derive(Debug, Clone)]
pub struct SupervisorSettings {
    /// The model of a task that names none.
    pub default_model: String,
    /// Tokens a model's window has; 200,000 when `None`.
    pub context_tokens: Option<u64>,
    /// Sandboxes that may run at once; by memory when `None`.
    pub sandboxes: Option<u32>,
    /// The sandboxes' size.
    pub size: MachineSize,
    /// Whether a clone waits for the next task.
    pub spare: bool,
    /// The host's memory in MiB, as far as it is known.
    pub host_memory_mib: Option<u64>,
    /// The folder with everything that must not be lost: its disk is watched.
    pub data: PathBuf,
    /// The folder with images and templates.
    pub cache: PathBuf,
    /// What sandboxes may reach.
    pub network: NetworkSettings,
    /// Where bundles lie on their way into and out of sandboxes.
    pub scratch: PathBuf,
    /// How work is delivered.
    pub delivery: DeliverySettings,
}

pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) forge: Forge,
    pub(crate) git: Git,
    pub(crate) driver: Arc<dyn Driver>,
    pub(crate) model: Arc<dyn Model>,
    pub(crate) images: Images,
    pub(crate) templates: Arc<Templates>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) settings: SupervisorSettings,
    pub(crate) live: broadcast::Sender<Live>,
    pub(crate) desks: Desks,
    pub(crate) spares: Spares,
    pub(crate) terminals: Terminals,
    /// The runs whose mouse and keyboard a person has.
    pub(crate) leases: Mutex<HashSet<RunId>>,
    /// One permit for each sandbox that may run.
    pub(crate) room: Arc<Semaphore>,
    pub(crate) limit: u32,
    /// Where programs of the host are looked for, as in `PATH`.
    pub(crate) search_path: Option<OsString>,
}

impl Shared {
    pub(crate) fn new(
        parts: SupervisorParts,
        settings: SupervisorSettings,
        search_path: Option<OsString>,
    ) -> Self {
        let limit =
            settings.sandboxes.unwrap_or_else(|| sandboxes_for(settings.host_memory_mib, settings.size));
        let templates = Arc::new(Templates::new(
            Arc::clone(&parts.driver),
            parts.images.clone(),
            settings.size,
            Arc::clone(&parts.entropy),
        ));
        Self {
            store: parts.store,
            forge: parts.forge,
            git: parts.git,
            driver: parts.driver,
            model: parts.model,
            images: parts.images,
            templates,
            clock: parts.clock,
            entropy: parts.entropy,
            settings,
            live: broadcast::channel(LIVE).0,
            desks: Desks::default(),
            spares: Spares::default(),
            terminals: Terminals::default(),
            leases: Mutex::default(),
            room: Arc::new(Semaphore::new(limit as usize)),
            limit,
            search_path,
        }
    }
}

/// How many sandboxes a host's memory holds, at least one.
///
/// Clones share what they have not changed, but a working one may come to use all of its memory.
fn sandboxes_for(host_memory_mib: Option<u64>, size: MachineSize) -> u32 {
    let Some(memory) = host_memory_mib else { return 1 };
    let room = memory.saturating_sub(RESERVED_MIB) * 3 / 4 / u64::from(size.memory_mib.max(1));
    u32::try_from(room).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_host_still_runs_one_sandbox_and_a_large_one_several() {
        let size = MachineSize { memory_mib: 2_048, processors: 2 };
        assert_eq!(sandboxes_for(Some(3_000), size), 1);
        assert_eq!(sandboxes_for(Some(24_576), size), 8);
        assert_eq!(sandboxes_for(None, size), 1);
    }
}
