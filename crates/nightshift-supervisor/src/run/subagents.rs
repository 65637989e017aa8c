//! What the driver of a run does for subagents: they work beside it, each at one thing at a time, in tasks of their own.
//!
//! What such a task did is taken in by the driver alone, in the order in which it ends. A task that is dropped did what it did:
//! its intention is in the history, and what came of it is found out when the subagent goes on. One that has ended is not dropped.

use std::collections::HashMap;
use std::sync::Arc;

use nightshift_agent::SpawnRequest;
use nightshift_protocol::{EventBody, RunState, StepId, ToolCall, subagent_of};
use nightshift_store::AppendError;
use tokio::task::{AbortHandle, JoinError, JoinSet};

use super::{Action, Driver, Effect, Flow, Interrupter, Trouble, next, writes_first};
use crate::acts::Spawn;
use crate::progress::Ended;
use crate::trouble;

/// What a subagent's task came to.
type Outcome = (u32, Result<Vec<EventBody>, Trouble>);

/// The subagents that do something now.
#[derive(Default)]
pub(super) struct Beside {
    tasks: JoinSet<Outcome>,
    busy: HashMap<u32, Busy>,
}

struct Busy {
    action: Action,
    task: AbortHandle,
    interrupter: Option<Interrupter>,
}

impl Beside {
    /// Lets go of everything that is under way, and returns what ended well before that and nobody took in.
    fn let_go(&mut self) -> Vec<EventBody> {
        let mut bodies = Vec::new();
        while let Some(ended) = self.tasks.try_join_next() {
            if let Ok((number, Ok(more))) = ended
                && self.busy.remove(&number).is_some()
            {
                bodies.extend(more);
            }
        }
        *self = Self::default();
        bodies
    }

    /// Lets go of what one of them does.
    fn drop_one(&mut self, number: u32) {
        if let Some(busy) = self.busy.remove(&number) {
            busy.task.abort();
        }
    }

    /// The next one that ends; never while nothing is under way.
    pub(super) async fn ended(&mut self) -> Result<Outcome, JoinError> {
        match self.tasks.join_next().await {
            Some(ended) => ended,
            None => std::future::pending().await,
        }
    }

    /// Wishes that every step ends, and lets go of model calls, which are made again.
    pub(super) fn interrupt(&mut self) {
        let asking: Vec<u32> = self
            .busy
            .iter()
            .filter(|(_, busy)| !matches!(busy.action, Action::RunStep { .. }))
            .map(|(number, _)| *number)
            .collect();
        asking.into_iter().for_each(|number| self.drop_one(number));
        for interrupter in self.busy.values().filter_map(|busy| busy.interrupter.as_ref()) {
            interrupter.interrupt();
        }
    }
}

/// The subagent whose action it is.
fn number_of(action: &Action) -> Option<u32> {
    match action {
        Action::AskModel { turn, .. } | Action::Compact { turn } => subagent_of(*turn),
        Action::RunStep { step, .. } | Action::AnswerStep { step, .. } => subagent_of(step.turn),
        _ => None,
    }
}

impl Driver {
    /// Lets go of what subagents do where the run does not work any more, or becomes another one. What they do while a person is
    /// asked or has the mouse comes to its end. Returns whether something of it had ended, and is taken in now.
    pub(super) fn let_go_beside(&mut self, action: &Action) -> bool {
        let works = matches!(self.progress.state, RunState::Working | RunState::Waiting { .. });
        let becomes = matches!(action, Action::Rewind(_) | Action::RestoreSandbox { .. })
            || matches!(action, Action::SaveCheckpoint { cause, .. } if *cause == nightshift_protocol::CheckpointCause::Suspended);
        (!works || becomes) && self.let_go_of_all()
    }

    /// Lets go of what all subagents do. Returns whether something of it had ended, and is taken in now.
    fn let_go_of_all(&mut self) -> bool {
        let ended = self.beside.let_go();
        if ended.is_empty() {
            return false;
        }
        self.note(ended);
        true
    }

    /// Begins what subagents want to do and do not do yet.
    pub(super) async fn begin_beside(&mut self) -> Result<(), AppendError> {
        loop {
            let wanted = self.progress.next_beside().into_iter();
            let fresh = wanted.filter_map(|action| Some((number_of(&action)?, action)));
            let Some((number, action)) =
                fresh.into_iter().find(|(number, _)| !self.beside.busy.contains_key(number))
            else {
                return Ok(());
            };
            if !writes_first(&action) {
                self.write_down().await?;
            }
            let agents = self.interrupter.take();
            let effect = self.begin(action.clone()).await?;
            let interrupter = std::mem::replace(&mut self.interrupter, agents);
            if let Some(effect) = effect {
                let task = self.beside.tasks.spawn(async move { (number, effect.await) });
                self.beside.busy.insert(number, Busy { action, task, interrupter });
            }
        }
    }

    /// Takes in what came of something that a subagent did.
    pub(super) async fn take_beside(
        &mut self,
        ended: Result<Outcome, JoinError>,
    ) -> Result<Flow, AppendError> {
        let (number, outcome) = match ended {
            Ok(ended) => ended,
            Err(error) if error.is_cancelled() => return Ok(Flow::GoesOn),
            Err(error) => {
                self.let_go_of_all();
                let error = trouble::internal("something that a subagent did ended", &error);
                self.suffer(Trouble::Pause(error), &Action::AwaitSubagents).await?;
                return Ok(Flow::Interrupted);
            }
        };
        let Some(busy) = self.beside.busy.remove(&number) else { return Ok(Flow::GoesOn) };
        match outcome {
            Ok(bodies) => {
                self.cuts = 0;
                self.note(bodies);
                self.begin_beside().await?;
                // Nobody else may write for long: those who watch are told now.
                self.write_down().await?;
                Ok(Flow::GoesOn)
            }
            Err(trouble) => {
                // The others use the same sandbox and the same provider, and find out by themselves when they go on.
                self.let_go_of_all();
                self.suffer(trouble, &busy.action).await?;
                Ok(Flow::Interrupted)
            }
        }
    }

    /// Takes in what came of something that a subagent did, while the run waits for a person. What did not go well is found out when
    /// the subagent goes on: it must not take the place of what the person is asked.
    pub(super) async fn take_beside_in_wait(
        &mut self,
        ended: Result<Outcome, JoinError>,
    ) -> Result<(), AppendError> {
        match ended {
            Ok((number, Err(trouble))) => {
                tracing::info!(run = %self.progress.run, number, ?trouble, "a subagent does it again when it goes on");
                self.beside.busy.remove(&number);
            }
            ended @ (Ok((_, Ok(_))) | Err(_)) => {
                self.take_beside(ended).await?;
            }
        }
        Ok(())
    }

    /// Lets subagents work until something happens; `false` when nobody can wish anything any more.
    pub(super) async fn await_subagents(&mut self) -> Result<bool, AppendError> {
        self.begin_beside().await?;
        self.write_down().await?;
        if next(&self.progress) != Action::AwaitSubagents {
            return Ok(true);
        }
        let asides = self.acts.asides();
        let mut asides = asides.lock().await;
        let acts = Arc::clone(&self.acts);
        let mut stalled = Box::pin(acts.stalled(self.sandbox_at_work()));
        loop {
            tokio::select! {
                biased;
                Some(aside) = asides.recv() => self.take_aside(aside).await?,
                ended = self.beside.ended() => {
                    self.take_beside(ended).await?;
                }
                request = self.requests.recv() => match request {
                    Some(request) => {
                        self.take(request).await?;
                    }
                    None => return Ok(false),
                },
                stall = &mut stalled => {
                    let error = trouble::stalled(&stall);
                    self.short_of = super::Shortage::of(stall);
                    self.let_go_of_all();
                    self.suffer(Trouble::Pause(error), &Action::AwaitSubagents).await?;
                }
            }
            if next(&self.progress) != Action::AwaitSubagents {
                return Ok(true);
            }
            self.begin_beside().await?;
        }
    }

    /// Starts a subagent.
    pub(super) fn begin_subagent(&self, step: StepId, call: ToolCall, request: SpawnRequest) -> Effect {
        let (acts, work) = (Arc::clone(&self.acts), self.work());
        let (number, full) = (self.progress.subagents.next_number(), self.progress.subagents.full());
        let mcp = self.progress.agent.mcp().clone();
        let spawn = Spawn { work, number, full, step, call, request, mcp };
        Box::pin(async move { acts.begin_subagent(spawn).await })
    }

    /// Ends one, brings its work home and notes its report.
    pub(super) fn end_subagent(&mut self, number: u32, ended: Ended) -> Option<Effect> {
        self.beside.drop_one(number);
        let subagent = self.progress.subagents.numbered(number)?.clone();
        let step = subagent.start.step;
        let waits = !subagent.start.background;
        let call = waits.then(|| self.progress.agent.call_of(step).map(str::to_owned)).flatten();
        let jobs = self.progress.jobs();
        let commands = subagent.commands().into_iter().map(|step| jobs.of(step)).collect();
        let (acts, work) = (Arc::clone(&self.acts), self.work());
        Some(Box::pin(async move { acts.end_subagent(work, subagent, commands, ended, call).await }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(beside: &mut Beside, number: u32, effect: Effect) {
        let task = beside.tasks.spawn(async move { (number, effect.await) });
        beside.busy.insert(number, Busy { action: Action::AwaitSubagents, task, interrupter: None });
    }

    fn told(number: u32) -> Vec<EventBody> {
        vec![EventBody::SubagentStopped { number }]
    }

    #[tokio::test]
    async fn what_ended_well_before_all_is_let_go_of_is_not_lost() {
        let mut beside = Beside::default();
        begin(&mut beside, 1, Box::pin(async { Ok(told(1)) }));
        begin(&mut beside, 2, Box::pin(async { Err(Trouble::Cut("the channel was cut".to_owned())) }));
        begin(&mut beside, 3, Box::pin(async { Ok(told(3)) }));
        begin(&mut beside, 4, Box::pin(std::future::pending()));
        begin(&mut beside, 5, Box::pin(async { Ok(told(5)) }));
        let ended = |beside: &Beside| beside.busy.values().filter(|busy| busy.task.is_finished()).count();
        while ended(&beside) < 4 {
            tokio::task::yield_now().await;
        }
        // What one did that was let go of before is asked again.
        beside.drop_one(3);
        let mut kept = beside.let_go();
        kept.sort_by_key(|body| format!("{body:?}"));
        assert_eq!(kept, [told(1), told(5)].concat());
        assert!(beside.busy.is_empty() && beside.tasks.is_empty());
    }
}
