//! Asks the owner over HTTP.

use std::time::Duration;

use futures_util::StreamExt;
use nightshift_protocol::{ErrorCode, Event, Live, Overview, OwnerAddress, RunChanged, UserError};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A line of a stream may not be longer than this: the largest event carries a shortened command output.
const LONGEST_LINE: usize = 16 * 1024 * 1024;

/// A connection to the owner.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    address: OwnerAddress,
}

/// Something that arrived while a run was followed.
#[derive(Debug, Clone, PartialEq)]
pub enum Arrived {
    /// What is recorded.
    Event(Box<Event>),
    /// What passes by.
    Live(Live),
}

/// Something that arrived while everything was followed.
#[derive(Debug, Clone, PartialEq)]
pub enum Changed {
    /// A run is another than before.
    Run(Box<RunChanged>),
    /// The counts are others than before.
    Overview(Overview),
}

impl Client {
    /// Prepares to ask the owner at an address; nothing is sent yet.
    ///
    /// # Errors
    ///
    /// When the HTTP library cannot be set up.
    pub fn new(address: OwnerAddress) -> Result<Self, UserError> {
        // The HTTP library asks for a provider of cryptography even where nothing is encrypted; that one is set
        // already is no error.
        let _already_set = rustls::crypto::ring::default_provider().install_default();
        // The owner is on loopback: a proxy of the environment must not see the token.
        let http = reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(Duration::from_secs(5))
            .build()
            .map_err(|error| unreachable(&error))?;
        Ok(Self { http, address })
    }

    /// Where the owner is.
    pub fn address(&self) -> &OwnerAddress {
        &self.address
    }

    /// Reads `path` below the API.
    ///
    /// # Errors
    ///
    /// What the owner refuses with, or that it does not answer.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, UserError> {
        let response = self.send(self.http.get(self.url(path))).await?;
        response.json().await.map_err(|error| unreachable(&error))
    }

    /// Posts `body` to `path` below the API.
    ///
    /// # Errors
    ///
    /// What the owner refuses with, or that it does not answer.
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, UserError> {
        let response = self.send(self.http.post(self.url(path)).json(body)).await?;
        response.json().await.map_err(|error| unreachable(&error))
    }

    /// Puts `body` in the place of what is at `path` below the API.
    ///
    /// # Errors
    ///
    /// What the owner refuses with, or that it does not answer.
    pub async fn put<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, UserError> {
        let response = self.send(self.http.put(self.url(path)).json(body)).await?;
        response.json().await.map_err(|error| unreachable(&error))
    }

    /// Deletes what is at `path` below the API.
    ///
    /// # Errors
    ///
    /// What the owner refuses with, or that it does not answer.
    pub async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, UserError> {
        let response = self.send(self.http.delete(self.url(path))).await?;
        response.json().await.map_err(|error| unreachable(&error))
    }

    /// Reads `path` below the API as it is.
    ///
    /// # Errors
    ///
    /// What the owner refuses with, or that it does not answer.
    pub async fn bytes(&self, path: &str) -> Result<Vec<u8>, UserError> {
        let response = self.send(self.http.get(self.url(path))).await?;
        Ok(response.bytes().await.map_err(|error| unreachable(&error))?.to_vec())
    }

    /// Asks anything, and reads the answer as it is.
    ///
    /// # Errors
    ///
    /// What the owner refuses with, or that it does not answer.
    pub async fn ask(&self, method: reqwest::Method, path: &str, body: Body) -> Result<Vec<u8>, UserError> {
        let request = self.http.request(method, self.url(path));
        let request = match body {
            Body::None => request,
            Body::Json(value) => request.json(&value),
            Body::Bytes(bytes) => request.header("content-type", "application/octet-stream").body(bytes),
        };
        let response = self.send(request).await?;
        Ok(response.bytes().await.map_err(|error| unreachable(&error))?.to_vec())
    }

    /// Follows a run from `after` on, until `each` says that it has seen enough or the owner ends the stream.
    ///
    /// # Errors
    ///
    /// What the owner refuses with, or that the stream was cut.
    pub async fn follow(
        &self,
        run: &str,
        after: u64,
        each: &mut (dyn FnMut(Arrived) -> Follow + Send),
    ) -> Result<Follow, UserError> {
        self.stream(&format!("/runs/{run}/stream?after={after}"), &mut |sent| {
            Arrived::read(sent).map_or(Follow::More, &mut *each)
        })
        .await
    }

    /// Follows all runs from the position `after` on, until `each` says that it has seen enough or the owner ends the
    /// stream.
    ///
    /// # Errors
    ///
    /// What the owner refuses with, or that the stream was cut.
    pub async fn follow_all(
        &self,
        after: u64,
        each: &mut (dyn FnMut(Changed) -> Follow + Send),
    ) -> Result<Follow, UserError> {
        self.stream(&format!("/stream?after={after}"), &mut |sent| {
            Changed::read(sent).map_or(Follow::More, &mut *each)
        })
        .await
    }

    async fn stream(
        &self,
        path: &str,
        each: &mut (dyn FnMut(&Sent) -> Follow + Send),
    ) -> Result<Follow, UserError> {
        let response = self.send(self.http.get(self.url(path))).await?;
        let mut bytes = response.bytes_stream();
        let mut lines = Lines::default();
        while let Some(chunk) = bytes.next().await {
            let chunk = chunk.map_err(|error| unreachable(&error))?;
            for sent in lines.feed(&chunk)? {
                if each(&sent) == Follow::Enough {
                    return Ok(Follow::Enough);
                }
            }
        }
        Ok(Follow::More)
    }

    fn url(&self, path: &str) -> String {
        format!("{}/api/v1{path}", self.address.url)
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<reqwest::Response, UserError> {
        let response =
            request.bearer_auth(&self.address.token).send().await.map_err(|error| unreachable(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let text = response.text().await.unwrap_or_default();
        Err(serde_json::from_str(&text).unwrap_or_else(|_| {
            UserError::new(ErrorCode::InvalidRequest, format!("the owner answered {status}: {text}"), "")
        }))
    }
}

/// What a request carries.
#[derive(Debug)]
pub enum Body {
    /// Nothing.
    None,
    /// A value, as JSON.
    Json(serde_json::Value),
    /// Bytes as they are.
    Bytes(Vec<u8>),
}

/// Whether to go on following.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follow {
    /// Go on.
    More,
    /// It is enough.
    Enough,
}

fn unreachable(error: &reqwest::Error) -> UserError {
    UserError::new(
        ErrorCode::OwnerUnreachable,
        format!("the owner (nightshift serve) does not answer: {error}"),
        "Runs are safe in its history. Any nightshift command starts it again; its log is owner.log in the data folder.",
    )
}

/// A server-sent event.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Sent {
    name: String,
    data: String,
}

/// Puts server-sent events together from the pieces that arrive.
#[derive(Debug, Default)]
struct Lines {
    rest: Vec<u8>,
    name: String,
}

impl Lines {
    fn feed(&mut self, chunk: &[u8]) -> Result<Vec<Sent>, UserError> {
        self.rest.extend_from_slice(chunk);
        let mut arrived = Vec::new();
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end();
            if let Some(name) = line.strip_prefix("event:") {
                name.trim().clone_into(&mut self.name);
            } else if let Some(data) = line.strip_prefix("data:") {
                arrived.push(Sent { name: self.name.clone(), data: data.trim().to_owned() });
            }
        }
        if self.rest.len() > LONGEST_LINE {
            return Err(UserError::new(
                ErrorCode::Internal,
                "the owner sent a line without an end",
                "Report it.",
            ));
        }
        Ok(arrived)
    }
}

// What a newer owner sends that this version does not know is passed over.

impl Arrived {
    fn read(sent: &Sent) -> Option<Self> {
        match sent.name.as_str() {
            "event" => serde_json::from_str(&sent.data).ok().map(|event| Self::Event(Box::new(event))),
            "live" => serde_json::from_str(&sent.data).ok().map(Self::Live),
            _ => None,
        }
    }
}

impl Changed {
    fn read(sent: &Sent) -> Option<Self> {
        match sent.name.as_str() {
            "run" => serde_json::from_str(&sent.data).ok().map(|run| Self::Run(Box::new(run))),
            "overview" => serde_json::from_str(&sent.data).ok().map(Self::Overview),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use nightshift_protocol::LiveBody;

    use super::*;

    const STREAM: &str = "event: event\nid: 2\ndata: {\"position\":9,\"run\":\"run-0000000000\",\"seq\":2,\
        \"at\":\"1970-01-01T00:00:00Z\",\"type\":\"personSaid\",\"text\":\"hé\"}\n\n: keep-alive\n\n\
        event: live\ndata: {\"run\":\"run-0000000000\",\"type\":\"modelText\",\"text\":\"x\"}\n\nevent: later\ndata: {}\n\n";

    fn arrived(sent: &[Sent]) -> Vec<Arrived> {
        sent.iter().filter_map(Arrived::read).collect()
    }

    #[test]
    fn a_stream_cut_into_any_pieces_reads_the_same() {
        let whole = Lines::default().feed(STREAM.as_bytes()).unwrap();
        assert_eq!(whole.len(), 3);
        let read = arrived(&whole);
        let live = Live {
            run: "run-0000000000".parse().unwrap(),
            body: LiveBody::ModelText { text: "x".to_owned() },
        };
        assert_eq!((read.len(), &read[1]), (2, &Arrived::Live(live)));
        for size in 1..40 {
            let mut lines = Lines::default();
            let pieces: Vec<Sent> =
                STREAM.as_bytes().chunks(size).flat_map(|chunk| lines.feed(chunk).unwrap()).collect();
            assert_eq!(pieces, whole, "pieces of {size} bytes");
        }
    }

    #[test]
    fn counts_are_read_and_what_is_damaged_is_passed_over() {
        let overview = Overview { position: 9, waits_for_you: 2, ..Overview::default() };
        let good = Sent { name: "overview".to_owned(), data: serde_json::to_string(&overview).unwrap() };
        let bad = Sent { name: "run".to_owned(), data: "{\"position\":1}".to_owned() };
        let later = Sent { name: "weather".to_owned(), data: "{}".to_owned() };
        let read: Vec<_> = [good, bad, later].iter().filter_map(Changed::read).collect();
        assert_eq!(read, [Changed::Overview(overview)]);
    }

    #[test]
    fn a_line_without_an_end_is_not_kept_for_ever() {
        let mut lines = Lines::default();
        let chunk = vec![b'x'; 1 << 20];
        let refused = (0..20).find_map(|_| lines.feed(&chunk).err()).unwrap();
        assert_eq!(refused.message, "the owner sent a line without an end");
    }

    #[test]
    fn what_is_no_json_or_of_no_known_kind_is_passed_over() {
        let stream = "event: event\ndata: {\n\nevent: live\ndata: []\n\ndata: {}\n\nevent\n\n";
        assert_eq!(arrived(&Lines::default().feed(stream.as_bytes()).unwrap()), []);
    }
}
