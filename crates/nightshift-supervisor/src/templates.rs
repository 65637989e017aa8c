//! The template: a machine booted once, with its desktop and a browser open, frozen to be cloned.

use std::sync::Arc;
use std::time::Duration;

use nightshift_channel::GuestUser;
use nightshift_protocol::{BuildKind, Entropy, OffsetDateTime, SandboxId, UserError};
use nightshift_sandbox::{BootRequest, Driver, Machine, MachineSize, Template};
use nightshift_screen::{Repeats, SettleLimits};
use tokio::runtime::Handle;
use tokio::sync::Mutex;

use crate::desk::{BOOT_WITHIN, Desk, DeskError, open_browser, shell};
use crate::images::{Images, OnPhase, SetUpPhase};
use crate::prune::{Build, KEPT_AFTER_A_BUILD, image_record};
use crate::tools::job_id;

/// The template's phases, as a person is told of them.
const PHASES: [&str; 4] =
    ["booting the desktop", "opening the browser", "waiting until it is quiet", "freezing the machine"];

/// Programs that tasks run at once are started here, so that clones find them in the page cache.
const WARM_UP: &str = "git --version; node --version; python3 --version; npm --version; bash -lc true; ls / | sort | tail -1; \
    curl --version; rg --version; jq --version; cd /tmp && git init -q warm && rm -rf warm";

/// Makes the template when there is none, and finds it again.
pub struct Templates {
    driver: Arc<dyn Driver>,
    images: Images,
    size: MachineSize,
    entropy: Arc<dyn Entropy>,
    /// One at a time in this process; the driver guards against other processes.
    making: Mutex<()>,
}

impl Templates {
    /// Templates of `images` by `driver`.
    pub fn new(
        driver: Arc<dyn Driver>,
        images: Images,
        size: MachineSize,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self { driver, images, size, entropy, making: Mutex::new(()) }
    }

    /// The size of the machines.
    pub fn size(&self) -> MachineSize {
        self.size
    }

    /// Returns the template if image and template are there.
    pub async fn find(&self) -> Result<Option<Template>, UserError> {
        let Some(image) = self.images.find().await? else { return Ok(None) };
        let key = self.driver.template_key(&image, self.size).await.map_err(DeskError::from)?;
        Ok(self.driver.template(&key).await)
    }

    /// Returns the template, building image and template when they are missing: minutes, once.
    pub async fn ensure(&self, on_phase: OnPhase<'_>) -> Result<Template, UserError> {
        let _making = self.making.lock().await;
        if let Some(template) = self.find().await? {
            return Ok(template);
        }
        // What this host cannot run is not built for minutes first.
        self.driver.probe().await.map_err(DeskError::from)?;
        let report = |number| on_phase(phase(number));
        let desk = self.boot_desktop(on_phase).await?;
        match warm_up(&desk, &report).await {
            Ok(()) => {
                report(3);
                let frozen = self.driver.freeze(desk.machine).await.map_err(|error| {
                    UserError::new(
                        nightshift_protocol::ErrorCode::ImageFailed,
                        format!("the template could not be frozen: {error}"),
                        "Try again; `nightshift doctor` looks for what may be wrong.",
                    )
                })?;
                self.prune_old(&frozen).await;
                Ok(frozen)
            }
            Err(error) => Err(give_up(&desk.machine, error).await),
        }
    }

    /// Removes what a new template has taken the place of; the newest before it stays. What cannot be removed stays too.
    async fn prune_old(&self, made: &Template) {
        let made_at = std::fs::metadata(&made.folder).and_then(|facts| facts.modified());
        let Ok(now) = made_at.map(OffsetDateTime::from) else { return };
        if let Err(error) = self.prune(KEPT_AFTER_A_BUILD, false, now).await {
            tracing::warn!(%error, "old images and templates were not removed");
        }
    }

    /// All images and templates there are, with what needs them.
    pub(crate) async fn all_builds(&self) -> std::io::Result<Vec<Build>> {
        let image = self.images.expected().await.ok().map(|image| image.folder);
        let current = self.find().await.ok().flatten().map(|template| template.folder);
        let mut builds = Vec::new();
        for template in self.driver.builds().await? {
            builds.push(Build {
                kind: if template.finished { BuildKind::Template } else { BuildKind::Unfinished },
                current: current.as_ref() == Some(&template.folder),
                folder: template.folder,
                record: template.record,
                image: template.image,
                made_at: template.made_at.into(),
                needed_by: template.needed_by,
            });
        }
        for (folder, made_at) in self.images.folders().await? {
            let record = image_record(&folder);
            builds.push(Build {
                kind: if record.is_file() { BuildKind::Image } else { BuildKind::Unfinished },
                current: image.as_ref() == Some(&folder),
                needed_by: self.driver.needs(&folder).await?,
                image: None,
                made_at: made_at.into(),
                folder,
                record,
            });
        }
        Ok(builds)
    }

    /// Boots a machine like the template's, builds its image first when there is none, and returns it when its
    /// browser shows the start page. Whoever asks for it stops it.
    pub async fn boot_desktop(&self, on_phase: OnPhase<'_>) -> Result<Desk, UserError> {
        let image = self.images.ensure(on_phase).await?;
        let key = self.driver.template_key(&image, self.size).await.map_err(DeskError::from)?;
        on_phase(phase(0));
        let sandbox = SandboxId::new(self.entropy.as_ref());
        let request = BootRequest { sandbox, image, key, size: self.size };
        let machine = self.driver.boot(request).await.map_err(DeskError::from)?;
        let opened = async {
            let desk = Desk::attach(
                Arc::clone(&machine),
                self.entropy.as_ref(),
                BOOT_WITHIN,
                // No task's work is in it yet.
                &Handle::current(),
            )
            .await?;
            open_browser(&desk.channel, &|| on_phase(phase(1))).await?;
            Ok(desk)
        };
        match opened.await {
            Ok(desk) => Ok(desk),
            Err(error) => Err(give_up(&machine, error).await),
        }
    }
}

/// One of the [`PHASES`].
fn phase(number: usize) -> SetUpPhase {
    SetUpPhase {
        what: "template",
        phase: PHASES[number].to_owned(),
        number: u32::try_from(number + 1).unwrap_or(u32::MAX),
        of: u32::try_from(PHASES.len()).unwrap_or(u32::MAX),
    }
}

/// Stops a machine that will be no template, and says why.
async fn give_up(machine: &Arc<dyn Machine>, error: DeskError) -> UserError {
    if let Err(stop) = machine.stop().await {
        tracing::warn!(%stop, "a template's machine that failed could not be stopped");
    }
    error.into()
}

/// Runs what tasks will run, and waits until the machine is quiet.
async fn warm_up(desk: &Desk, report: &(dyn Fn(usize) + Sync)) -> Result<(), DeskError> {
    shell(&desk.channel, "warm-up", WARM_UP, GuestUser::Agent, BOOT_WITHIN).await?;
    report(2);
    let limits = SettleLimits {
        quiet: Duration::from_secs(8),
        grace: Duration::from_secs(8),
        ceiling: Duration::from_secs(180),
        repeats: Repeats::Count,
        at_rest: None,
    };
    desk.screen.damage().settle(limits).await.map_err(|error| DeskError::Dark { what: error.to_string() })?;
    shell(&desk.channel, "quiesce", "sync", GuestUser::Root, BOOT_WITHIN).await?;
    for job in ["desktop", "browser-page", "warm-up", "quiesce"] {
        // A clone must be able to use these ids; what cannot be forgotten is only a little disk.
        let _forgotten = desk.channel.forget(&job_id(job)).await;
    }
    Ok(())
}
