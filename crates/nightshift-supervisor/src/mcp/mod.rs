//! The servers of the Model Context Protocol that a repository names: programs in a run's sandbox, and servers at an address.
//!
//! ```text
//!   .mcp.json at the base commit ─┬─▶ programs started in the sandbox ──┬─▶ their tools, frozen in the history
//!                                 │        └── through the guest channel │
//!                                 └─▶ servers at an address ────────────┘
//!                                          ├── in the sandbox: through the guest channel
//!                                          └── elsewhere: through the sandbox's way out, under its rules and in its record
//! ```
//!
//! The file is read from the host's copy of the repository: what is in the sandbox, an agent could change. Nothing of the
//! owner's environment goes in; variables have the values that the sandbox gives them. A server lives as long as somebody speaks with
//! it. One that has ended, with its sandbox or its owner or by itself, is started again when one of its tools is called.

mod away;
mod carrier;
mod dial;
mod launch;
mod picture;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use nightshift_egress::Egress;
use nightshift_forge::BrowseError;
use nightshift_mcp_client::{
    Answer, CallError, Client, Configuration, Endpoint, FILE, LARGEST, Launch, Offer, Patience, Refusal,
    ServerTool, Transport, Unreadable, offer,
};
use nightshift_protocol::{CommitId, EventBody, Live, LiveBody, McpServer, McpServerState, McpTool, RunId};
use nightshift_sandbox::Acceleration;
use serde_json::{Map, Value};
use tokio::sync::OnceCell;
use tokio::task::JoinSet;

use crate::delivery;
use crate::desk::Desk;
use crate::repository;
use crate::shared::Shared;
use away::Away;
use carrier::{Carrier, End};

pub(crate) use picture::{Picture, usable};

/// How much a server may write before it is started again, in bytes: the guest keeps 64 MiB of a program's output, and hands on
/// nothing behind that. The longest answer fits between the two.
const MOST_WRITTEN: u64 = 48 * 1024 * 1024;

/// How long one call may take, whatever progress its server tells of.
const TOTAL: Duration = Duration::from_secs(30 * 60);

/// Calls in a row that a server does not answer before it is started again.
const UNANSWERED: u32 = 2;

/// How long a program may take to answer what it has to answer at once, after a call that nobody waits for any more; no longer than
/// it may be silent.
const STILL_ANSWERS_WITHIN: Duration = Duration::from_secs(30);

/// The servers of one run.
pub(crate) struct Servers {
    shared: Arc<Shared>,
    run: RunId,
    repository: String,
    base: CommitId,
    configuration: OnceCell<Result<Configuration, String>>,
    places: Mutex<HashMap<String, Place>>,
    /// Held while the sandbox tells its environment.
    asking: tokio::sync::Mutex<()>,
    /// The sandbox's way out, while it is open.
    way_out: Mutex<Option<Egress>>,
    /// Those who see after programs of which an answer is not wanted any more.
    seeing_after: Mutex<JoinSet<()>>,
}

/// How a server is spoken with, with the values of its variables.
enum Spoken {
    Program(Launch),
    Away(Endpoint),
}

/// Where a server is, once it runs: one that is started is started once for all who wait for it.
type Place = Arc<tokio::sync::Mutex<Option<Arc<Running>>>>;

/// A server that runs; it ends when nobody holds it any more.
pub(crate) struct Running {
    client: Client,
    line: Line,
    silence: Duration,
    unanswered: AtomicU32,
}

/// What a server is spoken with over.
enum Line {
    Program(Carrier),
    Away(Away),
}

/// A server that is spoken with.
pub(crate) struct Reached {
    pub(crate) server: Arc<Running>,
    /// Whether it was begun with for it.
    pub(crate) begun_again: bool,
}

/// A server cannot be spoken with.
#[derive(Debug)]
pub(crate) enum Unreached {
    /// The owner is cut off from the sandbox.
    Cut(String),
    /// The server does not run.
    Not(String),
}

impl Servers {
    pub(crate) fn new(shared: Arc<Shared>, run: RunId, repository: String, base: CommitId) -> Self {
        Self {
            shared,
            run,
            repository,
            base,
            configuration: OnceCell::new(),
            places: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
            way_out: Mutex::default(),
            seeing_after: Mutex::default(),
        }
    }

    /// Says by which way servers elsewhere are reached from now on.
    pub(crate) fn way_out_is(&self, egress: Egress) {
        *self.way_out.lock().unwrap_or_else(PoisonError::into_inner) = Some(egress);
    }

    /// Lets all of them go.
    pub(crate) fn let_go(&self) {
        self.seeing_after().abort_all();
        self.places().clear();
        *self.way_out.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Starts all of them at once and asks for their tools. `None` where the repository names none.
    ///
    /// # Errors
    ///
    /// That the sandbox was cut off, or that the file could not be looked for. A server that does not start is an event, and no
    /// error.
    pub(crate) async fn start(&self, desk: &Desk) -> Result<Option<EventBody>, Unreached> {
        let configuration = match self.configuration().await? {
            Ok(configuration) => configuration,
            Err(problem) => {
                let problem = Some(problem.clone());
                return Ok(Some(EventBody::McpServersStarted { servers: Vec::new(), problem }));
            }
        };
        if configuration.servers.is_empty() {
            return Ok(None);
        }
        self.say(configuration);
        let environment = match self.environment(desk, configuration).await {
            Ok(environment) => environment,
            Err(Unreached::Not(problem)) => {
                let problem = Some(problem);
                return Ok(Some(EventBody::McpServersStarted { servers: Vec::new(), problem }));
            }
            Err(cut @ Unreached::Cut(_)) => return Err(cut),
        };
        let begun = configuration.servers.iter().map(|server| {
            let environment = &environment;
            async move {
                let spoken =
                    server.transport.clone().and_then(|transport| self.spoken(&transport, environment));
                let begun = match spoken {
                    Ok(spoken) => self.begin(desk, &server.name, spoken).await,
                    Err(refusal) => Err(Unreached::Not(refusal.to_string())),
                };
                match begun {
                    Ok(begun) => Ok((server.name.clone(), Ok(begun))),
                    Err(Unreached::Not(reason)) => Ok((server.name.clone(), Err(reason))),
                    Err(cut @ Unreached::Cut(_)) => Err(cut),
                }
            }
        });
        let begun = join_all(begun).await.into_iter().collect::<Result<Vec<_>, Unreached>>()?;
        Ok(Some(EventBody::McpServersStarted { servers: told(begun), problem: None }))
    }

    /// Starts one and asks for its tools.
    async fn begin(
        &self,
        desk: &Desk,
        name: &str,
        spoken: Spoken,
    ) -> Result<(McpServerState, Vec<ServerTool>), Unreached> {
        let running = Arc::new(self.speak(desk, name, spoken).await?);
        let listed = running.client.tools(launch::within(desk)).await;
        let mut tools =
            listed.map_err(|error| running.unreached(format!("its tools are not known: {error}")))?;
        if running.is_outside() {
            // Whatever it says of that.
            tools.iter_mut().for_each(|tool| tool.open_world = true);
        }
        let server = running.client.server();
        *self.place(name).lock().await = Some(running);
        Ok((McpServerState::Ready { itself: server.itself, protocol: server.protocol }, tools))
    }

    /// A server, started if it does not run.
    pub(crate) async fn reach(&self, desk: &Desk, name: &str) -> Result<Reached, Unreached> {
        let place = self.place(name);
        let mut place = place.lock().await;
        if let Some(server) = place.as_ref().filter(|server| server.serves()) {
            return Ok(Reached { server: Arc::clone(server), begun_again: false });
        }
        *place = None;
        let configuration = self.configuration().await?.as_ref();
        let configuration = configuration.map_err(|error| Unreached::Not(error.clone()))?;
        let mut named = configuration.servers.iter().filter(|server| server.name == name);
        let Some(transport) = named.find_map(|server| server.transport.as_ref().ok()) else {
            return Err(Unreached::Not(format!("{FILE} names no such server")));
        };
        let environment = self.environment(desk, configuration).await?;
        let spoken =
            self.spoken(transport, &environment).map_err(|error| Unreached::Not(error.to_string()))?;
        let server = Arc::new(self.speak(desk, name, spoken).await?);
        *place = Some(Arc::clone(&server));
        Ok(Reached { server, begun_again: true })
    }

    fn spoken(&self, transport: &Transport, environment: &launch::Environment) -> Result<Spoken, Refusal> {
        match transport {
            Transport::Stdio(launch) => launch.expanded(environment).map(Spoken::Program),
            Transport::Http(remote) => {
                remote.expanded(environment, &self.shared.settings.mcp_keys).map(Spoken::Away)
            }
        }
    }

    async fn speak(&self, desk: &Desk, name: &str, spoken: Spoken) -> Result<Running, Unreached> {
        let threads = self.shared.intake.handle();
        match spoken {
            Spoken::Program(launch) => {
                let folder = repository::folder(desk.machine.home(), &self.repository);
                launch::launch(desk, &threads, name, &folder, launch).await
            }
            Spoken::Away(endpoint) => {
                let way_out = self.way_out.lock().unwrap_or_else(PoisonError::into_inner).clone();
                away::reach(desk, &threads, way_out, endpoint).await
            }
        }
    }

    /// The sandbox's environment, where one is needed.
    async fn environment(
        &self,
        desk: &Desk,
        configuration: &Configuration,
    ) -> Result<launch::Environment, Unreached> {
        if configuration.has_variables() {
            let _one_at_a_time = self.asking.lock().await;
            launch::environment(desk).await
        } else {
            Ok(launch::Environment::new())
        }
    }

    /// What the repository's file says, read once; it is that of one commit. Trouble of the host is not kept.
    async fn configuration(&self) -> Result<&Result<Configuration, String>, Unreached> {
        let read = || async {
            let repository = delivery::repository_of(&self.shared.forge, &self.repository);
            let repository = repository.map_err(|error| Unreached::Not(error.message))?;
            match repository.blob(&self.base, FILE, LARGEST).await {
                Ok(file) => Ok(Configuration::read(&file).map_err(|error| error.to_string())),
                Err(BrowseError::NotThere { .. }) => Ok(Ok(Configuration::default())),
                Err(BrowseError::TooLarge { .. }) => Ok(Err(Unreadable::TooLarge.to_string())),
                Err(error) => Err(Unreached::Not(error.to_string())),
            }
        };
        self.configuration.get_or_try_init(read).await
    }

    /// Ends a program, soon, that does not answer any more after a call that nobody waits for: it would go on with what it was
    /// told to stop, or has not even read that.
    pub(crate) fn see_after(self: &Arc<Self>, desk: &Desk, name: &str, server: &Arc<Running>) {
        if !server.is_program() {
            return;
        }
        let (servers, server) = (Arc::downgrade(self), Arc::clone(server));
        let (channel, name) = (desk.channel.clone(), name.to_owned());
        let within = server.silence.min(STILL_ANSWERS_WITHIN);
        let seeing = async move {
            if server.client.answers(within).await {
                return;
            }
            let Some(servers) = servers.upgrade() else { return };
            let place = servers.place(&name);
            let mut place = place.lock().await;
            if place.as_ref().is_some_and(|now| Arc::ptr_eq(now, &server)) {
                *place = None;
                if let Err(error) = launch::end(&channel, &name).await {
                    tracing::warn!(server = name, ?error, "a server that does not answer was not ended");
                }
            }
        };
        let mut all = self.seeing_after();
        while all.try_join_next().is_some() {}
        all.spawn_on(seeing, &self.shared.intake.handle());
    }

    fn seeing_after(&self) -> std::sync::MutexGuard<'_, JoinSet<()>> {
        self.seeing_after.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say(&self, configuration: &Configuration) {
        let names: Vec<&str> = configuration.servers.iter().map(|server| server.name.as_str()).collect();
        let body = LiveBody::SetUpProgress {
            what: "the repository's servers".to_owned(),
            phase: names.join(", "),
            number: 1,
            of: 1,
        };
        // Nobody may be watching.
        let _watchers = self.shared.live.send(Live { run: self.run.clone(), body });
    }

    fn place(&self, name: &str) -> Place {
        Arc::clone(self.places().entry(name.to_owned()).or_default())
    }

    fn places(&self) -> std::sync::MutexGuard<'_, HashMap<String, Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running {
    /// Whether it can be called: it runs, has not written too much, and has answered lately.
    fn serves(&self) -> bool {
        let answers = self.unanswered.load(Ordering::Relaxed) < UNANSWERED;
        let has_room = match &self.line {
            Line::Program(carrier) => carrier.written() < MOST_WRITTEN,
            Line::Away(_) => true,
        };
        answers && has_room && !self.client.is_closed()
    }

    /// Calls a tool. What the server says of its progress is given on.
    pub(crate) async fn call(
        &self,
        tool: &str,
        arguments: Map<String, Value>,
        interrupted: impl Future<Output = ()>,
        progress: impl Fn(&str),
    ) -> Result<Answer, CallError> {
        let patience = Patience { silence: self.silence, total: TOTAL.max(self.silence) };
        let called = self.client.call(tool, arguments, patience, interrupted, progress).await;
        match &called {
            Err(CallError::Silent { .. }) => self.unanswered.fetch_add(1, Ordering::Relaxed),
            Err(CallError::Interrupted) => 0,
            Ok(_) | Err(_) => self.unanswered.swap(0, Ordering::Relaxed),
        };
        called
    }

    /// Whether the owner was cut off from the sandbox, and with it from the server.
    pub(crate) fn is_cut(&self) -> bool {
        match &self.line {
            Line::Program(carrier) => carrier.end() == Some(End::Cut),
            Line::Away(away) => away.is_cut(),
        }
    }

    /// Whether it is a program of the sandbox.
    pub(crate) fn is_program(&self) -> bool {
        matches!(self.line, Line::Program(_))
    }

    /// Whether it is outside of the sandbox.
    fn is_outside(&self) -> bool {
        matches!(&self.line, Line::Away(away) if away.is_outside())
    }

    /// How many sessions were begun with it.
    pub(crate) fn sessions(&self) -> u32 {
        self.client.sessions()
    }

    /// How it ended and what it wrote last beside the protocol, for a sentence.
    pub(crate) fn last_words(&self) -> String {
        match &self.line {
            Line::Program(carrier) => carrier.last_words(),
            Line::Away(_) => String::new(),
        }
    }

    fn unreached(&self, what: String) -> Unreached {
        if self.is_cut() {
            Unreached::Cut(what)
        } else {
            Unreached::Not(format!("{what}{}", self.last_words()))
        }
    }
}

/// How long a call may be answered with nothing, where the file says nothing of it.
fn silence(acceleration: Acceleration) -> Duration {
    match acceleration {
        Acceleration::Kvm => Duration::from_secs(120),
        Acceleration::Tcg => Duration::from_secs(300),
    }
}

/// What of a server is known: that it runs and what it offers, or why it does not.
type Begun = Result<(McpServerState, Vec<ServerTool>), String>;

/// The servers as the history has them.
fn told(begun: Vec<(String, Begun)>) -> Vec<McpServer> {
    let (mut listed, mut states) = (Vec::new(), Vec::new());
    for (name, begun) in begun {
        let (state, tools) = match begun {
            Ok(begun) => begun,
            Err(reason) => (McpServerState::Refused { reason }, Vec::new()),
        };
        listed.push((name, tools));
        states.push(state);
    }
    let offers = offer(&listed);
    let server = |(((name, _), state), offer): (((String, Vec<ServerTool>), McpServerState), Offer)| {
        let tools = offer.tools.into_iter().map(|tool| McpTool {
            name: tool.name,
            tool: tool.tool,
            description: tool.description,
            schema: tool.schema,
            repeatable: tool.repeatable,
            reaches_out: tool.reaches_out,
        });
        McpServer { name, state, tools: tools.collect(), notes: offer.notes }
    };
    listed.into_iter().zip(states).zip(offers).map(server).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_told_of_with_what_it_offers_or_why_it_does_not_run() {
        let ready =
            McpServerState::Ready { itself: Some("db 1".to_owned()), protocol: "2026-07-28".to_owned() };
        let tools = vec![ServerTool::new("query", "Runs a query.", &Map::new())];
        let begun = vec![
            ("db".to_owned(), Ok((ready.clone(), tools))),
            ("docs".to_owned(), Err("it ended before it answered".to_owned())),
        ];
        let tool = McpTool {
            name: "mcp__db__query".to_owned(),
            tool: "query".to_owned(),
            description: "Runs a query.".to_owned(),
            schema: serde_json::json!({"type": "object", "properties": {}}),
            repeatable: false,
            reaches_out: true,
        };
        let refused = McpServerState::Refused { reason: "it ended before it answered".to_owned() };
        let server =
            |name: &str, state, tools| McpServer { name: name.to_owned(), state, tools, notes: Vec::new() };
        assert_eq!(told(begun), [server("db", ready, vec![tool]), server("docs", refused, Vec::new())]);
    }
}
