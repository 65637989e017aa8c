//! What the driver of a run does for a foreign agent.

use std::sync::Arc;
use std::time::Duration;

use nightshift_agent::prompt::engine_prompts;
use nightshift_protocol::EventBody;
use nightshift_store::AppendError;
use tokio::sync::mpsc;

use super::{Driver, Effect, Wish};
use crate::acts::EngineWish;
use crate::engine::Aside;

/// How long model calls that are cut off may take to tell what they used: it is known at once.
const TOLD_WITHIN: Duration = Duration::from_secs(5);

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
            jobs: progress.jobs(),
            session: progress.engine.session().map(str::to_owned),
            prompts: engine_prompts(progress.agent.conversation(), &progress.plan, cut),
            left: progress.engine.left(turn),
            steps: progress.engine.steps(),
            calls: progress.engine.calls(),
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
    pub(super) async fn take_aside(&mut self, mut aside: Aside) -> Result<(), AppendError> {
        let is_left_over = |body: &EventBody| match body {
            EventBody::EngineCallIntended { turn, call } => !self.progress.takes_call(*turn, call.number),
            _ => false,
        };
        if aside.bodies.iter().any(is_left_over) {
            // Who intends it hears that nobody writes, and does not make it.
            return Ok(());
        }
        // What was counted as the worst because nobody could wait any more is not counted again.
        aside.bodies.retain(|body| match body {
            EventBody::EngineCalledModel { turn, call } => {
                call.number == 0 || self.progress.engine.awaits_call(*turn, call.number)
            }
            _ => true,
        });
        self.append(aside.bodies).await?;
        if let Some(written) = aside.written {
            let _teller_gone = written.send(());
        }
        Ok(())
    }

    /// Deals with what an act that is over had told and is not written, and waits until it is known what its model calls used:
    /// none outlives its turn. What it only intended it did not do: it waits for that to be written.
    pub(super) async fn settle_asides(
        &mut self,
        asides: &mut mpsc::UnboundedReceiver<Aside>,
    ) -> Result<(), AppendError> {
        while let Ok(aside) = asides.try_recv() {
            self.take_late(aside).await?;
        }
        if self.progress.engine.has_settled() {
            return Ok(());
        }
        self.acts.link().end();
        let until = tokio::time::Instant::now() + TOLD_WITHIN;
        while !self.progress.engine.has_settled()
            && let Ok(Some(aside)) = tokio::time::timeout_at(until, asides.recv()).await
        {
            self.take_late(aside).await?;
        }
        self.settle_at_worst().await
    }

    /// Sees to it that what a foreign agent's model calls used belongs to a run before the run is over.
    pub(super) async fn before(
        &mut self,
        wish: &Wish,
        asides: &mut mpsc::UnboundedReceiver<Aside>,
    ) -> Result<(), AppendError> {
        if *wish == Wish::Cancel { self.settle_asides(asides).await } else { Ok(()) }
    }

    /// Counts model calls of which nobody will ever tell what they used as the most they may have: those of an owner that ended
    /// in the middle.
    pub(super) async fn settle_at_worst(&mut self) -> Result<(), AppendError> {
        match self.progress.engine.settled_at_worst() {
            ends if ends.is_empty() => Ok(()),
            ends => self.append(ends).await,
        }
    }

    async fn take_late(&mut self, mut aside: Aside) -> Result<(), AppendError> {
        let intends = |body: &EventBody| {
            matches!(body, EventBody::StepIntended { .. } | EventBody::EngineCallIntended { .. })
        };
        aside.bodies.retain(|body| !intends(body));
        if aside.bodies.is_empty() { Ok(()) } else { self.take_aside(aside).await }
    }
}
