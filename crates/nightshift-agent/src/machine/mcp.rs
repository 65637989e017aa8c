//! The tools of servers of the Model Context Protocol, as a machine has them.

use super::AgentMachine;
use crate::tools::McpTools;

impl AgentMachine {
    /// The tools of servers that it has.
    pub fn mcp(&self) -> &McpTools {
        &self.mcp
    }

    /// Gives it these of another machine's tools of servers, by their names, before its conversation begins.
    pub fn share_mcp(&mut self, of: &Self, names: &[String]) {
        self.offer(of.mcp.only(names));
    }

    /// Offers them behind its own, which stay the first of every request.
    pub(super) fn offer(&mut self, mcp: McpTools) {
        self.tools = self.tools.iter().cloned().chain(mcp.definitions()).collect();
        self.mcp = mcp;
    }
}

#[cfg(test)]
mod tests;
