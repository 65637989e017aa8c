//! Environments of repositories.

use nightshift_protocol::{
    EnvironmentLog, EnvironmentSummary, PlannedEnvironment, SetUpEnvironment, UserError,
};

use crate::Api;

impl Api {
    /// Says how a repository would be set up, and does nothing.
    pub async fn plan_environment(&self, wish: SetUpEnvironment) -> Result<PlannedEnvironment, UserError> {
        self.supervisor.plan_environment(wish).await
    }

    /// Has a repository set up; returns as soon as that is written down.
    pub async fn set_up_environment(&self, wish: SetUpEnvironment) -> Result<EnvironmentSummary, UserError> {
        self.supervisor.set_up_environment(wish).await
    }

    /// Lists environments, the newest first; those that are gone only when `all` are wanted.
    pub async fn environments(&self, all: bool) -> Result<Vec<EnvironmentSummary>, UserError> {
        self.supervisor.environments(all).await
    }

    /// An environment, by its id or how that begins.
    pub async fn environment(&self, named: &str) -> Result<EnvironmentSummary, UserError> {
        self.supervisor.environment(named).await
    }

    /// A piece of an environment's log.
    pub async fn environment_log(&self, named: &str, after: u64) -> Result<EnvironmentLog, UserError> {
        self.supervisor.environment_log(named, after).await
    }

    /// Tries the phase of an environment that failed again.
    pub async fn retry_environment(&self, named: &str) -> Result<EnvironmentSummary, UserError> {
        self.supervisor.retry_environment(named).await
    }

    /// Removes an environment with its machine and its template.
    pub async fn remove_environment(&self, named: &str) -> Result<EnvironmentSummary, UserError> {
        self.supervisor.remove_environment(named).await
    }
}
