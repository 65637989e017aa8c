//! How a job is brought to its end: a pure machine.
//!
//! ```text
//!   Running ──terminate, time over──▶ Terminating ──2 s, or the leader ended──▶ Killed
//!      └──────────────kill──────────────────┴──────────────────────────────────────┘
//! ```

use std::time::{Duration, Instant};

use nightshift_channel::wire::service::{JobStatus, Signal};

/// How long a job has to end by itself after SIGTERM.
const GRACE: Duration = Duration::from_secs(2);

/// Where a job stands between its start and its leader's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It runs, until then if it has a time limit.
    Running { until: Option<Instant> },
    /// It was told to end.
    Terminating { cause: Cause, kill_at: Instant },
    /// It was killed.
    Killed { cause: Cause },
}

/// Why a job is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Somebody asked for it.
    Asked,
    /// Its time is over.
    TimeLimit,
}

/// What to do to a job's processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// SIGINT to the leader's process group.
    Interrupt,
    /// SIGTERM to all.
    Terminate,
    /// SIGKILL to all.
    Kill,
}

impl Ending {
    /// Somebody asks for a signal.
    pub(crate) fn asked(&mut self, signal: Signal, now: Instant) -> Option<Act> {
        match (signal, *self) {
            (Signal::Interrupt, Self::Running { .. }) => Some(Act::Interrupt),
            (Signal::Terminate, Self::Running { .. }) => Some(self.terminate(Cause::Asked, now)),
            (Signal::Kill, Self::Running { .. }) => Some(self.kill(Cause::Asked)),
            (Signal::Kill, Self::Terminating { cause, .. }) => Some(self.kill(cause)),
            (Signal::Interrupt | Signal::Terminate, Self::Terminating { .. }) => None,
            // Once more for what was started between the first time and now.
            (Signal::Kill, Self::Killed { .. }) => Some(Act::Kill),
            (Signal::Interrupt | Signal::Terminate, Self::Killed { .. }) => None,
        }
    }

    /// Time passes.
    pub(crate) fn passed(&mut self, now: Instant) -> Option<Act> {
        match *self {
            Self::Running { until: Some(until) } if until <= now => {
                Some(self.terminate(Cause::TimeLimit, now))
            }
            Self::Terminating { cause, kill_at } if kill_at <= now => Some(self.kill(cause)),
            Self::Running { .. } | Self::Terminating { .. } | Self::Killed { .. } => None,
        }
    }

    /// When time must be looked at next.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match *self {
            Self::Running { until } => until,
            Self::Terminating { kill_at, .. } => Some(kill_at),
            Self::Killed { .. } => None,
        }
    }

    /// The leader ended in this way: returns the job's status, and what becomes of what it left behind.
    pub(crate) fn leader_ended(self, status: JobStatus) -> (JobStatus, Option<Act>) {
        match self {
            Self::Running { .. } => (status, None),
            Self::Terminating { cause: Cause::Asked, .. } | Self::Killed { cause: Cause::Asked } => {
                (status, Some(Act::Kill))
            }
            Self::Terminating { cause: Cause::TimeLimit, .. } | Self::Killed { cause: Cause::TimeLimit } => {
                (JobStatus::TimedOut, Some(Act::Kill))
            }
        }
    }

    fn terminate(&mut self, cause: Cause, now: Instant) -> Act {
        *self = Self::Terminating { cause, kill_at: now + GRACE };
        Act::Terminate
    }

    fn kill(&mut self, cause: Cause) -> Act {
        *self = Self::Killed { cause };
        Act::Kill
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_without_a_limit_never_times_out() {
        let mut ending = Ending::Running { until: None };
        assert_eq!(ending.passed(Instant::now() + Duration::from_secs(1_000_000)), None);
        assert_eq!(ending.deadline(), None);
        assert_eq!(ending.leader_ended(JobStatus::Code(3)), (JobStatus::Code(3), None));
    }

    #[test]
    fn a_job_over_its_time_is_told_first_and_killed_two_seconds_later() {
        let now = Instant::now();
        let mut ending = Ending::Running { until: Some(now) };
        assert_eq!(ending.passed(now), Some(Act::Terminate));
        assert_eq!(ending.passed(now + Duration::from_millis(1_999)), None);
        assert_eq!(ending.passed(now + GRACE), Some(Act::Kill));
        assert_eq!(ending.passed(now + GRACE * 2), None);
        assert_eq!(ending.leader_ended(JobStatus::Signal(9)), (JobStatus::TimedOut, Some(Act::Kill)));
    }

    #[test]
    fn a_job_that_obeys_leaves_nothing_behind() {
        let now = Instant::now();
        let mut ending = Ending::Running { until: None };
        assert_eq!(ending.asked(Signal::Terminate, now), Some(Act::Terminate));
        assert_eq!(ending.leader_ended(JobStatus::Signal(15)), (JobStatus::Signal(15), Some(Act::Kill)));
    }

    #[test]
    fn an_interrupt_is_the_jobs_own_affair() {
        let mut ending = Ending::Running { until: None };
        assert_eq!(ending.asked(Signal::Interrupt, Instant::now()), Some(Act::Interrupt));
        assert_eq!(ending, Ending::Running { until: None });
    }

    #[test]
    fn asking_twice_does_not_give_more_time_and_kill_does_not_wait() {
        let now = Instant::now();
        let mut ending = Ending::Running { until: None };
        assert_eq!(ending.asked(Signal::Terminate, now), Some(Act::Terminate));
        assert_eq!(ending.asked(Signal::Terminate, now + Duration::from_secs(1)), None);
        assert_eq!(ending.deadline(), Some(now + GRACE));
        assert_eq!(ending.asked(Signal::Kill, now + Duration::from_secs(1)), Some(Act::Kill));
    }

    #[test]
    fn the_first_cause_of_an_end_is_the_one_that_is_told() {
        let now = Instant::now();
        let mut ending = Ending::Running { until: Some(now) };
        assert_eq!(ending.passed(now), Some(Act::Terminate));
        assert_eq!(ending.asked(Signal::Kill, now), Some(Act::Kill));
        assert_eq!(ending.leader_ended(JobStatus::Signal(9)).0, JobStatus::TimedOut);
    }
}
