//! A Chromium without a window, and a site for it.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nightshift_browser::{Browser, Connecting, Loaded, Reference, Stream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// How long Chromium may take to start, and a page to answer, on a busy machine.
const SOON: Duration = Duration::from_secs(60);

/// A running Chromium; it ends with the value.
pub(crate) struct Chromium {
    process: Child,
    address: SocketAddr,
    _profile: tempfile::TempDir,
}

impl Chromium {
    pub(crate) async fn start() -> Self {
        let profile = tempfile::tempdir().unwrap();
        // Its own sandbox needs what a container may not have; the pages are this test's.
        let process = Command::new("chromium")
            .args([
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--no-first-run",
            ])
            .args(["--disable-background-networking", "--disable-component-update", "--window-size=1000,700"])
            .arg("--remote-debugging-port=0")
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // It writes its port there, <https://chromium.googlesource.com/chromium/src>, `DevToolsActivePort`.
        let (file, began) = (profile.path().join("DevToolsActivePort"), Instant::now());
        let port: u16 = loop {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            if let Some(port) = text.lines().next().and_then(|line| line.parse().ok()) {
                break port;
            }
            assert!(began.elapsed() < SOON, "Chromium did not start");
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        Self { process, address: SocketAddr::from(([127, 0, 0, 1], port)), _profile: profile }
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// A way to a port, and how long an answer is waited for.
pub(crate) struct Port(pub(crate) SocketAddr, pub(crate) Duration);

impl Port {
    pub(crate) fn of(chromium: &Chromium) -> Self {
        Self(chromium.address, SOON)
    }

    /// Does something with the browser that is there.
    pub(crate) async fn with<T>(&self, act: impl AsyncFnOnce(Browser<'_>) -> T) -> T {
        let connect = || -> Connecting<'_> {
            Box::pin(async { Ok(Box::new(TcpStream::connect(self.0).await?) as Box<dyn Stream>) })
        };
        act(Browser::new(&connect, self.1)).await
    }
}

/// Serves pages by their paths; another path is not found.
pub(crate) async fn site(pages: &[(&str, &str)]) -> String {
    let pages: HashMap<String, String> =
        pages.iter().map(|(path, page)| ((*path).to_owned(), (*page).to_owned())).collect();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 8_192];
            // Chromium also opens connections ahead of need and closes them.
            let length = stream.read(&mut request).await.unwrap_or(0);
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            let path = request.split(' ').nth(1).unwrap_or("/");
            let (status, body) = match pages.get(path) {
                Some(page) => ("200 OK", page.as_str()),
                None => ("404 Not Found", ""),
            };
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            let _gone = stream.write_all((head + body).as_bytes()).await;
        }
    });
    format!("http://{address}")
}

/// The reference of the line of an outline that contains `words`.
pub(crate) fn reference(loaded: &Loaded, words: &str) -> Reference {
    let line =
        loaded.outline.text.lines().find(|line| line.trim_start().starts_with('[') && line.contains(words));
    let line = line.unwrap_or_else(|| panic!("no {words} in\n{}", loaded.outline.text));
    line.trim().split_once(' ').unwrap().0.parse().unwrap_or_else(|error| panic!("{error} in {line}"))
}

/// An outline with every reference as `[*]`, which differ from run to run.
pub(crate) fn without_references(text: &str) -> String {
    let lines = text.lines().map(|line| match line.split_once("] ") {
        Some((reference, rest)) => format!("{}[*] {rest}", reference.split_once('[').unwrap().0),
        None => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Problems without the port of the site.
pub(crate) fn told(problems: &[nightshift_browser::Problem], site: &str) -> Vec<String> {
    problems.iter().map(|problem| problem.to_string().replace(site, "site")).collect()
}
