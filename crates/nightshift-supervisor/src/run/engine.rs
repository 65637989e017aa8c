//! What the driver of a run does for a foreign agent.

use std::sync::Arc;

use nightshift_agent::prompt::engine_prompts;
use nightshift_protocol::EventBody;
use nightshift_store::AppendError;
use tokio::sync::mpsc;

use super::{Driver, Effect};
use crate::acts::EngineWish;
use crate::engine::Aside;

impl Driver {
    /// Gives a foreign agent its turn, or once more what an owner or a person broke off.
    pub(super) fn engine_turn(&mut self, turn: u32) -> Effect {
        let (task, branch, sandbox) = self.task_and_sandbox();
        let progress = &self.progress;
        let cut = progress.engine.was_given(turn);
        let wish = EngineWish {
            turn,
            name: task.engine.clone().unwrap_or_default(),
            branch,
            sandbox,
            session: progress.engine.session().map(str::to_owned),
            prompts: engine_prompts(progress.agent.conversation(), &progress.plan, cut),
            left: progress.engine.left(turn),
            steps: progress.engine.steps(),
            task,
        };
        self.tell_engine();
        let acts = Arc::clone(&self.acts);
        Box::pin(async move { acts.engine_turn(wish).await })
    }

    /// Tells those who work for a foreign agent how the run stands now.
    pub(super) fn tell_engine(&self) {
        let at_work = self.progress.engine_at_work();
        if at_work.is_some() || self.acts.link().is_followed() {
            self.acts.link().follow(at_work, self.progress.taken_over);
        }
    }

    /// Writes down what an act tells before it is over, and says that it is written.
    pub(super) async fn take_aside(&mut self, aside: Aside) -> Result<(), AppendError> {
        self.append(aside.bodies).await?;
        if let Some(written) = aside.written {
            let _teller_gone = written.send(());
        }
        Ok(())
    }

    /// Deals with what an act that was broken off had told and is not written. What it only intended it did not do: it waits
    /// for that to be written.
    pub(super) async fn settle_asides(
        &mut self,
        asides: &mut mpsc::UnboundedReceiver<Aside>,
    ) -> Result<(), AppendError> {
        while let Ok(mut aside) = asides.try_recv() {
            aside.bodies.retain(|body| !matches!(body, EventBody::StepIntended { .. }));
            if !aside.bodies.is_empty() {
                self.take_aside(aside).await?;
            }
        }
        Ok(())
    }
}
