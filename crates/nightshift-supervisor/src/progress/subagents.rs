//! The subagents that the run's agent started, each a machine of its own beside it.
//!
//! ```text
//!   spawn ─▶ subagentStarted ─▶ its turns and steps, beside the agent's ─▶ it reports, or gives up ─▶ subagentFinished
//!                    └─ in the foreground the agent waits in that step; in the background it goes on, and is told
//! ```
//!
//! What a subagent does by itself (model calls, tools) is begun beside what the agent does: [`RunProgress::next_beside`]. What
//! concerns the run (a pause, a question, its end) is decided with the agent's own next action: its work comes back while
//! nothing else touches the agent's working tree.

use nightshift_agent::prompt::REPORT_LIMIT;
use nightshift_agent::subagents::{Grant, Granted};
use nightshift_agent::{
    AgentEvent, AgentMachine, CallPrice, Effect, Share, SubagentFacts, SubagentsRequest, ToolRequest,
    balance, shorten,
};
use nightshift_protocol::{
    EventBody, IntendedWrite, StepId, SubagentOutcome, SubagentStart, SubagentWork, ToolOutcome, Usage,
    subagent_of,
};

use super::{Action, Intention, OpenStep, RunProgress};
use crate::tools::StepEnd;

/// Subagents that may run at once in one sandbox.
pub(crate) const AT_ONCE: usize = 6;

/// Millionths of a US dollar in a cent.
const MICRODOLLARS_A_CENT: u64 = 10_000;

const SECONDS_A_MINUTE: u64 = 60;

/// Subagents that a run may start, all together.
pub(crate) const MOST: u32 = 1_000;

/// The subagents of a run.
#[derive(Debug, Clone, Default)]
pub struct Subagents {
    /// How many were started.
    started: u32,
    running: Vec<Subagent>,
    /// Whether the agent was told that others use its task's limits too.
    shares: bool,
}

/// A subagent that runs.
#[derive(Debug, Clone)]
pub(crate) struct Subagent {
    pub(crate) start: SubagentStart,
    pub(crate) agent: AgentMachine,
    pub(crate) open_turn: Option<u32>,
    pub(crate) open_step: Option<OpenStep>,
    pub(crate) writes: Vec<IntendedWrite>,
}

/// How a subagent ended, before what it left is cleared away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) outcome: SubagentOutcome,
    pub(crate) report: String,
}

impl Subagents {
    /// The number of the next one.
    pub(crate) fn next_number(&self) -> u32 {
        self.started + 1
    }

    /// Why no further one may be started now, if none may.
    pub(crate) fn full(&self) -> Option<String> {
        if self.running.len() >= AT_ONCE {
            return Some(format!(
                "{AT_ONCE} subagents work already, as many as may at once. Wait for one, or stop one."
            ));
        }
        (self.started >= MOST)
            .then(|| format!("{MOST} subagents were started in this run, as many as may be."))
    }

    pub(crate) fn of_turn(&self, turn: u32) -> Option<&Subagent> {
        let number = subagent_of(turn)?;
        self.numbered(number)
    }

    pub(crate) fn numbered(&self, number: u32) -> Option<&Subagent> {
        self.running.iter().find(|subagent| subagent.start.number == number)
    }

    fn of_turn_mut(&mut self, turn: u32) -> Option<&mut Subagent> {
        let number = subagent_of(turn)?;
        self.numbered_mut(number)
    }

    fn numbered_mut(&mut self, number: u32) -> Option<&mut Subagent> {
        self.running.iter_mut().find(|subagent| subagent.start.number == number)
    }

    fn named(&self, name: &str) -> Option<&Subagent> {
        self.running.iter().find(|subagent| subagent.start.name == name)
    }

    /// Whether none is in the midst of a step.
    pub(super) fn are_between_steps(&self) -> bool {
        self.running.iter().all(|subagent| subagent.open_step.is_none())
    }

    /// The steps that they are in the midst of.
    pub(super) fn open_steps(&self) -> impl Iterator<Item = &OpenStep> {
        self.running.iter().filter_map(|subagent| subagent.open_step.as_ref())
    }

    /// Takes what they are to be told into the model calls that they wait to make.
    pub(super) fn tell_with_next_call(&mut self) {
        self.running.iter_mut().for_each(|subagent| subagent.agent.tell_with_next_call());
    }

    /// Tells all of them something.
    pub(super) fn tell(&mut self, event: &AgentEvent) {
        for subagent in &mut self.running {
            subagent.tell(event.clone());
        }
    }

    /// Has the agent take upon itself what all that run have used: who goes back to an earlier moment keeps what was spent since.
    pub(super) fn settle(&self, agent: &mut AgentMachine) {
        for subagent in &self.running {
            agent.absorb(&subagent.agent);
        }
    }

    /// Has the agent told anew what the others use, if there are any.
    pub(super) fn share_again(&mut self) {
        self.shares = true;
    }

    /// Has all of them begin to count anew, where the run's agents have worked for `seconds`.
    pub(super) fn forget_spending(&mut self, seconds: u64) {
        self.running.iter_mut().for_each(|subagent| subagent.agent.forget_spending(seconds));
    }
}

impl Subagent {
    fn tell(&mut self, event: AgentEvent) {
        // What it wants done is read from `outstanding` when it is decided what comes next.
        self.agent.apply(event);
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&self) -> Option<Ended> {
        match self.agent.outstanding().into_iter().next()? {
            Effect::Report { text } => {
                Some(Ended { outcome: SubagentOutcome::Reported, report: shorten(&text, REPORT_LIMIT) })
            }
            Effect::GiveUp { reason } => Some(self.gave_up(reason)),
            Effect::Fail { error } => Some(self.gave_up(error.message)),
            Effect::AskModel { .. }
            | Effect::Compact { .. }
            | Effect::RunTool { .. }
            | Effect::Answer { .. }
            | Effect::AskPerson { .. }
            | Effect::Pause { .. }
            | Effect::Finish { .. }
            | Effect::AwaitSubagents
            | Effect::Judge { .. } => None,
        }
    }

    fn gave_up(&self, reason: String) -> Ended {
        let report = self.agent.last_words().unwrap_or_default();
        Ended { outcome: SubagentOutcome::GaveUp { reason }, report: shorten(&report, REPORT_LIMIT) }
    }

    /// Everything in the sandbox that it may have left running, by step.
    pub(crate) fn commands(&self) -> Vec<StepId> {
        let open = self.open_step.as_ref().map(|open| open.step);
        self.agent.background_commands().into_iter().chain(open).collect()
    }

    fn standing(&self) -> String {
        let doing = match self.agent.outstanding().into_iter().next() {
            Some(Effect::RunTool { step, call, .. }) => format!("in step {step}, {}", call.name),
            Some(Effect::AskModel { turn }) => {
                format!("thinks, call {}", turn % nightshift_protocol::TURNS_OF_SUBAGENT)
            }
            Some(Effect::Report { .. } | Effect::GiveUp { .. }) => "is done; its report follows".to_owned(),
            _ => "works".to_owned(),
        };
        let said = self
            .agent
            .last_words()
            .map(|words| format!(": {}", shorten(&words, 300).replace('\n', " ")))
            .unwrap_or_default();
        format!("{} ({}): {doing}{said}", self.start.name, self.start.title)
    }
}

impl RunProgress {
    /// Takes in what an event says of subagents. Returns whether it is dealt with.
    pub(super) fn apply_to_subagents(&mut self, body: &EventBody) -> bool {
        match body {
            EventBody::SubagentStarted { subagent, system, message } => {
                self.begin_subagent(
                    subagent,
                    AgentEvent::Started { system: system.clone(), message: message.clone() },
                );
            }
            EventBody::SubagentSaid { number, text } => {
                let Some(name) = self.subagents.numbered(*number).map(|one| one.start.name.clone()) else {
                    return true;
                };
                let text = format!("Your subagent {name} writes:\n\n{}", shorten(text, REPORT_LIMIT));
                self.tell(AgentEvent::Told { text });
            }
            EventBody::SubagentTold { number, text } => {
                let text = format!("The agent that started you writes:\n\n{text}");
                self.tell_subagent(*number, AgentEvent::Told { text });
            }
            EventBody::SubagentStopped { number } => {
                let reason = "It was stopped by the agent that started it.".to_owned();
                self.tell_subagent(*number, AgentEvent::Stopped { reason });
            }
            EventBody::SubagentFinished { number, outcome, report, work } => {
                self.end_subagent(*number, outcome, report, work.as_ref());
            }
            EventBody::TurnRequested { turn } => {
                let Some(_) = subagent_of(*turn) else { return false };
                if let Some(subagent) = self.subagents.of_turn_mut(*turn) {
                    subagent.open_turn = Some(*turn);
                }
            }
            // One that is over was absorbed: what comes late is the agent's.
            EventBody::TurnLost { turn, .. } if self.subagents.of_turn(*turn).is_none() => return false,
            EventBody::TurnLost { turn, usage, .. } => {
                self.called(*turn, *usage, AgentEvent::Lost { usage: *usage });
            }
            EventBody::TurnFinished { turn, .. } | EventBody::Compacted { turn, .. }
                if subagent_of(*turn).is_none() =>
            {
                return false;
            }
            EventBody::TurnFinished { turn, message, stop, usage, .. } => {
                let (turn, message, stop, usage) = (*turn, message.clone(), stop.clone(), *usage);
                self.called(turn, usage, AgentEvent::TurnFinished { turn, message, stop, usage });
            }
            EventBody::Compacted { turn, summary, usage, .. } => {
                let (turn, summary, usage) = (*turn, summary.clone(), *usage);
                self.called(turn, usage, AgentEvent::Compacted { turn, summary, usage });
            }
            EventBody::StepIntended { step, call, write } => {
                let Some(_) = subagent_of(step.turn) else { return false };
                if let Some(subagent) = self.subagents.of_turn_mut(step.turn) {
                    subagent.open_step = Some(OpenStep::of(*step, call, write.clone()));
                }
            }
            EventBody::StepFinished { step, call, outcome, content, exit_code, .. } => {
                let Some(_) = subagent_of(step.turn) else { return false };
                self.approvals.forget(*step);
                self.keep_screenshots(content);
                let Some(subagent) = self.subagents.of_turn_mut(step.turn) else { return true };
                if let Some(open) = subagent.open_step.take() {
                    open.close(*outcome, &mut subagent.writes);
                }
                subagent.tell(AgentEvent::StepFinished {
                    step: *step,
                    call: call.clone(),
                    outcome: *outcome,
                    content: content.clone(),
                    exit_code: *exit_code,
                });
            }
            EventBody::Interrupted => {
                self.interrupt_subagents();
                return false;
            }
            EventBody::LimitsRaised { limits } => {
                self.tell_subagents_in_turn(&AgentEvent::LimitsRaised { limits: *limits });
                return false;
            }
            _ => return false,
        }
        true
    }

    fn begin_subagent(&mut self, start: &SubagentStart, started: AgentEvent) {
        let price = match (start.input_price, start.output_price) {
            (Some(input), Some(output)) => Some(CallPrice { input, output }),
            _ => None,
        };
        self.subagents.started = self.subagents.started.max(start.number);
        let facts = SubagentFacts {
            number: start.number,
            grant: granted(&start.tools),
            max_turns: start.max_turns,
            share: Share {
                tokens: start.max_tokens,
                cost_microdollars: start.max_cents.map(|cents| u64::from(cents) * MICRODOLLARS_A_CENT),
                seconds: start.max_minutes.map(|minutes| u64::from(minutes) * SECONDS_A_MINUTE),
            },
            price,
            window: start.context_tokens,
        };
        let mut agent = self.agent.subagent(facts);
        agent.share_mcp(&self.agent, &start.tools);
        agent.apply(started);
        self.subagents.running.retain(|running| running.start.number != start.number);
        let (open_turn, open_step) = (None, None);
        self.subagents.running.push(Subagent {
            start: start.clone(),
            agent,
            open_turn,
            open_step,
            writes: Vec::new(),
        });
        if start.background {
            self.tell(AgentEvent::SubagentBegan { name: start.name.clone() });
        }
    }

    fn end_subagent(
        &mut self,
        number: u32,
        outcome: &SubagentOutcome,
        report: &str,
        work: Option<&SubagentWork>,
    ) {
        let Some(place) = self.subagents.running.iter().position(|one| one.start.number == number) else {
            return;
        };
        let subagent = self.subagents.running.remove(place);
        self.agent.absorb(&subagent.agent);
        if subagent.start.background {
            let report = report_words(&subagent.start, outcome, report, work);
            self.tell(AgentEvent::SubagentEnded { name: subagent.start.name, report });
        }
    }

    /// Takes in the answer of a subagent's model.
    fn called(&mut self, turn: u32, usage: Usage, event: AgentEvent) {
        self.usage += usage;
        if let Some(subagent) = self.subagents.of_turn_mut(turn) {
            if matches!(event, AgentEvent::TurnFinished { .. }) {
                subagent.open_turn = None;
            }
            subagent.tell(event);
        }
    }

    fn tell_subagent(&mut self, number: u32, event: AgentEvent) {
        if let Some(subagent) = self.subagents.numbered_mut(number) {
            subagent.tell(event);
        }
    }

    /// A person interrupts what is under way: what all of them do now, and the one that the agent waits for as a whole.
    fn interrupt_subagents(&mut self) {
        for subagent in &mut self.subagents.running {
            if let Some(open) = &mut subagent.open_step {
                open.interrupted = true;
            }
            subagent.tell(if subagent.start.background {
                AgentEvent::Interrupted
            } else {
                AgentEvent::Stopped { reason: "A person interrupted it.".to_owned() }
            });
        }
    }

    /// Tells the agent and its subagents, one after another: what one begins thereby, those behind it have to leave room for.
    pub(super) fn tell_in_turn(&mut self, event: &AgentEvent) {
        self.tell_subagents_in_turn(event);
        self.tell(event.clone());
    }

    fn tell_subagents_in_turn(&mut self, event: &AgentEvent) {
        for place in 0..self.subagents.running.len() {
            self.subagents.running[place].tell(event.clone());
            self.balance();
        }
    }

    /// Tells all machines of the run what the others use of its limits.
    pub(super) fn balance(&mut self) {
        let shares = !self.subagents.running.is_empty();
        if !shares && !std::mem::take(&mut self.subagents.shares) {
            return;
        }
        self.subagents.shares = shares;
        let others = self.subagents.running.iter_mut().map(|subagent| &mut subagent.agent);
        let mut machines: Vec<&mut AgentMachine> = std::iter::once(&mut self.agent).chain(others).collect();
        balance(&mut machines);
    }

    /// The step that was intended and has no outcome, if it is this one.
    pub(crate) fn open_step_of(&self, step: StepId) -> Option<&OpenStep> {
        let open = match self.subagents.of_turn(step.turn) {
            Some(subagent) => subagent.open_step.as_ref(),
            None => self.open_step.as_ref(),
        };
        open.filter(|open| open.step == step)
    }

    /// The machine whose call number `turn` is.
    pub(crate) fn machine(&self, turn: u32) -> &AgentMachine {
        self.subagents.of_turn(turn).map_or(&self.agent, |subagent| &subagent.agent)
    }

    /// The model that is asked in call number `turn`.
    pub(crate) fn model(&self, turn: u32) -> &str {
        self.subagents.of_turn(turn).map_or(&self.task.model, |subagent| &subagent.start.model)
    }

    /// Whether somebody does something that can be interrupted.
    pub(crate) fn is_under_way(&self) -> bool {
        let open = |one: &Subagent| one.open_step.is_some() || one.open_turn.is_some();
        self.open_step.is_some() || self.open_turn.is_some() || self.subagents.running.iter().any(open)
    }

    /// What is to be done about subagents before the agent's own next action, if anything is.
    pub(super) fn next_for_subagents(&self) -> Option<Action> {
        for subagent in &self.subagents.running {
            match subagent.agent.outstanding().into_iter().next() {
                Some(Effect::Pause { reason }) => return Some(Action::Pause(reason)),
                Some(Effect::RunTool { step, call, request }) => {
                    if let ask @ Action::Ask { .. } = self.run_if_allowed(step, call, request) {
                        return Some(ask);
                    }
                }
                Some(_) | None => {}
            }
        }
        let agent_is_free =
            |start: &SubagentStart| self.open_step.as_ref().is_none_or(|open| open.step == start.step);
        let ended =
            self.subagents.running.iter().find(|one| agent_is_free(&one.start) && one.ended().is_some());
        ended.and_then(|one| Some(Action::EndSubagent { number: one.start.number, ended: one.ended()? }))
    }

    /// What is to be done about the agent's wish to start one.
    pub(super) fn next_for_spawn(&self, step: StepId) -> Option<Action> {
        self.subagents.running.iter().any(|one| one.start.step == step).then_some(Action::AwaitSubagents)
    }

    /// What the subagents want to do by themselves, each at most one thing. Nothing is begun that the run as a whole would not
    /// begin.
    pub(crate) fn next_beside(&self) -> Vec<Action> {
        let works = matches!(self.state, nightshift_protocol::RunState::Working) && !self.taken_over;
        if !works || self.subagents.running.is_empty() || self.next_for_checkpoints().is_some() {
            return Vec::new();
        }
        let action = |subagent: &Subagent| match subagent.agent.outstanding().into_iter().next()? {
            Effect::AskModel { turn } => {
                let open = subagent.open_turn == Some(turn);
                Some(Action::AskModel {
                    turn,
                    intention: if open { Intention::Open(None) } else { Intention::New },
                })
            }
            Effect::Compact { turn } => Some(Action::Compact { turn }),
            Effect::RunTool { step, call, request } => {
                let action = self.run_if_allowed(step, call, request);
                (!matches!(action, Action::Ask { .. })).then_some(action)
            }
            Effect::Answer { step, call, outcome, content } => {
                Some(Action::AnswerStep { step, call, outcome, content })
            }
            Effect::AskPerson { .. }
            | Effect::Pause { .. }
            | Effect::Finish { .. }
            | Effect::Judge { .. }
            | Effect::AwaitSubagents
            | Effect::Report { .. }
            | Effect::GiveUp { .. }
            | Effect::Fail { .. } => None,
        };
        self.subagents.running.iter().filter_map(action).collect()
    }

    /// Answers a tool that has to do with subagents alone, which touches nothing but the run's own records; `None` for all others.
    pub(crate) fn answer_of_subagents(&self, step: StepId, request: &ToolRequest) -> Option<StepEnd> {
        let unknown = |name: &str| {
            let names: Vec<&str> = self.subagents.running.iter().map(|one| one.start.name.as_str()).collect();
            let running = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            StepEnd::failed(format!("No subagent {} works now; those that do: {running}.", shorten(name, 80)))
        };
        Some(match request {
            ToolRequest::Subagents(SubagentsRequest::List) if self.subagents.running.is_empty() => {
                StepEnd::done("No subagent works now.")
            }
            ToolRequest::Subagents(SubagentsRequest::List) => StepEnd::done(
                self.subagents.running.iter().map(Subagent::standing).collect::<Vec<_>>().join("\n"),
            ),
            ToolRequest::Subagents(SubagentsRequest::Message { name, text }) => match self
                .subagents
                .named(name)
            {
                Some(subagent) => {
                    let mut end = StepEnd::done(format!("{name} reads it before its next call."));
                    end.notes
                        .push(EventBody::SubagentTold { number: subagent.start.number, text: text.clone() });
                    end
                }
                None => unknown(name),
            },
            ToolRequest::Subagents(SubagentsRequest::Stop { name }) => match self.subagents.named(name) {
                Some(subagent) => {
                    let mut end = StepEnd::done(format!("{name} ends; what it did so far follows."));
                    end.notes.push(EventBody::SubagentStopped { number: subagent.start.number });
                    end
                }
                None => unknown(name),
            },
            ToolRequest::Tell { text } => {
                let mut end = StepEnd::done("It is told.");
                let number = subagent_of(step.turn)?;
                end.notes.push(EventBody::SubagentSaid { number, text: text.clone() });
                end
            }
            _ => return None,
        })
    }
}

/// What the agent reads when a subagent of it has ended.
pub(crate) fn report_words(
    start: &SubagentStart,
    outcome: &SubagentOutcome,
    report: &str,
    work: Option<&SubagentWork>,
) -> String {
    let name = &start.name;
    let mut text = match outcome {
        SubagentOutcome::Reported => format!("Your subagent {name} reports:\n\n{report}"),
        SubagentOutcome::GaveUp { reason } if report.is_empty() => {
            format!("Your subagent {name} ended without a report. {reason}")
        }
        SubagentOutcome::GaveUp { reason } => {
            format!("Your subagent {name} ended without a report. {reason} Its last words:\n\n{report}")
        }
    };
    let branch = start.working_tree.as_ref().map(|tree| tree.branch.as_str()).unwrap_or_default();
    match work {
        None => {}
        Some(SubagentWork::Nothing) => text += "\n\n(Note from Nightshift: it committed nothing.)",
        Some(SubagentWork::Joined { commits: 1 }) => {
            text += "\n\n(Note from Nightshift: its commit is on your branch now.)"
        }
        Some(SubagentWork::Joined { commits }) => {
            text += &format!("\n\n(Note from Nightshift: its {commits} commits are on your branch now.)");
        }
        Some(SubagentWork::Apart { commits, why }) => {
            let commits = match commits {
                1 => "its commit does".to_owned(),
                more => format!("its {more} commits do"),
            };
            text += &format!(
                "\n\n(Note from Nightshift: {commits} not fit your branch as it is now. What it did is on the branch {branch}; bring \
                 over what you want of it, for example with git cherry-pick, and resolve the conflicts. Git said:\n{why})"
            );
        }
    }
    // Who goes on meanwhile was told when it started.
    for note in start.notes.iter().filter(|_| !start.background) {
        text += &format!("\n\n(Note from Nightshift: {note})");
    }
    text
}

/// The tools by their recorded names.
fn granted(tools: &[String]) -> Grant {
    tools.iter().fold(Grant::default(), |grant, tool| match tool.as_str() {
        "shell" => grant.with(Granted::Shell),
        "view" => grant.with(Granted::View),
        "edit" => grant.with(Granted::View).with(Granted::Edit),
        "computer" => grant.with(Granted::Computer),
        "browser" => grant.with(Granted::Browser),
        _ => grant,
    })
}

/// The names under which tools are recorded.
pub(crate) fn recorded(grant: Grant) -> Vec<String> {
    let all = [
        ("shell", Granted::Shell),
        ("edit", Granted::Edit),
        ("view", Granted::View),
        ("computer", Granted::Computer),
        ("browser", Granted::Browser),
    ];
    let viewed = |name: &str| name == "view" && grant.has(Granted::Edit);
    let named = all.into_iter().filter(|(name, tool)| grant.has(*tool) && !viewed(name));
    named.map(|(name, _)| name.to_owned()).collect()
}

/// A step that nobody will answer any more, because who took it has ended.
pub(crate) fn cut_off(open: &OpenStep) -> EventBody {
    let end = StepEnd::failed("(ended with the subagent)");
    EventBody::StepFinished {
        step: open.step,
        call: open.call.clone(),
        outcome: ToolOutcome::Failed,
        content: end.content,
        output: None,
        exit_code: None,
        took_ms: 0,
        reconciled: None,
    }
}

#[cfg(test)]
mod tests;
