//! What the tries of a turn use that bring no answer. Whoever lets go of the turn is told of it, whatever it waits for then.

use std::time::Duration;

use bytes::Bytes;
use nightshift_protocol::Usage;
use tokio::time::Instant;

use crate::{Price, Progress, relay};

/// Adds up what tries used. Dropped before there is an answer, it tells the sum.
pub(crate) struct Spent<'a> {
    progress: &'a (dyn Fn(Progress) + Send + Sync),
    price: Option<Price>,
    /// What the tries that were cut used, with its price.
    lost: Usage,
    under_way: Option<Try>,
}

/// A try that is under way.
struct Try {
    request: Bytes,
    /// Tokens that it may write.
    most: u64,
    sent: Instant,
    /// How much of the answer has come.
    bytes: u64,
    told: Told,
}

/// What a provider says that a try used.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Told {
    /// As far as it knows yet.
    SoFar(Usage),
    /// All of it.
    InAll(Usage),
}

impl<'a> Spent<'a> {
    /// Begins a turn of a model with that price.
    pub(crate) fn new(progress: &'a (dyn Fn(Progress) + Send + Sync), price: Option<Price>) -> Self {
        Self { progress, price, lost: Usage::default(), under_way: None }
    }

    /// A try begins: this is sent, and `most` tokens may be written.
    pub(crate) fn begin(&mut self, request: Bytes, most: u32) {
        let told = Told::SoFar(Usage::default());
        self.under_way = Some(Try { request, most: most.into(), sent: Instant::now(), bytes: 0, told });
    }

    /// So many more bytes of its answer came.
    pub(crate) fn came(&mut self, bytes: usize) {
        if let Some(open) = &mut self.under_way {
            open.bytes = open.bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        }
    }

    /// The provider says what it used.
    pub(crate) fn told(&mut self, told: Told) {
        if let Some(open) = &mut self.under_way {
            open.told = told;
        }
    }

    /// The try reached no model, so it used nothing.
    pub(crate) fn nothing(&mut self) {
        self.under_way = None;
    }

    /// The try is over without an answer.
    pub(crate) fn cut(&mut self) {
        if let Some(open) = self.under_way.take() {
            self.lost += relay::priced(open.used(open.sent.elapsed()), self.price);
        }
    }

    /// The try under way is answered. Returns what those before it used.
    pub(crate) fn answered(mut self) -> Usage {
        self.under_way = None;
        std::mem::take(&mut self.lost)
    }
}

impl Drop for Spent<'_> {
    fn drop(&mut self) {
        self.cut();
        if self.lost != Usage::default() {
            (self.progress)(Progress::Used(self.lost));
        }
    }
}

impl Try {
    /// What it used where it is cut so long after it was sent. What the provider has not said is estimated as that of a relayed
    /// call is: OpenAI's APIs say nothing before the end.
    fn used(&self, took: Duration) -> Usage {
        let told = match self.told {
            Told::InAll(usage) => return usage,
            Told::SoFar(usage) => usage,
        };
        let read = [told.input_tokens, told.cache_read_tokens, told.cache_write_tokens];
        let says_what_it_read = read.iter().any(|tokens| *tokens > 0);
        let written = relay::streamed(self.bytes, took).min(self.most);
        Usage {
            input_tokens: if says_what_it_read { told.input_tokens } else { relay::read_by(&self.request) },
            output_tokens: told.output_tokens.max(written),
            ..told
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// A text of thirty bytes, which are estimated as eleven tokens.
    const REQUEST: &str = "\"thirty bytes of text, or there\"";

    const PRICE: Price = Price {
        rates: crate::Rates { input: 1_000, cache_write: 1_000, cache_read: 1_000, output: 2_000 },
        long: None,
    };

    fn usage(input_tokens: u64, output_tokens: u64) -> Usage {
        Usage { input_tokens, output_tokens, ..Usage::default() }
    }

    /// What a try used that was cut after so many bytes and seconds.
    fn cut(told: Told, bytes: u64, seconds: u64) -> Usage {
        let open = Try { request: REQUEST.into(), most: 1_000, sent: Instant::now(), bytes, told };
        open.used(Duration::from_secs(seconds))
    }

    #[test]
    fn a_try_that_says_nothing_of_itself_counts_what_was_sent_and_what_can_have_been_written() {
        let silent = Told::SoFar(Usage::default());
        assert_eq!(cut(silent, 0, 0), usage(11, 0));
        assert_eq!(cut(silent, 80, 0), usage(11, 20), "what came");
        assert_eq!(cut(silent, 80, 3), usage(11, 300), "and what was thought unseen");
        assert_eq!(cut(silent, 80, 3_600), usage(11, 1_000), "but no more than the request allows");
    }

    #[test]
    fn what_a_provider_says_counts_as_far_as_it_says_it() {
        assert_eq!(cut(Told::SoFar(usage(7, 1)), 80, 0), usage(7, 20));
        assert_eq!(cut(Told::SoFar(usage(7, 30)), 80, 0), usage(7, 30));
        let cached = Usage { cache_read_tokens: 9, ..Usage::default() };
        assert_eq!(cut(Told::SoFar(cached), 0, 0), cached, "all that was read was in the cache");
        assert_eq!(cut(Told::InAll(usage(7, 3)), 8_000, 3_600), usage(7, 3));
    }

    /// What the cut tries used after `play`, where an answer came, and what is told of them where none did.
    fn played(play: impl Fn(&mut Spent<'_>)) -> (Usage, Vec<Progress>) {
        let told = Mutex::new(Vec::new());
        let progress = |progress| told.lock().unwrap().push(progress);
        let mut answered = Spent::new(&progress, Some(PRICE));
        play(&mut answered);
        let lost = answered.answered();
        let mut dropped = Spent::new(&progress, Some(PRICE));
        play(&mut dropped);
        drop(dropped);
        (lost, told.into_inner().unwrap())
    }

    #[test]
    fn every_try_counts_with_its_price_and_the_one_under_way_where_no_answer_comes() {
        let tries = |spent: &mut Spent<'_>| {
            for told in [Told::InAll(usage(7, 3)), Told::InAll(usage(7, 4))] {
                spent.begin(REQUEST.into(), 1_000);
                spent.told(told);
                spent.cut();
            }
            spent.begin(REQUEST.into(), 1_000);
            spent.told(Told::InAll(usage(5, 0)));
        };
        let lost = Usage { cost_microdollars: 13 + 15, ..usage(14, 7) };
        let all = Usage { cost_microdollars: 13 + 15 + 5, ..usage(19, 7) };
        assert_eq!(played(tries), (lost, vec![Progress::Used(all)]));
    }

    #[test]
    fn a_try_that_reached_no_model_used_nothing_and_nothing_is_told_of_it() {
        let refused = |spent: &mut Spent<'_>| {
            spent.begin(REQUEST.into(), 1_000);
            spent.nothing();
            spent.cut();
        };
        assert_eq!(played(refused), (Usage::default(), Vec::new()));
    }
}
