//! Requests to the proxy: tunnels, and requests without encryption that are passed on one by one.
//!
//! Hyper reads and writes the messages, so none is passed on as it came: where two readers could see different ends of a
//! request or different hosts, there is an error here or only one reading there.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::ext::ReasonPhrase;
use hyper::header::{CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHORIZATION, UPGRADE};
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::{TokioIo, TokioTimer};
use nightshift_protocol::{ConnectionVerdict, RefusalReason};
use tokio::io::AsyncWriteExt;

use crate::egress::{Connection, PhaseWatch};
use crate::origin::OriginBody as Body;
use crate::policy::{Target, bare_address};
use crate::reach::{Purpose, Reached, Stream};
use crate::tunnel::FIRST_WORDS_WITHIN;

/// The longest head of a request or answer, in bytes, and the most fields in it.
const LONGEST_HEAD: usize = 64 * 1024;
const MOST_FIELDS: usize = 128;

/// Fields that are about one connection and not passed on (RFC 9110, section 7.6.1).
const HOP_BY_HOP: [&str; 8] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

type Answer = Response<Body>;

/// Where a connection's requests may go.
#[derive(Debug, Clone)]
pub(crate) enum Mode {
    /// Wherever each says: the program speaks to a proxy.
    Proxy,
    /// To this one host: the program believes to speak to it.
    Inside(Target),
}

/// Serves requests on a stream until it ends.
///
/// In a box, because a tunnel may hold requests again.
pub(crate) fn serve(
    connection: Arc<Connection>,
    stream: impl Stream + 'static,
    mode: Mode,
) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(serve_requests(connection, stream, mode))
}

/// The stream of a connection on which another protocol was asked for. Hyper ends such a connection by handing the
/// stream over, also when it was refused: it writes its answer and does not say that nothing more comes.
#[derive(Clone, Default)]
struct Offered(Arc<Mutex<Option<OnUpgrade>>>);

impl Offered {
    /// Notes a request that asks for another protocol. The one that did before got none.
    fn note(&self, request: &mut Request<Incoming>) {
        if request.extensions().get::<OnUpgrade>().is_some() {
            let upgrade = hyper::upgrade::on(request);
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(upgrade);
        }
    }

    /// What was noted last, for whoever uses the stream or ends it.
    fn take(&self) -> Option<OnUpgrade> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Says on a stream that was handed over for nothing that nothing more comes. A stream that is only let go of is
    /// cut, and a cut may overtake the answer on its way to the program.
    async fn end(&self) {
        if let Some(upgrade) = self.take()
            && let Ok(stream) = upgrade.await
        {
            // The program may be gone.
            let _ = TokioIo::new(stream).shutdown().await;
        }
    }
}

async fn serve_requests(connection: Arc<Connection>, stream: impl Stream + 'static, mode: Mode) {
    let offered = Offered::default();
    let service = hyper::service::service_fn({
        let offered = offered.clone();
        move |mut request: Request<Incoming>| {
            let (connection, mode, offered) = (Arc::clone(&connection), mode.clone(), offered.clone());
            offered.note(&mut request);
            async move { Ok::<_, std::convert::Infallible>(answer(&connection, request, &mode, &offered).await) }
        }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        // A program may say that it has said all, and wait for the answer.
        .half_close(true)
        .header_read_timeout(FIRST_WORDS_WITHIN)
        .max_header_size(LONGEST_HEAD)
        .max_headers(MOST_FIELDS)
        .max_buf_size(LONGEST_HEAD * 2)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    // Why a program's connection ended is of no interest.
    let _ = served.await;
    offered.end().await;
}

async fn answer(
    connection: &Arc<Connection>,
    request: Request<Incoming>,
    mode: &Mode,
    offered: &Offered,
) -> Answer {
    match mode {
        Mode::Proxy if request.method() == Method::CONNECT => {
            let authority = request.uri().authority().map(|authority| authority.as_str().to_owned());
            connect(connection, &authority.unwrap_or_default(), offered).await
        }
        Mode::Proxy => match target_of(&request) {
            Ok(target) => pass_on(connection, request, target, offered).await,
            Err(Wrong::NotForAProxy) => match connection.origin() {
                Some(origin) => {
                    origin
                        .answer(request.map(|body| body.map_err(std::io::Error::other).boxed_unsync()))
                        .await
                }
                None => text(
                    StatusCode::BAD_REQUEST,
                    "This is the sandbox's way out, a proxy: set http_proxy and https_proxy to it.\n",
                ),
            },
            Err(Wrong::Refused(named, reason)) => connection.refuse(&named, reason),
        },
        Mode::Inside(target) => match host_field(&request) {
            Ok(host) if is_host(&host, target) && request.uri().authority().is_none() => {
                pass_on(connection, request, target.clone(), offered).await
            }
            _ => connection.refuse(&named(target), RefusalReason::OtherHost),
        },
    }
}

/// Why a request to the proxy goes nowhere.
enum Wrong {
    NotForAProxy,
    Refused((String, u16), RefusalReason),
}

fn named(target: &Target) -> (String, u16) {
    (target.host.to_string(), target.port)
}

/// What is told of a text that is no target: the address that it names, or nothing.
fn named_in(authority: &str, default: Option<u16>, reason: RefusalReason) -> (String, u16) {
    match reason {
        RefusalReason::BareAddress => bare_address(authority, default),
        RefusalReason::NotListed
        | RefusalReason::InvalidName
        | RefusalReason::ForbiddenAddress
        | RefusalReason::OtherHost
        | RefusalReason::UnknownProtocol
        | RefusalReason::Malformed
        | RefusalReason::PhaseOver => (String::new(), 0),
    }
}

/// Where a request with a whole URL goes: its URL and its `Host` must say the same.
fn target_of(request: &Request<Incoming>) -> Result<Target, Wrong> {
    let uri = request.uri();
    let (Some(authority), Some(scheme)) = (uri.authority(), uri.scheme_str()) else {
        return Err(Wrong::NotForAProxy);
    };
    let nobody = (String::new(), 0);
    // With encryption the program makes a tunnel; a password in the URL has no meaning here.
    if scheme != "http" || authority.as_str().contains('@') {
        return Err(Wrong::Refused(nobody, RefusalReason::Malformed));
    }
    let target = Target::parse(authority.as_str(), Some(80))
        .map_err(|reason| Wrong::Refused(named_in(authority.as_str(), Some(80), reason), reason))?;
    match host_field(request) {
        Ok(host) if is_host(&host, &target) => Ok(target),
        _ => Err(Wrong::Refused(named(&target), RefusalReason::OtherHost)),
    }
}

/// The one `Host` of a request.
fn host_field(request: &Request<Incoming>) -> Result<String, RefusalReason> {
    let mut fields = request.headers().get_all(HOST).iter();
    match (fields.next(), fields.next()) {
        (Some(host), None) => host.to_str().map(str::to_owned).map_err(|_| RefusalReason::Malformed),
        _ => Err(RefusalReason::Malformed),
    }
}

fn is_host(field: &str, target: &Target) -> bool {
    Target::parse(field, Some(80)).is_ok_and(|host| host == *target)
}

/// Makes a tunnel; what is said in it is listened to before it is carried.
async fn connect(connection: &Arc<Connection>, authority: &str, offered: &Offered) -> Answer {
    let nobody = (String::new(), 0);
    if authority.contains('@') {
        return connection.refuse(&nobody, RefusalReason::Malformed);
    }
    let target = match authority.parse::<Target>() {
        Ok(target) => target,
        Err(reason) => return connection.refuse(&named_in(authority, None, reason), reason),
    };
    let (reached, watch) = match connection.reach(&target, Purpose::Tunnel).await {
        Ok((Reached::Host(stream) | Reached::Proxy(stream, _), watch)) => (stream, watch),
        Err(verdict) => return connection.answer_with(&named(&target), verdict),
    };
    if let Some(upgrade) = offered.take() {
        let connection = Arc::clone(connection);
        tokio::spawn(async move {
            if let Ok(upgraded) = upgrade.await {
                connection.tunnel(TokioIo::new(upgraded), target, reached, watch).await;
            }
        });
    }
    Response::new(empty())
}

/// Passes one request on to its host, and the answer back.
async fn pass_on(
    connection: &Arc<Connection>,
    mut request: Request<Incoming>,
    target: Target,
    offered: &Offered,
) -> Answer {
    if request.method() == Method::CONNECT {
        return connection.refuse(&named(&target), RefusalReason::Malformed);
    }
    let (reached, watch) = match connection.reach(&target, Purpose::Request).await {
        Ok(reached) => reached,
        Err(verdict) => return connection.answer_with(&named(&target), verdict),
    };
    let host = match target.port {
        80 => target.host.to_string(),
        port => format!("{}:{port}", target.host),
    };
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let wants_websocket = is_websocket(request.headers());
    strip(request.headers_mut());
    request.headers_mut().remove(PROXY_AUTHORIZATION);
    let stream = match reached {
        Reached::Host(stream) => {
            set_uri(&mut request, &path);
            stream
        }
        Reached::Proxy(stream, authorization) => {
            set_uri(&mut request, &format!("http://{host}{path}"));
            if let Some(authorization) = authorization {
                request.headers_mut().insert(PROXY_AUTHORIZATION, authorization);
            }
            stream
        }
    };
    if let Ok(host) = HeaderValue::try_from(host) {
        request.headers_mut().insert(HOST, host);
    }
    if wants_websocket {
        request.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
        request.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
    }
    let sent = send(stream, request, watch).await;
    let Ok(mut response) = sent else {
        return text(
            StatusCode::BAD_GATEWAY,
            "nightshift: the host ended the connection without an answer\n",
        );
    };
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let upgraded = hyper::upgrade::on(&mut response);
        let Some(waiting) = wants_websocket.then(|| offered.take()).flatten() else {
            return text(StatusCode::BAD_GATEWAY, "nightshift: the host changed the protocol unasked\n");
        };
        let connection = Arc::clone(connection);
        tokio::spawn(async move {
            if let (Ok(program), Ok(host)) = tokio::join!(waiting, upgraded) {
                connection.carry(TokioIo::new(program), TokioIo::new(host), &target).await;
            }
        });
        return response.map(|_| empty());
    }
    strip(response.headers_mut());
    response.map(|body| body.map_err(std::io::Error::other).boxed_unsync())
}

/// Sends a request on a connection of its own, which lasts as long as its answer and the phase's list allow.
async fn send(
    stream: Box<dyn Stream>,
    request: Request<Incoming>,
    mut watch: PhaseWatch,
) -> Result<Response<Incoming>, hyper::Error> {
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_header_size(LONGEST_HEAD)
        .max_headers(MOST_FIELDS)
        .handshake(TokioIo::new(stream))
        .await?;
    tokio::spawn(async move {
        // Ending it ends the answer's body.
        tokio::select! {
            _ = connection.with_upgrades() => {}
            () = watch.no_longer_allowed() => {}
        }
    });
    sender.send_request(request).await
}

fn set_uri(request: &mut Request<Incoming>, uri: &str) {
    // It was part of a URI that was read before.
    if let Ok(uri) = Uri::try_from(uri) {
        *request.uri_mut() = uri;
    }
}

fn is_websocket(headers: &HeaderMap) -> bool {
    let mut upgrades = headers.get_all(UPGRADE).iter();
    upgrades.next().is_some_and(|upgrade| upgrade.as_bytes().eq_ignore_ascii_case(b"websocket"))
        && upgrades.next().is_none()
}

/// Removes what is about one connection, also what `Connection` names.
fn strip(headers: &mut HeaderMap) {
    let listed: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|field| field.to_str().ok())
        .flat_map(|field| field.split(','))
        .filter_map(|name| name.trim().parse().ok())
        // These frame the message or name its host: they are never only about the connection.
        .filter(|name: &HeaderName| *name != HOST && name.as_str() != "content-length")
        .collect();
    for name in listed {
        headers.remove(name);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

impl Connection {
    fn refuse(&self, named: &(String, u16), reason: RefusalReason) -> Answer {
        let verdict = ConnectionVerdict::Refused { reason };
        self.note_ended(named, verdict);
        self.answer_with(named, verdict)
    }

    /// Tells a program why it is not connected, in words that help whoever reads its error.
    fn answer_with(&self, (host, port): &(String, u16), verdict: ConnectionVerdict) -> Answer {
        let (status, why) = match verdict {
            ConnectionVerdict::Refused { reason } => (StatusCode::FORBIDDEN, said_of_refusal(reason)),
            ConnectionVerdict::Failed { .. } | ConnectionVerdict::Allowed => {
                (StatusCode::BAD_GATEWAY, "the host could not be reached from outside the sandbox")
            }
        };
        let named = if host.is_empty() { "this request".to_owned() } else { format!("{host}:{port}") };
        let mut answer = text(status, &format!("nightshift: {named}: {why}\n"));
        // Of the answer to CONNECT most programs show the first line and nothing else.
        let phrase = format!("{}: {named}: {why}", status.canonical_reason().unwrap_or_default());
        if let Ok(phrase) = ReasonPhrase::try_from(phrase) {
            answer.extensions_mut().insert(phrase);
        }
        answer
    }
}

fn said_of_refusal(reason: RefusalReason) -> &'static str {
    match reason {
        RefusalReason::NotListed => "not on the list of hosts this sandbox may reach now",
        RefusalReason::BareAddress => "hosts are reached by name, not by address",
        RefusalReason::InvalidName => "no host name",
        RefusalReason::ForbiddenAddress => "its address is one that no sandbox may reach",
        RefusalReason::OtherHost => "the request names two different hosts",
        RefusalReason::UnknownProtocol => "only TLS with a server name and HTTP are carried",
        RefusalReason::Malformed => "not understood",
        RefusalReason::PhaseOver => "no longer on the list of hosts this sandbox may reach",
    }
}

fn text(status: StatusCode, text: &str) -> Answer {
    let body =
        Full::new(Bytes::copy_from_slice(text.as_bytes())).map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", HeaderValue::from_static("text/plain"));
    // Whoever was refused is not kept: its place is for others.
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

fn empty() -> Body {
    http_body_util::Empty::new().map_err(|never| match never {}).boxed_unsync()
}
