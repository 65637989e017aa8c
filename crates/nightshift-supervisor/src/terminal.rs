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
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use nightshift_channel::{
    Channel, Command, GuestUser, Input, Job, JobEvent, JobStatus, Signal, StartJobError,
};
use nightshift_protocol::{ErrorCode, RunId, TerminalSize, UserError};
use tokio::sync::{broadcast, mpsc};

use crate::supervisor::Supervisor;
use crate::tools::job_id;
use crate::watching::RunScreen;

/// Output that is kept for who comes back, in bytes.
const KEPT: usize = 256 * 1024;

/// Pieces of output a viewer may be behind before it has to begin anew with what is kept.
const PIECES: usize = 256;

/// Keys and sizes that wait for the guest.
const ASKS: usize = 64;

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
    shells: Mutex<HashMap<(RunId, String), Arc<Shell>>>,
    plain: plain::Count,
    /// Held while one is started: of two windows that want the same session, one starts it and the other finds it.
    starting: tokio::sync::Mutex<()>,
}

/// A shell as its viewers see it.
struct Shell {
    asks: mpsc::Sender<Ask>,
    printed: Mutex<Printed>,
}

/// What a person wants of a shell.
enum Ask {
    Keys(Bytes),
    Size(TerminalSize),
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
        let _starting = self.shared().terminals.starting.lock().await;
        if let Some(shell) = self.shared().terminals.find(&key) {
            let terminal = Terminal::at(session, shell);
            terminal.resize(size).await;
            return Ok(terminal);
        }
        self.shared().terminals.admit(run)?;
        let screen = self.screen(run).await?;
        let shell = start(&screen, &session, size).await?;
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
    fn shells(&self) -> MutexGuard<'_, HashMap<(RunId, String), Arc<Shell>>> {
        self.shells.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, key: &(RunId, String)) -> Option<Arc<Shell>> {
        self.shells().get(key).cloned()
    }

    /// Refuses one shell too many.
    fn admit(&self, run: &RunId) -> Result<(), UserError> {
        let open = self.shells().keys().filter(|(of, _)| of == run).count() + self.plain.of(run);
        if open < MOST {
            return Ok(());
        }
        Err(UserError::new(
            ErrorCode::Conflict,
            format!("{MOST} shells of this run are open"),
            "Leave one of them with `exit`.",
        ))
    }

    fn keep(&self, key: (RunId, String), shell: Arc<Shell>) {
        self.shells().insert(key, shell);
    }

    fn remove(&self, key: &(RunId, String)) {
        self.shells().remove(key);
    }
}

async fn start(
    screen: &RunScreen,
    session: &str,
    size: TerminalSize,
) -> Result<(Arc<Shell>, Keeper), UserError> {
    let size = size.usable();
    let command = Command::shell(job_id(&format!("terminal-{session}")), START)
        .user(GuestUser::Agent)
        .variable("TERM", "xterm-256color")
        .variable("COLORTERM", "truecolor")
        .variable("NIGHTSHIFT_TTY", tty_file(session))
        .variable("ROWS", size.rows.to_string())
        .variable("COLS", size.columns.to_string())
        .input(Input::Stream);
    let job = screen.channel().start(command).await.map_err(|error| not_started(&error))?;
    let (asks, asked) = mpsc::channel(ASKS);
    let live = broadcast::channel(PIECES).0;
    let printed = Mutex::new(Printed { kept: Scrollback::default(), ended: None, live });
    let shell = Arc::new(Shell { asks, printed });
    let keeper = Keeper {
        shell: Arc::clone(&shell),
        job,
        asked,
        channel: screen.channel().clone(),
        session: session.to_owned(),
        sizes: 0,
        _screen: screen.clone(),
    };
    Ok((shell, keeper))
}

fn not_started(error: &StartJobError) -> UserError {
    UserError::new(
        ErrorCode::SandboxFailed,
        format!("no shell could be started in the sandbox: {error}"),
        "Try again in a moment.",
    )
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
    asked: mpsc::Receiver<Ask>,
    channel: Channel,
    session: String,
    sizes: u32,
    _screen: RunScreen,
}

impl Keeper {
    async fn serve(mut self) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        let mut looked_at = tokio::time::Instant::now();
        let code = loop {
            tokio::select! {
                event = self.job.next() => match event {
                    Some(JobEvent::Output { bytes, .. }) => self.shell.print(bytes),
                    Some(JobEvent::Exited(exit)) => break code_of(exit.status),
                    None => break None,
                },
                ask = self.asked.recv() => match ask {
                    Some(Ask::Keys(keys)) => {
                        if self.job.send_input(&keys).await.is_err() {
                            break None;
                        }
                    }
                    Some(Ask::Size(size)) => self.resize(size),
                    None => break None,
                },
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
        Self { session, behind: Behind::Shell(look) }
    }

    /// The session: with it the same shell is opened again, if it has a terminal.
    pub fn session(&self) -> &str {
        &self.session
    }

    /// What it shows next. It may be given up and asked again; nothing is lost.
    pub async fn next(&mut self) -> TerminalEvent {
        match &mut self.behind {
            Behind::Shell(look) => look.next().await,
            Behind::Plain(shell) => shell.next().await,
        }
    }

    /// Sends what was typed. It waits where the guest does not read.
    pub async fn keys(&mut self, bytes: Bytes) {
        match &mut self.behind {
            // A shell that has ended says so itself.
            Behind::Shell(look) => {
                let _ended = look.shell.asks.send(Ask::Keys(bytes)).await;
            }
            Behind::Plain(shell) => shell.input(&bytes).await,
        }
    }

    /// Says that nothing more will be typed: a shell without a terminal ends when it has done what it read.
    pub fn end_input(&mut self) {
        if let Behind::Plain(shell) = &mut self.behind {
            shell.end_input();
        }
    }

    /// Says how large the terminal is.
    pub async fn resize(&self, size: TerminalSize) {
        if let Behind::Shell(look) = &self.behind {
            let _ended = look.shell.asks.send(Ask::Size(size)).await;
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
