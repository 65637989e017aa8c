//! The gateway between a program and a provider that records what it is sent.

use std::sync::Mutex;

use http_body_util::StreamBody;
use nightshift_agent::AgentSettings;
use nightshift_model::{Key, Provider, ProviderSettings, Providers};
use nightshift_protocol::{Clock, Entropy, Limits, OffsetDateTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::super::link::Aside;
use super::*;

const PASS: &str = "nightshift-1234";
const KEY: &str = "sk-ant-of-the-owner";
const BODY: &str = r#"{"model":"claude-haiku-5-5","max_tokens":100,"stream":true,"messages":[]}"#;
const STREAM: &str = "data: {\"type\":\"message_start\",\"message\":{\"model\":\"claude-haiku-5-5\",\"usage\":{\"input_tokens\":1000,\"output_tokens\":1}}}\n\n\
    data: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":50}}\n\n";

struct Still;

impl Clock for Still {
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::UNIX_EPOCH
    }
}

impl Entropy for Still {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(0);
    }
}

/// The sandbox's tools, played.
struct Played;

#[async_trait]
impl Origin for Played {
    async fn answer(&self, _: Request<OriginBody>) -> Response<OriginBody> {
        Response::new(Full::new(Bytes::from("tools")).map_err(|never| match never {}).boxed_unsync())
    }
}

struct World {
    gateway: Gateway,
    link: Link,
    /// What the provider was sent.
    sent: Arc<Mutex<Vec<String>>>,
    /// What was written into the history.
    told: Arc<Mutex<Vec<EventBody>>>,
}

/// A provider that answers every request so.
async fn provider(answer: String) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let sent = Arc::new(Mutex::new(Vec::new()));
    let recorded = Arc::clone(&sent);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            // The body is written anew, with the same fields.
            while !String::from_utf8_lossy(&request).contains("\"messages\":[]") {
                if stream.read_buf(&mut request).await.unwrap() == 0 {
                    break;
                }
            }
            recorded.lock().unwrap().push(String::from_utf8_lossy(&request).into_owned());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (url, sent)
}

/// A provider that takes requests and never answers.
async fn silent_provider() -> (String, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            kept.push(stream);
        }
    });
    (url, serving)
}

async fn world(answer: String, limits: Limits) -> World {
    let (url, sent) = provider(answer).await;
    World { sent, ..world_at(url, limits).await }
}

async fn world_at(url: String, limits: Limits) -> World {
    world_with(url, limits, Some(Key::new(KEY).unwrap())).await
}

async fn world_with(url: String, limits: Limits, key: Option<Key>) -> World {
    let sent = Arc::default();
    let mut models = Providers::default();
    let settings = ProviderSettings::new(url, key, Arc::new(Still), Arc::new(Still));
    models.add("anthropic", Provider::messages(settings).unwrap());
    let (sender, mut asides) = mpsc::unbounded_channel::<Aside>();
    let link = Link::default();
    let mut machine = AgentMachine::new(AgentSettings { limits, ..AgentSettings::default() });
    link.follow(Some(&machine), false);
    let told = Arc::new(Mutex::new(Vec::new()));
    let (written, following) = (Arc::clone(&told), link.clone());
    tokio::spawn(async move {
        while let Some(aside) = asides.recv().await {
            for body in &aside.bodies {
                if let EventBody::EngineCalledModel { call, .. } = body {
                    machine.handle(nightshift_agent::AgentEvent::Spent { usage: call.usage });
                }
            }
            following.follow(Some(&machine), false);
            written.lock().unwrap().extend(aside.bodies);
            let _gone = aside.written.unwrap().send(());
        }
    });
    let gateway = Gateway::new(GatewayParts {
        turn: 2,
        provider: "anthropic".to_owned(),
        pass: PASS.to_owned(),
        calls: 4,
        model: Arc::new(models),
        link: link.clone(),
        teller: Teller(sender),
        tools: Arc::new(Played),
    });
    World { gateway, link, sent, told }
}

fn streamed() -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n{STREAM}")
}

fn request(path: &str, body: impl Into<Bytes>) -> Request<OriginBody> {
    let body = Full::new(body.into()).map_err(|never| match never {}).boxed_unsync();
    Request::builder().method("POST").uri(path).header("x-api-key", PASS).body(body).unwrap()
}

impl World {
    async fn ask(&self, request: Request<OriginBody>) -> (u16, String) {
        let response = self.gateway.answer(request).await;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    /// What was told, once there is so much of it.
    async fn told(&self, count: usize) -> Vec<EngineModelCall> {
        let calls = || {
            let told = self.told.lock().unwrap();
            let call = |body: &EventBody| match body {
                EventBody::EngineCalledModel { turn: 2, call } => Some(call.clone()),
                _ => None,
            };
            told.iter().filter_map(call).collect::<Vec<_>>()
        };
        let wait = async {
            while calls().len() < count {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap();
        calls()
    }
}

#[tokio::test]
async fn a_call_is_made_with_the_owner_s_key_and_written_down_with_what_it_cost() {
    let world = world(streamed(), Limits::default()).await;
    assert_eq!(world.ask(request("/anthropic/v1/messages", BODY)).await, (200, STREAM.to_owned()));
    let [call] = &world.told(1).await[..] else { panic!("one call") };
    // 0.1 dollars a million read, 0.5 written.
    assert_eq!(
        (call.usage.input_tokens, call.usage.output_tokens, call.usage.cost_microdollars),
        (1_000, 50, 125)
    );
    assert_eq!((call.model.as_str(), call.status, &call.refused), ("claude-haiku-5-5", Some(200), &None));
    let sent = world.sent.lock().unwrap().join("");
    assert!(sent.to_lowercase().contains(&format!("x-api-key: {KEY}")), "{sent}");
    assert!(!sent.contains(PASS), "{sent}");
}

#[tokio::test]
async fn who_does_not_show_the_pass_gets_nothing_and_neither_does_a_page() {
    let world = world(streamed(), Limits::default()).await;
    let without = |name: &'static str, value: &'static str| {
        let mut request = request("/anthropic/v1/messages", BODY);
        request.headers_mut().remove("x-api-key");
        request.headers_mut().insert(name, HeaderValue::from_static(value));
        request
    };
    for request in [
        without("x-api-key", "nightshift-1235"),
        without("x-api-key", ""),
        without("authorization", "Basic nightshift-1234"),
        without("accept", "text/html"),
    ] {
        let (status, said) = world.ask(request).await;
        assert_eq!(status, 401, "{said}");
        assert!(said.starts_with(r#"{"type":"error""#) && !said.contains(PASS), "{said}");
    }
    let mut page = request(TOOLS, "{}");
    page.headers_mut().insert("origin", HeaderValue::from_static("http://evil.test"));
    assert_eq!(world.ask(page).await.0, 401);
    assert!(world.sent.lock().unwrap().is_empty() && world.told.lock().unwrap().is_empty());
    let bearer = without("authorization", "Bearer nightshift-1234");
    assert_eq!(world.ask(bearer).await.0, 200);
}

#[tokio::test]
async fn at_a_limit_the_next_call_is_refused_before_it_is_made_in_the_vendor_s_words() {
    let limits = Limits { tokens: 1_100, ..Limits::default() };
    let world = world(streamed(), limits).await;
    assert_eq!(world.ask(request("/anthropic/v1/messages", BODY)).await.0, 200);
    world.told(1).await;
    let (status, said) = world.ask(request("/anthropic/v1/messages", BODY)).await;
    assert_eq!(status, 403);
    assert!(said.contains("the task may use 1,100 tokens"), "{said}");
    assert_eq!(world.sent.lock().unwrap().len(), 1, "it was not made");
    let calls = world.told(2).await;
    assert!(calls[1].refused.as_ref().unwrap().contains("1,100 tokens"));
    assert_eq!(calls[1].usage, Usage::default());
}

#[tokio::test]
async fn a_call_whose_answer_nobody_waits_for_is_counted_as_the_worst() {
    let (url, _sent) = silent_provider().await;
    let world = world_at(url, Limits::default()).await;
    let asking = world.gateway.answer(request("/anthropic/v1/messages", BODY));
    let gave_up = tokio::time::timeout(Duration::from_millis(300), asking).await;
    assert!(gave_up.is_err(), "nothing was answered");
    let [call] = &world.told(1).await[..] else { panic!("one call") };
    assert_eq!((call.status, call.usage.output_tokens), (None, 100));
    assert!(call.usage.input_tokens > 0 && call.usage.cost_microdollars > 0, "{:?}", call.usage);
}

#[tokio::test]
async fn a_call_is_written_down_with_the_worst_before_it_is_made_and_with_its_end_under_the_same_number() {
    let (url, _sent) = silent_provider().await;
    let world = world_at(url, Limits::default()).await;
    let asking = world.gateway.answer(request("/anthropic/v1/messages", BODY));
    assert!(tokio::time::timeout(Duration::from_millis(300), asking).await.is_err());
    let [end] = &world.told(1).await[..] else { panic!("one call") };
    let told = world.told.lock().unwrap();
    let EventBody::EngineCallIntended { turn: 2, call } = &told[0] else { panic!("{told:?}") };
    assert_eq!((call.number, call.model.as_str(), call.worst), (5, "claude-haiku-5-5", end.usage));
    assert_eq!((end.number, told.len()), (5, 2));
}

#[tokio::test]
async fn the_end_of_a_turn_cuts_its_calls_off_and_what_they_used_is_known_at_once() {
    // The beginning of a stream that goes on for ever.
    let begun = STREAM.split_inclusive("\n\n").next().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(format!("{head}{begun}").as_bytes()).await.unwrap();
        std::future::pending::<()>().await;
    });
    let world = world_at(url, Limits::default()).await;
    world.link.begin();
    let gateway = Gateway { over: world.link.over(), ..world.gateway };
    let response = gateway.answer(request("/anthropic/v1/messages", BODY)).await;
    // The program keeps its connection and reads nothing more.
    assert_eq!(response.status(), 200);
    world.link.end();
    let world = World { gateway, ..world };
    let [end] = &world.told(1).await[..] else { panic!("one call") };
    assert_eq!((end.status, end.usage.input_tokens), (Some(200), 1_000), "{end:?}");
    assert!(end.usage.cost_microdollars > 0);
    let (status, said) = world.ask(request("/anthropic/v1/messages", BODY)).await;
    assert_eq!((status, said.contains("not called: the turn is over")), (403, true), "{said}");
    let refused = &world.told(2).await[1];
    assert_eq!((refused.number, refused.usage, refused.refused.is_some()), (0, Usage::default(), true));
    drop(response);
}

/// A gateway of this world whose events the test itself takes and writes.
fn by_hand(world: World) -> (World, mpsc::UnboundedReceiver<Aside>) {
    let (sender, asides) = mpsc::unbounded_channel::<Aside>();
    let gateway = Gateway { teller: Teller(sender), ..world.gateway };
    (World { gateway, ..world }, asides)
}

/// The next thing that is told, and who waits until it is written.
async fn next(asides: &mut mpsc::UnboundedReceiver<Aside>) -> (EventBody, oneshot::Sender<()>) {
    let aside = tokio::time::timeout(Duration::from_secs(20), asides.recv()).await.unwrap().unwrap();
    let [body] = &aside.bodies[..] else { panic!("{:?}", aside.bodies) };
    (body.clone(), aside.written.unwrap())
}

/// That the next thing told is the end of call 5, which was not sent and used nothing.
async fn ends_unsent(asides: &mut mpsc::UnboundedReceiver<Aside>) {
    let (body, _written) = next(asides).await;
    let EventBody::EngineCalledModel { turn: 2, call } = body else { panic!("{body:?}") };
    assert_eq!((call.number, call.status, call.usage), (5, None, Usage::default()));
}

#[tokio::test]
async fn a_program_that_goes_away_while_its_call_is_being_written_down_leaves_an_end_of_nothing() {
    let (world, mut asides) = by_hand(world(streamed(), Limits::default()).await);
    let asking = world.gateway.answer(request("/anthropic/v1/messages", BODY));
    let gave_up = tokio::time::timeout(Duration::from_millis(100), asking).await;
    assert!(gave_up.is_err(), "the call is not made before it is written down");
    let (intended, written) = next(&mut asides).await;
    assert!(matches!(&intended, EventBody::EngineCallIntended { turn: 2, call } if call.number == 5));
    written.send(()).unwrap();
    ends_unsent(&mut asides).await;
    assert!(world.sent.lock().unwrap().is_empty(), "nobody would have had the answer");
}

#[tokio::test]
async fn a_call_whose_turn_ends_while_it_is_being_written_down_is_not_sent_and_ends_as_nothing() {
    let (world, mut asides) = by_hand(world(streamed(), Limits::default()).await);
    let settled = async {
        let (_, written) = next(&mut asides).await;
        world.link.end();
        written.send(()).unwrap();
        ends_unsent(&mut asides).await;
    };
    let ((status, said), ()) = tokio::join!(world.ask(request("/anthropic/v1/messages", BODY)), settled);
    assert_eq!((status, said.contains("the turn is over")), (403, true), "{said}");
    assert!(world.sent.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_call_that_its_driver_does_not_write_down_is_neither_sent_nor_told() {
    let (world, mut asides) = by_hand(world(streamed(), Limits::default()).await);
    let dropped = async { drop(next(&mut asides).await) };
    let ((status, said), ()) = tokio::join!(world.ask(request("/anthropic/v1/messages", BODY)), dropped);
    assert_eq!((status, said.contains("the turn is over")), (403, true), "{said}");
    assert!(world.sent.lock().unwrap().is_empty() && asides.try_recv().is_err());
}

#[tokio::test]
async fn what_a_turn_left_over_makes_no_call_in_the_next_one() {
    let (old, mut asides) = by_hand(world(streamed(), Limits::default()).await);
    // Its body never comes whole.
    let slow = StreamBody::new(futures_util::stream::pending::<Result<_, std::io::Error>>());
    let slow = request("/anthropic/v1/messages", BODY).map(|_| slow.boxed_unsync());
    let ends = async {
        tokio::task::yield_now().await;
        old.link.end();
        old.link.begin();
    };
    let asked = async { tokio::join!(old.ask(slow), ends).0 };
    let (status, said) = tokio::time::timeout(Duration::from_secs(20), asked).await.unwrap();
    assert_eq!((status, said.contains("the turn is over")), (403, true), "{said}");
    assert!(asides.try_recv().is_err(), "it intended nothing");
    // One that comes whole only now, while the run's agent is at work again.
    let refused = async {
        let (body, written) = next(&mut asides).await;
        written.send(()).unwrap();
        body
    };
    let ((status, _), told) = tokio::join!(old.ask(request("/anthropic/v1/messages", BODY)), refused);
    let EventBody::EngineCalledModel { turn: 2, call } = told else { panic!("{told:?}") };
    assert_eq!((status, call.number, call.refused.as_deref()), (403, 0, Some("the turn is over")));
    assert!(old.sent.lock().unwrap().is_empty());
    // The one that has begun makes its own.
    let new = world(streamed(), Limits::default()).await;
    let link = old.link.clone();
    let over = link.over();
    let new = World { gateway: Gateway { turn: 3, link, over, ..new.gateway }, ..new };
    assert_eq!(new.ask(request("/anthropic/v1/messages", BODY)).await.0, 200);
    assert_eq!(new.sent.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn where_nobody_writes_any_more_no_call_is_made() {
    let (url, sent) = provider(streamed()).await;
    let world = world_at(url, Limits::default()).await;
    let (sender, nobody) = mpsc::unbounded_channel::<Aside>();
    drop(nobody);
    let gateway = Gateway { teller: Teller(sender), ..world.gateway };
    let response = gateway.answer(request("/anthropic/v1/messages", BODY)).await;
    assert_eq!(response.status(), 403);
    assert!(sent.lock().unwrap().is_empty());
}

fn of_no_price() -> String {
    BODY.replace("claude-haiku-5-5", "claude-of-tomorrow")
}

#[tokio::test]
async fn a_model_without_a_price_is_not_called_for_the_owner_s_money_whatever_its_limit_is() {
    let usual = Limits::default();
    // What a person names may be what is usual.
    let named = Limits { cost_microdollars: usual.cost_microdollars, ..usual };
    let other = Limits { cost_microdollars: 5_000_000, ..usual };
    for limits in [usual, named, other] {
        let world = world(streamed(), limits).await;
        let (status, said) = world.ask(request("/anthropic/v1/messages", of_no_price())).await;
        assert_eq!((status, said.contains("price is not known")), (403, true), "{said}");
        assert!(said.contains(r#"[providers.anthropic.models.\"claude-of-tomorrow\"]"#), "{said}");
        assert!(world.sent.lock().unwrap().is_empty());
        assert_eq!(world.ask(request("/anthropic/v1/messages", BODY)).await.0, 200);
    }
}

#[tokio::test]
async fn a_provider_without_a_key_bills_nobody_and_its_models_are_called_unless_a_person_limits_money() {
    for (cost_microdollars, status) in [(Limits::default().cost_microdollars, 200), (5_000_000, 403)] {
        let (url, sent) = provider(streamed()).await;
        let limits = Limits { cost_microdollars, ..Limits::default() };
        let world = world_with(url, limits, None).await;
        let (answered, said) = world.ask(request("/anthropic/v1/messages", of_no_price())).await;
        assert_eq!((answered, sent.lock().unwrap().len()), (status, usize::from(status == 200)), "{said}");
    }
}

#[tokio::test]
async fn an_agent_that_is_refused_for_ever_does_not_fill_the_history() {
    let world = world(streamed(), Limits { tokens: 1_000, turns: 0, ..Limits::default() }).await;
    for _ in 0..30 {
        assert_eq!(world.ask(request("/anthropic/v1/messages", BODY)).await.0, 403);
    }
    assert_eq!(world.told(1).await.len(), MOST_REFUSALS as usize);
}

#[tokio::test]
async fn after_the_turn_no_call_is_made() {
    let world = world(streamed(), Limits::default()).await;
    world.link.follow(None, false);
    let (status, said) = world.ask(request("/anthropic/v1/messages", BODY)).await;
    assert_eq!((status, said.contains("the turn is over")), (403, true));
    assert!(world.sent.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_provider_that_repeats_what_it_was_shown_does_not_tell_the_key() {
    let said = format!(r#"{{"error":{{"message":"x-api-key: {KEY}"}}}}"#);
    let answer = format!(
        "HTTP/1.1 401 Unauthorized\r\nrequest-id: {KEY}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{said}",
        said.len()
    );
    let world = world(answer, Limits::default()).await;
    let response = world.gateway.answer(request("/anthropic/v1/messages", BODY)).await;
    assert!(!format!("{:?}", response.headers()).contains(KEY));
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, r#"{"error":{"message":"x-api-key: [hidden]"}}"#);
    let [call] = &world.told(1).await[..] else { panic!("one call") };
    assert_eq!((call.status, call.usage), (Some(401), Usage::default()));
}

#[tokio::test]
async fn what_is_no_call_of_the_api_is_refused_and_a_provider_that_is_gone_is_told_of() {
    let world = world(streamed(), Limits::default()).await;
    for (path, body, status) in [
        ("/anthropic/v1/files", BODY, 404),
        ("/openai/v1/responses", BODY, 404),
        ("/anthropicx/v1/messages", BODY, 404),
        ("/", BODY, 404),
        ("/anthropic/v1/messages", "nonsense", 400),
    ] {
        assert_eq!(world.ask(request(path, body)).await.0, status, "{path}");
    }
    let large = vec![b'x'; LONGEST_RELAYED + 1];
    assert_eq!(world.ask(request("/anthropic/v1/messages", large)).await.0, 413);
    assert!(world.sent.lock().unwrap().is_empty());
    let gone = self::world("".to_owned(), Limits::default()).await;
    assert_eq!(gone.ask(request("/anthropic/v1/messages", BODY)).await.0, 502);
    assert_eq!(gone.told(1).await[0].status, None);
}

#[tokio::test]
async fn the_sandbox_s_tools_are_behind_the_same_pass() {
    let world = world(streamed(), Limits::default()).await;
    assert_eq!(world.ask(request(TOOLS, "{}")).await, (200, "tools".to_owned()));
}
