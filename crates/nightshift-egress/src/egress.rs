//! One sandbox's way out: the policy that holds now, the connections under way, and what is told of them.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nightshift_protocol::{ConnectionRecord, ConnectionVerdict, NetworkPhase, RefusalReason};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;

use crate::bucket::Bucket;
use crate::http::{self, Mode};
use crate::journal::{Journal, Part};
use crate::meter::{Bandwidth, Count, Metered};
use crate::origin::Origin;
use crate::policy::{Policy, Target};
use crate::reach::{Purpose, Reached, Resolver, Stream, Upstream, Way};
use crate::socks::{
    ACCEPT_GREETING, REFUSE_GREETING, Reply, SocksAddress, SocksError, SocksGreeting, SocksRequest, VERSION,
};
use crate::tunnel::{FIRST_WORDS_WITHIN, Inside, Prefixed, listen};

/// How long a host that was reached may have to wait for the program's first words. Servers and the proxies before them hang
/// up on who connects and says nothing, many after ten seconds; `npm ci` in a sandbox without hardware virtualisation said
/// its first words up to a minute late and took a host that was gone for a broken network.
const HOST_WAITS: Duration = Duration::from_secs(4);

/// What a sandbox may use.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EgressLimits {
    /// Connections at once; more wait.
    pub connections: usize,
    /// New connections a second, over time; ten seconds' worth may come at once.
    pub connections_a_second: f64,
    /// Bytes a second, both directions of all connections together.
    pub bytes_a_second: u64,
    /// How long a connection may be silent.
    pub idle: Duration,
}

impl Default for EgressLimits {
    /// 96 connections, 20 new ones a second, 64 MiB a second, 5 minutes of silence: what a package manager in a hurry
    /// needs, and no more.
    fn default() -> Self {
        Self {
            connections: 96,
            connections_a_second: 20.0,
            bytes_a_second: 64 << 20,
            idle: Duration::from_secs(300),
        }
    }
}

/// What an [`Egress`] is made with.
pub struct EgressSettings {
    /// What is allowed at first.
    pub policy: Policy,
    /// What may be used.
    pub limits: EgressLimits,
    /// Finds addresses.
    pub resolver: Arc<dyn Resolver>,
    /// The proxy the owner itself stands behind.
    pub upstream: Option<Upstream>,
}

/// One sandbox's way out. Clones share it.
#[derive(Clone)]
pub struct Egress {
    inner: Arc<Inner>,
}

struct Inner {
    /// `None` once it is closed.
    policy: watch::Sender<Option<Arc<Policy>>>,
    /// The phase that was last, also after the end.
    phase: Mutex<NetworkPhase>,
    limits: EgressLimits,
    way: Way,
    bandwidth: Arc<Bandwidth>,
    room: Arc<Semaphore>,
    pace: Mutex<Bucket>,
    journal: Mutex<Journal>,
    /// Who answers what is asked of the proxy itself.
    origin: Mutex<Option<Arc<dyn Origin>>>,
    begun: Instant,
}

/// Leave to serve one connection.
#[derive(Debug)]
pub struct Admitted(#[expect(dead_code, reason = "held, not used")] OwnedSemaphorePermit);

impl Egress {
    /// Makes a way out. It does nothing by itself.
    pub fn new(settings: EgressSettings) -> Self {
        let EgressSettings { policy, limits, resolver, upstream } = settings;
        let pace = Bucket::full(limits.connections_a_second * 10.0, limits.connections_a_second);
        Self {
            inner: Arc::new(Inner {
                phase: Mutex::new(policy.phase),
                policy: watch::Sender::new(Some(Arc::new(policy))),
                limits,
                way: Way { resolver, upstream },
                bandwidth: Arc::new(Bandwidth::new(limits.bytes_a_second)),
                room: Arc::new(Semaphore::new(limits.connections)),
                pace: Mutex::new(pace),
                journal: Mutex::default(),
                origin: Mutex::default(),
                begun: Instant::now(),
            }),
        }
    }

    /// Replaces the policy. Connections that the new one does not allow are cut.
    pub fn set_policy(&self, policy: Policy) {
        self.inner.policy.send_if_modified(|holds| {
            // What is closed stays closed.
            let open = holds.is_some();
            if open {
                *lock(&self.inner.phase) = policy.phase;
                *holds = Some(Arc::new(policy));
            }
            open
        });
    }

    /// Says who answers what programs ask of the proxy itself from now on; `None` for nobody, as at first.
    pub fn set_origin(&self, origin: Option<Arc<dyn Origin>>) {
        *lock(&self.inner.origin) = origin;
    }

    /// Cuts every connection for good.
    pub fn close(&self) {
        self.set_origin(None);
        self.inner.policy.send_replace(None);
    }

    /// Returns when no connection is under way; after [`Egress::close`] that is soon.
    pub async fn quiet(&self) {
        let all = u32::try_from(self.inner.limits.connections).unwrap_or(u32::MAX);
        // The semaphore is never closed.
        let _ = self.inner.room.acquire_many(all).await;
    }

    /// Waits until one more connection may be served.
    pub async fn admit(&self) -> Admitted {
        let wait = lock(&self.inner.pace).take(1.0, self.inner.begun.elapsed());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        let room = Arc::clone(&self.inner.room);
        match room.acquire_owned().await {
            Ok(permit) => Admitted(permit),
            // The semaphore is never closed.
            Err(_closed) => std::future::pending().await,
        }
    }

    /// Serves one connection of a program to its end.
    pub async fn serve(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        admitted: Admitted,
    ) {
        let count = Arc::new(Count::default());
        let bandwidth = Arc::clone(&self.inner.bandwidth);
        let metered = Metered::new(stream, Arc::clone(&count), bandwidth, self.inner.limits.idle);
        let connection = Arc::new(Connection {
            egress: self.clone(),
            count,
            told: Mutex::default(),
            last: Mutex::default(),
            _admitted: admitted,
        });
        connection.serve(metered).await;
    }

    /// What is to be told of connections now, if anything is.
    pub fn take_records(&self) -> Option<Vec<ConnectionRecord>> {
        lock(&self.inner.journal).take(self.inner.begun.elapsed())
    }

    /// All that was not told, for the end.
    pub fn take_all_records(&self) -> Vec<ConnectionRecord> {
        lock(&self.inner.journal).take_all()
    }

    /// Takes back records that could not be written down.
    pub fn give_back(&self, records: Vec<ConnectionRecord>) {
        lock(&self.inner.journal).give_back(records, self.inner.begun.elapsed());
    }
}

/// One connection of a program, which may ask for several hosts one after the other.
pub(crate) struct Connection {
    egress: Egress,
    count: Arc<Count>,
    /// What was told of it so far: bytes sent and received.
    told: Mutex<(u64, u64)>,
    /// The host that was reached last: what passes after its end is its answer still.
    last: Mutex<Option<(String, u16)>>,
    _admitted: Admitted,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.note_rest();
    }
}

/// Knows when a target is no longer allowed.
pub(crate) struct PhaseWatch {
    policy: watch::Receiver<Option<Arc<Policy>>>,
    target: Target,
    open: OpenNote,
}

/// Notes the end of what was noted as begun, whatever way it ends.
struct OpenNote {
    connection: Option<Arc<Connection>>,
    target: Target,
    since: Instant,
}

impl Drop for OpenNote {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            let part = Part { ended: true, open: self.since.elapsed(), ..connection.new_bytes() };
            let named = (self.target.host.to_string(), self.target.port);
            connection.note(&named, ConnectionVerdict::Allowed, part);
        }
    }
}

impl PhaseWatch {
    /// Returns when the policy no longer allows the target.
    pub(crate) async fn no_longer_allowed(&mut self) {
        loop {
            if self.policy.changed().await.is_err() {
                return;
            }
            let Some(policy) = self.policy.borrow_and_update().clone() else { return };
            if policy.decide(&self.target).is_err() {
                if let Some(connection) = &self.open.connection {
                    let named = (self.target.host.to_string(), self.target.port);
                    let reason = RefusalReason::PhaseOver;
                    connection.note_ended(&named, ConnectionVerdict::Refused { reason });
                }
                return;
            }
        }
    }
}

impl Connection {
    async fn serve(self: Arc<Self>, mut stream: impl Stream + 'static) {
        let mut first = vec![0_u8; 1];
        match tokio::time::timeout(FIRST_WORDS_WITHIN, stream.read_exact(&mut first)).await {
            Ok(Ok(_)) => {}
            // It said nothing.
            Ok(Err(_)) | Err(_) => return,
        }
        let nobody = (String::new(), 0);
        match first.first() {
            Some(&VERSION) => self.socks(Prefixed::new(first, stream)).await,
            Some(byte) if byte.is_ascii_uppercase() => {
                http::serve(self, Prefixed::new(first, stream), Mode::Proxy).await;
            }
            _ => {
                let reason = RefusalReason::Malformed;
                self.note_ended(&nobody, ConnectionVerdict::Refused { reason });
            }
        }
    }

    async fn socks(self: Arc<Self>, mut stream: impl Stream + 'static) {
        let nobody = (String::new(), 0);
        let refuse = |reason| self.note_ended(&nobody, ConnectionVerdict::Refused { reason });
        let mut heard = Vec::with_capacity(512);
        let asked = async {
            let greeting = read_until(&mut stream, &mut heard, SocksGreeting::read).await?;
            heard.drain(..greeting.length);
            if !greeting.without_authentication {
                say_last(&mut stream, &REFUSE_GREETING).await;
                return Err(SocksError::Malformed);
            }
            stream.write_all(&ACCEPT_GREETING).await.map_err(|_| SocksError::Malformed)?;
            let request = read_until(&mut stream, &mut heard, SocksRequest::read).await?;
            heard.drain(..request.length);
            Ok(request.address)
        };
        let asked = tokio::time::timeout(FIRST_WORDS_WITHIN, asked).await;
        let (reply, named, verdict) = match asked.unwrap_or(Err(SocksError::Malformed)) {
            Ok(SocksAddress::Named(target)) => match self.reach(&target, Purpose::Tunnel).await {
                Ok((Reached::Host(reached) | Reached::Proxy(reached, _), watch)) => {
                    if stream.write_all(&Reply::Succeeded.bytes()).await.is_ok() {
                        self.tunnel(Prefixed::new(heard, stream), target, reached, watch).await;
                    }
                    return;
                }
                Err(verdict @ ConnectionVerdict::Refused { .. }) => (Reply::NotAllowed, target, verdict),
                Err(verdict) => (Reply::HostUnreachable, target, verdict),
            },
            Ok(SocksAddress::Refused { reason, named }) => {
                self.note_ended(&named, ConnectionVerdict::Refused { reason });
                say_last(&mut stream, &Reply::NotAllowed.bytes()).await;
                return;
            }
            Err(error) => {
                refuse(RefusalReason::Malformed);
                let reply = match error {
                    SocksError::Malformed => return,
                    SocksError::Command => Reply::CommandNotSupported,
                    SocksError::AddressKind => Reply::AddressNotSupported,
                };
                say_last(&mut stream, &reply.bytes()).await;
                return;
            }
        };
        tracing::debug!(%named, ?verdict, "a connection was not made");
        say_last(&mut stream, &reply.bytes()).await;
    }

    /// Who answers what is asked of the proxy itself.
    pub(crate) fn origin(&self) -> Option<Arc<dyn Origin>> {
        lock(&self.egress.inner.origin).clone()
    }

    /// Connects to a target if it is allowed, and notes what became of it.
    pub(crate) async fn reach(
        self: &Arc<Self>,
        target: &Target,
        purpose: Purpose,
    ) -> Result<(Reached, PhaseWatch), ConnectionVerdict> {
        // Subscribed before it is decided: a change in between is seen.
        let mut policy = self.egress.inner.policy.subscribe();
        let decided = match policy.borrow_and_update().as_deref() {
            Some(policy) => policy.decide(target),
            None => Err(RefusalReason::NotListed),
        };
        let reached = match decided {
            Ok(reach) => self.egress.inner.way.reach(target, reach, purpose).await,
            Err(reason) => Err(ConnectionVerdict::Refused { reason }),
        };
        let named = (target.host.to_string(), target.port);
        match reached {
            Ok(reached) => {
                self.note_rest();
                self.note(&named, ConnectionVerdict::Allowed, Part { begun: true, ..Part::default() });
                *lock(&self.last) = Some(named);
                let open = OpenNote {
                    connection: Some(Arc::clone(self)),
                    target: target.clone(),
                    since: Instant::now(),
                };
                Ok((reached, PhaseWatch { policy, target: target.clone(), open }))
            }
            Err(verdict) => {
                self.note_ended(&named, verdict);
                Err(verdict)
            }
        }
    }

    /// Listens to what is said in a tunnel and carries it when it is for the tunnel's host.
    ///
    /// The host was reached before the program was told that it may speak. A program that takes its time finds a host
    /// that is still there all the same: it is let go of before it tires of waiting, and reached again.
    pub(crate) async fn tunnel(
        self: Arc<Self>,
        mut program: impl Stream + 'static,
        target: Target,
        host: Box<dyn Stream>,
        mut watch: PhaseWatch,
    ) {
        let mut host = Some(host);
        let tires = tokio::time::sleep(HOST_WAITS);
        let heard = {
            let listening = listen(&mut program, &target.host);
            tokio::pin!(listening, tires);
            loop {
                tokio::select! {
                    heard = &mut listening => break heard,
                    () = watch.no_longer_allowed() => return,
                    () = &mut tires, if host.is_some() => host = None,
                }
            }
        };
        match heard {
            Ok((Inside::Nothing, _)) => {}
            Ok((Inside::Tls, heard)) => {
                let waiting = match host {
                    Some(mut host) => (!has_ended(&mut host).await).then_some(host),
                    None => None,
                };
                let mut host = match waiting {
                    Some(host) => host,
                    None => {
                        let again = tokio::select! {
                            biased;
                            () = watch.no_longer_allowed() => return,
                            again = self.reach_again(&target) => again,
                        };
                        let Some(host) = again else { return };
                        host
                    }
                };
                let mut program = Prefixed::new(heard, program);
                tokio::select! {
                    biased;
                    // First: not a byte passes that is no longer allowed.
                    () = watch.no_longer_allowed() => {}
                    // Why it ended is of no interest; both ends are closed here.
                    _ = tokio::io::copy_bidirectional(&mut program, &mut host) => {}
                }
            }
            Ok((Inside::Http, heard)) => {
                // Each request makes its own connection, after it was looked at.
                drop(host);
                drop(watch);
                http::serve(self, Prefixed::new(heard, program), Mode::Inside(target)).await;
            }
            Err(reason) => {
                let named = (target.host.to_string(), target.port);
                self.note_ended(&named, ConnectionVerdict::Refused { reason });
            }
        }
    }

    /// Connects once more to a target that was reached already, if it still may be; it was told of as begun.
    async fn reach_again(&self, target: &Target) -> Option<Box<dyn Stream>> {
        let policy = self.egress.inner.policy.borrow().clone();
        let decided = policy.map_or(Err(RefusalReason::NotListed), |policy| policy.decide(target));
        let reached = match decided {
            Ok(reach) => self.egress.inner.way.reach(target, reach, Purpose::Tunnel).await,
            Err(reason) => Err(ConnectionVerdict::Refused { reason }),
        };
        match reached {
            Ok(Reached::Host(host) | Reached::Proxy(host, _)) => Some(host),
            Err(verdict) => {
                self.note_ended(&(target.host.to_string(), target.port), verdict);
                None
            }
        }
    }

    /// Carries bytes both ways after a host agreed to another protocol.
    pub(crate) async fn carry(
        self: Arc<Self>,
        mut program: impl Stream,
        mut host: impl Stream,
        target: &Target,
    ) {
        let mut policy = self.egress.inner.policy.subscribe();
        policy.mark_changed();
        let open = OpenNote { connection: None, target: target.clone(), since: Instant::now() };
        let mut watch = PhaseWatch { policy, target: target.clone(), open };
        tokio::select! {
            biased;
            () = watch.no_longer_allowed() => {}
            _ = tokio::io::copy_bidirectional(&mut program, &mut host) => {}
        }
    }

    /// Notes something that began and ended at once.
    pub(crate) fn note_ended(&self, named: &(String, u16), verdict: ConnectionVerdict) {
        self.note(named, verdict, Part { begun: true, ended: true, ..Part::default() });
    }

    fn note(&self, (host, port): &(String, u16), verdict: ConnectionVerdict, part: Part) {
        let inner = &self.egress.inner;
        let phase = *lock(&inner.phase);
        lock(&inner.journal).note((host, *port), phase, verdict, part, inner.begun.elapsed());
    }

    /// Notes what passed since the last part, for the host that was reached last.
    fn note_rest(&self) {
        let part = self.new_bytes();
        let last = lock(&self.last).clone();
        if let Some(last) = last.filter(|_| part.sent_bytes + part.received_bytes > 0) {
            self.note(&last, ConnectionVerdict::Allowed, part);
        }
    }

    /// Bytes that passed since the last part that was noted.
    fn new_bytes(&self) -> Part {
        let now = (self.count.sent.load(Ordering::Relaxed), self.count.received.load(Ordering::Relaxed));
        let before = std::mem::replace(&mut *lock(&self.told), now);
        Part {
            sent_bytes: now.0.saturating_sub(before.0),
            received_bytes: now.1.saturating_sub(before.1),
            ..Part::default()
        }
    }
}

/// Whether a host that was told nothing yet is gone. Servers of TLS speak when they were spoken to: one that says something
/// by itself says goodbye.
async fn has_ended(host: &mut (impl Stream + ?Sized)) -> bool {
    let mut word = [0_u8; 1];
    tokio::select! {
        biased;
        _ = host.read(&mut word) => true,
        () = std::future::ready(()) => false,
    }
}

/// Answers, and says that nothing more comes: a stream that is only let go of is cut, and a cut may overtake the answer.
async fn say_last(stream: &mut (impl Stream + 'static), answer: &[u8]) {
    if stream.write_all(answer).await.is_ok() {
        // The program may be gone.
        let _ = stream.shutdown().await;
    }
}

/// Reads until a message is whole; none is longer than 600 bytes.
async fn read_until<T>(
    stream: &mut (impl Stream + 'static),
    heard: &mut Vec<u8>,
    read: impl Fn(&[u8]) -> Result<Option<T>, SocksError>,
) -> Result<T, SocksError> {
    loop {
        if let Some(message) = read(heard)? {
            return Ok(message);
        }
        if heard.len() > 600 || matches!(stream.read_buf(heard).await, Ok(0) | Err(_)) {
            return Err(SocksError::Malformed);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
