//! A connection to a host, and the calls that are made over it. Every call may take long and blocks its thread; whoever
//! awaits one waits no longer than a limit.

use std::io::{self, Read};
use std::os::fd::{FromRawFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::time::Duration;

use virt::connect::Connect;
use virt::domain::Domain;
use virt::storage_pool::StoragePool;
use virt::storage_vol::StorageVol;
use virt::stream::Stream;

use crate::domain::plain_volume;
use crate::host::HostSettings;
use crate::trouble::HostError;

/// The longest wait for an answer that costs the host nothing.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// The longest wait for what moves gigabytes: an image, a machine's memory.
pub(crate) const TRANSFER_WITHIN: Duration = Duration::from_secs(1800);

/// The most that one message of libvirt's protocol carries of a stream, in bytes (`VIR_NET_MESSAGE_LEGACY_PAYLOAD_MAX`).
pub(crate) const STREAM_PIECE: usize = 262_120;

/// libvirt's own error, or that of the file that is sent.
#[derive(Debug)]
pub(crate) enum CallError {
    /// libvirt's.
    Libvirt(virt::error::Error),
    /// Something is not as libvirt promises.
    Other(String),
    /// This host's own disk.
    Io(io::Error),
}

impl From<virt::error::Error> for CallError {
    fn from(error: virt::error::Error) -> Self {
        Self::Libvirt(error)
    }
}

impl From<io::Error> for CallError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl CallError {
    /// Names it.
    pub(crate) fn at(self, settings: &HostSettings) -> HostError {
        let host = &settings.name;
        match self {
            Self::Libvirt(error) => {
                HostError::of(host, &settings.pool, error.code().to_raw(), error.message())
            }
            Self::Other(what) => HostError::Refused { host: host.clone(), what },
            Self::Io(error) => HostError::Refused {
                host: host.clone(),
                what: format!("a file here could not be read: {error}"),
            },
        }
    }

    /// Whether what was asked for is not there.
    pub(crate) fn is_absence(&self) -> bool {
        let Self::Libvirt(error) = self else { return false };
        use virt::error::ErrorNumber;
        matches!(error.code(), ErrorNumber::NoDomain | ErrorNumber::NoStorageVolume)
    }
}

pub(crate) type Called<T> = Result<T, CallError>;

/// An open connection; it is closed when it is dropped.
#[derive(Debug)]
pub(crate) struct Connection(Connect);

impl Drop for Connection {
    fn drop(&mut self) {
        // Nothing can be done about one that does not close.
        let _closed = self.0.close();
    }
}

impl Connection {
    /// Connects, asking nobody for a password.
    pub(crate) fn open(uri: &str) -> Called<Self> {
        static QUIET: Once = Once::new();
        // libvirt prints errors to standard error unless it is told not to.
        QUIET.call_once(virt::error::clear_error_callback);
        crate::stream::start_event_loop();
        Ok(Self(Connect::open(Some(uri))?))
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.0.is_alive().unwrap_or(false)
    }

    /// The hypervisor and its version, for example `QEMU 10.0.2 under libvirt 9.0.0`.
    pub(crate) fn hypervisor(&self) -> Called<String> {
        let dotted =
            |number: u32| format!("{}.{}.{}", number / 1_000_000, number / 1_000 % 1_000, number % 1_000);
        let (hypervisor, libvirt) = (self.0.get_hyp_version()?, self.0.get_lib_version()?);
        Ok(format!("{} {} under libvirt {}", self.0.get_type()?, dotted(hypervisor), dotted(libvirt)))
    }

    /// All memory of the host, in MiB.
    pub(crate) fn memory_mib(&self) -> Called<u64> {
        Ok(self.0.get_node_info()?.memory / 1024)
    }

    /// The names of the machines that run, with their memory in MiB.
    pub(crate) fn running(&self) -> Called<Vec<(String, u64)>> {
        let domains = self.0.list_all_domains(virt::sys::VIR_CONNECT_LIST_DOMAINS_ACTIVE)?;
        // One that ends in between is none.
        let each = domains
            .iter()
            .filter_map(|domain| Some((domain.get_name().ok()?, domain.get_info().ok()?.max_mem / 1024)));
        Ok(each.collect())
    }

    pub(crate) fn domain(&self, name: &str) -> Called<Domain> {
        Ok(Domain::lookup_by_name(&self.0, name)?)
    }

    /// Starts a machine that leaves nothing when it ends.
    pub(crate) fn start(&self, xml: &str) -> Called<()> {
        Domain::create_xml(&self.0, xml, virt::sys::VIR_DOMAIN_NONE)?;
        Ok(())
    }

    /// Starts a machine that does nothing yet, to see whether it can be started, and ends it.
    pub(crate) fn try_out(&self, xml: &str) -> Called<()> {
        let domain = Domain::create_xml(&self.0, xml, virt::sys::VIR_DOMAIN_START_PAUSED)?;
        Ok(domain.destroy()?)
    }

    /// Ends a machine. Ending one that is gone is no error.
    pub(crate) fn destroy(&self, name: &str) -> Called<()> {
        let destroyed = self.domain(name).and_then(|domain| Ok(domain.destroy()?));
        match destroyed {
            Err(error) if error.is_absence() => Ok(()),
            // Somebody else ended it meanwhile, which libvirt calls an invalid operation.
            Err(_) if self.exists(name).is_ok_and(|there| !there) => Ok(()),
            result => result,
        }
    }

    /// Whether a machine runs; one that stands still or has crashed counts as running until it is gone.
    pub(crate) fn exists(&self, name: &str) -> Called<bool> {
        runs(self.domain(name))
    }

    /// Hands over one end of a connection to a machine's VNC server.
    pub(crate) fn graphics(&self, name: &str) -> Called<OwnedFd> {
        let domain = self.domain(name)?;
        let descriptor = domain.open_graphics_fd(0, virt::sys::VIR_DOMAIN_OPEN_GRAPHICS_SKIPAUTH)?;
        let descriptor = i32::try_from(descriptor).map_err(|error| CallError::Other(error.to_string()))?;
        #[expect(
            unsafe_code,
            reason = "libvirt gives a descriptor that was made for us and that nobody else closes"
        )]
        // SAFETY: virDomainOpenGraphicsFD returns a new descriptor, owned by the caller.
        Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
    }

    /// What a running machine is, as its host says it.
    pub(crate) fn description(&self, name: &str) -> Called<String> {
        Ok(self.domain(name)?.get_xml_desc(virt::sys::VIR_DOMAIN_NONE)?)
    }

    /// Opens a machine's channel, and takes it from whoever had it.
    pub(crate) fn channel(&self, name: &str, port: &str) -> Called<Stream> {
        let stream = Stream::new(&self.0, virt::sys::VIR_STREAM_NONBLOCK)?;
        self.domain(name)?.open_channel(Some(port), &stream, virt::sys::VIR_DOMAIN_CHANNEL_FORCE)?;
        Ok(stream)
    }

    /// Saves a machine's memory and puts a new layer on its disk. Returns how long the guest stood still, if libvirt says.
    pub(crate) fn snapshot(&self, name: &str, xml: &str, guest: Guest) -> Called<Option<Duration>> {
        let domain = self.domain(name)?;
        let mut flags =
            virt::sys::VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA | virt::sys::VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC;
        match guest {
            Guest::GoesOn => flags |= virt::sys::VIR_DOMAIN_SNAPSHOT_CREATE_LIVE,
            Guest::StandsStill => domain.suspend().map(drop)?,
        }
        let taken = virt::domain_snapshot::DomainSnapshot::create_xml(&domain, xml, flags);
        if let (Err(_), Guest::StandsStill) = (&taken, guest) {
            // What failed has cost nothing.
            let _resumed = domain.resume();
        }
        taken?;
        let job = domain.get_job_stats(virt::sys::VIR_DOMAIN_JOB_STATS_COMPLETED).ok();
        Ok(job.and_then(|job| job.downtime).map(Duration::from_millis))
    }

    /// Describes the machine that was saved into a file.
    pub(crate) fn saved(&self, path: &str) -> Called<String> {
        Ok(Domain::save_image_get_xml_desc(&self.0, path, 0)?)
    }

    /// Makes a running machine of a file.
    pub(crate) fn restore(&self, path: &str, xml: &str) -> Called<()> {
        Ok(Domain::domain_restore_flags(&self.0, path, Some(xml), virt::sys::VIR_DOMAIN_SAVE_RUNNING)?)
    }

    /// Opens a storage pool, which is started if it rests.
    pub(crate) fn pool(&self, name: &str) -> Called<Pool> {
        let pool = StoragePool::lookup_by_name(&self.0, name)?;
        if !pool.is_active()? {
            pool.create(virt::sys::VIR_STORAGE_POOL_CREATE_NORMAL)?;
        }
        Ok(Pool { pool, connection: self.0.clone() })
    }
}

/// What becomes of a guest while it is saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guest {
    /// It runs meanwhile, and afterwards.
    GoesOn,
    /// It stands still from the beginning, and still does afterwards.
    StandsStill,
}

/// A storage pool that is a folder of its host.
#[derive(Debug)]
pub(crate) struct Pool {
    pool: StoragePool,
    connection: Connect,
}

impl Drop for Pool {
    fn drop(&mut self) {
        // The reference that was taken with it.
        let _closed = self.connection.close();
    }
}

impl Pool {
    /// Free space, in MiB.
    pub(crate) fn free_mib(&self) -> Called<u64> {
        Ok(self.pool.get_info()?.available >> 20)
    }

    /// The folder.
    pub(crate) fn folder(&self) -> Called<String> {
        let xml = self.pool.get_xml_desc(0)?;
        let path = xml.split_once("<path>").and_then(|(_, rest)| rest.split_once("</path>"));
        path.map(|(path, _)| path.to_owned())
            .ok_or_else(|| CallError::Other("its storage pool is no folder; use one of type dir".to_owned()))
    }

    pub(crate) fn has(&self, name: &str) -> Called<bool> {
        match StorageVol::lookup_by_name(&self.pool, name).map_err(CallError::from) {
            Ok(_) => Ok(true),
            Err(error) if error.is_absence() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The path of a volume on the host.
    pub(crate) fn path(&self, name: &str) -> Called<String> {
        Ok(StorageVol::lookup_by_name(&self.pool, name)?.get_path()?)
    }

    /// What a volume takes of the disk, in bytes.
    pub(crate) fn allocation(&self, name: &str) -> Called<u64> {
        Ok(StorageVol::lookup_by_name(&self.pool, name)?.get_info()?.allocation)
    }

    /// Makes a volume and returns its path.
    pub(crate) fn create(&self, xml: &str) -> Called<String> {
        Ok(StorageVol::create_xml(&self.pool, xml, 0)?.get_path()?)
    }

    /// Makes a volume with the content of another, on the host.
    pub(crate) fn copy(&self, from: &str, to: &str) -> Called<String> {
        let source = StorageVol::lookup_by_name(&self.pool, from)?;
        let xml = plain_volume(to, source.get_info()?.capacity);
        Ok(StorageVol::create_xml_from(&self.pool, &xml, &source, 0)?.get_path()?)
    }

    /// The names of all volumes.
    pub(crate) fn names(&self) -> Called<Vec<String>> {
        Ok(self.pool.list_volumes()?)
    }

    /// Looks for files that came without libvirt's storage driver.
    pub(crate) fn refresh(&self) -> Called<()> {
        self.pool.refresh(0)?;
        Ok(())
    }

    /// Removes a volume. Removing what is gone is no error.
    pub(crate) fn delete(&self, name: &str) -> Called<()> {
        let deleted = StorageVol::lookup_by_name(&self.pool, name)
            .and_then(|volume| volume.delete(0))
            .map_err(CallError::from);
        match deleted {
            Err(error) if error.is_absence() => Ok(()),
            result => result,
        }
    }

    /// Reads the first `length` bytes of a volume, or all if it has fewer.
    pub(crate) fn read_head(&self, name: &str, length: usize) -> Called<Vec<u8>> {
        let volume = StorageVol::lookup_by_name(&self.pool, name)?;
        let stream = Stream::new(&self.connection, 0)?;
        volume.download(&stream, 0, length as u64, 0)?;
        let (mut head, mut piece) = (Vec::new(), vec![0; STREAM_PIECE]);
        loop {
            match stream.recv(&mut piece) {
                Ok(0) => break,
                Ok(count) => head.extend_from_slice(&piece[..count]),
                Err(error) => {
                    let _aborted = stream.abort();
                    return Err(error.into());
                }
            }
        }
        stream.finish()?;
        head.truncate(length);
        Ok(head)
    }

    /// Writes over the beginning of a volume.
    pub(crate) fn write_head(&self, name: &str, head: &[u8]) -> Called<()> {
        let volume = StorageVol::lookup_by_name(&self.pool, name)?;
        self.send(&volume, &mut &*head, head.len() as u64)
    }

    /// Brings `length` bytes to the host as a new volume, and returns its path. A volume of that name that was begun and
    /// never finished is replaced; one that is whole is kept.
    pub(crate) fn bring(&self, name: &str, content: &mut dyn Read, length: u64) -> Called<String> {
        let whole = whole_mark(name);
        if self.has(&whole)? && self.has(name)? {
            return self.path(name);
        }
        self.delete(&whole)?;
        self.delete(name)?;
        self.create(&plain_volume(name, length))?;
        let volume = StorageVol::lookup_by_name(&self.pool, name)?;
        if let Err(error) = self.send(&volume, content, length) {
            let _half = self.delete(name);
            return Err(error);
        }
        self.create(&plain_volume(&whole, 0))?;
        self.path(name)
    }

    fn send(&self, volume: &StorageVol, content: &mut dyn Read, length: u64) -> Called<()> {
        let stream = Stream::new(&self.connection, 0)?;
        volume.upload(&stream, 0, length, 0)?;
        let mut piece = vec![0; STREAM_PIECE];
        let sent = (|| -> Called<()> {
            loop {
                let count = content.read(&mut piece)?;
                if count == 0 {
                    return Ok(());
                }
                let mut rest = &piece[..count];
                while !rest.is_empty() {
                    let taken = stream.send(rest)?;
                    rest = rest.get(taken..).unwrap_or_default();
                }
            }
        })();
        match sent {
            Ok(()) => Ok(stream.finish()?),
            Err(error) => {
                let _aborted = stream.abort();
                Err(error)
            }
        }
    }
}

/// Whether a machine that was looked for runs. It may end between being found and being asked.
fn runs(found: Called<Domain>) -> Called<bool> {
    match found.and_then(|domain| Ok(domain.is_active()?)) {
        Err(error) if error.is_absence() => Ok(false),
        result => result,
    }
}

/// The empty volume that says that another is whole.
fn whole_mark(name: &str) -> String {
    format!("{name}.whole")
}

/// A host, with the connection that all but channels share.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) settings: HostSettings,
    connection: Mutex<Option<Arc<Connection>>>,
    /// Held while something is forgotten: of two that share a volume, the second must see that the first is gone.
    pub(crate) forgetting: tokio::sync::Mutex<()>,
}

impl Host {
    pub(crate) fn new(settings: HostSettings) -> Self {
        Self { settings, connection: Mutex::default(), forgetting: tokio::sync::Mutex::default() }
    }

    /// Makes a call over the shared connection, which is opened when there is none or it is dead.
    pub(crate) async fn call<T: Send + 'static>(
        self: &Arc<Self>,
        within: Duration,
        call: impl FnOnce(&Connection) -> Called<T> + Send + 'static,
    ) -> Result<T, HostError> {
        let host = Arc::clone(self);
        let calling = tokio::task::spawn_blocking(move || {
            let connection = host.connected().map_err(|error| error.at(&host.settings))?;
            let called = call(&connection).map_err(|error| error.at(&host.settings));
            if called.as_ref().is_err_and(HostError::is_about_the_connection) {
                host.lock().take();
            }
            called
        });
        self.wait(within, calling).await
    }

    /// Makes a call over a connection of its own, which stays as long as what the call returns.
    pub(crate) async fn call_apart<T: Send + 'static>(
        self: &Arc<Self>,
        call: impl FnOnce(Connection) -> Called<T> + Send + 'static,
    ) -> Result<T, HostError> {
        let settings = self.settings.clone();
        let calling = tokio::task::spawn_blocking(move || {
            Connection::open(&settings.uri).and_then(call).map_err(|error| error.at(&settings))
        });
        self.wait(ANSWER_WITHIN, calling).await
    }

    async fn wait<T>(
        &self,
        within: Duration,
        calling: tokio::task::JoinHandle<Result<T, HostError>>,
    ) -> Result<T, HostError> {
        let host = || self.settings.name.clone();
        match tokio::time::timeout(within, calling).await {
            Ok(Ok(result)) => result,
            Ok(Err(error)) => Err(HostError::Refused { host: host(), what: error.to_string() }),
            Err(_) => {
                // Whoever is stuck on it keeps it; everybody else gets a new one.
                self.lock().take();
                Err(HostError::Silent { host: host(), within })
            }
        }
    }

    fn connected(&self) -> Called<Arc<Connection>> {
        // Only taken out under the lock: a host that does not answer must not hold up whoever gives it up.
        let known = self.lock().clone();
        if let Some(connection) = known.filter(|connection| connection.is_alive()) {
            return Ok(connection);
        }
        let connection = Arc::new(Connection::open(&self.settings.uri)?);
        *self.lock() = Some(Arc::clone(&connection));
        Ok(connection)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Connection>>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
