//! The servers of the Model Context Protocol that a repository names: programs in a run's sandbox, with which the owner speaks.
//!
//! ```text
//!   .mcp.json at the base commit ─▶ programs started in the sandbox ─▶ their tools, frozen in the history
//!                                          └── the owner speaks with them through the guest channel
//! ```
//!
//! The file is read from the host's copy of the repository: what is in the sandbox, an agent could change. Nothing of the
//! owner's environment goes in; variables have the values that the sandbox gives them. A server lives as long as somebody speaks with
//! it. One that has ended, with its sandbox or its owner or by itself, is started again when one of its tools is called.

mod carrier;
mod launch;
mod picture;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use nightshift_forge::BrowseError;
use nightshift_mcp_client::{
    Answer, CallError, Client, Configuration, FILE, LARGEST, Launch, Offer, Patience, ServerTool, Unreadable,
    offer,
};
use nightshift_protocol::{CommitId, EventBody, Live, LiveBody, McpServer, McpServerState, McpTool, RunId};
use nightshift_sandbox::Acceleration;
use serde_json::{Map, Value};
use tokio::sync::OnceCell;

use crate::delivery;
use crate::desk::Desk;
use crate::repository;
use crate::shared::Shared;
use carrier::{Carrier, End};

pub(crate) use picture::{Picture, usable};

/// How much a server may write before it is started again, in bytes: the guest keeps 64 MiB of a program's output, and hands on
/// nothing behind that. The longest answer fits between the two.
const MOST_WRITTEN: u64 = 48 * 1024 * 1024;

/// How long one call may take, whatever progress its server tells of.
const TOTAL: Duration = Duration::from_secs(30 * 60);

/// Calls in a row that a server does not answer before it is started again.
const UNANSWERED: u32 = 2;

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
}

/// Where a server is, once it runs: one that is started is started once for all who wait for it.
type Place = Arc<tokio::sync::Mutex<Option<Arc<Running>>>>;

/// A server that runs; it ends when nobody holds it any more.
pub(crate) struct Running {
    client: Client,
    carrier: Carrier,
    silence: Duration,
    unanswered: AtomicU32,
}

/// A server that is spoken with.
pub(crate) struct Reached {
    pub(crate) server: Arc<Running>,
    /// Whether it was started for it: what it kept in memory before is gone.
    pub(crate) started_again: bool,
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
        let (configuration, places) = (OnceCell::new(), Mutex::default());
        Self { shared, run, repository, base, configuration, places, asking: tokio::sync::Mutex::default() }
    }

    /// Lets all of them go.
    pub(crate) fn let_go(&self) {
        self.places().clear();
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
                let launch = server.launch.as_ref().map_err(ToString::to_string);
                let launch =
                    launch.and_then(|launch| launch.expanded(environment).map_err(|error| error.to_string()));
                let begun = match launch {
                    Ok(launch) => self.begin(desk, &server.name, launch).await,
                    Err(refusal) => Err(Unreached::Not(refusal)),
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
        launch: Launch,
    ) -> Result<(McpServerState, Vec<ServerTool>), Unreached> {
        let running = Arc::new(self.launch(desk, name, launch).await?);
        let listed = running.client.tools(launch::within(desk)).await;
        let tools = listed.map_err(|error| running.unreached(format!("its tools are not known: {error}")))?;
        let server = running.client.server();
        *self.place(name).lock().await = Some(running);
        Ok((McpServerState::Ready { itself: server.itself, protocol: server.protocol }, tools))
    }

    /// A server, started if it does not run.
    pub(crate) async fn reach(&self, desk: &Desk, name: &str) -> Result<Reached, Unreached> {
        let place = self.place(name);
        let mut place = place.lock().await;
        if let Some(server) = place.as_ref().filter(|server| server.serves()) {
            return Ok(Reached { server: Arc::clone(server), started_again: false });
        }
        *place = None;
        let configuration = self.configuration().await?.as_ref();
        let configuration = configuration.map_err(|error| Unreached::Not(error.clone()))?;
        let named = configuration.servers.iter().find(|server| server.name == name && server.launch.is_ok());
        let Some(Ok(launch)) = named.map(|server| &server.launch) else {
            return Err(Unreached::Not(format!("{FILE} names no such server")));
        };
        let environment = self.environment(desk, configuration).await?;
        let launch = launch.expanded(&environment).map_err(|error| Unreached::Not(error.to_string()))?;
        let server = Arc::new(self.launch(desk, name, launch).await?);
        *place = Some(Arc::clone(&server));
        Ok(Reached { server, started_again: true })
    }

    async fn launch(&self, desk: &Desk, name: &str, launch: Launch) -> Result<Running, Unreached> {
        let folder = repository::folder(desk.machine.home(), &self.repository);
        launch::launch(desk, &self.shared.intake.handle(), name, &folder, launch).await
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
        answers && !self.client.is_closed() && self.carrier.written() < MOST_WRITTEN
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
        let mut heard = self.client.progress();
        heard.mark_unchanged();
        let call = self.client.call(tool, arguments, patience, interrupted);
        tokio::pin!(call);
        let called = loop {
            tokio::select! {
                biased;
                called = &mut call => break called,
                Ok(()) = heard.changed() => progress(&heard.borrow_and_update()),
            }
        };
        match &called {
            Err(CallError::Silent { .. }) => self.unanswered.fetch_add(1, Ordering::Relaxed),
            Err(CallError::Interrupted) => 0,
            Ok(_) | Err(_) => self.unanswered.swap(0, Ordering::Relaxed),
        };
        called
    }

    /// Whether the owner was cut off from the sandbox, and with it from the server.
    pub(crate) fn is_cut(&self) -> bool {
        self.carrier.end() == Some(End::Cut)
    }

    /// How it ended and what it wrote last beside the protocol, for a sentence.
    pub(crate) fn last_words(&self) -> String {
        self.carrier.last_words()
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
