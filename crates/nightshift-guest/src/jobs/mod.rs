//! Jobs: programs run for the host, addressed by ids it chooses.
//!
//! A job's folder is made before it starts, so an id is used once; its output goes to a spool there; its end is written
//! down there. A new life of this program finds the folders and goes on: jobs that run are watched, those whose end
//! nobody saw are lost, and none is ever started again.

mod ending;
mod group;
mod job;
mod spool;
mod watch;

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nightshift_channel::wire::service::{
    ExecRefusal, ExecRequest, InputKind, JobExit, JobId, JobRefusal, JobStatus, Source,
};
use rustix::process::Pid;
use rustix::time::{ClockId, clock_gettime};

use self::ending::Ending;
use self::group::Group;
pub(crate) use self::job::Job;
use self::job::{Progress, Record, write_json};
use self::spool::{Spool, extent_of};
use self::watch::{Leader, Outlet, Watch};
use crate::account::Account;
use crate::launch;
use crate::settings::Settings;

/// The jobs of this machine.
pub(crate) struct Jobs {
    folder: PathBuf,
    cgroup: Option<PathBuf>,
    boot_id: String,
    output_bytes: u64,
    kept: usize,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    jobs: HashMap<JobId, Arc<Job>>,
    next_sequence: u64,
}

/// A job that was found or started.
pub(crate) enum Found {
    /// It was started before.
    Before(Arc<Job>),
    /// It was started now; its input is given when it was asked for as a stream.
    Now(Arc<Job>, Option<ChildStdin>),
}

impl Jobs {
    /// Finds the jobs an earlier life of this program left.
    pub(crate) fn open(settings: &Settings) -> io::Result<Self> {
        let folder = settings.spool.join("jobs");
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let jobs = Self {
            folder,
            cgroup: settings.cgroup.clone(),
            boot_id: settings.boot_id.clone(),
            output_bytes: settings.output_bytes,
            kept: settings.kept_jobs,
            table: Mutex::default(),
        };
        for entry in fs::read_dir(&jobs.folder)? {
            let entry = entry?;
            if let Some(id) = entry.file_name().to_str().and_then(|name| JobId::new(name).ok()) {
                jobs.find_again(id, entry.path())?;
            }
        }
        Ok(jobs)
    }

    /// The job with that id.
    pub(crate) fn get(&self, id: &JobId) -> Option<Arc<Job>> {
        self.table().jobs.get(id).cloned()
    }

    /// Starts a job, unless one with its id was started before. `input` is its whole input, if it has one.
    pub(crate) fn start(
        &self,
        request: &ExecRequest,
        account: &Account,
        input: Option<File>,
    ) -> Result<Found, ExecRefusal> {
        // Held until the job is known: of two requests with the same id, one starts it and the other finds it.
        let mut table = self.table();
        if let Some(job) = table.jobs.get(&request.job) {
            return Ok(Found::Before(Arc::clone(job)));
        }
        self.remove_oldest(&mut table);
        let folder = self.folder.join(request.job.as_str());
        DirBuilder::new().mode(0o700).create(&folder).map_err(other)?;
        let sequence = table.next_sequence;
        table.next_sequence += 1;
        match self.launch(request, account, input, &folder, sequence) {
            Ok((job, stdin)) => {
                table.jobs.insert(request.job.clone(), Arc::clone(&job));
                Ok(Found::Now(job, stdin))
            }
            Err(refusal) => {
                // Nothing ran, so the id is free again.
                let _ = fs::remove_dir_all(&folder);
                Group::of(&request.job, self.cgroup.as_deref()).remove();
                Err(refusal)
            }
        }
    }

    /// Removes what is kept of a job that has ended.
    pub(crate) fn forget(&self, id: &JobId) -> Result<(), JobRefusal> {
        let mut table = self.table();
        let job = table.jobs.get(id).ok_or(JobRefusal::NoSuchJob)?;
        if job.progress().exit.is_none() {
            return Err(JobRefusal::StillRunning);
        }
        remove(job);
        table.jobs.remove(id);
        Ok(())
    }

    fn launch(
        &self,
        request: &ExecRequest,
        account: &Account,
        input: Option<File>,
        folder: &Path,
        sequence: u64,
    ) -> Result<(Arc<Job>, Option<ChildStdin>), ExecRefusal> {
        let spool = Spool::create(folder, request.merge_output, self.output_bytes).map_err(other)?;
        let group = Group::of(&request.job, self.cgroup.as_deref());
        let (program, arguments) = request
            .argv
            .split_first()
            .ok_or(ExecRefusal::Other { what: "there is no program to start".to_owned() })?;
        let starts_in = request.folder.as_ref().map_or(account.home.as_path(), Path::new);
        if !starts_in.is_dir() {
            return Err(ExecRefusal::NoSuchFolder);
        }
        let mut command =
            launch::command(program, account, starts_in, &request.environment, group.entrance())
                .map_err(other)?;
        command.args(arguments).stdin(match (request.input, input) {
            (InputKind::Stream, _) => Stdio::piped(),
            (InputKind::Whole, Some(input)) => input.into(),
            (InputKind::Whole, None) | (InputKind::None, _) => Stdio::null(),
        });
        let (reader, writer) = io::pipe().map_err(other)?;
        let mut outlets = vec![outlet(Source::Merged, reader.into())?];
        if request.merge_output {
            command.stdout(writer.try_clone().map_err(other)?).stderr(writer);
        } else {
            let (stderr_reader, stderr_writer) = io::pipe().map_err(other)?;
            command.stdout(writer).stderr(stderr_writer);
            outlets = vec![
                Outlet { source: Source::Stdout, ..outlets.remove(0) },
                outlet(Source::Stderr, stderr_reader.into())?,
            ];
        }
        let job = Arc::new(Job::new(folder.to_owned(), sequence, group, Progress::default()).map_err(other)?);
        let begun = Instant::now();
        let limit = request.time_limit_milliseconds.map(Duration::from_millis);
        let mut child = command.spawn().map_err(refusal)?;
        // The command holds the pipes' writing ends: without this their end would never come.
        drop(command);
        let stdin = child.stdin.take();
        let pid = Pid::from_child(&child);
        let record = Record {
            sequence,
            boot_id: self.boot_id.clone(),
            process: pid.as_raw_nonzero().get(),
            began: group::began(pid).unwrap_or(0),
            until_milliseconds: limit
                .map(|limit| monotonic_milliseconds().saturating_add(milliseconds(limit))),
        };
        // Without it the job would only be lost to this program's next life.
        let _ = write_json(folder, "job.json", &record);
        let ending = Ending::Running { until: limit.and_then(|limit| begun.checked_add(limit)) };
        let watched = Arc::clone(&job);
        let watch = Watch {
            job: watched,
            pid,
            leader: Leader::Child(child),
            ending,
            outlets,
            spool: Some(spool),
            begun,
        };
        spawn_watch(watch).map_err(|error| {
            job.group.act(ending::Act::Kill, Some(pid));
            other(error)
        })?;
        Ok((job, stdin))
    }

    fn find_again(&self, id: JobId, folder: PathBuf) -> io::Result<()> {
        let record: Option<Record> = read_json(&folder.join("job.json"));
        let exit: Option<JobExit> = read_json(&folder.join("exit.json"));
        let sequence = record.as_ref().map_or(0, |record| record.sequence);
        let running = record.filter(|_| exit.is_none()).and_then(|record| self.still_runs(&record));
        let group = Group::of(&id, self.cgroup.as_deref());
        let extent = extent_of(&folder);
        let job = Arc::new(Job::new(folder, sequence, group, Progress { extent, exit })?);
        match (exit, running) {
            (Some(_), _) => {}
            (None, Some((pid, until))) => spawn_watch(Watch {
                job: Arc::clone(&job),
                pid,
                leader: Leader::Orphan,
                ending: Ending::Running { until },
                outlets: Vec::new(),
                spool: None,
                begun: Instant::now(),
            })?,
            (None, None) => {
                job.ended(
                    extent,
                    JobExit { status: JobStatus::Lost, dropped_bytes: 0, wall: Duration::ZERO },
                );
            }
        }
        let mut table = self.table();
        table.next_sequence = table.next_sequence.max(sequence + 1);
        table.jobs.insert(id, job);
        Ok(())
    }

    /// The job's leader and when its time is over, if that very process still runs.
    fn still_runs(&self, record: &Record) -> Option<(Pid, Option<Instant>)> {
        let pid = Pid::from_raw(record.process).filter(|_| record.boot_id == self.boot_id)?;
        let began = group::began(pid).ok()?;
        let left = record.until_milliseconds.map(|until| until.saturating_sub(monotonic_milliseconds()));
        let until = left.and_then(|left| Instant::now().checked_add(Duration::from_millis(left)));
        (began == record.began).then_some((pid, until))
    }

    /// Makes room for one more job.
    fn remove_oldest(&self, table: &mut Table) {
        let mut ended: Vec<_> = table.jobs.iter().filter(|(_, job)| job.progress().exit.is_some()).collect();
        if ended.len() < self.kept {
            return;
        }
        ended.sort_by_key(|(_, job)| job.sequence);
        let superfluous = ended.len() + 1 - self.kept.max(1);
        let oldest: Vec<JobId> = ended.into_iter().take(superfluous).map(|(id, _)| id.clone()).collect();
        for id in oldest {
            if let Some(job) = table.jobs.remove(&id) {
                remove(&job);
            }
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn remove(job: &Job) {
    // What cannot be removed is found again, as ended, by this program's next life.
    let _ = fs::remove_dir_all(&job.folder);
    job.group.remove();
}

fn spawn_watch(watch: Watch) -> io::Result<()> {
    std::thread::Builder::new().name("job".to_owned()).spawn(move || watch.run()).map(drop)
}

fn outlet(source: Source, pipe: OwnedFd) -> Result<Outlet, ExecRefusal> {
    rustix::io::ioctl_fionbio(&pipe, true).map_err(|error| other(error.into()))?;
    Ok(Outlet { source, pipe })
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Option<T> {
    let mut content = Vec::new();
    File::open(path).ok()?.take(64 * 1024).read_to_end(&mut content).ok()?;
    serde_json::from_slice(&content).ok()
}

fn monotonic_milliseconds() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds * 1_000 + u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000_000
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn refusal(error: io::Error) -> ExecRefusal {
    match error.kind() {
        io::ErrorKind::NotFound => ExecRefusal::NoSuchProgram,
        io::ErrorKind::PermissionDenied => ExecRefusal::PermissionDenied,
        io::ErrorKind::ArgumentListTooLong => ExecRefusal::TooLarge,
        _ => other(error),
    }
}

fn other(error: io::Error) -> ExecRefusal {
    ExecRefusal::Other { what: error.to_string() }
}
