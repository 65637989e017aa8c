//! What an environment is worth: a task's start from it, beside the set-up that the task would otherwise need; of the
//! example with dependencies, by the owner that people use.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use nightshift_protocol::{
    EnvironmentState, EnvironmentSummary, Event, EventBody, RunId, SetUpEnvironment, SetUpPhaseKind,
};
use nightshift_supervisor::{DeliverySettings, NetworkSettings};
use suite::{Machines, Owner, git, task};

use super::step::instant_model::{InstantModel, Turn};
use crate::bench::{Bar, Bench, BenchError, Measure, Samples};
use crate::ground::{Ground, say};

const RATIO: &str = "set_up_ratio";
const SET_UP: &str = "set_up_ms";
const START: &str = "task_start_ms";
const PROOF: &str = "proof_ms";
const FREEZE: &str = "freeze_ms";

const MEASURES: &[Measure] = &[
    Measure {
        name: RATIO,
        about: "set-up each time / start from the environment",
        unit: "times",
        bar: Some(Bar::AtLeast(10.0)),
    },
    Measure { name: SET_UP, about: "set-up each time: sandbox, repository, npm ci", unit: "ms", bar: None },
    Measure {
        name: START,
        about: "a task from the environment: submitted to the agent's first turn",
        unit: "ms",
        bar: None,
    },
    Measure { name: PROOF, about: "checks and development server, once", unit: "ms", bar: None },
    Measure { name: FREEZE, about: "freezing, once", unit: "ms", bar: None },
];

/// How long a set-up may take; under emulation on a busy host it takes minutes.
const WITHIN: Duration = Duration::from_secs(1_800);
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// See the module.
pub(crate) struct Environment;

#[async_trait]
impl Bench for Environment {
    fn name(&self) -> &'static str {
        "environment"
    }

    fn about(&self) -> &'static str {
        "a task's start from its repository's environment, against setting up each time"
    }

    fn measures(&self) -> &'static [Measure] {
        MEASURES
    }

    async fn run(&self, ground: &Ground) -> Result<Samples, BenchError> {
        let mut samples = Samples::default();
        // What this waits for is done by the runtime's own tasks.
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(measure(ground, &mut samples))
        })?;
        Ok(samples)
    }
}

async fn measure(ground: &Ground, samples: &mut Samples) -> Result<(), BenchError> {
    let _template = ground.template().await?;
    let folder = ground.folder();
    let repository = folder.join("signpost");
    let copied = std::process::Command::new("cp")
        .arg("-r")
        .arg(ground.examples().join("signpost"))
        .arg(&repository)
        .status()
        .map_err(BenchError::io("copying the example"))?;
    if !copied.success() {
        return Err(BenchError::Unexpected("the example could not be copied".to_owned()));
    }
    git(&repository, &["init", "-q", "-b", "main"]);
    git(&repository, &["add", "-A"]);
    git(&repository, &["commit", "-q", "-m", "Signpost"]);
    let model = InstantModel::start(1, |turn| Turn::note(turn, 0))
        .await
        .map_err(BenchError::io("starting the model"))?;
    let machines = Machines {
        driver: ground.shared_driver(),
        images: ground.images(),
        registries: ground.registries(),
        kernel: None,
    };
    let (network, delivery) = (NetworkSettings::default(), DeliverySettings::default());
    let owner = Owner::on(machines, &folder, &model.base_url(), None, network, None, delivery).await;
    let owner = Arc::new(owner);
    for round in 0..ground.samples() {
        say(&format!("round {} of {}: set-up, then a task", round + 1, ground.samples()));
        let wish = SetUpEnvironment { repository: repository.display().to_string(), branch: None };
        let begun = owner.api.set_up_environment(wish).await?;
        let ready = ready(&owner, begun.environment.as_str()).await?;
        let total = |wanted: fn(SetUpPhaseKind) -> bool| -> f64 {
            let phases = ready.plan.phases().into_iter().zip(&ready.phases);
            phases.filter(|(kind, _)| wanted(*kind)).filter_map(|(_, phase)| phase.took_ms).sum::<u64>()
                as f64
        };
        let set_up = total(|kind| {
            matches!(kind, SetUpPhaseKind::Sandbox | SetUpPhaseKind::Repository | SetUpPhaseKind::Step { .. })
        });
        samples.add(SET_UP, set_up);
        samples.add(
            PROOF,
            total(|kind| matches!(kind, SetUpPhaseKind::Check { .. } | SetUpPhaseKind::DevServer)),
        );
        samples.add(FREEZE, total(|kind| kind == SetUpPhaseKind::Freeze));
        let description = InstantModel::description(usize::try_from(round).unwrap_or_default());
        let run = owner.api.submit_task(task(&description, &repository)).await?.run;
        let start = start_of(&owner, &run).await?;
        samples.add(START, start);
        samples.add(RATIO, set_up / start);
        owner.api.cancel(run.as_str()).await?;
        until(&owner, &run, |body| matches!(body, EventBody::SandboxStopped { .. })).await?;
        owner.api.remove_environment(ready.environment.as_str()).await?;
    }
    owner.supervisor.rest().await;
    Ok(())
}

/// Waits until an environment is ready.
async fn ready(owner: &Owner, id: &str) -> Result<EnvironmentSummary, BenchError> {
    let waiting = async {
        loop {
            let now = owner.api.environment(id).await?;
            match &now.state {
                EnvironmentState::SettingUp { .. } => tokio::time::sleep(LOOK_EVERY).await,
                EnvironmentState::Ready { .. } => return Ok(now),
                EnvironmentState::Failed { failure, .. } => {
                    let what = format!("{}: {}", failure.error.message, failure.log_tail);
                    return Err(BenchError::Unexpected(what));
                }
                EnvironmentState::Removed { reason } => return Err(BenchError::Unexpected(reason.clone())),
            }
        }
    };
    tokio::time::timeout(WITHIN, waiting).await.map_err(|_| {
        BenchError::Unexpected(format!("the set-up was not over within {} s", WITHIN.as_secs()))
    })?
}

/// From a task's submission to its agent's first turn, in milliseconds.
async fn start_of(owner: &Owner, run: &RunId) -> Result<f64, BenchError> {
    let events = until(owner, run, |body| matches!(body, EventBody::ConversationStarted { .. })).await?;
    let from_environment = events.iter().any(
        |event| matches!(&event.body, EventBody::SandboxReady { facts, .. } if facts.environment.is_some()),
    );
    if !from_environment {
        return Err(BenchError::Unexpected("the task did not start from the environment".to_owned()));
    }
    let at = |name: &str| events.iter().find(|event| event.body.name() == name).map(|event| event.at);
    match (at("runSubmitted"), at("conversationStarted")) {
        (Some(submitted), Some(started)) => Ok((started - submitted).as_seconds_f64() * 1_000.0),
        _ => Err(BenchError::Unexpected("the run's history lacks its beginning".to_owned())),
    }
}

async fn until(owner: &Owner, run: &RunId, wanted: fn(&EventBody) -> bool) -> Result<Vec<Event>, BenchError> {
    let waiting = async {
        loop {
            let events = owner.store.replay(run).await.map_err(BenchError::during("reading the history"))?;
            if events.iter().any(|event| wanted(&event.body)) {
                return Ok(events);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(WITHIN, waiting)
        .await
        .map_err(|_| BenchError::Unexpected("the task did not get on".to_owned()))?
}
