//! Environments, as a person asks for them.

use nightshift_forge::{Apart, BaseBranch, Checkout, Repository, inspect};
use nightshift_protocol::{
    CommitId, EnvironmentCause, EnvironmentEventBody, EnvironmentId, EnvironmentLog, EnvironmentState,
    EnvironmentSummary, ErrorCode, PlannedEnvironment, SandboxId, SetUpEnvironment, SetUpPlan, UserError,
};

use super::{Supervisor, to_its_end};
use crate::environment::{self, EnvironmentProgress, Files, Log, PackageRegistries, plan};
use crate::trouble;

fn no_such(named: &str) -> UserError {
    let named: String = named.chars().take(80).collect();
    UserError::new(
        ErrorCode::NotFound,
        format!("there is no environment \"{named}\""),
        "`nightshift environment list --all` lists all of them.",
    )
}

/// A repository at a commit, with the way it is set up.
struct Looked {
    source: String,
    branch: String,
    commit: CommitId,
    plan: SetUpPlan,
    files: Files,
}

/// What a repository is looked at for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To say what is in it.
    Look,
    /// To set it up.
    SetUp,
}

/// A repository's commit, here to be read.
pub(super) struct ReadCopy {
    pub(super) checkout: Checkout,
    known: Repository,
    /// Where it is while it is read, if it is not to be kept.
    apart: Option<Apart>,
}

impl ReadCopy {
    pub(super) fn repository(&self) -> &Repository {
        self.apart.as_ref().map_or(&self.known, Apart::repository)
    }

    /// Ends the reading.
    pub(super) async fn give_up(self) -> Checkout {
        let Self { checkout, apart, .. } = self;
        // A large copy is not removed in a moment.
        let _removed = tokio::task::spawn_blocking(move || drop(apart)).await;
        checkout
    }
}

impl Supervisor {
    /// Says how a repository would be set up. Nothing is left of it: a repository that is not known yet is copied for as
    /// long as it is read.
    pub async fn plan_environment(&self, wish: SetUpEnvironment) -> Result<PlannedEnvironment, UserError> {
        let registries = PackageRegistries::find(&self.shared.settings.registries);
        let (looked, registries) = tokio::join!(self.look(wish, Purpose::Look), registries);
        let Looked { source, branch, commit, plan, .. } = looked?;
        Ok(PlannedEnvironment { repository: source, branch, commit, plan, registries: registries.shown() })
    }

    /// Has a repository set up. When it returns the environment is in the history and will be made.
    pub async fn set_up_environment(&self, wish: SetUpEnvironment) -> Result<EnvironmentSummary, UserError> {
        let this = self.clone();
        to_its_end(async move { this.set_up_now(wish).await }).await
    }

    async fn set_up_now(&self, wish: SetUpEnvironment) -> Result<EnvironmentSummary, UserError> {
        let Looked { source, branch, commit, plan, files, .. } = self.look(wish, Purpose::SetUp).await?;
        if plan.is_empty() {
            return Err(UserError::new(
                ErrorCode::InvalidRequest,
                format!("nothing in {source} says how it is set up"),
                "Write .nightshift/environment.toml and commit it (docs/environments.md).",
            ));
        }
        let mut own = environment::all(&self.shared).await?;
        own.retain(|one| one.repository == source && one.is_under_way());
        if let Some(under_way) = own.first() {
            return Err(UserError::new(
                ErrorCode::Conflict,
                format!("{} of this repository is being set up already", under_way.id),
                format!("`nightshift environment log {} --follow` shows how far it is.", under_way.id),
            ));
        }
        let fingerprint = environment::fingerprint(&plan, &files, &environment::machine(&self.shared).await?);
        let cause = EnvironmentCause::Asked;
        let requested =
            EnvironmentEventBody::Requested { repository: source, branch, commit, plan, fingerprint, cause };
        let id = environment::begin(&self.shared, requested).await?;
        Ok(self.environment_by(&id).await?.summary())
    }

    /// Lists environments, the newest first; those that are gone only when `all` are wanted.
    pub async fn environments(&self, all: bool) -> Result<Vec<EnvironmentSummary>, UserError> {
        let list = environment::all(&self.shared).await?;
        let shown = list.iter().map(EnvironmentProgress::summary);
        Ok(shown.filter(|one| all || !matches!(one.state, EnvironmentState::Removed { .. })).collect())
    }

    /// An environment, by its id or how that begins.
    pub async fn environment(&self, named: &str) -> Result<EnvironmentSummary, UserError> {
        Ok(self.find_environment(named).await?.summary())
    }

    /// A piece of an environment's log, from `after` on.
    pub async fn environment_log(&self, named: &str, after: u64) -> Result<EnvironmentLog, UserError> {
        let progress = self.find_environment(named).await?;
        let (text, next) = Log::of(&self.shared.settings.data, &progress.id).read(after).await;
        Ok(EnvironmentLog { over: !progress.is_under_way() && text.is_empty(), text, next })
    }

    /// Tries the phase of an environment that failed again, on the machine as it is.
    pub async fn retry_environment(&self, named: &str) -> Result<EnvironmentSummary, UserError> {
        let progress = self.find_environment(named).await?;
        if !matches!(progress.state, EnvironmentState::Failed { .. }) {
            return Err(UserError::new(
                ErrorCode::Conflict,
                format!("{} has not failed: it is {}", progress.id, progress.state.words()),
                "`nightshift environment set-up` makes another one.",
            ));
        }
        self.write_environment(&progress.id, EnvironmentEventBody::Retried).await?;
        environment::carry_on(&self.shared, &progress.id);
        Ok(self.environment_by(&progress.id).await?.summary())
    }

    /// Removes an environment with its machine and its template. Sandboxes that started from it go on.
    pub async fn remove_environment(&self, named: &str) -> Result<EnvironmentSummary, UserError> {
        let progress = self.find_environment(named).await?;
        if !matches!(progress.state, EnvironmentState::Removed { .. }) {
            environment::take_away(&self.shared, &progress, "it was removed by a person").await?;
        }
        Ok(self.environment_by(&progress.id).await?.summary())
    }

    /// Carries on with the set-ups that an earlier owner left; returns the machines that belong to environments.
    pub(super) async fn resume_environments(&self) -> Result<Vec<SandboxId>, UserError> {
        let mut machines = Vec::new();
        for progress in environment::all(&self.shared).await? {
            machines.extend(progress.sandbox.clone());
            if progress.is_under_way() {
                environment::carry_on(&self.shared, &progress.id);
            }
        }
        Ok(machines)
    }

    async fn write_environment(
        &self,
        id: &EnvironmentId,
        body: EnvironmentEventBody,
    ) -> Result<(), UserError> {
        let written = self.shared.store.append_environment(id, self.shared.clock.now(), &[body]).await;
        written.map_err(|error| trouble::appending(&error))
    }

    async fn environment_by(&self, id: &EnvironmentId) -> Result<EnvironmentProgress, UserError> {
        environment::load(&self.shared, id).await?.ok_or_else(|| no_such(id.as_str()))
    }

    async fn find_environment(&self, named: &str) -> Result<EnvironmentProgress, UserError> {
        let mut list = environment::all(&self.shared).await?;
        list.retain(|one| {
            let id = one.id.as_str();
            id.starts_with(named) || id.trim_start_matches("environment-").starts_with(named)
        });
        if named.is_empty() || list.is_empty() {
            return Err(no_such(named));
        }
        if list.len() > 1 {
            let ids: Vec<&str> = list.iter().take(10).map(|one| one.id.as_str()).collect();
            return Err(UserError::new(
                ErrorCode::InvalidRequest,
                format!("several environments begin like that: {}", ids.join(", ")),
                "Give some more characters of the one you mean.",
            ));
        }
        Ok(list.remove(0))
    }

    /// Reads how a repository is set up, in the host's copy.
    async fn look(&self, wish: SetUpEnvironment, purpose: Purpose) -> Result<Looked, UserError> {
        let copy = self.copy(&wish.repository, wish.branch.as_deref(), purpose).await?;
        let (plan, files) = read_plan(copy.repository(), &copy.checkout.commit).await?;
        let checkout = copy.give_up().await;
        Ok(Looked {
            source: checkout.source.to_string(),
            branch: checkout.branch.to_string(),
            commit: checkout.commit,
            plan,
            files,
        })
    }

    /// Brings a repository's newest commit here, to be read.
    pub(super) async fn copy(
        &self,
        named: &str,
        branch: Option<&str>,
        purpose: Purpose,
    ) -> Result<ReadCopy, UserError> {
        let shared = &self.shared;
        let source = shared.forge.source(named).map_err(|error| trouble::sourcing(named, &error))?;
        if let Some(remote) = shared.forge.remote(&source) {
            remote.authorize_git().await.map_err(|error| trouble::github(&error))?;
        }
        let base = branch.map_or(BaseBranch::Current, BaseBranch::Named);
        let checkout =
            inspect(&shared.git, &source, base).await.map_err(|error| trouble::inspecting(&error))?;
        let known = shared.forge.repository(&checkout.source);
        let apart = match purpose {
            Purpose::Look if !known.exists() => {
                let apart = known.apart(&shared.settings.scratch).map_err(|error| {
                    trouble::disk_or(ErrorCode::Internal, "making a place to read the repository in", &error)
                })?;
                Some(apart)
            }
            Purpose::Look | Purpose::SetUp => None,
        };
        let copy = ReadCopy { checkout, known, apart };
        copy.repository().import(&copy.checkout).await.map_err(|error| trouble::importing(&error))?;
        Ok(copy)
    }
}

/// Reads how a repository is set up at a commit.
pub(crate) async fn read_plan(
    repository: &Repository,
    commit: &CommitId,
) -> Result<(SetUpPlan, Files), UserError> {
    let mut files = Files::read(repository, commit).await?;
    let plan = plan(&files).map_err(|error| {
        UserError::new(
            ErrorCode::InvalidRequest,
            format!("how the repository is set up cannot be read: {error}"),
            "Mend that file and commit it; docs/environments.md says what may be in it.",
        )
    })?;
    files.read_inputs(repository, commit, &plan.inputs).await?;
    Ok((plan, files))
}
