//! One turn of a foreign agent: its program is started, opens its session, is prompted, and ends.
//!
//! ```text
//!   initializing ─ version 1 ─▶ opening ─ session ─▶ prompting ─ stop reason ─▶ over
//!        │                        │  ▲                  │  │
//!        │        it cannot be    │  │ load failed      │  └ cancelled ─▶ cancelling ─ stop reason ─▶ over
//!        │        loaded: new ────┼──┘                  │
//!        └── an error, too old ───┴── an error ─────────┴── an error, nonsense ─▶ over
//! ```
//!
//! Once it is over everything is ignored. Updates that come before the prompt replay an old session and are ignored too.

mod actions;
mod wire;

use nightshift_protocol::{EngineAction, Plan};
use serde_json::{Value, json};

use crate::words::cut;
use actions::Actions;
use wire::{Incoming, Update};

/// Lines that are no messages, such as a program's greeting, before an agent is taken for something else.
const MOST_NONSENSE: u32 = 20;

/// Characters of a message that are kept.
const LONGEST_MESSAGE: usize = 20_000;

/// Characters of all messages of a turn that are kept.
const MOST_WORDS: usize = 400_000;

/// What a turn begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnSettings {
    /// The repository's folder in the sandbox.
    pub folder: String,
    /// The session that an earlier turn opened in this sandbox, if one did.
    pub session: Option<String>,
    /// What the agent is told where that session goes on.
    pub going_on: String,
    /// What it is told where it knows nothing.
    pub anew: String,
    /// The sandbox's own tools.
    pub tools: Tools,
}

/// Where an agent finds the sandbox's own tools, by the Model Context Protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tools {
    /// Their address in the sandbox.
    pub url: String,
    /// What has to be shown there.
    pub pass: String,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// The program was started.
    Started,
    /// It wrote a line.
    Line(Vec<u8>),
    /// Whether it may do what it asked for.
    Permitted {
        /// What it asked by.
        request: Value,
        /// Whether it may.
        allowed: bool,
    },
    /// It is to stop.
    Cancel,
    /// What it writes cannot be told apart any more.
    Violated(String),
    /// The program has ended.
    Exited {
        /// Its exit status.
        code: Option<i32>,
        /// The end of what it wrote beside its messages.
        said: String,
    },
}

/// What is to be done, or is to be known.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Send it this line, with its end.
    Send(String),
    /// Its session is open, and is going to be prompted.
    Opened {
        /// The agent's name and version.
        agent: String,
        /// The session.
        session: String,
        /// Whether it knows what was before.
        resumed: bool,
    },
    /// It writes.
    Writing(String),
    /// It wrote a message before it went on.
    Said(String),
    /// It does something by a tool of its own, or has done it.
    Acted(EngineAction),
    /// It has a plan.
    Planned(Plan),
    /// It asks whether it may do something; [`Input::Permitted`] answers.
    Permit {
        /// What it asks by.
        request: Value,
        /// The command line, if it is one.
        command: Option<String>,
    },
    /// The turn is over. Comes once, and last.
    Over(Ending),
}

/// How a turn ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The agent ended it.
    Stopped {
        /// Why.
        stop: Stop,
        /// Its last message.
        words: String,
    },
    /// There was no turn, or it broke.
    Failed(Trouble),
}

/// Why an agent ended its turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// It has no more to say.
    EndTurn,
    /// Its model reached a limit on tokens.
    MaxTokens,
    /// It reached a limit of its own on model calls.
    MaxRequests,
    /// It declined.
    Refusal,
    /// It was told to.
    Cancelled,
    /// For a reason that is not known here.
    Other(String),
}

/// What keeps an agent from working.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// Its program is not in the sandbox.
    #[error("it is not installed in the sandbox")]
    NotInstalled,
    /// It speaks another version of the protocol.
    #[error("it speaks version {version} of the Agent Client Protocol, and not version 1")]
    OtherVersion {
        /// Which.
        version: String,
    },
    /// It wants a person to log in.
    #[error("it wants a person to log in")]
    NeedsLogin,
    /// It answered a request with an error.
    #[error("it answered {method} with an error: {message}")]
    Refused {
        /// Which request.
        method: &'static str,
        /// What it said.
        message: String,
    },
    /// It does not speak the protocol.
    #[error("it does not speak the Agent Client Protocol: {what}")]
    Violated {
        /// What it did.
        what: String,
    },
    /// Its program ended in the middle.
    #[error("its program ended{}{}", match code { Some(code) => format!(" with exit status {code}"), None => String::new() }, if said.is_empty() { String::new() } else { format!(": {said}") })]
    Ended {
        /// Its exit status.
        code: Option<i32>,
        /// The end of what it wrote beside its messages.
        said: String,
    },
}

/// One turn. See the module's documentation for its states.
#[derive(Debug, Clone)]
pub struct EngineTurn {
    settings: TurnSettings,
    position: Position,
    actions: Actions,
    /// The message that it is writing.
    words: String,
    /// Characters of all its messages.
    written: usize,
    nonsense: u32,
}

/// Where a turn is. Requests have their numbers as ids.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Position {
    New,
    Initializing,
    Opening { agent: String, http: bool, load: Option<String> },
    Prompting { session: String },
    Cancelling { session: String },
    Over,
}

const INITIALIZE: u64 = 1;
const LOAD: u64 = 2;
const NEW: u64 = 3;
const PROMPT: u64 = 4;

/// The code of an error that wants a person to log in.
const AUTH_REQUIRED: i64 = -32_000;

/// The exit status of a shell that did not find a program (POSIX.1-2024, XCU 2.8.2).
const NOT_FOUND: i32 = 127;

impl EngineTurn {
    /// A turn that waits for its program.
    pub fn new(settings: TurnSettings) -> Self {
        Self {
            settings,
            position: Position::New,
            actions: Actions::default(),
            words: String::new(),
            written: 0,
            nonsense: 0,
        }
    }

    /// Whether the agent was prompted, so that it may have done something.
    pub fn is_prompted(&self) -> bool {
        matches!(self.position, Position::Prompting { .. } | Position::Cancelling { .. })
    }

    /// Takes what happened, and says what is to be done.
    pub fn handle(&mut self, input: Input) -> Vec<Output> {
        if self.position == Position::Over {
            return Vec::new();
        }
        match input {
            Input::Started => {
                if self.position == Position::New {
                    self.position = Position::Initializing;
                    return vec![Output::Send(wire::initialize(INITIALIZE))];
                }
                Vec::new()
            }
            Input::Line(line) => self.hear(&line),
            Input::Permitted { request, allowed } => self.permitted(request, allowed),
            Input::Cancel => self.cancel(),
            Input::Violated(what) => self.fail(Trouble::Violated { what: cut(&what, 300) }),
            Input::Exited { code: Some(NOT_FOUND), .. } if !self.is_prompted() => {
                self.fail(Trouble::NotInstalled)
            }
            Input::Exited { code, said } => {
                // One that was told to stop may do so at once.
                if matches!(self.position, Position::Cancelling { .. }) {
                    return self.stop(Stop::Cancelled);
                }
                let said = cut(said.trim(), 1_000);
                self.fail(Trouble::Ended { code, said })
            }
        }
    }

    fn hear(&mut self, line: &[u8]) -> Vec<Output> {
        match wire::read(line) {
            Some(Incoming::Answer { id, result }) => self.answered(&id, result),
            Some(Incoming::Request { id, method, params }) => self.asked(id, &method, &params),
            Some(Incoming::Update { session, update }) => match &self.position {
                Position::Prompting { session: own } | Position::Cancelling { session: own }
                    if *own == session =>
                {
                    self.updated(update)
                }
                _ => Vec::new(),
            },
            Some(Incoming::Other) => Vec::new(),
            None => {
                self.nonsense += 1;
                if self.nonsense > MOST_NONSENSE {
                    let what = "it writes lines that are no messages".to_owned();
                    return self.fail(Trouble::Violated { what });
                }
                Vec::new()
            }
        }
    }

    fn answered(&mut self, id: &Value, result: Result<Value, wire::Refusal>) -> Vec<Output> {
        let position = self.position.clone();
        match (position, id.as_u64(), result) {
            (Position::Initializing, Some(INITIALIZE), Ok(result)) => self.initialized(&result),
            (Position::Opening { agent, http, load: Some(session) }, Some(LOAD), Ok(_)) => {
                let _was_for_the_other_way = http;
                self.prompt(agent, session, true)
            }
            (Position::Opening { agent, http, load: Some(_) }, Some(LOAD), Err(_)) => {
                // It is not there any more, as in another sandbox: what was done is told instead.
                self.open(agent, http)
            }
            (Position::Opening { agent, load: None, .. }, Some(NEW), Ok(result)) => {
                match result.get("sessionId").and_then(Value::as_str) {
                    Some(session) if (1..=500).contains(&session.len()) => {
                        self.prompt(agent, session.to_owned(), false)
                    }
                    _ => self.fail(Trouble::Violated { what: "its session has no id".to_owned() }),
                }
            }
            (Position::Prompting { .. } | Position::Cancelling { .. }, Some(PROMPT), Ok(result)) => {
                self.stop(wire::stop(&result))
            }
            (Position::Cancelling { .. }, Some(PROMPT), Err(_)) => self.stop(Stop::Cancelled),
            (Position::Initializing, Some(INITIALIZE), Err(refusal)) => self.refused("initialize", refusal),
            (Position::Opening { load: None, .. }, Some(NEW), Err(refusal)) => {
                self.refused("session/new", refusal)
            }
            (Position::Prompting { .. }, Some(PROMPT), Err(refusal)) => {
                self.refused("session/prompt", refusal)
            }
            // An answer to what was not asked, or was answered before.
            _ => Vec::new(),
        }
    }

    fn initialized(&mut self, result: &Value) -> Vec<Output> {
        let facts = match wire::initialized(result) {
            Ok(facts) => facts,
            Err(version) => return self.fail(Trouble::OtherVersion { version: cut(&version, 40) }),
        };
        let load = self.settings.session.clone().filter(|_| facts.loads);
        let Some(session) = load else { return self.open(facts.agent, facts.http) };
        let TurnSettings { folder, tools, .. } = &self.settings;
        let line = wire::load(LOAD, &session, folder, tools, facts.http);
        self.position = Position::Opening { agent: facts.agent, http: facts.http, load: Some(session) };
        vec![Output::Send(line)]
    }

    fn open(&mut self, agent: String, http: bool) -> Vec<Output> {
        let TurnSettings { folder, tools, .. } = &self.settings;
        let line = wire::open(NEW, folder, tools, http);
        self.position = Position::Opening { agent, http, load: None };
        vec![Output::Send(line)]
    }

    fn prompt(&mut self, agent: String, session: String, resumed: bool) -> Vec<Output> {
        let words = if resumed { &self.settings.going_on } else { &self.settings.anew };
        let line = wire::prompt(PROMPT, &session, words);
        self.position = Position::Prompting { session: session.clone() };
        vec![Output::Opened { agent, session, resumed }, Output::Send(line)]
    }

    fn asked(&mut self, id: Value, method: &str, params: &Value) -> Vec<Output> {
        if method != "session/request_permission" {
            return vec![Output::Send(wire::unknown_method(&id))];
        }
        if !matches!(self.position, Position::Prompting { .. }) {
            return vec![Output::Send(wire::permission_cancelled(&id))];
        }
        match self.actions.ask(id.clone(), params) {
            Some(command) => vec![Output::Permit { request: id, command }],
            None => vec![Output::Send(wire::permission_cancelled(&id))],
        }
    }

    fn permitted(&mut self, request: Value, allowed: bool) -> Vec<Output> {
        let Some(options) = self.actions.answer(&request) else { return Vec::new() };
        vec![Output::Send(wire::permission(&request, &options, allowed))]
    }

    fn updated(&mut self, update: Update) -> Vec<Output> {
        match update {
            Update::Words(text) => {
                let room = LONGEST_MESSAGE.saturating_sub(self.words.chars().count());
                let room = room.min(MOST_WORDS.saturating_sub(self.written));
                let kept: String = text.chars().take(room).collect();
                self.written += kept.chars().count();
                self.words.push_str(&kept);
                if kept.is_empty() { Vec::new() } else { vec![Output::Writing(kept)] }
            }
            Update::Action(call) => {
                let Some(action) = self.actions.note(*call) else { return Vec::new() };
                self.said().into_iter().chain([Output::Acted(action)]).collect()
            }
            Update::Plan(plan) => vec![Output::Planned(plan)],
            Update::Ignored => Vec::new(),
        }
    }

    /// The message that it wrote before it went on.
    fn said(&mut self) -> Option<Output> {
        let words = cut(std::mem::take(&mut self.words).trim(), LONGEST_MESSAGE);
        (!words.is_empty()).then_some(Output::Said(words))
    }

    fn cancel(&mut self) -> Vec<Output> {
        match &self.position {
            Position::Prompting { session } => {
                let session = session.clone();
                let mut outputs: Vec<Output> = self
                    .actions
                    .give_up_asking()
                    .iter()
                    .map(|id| Output::Send(wire::permission_cancelled(id)))
                    .collect();
                outputs.push(Output::Send(wire::cancel(&session)));
                self.position = Position::Cancelling { session };
                outputs
            }
            Position::Cancelling { .. } => Vec::new(),
            Position::New | Position::Initializing | Position::Opening { .. } | Position::Over => {
                self.stop(Stop::Cancelled)
            }
        }
    }

    fn stop(&mut self, stop: Stop) -> Vec<Output> {
        let words = cut(std::mem::take(&mut self.words).trim(), LONGEST_MESSAGE);
        self.over(Ending::Stopped { stop, words })
    }

    fn refused(&mut self, method: &'static str, refusal: wire::Refusal) -> Vec<Output> {
        self.fail(match refusal.code {
            AUTH_REQUIRED => Trouble::NeedsLogin,
            _ => Trouble::Refused { method, message: cut(refusal.message.trim(), 500) },
        })
    }

    fn fail(&mut self, trouble: Trouble) -> Vec<Output> {
        let said = self.said();
        said.into_iter().chain(self.over(Ending::Failed(trouble))).collect()
    }

    fn over(&mut self, ending: Ending) -> Vec<Output> {
        self.position = Position::Over;
        // What it had begun and not told the end of.
        let left = self.actions.give_up().into_iter().map(Output::Acted);
        left.chain([Output::Over(ending)]).collect()
    }
}

/// One line of JSON-RPC.
fn message(fields: Value) -> String {
    let mut message = json!({"jsonrpc": "2.0"});
    if let (Some(message), Value::Object(fields)) = (message.as_object_mut(), fields) {
        message.extend(fields);
    }
    format!("{message}\n")
}

#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;
