//! Decides what a viewer is sent and when. Pure: time and the screen's changes are passed in.
//!
//! ```text
//!            change, < 2 unacknowledged                quiet for 250 ms, all acknowledged
//!   exact ───────────────────────────────▶ lossy ─────────────────────────────────────────▶ exact
//!     └── small change: plain pixels ─▶ exact        └── small change elsewhere ─▶ lossy
//! ```

use std::time::Duration;

use super::wire::Encoding;
use crate::geometry::{Rect, Size};

/// Updates that may be on their way: one is drawn while the next travels.
pub(super) const IN_FLIGHT: u32 = 2;

/// The shortest time between two updates: a hundred a second nobody sees.
const PAUSE: Duration = Duration::from_millis(8);

/// How long nothing may have changed before what was sent with loss is sent again without.
const QUIET: Duration = Duration::from_millis(250);

/// The most pixels that go as they are; of more, 1 MB and up a frame, a compressed picture is drawn sooner.
const PLAIN: u64 = 96 * 1024;

/// The screen as it is when it is decided what to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) size: Size,
    pub(super) generation: u64,
    /// What changed since the generation that was sent last.
    pub(super) changed: Vec<Rect>,
}

/// What is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) sequence: u32,
    pub(super) size: Size,
    pub(super) key_frame: bool,
    pub(super) lossless: bool,
    pub(super) encoding: Encoding,
    pub(super) rects: Vec<Rect>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Send this.
    Send(Plan),
    /// Wait for a change or an acknowledgement, but no longer than until then.
    WaitUntil(Duration),
    /// Wait for a change or an acknowledgement.
    Wait,
}

/// What one viewer has.
#[derive(Debug)]
pub(super) struct Pacing {
    size: Option<Size>,
    generation: u64,
    sequence: u32,
    acknowledged: u32,
    sent_at: Option<Duration>,
    /// What the viewer has with loss.
    lossy: Option<Rect>,
}

impl Pacing {
    pub(super) fn new() -> Self {
        Self { size: None, generation: 0, sequence: 0, acknowledged: 0, sent_at: None, lossy: None }
    }

    /// The generation that was sent last.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// The viewer has drawn all up to this one. What was never sent cannot be acknowledged.
    pub(super) fn acknowledge(&mut self, sequence: u32) {
        if sequence <= self.sequence {
            self.acknowledged = self.acknowledged.max(sequence);
        }
    }

    /// The viewer's picture is no longer the screen's: begin anew, with a whole frame.
    pub(super) fn forget(&mut self) {
        self.size = None;
        self.lossy = None;
    }

    /// Decides what comes next; what it says to send counts as sent.
    pub(super) fn step(&mut self, seen: &Seen, now: Duration) -> Step {
        let in_flight = self.sequence - self.acknowledged;
        if in_flight >= IN_FLIGHT {
            return Step::Wait;
        }
        let free_at = self.sent_at.map_or(Duration::ZERO, |sent| sent + PAUSE);
        let key_frame = self.size != Some(seen.size);
        if key_frame || !seen.changed.is_empty() {
            if now < free_at {
                return Step::WaitUntil(free_at);
            }
            return Step::Send(self.send_change(seen, key_frame, now));
        }
        match (self.lossy, in_flight) {
            (Some(lossy), 0) => {
                let quiet_at = self.sent_at.map_or(Duration::ZERO, |sent| sent + QUIET);
                if now < quiet_at {
                    return Step::WaitUntil(quiet_at);
                }
                self.lossy = None;
                Step::Send(self.sent(seen, false, Encoding::Png, vec![lossy], now))
            }
            _ => Step::Wait,
        }
    }

    fn send_change(&mut self, seen: &Seen, key_frame: bool, now: Duration) -> Plan {
        let rects = if key_frame { vec![Rect::whole(seen.size)] } else { seen.changed.clone() };
        // The first picture is exact from the start: nothing is shown before it, so its compression is not waited for.
        let area: u64 = rects.iter().map(|rect| rect.area()).sum();
        let encoding = match () {
            () if key_frame => Encoding::Png,
            () if area <= PLAIN => Encoding::Raw,
            () => Encoding::Jpeg,
        };
        if key_frame {
            self.lossy = None;
        } else if encoding == Encoding::Jpeg {
            self.lossy = rects.iter().copied().chain(self.lossy).reduce(Rect::union);
        }
        self.sent(seen, key_frame, encoding, rects, now)
    }

    fn sent(
        &mut self,
        seen: &Seen,
        key_frame: bool,
        encoding: Encoding,
        rects: Vec<Rect>,
        now: Duration,
    ) -> Plan {
        self.sequence += 1;
        self.size = Some(seen.size);
        self.generation = seen.generation;
        self.sent_at = Some(now);
        let lossless = self.lossy.is_none();
        Plan { sequence: self.sequence, size: seen.size, key_frame, lossless, encoding, rects }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn size() -> Size {
        Size::new(1280, 800).unwrap()
    }

    fn rect(x: u32, y: u32, width: u32, height: u32) -> Rect {
        Rect::new(x, y, width, height).unwrap()
    }

    fn seen(generation: u64, changed: &[Rect]) -> Seen {
        Seen { size: size(), generation, changed: changed.to_vec() }
    }

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn sent(step: Step) -> Plan {
        match step {
            Step::Send(plan) => plan,
            other => panic!("{other:?}"),
        }
    }

    /// A viewer that has drawn its first frame.
    fn begun() -> Pacing {
        let mut pacing = Pacing::new();
        let first = sent(pacing.step(&seen(1, &[]), ms(0)));
        assert_eq!((first.sequence, first.key_frame, first.lossless), (1, true, true));
        pacing.acknowledge(1);
        pacing
    }

    #[test]
    fn a_small_change_goes_as_it_is_and_a_large_one_compressed_and_then_again_without_loss() {
        let mut pacing = begun();
        let small = sent(pacing.step(&seen(2, &[rect(5, 5, 8, 16)]), ms(20)));
        assert_eq!((small.encoding, small.lossless), (Encoding::Raw, true));
        let large = sent(pacing.step(&seen(3, &[rect(0, 0, 1280, 400)]), ms(40)));
        assert_eq!((large.encoding, large.lossless), (Encoding::Jpeg, false));
        pacing.acknowledge(3);
        assert_eq!(pacing.step(&seen(3, &[]), ms(50)), Step::WaitUntil(ms(290)));
        let again = sent(pacing.step(&seen(3, &[]), ms(290)));
        assert_eq!((again.encoding, again.lossless), (Encoding::Png, true));
        assert_eq!(again.rects, [rect(0, 0, 1280, 400)]);
    }

    #[test]
    fn with_two_unacknowledged_nothing_is_sent_and_then_all_that_was_missed_at_once() {
        let mut pacing = begun();
        let change = [rect(0, 0, 8, 8)];
        sent(pacing.step(&seen(2, &change), ms(20)));
        sent(pacing.step(&seen(3, &change), ms(40)));
        assert_eq!(pacing.step(&seen(9, &change), ms(10_000)), Step::Wait);
        assert_eq!(pacing.generation(), 3);
        pacing.acknowledge(3);
        assert_eq!(sent(pacing.step(&seen(9, &change), ms(10_001))).sequence, 4);
    }

    #[test]
    fn another_size_and_a_new_begin_bring_a_whole_frame() {
        let mut pacing = begun();
        let wide = Seen { size: Size::new(1920, 1080).unwrap(), generation: 2, changed: Vec::new() };
        assert!(sent(pacing.step(&wide, ms(20))).key_frame);
        pacing.acknowledge(2);
        pacing.forget();
        assert!(sent(pacing.step(&wide, ms(40))).key_frame);
    }

    #[test]
    fn what_was_never_sent_cannot_be_acknowledged() {
        let mut pacing = begun();
        pacing.acknowledge(u32::MAX);
        let change = [rect(0, 0, 8, 8)];
        sent(pacing.step(&seen(2, &change), ms(20)));
        sent(pacing.step(&seen(3, &change), ms(40)));
        assert_eq!(pacing.step(&seen(4, &change), ms(60)), Step::Wait);
    }

    #[derive(Debug, Clone)]
    enum Happens {
        Change(u32, u32),
        Acknowledge(u32),
        Pass(u64),
    }

    fn happens() -> impl Strategy<Value = Happens> {
        prop_oneof![
            (1..1280u32, 1..800u32).prop_map(|(width, height)| Happens::Change(width, height)),
            (0..3u32).prop_map(Happens::Acknowledge),
            (0..400u64).prop_map(Happens::Pass),
        ]
    }

    proptest! {
        #[test]
        fn a_viewer_never_has_more_than_two_in_flight_and_ends_with_the_exact_picture(
            story in prop::collection::vec(happens(), 0..80),
        ) {
            let (mut pacing, mut now, mut generation) = (Pacing::new(), ms(0), 1);
            let (mut unsent, mut last, mut acknowledged) = (Vec::new(), 0, 0);
            let mut exact = false;
            let quiet_end = (0..20).flat_map(|_| [Happens::Acknowledge(9), Happens::Pass(300)]);
            for happens in story.into_iter().chain(quiet_end) {
                match happens {
                    Happens::Change(width, height) => {
                        generation += 1;
                        unsent.push(rect(0, 0, width, height));
                        exact = false;
                    }
                    Happens::Acknowledge(more) => {
                        acknowledged = last.min(acknowledged + more);
                        pacing.acknowledge(acknowledged);
                    }
                    Happens::Pass(milliseconds) => now += ms(milliseconds),
                }
                if let Step::Send(plan) = pacing.step(&seen(generation, &unsent), now) {
                    last = plan.sequence;
                    exact = plan.lossless;
                    unsent.clear();
                    prop_assert!(last - acknowledged <= IN_FLIGHT);
                }
            }
            prop_assert!(exact);
        }
    }
}
