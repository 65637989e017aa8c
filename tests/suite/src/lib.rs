//! The bench of whole runs: an owner in this process with its real history, forge and model client, a scripted model
//! on the wire, and sandboxes that are folders of this host (`nightshift_testing::host_sandbox`).
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "a bench of tests: a failed step is a failed test, and the names say what things are"
)]

pub mod site;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nightshift_api::Api;
use nightshift_engine::Engine;
use nightshift_forge::github::GitHub;
use nightshift_forge::{Forge, Git};
use nightshift_mcp_client::Keys;
use nightshift_model::{ChatSettings, Key, Provider, ProviderSettings, Providers, RetryPolicy, SafetyChecks};
use nightshift_protocol::{
    Clock, Entropy, Event, EventBody, Limits, OffsetDateTime, RaiseLimits, RunId, RunState, StepId,
    SubmitTask, Uncommitted,
};
use nightshift_sandbox::MachineSize;
use nightshift_store::Store;
use nightshift_supervisor::{
    DeliverySettings, DiskSettings, Images, NetworkSettings, RegistrySettings, Supervisor, SupervisorParts,
    SupervisorSettings,
};
use nightshift_testing::host_sandbox::HostDriver;
use nightshift_testing::scripted_model::{Script, ScriptedModel};
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long anything may take on a busy machine.
pub const WITHIN: Duration = Duration::from_secs(120);

/// The system's clock, of a computer that sleeps when a test says so.
pub struct SystemClock;

/// For how many seconds it has: each test is a process of its own.
static SLEPT: AtomicU64 = AtomicU64::new(0);

impl SystemClock {
    /// Has the computer sleep, which takes no time here.
    pub fn sleep(seconds: u64) {
        SLEPT.fetch_add(seconds, Ordering::Relaxed);
    }
}

impl Clock for SystemClock {
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc()
    }

    fn slept(&self) -> Duration {
        Duration::from_secs(SLEPT.load(Ordering::Relaxed))
    }
}

pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        rustix::rand::getrandom(bytes, rustix::rand::GetRandomFlags::empty()).unwrap();
    }
}

/// An owner with all it works with. What it wrote outlives it: [`Night::owner_restarts`].
pub struct Night {
    pub folder: TempDir,
    pub model: ScriptedModel,
    pub driver: Arc<HostDriver>,
    pub owner: Owner,
    window: Option<u64>,
    network: NetworkSettings,
}

/// What an owner makes sandboxes with.
pub struct Machines {
    pub driver: Arc<dyn nightshift_sandbox::Driver>,
    pub images: Images,
    pub registries: RegistrySettings,
    /// Where the host tells what memory it has left, as `/proc` does; `None` if nothing is known of it.
    pub kernel: Option<PathBuf>,
}

/// What ends with the owner's process.
pub struct Owner {
    pub supervisor: Supervisor,
    pub store: Store,
    pub api: Api,
}

impl Night {
    /// Begins with a script for the model, a small screen and a patience that fits a test.
    pub async fn begin(script: Value) -> Self {
        Self::with(script, None, NetworkSettings::default()).await
    }

    /// Begins with a model whose window has this many tokens.
    pub async fn with_window(script: Value, tokens: u64) -> Self {
        Self::with(script, Some(tokens), NetworkSettings::default()).await
    }

    /// Begins with an owner whose configuration says this of the network.
    pub async fn with_network(script: Value, network: NetworkSettings) -> Self {
        Self::with(script, None, network).await
    }

    /// Begins with sandboxes that can be saved.
    pub async fn with_checkpoints(script: Value) -> Self {
        let folder = short_folder();
        let driver = HostDriver::new(folder.path().join("sandboxes"), (320, 200)).with_checkpoints();
        Self::in_folder(folder, driver, script, None, NetworkSettings::default()).await
    }

    /// Begins on a host that has this much memory left, with sandboxes that can be suspended.
    pub async fn with_memory(script: Value, available_mib: u64) -> Self {
        let folder = short_folder();
        std::fs::create_dir_all(folder.path().join("kernel/pressure")).unwrap();
        tell_memory(folder.path(), available_mib, 0);
        let driver = HostDriver::new(folder.path().join("sandboxes"), (320, 200)).with_checkpoints();
        let night = Self::in_folder(folder, driver, script, None, NetworkSettings::default()).await;
        // An owner that is started looks at the host from then on.
        night.owner.supervisor.resume().await.unwrap();
        night
    }

    /// Begins on a host whose disk has 100 GiB, of which so many MiB are free.
    pub async fn with_disk(script: Value, free_mib: u64) -> Self {
        let night = Self::with_checkpoints(script).await;
        night.driver.disk_is(free_mib << 20, 100 << 30);
        // An owner that is started watches the disk from then on.
        night.owner.supervisor.resume().await.unwrap();
        night
    }

    /// Changes what memory the host has left, and how much of its time it waits for some.
    pub fn memory_is(&self, available_mib: u64, stalled_percent: u32) {
        tell_memory(self.folder.path(), available_mib, stalled_percent);
    }

    async fn with(script: Value, window: Option<u64>, network: NetworkSettings) -> Self {
        let folder = short_folder();
        let driver = HostDriver::new(folder.path().join("sandboxes"), (320, 200));
        Self::in_folder(folder, driver, script, window, network).await
    }

    async fn in_folder(
        folder: TempDir,
        driver: HostDriver,
        script: Value,
        window: Option<u64>,
        network: NetworkSettings,
    ) -> Self {
        let script = Script::parse(&script.to_string()).expect("the script is valid");
        let model = ScriptedModel::start(script).await;
        let driver = Arc::new(driver);
        let owner = Owner::start(folder.path(), &driver, &model.base_url(), window, network.clone()).await;
        Self { folder, model, driver, owner, window, network }
    }

    /// Ends the owner as a crash would, and starts another over the same history and sandboxes.
    pub async fn owner_restarts(&mut self) {
        self.owner.supervisor.rest().await;
        self.owner = Owner::start(
            self.folder.path(),
            &self.driver,
            &self.model.base_url(),
            self.window,
            self.network.clone(),
        )
        .await;
        self.owner.supervisor.resume().await.unwrap();
    }

    pub fn repository(&self) -> PathBuf {
        small_repository(self.folder.path())
    }

    pub async fn submit(&self, description: &str) -> RunId {
        self.submit_with(description, Limits::default()).await
    }

    pub async fn submit_with(&self, description: &str, limits: Limits) -> RunId {
        let request = SubmitTask { limits: limits.into(), ..task(description, &self.repository()) };
        self.owner.api.submit_task(request).await.unwrap().run
    }

    pub async fn events(&self, run: &RunId) -> Vec<Event> {
        self.owner.store.replay(run).await.unwrap()
    }

    pub async fn state(&self, run: &RunId) -> RunState {
        self.owner.store.run(run).await.unwrap().unwrap().state
    }

    /// Waits until the run's events satisfy `enough`, and returns them.
    pub async fn until(&self, run: &RunId, what: &str, enough: impl Fn(&[Event]) -> bool) -> Vec<Event> {
        let mut news = self.owner.store.subscribe();
        let waited = tokio::time::timeout(WITHIN, async {
            loop {
                let events = self.events(run).await;
                if enough(&events) {
                    return events;
                }
                // What was missed is read above.
                let _news = news.recv().await;
            }
        });
        match waited.await {
            Ok(events) => events,
            Err(_) => self.in_vain(run, what).await,
        }
    }

    /// Waits until the run is in a state that `is` accepts.
    pub async fn until_state(&self, run: &RunId, what: &str, is: impl Fn(&RunState) -> bool) -> RunState {
        let mut news = self.owner.store.subscribe();
        let waited = tokio::time::timeout(WITHIN, async {
            loop {
                let state = self.state(run).await;
                if is(&state) {
                    return state;
                }
                let _news = news.recv().await;
            }
        });
        match waited.await {
            Ok(state) => state,
            Err(_) => self.in_vain(run, what).await,
        }
    }

    async fn in_vain(&self, run: &RunId, what: &str) -> ! {
        let events = self.events(run).await;
        let last: Vec<_> = events.iter().rev().take(6).rev().map(|event| &event.body).collect();
        panic!("waited in vain for {what}; the model's breaches: {:?}; {last:#?}", self.model.breaches());
    }

    pub async fn until_in_review(&self, run: &RunId) -> Vec<Event> {
        self.until_state(run, "a pull request", |state| matches!(state, RunState::InReview { .. })).await;
        self.assert_no_breach();
        self.events(run).await
    }

    pub async fn until_paused(&self, run: &RunId) -> RunState {
        self.until_state(run, "a pause", |state| matches!(state, RunState::Paused { .. })).await
    }

    /// Fails when a request broke the provider's rules.
    pub fn assert_no_breach(&self) {
        assert_eq!(self.model.breaches(), Vec::<String>::new());
    }
}

impl Owner {
    pub async fn start(
        folder: &Path,
        driver: &Arc<HostDriver>,
        model_url: &str,
        window: Option<u64>,
        network: NetworkSettings,
    ) -> Self {
        Self::start_with(folder, driver, model_url, window, network, None, DeliverySettings::default()).await
    }

    /// Starts an owner with an account at a site.
    pub async fn start_with(
        folder: &Path,
        driver: &Arc<HostDriver>,
        model_url: &str,
        window: Option<u64>,
        network: NetworkSettings,
        account: Option<GitHub>,
        delivery: DeliverySettings,
    ) -> Self {
        let driver = Arc::clone(driver) as Arc<dyn nightshift_sandbox::Driver>;
        let registries = RegistrySettings::default();
        let kernel = Some(folder.join("kernel")).filter(|kernel| kernel.is_dir());
        let machines = Machines { driver, images: images(folder).await, registries, kernel };
        Self::on(machines, folder, model_url, window, network, account, delivery).await
    }

    /// Starts an owner with machines of the caller's choice.
    pub async fn on(
        machines: Machines,
        folder: &Path,
        model_url: &str,
        window: Option<u64>,
        network: NetworkSettings,
        account: Option<GitHub>,
        delivery: DeliverySettings,
    ) -> Self {
        let Machines { driver, images, registries, kernel } = machines;
        let (clock, entropy): (Arc<dyn Clock>, Arc<dyn Entropy>) =
            (Arc::new(SystemClock), Arc::new(SystemEntropy));
        let mut git = Git::new(std::env::vars_os());
        if let Some(account) = &account {
            git = git.with_credential(account.git_credential());
        }
        let store = Store::open(&folder.join("data")).await.unwrap();
        let mut forge = Forge::open(&folder.join("data/repositories"), git.clone()).await.unwrap();
        if let Some(account) = account {
            forge = forge.with_github(account);
        }
        let settings = |url: String| {
            let key = Key::new("scripted").unwrap();
            ProviderSettings {
                retry: impatient(),
                ..ProviderSettings::new(url, Some(key), Arc::clone(&clock), Arc::clone(&entropy))
            }
        };
        let openai_url = || format!("{model_url}/v1");
        let mut providers = Providers::default();
        providers.add("anthropic", Provider::messages(settings(model_url.to_owned())).unwrap());
        let responses = Provider::responses(settings(openai_url()), SafetyChecks::Acknowledge);
        providers.add("openai", responses.unwrap());
        providers.add("local", Provider::chat(settings(openai_url()), ChatSettings::default()).unwrap());
        let supervisor = Supervisor::new(
            SupervisorParts {
                store: store.clone(),
                forge: forge.clone(),
                git,
                driver,
                model: Arc::new(providers),
                images,
                clock,
                entropy,
            },
            SupervisorSettings {
                default_model: "claude-sonnet-5-5".to_owned(),
                default_engine: "nightshift".to_owned(),
                sandboxes: Some(64),
                context_tokens: window,
                limits: Limits::default(),
                size: MachineSize::default(),
                spare: true,
                disk: DiskSettings::default(),
                host_memory_mib: kernel.as_ref().map(|_| 65_536),
                kernel: kernel.unwrap_or_default(),
                data: folder.join("data"),
                cache: folder.join("cache"),
                network,
                mcp_keys: mcp_keys(),
                registries,
                scratch: folder.join("data/scratch"),
                approval: nightshift_protocol::Approval::default(),
                routing: Vec::new(),
                engines: engines(folder),
                agents: std::sync::Arc::new(Vec::<nightshift_supervisor::DefinitionFile>::new()),
                model_names: BTreeMap::from([("quick".to_owned(), "haiku".to_owned())]),
                delivery,
            },
            std::env::var_os("PATH"),
        );
        Self { api: Api::new(supervisor.clone(), store.clone(), forge), supervisor, store }
    }
}

/// A key of the person, for a host that there is none of.
fn mcp_keys() -> Keys {
    let mut keys = Keys::default();
    keys.add("NIGHT_TOKEN", Some("s3cret-of-the-night".to_owned()), &["mcp.night.test".to_owned()]);
    keys
}

/// The built-in engines and `scripted`, which plays `agent.json` in the folder of the bench.
fn engines(folder: &Path) -> BTreeMap<String, Engine> {
    let program = folder.join("scripted_agent.py");
    std::fs::write(&program, nightshift_testing::SCRIPTED_AGENT).unwrap();
    let mut engines = nightshift_engine::built_in();
    let claude = engines["claude-code"].clone();
    let at = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let args = vec![at("scripted_agent.py"), at("agent.json"), at("breaches")];
    engines.insert("scripted".to_owned(), Engine { command: "/usr/bin/python3".to_owned(), args, ..claude });
    engines
}

/// A folder with a short name, because sockets live below it.
fn short_folder() -> TempDir {
    tempfile::Builder::new().prefix("ns").tempdir_in("/tmp").unwrap()
}

/// Writes what a kernel tells of the host's memory (proc_meminfo(5), Documentation/accounting/psi.rst in its source).
fn tell_memory(folder: &Path, available_mib: u64, stalled_percent: u32) {
    let replace = |name: &str, text: String| {
        // Whoever reads it meanwhile reads the one or the other whole.
        let (path, new) = (folder.join("kernel").join(name), folder.join("kernel/new"));
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, path).unwrap();
    };
    replace("meminfo", format!("MemAvailable: {} kB\n", available_mib * 1_024));
    replace("pressure/memory", format!("some avg10={stalled_percent}.00 avg60=0.00 avg300=0.00 total=0\n"));
}

/// An image that is whole and that nothing reads: sandboxes of this host boot none.
async fn images(folder: &Path) -> Images {
    let recipe = folder.join("recipe");
    std::fs::create_dir_all(&recipe).unwrap();
    std::fs::write(recipe.join("build"), "#!/bin/sh\nexit 1\n").unwrap();
    let images = Images::new(recipe, folder.join("cache/images"));
    let image = images.expected().await.unwrap();
    std::fs::create_dir_all(&image.folder).unwrap();
    for name in ["disk.qcow2", "vmlinux", "initrd.img", "manifest.json"] {
        std::fs::write(image.folder.join(name), "").unwrap();
    }
    images
}

/// A patience that fits a test: waits of milliseconds.
pub fn impatient() -> RetryPolicy {
    RetryPolicy {
        tries: 4,
        first_wait: Duration::from_millis(4),
        longest_wait: Duration::from_millis(8),
        connect: Duration::from_secs(5),
        silence: Duration::from_secs(2),
        total: Duration::from_secs(30),
    }
}

pub fn task(description: &str, repository: &Path) -> SubmitTask {
    SubmitTask {
        attempts: 1,
        description: description.to_owned(),
        repository: repository.to_str().unwrap().to_owned(),
        base_branch: None,
        model: None,
        limits: RaiseLimits::default(),
        self_review_rounds: Some(0),
        approval: None,
        engine: None,
        issue: None,
        criteria: Vec::new(),
        uncommitted: Uncommitted::Refuse,
    }
}

/// Calls as a script has them.
pub fn shell(command: &str) -> Value {
    json!({"tool": "shell", "input": {"command": command}})
}

pub fn screenshot() -> Value {
    json!({"tool": "computer", "input": {"action": "screenshot"}})
}

pub fn click(x: u32, y: u32) -> Value {
    json!({"tool": "computer", "input": {"action": "left_click", "coordinate": [x, y]}})
}

pub fn evidence(claim: &str, step: &str) -> Value {
    json!({"tool": "evidence", "input": {"claim": claim, "step": step}})
}

pub fn finish(title: &str) -> Value {
    json!({"tool": "finish", "input": {"title": title, "summary": "As asked."}})
}

/// Turns that do a little work, note evidence of step `step` and finish.
pub fn ending(step: &str) -> Vec<Value> {
    vec![
        json!({"calls": [shell("echo more >> notes.txt && git commit -qam 'Add a note'"), evidence("It is there.", step)]}),
        json!({"calls": [finish("Add a note")]}),
    ]
}

/// A script of these turns and then an ending with evidence of step `step`.
pub fn script(turns: Vec<Value>, step: &str) -> Value {
    let turns = [turns, ending(step)].concat();
    json!({ "turns": turns })
}

/// Runs git, which must succeed, and returns what it printed.
pub fn git(folder: &Path, arguments: &[&str]) -> String {
    let who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false"];
    let output = Command::new("git").arg("-C").arg(folder).args(who).args(arguments).output().unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A repository with one file, made once.
pub fn small_repository(into: &Path) -> PathBuf {
    let repository = into.join("small");
    if !repository.exists() {
        std::fs::create_dir(&repository).unwrap();
        std::fs::write(repository.join("notes.txt"), "one\n").unwrap();
        git(&repository, &["init", "-q", "-b", "trunk"]);
        git(&repository, &["add", "-A"]);
        git(&repository, &["commit", "-q", "-m", "Notes"]);
    }
    repository
}

/// The types of events, in order.
pub fn names(events: &[Event]) -> Vec<&'static str> {
    events.iter().map(|event| event.body.name()).collect()
}

/// Fails unless the events are gapless, and each step was intended and finished at most once.
pub fn assert_exactly_once(events: &[Event]) {
    let seqs: Vec<u64> = events.iter().map(|event| event.seq).collect();
    assert_eq!(seqs, (1..=events.len() as u64).collect::<Vec<_>>());
    let steps = |of: fn(&EventBody) -> Option<StepId>| {
        let mut steps: Vec<StepId> = events.iter().filter_map(|event| of(&event.body)).collect();
        let all = steps.len();
        steps.sort_unstable();
        steps.dedup();
        assert_eq!(steps.len(), all, "a step happened twice");
    };
    steps(|body| match body {
        EventBody::StepIntended { step, .. } => Some(*step),
        _ => None,
    });
    steps(|body| match body {
        EventBody::StepFinished { step, .. } => Some(*step),
        _ => None,
    });
}
