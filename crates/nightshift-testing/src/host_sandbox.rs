//! Sandboxes without a virtual machine: the real guest program on this host, behind the real channel, with a screen
//! that is drawn here.
//!
//! ```text
//!   supervisor ── guest channel ──▶ socket pair ──▶ nightshift-guest (threads of this process) ──▶ bash, git, files
//!        └─────── D-Bus display ──▶ socket pair ──▶ a drawn desktop: it answers pointer and keyboard with damage
//! ```
//!
//! A hundred of them start in a second, which is what tests of whole runs and benches of many runs need. They isolate
//! nothing: a command runs as the user of this process, in a home folder of its own. Nothing else is different on
//! the wire, so what is above the driver cannot tell.

mod checkpoints;
mod display;
mod processes;

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use nightshift_guest::{Account, Guest, Kernel, Settings};
use nightshift_protocol::SandboxId;
use nightshift_sandbox::{
    Acceleration, BootRequest, ByteStream, Checkpoints, CloneRequest, DiskUse, DisplayEndpoint, Driver,
    DriverReport, Expendable, FreezeError, Hold, Image, Machine, MachineSize, Remedy, Stall, StartError,
    Template, TemplateKey, Written,
};
use tokio::sync::watch;

use self::display::Display;

/// The size of the drawn desktop unless another is asked for: that of a real sandbox, in pixels.
pub const SCREEN: (u32, u32) = (1280, 800);

/// Makes sandboxes below a folder. It may outlive several owners, as hypervisors do.
#[derive(Debug)]
pub struct HostDriver {
    folder: PathBuf,
    screen: (u32, u32),
    picture: Option<Arc<[u8]>>,
    checkpoints: bool,
    /// What is free of a disk, and how large it is, in bytes.
    disk: Mutex<Option<(u64, u64)>>,
    /// Why no sandbox can be saved, if none can.
    unsaved: Mutex<Option<String>>,
    /// How many sandboxes there is room for.
    room: AtomicUsize,
    /// Whether a clone is said to wait for whoever asks next.
    spare: AtomicBool,
    machines: Mutex<HashMap<SandboxId, Arc<HostMachine>>>,
}

impl HostDriver {
    /// A driver whose sandboxes are folders below `folder`, with a screen of `screen` pixels.
    pub fn new(folder: PathBuf, screen: (u32, u32)) -> Self {
        Self {
            folder,
            screen,
            picture: None,
            checkpoints: false,
            disk: Mutex::default(),
            unsaved: Mutex::default(),
            room: AtomicUsize::new(usize::MAX),
            spare: AtomicBool::new(false),
            machines: Mutex::default(),
        }
    }

    /// Shows this on all screens: red, green and blue bytes of the whole screen.
    #[must_use]
    pub fn with_picture(mut self, rgb: Vec<u8>) -> Self {
        self.picture = Some(rgb.into());
        self
    }

    /// Lets sandboxes be saved and brought back: their folders, and not the processes in them.
    #[must_use]
    pub fn with_checkpoints(mut self) -> Self {
        self.checkpoints = true;
        self
    }

    /// Says how the disk below the sandboxes is, in bytes. Until then nothing is known of it.
    pub fn disk_is(&self, free: u64, total: u64) {
        *self.disk.lock().unwrap_or_else(PoisonError::into_inner) = Some((free, total));
    }

    /// Says how many sandboxes there is room for from now on, as hosts do that others use too.
    pub fn has_room_for(&self, sandboxes: usize) {
        self.room.store(sandboxes, Ordering::Relaxed);
    }

    /// Lets every attempt to save a sandbox fail for that reason from now on.
    pub fn refuse_checkpoints(&self, why: &str) {
        *self.unsaved.lock().unwrap_or_else(PoisonError::into_inner) = Some(why.to_owned());
    }

    /// Whether it was asked to keep a clone for whoever comes next.
    pub fn has_spare(&self) -> bool {
        self.spare.load(Ordering::Relaxed)
    }

    /// A sandbox that runs, for a test that wants to look into it or to end it.
    pub fn machine(&self, sandbox: &SandboxId) -> Option<Arc<HostMachine>> {
        self.machines().get(sandbox).filter(|machine| machine.runs()).cloned()
    }

    fn machines(&self) -> MutexGuard<'_, HashMap<SandboxId, Arc<HostMachine>>> {
        self.machines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn template_folder(&self, key: &TemplateKey) -> PathBuf {
        self.folder.with_extension("templates").join(&key.0)
    }

    fn require_room(&self) -> Result<(), StartError> {
        let running = self.machines().values().filter(|machine| machine.runs()).count();
        if running < self.room.load(Ordering::Relaxed) {
            return Ok(());
        }
        let (what, remedy) = ("no host has room for another sandbox".to_owned(), Remedy("Wait.".to_owned()));
        Err(StartError::NoRoom { what, remedy })
    }

    fn start(&self, sandbox: &SandboxId) -> io::Result<Arc<HostMachine>> {
        let machine = Arc::new(HostMachine::start(
            sandbox,
            &self.folder.join(sandbox.as_str()),
            self.screen,
            self.picture.clone(),
        )?);
        self.machines().insert(sandbox.clone(), Arc::clone(&machine));
        Ok(machine)
    }
}

#[async_trait]
impl Driver for HostDriver {
    fn name(&self) -> &'static str {
        "host"
    }

    async fn probe(&self) -> Result<DriverReport, StartError> {
        Ok(DriverReport {
            acceleration: Acceleration::Kvm,
            because: "commands run on this host itself".to_owned(),
            hypervisor: "none".to_owned(),
            checkpoints: None,
        })
    }

    async fn template_key(&self, _: &Image, _: MachineSize) -> Result<TemplateKey, StartError> {
        Ok(TemplateKey(PLAIN.to_owned()))
    }

    async fn template(&self, key: &TemplateKey) -> Option<Template> {
        let folder = if key.0 == PLAIN { self.folder.clone() } else { self.template_folder(key) };
        (key.0 == PLAIN || folder.is_dir()).then(|| Template { key: key.clone(), folder })
    }

    async fn freeze_clone(
        &self,
        machine: Arc<dyn Machine>,
        key: TemplateKey,
    ) -> Result<Template, FreezeError> {
        let own = self.machine(machine.sandbox());
        let own = own.ok_or_else(|| FreezeError::NotFreezable { sandbox: machine.sandbox().clone() })?;
        let folder = self.template_folder(&key);
        copy(own.home_folder(), &folder)
            .map_err(|source| FreezeError::Io { what: "copying a home folder".to_owned(), source })?;
        own.end();
        Ok(Template { key, folder })
    }

    async fn remove_template(&self, key: &TemplateKey) -> io::Result<()> {
        std::fs::remove_dir_all(self.template_folder(key))
    }

    async fn boot(&self, _: BootRequest) -> Result<Arc<dyn Machine>, StartError> {
        Err(StartError::Refused { what: "a host has no template to boot".to_owned() })
    }

    async fn freeze(&self, machine: Arc<dyn Machine>) -> Result<Template, FreezeError> {
        Err(FreezeError::NotFreezable { sandbox: machine.sandbox().clone() })
    }

    async fn clone_template(&self, request: CloneRequest) -> Result<Arc<dyn Machine>, StartError> {
        self.require_room()?;
        let failed = |source| StartError::Io { what: "making a sandbox's folder".to_owned(), source };
        if request.template.key.0 != PLAIN {
            let home = self.folder.join(request.sandbox.as_str()).join("home");
            copy(&request.template.folder, &home).map_err(failed)?;
        }
        match self.start(&request.sandbox) {
            Ok(machine) => Ok(machine),
            Err(source) => Err(failed(source)),
        }
    }

    async fn keep_spare(&self, _: CloneRequest) -> Result<(), StartError> {
        self.spare.store(true, Ordering::Relaxed);
        Ok(())
    }

    async fn drop_spare(&self) -> bool {
        self.spare.swap(false, Ordering::Relaxed)
    }

    async fn find(&self, sandbox: &SandboxId) -> Result<Option<Arc<dyn Machine>>, StartError> {
        Ok(self.machine(sandbox).map(|machine| machine as Arc<dyn Machine>))
    }

    async fn list(&self) -> Vec<SandboxId> {
        let machines = self.machines();
        machines.iter().filter(|(_, machine)| machine.runs()).map(|(sandbox, _)| sandbox.clone()).collect()
    }

    async fn disk_use(&self) -> Option<DiskUse> {
        let (free_bytes, total_bytes) = (*self.disk.lock().unwrap_or_else(PoisonError::into_inner))?;
        let of = |machine: &HostMachine| Written {
            sandbox: machine.sandbox.clone(),
            bytes: machine.written.load(Ordering::Relaxed),
            held: machine.held(),
            let_go: machine.let_go(),
        };
        let machines = self.machines();
        let sandboxes =
            machines.values().filter(|machine| machine.runs()).map(|machine| of(machine)).collect();
        Some(DiskUse { folder: self.folder.clone(), free_bytes, total_bytes, sandboxes })
    }

    fn checkpoints(&self) -> Option<&dyn Checkpoints> {
        self.checkpoints.then_some(self as &dyn Checkpoints)
    }
}

impl Drop for HostDriver {
    fn drop(&mut self) {
        for machine in self.machines().values() {
            machine.end();
        }
    }
}

/// The key of the template that has nothing in it.
const PLAIN: &str = "host";

/// Copies a folder with all that is in it.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::create_dir_all(to)?;
    let mut command = std::process::Command::new("cp");
    let status = command.arg("-a").arg(from.join(".")).arg(to).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("cp ended with {status}"))) }
}

/// One sandbox.
#[derive(Debug)]
pub struct HostMachine {
    sandbox: SandboxId,
    folder: PathBuf,
    home: String,
    guest: Arc<Guest>,
    display: Display,
    ended: watch::Sender<bool>,
    stalled: watch::Sender<Option<Stall>>,
    /// What it is said to have written, in bytes.
    written: AtomicU64,
    /// In spite of what a person let it go on.
    let_go: Mutex<Option<Hold>>,
    expendable: Mutex<Expendable>,
    /// Our end of the open channel, to cut it.
    channel: Mutex<Option<UnixStream>>,
}

impl HostMachine {
    fn start(
        sandbox: &SandboxId,
        folder: &Path,
        screen: (u32, u32),
        picture: Option<Arc<[u8]>>,
    ) -> io::Result<Self> {
        let home = folder.join("home");
        for below in ["home", "spool", "root/etc"] {
            std::fs::create_dir_all(folder.join(below))?;
        }
        let agent = Account {
            name: "agent".to_owned(),
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            groups: Vec::new(),
            home: home.clone(),
            shell: PathBuf::from("/bin/bash"),
        };
        let settings = Settings {
            spool: folder.join("spool"),
            root: folder.join("root"),
            agent: Some(agent.clone()),
            administrator: agent,
            cgroup: None,
            boot_id: sandbox.to_string(),
            output_bytes: 64 * 1024 * 1024,
            kept_jobs: 1_000,
        };
        Ok(Self {
            sandbox: sandbox.clone(),
            folder: folder.to_owned(),
            home: home.to_string_lossy().into_owned(),
            guest: Guest::new(settings, ThisHost)?,
            display: Display::new(screen, picture)?,
            ended: watch::Sender::new(false),
            stalled: watch::Sender::new(None),
            written: AtomicU64::new(0),
            let_go: Mutex::default(),
            expendable: Mutex::new(Expendable::Works),
            channel: Mutex::default(),
        })
    }

    /// Whether it was not stopped.
    pub fn runs(&self) -> bool {
        !*self.ended.borrow()
    }

    /// The agent's home folder on this host.
    pub fn home_folder(&self) -> &Path {
        Path::new(&self.home)
    }

    /// Opens the way out that programs of a real sandbox find at port 3128, at a port of its own, and says where.
    pub fn open_proxy(&self) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        self.guest.proxy(listener)?;
        Ok(address)
    }

    /// Cuts the channel as a host that hangs up does; whoever held it may open another.
    pub fn cut_channel(&self) {
        if let Some(socket) = self.channel.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // It may be closed already.
            let _closed = socket.shutdown(std::net::Shutdown::Both);
        }
    }

    /// Says that the disk below the sandbox is full and that its guest stands still, until it is told to go on. What runs
    /// in it does run on: a host cannot be stopped.
    pub fn stall(&self, free_mib: Option<u64>) {
        self.stalled.send_replace(Some(Stall { folder: self.folder.clone(), free_mib, held: None }));
    }

    /// Says that it has written so many bytes, all in all.
    pub fn has_written(&self, bytes: u64) {
        self.written.store(bytes, Ordering::Relaxed);
    }

    /// How soon it was said that it may end.
    pub fn expendable(&self) -> Expendable {
        *self.expendable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why it was made to stand still, if it was.
    pub fn held(&self) -> Option<Hold> {
        self.stalled.borrow().as_ref().and_then(|stall| stall.held)
    }

    fn let_go(&self) -> Option<Hold> {
        *self.let_go.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the sandbox stands still.
    pub fn is_stalled(&self) -> bool {
        self.stalled.borrow().is_some()
    }

    /// Ends the sandbox as a crash does: its processes, its channel, its screen.
    pub fn end(&self) {
        self.ended.send_replace(true);
        self.cut_channel();
        self.display.hang_up();
        processes::kill_at_home(&self.home);
        // What a process still writes there is left to whoever removes the driver's folder.
        let _mostly_gone = std::fs::remove_dir_all(&self.folder);
    }

    fn gone() -> io::Error {
        io::Error::new(io::ErrorKind::NotConnected, "the sandbox has ended")
    }
}

#[async_trait]
impl Machine for HostMachine {
    fn sandbox(&self) -> &SandboxId {
        &self.sandbox
    }

    fn acceleration(&self) -> Acceleration {
        Acceleration::Kvm
    }

    fn home(&self) -> &str {
        &self.home
    }

    async fn channel(&self) -> io::Result<Box<dyn ByteStream>> {
        if !self.runs() {
            return Err(Self::gone());
        }
        self.cut_channel();
        let (host, guest) = UnixStream::pair()?;
        host.set_nonblocking(true)?;
        *self.channel.lock().unwrap_or_else(PoisonError::into_inner) = Some(host.try_clone()?);
        let serving = Arc::clone(&self.guest);
        std::thread::Builder::new().name("guest".to_owned()).spawn(move || {
            // It ends when the host closes its end.
            let _closed = serving.serve(OwnedFd::from(guest));
        })?;
        Ok(Box::new(tokio::net::UnixStream::from_std(host)?))
    }

    async fn display(&self) -> io::Result<DisplayEndpoint> {
        if self.runs() { self.display.open().map(DisplayEndpoint::Dbus) } else { Err(Self::gone()) }
    }

    async fn stop(&self) -> io::Result<()> {
        self.end();
        Ok(())
    }

    async fn stalled(&self) -> Stall {
        let mut stalled = self.stalled.subscribe();
        let stall = stalled.wait_for(Option::is_some).await.ok().and_then(|stall| stall.clone());
        match stall {
            Some(stall) => stall,
            // The sender lives as long as the machine.
            None => std::future::pending().await,
        }
    }

    async fn hold(&self, why: Hold) -> io::Result<()> {
        let stall = Stall { folder: self.folder.clone(), free_mib: None, held: Some(why) };
        self.stalled.send_replace(Some(stall));
        Ok(())
    }

    async fn go_on(&self) -> io::Result<()> {
        let stall = self.stalled.send_replace(None);
        // The host is not asked for what is free, so that only a quota is overruled.
        if let Some(hold) = stall.and_then(|stall| stall.held).filter(|hold| hold.is_overruled(u64::MAX)) {
            *self.let_go.lock().unwrap_or_else(PoisonError::into_inner) = Some(hold);
        }
        Ok(())
    }

    fn set_expendable(&self, expendable: Expendable) {
        *self.expendable.lock().unwrap_or_else(PoisonError::into_inner) = expendable;
    }

    async fn ended(&self) -> String {
        // The sender lives as long as the machine, so the wait ends by its end alone.
        let mut ended = self.ended.subscribe();
        let _ended = ended.wait_for(|ended| *ended).await;
        "the sandbox was stopped".to_owned()
    }
}

/// The kernel of the host, which keeps its name, its clock and its pool.
#[derive(Debug)]
struct ThisHost;

impl Kernel for ThisHost {
    fn set_host_name(&self, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn add_entropy(&self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn set_clock(&self, _: i64) -> io::Result<()> {
        Ok(())
    }
}
