//! One job: its processes, its output, and who follows it.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use nightshift_channel::wire::frame::Lane;
use nightshift_channel::wire::service::{JobExit, JobState, Signal, Source};
use rustix::event::{EventfdFlags, eventfd};
use serde::{Deserialize, Serialize};

use super::ending::Act;
use super::group::Group;
use super::spool::{Extent, SpoolReader};
use crate::bell::Bell;
use crate::stream::{Gone, Stream};

/// A job, running or ended.
pub(crate) struct Job {
    pub(crate) folder: PathBuf,
    /// Jobs started later have a greater one.
    pub(crate) sequence: u64,
    pub(crate) group: Group,
    progress: Mutex<Progress>,
    followers: Mutex<Vec<Weak<Bell>>>,
    asked: Mutex<Vec<Signal>>,
    /// Wakes the thread that watches over it.
    pub(crate) wake: OwnedFd,
}

/// How far a job has come.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Progress {
    pub(crate) extent: Extent,
    pub(crate) exit: Option<JobExit>,
}

/// What is written down of a job when it starts, for this program's next life.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    pub(crate) sequence: u64,
    pub(crate) boot_id: String,
    /// The leader's number, and when it began.
    pub(crate) process: i32,
    pub(crate) began: u64,
    /// When its time is over, on the kernel's monotonic clock.
    pub(crate) until_milliseconds: Option<u64>,
}

impl Job {
    pub(crate) fn new(folder: PathBuf, sequence: u64, group: Group, progress: Progress) -> io::Result<Self> {
        Ok(Self {
            folder,
            sequence,
            group,
            progress: Mutex::new(progress),
            followers: Mutex::default(),
            asked: Mutex::default(),
            wake: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
        })
    }

    /// What is told of it.
    pub(crate) fn state(&self) -> JobState {
        let Progress { extent, exit } = self.progress();
        match exit {
            None => JobState::Running { output_bytes: extent.output },
            Some(exit) => JobState::Exited { output_bytes: extent.output, exit },
        }
    }

    pub(crate) fn progress(&self) -> Progress {
        *lock(&self.progress)
    }

    /// There is more output.
    pub(crate) fn grew(&self, extent: Extent) {
        lock(&self.progress).extent = extent;
        self.tell_followers();
    }

    /// It has ended: writes that down and tells who follows it.
    pub(crate) fn ended(&self, extent: Extent, exit: JobExit) {
        // A job whose end cannot be written down is told now, and lost to this program's next life.
        let _ = write_json(&self.folder, "exit.json", &exit);
        *lock(&self.progress) = Progress { extent, exit: Some(exit) };
        self.tell_followers();
        self.group.remove();
    }

    /// Ends it, or interrupts it.
    pub(crate) fn kill(&self, signal: Signal) {
        if self.progress().exit.is_none() {
            lock(&self.asked).push(signal);
            // Fails only when it is full, and then the thread is awake anyway.
            let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
            return;
        }
        // The leader is gone and its number may be another's; the control group still knows what is left.
        match signal {
            Signal::Interrupt => {}
            Signal::Terminate => self.group.act(Act::Terminate, None),
            Signal::Kill => self.group.act(Act::Kill, None),
        }
    }

    /// What was asked for since the last time.
    pub(crate) fn take_asked(&self) -> Vec<Signal> {
        let _ = rustix::io::read(&self.wake, &mut [0_u8; 8]);
        std::mem::take(&mut *lock(&self.asked))
    }

    /// Sends its output from a byte on, and its end, for as long as the stream is wanted.
    pub(crate) fn follow(&self, stream: &Stream, from: u64) -> Result<(), Gone> {
        let bell = stream.writer_bell();
        lock(&self.followers).push(Arc::downgrade(&bell));
        let mut reader = SpoolReader::open(&self.folder, from).map_err(|_| Gone)?;
        let mut buffer = Vec::new();
        loop {
            let Progress { extent, exit } = self.progress();
            while let Some(source) = reader.read(extent, &mut buffer).map_err(|_| Gone)? {
                let lane = match source {
                    Source::Merged => Lane::Bytes,
                    Source::Stdout => Lane::Stdout,
                    Source::Stderr => Lane::Stderr,
                };
                stream.send(lane, &buffer)?;
            }
            match exit {
                Some(exit) => return stream.answer(&exit),
                None => stream.wait_for_change()?,
            }
        }
    }

    fn tell_followers(&self) {
        lock(&self.followers).retain(|follower| follower.upgrade().inspect(|bell| bell.ring()).is_some());
    }
}

/// Writes a file in one step.
pub(crate) fn write_json(folder: &Path, name: &str, value: &impl Serialize) -> io::Result<()> {
    let partial = folder.join(format!("{name}.partial"));
    fs::write(&partial, serde_json::to_vec(value)?)?;
    fs::rename(partial, folder.join(name))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
