//! How long a sandbox's screen is waited for.

use std::time::Duration;

use nightshift_sandbox::Acceleration;
use nightshift_screen::{AtRest, Repeats, SettleLimits};

/// When the screen counts as settled after an action, by what runs the guest's instructions.
pub(crate) fn limits(acceleration: Acceleration) -> SettleLimits {
    // Something small that keeps moving (a spinner in a tab) is not waited for.
    let repeats = Repeats::Ignore { area: 64 * 64, times: 8 };
    // More than two frames at 60 Hz. An action that the guest does not even notice leaves its processors at rest; one that it
    // notices makes them work at once.
    let at_rest = Some(AtRest { quiet: Duration::from_millis(40), grace: Duration::from_millis(150) });
    match acceleration {
        Acceleration::Kvm => SettleLimits { repeats, at_rest, ..SettleLimits::default() },
        // Several times slower: a page may compute for a third of a second between two paints.
        Acceleration::Tcg => SettleLimits {
            quiet: Duration::from_millis(350),
            grace: Duration::from_millis(1_800),
            ceiling: Duration::from_secs(10),
            repeats,
            at_rest,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_emulated_guest_is_given_more_time_while_it_computes_and_no_more_while_it_rests() {
        let (native, emulated) = (limits(Acceleration::Kvm), limits(Acceleration::Tcg));
        assert!(emulated.quiet > native.quiet && emulated.grace > native.grace);
        assert_eq!(emulated.at_rest, native.at_rest);
    }
}
