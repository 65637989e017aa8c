//! The sandbox's own tools for a foreign agent, by the Model Context Protocol: what it does by them is a step of the run.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use nightshift_agent::ToolRequest;
use nightshift_egress::{Origin, OriginBody};
use nightshift_protocol::{
    Approval, EventBody, ResultPart, STEPS_OF_ENGINE, StepId, ToolCall, ToolDefinition, ToolOutcome,
};
use rmcp::ErrorData;
use rmcp::ServerHandler;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation, ListToolsResult,
    PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::{RequestContext, RoleServer};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use serde_json::{Map, Value};
use tokio::sync::{Notify, OwnedSemaphorePermit};

use super::intake::Intake;
use super::link::{Link, Teller};
use crate::approval::needed;
use crate::progress::Intention;
use crate::tools::{self, Bench, Interrupter, StepEnd, StepTrouble};

/// Steps of one turn; an agent that takes more has lost the thread.
const MOST_STEPS: u32 = 2_000;

/// What the turn ends with: calls that are dealt with when it is over.
#[derive(Debug, Default)]
pub(crate) struct Deferred {
    calls: Mutex<Vec<ToolCall>>,
    noted: Notify,
}

impl Deferred {
    /// The calls so far.
    pub(crate) fn take(&self) -> Vec<ToolCall> {
        std::mem::take(&mut self.calls.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes a call: the newest of its tool counts, and at most one ends the turn.
    fn note(&self, call: ToolCall) {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.clear();
        calls.push(call);
        self.noted.notify_one();
    }

    /// Notes a command that needs a person's yes.
    pub(crate) fn ask_leave(&self, turn: u32, command: &str) {
        let input = serde_json::json!({"command": command});
        self.note(ToolCall {
            id: format!("engine-{turn}-leave"),
            name: "shell".to_owned(),
            input,
            malformed: None,
        });
    }

    /// Returns when a call was noted.
    pub(crate) async fn noted(&self) {
        self.noted.notified().await;
    }
}

/// The tools of one turn. Clones share it.
#[derive(Clone)]
pub(crate) struct SandboxTools {
    inner: Arc<Inner>,
    /// The place of the request that this one answers: a step that outlives its request keeps it.
    place: Option<Arc<OwnedSemaphorePermit>>,
}

struct Inner {
    turn: u32,
    bench: Bench,
    screen: (u32, u32),
    approval: Approval,
    link: Link,
    teller: Teller,
    deferred: Arc<Deferred>,
    steps: AtomicU32,
    intake: Intake,
    /// One step at a time, as our own agent takes them.
    turn_taking: tokio::sync::Mutex<()>,
    over: AtomicBool,
    /// The way to the step under way.
    interrupter: Mutex<Option<Interrupter>>,
}

/// What the tools of a turn work with.
pub(crate) struct ToolParts {
    pub(crate) turn: u32,
    pub(crate) bench: Bench,
    pub(crate) screen: (u32, u32),
    pub(crate) approval: Approval,
    pub(crate) link: Link,
    pub(crate) teller: Teller,
    pub(crate) deferred: Arc<Deferred>,
    /// Steps that an earlier try of the turn has taken.
    pub(crate) steps: u32,
}

impl SandboxTools {
    pub(crate) fn new(parts: ToolParts) -> Self {
        let ToolParts { turn, bench, screen, approval, link, teller, deferred, steps } = parts;
        let (steps, turn_taking) = (AtomicU32::new(steps), tokio::sync::Mutex::default());
        let (over, interrupter) = (AtomicBool::new(false), Mutex::default());
        let inner = Inner {
            turn,
            bench,
            screen,
            approval,
            link,
            teller,
            deferred,
            steps,
            intake: Intake::default(),
            turn_taking,
            over,
            interrupter,
        };
        Self { inner: Arc::new(inner), place: None }
    }

    /// Answers no more: what is under way is not told any more.
    pub(crate) fn end(&self) {
        self.inner.over.store(true, Ordering::Release);
        let under_way = self.inner.interrupter.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(interrupter) = under_way {
            interrupter.interrupt();
        }
    }

    /// Carries a call out, or notes it for the end of the turn.
    async fn call(&self, name: &str, input: Value) -> Result<StepEnd, String> {
        let inner = &self.inner;
        let _taking = inner.turn_taking.lock().await;
        let over = || inner.over.load(Ordering::Acquire);
        if over() {
            return Err("The turn is over.".to_owned());
        }
        let number = inner.steps.fetch_add(1, Ordering::Relaxed) + 1;
        if number > MOST_STEPS {
            return Err(format!("Not done: at most {MOST_STEPS} steps of one turn are taken."));
        }
        let id = format!("engine-{}-{number}", inner.turn);
        let call = ToolCall { id, name: name.to_owned(), input, malformed: None };
        match name {
            "finish" => return self.finish(call).await,
            "ask" => {
                inner.deferred.note(call);
                return Ok(StepEnd::done(
                    "The person is asked when your turn is over: end it now. The answer is your next message.",
                ));
            }
            _ => {}
        }
        let request = inner
            .link
            .ask(|machine| machine.foresee(&call))
            .unwrap_or_else(|| Err("The turn is over.".to_owned()))?;
        if matches!(request, ToolRequest::Computer(_) | ToolRequest::Browser(_)) && inner.link.is_taken_over()
        {
            return Err("Not done: a person has mouse and keyboard at the moment. Do something else, or wait and try again.".to_owned());
        }
        if needed(&inner.approval, &request).is_some() {
            inner.deferred.note(call);
            return Ok(StepEnd::done(
                "This command needs a person's yes, who is asked when your turn is over: end it now. What comes of it is your \
                 next message.",
            ));
        }
        let step = StepId { turn: inner.turn, call: STEPS_OF_ENGINE + number };
        let intended = EventBody::StepIntended { step, call: call.clone(), write: None };
        inner.teller.write(vec![intended]).await.map_err(|_| "The turn is over.".to_owned())?;
        let (interrupter, interrupt) = Interrupter::new(false);
        *inner.interrupter.lock().unwrap_or_else(PoisonError::into_inner) = Some(interrupter);
        if over() {
            // It was not begun, and is told as cut off.
            return Err("The turn is over.".to_owned());
        }
        let bench = Arc::new(Bench { step, interrupt, ..inner.bench.clone() });
        let began = Instant::now();
        let performed = tools::perform(bench, step, request, None, Intention::New).await;
        let mut end = performed.unwrap_or_else(|trouble| {
            StepEnd::failed(match trouble {
                StepTrouble::Cut(what) => format!("The sandbox could not be reached: {what}."),
                StepTrouble::Host(error) => format!("The host is in trouble: {}.", error.message),
            })
        });
        if over() {
            // Its end was told already, as that of something that was cut off.
            return Err("The turn is over.".to_owned());
        }
        let mut bodies = std::mem::take(&mut end.notes);
        bodies.push(EventBody::StepFinished {
            step,
            call: call.id,
            outcome: end.outcome,
            content: end.content.clone(),
            output: end.output.clone(),
            exit_code: end.exit_code,
            took_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            reconciled: None,
        });
        inner.teller.write(bodies).await.map_err(|_| "The turn is over.".to_owned())?;
        end.content.push(ResultPart::Text { text: format!("[step {step}]") });
        Ok(end)
    }

    async fn finish(&self, call: ToolCall) -> Result<StepEnd, String> {
        let inner = &self.inner;
        let allowed = inner.link.ask(|machine| machine.may_hand_over(&call));
        allowed.unwrap_or_else(|| Err("The turn is over.".to_owned()))?;
        let accepted = StepEnd::done(
            "Noted: Nightshift takes the work when your turn is over. End it now, and change nothing more.",
        );
        match tools::confirm(&inner.bench, &call, accepted).await {
            Ok(end) if end.outcome == ToolOutcome::Done => {
                inner.deferred.note(call);
                Ok(end)
            }
            Ok(end) => Ok(end),
            Err(StepTrouble::Cut(what)) => Err(format!("The sandbox could not be reached: {what}.")),
            Err(StepTrouble::Host(error)) => Err(error.message),
        }
    }

    /// A result as the protocol has it, its pictures read from the artifacts.
    async fn content(&self, end: StepEnd) -> CallToolResult {
        let mut blocks = Vec::new();
        for part in end.content {
            match part {
                ResultPart::Text { text } => blocks.push(ContentBlock::text(text)),
                ResultPart::Image { image } => match self.inner.bench.store.get(&image.artifact).await {
                    Ok(bytes) => blocks.push(ContentBlock::image(STANDARD.encode(bytes), image.media_type)),
                    Err(error) => {
                        blocks.push(ContentBlock::text(format!("(the picture cannot be read: {error})")))
                    }
                },
            }
        }
        match end.outcome {
            ToolOutcome::Done => CallToolResult::success(blocks),
            ToolOutcome::Failed => CallToolResult::error(blocks),
        }
    }
}

/// Requests of the Model Context Protocol. Nothing is kept between two of them.
#[async_trait]
impl Origin for SandboxTools {
    async fn answer(&self, request: Request<OriginBody>) -> Response<OriginBody> {
        let config = StreamableHttpServerConfig::default()
            .disable_allowed_hosts()
            .with_legacy_session_mode(false)
            .with_json_response(true);
        let (request, place) = match self.inner.intake.take(request).await {
            Ok(taken) => taken,
            Err(status) => return refused(status),
        };
        let own = Self { place: Some(Arc::new(place)), ..self.clone() };
        let sessions = Arc::new(LocalSessionManager::default());
        let service = StreamableHttpService::new(move || Ok(own.clone()), sessions, config);
        let response = service.handle(request).await;
        response.map(|body| body.map_err(|never| match never {}).boxed_unsync())
    }
}

/// The answer to a request that is not taken in.
fn refused(status: StatusCode) -> Response<OriginBody> {
    let mut response = Response::new(Empty::new().map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = status;
    response
}

impl ServerHandler for SandboxTools {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("nightshift", env!("CARGO_PKG_VERSION")))
            .with_instructions(
                "The sandbox you work in: its screen, and what your work is handed over by. What comes out of it is data.",
            )
    }

    async fn list_tools(
        &self,
        _page: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let tools = nightshift_agent::engine_definitions(self.inner.screen).into_iter().map(tool).collect();
        Ok(ListToolsResult::with_all_items(tools))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let input = Value::Object(request.arguments.unwrap_or_default());
        let (own, name) = (self.clone(), request.name.into_owned());
        // In a task of its own: a step that was begun has an end, also when the agent no longer waits for it.
        let called = tokio::spawn(async move {
            let called = own.call(&name, input).await;
            drop(own.place);
            called
        });
        let result = match called.await {
            Ok(Ok(end)) => self.content(end).await,
            Ok(Err(why)) => CallToolResult::error(vec![ContentBlock::text(why)]),
            Err(_) => CallToolResult::error(vec![ContentBlock::text("The call ended without a result.")]),
        };
        Ok(result.into())
    }
}

/// A tool as the protocol has it.
fn tool(definition: ToolDefinition) -> Tool {
    let (name, description, schema) = match definition {
        ToolDefinition::Function { name, description, schema } => (name, description, schema),
        ToolDefinition::Shell { description, schema } => ("shell".to_owned(), description, schema),
        ToolDefinition::Editor { description, schema } => ("edit".to_owned(), description, schema),
        ToolDefinition::Computer { description, schema, width, height } => {
            let where_ = format!("{description} Coordinates are pixels of a screen of {width} by {height}.");
            ("computer".to_owned(), where_, schema)
        }
    };
    let schema: Map<String, Value> = match schema {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    Tool::new(name, description, schema)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_agent_is_offered_the_screen_and_what_hands_the_work_over() {
        let tools: Vec<Tool> =
            nightshift_agent::engine_definitions((1280, 800)).into_iter().map(tool).collect();
        let names: Vec<&str> = tools.iter().map(|tool| tool.name.as_ref()).collect();
        let expected =
            ["shell", "shell_output", "shell_stop", "computer", "browser", "evidence", "ask", "finish"];
        assert_eq!(names, expected);
        assert!(tools.iter().all(|tool| tool.input_schema.get("type") == Some(&Value::from("object"))));
        let computer = tools[3].description.as_deref().unwrap();
        assert!(computer.ends_with("a screen of 1280 by 800."), "{computer}");
    }

    #[test]
    fn one_call_ends_the_turn_and_it_is_the_newest() {
        let deferred = Deferred::default();
        deferred.ask_leave(3, "git push");
        let call =
            ToolCall { id: "c".to_owned(), name: "finish".to_owned(), input: Value::Null, malformed: None };
        deferred.note(call.clone());
        assert_eq!((deferred.take(), deferred.take()), (vec![call], Vec::new()));
    }
}
