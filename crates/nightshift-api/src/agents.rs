//! Definitions of agents.

use nightshift_protocol::{AgentsFound, LookForAgents, UserError};

use crate::Api;

impl Api {
    /// Finds the agents that a task in a repository could start, with what is wrong with their definitions.
    pub async fn agents(&self, wish: LookForAgents) -> Result<AgentsFound, UserError> {
        self.supervisor.agents(wish).await
    }
}
