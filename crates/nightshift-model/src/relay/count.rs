//! What a relayed call used, read from its answer on the way. It reads what it understands and is never in the way of the
//! rest.

use std::time::Duration;

use nightshift_protocol::Usage;
use serde_json::Value;

use crate::dialect::tokens;
use crate::json::parsed;
use crate::server_sent_events::EventReader;

/// The longest event, or answer in one piece, that is looked into, in bytes.
const LONGEST: usize = 4 * 1024 * 1024;

/// Bytes of an answer for one token of it, where the provider does not count: a stream wraps each in some hundred.
const BYTES_A_TOKEN: u64 = 4;

/// Tokens that a model has written in a second, where its answer was cut and they cannot be seen: what it thought first is paid
/// and not streamed. Few are faster.
const TOKENS_A_SECOND: u64 = 100;

/// Reads figures from an answer.
#[derive(Debug)]
pub(crate) struct Counter {
    form: Form,
    /// What the call may use at worst: the request's tokens, estimated, and the most that it may write.
    worst: Usage,
    bytes: u64,
    usage: Option<Usage>,
    model: Option<String>,
    /// Whether the answer said what it used when it was whole: figures before that tell of what was read alone.
    is_final: bool,
    streams: bool,
    /// Whether a stream said that it is at its end.
    said_end: bool,
    /// Whether the answer came to its end.
    is_whole: bool,
}

#[derive(Debug)]
enum Form {
    Events(EventReader),
    Whole(Vec<u8>),
    /// Too long to look into.
    Unread,
}

impl Counter {
    pub(crate) fn new(streams: bool, worst: Usage) -> Self {
        let form = if streams { Form::Events(EventReader::new(LONGEST)) } else { Form::Whole(Vec::new()) };
        Self {
            form,
            worst,
            bytes: 0,
            usage: None,
            model: None,
            is_final: false,
            streams,
            said_end: false,
            is_whole: false,
        }
    }

    pub(crate) fn take(&mut self, bytes: &[u8]) {
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        match &mut self.form {
            Form::Events(events) => {
                if events.push(bytes).is_err() {
                    self.form = Form::Unread;
                    return;
                }
                let mut read = Vec::new();
                while let Some(event) = events.next() {
                    self.said_end |= event.data.trim() == "[DONE]";
                    read.extend(parsed(event.data.as_bytes()));
                }
                read.iter().for_each(|event| self.read(event));
            }
            Form::Whole(whole) if whole.len() + bytes.len() <= LONGEST => whole.extend_from_slice(bytes),
            Form::Whole(_) => self.form = Form::Unread,
            Form::Unread => {}
        }
    }

    /// Notes that nothing more comes. A stream that did not say that it is at its end was cut all the same: by the provider, or by
    /// what is between.
    pub(crate) fn end(&mut self) {
        self.is_whole = !self.streams || self.said_end || matches!(self.form, Form::Unread);
    }

    /// What it used so far, and the model's name where it was told. `took` is the time since the request was sent.
    pub(crate) fn counted(&self, took: Duration) -> (Usage, Option<String>) {
        let mut whole = Self { form: Form::Unread, usage: self.usage, model: self.model.clone(), ..*self };
        if let Form::Whole(bytes) = &self.form
            && let Some(answer) = parsed(bytes)
        {
            whole.read(&answer);
        }
        let estimated = Usage {
            input_tokens: self.worst.input_tokens,
            output_tokens: self.written(took),
            ..Usage::default()
        };
        let mut usage = whole.usage.unwrap_or(estimated);
        if !whole.is_final {
            // It was cut, or says nothing.
            usage.output_tokens = usage.output_tokens.max(estimated.output_tokens);
        }
        (usage, whole.model)
    }

    /// Tokens that were written, where the answer does not say. The provider holds what the request allows.
    fn written(&self, took: Duration) -> u64 {
        let came = self.bytes / BYTES_A_TOKEN;
        let written = match (self.is_whole, self.streams) {
            (true, _) => came,
            (false, true) => streamed(self.bytes, took),
            // All of it was written before it began to come.
            (false, false) => self.worst.output_tokens,
        };
        written.min(self.worst.output_tokens)
    }

    /// Figures are totals of the whole answer, and are left out where they have not changed.
    fn read(&mut self, value: &Value) {
        let closes = closes(value);
        self.said_end |= closes;
        for part in [Some(value), value.get("message"), value.get("response")].into_iter().flatten() {
            if let Some(model) = part.get("model").and_then(Value::as_str) {
                self.model = Some(model.chars().take(200).collect());
            }
            let Some(figures) = part.get("usage").filter(|usage| usage.is_object()) else { continue };
            self.is_final |= closes;
            let usage = self.usage.get_or_insert_default();
            let passes = figures.get("iterations").and_then(Value::as_array);
            let figure = |path: &str| {
                // One that sums the conversation up on the way is paid beside the answer, and stands in no total.
                let each = passes.into_iter().flatten().filter_map(|pass| tokens(Some(pass), path));
                let sum = each.reduce(u64::saturating_add).map(|sum| sum.min(u64::from(u32::MAX)));
                tokens(Some(figures), path).max(sum)
            };
            let set = |into: &mut u64, tokens: Option<u64>| *into = tokens.unwrap_or(*into);
            // OpenAI counts what was cached into what was read, Anthropic beside it.
            let cached = figure("/input_tokens_details/cached_tokens")
                .or_else(|| figure("/prompt_tokens_details/cached_tokens"));
            set(&mut usage.cache_read_tokens, figure("/cache_read_input_tokens").or(cached));
            set(&mut usage.cache_write_tokens, figure("/cache_creation_input_tokens"));
            set(&mut usage.cache_write_hour_tokens, figure("/cache_creation/ephemeral_1h_input_tokens"));
            let read = figure("/input_tokens").or_else(|| figure("/prompt_tokens"));
            set(&mut usage.input_tokens, read.map(|read| read.saturating_sub(cached.unwrap_or(0))));
            set(&mut usage.output_tokens, figure("/output_tokens").or_else(|| figure("/completion_tokens")));
        }
    }
}

/// Tokens that a model can have written of a stream that was cut after so many bytes, so long after its request was sent.
pub(crate) fn streamed(bytes: u64, took: Duration) -> u64 {
    (bytes / BYTES_A_TOKEN).max(took.as_secs().saturating_mul(TOKENS_A_SECOND))
}

/// Whether an event is the one after which nothing more is written, or an answer in one piece. Figures before it are of a beginning:
/// the first event of a Messages stream has some, and some servers put them into every chunk.
fn closes(event: &Value) -> bool {
    match event.get("type").and_then(Value::as_str) {
        Some("message_delta" | "message_stop" | "message") => true,
        Some("response.completed" | "response.incomplete" | "response.failed") => true,
        Some(_) => false,
        None => match event.get("choices").and_then(Value::as_array) {
            Some(choices) if !choices.is_empty() => choices
                .iter()
                .any(|choice| choice.get("finish_reason").is_some_and(|reason| !reason.is_null())),
            _ => event.get("usage").is_some_and(Value::is_object),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(streams: bool, answer: &str) -> Counter {
        let mut counter = Counter::new(streams, usage(700, 0, 0, 2_000));
        for byte in answer.as_bytes().chunks(7) {
            counter.take(byte);
        }
        counter
    }

    /// What a whole answer used.
    fn counted(streams: bool, answer: &str) -> (Usage, Option<String>) {
        let mut counter = taken(streams, answer);
        counter.end();
        counter.counted(Duration::from_secs(3_600))
    }

    /// What an answer used that was cut there so long after the request was sent.
    fn cut(streams: bool, answer: &str, seconds: u64) -> Usage {
        taken(streams, answer).counted(Duration::from_secs(seconds)).0
    }

    fn usage(input: u64, cache_read: u64, cache_write: u64, output: u64) -> Usage {
        Usage {
            input_tokens: input,
            cache_read_tokens: cache_read,
            cache_write_tokens: cache_write,
            output_tokens: output,
            ..Usage::default()
        }
    }

    #[test]
    fn a_stream_of_messages_is_counted_by_its_newest_figures() {
        let stream = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"model\":\"claude-haiku-5-5\",\
            \"usage\":{\"input_tokens\":5,\"cache_read_input_tokens\":40,\"cache_creation_input_tokens\":2,\"output_tokens\":1}}}\n\n\
            data: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":33}}\n\n";
        assert_eq!(counted(true, stream), (usage(5, 40, 2, 33), Some("claude-haiku-5-5".to_owned())));
    }

    #[test]
    fn what_the_cache_keeps_for_an_hour_is_told_apart() {
        let stream = "data: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":5,\
            \"cache_creation_input_tokens\":30,\"cache_creation\":{\"ephemeral_5m_input_tokens\":10,\
            \"ephemeral_1h_input_tokens\":20}}}}\n\ndata: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":3}}\n\n";
        let expected = Usage { cache_write_hour_tokens: 20, ..usage(5, 0, 30, 3) };
        assert_eq!(counted(true, stream).0, expected);
    }

    #[test]
    fn a_pass_that_stands_in_no_total_is_counted_by_its_own_figures() {
        let summed_up = r#"{"type":"message","usage":{"input_tokens":23000,"output_tokens":1000,"iterations":[
            {"type":"compaction","input_tokens":180000,"output_tokens":3500},
            {"type":"message","input_tokens":23000,"output_tokens":1000}]}}"#;
        assert_eq!(counted(false, summed_up).0, usage(203_000, 0, 0, 4_500));
        let plain = r#"{"type":"message","usage":{"input_tokens":5,"cache_read_input_tokens":40,"output_tokens":3,
            "iterations":[{"type":"message","input_tokens":5,"output_tokens":2}]}}"#;
        assert_eq!(counted(false, plain).0, usage(5, 40, 0, 3), "a smaller sum changes nothing");
    }

    #[test]
    fn what_is_estimated_is_no_more_than_the_request_allows_and_what_a_provider_says_counts_as_it_is() {
        let delta = format!("data: {{\"text\":\"{}\"}}\n\n", "x".repeat(40_000));
        assert_eq!(counted(true, &delta).0, usage(700, 0, 0, 2_000));
        let end = "data: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":2500}}\n\n";
        assert_eq!(counted(true, &format!("{delta}{end}")).0.output_tokens, 2_500);
    }

    #[test]
    fn a_stream_that_is_cut_before_its_figures_is_counted_by_what_came() {
        let begun = "data: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":5,\"output_tokens\":1}}}\n\n";
        let delta =
            format!("data: {{\"type\":\"content_block_delta\",\"text\":\"{}\"}}\n\n", "x".repeat(4_000));
        let used = cut(true, &format!("{begun}{delta}"), 0);
        assert_eq!(used.input_tokens, 5);
        assert!(used.output_tokens >= 1_000, "{}", used.output_tokens);
        let end = "data: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":9}}\n\n";
        assert_eq!(counted(true, &format!("{begun}{delta}{end}")).0.output_tokens, 9);
    }

    #[test]
    fn what_a_cut_stream_does_not_show_is_counted_by_its_time_and_no_more_than_the_request_allows() {
        // It thinks, which is paid and not streamed.
        let begun = "data: {\"type\":\"response.created\"}\n\n";
        for (seconds, output) in [(0, begun.len() as u64 / BYTES_A_TOKEN), (7, 700), (600, 2_000)] {
            assert_eq!(cut(true, begun, seconds), usage(700, 0, 0, output));
        }
        let end = "data: {\"type\":\"response.completed\",\"response\":{\"usage\":{\"input_tokens\":9,\"output_tokens\":2}}}\n\n";
        assert_eq!(
            cut(true, &format!("{begun}{end}"), 600),
            usage(9, 0, 0, 2),
            "what it says counts as it is"
        );
    }

    #[test]
    fn figures_in_every_chunk_are_of_a_beginning_until_the_last_one() {
        let chunk = |written: u64, reason: &str| {
            format!(
                "data: {{\"choices\":[{{\"delta\":{{}},\"finish_reason\":{reason}}}],\
                 \"usage\":{{\"prompt_tokens\":9,\"completion_tokens\":{written}}}}}\n\n"
            )
        };
        let begun = chunk(0, "null");
        assert_eq!(cut(true, &begun, 7), usage(9, 0, 0, 700), "it thought unseen, and was cut");
        let whole = format!("{begun}{}data: [DONE]\n\n", chunk(12, "\"stop\""));
        assert_eq!(counted(true, &whole).0, usage(9, 0, 0, 12));
    }

    #[test]
    fn a_stream_that_ends_without_saying_so_was_cut() {
        let begun = "data: {\"type\":\"response.created\"}\n\n";
        let mut counter = taken(true, begun);
        counter.end();
        assert_eq!(counter.counted(Duration::from_secs(7)).0, usage(700, 0, 0, 700));
        let mut done = taken(true, &format!("{begun}data: [DONE]\n\n"));
        done.end();
        assert!(done.counted(Duration::from_secs(7)).0.output_tokens < 100);
    }

    #[test]
    fn an_answer_in_one_piece_that_is_cut_was_written_whole_before() {
        assert_eq!(cut(false, r#"{"model":"qwen","choices":["#, 0), usage(700, 0, 0, 2_000));
        let whole = r#"{"model":"qwen","usage":{"prompt_tokens":10,"completion_tokens":4}}"#;
        assert_eq!(cut(false, whole, 600), usage(10, 0, 0, 4), "its figures had come");
    }

    #[test]
    fn answers_of_both_apis_of_openai_are_counted_and_what_was_cached_is_counted_once() {
        let stream = "data: {\"type\":\"response.completed\",\"response\":{\"model\":\"gpt-6.1-sol\",\"usage\":{\"input_tokens\":100,\
            \"input_tokens_details\":{\"cached_tokens\":60},\"output_tokens\":9}}}\n\n";
        assert_eq!(counted(true, stream), (usage(40, 60, 0, 9), Some("gpt-6.1-sol".to_owned())));
        let whole = r#"{"model":"qwen","usage":{"prompt_tokens":10,"completion_tokens":4}}"#;
        assert_eq!(counted(false, whole), (usage(10, 0, 0, 4), Some("qwen".to_owned())));
    }

    #[test]
    fn an_answer_that_does_not_count_is_estimated_and_never_free() {
        let (used, model) = counted(false, &"x".repeat(400));
        assert_eq!((used, model), (usage(700, 0, 0, 100), None));
        assert_eq!(counted(true, "data: [DONE]\n\n").0.input_tokens, 700);
    }

    #[test]
    fn figures_that_are_no_figures_change_nothing_and_huge_ones_do_not_overflow() {
        let odd = r#"{"model":7,"usage":{"input_tokens":-4,"output_tokens":18446744073709551615,"cache_read_input_tokens":"x"}}"#;
        assert_eq!(counted(false, odd), (usage(0, 0, 0, u64::from(u32::MAX)), None));
    }

    #[test]
    fn an_answer_too_long_to_look_into_is_estimated_and_not_kept() {
        let mut counter = Counter::new(false, usage(0, 0, 0, u64::MAX));
        let part = vec![b' '; 1024 * 1024];
        (0..6).for_each(|_| counter.take(&part));
        counter.end();
        assert!(matches!(counter.form, Form::Unread));
        assert_eq!(counter.counted(Duration::ZERO).0.output_tokens, 6 * 1024 * 1024 / BYTES_A_TOKEN);
    }
}
