//! The conversation's messages: they only grow, but for old pictures and for an older part that a summary replaces.

use std::collections::VecDeque;
use std::sync::Arc;

use nightshift_protocol::{
    AssistantBlock, Message, ResultPart, StepId, ToolCall, ToolOutcome, ToolResult, UserPart,
};
use serde_json::Value;

use crate::output::shorten;

/// Bytes of text that count as one token, where the provider has not counted yet: code has more tokens than prose.
const BYTES_OF_TOKEN: u64 = 3;

/// Pixels that count as one token.
const PIXELS_OF_TOKEN: u64 = 700;

/// The messages, and where in them the pictures are that are still shown.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct History {
    /// Shared with what is sent: for each message to be shared by itself would be work that grows with their number.
    messages: Arc<Vec<Arc<Message>>>,
    /// The parts of the first message that are the task; behind them stands the summary, once there is one.
    task_parts: usize,
    pictures: VecDeque<Picture>,
    limits: PictureLimits,
}

/// How many pictures may be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PictureLimits {
    pub(crate) images: usize,
    /// All pictures together, in bytes.
    pub(crate) bytes: u64,
}

/// A picture in a tool's result.
#[derive(Debug, Clone, PartialEq)]
struct Picture {
    message: usize,
    part: usize,
    step: StepId,
    bytes: u64,
}

impl History {
    pub(crate) fn new(limits: PictureLimits) -> Self {
        Self { messages: Arc::default(), task_parts: 0, pictures: VecDeque::new(), limits }
    }

    pub(crate) fn messages(&self) -> &Arc<Vec<Arc<Message>>> {
        &self.messages
    }

    fn changing(&mut self) -> &mut Vec<Arc<Message>> {
        Arc::make_mut(&mut self.messages)
    }

    /// The newest message, to be changed, if it is the user's or not as is asked for. One that does not change keeps its
    /// allocation, by which a client knows it.
    fn newest(&mut self, of_user: bool) -> Option<&mut Message> {
        let newest = self.messages.last()?;
        let is_asked_for = matches!(**newest, Message::User { .. }) == of_user;
        is_asked_for.then(|| self.changing().last_mut().map(Arc::make_mut)).flatten()
    }

    /// Adds the first message.
    pub(crate) fn begin(&mut self, message: Message) {
        self.task_parts = match &message {
            Message::User { content } => content.len(),
            Message::Assistant { .. } => 0,
        };
        self.changing().push(Arc::new(message));
    }

    /// Adds words for the model: to the newest message where that is the user's, since roles alternate.
    pub(crate) fn say(&mut self, text: String) {
        let part = UserPart::Text { text };
        if let Some(Message::User { content }) = self.newest(true) {
            content.push(part);
        } else {
            self.changing().push(Arc::new(Message::User { content: vec![part] }));
        }
    }

    /// Adds an answer. One with nothing in it is left out, for providers refuse it; one that goes on after a
    /// provider's pause is joined to its beginning.
    pub(crate) fn answer(&mut self, blocks: Vec<AssistantBlock>, verbatim: Value) {
        if blocks.is_empty() && content_items(verbatim.clone()).is_empty() {
            return;
        }
        if let Some(Message::Assistant { blocks: begun, verbatim: begun_verbatim }) = self.newest(false) {
            begun.extend(blocks);
            let mut items = content_items(begun_verbatim.take());
            items.extend(content_items(verbatim));
            *begun_verbatim = Value::Array(items);
        } else {
            self.changing().push(Arc::new(Message::Assistant { blocks, verbatim }));
        }
    }

    /// Adds the results of a turn's calls as one message.
    pub(crate) fn results(&mut self, results: Vec<Answered>) {
        let message = self.messages.len();
        let mut content = Vec::with_capacity(results.len());
        for (part, answered) in results.into_iter().enumerate() {
            let step = answered.step;
            let pictures = answered.content.iter().filter_map(bytes_of_picture);
            self.pictures.extend(pictures.map(|bytes| Picture { message, part, step, bytes }));
            content.push(UserPart::ToolResult { result: answered.into_result() });
        }
        self.changing().push(Arc::new(Message::User { content }));
    }

    /// Replaces old pictures by a line of text, when there are more than may be shown.
    ///
    /// A changed message ends the provider's prompt cache at its place. So nothing is changed until there are too
    /// many pictures, and then half of them goes at once: the cache is broken once in many turns, not in each.
    pub(crate) fn drop_old_pictures(&mut self) {
        let PictureLimits { images, bytes } = self.limits;
        let all_bytes = |pictures: &VecDeque<Picture>| {
            pictures.iter().map(|picture| picture.bytes).fold(0, u64::saturating_add)
        };
        if self.pictures.len() <= images && all_bytes(&self.pictures) <= bytes {
            return;
        }
        let mut kept = self.pictures.len().min(images.div_ceil(2));
        let mut of_kept: u64 = self.pictures.iter().rev().take(kept).map(|picture| picture.bytes).sum();
        while kept > 1 && of_kept > bytes / 2 {
            of_kept -= self.pictures[self.pictures.len() - kept].bytes;
            kept -= 1;
        }
        let surplus = self.pictures.len() - kept;
        let messages = Arc::make_mut(&mut self.messages);
        for Picture { message, part, step, .. } in self.pictures.drain(..surplus) {
            let Some(Message::User { content }) = messages.get_mut(message).map(Arc::make_mut) else {
                continue;
            };
            let Some(UserPart::ToolResult { result }) = content.get_mut(part) else { continue };
            let picture = result.content.iter_mut().find(|part| matches!(part, ResultPart::Image { .. }));
            if let Some(picture) = picture {
                *picture = ResultPart::Text { text: format!("(screenshot of step {step}, no longer shown)") };
            }
        }
    }
}

impl History {
    /// Tokens of the words and results that came behind the newest answer, estimated.
    pub(crate) fn fresh_tokens(&self) -> u64 {
        match self.messages.last().map(|message| &**message) {
            Some(message @ Message::User { .. }) => tokens(message),
            Some(Message::Assistant { .. }) | None => 0,
        }
    }

    /// Tokens of all messages, estimated.
    pub(crate) fn all_tokens(&self) -> u64 {
        self.messages.iter().map(|message| tokens(message)).fold(0, u64::saturating_add)
    }

    /// Where the older part ends that a summary may replace, if there is one: the newest messages of at most `tail`
    /// tokens stay, and at least the newest answer with what came behind it.
    pub(crate) fn older_part(&self, tail: u64) -> Option<usize> {
        let is_answer = |index: &usize| matches!(*self.messages[*index], Message::Assistant { .. });
        let answers: Vec<usize> = (2..self.messages.len()).filter(is_answer).collect();
        let (mut kept, mut end) = (0_u64, None);
        for pair in answers.iter().rev() {
            let until = end.unwrap_or(self.messages.len());
            let more = self.messages[*pair..until].iter().map(|message| tokens(message)).sum::<u64>();
            kept = kept.saturating_add(more);
            if end.is_some() && kept > tail {
                break;
            }
            end = Some(*pair);
        }
        end
    }

    /// The older part with `instruction` behind it, to be sent instead of the conversation.
    pub(crate) fn older_with(&self, end: usize, instruction: &str) -> Vec<Arc<Message>> {
        let mut older = self.messages[..end].to_vec();
        if let Some(Message::User { content }) = older.last_mut().map(Arc::make_mut) {
            content.push(UserPart::Text { text: instruction.to_owned() });
        }
        older
    }

    /// Replaces the older part by a summary, which stands behind the task.
    pub(crate) fn replace_older(&mut self, end: usize, summary: String) {
        let newest = self.changing().split_off(end);
        let task_parts = self.task_parts;
        self.changing().truncate(1);
        if let Some(Message::User { content }) = self.newest(true) {
            content.truncate(task_parts);
            content.push(UserPart::Text { text: summary });
        }
        self.changing().extend(newest);
        self.pictures.retain_mut(|picture| {
            let stays = picture.message >= end;
            // Behind the first message now stands what was at `end`.
            picture.message = (picture.message + 1).saturating_sub(end);
            stays
        });
    }

    /// Shortens the texts of the newest results to `characters` each; whether any was longer.
    pub(crate) fn shorten_newest(&mut self, characters: usize) -> bool {
        let mut shortened = false;
        let Some(Message::User { content }) = self.newest(true) else {
            return false;
        };
        for part in content {
            let UserPart::ToolResult { result } = part else { continue };
            for part in &mut result.content {
                if let ResultPart::Text { text } = part
                    && text.len() > characters
                {
                    *text = shorten(text, characters);
                    shortened = true;
                }
            }
        }
        shortened
    }
}

/// Tokens of a text, estimated: a little too many rather than too few.
pub(crate) fn tokens_of(text: &str) -> u64 {
    text.len() as u64 / BYTES_OF_TOKEN + 4
}

/// Tokens of a message, estimated likewise.
fn tokens(message: &Message) -> u64 {
    let of_text = tokens_of;
    let of_result = |part: &ResultPart| match part {
        ResultPart::Text { text } => of_text(text),
        ResultPart::Image { image } => u64::from(image.width) * u64::from(image.height) / PIXELS_OF_TOKEN,
    };
    match message {
        Message::User { content } => content
            .iter()
            .map(|part| match part {
                UserPart::Text { text } => of_text(text),
                UserPart::Image { image } => {
                    u64::from(image.width) * u64::from(image.height) / PIXELS_OF_TOKEN
                }
                UserPart::ToolResult { result } => result.content.iter().map(of_result).sum(),
            })
            .sum(),
        Message::Assistant { blocks, .. } => blocks
            .iter()
            .map(|block| match block {
                AssistantBlock::Text { text } | AssistantBlock::Thinking { text } => of_text(text),
                AssistantBlock::ToolCall { call } => of_text(&call.input.to_string()),
                AssistantBlock::Unknown { .. } => 0,
            })
            .sum(),
    }
}

fn bytes_of_picture(part: &ResultPart) -> Option<u64> {
    match part {
        ResultPart::Image { image } => Some(image.bytes),
        ResultPart::Text { .. } => None,
    }
}

/// A call and what came of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answered {
    pub(crate) step: StepId,
    pub(crate) call: ToolCall,
    pub(crate) outcome: ToolOutcome,
    pub(crate) content: Vec<ResultPart>,
}

impl Answered {
    /// The result as the model reads it: with the step's number, by which evidence can name it.
    fn into_result(self) -> ToolResult {
        let Self { step, call, outcome, mut content } = self;
        content.push(ResultPart::Text { text: format!("[step {step}]") });
        ToolResult { call: call.id, outcome, content }
    }
}

/// A provider's content as the list of items it is for all of them.
fn content_items(verbatim: Value) -> Vec<Value> {
    match verbatim {
        Value::Array(items) => items,
        Value::Null => Vec::new(),
        other => vec![other],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nightshift_protocol::Image;
    use serde_json::json;

    fn pictures(images: usize) -> PictureLimits {
        PictureLimits { images, bytes: 1_000_000 }
    }

    fn words(text: &str) -> UserPart {
        UserPart::Text { text: text.to_owned() }
    }

    fn spoken(text: &str) -> Vec<AssistantBlock> {
        vec![AssistantBlock::Text { text: text.to_owned() }]
    }

    fn screenshot(step: StepId) -> Answered {
        let artifact = "a".repeat(64).parse().unwrap();
        let image =
            Image { artifact, media_type: "image/png".to_owned(), width: 1280, height: 800, bytes: 1_000 };
        Answered {
            step,
            call: ToolCall {
                id: step.to_string(),
                name: "computer".to_owned(),
                input: Value::Null,
                malformed: None,
            },
            outcome: ToolOutcome::Done,
            content: vec![ResultPart::Image { image }],
        }
    }

    /// Plays `turns` turns with a screenshot each and returns which step's pictures are shown after each of them.
    fn shown_after_each(turns: u32, max_images: usize) -> Vec<Vec<u32>> {
        let mut history = History::new(pictures(max_images));
        history.begin(Message::User { content: vec![words("go")] });
        (1..=turns)
            .map(|turn| {
                history.answer(spoken("look"), json!([1]));
                history.results(vec![screenshot(StepId { turn, call: 1 })]);
                history.drop_old_pictures();
                history.pictures.iter().map(|picture| picture.step.turn).collect()
            })
            .collect()
    }

    #[test]
    fn old_pictures_go_in_batches() {
        assert_eq!(
            shown_after_each(7, 4),
            [
                vec![1],
                vec![1, 2],
                vec![1, 2, 3],
                vec![1, 2, 3, 4],
                vec![4, 5],
                vec![4, 5, 6],
                vec![4, 5, 6, 7]
            ]
        );
    }

    #[test]
    fn a_dropped_picture_leaves_a_line_and_the_messages_after_it_stay_the_same_allocation() {
        let mut history = History::new(pictures(1));
        history.begin(Message::User { content: vec![words("go")] });
        for turn in 1..=2 {
            history.answer(spoken("look"), json!([1]));
            history.results(vec![screenshot(StepId { turn, call: 1 })]);
        }
        let before = history.messages.clone();
        history.drop_old_pictures();
        let kept: Vec<bool> = before
            .iter()
            .zip(history.messages.iter())
            .map(|(before, after)| Arc::ptr_eq(before, after))
            .collect();
        assert_eq!(kept, [true, true, false, true, true]);
        let text = |text: &str| ResultPart::Text { text: text.to_owned() };
        let content = vec![text("(screenshot of step 1.1, no longer shown)"), text("[step 1.1]")];
        let result = ToolResult { call: "1.1".to_owned(), outcome: ToolOutcome::Done, content };
        assert_eq!(*history.messages[2], Message::User { content: vec![UserPart::ToolResult { result }] });
    }

    #[test]
    fn what_comes_behind_a_message_leaves_it_in_its_allocation() {
        let mut history = History::new(pictures(4));
        history.begin(Message::User { content: vec![words("go")] });
        let mut known = Vec::new();
        for turn in 1..=3 {
            // A client remembers them by weak references.
            known.extend(history.messages[known.len()..].iter().map(Arc::downgrade));
            history.answer(spoken("look"), json!([1]));
            known.extend(history.messages[known.len()..].iter().map(Arc::downgrade));
            match turn {
                1 => history.results(vec![screenshot(StepId { turn, call: 1 })]),
                _ => history.say("And this.".to_owned()),
            }
        }
        let addresses = known.iter().map(std::sync::Weak::as_ptr);
        assert!(addresses.eq(history.messages.iter().take(known.len()).map(Arc::as_ptr)));
        assert_eq!((known.len(), history.messages.len()), (6, 7));
    }

    #[test]
    fn words_join_the_users_message_and_follow_the_assistants() {
        let mut history = History::new(pictures(4));
        history.begin(Message::User { content: vec![words("go")] });
        history.say("one".to_owned());
        history.answer(spoken("ok"), json!([1]));
        history.say("two".to_owned());
        let messages: Vec<Message> = history.messages.iter().map(|message| (**message).clone()).collect();
        assert_eq!(
            messages,
            [
                Message::User { content: vec![words("go"), words("one")] },
                Message::Assistant { blocks: spoken("ok"), verbatim: json!([1]) },
                Message::User { content: vec![words("two")] },
            ]
        );
    }

    #[test]
    fn an_answer_in_two_parts_becomes_one_and_an_empty_one_none() {
        let mut history = History::new(pictures(4));
        history.begin(Message::User { content: vec![words("go")] });
        history.answer(Vec::new(), json!([]));
        assert_eq!(history.messages.len(), 1);
        history.answer(spoken("a"), json!([1]));
        history.answer(spoken("b"), json!([2]));
        let blocks = [spoken("a"), spoken("b")].concat();
        assert_eq!(*history.messages[1], Message::Assistant { blocks, verbatim: json!([1, 2]) });
        assert_eq!(history.messages.len(), 2);
    }

    #[test]
    fn pictures_with_many_bytes_go_earlier_and_the_newest_always_stays() {
        let mut history = History::new(PictureLimits { images: 16, bytes: 2_500 });
        history.begin(Message::User { content: vec![words("go")] });
        let shown = (1..=5).map(|turn| {
            history.answer(spoken("look"), json!([1]));
            history.results(vec![screenshot(StepId { turn, call: 1 })]);
            history.drop_old_pictures();
            history.pictures.iter().map(|picture| picture.step.turn).collect::<Vec<_>>()
        });
        assert_eq!(shown.collect::<Vec<_>>(), [vec![1], vec![1, 2], vec![3], vec![3, 4], vec![5]]);
    }

    #[test]
    fn a_summary_stands_behind_the_task_and_the_newest_turns_stay_as_they_are() {
        let mut history = History::new(pictures(4));
        history.begin(Message::User { content: vec![words("task")] });
        for turn in 1..=3 {
            history.answer(spoken("look"), json!([turn]));
            history.results(vec![screenshot(StepId { turn, call: 1 })]);
        }
        let end = history.older_part(0).unwrap();
        assert_eq!(end, 5);
        let older = history.older_with(end, "Sum up.");
        assert_eq!(older.len(), 5);
        let Message::User { content } = &*older[4] else { panic!("the last is the user's") };
        assert_eq!(content.last(), Some(&words("Sum up.")));

        let newest: Vec<Arc<Message>> = history.messages[5..].to_vec();
        history.replace_older(end, "What was done.".to_owned());
        let first = Message::User { content: vec![words("task"), words("What was done.")] };
        assert_eq!(*history.messages[0], first);
        assert!(history.messages[1..].iter().zip(&newest).all(|(kept, before)| Arc::ptr_eq(kept, before)));
        assert_eq!(history.messages.len(), 3);
        let places: Vec<usize> = history.pictures.iter().map(|picture| picture.message).collect();
        assert_eq!(places, [2]);

        history.replace_older(history.older_part(0).unwrap_or(1), "Again.".to_owned());
        let first = Message::User { content: vec![words("task"), words("Again.")] };
        assert_eq!(*history.messages[0], first);
    }

    #[test]
    fn as_much_of_the_newest_stays_as_fits() {
        let mut history = History::new(pictures(4));
        history.begin(Message::User { content: vec![words("task")] });
        assert_eq!(history.older_part(1_000_000), None);
        for turn in 1..=4 {
            history.answer(spoken(&"word ".repeat(600)), json!([turn]));
            history.say("go on".to_owned());
        }
        assert_eq!([0, 2_500, 1_000_000].map(|tail| history.older_part(tail)), [Some(7), Some(5), Some(3)]);
    }
}
