//! What a driver offers, by capability.

use std::fmt;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use nightshift_protocol::SandboxId;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::build::TemplateBuild;
use crate::checkpoint::Checkpoints;
use crate::disk::{DiskUse, Hold, Stall};

/// Makes sandboxes and finds them again.
#[async_trait]
pub trait Driver: Send + Sync {
    /// The driver's name in configuration and facts, for example `qemu`.
    fn name(&self) -> &'static str;

    /// Tries, by starting a guest for a moment, what this host can do. The answer is kept for the process's life.
    async fn probe(&self) -> Result<DriverReport, StartError>;

    /// The key a template made now from `image` with `size` would have: it changes when the image, the guest
    /// program, the hypervisor, the acceleration or the machine's devices change.
    async fn template_key(&self, image: &Image, size: MachineSize) -> Result<TemplateKey, StartError>;

    /// Returns the frozen template with that key, if it is whole.
    async fn template(&self, key: &TemplateKey) -> Option<Template>;

    /// Boots a machine that is to become the template with that key.
    async fn boot(&self, request: BootRequest) -> Result<Arc<dyn Machine>, StartError>;

    /// Freezes a machine made by [`Driver::boot`] into the template it was booted for, and ends it.
    async fn freeze(&self, machine: Arc<dyn Machine>) -> Result<Template, FreezeError>;

    /// Freezes a clone that has moved on into a template of its own, and ends it. When that fails it runs on.
    ///
    /// The key is made up by the caller, in the form that [`Driver::template_key`] gives.
    async fn freeze_clone(
        &self,
        machine: Arc<dyn Machine>,
        _key: TemplateKey,
    ) -> Result<Template, FreezeError> {
        Err(FreezeError::NotFreezable { sandbox: machine.sandbox().clone() })
    }

    /// Removes a template. Running clones of it go on; removing what is gone is no error.
    async fn remove_template(&self, _key: &TemplateKey) -> std::io::Result<()> {
        Ok(())
    }

    /// Makes a running copy-on-write clone of a template.
    async fn clone_template(&self, request: CloneRequest) -> Result<Arc<dyn Machine>, StartError>;

    /// Makes a clone that waits to be asked for: the next [`Driver::clone_template`] of that template takes it under the
    /// name it asks for, and so need not wait for the hypervisor to start. One is kept at most; one of another template
    /// gives way. A driver that has nothing to gain from it does nothing.
    async fn keep_spare(&self, request: CloneRequest) -> Result<(), StartError> {
        let _not_wanted = request;
        Ok(())
    }

    /// Ends what [`Driver::keep_spare`] made, if nobody has taken it, and tells whether there was something to end.
    async fn drop_spare(&self) -> bool {
        false
    }

    /// Finds a machine an earlier owner started; `None` when it no longer runs (what it left is removed).
    async fn find(&self, sandbox: &SandboxId) -> Result<Option<Arc<dyn Machine>>, StartError>;

    /// The sandboxes whose machines or folders are on this host.
    async fn list(&self) -> Vec<SandboxId>;

    /// The templates on this host that can be made again, and what needs each. Those of environments are not among them:
    /// they go with their environment.
    async fn builds(&self) -> std::io::Result<Vec<TemplateBuild>> {
        Ok(Vec::new())
    }

    /// What needs a file in `folder`, if anything does: a machine, a checkpoint, an environment's template.
    async fn needs(&self, _folder: &Path) -> std::io::Result<Option<String>> {
        Ok(None)
    }

    /// What its sandboxes have written to the disk of this host; `None` where that is not known. It costs little enough to
    /// be asked several times a second.
    async fn disk_use(&self) -> Option<DiskUse> {
        None
    }

    /// Saves machines and brings them back; `None` where this driver or host cannot.
    fn checkpoints(&self) -> Option<&dyn Checkpoints> {
        None
    }
}

/// One virtual machine.
#[async_trait]
pub trait Machine: Send + Sync {
    /// Its sandbox.
    fn sandbox(&self) -> &SandboxId;

    /// What runs its instructions.
    fn acceleration(&self) -> Acceleration;

    /// The agent's home folder inside, without a slash at its end.
    fn home(&self) -> &str {
        "/home/agent"
    }

    /// Whether it began by booting and not as its template was frozen: then its desktop comes up only now, and no browser
    /// is open.
    fn booted(&self) -> bool {
        false
    }

    /// Opens the byte stream that ends at the guest program. One is open at a time; opening another ends the first.
    async fn channel(&self) -> std::io::Result<Box<dyn ByteStream>>;

    /// Opens a way to its screen, keyboard and pointer.
    async fn display(&self) -> std::io::Result<DisplayEndpoint>;

    /// Ends it and removes its disk, sockets and files. Ending what has ended is no error.
    async fn stop(&self) -> std::io::Result<()>;

    /// Returns when the machine has ended, for whatever reason, with that reason in one sentence.
    async fn ended(&self) -> String;

    /// Returns when the machine stands still because of the disk below it: that is full, or somebody held the machine
    /// ([`Machine::hold`]) before it was. What its guest was writing is written once it goes on. Never returns where that
    /// is not told.
    async fn stalled(&self) -> Stall {
        std::future::pending().await
    }

    /// Makes its guest stand still, so that it writes no more, until somebody lets it go on; an owner that comes after
    /// knows of it. A machine that is being made or ended is not held.
    async fn hold(&self, _why: Hold) -> std::io::Result<()> {
        Err(std::io::ErrorKind::Unsupported.into())
    }

    /// Lets a machine that stands still because of its disk go on. One that does not is no error.
    async fn go_on(&self) -> std::io::Result<()> {
        Ok(())
    }

    /// Tells the kernel how soon to end this machine when the host's memory runs out. Where a driver cannot, nothing
    /// happens.
    fn set_expendable(&self, _expendable: Expendable) {}

    /// The last that the guest's kernel and init wrote to the console, at most 64 KiB; empty where a driver keeps
    /// none. It comes from the guest and may hold anything.
    async fn console(&self) -> std::io::Result<String> {
        Ok(String::new())
    }

    /// The processor time it has asked the host for since its start, got or not; `None` where that is not known.
    ///
    /// Cheap enough to be asked every few milliseconds: a guest that asks for none rests.
    fn processor_time(&self) -> Option<Duration> {
        None
    }
}

/// How soon a machine is ended when the host's memory runs out: before its owner in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expendable {
    /// After all that do not work.
    Works,
    /// Before those that work: nothing happens in it.
    Rests,
    /// First of all: nobody has it yet.
    Spare,
}

/// A stream of bytes both ways.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin + fmt::Debug {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + fmt::Debug> ByteStream for T {}

/// A way to a machine's screen and input.
#[derive(Debug)]
pub enum DisplayEndpoint {
    /// A private D-Bus connection that speaks QEMU's `org.qemu.Display1`; the socket is not yet authenticated.
    Dbus(OwnedFd),
    /// A connection to a VNC server (RFC 6143) that wants no password: a Unix socket, from which nothing was read yet.
    Vnc(OwnedFd),
}

/// What runs a machine's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Acceleration {
    /// The processor, by Linux's KVM.
    Kvm,
    /// QEMU's translator: every machine can, several times slower.
    Tcg,
}

impl fmt::Display for Acceleration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        })
    }
}

/// A machine's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MachineSize {
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Virtual processors.
    pub processors: u32,
}

impl Default for MachineSize {
    /// 2 GiB and 2 processors.
    fn default() -> Self {
        Self { memory_mib: 2048, processors: 2 }
    }
}

/// A guest image on this host's disk, whole and verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The folder with `disk.qcow2`, `vmlinux`, `initrd.img` and `manifest.json`.
    pub folder: PathBuf,
    /// The SHA-256 of its manifest, which holds the hashes of its files; lower-case hexadecimal.
    pub hash: String,
}

/// Names a template by everything it depends on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TemplateKey(pub String);

impl fmt::Display for TemplateKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A frozen machine that can be cloned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// Its key.
    pub key: TemplateKey,
    /// The folder with its memory, device state and disk.
    pub folder: PathBuf,
}

/// A wish for a machine that is to become a template.
#[derive(Debug, Clone)]
pub struct BootRequest {
    /// The machine's id while it is being made.
    pub sandbox: SandboxId,
    /// What it boots.
    pub image: Image,
    /// The key of the template it is to become, as [`Driver::template_key`] gave it.
    pub key: TemplateKey,
    /// Its size.
    pub size: MachineSize,
}

/// A wish for a clone.
#[derive(Debug, Clone)]
pub struct CloneRequest {
    /// The new machine's id.
    pub sandbox: SandboxId,
    /// What it is cloned from.
    pub template: Template,
    /// Its size: that of the template.
    pub size: MachineSize,
}

/// What a driver found that this host can do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DriverReport {
    /// What runs instructions here.
    pub acceleration: Acceleration,
    /// Why it is that and not something faster, in one sentence a person understands.
    pub because: String,
    /// The hypervisor and its version, for example `QEMU 10.0.2`.
    pub hypervisor: String,
    /// What checkpoints have of a machine's memory; `None` when there are none.
    pub checkpoints: Option<CheckpointMemory>,
}

/// What a checkpoint has of a machine's memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum CheckpointMemory {
    /// What changed since the one before.
    Changes,
    /// All of it.
    Whole {
        /// Why, in a few words.
        because: String,
        /// What a person can do about it, if anything.
        remedy: Option<String>,
    },
}

/// What a person can do about an error, in one sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remedy(pub String);

/// A machine did not come up.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The hypervisor's program is not installed.
    #[error("{program} is not installed")]
    ProgramMissing {
        /// The program.
        program: String,
        /// How to install it.
        remedy: Remedy,
    },
    /// The hypervisor is there but lacks something.
    #[error("{what}")]
    Unsuitable {
        /// What it lacks.
        what: String,
        /// How to mend it.
        remedy: Remedy,
    },
    /// The disk is full.
    #[error("the disk that holds {folder} is full")]
    DiskFull {
        /// The folder that was written to.
        folder: PathBuf,
    },
    /// None of the hosts has room for another machine now; one may when others have ended.
    #[error("{what}")]
    NoRoom {
        /// What each of them lacks.
        what: String,
        /// How to have more.
        remedy: Remedy,
    },
    /// The hypervisor started and ended, or refused what it was told.
    #[error("the virtual machine did not start: {what}")]
    Refused {
        /// What was tried, and the last lines of what it printed.
        what: String,
    },
    /// Waited too long.
    #[error("the virtual machine was not ready within {seconds} s: {what}")]
    TimedOut {
        /// What was waited for.
        what: String,
        /// How long, in seconds.
        seconds: u64,
    },
    /// Reading or writing failed.
    #[error("{what}")]
    Io {
        /// What was being done.
        what: String,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
}

/// A machine could not be frozen.
#[derive(Debug, thiserror::Error)]
pub enum FreezeError {
    /// The machine was not booted to become a template, or has ended.
    #[error("{sandbox} is no running machine that can become a template")]
    NotFreezable {
        /// The machine.
        sandbox: SandboxId,
    },
    /// The hypervisor could not save its state.
    #[error("the machine's state could not be saved: {what}")]
    Refused {
        /// What was tried and the answer.
        what: String,
    },
    /// Reading or writing failed.
    #[error("{what}")]
    Io {
        /// What was being done.
        what: String,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
}
