//! What the task has used, and whether it may make one more model call.

use nightshift_protocol::{ErrorCode, Limits, PauseReason, Usage, UserError};

use crate::output::{counted, grouped};

/// Use so far, held against the limits.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Budget {
    limits: Limits,
    context_tokens: u64,
    used: Usage,
    last: Usage,
    seconds: u64,
}

impl Budget {
    pub(crate) fn new(limits: Limits, context_tokens: u64) -> Self {
        Self { limits, context_tokens, used: Usage::default(), last: Usage::default(), seconds: 0 }
    }

    pub(crate) fn used(&self) -> Usage {
        self.used
    }

    pub(crate) fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Counts one model call. Sums stop at the largest number: a provider that reports nonsense pauses the run.
    pub(crate) fn spend(&mut self, usage: Usage) {
        let used = &mut self.used;
        used.input_tokens = used.input_tokens.saturating_add(usage.input_tokens);
        used.cache_read_tokens = used.cache_read_tokens.saturating_add(usage.cache_read_tokens);
        used.cache_write_tokens = used.cache_write_tokens.saturating_add(usage.cache_write_tokens);
        used.output_tokens = used.output_tokens.saturating_add(usage.output_tokens);
        used.cost_microdollars = used.cost_microdollars.saturating_add(usage.cost_microdollars);
        self.last = usage;
    }

    /// Takes over what another budget of the same task counted, which is spent whatever became of the work.
    pub(crate) fn carry(&mut self, other: &Self) {
        let Self { limits, used, seconds, .. } = other;
        (self.limits, self.used, self.seconds) = (*limits, *used, *seconds);
    }

    /// Takes the wall time worked so far, all together. A figure smaller than one before is an old one.
    pub(crate) fn time_used(&mut self, seconds: u64) {
        self.seconds = self.seconds.max(seconds);
    }

    /// Why model call number `turn` may not be made, if it may not.
    ///
    /// The call is taken to need the tokens and the money that the last one needed, for it reads the same
    /// conversation and more; so a limit is held, not passed by one call.
    pub(crate) fn refusal(&self, turn: u32) -> Option<PauseReason> {
        let Limits { turns, tokens, cost_microdollars, seconds } = self.limits;
        let (used_tokens, last_tokens) = (all_tokens(&self.used), all_tokens(&self.last));
        let (used_cost, last_cost) = (self.used.cost_microdollars, self.last.cost_microdollars);
        let limit = if turn > turns {
            format!(
                "{}, all made. Raise the limit on model calls to go on.",
                counted(turns.into(), "model call")
            )
        } else if exhausted(used_tokens, last_tokens, tokens) {
            format!(
                "{} tokens: {} are used and the next call needs about {}. Raise the limit on tokens to go on.",
                grouped(tokens),
                grouped(used_tokens),
                grouped(last_tokens)
            )
        } else if exhausted(used_cost, last_cost, cost_microdollars) {
            format!(
                "{}: {} are spent and the next call costs about {}. Raise the limit on money to go on.",
                dollars(cost_microdollars),
                dollars(used_cost),
                dollars(last_cost)
            )
        } else if self.seconds >= seconds {
            format!(
                "{} seconds of work: {} are used. Raise the limit on time to go on.",
                grouped(seconds),
                grouped(self.seconds)
            )
        } else if last_tokens >= self.context_tokens {
            return Some(context_full());
        } else {
            return None;
        };
        Some(PauseReason::Limit { limit })
    }
}

/// The pause of a conversation that does not fit the model's window any more.
pub(crate) fn context_full() -> PauseReason {
    PauseReason::Trouble {
        error: UserError::new(
            ErrorCode::LimitReached,
            "The conversation with the model has grown to the size of its window.",
            "Start a new run from the branch, with a smaller task or a model with a larger window.",
        ),
    }
}

fn exhausted(used: u64, next: u64, limit: u64) -> bool {
    used >= limit || used.saturating_add(next) > limit
}

fn all_tokens(usage: &Usage) -> u64 {
    [usage.input_tokens, usage.cache_read_tokens, usage.cache_write_tokens, usage.output_tokens]
        .into_iter()
        .fold(0, u64::saturating_add)
}

fn dollars(microdollars: u64) -> String {
    format!("${}.{:02}", grouped(microdollars / 1_000_000), microdollars % 1_000_000 / 10_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { turns: 3, tokens: 1_000, cost_microdollars: 2_500_000, seconds: 60 };

    fn budget(limits: Limits) -> Budget {
        Budget::new(limits, 180_000)
    }

    fn call(tokens: u64, cost_microdollars: u64) -> Usage {
        Usage { input_tokens: tokens, cost_microdollars, ..Usage::default() }
    }

    fn limit(budget: &Budget, turn: u32) -> String {
        match budget.refusal(turn) {
            Some(PauseReason::Limit { limit }) => limit,
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn a_call_within_all_limits_is_allowed() {
        let mut budget = budget(LIMITS);
        budget.spend(call(400, 1_000_000));
        budget.time_used(59);
        assert_eq!(budget.refusal(2), None);
    }

    #[test]
    fn each_limit_names_its_figures_and_what_raises_it() {
        assert_eq!(
            limit(&budget(LIMITS), 4),
            "3 model calls, all made. Raise the limit on model calls to go on."
        );
        let mut tokens = budget(LIMITS);
        tokens.spend(call(600, 0));
        assert_eq!(
            limit(&tokens, 2),
            "1,000 tokens: 600 are used and the next call needs about 600. Raise the limit on tokens to go on."
        );
        let mut money = budget(LIMITS);
        money.spend(call(1, 1_250_000));
        money.spend(call(1, 1_240_000));
        assert_eq!(
            limit(&money, 3),
            "$2.50: $2.49 are spent and the next call costs about $1.24. Raise the limit on money to go on."
        );
        let mut time = budget(LIMITS);
        time.time_used(61);
        assert_eq!(limit(&time, 1), "60 seconds of work: 61 are used. Raise the limit on time to go on.");
    }

    #[test]
    fn a_limit_of_nothing_refuses_the_first_call() {
        let nothing = Limits { tokens: 0, ..LIMITS };
        assert!(limit(&budget(nothing), 1).starts_with("0 tokens"));
    }

    #[test]
    fn an_older_figure_of_time_does_not_turn_time_back() {
        let mut budget = budget(LIMITS);
        budget.time_used(60);
        budget.time_used(10);
        assert!(budget.refusal(1).is_some());
    }

    #[test]
    fn absurd_usage_pauses_instead_of_overflowing() {
        let mut budget = budget(LIMITS);
        let absurd = Usage { output_tokens: u64::MAX, ..call(u64::MAX, u64::MAX) };
        budget.spend(absurd);
        budget.spend(absurd);
        assert!(budget.refusal(3).is_some());
    }

    #[test]
    fn a_conversation_as_large_as_the_window_is_not_sent() {
        let mut budget = Budget::new(Limits::default(), 180_000);
        budget.spend(Usage { cache_read_tokens: 179_000, output_tokens: 1_000, ..Usage::default() });
        assert_eq!(budget.refusal(2), Some(context_full()));
    }
}
