//! A scripted turn as the events of a streamed answer.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::find::{NotFound, Seen, resolve, shows};
use super::police::{Breach, COMPUTER_MEMBERS, Checked};
use super::protocol::{Protocol, Said};
use super::script::{Expectation, ScriptedCall, ScriptedTurn};
use super::trained::{Offered, offered};
use super::wire::{Block, Request, Role, joined};

/// How often a model looks again before it gives up.
const MOST_LOOKS: usize = 60;

/// What tells the calls of looking again from those of the script.
const LOOK: &str = "look";
/// How ids of such calls begin, at Anthropic and at OpenAI.
const LOOK_IDS: [&str; 2] = ["toolu_look", "call_look"];
const CALL_ID: &str = "toolu_";

/// How many characters a piece of streamed text has.
const PIECE: usize = 24;

/// One event of a stream: its name, and its data.
pub(super) type Event = (&'static str, Value);

/// An answer, and the breach that comes with it where the script could not be played as written.
#[derive(Debug, PartialEq)]
pub(super) struct Answer {
    pub(super) events: Vec<Event>,
    pub(super) breach: Option<Breach>,
}

/// What the model signs its reasoning with; the same text has the same signature, also after a restart.
pub(super) fn signature(thinking: &str) -> String {
    BASE64.encode(Sha256::digest(format!("nightshift-scripted-model\n{thinking}")))
}

/// Checks what the script expects of a request at this turn.
pub(super) fn check_expectations(turn: &ScriptedTurn, request: &Request) -> Result<(), Breach> {
    let last = request.messages.last().map(|message| message.content.as_slice()).unwrap_or_default();
    let result = last.iter().rfind(|block| matches!(block, Block::ToolResult { .. }));
    let result_text = result.map(Block::text).unwrap_or_default();
    let (is_error, has_image) = match result {
        Some(Block::ToolResult { is_error, content, .. }) => {
            (Some(*is_error), content.iter().any(|part| matches!(part, Block::Image { .. })))
        }
        _ => (None, false),
    };
    let text = last_text(request);
    for expectation in &turn.expect {
        let met = match expectation {
            Expectation::LastResultContains(part) => result_text.contains(part),
            Expectation::LastResultIsError(expected) => is_error == Some(*expected),
            Expectation::LastResultHasImage(expected) => has_image == *expected,
            Expectation::LastTextContains(part) => text.contains(part),
        };
        if !met {
            let is: String = format!("{result_text}\n{text}").chars().take(1000).collect();
            return Err(Breach(format!(
                "the script expects {expectation:?}, but the last message has is_error {is_error:?}, an image: {has_image}, and says: {is}"
            )));
        }
    }
    Ok(())
}

/// The text of the last message outside of results.
pub(super) fn last_text(request: &Request) -> String {
    let last = request.messages.last().map(|message| message.content.as_slice()).unwrap_or_default();
    let texts = last.iter().filter(|block| matches!(block, Block::Text { .. })).map(Block::text);
    texts.collect::<Vec<_>>().join("\n")
}

/// Plays a turn. The error is a script that does not fit the request.
pub(super) fn play(
    turn: &ScriptedTurn,
    request: &Request,
    checked: &Checked,
    place: &Place,
    protocol: Protocol,
) -> Result<Answer, Breach> {
    let seed = seed(request, checked.answers.max(place.turns.len()));
    if let Some(target) = turn.look_for.as_ref().filter(|_| place.looks < MOST_LOOKS)
        && matches!(shows(target, checked.newest_image.as_deref()), Err(NotFound::NotThere { .. }))
    {
        return look_again(request, &seed, protocol);
    }
    let mut blocks = Vec::new();
    for (index, call) in turn.calls.iter().enumerate() {
        match call_block(
            call,
            index,
            &seed,
            request,
            &Seen { newest: checked.newest_image.as_deref(), place },
        )? {
            Ok(block) => blocks.push(block),
            Err(not_found) => return Ok(not_found_answer(&not_found, request, &seed, protocol)),
        }
    }
    if let Some(say) = &turn.say {
        blocks.insert(0, json!({"type": "text", "text": say}));
    }
    if let Some(thinking) = &turn.thinking {
        blocks.insert(0, json!({"type": "thinking", "thinking": thinking, "signature": signature(thinking)}));
    }
    let (stop, details) = match (&turn.refuse, &turn.stop) {
        (Some(explanation), _) => {
            ("refusal", json!({"type": "refusal", "category": null, "explanation": explanation}))
        }
        (None, Some(stop)) => (stop.as_str(), Value::Null),
        (None, None) if turn.calls.is_empty() => ("end_turn", Value::Null),
        (None, None) => ("tool_use", Value::Null),
    };
    Ok(Answer { events: events(protocol, &blocks, stop, &details, request, &seed), breach: None })
}

/// Waits a little: the answer that stands between scripted turns while something is not on the screen yet.
fn look_again(request: &Request, seed: &str, protocol: Protocol) -> Result<Answer, Breach> {
    let mut input = Map::new();
    input.insert("action".to_owned(), json!("wait"));
    input.insert("duration".to_owned(), json!(2));
    let call = ScriptedCall { tool: "computer".to_owned(), input, unoffered: false, raw_input: None };
    let seed = format!("{LOOK}{seed}");
    match call_block(&call, 0, &seed, request, &Seen { newest: None, place: &Place::default() })? {
        Ok(block) => Ok(Answer {
            events: events(protocol, &[block], "tool_use", &Value::Null, request, &seed),
            breach: None,
        }),
        Err(not_found) => Ok(not_found_answer(&not_found, request, &seed, protocol)),
    }
}

/// Where a conversation is in its script. It follows from the conversation alone.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// The number of the turn, from 1, that each scripted turn so far came to be.
    pub(super) turns: Vec<usize>,
    /// How often was looked again since the last of them.
    pub(super) looks: usize,
    /// The names of the pieces of the newest feedback, such as `f1`.
    pub(super) feedback: Vec<String>,
}

impl Place {
    pub(super) fn of(request: &Request) -> Self {
        let mut place = Self::default();
        let answers =
            request.messages.iter().enumerate().filter(|(_, message)| message.role == Role::Assistant);
        for (number, (index, answer)) in (1..).zip(answers) {
            let looked = matches!(answer.content.first(), Some(Block::ToolUse { id, .. }) if LOOK_IDS.iter().any(|look| id.starts_with(look)));
            if looked {
                place.looks += 1;
            } else {
                // A run's turns are numbered through; this conversation may have begun in the middle of it.
                let told =
                    request.messages.get(index + 1).and_then(|results| turn_told(&joined(&results.content)));
                place.turns.push(told.unwrap_or(number));
                place.looks = 0;
            }
        }
        if let Some(turns) = turns_before_a_summary(request) {
            place = Self { turns: (1..=turns).collect(), ..Self::default() };
        }
        let messages = request.messages.iter().rev().filter(|message| message.role == Role::User);
        let texts = messages.map(|message| joined(&message.content));
        place.feedback =
            texts.map(|text| feedback_in(&text)).find(|names| !names.is_empty()).unwrap_or_default();
        place
    }
}

/// The turn of the last step that results name.
fn turn_told(results: &str) -> Option<usize> {
    results.rsplit_once("[step ")?.1.split('.').next()?.parse().ok()
}

/// The names of the feedback that a message brings: each begins a line, and what others wrote is indented.
fn feedback_in(message: &str) -> Vec<String> {
    let Some((_, list)) = message.split_once("Your pull request has feedback") else { return Vec::new() };
    let names = list.lines().filter_map(|line| line.split_once(" ("));
    let is_name = |name: &str| {
        name.strip_prefix('f')
            .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
    };
    names.map(|(name, _)| name).filter(|name| is_name(name)).map(str::to_owned).collect()
}

/// How many turns there were, where a summary took the place of the older ones: the newest result names its step.
fn turns_before_a_summary(request: &Request) -> Option<usize> {
    let first = request.messages.first().map(|message| joined(&message.content))?;
    if !first.contains("was replaced by this summary") {
        return None;
    }
    request.messages.iter().rev().find_map(|message| turn_told(&joined(&message.content)))
}

fn not_found_answer(not_found: &NotFound, request: &Request, seed: &str, protocol: Protocol) -> Answer {
    let said = json!({"type": "text", "text": not_found.to_string()});
    Answer {
        events: events(protocol, &[said], "end_turn", &Value::Null, request, seed),
        breach: Some(Breach(not_found.to_string())),
    }
}

/// Makes ids differ between conversations and turns, and be the same when a request is repeated.
fn seed(request: &Request, answers: usize) -> String {
    let first = request.messages.first().map(|message| joined(&message.content)).unwrap_or_default();
    let digest = Sha256::digest(format!("{answers}\n{}\n{first}", joined(&request.system)));
    digest.iter().take(10).map(|byte| format!("{byte:02x}")).collect()
}

/// The block of a call in the form in which the request offers its tool.
fn call_block(
    call: &ScriptedCall,
    index: usize,
    seed: &str,
    request: &Request,
    seen: &Seen<'_>,
) -> Result<Result<Value, NotFound>, Breach> {
    let input = match resolve(&call.input, seen) {
        Ok(input) => input,
        Err(not_found) => return Ok(Err(not_found)),
    };
    let id = format!("{CALL_ID}{seed}{index:02}");
    let Offered { name, toolset, input } = match call.unoffered {
        true => Offered { name: call.tool.clone(), toolset: None, input },
        false => offered(&call.tool, input, request, &COMPUTER_MEMBERS)?,
    };
    let mut block = json!({"type": "tool_use", "id": id, "caller": {"type": "direct"}, "name": name});
    if let Some(toolset) = toolset {
        block["toolset_name"] = json!(toolset);
    }
    block["input"] = match &call.raw_input {
        Some(raw) => Value::String(raw.clone()),
        None => Value::Object(input),
    };
    Ok(Ok(block))
}

/// The events of an answer in the protocol of its request.
fn events(
    protocol: Protocol,
    blocks: &[Value],
    stop: &str,
    details: &Value,
    request: &Request,
    seed: &str,
) -> Vec<Event> {
    let usage = usage(request, blocks);
    protocol.events(&Said { blocks, stop, details, seed, usage: &usage, model: &request.model })
}

/// A text as it is streamed.
pub(super) fn pieces(text: &str) -> impl Iterator<Item = String> {
    let characters: Vec<char> = text.chars().collect();
    characters.chunks(PIECE).map(String::from_iter).collect::<Vec<_>>().into_iter()
}

/// Counts four bytes as a token, and a picture as 1334 (1280 × 800); with a cache mark, all but the newest message
/// counts as read from the cache.
fn usage(request: &Request, blocks: &[Value]) -> Value {
    let tokens = |blocks: &[Block]| -> u64 { blocks.iter().map(block_tokens).sum() };
    let (last, before) = match request.messages.split_last() {
        Some((last, before)) => (tokens(&last.content), before),
        None => (0, [].as_slice()),
    };
    let before: u64 =
        tokens(&request.system) + before.iter().map(|message| tokens(&message.content)).sum::<u64>();
    let output: u64 = blocks.iter().map(|block| length_tokens(block.to_string().len())).sum();
    let is_cached = request.messages.iter().any(|message| message.content.iter().any(Block::has_cache_mark));
    let has_answers = request.messages.len() > 1;
    let (input, read, written) = match (is_cached, has_answers) {
        (false, _) => (before + last, 0, 0),
        (true, false) => (3, 0, before + last),
        (true, true) => (3, before, last),
    };
    json!({
        "input_tokens": input, "cache_read_input_tokens": read, "cache_creation_input_tokens": written,
        "output_tokens": output.max(1), "output_tokens_details": null, "server_tool_use": null,
    })
}

/// The size of a request's prompt in tokens, by the same measure.
pub(super) fn prompt_tokens(request: &Request) -> u64 {
    let usage = usage(request, &[]);
    let figure = |name: &str| usage[name].as_u64().unwrap_or_default();
    figure("input_tokens") + figure("cache_read_input_tokens") + figure("cache_creation_input_tokens")
}

fn block_tokens(block: &Block) -> u64 {
    match block {
        Block::Text { text, .. } => length_tokens(text.len()),
        Block::Image { .. } => 1334,
        Block::ToolUse { input, .. } => length_tokens(Value::Object(input.clone()).to_string().len()),
        Block::ToolResult { content, .. } => content.iter().map(block_tokens).sum(),
        Block::Thinking { thinking, .. } => length_tokens(thinking.len()),
        Block::RedactedThinking { data } => length_tokens(data.len()),
    }
}

fn length_tokens(bytes: usize) -> u64 {
    u64::try_from(bytes.div_ceil(4)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(messages: Value) -> Place {
        Place::of(
            &serde_json::from_value(json!({"model": "m", "max_tokens": 1, "messages": messages})).unwrap(),
        )
    }

    fn said(id: &str) -> Value {
        json!({"role": "assistant", "content": [{"type": "tool_use", "id": id, "name": "shell", "input": {}}]})
    }

    fn result(id: &str, text: &str) -> Value {
        let text = json!([{"type": "text", "text": text}]);
        json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": id, "content": text}]})
    }

    #[test]
    fn turns_have_the_numbers_that_results_name_and_a_look_again_is_none() {
        let told = place(json!([
            {"role": "user", "content": "Look."},
            said("a"), result("a", "ok [step 2.1]\n[step 16.1]"),
            said("toolu_look1"), result("toolu_look1", "[step 17.1]"),
            said("b"), result("b", "[step 18.2]"),
            said("c"), result("c", "an answer without a step"),
        ]));
        assert_eq!(told, Place { turns: vec![16, 18, 4], looks: 0, feedback: Vec::new() });
    }

    #[test]
    fn the_names_of_the_newest_feedback_are_those_that_begin_a_line_and_none_that_others_wrote() {
        let first = "Your pull request has feedback (round 1).\n\nf1 (a review of ada):\n    Shorter.\n    f9 (no name):\n";
        let second = "Your pull request has feedback (round 2).\n\nf2 (on a.rs line 3):\n    Why?\n\nf3 (a comment of bo):\n    No.\n";
        let user = |text: &str| json!({"role": "user", "content": text});
        assert_eq!(place(json!([user(first), said("a"), result("a", "[step 3.1]")])).feedback, ["f1"]);
        assert_eq!(place(json!([user(first), said("a"), user(second)])).feedback, ["f2", "f3"]);
        assert_eq!(place(json!([user("f1 (of nobody):")])).feedback, Vec::<String>::new());
    }
}
