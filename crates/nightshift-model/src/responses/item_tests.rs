use std::sync::Arc;

use bytes::Bytes;
use nightshift_protocol::{ToolCall, ToolOutcome};

use super::*;

struct Given;

#[async_trait]
impl ImageSource for Given {
    async fn read(&self, _image: &Image) -> std::io::Result<Bytes> {
        Ok(Bytes::from_static(b"hello"))
    }
}

async fn translated(before: Option<&Message>, message: &Message) -> Value {
    let fragment = Items.translate(before, message, 0, &Given).await.unwrap();
    serde_json::from_str(&format!("[{}]", std::str::from_utf8(&fragment.json).unwrap())).unwrap()
}

fn image() -> ResultPart {
    let artifact = "ab".repeat(32).parse().unwrap();
    ResultPart::Image {
        image: Image { artifact, media_type: "image/png".to_owned(), width: 1, height: 1, bytes: 5 },
    }
}

fn result(call: &str, outcome: ToolOutcome, content: Vec<ResultPart>) -> UserPart {
    UserPart::ToolResult { result: ToolResult { call: call.to_owned(), outcome, content } }
}

fn text(text: &str) -> ResultPart {
    ResultPart::Text { text: text.to_owned() }
}

fn answer(output: &Value) -> Message {
    Message::Assistant { blocks: Vec::new(), verbatim: json!({"output": output}) }
}

fn screen_call() -> Message {
    let call = json!({"type": "computer_call", "id": "cu", "call_id": "c", "status": "completed",
        "actions": [{"type": "click", "button": "left", "x": 1, "y": 2}],
        "pending_safety_checks": [{"id": "s", "code": null, "message": "Look out."}]});
    answer(&json!([call]))
}

#[tokio::test]
async fn an_answer_goes_back_as_it_came() {
    let output = json!([
        {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": "sealed", "novel": 1},
        {"type": "function_call", "id": "fc", "call_id": "c", "name": "shell", "arguments": "{}", "novel": 2},
    ]);
    assert_eq!(translated(None, &answer(&output)).await, output);
}

#[tokio::test]
async fn reasoning_that_would_be_looked_up_or_led_to_nothing_does_not_go_back() {
    let call =
        json!({"type": "function_call", "id": "fc", "call_id": "c", "name": "shell", "arguments": "{}"});
    let reasoning =
        |sealed: Value| json!({"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": sealed});
    let sealed = reasoning(json!("sealed"));
    let clear = json!({"type": "reasoning", "id": "rs", "summary": [],
        "content": [{"type": "reasoning_text", "text": "Hm."}]});
    let nothing = json!([{"role": "assistant", "content": "(no answer)"}]);
    for (output, expected) in [
        (json!([reasoning(Value::Null), call]), json!([call])),
        (json!([reasoning(json!("")), call]), json!([call])),
        (json!([clear, call]), json!([clear, call])),
        (json!([sealed, call, sealed]), json!([sealed, call])),
        (json!([sealed]), nothing),
    ] {
        assert_eq!(translated(None, &answer(&output)).await, expected, "{output}");
    }
}

#[tokio::test]
async fn all_actions_of_a_call_are_answered_once_with_the_newest_picture() {
    let content = vec![
        result("c-1", ToolOutcome::Done, vec![text("[step 1.1]"), image()]),
        result("c-2", ToolOutcome::Done, vec![text("[step 1.2]"), image()]),
    ];
    let items = translated(Some(&screen_call()), &Message::User { content }).await;
    assert_eq!(
        items,
        json!([
            {"type": "computer_call_output", "call_id": "c",
             "output": {"type": "computer_screenshot", "image_url": "data:image/png;base64,aGVsbG8="},
             "acknowledged_safety_checks": [{"id": "s", "code": null, "message": "Look out."}]},
            {"role": "user", "content": [{"type": "input_text",
             "text": "Note from Nightshift on the screen's call c: action 1: [step 1.1]\naction 2: [step 1.2]"}]},
        ])
    );
}

#[tokio::test]
async fn a_call_that_came_to_no_picture_says_so() {
    let content = vec![
        result("c-1", ToolOutcome::Failed, vec![text("The point is outside the screen.")]),
        result("c-2", ToolOutcome::Failed, vec![text("Not executed.")]),
    ];
    let items = translated(Some(&screen_call()), &Message::User { content }).await;
    assert_eq!(items[0]["output"]["image_url"], NO_PICTURE);
    let words = items[1]["content"][0]["text"].as_str().unwrap();
    assert!(
        words.contains("action 1: The point") && words.ends_with("there is no picture of the screen"),
        "{words}"
    );
}

#[tokio::test]
async fn another_provider_s_answer_is_rebuilt_and_its_results_fit() {
    let call = ToolCall {
        id: "toolu_1".to_owned(),
        name: "shell".to_owned(),
        input: json!({"command": "ls"}),
        malformed: None,
    };
    let blocks = vec![
        AssistantBlock::Thinking { text: "Hm.".to_owned() },
        AssistantBlock::Text { text: "I look.".to_owned() },
        AssistantBlock::ToolCall { call },
    ];
    let answer = Message::Assistant { blocks, verbatim: json!([{"type": "text", "text": "I look."}]) };
    assert_eq!(
        translated(None, &answer).await,
        json!([
            {"role": "assistant", "content": "I look."},
            {"type": "function_call", "call_id": "toolu_1", "name": "shell", "arguments": "{\"command\":\"ls\"}"},
        ])
    );
    let content = vec![result("toolu_1", ToolOutcome::Done, vec![text("a"), image()])];
    let items = translated(Some(&answer), &Message::User { content }).await;
    assert_eq!(items[0]["output"][1]["detail"], "original");
}

#[tokio::test]
async fn a_message_with_nothing_in_it_is_named_by_its_place() {
    let empty = Arc::new(Message::User { content: vec![UserPart::Text { text: " ".to_owned() }] });
    let refused = Items.translate(None, &empty, 4, &Given).await.unwrap_err();
    assert!(matches!(refused, Unsendable::EmptyMessage { index: 4 }));
}
