//! What the host can ask for.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::process::ChildStdin;
use std::sync::Arc;

use nightshift_channel::wire::frame::ResetReason;
use nightshift_channel::wire::service::{
    AttachAnswer, AttachRefusal, ExecAnswer, ExecRefusal, ExecRequest, GuestUser, InputKind, JobAnswer,
    JobId, JobRefusal, JobState, MAX_REQUEST_BYTES, Request, Started,
};

use crate::account::Account;
use crate::jobs::{Found, Job, Jobs};
use crate::kernel::Kernel;
use crate::proxy::Proxy;
use crate::settings::Settings;
use crate::stream::{Gone, Stream};
use crate::{connect, files, identity, link, trees};

/// The longest input that is collected before a job starts, in bytes.
const MAX_INPUT_BYTES: u64 = 64 * 1024 * 1024;

/// What runs inside a sandbox. It outlives the sessions it serves.
pub struct Guest {
    settings: Settings,
    kernel: Box<dyn Kernel>,
    jobs: Jobs,
    proxy: Arc<Proxy>,
}

impl std::fmt::Debug for Guest {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Guest").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Guest {
    /// Finds the jobs of an earlier life and gets ready to serve.
    pub fn new(settings: Settings, kernel: impl Kernel) -> io::Result<Arc<Self>> {
        let jobs = Jobs::open(&settings)?;
        Ok(Arc::new(Self { settings, kernel: Box::new(kernel), jobs, proxy: Arc::default() }))
    }

    /// Serves the host on a port: a virtual serial port for ever, a socket until the host closes it.
    pub fn serve(self: &Arc<Self>, port: OwnedFd) -> io::Result<()> {
        link::serve(port, &self.settings.boot_id, &|stream| {
            let guest = Arc::clone(self);
            // Without a thread the stream is dropped here, which cuts it.
            let _ = std::thread::Builder::new().name("stream".to_owned()).spawn(move || {
                // Whoever asked is gone, so there is nobody to tell.
                let _: Result<(), Gone> = guest.answer(stream);
            });
        })
    }

    /// Serves the proxy's port on a thread of its own.
    pub fn proxy(&self, listener: TcpListener) -> io::Result<()> {
        let proxy = Arc::clone(&self.proxy);
        std::thread::Builder::new().name("proxy port".to_owned()).spawn(move || proxy.serve(&listener))?;
        Ok(())
    }

    fn answer(&self, stream: Stream) -> Result<(), Gone> {
        let request = match stream.receive_message::<Request>(MAX_REQUEST_BYTES) {
            Ok(request) => request,
            Err(gone) => {
                stream.reset(ResetReason::Failed);
                return Err(gone);
            }
        };
        match request {
            Request::Exec(request) => self.exec(stream, &request),
            Request::Attach { job, offset } => self.attach(&stream, &job, offset),
            Request::Kill { job, signal } => {
                let job = self.jobs.get(&job).ok_or(JobRefusal::NoSuchJob);
                stream.answer(&job.map(|job| job.kill(signal)))
            }
            Request::Job { job } => {
                let state: JobAnswer<JobState> =
                    self.jobs.get(&job).map(|job| job.state()).ok_or(JobRefusal::NoSuchJob);
                stream.answer(&state)
            }
            Request::Forget { job } => stream.answer(&self.jobs.forget(&job)),
            Request::ReadFile { path, limit } => files::read(&stream, &path, limit),
            Request::WriteFile { path, mode, owner } => {
                files::write(&stream, &path, mode, self.account(owner))
            }
            Request::Stat { path } => stream.answer(&files::stat(&path)),
            Request::HashFile { path } => stream.answer(&files::hash(&path)),
            Request::PutTree { path, owner } => trees::put(&stream, &path, self.account(owner)),
            Request::GetTree { path } => trees::get(&stream, &path, &self.settings.administrator),
            Request::Connect { port } => connect::connect(stream, port),
            Request::Identity(identity) => {
                stream.answer(&identity::take(&identity, &self.settings.root, &*self.kernel))
            }
            Request::TakeConnections => {
                self.proxy.open(stream.session());
                stream.answer(&())
            }
            Request::Ping => stream.answer(&()),
        }
    }

    fn account(&self, user: GuestUser) -> Option<&Account> {
        match user {
            GuestUser::Agent => self.settings.agent.as_ref(),
            GuestUser::Root => Some(&self.settings.administrator),
        }
    }

    fn exec(&self, stream: Stream, request: &ExecRequest) -> Result<(), Gone> {
        let found = match self.input(&stream, request)? {
            Ok(input) => match self.account(request.user) {
                Some(account) => self.jobs.start(request, account, input),
                None => Err(ExecRefusal::NoSuchUser),
            },
            Err(refusal) => Err(refusal),
        };
        let (job, started, stdin) = match found {
            Ok(Found::Before(job)) => (job, Started::Before, None),
            Ok(Found::Now(job, stdin)) => (job, Started::Now, stdin),
            Err(refusal) => return stream.answer(&ExecAnswer::Err(refusal)),
        };
        stream.send_message(&ExecAnswer::Ok(started))?;
        match stdin {
            Some(stdin) => follow_with_input(stream, &job, stdin),
            None => job.follow(&stream, 0),
        }
    }

    /// Collects a job's whole input, so that a job never sees a part of it.
    fn input(
        &self,
        stream: &Stream,
        request: &ExecRequest,
    ) -> Result<Result<Option<File>, ExecRefusal>, Gone> {
        if request.input != InputKind::Whole {
            return Ok(Ok(None));
        }
        let mut file = self.unnamed_file();
        let mut left = MAX_INPUT_BYTES;
        while let Some(bytes) = stream.receive_bytes()? {
            let kept = file.and_then(|mut file| {
                left = left.checked_sub(bytes.len() as u64).ok_or(io::ErrorKind::FileTooLarge)?;
                file.write_all(&bytes)?;
                Ok(file)
            });
            file = kept;
        }
        let rewound = file.and_then(|mut file| file.seek(SeekFrom::Start(0)).map(|_| file));
        Ok(rewound.map(Some).map_err(|error| match error.kind() {
            io::ErrorKind::FileTooLarge => ExecRefusal::TooLarge,
            _ => ExecRefusal::Other { what: format!("its input could not be kept: {error}") },
        }))
    }

    /// A file on the spool's disk that goes away with its last user.
    fn unnamed_file(&self) -> io::Result<File> {
        let path = self.settings.spool.join(format!("input-{:?}", std::thread::current().id()));
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path)?;
        fs::remove_file(path)?;
        Ok(file)
    }

    fn attach(&self, stream: &Stream, job: &JobId, offset: u64) -> Result<(), Gone> {
        let Some(job) = self.jobs.get(job) else {
            return stream.answer(&AttachAnswer::Err(AttachRefusal::NoSuchJob));
        };
        let output_bytes = job.progress().extent.output;
        if offset > output_bytes {
            return stream.answer(&AttachAnswer::Err(AttachRefusal::OutputIsShorter { output_bytes }));
        }
        stream.send_message(&AttachAnswer::Ok(()))?;
        job.follow(stream, offset)
    }
}

/// Follows a job while another thread hands it the input the stream brings. A stream that is cut ends the input.
fn follow_with_input(stream: Stream, job: &Job, mut stdin: ChildStdin) -> Result<(), Gone> {
    let stream = Arc::new(stream);
    let feeding = std::thread::Builder::new().name("input".to_owned()).spawn({
        let stream = Arc::clone(&stream);
        move || {
            let mut open = true;
            // A job that closed its input is still followed: what comes for it is dropped.
            while let Ok(Some(bytes)) = stream.receive_bytes() {
                open = open && stdin.write_all(&bytes).is_ok();
            }
        }
    });
    if feeding.is_err() {
        stream.reset(ResetReason::Failed);
        return Err(Gone);
    }
    let followed = job.follow(&stream, 0);
    // The feeding thread may wait for input that the job no longer takes.
    stream.reset(ResetReason::Abandoned);
    followed
}
