//! What all runs of an owner share.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use nightshift_agent::subagents::DefinitionFile;
use nightshift_engine::Engine;
use nightshift_forge::{Forge, Git};
use nightshift_mcp_client::Keys;
use nightshift_model::Model;
use nightshift_protocol::{Approval, Clock, Entropy, EnvironmentId, Limits, Live, RunId};
use nightshift_sandbox::{Driver, MachineSize};
use nightshift_store::Store;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;

use crate::admission::{Bounds, Gauge, Rooms, sandboxes_for};
use crate::delivery::DeliverySettings;
use crate::disk::{BeingMade, DiskSettings};
use crate::environment::RegistrySettings;
use crate::images::Images;
use crate::intake::Intake;
use crate::loans::Loans;
use crate::network::NetworkSettings;
use crate::spare::Spares;
use crate::templates::Templates;
use crate::terminal::Terminals;
use crate::watching::Desks;

/// Live updates kept for a watcher that is slow; one that is slower misses some.
const LIVE: usize = 1_024;

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
    /// The agent that works on a task which names none.
    pub default_engine: String,
    /// Tokens a model's window has; 200,000 when `None`.
    pub context_tokens: Option<u64>,
    /// What a task may use that comes of an issue.
    pub limits: Limits,
    /// Sandboxes that may run at once; by memory when `None`.
    pub sandboxes: Option<u32>,
    /// The sandboxes' size.
    pub size: MachineSize,
    /// Whether a clone waits for the next task.
    pub spare: bool,
    /// What sandboxes may take of the host's disk.
    pub disk: DiskSettings,
    /// The host's memory in MiB, as far as it is known.
    pub host_memory_mib: Option<u64>,
    /// Where the host's kernel tells what memory is left, as in `/proc` (proc(5)).
    pub kernel: PathBuf,
    /// The folder with everything that must not be lost: its disk is watched.
    pub data: PathBuf,
    /// The folder with images and templates.
    pub cache: PathBuf,
    /// What sandboxes may reach.
    pub network: NetworkSettings,
    /// The person's keys that headers of servers at an address may name (MCP).
    pub mcp_keys: Keys,
    /// The package registries that set-ups may reach.
    pub registries: RegistrySettings,
    /// Where bundles lie on their way into and out of sandboxes.
    pub scratch: PathBuf,
    /// Which commands of a task need a person's yes.
    pub approval: Approval,
    /// Rules which agent is for what, in every repository; they come before a repository's own.
    pub routing: Vec<String>,
    /// The foreign agents that may work on tasks, by name.
    pub engines: BTreeMap<String, Engine>,
    /// Definitions of subagents that the person has; a repository's of the same name count instead.
    pub agents: Arc<dyn OwnDefinitions>,
    /// What names of models in definitions mean, where the person says so: `opus` or any other.
    pub model_names: BTreeMap<String, String>,
    /// How work is delivered.
    pub delivery: DeliverySettings,
}

/// Definitions of subagents that the person has.
pub trait OwnDefinitions: std::fmt::Debug + Send + Sync {
    /// Reads those there are now, also such that cannot be used; the first of a name counts. It waits for the disk.
    fn read(&self) -> Vec<DefinitionFile>;
}

impl OwnDefinitions for Vec<DefinitionFile> {
    fn read(&self) -> Vec<DefinitionFile> {
        self.clone()
    }
}

impl SupervisorSettings {
    /// The person's definitions as they are now.
    pub(crate) async fn own_agents(&self) -> Vec<DefinitionFile> {
        let agents = Arc::clone(&self.agents);
        // It fails only when the owner ends.
        tokio::task::spawn_blocking(move || agents.read()).await.unwrap_or_default()
    }
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
    /// The sandboxes that no run has.
    pub(crate) loans: Loans,
    /// The sandboxes that are being made.
    pub(crate) being_made: BeingMade,
    /// The runs whose mouse and keyboard a person has.
    pub(crate) leases: Mutex<HashSet<RunId>>,
    /// The set-ups that go on in this process.
    pub(crate) set_ups: Mutex<HashMap<EnvironmentId, JoinHandle<()>>>,
    /// Where what sandboxes send is taken in.
    pub(crate) intake: Intake,
    /// Where sandboxes run.
    pub(crate) rooms: Arc<Rooms>,
    /// Where programs of the host are looked for, as in `PATH`.
    pub(crate) search_path: Option<OsString>,
}

impl Shared {
    pub(crate) fn new(
        parts: SupervisorParts,
        settings: SupervisorSettings,
        search_path: Option<OsString>,
    ) -> Self {
        let bounds = Bounds {
            sandboxes: settings
                .sandboxes
                .unwrap_or_else(|| sandboxes_for(settings.host_memory_mib, settings.size)),
            size: settings.size,
            processors: std::thread::available_parallelism()
                .ok()
                .and_then(|processors| u32::try_from(processors.get()).ok())
                .filter(|_| settings.host_memory_mib.is_some()),
        };
        // Where nothing is known of the host's memory nothing is to be looked at either.
        let gauge = match settings.host_memory_mib {
            Some(_) => Gauge::Host { kernel: settings.kernel.clone(), disk: settings.data.clone() },
            None => Gauge::Nothing,
        };
        let rooms = Arc::new(Rooms::new(bounds, gauge));
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
            loans: Loans::default(),
            being_made: BeingMade::default(),
            leases: Mutex::default(),
            set_ups: Mutex::default(),
            intake: Intake::start(),
            rooms,
            search_path,
        }
    }
}

impl Shared {
    /// Stops carrying set-ups on; the next owner does.
    pub(crate) fn stop_set_ups(&self) {
        let mut set_ups = self.set_ups.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for (_, task) in set_ups.drain() {
            task.abort();
        }
    }
}
