//! A model that answers at once and remembers when: a few lines of HTTP, so that the time it takes itself is small.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// What tells the runs apart: the task's description, which every request carries near its beginning.
const MARK: &[u8] = b"Bench run ";

/// How often it is looked how far the runs are, and how much memory is in use.
const LOOKED_EVERY: Duration = Duration::from_millis(10);

/// How often one that waits is told that the model is there, as providers do. An owner that hears nothing for a while gives the
/// request up and makes it again, and its run would begin before the others.
const PINGED_EVERY: Duration = Duration::from_millis(500);

/// What the model answers.
pub(crate) struct Turn {
    words: String,
    call: Value,
}

impl Turn {
    /// A plan, which changes nothing in the sandbox, with words of so many characters before it. Now and then it runs
    /// a command, as an agent that does something does.
    pub(crate) fn note(turn: usize, characters: usize) -> Self {
        let words = "word ".repeat(characters / 5);
        let call = if Self::runs_a_command(turn) {
            json!({"name": "shell", "input": {"command": format!("echo {turn} > note")}})
        } else {
            json!({"name": "plan", "input": {"steps": [{"title": format!("Step {turn}"), "state": "active"}]}})
        };
        Self { words, call }
    }

    /// A plan, and nothing else.
    pub(crate) fn plan(turn: usize) -> Self {
        let steps = json!([{"title": format!("Step {turn}"), "state": "active"}]);
        Self { words: String::new(), call: json!({"name": "plan", "input": {"steps": steps}}) }
    }

    /// Whether the note of a turn runs a command.
    pub(crate) fn runs_a_command(turn: usize) -> bool {
        turn.is_multiple_of(20)
    }

    /// A click somewhere else, which is answered by a screenshot.
    pub(crate) fn click(turn: usize) -> Self {
        let place = [turn * 37 % 1_200, 50 + turn * 53 % 700];
        let call = json!({"name": "left_click", "toolset_name": "computer", "input": {"coordinate": place}});
        Self { words: String::new(), call }
    }

    /// The answer as a stream of events, put together from texts: what the model takes itself is measured with the owner.
    fn events(&self, turn: usize, tokens: usize) -> String {
        let mut call = self.call.clone();
        let input = Value::String(call["input"].take().to_string());
        call["type"] = json!("tool_use");
        call["id"] = json!(format!("toolu_{turn}"));
        call["input"] = json!({});
        call["caller"] = json!({"type": "direct"});
        let mut stream = String::with_capacity(2_048 + self.words.len());
        let mut event = |kind: &str, fields: std::fmt::Arguments<'_>| {
            // Writing into a text cannot fail.
            let _written = write!(stream, "event: {kind}\ndata: {{\"type\":\"{kind}\",{fields}}}\n\n");
        };
        event(
            "message_start",
            format_args!(
                "\"message\":{{\"id\":\"msg\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-sonnet-5-5\",\
                 \"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{{\"input_tokens\":1,\
                 \"cache_read_input_tokens\":{tokens},\"cache_creation_input_tokens\":0,\"output_tokens\":1}}}}"
            ),
        );
        let mut index = 0;
        if !self.words.is_empty() {
            let words = Value::from(self.words.as_str());
            event(
                "content_block_start",
                format_args!("\"index\":0,\"content_block\":{{\"type\":\"text\",\"text\":\"\"}}"),
            );
            event(
                "content_block_delta",
                format_args!("\"index\":0,\"delta\":{{\"type\":\"text_delta\",\"text\":{words}}}"),
            );
            event("content_block_stop", format_args!("\"index\":0"));
            index = 1;
        }
        event("content_block_start", format_args!("\"index\":{index},\"content_block\":{call}"));
        event(
            "content_block_delta",
            format_args!(
                "\"index\":{index},\"delta\":{{\"type\":\"input_json_delta\",\"partial_json\":{input}}}"
            ),
        );
        event("content_block_stop", format_args!("\"index\":{index}"));
        event(
            "message_delta",
            format_args!(
                "\"delta\":{{\"stop_reason\":\"tool_use\",\"stop_sequence\":null}},\"usage\":{{\"output_tokens\":1}}"
            ),
        );
        stream.push_str("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
        stream
    }
}

/// The server, until it is dropped.
pub(crate) struct InstantModel {
    port: u16,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

struct Shared {
    answer: Box<dyn Fn(usize) -> Turn + Send + Sync>,
    /// So many runs have asked before the first is answered.
    together: usize,
    /// Where the mark stood in the last request.
    place: AtomicUsize,
    runs: Mutex<Vec<Seen>>,
    news: Notify,
    peak_kib: AtomicU64,
}

/// What was seen of a run.
#[derive(Default, Clone)]
struct Seen {
    own: Vec<Duration>,
    sizes: Vec<usize>,
    answered: Option<Instant>,
    /// Whether a request is not answered yet.
    is_open: bool,
    /// How often it was asked again before it was answered.
    asked_again: usize,
}

impl InstantModel {
    /// Starts it. It lets every run wait until `together` of them have asked, so that none is prepared while others
    /// are measured.
    pub(crate) async fn start(
        together: usize,
        answer: impl Fn(usize) -> Turn + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared {
            answer: Box::new(answer),
            together,
            place: AtomicUsize::new(0),
            runs: Mutex::default(),
            news: Notify::new(),
            peak_kib: AtomicU64::new(0),
        });
        let serving = tokio::spawn({
            let shared = Arc::clone(&shared);
            async move {
                while let Ok((socket, _)) = listener.accept().await {
                    // A client that hangs up has heard enough.
                    tokio::spawn({
                        let shared = Arc::clone(&shared);
                        async move { serve(socket, shared).await.unwrap_or(()) }
                    });
                }
            }
        });
        Ok(Self { port, shared, serving })
    }

    pub(crate) fn base_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The description by which the requests of run `number` are known.
    pub(crate) fn description(number: usize) -> String {
        format!("{}{number:03}.", String::from_utf8_lossy(MARK))
    }

    /// Waits until `runs` runs have had `turns` turns each, and meanwhile looks at the memory of this process.
    pub(crate) async fn until(&self, runs: usize, turns: usize) {
        loop {
            let done = self.shared.runs().iter().filter(|seen| seen.own.len() >= turns).count();
            self.shared.peak_kib.fetch_max(resident_kib(), Ordering::Relaxed);
            if done >= runs {
                return;
            }
            // Not with every answer: looking takes as long as a turn may.
            tokio::time::sleep(LOOKED_EVERY).await;
        }
    }

    /// The owner's own times for the turns of a run, from the second on.
    pub(crate) fn own_times(&self, run: usize) -> Vec<Duration> {
        self.shared.runs().get(run).map(|seen| seen.own.clone()).unwrap_or_default()
    }

    /// By how many tokens the transcript of a run grew between two turns; four bytes count as one.
    pub(crate) fn tokens_between(&self, run: usize, from: usize, to: usize) -> usize {
        let runs = self.shared.runs();
        let size = |turn: usize| runs.get(run).and_then(|seen| seen.sizes.get(turn)).copied().unwrap_or(0);
        size(to).saturating_sub(size(from)) / 4
    }

    /// The most memory that was seen in use, in KiB.
    pub(crate) fn peak_kib(&self) -> u64 {
        self.shared.peak_kib.load(Ordering::Relaxed)
    }

    /// How often a run gave a request up and asked again.
    pub(crate) fn asked_again(&self) -> usize {
        self.shared.runs().iter().map(|seen| seen.asked_again).sum()
    }

    pub(crate) fn largest_request(&self) -> usize {
        self.shared.runs().iter().flat_map(|seen| seen.sizes.iter().copied()).max().unwrap_or(0)
    }
}

impl Drop for InstantModel {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Shared {
    fn runs(&self) -> MutexGuard<'_, Vec<Seen>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of a request and returns which turn of which run it asks for.
    fn arrived(&self, at: Instant, body: &[u8]) -> Option<(usize, usize)> {
        // It stands at the same place in every request of runs with the same tools.
        let place = self.place.load(Ordering::Relaxed);
        let is_there = body.get(place..).is_some_and(|rest| rest.starts_with(MARK));
        let place =
            if is_there { place } else { body.windows(MARK.len()).position(|window| window == MARK)? };
        self.place.store(place, Ordering::Relaxed);
        let mark = place + MARK.len();
        let number =
            body.get(mark..mark + 3).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok())?;
        let mut runs = self.runs();
        if runs.len() <= number {
            runs.resize(number + 1, Seen::default());
        }
        let seen = &mut runs[number];
        seen.sizes.push(body.len());
        seen.asked_again += usize::from(seen.is_open);
        seen.is_open = true;
        if let Some(answered) = seen.answered {
            seen.own.push(at - answered);
        }
        Some((number, seen.sizes.len() - 1))
    }

    /// Waits until enough runs have asked.
    async fn gather(&self) {
        loop {
            let news = self.news.notified();
            if self.runs().iter().filter(|seen| !seen.sizes.is_empty()).count() >= self.together {
                self.news.notify_waiters();
                return;
            }
            news.await;
        }
    }

    /// Takes note that a request is being answered: whatever comes now is no second try of it.
    fn answers(&self, run: usize) {
        self.runs()[run].is_open = false;
    }

    fn answered(&self, run: usize) {
        self.runs()[run].answered = Some(Instant::now());
    }
}

async fn serve(socket: TcpStream, shared: Arc<Shared>) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    let mut socket = BufReader::with_capacity(256 * 1024, socket);
    let mut line = String::new();
    loop {
        let (mut is_post, mut length) = (None, 0);
        loop {
            line.clear();
            if socket.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            if line.trim().is_empty() {
                break;
            }
            is_post.get_or_insert(line.starts_with("POST"));
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().map_err(std::io::Error::other)?;
            }
        }
        let mut body = vec![0; length];
        socket.read_exact(&mut body).await?;
        let at = Instant::now();
        let turn = if is_post == Some(true) { shared.arrived(at, &body) } else { None };
        let (kind, text) = match turn {
            Some((_, turn)) => ("text/event-stream", (shared.answer)(turn).events(turn, length / 4)),
            None => ("application/json", model().to_string()),
        };
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\n");
        if let Some((run, 0)) = turn {
            socket.write_all((head + "transfer-encoding: chunked\r\n\r\n").as_bytes()).await?;
            keep_waiting(&mut socket, &shared).await?;
            shared.answers(run);
            socket.write_all((chunk(&text) + &chunk("")).as_bytes()).await?;
        } else {
            if let Some((run, _)) = turn {
                shared.answers(run);
            }
            let length = format!("content-length: {}\r\n\r\n", text.len());
            socket.write_all((head + &length + &text).as_bytes()).await?;
        }
        socket.flush().await?;
        if let Some((run, _)) = turn {
            shared.answered(run);
        }
    }
}

/// Lets a run wait until enough have asked.
async fn keep_waiting(socket: &mut BufReader<TcpStream>, shared: &Shared) -> std::io::Result<()> {
    let gathered = shared.gather();
    tokio::pin!(gathered);
    while tokio::time::timeout(PINGED_EVERY, &mut gathered).await.is_err() {
        socket.write_all(chunk("event: ping\ndata: {\"type\":\"ping\"}\n\n").as_bytes()).await?;
        socket.flush().await?;
    }
    Ok(())
}

/// A piece of a body whose length is not known, of which an empty one is the last (RFC 9112, section 7.1).
fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

/// The memory this process has in use (proc_pid_status(5)).
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

fn model() -> Value {
    json!({"type": "model", "id": "claude-sonnet-5-5", "display_name": "instant", "lifecycle": "active",
        "created_at": "2026-09-28T00:00:00Z", "max_input_tokens": 1_000_000, "max_tokens": 128_000,
        "capabilities": {"image_input": {"supported": true}}})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared() -> Shared {
        let answer = Box::new(|turn| Turn::note(turn, 0));
        Shared {
            answer,
            together: 1,
            place: AtomicUsize::new(0),
            runs: Mutex::default(),
            news: Notify::new(),
            peak_kib: AtomicU64::new(0),
        }
    }

    #[test]
    fn an_answer_is_a_stream_that_a_client_of_the_provider_reads() {
        let stream = Turn::note(0, 10).events(0, 7);
        let kinds: Vec<&str> = stream.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
        assert_eq!((kinds[0], kinds[kinds.len() - 1]), ("message_start", "message_stop"));
        assert!(stream.contains("word word ") && stream.contains("echo 0 > note"), "{stream}");
        for data in stream.lines().filter_map(|line| line.strip_prefix("data: ")) {
            assert!(serde_json::from_str::<Value>(data).is_ok(), "{data}");
        }
    }

    #[test]
    fn clicks_stay_on_the_screen() {
        for turn in 0..2_000 {
            let place = &Turn::click(turn).call["input"]["coordinate"];
            let at = |axis: usize| place[axis].as_u64().unwrap();
            assert!(at(0) < 1_280 && at(1) < 800, "{place}");
        }
    }

    #[test]
    fn requests_are_told_apart_by_their_run_and_numbered() {
        let shared = shared();
        let (second, first) = (InstantModel::description(1), InstantModel::description(0));
        let arrived = |body: &str| shared.arrived(Instant::now(), body.as_bytes());
        assert_eq!(arrived(&format!("… {second} …")), Some((1, 0)));
        assert_eq!(arrived(&first), Some((0, 0)));
        assert_eq!(arrived(&second), Some((1, 1)));
        for odd in ["", "Bench run", "Bench run 1", "Bench run abc", "another task"] {
            assert_eq!(arrived(odd), None, "{odd}");
        }
    }

    #[test]
    fn the_owner_s_own_time_is_from_an_answer_to_the_next_request() {
        let shared = shared();
        let body = InstantModel::description(0);
        shared.arrived(Instant::now(), body.as_bytes());
        assert_eq!(shared.runs()[0].own.len(), 0, "before the first answer there is none");
        shared.answers(0);
        shared.answered(0);
        shared.arrived(Instant::now(), body.as_bytes());
        assert_eq!(shared.runs()[0].own.len(), 1);
        assert_eq!(shared.runs()[0].asked_again, 0);
        shared.arrived(Instant::now(), body.as_bytes());
        assert_eq!(shared.runs()[0].asked_again, 1, "it was not answered before");
        assert_eq!(shared.runs()[0].sizes, [body.len(); 3]);
    }

    #[test]
    fn this_process_has_memory_in_use() {
        assert!(resident_kib() > 100);
    }
}
