//! A person's shell in a sandbox: what is typed and printed, its size, and coming back to it.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use nightshift_protocol::{ErrorCode, RunId, TerminalMessage, TerminalRequest};
use reqwest::Method;
use suite::WITHIN;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::served::{Served, TOKEN};
use crate::{Socket, waiting};

/// A person's terminal: what it shows, as text.
struct Terminal {
    socket: Socket,
    shown: String,
}

impl Terminal {
    async fn open(served: &Served, run: &RunId, query: &str) -> Self {
        let url = format!("{}/api/v1/runs/{run}/terminal{query}", served.url.replace("http", "ws"));
        let mut request = url.into_client_request().unwrap();
        let bearer = format!("Bearer {TOKEN}").parse().unwrap();
        request.headers_mut().insert("authorization", bearer);
        let (socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
        Self { socket, shown: String::new() }
    }

    /// The next thing that is said; output is added to what is shown.
    async fn said(&mut self) -> TerminalMessage {
        loop {
            match self.arrived().await {
                Some(message) => return message,
                None => continue,
            }
        }
    }

    async fn arrived(&mut self) -> Option<TerminalMessage> {
        match tokio::time::timeout(WITHIN, self.socket.next()).await.unwrap().unwrap().unwrap() {
            Message::Binary(bytes) => self.shown += &String::from_utf8_lossy(&bytes),
            Message::Text(text) => return Some(serde_json::from_str(&text).unwrap()),
            _ => {}
        }
        None
    }

    async fn until_shown(&mut self, text: &str) {
        while !self.shown.contains(text) {
            if let Some(message) = self.arrived().await {
                panic!("{message:?} before {text:?}: {}", self.shown);
            }
        }
    }

    async fn types(&mut self, text: &str) {
        self.socket.send(Message::binary(text.as_bytes().to_vec())).await.unwrap();
    }

    async fn ends(&mut self) {
        let end = serde_json::to_string(&TerminalRequest::End).unwrap();
        self.socket.send(Message::text(end)).await.unwrap();
    }

    async fn session(&mut self) -> String {
        match self.said().await {
            TerminalMessage::Open { session } => session,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_typed_runs_on_a_terminal_of_the_size_that_was_said_and_ends_with_its_status() {
    let (served, run) = waiting().await;
    let mut terminal = Terminal::open(&served, &run, "?columns=101&rows=33").await;
    terminal.session().await;
    terminal.types("tty >/dev/null && echo on-a-$((1+1))-terminal; stty size\n").await;
    terminal.until_shown("on-a-2-terminal").await;
    terminal.until_shown("33 101").await;

    let resize = TerminalRequest::Resize { columns: 55, rows: 21 };
    terminal.socket.send(Message::text(serde_json::to_string(&resize).unwrap())).await.unwrap();
    // The size is set beside the shell; it is asked for until it is there.
    for _ in 0..50 {
        terminal.types("stty size\n").await;
        let looked = terminal.until_shown("21 55");
        if tokio::time::timeout(Duration::from_millis(400), looked).await.is_ok() {
            break;
        }
    }
    assert!(terminal.shown.contains("21 55"), "{}", terminal.shown);
    terminal.types("exit 7\n").await;
    assert_eq!(terminal.said().await, TerminalMessage::Ended { code: Some(7) });
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_cut_off_comes_back_to_the_same_shell_and_what_it_showed() {
    let (served, run) = waiting().await;
    let mut first = Terminal::open(&served, &run, "").await;
    let session = first.session().await;
    first.types("kept=here; echo before-$kept\n").await;
    first.until_shown("before-here").await;
    drop(first);

    let mut again = Terminal::open(&served, &run, &format!("?session={session}")).await;
    assert_eq!(again.session().await, session);
    again.until_shown("before-here").await;
    again.types("echo after-$kept\n").await;
    again.until_shown("after-here").await;
    let mut other = Terminal::open(&served, &run, "").await;
    assert_ne!(other.session().await, session);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_without_a_terminal_prints_only_what_its_commands_print_and_ends_where_its_input_ends() {
    let (served, run) = waiting().await;
    let mut shell = Terminal::open(&served, &run, "?plain=true").await;
    shell.session().await;
    shell
        .types(
            "echo one; if [ -t 0 ] || [ -t 1 ]; then echo tty; fi\necho two >&2\nread -r line\nthe input\n",
        )
        .await;
    shell.types("echo \"read: $line\"\n(exit 3)\n").await;
    shell.ends().await;
    assert_eq!(shell.said().await, TerminalMessage::Ended { code: Some(3) });
    assert_eq!(shell.shown, "one\ntwo\nread: the input\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_out_of_what_a_shell_without_a_terminal_prints() {
    let (served, run) = waiting().await;
    let mut shell = Terminal::open(&served, &run, "?plain=true").await;
    shell.session().await;
    shell.types("seq 1 1500000\n").await;
    shell.ends().await;
    // Longer than what any buffer on the way holds.
    tokio::time::sleep(Duration::from_millis(800)).await;
    assert_eq!(shell.said().await, TerminalMessage::Ended { code: Some(0) });
    let counted = shell.shown.lines().zip(1..).filter(|(line, number)| *line == number.to_string()).count();
    assert_eq!((counted, shell.shown.lines().count()), (1_500_000, 1_500_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_without_a_terminal_ends_with_its_connection() {
    let (served, run) = waiting().await;
    let mut shell = Terminal::open(&served, &run, "?plain=true").await;
    shell.session().await;
    shell.types("echo \"<$$>\"; exec sleep 600\n").await;
    shell.until_shown(">").await;
    let process = shell.shown.trim().trim_matches(['<', '>']).to_owned();
    let runs = || std::path::Path::new("/proc").join(&process).exists();
    assert!(!process.is_empty() && runs());
    drop(shell);
    let gone = async {
        while runs() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(WITHIN, gone).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_has_at_most_eight_shells_of_both_kinds() {
    let (served, run) = waiting().await;
    let mut open = Vec::new();
    for number in 0..8 {
        let query = if number % 2 == 0 { "?plain=true" } else { "" };
        let mut shell = Terminal::open(&served, &run, query).await;
        shell.session().await;
        open.push(shell);
    }
    for query in ["", "?plain=true"] {
        let mut more = Terminal::open(&served, &run, query).await;
        let TerminalMessage::Refused { error } = more.said().await else { panic!("not refused") };
        assert_eq!(error.message, "8 shells of this run are open");
    }
    open[0].types("exit\n").await;
    assert_eq!(open[0].said().await, TerminalMessage::Ended { code: Some(0) });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_where_there_is_no_sandbox_and_a_bad_session_are_refused_with_the_reason() {
    let (served, run) = waiting().await;
    let mut bad = Terminal::open(&served, &run, "?session=..%2Fx").await;
    let TerminalMessage::Refused { error } = bad.said().await else { panic!("not refused") };
    assert_eq!(error.code, ErrorCode::InvalidRequest);

    let (_, code) = served.refused(Method::GET, "/api/v1/runs/run-none/terminal", None).await;
    assert_eq!(code, ErrorCode::NotFound);
    served.ask(Method::POST, &format!("/api/v1/runs/{run}/cancel"), Some("{}")).await;
    served.night.until_state(&run, "the end", |state| state.is_final()).await;
    let mut ended = Terminal::open(&served, &run, "").await;
    let TerminalMessage::Refused { error } = ended.said().await else { panic!("not refused") };
    assert_eq!(error.code, ErrorCode::Conflict);
}
