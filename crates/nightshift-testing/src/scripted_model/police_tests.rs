use serde_json::json;

use super::*;

/// The head of a PNG of the given size: enough for a picture, as far as the rules look.
fn png(width: u32, height: u32) -> Value {
    let mut bytes = b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR".to_vec();
    bytes.extend(width.to_be_bytes());
    bytes.extend(height.to_be_bytes());
    let source = json!({"type": "base64", "media_type": "image/png", "data": BASE64.encode(bytes)});
    json!({"type": "image", "source": source})
}

/// A conversation that keeps every rule: a plain call and one of the toolset, and their results.
fn good() -> Value {
    json!({
        "model": "claude-sonnet-5-5", "max_tokens": 1000, "stream": true,
        "thinking": {"type": "adaptive", "display": "summarized"},
        "system": [{"type": "text", "text": "Work.", "cache_control": {"type": "ephemeral"}}],
        "tools": [
            {"name": "shell", "description": "Runs.", "input_schema": {"type": "object", "properties": {}}},
            {"type": "computer_toolset_20260801", "configs": {"zoom": {"enabled": true}}},
        ],
        "messages": [
            {"role": "user", "content": "Begin."},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": signature("Hm.")},
                {"type": "tool_use", "id": "a", "name": "shell", "input": {"command": "ls"}, "caller": {"type": "direct"}},
                {"type": "tool_use", "id": "b", "name": "screenshot", "input": {}, "toolset_name": "computer"},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": "no"}], "is_error": true},
                {"type": "tool_result", "tool_use_id": "b", "toolset_name": "computer", "content": [png(1280, 800)]},
                {"type": "text", "text": "Go on.", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
            ]},
        ],
    })
}

fn judge(body: &Value) -> Result<Checked, String> {
    read(body).and_then(|request| check(&request)).map_err(|breach| breach.0)
}

/// Sets what stands at a place of the good conversation, and gives the breach.
fn breach_with(pointer: &str, value: Value) -> String {
    let mut body = good();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match body.pointer_mut(parent).unwrap() {
        Value::Object(fields) => {
            fields.insert(key.to_owned(), value);
        }
        Value::Array(values) => match key.parse::<usize>() {
            Ok(index) => values[index] = value,
            Err(_) => values.push(value),
        },
        other => panic!("{pointer} is in {other}"),
    }
    judge(&body).expect_err(pointer)
}

#[test]
fn a_conversation_that_keeps_the_rules_is_taken() {
    let checked = judge(&good()).unwrap();
    assert_eq!(checked.answers, 1);
    assert!(checked.newest_image.unwrap().starts_with(b"\x89PNG"));
}

#[test]
fn unknown_fields_are_breaches_at_every_depth() {
    for place in [
        "/surprise",
        "/system/0/surprise",
        "/thinking/surprise",
        "/tools/0/surprise",
        "/tools/1/surprise",
        "/messages/0/surprise",
        "/messages/1/content/0/surprise",
        "/messages/1/content/1/surprise",
        "/messages/2/content/0/surprise",
        "/messages/2/content/1/content/0/surprise",
        "/messages/2/content/1/content/0/source/surprise",
        "/messages/2/content/2/cache_control/surprise",
    ] {
        assert!(breach_with(place, json!(1)).contains("surprise"), "{place}");
    }
    assert!(breach_with("/tools/1/configs/surprise", json!({})).contains("no member"));
    assert!(
        breach_with("/messages/2/content/-", json!({"type": "surprise"}))
            .contains("unknown variant `surprise`")
    );
}

#[test]
fn sampling_parameters_are_gone() {
    for field in ["/temperature", "/top_p", "/top_k"] {
        assert!(breach_with(field, json!(1)).contains("not supported"), "{field}");
    }
}

#[test]
fn a_choice_of_tools_cannot_be_forced_and_effort_has_five_levels() {
    assert!(breach_with("/tool_choice", json!({"type": "any"})).contains("unknown variant `any`"));
    assert!(
        breach_with("/output_config", json!({"effort": "extreme"})).contains("unknown variant `extreme`")
    );
    assert!(breach_with("/system/0", png(1, 1)).contains("only text blocks"));
}

#[test]
fn a_breach_names_the_message_it_is_in() {
    assert!(breach_with("/messages/2/content/1/surprise", json!(1)).starts_with("messages.2: "));
    assert!(breach_with("/messages/2/content/2/text", json!(" ")).starts_with("messages.2.content.2: "));
}

#[test]
fn roles_alternate_and_the_user_has_the_first_and_the_last_word() {
    assert!(breach_with("/messages/0/role", json!("assistant")).contains("alternate"));
    assert!(breach_with("/messages/-", json!({"role": "user", "content": "more"})).contains("alternate"));
    assert!(breach_with("/messages", json!([])).contains("at least one"));
    let mut body = good();
    body["messages"].as_array_mut().unwrap().pop();
    assert!(judge(&body).unwrap_err().contains("prefill"));
}

#[test]
fn each_call_has_one_result_and_results_come_first() {
    let result = |id: &str| json!({"type": "tool_result", "tool_use_id": id});
    let screenshot = json!({"type": "tool_result", "tool_use_id": "b", "toolset_name": "computer"});
    let results = |results: Value| breach_with("/messages/2/content", results);
    assert!(results(json!([result("a")])).contains("without `tool_result` blocks immediately after: b"));
    assert!(results(json!([result("a"), result("a"), screenshot])).contains("a single result"));
    assert!(results(json!([result("c"), result("a"), screenshot])).contains("unexpected `tool_use_id`"));
    let text = json!({"type": "text", "text": "first"});
    assert!(results(json!([text, result("a"), screenshot])).contains("before all others"));
}

#[test]
fn a_result_names_the_toolset_of_its_call_and_no_other() {
    assert!(breach_with("/messages/2/content/1/toolset_name", json!("browser")).contains("toolset_name"));
    assert!(breach_with("/messages/2/content/1/toolset_name", Value::Null).contains("toolset_name"));
    assert!(breach_with("/messages/2/content/0/toolset_name", json!("computer")).contains("toolset_name"));
}

#[test]
fn the_result_of_a_failed_call_is_text_alone() {
    assert!(breach_with("/messages/2/content/1/is_error", json!(true)).contains("`is_error` is true"));
}

#[test]
fn altered_reasoning_is_noticed() {
    assert!(breach_with("/messages/1/content/0/thinking", json!("Hm!")).contains("signature"));
    assert!(breach_with("/messages/1/content/0/signature", json!("forged")).contains("signature"));
}

#[test]
fn no_answer_ends_in_reasoning() {
    let said = json!({"type": "text", "text": "Done."});
    let sealed = json!({"type": "redacted_thinking", "data": "sealed"});
    let thinking = json!({"type": "thinking", "thinking": "Hm.", "signature": signature("Hm.")});
    for content in [json!([thinking]), json!([thinking, said, sealed])] {
        assert!(breach_with("/messages/1/content", content).contains("final block"));
    }
}

#[test]
fn a_picture_is_what_it_says_and_within_the_limits() {
    let picture = "/messages/2/content/1/content/0";
    let source = |field: &str| format!("{picture}/source/{field}");
    assert!(breach_with(&source("media_type"), json!("image/jpeg")).contains("the image is image/png"));
    assert!(breach_with(&source("data"), json!("a b")).contains("base64"));
    assert!(breach_with(&source("data"), json!("aGVsbG8=")).contains("Could not process image"));
    assert!(breach_with(&source("data"), json!("a".repeat(MAX_IMAGE_BYTES + 1))).contains("5 MB"));
    assert!(breach_with(picture, png(8001, 10)).contains("8000"));
}

#[test]
fn many_pictures_have_to_be_smaller_and_are_limited_in_number() {
    let with = |count: usize, edge: u32| {
        let mut body = good();
        let pictures = std::iter::repeat_n(png(10, edge), count - 1);
        body["messages"][2]["content"].as_array_mut().unwrap().extend(pictures);
        judge(&body).map(|_| ())
    };
    assert_eq!(with(20, 2001), Ok(()));
    assert!(with(21, 2001).unwrap_err().contains("2000 pixels"));
    assert_eq!(with(100, 2000), Ok(()));
    assert!(with(101, 10).unwrap_err().contains("too many images"));
}

#[test]
fn tools_have_unique_names_and_object_schemas_of_a_known_type() {
    assert!(breach_with("/tools/0/input_schema", json!({"type": "string"})).contains("\"object\""));
    assert!(breach_with("/tools/0/name", json!("a tool")).contains("no name"));
    assert!(breach_with("/tools/0/name", json!("computer")).contains("unique"));
    assert!(breach_with("/tools/1/type", json!("computer_20241022")).contains("'computer_20241022'"));
}

#[test]
fn four_cache_marks_are_the_most() {
    let mark = json!({"type": "ephemeral"});
    let mut body = good();
    body["tools"][0]["cache_control"] = mark.clone();
    body["messages"][2]["content"][0]["cache_control"] = mark.clone();
    assert!(judge(&body).is_ok());
    body["messages"][2]["content"][1]["content"][0]["cache_control"] = mark;
    assert!(judge(&body).unwrap_err().contains("Found 5"));
}

#[test]
fn an_empty_text_is_refused_in_results_too() {
    assert!(breach_with("/messages/2/content/0/content/0/text", json!("")).contains("non-empty"));
    assert!(breach_with("/system/0/text", json!("")).contains("non-empty"));
    assert!(breach_with("/messages/0/content", json!([])).contains("non-empty"));
}

#[test]
fn an_answer_holds_no_results_and_a_question_no_calls() {
    let call = json!({"type": "tool_use", "id": "c", "name": "shell", "input": {}});
    assert!(breach_with("/messages/0/content", json!([call])).contains("no block of a user's message"));
    assert!(breach_with("/messages/1/content/-", png(1, 1)).contains("no block of an assistant's message"));
    assert!(breach_with("/messages/1/content/1/input", json!("text")).contains("invalid type"));
}
