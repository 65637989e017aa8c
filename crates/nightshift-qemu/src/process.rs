//! A process known by a descriptor, which names this very process even after its number went to another.

use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::process::ExitStatus;
use std::time::Duration;

use nightshift_sandbox::Expendable;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::process::Child;
use tokio::sync::oneshot;

/// The most the kernel takes to add to how bad a process is (proc_pid_oom_score_adj(5)): then it is ended first of all.
const WORST: i32 = 1_000;

/// A running process, or one that has ended.
#[derive(Debug)]
pub(crate) struct Process {
    id: Pid,
    handle: AsyncFd<OwnedFd>,
}

impl Process {
    /// Takes hold of the process that has the number `id` now.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is none.
    pub(crate) fn open(id: i32) -> io::Result<Self> {
        // Other numbers stand for groups of processes, or for all.
        let id = Some(id).filter(|id| *id > 0).and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
        let handle = pidfd_open(id, PidfdFlags::empty()).map_err(|error| match error {
            rustix::io::Errno::SRCH => io::Error::from(io::ErrorKind::NotFound),
            error => error.into(),
        })?;
        #[expect(
            unsafe_code,
            reason = "tokio has no safe way to wait for a descriptor that is no socket or pipe"
        )]
        // SAFETY: the descriptor is open, and `AsyncFd` owns it until it closes it; nobody else can.
        let handle = unsafe { AsyncFd::register_with_interest(handle, Interest::READABLE) }?;
        Ok(Self { id, handle })
    }

    /// Takes hold of a child and sees to it that it is reaped; the receiver is told how it ended.
    pub(crate) fn of_child(mut child: Child) -> io::Result<(Self, oneshot::Receiver<ExitStatus>)> {
        // A child that nobody has waited for keeps its number, so the number is this child's.
        let id = child.id().and_then(|id| i32::try_from(id).ok()).ok_or(io::ErrorKind::NotFound)?;
        let process = Self::open(id)?;
        let (tell, told) = oneshot::channel();
        tokio::spawn(async move {
            if let Ok(status) = child.wait().await {
                // Nobody may want to know any more.
                let _ = tell.send(status);
            }
        });
        Ok((process, told))
    }

    /// Its number, which may be another's once it has ended: [`Process::is_there`] tells.
    pub(crate) fn id(&self) -> i32 {
        self.id.as_raw_nonzero().get()
    }

    /// Whether it has not ended; then what was opened by its number before belongs to it.
    pub(crate) fn is_there(&self) -> bool {
        let mut asked = [PollFd::new(self.handle.get_ref(), PollFlags::IN)];
        matches!(poll(&mut asked, Some(&Timespec::default())), Ok(0))
    }

    /// Returns when it has ended.
    pub(crate) async fn ended(&self) {
        // A descriptor of a process becomes readable when the process ends, and stays so (pidfd_open(2)).
        // It cannot fail but by the runtime's end, and then nobody asks.
        let _ = self.handle.readable().await;
    }

    /// The processor time its threads have asked for: what they ran and what they waited for a processor, as the first
    /// two numbers of `schedstat` tell (Documentation/scheduler/sched-stats.rst in Linux). `None` when it has ended, or
    /// when the kernel does not count.
    pub(crate) fn processor_time(&self) -> Option<Duration> {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.id.as_raw_nonzero())).ok()?;
        let of_thread = |path: std::path::PathBuf| -> Option<u64> {
            let text = std::fs::read_to_string(path.join("schedstat")).ok()?;
            let mut numbers = text.split_whitespace().map(|number| number.parse::<u64>().unwrap_or(0));
            Some(numbers.next()?.saturating_add(numbers.next()?))
        };
        // A thread that ends meanwhile takes its time along; one look too much sees no work, and the next one is right.
        let nanoseconds = threads.flatten().filter_map(|thread| of_thread(thread.path())).sum();
        (nanoseconds > 0).then(|| Duration::from_nanos(nanoseconds))
    }

    /// Tells the kernel how soon to end it when memory runs out. `own` is what is said of the process that asks: what it
    /// keeps running for others ends before itself.
    ///
    /// # Errors
    ///
    /// When it has ended, or is another user's.
    pub(crate) fn set_expendable(&self, expendable: Expendable, own: i32) -> io::Result<()> {
        let path = format!("/proc/{}/oom_score_adj", self.id.as_raw_nonzero());
        let mut file = std::fs::File::options().write(true).open(path)?;
        // What was opened by its number before is its own.
        if !self.is_there() {
            return Err(io::ErrorKind::NotFound.into());
        }
        file.write_all(badness(expendable, own).to_string().as_bytes())
    }

    /// Ends it at once. What has ended already stays ended.
    pub(crate) fn kill(&self) {
        if let Err(error) = pidfd_send_signal(self.handle.get_ref(), Signal::KILL)
            && error != rustix::io::Errno::SRCH
        {
            tracing::warn!(%error, "a process could not be killed");
        }
    }
}

/// What the kernel is to add to how bad a machine is, in thousandths of the host's memory (proc_pid_oom_score_adj(5)).
fn badness(expendable: Expendable, own: i32) -> i32 {
    let above = match expendable {
        Expendable::Works => 300,
        Expendable::Rests => 500,
        Expendable::Spare => 700,
    };
    own.saturating_add(above).clamp(0, WORST)
}

/// What is said of this process.
pub(crate) fn own_badness() -> i32 {
    let text = std::fs::read_to_string("/proc/self/oom_score_adj").unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::Stdio;
    use tokio::process::Command;

    fn sleeping() -> Child {
        Command::new("sleep").arg("60").stdin(Stdio::null()).spawn().unwrap()
    }

    #[tokio::test]
    async fn a_killed_process_has_ended_by_the_signal() {
        let (process, status) = Process::of_child(sleeping()).unwrap();
        process.kill();
        process.ended().await;
        assert_eq!(status.await.unwrap().signal(), Some(9));
        process.kill();
        process.ended().await;
    }

    #[tokio::test]
    async fn a_process_that_computes_asks_for_processor_time_and_one_that_sleeps_for_none() {
        let busy =
            Command::new("sh").args(["-c", "while :; do :; done"]).stdin(Stdio::null()).spawn().unwrap();
        let (busy, _) = Process::of_child(busy).unwrap();
        let (idle, _) = Process::of_child(sleeping()).unwrap();
        // Until it sleeps, it asks for some.
        tokio::time::sleep(Duration::from_millis(100)).await;
        let before = [busy.processor_time().unwrap(), idle.processor_time().unwrap()];
        tokio::time::sleep(Duration::from_millis(200)).await;
        let after = [busy.processor_time().unwrap(), idle.processor_time().unwrap()];
        busy.kill();
        idle.kill();
        assert!(after[0] - before[0] > Duration::from_millis(100), "{:?}", after[0] - before[0]);
        assert!(after[1] - before[1] < Duration::from_millis(20), "{:?}", after[1] - before[1]);
        busy.ended().await;
        assert_eq!(busy.processor_time().filter(|time| *time > after[0] * 2), None);
    }

    #[test]
    fn a_machine_ends_before_its_owner_one_that_rests_before_one_that_works_and_a_spare_first() {
        let of =
            |own| [Expendable::Works, Expendable::Rests, Expendable::Spare].map(|what| badness(what, own));
        assert_eq!([of(0), of(200)], [[300, 500, 700], [500, 700, 900]]);
        // What the kernel does not take is not asked for.
        assert_eq!([of(-1_000), of(900), of(i32::MAX)], [[0, 0, 0], [1_000; 3], [1_000; 3]]);
    }

    #[tokio::test]
    async fn the_kernel_is_told_how_soon_a_process_may_end_and_told_otherwise_later() {
        let (process, ended) = Process::of_child(sleeping()).unwrap();
        let told = || std::fs::read_to_string(format!("/proc/{}/oom_score_adj", process.id())).unwrap();
        let own = own_badness();
        for what in [Expendable::Spare, Expendable::Works, Expendable::Rests] {
            process.set_expendable(what, own).unwrap();
            assert_eq!(told().trim(), badness(what, own).to_string());
        }
        process.kill();
        ended.await.unwrap();
        assert!(process.set_expendable(Expendable::Rests, own).is_err());
    }

    #[tokio::test]
    async fn a_process_is_there_until_it_ends() {
        let (process, ended) = Process::of_child(sleeping()).unwrap();
        assert!(process.is_there());
        process.kill();
        ended.await.unwrap();
        assert!(!process.is_there());
    }

    #[tokio::test]
    async fn a_number_without_process_is_not_found() {
        let mut child = sleeping();
        let id = i32::try_from(child.id().unwrap()).unwrap();
        child.kill().await.unwrap();
        assert_eq!(Process::open(id).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn numbers_that_mean_groups_are_refused() {
        for id in [0, -1, i32::MIN] {
            assert_eq!(Process::open(id).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
    }
}
