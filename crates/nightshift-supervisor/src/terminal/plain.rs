//! A shell without a terminal: it prints no prompt and no colours, reads to the end of its input and ends then.
//!
//! It belongs to its connection. Nothing is kept for who comes later and nothing is left out: while nobody takes what it
//! prints, the guest keeps it.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::{Bytes, BytesMut};
use nightshift_channel::{Command, Followed, GuestUser, Input, Job, JobEvent, OutputMode, Signal};
use nightshift_protocol::{RunId, UserError};

use super::{Behind, Terminal, TerminalEvent, code_of, in_time};
use crate::supervisor::Supervisor;
use crate::tools::job_id;
use crate::watching::RunScreen;

/// Starts a login shell in the repository's folder.
const START: &str = r#"cd "$HOME"/work/*/ 2>/dev/null; exec "${SHELL:-/bin/bash}" -l"#;

/// Shells that are open, each as long as somebody holds the other end.
#[derive(Default)]
pub(super) struct Count(Mutex<Vec<(RunId, Weak<()>)>>);

impl Count {
    /// How many of a run there are.
    pub(super) fn of(&self, run: &RunId) -> usize {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|(_, held)| held.strong_count() > 0);
        open.iter().filter(|(of, _)| of == run).count()
    }

    pub(super) fn add(&self, run: &RunId) -> Arc<()> {
        let held = Arc::new(());
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.push((run.clone(), Arc::downgrade(&held)));
        held
    }
}

/// One such shell. Dropped, it is ended.
pub(super) struct PlainShell {
    job: Job,
    /// What is being sent.
    sending: Bytes,
    /// Whether nothing more will be typed.
    last: bool,
    ended: bool,
    screen: RunScreen,
    _counted: Arc<()>,
}

impl Supervisor {
    /// Opens a shell without a terminal in a run's sandbox.
    pub async fn plain_shell(&self, run: &RunId) -> Result<Terminal, UserError> {
        let terminals = &self.shared().terminals;
        let counted = terminals.admit(run)?;
        let screen = self.screen(run).await?;
        let session = self.new_session();
        let command = Command::shell(job_id(&format!("shell-{session}")), START)
            .user(GuestUser::Agent)
            .variable("TERM", "dumb")
            .output(OutputMode::Merged)
            .input(Input::Stream);
        let job = in_time(screen.channel().start(command)).await?;
        let shell =
            PlainShell { job, sending: Bytes::new(), last: false, ended: false, screen, _counted: counted };
        Ok(Terminal { session, behind: Behind::Plain(shell), typed: BytesMut::new() })
    }
}

impl PlainShell {
    /// What it does next; `typed` is sent meanwhile.
    pub(super) async fn next(&mut self, typed: &mut BytesMut) -> TerminalEvent {
        loop {
            if self.sending.is_empty() {
                self.sending = typed.split().freeze();
            }
            if self.last && self.sending.is_empty() {
                self.job.end_input();
                self.last = false;
            }
            match self.job.follow(&mut self.sending).await {
                Some(Followed::Sent) => {}
                Some(Followed::Did(JobEvent::Output { bytes, .. })) => return TerminalEvent::Output(bytes),
                Some(Followed::Did(JobEvent::Exited(exit))) => {
                    self.ended = true;
                    return TerminalEvent::Ended(code_of(exit.status));
                }
                None => return TerminalEvent::Ended(None),
            }
        }
    }

    /// Ends its input once what was typed is sent.
    pub(super) fn end_input(&mut self) {
        self.last = true;
    }
}

impl Drop for PlainShell {
    fn drop(&mut self) {
        let (channel, job) = (self.screen.channel().clone(), self.job.id().clone());
        let ended = self.ended;
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            if !ended {
                // Where the machine is gone the shell is too.
                let _gone = channel.kill(&job, Signal::Terminate).await;
            }
            let _kept_a_little_longer = channel.forget(&job).await;
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_counts_for_its_run_as_long_as_it_is_held() {
        let [one, other] = ["run-0000000001", "run-0000000002"].map(|id| id.parse::<RunId>().unwrap());
        let count = Count::default();
        let held = [count.add(&one), count.add(&one), count.add(&other)];
        assert_eq!((count.of(&one), count.of(&other)), (2, 1));
        drop(held);
        assert_eq!((count.of(&one), count.of(&other)), (0, 0));
    }
}
