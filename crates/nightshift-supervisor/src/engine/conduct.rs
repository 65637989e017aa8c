//! Conducts one turn of a foreign agent: starts its program, speaks the protocol with it, and tells what it does.

use std::sync::Arc;
use std::time::Duration;

use nightshift_agent::prompt::EnginePrompts;
use nightshift_channel::{PROXY_PORT, Signal, StartJobError};
use nightshift_egress::Egress;
use nightshift_engine::{
    Ending, Engine, EngineTurn, Input, Launch, Output, Stop, Tools, Trouble as EngineTrouble, TurnSettings,
};
use nightshift_model::Model;
use nightshift_protocol::{
    Approval, AssistantBlock, Entropy, ErrorCode, EventBody, LiveBody, Message, PauseReason, Plan,
    StopReason, ToolCall, Usage, UserError,
};
use serde_json::{Value, json};
use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;

use super::gateway::{Gateway, GatewayParts, TOOLS};
use super::link::{Link, Teller};
use super::program::{Heard, MOST_OUTPUT, Program, Start};
use super::tools::{Deferred, SandboxTools, ToolParts};
use crate::acts::Trouble;
use crate::approval::needed;
use crate::tools::Bench;

/// How long a program may take to open its session; where QEMU translates instructions, node needs a minute to start.
const OPENS_WITHIN: Duration = Duration::from_secs(600);

/// How long an agent may go on after it called what ends its turn, and after it was told to stop.
const LEAVES_WITHIN: Duration = Duration::from_secs(120);
const STOPS_WITHIN: Duration = Duration::from_secs(20);

/// How long a program may say nothing at all: as long as a task may take that says nothing else.
const SPEAKS_WITHIN: Duration = Duration::from_secs(7_200);

/// How long a program may take to read a message.
const READS_WITHIN: Duration = Duration::from_secs(120);

/// How often it is looked whether a limit is reached.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Plans of one turn that are written down.
const MOST_PLANS: u32 = 200;

/// What a turn of a foreign agent is about.
pub(crate) struct EngineWork {
    pub(crate) turn: u32,
    /// The engine, by the name the task asked for.
    pub(crate) name: String,
    pub(crate) engine: Engine,
    /// The model, by the provider's name of it.
    pub(crate) model: Option<String>,
    pub(crate) session: Option<String>,
    pub(crate) prompts: EnginePrompts,
    /// The ends of what an earlier try left open.
    pub(crate) left: Vec<EventBody>,
    /// Steps that it took.
    pub(crate) steps: u32,
    /// Model calls that were intended before, which the next ones are numbered behind.
    pub(crate) calls: u32,
    pub(crate) approval: Approval,
}

/// What it is conducted with.
pub(crate) struct Conduct {
    pub(crate) bench: Bench,
    pub(crate) screen: (u32, u32),
    pub(crate) egress: Egress,
    pub(crate) models: Arc<dyn Model>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) link: Link,
    pub(crate) teller: Teller,
    /// Held by the program that runs.
    pub(crate) alone: OwnedMutexGuard<()>,
}

/// The proxy answers for the turn, until this is dropped.
struct Opened {
    egress: Egress,
    tools: SandboxTools,
    link: Link,
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.egress.set_origin(None);
        self.tools.end();
        self.link.end();
    }
}

/// Conducts a turn to its end. Dropped, the agent is told to stop.
pub(crate) async fn conduct(work: EngineWork, with: Conduct) -> Result<Vec<EventBody>, Trouble> {
    let EngineWork { turn, name, engine, model, session, prompts, left, steps, calls, approval } = work;
    let Conduct { bench, screen, egress, models, entropy, link, teller, alone } = with;
    let gone = |_| Trouble::Cut("the run's driver is gone".to_owned());
    link.begin();
    for body in &left {
        if let EventBody::StepFinished { step, .. } = body {
            // A command that an earlier try began has nobody who waits for it.
            let _mostly_gone = bench.desk.channel.kill(&bench.job(*step), Signal::Terminate).await;
        }
    }
    if !left.is_empty() {
        teller.write(left).await.map_err(gone)?;
    }
    let pass = pass(entropy.as_ref());
    let deferred = Arc::new(Deferred::default());
    let tools = SandboxTools::new(ToolParts {
        turn,
        bench: bench.clone(),
        screen,
        approval: approval.clone(),
        link: link.clone(),
        teller: teller.clone(),
        deferred: Arc::clone(&deferred),
        steps,
    });
    let gateway = Gateway::new(GatewayParts {
        turn,
        provider: engine.provider.clone(),
        pass: pass.clone(),
        calls,
        model: models,
        link: link.clone(),
        teller: teller.clone(),
        tools: Arc::new(tools.clone()),
    });
    egress.set_origin(Some(Arc::new(gateway)));
    let _opened = Opened { egress, tools, link: link.clone() };
    let address = format!("http://127.0.0.1:{PROXY_PORT}");
    let url = format!("{address}/{}", engine.provider);
    let launch = Launch { url: &url, pass: &pass, model: model.as_deref() };
    let start = Start {
        run: &bench.run,
        turn,
        folder: &bench.folder,
        argv: engine.argv(launch),
        variables: engine.variables(launch),
    };
    let program = match Program::start(&bench.desk.channel, start, alone).await {
        Ok(program) => program,
        Err(StartJobError::Channel(error)) => return Err(Trouble::Cut(error.to_string())),
        Err(refused) => {
            let trouble = EngineTrouble::Refused { method: "its start", message: refused.to_string() };
            return Err(Trouble::Pause(said(&name, &engine, &trouble)));
        }
    };
    let settings = TurnSettings {
        folder: bench.folder.clone(),
        session,
        going_on: prompts.going_on,
        anew: prompts.anew,
        tools: Tools { url: format!("{address}{TOOLS}"), pass },
    };
    let mut talk = Talk {
        turn,
        name: &name,
        machine: EngineTurn::new(settings),
        program,
        deferred: &deferred,
        approval: &approval,
        bench: &bench,
        teller: &teller,
        plan: Plan::default(),
        plans: 0,
    };
    let ending = talk.until_over(&link).await?;
    talk.program.end().await;
    let calls = deferred.take();
    // A limit that the next small call would not pass, and this one would have: nobody is asked again for nothing.
    if let (true, None, Some(PauseReason::Limit { limit })) = (calls.is_empty(), link.limit(), link.refused())
    {
        return Err(Trouble::Pause(UserError::new(
            ErrorCode::LimitReached,
            format!("the engine {name} was refused a model call: the task may use {limit}"),
            "`nightshift continue` with --budget, --tokens or --turns raises the limit and gives it its turn again.",
        )));
    }
    match ending {
        Ending::Stopped { stop, words } => Ok(vec![finished(turn, &name, stop, words, calls)]),
        // What it could not do for a limit is no fault of its own, and what it had handed over stands.
        Ending::Failed(_) if link.limit().is_some() || !calls.is_empty() => {
            Ok(vec![finished(turn, &name, Stop::Cancelled, String::new(), calls)])
        }
        Ending::Failed(trouble) => Err(Trouble::Pause(said(&name, &engine, &trouble))),
    }
}

/// A conversation with a program.
struct Talk<'a> {
    turn: u32,
    name: &'a str,
    machine: EngineTurn,
    program: Program,
    deferred: &'a Deferred,
    approval: &'a Approval,
    bench: &'a Bench,
    teller: &'a Teller,
    plan: Plan,
    plans: u32,
}

impl Talk<'_> {
    async fn until_over(&mut self, link: &Link) -> Result<Ending, Trouble> {
        if let Some(ending) = self.take(Input::Started).await? {
            return Ok(ending);
        }
        let opens_until = Instant::now() + OPENS_WITHIN;
        let mut heard_at = Instant::now();
        let mut look = tokio::time::interval(LOOK_EVERY);
        // When it is told to stop, and when it is taken for having stopped.
        let (mut leaves_until, mut stops_until): (Option<Instant>, Option<Instant>) = (None, None);
        loop {
            let input = tokio::select! {
                heard = self.program.hear() => match heard {
                    Heard::Lines(Ok(lines)) => {
                        heard_at = Instant::now();
                        for line in lines {
                            if let Some(ending) = self.take(Input::Line(line)).await? {
                                return Ok(ending);
                            }
                        }
                        continue;
                    }
                    Heard::Lines(Err(too_long)) => Input::Violated(too_long.to_string()),
                    Heard::Exited { code, said } => Input::Exited { code, said },
                    Heard::Cut => {
                        return Err(Trouble::Cut("the channel was cut while a foreign agent worked".to_owned()));
                    }
                },
                () = self.deferred.noted() => {
                    leaves_until = Some(Instant::now() + LEAVES_WITHIN);
                    continue;
                }
                _ = look.tick() => {
                    let now = Instant::now();
                    if stops_until.is_some_and(|until| until <= now) {
                        Input::Exited { code: None, said: String::new() }
                    } else if stops_until.is_some() {
                        continue;
                    } else if now > heard_at + SPEAKS_WITHIN {
                        Input::Violated(format!("it said nothing for {} s", SPEAKS_WITHIN.as_secs()))
                    } else if !self.machine.is_prompted() {
                        if now < opens_until {
                            continue;
                        }
                        Input::Violated(format!("it opened no session within {} s", OPENS_WITHIN.as_secs()))
                    } else if leaves_until.is_some_and(|until| until <= now)
                        || link.limit().is_some()
                        || link.refused().is_some()
                        || self.program.written() > MOST_OUTPUT
                    {
                        stops_until = Some(now + STOPS_WITHIN);
                        Input::Cancel
                    } else {
                        continue;
                    }
                }
            };
            if let Some(ending) = self.take(input).await? {
                return Ok(ending);
            }
        }
    }

    /// Takes something in and does what it leads to; the ending, when it is the end.
    async fn take(&mut self, input: Input) -> Result<Option<Ending>, Trouble> {
        let mut outputs: std::collections::VecDeque<Output> = self.machine.handle(input).into();
        while let Some(output) = outputs.pop_front() {
            match output {
                Output::Send(line) => {
                    match tokio::time::timeout(READS_WITHIN, self.program.send(&line)).await {
                        Ok(sent) => sent.map_err(|error| Trouble::Cut(error.to_string()))?,
                        Err(_) => {
                            let what = "it does not read what it is sent".to_owned();
                            return Ok(Some(Ending::Failed(EngineTrouble::Violated { what })));
                        }
                    }
                }
                Output::Opened { agent, session, resumed } => {
                    self.program.cancel = Some(cancel(&session));
                    let engine = self.name.to_owned();
                    self.tell(EventBody::EngineStarted { turn: self.turn, engine, agent, session, resumed })
                        .await?;
                }
                Output::Writing(text) => self.bench.say(LiveBody::ModelText { text }),
                Output::Said(text) => self.tell(EventBody::EngineSaid { turn: self.turn, text }).await?,
                Output::Acted(action) => {
                    self.tell(EventBody::EngineActed { turn: self.turn, action }).await?;
                }
                Output::Planned(plan) => {
                    if plan != self.plan && self.plans < MOST_PLANS {
                        self.plans += 1;
                        self.plan = plan.clone();
                        self.tell(EventBody::PlanChanged { plan }).await?;
                    }
                }
                Output::Permit { request, command } => {
                    let refused = command.filter(|command| self.needs_leave(command));
                    if let Some(command) = &refused {
                        self.deferred.ask_leave(self.turn, command);
                    }
                    let allowed = refused.is_none();
                    let answered = self.machine.handle(Input::Permitted { request, allowed });
                    // It is answered before anything that comes after it.
                    answered.into_iter().rev().for_each(|output| outputs.push_front(output));
                }
                Output::Over(ending) => return Ok(Some(ending)),
            }
        }
        Ok(None)
    }

    /// Whether a command needs a person's yes.
    fn needs_leave(&self, command: &str) -> bool {
        let mode = nightshift_agent::ShellMode::Background;
        let request = nightshift_agent::ShellRequest { command: command.to_owned(), mode };
        needed(self.approval, &nightshift_agent::ToolRequest::Shell(request)).is_some()
    }

    async fn tell(&self, body: EventBody) -> Result<(), Trouble> {
        let written = self.teller.write(vec![body]).await;
        written.map_err(|_| Trouble::Cut("the run's driver is gone".to_owned()))
    }
}

/// What asks an agent to stop.
fn cancel(session: &str) -> String {
    format!("{}\n", json!({"jsonrpc": "2.0", "method": "session/cancel", "params": {"sessionId": session}}))
}

/// What a program has to show the gateway: 32 digits that nobody can guess.
fn pass(entropy: &dyn Entropy) -> String {
    let mut bytes = [0; 16];
    entropy.fill(&mut bytes);
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("nightshift-{digits}")
}

/// The end of a turn, as the end of a model call is.
fn finished(turn: u32, name: &str, stop: Stop, words: String, calls: Vec<ToolCall>) -> EventBody {
    let stop = match stop {
        _ if !calls.is_empty() => StopReason::ToolUse,
        Stop::EndTurn | Stop::MaxRequests => StopReason::EndTurn,
        Stop::MaxTokens => StopReason::MaxTokens,
        Stop::Refusal => StopReason::Refusal { explanation: words.clone() },
        // It is given its turn again without being reminded of anything.
        Stop::Cancelled => StopReason::PauseTurn,
        Stop::Other(reason) => StopReason::Other { reason },
    };
    let mut verbatim = Vec::new();
    let mut blocks = Vec::new();
    if !words.is_empty() {
        verbatim.push(json!({"type": "text", "text": words}));
        blocks.push(AssistantBlock::Text { text: words });
    }
    for call in calls {
        verbatim.push(json!({"type": "tool_use", "id": call.id, "name": call.name, "input": call.input}));
        blocks.push(AssistantBlock::ToolCall { call });
    }
    EventBody::TurnFinished {
        turn,
        message: Message::Assistant { blocks, verbatim: Value::Array(verbatim) },
        stop,
        // Its calls were counted when they were made.
        usage: Usage::default(),
        model: name.to_owned(),
    }
}

/// What a person is told of an agent that cannot work.
fn said(name: &str, engine: &Engine, trouble: &EngineTrouble) -> UserError {
    let (code, hint) = match trouble {
        EngineTrouble::NotInstalled => {
            let how = match engine.install.as_str() {
                "" => format!("Install {} in the sandbox", engine.command),
                install => format!("Add \"{install}\" to `steps` in .nightshift/environment.toml"),
            };
            let hint = format!(
                "{how} and run `nightshift environment set-up`; or by hand with `nightshift shell`, then `nightshift continue`."
            );
            (ErrorCode::ToolMissing, hint)
        }
        EngineTrouble::OtherVersion { .. } => (
            ErrorCode::ToolMissing,
            "Install a version of it that speaks version 1 (docs/engines.md).".to_owned(),
        ),
        EngineTrouble::NeedsLogin => (
            ErrorCode::ToolMissing,
            "An agent in a sandbox cannot log in. Give it the gateway instead, by its `env` in [engines] \
             (docs/engines.md)."
                .to_owned(),
        ),
        EngineTrouble::Refused { .. } | EngineTrouble::Violated { .. } | EngineTrouble::Ended { .. } => (
            ErrorCode::ModelUnavailable,
            "`nightshift continue` gives it its turn again; `nightshift shell` shows what is in the sandbox."
                .to_owned(),
        ),
    };
    UserError::new(code, format!("the engine {name} does not work: {trouble}"), hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(stop: Stop, words: &str, calls: Vec<ToolCall>) -> (StopReason, usize) {
        let EventBody::TurnFinished { stop, message: Message::Assistant { blocks, .. }, .. } =
            finished(3, "claude-code", stop, words.to_owned(), calls)
        else {
            panic!("another event")
        };
        (stop, blocks.len())
    }

    fn call() -> ToolCall {
        ToolCall { id: "c".to_owned(), name: "finish".to_owned(), input: json!({}), malformed: None }
    }

    #[test]
    fn a_turn_ends_as_a_model_call_does() {
        assert_eq!(end(Stop::EndTurn, "Done.", Vec::new()), (StopReason::EndTurn, 1));
        assert_eq!(end(Stop::EndTurn, "Done.", vec![call()]), (StopReason::ToolUse, 2));
        assert_eq!(end(Stop::Cancelled, "", Vec::new()), (StopReason::PauseTurn, 0));
        assert_eq!(end(Stop::Cancelled, "", vec![call()]), (StopReason::ToolUse, 1));
        let explanation = "No.".to_owned();
        assert_eq!(end(Stop::Refusal, "No.", Vec::new()), (StopReason::Refusal { explanation }, 1));
    }

    #[test]
    fn an_agent_that_is_not_installed_is_told_of_with_the_line_that_installs_it() {
        let engine = &nightshift_engine::built_in()["claude-code"];
        let error = said("claude-code", engine, &EngineTrouble::NotInstalled);
        assert_eq!(error.message, "the engine claude-code does not work: it is not installed in the sandbox");
        assert!(
            error.hint.starts_with(
                "Add \"sudo npm install --global --prefix /opt/claude-code node@22 @agentclientprotocol/claude-agent-acp@latest\" \
                 to `steps` in .nightshift/environment.toml"
            ),
            "{}",
            error.hint
        );
    }

    #[test]
    fn a_pass_is_another_one_each_time_and_no_key() {
        struct Counting(std::sync::atomic::AtomicU8);
        impl Entropy for Counting {
            fn fill(&self, bytes: &mut [u8]) {
                bytes.fill(self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
            }
        }
        let entropy = Counting(std::sync::atomic::AtomicU8::new(10));
        assert_eq!(pass(&entropy), format!("nightshift-{}", "0a".repeat(16)));
        assert_ne!(pass(&entropy), pass(&entropy));
    }
}
