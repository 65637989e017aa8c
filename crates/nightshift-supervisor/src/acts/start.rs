//! What becomes of a run whose sandbox does not come up.

use nightshift_sandbox::StartError;

use super::Trouble;
use crate::desk::DeskError;

/// The run pauses for what may pass or can be mended while it waits, and fails for the rest.
pub(super) fn trouble(error: DeskError) -> Trouble {
    let may_pass = match &error {
        // A disk is full, a host is away or has no room, a program or a template is missing.
        DeskError::Start(
            StartError::DiskFull { .. }
            | StartError::NoRoom { .. }
            | StartError::ProgramMissing { .. }
            | StartError::TimedOut { .. }
            | StartError::Unsuitable { .. },
        ) => true,
        DeskError::Start(StartError::Refused { .. } | StartError::Io { .. })
        | DeskError::Ended { .. }
        | DeskError::Silent { .. }
        | DeskError::Dark { .. } => false,
    };
    if may_pass { Trouble::Pause(error.into()) } else { Trouble::Fail(error.into()) }
}

#[cfg(test)]
mod tests {
    use nightshift_sandbox::Remedy;

    use super::*;

    #[test]
    fn what_may_pass_pauses_a_run_with_what_to_do_and_what_does_not_fails_it() {
        let remedy = || Remedy("Look whether it is up.".to_owned());
        let away =
            StartError::Unsuitable { what: "the host attic cannot be reached".to_owned(), remedy: remedy() };
        let Trouble::Pause(error) = trouble(away.into()) else { panic!("a host comes back") };
        assert_eq!(
            (error.message.as_str(), error.hint.as_str()),
            ("the host attic cannot be reached", "Look whether it is up.")
        );
        let full = StartError::DiskFull { folder: "/data".into() };
        let Trouble::Pause(error) = trouble(full.into()) else { panic!("room can be made") };
        assert!(error.hint.ends_with("then `nightshift continue` the run."), "{error:?}");
        let refused = StartError::Refused { what: "-device: no such device".to_owned() };
        assert!(matches!(trouble(refused.into()), Trouble::Fail(_)));
        assert!(matches!(trouble(DeskError::Dark { what: "no picture".to_owned() }), Trouble::Fail(_)));
    }
}
