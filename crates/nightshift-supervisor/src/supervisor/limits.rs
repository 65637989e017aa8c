//! What a task may use: what its submission names, and else what the settings say.

use nightshift_protocol::{Limits, RaiseLimits, UserError};

use super::Supervisor;
use crate::trouble;

impl Supervisor {
    /// The limits of a task whose submission names these.
    ///
    /// # Errors
    ///
    /// That it would be more than a task may have.
    pub(super) fn limits(&self, named: RaiseLimits) -> Result<Limits, UserError> {
        filled(named, self.shared.settings.limits)
    }

    /// What whoever gives a task has to know of its limit in money, if anything: that it is not held, because nobody knows the
    /// model's price.
    ///
    /// # Errors
    ///
    /// The same, where the limit is one that a person wishes.
    pub(super) fn check_money(
        &self,
        named: RaiseLimits,
        limits: Limits,
        model: &str,
    ) -> Result<Option<String>, UserError> {
        if self.shared.model.price(model).is_some() {
            return Ok(None);
        }
        if is_wished_in_money(named, self.shared.settings.limits) {
            return Err(trouble::no_price(model));
        }
        Ok(Some(not_held(model, limits)))
    }
}

fn filled(named: RaiseLimits, configured: Limits) -> Result<Limits, UserError> {
    let limits = named.over(configured);
    if limits.turns > Limits::MOST_TURNS {
        return Err(trouble::too_many_turns(limits.turns));
    }
    Ok(limits)
}

/// Whether a person said what a task may cost. The usual limit is no wish of theirs, and stands for nothing where there is no
/// price.
fn is_wished_in_money(named: RaiseLimits, configured: Limits) -> bool {
    named.cost_microdollars.is_some() || configured.cost_microdollars != Limits::default().cost_microdollars
}

fn not_held(model: &str, limits: Limits) -> String {
    let Limits { turns, tokens, cost_microdollars, seconds } = limits;
    format!(
        "The price of {model} is not known: what the task costs is not counted, and its limit of ${}.{:02} is not held. It ends at \
         {turns} model calls, {tokens} tokens or {} minutes. A price can be named in the configuration (docs/models.md).",
        cost_microdollars / 1_000_000,
        cost_microdollars % 1_000_000 / 10_000,
        seconds / 60
    )
}

#[cfg(test)]
mod tests {
    use nightshift_protocol::ErrorCode;

    use super::*;

    const A_DOLLAR: u64 = 1_000_000;

    #[test]
    fn what_a_submission_does_not_name_is_as_the_settings_say() {
        let configured = Limits { cost_microdollars: A_DOLLAR, turns: 40, ..Limits::default() };
        assert_eq!(filled(RaiseLimits::default(), configured), Ok(configured));
        let named = RaiseLimits { turns: Some(7), ..RaiseLimits::default() };
        assert_eq!(filled(named, configured), Ok(Limits { turns: 7, ..configured }));
    }

    #[test]
    fn more_model_calls_than_there_are_numbers_for_are_refused() {
        let named = |turns| RaiseLimits { turns: Some(turns), ..RaiseLimits::default() };
        assert!(filled(named(9_000), Limits::default()).is_ok());
        let refused = filled(named(9_001), Limits::default()).unwrap_err();
        assert_eq!(
            (refused.code, refused.message.as_str()),
            (ErrorCode::InvalidRequest, "9001 model calls are more than the 9000 that a task may have")
        );
    }

    #[test]
    fn a_limit_that_is_not_held_is_said_with_those_that_are() {
        let note = not_held("local/qwen3", Limits::default());
        assert!(note.starts_with("The price of local/qwen3 is not known"), "{note}");
        assert!(note.contains("limit of $10.00 is not held"), "{note}");
        assert!(note.contains("200 model calls, 20000000 tokens or 120 minutes"), "{note}");
    }

    #[test]
    fn money_is_a_wish_where_the_task_or_the_settings_name_it() {
        let named = RaiseLimits { cost_microdollars: Some(A_DOLLAR), ..RaiseLimits::default() };
        let configured = Limits { cost_microdollars: A_DOLLAR, ..Limits::default() };
        assert!(is_wished_in_money(named, Limits::default()));
        assert!(is_wished_in_money(RaiseLimits::default(), configured));
        assert!(!is_wished_in_money(RaiseLimits::default(), Limits::default()));
    }
}
