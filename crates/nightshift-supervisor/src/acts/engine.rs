//! A foreign agent's turn, as an act of the run.

use std::sync::Arc;

use nightshift_agent::prompt::EnginePrompts;
use nightshift_protocol::{ErrorCode, EventBody, SandboxId, StepId, Task, UserError};

use super::{Acts, Trouble};
use crate::engine::{Conduct, EngineWork, Link, Teller, conduct, model_for};
use crate::progress::Jobs;
use crate::repository;
use crate::tools::{Bench, Interrupter};

/// A turn that a foreign agent is to be given.
pub(crate) struct EngineWish {
    pub(crate) turn: u32,
    pub(crate) name: String,
    pub(crate) task: Task,
    pub(crate) branch: String,
    pub(crate) sandbox: Option<SandboxId>,
    pub(crate) jobs: Jobs,
    pub(crate) session: Option<String>,
    pub(crate) prompts: EnginePrompts,
    pub(crate) left: Vec<EventBody>,
    pub(crate) steps: u32,
    /// Model calls that were intended before.
    pub(crate) calls: u32,
}

impl Acts {
    /// How the run stands, for a foreign agent's turn.
    pub(crate) fn link(&self) -> &Link {
        &self.link
    }

    /// Gives a foreign agent its turn.
    pub(crate) async fn engine_turn(&self, wish: EngineWish) -> Result<Vec<EventBody>, Trouble> {
        let EngineWish { turn, name, task, branch, sandbox, jobs, session, prompts, left, steps, calls } =
            wish;
        let Some(engine) = self.shared.settings.engines.get(&name).cloned() else {
            return Err(Trouble::Pause(UserError::new(
                ErrorCode::InvalidRequest,
                format!("there is no engine {name} any more"),
                "Put it back into [engines] of the configuration, `nightshift restart`, and let the run go on.",
            )));
        };
        // One that was broken off ends first.
        let alone = Arc::clone(&self.alone).lock_owned().await;
        let desk = self.desk(sandbox.as_ref()).await?;
        let egress = match self.network.lock().await.as_ref() {
            Some(network) => network.egress(),
            None => return Err(Trouble::Cut("the sandbox has no way out".to_owned())),
        };
        let size = desk.screen.size().ok_or_else(|| Trouble::Cut("the screen shows nothing".to_owned()))?;
        let (_, never) = Interrupter::new(false);
        let bench = Bench {
            run: self.run.clone(),
            jobs,
            step: StepId { turn, call: 0 },
            folder: repository::folder(desk.machine.home(), &task.repository),
            desk,
            store: self.shared.store.clone(),
            live: self.shared.live.clone(),
            branch,
            base: task.base_commit.clone(),
            writes: Vec::new(),
            interrupt: never,
            mcp: Arc::clone(&self.mcp),
        };
        let work = EngineWork {
            turn,
            model: model_for(&engine.provider, &task.model),
            name,
            engine,
            session,
            prompts,
            left,
            steps,
            calls,
            approval: task.approval.clone(),
        };
        let with = Conduct {
            bench,
            screen: (size.width(), size.height()),
            egress,
            models: Arc::clone(&self.shared.model),
            entropy: Arc::clone(&self.shared.entropy),
            link: self.link.clone(),
            teller: Teller(self.aside.clone()),
            alone,
        };
        conduct(work, with).await
    }
}
