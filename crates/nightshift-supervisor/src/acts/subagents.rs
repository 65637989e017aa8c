//! What starting and ending subagents does: definitions are read from the host's copy of the repository, working trees are made
//! and brought home in the sandbox.

use nightshift_agent::prompt::{GuidanceFile, SubagentBriefing, subagent_message, subagent_system};
use nightshift_agent::subagents::{Definition, Grant, Granted, Isolation};
use std::collections::BTreeMap;

use nightshift_agent::{McpTools, SpawnRequest};
use nightshift_channel::{JobId, Signal};
use nightshift_protocol::{
    EventBody, ResultPart, StepId, SubagentStart, SubagentWork, ToolCall, ToolOutcome, WorkingTree,
};

use super::{Acts, Trouble, Work};
use crate::delivery;
use crate::models;
use crate::progress::Ended;
use crate::progress::subagents::{Subagent, cut_off, recorded, report_words};
use crate::repository;
use crate::supervisor::dearest;
use crate::tools::StepEnd;

/// Model calls of a subagent whose definition names no number.
const DEFAULT_TURNS: u32 = 100;

/// The name of the agent that is built in.
const BUILT_IN: &str = "general";

/// Who may be started, and by which rules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Roster {
    /// With the file that each is in.
    pub(crate) definitions: Vec<(String, Definition)>,
    /// Files that define nobody, each with what is wrong with it.
    pub(crate) unusable: Vec<String>,
    pub(crate) rules: Vec<String>,
}

/// A subagent that is to be started, with what is known of the run.
pub(crate) struct Spawn {
    pub(crate) work: Work,
    pub(crate) number: u32,
    /// Why none may be started now.
    pub(crate) full: Option<String>,
    pub(crate) step: StepId,
    pub(crate) call: ToolCall,
    pub(crate) request: SpawnRequest,
    /// The tools of the repository's servers that the run has.
    pub(crate) mcp: McpTools,
}

mod found;
mod skills;

pub(crate) use found::agents;
use found::{found, guidance_rules, told_apart};

/// The smaller of what was asked for and what a definition allows, where either says something.
fn smaller<T: Ord>(asked: Option<T>, defined: Option<T>) -> Option<T> {
    asked.into_iter().chain(defined).min()
}

impl Acts {
    /// The definitions and rules of the task's repository, as they are at its base commit (what is in the sandbox, an agent could
    /// change), and the person's, as they are now.
    pub(crate) async fn roster(&self) -> Result<Roster, Trouble> {
        let repository =
            delivery::repository_of(&self.shared.forge, &self.repository).map_err(Trouble::Fail)?;
        let mut files = found(&repository, &self.base).await;
        files.extend(self.shared.settings.own_agents().await);
        let (definitions, unusable) = told_apart(files);
        let mut all = self.shared.settings.routing.clone();
        all.extend(guidance_rules(&repository, &self.base).await);
        Ok(Roster { definitions, unusable, rules: all })
    }

    /// Starts a subagent, or answers why not. A working tree may be made twice: nobody has worked in it yet.
    pub(crate) async fn begin_subagent(&self, spawn: Spawn) -> Result<Vec<EventBody>, Trouble> {
        let Spawn { work: Work { task, branch, sandbox }, number, full, step, call, request, mcp } = spawn;
        let intended = EventBody::StepIntended { step, call: call.clone(), write: None };
        let refused = |why: String| Ok(vec![intended.clone(), answered(step, &call, &StepEnd::failed(why))]);
        if let Some(why) = full {
            return refused(why);
        }
        let roster = self.roster().await?;
        let named = request.agent.as_deref().filter(|name| *name != BUILT_IN || roster.has(BUILT_IN));
        let found =
            named.map(|name| roster.definitions.iter().find(|(_, definition)| definition.name == name));
        let (file, definition) = match found {
            Some(None) => return refused(roster.has_no_such_agent()),
            Some(Some((file, definition))) => (Some(file.clone()), definition.clone()),
            None => (None, Definition { name: BUILT_IN.to_owned(), ..Definition::default() }),
        };
        let rule = match request.rule {
            None => None,
            Some(number) => {
                match usize::try_from(number).ok().and_then(|number| roster.rules.get(number - 1)) {
                    Some(rule) => Some(rule.clone()),
                    None => {
                        return refused(format!(
                            "Not started: there is no routing rule {number}; there are {}.",
                            roster.rules.len()
                        ));
                    }
                }
            }
        };
        let mut notes = Vec::new();
        let background = definition.background || request.background.unwrap_or(false);
        let mut grant = Grant::of(&definition);
        if background {
            grant = grant.without_screen();
        }
        let (model, price) = self.model_for(&definition, &task.model, &mut notes);
        let max_cents = smaller(request.max_cents, definition.max_cents);
        if let (Some(cents), None) = (max_cents, price) {
            return refused(format!(
                "Not started: it may cost {cents} US cents, and the price of {model} is not known here, so that could not be held."
            ));
        }
        let name = format!("{}-{number}", definition.name);
        let desk = self.desk(sandbox.as_ref()).await?;
        let folder = repository::folder(desk.machine.home(), &task.repository);
        let own_tree = definition.isolation == Isolation::Worktree || background && grant.has(Granted::Edit);
        let working_tree = own_tree.then(|| WorkingTree {
            folder: format!("{}/subagents/{name}", desk.machine.home()),
            branch: format!("nightshift-subagent/{name}"),
        });
        if let Some(tree) = &working_tree {
            let made = repository::add_working_tree(&desk.channel, &self.run, &folder, tree).await;
            match made {
                Ok(()) => {}
                Err(repository::TransferError::Guest { said, .. }) => {
                    return refused(format!("Not started: its working tree could not be made. {said}"));
                }
                Err(error) => return Err(error.into()),
            }
        }
        let mut run = self.prompt_facts(&desk, folder, &task, &branch).await?;
        run.guidance.clear();
        let skills = self.skills_of(&definition, &mut notes).await?;
        let briefing = SubagentBriefing {
            run,
            skills,
            name: name.clone(),
            task: request.task,
            definition: file.clone().map(|path| GuidanceFile { path, text: definition.prompt.clone() }),
            grant,
            background,
            working_tree: working_tree.clone(),
        };
        let mcp_tools = mcp.granted(&definition);
        for server in mcp.missing(&definition) {
            let server: String =
                server.chars().filter(|character| !character.is_control()).take(80).collect();
            notes.push(format!("its definition names the server {server}, which does not run here."));
        }
        let context_tokens = if model == task.model { None } else { Some(self.window_of(&model).await) };
        let most = definition.max_turns.unwrap_or(DEFAULT_TURNS);
        let start = SubagentStart {
            number,
            name,
            agent: definition.name,
            definition: file,
            step,
            title: request.title,
            rule,
            model,
            input_price: price.map(|price| price.input),
            output_price: price.map(|price| price.output),
            context_tokens,
            tools: recorded(grant).into_iter().chain(mcp_tools).collect(),
            background,
            max_turns: request.max_turns.map_or(most, |asked| asked.min(most)),
            max_tokens: smaller(request.max_tokens, definition.max_tokens),
            max_cents,
            max_minutes: smaller(request.max_minutes, definition.max_minutes),
            working_tree,
            notes,
        };
        let mut said = format!("{} works in the background. Its report comes when it is done.", start.name);
        for note in &start.notes {
            said += &format!("\n(Note from Nightshift: {note})");
        }
        let (system, message) = (subagent_system(&briefing), subagent_message(&briefing));
        let mut bodies = vec![intended, EventBody::SubagentStarted { subagent: start, system, message }];
        if background {
            bodies.push(answered(step, &call, &StepEnd::done(said)));
        }
        Ok(bodies)
    }

    /// The model that a definition names, if it is one whose price is known, else the task's.
    fn model_for(
        &self,
        definition: &Definition,
        of_task: &str,
        notes: &mut Vec<String>,
    ) -> (String, Option<nightshift_agent::CallPrice>) {
        let price = |model: &str| self.shared.model.price(model).map(dearest);
        let names = &self.shared.settings.model_names;
        let named = definition.model.as_deref().unwrap_or(INHERIT);
        match meant(named, of_task, names, |model| price(model).is_some()) {
            Some(model) => {
                let price = price(&model);
                (model, price)
            }
            None => {
                let named: String =
                    named.chars().filter(|character| !character.is_control()).take(80).collect();
                notes.push(format!(
                    "its definition names the model {named}, whose price is not known here, so it has {of_task}."
                ));
                (of_task.to_owned(), price(of_task))
            }
        }
    }

    /// Tokens of a model's window that may be used. A provider that does not tell them is no reason not to begin.
    async fn window_of(&self, model: &str) -> u64 {
        let told = models::check(&self.shared, model).await.ok().and_then(|facts| facts.max_input_tokens);
        models::window(told, self.shared.settings.context_tokens)
    }

    /// Ends what a subagent left running, brings its commits onto the run's branch where they fit, and notes its report. All of it
    /// may be done twice.
    pub(crate) async fn end_subagent(
        &self,
        work: Work,
        subagent: Subagent,
        commands: Vec<JobId>,
        ended: Ended,
        call: Option<String>,
    ) -> Result<Vec<EventBody>, Trouble> {
        let Work { task, branch, sandbox } = work;
        let desk = self.desk(sandbox.as_ref()).await?;
        for command in &commands {
            // One that has ended by itself is no trouble.
            let _ended = desk.channel.kill(command, Signal::Kill).await;
        }
        let Subagent { start, open_step, .. } = subagent;
        let brought = match &start.working_tree {
            None => None,
            Some(tree) => {
                let folder = repository::folder(desk.machine.home(), &task.repository);
                match repository::bring_home(&desk.channel, &self.run, &folder, &branch, tree, &start.title)
                    .await
                {
                    Ok(brought) => Some(brought),
                    Err(repository::TransferError::Guest { said, .. }) => {
                        Some(SubagentWork::Apart { commits: 0, why: said })
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        };
        let Ended { outcome, report } = ended;
        let mut bodies: Vec<EventBody> = open_step.as_ref().map(cut_off).into_iter().collect();
        let answer = StepEnd::done(report_words(&start, &outcome, &report, brought.as_ref()));
        bodies.push(EventBody::SubagentFinished { number: start.number, outcome, report, work: brought });
        if let Some(call) = call {
            bodies.push(finished(start.step, call, &answer));
        }
        Ok(bodies)
    }
}

/// The name of a model that means that of the agent which starts it.
const INHERIT: &str = "inherit";

/// The model that a definition's name of one means: as the person says, as it is, or the newest of a family, of the provider
/// that the task's model is of where that has it. `None` where its price is not known: a budget could not hold it.
fn meant(
    named: &str,
    of_task: &str,
    names: &BTreeMap<String, String>,
    has_price: impl Fn(&str) -> bool,
) -> Option<String> {
    let named = names.get(named).map_or(named, String::as_str);
    if named == INHERIT || named == of_task {
        return Some(of_task.to_owned());
    }
    let newest = nightshift_model::newest_called(named);
    let beside =
        of_task.rsplit_once('/').zip(newest).map(|((provider, _), newest)| format!("{provider}/{newest}"));
    let candidates = [Some(named.to_owned()), beside, newest.map(str::to_owned)];
    candidates.into_iter().flatten().find(|model| has_price(model))
}

impl Roster {
    fn has(&self, name: &str) -> bool {
        self.definitions.iter().any(|(_, definition)| definition.name == name)
    }

    /// The answer to who names an agent that is not defined.
    fn has_no_such_agent(&self) -> String {
        let names: Vec<&str> =
            self.definitions.iter().map(|(_, definition)| definition.name.as_str()).collect();
        let known = if names.is_empty() { "none are defined".to_owned() } else { names.join(", ") };
        let mut text = format!(
            "Not started: there is no such agent. Defined: {known}. Without agent a general one is started."
        );
        if !self.unusable.is_empty() {
            text += "\nThese files define nobody, for what is wrong with them:\n";
            text += &self.unusable.join("\n");
        }
        text
    }
}

fn answered(step: StepId, call: &ToolCall, end: &StepEnd) -> EventBody {
    finished(step, call.id.clone(), end)
}

fn finished(step: StepId, call: String, end: &StepEnd) -> EventBody {
    let StepEnd { outcome, content, .. } = end;
    let (outcome, content): (ToolOutcome, Vec<ResultPart>) = (*outcome, content.clone());
    EventBody::StepFinished {
        step,
        call,
        outcome,
        content,
        output: None,
        exit_code: None,
        took_ms: 0,
        reconciled: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meant_by(named: &str, of_task: &str) -> Option<String> {
        let names = BTreeMap::from([
            ("sonnet".to_owned(), "gpt-6.1-sol".to_owned()),
            ("quick".to_owned(), "haiku".to_owned()),
            ("same".to_owned(), "inherit".to_owned()),
        ]);
        meant(named, of_task, &names, |model| {
            ["claude-opus-5-5", "claude-haiku-5-5", "gateway/claude-haiku-5-5", "gpt-6.1-sol"]
                .contains(&model)
        })
    }

    #[test]
    fn a_model_is_meant_by_its_name_its_family_or_as_the_person_says() {
        for (named, of_task, model) in [
            ("inherit", "m", Some("m")),
            ("m", "m", Some("m")),
            ("same", "m", Some("m")),
            ("claude-opus-5-5", "m", Some("claude-opus-5-5")),
            ("opus", "m", Some("claude-opus-5-5")),
            ("sonnet", "m", Some("gpt-6.1-sol")),
            ("quick", "m", Some("claude-haiku-5-5")),
            ("fable", "m", None),
            ("llama", "m", None),
        ] {
            assert_eq!(meant_by(named, of_task).as_deref(), model, "{named}");
        }
    }

    #[test]
    fn who_names_an_agent_that_is_not_defined_hears_which_are_and_what_is_wrong_with_other_files() {
        let none = "Not started: there is no such agent. Defined: none are defined. Without agent a general one is started.";
        assert_eq!(Roster::default().has_no_such_agent(), none);
        let unusable = vec!["a.md:4:1: error: there is no field tols; tools is meant?".to_owned()];
        let definition = Definition { name: "reviewer".to_owned(), ..Definition::default() };
        let definitions = vec![("b.md".to_owned(), definition)];
        let roster = Roster { definitions, unusable, rules: Vec::new() };
        assert_eq!(
            roster.has_no_such_agent(),
            "Not started: there is no such agent. Defined: reviewer. Without agent a general one is started.\n\
             These files define nobody, for what is wrong with them:\n\
             a.md:4:1: error: there is no field tols; tools is meant?"
        );
    }

    #[test]
    fn a_family_is_taken_of_the_provider_that_the_task_uses_where_that_has_it() {
        assert_eq!(meant_by("haiku", "gateway/x").as_deref(), Some("gateway/claude-haiku-5-5"));
        assert_eq!(meant_by("opus", "gateway/x").as_deref(), Some("claude-opus-5-5"));
    }
}
