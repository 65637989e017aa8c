//! The driver: the one place where a wish becomes a folder, a command line and a process.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use async_trait::async_trait;
use nightshift_protocol::SandboxId;
use nightshift_sandbox::{
    BootRequest, CloneRequest, Driver, DriverReport, FreezeError, Image, Machine, MachineSize, Remedy,
    StartError, Template, TemplateKey,
};

use crate::acceleration::{self, Tester, Trial, Verdict};
use crate::command_line::{MachinePlan, Start};
use crate::folder::{Purpose, Record, SandboxFolder, name};
use crate::image::{self, ImageManifest, read_image};
use crate::machine::QemuMachine;
use crate::program::{Qemu, QemuProgram};
use crate::start::{Unfinished, adopt, start};
use crate::template::{self, TemplateRecord};
use crate::{cpio, failure, qcow2};

/// Where the initrd has the guest program; the image's init starts it from there.
const GUEST_PROGRAM: &str = "nightshift-guest";
/// Room on the disk that a template needs beside its memory: what the guest writes while it boots, device state.
const TEMPLATE_ROOM: u64 = 512 << 20;
/// Room on the disk that a clone needs to be worth starting.
const CLONE_ROOM: u64 = 64 << 20;

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
    /// The machines that somebody holds.
    machines: Mutex<HashMap<SandboxId, Weak<QemuMachine>>>,
}

impl QemuDriver {
    /// Makes a driver. It does nothing until it is asked to.
    pub fn new(settings: QemuSettings) -> Self {
        Self {
            settings,
            qemu: Mutex::default(),
            verdict: tokio::sync::Mutex::default(),
            machines: Mutex::default(),
        }
    }

    /// Tries anew what this host can do, whatever is remembered.
    ///
    /// # Errors
    ///
    /// When QEMU is missing or unsuitable.
    pub async fn probe_afresh(&self) -> Result<DriverReport, StartError> {
        let qemu = self.qemu().await?;
        Ok(self.verdict(&qemu, self.settings.trial_kernel.as_deref(), Trial::Fresh).await?.report(&qemu))
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

    fn sandbox_folder(&self, sandbox: &SandboxId) -> PathBuf {
        self.settings.sandboxes.join(sandbox.as_str())
    }

    fn keep(&self, machine: QemuMachine) -> Arc<QemuMachine> {
        let machine = Arc::new(machine);
        let mut machines = lock(&self.machines);
        machines.retain(|_, machine| machine.strong_count() > 0);
        machines.insert(machine.sandbox().clone(), Arc::downgrade(&machine));
        machine
    }

    fn kept(&self, sandbox: &SandboxId) -> Option<Arc<QemuMachine>> {
        lock(&self.machines).get(sandbox).and_then(Weak::upgrade)
    }
}

#[async_trait]
impl Driver for QemuDriver {
    fn name(&self) -> &'static str {
        "qemu"
    }

    async fn probe(&self) -> Result<DriverReport, StartError> {
        let qemu = self.qemu().await?;
        Ok(self.verdict(&qemu, self.settings.trial_kernel.as_deref(), Trial::Remembered).await?.report(&qemu))
    }

    async fn template_key(&self, image: &Image, size: MachineSize) -> Result<TemplateKey, StartError> {
        let qemu = self.qemu().await?;
        let plan = self.plan(&qemu, image, size).await?;
        let program = self.settings.guest_program.clone();
        let hash = off_the_runtime(move || {
            image::sha256_of_file(&program).map_err(|source| guest_program_unreadable(&program, source))
        })
        .await?;
        Ok(template::key(&image.hash, &hash, &qemu.version, &plan))
    }

    async fn template(&self, key: &TemplateKey) -> Option<Template> {
        template::load(&self.settings.templates, key)?;
        Some(Template { key: key.clone(), folder: self.settings.templates.join(&key.0) })
    }

    async fn boot(&self, request: BootRequest) -> Result<Arc<dyn Machine>, StartError> {
        let BootRequest { sandbox, image, key, size } = request;
        let qemu = self.qemu().await?;
        let plan = self.plan(&qemu, &image, size).await?;
        let (settings, path) = (self.settings.clone(), self.sandbox_folder(&sandbox));
        let (folder, record, mut unfinished) = {
            let hypervisor = qemu.version.clone();
            off_the_runtime(move || {
                let mut unfinished = Unfinished::default();
                let staging = stage(&settings, &image, &key, &sandbox, size, &mut unfinished)?;
                let folder = make_folder(path, &mut unfinished)?;
                for (name, target) in [
                    (name::KERNEL, image.folder.join(image::KERNEL)),
                    (name::INITRD, staging.join(name::INITRD)),
                    (name::MEMORY, staging.join(name::MEMORY)),
                    (name::STATE, staging.join(name::STATE)),
                    (name::DISK, staging.join(name::DISK)),
                ] {
                    link(&folder, name, &target)?;
                }
                let purpose = Purpose::Template { key, staging, image: image.folder, hypervisor };
                Ok((folder, Record { sandbox, plan, purpose }, unfinished))
            })
            .await?
        };
        let machine = start(&qemu, folder, record, Start::Boot, &mut unfinished).await?;
        unfinished.finished();
        Ok(self.keep(machine))
    }

    async fn freeze(&self, machine: Arc<dyn Machine>) -> Result<Template, FreezeError> {
        let sandbox = machine.sandbox();
        let machine =
            self.kept(sandbox).ok_or_else(|| FreezeError::NotFreezable { sandbox: sandbox.clone() })?;
        machine.freeze(&self.settings.templates).await
    }

    async fn clone_template(&self, request: CloneRequest) -> Result<Arc<dyn Machine>, StartError> {
        let CloneRequest { sandbox, template: Template { key, folder: source }, size } = request;
        let qemu = self.qemu().await?;
        let unusable = |what: &str| StartError::Unsuitable {
            what: format!("the template {key} {what}"),
            remedy: Remedy("Build it again: `nightshift template build`.".to_owned()),
        };
        let TemplateRecord { plan, image, hypervisor, .. } =
            template::load(&self.settings.templates, &key)
                .ok_or_else(|| unusable("is missing or damaged"))?;
        if hypervisor != qemu.version {
            return Err(unusable("was made with another version of QEMU"));
        }
        if plan.size != size {
            return Err(unusable("has another size than the machine asked for"));
        }
        require_room(&self.settings.sandboxes, CLONE_ROOM)?;

        // A few small files; not worth leaving the runtime's thread for.
        let mut unfinished = Unfinished::default();
        let folder = make_folder(self.sandbox_folder(&sandbox), &mut unfinished)?;
        for (name, target) in [
            (name::KERNEL, image.join(image::KERNEL)),
            (name::INITRD, source.join(name::INITRD)),
            (name::MEMORY, source.join(name::MEMORY)),
            (name::STATE, source.join(name::STATE)),
        ] {
            link(&folder, name, &target)?;
        }
        let disk = overlay(&source.join(name::DISK))?;
        folder.write(name::DISK, &disk).map_err(|source| unwritable(&folder.join(name::DISK), source))?;

        let record = Record { sandbox, plan, purpose: Purpose::Work };
        let machine = start(&qemu, folder, record, Start::Restore, &mut unfinished).await?;
        unfinished.finished();
        Ok(self.keep(machine))
    }

    async fn find(&self, sandbox: &SandboxId) -> Result<Option<Arc<dyn Machine>>, StartError> {
        if let Some(machine) = self.kept(sandbox).filter(|machine| !machine.has_ended()) {
            return Ok(Some(machine));
        }
        let path = self.sandbox_folder(sandbox);
        let folder = match SandboxFolder::open(path.clone()) {
            Ok(folder) => folder,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failure::io("a sandbox's folder could not be opened", &path, error)),
        };
        Ok(adopt(folder).await?.map(|machine| self.keep(machine) as Arc<dyn Machine>))
    }

    async fn list(&self) -> Vec<SandboxId> {
        let entries = std::fs::read_dir(&self.settings.sandboxes).into_iter().flatten().flatten();
        let mut sandboxes: Vec<SandboxId> =
            entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
        sandboxes.sort();
        sandboxes
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

/// Makes the files of a machine that is to become a template: memory, disk, state, and the initrd with the
/// guest program.
fn stage(
    settings: &QemuSettings,
    image: &Image,
    key: &TemplateKey,
    sandbox: &SandboxId,
    size: MachineSize,
    unfinished: &mut Unfinished,
) -> Result<PathBuf, StartError> {
    let staging = template::make_staging(&settings.templates, key, sandbox).map_err(|source| {
        failure::io("a template's folder could not be made", &settings.templates, source)
    })?;
    unfinished.made(&staging);
    let memory_bytes = u64::from(size.memory_mib) << 20;
    // The guest's memory is a file with holes: a write that finds no room for one would end QEMU by a signal.
    require_room(&settings.templates, memory_bytes.saturating_add(TEMPLATE_ROOM))?;

    let mut initrd = std::fs::read(image.folder.join(image::INITRD)).map_err(|source| StartError::Io {
        what: "the image's initrd could not be read".to_owned(),
        source,
    })?;
    let program = std::fs::read(&settings.guest_program)
        .map_err(|source| guest_program_unreadable(&settings.guest_program, source))?;
    cpio::append(&mut initrd, &[cpio::File { path: GUEST_PROGRAM, permissions: 0o755, content: &program }]);

    let disk = overlay(&image.folder.join(image::DISK))?;
    for (name, content) in [(name::INITRD, initrd.as_slice()), (name::DISK, &disk), (name::STATE, &[])] {
        let file = staging.join(name);
        std::fs::write(&file, content).map_err(|source| unwritable(&file, source))?;
    }
    let memory = staging.join(name::MEMORY);
    File::create_new(&memory)
        .and_then(|file| file.set_len(memory_bytes))
        .map_err(|source| unwritable(&memory, source))?;
    Ok(staging)
}

fn overlay(backing: &Path) -> Result<Vec<u8>, StartError> {
    let unreadable =
        |source| StartError::Io { what: format!("{} cannot be used as a disk", backing.display()), source };
    let size = qcow2::disk_size(backing).map_err(unreadable)?;
    let backing = std::path::absolute(backing).map_err(unreadable)?;
    qcow2::overlay(&backing, size)
        .map_err(|error| unreadable(io::Error::new(io::ErrorKind::InvalidInput, error)))
}

fn make_folder(path: PathBuf, unfinished: &mut Unfinished) -> Result<SandboxFolder, StartError> {
    let folder = SandboxFolder::create(path.clone())
        .map_err(|source| failure::io(format!("{} could not be made", path.display()), &path, source))?;
    unfinished.made(path);
    Ok(folder)
}

fn link(folder: &SandboxFolder, name: &str, target: &Path) -> Result<(), StartError> {
    // A link is looked up from the folder it is in, so a relative path would lead elsewhere.
    std::path::absolute(target)
        .and_then(|target| folder.link(name, &target))
        .map_err(|source| unwritable(&folder.join(name), source))
}

fn require_room(folder: &Path, bytes: u64) -> Result<(), StartError> {
    // What does not exist yet will be made where its nearest parent is.
    let Some(existing) = folder.ancestors().find(|folder| folder.exists()) else { return Ok(()) };
    let room = rustix::fs::statvfs(existing)
        .map_err(|error| failure::io("the room on a disk could not be asked for", existing, error.into()))?;
    if room.f_bavail.saturating_mul(room.f_frsize) < bytes {
        return Err(StartError::DiskFull { folder: folder.to_owned() });
    }
    Ok(())
}

fn unwritable(file: &Path, source: io::Error) -> StartError {
    failure::io(format!("{} could not be written", file.display()), file, source)
}

fn guest_program_unreadable(program: &Path, source: io::Error) -> StartError {
    StartError::Io { what: format!("the guest program {} could not be read", program.display()), source }
}
