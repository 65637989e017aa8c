//! A machine's channel as a stream of bytes: a socket pair, and two threads that move bytes between it and libvirt's
//! stream.
//!
//! The stream does not block, and libvirt's event loop, a thread of its own, says when it can be read or written: two
//! threads that wait inside libvirt for one connection can miss each other's bell and wait for ever (seen with 9.0).
//! Each channel has a connection of its own, because libvirt's client keeps what arrives for a stream while another call
//! of the same connection waits: a guest that floods fills its own socket and holds up nobody else.
//!
//! ```text
//!   guest ──▶ libvirt ──event loop: "readable"──▶ receive ──▶ socket pair ──▶ owner
//!         ◀── libvirt ◀─────────────────────────── send   ◀──             ◀──
//! ```
#![expect(
    unsafe_code,
    reason = "the virt crate cannot tell \"not now\" from an error, and has no event loop"
)]

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::raw::{c_int, c_void};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Once, PoisonError};

use virt::stream::Stream;
use virt::sys;

use crate::connection::{Called, Connection, STREAM_PIECE};

const READABLE: u32 = sys::VIR_STREAM_EVENT_READABLE;
const WRITABLE: u32 = sys::VIR_STREAM_EVENT_WRITABLE;
const ENDED: u32 = sys::VIR_STREAM_EVENT_ERROR | sys::VIR_STREAM_EVENT_HANGUP;

/// Starts libvirt's event loop, once, before the first connection is made.
pub(crate) fn start_event_loop() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        // SAFETY: called once, and before any connection.
        let registered = unsafe { sys::virEventRegisterDefaultImpl() };
        if registered != 0 {
            return;
        }
        // A timer that does nothing: without anything to wait for the loop would spin.
        extern "C" fn nothing(_: c_int, _: *mut c_void) {}
        // SAFETY: the callback uses no data.
        unsafe { sys::virEventAddTimeout(1_000, Some(nothing), std::ptr::null_mut(), None) };
        // Without the loop streams never become readable, and whoever waits for one says so when time is up.
        let _running = spawn("libvirt-events", || {
            // SAFETY: the implementation is registered, and this is the only thread that runs it.
            while unsafe { sys::virEventRunDefaultImpl() } == 0 {}
        });
    });
}

/// A stream that two threads wait for.
struct Pump {
    stream: Stream,
    /// What happened since it was last looked for, as bits of `virStreamEventType`; and what is waited for.
    events: Mutex<Events>,
    rang: Condvar,
    /// Goes last: the stream is of it.
    _connection: Connection,
}

#[derive(Debug, Default)]
struct Events {
    seen: u32,
    wanted: u32,
}

/// What a call that does not block has come to.
enum Moved {
    Bytes(usize),
    NotNow,
    Over,
}

impl Pump {
    fn lock(&self) -> MutexGuard<'_, Events> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until one of `events` or the stream's end was seen; `false` at its end.
    fn wait(&self, events: u32) -> bool {
        let mut state = self.lock();
        state.seen &= !events;
        state.wanted |= events;
        self.listen(&state);
        while state.seen & (events | ENDED) == 0 {
            state = self.rang.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.seen & ENDED == 0
    }

    /// Tells libvirt what is waited for. What is not waited for must not be told of: libvirt would tell it without end.
    fn listen(&self, state: &Events) {
        let wanted = c_int::try_from(state.wanted | ENDED).unwrap_or(0);
        // SAFETY: the stream lives as long as this.
        unsafe { sys::virStreamEventUpdateCallback(self.stream.as_ptr(), wanted) };
    }

    /// Ends it for both threads.
    fn end(&self) {
        self.lock().seen |= ENDED;
        self.rang.notify_all();
    }

    fn receive(&self, piece: &mut [u8]) -> Moved {
        // SAFETY: libvirt writes at most as many bytes as the buffer has.
        let count =
            unsafe { sys::virStreamRecv(self.stream.as_ptr(), piece.as_mut_ptr().cast(), piece.len()) };
        moved(count)
    }

    fn send(&self, piece: &[u8]) -> Moved {
        // SAFETY: libvirt reads as many bytes as the buffer has.
        let count = unsafe { sys::virStreamSend(self.stream.as_ptr(), piece.as_ptr().cast(), piece.len()) };
        moved(count)
    }
}

/// `virStreamRecv` and `virStreamSend` return -2 for "not now", -1 for an error and 0 at the end.
fn moved(count: c_int) -> Moved {
    match usize::try_from(count) {
        Ok(0) => Moved::Over,
        Ok(count) => Moved::Bytes(count),
        Err(_) if count == -2 => Moved::NotNow,
        Err(_) => Moved::Over,
    }
}

/// What the event loop calls.
extern "C" fn rang(_: sys::virStreamPtr, events: c_int, pump: *mut c_void) {
    // SAFETY: the pointer is that of the `Arc` which `open` gave to libvirt, which `forgotten` takes back.
    let pump = unsafe { &*pump.cast::<Pump>() };
    let mut state = pump.lock();
    let events = u32::try_from(events).unwrap_or(ENDED);
    state.seen |= events;
    state.wanted &= !events;
    pump.listen(&state);
    drop(state);
    pump.rang.notify_all();
}

/// What the event loop calls when it will not call again.
extern "C" fn forgotten(pump: *mut c_void) {
    // SAFETY: as above; libvirt calls this once. It may be the last that holds the connection, which must not be closed on
    // the thread of the event loop, so that another thread drops it.
    let pump = unsafe { Arc::from_raw(pump.cast_const().cast::<Pump>()) };
    let _dropped_here_then = spawn("libvirt-channel-end", move || drop(pump));
}

/// Opens the channel of the machine `name` over `connection`, and returns our end of it. Dropping it hangs up.
pub(crate) fn open(connection: Connection, name: &str, port: &str) -> Called<UnixStream> {
    let stream = connection.channel(name, port)?;
    let (ours, theirs) = UnixStream::pair()?;
    let sending = theirs.try_clone()?;
    let pump =
        Arc::new(Pump { stream, events: Mutex::default(), rang: Condvar::new(), _connection: connection });
    let known = Arc::into_raw(Arc::clone(&pump)).cast_mut().cast::<c_void>();
    let wanted = c_int::try_from(ENDED).unwrap_or(0);
    // SAFETY: the callbacks are given what they expect.
    let added = unsafe {
        sys::virStreamEventAddCallback(pump.stream.as_ptr(), wanted, Some(rang), known, Some(forgotten))
    };
    if added != 0 {
        let error = virt::error::Error::last_error();
        forgotten(known);
        return Err(error.into());
    }
    let other = Arc::clone(&pump);
    spawn("libvirt-channel-in", move || receive(&other, theirs))?;
    spawn("libvirt-channel-out", move || send(&pump, sending))?;
    ours.set_nonblocking(true)?;
    Ok(ours)
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work).map(drop)
}

/// Moves what the guest says to the socket, until either end is done.
fn receive(pump: &Pump, mut socket: UnixStream) {
    let mut piece = vec![0; STREAM_PIECE];
    loop {
        match pump.receive(&mut piece) {
            Moved::Bytes(count) => {
                if socket.write_all(&piece[..count]).is_err() {
                    break;
                }
            }
            Moved::NotNow => {
                if !pump.wait(READABLE) {
                    break;
                }
            }
            Moved::Over => break,
        }
    }
    pump.end();
    // Our end reads the end, and the other thread, which waits for it to say something, ends too.
    let _already_shut = socket.shutdown(Shutdown::Both);
}

/// Moves what the host says to the guest, until either end is done; then the stream is given up.
fn send(pump: &Pump, mut socket: UnixStream) {
    let mut piece = vec![0; 64 * 1024];
    while let Ok(count) = socket.read(&mut piece) {
        if count == 0 || !send_all(pump, &piece[..count]) {
            break;
        }
    }
    pump.end();
    let _already_shut = socket.shutdown(Shutdown::Both);
    // SAFETY: the stream lives as long as the pump. What fails has ended already.
    unsafe {
        sys::virStreamEventRemoveCallback(pump.stream.as_ptr());
        sys::virStreamAbort(pump.stream.as_ptr());
    }
}

fn send_all(pump: &Pump, mut rest: &[u8]) -> bool {
    while !rest.is_empty() {
        match pump.send(rest) {
            Moved::Bytes(count) => rest = rest.get(count..).unwrap_or_default(),
            Moved::NotNow => {
                if !pump.wait(WRITABLE) {
                    return false;
                }
            }
            Moved::Over => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_libvirt_returns_is_told_apart() {
        assert!(matches!(moved(7), Moved::Bytes(7)));
        assert!(matches!(moved(0), Moved::Over));
        assert!(matches!(moved(-1), Moved::Over));
        assert!(matches!(moved(-2), Moved::NotNow));
    }
}
