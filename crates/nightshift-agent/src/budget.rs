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

/// What one agent of a task has used, and what a call of it that is under way may use at worst. Together they are what the
/// other agents of the same task have to leave.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spending {
    used: Usage,
    calls: u32,
    /// The call under way, 0 or 1.
    reserved_calls: u32,
    reserved: WorstCase,
}

impl std::ops::AddAssign for Spending {
    fn add_assign(&mut self, other: Self) {
        self.used += other.used;
        self.calls = self.calls.saturating_add(other.calls);
        self.reserved_calls = self.reserved_calls.saturating_add(other.reserved_calls);
        self.reserved.tokens = self.reserved.tokens.saturating_add(other.reserved.tokens);
        self.reserved.cost_microdollars =
            self.reserved.cost_microdollars.saturating_add(other.reserved.cost_microdollars);
    }
}

/// The part of a task's limits that one agent of it may use, where it is smaller than all of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Share {
    /// Tokens of all its calls together.
    pub tokens: Option<u64>,
    /// Millionths of a US dollar that all its calls together may cost.
    pub cost_microdollars: Option<u64>,
    /// Seconds from the agent's beginning on in which its task is worked on.
    pub seconds: Option<u64>,
}

/// Whether a model call may be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Admission {
    Allowed,
    /// What others have under way may use what is left; whether it does is known when they are done.
    Later,
    /// The task has not enough left.
    Refused(PauseReason),
    /// The agent's own smaller share is used up.
    ShareUsed(String),
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
    /// What `seconds` was when this agent began.
    began: u64,
    /// Model calls that were answered.
    calls: u32,
    /// The other agents of the same task.
    others: Spending,
    /// What this agent may use of the task's.
    share: Share,
}

/// What one more model call would use, at worst.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct WorstCase {
    tokens: u64,
    cost_microdollars: u64,
}

impl Budget {
    pub(crate) fn new(limits: Limits, max_output_tokens: u32, price: Option<CallPrice>) -> Self {
        let (used, last) = (Usage::default(), Usage::default());
        Self {
            limits,
            max_output_tokens: max_output_tokens.into(),
            price,
            used,
            last,
            seconds: 0,
            began: 0,
            calls: 0,
            others: Spending::default(),
            share: Share::default(),
        }
    }

    /// That of another agent of the same task, which may use at most `share` of it, at another model's price. `own` is what
    /// the agent of this budget takes.
    pub(crate) fn for_subagent(&self, share: Share, price: Option<CallPrice>, own: Spending) -> Self {
        let (used, last) = (Usage::default(), Usage::default());
        let mut others = self.others;
        others += own;
        Self { used, last, began: self.seconds, calls: 0, share, price, others, ..self.clone() }
    }

    /// The same for a model that may write so much in one answer.
    pub(crate) fn with_answers_of(self, max_output_tokens: u32) -> Self {
        Self { max_output_tokens: max_output_tokens.into(), ..self }
    }

    pub(crate) fn used(&self) -> Usage {
        self.used
    }

    pub(crate) fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Counts a model call that was answered.
    pub(crate) fn called(&mut self, usage: Usage) {
        self.calls = self.calls.saturating_add(1);
        self.spend(usage);
    }

    /// Counts what a call used. Sums stop at the largest number: a provider that reports nonsense pauses the run.
    pub(crate) fn spend(&mut self, usage: Usage) {
        self.used += usage;
        self.last = usage;
    }

    /// Counts a model call of a foreign agent. It tells nothing of the size of this agent's own conversation.
    pub(crate) fn relayed(&mut self, usage: Usage) {
        let last = self.last;
        self.called(usage);
        self.last = last;
    }

    /// Counts what a model call used that brought no answer: it is no call of the conversation, and tells nothing of its size.
    pub(crate) fn lost(&mut self, usage: Usage) {
        let last = self.last;
        self.spend(usage);
        self.last = last;
    }

    /// Why `calls` more of a foreign agent's calls may not be made after `seconds` more, which use so much at worst all
    /// together, if they may not.
    pub(crate) fn relay_refusal(&self, worst: &Usage, calls: u32, seconds: u64) -> Option<PauseReason> {
        let next = WorstCase { tokens: all_tokens(worst), cost_microdollars: worst.cost_microdollars };
        let mut others = self.others;
        others.reserved_calls = others.reserved_calls.saturating_add(calls.saturating_sub(1));
        let later = Self { seconds: self.seconds.saturating_add(seconds), ..self.clone() };
        later.refused_next(next, &others)
    }

    /// Whether the limit on money is a person's wish and not the usual one.
    pub(crate) fn is_limited_in_money(&self) -> bool {
        self.limits.cost_microdollars != Limits::default().cost_microdollars
    }

    /// Takes over what another budget of the same task counted, which is spent whatever became of the work.
    pub(crate) fn carry(&mut self, other: &Self) {
        let Self { limits, used, seconds, calls, others, .. } = other;
        (self.limits, self.used, self.seconds, self.calls) = (*limits, *used, *seconds, *calls);
        self.others = *others;
    }

    /// Takes what a subagent that is over has used upon itself.
    pub(crate) fn absorb(&mut self, subagent: &Self) {
        self.used += subagent.used;
        self.calls = self.calls.saturating_add(subagent.calls);
    }

    /// Forgets what was used, which another has taken upon itself, when the task has been worked on for `seconds`.
    pub(crate) fn forget(&mut self, seconds: u64) {
        self.time_used(seconds);
        (self.used, self.calls, self.began) = (Usage::default(), 0, self.seconds);
    }

    /// What it takes of the task's limits. `under_way` is the conversation's tokens where a call is under way.
    pub(crate) fn spending(&self, under_way: Option<u64>) -> Spending {
        let reserved = under_way.map(|tokens| self.worst_case(tokens)).unwrap_or_default();
        Spending {
            used: self.used,
            calls: self.calls,
            reserved_calls: u32::from(under_way.is_some()),
            reserved,
        }
    }

    pub(crate) fn set_others(&mut self, others: Spending) {
        self.others = others;
    }

    /// Whether a call that reads a conversation of `conversation` tokens may be made now.
    pub(crate) fn admission(&self, conversation: u64) -> Admission {
        if let Some(said) = self.share_used(self.worst_case(conversation)) {
            return Admission::ShareUsed(said);
        }
        match self.refusal(conversation) {
            Some(reason) => Admission::Refused(reason),
            None if self.refused_with(conversation, &self.others).is_some() => Admission::Later,
            None => Admission::Allowed,
        }
    }

    /// Why the agent's own share leaves no room for its next call, if it does not.
    fn share_used(&self, next: WorstCase) -> Option<String> {
        let (tokens, cost) = (all_tokens(&self.used), self.used.cost_microdollars);
        if let Some(share) = self.share.tokens.filter(|share| exhausted(tokens, next.tokens, *share)) {
            return Some(format!(
                "It may use {} tokens; {} are used and the next call may need {}.",
                grouped(share),
                grouped(tokens),
                grouped(next.tokens)
            ));
        }
        let next = next.cost_microdollars;
        if let Some(share) = self.share.cost_microdollars.filter(|share| exhausted(cost, next, *share)) {
            return Some(format!(
                "It may cost {}; {} are spent and the next call may cost {}.",
                dollars(share),
                dollars(cost),
                dollars(next)
            ));
        }
        let worked = self.seconds.saturating_sub(self.began);
        let share = self.share.seconds.filter(|share| worked >= *share)?;
        Some(format!("It may work for {} seconds; {} are used.", grouped(share), grouped(worked)))
    }

    /// Takes the wall time worked so far, all together. A figure smaller than one before is an old one.
    pub(crate) fn time_used(&mut self, seconds: u64) {
        self.seconds = self.seconds.max(seconds);
    }

    /// Tokens of the conversation as it was at the last call, its answer included; 0 before the first.
    pub(crate) fn last_tokens(&self) -> u64 {
        all_tokens(&self.last)
    }

    /// Why a model call may not be made, if it may not, that reads a conversation of `conversation` tokens. It is taken to write as much as it may and to find nothing in the cache, so that a limit is held and
    /// not passed by one call; where the price is not known, it is taken to cost what the last one did.
    pub(crate) fn refusal(&self, conversation: u64) -> Option<PauseReason> {
        let nothing = Spending { reserved_calls: 0, reserved: WorstCase::default(), ..self.others };
        self.refused_with(conversation, &nothing)
    }

    /// The same while `others` have used so much, and have calls under way.
    fn refused_with(&self, conversation: u64, others: &Spending) -> Option<PauseReason> {
        self.refused_next(self.worst_case(conversation), others)
    }

    fn refused_next(&self, next: WorstCase, others: &Spending) -> Option<PauseReason> {
        let Limits { turns, tokens, cost_microdollars, seconds, .. } = self.limits;
        let used_tokens = all_tokens(&self.used)
            .saturating_add(all_tokens(&others.used))
            .saturating_add(others.reserved.tokens);
        let used_cost = (self.used.cost_microdollars)
            .saturating_add(others.used.cost_microdollars)
            .saturating_add(others.reserved.cost_microdollars);
        let calls = self.calls.saturating_add(others.calls).saturating_add(others.reserved_calls);
        let limit = if calls >= turns {
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

    fn limit(budget: &Budget, conversation: u64) -> String {
        match budget.refusal(conversation) {
            Some(PauseReason::Limit { limit }) => limit,
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn a_call_within_all_limits_is_allowed() {
        let mut budget = budget(LIMITS);
        budget.spend(call(400, 1_000_000));
        budget.time_used(59);
        assert_eq!(budget.refusal(500), None);
    }

    #[test]
    fn each_limit_names_its_figures_and_what_raises_it() {
        let mut calls = budget(LIMITS);
        (0..3).for_each(|_| calls.called(call(1, 0)));
        assert_eq!(limit(&calls, 0), "3 model calls, all made. Raise it with --turns to go on.");
        let mut tokens = budget(LIMITS);
        tokens.spend(call(3_600, 0));
        assert_eq!(
            limit(&tokens, 600),
            "20,000 tokens: 3,600 are used and the next call may need 16,600. Raise it with --tokens to go on."
        );
        let mut money = budget(LIMITS);
        money.spend(call(1, 1_750_000));
        assert_eq!(
            limit(&money, 2_000),
            "$2.50: $1.75 are spent and the next call may cost $0.82. Raise it with --budget to go on."
        );
        let mut time = budget(LIMITS);
        time.time_used(61);
        assert_eq!(limit(&time, 0), "60 seconds of work: 61 are used. Raise it with --minutes to go on.");
    }

    #[test]
    fn a_model_without_a_known_price_is_taken_to_cost_what_the_last_call_did() {
        let mut budget = Budget::new(LIMITS, 16_000, None);
        budget.spend(call(1, 1_300_000));
        assert!(limit(&budget, 0).contains("may cost $1.30"));
    }

    #[test]
    fn a_limit_of_nothing_refuses_the_first_call() {
        let nothing = Limits { tokens: 0, ..LIMITS };
        assert!(limit(&budget(nothing), 0).starts_with("0 tokens"));
    }

    #[test]
    fn an_older_figure_of_time_does_not_turn_time_back() {
        let mut budget = budget(LIMITS);
        budget.time_used(60);
        budget.time_used(10);
        assert!(budget.refusal(0).is_some());
    }

    #[test]
    fn absurd_usage_pauses_instead_of_overflowing() {
        let mut budget = budget(LIMITS);
        let absurd = Usage { output_tokens: u64::MAX, ..call(u64::MAX, u64::MAX) };
        budget.spend(absurd);
        budget.spend(absurd);
        assert!(budget.refusal(u64::MAX).is_some());
    }
    #[test]
    fn what_others_used_counts_and_what_they_may_use_is_waited_for() {
        let limits = Limits { tokens: 60_000, ..LIMITS };
        let (mut one, mut other) = (budget(limits), budget(limits));
        other.called(call(20_000, 0));
        one.set_others(other.spending(Some(1_000)));
        // 20,000 are used, and 17,000 may be: 16,100 still fit, and 24,000 only if the others use less.
        assert_eq!(one.admission(100), Admission::Allowed);
        assert_eq!(one.admission(8_000), Admission::Later);
        assert!(matches!(one.admission(30_000), Admission::Refused(_)));
        one.set_others(other.spending(None));
        assert_eq!(one.admission(8_000), Admission::Allowed);
    }

    #[test]
    fn the_last_call_of_a_task_is_made_once() {
        let (mut one, mut other) = (budget(LIMITS), budget(LIMITS));
        (0..2).for_each(|_| other.called(call(1, 0)));
        one.set_others(other.spending(Some(1)));
        assert_eq!(one.admission(1), Admission::Later);
        other.called(call(1, 0));
        one.set_others(other.spending(None));
        assert!(matches!(one.admission(1), Admission::Refused(_)));
    }

    #[test]
    fn a_smaller_share_ends_by_itself_and_the_task_goes_on() {
        let parent = budget(Limits { tokens: 1_000_000, ..LIMITS });
        let share = Share { tokens: Some(30_000), ..Share::default() };
        let mut child = parent.for_subagent(share, Some(PRICE), parent.spending(None));
        assert_eq!(child.admission(5_000), Admission::Allowed);
        child.called(call(20_000, 0));
        let Admission::ShareUsed(said) = child.admission(5_000) else { panic!("it goes on") };
        assert_eq!(said, "It may use 30,000 tokens; 20,000 are used and the next call may need 21,000.");
        assert_eq!(parent.admission(5_000), Admission::Allowed);
    }

    #[test]
    fn a_share_of_money_refuses_the_call_that_could_pass_it_and_no_call_before() {
        let parent = budget(Limits { tokens: 10_000_000, cost_microdollars: 90_000_000, ..LIMITS });
        let share = Share { cost_microdollars: Some(2_000_000), ..Share::default() };
        let mut child = parent.for_subagent(share, Some(PRICE), parent.spending(None));
        // 800,000 for what it may write, and 10 for each token that it reads.
        assert_eq!(child.admission(40_000), Admission::Allowed);
        child.called(call(40_000, 800_000));
        assert_eq!(child.admission(40_000), Admission::Allowed, "it just fits");
        let Admission::ShareUsed(said) = child.admission(40_001) else { panic!("it goes on") };
        assert_eq!(said, "It may cost $2.00; $0.80 are spent and the next call may cost $1.20.");
        assert_eq!(parent.admission(40_001), Admission::Allowed);
    }

    #[test]
    fn the_smaller_of_two_shares_counts_and_the_task_s_limits_count_beside_them() {
        let parent = budget(Limits { cost_microdollars: 500_000, ..LIMITS });
        let share = Share { tokens: Some(10), cost_microdollars: Some(9_000_000), seconds: None };
        let child = parent.for_subagent(share, Some(PRICE), parent.spending(None));
        assert!(matches!(child.admission(1), Admission::ShareUsed(said) if said.contains("10 tokens")));
        let share = Share { cost_microdollars: Some(9_000_000), ..Share::default() };
        let child = parent.for_subagent(share, Some(PRICE), parent.spending(None));
        assert!(matches!(child.admission(1), Admission::Refused(_)), "the task has less than the share");
    }

    #[test]
    fn what_a_subagent_used_stays_used_when_it_is_over() {
        let mut parent = budget(LIMITS);
        let mut child = parent.for_subagent(Share::default(), None, parent.spending(None));
        child.called(call(700, 5));
        parent.absorb(&child);
        child.forget(0);
        assert_eq!((parent.used(), child.used()), (call(700, 5), Usage::default()));
    }
}
