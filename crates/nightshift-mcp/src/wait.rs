//! Waits for a run, telling what happens meanwhile.

use std::time::Duration;

use rmcp::RoleServer;
use rmcp::model::{ProgressNotificationParam, ProgressToken};
use rmcp::service::RequestContext;
use serde_json::json;
use tokio::time::Instant;

use crate::arguments::Wait;
use crate::reply::{Reply, invalid, object};
use crate::server::Nightshift;
use crate::words::{Line, is_decided, told};

/// Seconds that are waited if nothing is said, and at most.
const TIMEOUT: u32 = 50;
const LONGEST: u32 = 3_600;

/// How long is waited before a stream that ended is taken up again.
const AGAIN: Duration = Duration::from_millis(300);

/// Tells progress to a caller that wants it.
struct Progress<'a> {
    context: &'a RequestContext<RoleServer>,
    token: Option<ProgressToken>,
    told: u32,
}

impl Progress<'_> {
    async fn tell(&mut self, message: String) {
        let Some(token) = self.token.clone() else { return };
        self.told += 1;
        let progress = ProgressNotificationParam::new(token, f64::from(self.told)).with_message(message);
        // A caller that does not listen any more is told nothing.
        let _listens = self.context.peer.notify_progress(progress).await;
    }
}

impl Nightshift {
    pub(crate) async fn wait(&self, wish: &Wait, context: &RequestContext<RoleServer>) -> Reply {
        let seconds = wish.timeout_seconds.unwrap_or(TIMEOUT);
        if seconds > LONGEST {
            return Err(invalid(format!("{seconds} s is more than {LONGEST} s"), "Wait again instead."));
        }
        let deadline = Instant::now() + Duration::from_secs(seconds.into());
        let mut progress = Progress { context, token: context.meta.get_progress_token(), told: 0 };
        let mut summary = self.summary(&wish.run).await?;
        // What happened before is not told.
        let mut seen = summary.last_seq;
        while !is_decided(&summary.state) {
            let before = seen;
            let mut events = self.owner.follow(summary.run.as_str(), seen).await?;
            loop {
                let event = tokio::select! {
                    event = events.recv() => event,
                    () = tokio::time::sleep_until(deadline) => return timed_out(&Line::of(&summary)),
                    () = context.ct.cancelled() => return timed_out(&Line::of(&summary)),
                };
                let Some(event) = event else { break };
                seen = seen.max(event.seq);
                if let Some(message) = told(&event) {
                    progress.tell(message).await;
                }
                if let nightshift_protocol::EventBody::StateChanged { state } = event.body {
                    summary.state = state;
                    if is_decided(&summary.state) {
                        break;
                    }
                }
            }
            if seen == before {
                tokio::time::sleep(AGAIN).await;
            }
        }
        let summary = self.summary(summary.run.as_str()).await?;
        object(&json!({"timed_out": false, "run": Line::of(&summary)}))
    }
}

fn timed_out(line: &Line) -> Reply {
    object(&json!({"timed_out": true, "run": line, "next": "It goes on by itself; call task_wait again."}))
}
