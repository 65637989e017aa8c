//! QEMU's D-Bus display (`-display dbus,p2p=yes`), as `ui/dbus-display1.xml` in QEMU's sources describes it.
//!
//! There are two connections. On the first, which QMP `add_client` hands to QEMU, we call: mouse, keyboard, and
//! `RegisterListener`, which carries one end of a socket pair. On that second one QEMU calls: it describes pictures
//! and names what changed. QEMU waits for the answer to `ScanoutMap`, its whole main loop standing still, so
//! answers are given at once and the work is done after.

mod devices;
mod listener;

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use tokio::sync::mpsc;
use zbus::conn::Builder;

pub(crate) use devices::Devices;

use crate::source::SourceEvent;

const CONSOLE: &str = "/org/qemu/Display1/Console_0";

/// The longest wait for one answer; QEMU answers from its main loop, which a busy host can hold up for seconds.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// How many messages may wait to be read on the listener's connection; QEMU keeps the rest. Few, because a picture
/// sent as bytes may be as long as D-Bus allows (128 MiB).
const QUEUED: std::num::NonZeroUsize = std::num::NonZeroUsize::MIN.saturating_add(3);

/// The screen could not be attached.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The socket for the listener could not be made.
    #[error("no socket pair could be made")]
    Socket(#[source] std::io::Error),
    /// The other end of the given socket does not speak D-Bus, or refused us.
    #[error("the display's D-Bus connection could not be opened")]
    Connect(#[source] zbus::Error),
    /// QEMU did not take the listener: it has no graphical console, or is too old.
    #[error("the display did not accept a listener")]
    Register(#[source] zbus::Error),
    /// QEMU did not answer.
    #[error("the display did not answer within {} s", ANSWER_WITHIN.as_secs())]
    TimedOut,
}

/// Opens the display behind `fd` and starts the task that reports what it shows.
pub(crate) async fn attach(fd: OwnedFd, events: mpsc::Sender<SourceEvent>) -> Result<Devices, AttachError> {
    let opened = tokio::time::timeout(ANSWER_WITHIN, open(fd));
    let (devices, messages) = opened.await.map_err(|_| AttachError::TimedOut)??;
    tokio::spawn(listener::listen(messages, events));
    Ok(devices)
}

async fn open(fd: OwnedFd) -> Result<(Devices, zbus::MessageStream), AttachError> {
    let console = Builder::unix_stream(UnixStream::from(fd))
        .p2p()
        .method_timeout(ANSWER_WITHIN)
        .build()
        .await
        .map_err(AttachError::Connect)?;
    let (ours, theirs) = UnixStream::pair().map_err(AttachError::Socket)?;
    let theirs = zbus::OwnedFd::from(OwnedFd::from(theirs));
    let interface = Some("org.qemu.Display1.Console");
    let body = (theirs,);
    let register = console.call_method(None::<&str>, CONSOLE, interface, "RegisterListener", &body);
    let listener = Builder::unix_stream(ours).p2p().max_queued(QUEUED).build_message_stream();
    // QEMU's main loop stands still until the listener's handshake is done: both at once, or neither ends.
    let (registered, messages) = tokio::join!(register, listener);
    registered.map_err(AttachError::Register)?;
    Ok((Devices::new(console), messages.map_err(AttachError::Connect)?))
}
