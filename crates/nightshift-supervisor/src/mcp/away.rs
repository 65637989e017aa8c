//! Beginning to speak with a server at an address.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use nightshift_egress::Egress;
use nightshift_mcp_client::{Client, ConnectError, Dial, Endpoint, Generation, system_trust};
use nightshift_sandbox::Acceleration;
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::dial::{Inside, Out};
use super::launch::{GENERATIONS, within};
use super::{Line, Running, Unreached, silence};
use crate::desk::Desk;
use crate::intake::there;

/// How often a server in the sandbox is tried that does not listen yet.
const BETWEEN_TRIES: Duration = Duration::from_millis(300);

/// A road to a server.
pub(super) struct Away {
    /// Whether the owner was cut off from the sandbox.
    cut: Arc<AtomicBool>,
    outside: bool,
}

impl Away {
    pub(super) fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Relaxed)
    }

    pub(super) fn is_outside(&self) -> bool {
        self.outside
    }
}

/// How long a server in the sandbox may take until it listens: its set-up has started it, and it runs in the clone.
fn listens_within(desk: &Desk) -> Duration {
    match desk.machine.acceleration() {
        Acceleration::Kvm => Duration::from_secs(10),
        Acceleration::Tcg => Duration::from_secs(30),
    }
}

/// Begins to speak with a server, in the generation that it takes.
pub(super) async fn reach(
    desk: &Desk,
    threads: &Handle,
    way_out: Option<Egress>,
    endpoint: Endpoint,
) -> Result<Running, Unreached> {
    let cut: Arc<AtomicBool> = Arc::default();
    let outside = !endpoint.address.is_inside();
    let dial: Arc<dyn Dial> = if outside {
        let egress = way_out.ok_or_else(|| Unreached::Cut("the sandbox has no way out".to_owned()))?;
        let (host, port) = (endpoint.address.host().to_owned(), endpoint.address.port());
        Arc::new(Out { egress, host, port })
    } else {
        let (channel, port) = (desk.channel.clone(), endpoint.address.port());
        Arc::new(Inside { channel, port, cut: Arc::clone(&cut) })
    };
    let trust = system_trust().map_err(|error| {
        Unreached::Not(format!("the certificates of this machine cannot be read: {error}"))
    })?;
    let silence = endpoint.silence.unwrap_or_else(|| silence(desk.machine.acceleration()));
    let until = Instant::now() + listens_within(desk);
    let begin = async |generation: Generation| {
        let (endpoint, dial, trust) = (endpoint.clone(), Arc::clone(&dial), Arc::clone(&trust));
        let within = within(desk);
        let reached = async move { Client::reach(endpoint, dial, trust, generation, within).await };
        there(threads, reached).await.map_err(|error| Unreached::Not(error.to_string()))
    };
    let mut first = None;
    let mut generations = GENERATIONS.into_iter();
    let mut generation = generations.next();
    while let Some(now) = generation {
        match begin(now).await? {
            Ok(client) => {
                let line = Line::Away(Away { cut, outside });
                return Ok(Running { client, line, silence, unanswered: AtomicU32::new(0) });
            }
            Err(error) if cut.load(Ordering::Relaxed) => return Err(Unreached::Cut(error.to_string())),
            Err(ConnectError::NotReached { .. }) if !outside && Instant::now() < until => {
                tokio::time::sleep(BETWEEN_TRIES).await;
            }
            Err(error @ (ConnectError::NotReached { .. } | ConnectError::Silent { .. })) => {
                return Err(Unreached::Not(error.to_string()));
            }
            // What it says to what it is asked first tells most.
            Err(error @ (ConnectError::Odd { .. } | ConnectError::HungUp { .. })) => {
                first.get_or_insert(error.to_string());
                generation = generations.next();
            }
        }
    }
    Err(Unreached::Not(first.unwrap_or_default()))
}
