//! Carries a set-up out: one task of this process owns all that is done to an environment.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nightshift_channel::{Command, GuestUser, JobEvent, JobStatus, OutputMode, StartJobError};
use nightshift_protocol::{
    EnvironmentEventBody, EnvironmentId, ErrorCode, NetworkPhase, SandboxId, SetUpFailure, SetUpPhaseKind,
    UserError,
};
use nightshift_sandbox::{CloneRequest, FreezeError, Hold, StartError, TemplateKey};
use sha2::{Digest, Sha256};

use super::log::Log;
use super::progress::{EnvironmentProgress, Next, next};
use super::registries::PackageRegistries;
use super::serving::retire_older;
use super::stall;
use crate::acts::room;
use crate::admission::{Holder, Room};
use crate::delivery;
use crate::desk::{Desk, DeskError, shell};
use crate::images::SetUpPhase;
use crate::network::{self, Network, Place, Record};
use crate::repository::{self, Placement, TransferError, quoted};
use crate::shared::Shared;
use crate::tools::job_id;
use crate::trouble;

/// How long a step or a check may take: a large project under emulation needs long.
const STEP_WITHIN: Duration = Duration::from_secs(3 * 3600);
/// How long a development server may take until it answers.
const SERVER_WITHIN: Duration = Duration::from_secs(300);
/// How long a guest that runs already may take to answer.
const ATTACH_WITHIN: Duration = Duration::from_secs(30);
/// How long small things in the guest may take.
const SMALL_WITHIN: Duration = Duration::from_secs(120);
/// How often the channel may be cut in one phase.
const CUTS: u32 = 3;
/// Where the certificates are that this machine's package managers trust.
const AUTHORITIES: &str = "/tmp/nightshift-authorities.pem";
/// Where sudo's rule for the registries' variables is, as long as the set-up takes.
const SUDO_RULE: &str = "/etc/sudoers.d/nightshift-set-up";

/// Why a phase has no outcome.
enum Trouble {
    /// It failed, and the machine is kept.
    Failed(Box<SetUpFailure>),
    /// The channel was cut: attach again.
    Cut(String),
    /// The machine is gone.
    Lost(String),
}

impl From<DeskError> for Trouble {
    fn from(error: DeskError) -> Self {
        match error {
            DeskError::Silent { what } | DeskError::Dark { what } => Self::Cut(what),
            error @ (DeskError::Start(_) | DeskError::Ended { .. }) => failed(error.into()),
        }
    }
}

impl From<TransferError> for Trouble {
    fn from(error: TransferError) -> Self {
        match error {
            TransferError::Cut(what) => Self::Cut(what),
            TransferError::Guest { .. } => failed(UserError::new(
                ErrorCode::SandboxFailed,
                error.to_string(),
                "`nightshift environment retry` tries again.",
            )),
            TransferError::Host { what, source } => {
                failed(trouble::disk_or(ErrorCode::Internal, what, &source))
            }
        }
    }
}

fn failed(error: UserError) -> Trouble {
    Trouble::Failed(Box::new(SetUpFailure { command: None, exit_code: None, error, log_tail: String::new() }))
}

/// Carries on with an environment until it is ready, has failed or is gone.
pub(crate) async fn drive(shared: Arc<Shared>, id: EnvironmentId) {
    let mut hands = SetUp::new(Arc::clone(&shared), id.clone());
    let mut cuts = 0;
    loop {
        let progress = match load(&shared, &id).await {
            Ok(Some(progress)) => progress,
            Ok(None) => return,
            Err(error) => return tracing::error!(environment = %id, %error, "the environment cannot be read"),
        };
        let body = match next(&progress) {
            Next::Rest => {
                if progress.template().is_some() {
                    retire_older(&shared, &progress).await;
                }
                break;
            }
            Next::Assign => {
                EnvironmentEventBody::SandboxAssigned { sandbox: SandboxId::new(shared.entropy.as_ref()) }
            }
            Next::Begin(phase) => EnvironmentEventBody::PhaseBegun { phase },
            Next::GiveUp(phase) => {
                let error = UserError::new(
                    ErrorCode::SandboxFailed,
                    "the machine was lost again and again while it was set up",
                    "`nightshift doctor` looks for what may be wrong; `nightshift environment retry` tries again.",
                );
                let failure = SetUpFailure { command: None, exit_code: None, error, log_tail: String::new() };
                EnvironmentEventBody::PhaseFailed { phase, failure }
            }
            Next::Perform(phase, kind) => {
                let began = Instant::now();
                let outcome = hands.perform(&progress, phase, kind).await;
                let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
                match outcome {
                    Ok(Some(template)) => EnvironmentEventBody::Frozen { template, took_ms },
                    Ok(None) => {
                        cuts = 0;
                        EnvironmentEventBody::PhaseDone { phase, took_ms }
                    }
                    Err(Trouble::Cut(what)) if cuts < CUTS => {
                        cuts += 1;
                        tracing::warn!(environment = %id, what, cuts, "cut off from the sandbox");
                        hands.detach().await;
                        tokio::time::sleep(Duration::from_millis(200) * cuts).await;
                        continue;
                    }
                    Err(Trouble::Cut(what) | Trouble::Lost(what)) => {
                        hands.detach().await;
                        hands.remove_machine(&progress).await;
                        EnvironmentEventBody::SandboxLost { reason: what }
                    }
                    Err(Trouble::Failed(mut failure)) => {
                        failure.log_tail = hands.log.tail().await;
                        EnvironmentEventBody::PhaseFailed { phase, failure: *failure }
                    }
                }
            }
        };
        if let Err(error) = shared.store.append_environment(&id, shared.clock.now(), &[body]).await {
            tracing::error!(environment = %id, %error, "what happened to the environment cannot be written down");
            break;
        }
    }
    hands.detach().await;
}

/// An environment as its events tell it; `None` when there is none by that id.
pub(crate) async fn load(
    shared: &Shared,
    id: &EnvironmentId,
) -> Result<Option<EnvironmentProgress>, UserError> {
    let events = shared.store.environment_events(id, 0).await.map_err(|error| trouble::reading(&error))?;
    Ok(EnvironmentProgress::fold(id, &events))
}

/// The hands of one environment.
struct SetUp {
    shared: Arc<Shared>,
    id: EnvironmentId,
    log: Log,
    desk: Option<Desk>,
    network: Option<(NetworkPhase, Network)>,
    registries: Option<PackageRegistries>,
    room: Option<Room>,
    /// What was last said of why it waits for a host.
    told: Option<String>,
}

impl Drop for SetUp {
    fn drop(&mut self) {
        self.shared.rooms.leave(&Holder::SetUp(self.id.clone()));
    }
}

impl SetUp {
    fn new(shared: Arc<Shared>, id: EnvironmentId) -> Self {
        let log = Log::of(&shared.settings.data, &id);
        Self { shared, id, log, desk: None, network: None, registries: None, room: None, told: None }
    }

    async fn detach(&mut self) {
        if let Some((_, network)) = self.network.take() {
            network.close().await;
        }
        self.desk = None;
    }

    async fn remove_machine(&self, progress: &EnvironmentProgress) {
        if let Some(sandbox) = &progress.sandbox {
            remove_machine(&self.shared, sandbox).await;
        }
    }

    /// Carries a phase out; the last one returns the template's key.
    async fn perform(
        &mut self,
        progress: &EnvironmentProgress,
        phase: u32,
        kind: SetUpPhaseKind,
    ) -> Result<Option<String>, Trouble> {
        self.log.line(&format!("--- {}: {}", phase + 1, progress.plan.name_of(kind))).await;
        match kind {
            SetUpPhaseKind::Sandbox => self.make_sandbox(progress).await.map(|()| None),
            SetUpPhaseKind::Repository => self.import(progress).await.map(|()| None),
            SetUpPhaseKind::Step { .. } => {
                self.open_network(progress, NetworkPhase::SetUp).await?;
                self.run(progress, phase, kind).await.map(|()| None)
            }
            // As it will be for an agent.
            SetUpPhaseKind::Check { .. } => {
                self.open_network(progress, NetworkPhase::Work).await?;
                self.run(progress, phase, kind).await.map(|()| None)
            }
            SetUpPhaseKind::DevServer => {
                self.open_network(progress, NetworkPhase::Work).await?;
                self.start_server(progress).await.map(|()| None)
            }
            SetUpPhaseKind::Freeze => self.freeze(progress).await.map(Some),
        }
    }

    fn sandbox(progress: &EnvironmentProgress) -> Result<SandboxId, Trouble> {
        progress.sandbox.clone().ok_or_else(|| Trouble::Lost("it has no sandbox".to_owned()))
    }

    async fn make_sandbox(&mut self, progress: &EnvironmentProgress) -> Result<(), Trouble> {
        let sandbox = Self::sandbox(progress)?;
        remove_machine(&self.shared, &sandbox).await;
        self.take_room().await;
        let id = self.id.clone();
        let say = move |phase: SetUpPhase| {
            tracing::info!(environment = %id, what = phase.what, phase = phase.phase, "{}/{}", phase.number, phase.of);
        };
        let template = loop {
            match self.shared.templates.ensure(&say).await {
                Err(error) if error.code == ErrorCode::OutOfMemory => {
                    self.wait_for_host(&error.message).await
                }
                made => break made.map_err(failed)?,
            }
        };
        let _making = self.shared.being_made.begin(&sandbox);
        let request = CloneRequest { sandbox, template, size: self.shared.templates.size() };
        let threads = self.shared.intake.handle();
        let (desk, _) = loop {
            let (driver, clock) = (self.shared.driver.as_ref(), self.shared.clock.as_ref());
            let entropy = self.shared.entropy.as_ref();
            let cloned = Desk::clone_template(driver, request.clone(), clock, entropy, &threads).await;
            match cloned {
                Err(DeskError::Start(StartError::NoRoom { what, .. })) => self.wait_for_host(&what).await,
                cloned => break cloned.map_err(|error| failed(error.into()))?,
            }
        };
        self.desk = Some(desk);
        Ok(())
    }

    /// Waits for room on a host, and says in the log why it waits.
    async fn wait_for_host(&mut self, what: &str) {
        let line = format!("waiting: {what}");
        if self.told.as_ref() != Some(&line) {
            self.log.line(&line).await;
            self.told = Some(line);
        }
        room::wait(&self.shared, &Holder::SetUp(self.id.clone())).await;
    }

    /// Waits for room, and says in the log why it waits.
    async fn take_room(&mut self) {
        let mut told = None;
        while self.room.is_none() {
            match self.shared.rooms.ask(&Holder::SetUp(self.id.clone())) {
                Ok(room) => self.room = Some(room),
                Err(reason) => {
                    if told.as_ref() != Some(&reason) {
                        self.log.line(&format!("waiting: {}", reason.words())).await;
                        told = Some(reason);
                    }
                    self.shared.rooms.changed().await;
                }
            }
        }
    }

    /// The machine, attached to if it is not yet.
    async fn desk(&mut self, progress: &EnvironmentProgress) -> Result<Desk, Trouble> {
        if let Some(desk) = &self.desk {
            return Ok(desk.clone());
        }
        let sandbox = Self::sandbox(progress)?;
        let found = self.shared.driver.find(&sandbox).await;
        let machine = found.map_err(|error| Trouble::Cut(error.to_string()))?;
        let machine =
            machine.ok_or_else(|| Trouble::Lost("its virtual machine no longer runs".to_owned()))?;
        // One that stands still does not answer.
        match stall::standing(&machine).await {
            None => {}
            // That the set-up is tried again is a person's word.
            Some(stall) if matches!(stall.held, Some(Hold::Quota { .. })) => {
                machine.go_on().await.map_err(|error| Trouble::Cut(error.to_string()))?;
            }
            Some(stall) => stall::wait_for_room(&self.log, &machine, stall).await.map_err(failed)?,
        }
        let desk =
            Desk::attach(machine, self.shared.entropy.as_ref(), ATTACH_WITHIN, &self.shared.intake.handle())
                .await?;
        if self.room.is_none() {
            self.room = Some(self.shared.rooms.take_again(&Holder::SetUp(self.id.clone())));
        }
        self.desk = Some(desk.clone());
        Ok(desk)
    }

    /// Opens the way out that belongs to a phase, unless it is open.
    async fn open_network(
        &mut self,
        progress: &EnvironmentProgress,
        phase: NetworkPhase,
    ) -> Result<(), Trouble> {
        let desk = self.desk(progress).await?;
        if self.network.as_ref().is_some_and(|(open, _)| *open == phase) {
            return Ok(());
        }
        if let Some((_, network)) = self.network.take() {
            network.close().await;
        }
        let repository = delivery::repository_of(&self.shared.forge, &progress.repository).map_err(failed)?;
        let asked = network::asked_by(&repository, &progress.commit).await;
        let settings = &self.shared.settings.network;
        let plan = match phase {
            NetworkPhase::Work => network::plan(settings, asked),
            NetworkPhase::SetUp => {
                let registries = PackageRegistries::find(&self.shared.settings.registries).await;
                let hosts = progress.plan.hosts.iter().filter_map(|host| host.parse().ok());
                let asked = asked.map(|asked| asked.into_iter().chain(hosts).collect());
                let mut open = registries.rules();
                open.extend(self.shared.settings.registries.hosts.iter().cloned());
                self.prepare_registries(&desk, &registries).await?;
                let plan = network::plan_set_up(settings, asked, open, registries.targets());
                self.registries = Some(registries);
                plan
            }
        };
        let (allowed, not_permitted) = (plan.hosts(), plan.not_permitted());
        let opened = EnvironmentEventBody::NetworkOpened { phase, allowed, not_permitted };
        let now = self.shared.clock.now();
        if let Err(error) = self.shared.store.append_environment(&self.id, now, &[opened]).await {
            return Err(failed(trouble::appending(&error)));
        }
        let record = Record {
            store: self.shared.store.clone(),
            place: Place::Environment(self.id.clone()),
            clock: Arc::clone(&self.shared.clock),
        };
        let network = Network::open(
            desk.channel.clone(),
            settings.egress(plan.policy),
            record,
            &self.shared.intake.handle(),
        );
        self.network = Some((phase, network));
        Ok(())
    }

    /// Brings what package managers need to know into the sandbox.
    async fn prepare_registries(&self, desk: &Desk, registries: &PackageRegistries) -> Result<(), Trouble> {
        let mut files = Vec::new();
        let written = |path: &str| format!("mkdir -p \"$(dirname {0})\" && cat > {0}", quoted(path));
        if let Some(certificates) = registries.authorities() {
            files.push((
                AUTHORITIES.to_owned(),
                written(AUTHORITIES),
                GuestUser::Agent,
                certificates.to_owned(),
            ));
        }
        if let Some(configuration) = registries.cargo_configuration() {
            let path = format!("{}/work/.cargo/config.toml", desk.machine.home());
            files.push((path.clone(), written(&path), GuestUser::Agent, configuration));
        }
        if let Some(rule) = registries.sudo_rule() {
            // Where sudo has the image's own rule beside which it belongs. What has a dot in its name sudo does not read.
            let script = format!(
                "if [ -f /etc/sudoers.d/agent ]; then cat > {SUDO_RULE}.new && chmod 0440 {SUDO_RULE}.new && \
                 mv {SUDO_RULE}.new {SUDO_RULE}; else cat > /dev/null; fi"
            );
            files.push((SUDO_RULE.to_owned(), script, GuestUser::Root, rule));
        }
        for (number, (path, script, user, content)) in (1..).zip(files) {
            // One that an owner left behind must not be taken for another file's.
            let job = job_id(&format!("environment-file-{number}"));
            let _mostly_not_there = desk.channel.forget(&job).await;
            let command = Command::shell(job.clone(), script)
                .user(user)
                .input(nightshift_channel::Input::Bytes(content.into_bytes()))
                .time_limit(SMALL_WITHIN);
            let started = desk.channel.start(command).await;
            let started = started.map_err(|error| Trouble::Cut(error.to_string()))?;
            let ended = started.collect(4_096).await.map_err(|error| Trouble::Cut(error.to_string()))?;
            let _forgotten = desk.channel.forget(&job).await;
            if ended.exit.status != JobStatus::Code(0) {
                return Err(Trouble::Cut(format!("{path} could not be written in the sandbox")));
            }
        }
        Ok(())
    }

    async fn import(&mut self, progress: &EnvironmentProgress) -> Result<(), Trouble> {
        let desk = self.desk(progress).await?;
        let repository = delivery::repository_of(&self.shared.forge, &progress.repository).map_err(failed)?;
        let base = delivery::branch(&progress.branch).map_err(failed)?;
        let folder = self.shared.settings.scratch.clone();
        let io = |error: io::Error| {
            failed(trouble::disk_or(ErrorCode::Internal, "creating the scratch folder", &error))
        };
        tokio::fs::create_dir_all(&folder).await.map_err(io)?;
        let bundle: PathBuf = folder.join(format!("{}-in.bundle", self.id));
        let packed = repository.bundle(&progress.commit, &base, &bundle).await;
        packed.map_err(|error| failed(trouble::internal("packing the repository", &error)))?;
        let inside = repository::folder(desk.machine.home(), &progress.repository);
        let imported = repository::import(
            &desk.channel,
            self.id.as_str(),
            &bundle,
            &inside,
            &progress.branch,
            &progress.commit,
            Placement::Anew,
        )
        .await;
        let _removed = tokio::fs::remove_file(&bundle).await;
        Ok(imported?)
    }

    /// Runs a command of the plan to its end. One that an owner before this one began is found by its id.
    async fn run(
        &mut self,
        progress: &EnvironmentProgress,
        phase: u32,
        kind: SetUpPhaseKind,
    ) -> Result<(), Trouble> {
        let desk = self.desk(progress).await?;
        let Some(script) = progress.plan.command_of(kind) else { return Ok(()) };
        self.log.line(&format!("$ {script}")).await;
        let job = job_id(&format!("environment-{phase}-{}", progress.attempt));
        let mut command = Command::shell(job, script)
            .user(GuestUser::Agent)
            .folder(repository::folder(desk.machine.home(), &progress.repository))
            .output(OutputMode::Merged)
            .time_limit(STEP_WITHIN);
        if matches!(kind, SetUpPhaseKind::Step { .. })
            && let Some(registries) = &self.registries
        {
            let authorities = registries.authorities().map(|_| AUTHORITIES);
            for (name, value) in registries.variables(authorities) {
                command = command.variable(name, value);
            }
        }
        let mut job = match desk.channel.start(command).await {
            Ok(job) => job,
            Err(StartJobError::Channel(error)) => return Err(Trouble::Cut(error.to_string())),
            Err(refused) => {
                let message = format!("the command did not start: {refused}");
                return Err(failed(UserError::new(ErrorCode::SandboxFailed, message, "")));
            }
        };
        loop {
            tokio::select! {
                event = job.next() => match event {
                    Some(JobEvent::Output { bytes, .. }) => self.log.output(&bytes).await,
                    Some(JobEvent::Exited(exit)) => {
                        return match exit.status {
                            JobStatus::Code(0) => Ok(()),
                            status => Err(unsuccessful(script, status)),
                        };
                    }
                    None => return Err(cut()),
                },
                stall = desk.machine.stalled() => {
                    stall::wait_for_room(&self.log, &desk.machine, stall).await.map_err(failed)?;
                }
            }
        }
    }

    /// Starts the development server and waits until it answers at its port.
    async fn start_server(&mut self, progress: &EnvironmentProgress) -> Result<(), Trouble> {
        let Some(server) = &progress.plan.dev_server else { return Ok(()) };
        let desk = self.desk(progress).await?;
        self.log.line(&format!("$ {} &", server.run)).await;
        let job = job_id(&format!("environment-server-{}", progress.attempt));
        let command = Command::shell(job, server.run.as_str())
            .user(GuestUser::Agent)
            .folder(repository::folder(desk.machine.home(), &progress.repository));
        let started = desk.channel.start(command).await;
        let mut job = started.map_err(|error| Trouble::Cut(error.to_string()))?;
        let until = tokio::time::Instant::now() + SERVER_WITHIN;
        let mut look = tokio::time::interval(Duration::from_millis(300));
        loop {
            tokio::select! {
                event = job.next() => match event {
                    Some(JobEvent::Output { bytes, .. }) => self.log.output(&bytes).await,
                    Some(JobEvent::Exited(exit)) => return Err(unsuccessful(&server.run, exit.status)),
                    None => return Err(cut()),
                },
                _ = look.tick() => {
                    if desk.channel.connect(server.port).await.is_ok() {
                        return Ok(());
                    }
                }
                () = tokio::time::sleep_until(until) => {
                    let message = format!("the development server did not answer at port {} within {} s", server.port, SERVER_WITHIN.as_secs());
                    return Err(failed(UserError::new(ErrorCode::SandboxFailed, message, "Look at its log, mend dev_server, and try again.")));
                }
            }
        }
    }

    async fn freeze(&mut self, progress: &EnvironmentProgress) -> Result<String, Trouble> {
        let key = key_of(&self.id);
        let sandbox = Self::sandbox(progress)?;
        if let Some(template) = self.shared.driver.template(&key).await {
            // An owner before this one froze it and could not say so.
            remove_machine(&self.shared, &sandbox).await;
            return Ok(template.key.0);
        }
        let desk = self.desk(progress).await?;
        let folder = quoted(&repository::folder(desk.machine.home(), &progress.repository));
        // What the set-up made beside the repository's own files is no work of an agent's.
        let script = format!(
            "cd {folder} && git ls-files --others --exclude-standard --directory --no-empty-directory | sed 's|^|/|' >> .git/info/exclude; \
             rm -f {AUTHORITIES}; [ ! -e {SUDO_RULE} ] || sudo rm {SUDO_RULE}; sync"
        );
        shell(&desk.channel, "environment-tidy", &script, GuestUser::Agent, SMALL_WITHIN).await?;
        let phases = progress.plan.phases().len();
        let tries = (1..=progress.attempt)
            .flat_map(|attempt| (0..phases).map(move |phase| format!("environment-{phase}-{attempt}")));
        for job in tries.chain(["environment-tidy".to_owned(), "first-answer".to_owned()]) {
            // A clone must be able to use these ids; most were never used.
            let _forgotten = desk.channel.forget(&job_id(&job)).await;
        }
        let machine = Arc::clone(&desk.machine);
        drop(desk);
        self.detach().await;
        let frozen = self.shared.driver.freeze_clone(machine, key).await;
        frozen.map(|template| template.key.0).map_err(|error| match error {
            FreezeError::Io { what, source } => {
                failed(trouble::disk_or(ErrorCode::SandboxFailed, &what, &source))
            }
            error @ (FreezeError::NotFreezable { .. } | FreezeError::Refused { .. }) => {
                failed(UserError::new(
                    ErrorCode::SandboxFailed,
                    error.to_string(),
                    "`nightshift environment retry` tries again.",
                ))
            }
        })
    }
}

/// The key of an environment's template: as the driver's own keys look, and different from all of them.
pub(crate) fn key_of(id: &EnvironmentId) -> TemplateKey {
    let digest = Sha256::digest(format!("environment {id}"));
    TemplateKey(digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect())
}

/// Removes a machine, if there is one.
pub(crate) async fn remove_machine(shared: &Shared, sandbox: &SandboxId) {
    match shared.driver.find(sandbox).await {
        Ok(Some(machine)) => {
            if let Err(error) = machine.stop().await {
                tracing::warn!(%sandbox, %error, "a machine could not be removed");
            }
        }
        Ok(None) => {}
        Err(error) => tracing::warn!(%sandbox, %error, "a machine could not be looked for"),
    }
}

fn cut() -> Trouble {
    Trouble::Cut("the channel was closed".to_owned())
}

fn unsuccessful(command: &str, status: JobStatus) -> Trouble {
    let (exit_code, how) = match status {
        JobStatus::Code(code) => (Some(code), format!("ended with exit status {code}")),
        other => (None, format!("was ended: {other:?}")),
    };
    Trouble::Failed(Box::new(SetUpFailure {
        command: Some(command.to_owned()),
        exit_code,
        error: UserError::new(
            ErrorCode::SandboxFailed,
            format!("a command of the set-up {how}"),
            "Look at its log; mend the command or the repository, or try again: `nightshift environment retry`.",
        ),
        log_tail: String::new(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_environment_has_a_key_of_its_own_in_the_form_of_a_template_s() {
        let key = |id: &str| key_of(&id.parse().unwrap());
        let (one, other) = (key("environment-0000000000"), key("environment-0000000001"));
        assert_ne!(one, other);
        assert!(one.0.len() == 32 && one.0.bytes().all(|byte| byte.is_ascii_hexdigit()), "{one}");
    }
}
