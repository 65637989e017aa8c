//! The heads of requests, put together once and remembered.
//!
//! A conversation has the same instructions and offers the same tools in every turn, and they are the larger part of most
//! requests: to copy and build them anew was about a fifth of what a profile of fifty runs showed. So a head is put together
//! when it is first needed, and found again by the `Arc`s of both.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use nightshift_protocol::ToolDefinition;
use serde_json::Value;

use crate::TurnRequest;
use crate::fragment::json_of;

/// Heads by what is in them, and the form they were asked for in. Of conversations that nobody has any more it forgets.
#[derive(Debug)]
pub(crate) struct RequestHeads<F> {
    kept: Mutex<Vec<Head<F>>>,
}

#[derive(Debug)]
struct Head<F> {
    /// These keep the addresses from being used again.
    system: Weak<str>,
    tools: Weak<[ToolDefinition]>,
    rest: Rest<F>,
    json: Arc<str>,
}

/// What else of a request is in its head.
#[derive(Debug, PartialEq)]
struct Rest<F> {
    model: String,
    max_output_tokens: u32,
    clear_results_above: Option<u64>,
    form: F,
}

impl<F> Default for RequestHeads<F> {
    fn default() -> Self {
        Self { kept: Mutex::default() }
    }
}

impl<F: PartialEq> RequestHeads<F> {
    /// The head of a request as a JSON object; `make` puts one together that is not known yet, and uses nothing of the request
    /// that is not named here.
    pub(crate) fn of(&self, request: &TurnRequest, form: F, make: impl FnOnce() -> String) -> Arc<str> {
        let TurnRequest { model, system, tools, messages: _, max_output_tokens, clear_results_above } =
            request;
        let is_of_it = |head: &Head<F>| {
            std::ptr::addr_eq(head.system.as_ptr(), Arc::as_ptr(system))
                && std::ptr::addr_eq(head.tools.as_ptr(), Arc::as_ptr(tools))
        };
        let is_same = |rest: &Rest<F>| {
            rest.model == *model
                && rest.max_output_tokens == *max_output_tokens
                && rest.clear_results_above == *clear_results_above
                && rest.form == form
        };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = kept.iter().find(|head| is_of_it(head) && is_same(&head.rest)) {
            return Arc::clone(&known.json);
        }
        // One that differs in the rest is not needed again: a form that was refused, an answer's limit that was raised.
        kept.retain(|head| {
            head.system.strong_count() > 0 && head.tools.strong_count() > 0 && !is_of_it(head)
        });
        let json: Arc<str> = make().into();
        let (max_output_tokens, clear_results_above) = (*max_output_tokens, *clear_results_above);
        kept.push(Head {
            system: Arc::downgrade(system),
            tools: Arc::downgrade(tools),
            rest: Rest { model: model.clone(), max_output_tokens, clear_results_above, form },
            json: Arc::clone(&json),
        });
        json
    }
}

/// A head with a list of tools as its last field.
pub(crate) fn with_tools(head: &Value, tools: &[Value]) -> String {
    let mut head = json_of(head);
    head.truncate(head.len() - 1);
    head.push_str(",\"tools\":");
    head.push_str(&json_of(&tools));
    head.push('}');
    head
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use serde_json::json;

    use super::*;

    fn request(tools: &str) -> TurnRequest {
        let (name, description) = (tools.to_owned(), String::new());
        TurnRequest {
            model: "m".to_owned(),
            system: "Work.".into(),
            tools: [ToolDefinition::Function { name, description, schema: json!({}) }].into(),
            messages: Arc::default(),
            max_output_tokens: 1,
            clear_results_above: None,
        }
    }

    #[test]
    fn a_head_is_put_together_once_for_the_turns_of_a_conversation() {
        let (heads, made, one) = (RequestHeads::default(), Cell::new(0), request("a"));
        let asked = |request: &TurnRequest, form: u8| {
            heads.of(request, form, || {
                made.set(made.get() + 1);
                form.to_string()
            })
        };
        assert_eq!([asked(&one, 1), asked(&one.clone(), 1)].map(|head| head.to_string()), ["1", "1"]);
        assert_eq!(made.get(), 1);
        asked(&request("a"), 1);
        assert_eq!(made.get(), 2, "another list with the same tools is another list");
        asked(&TurnRequest { system: "Work.".into(), ..one.clone() }, 1);
        assert_eq!(made.get(), 3, "so are other instructions with the same words");
        asked(&one, 1);
        assert_eq!(made.get(), 3, "the others have not driven it out");
    }

    #[test]
    fn whatever_of_a_head_differs_has_it_put_together_anew() {
        let (heads, one) = (RequestHeads::default(), request("a"));
        let made = |request: &TurnRequest, form: u8| {
            let made = Cell::new(false);
            heads.of(request, form, || {
                made.set(true);
                String::new()
            });
            made.get()
        };
        assert!(made(&one, 1));
        assert!(!made(&one, 1));
        assert!(made(&one, 2));
        for other in [
            TurnRequest { model: "n".to_owned(), ..one.clone() },
            TurnRequest { max_output_tokens: 2, ..one.clone() },
            TurnRequest { clear_results_above: Some(1), ..one.clone() },
        ] {
            assert!(made(&other, 2), "{other:?}");
        }
        assert_eq!(heads.kept.lock().unwrap().len(), 1, "there is one of each conversation");
    }

    #[test]
    fn what_nobody_has_any_more_is_forgotten() {
        let heads = RequestHeads::default();
        for number in 0..20 {
            let head = heads.of(&request("a"), (), || number.to_string());
            assert_eq!(
                *head,
                *number.to_string(),
                "an address that is used again is not taken for the one before"
            );
        }
        assert_eq!(heads.kept.lock().unwrap().len(), 1);
    }

    #[test]
    fn tools_are_the_last_field_of_a_head() {
        let head = with_tools(&json!({"model": "m", "stream": true}), &[json!({"name": "a"})]);
        assert_eq!(head, r#"{"model":"m","stream":true,"tools":[{"name":"a"}]}"#);
    }
}
