//! Sandboxes that no run has.

use nightshift_protocol::{
    BorrowSandbox, CommandAnswer, RunCommand, SandboxLoan, ScreenAction, ScreenAnswer, UserError,
};

use crate::Api;

impl Api {
    /// Lends a sandbox without an agent.
    pub async fn borrow_sandbox(&self, wish: BorrowSandbox) -> Result<SandboxLoan, UserError> {
        self.supervisor.lend_sandbox(wish).await
    }

    /// Lists the sandboxes that are lent.
    pub fn lent_sandboxes(&self) -> Vec<SandboxLoan> {
        self.supervisor.lent_sandboxes()
    }

    /// Lets a loan last for its lease from now on.
    pub fn renew_sandbox(&self, sandbox: &str) -> Result<SandboxLoan, UserError> {
        self.supervisor.renew_sandbox(sandbox)
    }

    /// Closes a lent sandbox, and returns those that are left.
    pub async fn close_sandbox(&self, sandbox: &str) -> Result<Vec<SandboxLoan>, UserError> {
        self.supervisor.give_back_sandbox(sandbox).await?;
        Ok(self.lent_sandboxes())
    }

    /// Does one action on a lent sandbox's screen.
    pub async fn act_on_screen(
        &self,
        sandbox: &str,
        action: ScreenAction,
    ) -> Result<ScreenAnswer, UserError> {
        self.supervisor.act_on_screen(sandbox, action).await
    }

    /// Runs a command in a lent sandbox to its end.
    pub async fn run_command(&self, sandbox: &str, command: RunCommand) -> Result<CommandAnswer, UserError> {
        self.supervisor.run_command(sandbox, command).await
    }

    /// Reads a file of a lent sandbox.
    pub async fn read_lent_file(&self, sandbox: &str, path: &str) -> Result<Vec<u8>, UserError> {
        self.supervisor.read_lent_file(sandbox, path).await
    }

    /// Writes a file of a lent sandbox.
    pub async fn write_lent_file(&self, sandbox: &str, path: &str, content: &[u8]) -> Result<(), UserError> {
        self.supervisor.write_lent_file(sandbox, path, content).await
    }
}
