//! List prices of models, and what a turn costs by them.
//!
//! Anthropic's figures are those of <https://platform.claude.com/docs/en/about-claude/pricing> as of 10 October 2026,
//! for the first-party API, standard speed, and cache writes that live five minutes; those that live an hour cost twice what is
//! read. OpenAI's are those that
//! third parties give for <https://developers.openai.com/api/docs/pricing> between June and November 2026. A model that
//! is in no table has no price but the one of the configuration: its turns cost 0 in the records, and a limit on money
//! cannot hold it.

use nightshift_protocol::Usage;

/// The list price of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Price {
    /// The usual rates.
    pub rates: Rates,
    /// Other rates for long prompts, where the provider has them.
    pub long: Option<LongPrompt>,
}

/// What is known of what a model's answers cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pricing {
    /// Their price.
    Known,
    /// Nothing, and the owner's key pays for them.
    Unknown,
    /// Nothing, and its provider is shown no key: there is nobody here whom it could bill.
    Keyless,
}

/// How long a request has its provider keep what it reads, which is dearer than to read it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kept {
    #[default]
    Not,
    Minutes,
    Hour,
}

/// Rates that hold for the whole of a turn whose prompt is long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LongPrompt {
    /// The rates hold above this many tokens of prompt, cached ones counted.
    pub above_tokens: u64,
    /// The rates.
    pub rates: Rates,
}

/// Prices of the kinds of token, in thousandths of a US dollar for a million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// Read and not cached.
    pub input: u64,
    /// Written to the cache.
    pub cache_write: u64,
    /// Read from the cache.
    pub cache_read: u64,
    /// Written by the model.
    pub output: u64,
}

impl Price {
    /// The price in millionths of a US dollar of a turn with this usage, rounded up.
    pub fn cost(&self, usage: &Usage) -> u64 {
        let cached = usage.cache_read_tokens.saturating_add(usage.cache_write_tokens);
        let prompt = usage.input_tokens.saturating_add(cached);
        let rates = match self.long {
            Some(long) if prompt > long.above_tokens => long.rates,
            _ => self.rates,
        };
        let hour = usage.cache_write_hour_tokens.min(usage.cache_write_tokens);
        let parts = [
            (usage.input_tokens, rates.input),
            (usage.cache_read_tokens, rates.cache_read),
            (usage.cache_write_tokens - hour, rates.cache_write),
            // Twice what is read, for every model that has it.
            (hour, rates.input.saturating_mul(2)),
            (usage.output_tokens, rates.output),
        ];
        let nanodollars =
            parts.iter().fold(0_u64, |sum, (tokens, rate)| sum.saturating_add(tokens.saturating_mul(*rate)));
        nanodollars.div_ceil(1000)
    }

    /// The most that a request can cost with this usage, in millionths of a US dollar: what it reads may all be written to the
    /// cache, where it asks for that.
    pub(crate) fn worst(&self, usage: &Usage, kept: Kept) -> u64 {
        let plain = self.cost(usage);
        let written = Usage { input_tokens: 0, cache_write_tokens: usage.input_tokens, ..*usage };
        let for_an_hour = Usage { cache_write_hour_tokens: usage.input_tokens, ..written };
        match kept {
            Kept::Not => plain,
            Kept::Minutes => plain.max(self.cost(&written)),
            Kept::Hour => plain.max(self.cost(&for_an_hour)),
        }
    }

    /// The most a turn can cost, in millionths of a US dollar: nothing cached, and as much written as is allowed.
    pub fn worst_case(&self, prompt_tokens: u64, max_output_tokens: u64) -> u64 {
        self.cost(&Usage {
            cache_write_tokens: prompt_tokens,
            output_tokens: max_output_tokens,
            ..Usage::default()
        })
    }
}

const fn flat(input: u64, cache_write: u64, cache_read: u64, output: u64) -> Price {
    Price { rates: Rates { input, cache_write, cache_read, output }, long: None }
}

const HAIKU_5_5: Price = Price {
    rates: Rates { input: 100, cache_write: 125, cache_read: 10, output: 500 },
    long: Some(LongPrompt {
        above_tokens: 100_000,
        rates: Rates { input: 500, cache_write: 625, cache_read: 50, output: 2500 },
    }),
};

const ANTHROPIC: [(&str, Price); 17] = [
    ("claude-fable-5-1", flat(10_000, 12_500, 250, 50_000)),
    ("claude-mythos-5-1", flat(10_000, 12_500, 250, 50_000)),
    ("claude-fable-5", flat(10_000, 12_500, 1_000, 50_000)),
    ("claude-mythos-5", flat(10_000, 12_500, 1_000, 50_000)),
    ("claude-opus-5-5", flat(4_000, 5_000, 200, 20_000)),
    ("claude-opus-5", flat(5_000, 6_250, 500, 25_000)),
    ("claude-opus-4-8", flat(5_000, 6_250, 500, 25_000)),
    ("claude-opus-4-7", flat(5_000, 6_250, 500, 25_000)),
    ("claude-opus-4-6", flat(5_000, 6_250, 500, 25_000)),
    ("claude-opus-4-5", flat(5_000, 6_250, 500, 25_000)),
    ("claude-sonnet-5-5", flat(2_000, 2_500, 100, 10_000)),
    ("claude-sonnet-5", flat(2_000, 2_500, 200, 10_000)),
    ("claude-sonnet-4-6", flat(3_000, 3_750, 300, 15_000)),
    ("claude-sonnet-4-5", flat(3_000, 3_750, 300, 15_000)),
    ("claude-haiku-5-5", HAIKU_5_5),
    ("claude-haiku-4-5", flat(1_000, 1_250, 100, 5_000)),
    ("claude-opus-4-1", flat(15_000, 18_750, 1_500, 75_000)),
];

const OPENAI: [(&str, Price); 11] = [
    ("gpt-6.1-sol", flat(2_000, 2_500, 100, 10_000)),
    ("gpt-5.6-sol", flat(5_000, 6_250, 500, 30_000)),
    ("gpt-5.6-terra", flat(2_500, 3_125, 250, 15_000)),
    ("gpt-5.6-luna", flat(1_000, 1_250, 100, 6_000)),
    ("gpt-5.5", flat(5_000, 5_000, 500, 30_000)),
    ("gpt-5.4", flat(2_500, 2_500, 250, 15_000)),
    ("gpt-5.4-mini", flat(750, 750, 75, 4_500)),
    ("gpt-5.1", flat(1_250, 1_250, 125, 10_000)),
    ("gpt-5", flat(1_250, 1_250, 125, 10_000)),
    ("gpt-5-mini", flat(250, 250, 25, 2_000)),
    ("gpt-4.1", flat(2_000, 2_000, 500, 8_000)),
];

/// The list price of one of OpenAI's models, by its name with or without the date of its release.
pub(crate) fn openai(model: &str) -> Option<Price> {
    let undated = match model.char_indices().rev().nth(10) {
        // `-2026-08-12`.
        Some((at, '-')) if model[at + 1..].bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') => {
            &model[..at]
        }
        _ => model,
    };
    OPENAI.iter().find(|(name, _)| *name == undated).map(|(_, price)| *price)
}

/// The list price of one of Anthropic's models, by its name with or without the date of its release.
pub(crate) fn anthropic(model: &str) -> Option<Price> {
    let undated = match model.rsplit_once('-') {
        Some((name, date)) if date.len() == 8 && date.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => model,
    };
    ANTHROPIC.iter().find(|(name, _)| *name == undated).map(|(_, price)| *price)
}

/// The newest model that a short name means, as Claude Code has them: `opus`, `sonnet`, `haiku`, `fable`. It is one whose price
/// is known.
pub fn newest_called(name: &str) -> Option<&'static str> {
    let is_of_family = |model: &str| {
        let rest = model.strip_prefix("claude-").and_then(|rest| rest.strip_prefix(name));
        rest.is_some_and(|version| version.starts_with('-'))
    };
    ANTHROPIC.iter().map(|(model, _)| *model).find(|model| is_of_family(model))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_name_means_the_newest_model_of_its_family() {
        assert_eq!(newest_called("opus"), Some("claude-opus-5-5"));
        assert_eq!(newest_called("sonnet"), Some("claude-sonnet-5-5"));
        assert_eq!(newest_called("haiku"), Some("claude-haiku-5-5"));
        for other in ["", "claude", "opus-5-5", "Opus", "gpt-5", "son"] {
            assert_eq!(newest_called(other), None, "{other}");
        }
        assert!(
            ["opus", "sonnet", "haiku", "fable"]
                .iter()
                .all(|name| anthropic(newest_called(name).unwrap()).is_some())
        );
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
    fn each_kind_of_token_has_its_own_price() {
        let sonnet = anthropic("claude-sonnet-5-5").unwrap();
        assert_eq!(sonnet.cost(&usage(1_000_000, 0, 0, 0)), 2_000_000);
        assert_eq!(sonnet.cost(&usage(0, 1_000_000, 0, 0)), 100_000);
        assert_eq!(sonnet.cost(&usage(0, 0, 1_000_000, 0)), 2_500_000);
        assert_eq!(sonnet.cost(&usage(0, 0, 0, 1_000_000)), 10_000_000);
        assert_eq!(sonnet.cost(&usage(3, 1, 0, 0)), 7, "6.1 millionths are rounded up");
    }

    #[test]
    fn a_long_prompt_is_dearer_where_the_provider_says_so() {
        let haiku = anthropic("claude-haiku-5-5").unwrap();
        assert_eq!(haiku.cost(&usage(100_000, 0, 0, 1_000)), 10_500);
        assert_eq!(haiku.cost(&usage(1, 100_000, 0, 1_000)), 7_501, "cached tokens count as prompt");
    }

    #[test]
    fn a_date_does_not_hide_a_model_and_a_newer_one_is_not_taken_for_it() {
        assert_eq!(anthropic("claude-haiku-4-5-20251001"), anthropic("claude-haiku-4-5"));
        assert_eq!(anthropic("claude-sonnet-5-9"), None);
        assert_eq!(anthropic("qwen3-coder"), None);
    }

    #[test]
    fn openai_dates_its_models_with_dashes() {
        assert_eq!(openai("gpt-6.1-sol-2026-08-12"), openai("gpt-6.1-sol"));
        assert!(openai("gpt-6.1-sol").is_some());
        assert_eq!((openai("gpt-5.4-nano"), openai("gpt"), openai("größer-2026-08-12")), (None, None, None));
    }

    #[test]
    fn what_the_cache_keeps_for_an_hour_costs_twice_what_is_read() {
        let opus = anthropic("claude-opus-5-5").unwrap();
        let hour = Usage { cache_write_hour_tokens: 400_000, ..usage(0, 0, 1_000_000, 0) };
        assert_eq!(opus.cost(&hour), 600_000 * 5 + 400_000 * 8);
        let odd = Usage { cache_write_hour_tokens: 9, ..usage(0, 0, 0, 0) };
        assert_eq!(opus.cost(&odd), 0, "there are no more of them than were written");
    }

    #[test]
    fn a_request_that_has_its_provider_keep_what_it_reads_may_cost_what_that_does() {
        let opus = anthropic("claude-opus-5-5").unwrap();
        let read = usage(1_000_000, 0, 0, 10);
        let worst = [Kept::Not, Kept::Minutes, Kept::Hour].map(|kept| opus.worst(&read, kept));
        assert_eq!(worst, [4_000_200, 5_000_200, 8_000_200]);
        // Where keeping is no dearer, nothing changes.
        let cheap = openai("gpt-5").unwrap();
        assert_eq!(cheap.worst(&read, Kept::Minutes), cheap.cost(&read));
    }

    #[test]
    fn no_turn_costs_more_than_its_worst_case() {
        let opus = anthropic("claude-opus-5-5").unwrap();
        let worst = opus.worst_case(10_000, 2_000);
        assert!(opus.cost(&usage(4_000, 3_000, 3_000, 2_000)) < worst);
        assert_eq!(worst, opus.cost(&usage(0, 0, 10_000, 2_000)));
    }
}
