//! What benches stand on: the driver, the template and a folder for the machines they start, as tasks have them.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use nightshift_protocol::{Entropy, ErrorCode, SandboxFacts, SandboxId, UserError};
use nightshift_qemu::{QemuDriver, QemuProgram, QemuSettings};
use nightshift_sandbox::{CloneRequest, Driver, MachineSize, Template};
use nightshift_supervisor::{Desk, DeskError, Images, RegistrySettings, SetUpPhase, Templates};
use suite::{SystemClock, SystemEntropy};

use crate::bench::BenchError;

/// What the program reads from its environment, once.
#[derive(Debug, Clone)]
pub(crate) struct Environment {
    cache: Option<PathBuf>,
    path: std::ffi::OsString,
    vm_images: Option<PathBuf>,
    guest: Option<PathBuf>,
    pub(crate) log: Option<String>,
    /// In which package managers are asked for their registries.
    variables: Vec<(std::ffi::OsString, std::ffi::OsString)>,
}

impl Environment {
    /// Reads the process's environment. A variable that is set but empty counts as not set.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
    pub(crate) fn read() -> Self {
        let path = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let cache = path("XDG_CACHE_HOME").or_else(|| Some(path("HOME")?.join(".cache")));
        Self {
            cache: cache.map(|cache| cache.join("nightshift")),
            path: std::env::var_os("PATH").unwrap_or_default(),
            vm_images: path("NIGHTSHIFT_VM_IMAGES"),
            guest: path("NIGHTSHIFT_GUEST"),
            log: std::env::var("NIGHTSHIFT_LOG").ok().filter(|value| !value.is_empty()),
            variables: std::env::vars_os().collect(),
        }
    }
}

/// What benches stand on.
pub(crate) struct Ground {
    samples: u32,
    driver: Arc<QemuDriver>,
    templates: Templates,
    entropy: Arc<dyn Entropy>,
    folder: tempfile::TempDir,
    qemu: PathBuf,
    recipe: PathBuf,
    cache: PathBuf,
    variables: Vec<(std::ffi::OsString, std::ffi::OsString)>,
}

impl Ground {
    /// Prepares it. No machine is started yet.
    pub(crate) fn new(environment: Environment, samples: u32) -> Result<Self, BenchError> {
        let missing = |what: &str, variable: &str| {
            UserError::new(
                ErrorCode::ToolMissing,
                format!("{what} is not known"),
                format!("Start it by `./dev bench`, or set {variable}."),
            )
        };
        let cache = environment.cache.ok_or_else(|| missing("the cache folder", "HOME"))?;
        let recipe =
            environment.vm_images.ok_or_else(|| missing("the image's recipe", "NIGHTSHIFT_VM_IMAGES"))?;
        let guest_program =
            environment.guest.ok_or_else(|| missing("the guest program", "NIGHTSHIFT_GUEST"))?;
        std::fs::create_dir_all(&cache).map_err(BenchError::io("making the cache folder"))?;
        let folder = tempfile::Builder::new()
            .prefix("bench-")
            .tempdir_in(&cache)
            .map_err(BenchError::io("making a folder for machines"))?;
        let program = QemuProgram::OnPath(environment.path.clone());
        let qemu = std::env::split_paths(&environment.path)
            .map(|folder| folder.join("qemu-system-x86_64"))
            .find(|program| program.is_file())
            .ok_or_else(|| missing("QEMU", "PATH"))?;
        let driver = Arc::new(QemuDriver::new(QemuSettings {
            program,
            guest_program,
            templates: cache.join("templates"),
            sandboxes: folder.path().join("sandboxes"),
            trial_kernel: None,
        }));
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
        let images = Images::new(recipe.clone(), cache.join("images"));
        let templates = Templates::new(driver.clone(), images, MachineSize::default(), Arc::clone(&entropy));
        let variables = environment.variables;
        Ok(Self { samples, driver, templates, entropy, folder, qemu, recipe, cache, variables })
    }

    /// How many samples are wanted.
    pub(crate) fn samples(&self) -> u32 {
        self.samples
    }

    pub(crate) fn driver(&self) -> &QemuDriver {
        &self.driver
    }

    /// The machines' size.
    pub(crate) fn size(&self) -> MachineSize {
        self.templates.size()
    }

    pub(crate) fn entropy(&self) -> &dyn Entropy {
        self.entropy.as_ref()
    }

    /// Where machines have their folders, each by its sandbox's id.
    pub(crate) fn sandboxes(&self) -> PathBuf {
        self.folder.path().join("sandboxes")
    }

    /// Where what is made once is kept.
    pub(crate) fn cache(&self) -> &std::path::Path {
        &self.cache
    }

    /// A folder that is gone afterwards.
    pub(crate) fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// The driver, for an owner over it.
    pub(crate) fn shared_driver(&self) -> Arc<dyn Driver> {
        self.driver.clone()
    }

    /// The guest image.
    pub(crate) fn images(&self) -> Images {
        Images::new(self.recipe.clone(), self.cache.join("images"))
    }

    /// This machine's own package registries.
    pub(crate) fn registries(&self) -> RegistrySettings {
        RegistrySettings { machine: Some(self.variables.clone()), ..RegistrySettings::default() }
    }

    /// The examples, which are beside the image's recipe.
    pub(crate) fn examples(&self) -> PathBuf {
        self.recipe.with_file_name("examples")
    }

    /// Where programs are looked for.
    pub(crate) fn path(&self) -> &std::ffi::OsStr {
        let path = self.variables.iter().find(|(name, _)| name == "PATH");
        path.map(|(_, path)| path.as_os_str()).unwrap_or_default()
    }

    /// QEMU's program.
    pub(crate) fn qemu(&self) -> &std::path::Path {
        &self.qemu
    }

    /// The template, which is made when there is none: minutes, once.
    pub(crate) async fn template(&self) -> Result<Template, BenchError> {
        Ok(self.templates.ensure(&tell_phase).await?)
    }

    /// Clones the template as a task does: the clone shows its desktop and has answered a command.
    pub(crate) async fn clone_of(&self, template: &Template) -> Result<(Desk, SandboxFacts), BenchError> {
        let request = self.request(template);
        Ok(Desk::clone_template(
            self.driver.as_ref(),
            request,
            &SystemClock,
            self.entropy(),
            &tokio::runtime::Handle::current(),
        )
        .await?)
    }

    /// Makes the spare clone that an owner keeps while tasks come.
    pub(crate) async fn keep_spare(&self, template: &Template) -> Result<(), BenchError> {
        Ok(self.driver.keep_spare(self.request(template)).await.map_err(DeskError::Start)?)
    }

    fn request(&self, template: &Template) -> CloneRequest {
        CloneRequest {
            sandbox: SandboxId::new(self.entropy()),
            template: template.clone(),
            size: self.templates.size(),
        }
    }

    /// Boots a machine until its browser shows the start page: the state in which clones come up.
    pub(crate) async fn boot(&self) -> Result<Desk, BenchError> {
        Ok(self.templates.boot_desktop(&tell_phase).await?)
    }

    /// Ends every machine that is left.
    pub(crate) async fn clear(&self) {
        for sandbox in self.driver.list().await {
            let ended = match self.driver.find(&sandbox).await {
                Ok(Some(machine)) => machine.stop().await.map_err(|error| error.to_string()),
                Ok(None) => Ok(()),
                Err(error) => Err(error.to_string()),
            };
            if let Err(error) = ended {
                say(&format!("{sandbox} could not be ended: {error}"));
            }
        }
    }
}

fn tell_phase(phase: SetUpPhase) {
    say(&format!("{} {}/{}: {}", phase.what, phase.number, phase.of, phase.phase));
}

/// Tells a person what goes on.
pub(crate) fn say(text: &str) {
    // Whoever closed standard error does not want to know.
    let _unheard = writeln!(std::io::stderr(), "{text}");
}

/// Ends a desk's machine.
pub(crate) async fn end(desk: Desk) -> Result<(), BenchError> {
    desk.machine.stop().await.map_err(BenchError::io("ending a machine"))
}
