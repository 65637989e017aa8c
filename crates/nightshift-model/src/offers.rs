//! Lists of tools as JSON for a provider, made once and remembered.
//!
//! A conversation offers the same tools in every turn, and their schemas are the larger part of most requests: to copy
//! and build them anew was about a fifth of what a profile of fifty runs showed. So a list is translated when it is first seen and found again by its
//! `Arc`.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use nightshift_protocol::ToolDefinition;
use serde_json::Value;

use crate::fragment::json_of;

/// Lists of tools by their identity and the form they were asked for in. Of those that nobody has any more it forgets.
#[derive(Debug)]
pub(crate) struct Offers<F> {
    kept: Mutex<Vec<Offer<F>>>,
}

#[derive(Debug)]
struct Offer<F> {
    /// It keeps the address from being used again.
    tools: Weak<[ToolDefinition]>,
    form: F,
    json: Arc<str>,
}

impl<F> Default for Offers<F> {
    fn default() -> Self {
        Self { kept: Mutex::default() }
    }
}

impl<F: Copy + PartialEq> Offers<F> {
    /// The tools as a JSON list; `wire` makes the entries of a list in a form that is not known yet.
    pub(crate) fn json(
        &self,
        tools: &Arc<[ToolDefinition]>,
        form: F,
        wire: impl FnOnce() -> Vec<Value>,
    ) -> Arc<str> {
        let is_it = |offer: &Offer<F>| {
            std::ptr::addr_eq(offer.tools.as_ptr(), Arc::as_ptr(tools)) && offer.form == form
        };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = kept.iter().find(|offer| is_it(offer)) {
            return Arc::clone(&known.json);
        }
        kept.retain(|offer| offer.tools.strong_count() > 0);
        let json: Arc<str> = json_of(&wire()).into();
        kept.push(Offer { tools: Arc::downgrade(tools), form, json: Arc::clone(&json) });
        json
    }
}

/// The head of a request with a list of tools as its last field.
pub(crate) fn with_tools(head: &Value, tools: &str) -> String {
    let mut head = json_of(head);
    head.truncate(head.len() - 1);
    head.push_str(",\"tools\":");
    head.push_str(tools);
    head.push('}');
    head
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use serde_json::json;

    use super::*;

    fn tools(name: &str) -> Arc<[ToolDefinition]> {
        let (name, description) = (name.to_owned(), String::new());
        [ToolDefinition::Function { name, description, schema: json!({}) }].into()
    }

    #[test]
    fn a_list_is_translated_once_in_each_form() {
        let (offers, made, one) = (Offers::default(), Cell::new(0), tools("a"));
        let asked = |tools: &Arc<[ToolDefinition]>, form: u8| {
            offers.json(tools, form, || {
                made.set(made.get() + 1);
                vec![json!(form)]
            })
        };
        let texts = [asked(&one, 1), asked(&one, 2), asked(&one, 1), asked(&one.clone(), 2)];
        assert_eq!(texts.map(|text| text.to_string()), ["[1]", "[2]", "[1]", "[2]"]);
        assert_eq!(made.get(), 2);
        asked(&tools("a"), 1);
        assert_eq!(made.get(), 3, "another list with the same tools is another list");
    }

    #[test]
    fn what_nobody_has_any_more_is_forgotten() {
        let offers = Offers::default();
        for number in 0..20 {
            let text = offers.json(&tools("a"), (), || vec![json!(number)]);
            assert_eq!(
                *text,
                *format!("[{number}]"),
                "an address that is used again is not taken for the one before"
            );
        }
        assert_eq!(offers.kept.lock().unwrap().len(), 1);
    }

    #[test]
    fn tools_are_the_last_field_of_a_head() {
        let head = with_tools(&json!({"model": "m", "stream": true}), "[{\"name\":\"a\"}]");
        assert_eq!(head, r#"{"model":"m","stream":true,"tools":[{"name":"a"}]}"#);
    }
}
