//! What a script says.

use serde::Deserialize;
use serde_json::{Map, Value};

/// What the model shall answer, in order.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Script {
    /// The names of the models it serves: one, or a list.
    #[serde(default = "default_models", deserialize_with = "one_or_many", rename = "model")]
    pub models: Vec<String>,
    /// The only good key; without it any key is.
    #[serde(default)]
    pub key: Option<String>,
    /// Types of tools that the model pretends not to know, for example `computer_toolset_20260801`.
    #[serde(default)]
    pub reject_tools: Vec<String>,
    /// Whether the model reads no pictures, and the server fails at a request that has one.
    #[serde(default)]
    pub reject_images: bool,
    /// The size of the model's window in tokens; a longer prompt is refused as the provider does. Four bytes count as
    /// one token.
    #[serde(default)]
    pub max_input_tokens: Option<u64>,
    /// Requests that ask for something beside the turns, such as a summary of the conversation.
    #[serde(default)]
    pub asides: Vec<Aside>,
    /// The turns of every conversation that none of `conversations` claims.
    #[serde(default)]
    pub turns: Vec<ScriptedTurn>,
    /// What comes after the last of `turns`, over and over: an agent whose work comes back from a review.
    #[serde(default)]
    pub again: Vec<ScriptedTurn>,
    /// Turns of certain conversations; the first that matches counts.
    #[serde(default)]
    pub conversations: Vec<Conversation>,
}

/// Words for a request that is no turn. The request is known by the text at its end.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Aside {
    /// A part of the last message's text outside of results.
    pub last_text_contains: String,
    /// What is said; nothing more is done.
    pub say: String,
}

/// The turns of certain conversations.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Conversation {
    /// Which conversations.
    pub when: When,
    /// Their turns.
    pub turns: Vec<ScriptedTurn>,
}

/// What a conversation has to hold; what is not named is not looked at.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct When {
    /// A part of the system prompt.
    #[serde(default)]
    pub system_contains: Option<String>,
    /// A part of the first message's text.
    #[serde(default)]
    pub first_message_contains: Option<String>,
}

/// One answer.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScriptedTurn {
    /// Reasoning before the answer.
    #[serde(default)]
    pub thinking: Option<String>,
    /// Words.
    #[serde(default)]
    pub say: Option<String>,
    /// Tool calls.
    #[serde(default)]
    pub calls: Vec<ScriptedCall>,
    /// What the request has to hold for the script to go on; anything else is a breach.
    #[serde(default)]
    pub expect: Vec<Expectation>,
    /// What the newest picture has to show before the turn is played, in the form of `$find`. Until it does, the model
    /// waits two seconds and looks again, at most 60 times, as one that sees would wait for a slow page.
    #[serde(default)]
    pub look_for: Option<Value>,
    /// Something that goes wrong first.
    #[serde(default)]
    pub fault: Option<Fault>,
    /// A wait before the answer, in milliseconds.
    #[serde(default)]
    pub delay_ms: u64,
    /// A stop reason other than the one that follows from the calls.
    #[serde(default)]
    pub stop: Option<String>,
    /// Makes the turn a refusal with this explanation.
    #[serde(default)]
    pub refuse: Option<String>,
}

/// A tool call.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScriptedCall {
    /// The tool. Calls of `computer` take the provider's trained form where the request offers it.
    pub tool: String,
    /// The input. `{"$find": {"color": "#7c3aed", "tolerance": 12, "offset": [0, 0]}}` anywhere in it becomes the
    /// `[x, y]` centre of the largest blob of that colour in the newest picture of the request, and `{"$step": "8.3"}`
    /// becomes the step of the script's eighth turn's third call, as its result names it. `{"$feedback": {"words": "…"}}`
    /// becomes a list with one such object for each piece of the newest feedback, with its `name`.
    #[serde(default)]
    pub input: Map<String, Value>,
    /// Whether the tool is called although the request does not offer it, as a confused model does.
    #[serde(default)]
    pub unoffered: bool,
    /// The input as text, sent as it is: for JSON that is none.
    #[serde(default)]
    pub raw_input: Option<String>,
}

/// What the last message of a request has to hold.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Expectation {
    /// The last result's text has this part.
    LastResultContains(String),
    /// The last result is an error, or is none.
    LastResultIsError(bool),
    /// The last result has a picture, or has none.
    LastResultHasImage(bool),
    /// The message's text outside of results has this part.
    LastTextContains(String),
}

/// Something that goes wrong a number of times before the turn is answered.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "FaultFields")]
pub struct Fault {
    /// What goes wrong.
    pub kind: FaultKind,
    /// How many times, from 1.
    pub times: u32,
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultKind {
    /// The provider answers with an error.
    Status {
        /// The HTTP status.
        status: u16,
        /// The `retry-after` header.
        retry_after: Option<String>,
    },
    /// The connection breaks after this many events of the answer.
    CutAfterEvents(usize),
    /// Nothing more comes after this many events, and the connection stays open.
    StallAfterEvents(usize),
    /// The provider reports an overload after this many events.
    ErrorAfterEvents(usize),
    /// Every event waits for this many milliseconds.
    DripMs(u64),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct FaultFields {
    status: Option<u16>,
    retry_after: Option<String>,
    cut_after_events: Option<usize>,
    stall_after_events: Option<usize>,
    error_after_events: Option<usize>,
    drip_ms: Option<u64>,
    times: Option<u32>,
}

impl TryFrom<FaultFields> for Fault {
    type Error = &'static str;

    fn try_from(fields: FaultFields) -> Result<Self, &'static str> {
        let retry_after = fields.retry_after;
        let has_wish = retry_after.is_some();
        let kinds = [
            fields.status.map(|status| FaultKind::Status { status, retry_after }),
            fields.cut_after_events.map(FaultKind::CutAfterEvents),
            fields.stall_after_events.map(FaultKind::StallAfterEvents),
            fields.error_after_events.map(FaultKind::ErrorAfterEvents),
            fields.drip_ms.map(FaultKind::DripMs),
        ];
        let mut kinds = kinds.into_iter().flatten();
        match (kinds.next(), kinds.next()) {
            (Some(kind), None) if !has_wish || matches!(kind, FaultKind::Status { .. }) => {
                Ok(Self { kind, times: fields.times.unwrap_or(1) })
            }
            _ => Err(
                "a fault is exactly one of status (with retryAfter), cutAfterEvents, stallAfterEvents, errorAfterEvents, dripMs",
            ),
        }
    }
}

/// A text that is no script.
#[derive(Debug)]
pub struct InvalidScript(serde_json::Error);

impl std::fmt::Display for InvalidScript {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("the script is not valid")
    }
}

impl std::error::Error for InvalidScript {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

impl Script {
    /// Reads a script from JSON.
    ///
    /// # Errors
    ///
    /// [`InvalidScript`] with the line and column; unknown fields are errors.
    pub fn parse(json: &str) -> Result<Self, InvalidScript> {
        serde_json::from_str(json).map_err(InvalidScript)
    }

    /// Reads a script from a JSON value, as `serde_json::json!` makes one.
    ///
    /// # Errors
    ///
    /// [`InvalidScript`]; unknown fields are errors.
    pub fn from_value(json: Value) -> Result<Self, InvalidScript> {
        serde_json::from_value(json).map_err(InvalidScript)
    }

    /// The aside that a request with this text at its end asks for.
    pub(super) fn aside(&self, last_text: &str) -> Option<&Aside> {
        self.asides.iter().find(|aside| last_text.contains(&aside.last_text_contains))
    }

    /// The turn of a conversation with this number, from 0.
    pub(super) fn turn<'a>(
        &'a self,
        (conversation, turns): (usize, &'a [ScriptedTurn]),
        number: usize,
    ) -> Option<&'a ScriptedTurn> {
        let again: &[ScriptedTurn] = if conversation == 0 { &self.again } else { &[] };
        turns.get(number).or_else(|| again.get(number.checked_sub(turns.len())?.checked_rem(again.len())?))
    }

    /// The turns of a conversation, and the number of its list: 0 for the plain turns.
    pub(super) fn turns_of(&self, system: &str, first_message: &str) -> (usize, &[ScriptedTurn]) {
        let holds =
            |part: &Option<String>, text: &str| part.as_ref().is_none_or(|part| text.contains(part.as_str()));
        let claimed = self.conversations.iter().position(|conversation| {
            let When { system_contains, first_message_contains } = &conversation.when;
            holds(system_contains, system) && holds(first_message_contains, first_message)
        });
        match claimed {
            Some(index) => (index + 1, &self.conversations[index].turns),
            None => (0, &self.turns),
        }
    }
}

fn default_models() -> Vec<String> {
    vec!["claude-sonnet-5-5".to_owned()]
}

fn one_or_many<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::String(one) => Ok(vec![one]),
        many => serde_json::from_value(many).map_err(serde::de::Error::custom),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fault(json: Value) -> Result<Fault, String> {
        serde_json::from_value(json).map_err(|error| error.to_string())
    }

    #[test]
    fn a_misspelt_field_is_an_error_with_its_place() {
        let error = Script::parse("{\n  \"turns\": [{\"sya\": \"hello\"}]}").unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("unknown field `sya`") && cause.contains("line 2"), "{cause}");
    }

    #[test]
    fn a_fault_is_of_exactly_one_kind() {
        let status = FaultKind::Status { status: 429, retry_after: Some("1".to_owned()) };
        assert_eq!(fault(json!({"status": 429, "retryAfter": "1"})), Ok(Fault { kind: status, times: 1 }));
        let cut = Fault { kind: FaultKind::CutAfterEvents(3), times: 2 };
        assert_eq!(fault(json!({"cutAfterEvents": 3, "times": 2})), Ok(cut));
        assert!(fault(json!({"times": 2})).is_err());
        assert!(fault(json!({"status": 500, "cutAfterEvents": 3})).is_err());
        assert!(fault(json!({"cutAfterEvents": 3, "retryAfter": "1"})).is_err());
    }

    #[test]
    fn a_conversation_gets_the_first_turns_that_claim_it() {
        let script = Script::from_value(json!({
            "turns": [{"say": "worker"}],
            "conversations": [
                {"when": {"systemContains": "critic", "firstMessageContains": "dark"}, "turns": [{"say": "dark critic"}]},
                {"when": {"systemContains": "critic"}, "turns": [{"say": "critic"}]},
            ],
        }))
        .unwrap();
        let says = |system, first| script.turns_of(system, first).1[0].say.clone().unwrap();
        assert_eq!(says("You are a worker.", "dark mode"), "worker");
        assert_eq!(says("You are a critic.", "dark mode"), "dark critic");
        assert_eq!(says("You are a critic.", "light mode"), "critic");
    }

    #[test]
    fn after_the_last_plain_turn_those_of_again_come_over_and_over_and_no_other_conversation_has_them() {
        let script = Script::from_value(json!({
            "turns": [{"say": "one"}, {"say": "two"}],
            "again": [{"say": "more"}, {"say": "and more"}],
            "conversations": [{"when": {"systemContains": "critic"}, "turns": [{"say": "critic"}]}],
        }))
        .unwrap();
        let says = |system, number| {
            script.turn(script.turns_of(system, ""), number).and_then(|turn| turn.say.as_deref())
        };
        let plain: Vec<_> = (0..6).map(|number| says("", number).unwrap()).collect();
        assert_eq!(plain, ["one", "two", "more", "and more", "more", "and more"]);
        assert_eq!((says("a critic", 0), says("a critic", 1)), (Some("critic"), None));
        let once = Script::from_value(json!({"turns": [{"say": "one"}]})).unwrap();
        assert!(once.turn(once.turns_of("", ""), 1).is_none());
    }
}
