//! What the task has used, and whether it may make one more model call.

use nightshift_protocol::{ErrorCode, Limits, PauseReason, Usage, UserError};

use crate::output::{counted, grouped};

/// What a model call may cost at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallPrice {
    /// A token that is read, at the dearest of the model's rates, in thousandths of a US dollar for a million.
    pub input: u64,
    /// A token that is written, likewise.
    pub output: u64,
}

/// Use so far, held against the limits.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Budget {
    limits: Limits,
    max_output_tokens: u64,
    price: Option<CallPrice>,
    used: Usage,
    last: Usage,
    seconds: u64,
}

/// What one more model call would use, at worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct WorstCase {
    tokens: u64,
    cost_microdollars: u64,
}

impl Budget {
    pub(crate) fn new(limits: Limits, max_output_tokens: u32, price: Option<CallPrice>) -> Self {
        let (used, last) = (Usage::default(), Usage::default());
        Self { limits, max_output_tokens: max_output_tokens.into(), price, used, last, seconds: 0 }
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

    /// Tokens of the conversation as it was at the last call, its answer included; 0 before the first.
    pub(crate) fn last_tokens(&self) -> u64 {
        all_tokens(&self.last)
    }

    /// Why a model call may not be made, if it may not: it is number `turn` and reads a conversation of `conversation`
    /// tokens. It is taken to write as much as it may and to find nothing in the cache, so that a limit is held and
    /// not passed by one call; where the price is not known, it is taken to cost what the last one did.
    pub(crate) fn refusal(&self, turn: u32, conversation: u64) -> Option<PauseReason> {
        let Limits { turns, tokens, cost_microdollars, seconds, .. } = self.limits;
        let used_tokens = all_tokens(&self.used);
        let used_cost = self.used.cost_microdollars;
        let next = self.worst_case(conversation);
        let limit = if turn > turns {
            format!("{}, all made. Raise it with --turns to go on.", counted(turns.into(), "model call"))
        } else if exhausted(used_tokens, next.tokens, tokens) {
            format!(
                "{} tokens: {} are used and the next call may need {}. Raise it with --tokens to go on.",
                grouped(tokens),
                grouped(used_tokens),
                grouped(next.tokens)
            )
        } else if exhausted(used_cost, next.cost_microdollars, cost_microdollars) {
            format!(
                "{}: {} are spent and the next call may cost {}. Raise it with --budget to go on.",
                dollars(cost_microdollars),
                dollars(used_cost),
                dollars(next.cost_microdollars)
            )
        } else if self.seconds >= seconds {
            format!(
                "{} seconds of work: {} are used. Raise it with --minutes to go on.",
                grouped(seconds),
                grouped(self.seconds)
            )
        } else {
            return None;
        };
        Some(PauseReason::Limit { limit })
    }

    fn worst_case(&self, conversation: u64) -> WorstCase {
        let cost = |tokens: u64, rate: u64| tokens.saturating_mul(rate).div_ceil(1_000);
        let cost_microdollars = match self.price {
            Some(CallPrice { input, output }) => {
                cost(conversation, input).saturating_add(cost(self.max_output_tokens, output))
            }
            None => self.last.cost_microdollars,
        };
        WorstCase { tokens: conversation.saturating_add(self.max_output_tokens), cost_microdollars }
    }
}

/// The pause of a conversation that does not fit the model's window any more.
pub(crate) fn context_full() -> PauseReason {
    PauseReason::Trouble {
        error: UserError::new(
            ErrorCode::LimitReached,
            "The conversation does not fit the model's window, even with its older part summed up.",
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

    const LIMITS: Limits = Limits { turns: 3, tokens: 20_000, cost_microdollars: 2_500_000, seconds: 60 };
    /// 10 dollars for a million tokens read, 50 for a million written.
    const PRICE: CallPrice = CallPrice { input: 10_000, output: 50_000 };

    fn budget(limits: Limits) -> Budget {
        Budget::new(limits, 16_000, Some(PRICE))
    }

    fn call(tokens: u64, cost_microdollars: u64) -> Usage {
        Usage { input_tokens: tokens, cost_microdollars, ..Usage::default() }
    }

    fn limit(budget: &Budget, turn: u32, conversation: u64) -> String {
        match budget.refusal(turn, conversation) {
            Some(PauseReason::Limit { limit }) => limit,
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn a_call_within_all_limits_is_allowed() {
        let mut budget = budget(LIMITS);
        budget.spend(call(400, 1_000_000));
        budget.time_used(59);
        assert_eq!(budget.refusal(2, 500), None);
    }

    #[test]
    fn each_limit_names_its_figures_and_what_raises_it() {
        assert_eq!(limit(&budget(LIMITS), 4, 0), "3 model calls, all made. Raise it with --turns to go on.");
        let mut tokens = budget(LIMITS);
        tokens.spend(call(3_600, 0));
        assert_eq!(
            limit(&tokens, 2, 600),
            "20,000 tokens: 3,600 are used and the next call may need 16,600. Raise it with --tokens to go on."
        );
        let mut money = budget(LIMITS);
        money.spend(call(1, 1_750_000));
        assert_eq!(
            limit(&money, 3, 2_000),
            "$2.50: $1.75 are spent and the next call may cost $0.82. Raise it with --budget to go on."
        );
        let mut time = budget(LIMITS);
        time.time_used(61);
        assert_eq!(limit(&time, 1, 0), "60 seconds of work: 61 are used. Raise it with --minutes to go on.");
    }

    #[test]
    fn a_model_without_a_known_price_is_taken_to_cost_what_the_last_call_did() {
        let mut budget = Budget::new(LIMITS, 16_000, None);
        budget.spend(call(1, 1_300_000));
        assert!(limit(&budget, 2, 0).contains("may cost $1.30"));
    }

    #[test]
    fn a_limit_of_nothing_refuses_the_first_call() {
        let nothing = Limits { tokens: 0, ..LIMITS };
        assert!(limit(&budget(nothing), 1, 0).starts_with("0 tokens"));
    }

    #[test]
    fn an_older_figure_of_time_does_not_turn_time_back() {
        let mut budget = budget(LIMITS);
        budget.time_used(60);
        budget.time_used(10);
        assert!(budget.refusal(1, 0).is_some());
    }

    #[test]
    fn absurd_usage_pauses_instead_of_overflowing() {
        let mut budget = budget(LIMITS);
        let absurd = Usage { output_tokens: u64::MAX, ..call(u64::MAX, u64::MAX) };
        budget.spend(absurd);
        budget.spend(absurd);
        assert!(budget.refusal(3, u64::MAX).is_some());
    }
}
