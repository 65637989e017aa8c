//! The thread that watches over one job: it reads what the job writes, keeps its time, and learns of its end.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nightshift_channel::wire::service::{JobExit, JobStatus, Source};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::ending::Ending;
use super::job::Job;
use super::spool::{Spool, extent_of};

/// How much is read of a pipe at once, in bytes: as much as it holds by default (pipe(7)).
const PIPE_BYTES: usize = 64 * 1024;

/// How much is read of a pipe after the leader's end, in bytes: as much as a pipe can hold for a user.
const LAST_BYTES: usize = 1024 * 1024;

/// The reading end of one of a job's outputs.
pub(super) struct Outlet {
    pub(super) source: Source,
    pub(super) pipe: OwnedFd,
}

/// A job's first process.
pub(super) enum Leader {
    /// It was started by this program.
    Child(Child),
    /// It was started by this program's former life: how it ends cannot be learnt.
    Orphan,
}

/// Watches over a job until its leader has ended, and reads its outputs until nobody can write to them.
pub(super) struct Watch {
    pub(super) job: Arc<Job>,
    pub(super) pid: Pid,
    pub(super) leader: Leader,
    pub(super) ending: Ending,
    pub(super) outlets: Vec<Outlet>,
    /// None for an orphan, whose output nobody reads.
    pub(super) spool: Option<Spool>,
    pub(super) begun: Instant,
}

impl Watch {
    pub(super) fn run(mut self) {
        let mut buffer = vec![0; PIPE_BYTES];
        let status = self.until_leader_ends(&mut buffer).unwrap_or(JobStatus::Lost);
        // All that the leader wrote is in the pipes by now. What processes it left behind write later is read only so
        // that they do not die of it.
        let mut outlets = std::mem::take(&mut self.outlets);
        outlets.retain(|outlet| self.read(outlet, &mut buffer, LAST_BYTES));
        let (extent, dropped_bytes) = match &self.spool {
            Some(spool) => (spool.extent(), spool.dropped()),
            None => (extent_of(&self.job.folder), 0),
        };
        let wall = match self.leader {
            Leader::Child(_) => self.begun.elapsed(),
            Leader::Orphan => Duration::ZERO,
        };
        self.job.ended(extent, JobExit { status, dropped_bytes, wall });
        self.spool = None;
        while !outlets.is_empty() {
            let mut fds: Vec<_> =
                outlets.iter().map(|outlet| PollFd::new(&outlet.pipe, PollFlags::IN)).collect();
            if !matches!(poll(&mut fds, None), Ok(_) | Err(Errno::INTR)) {
                return;
            }
            drop(fds);
            outlets.retain(|outlet| self.read(outlet, &mut buffer, PIPE_BYTES));
        }
        self.job.group.remove();
    }

    fn until_leader_ends(&mut self, buffer: &mut [u8]) -> io::Result<JobStatus> {
        // The leader is not reaped before this, so the number is its own; an orphan was looked at a moment ago.
        let leader = pidfd_open(self.pid, PidfdFlags::empty())?;
        loop {
            let mut fds = vec![
                PollFd::new(&leader, PollFlags::IN),
                PollFd::from_borrowed_fd(self.job.wake.as_fd(), PollFlags::IN),
            ];
            fds.extend(self.outlets.iter().map(|outlet| PollFd::new(&outlet.pipe, PollFlags::IN)));
            let now = Instant::now();
            let timeout =
                self.ending.deadline().map(|deadline| timespec(deadline.saturating_duration_since(now)));
            match poll(&mut fds, timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
            drop(fds);
            self.read_ready(ready.get(2..).unwrap_or_default(), buffer);
            if ready.get(1) == Some(&true) {
                for signal in self.job.take_asked() {
                    if let Some(act) = self.ending.asked(signal, Instant::now()) {
                        self.job.group.act(act, Some(self.pid));
                    }
                }
            }
            if let Some(act) = self.ending.passed(Instant::now()) {
                self.job.group.act(act, Some(self.pid));
            }
            if ready.first() == Some(&true) {
                return self.leader_ended();
            }
        }
    }

    fn leader_ended(&mut self) -> io::Result<JobStatus> {
        // What it left behind is ended before it is reaped: until then its group's number is its own.
        let (_, left_behind) = self.ending.leader_ended(JobStatus::Lost);
        if let Some(act) = left_behind {
            self.job.group.act(act, Some(self.pid));
        }
        let status = match &mut self.leader {
            Leader::Child(child) => status_of(child.wait()?),
            Leader::Orphan => JobStatus::Lost,
        };
        Ok(self.ending.leader_ended(status).0)
    }

    fn read_ready(&mut self, ready: &[bool], buffer: &mut [u8]) {
        let outlets = std::mem::take(&mut self.outlets);
        let mut ready = ready.iter();
        self.outlets = outlets
            .into_iter()
            .filter(|outlet| ready.next() != Some(&true) || self.read(outlet, buffer, PIPE_BYTES))
            .collect();
    }

    /// Reads what is there, up to a limit; tells whether there may ever be more.
    fn read(&mut self, outlet: &Outlet, buffer: &mut [u8], limit: usize) -> bool {
        let mut left = limit;
        while left > 0 {
            match rustix::io::read(&outlet.pipe, &mut *buffer) {
                Ok(0) => return false,
                Ok(length) => {
                    left = left.saturating_sub(length);
                    if let Some(spool) = &mut self.spool {
                        spool.append(outlet.source, buffer.get(..length).unwrap_or_default());
                        self.job.grew(spool.extent());
                    }
                }
                Err(Errno::AGAIN) => return true,
                Err(Errno::INTR) => {}
                Err(_) => return false,
            }
        }
        true
    }
}

fn status_of(status: ExitStatus) -> JobStatus {
    match (status.code(), status.signal()) {
        (Some(code), _) => JobStatus::Code(code),
        (None, Some(signal)) => JobStatus::Signal(signal),
        (None, None) => JobStatus::Lost,
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}
