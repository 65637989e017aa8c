//! Requests to the sandbox's own tools, taken in from whatever is in the sandbox.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use nightshift_egress::OriginBody;
use nightshift_protocol::json_values;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Requests of one agent that are kept at once; more wait outside.
const AT_ONCE: usize = 16;

/// The longest request in bytes.
const LONGEST: usize = 4 * 1024 * 1024;

/// Values that a request may hold: each costs a hundred times the byte or two that it is written in.
const MOST_VALUES: usize = 20_000;

/// How long a request may take to come whole.
const WHOLE_WITHIN: Duration = Duration::from_secs(120);

/// Takes requests in: only so many at once, and none that holds more than any agent's does.
#[derive(Debug)]
pub(super) struct Intake(Arc<Semaphore>);

impl Default for Intake {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

/// A request that was taken in, and its place: that is kept as long as anything of the request is.
pub(super) type Taken = (Request<Full<Bytes>>, OwnedSemaphorePermit);

impl Intake {
    /// Waits for a place and reads a request whole, or says with which status it is refused.
    pub(super) async fn take(&self, request: Request<OriginBody>) -> Result<Taken, StatusCode> {
        // A place comes first: no more bodies are kept than there are places.
        let place = Arc::clone(&self.0).acquire_owned().await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
        let (head, body) = request.into_parts();
        let whole = tokio::time::timeout(WHOLE_WITHIN, Limited::new(body, LONGEST).collect()).await;
        let whole = whole.map_err(|_| StatusCode::REQUEST_TIMEOUT)?;
        let body = whole.map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)?.to_bytes();
        if json_values(&body) > MOST_VALUES {
            return Err(StatusCode::PAYLOAD_TOO_LARGE);
        }
        Ok((Request::from_parts(head, Full::new(body)), place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(body: String) -> Request<OriginBody> {
        Request::new(Full::new(Bytes::from(body)).map_err(|never| match never {}).boxed_unsync())
    }

    #[tokio::test]
    async fn a_request_that_holds_very_much_is_refused_before_it_is_taken_apart() {
        let intake = Intake::default();
        for body in [format!("[{}0]", "{},".repeat(MOST_VALUES)), " ".repeat(LONGEST + 1)] {
            assert_eq!(intake.take(request(body)).await.err(), Some(StatusCode::PAYLOAD_TOO_LARGE));
        }
        let (taken, _place) = intake.take(request("{}".to_owned())).await.unwrap();
        assert_eq!(taken.into_body().collect().await.unwrap().to_bytes(), "{}");
    }

    #[tokio::test(start_paused = true)]
    async fn more_requests_than_there_are_places_wait_until_one_is_done_with() {
        let intake = Intake::default();
        let mut places = Vec::new();
        for _ in 0..AT_ONCE {
            places.push(intake.take(request("{}".to_owned())).await.unwrap().1);
        }
        let more = || tokio::time::timeout(WHOLE_WITHIN, intake.take(request("{}".to_owned())));
        assert!(more().await.is_err());
        places.pop();
        assert!(more().await.is_ok());
    }
}
