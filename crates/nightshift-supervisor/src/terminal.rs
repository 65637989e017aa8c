//! A person's shells in a run's sandbox, each with a terminal of its own.
//!
//! ```text
//!   person's terminals ◀─ the newest 256 KiB, then what comes ─ Shell ◀─ job of the guest: script(1) around a shell
//!                      ── keys, size ───────────────────────▶       ─▶
//! ```
//!
//! Beside those there are shells without a terminal, for programs: [`plain`].
//!
//! A shell belongs to the owner, not to the connection: who was cut off comes back to it by its session and finds the
//! terminal as it is. It ends by itself, with its sandbox, or when nobody has looked at it for 15 minutes. The agent
//! is not disturbed; what a person does there is not recorded.

mod plain;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use nightshift_channel::{
    Channel, Command, Followed, GuestUser, Input, Job, JobEvent, JobStatus, Signal, StartJobError,
};
use nightshift_protocol::{ErrorCode, RunId, TerminalSize, UserError};
use tokio::sync::{broadcast, mpsc, watch};

use crate::supervisor::Supervisor;
use crate::tools::job_id;
use crate::watching::RunScreen;

/// Output that is kept for who comes back, in bytes.
const KEPT: usize = 256 * 1024;

/// Pieces of output a viewer may be behind before it has to begin anew with what is kept.
const PIECES: usize = 256;

/// Keys that wait for the guest, in pieces as they were typed.
const ASKS: usize = 64;

/// What of one terminal waits for the guest at most before its person is read no further, in bytes.
const MOST_TYPED: usize = 256 * 1024;

/// How long the guest may take to start a shell.
const START_WITHIN: Duration = Duration::from_secs(20);

/// Shells of one run at once.
const MOST: usize = 8;

/// A shell nobody has looked at for so long is ended.
const LEFT_ALONE: Duration = Duration::from_secs(15 * 60);

/// How often it is looked whether somebody looks.
const LOOK_EVERY: Duration = Duration::from_secs(15);

/// How long the guest may take to set a terminal's size.
const SIZE_WITHIN: Duration = Duration::from_secs(10);

/// The longest name of a session.
const LONGEST_SESSION: usize = 32;

/// Starts a login shell in the repository's folder on a terminal of its own, whose name is left in a file so that its
/// size can be set. script(1) turns echoing off where its own input is no terminal; `stty sane` turns it on again.
const START: &str = r#"exec script --quiet --return --flush --command 'tty >"$NIGHTSHIFT_TTY"; stty sane; stty rows "$ROWS" cols "$COLS"; unset NIGHTSHIFT_TTY ROWS COLS; cd "$HOME"/work/*/ 2>/dev/null; exec "${SHELL:-/bin/bash}" -l' /dev/null"#;

/// The shells that run, by run and session.
#[derive(Default)]
pub(crate) struct Terminals {
    shells: Mutex<HashMap<Session, Arc<Shell>>>,
    /// Those without a terminal, and those that are being started.
    others: plain::Count,
    /// Held while one is started: of two windows that want the same session, one starts it and the other finds it.
    starting: Mutex<HashMap<Session, Weak<tokio::sync::Mutex<()>>>>,
}

/// A run, and the name of a shell in its sandbox.
type Session = (RunId, String);

/// A shell as its viewers see it.
struct Shell {
    keys: mpsc::Sender<Bytes>,
    size: watch::Sender<TerminalSize>,
    printed: Mutex<Printed>,
}

/// What a shell printed, and whether it goes on.
struct Printed {
    kept: Scrollback,
    ended: Option<Option<i32>>,
    live: broadcast::Sender<Bytes>,
}

/// A person's look at a shell.
pub struct Terminal {
    session: String,
    behind: Behind,
    /// What was typed and the guest does not take yet.
    typed: BytesMut,
}

/// What is behind a terminal.
enum Behind {
    /// A shell on a terminal in the sandbox.
    Shell(Look),
    /// A shell without one.
    Plain(plain::PlainShell),
}

/// A look at a shell that others may look at too.
struct Look {
    shell: Arc<Shell>,
    live: broadcast::Receiver<Bytes>,
    first: Option<Bytes>,
}

/// What a terminal shows next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TerminalEvent {
    /// These bytes.
    Output(Bytes),
    /// Nothing of before: some was missed, and what is kept follows.
    Missed,
    /// The shell has ended, with this exit status if it ended by itself.
    Ended(Option<i32>),
}

impl Supervisor {
    /// Opens a terminal in a run's sandbox: the shell of that session if it runs, else a new one.
    pub async fn terminal(
        &self,
        run: &RunId,
        session: Option<String>,
        size: TerminalSize,
    ) -> Result<Terminal, UserError> {
        let session = match session {
            Some(session) => known_form(session)?,
            None => self.new_session(),
        };
        let key = (run.clone(), session.clone());
        let starting = self.shared().terminals.starting(&key);
        let _starting = starting.lock().await;
        if let Some(shell) = self.shared().terminals.find(&key) {
            let terminal = Terminal::at(session, shell);
            terminal.resize(size);
            return Ok(terminal);
        }
        let _counted = self.shared().terminals.admit(run)?;
        let screen = self.screen(run).await?;
        let shell = in_time(start(&screen, &session, size)).await?;
        self.shared().terminals.keep(key.clone(), Arc::clone(&shell.0));
        let terminal = Terminal::at(session, Arc::clone(&shell.0));
        let shared = Arc::clone(self.shared());
        tokio::spawn(async move {
            shell.1.serve().await;
            shared.terminals.remove(&key);
        });
        Ok(terminal)
    }

    fn new_session(&self) -> String {
        let mut bytes = [0_u8; 8];
        self.shared().entropy.fill(&mut bytes);
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// A session's name becomes a part of a file's and a job's.
fn known_form(session: String) -> Result<String, UserError> {
    let fits = (1..=LONGEST_SESSION).contains(&session.len())
        && session.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if fits {
        return Ok(session);
    }
    Err(UserError::new(
        ErrorCode::InvalidRequest,
        "that is no name of a session",
        format!("A session is 1 to {LONGEST_SESSION} letters and digits; leave it out for a new shell."),
    ))
}

impl Terminals {
    fn shells(&self) -> MutexGuard<'_, HashMap<Session, Arc<Shell>>> {
        self.shells.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What whoever opens this session holds. A guest that does not answer keeps nobody waiting but those who want the same.
    fn starting(&self, key: &Session) -> Arc<tokio::sync::Mutex<()>> {
        let mut starting = self.starting.lock().unwrap_or_else(PoisonError::into_inner);
        starting.retain(|_, lock| lock.strong_count() > 0);
        if let Some(lock) = starting.get(key).and_then(Weak::upgrade) {
            return lock;
        }
        let lock = Arc::default();
        starting.insert(key.clone(), Arc::downgrade(&lock));
        lock
    }

    fn find(&self, key: &Session) -> Option<Arc<Shell>> {
        self.shells().get(key).cloned()
    }

    /// Counts a shell that is to be started, until what is returned is dropped; refuses one too many.
    fn admit(&self, run: &RunId) -> Result<Arc<()>, UserError> {
        let shells = self.shells();
        if shells.keys().filter(|(of, _)| of == run).count() + self.others.of(run) < MOST {
            return Ok(self.others.add(run));
        }
        Err(UserError::new(
            ErrorCode::Conflict,
            format!("{MOST} shells of this run are open"),
            "Leave one of them with `exit`.",
        ))
    }

    fn keep(&self, key: Session, shell: Arc<Shell>) {
        self.shells().insert(key, shell);
    }

    fn remove(&self, key: &Session) {
        self.shells().remove(key);
    }
}

/// Waits for a shell to start, and not for ever.
async fn in_time<T>(start: impl Future<Output = Result<T, StartJobError>>) -> Result<T, UserError> {
    let failed = |why: String| {
        UserError::new(
            ErrorCode::SandboxFailed,
            format!("no shell could be started in the sandbox: {why}"),
            "Try again in a moment.",
        )
    };
    match tokio::time::timeout(START_WITHIN, start).await {
        Ok(started) => started.map_err(|error| failed(error.to_string())),
        Err(_) => Err(failed(format!("it did not answer for {} s", START_WITHIN.as_secs()))),
    }
}

async fn start(
    screen: &RunScreen,
    session: &str,
    size: TerminalSize,
) -> Result<(Arc<Shell>, Keeper), StartJobError> {
    let size = size.usable();
    let command = Command::shell(job_id(&format!("terminal-{session}")), START)
        .user(GuestUser::Agent)
        .variable("TERM", "xterm-256color")
        .variable("COLORTERM", "truecolor")
        .variable("NIGHTSHIFT_TTY", tty_file(session))
        .variable("ROWS", size.rows.to_string())
        .variable("COLS", size.columns.to_string())
        .input(Input::Stream);
    let job = screen.channel().start(command).await?;
    let (shell, keys) = Shell::new(size);
    let keeper = Keeper {
        shell: Arc::clone(&shell),
        job,
        keys,
        channel: screen.channel().clone(),
        session: session.to_owned(),
        sizes: 0,
        _screen: screen.clone(),
    };
    Ok((shell, keeper))
}

/// The exit status of what ended by itself.
fn code_of(status: JobStatus) -> Option<i32> {
    match status {
        JobStatus::Code(code) => Some(code),
        JobStatus::Signal(_) | JobStatus::TimedOut | JobStatus::Lost => None,
    }
}

/// The guest's file with the name of a terminal's device.
fn tty_file(session: &str) -> String {
    format!("/tmp/.nightshift-terminal-{session}")
}

/// Carries bytes between a job and its viewers.
struct Keeper {
    shell: Arc<Shell>,
    job: Job,
    keys: mpsc::Receiver<Bytes>,
    channel: Channel,
    session: String,
    sizes: u32,
    _screen: RunScreen,
}

impl Keeper {
    async fn serve(mut self) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        let mut looked_at = tokio::time::Instant::now();
        let mut size = self.shell.size.subscribe();
        let mut typed = Bytes::new();
        let code = loop {
            tokio::select! {
                followed = self.job.follow(&mut typed) => match followed {
                    Some(Followed::Did(JobEvent::Output { bytes, .. })) => self.shell.print(bytes),
                    Some(Followed::Did(JobEvent::Exited(exit))) => break code_of(exit.status),
                    Some(Followed::Sent) => {}
                    None => break None,
                },
                keys = self.keys.recv(), if typed.is_empty() => match keys {
                    Some(keys) => typed = keys,
                    None => break None,
                },
                Ok(()) = size.changed() => {
                    let size = *size.borrow_and_update();
                    self.resize(size);
                }
                _ = look.tick() => {
                    if self.shell.is_looked_at() {
                        looked_at = tokio::time::Instant::now();
                    } else if looked_at.elapsed() > LEFT_ALONE {
                        break None;
                    }
                }
            }
        };
        if code.is_none() {
            // Whatever it was that ended, the processes must not stay behind it; where the machine is gone they did not.
            let _gone = self.job.kill(Signal::Terminate).await;
        }
        self.shell.end(code);
    }

    /// Sets the size beside the shell: the kernel tells its programs by SIGWINCH (ioctl_tty(2), TIOCSWINSZ).
    fn resize(&mut self, size: TerminalSize) {
        self.sizes += 1;
        let TerminalSize { columns, rows } = size.usable();
        let job = job_id(&format!("terminal-{}-size-{}", self.session, self.sizes));
        let script = format!(r#"stty -F "$(cat {})" rows {rows} cols {columns}"#, tty_file(&self.session));
        let command = Command::shell(job.clone(), script).user(GuestUser::Agent).time_limit(SIZE_WITHIN);
        let channel = self.channel.clone();
        tokio::spawn(async move {
            if let Ok(started) = channel.start(command).await {
                let _only_its_end_matters = started.collect(1_024).await;
                let _kept_a_little_longer = channel.forget(&job).await;
            }
        });
    }
}

impl Shell {
    /// A shell with a terminal of this size, and the keys that come for it.
    fn new(size: TerminalSize) -> (Arc<Self>, mpsc::Receiver<Bytes>) {
        let (keys, typed) = mpsc::channel(ASKS);
        let live = broadcast::channel(PIECES).0;
        let printed = Mutex::new(Printed { kept: Scrollback::default(), ended: None, live });
        (Arc::new(Self { keys, size: watch::channel(size).0, printed }), typed)
    }

    fn printed(&self) -> MutexGuard<'_, Printed> {
        self.printed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn print(&self, bytes: Bytes) {
        let mut printed = self.printed();
        printed.kept.add(&bytes);
        // An error only says that nobody looks.
        let _unseen = printed.live.send(bytes);
    }

    fn end(&self, code: Option<i32>) {
        let mut printed = self.printed();
        printed.ended = Some(code);
        // Viewers wait for output; the end of all senders wakes them.
        printed.live = broadcast::channel(1).0;
    }

    fn is_looked_at(&self) -> bool {
        self.printed().live.receiver_count() > 0
    }

    /// What is kept, and all that follows it: nothing in between is missed or twice.
    fn look(&self) -> (Bytes, broadcast::Receiver<Bytes>) {
        let printed = self.printed();
        (printed.kept.bytes(), printed.live.subscribe())
    }
}

impl Terminal {
    fn at(session: String, shell: Arc<Shell>) -> Self {
        let (first, live) = shell.look();
        let look = Look { shell, live, first: Some(first).filter(|first| !first.is_empty()) };
        Self { session, behind: Behind::Shell(look), typed: BytesMut::new() }
    }

    /// The session: with it the same shell is opened again, if it has a terminal.
    pub fn session(&self) -> &str {
        &self.session
    }

    /// What it shows next; meanwhile the guest is given what was typed. It may be given up and asked again; nothing is lost.
    pub async fn next(&mut self) -> TerminalEvent {
        match &mut self.behind {
            Behind::Shell(look) => {
                let keys = look.shell.keys.clone();
                while !self.typed.is_empty() {
                    tokio::select! {
                        event = look.next() => return event,
                        room = keys.reserve() => match room {
                            Ok(room) => room.send(self.typed.split().freeze()),
                            // A shell that has ended says so itself.
                            Err(_) => self.typed.clear(),
                        },
                    }
                }
                look.next().await
            }
            Behind::Plain(shell) => shell.next(&mut self.typed).await,
        }
    }

    /// Takes what was typed; [`Terminal::next`] gives the guest what it does not take at once.
    pub fn keys(&mut self, bytes: Bytes) {
        match &self.behind {
            Behind::Shell(look) if self.typed.is_empty() => {
                if let Err(mpsc::error::TrySendError::Full(bytes)) = look.shell.keys.try_send(bytes) {
                    self.typed.extend_from_slice(&bytes);
                }
            }
            Behind::Shell(_) | Behind::Plain(_) => self.typed.extend_from_slice(&bytes),
        }
    }

    /// Whether so much that was typed waits for the guest that no more is to be taken.
    pub fn is_full(&self) -> bool {
        self.typed.len() >= MOST_TYPED
    }

    /// Says that nothing more will be typed: a shell without a terminal ends when it has done what it read.
    pub fn end_input(&mut self) {
        if let Behind::Plain(shell) = &mut self.behind {
            shell.end_input();
        }
    }

    /// Says how large the terminal is.
    pub fn resize(&self, size: TerminalSize) {
        if let Behind::Shell(look) = &self.behind {
            look.shell.size.send_replace(size);
        }
    }
}

impl Look {
    async fn next(&mut self) -> TerminalEvent {
        if let Some(first) = self.first.take() {
            return TerminalEvent::Output(first);
        }
        let ended = self.shell.printed().ended;
        match (ended, self.live.try_recv()) {
            (_, Ok(bytes)) => return TerminalEvent::Output(bytes),
            (_, Err(broadcast::error::TryRecvError::Lagged(_))) => return self.begin_anew(),
            (Some(code), Err(_)) => return TerminalEvent::Ended(code),
            (None, Err(_)) => {}
        }
        match self.live.recv().await {
            Ok(bytes) => TerminalEvent::Output(bytes),
            Err(broadcast::error::RecvError::Lagged(_)) => self.begin_anew(),
            Err(broadcast::error::RecvError::Closed) => {
                TerminalEvent::Ended(self.shell.printed().ended.flatten())
            }
        }
    }

    fn begin_anew(&mut self) -> TerminalEvent {
        let (first, live) = self.shell.look();
        self.live = live;
        self.first = Some(first);
        TerminalEvent::Missed
    }
}

/// The newest output, cut where a line begins so that no control sequence is cut.
#[derive(Debug, Default)]
struct Scrollback(VecDeque<u8>);

impl Scrollback {
    fn add(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
        let Some(surplus) = self.0.len().checked_sub(KEPT).filter(|surplus| *surplus > 0) else { return };
        let line = self.0.iter().skip(surplus).position(|byte| *byte == b'\n');
        self.0.drain(..line.map_or(surplus, |line| surplus + line + 1));
    }

    fn bytes(&self) -> Bytes {
        self.0.iter().copied().collect()
    }
}

#[cfg(test)]
mod tests;
