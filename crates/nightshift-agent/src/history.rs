//! The conversation's messages: they only grow, but for old pictures.

use std::collections::VecDeque;
use std::sync::Arc;

use nightshift_protocol::{
    AssistantBlock, Message, ResultPart, StepId, ToolCall, ToolOutcome, ToolResult, UserPart,
};
use serde_json::Value;

/// The messages, and where in them the pictures are that are still shown.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct History {
    messages: Vec<Arc<Message>>,
    pictures: VecDeque<Picture>,
    max_images: usize,
}

/// A picture in a tool's result.
#[derive(Debug, Clone, PartialEq)]
struct Picture {
    message: usize,
    part: usize,
    step: StepId,
}

impl History {
    pub(crate) fn new(max_images: usize) -> Self {
        Self { messages: Vec::new(), pictures: VecDeque::new(), max_images }
    }

    pub(crate) fn messages(&self) -> &[Arc<Message>] {
        &self.messages
    }

    /// Adds the first message.
    pub(crate) fn begin(&mut self, message: Message) {
        self.messages.push(Arc::new(message));
    }

    /// Adds words for the model: to the newest message where that is the user's, since roles alternate.
    pub(crate) fn say(&mut self, text: String) {
        let part = UserPart::Text { text };
        if let Some(Message::User { content }) = self.messages.last_mut().map(Arc::make_mut) {
            content.push(part);
        } else {
            self.messages.push(Arc::new(Message::User { content: vec![part] }));
        }
    }

    /// Adds an answer. One with nothing in it is left out, for providers refuse it; one that goes on after a
    /// provider's pause is joined to its beginning.
    pub(crate) fn answer(&mut self, blocks: Vec<AssistantBlock>, verbatim: Value) {
        if blocks.is_empty() && content_items(verbatim.clone()).is_empty() {
            return;
        }
        if let Some(Message::Assistant { blocks: begun, verbatim: begun_verbatim }) =
            self.messages.last_mut().map(Arc::make_mut)
        {
            begun.extend(blocks);
            let mut items = content_items(begun_verbatim.take());
            items.extend(content_items(verbatim));
            *begun_verbatim = Value::Array(items);
        } else {
            self.messages.push(Arc::new(Message::Assistant { blocks, verbatim }));
        }
    }

    /// Adds the results of a turn's calls as one message.
    pub(crate) fn results(&mut self, results: Vec<Answered>) {
        let message = self.messages.len();
        let mut content = Vec::with_capacity(results.len());
        for (part, answered) in results.into_iter().enumerate() {
            let step = answered.step;
            let pictures =
                answered.content.iter().filter(|part| matches!(part, ResultPart::Image { .. })).count();
            self.pictures.extend(std::iter::repeat_n(Picture { message, part, step }, pictures));
            content.push(UserPart::ToolResult { result: answered.into_result() });
        }
        self.messages.push(Arc::new(Message::User { content }));
    }

    /// Replaces old pictures by a line of text, when there are more than may be shown.
    ///
    /// A changed message ends the provider's prompt cache at its place. So nothing is changed until there are too
    /// many pictures, and then half of them goes at once: the cache is broken once in many turns, not in each.
    pub(crate) fn drop_old_pictures(&mut self) {
        if self.pictures.len() <= self.max_images {
            return;
        }
        let surplus = self.pictures.len() - self.max_images.div_ceil(2);
        for Picture { message, part, step } in self.pictures.drain(..surplus) {
            let Some(Message::User { content }) = self.messages.get_mut(message).map(Arc::make_mut) else {
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

    fn words(text: &str) -> UserPart {
        UserPart::Text { text: text.to_owned() }
    }

    fn spoken(text: &str) -> Vec<AssistantBlock> {
        vec![AssistantBlock::Text { text: text.to_owned() }]
    }

    fn screenshot(step: StepId) -> Answered {
        let artifact = "a".repeat(64).parse().unwrap();
        let image = Image { artifact, media_type: "image/png".to_owned(), width: 1280, height: 800 };
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
        let mut history = History::new(max_images);
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
        let mut history = History::new(1);
        history.begin(Message::User { content: vec![words("go")] });
        for turn in 1..=2 {
            history.answer(spoken("look"), json!([1]));
            history.results(vec![screenshot(StepId { turn, call: 1 })]);
        }
        let before = history.messages.clone();
        history.drop_old_pictures();
        let kept: Vec<bool> =
            before.iter().zip(&history.messages).map(|(before, after)| Arc::ptr_eq(before, after)).collect();
        assert_eq!(kept, [true, true, false, true, true]);
        let text = |text: &str| ResultPart::Text { text: text.to_owned() };
        let content = vec![text("(screenshot of step 1.1, no longer shown)"), text("[step 1.1]")];
        let result = ToolResult { call: "1.1".to_owned(), outcome: ToolOutcome::Done, content };
        assert_eq!(*history.messages[2], Message::User { content: vec![UserPart::ToolResult { result }] });
    }

    #[test]
    fn words_join_the_users_message_and_follow_the_assistants() {
        let mut history = History::new(4);
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
        let mut history = History::new(4);
        history.begin(Message::User { content: vec![words("go")] });
        history.answer(Vec::new(), json!([]));
        assert_eq!(history.messages.len(), 1);
        history.answer(spoken("a"), json!([1]));
        history.answer(spoken("b"), json!([2]));
        let blocks = [spoken("a"), spoken("b")].concat();
        assert_eq!(*history.messages[1], Message::Assistant { blocks, verbatim: json!([1, 2]) });
        assert_eq!(history.messages.len(), 2);
    }
}
