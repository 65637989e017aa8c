//! Environments: a repository's set-up, done once, proved, and frozen to be cloned.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};

use crate::{CommitId, ConnectionRecord, EnvironmentId, NetworkPhase, SandboxId, UserError};

/// A command of a set-up, by the name a person knows it by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SetUpStep {
    /// Its name, for example `install npm packages`.
    pub name: String,
    /// What bash runs in the repository's folder.
    pub run: String,
}

/// A server that runs in every clone of an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DevServer {
    /// What bash runs in the repository's folder.
    pub run: String,
    /// The port at which it answers once it is up.
    pub port: u16,
}

/// How a repository is set up, and how that is proved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SetUpPlan {
    /// The files that it was read from.
    pub sources: Vec<String>,
    /// What is done, in this order, with the package registries open.
    pub steps: Vec<SetUpStep>,
    /// What must be green then, with the network as it is for an agent.
    pub checks: Vec<SetUpStep>,
    /// What runs in every clone.
    pub dev_server: Option<DevServer>,
    /// Hosts that it asks for beside the registries, as far as the owner permits them.
    pub hosts: Vec<String>,
    /// Files whose change makes the environment stale.
    pub inputs: Vec<String>,
    /// What of the sources is not used, and why.
    pub notes: Vec<String>,
}

impl SetUpPlan {
    /// Whether there is nothing to do, and so no environment to make.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.dev_server.is_none()
    }

    /// The phases of the set-up, in their order.
    pub fn phases(&self) -> Vec<SetUpPhaseKind> {
        let count = |list: &[SetUpStep]| u32::try_from(list.len()).unwrap_or(u32::MAX);
        let mut phases = vec![SetUpPhaseKind::Sandbox, SetUpPhaseKind::Repository];
        phases.extend((0..count(&self.steps)).map(|index| SetUpPhaseKind::Step { index }));
        phases.extend((0..count(&self.checks)).map(|index| SetUpPhaseKind::Check { index }));
        phases.extend(self.dev_server.is_some().then_some(SetUpPhaseKind::DevServer));
        phases.push(SetUpPhaseKind::Freeze);
        phases
    }

    /// What a phase is called.
    pub fn name_of(&self, phase: SetUpPhaseKind) -> String {
        let named = |list: &[SetUpStep], index: u32| {
            list.get(index as usize).map_or_else(String::new, |step| step.name.clone())
        };
        match phase {
            SetUpPhaseKind::Sandbox => "make a sandbox".to_owned(),
            SetUpPhaseKind::Repository => "bring the repository in".to_owned(),
            SetUpPhaseKind::Step { index } => named(&self.steps, index),
            SetUpPhaseKind::Check { index } => format!("check: {}", named(&self.checks, index)),
            SetUpPhaseKind::DevServer => "start the development server".to_owned(),
            SetUpPhaseKind::Freeze => "freeze the machine".to_owned(),
        }
    }

    /// The command of a phase, if it runs one of the plan's.
    pub fn command_of(&self, phase: SetUpPhaseKind) -> Option<&str> {
        match phase {
            SetUpPhaseKind::Step { index } => self.steps.get(index as usize).map(|step| step.run.as_str()),
            SetUpPhaseKind::Check { index } => self.checks.get(index as usize).map(|step| step.run.as_str()),
            SetUpPhaseKind::DevServer => self.dev_server.as_ref().map(|server| server.run.as_str()),
            SetUpPhaseKind::Sandbox | SetUpPhaseKind::Repository | SetUpPhaseKind::Freeze => None,
        }
    }
}

/// A phase of a set-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum SetUpPhaseKind {
    /// A machine is cloned from the template.
    Sandbox,
    /// The repository is brought into it.
    Repository,
    /// A step of the plan, from 0.
    Step {
        /// Which one.
        index: u32,
    },
    /// A check of the plan, from 0.
    Check {
        /// Which one.
        index: u32,
    },
    /// The development server is started, and waited for.
    DevServer,
    /// The machine becomes a template.
    Freeze,
}

/// Why an environment is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum EnvironmentCause {
    /// A person asked for it.
    Asked,
    /// What the one before it was made from has changed.
    Stale,
}

/// Something that happened to an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum EnvironmentEventBody {
    /// It is to be made. Always the first.
    Requested {
        /// The repository, as tasks name it.
        repository: String,
        /// The branch it was asked for at.
        branch: String,
        /// The commit whose checks must be green.
        commit: CommitId,
        /// What is done.
        plan: SetUpPlan,
        /// Hash of all that the set-up depends on, by the input's name; a change of one makes it stale.
        fingerprint: BTreeMap<String, String>,
        /// Why.
        cause: EnvironmentCause,
    },
    /// It has a sandbox to be set up in.
    SandboxAssigned {
        /// Which.
        sandbox: SandboxId,
    },
    /// A phase begins.
    PhaseBegun {
        /// Its number among the phases, from 0.
        phase: u32,
    },
    /// A phase ended well.
    PhaseDone {
        /// Its number.
        phase: u32,
        /// How long it took, in milliseconds.
        took_ms: u64,
    },
    /// A phase failed; the machine is kept.
    PhaseFailed {
        /// Its number.
        phase: u32,
        /// Why, and the end of its log.
        failure: SetUpFailure,
    },
    /// A person lets the phase that failed be tried again.
    Retried,
    /// What programs in it may reach from now on.
    NetworkOpened {
        /// For which part.
        phase: NetworkPhase,
        /// Hosts.
        allowed: Vec<String>,
        /// Hosts that were asked for and are not permitted.
        not_permitted: Vec<String>,
    },
    /// Connections were made, or tried.
    ConnectionsRecorded {
        /// Which.
        connections: Vec<ConnectionRecord>,
    },
    /// Its machine is gone: all begins anew.
    SandboxLost {
        /// Why.
        reason: String,
    },
    /// It is a template now.
    Frozen {
        /// The template's key.
        template: String,
        /// How long that took, in milliseconds.
        took_ms: u64,
    },
    /// It is gone, with its machine or its template.
    Removed {
        /// Why.
        reason: String,
    },
}

impl EnvironmentEventBody {
    /// The name of its type on the wire.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Requested { .. } => "requested",
            Self::SandboxAssigned { .. } => "sandboxAssigned",
            Self::PhaseBegun { .. } => "phaseBegun",
            Self::PhaseDone { .. } => "phaseDone",
            Self::PhaseFailed { .. } => "phaseFailed",
            Self::Retried => "retried",
            Self::NetworkOpened { .. } => "networkOpened",
            Self::ConnectionsRecorded { .. } => "connectionsRecorded",
            Self::SandboxLost { .. } => "sandboxLost",
            Self::Frozen { .. } => "frozen",
            Self::Removed { .. } => "removed",
        }
    }
}

/// An event in an environment's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnvironmentEvent {
    /// Its number within the environment, from 1 without gaps.
    pub seq: u64,
    /// When it happened.
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub at: OffsetDateTime,
    /// What happened.
    #[serde(flatten)]
    pub body: EnvironmentEventBody,
}

/// Why a phase failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SetUpFailure {
    /// The command, when it was one.
    pub command: Option<String>,
    /// Its exit status, when it had one.
    pub exit_code: Option<i32>,
    /// What failed, why, and what to do.
    pub error: UserError,
    /// The end of what it printed.
    pub log_tail: String,
}

/// Where an environment is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum EnvironmentState {
    /// It is being set up.
    SettingUp {
        /// The number of the phase, from 0.
        phase: u32,
    },
    /// Tasks of its repository start from it.
    Ready {
        /// The template's key.
        template: String,
    },
    /// A phase failed.
    Failed {
        /// The number of the phase, from 0.
        phase: u32,
        /// Why.
        failure: SetUpFailure,
    },
    /// It is gone.
    Removed {
        /// Why.
        reason: String,
    },
}

impl EnvironmentState {
    /// The state's name on the wire and in lists.
    pub fn name(&self) -> &'static str {
        match self {
            Self::SettingUp { .. } => "settingUp",
            Self::Ready { .. } => "ready",
            Self::Failed { .. } => "failed",
            Self::Removed { .. } => "removed",
        }
    }

    /// The state as people read it, at the end of a sentence: "it is being set up".
    pub fn words(&self) -> &'static str {
        match self {
            Self::SettingUp { .. } => "being set up",
            Self::Ready { .. } | Self::Failed { .. } | Self::Removed { .. } => self.name(),
        }
    }
}

/// A phase as lists show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PhaseSummary {
    /// What it is called.
    pub name: String,
    /// How long it took, in milliseconds; `None` until it is done.
    pub took_ms: Option<u64>,
}

/// An environment as lists show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnvironmentSummary {
    /// Its id.
    pub environment: EnvironmentId,
    /// Its repository, as tasks name it.
    pub repository: String,
    /// The branch it was asked for at.
    pub branch: String,
    /// The commit that was set up and proved.
    pub commit: CommitId,
    /// Where it is.
    pub state: EnvironmentState,
    /// What is done for it.
    pub plan: SetUpPlan,
    /// Its phases, in their order.
    pub phases: Vec<PhaseSummary>,
    /// Why it is made.
    pub cause: EnvironmentCause,
    /// Its machine, while it has one.
    pub sandbox: Option<SandboxId>,
    /// When it was asked for.
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub created_at: OffsetDateTime,
    /// When something last happened to it.
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: OffsetDateTime,
}

/// A wish for an environment, or for a look at how it would be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SetUpEnvironment {
    /// The repository, as tasks name it.
    pub repository: String,
    /// The branch; the one that is checked out if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
}

/// Which environments are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct ListEnvironments {
    /// Also those that are gone.
    pub all: bool,
}

/// Which piece of a log is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct ReadLog {
    /// Where it begins: `next` of the piece before, or 0.
    pub after: u64,
}

/// How a repository would be set up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlannedEnvironment {
    /// The repository.
    pub repository: String,
    /// The branch.
    pub branch: String,
    /// The commit.
    pub commit: CommitId,
    /// What would be done.
    pub plan: SetUpPlan,
    /// The package registries of this machine that would be open, as they were found.
    pub registries: Vec<String>,
}

/// A piece of an environment's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnvironmentLog {
    /// What was printed, without control characters but line ends and tabs.
    pub text: String,
    /// Where the next piece begins: what to ask with.
    pub next: u64,
    /// Whether nothing more will come unless somebody tries again.
    pub over: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> SetUpPlan {
        let step = |name: &str| SetUpStep { name: name.to_owned(), run: format!("run {name}") };
        SetUpPlan {
            sources: vec!["package.json".to_owned()],
            steps: vec![step("install")],
            checks: vec![step("npm test")],
            dev_server: Some(DevServer { run: "npm start".to_owned(), port: 3000 }),
            hosts: Vec::new(),
            inputs: Vec::new(),
            notes: Vec::new(),
        }
    }

    #[test]
    fn the_phases_are_the_sandbox_the_repository_the_plan_and_the_freezing() {
        let plan = plan();
        let names: Vec<String> = plan.phases().into_iter().map(|phase| plan.name_of(phase)).collect();
        assert_eq!(
            names,
            [
                "make a sandbox",
                "bring the repository in",
                "install",
                "check: npm test",
                "start the development server",
                "freeze the machine"
            ]
        );
    }

    #[test]
    fn only_phases_of_the_plan_have_a_command() {
        let plan = plan();
        let commands: Vec<Option<&str>> =
            plan.phases().into_iter().map(|phase| plan.command_of(phase)).collect();
        assert_eq!(
            commands,
            [None, None, Some("run install"), Some("run npm test"), Some("npm start"), None]
        );
    }

    #[test]
    fn an_event_reads_back_as_it_was_written_under_the_name_of_its_type() {
        let body = EnvironmentEventBody::Frozen { template: "k".to_owned(), took_ms: 3 };
        let event = EnvironmentEvent { seq: 7, at: OffsetDateTime::UNIX_EPOCH, body };
        let wire = serde_json::to_value(&event).unwrap();
        assert_eq!((wire["type"].as_str(), wire["tookMs"].as_u64()), (Some("frozen"), Some(3)));
        assert_eq!(event.body.name(), "frozen");
        assert_eq!(serde_json::from_value::<EnvironmentEvent>(wire).unwrap(), event);
    }

    #[test]
    fn a_plan_that_only_checks_makes_no_environment() {
        assert!(!plan().is_empty());
        assert!(SetUpPlan { steps: Vec::new(), dev_server: None, ..plan() }.is_empty());
    }
}
