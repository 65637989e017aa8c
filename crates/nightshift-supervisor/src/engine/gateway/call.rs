//! A call that is carried to the provider: its answer streams to the program, and what it used is told when it is over,
//! whichever way.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::stream;
use http::header::HeaderMap;
use http::{Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use nightshift_egress::OriginBody;
use nightshift_model::{Model, RelayError, RelayRequest, Weight};
use nightshift_protocol::{EngineModelCall, EventBody, Usage};
use tokio::sync::{mpsc, oneshot};

use super::super::link::{Teller, TurnOver, Writing};
use super::shown;

/// Parts of an answer that wait for the program.
const PARTS: usize = 16;

/// What goes back to the program before the answer's parts.
type Head = oneshot::Sender<Result<Response<OriginBody>, NotMade>>;

/// Why a call has no answer.
pub(super) enum NotMade {
    /// The turn ended before it was sent.
    TurnOver,
    /// What the relay says.
    Relay(RelayError),
}

/// A call that is made.
pub(super) struct Call {
    pub(super) provider: String,
    pub(super) model: Arc<dyn Model>,
    pub(super) over: TurnOver,
    pub(super) began: Instant,
    /// Who is told of it; `None` for calls that cost nothing.
    pub(super) paid: Option<Paid>,
}

/// A call that costs something, and whose intention is being written.
pub(super) struct Paid {
    pub(super) turn: u32,
    pub(super) number: u32,
    /// The model, as the request names it.
    pub(super) asked: String,
    pub(super) worst: Usage,
    /// The intention, until it is in the history.
    pub(super) writing: Option<Writing>,
    pub(super) teller: Teller,
}

/// How it ended.
#[derive(Default)]
struct End {
    /// The model, as the answer names it.
    named: Option<String>,
    status: Option<u16>,
    usage: Usage,
}

impl Call {
    /// Makes it, once its intention is in the history. It is cut off when the turn is over, and nothing is sent after that.
    pub(super) async fn make(mut self, request: RelayRequest, weight: Weight, head: Head) {
        if let Some(writing) = self.paid.as_mut().and_then(|paid| paid.writing.take())
            && writing.passed().await.is_err()
        {
            // What nobody wrote down needs no end.
            let _gone = head.send(Err(NotMade::TurnOver));
            return;
        }
        let end = self.carry(&request, &weight, head).await;
        self.note(end).await;
    }

    async fn carry(&mut self, request: &RelayRequest, weight: &Weight, mut head: Head) -> End {
        // Nothing is sent for a turn that is over, nor for a program that has gone away already.
        if self.over.is_over() || head.is_closed() {
            let _gone = head.send(Err(NotMade::TurnOver));
            return End::default();
        }
        let began = Instant::now();
        let sent = tokio::select! {
            sent = self.model.relay(&self.provider, request, weight) => Some(sent),
            () = head.closed() => None,
            () = self.over.passed() => None,
        };
        let mut answer = match sent {
            Some(Ok(answer)) => answer,
            // It may have been answered, and is paid then: nothing less than the worst is counted.
            Some(Err(RelayError::Unanswered)) | None => {
                let _gone = head.send(Err(NotMade::Relay(RelayError::Unanswered)));
                return End { usage: weight.worst, ..End::default() };
            }
            Some(Err(why)) => {
                let _gone = head.send(Err(NotMade::Relay(why)));
                return End::default();
            }
        };
        let (parts, taken) = mpsc::channel::<Result<Bytes, RelayError>>(PARTS);
        let (status, headers) = (answer.status, std::mem::take(&mut answer.headers));
        let _gone = head.send(Ok(response(status, headers, taken)));
        loop {
            let part = tokio::select! {
                part = answer.next() => part,
                // The program has gone away, or has to: nothing more is read, and what was written until now is paid.
                () = parts.closed() => break,
                () = self.over.passed() => break,
            };
            let part = match part {
                Ok(Some(bytes)) => Ok(bytes),
                Ok(None) => break,
                Err(error) => Err(error),
            };
            let is_last = part.is_err();
            let taken = tokio::select! {
                taken = parts.send(part) => taken.is_ok(),
                () = self.over.passed() => false,
            };
            if !taken || is_last {
                break;
            }
        }
        let (usage, named) = answer.counted(began.elapsed());
        End { named, status: Some(status), usage }
    }

    /// Writes down what it used; calls that cost nothing are not told.
    async fn note(self, end: End) {
        let Some(Paid { turn, number, asked, worst, teller, .. }) = self.paid else { return };
        let End { named, status, usage } = end;
        let named = named.unwrap_or_else(|| asked.clone());
        let usage = match self.model.cost(&self.provider, &named, usage) {
            // What was weighed has its price already.
            _ if usage == worst => worst,
            // A name with a date in it, or of another form, may be in no table.
            free if free.cost_microdollars == 0 => self.model.cost(&self.provider, &asked, usage),
            priced => priced,
        };
        let took_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (provider, model) = (self.provider, shown(&named));
        let call = EngineModelCall { number, provider, model, status, refused: None, usage, took_ms };
        let _nobody_writes = teller.write(vec![EventBody::EngineCalledModel { turn, call }]).await;
    }
}

fn response(
    status: u16,
    headers: HeaderMap,
    taken: mpsc::Receiver<Result<Bytes, RelayError>>,
) -> Response<OriginBody> {
    let body = stream::unfold(taken, |mut taken| async move {
        let part = taken.recv().await?;
        Some((part.map(http_body::Frame::data).map_err(std::io::Error::other), taken))
    });
    let mut response = Response::new(StreamBody::new(body).boxed_unsync());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    *response.headers_mut() = headers;
    response
}
