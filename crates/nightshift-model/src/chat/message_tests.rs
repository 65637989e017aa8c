use bytes::Bytes;
use nightshift_protocol::{ToolCall, ToolOutcome, ToolResult};

use super::*;

struct Given;

#[async_trait]
impl ImageSource for Given {
    async fn read(&self, _image: &Image) -> std::io::Result<Bytes> {
        Ok(Bytes::from_static(b"hello"))
    }
}

async fn translated(shown: Shown, message: &Message) -> Value {
    let fragment = ChatForm(shown).translate(None, message, 0, &Given).await.unwrap();
    serde_json::from_str(&format!("[{}]", std::str::from_utf8(&fragment.json).unwrap())).unwrap()
}

fn seen() -> Message {
    let artifact = "ab".repeat(32).parse().unwrap();
    let image = Image { artifact, media_type: "image/png".to_owned(), width: 1, height: 1, bytes: 5 };
    let content = vec![ResultPart::Text { text: "[step 1.1]".to_owned() }, ResultPart::Image { image }];
    let result = ToolResult { call: "a".to_owned(), outcome: ToolOutcome::Done, content };
    Message::User { content: vec![UserPart::ToolResult { result }] }
}

#[tokio::test]
async fn pictures_of_results_stand_behind_them() {
    assert_eq!(
        translated(Shown::Pictures, &seen()).await,
        json!([
            {"role": "tool", "tool_call_id": "a", "content": "[step 1.1]"},
            {"role": "user", "content": [
                {"type": "text", "text": "The picture of a:"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGVsbG8="}}]},
        ])
    );
}

#[tokio::test]
async fn a_model_without_eyes_is_told_that_there_was_a_picture() {
    assert_eq!(
        translated(Shown::Words, &seen()).await,
        json!([{"role": "tool", "tool_call_id": "a", "content": format!("[step 1.1]\n{LEFT_OUT}")}])
    );
}

#[tokio::test]
async fn reasoning_and_unknown_fields_stay_here_and_bad_arguments_are_wrapped() {
    let verbatim = json!({"role": "assistant", "content": "", "reasoning_content": "Hm.", "novel": 1, "tool_calls": [
        {"id": "a", "type": "function", "function": {"name": "shell", "arguments": "{oops"}},
        {"id": "b", "type": "function", "function": {"name": "plan", "arguments": ""}}]});
    let message = Message::Assistant { blocks: Vec::new(), verbatim };
    assert_eq!(
        translated(Shown::Pictures, &message).await,
        json!([{"role": "assistant", "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "shell", "arguments": "{\"INVALID_JSON\":\"{oops\"}"}},
            {"id": "b", "type": "function", "function": {"name": "plan", "arguments": "{}"}}]}])
    );
}

#[tokio::test]
async fn another_provider_s_answer_is_rebuilt() {
    let call = ToolCall {
        id: "toolu_1".to_owned(),
        name: "shell".to_owned(),
        input: json!({"command": "ls"}),
        malformed: None,
    };
    let blocks = vec![AssistantBlock::Text { text: "I look.".to_owned() }, AssistantBlock::ToolCall { call }];
    let message = Message::Assistant { blocks, verbatim: json!([]) };
    let function = json!({"name": "shell", "arguments": "{\"command\":\"ls\"}"});
    assert_eq!(
        translated(Shown::Pictures, &message).await,
        json!([{"role": "assistant", "content": "I look.", "tool_calls":
            [{"id": "toolu_1", "type": "function", "function": function}]}])
    );
}
