//! Which environment a task starts from, and when another one is to be made.

use std::sync::Arc;

use nightshift_protocol::{
    CommitId, EnvironmentCause, EnvironmentEventBody, EnvironmentId, EnvironmentState, UserError,
};
use nightshift_sandbox::{Template, TemplateKey};

use super::set_up::{drive, key_of, load, remove_machine};
use super::{EnvironmentProgress, Log, changed, fingerprint};
use crate::delivery;
use crate::shared::Shared;
use crate::supervisor::environments::read_plan;
use crate::trouble;

/// An environment that tasks can start from.
pub(crate) struct Serving {
    pub(crate) id: EnvironmentId,
    pub(crate) template: Template,
}

/// What is to be done about a repository's environments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Renewal {
    /// The one that serves fits.
    Fits,
    /// It does not, for these inputs, and another one is to be made while it serves.
    Make(Vec<String>),
    /// Another one is being made, or failed and waits for a person.
    UnderWay,
}

/// Decides about it, of a repository's environments, the newest first, and of what one made now would be made from.
pub(crate) fn renewal(
    environments: &[EnvironmentProgress],
    now: &std::collections::BTreeMap<String, String>,
) -> Renewal {
    let Some(newest) = environments.iter().find(|one| !matches!(one.state, EnvironmentState::Removed { .. }))
    else {
        // Nobody asked for one.
        return Renewal::Fits;
    };
    match &newest.state {
        EnvironmentState::Ready { .. } => {
            let names = changed(&newest.fingerprint, now);
            if names.is_empty() { Renewal::Fits } else { Renewal::Make(names) }
        }
        // One that failed is not tried again and again, unless what it failed with has changed.
        EnvironmentState::Failed { .. } if newest.cause == EnvironmentCause::Stale => {
            let names = changed(&newest.fingerprint, now);
            if names.is_empty() { Renewal::UnderWay } else { Renewal::Make(names) }
        }
        EnvironmentState::SettingUp { .. }
        | EnvironmentState::Failed { .. }
        | EnvironmentState::Removed { .. } => Renewal::UnderWay,
    }
}

/// All environments there ever were, the newest first.
pub(crate) async fn all(shared: &Shared) -> Result<Vec<EnvironmentProgress>, UserError> {
    let mut list = Vec::new();
    for id in shared.store.environments().await.map_err(|error| trouble::reading(&error))? {
        list.extend(load(shared, &id).await?);
    }
    Ok(list)
}

/// Finds the environment that a task of `repository` starts from, and has a new one made when it is stale. Whatever goes
/// wrong with that, the task goes on without one.
pub(crate) async fn serving(shared: &Arc<Shared>, repository: &str, commit: &CommitId) -> Option<Serving> {
    let mut own = all(shared).await.unwrap_or_default();
    own.retain(|one| one.repository == repository);
    if own.is_empty() {
        return None;
    }
    if let Err(error) = renew(shared, &own, repository, commit).await {
        tracing::warn!(repository, %error, "whether its environment is stale cannot be known");
    }
    for one in &own {
        let Some(key) = one.template() else { continue };
        if let Some(template) = shared.driver.template(&TemplateKey(key.to_owned())).await {
            return Some(Serving { id: one.id.clone(), template });
        }
    }
    None
}

async fn renew(
    shared: &Arc<Shared>,
    own: &[EnvironmentProgress],
    source: &str,
    commit: &CommitId,
) -> Result<(), UserError> {
    let repository = delivery::repository_of(&shared.forge, source)?;
    let (plan, files) = read_plan(&repository, commit).await?;
    if plan.is_empty() {
        return Ok(());
    }
    let now = fingerprint(&plan, &files, &machine(shared).await?);
    if let Renewal::Make(inputs) = renewal(own, &now) {
        let branch = own.first().map_or_else(String::new, |newest| newest.branch.clone());
        tracing::info!(repository = source, ?inputs, "the environment is stale and is made anew");
        let requested = EnvironmentEventBody::Requested {
            repository: source.to_owned(),
            branch,
            commit: commit.clone(),
            plan,
            fingerprint: now,
            cause: EnvironmentCause::Stale,
        };
        begin(shared, requested).await?;
    }
    Ok(())
}

/// The key of the template that a set-up made now would begin with.
pub(crate) async fn machine(shared: &Shared) -> Result<String, UserError> {
    let image = shared.images.expected().await?;
    let size = shared.templates.size();
    let key = shared.driver.template_key(&image, size).await;
    // Before the image is there it is named by its recipe.
    Ok(key.map_or_else(|_| image.hash.clone(), |key| key.0))
}

/// Writes a new environment down and has it made.
pub(crate) async fn begin(
    shared: &Arc<Shared>,
    requested: EnvironmentEventBody,
) -> Result<EnvironmentId, UserError> {
    let id = EnvironmentId::new(shared.entropy.as_ref());
    let now = shared.clock.now();
    shared
        .store
        .append_environment(&id, now, &[requested])
        .await
        .map_err(|error| trouble::appending(&error))?;
    carry_on(shared, &id);
    Ok(id)
}

/// Takes an environment away: its set-up ends, its machine and its template are removed. Clones of it go on.
pub(crate) async fn take_away(
    shared: &Shared,
    progress: &EnvironmentProgress,
    reason: &str,
) -> Result<(), UserError> {
    let under_way = {
        let mut set_ups = shared.set_ups.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        set_ups.remove(&progress.id)
    };
    if let Some(task) = under_way {
        task.abort();
        let _ended = task.await;
    }
    // As it is now that nobody changes it any more.
    let progress = load(shared, &progress.id).await?.unwrap_or_else(|| progress.clone());
    let removed = EnvironmentEventBody::Removed { reason: reason.to_owned() };
    let written = shared.store.append_environment(&progress.id, shared.clock.now(), &[removed]).await;
    written.map_err(|error| trouble::appending(&error))?;
    if let Some(sandbox) = &progress.sandbox {
        remove_machine(shared, sandbox).await;
    }
    if let Err(error) = shared.driver.remove_template(&key_of(&progress.id)).await {
        tracing::warn!(environment = %progress.id, %error, "its template could not be removed");
    }
    Log::of(&shared.settings.data, &progress.id).remove().await;
    Ok(())
}

/// Takes the environments away whose place a newer one has taken.
pub(crate) async fn retire_older(shared: &Shared, newer: &EnvironmentProgress) {
    let Ok(list) = all(shared).await else { return };
    let older = list.into_iter().skip_while(|one| one.id != newer.id).skip(1);
    let own = older.filter(|one| one.repository == newer.repository);
    for one in own.filter(|one| !matches!(one.state, EnvironmentState::Removed { .. })) {
        if let Err(error) = take_away(shared, &one, "a newer one has taken its place").await {
            tracing::warn!(environment = %one.id, %error, "an environment could not be retired");
        }
    }
}

/// Has an environment's set-up carried on. What is just ending is waited for: it may not have seen what was written last.
pub(crate) fn carry_on(shared: &Arc<Shared>, id: &EnvironmentId) {
    let mut under_way = shared.set_ups.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    under_way.retain(|_, task| !task.is_finished());
    let before = under_way.remove(id);
    let (own, environment) = (Arc::clone(shared), id.clone());
    let task = tokio::spawn(async move {
        if let Some(before) = before {
            let _ended = before.await;
        }
        drive(own, environment).await;
    });
    under_way.insert(id.clone(), task);
}

#[cfg(test)]
mod tests {
    use super::*;
    use nightshift_protocol::{EnvironmentEvent, ErrorCode, OffsetDateTime, SetUpFailure, SetUpPlan};
    use std::collections::BTreeMap;

    fn inputs(lock: &str) -> BTreeMap<String, String> {
        BTreeMap::from([("package-lock.json".to_owned(), lock.to_owned())])
    }

    fn environment(
        lock: &str,
        cause: EnvironmentCause,
        bodies: &[EnvironmentEventBody],
    ) -> EnvironmentProgress {
        let requested = EnvironmentEventBody::Requested {
            repository: "/src/app".to_owned(),
            branch: "main".to_owned(),
            commit: "a".repeat(40).parse().unwrap(),
            plan: SetUpPlan {
                sources: Vec::new(),
                steps: Vec::new(),
                checks: Vec::new(),
                dev_server: None,
                hosts: Vec::new(),
                inputs: Vec::new(),
                notes: Vec::new(),
            },
            fingerprint: inputs(lock),
            cause,
        };
        let events: Vec<EnvironmentEvent> = std::iter::once(&requested)
            .chain(bodies)
            .map(|body| EnvironmentEvent { seq: 1, at: OffsetDateTime::UNIX_EPOCH, body: body.clone() })
            .collect();
        EnvironmentProgress::fold(&"environment-0000000000".parse().unwrap(), &events).unwrap()
    }

    fn ready() -> EnvironmentEventBody {
        EnvironmentEventBody::Frozen { template: "k".to_owned(), took_ms: 1 }
    }

    fn failed() -> EnvironmentEventBody {
        let error = UserError::new(ErrorCode::SandboxFailed, "no", "");
        let failure = SetUpFailure { command: None, exit_code: None, error, log_tail: String::new() };
        EnvironmentEventBody::PhaseFailed { phase: 0, failure }
    }

    #[test]
    fn it_is_made_anew_once_when_what_it_was_made_from_changes() {
        use EnvironmentCause::{Asked, Stale};
        let old = environment("1", Asked, &[ready()]);
        assert_eq!(renewal(std::slice::from_ref(&old), &inputs("1")), Renewal::Fits);
        let stale = Renewal::Make(vec!["package-lock.json".to_owned()]);
        assert_eq!(renewal(std::slice::from_ref(&old), &inputs("2")), stale);
        let under_way = environment("2", Stale, &[]);
        assert_eq!(renewal(&[under_way, old.clone()], &inputs("2")), Renewal::UnderWay);
        let broken = environment("2", Stale, &[failed()]);
        assert_eq!(renewal(&[broken.clone(), old.clone()], &inputs("2")), Renewal::UnderWay);
        assert_eq!(renewal(&[broken, old], &inputs("3")), stale);
    }

    #[test]
    fn nobody_gets_an_environment_who_did_not_ask_for_one_or_took_it_away() {
        let removed = EnvironmentEventBody::Removed { reason: "asked for".to_owned() };
        let gone = environment("1", EnvironmentCause::Asked, &[ready(), removed]);
        assert_eq!(renewal(&[gone], &inputs("2")), Renewal::Fits);
        assert_eq!(renewal(&[], &inputs("2")), Renewal::Fits);
        let asked = environment("1", EnvironmentCause::Asked, &[failed()]);
        assert_eq!(renewal(&[asked], &inputs("2")), Renewal::UnderWay);
    }
}
