//! The driver: the one place where a wish becomes a folder, a command line and a process.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use async_trait::async_trait;
use nightshift_protocol::{CheckpointId, SandboxId};
use nightshift_sandbox::{
    BootRequest, CheckpointError, CheckpointFacts, Checkpoints, CloneRequest, DiskUse, Driver, DriverReport,
    FreezeError, Generation, Image, Machine, MachineSize, Remedy, RestoreRequest, SaveRequest, StartError,
    Template, TemplateBuild, TemplateKey,
};
use serde_json::json;

use crate::acceleration::{self, Tester, Trial, Verdict};
use crate::builds::Places;
use crate::checkpoint::How;
use crate::command_line::{MachinePlan, Start};
use crate::folder::{SandboxFolder, remove_folder};
use crate::image::{self, ImageManifest, read_image};
use crate::machine::QemuMachine;
use crate::program::{Qemu, QemuProgram};
use crate::spare::SpareSlot;
use crate::start::{adopt, make, start};
use crate::template::TemplateRecord;
use crate::{checkpoint, disk, failure, prepare, template};

/// What the driver is told by the program that uses it.
#[derive(Debug, Clone)]
pub struct QemuSettings {
    /// Where QEMU is.
    pub program: QemuProgram,
    /// The program to run inside each sandbox, linked statically.
    pub guest_program: PathBuf,
    /// The folder for templates, a cache: what is in it can be made again.
    pub templates: PathBuf,
    /// The folder with a folder for each sandbox.
    pub sandboxes: PathBuf,
    /// A kernel to try KVM with when no image has been named yet: that of the image, if there is one.
    pub trial_kernel: Option<PathBuf>,
}

/// Makes sandboxes with QEMU on this host.
#[derive(Debug)]
pub struct QemuDriver {
    settings: QemuSettings,
    qemu: Mutex<Option<Qemu>>,
    /// Held while a guest is tried, so that it is tried once.
    verdict: tokio::sync::Mutex<Option<(String, Verdict)>>,
    machines: Mutex<HashMap<SandboxId, Arc<Slot>>>,
    spare: SpareSlot,
    /// The sandbox as which the spare clone is kept.
    spare_sandbox: Mutex<Option<SandboxId>>,
    /// Where the kernel shows processes.
    kernel: PathBuf,
}

impl QemuDriver {
    /// Makes a driver. It does nothing until it is asked to.
    pub fn new(mut settings: QemuSettings) -> Self {
        let QemuSettings { guest_program, templates, sandboxes, .. } = &mut settings;
        for path in [guest_program, templates, sandboxes] {
            // Links to them are made in other folders. Without a working folder a relative path leads nowhere, and
            // whoever uses it is told.
            if let Ok(absolute) = std::path::absolute(&*path) {
                *path = absolute;
            }
        }
        Self {
            settings,
            qemu: Mutex::default(),
            verdict: tokio::sync::Mutex::default(),
            machines: Mutex::default(),
            spare: SpareSlot::default(),
            spare_sandbox: Mutex::default(),
            kernel: PathBuf::from("/proc"),
        }
    }

    /// Looks for processes elsewhere than in `/proc`: where there are none, machines cannot be looked into.
    #[must_use]
    pub fn with_kernel(mut self, kernel: PathBuf) -> Self {
        self.kernel = kernel;
        self
    }

    /// Tries anew what this host can do, whatever is remembered.
    ///
    /// # Errors
    ///
    /// When QEMU is missing or unsuitable.
    pub async fn probe_afresh(&self) -> Result<DriverReport, StartError> {
        let qemu = self.qemu().await?;
        Ok(self
            .verdict(&qemu, self.settings.trial_kernel.as_deref(), Trial::Fresh)
            .await?
            .report(&qemu, &self.kernel))
    }

    async fn qemu(&self) -> Result<Qemu, StartError> {
        let known = lock(&self.qemu).clone();
        let qemu = Qemu::find(&self.settings.program, known).await?;
        *lock(&self.qemu) = Some(qemu.clone());
        Ok(qemu)
    }

    async fn verdict(&self, qemu: &Qemu, kernel: Option<&Path>, trial: Trial) -> Result<Verdict, StartError> {
        let mut kept = self.verdict.lock().await;
        if let (Trial::Remembered, Some((version, verdict))) = (trial, &*kept)
            && *version == qemu.version
        {
            return Ok(verdict.clone());
        }
        let host_start = acceleration::host_start().map_err(|source| StartError::Io {
            what: "this host does not say when it started".to_owned(),
            source,
        })?;
        let tester = Tester { folder: &self.settings.templates, device: Path::new("/dev/kvm"), host_start };
        let kernel = kernel.filter(|kernel| kernel.is_file());
        let verdict = tester.verdict(qemu, kernel, trial).await?;
        if verdict.lasts(kernel) {
            *kept = Some((qemu.version.clone(), verdict.clone()));
        }
        Ok(verdict)
    }

    /// Decides what a machine booted from `image` is.
    async fn plan(&self, qemu: &Qemu, image: &Image, size: MachineSize) -> Result<MachinePlan, StartError> {
        let manifest = manifest(image)?;
        let verdict = self.verdict(qemu, Some(&image.folder.join(image::KERNEL)), Trial::Remembered).await?;
        Ok(MachinePlan {
            processor: verdict.processor,
            size,
            screen: manifest.screen,
            kernel_command_line: manifest.cmdline,
        })
    }

    /// Makes a machine out of a checkpoint that stands still, exactly as it was saved; [`QemuDriver::go_on`] lets it go
    /// on.
    ///
    /// # Errors
    ///
    /// Those of [`Checkpoints::restore`].
    pub async fn restore_standing(&self, request: RestoreRequest) -> Result<Arc<dyn Machine>, StartError> {
        self.bring_back(request, checkpoint::Guest::StandsStill).await
    }

    /// Makes a machine's guest stand still.
    ///
    /// # Errors
    ///
    /// When the machine does not run.
    pub async fn stand_still(&self, machine: &Arc<dyn Machine>) -> io::Result<()> {
        let machine = self.own(machine).await.map_err(io::Error::other)?;
        machine.qmp().execute("stop", json!({})).await.map(drop).map_err(io::Error::other)
    }

    /// Lets a machine's guest that stands still go on.
    ///
    /// # Errors
    ///
    /// When the machine does not run.
    pub async fn go_on(&self, machine: &Arc<dyn Machine>) -> io::Result<()> {
        let machine = self.own(machine).await.map_err(io::Error::other)?;
        machine.qmp().execute("cont", json!({})).await.map(drop).map_err(io::Error::other)
    }

    /// Returns the SHA-256 of all memory of a machine that stands still: the guest's and that of its devices.
    ///
    /// # Errors
    ///
    /// When the machine has ended or may not be looked into.
    pub async fn memory_hash(&self, machine: &Arc<dyn Machine>) -> io::Result<String> {
        let machine = self.own(machine).await.map_err(io::Error::other)?;
        let (memory, _) = checkpoint::live_memory(&machine, Path::new("/proc"), checkpoint::Access::Read)
            .await
            .map_err(io::Error::other)?;
        tokio::task::spawn_blocking(move || memory.hash()).await.map_err(io::Error::other)?
    }

    async fn bring_back(
        &self,
        request: RestoreRequest,
        guest: checkpoint::Guest,
    ) -> Result<Arc<dyn Machine>, StartError> {
        let RestoreRequest { sandbox, checkpoint, generation } = request;
        let qemu = self.qemu().await?;
        let checkpoints = self.checkpoints_folder();
        let record =
            checkpoint::load(&checkpoints, &checkpoint).ok_or_else(|| checkpoint::missing(&checkpoint))?;
        if record.hypervisor != qemu.version {
            return Err(StartError::Unsuitable {
                what: format!(
                    "{checkpoint} was saved with {}, and here is {}",
                    record.hypervisor, qemu.version
                ),
                remedy: Remedy("Install that version of QEMU again, or submit the task again.".to_owned()),
            });
        }
        let slot = self.slot(&sandbox);
        let mut machine = slot.lock().await;
        let sandboxes = self.settings.sandboxes.clone();
        let (prepared, how) = off_the_runtime(move || {
            let source = checkpoints.join(checkpoint.as_str());
            checkpoint::prepare(sandbox, &source, record, generation, guest, &sandboxes)
        })
        .await?;
        Ok(keep(&mut machine, start(&qemu, prepared, how).await?))
    }

    /// The machine itself, of which the caller holds what all drivers have.
    async fn own(&self, machine: &Arc<dyn Machine>) -> Result<Arc<QemuMachine>, CheckpointError> {
        let sandbox = machine.sandbox();
        let kept = self.slot(sandbox).lock().await.upgrade();
        kept.ok_or_else(|| CheckpointError::NotRunning { sandbox: sandbox.clone() })
    }

    /// The template with that key, if this QEMU can make clones of that size of it.
    async fn usable(
        &self,
        key: &TemplateKey,
        size: MachineSize,
    ) -> Result<(Qemu, TemplateRecord), StartError> {
        let qemu = self.qemu().await?;
        let template = template::load(&self.settings.templates, key)
            .ok_or_else(|| unusable(key, "is missing or damaged"))?;
        fits(key, &template.hypervisor, template.plan.size, &qemu, size)?;
        Ok((qemu, template))
    }

    /// The template with `key`, if it was made of a clone that has moved on.
    fn moved_on(&self, key: &TemplateKey) -> Option<checkpoint::CheckpointRecord> {
        let folder = self.settings.templates.join(&key.0);
        if !template::is_key(key) || !folder.join(checkpoint::RECORD).is_file() {
            return None;
        }
        checkpoint::load_template(&folder)
    }

    fn places(&self) -> Places {
        let QemuSettings { templates, sandboxes, .. } = self.settings.clone();
        Places { templates, sandboxes, checkpoints: self.checkpoints_folder() }
    }

    fn checkpoints_folder(&self) -> PathBuf {
        checkpoint::place(&self.settings.sandboxes)
    }

    fn slot(&self, sandbox: &SandboxId) -> Arc<Slot> {
        let mut slots = lock(&self.machines);
        // Those in use stay, and those with a machine that somebody holds.
        slots.retain(|_, slot| {
            Arc::strong_count(slot) > 1 || slot.try_lock().is_ok_and(|machine| machine.strong_count() > 0)
        });
        Arc::clone(slots.entry(sandbox.clone()).or_default())
    }
}

/// Fails unless this QEMU can make clones of that size of a template.
fn fits(
    key: &TemplateKey,
    hypervisor: &str,
    has: MachineSize,
    qemu: &Qemu,
    size: MachineSize,
) -> Result<(), StartError> {
    if hypervisor != qemu.version {
        return Err(unusable(key, "was made with another version of QEMU"));
    }
    if has != size {
        return Err(unusable(key, "has another size than the machine asked for"));
    }
    Ok(())
}

fn unusable(key: &TemplateKey, what: &str) -> StartError {
    StartError::Unsuitable {
        what: format!("the template {key} {what}"),
        remedy: Remedy("Build it again: `nightshift template build`.".to_owned()),
    }
}

/// The place of a sandbox's machine, as long as somebody holds the machine. Whoever starts or looks for it locks it.
type Slot = tokio::sync::Mutex<Weak<QemuMachine>>;

fn keep(slot: &mut Weak<QemuMachine>, machine: QemuMachine) -> Arc<dyn Machine> {
    let machine = Arc::new(machine);
    *slot = Arc::downgrade(&machine);
    machine
}

#[async_trait]
impl Driver for QemuDriver {
    fn name(&self) -> &'static str {
        "qemu"
    }

    async fn probe(&self) -> Result<DriverReport, StartError> {
        let qemu = self.qemu().await?;
        Ok(self
            .verdict(&qemu, self.settings.trial_kernel.as_deref(), Trial::Remembered)
            .await?
            .report(&qemu, &self.kernel))
    }

    async fn template_key(&self, image: &Image, size: MachineSize) -> Result<TemplateKey, StartError> {
        let qemu = self.qemu().await?;
        let plan = self.plan(&qemu, image, size).await?;
        let program = self.settings.guest_program.clone();
        let hash = off_the_runtime(move || {
            image::sha256_of_file(&program)
                .map_err(|source| prepare::guest_program_unreadable(&program, source))
        })
        .await?;
        Ok(template::key(&image.hash, &hash, &qemu.version, &plan))
    }

    async fn template(&self, key: &TemplateKey) -> Option<Template> {
        if self.moved_on(key).is_none() {
            template::load(&self.settings.templates, key)?;
        }
        Some(Template { key: key.clone(), folder: self.settings.templates.join(&key.0) })
    }

    async fn boot(&self, request: BootRequest) -> Result<Arc<dyn Machine>, StartError> {
        let BootRequest { sandbox, image, key, size } = request;
        let qemu = self.qemu().await?;
        let plan = self.plan(&qemu, &image, size).await?;
        let slot = self.slot(&sandbox);
        let mut machine = slot.lock().await;
        let prepared = {
            let QemuSettings { guest_program, templates, sandboxes, .. } = self.settings.clone();
            let hypervisor = qemu.version.clone();
            let boot = prepare::Boot { sandbox, image, key, plan, hypervisor, guest_program };
            off_the_runtime(move || prepare::boot(boot, &templates, &sandboxes)).await?
        };
        Ok(keep(&mut machine, start(&qemu, prepared, Start::Boot).await?))
    }

    async fn freeze(&self, machine: Arc<dyn Machine>) -> Result<Template, FreezeError> {
        let sandbox = machine.sandbox();
        let kept = self.slot(sandbox).lock().await.upgrade();
        let machine = kept.ok_or_else(|| FreezeError::NotFreezable { sandbox: sandbox.clone() })?;
        machine.freeze(&self.settings.templates).await
    }

    async fn freeze_clone(
        &self,
        machine: Arc<dyn Machine>,
        key: TemplateKey,
    ) -> Result<Template, FreezeError> {
        let sandbox = machine.sandbox();
        let kept = self.slot(sandbox).lock().await.upgrade();
        let machine = kept.ok_or_else(|| FreezeError::NotFreezable { sandbox: sandbox.clone() })?;
        // Carried through whoever stops waiting: a guest must not be left standing.
        let freezing = tokio::spawn(checkpoint::freeze(machine, key, self.settings.templates.clone()));
        freezing.await.unwrap_or_else(|error| Err(FreezeError::Refused { what: error.to_string() }))
    }

    async fn remove_template(&self, key: &TemplateKey) -> io::Result<()> {
        if !template::is_key(key) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let folder = self.settings.templates.join(&key.0);
        let removing = tokio::task::spawn_blocking(move || remove_folder(&folder));
        removing.await.unwrap_or_else(|error| Err(io::Error::other(error)))
    }

    async fn clone_template(&self, request: CloneRequest) -> Result<Arc<dyn Machine>, StartError> {
        let CloneRequest { sandbox, template: Template { key, folder }, size } = request;
        if let Some(record) = self.moved_on(&key) {
            let qemu = self.qemu().await?;
            fits(&key, &record.hypervisor, record.plan.size, &qemu, size)?;
            let slot = self.slot(&sandbox);
            let mut machine = slot.lock().await;
            let sandboxes = self.settings.sandboxes.clone();
            let (prepared, how) = off_the_runtime(move || {
                let (generation, guest) = (Generation::Fresh, checkpoint::Guest::GoesOn);
                checkpoint::prepare(sandbox, &folder, record, generation, guest, &sandboxes)
            })
            .await?;
            return Ok(keep(&mut machine, start(&qemu, prepared, how).await?));
        }
        let (qemu, template) = self.usable(&key, size).await?;
        let slot = self.slot(&sandbox);
        let mut machine = slot.lock().await;
        if let Some(clone) = self.spare.take(&key) {
            prepare::require_room_for_a_clone(&self.settings.sandboxes)?;
            match clone.run_as(sandbox.clone(), &self.settings.sandboxes).await {
                Ok(clone) => return Ok(keep(&mut machine, clone)),
                // Whatever happened to it, another one can be made.
                Err(error) => tracing::warn!(%sandbox, %error, "the spare clone could not be used"),
            }
        }
        // A few small files; not worth leaving the runtime's thread for.
        let prepared = prepare::clone(sandbox, &folder, template, &self.settings.sandboxes)?;
        Ok(keep(&mut machine, start(&qemu, prepared, Start::Restore).await?))
    }

    async fn keep_spare(&self, request: CloneRequest) -> Result<(), StartError> {
        let CloneRequest { sandbox, template: Template { key, folder }, size } = request;
        let (qemu, template) = self.usable(&key, size).await?;
        let sandboxes = self.settings.sandboxes.clone();
        self.spare
            .keep(key, async move || {
                *lock(&self.spare_sandbox) = Some(sandbox.clone());
                let prepared = prepare::clone(sandbox, &folder, template, &sandboxes)?;
                make(&qemu, prepared, Start::Restore).await
            })
            .await
    }

    async fn drop_spare(&self) -> bool {
        self.spare.clear().await
    }

    async fn find(&self, sandbox: &SandboxId) -> Result<Option<Arc<dyn Machine>>, StartError> {
        // Waits while the machine is being started, so that it is not taken for a leftover.
        let mut machine = self.slot(sandbox).lock_owned().await;
        if let Some(machine) = machine.upgrade().filter(|machine| !machine.has_ended()) {
            return Ok(Some(machine));
        }
        let path = self.settings.sandboxes.join(sandbox.as_str());
        let folder = match SandboxFolder::open(path.clone()) {
            Ok(folder) => folder,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failure::io("a sandbox's folder could not be opened", &path, error)),
        };
        // Carried through whoever stops waiting: QEMU has one connection for whoever looks next.
        let adopting =
            tokio::spawn(async move { Ok(adopt(folder).await?.map(|found| keep(&mut machine, found))) });
        adopting.await.unwrap_or_else(|error| {
            let stopped = io::Error::other(error);
            Err(failure::io("looking for a sandbox's machine was given up", &path, stopped))
        })
    }

    async fn list(&self) -> Vec<SandboxId> {
        let entries = std::fs::read_dir(&self.settings.sandboxes).into_iter().flatten().flatten();
        let mut sandboxes: Vec<SandboxId> =
            entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
        sandboxes.sort();
        sandboxes
    }

    async fn builds(&self) -> io::Result<Vec<TemplateBuild>> {
        let places = self.places();
        tokio::task::spawn_blocking(move || places.builds()).await.map_err(io::Error::other)?
    }

    async fn needs(&self, folder: &Path) -> io::Result<Option<String>> {
        let (places, folder) = (self.places(), folder.to_owned());
        tokio::task::spawn_blocking(move || places.needs(&folder)).await.map_err(io::Error::other)?
    }

    async fn disk_use(&self) -> Option<DiskUse> {
        let (sandboxes, spare) = (self.settings.sandboxes.clone(), lock(&self.spare_sandbox).clone());
        let looking = tokio::task::spawn_blocking(move || disk::disk_use(&sandboxes, spare.as_ref()));
        looking.await.ok()?.ok()
    }

    fn checkpoints(&self) -> Option<&dyn Checkpoints> {
        Some(self)
    }
}

#[async_trait]
impl Checkpoints for QemuDriver {
    async fn save(&self, request: SaveRequest) -> Result<CheckpointFacts, CheckpointError> {
        let SaveRequest { checkpoint, machine, then } = request;
        let machine = self.own(&machine).await?;
        // Carried through whoever stops waiting: a guest must not be left standing.
        let (kernel, folder) = (self.kernel.clone(), self.checkpoints_folder());
        let saving = tokio::spawn(async move {
            let how = How::Changes { kernel: &kernel };
            let saved =
                checkpoint::save(Arc::clone(&machine), checkpoint.clone(), then, folder.clone(), how).await;
            match saved {
                Err(CheckpointError::Unsupported { what }) => {
                    tracing::debug!(what, "all of the machine's memory is saved");
                    checkpoint::save(machine, checkpoint, then, folder, How::Whole).await
                }
                saved => saved,
            }
        });
        saving.await.unwrap_or_else(|error| {
            Err(CheckpointError::Io {
                what: "the checkpoint was given up".to_owned(),
                source: io::Error::other(error),
            })
        })
    }

    async fn restore(&self, request: RestoreRequest) -> Result<Arc<dyn Machine>, StartError> {
        self.bring_back(request, checkpoint::Guest::GoesOn).await
    }

    async fn find_checkpoint(&self, checkpoint: &CheckpointId) -> Option<CheckpointFacts> {
        checkpoint::facts(&self.checkpoints_folder(), checkpoint)
    }

    async fn copy(&self, from: &CheckpointId, to: &CheckpointId) -> io::Result<CheckpointFacts> {
        let (folder, from, to) = (self.checkpoints_folder(), from.clone(), to.clone());
        let copying = tokio::task::spawn_blocking(move || checkpoint::copy(&folder, &from, &to));
        copying.await.unwrap_or_else(|error| Err(io::Error::other(error)))
    }

    async fn list_checkpoints(&self) -> Vec<CheckpointId> {
        checkpoint::list(&self.checkpoints_folder())
    }

    async fn remove_checkpoint(&self, checkpoint: &CheckpointId) -> io::Result<()> {
        let (folder, checkpoint) = (self.checkpoints_folder(), checkpoint.clone());
        let removing = tokio::task::spawn_blocking(move || checkpoint::remove(&folder, &checkpoint));
        removing.await.unwrap_or_else(|error| Err(io::Error::other(error)))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that is done under these locks can leave a value half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Does what takes long, and waits for the disk, where it holds up nothing else.
async fn off_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StartError> + Send + 'static,
) -> Result<T, StartError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        Err(StartError::Io {
            what: "the files of a machine could not be made".to_owned(),
            source: io::Error::other(error),
        })
    })
}

fn manifest(image: &Image) -> Result<ImageManifest, StartError> {
    read_image(&image.folder).map(|(_, manifest)| manifest).map_err(|error| StartError::Unsuitable {
        what: error.to_string(),
        remedy: Remedy("Build the image again: `nightshift template build`.".to_owned()),
    })
}
