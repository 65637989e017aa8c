//! Makes the files of a machine before QEMU is started in its folder.
//!
//! The folder with the machine's record comes first, so that whatever an owner leaves that dies in between is
//! found by the record and removed.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use nightshift_protocol::SandboxId;
use nightshift_sandbox::{Image, StartError, TemplateKey};

use crate::checkpoint::Load;
use crate::command_line::MachinePlan;
use crate::folder::{Purpose, Record, SandboxFolder, name};
use crate::start::Unfinished;
use crate::template::{self, TemplateRecord};
use crate::{failure, image, qcow2};

/// Room on the disk that a template needs beside its memory: what the guest writes while it boots, device state.
const TEMPLATE_ROOM: u64 = 512 << 20;
/// Room on the disk that a clone needs to be worth starting.
const CLONE_ROOM: u64 = 64 << 20;

/// A machine that only needs to be started. Dropped before that, it leaves nothing.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// Its folder, with all that QEMU opens.
    pub(crate) folder: SandboxFolder,
    /// What it is.
    pub(crate) record: Record,
    /// What is to be put into it before its guest does anything.
    pub(crate) load: Option<Load>,
    /// What is to be undone if it does not start.
    pub(crate) unfinished: Unfinished,
}

/// A machine that is to become a template.
#[derive(Debug)]
pub(crate) struct Boot {
    pub(crate) sandbox: SandboxId,
    pub(crate) image: Image,
    pub(crate) key: TemplateKey,
    pub(crate) plan: MachinePlan,
    /// QEMU and its version, as it says it.
    pub(crate) hypervisor: String,
    /// The program to add to the image's initrd.
    pub(crate) guest_program: PathBuf,
}

/// Makes the files of a machine that is to become a template: memory, disk, state, and the initrd with the guest
/// program.
pub(crate) fn boot(boot: Boot, templates: &Path, sandboxes: &Path) -> Result<Prepared, StartError> {
    let Boot { sandbox, image, key, plan, hypervisor, guest_program } = boot;
    let memory_bytes = u64::from(plan.size.memory_mib) << 20;
    // The guest's memory is a file with holes: a write that finds no room for one would end QEMU by a signal.
    require_room(templates, memory_bytes.saturating_add(TEMPLATE_ROOM))?;

    let staging = template::staging(templates, &key, &sandbox);
    let purpose =
        Purpose::Template { key, staging: staging.clone(), image: image.folder.clone(), hypervisor };
    let mut prepared = folder(sandboxes, Record { sandbox, plan, purpose })?;
    prepared.unfinished.made(&staging);
    template::make_staging(&staging)
        .map_err(|source| failure::io("a template's folder could not be made", &staging, source))?;

    let initrd = fs::read(image.folder.join(image::INITRD)).map_err(|source| StartError::Io {
        what: "the image's initrd could not be read".to_owned(),
        source,
    })?;
    let program =
        fs::read(&guest_program).map_err(|source| guest_program_unreadable(&guest_program, source))?;
    let initrd = image::initrd_with(&initrd, &program);

    let disk = overlay(&image.folder.join(image::DISK))?;
    for (name, content) in [(name::INITRD, initrd.as_slice()), (name::DISK, &disk), (name::STATE, &[])] {
        let file = staging.join(name);
        fs::write(&file, content).map_err(|source| unwritable(&file, source))?;
    }
    let memory = staging.join(name::MEMORY);
    File::create_new(&memory)
        .and_then(|file| file.set_len(memory_bytes))
        .map_err(|source| unwritable(&memory, source))?;

    link(&prepared.folder, name::KERNEL, &image.folder.join(image::KERNEL))?;
    for name in [name::INITRD, name::MEMORY, name::STATE, name::DISK] {
        link(&prepared.folder, name, &staging.join(name))?;
    }
    Ok(prepared)
}

/// Makes the files of a clone of the template in the folder `source`.
pub(crate) fn clone(
    sandbox: SandboxId,
    source: &Path,
    template: TemplateRecord,
    sandboxes: &Path,
) -> Result<Prepared, StartError> {
    require_room_for_a_clone(sandboxes)?;
    let below = vec![template.image.join(image::DISK), source.join(name::DISK)];
    let purpose = Purpose::Work { hypervisor: template.hypervisor, below };
    let prepared = folder(sandboxes, Record { sandbox, plan: template.plan, purpose })?;
    link(&prepared.folder, name::KERNEL, &template.image.join(image::KERNEL))?;
    for name in [name::INITRD, name::MEMORY, name::STATE] {
        link(&prepared.folder, name, &source.join(name))?;
    }
    let disk = overlay(&source.join(name::DISK))?;
    let file = prepared.folder.join(name::DISK);
    prepared.folder.write(name::DISK, &disk).map_err(|source| unwritable(&file, source))?;
    Ok(prepared)
}

/// Makes a sandbox's folder with its record.
pub(crate) fn folder(sandboxes: &Path, record: Record) -> Result<Prepared, StartError> {
    let path = sandboxes.join(record.sandbox.as_str());
    let failed = |source| failure::io(format!("{} could not be made", path.display()), &path, source);
    let folder = SandboxFolder::create(path.clone()).map_err(failed)?;
    let mut unfinished = Unfinished::default();
    unfinished.made(&path);
    folder.write_record(&record).map_err(failed)?;
    Ok(Prepared { folder, record, load: None, unfinished })
}

fn overlay(backing: &Path) -> Result<Vec<u8>, StartError> {
    let unusable =
        |source| StartError::Io { what: format!("{} cannot be used as a disk", backing.display()), source };
    let size = qcow2::disk_size(backing).map_err(unusable)?;
    qcow2::overlay(backing, size)
        .map_err(|error| unusable(io::Error::new(io::ErrorKind::InvalidInput, error)))
}

fn link(folder: &SandboxFolder, name: &str, target: &Path) -> Result<(), StartError> {
    folder.link(name, target).map_err(|source| unwritable(&folder.join(name), source))
}

/// Fails when a clone would not be worth starting, for want of room on its disk.
pub(crate) fn require_room_for_a_clone(sandboxes: &Path) -> Result<(), StartError> {
    require_room(sandboxes, CLONE_ROOM)
}

/// Fails when less than `bytes` are free where `folder` is.
pub(crate) fn require_room(folder: &Path, bytes: u64) -> Result<(), StartError> {
    // What does not exist yet will be made where its nearest parent is.
    let Some(existing) = folder.ancestors().find(|folder| folder.exists()) else { return Ok(()) };
    let room = rustix::fs::statvfs(existing)
        .map_err(|error| failure::io("the room on a disk could not be asked for", existing, error.into()))?;
    if room.f_bavail.saturating_mul(room.f_frsize) < bytes {
        return Err(StartError::DiskFull { folder: folder.to_owned() });
    }
    Ok(())
}

/// The error for a file that could not be written.
pub(crate) fn unwritable(file: &Path, source: io::Error) -> StartError {
    failure::io(format!("{} could not be written", file.display()), file, source)
}

/// The error for a guest program that is not where it should be.
pub(crate) fn guest_program_unreadable(program: &Path, source: io::Error) -> StartError {
    StartError::Io { what: format!("the guest program {} could not be read", program.display()), source }
}
