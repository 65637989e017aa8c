use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use nightshift_protocol::{Image, Message, ToolDefinition, UserPart};

use super::super::message::MessagesForm;
use super::super::names::Form;
use super::*;
use crate::ImageSource;
use crate::fragment::{Conversations, Translated, translated};
use crate::heads::RequestHeads;

/// Counts how often it was read.
#[derive(Default)]
struct Source(AtomicUsize);

#[async_trait]
impl ImageSource for Source {
    async fn read(&self, _image: &Image) -> std::io::Result<Bytes> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(Bytes::from_static(b"hello"))
    }
}

fn user(content: Vec<UserPart>) -> Arc<Message> {
    Arc::new(Message::User { content })
}

fn says(text: &str) -> Arc<Message> {
    user(vec![UserPart::Text { text: text.to_owned() }])
}

fn answer(text: &str) -> Arc<Message> {
    Arc::new(Message::Assistant { blocks: Vec::new(), verbatim: json!([{"type": "text", "text": text}]) })
}

fn pictures(count: usize, edge: u32) -> Arc<Message> {
    let artifact = "ab".repeat(32).parse().unwrap();
    let image = Image { artifact, media_type: "image/png".to_owned(), width: edge, height: 10, bytes: 10 };
    user(vec![UserPart::Image { image }; count])
}

fn computer() -> ToolDefinition {
    ToolDefinition::Computer {
        description: "The screen.".to_owned(),
        schema: json!({"type": "object"}),
        width: 1280,
        height: 800,
    }
}

fn request(messages: Vec<Arc<Message>>) -> TurnRequest {
    let shell = ToolDefinition::Function {
        name: "shell".to_owned(),
        description: "Runs a command.".to_owned(),
        schema: json!({"type": "object"}),
    };
    TurnRequest {
        model: "claude-sonnet-5-5".to_owned(),
        system: "Work.".into(),
        tools: [shell, computer()].into(),
        messages: messages.into(),
        max_output_tokens: 1000,
        clear_results_above: None,
    }
}

async fn made(
    request: &TurnRequest,
    remembered: &Mutex<Conversations>,
    source: &Source,
) -> Result<Arc<Translated>, Unsendable> {
    let made = translated(&MessagesForm, request, remembered, source).await?;
    check_images(&made)?;
    Ok(made)
}

async fn wire_of(request: &TurnRequest, forms: Forms) -> Value {
    let made = made(request, &Mutex::default(), &Source::default()).await.unwrap();
    serde_json::from_slice(&body(request, forms, &RequestHeads::default(), &made).unwrap()).unwrap()
}

fn trained() -> Forms {
    Forms::of("claude-sonnet-5-5")
}

fn mark() -> Value {
    json!({"type": "ephemeral"})
}

#[tokio::test]
async fn a_body_has_what_the_provider_asks_for_and_nothing_else() {
    let request = request(vec![says("Begin.")]);
    assert_eq!(
        wire_of(&request, trained()).await,
        json!({
            "model": "claude-sonnet-5-5", "max_tokens": 1000, "stream": true,
            "thinking": {"type": "adaptive", "display": "summarized"},
            "system": [{"type": "text", "text": "Work.", "cache_control": mark()}],
            "tools": [
                {"name": "shell", "description": "Runs a command.", "input_schema": {"type": "object"}},
                {"type": "computer_toolset_20260801", "configs": {"zoom": {"enabled": true}}},
            ],
            "messages": [{"role": "user", "content": [{"type": "text", "text": "Begin.", "cache_control": mark()}]}],
        })
    );
}

#[tokio::test]
async fn an_older_model_gets_a_plain_function_and_no_word_on_thinking() {
    let request = TurnRequest { model: "claude-opus-4-8".to_owned(), ..request(vec![says("Begin.")]) };
    let body = wire_of(&request, Forms { computer: Form::Function, ..trained() }).await;
    let plain = json!({
        "name": "computer", "input_schema": {"type": "object"},
        "description": "The screen. Coordinates are pixels of the whole screen, 1280 by 800, from its top left corner; \
                        one outside the screen is refused.",
    });
    assert_eq!(body["tools"][1], plain);
    assert_eq!(body.get("thinking"), None);
}

#[tokio::test]
async fn without_a_system_prompt_the_tools_are_marked_and_without_either_nothing_is_sent() {
    let without_system = TurnRequest { system: "".into(), ..request(vec![says("Begin.")]) };
    let sent = wire_of(&without_system, trained()).await;
    assert_eq!((sent.get("system"), &sent["tools"][1]["cache_control"]), (None, &mark()));
    let bare = TurnRequest { tools: Arc::new([]), ..without_system };
    let sent = wire_of(&bare, trained()).await;
    assert_eq!((sent.get("system"), sent.get("tools")), (None, None));
}

#[tokio::test]
async fn the_two_newest_messages_of_the_user_are_marked() {
    let messages = vec![says("1"), answer("2"), says("3"), answer("4"), says("5")];
    let sent = wire_of(&request(messages), trained()).await;
    let marked: Vec<bool> =
        (0..5).map(|index| sent["messages"][index]["content"][0].get("cache_control").is_some()).collect();
    assert_eq!(marked, [false, false, true, false, true]);
}

#[tokio::test]
async fn only_what_is_new_is_translated_again() {
    let (remembered, source) = (Mutex::default(), Source::default());
    let mut conversation = request(vec![pictures(3, 10)]);
    let sent = async |conversation: &TurnRequest| {
        let made = made(conversation, &remembered, &source).await.unwrap();
        let reads = source.0.load(Ordering::Relaxed);
        let alone = wire_of(conversation, trained()).await;
        let together = body(conversation, trained(), &RequestHeads::default(), &made).unwrap();
        assert_eq!(
            serde_json::from_slice::<Value>(&together).unwrap(),
            alone,
            "it is sent as if it were all new"
        );
        reads
    };
    assert_eq!(sent(&conversation).await, 3);
    Arc::make_mut(&mut conversation.messages).extend([answer("Seen."), pictures(2, 10)]);
    assert_eq!(sent(&conversation).await, 5, "each picture is read once");
    Arc::make_mut(&mut conversation.messages).extend([answer("Seen."), pictures(4, 10)]);
    assert_eq!(sent(&conversation).await, 9);

    // Another message in the middle: those behind it that follow the same one are known.
    Arc::make_mut(&mut conversation.messages)[2] = says("(no longer shown)");
    assert_eq!(sent(&conversation).await, 9);
    // Its neighbour is written in the form of what stands before it.
    Arc::make_mut(&mut conversation.messages)[3] = answer("Seen again.");
    assert_eq!(sent(&conversation).await, 13);
    // And one that goes back.
    Arc::make_mut(&mut conversation.messages).truncate(3);
    assert_eq!(sent(&conversation).await, 13);
    Arc::make_mut(&mut conversation.messages).push(answer("Another way."));
    assert_eq!(sent(&conversation).await, 13);
}

#[tokio::test]
async fn conversations_that_begin_alike_and_those_asked_for_at_once_are_told_apart() {
    let (remembered, source) = (Mutex::default(), Source::default());
    let first = pictures(1, 10);
    let one = request(vec![Arc::clone(&first), answer("One."), says("1")]);
    let two = request(vec![first, answer("Two."), says("2")]);
    for _ in 0..3 {
        let (one_made, again, two_made) = tokio::join!(
            made(&one, &remembered, &source),
            made(&one, &remembered, &source),
            made(&two, &remembered, &source)
        );
        for (request, made) in [(&one, one_made), (&one, again), (&two, two_made)] {
            let sent = body(request, trained(), &RequestHeads::default(), &made.unwrap()).unwrap();
            assert_eq!(serde_json::from_slice::<Value>(&sent).unwrap(), wire_of(request, trained()).await);
        }
    }
    assert_eq!(remembered.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn what_nobody_has_any_more_is_forgotten_before_it_is_much() {
    let (remembered, source) = (Mutex::default(), Source::default());
    let long = "word ".repeat(20_000);
    let mut most = 0;
    for _ in 0..100 {
        made(&request(vec![says(&long)]), &remembered, &source).await.unwrap();
        most = remembered.lock().unwrap().len().max(most);
    }
    assert!((2..20).contains(&most), "{most} of 100 messages of 100 KB were kept");
}

#[tokio::test]
async fn pictures_beyond_the_limits_are_refused_before_anything_is_sent() {
    let refused = async |messages| {
        let made = made(&request(messages), &Mutex::default(), &Source::default()).await;
        made.map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(refused(vec![pictures(100, 2000)]).await, Ok(()));
    let many = refused(vec![pictures(51, 10), answer("a"), pictures(50, 10)]).await;
    assert_eq!(many, Err("the conversation has 101 pictures, more than 100".to_owned()));
    assert_eq!(refused(vec![pictures(20, 8000)]).await, Ok(()));
    let large = refused(vec![pictures(1, 2001), answer("a"), pictures(20, 10)]).await.unwrap_err();
    assert!(large.ends_with("is 2001 pixels long; with 21 pictures the limit is 2000"), "{large}");
    let huge = refused(vec![pictures(1, 8001)]).await.unwrap_err();
    assert!(huge.ends_with("is 8001 pixels long; with 1 pictures the limit is 8000"), "{huge}");
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused() {
    let request = request(vec![says(&"a".repeat(MAX_REQUEST_BYTES))]);
    let made = made(&request, &Mutex::default(), &Source::default()).await.unwrap();
    let refused = body(&request, trained(), &RequestHeads::default(), &made).unwrap_err();
    assert!(matches!(refused, Unsendable::TooLarge { limit: MAX_REQUEST_BYTES }));
}

#[tokio::test]
async fn each_form_of_a_trained_tool_is_what_the_provider_names_it() {
    let plain = |description: &str| (description.to_owned(), json!({"type": "object"}));
    let ((shell, schema), (editor, _)) = (plain("Runs."), plain("Edits."));
    let tools = vec![
        ToolDefinition::Shell { description: shell, schema: schema.clone() },
        ToolDefinition::Editor { description: editor, schema },
        computer(),
    ];
    let request = TurnRequest { tools: tools.into(), ..request(vec![says("Begin.")]) };
    let kinds = async |forms| {
        let sent = wire_of(&request, forms).await;
        let name = |tool: &Value| tool["type"].as_str().or(tool["name"].as_str()).unwrap().to_owned();
        sent["tools"].as_array().unwrap().iter().map(name).collect::<Vec<_>>()
    };
    assert_eq!(
        kinds(trained()).await,
        ["bash_20250124", "shell_background", "text_editor_20250728", "computer_toolset_20260801"]
    );
    assert_eq!(
        kinds(Forms::of("claude-opus-4-8")).await,
        ["bash_20250124", "shell_background", "text_editor_20250728", "computer_20251124"]
    );
    assert_eq!(kinds(Forms::of("qwen3-vl-32b")).await, ["shell", "edit", "computer"]);
}

#[tokio::test]
async fn the_provider_is_asked_to_clear_old_results_where_it_may() {
    let request = TurnRequest { clear_results_above: Some(100_000), ..request(vec![says("Begin.")]) };
    let asked = wire_of(&request, trained()).await;
    let edit = &asked["context_management"]["edits"][0];
    assert_eq!(edit["trigger"], json!({"type": "input_tokens", "value": 100_000}));
    let without = wire_of(&request, Forms { clears_context: false, ..trained() }).await;
    assert_eq!(without.get("context_management"), None);
}
