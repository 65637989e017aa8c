use async_trait::async_trait;
use bytes::Bytes;
use serde_json::json;

use super::*;

/// Gives each picture the same bytes.
struct Given(&'static [u8]);

#[async_trait]
impl ImageSource for Given {
    async fn read(&self, _image: &Image) -> std::io::Result<Bytes> {
        Ok(Bytes::from_static(self.0))
    }
}

struct Lost;

#[async_trait]
impl ImageSource for Lost {
    async fn read(&self, _image: &Image) -> std::io::Result<Bytes> {
        Err(std::io::ErrorKind::NotFound.into())
    }
}

fn image(edge: u32) -> Image {
    let artifact = "ab".repeat(32).parse().unwrap();
    Image { artifact, media_type: "image/png".to_owned(), width: edge, height: 10, bytes: 10 }
}

fn result(call: &str, outcome: ToolOutcome, content: Vec<ResultPart>) -> UserPart {
    UserPart::ToolResult { result: ToolResult { call: call.to_owned(), outcome, content } }
}

fn text(text: &str) -> UserPart {
    UserPart::Text { text: text.to_owned() }
}

async fn translated(before: Option<&Message>, message: &Message) -> (Fragment, Value) {
    let fragment = translate(before, message, 0, &Given(b"hello")).await.unwrap();
    let json = serde_json::from_slice(&fragment.json).unwrap();
    (fragment, json)
}

async fn user(content: Vec<UserPart>) -> Value {
    translated(None, &Message::User { content }).await.1["content"].clone()
}

fn answer(verbatim: Value) -> Message {
    Message::Assistant { blocks: Vec::new(), verbatim }
}

fn picture() -> Value {
    json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGVsbG8="}})
}

#[tokio::test]
async fn an_answer_goes_back_as_it_came() {
    let verbatim = json!([
        {"type": "thinking", "thinking": "Hm.", "signature": "abc"},
        {"type": "tool_use", "id": "a", "name": "shell", "input": {"z": 1, "a": 2}, "caller": {"type": "direct"}},
        {"type": "hologram", "depth": 4},
    ]);
    let (fragment, json) = translated(None, &answer(verbatim.clone())).await;
    assert_eq!(json, json!({"role": "assistant", "content": verbatim}));
    assert!(
        String::from_utf8(fragment.json.to_vec()).unwrap().contains(r#"{"z":1,"a":2}"#),
        "the order is kept"
    );
    assert_eq!(fragment.mark_at, None);
}

#[tokio::test]
async fn empty_texts_are_left_out_because_the_provider_refuses_what_it_sent_itself() {
    let sent = json!([{"type": "text", "text": "\n"}, {"type": "text", "text": "Done."}]);
    assert_eq!(
        translated(None, &answer(sent)).await.1["content"],
        json!([{"type": "text", "text": "Done."}])
    );
    assert_eq!(
        translated(None, &answer(json!([]))).await.1["content"],
        json!([{"type": "text", "text": "(no answer)"}])
    );
    assert_eq!(user(vec![text(" "), text("Go on.")]).await, json!([{"type": "text", "text": "Go on."}]));
}

#[tokio::test]
async fn thinking_that_nothing_follows_is_left_out_because_no_answer_may_end_in_it() {
    let thinking = json!({"type": "thinking", "thinking": "Hm.", "signature": "abc"});
    let sealed = json!({"type": "redacted_thinking", "data": "sealed"});
    let (blank, said) = (json!({"type": "text", "text": ""}), json!({"type": "text", "text": "Done."}));
    let nothing = json!([{"type": "text", "text": "(no answer)"}]);
    for (sent, expected) in [
        (json!([thinking]), &nothing),
        (json!([sealed, thinking, blank]), &nothing),
        (json!([thinking, said, sealed]), &json!([thinking, said])),
    ] {
        assert_eq!(translated(None, &answer(sent.clone())).await.1["content"], *expected, "{sent}");
    }
}

#[tokio::test]
async fn a_message_with_nothing_in_it_is_refused_with_its_place() {
    let message = Message::User { content: vec![text("")] };
    let refused = translate(None, &message, 4, &Lost).await.unwrap_err();
    assert!(matches!(refused, Unsendable::EmptyMessage { index: 4 }));
}

#[tokio::test]
async fn an_answer_of_another_provider_is_rebuilt_without_its_reasoning() {
    let call = |id: &str, input: Value, malformed: Option<&str>| AssistantBlock::ToolCall {
        call: ToolCall {
            id: id.to_owned(),
            name: "shell".to_owned(),
            input,
            malformed: malformed.map(str::to_owned),
        },
    };
    let message = Message::Assistant {
        blocks: vec![
            AssistantBlock::Thinking { text: "Hm.".to_owned() },
            AssistantBlock::Text { text: "Done.".to_owned() },
            call("a", json!({"command": "ls"}), None),
            call("b", Value::Null, Some("{")),
        ],
        verbatim: Value::Null,
    };
    assert_eq!(
        translated(None, &message).await.1["content"],
        json!([
            {"type": "text", "text": "Done."},
            {"type": "tool_use", "id": "a", "name": "shell", "input": {"command": "ls"}},
            {"type": "tool_use", "id": "b", "name": "shell", "input": {"INVALID_JSON": "{"}},
        ])
    );
}

#[tokio::test]
async fn results_come_first_and_name_the_toolset_of_their_call() {
    let before = answer(json!([
        {"type": "tool_use", "id": "a", "name": "left_click", "toolset_name": "computer", "input": {}},
        {"type": "tool_use", "id": "b", "name": "shell", "input": {}},
    ]));
    let content = vec![
        text("Mind the time."),
        result("a", ToolOutcome::Done, vec![ResultPart::Image { image: image(20) }]),
        result("b", ToolOutcome::Failed, vec![ResultPart::Text { text: "exit 1".to_owned() }]),
    ];
    let (fragment, json) = translated(Some(&before), &Message::User { content }).await;
    assert_eq!(
        json["content"],
        json!([
            {"type": "tool_result", "tool_use_id": "a", "toolset_name": "computer", "content": [picture()]},
            {"type": "tool_result", "tool_use_id": "b", "content": [{"type": "text", "text": "exit 1"}], "is_error": true},
            {"type": "text", "text": "Mind the time."},
        ])
    );
    assert_eq!((fragment.pictures.count, fragment.pictures.longest.map(|(_, edge)| edge)), (1, Some(20)));
}

#[tokio::test]
async fn the_pictures_of_failed_calls_go_behind_all_results() {
    let picture_part = || ResultPart::Image { image: image(20) };
    let words = ResultPart::Text { text: "Missed.".to_owned() };
    let content = vec![
        result("a", ToolOutcome::Failed, vec![picture_part(), words]),
        result("b", ToolOutcome::Done, Vec::new()),
        text("Go on."),
    ];
    assert_eq!(
        user(content).await,
        json!([
            {"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": "Missed."}], "is_error": true},
            {"type": "tool_result", "tool_use_id": "b"},
            picture(),
            {"type": "text", "text": "Go on."},
        ])
    );
}

#[tokio::test]
async fn a_mark_fits_into_the_last_block() {
    for content in [vec![text("a \"}]}\" b")], vec![result("a", ToolOutcome::Done, Vec::new())]] {
        let (fragment, plain) = translated(None, &Message::User { content }).await;
        let (front, back) = fragment.json.split_at(fragment.mark_at.unwrap());
        let marked = [front, br#","mark":true"#, back].concat();
        let mut expected = plain;
        expected["content"][0]["mark"] = json!(true);
        assert_eq!(serde_json::from_slice::<Value>(&marked).unwrap(), expected);
    }
}

#[tokio::test]
async fn a_picture_that_is_lost_or_too_heavy_is_refused_by_its_name() {
    let message = Message::User { content: vec![UserPart::Image { image: image(20) }] };
    let lost = translate(None, &message, 0, &Lost).await.unwrap_err();
    assert!(matches!(&lost, Unsendable::ImageUnreadable { artifact, .. } if *artifact == image(20).artifact));
    let heavy = Given(vec![0; MAX_IMAGE_BYTES / 4 * 3 + 1].leak());
    let heavy = translate(None, &message, 0, &heavy).await.unwrap_err();
    assert!(matches!(&heavy, Unsendable::ImageTooHeavy { bytes, .. } if *bytes == MAX_IMAGE_BYTES + 4));
}
