//! The agents that tasks in a repository could start.

use nightshift_protocol::{AgentsFound, LookForAgents, UserError};

use super::Supervisor;
use super::environments::Purpose;
use crate::acts;

impl Supervisor {
    /// Finds the definitions of agents at a repository's newest commit and those of the person, with what is wrong with them.
    /// Nothing is left of it: a repository that is not known yet is copied for as long as it is read.
    pub async fn agents(&self, wish: LookForAgents) -> Result<AgentsFound, UserError> {
        let copy = self.copy(&wish.repository, wish.branch.as_deref(), Purpose::Look).await?;
        let settings = &self.shared.settings;
        let commit = copy.checkout.commit.clone();
        let (agents, rules) =
            acts::agents(copy.repository(), &commit, settings.own_agents().await, &settings.routing).await;
        let checkout = copy.give_up().await;
        let (repository, branch) = (checkout.source.to_string(), checkout.branch.to_string());
        Ok(AgentsFound { repository, branch, commit, agents, rules })
    }
}
