//! The driver: where a wish becomes a host, files in its storage pool, and a machine.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use nightshift_image as image;
use nightshift_protocol::SandboxId;
use nightshift_sandbox::{
    Acceleration, AfterSave, BootRequest, CheckpointMemory, Checkpoints, CloneRequest, Driver, DriverReport,
    FreezeError, Image, Machine, MachineEvent, MachineSize, Remedy, StartError, Template, TemplateKey,
};
use sha2::{Digest, Sha256};

use crate::connection::{ANSWER_WITHIN, CallError, Called, Connection, Guest, Host, Pool, TRANSFER_WITHIN};
use crate::domain::{self, DomainPlan, Files};
use crate::host::HostSettings;
use crate::machine::{LibvirtMachine, forget, remove};
use crate::placement::{HostRoom, NoRoom, place};
use crate::records::{Kind, MachineRecord, Records, SavedRecord, Volumes, next_layer};
use crate::saved::{self, Identity};
use crate::trouble::{HostError, no_room, too_large};
use crate::volumes::{ImageVolumes, hexadecimal, uuid};

/// What goes into a template's key besides image and size: it changes when machines are made in another way.
const FORM: &str = "libvirt-1";

/// How long a host may take to start a machine or to write or read its memory.
const START_WITHIN: Duration = Duration::from_secs(300);

/// Templates that are kept: going back to the version before costs nothing then.
const TEMPLATES_KEPT: usize = 2;

/// What the driver is told by the program that uses it.
#[derive(Debug, Clone)]
pub struct LibvirtSettings {
    /// The hosts, checked by [`crate::check_hosts`].
    pub hosts: Vec<HostSettings>,
    /// The program to run inside each sandbox, linked statically.
    pub guest_program: PathBuf,
    /// The folder for what must be known here of machines, templates and checkpoints.
    pub records: PathBuf,
}

/// Makes sandboxes on libvirt hosts.
#[derive(Debug)]
pub struct LibvirtDriver {
    pub(crate) hosts: Vec<Arc<Host>>,
    guest_program: PathBuf,
    pub(crate) records: Records,
    facts: tokio::sync::Mutex<HashMap<String, HostFacts>>,
    /// Held from the choice of a host until the machine runs there, so that room is given once.
    pub(crate) placing: tokio::sync::Mutex<()>,
    machines: Mutex<HashMap<SandboxId, Arc<Slot>>>,
}

/// The place of a sandbox's machine, as long as somebody holds the machine. Whoever starts or looks for it locks it.
type Slot = tokio::sync::Mutex<Weak<LibvirtMachine>>;

/// What a host was found to be.
#[derive(Debug, Clone)]
struct HostFacts {
    acceleration: Acceleration,
    because: String,
    hypervisor: String,
}

impl LibvirtDriver {
    /// Makes a driver. It connects to nothing until it is asked to do something.
    pub fn new(settings: LibvirtSettings) -> Self {
        Self {
            hosts: settings.hosts.into_iter().map(|host| Arc::new(Host::new(host))).collect(),
            guest_program: settings.guest_program,
            records: Records::new(settings.records),
            facts: tokio::sync::Mutex::default(),
            placing: tokio::sync::Mutex::default(),
            machines: Mutex::default(),
        }
    }

    pub(crate) fn slot(&self, sandbox: &SandboxId) -> Arc<Slot> {
        let mut slots = self.machines.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|_, slot| {
            Arc::strong_count(slot) > 1 || slot.try_lock().is_ok_and(|machine| machine.strong_count() > 0)
        });
        Arc::clone(slots.entry(sandbox.clone()).or_default())
    }

    /// The machine itself, of which the caller holds what all drivers have.
    pub(crate) async fn own(&self, machine: &Arc<dyn Machine>) -> Option<Arc<LibvirtMachine>> {
        self.slot(machine.sandbox()).lock().await.upgrade()
    }

    pub(crate) fn host(&self, name: &str) -> Result<&Arc<Host>, StartError> {
        self.hosts.iter().find(|host| host.settings.name == name).ok_or_else(|| StartError::Unsuitable {
            what: format!("there is no host {name} any more"),
            remedy: Remedy("Name it in [[hosts]] of config.toml again.".to_owned()),
        })
    }

    /// What a host can do, tried once.
    async fn facts(&self, host: &Arc<Host>) -> Result<HostFacts, HostError> {
        let mut known = self.facts.lock().await;
        if let Some(facts) = known.get(&host.settings.name) {
            return Ok(facts.clone());
        }
        let chosen = host.settings.acceleration;
        let name = format!("nightshift-trial-{}", std::process::id());
        let found = host
            .call(ANSWER_WITHIN, move |connection| {
                let hypervisor = connection.hypervisor()?;
                let (acceleration, because) = match chosen {
                    Some(acceleration) => (acceleration, "config.toml says so".to_owned()),
                    None => match connection.try_out(&domain::trial(&name, uuid(&name))) {
                        Ok(()) => (Acceleration::Kvm, "a machine with KVM starts there".to_owned()),
                        Err(CallError::Libvirt(error)) => {
                            let said: String = error
                                .message()
                                .lines()
                                .last()
                                .unwrap_or_default()
                                .chars()
                                .take(200)
                                .collect();
                            (Acceleration::Tcg, format!("no machine with KVM starts there: {said}"))
                        }
                        Err(error) => return Err(error),
                    },
                };
                Ok(HostFacts { acceleration, because, hypervisor })
            })
            .await?;
        known.insert(host.settings.name.clone(), found.clone());
        Ok(found)
    }

    /// Asks all hosts what room they have, and chooses. A host that does not answer is passed over, unless none does.
    async fn choose(&self, volumes: &ImageVolumes, size: MachineSize) -> Result<Arc<Host>, StartError> {
        let (mut rooms, mut silent) = (Vec::new(), None);
        for host in &self.hosts {
            match self.room(host, Some(volumes)).await {
                Ok(room) => rooms.push(room),
                Err(error) => {
                    tracing::warn!(host = %host.settings, %error, "a host is passed over");
                    silent.get_or_insert(error);
                }
            }
        }
        match (place(&rooms, size), silent) {
            (Ok(room), _) => self.host(&room.name).map(Arc::clone),
            (Err(refusals), Some(error)) if refusals.is_empty() => Err(error.into()),
            (Err(refusals), silent) => Err(refuse(&rooms, size, &refusals, silent.is_some())),
        }
    }

    /// The host of what was saved, if it has room for the machine.
    pub(crate) async fn require_room(&self, saved: &SavedRecord) -> Result<Arc<Host>, StartError> {
        let host = Arc::clone(self.host(&saved.host)?);
        let room = self.room(&host, None).await?;
        let (rooms, size) = ([room], saved.plan.size);
        place(&rooms, size).map_err(|refusals| refuse(&rooms, size, &refusals, false))?;
        Ok(host)
    }

    /// What a host says of itself; `bring` is what must be there first, unless it is.
    async fn room(&self, host: &Arc<Host>, bring: Option<&ImageVolumes>) -> Result<HostRoom, HostError> {
        let (settings, bring) = (host.settings.clone(), bring.cloned());
        let ours = self.records.names(Kind::Machines);
        host.call(ANSWER_WITHIN, move |connection| {
            let running = connection.running()?;
            let pool = connection.pool(&settings.pool)?;
            let missing = match bring {
                Some(volumes) if !pool.has(&volumes.disk)? => volumes.disk_bytes >> 20,
                Some(_) | None => 0,
            };
            Ok(HostRoom {
                name: settings.name,
                memory_mib: connection.memory_mib()?,
                used_mib: running.iter().map(|(_, memory)| memory).sum(),
                ours_mib: running
                    .iter()
                    .filter(|(name, _)| ours.contains(name))
                    .map(|(_, memory)| memory)
                    .sum(),
                limit_mib: settings.memory_mib,
                disk_mib: pool.free_mib()?,
                missing_mib: missing,
            })
        })
        .await
    }

    /// Boots a machine on a host, whose image is brought there first if it is missing.
    async fn boot_on(
        &self,
        host: &Arc<Host>,
        sandbox: &SandboxId,
        volumes: ImageVolumes,
        size: MachineSize,
        becomes: Option<TemplateKey>,
    ) -> Result<MachineRecord, HostError> {
        let acceleration = self.facts(host).await?.acceleration;
        let (pool, sent) = (host.settings.pool.clone(), volumes.clone());
        let (kernel, initrd, base) =
            host.call(TRANSFER_WITHIN, move |connection| sent.bring(&connection.pool(&pool)?)).await?;
        let layer = self.new_layer(sandbox);
        let (pool, described) =
            (host.settings.pool.clone(), domain::layer_volume(&layer, volumes.disk_size, &base));
        let mut record = MachineRecord {
            host: host.settings.name.clone(),
            plan: DomainPlan {
                name: sandbox.to_string(),
                uuid: uuid(sandbox.as_str()),
                acceleration,
                size,
                screen: (volumes.manifest.screen.width, volumes.manifest.screen.height),
                files: Files { kernel, initrd, disk: String::new() },
                kernel_command_line: volumes.manifest.cmdline,
                disk_bytes: volumes.disk_size,
            },
            layers: vec![layer],
            booted: true,
            image: volumes.folder,
            becomes,
        };
        self.write(host, sandbox, &record)?;
        record.plan.files.disk =
            host.call(ANSWER_WITHIN, move |connection| connection.pool(&pool)?.create(&described)).await?;
        self.write(host, sandbox, &record)?;
        let xml = domain::domain(&record.plan);
        host.call(START_WITHIN, move |connection| connection.start(&xml)).await?;
        Ok(record)
    }

    /// Makes a running machine of one that was saved on the same host.
    pub(crate) async fn bring_back(
        &self,
        host: &Arc<Host>,
        sandbox: &SandboxId,
        from: SavedRecord,
    ) -> Result<MachineRecord, HostError> {
        let layer = self.new_layer(sandbox);
        let mut layers = from.layers.clone();
        layers.push(layer.clone());
        let mut plan =
            DomainPlan { name: sandbox.to_string(), uuid: uuid(sandbox.as_str()), ..from.plan.clone() };
        plan.files.disk = String::new();
        let (host_name, image) = (from.host.clone(), from.image.clone());
        let mut record = MachineRecord { host: host_name, plan, layers, booted: false, image, becomes: None };
        self.write(host, sandbox, &record)?;
        let (pool, name, new) = (host.settings.pool.clone(), sandbox.to_string(), record.plan.clone());
        record.plan.files.disk = host
            .call(START_WITHIN, move |connection| {
                let pool = connection.pool(&pool)?;
                let top = from.layers.last().ok_or_else(|| CallError::Other("it has no disk".to_owned()))?;
                let disk = pool.create(&domain::layer_volume(&layer, new.disk_bytes, &pool.path(top)?))?;
                if new.name == from.plan.name {
                    restore(connection, &pool.path(&from.memory)?, &from.plan.files.disk, &disk)?;
                } else {
                    // A copy, of which libvirt believes that it is of another machine.
                    let copy = format!("{name}.memory");
                    pool.delete(&copy)?;
                    let path = pool.copy(&from.memory, &copy)?;
                    let restored = rename(&pool, &copy, &from.plan, &new)
                        .and_then(|()| restore(connection, &path, &from.plan.files.disk, &disk));
                    pool.delete(&copy)?;
                    restored?;
                }
                Ok(disk)
            })
            .await?;
        self.write(host, sandbox, &record)?;
        Ok(record)
    }

    /// Saves a machine's memory into the volume `memory`; from then on it writes to a new layer.
    pub(crate) async fn save_memory(
        &self,
        machine: &LibvirtMachine,
        memory: &str,
        guest: Guest,
    ) -> Result<SavedRecord, HostError> {
        let began = std::time::Instant::now();
        let mut record = machine.record.lock().await;
        let layer = self.new_layer(&machine.sandbox);
        let host = &machine.host;
        let (pool, name) = (host.settings.pool.clone(), machine.sandbox.to_string());
        let (memory, new) = (memory.to_owned(), layer.clone());
        let volume = memory.clone();
        let (top, disk, paused, written) = host
            .call(START_WITHIN, move |connection| {
                // What the host says is true, even if an owner ended before it wrote down what it had done.
                let described = connection.description(&name)?;
                let top = domain::attribute(&described, "<source ", "file")
                    .ok_or_else(|| CallError::Other("the machine's disk is not a file".to_owned()))?;
                let pool = connection.pool(&pool)?;
                pool.refresh()?;
                for stale in [&volume, &new] {
                    pool.delete(stale)?;
                }
                let folder = pool.folder()?;
                let [saved, disk] = [&volume, &new].map(|name| format!("{folder}/{name}"));
                let paused = connection.snapshot(&name, &domain::snapshot(&saved, &disk), guest)?;
                pool.refresh()?;
                let written = pool.allocation(&volume)?;
                Ok((top, disk, paused, written))
            })
            .await?;
        let top_name =
            Path::new(&top).file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if record.layers.last() != Some(&top_name) {
            record.layers.push(top_name);
        }
        let mut plan = record.plan.clone();
        plan.files.disk = top;
        let took = began.elapsed();
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let saved = SavedRecord {
            host: record.host.clone(),
            sandbox: machine.sandbox.clone(),
            plan,
            layers: record.layers.clone(),
            memory,
            image: record.image.clone(),
            moved_on: record.becomes.is_none(),
            written_bytes: written,
            paused_ms: milliseconds(if guest == Guest::StandsStill { took } else { paused.unwrap_or(took) }),
            took_ms: milliseconds(took),
        };
        record.layers.push(layer);
        record.plan.files.disk = disk;
        self.write(host, &machine.sandbox, &record)?;
        Ok(saved)
    }

    /// Saves a machine as the template with that key. Its volumes are named by the machine, for two owners may use one pool.
    async fn keep_template(
        &self,
        machine: &LibvirtMachine,
        key: &TemplateKey,
        guest: Guest,
    ) -> Result<(), String> {
        let memory = format!("{}.template.memory", machine.sandbox);
        let saved = self.save_memory(machine, &memory, guest).await;
        let kept = saved.map_err(|error| error.to_string()).and_then(|saved| {
            self.records.write(Kind::Templates, &key.0, &saved).map_err(|error| error.to_string())
        });
        let event = match &kept {
            Ok(()) => MachineEvent::StateSaved,
            Err(what) => MachineEvent::SaveFailed { what: what.clone() },
        };
        // What is observed is never denied.
        let _ = machine.apply(event);
        kept
    }

    /// Removes the templates that a newer one has taken the place of, but for the newest before it. Those of environments go
    /// with their environments.
    async fn retire_templates(&self) {
        // Nobody is being cloned meanwhile.
        let _placing = self.placing.lock().await;
        let names = self.records.newest_first(Kind::Templates).into_iter();
        let plain = names.filter(|name| {
            self.records.read::<SavedRecord>(Kind::Templates, name).is_some_and(|saved| !saved.moved_on)
        });
        for name in plain.skip(TEMPLATES_KEPT) {
            if let Err(error) = self.remove_template(&TemplateKey(name)).await {
                tracing::warn!(%error, "an old template could not be removed");
            }
        }
    }

    fn new_layer(&self, sandbox: &SandboxId) -> String {
        next_layer(sandbox, &self.records.taken())
    }

    fn write(&self, host: &Host, sandbox: &SandboxId, record: &MachineRecord) -> Result<(), HostError> {
        self.records.write(Kind::Machines, sandbox.as_str(), record).map_err(|error| HostError::Refused {
            host: host.settings.name.clone(),
            what: format!("what is known of the machine could not be written down here: {error}"),
        })
    }

    /// Keeps a machine that was made, or removes what there is of one that was not.
    pub(crate) async fn settle(
        &self,
        slot: &mut Weak<LibvirtMachine>,
        host: &Arc<Host>,
        sandbox: SandboxId,
        made: Result<MachineRecord, HostError>,
    ) -> Result<Arc<dyn Machine>, StartError> {
        match made {
            Ok(record) => {
                let machine =
                    LibvirtMachine::running(sandbox, Arc::clone(host), self.records.clone(), record);
                *slot = Arc::downgrade(&machine);
                Ok(machine)
            }
            Err(error) => {
                if let Some(record) = self.records.read::<MachineRecord>(Kind::Machines, sandbox.as_str())
                    && let Err(error) = remove(host, &self.records, &sandbox, &record).await
                {
                    tracing::warn!(%sandbox, %error, "what is left of a machine that did not start could not be removed");
                }
                Err(error.into())
            }
        }
    }

    /// What must be on a host before a machine of `image` can start.
    async fn volumes(&self, image: Image) -> Result<ImageVolumes, StartError> {
        let program = self.guest_program.clone();
        let read = tokio::task::spawn_blocking(move || ImageVolumes::read(&image, &program));
        read.await.unwrap_or_else(|error| {
            Err(StartError::Io { what: "reading the image".to_owned(), source: std::io::Error::other(error) })
        })
    }
}

/// Says why no host is chosen: none has room now, or none that answers ever will.
fn refuse(rooms: &[HostRoom], size: MachineSize, refusals: &[NoRoom], some_are_silent: bool) -> StartError {
    let never = rooms.iter().all(|room| room.most_mib() < u64::from(size.memory_mib));
    if never && !rooms.is_empty() && !some_are_silent {
        too_large(size.memory_mib, rooms)
    } else {
        no_room(refusals)
    }
}

fn restore(connection: &Connection, path: &str, from: &str, to: &str) -> Called<()> {
    let described = connection.saved(path)?;
    let described = saved::with_disk(&described, from, to)
        .ok_or_else(|| CallError::Other("the saved memory names another disk".to_owned()))?;
    connection.restore(path, &described)
}

/// Makes saved memory in a volume that of another machine.
fn rename(pool: &Pool, volume: &str, from: &DomainPlan, to: &DomainPlan) -> Called<()> {
    let unfit = |error: saved::Unfit| CallError::Other(error.to_string());
    let mut head = pool.read_head(volume, 92 + saved::MAX_DESCRIPTION_BYTES)?;
    let length = saved::description_length(&head).map_err(unfit)?;
    head.truncate(length);
    let [from, to] = [from, to].map(|plan| Identity { name: &plan.name, uuid: plan.uuid });
    saved::rename(&mut head, from, to).map_err(unfit)?;
    pool.write_head(volume, &head)
}

#[async_trait]
impl Driver for LibvirtDriver {
    fn name(&self) -> &'static str {
        "libvirt"
    }

    async fn probe(&self) -> Result<DriverReport, StartError> {
        let (mut said, mut found, mut failed) = (Vec::new(), Vec::new(), None);
        for host in &self.hosts {
            match self.facts(host).await {
                Ok(facts) => {
                    said.push(format!(
                        "{}: {}, because {}",
                        host.settings, facts.acceleration, facts.because
                    ));
                    found.push(facts);
                }
                Err(error) => {
                    said.push(error.to_string());
                    failed.get_or_insert(error);
                }
            }
        }
        let Some(first) = found.first() else {
            return Err(failed.map_or_else(|| no_room(&[]), StartError::from));
        };
        // As slow as the slowest: any of them may be chosen.
        let slow = found.iter().any(|facts| facts.acceleration == Acceleration::Tcg);
        said.push(
            "on libvirt hosts a sandbox is no clone in memory: it starts in seconds from a saved machine or by booting, \
             and needs all its memory for itself"
                .to_owned(),
        );
        Ok(DriverReport {
            acceleration: if slow { Acceleration::Tcg } else { Acceleration::Kvm },
            because: said.join("; "),
            hypervisor: first.hypervisor.clone(),
            checkpoints: Some(CheckpointMemory::Whole {
                because: "libvirt saves machines whole".to_owned(),
                remedy: None,
            }),
        })
    }

    async fn template_key(&self, image: &Image, size: MachineSize) -> Result<TemplateKey, StartError> {
        let volumes = self.volumes(image.clone()).await?;
        let MachineSize { memory_mib, processors } = size;
        let parts = format!("{FORM} {} {} {memory_mib} {processors}", volumes.disk, volumes.initrd);
        let key: String = hexadecimal(&Sha256::digest(parts)).chars().take(32).collect();
        Ok(TemplateKey(key))
    }

    async fn template(&self, key: &TemplateKey) -> Option<Template> {
        self.records.read::<SavedRecord>(Kind::Templates, &key.0)?;
        Some(Template { key: key.clone(), folder: self.records.folder(Kind::Templates) })
    }

    async fn boot(&self, request: BootRequest) -> Result<Arc<dyn Machine>, StartError> {
        let BootRequest { sandbox, image, key, size } = request;
        let volumes = self.volumes(image).await?;
        let slot = self.slot(&sandbox);
        let mut slot = slot.lock().await;
        let _placing = self.placing.lock().await;
        let host = self.choose(&volumes, size).await?;
        let made = self.boot_on(&host, &sandbox, volumes, size, Some(key)).await;
        self.settle(&mut slot, &host, sandbox, made).await
    }

    async fn freeze(&self, machine: Arc<dyn Machine>) -> Result<Template, FreezeError> {
        let not_freezable = || FreezeError::NotFreezable { sandbox: machine.sandbox().clone() };
        let own = self.own(&machine).await.ok_or_else(not_freezable)?;
        let becomes = own.record.lock().await.becomes.clone();
        let key = becomes.ok_or_else(not_freezable)?;
        own.apply(MachineEvent::FreezeRequested).map_err(|_| not_freezable())?;
        let kept = self.keep_template(&own, &key, Guest::StandsStill).await;
        let removed = own.remove().await.map_err(|error| error.to_string());
        kept.and(removed).map_err(|what| FreezeError::Refused { what })?;
        self.retire_templates().await;
        Ok(Template { key, folder: self.records.folder(Kind::Templates) })
    }

    async fn freeze_clone(
        &self,
        machine: Arc<dyn Machine>,
        key: TemplateKey,
    ) -> Result<Template, FreezeError> {
        let not_freezable = || FreezeError::NotFreezable { sandbox: machine.sandbox().clone() };
        let own = self.own(&machine).await.ok_or_else(not_freezable)?;
        own.apply(MachineEvent::CheckpointRequested { then: AfterSave::GoOn })
            .map_err(|_| not_freezable())?;
        // Taken while it runs, so that it runs on when that fails: what it does between this and its end is nobody's.
        let kept = self.keep_template(&own, &key, Guest::GoesOn).await;
        kept.map_err(|what| FreezeError::Refused { what })?;
        own.remove().await.map_err(|error| FreezeError::Refused { what: error.to_string() })?;
        Ok(Template { key, folder: self.records.folder(Kind::Templates) })
    }

    async fn remove_template(&self, key: &TemplateKey) -> io::Result<()> {
        let Some(saved) = self.records.read::<SavedRecord>(Kind::Templates, &key.0) else { return Ok(()) };
        let host = Arc::clone(self.host(&saved.host).map_err(io::Error::other)?);
        let removed = forget(&host, &self.records, Kind::Templates, &key.0, &saved).await;
        removed.map_err(io::Error::other)
    }

    async fn clone_template(&self, request: CloneRequest) -> Result<Arc<dyn Machine>, StartError> {
        let CloneRequest { sandbox, template: Template { key, .. }, size } = request;
        let unusable = |what: &str| StartError::Unsuitable {
            what: format!("the template {key} {what}"),
            remedy: Remedy("Build it again: `nightshift template build`.".to_owned()),
        };
        let saved = self.records.read::<SavedRecord>(Kind::Templates, &key.0);
        let saved = saved.ok_or_else(|| unusable("is missing or damaged"))?;
        if saved.plan.size != size {
            return Err(unusable("has another size than the machine asked for"));
        }
        let (image, _) = image::read_image(&saved.image)
            .map_err(|error| unusable(&format!("has lost its image: {error}")))?;
        let volumes = self.volumes(image).await?;
        let slot = self.slot(&sandbox);
        let mut slot = slot.lock().await;
        let _placing = self.placing.lock().await;
        let host = if saved.moved_on {
            // What was worked in it is nowhere else.
            self.require_room(&saved).await?
        } else {
            self.choose(&volumes, size).await?
        };
        let (pool, memory) = (host.settings.pool.clone(), saved.memory.clone());
        let there = saved.host == host.settings.name
            && host.call(ANSWER_WITHIN, move |connection| connection.pool(&pool)?.has(&memory)).await?;
        let made = if there {
            self.bring_back(&host, &sandbox, saved).await
        } else if saved.moved_on {
            return Err(unusable(&format!("has lost its memory on {host}", host = host.settings)));
        } else {
            self.boot_on(&host, &sandbox, volumes, size, None).await
        };
        self.settle(&mut slot, &host, sandbox, made).await
    }

    async fn find(&self, sandbox: &SandboxId) -> Result<Option<Arc<dyn Machine>>, StartError> {
        let slot = self.slot(sandbox);
        // Waits while the machine is being started, so that it is not taken for a leftover.
        let mut slot = slot.lock().await;
        if let Some(machine) = slot.upgrade().filter(|machine| !machine.has_ended()) {
            return Ok(Some(machine));
        }
        let Some(record) = self.records.read::<MachineRecord>(Kind::Machines, sandbox.as_str()) else {
            return Ok(None);
        };
        let host = Arc::clone(self.host(record.host())?);
        let name = sandbox.to_string();
        if host.call(ANSWER_WITHIN, move |connection| connection.exists(&name)).await? {
            return self.settle(&mut slot, &host, sandbox.clone(), Ok(record)).await.map(Some);
        }
        forget(&host, &self.records, Kind::Machines, sandbox.as_str(), &record).await?;
        Ok(None)
    }

    async fn list(&self) -> Vec<SandboxId> {
        let names = self.records.names(Kind::Machines);
        names.iter().filter_map(|name| name.parse().ok()).collect()
    }

    fn checkpoints(&self) -> Option<&dyn Checkpoints> {
        Some(self)
    }
}
