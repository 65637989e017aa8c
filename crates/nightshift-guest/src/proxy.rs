//! The proxy's port: what programs say there goes to the host unread, and the host's answers come back.
//!
//! Nothing is decided or even looked at here: a program that took this one over could send the same bytes.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nightshift_channel::wire::service::MAX_CONNECTIONS;

use crate::connect;
use crate::link::Live;
use crate::stream::{Gone, Stream};

/// How long a connection waits for a host that takes it: an owner that restarts is back by then.
const HOST_WITHIN: Duration = Duration::from_secs(20);

/// How long a failed accept is not repeated: the causes (no descriptors, no memory) pass when other connections end.
const PAUSE: Duration = Duration::from_millis(100);

/// Who takes connections, and how many are under way.
#[derive(Default)]
pub(crate) struct Proxy {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The session whose host takes connections; it may be over.
    taker: Option<Arc<Live>>,
    under_way: usize,
}

impl Proxy {
    /// From now on connections go to this session's host.
    pub(crate) fn open(&self, session: Arc<Live>) {
        self.lock().taker = Some(session);
        self.changed.notify_all();
    }

    /// Serves the port for ever. More connections than [`MAX_CONNECTIONS`] wait until others end.
    pub(crate) fn serve(self: &Arc<Self>, listener: &TcpListener) {
        loop {
            self.wait_for_room();
            let accepted = listener.accept().and_then(|(socket, _)| {
                let proxy = Arc::clone(self);
                self.lock().under_way += 1;
                let spawned = std::thread::Builder::new().name("proxy".to_owned()).spawn(move || {
                    // The host is gone, or the program: the socket is closed with this thread.
                    let _: Result<(), Gone> = proxy.carry(socket);
                    proxy.ended();
                });
                spawned.map(drop).inspect_err(|_| self.ended())
            });
            if accepted.is_err() {
                let waiting = self.lock();
                drop(self.changed.wait_timeout(waiting, PAUSE));
            }
        }
    }

    fn carry(&self, socket: TcpStream) -> Result<(), Gone> {
        let stream = self.stream()?;
        let prepare = |socket: &TcpStream| -> io::Result<_> {
            socket.set_nodelay(true)?;
            Ok((socket.try_clone()?, socket.try_clone()?))
        };
        let (for_cut, for_reading) = prepare(&socket).map_err(|_| Gone)?;
        connect::carry(stream, for_cut, for_reading, socket)
    }

    /// Opens a stream to the host, waiting for one that takes connections.
    fn stream(&self) -> Result<Stream, Gone> {
        let until = Instant::now() + HOST_WITHIN;
        let mut state = self.lock();
        loop {
            if let Some(live) = state.taker.clone() {
                if let Some(opened) = live.change(|state| state.session.open()) {
                    // As many as may be open are not reached: their number is bounded here.
                    return opened.map(|id| Stream::new(live, id)).map_err(|_full| Gone);
                }
                // That session is over.
                if state.taker.as_ref().is_some_and(|taker| Arc::ptr_eq(taker, &live)) {
                    state.taker = None;
                }
            }
            let left = until.checked_duration_since(Instant::now()).ok_or(Gone)?;
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn wait_for_room(&self) {
        let state = self.lock();
        drop(self.changed.wait_while(state, |state| state.under_way >= MAX_CONNECTIONS));
    }

    fn ended(&self) {
        self.lock().under_way -= 1;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
