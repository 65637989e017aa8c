//! An owner of its own, as a person would start it, and what the kernel says of its process.

use std::ffi::OsString;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nightshift_protocol::{OwnerAddress, RunId, RunState, RunSummary, SubmitReply};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::bench::BenchError;

/// How long it may take until it listens: an owner that derives the runs of a long history anew needs minutes.
const START_WITHIN: Duration = Duration::from_secs(900);

/// How often it is looked whether it listens.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Clock ticks of a second in proc_pid_stat(5): `USER_HZ`, which is 100 on every Linux of x86-64.
const TICKS: f64 = 100.0;

/// An open WebSocket of the owner's.
pub(crate) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A running owner. Dropped, it is killed.
pub(crate) struct Owner {
    process: Child,
    address: OwnerAddress,
    http: reqwest::Client,
}

impl Owner {
    /// Starts the program beside this one with that home and with further variables.
    pub(crate) async fn start(home: &Path, variables: &[(&str, OsString)]) -> Result<Self, BenchError> {
        let program = std::env::current_exe().map_err(BenchError::io("finding this program"))?;
        let file = home.join("data/owner.json");
        let _left_by_a_crash = std::fs::remove_file(&file);
        let mut process = Command::new(program.with_file_name("nightshift"))
            .args(["serve", "--port", "0"])
            .env("NIGHTSHIFT_HOME", home)
            .env("NIGHTSHIFT_LOG", "warn")
            .envs(variables.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(BenchError::io("starting the owner"))?;
        // That one is set already is no error.
        let _already_set = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().build();
        let http = http.map_err(BenchError::during("making a client"))?;
        let deadline = tokio::time::Instant::now() + START_WITHIN;
        loop {
            if let Some(address) = address(&file) {
                return Ok(Self { process, address, http });
            }
            let ended = process.try_wait().map_err(BenchError::io("waiting for the owner"))?;
            if let Some(status) = ended {
                return Err(BenchError::Unexpected(format!("the owner ended: {status}")));
            }
            if tokio::time::Instant::now() > deadline {
                return Err(BenchError::Unexpected("the owner does not listen".to_owned()));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Asks for something and reads the answer whole.
    pub(crate) async fn get(&self, path: &str) -> Result<Vec<u8>, BenchError> {
        self.ask(path, reqwest::Method::GET, None).await
    }

    /// Sends something and reads the answer whole.
    pub(crate) async fn post(&self, path: &str, body: &impl serde::Serialize) -> Result<Vec<u8>, BenchError> {
        let body = serde_json::to_value(body).map_err(BenchError::during("writing a request"))?;
        self.ask(path, reqwest::Method::POST, Some(body)).await
    }

    /// Takes something back.
    pub(crate) async fn delete(&self, path: &str) -> Result<(), BenchError> {
        self.ask(path, reqwest::Method::DELETE, None).await.map(drop)
    }

    /// Gives it a task.
    pub(crate) async fn submit(&self, description: &str, repository: &Path) -> Result<RunId, BenchError> {
        let task = json!({ "description": description, "repository": repository.to_string_lossy() });
        let answer = self.post("/tasks", &task).await?;
        let reply: SubmitReply =
            serde_json::from_slice(&answer).map_err(BenchError::during("reading the run"))?;
        Ok(reply.run)
    }

    /// Waits until the run is as wanted; one that failed never will be.
    pub(crate) async fn until(
        &self,
        run: &RunId,
        within: Duration,
        wanted: impl Fn(&RunSummary) -> bool,
    ) -> Result<RunSummary, BenchError> {
        #[derive(serde::Deserialize)]
        struct Detail {
            summary: RunSummary,
        }
        let deadline = tokio::time::Instant::now() + within;
        loop {
            let answer = self.get(&format!("/runs/{run}")).await?;
            let detail: Detail =
                serde_json::from_slice(&answer).map_err(BenchError::during("reading the run's state"))?;
            if wanted(&detail.summary) {
                return Ok(detail.summary);
            }
            if let RunState::Failed { reason, .. } = &detail.summary.state {
                return Err(BenchError::Unexpected(format!("the run failed: {reason:?}")));
            }
            if tokio::time::Instant::now() > deadline {
                return Err(BenchError::Unexpected("the run is not where it should be".to_owned()));
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Opens a WebSocket.
    pub(crate) async fn open(&self, path: &str) -> Result<Socket, BenchError> {
        let opening = || BenchError::during(format!("opening {path}"));
        let url = format!("{}/api/v1{path}", self.address.url.replacen("http", "ws", 1));
        let mut request = url.into_client_request().map_err(opening())?;
        let token = format!("Bearer {}", self.address.token).parse();
        request
            .headers_mut()
            .insert("authorization", token.map_err(BenchError::during("writing the token"))?);
        let (socket, _) = tokio_tungstenite::connect_async(request).await.map_err(opening())?;
        Ok(socket)
    }

    /// The address that lets one browser in.
    pub(crate) async fn window(&self) -> Result<String, BenchError> {
        #[derive(serde::Deserialize)]
        struct Opened {
            url: String,
        }
        let answer = self.ask("/session/tickets", reqwest::Method::POST, None).await?;
        let opened: Opened =
            serde_json::from_slice(&answer).map_err(BenchError::during("reading the window's address"))?;
        Ok(opened.url)
    }

    /// Its memory at this moment.
    pub(crate) fn resident_mb(&self) -> Result<f64, BenchError> {
        resident_mb(&self.proc("status")?)
            .ok_or_else(|| BenchError::Unexpected("the kernel tells no VmRSS".to_owned()))
    }

    /// The processor time it has used.
    pub(crate) fn processor_seconds(&self) -> Result<f64, BenchError> {
        processor_seconds(&self.proc("stat")?).ok_or_else(|| {
            BenchError::Unexpected("the kernel's line of the process makes no sense".to_owned())
        })
    }

    /// Ends it as a person would.
    pub(crate) async fn end(mut self) -> Result<(), BenchError> {
        let pid = self.process.id().and_then(|id| i32::try_from(id).ok());
        if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) {
            let _already_gone = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let ended = tokio::time::timeout(Duration::from_secs(10), self.process.wait()).await;
        ended.map(|_| ()).map_err(BenchError::during("ending the owner"))
    }

    async fn ask(
        &self,
        path: &str,
        method: reqwest::Method,
        body: Option<serde_json::Value>,
    ) -> Result<Vec<u8>, BenchError> {
        let asking = || BenchError::during(format!("asking for {path}"));
        let mut request = self.http.request(method, format!("{}/api/v1{path}", self.address.url));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.bearer_auth(&self.address.token).send().await.map_err(asking())?;
        let answer = answer.error_for_status().map_err(asking())?;
        Ok(answer.bytes().await.map_err(asking())?.to_vec())
    }

    fn proc(&self, file: &str) -> Result<String, BenchError> {
        let id = self.process.id().ok_or_else(|| BenchError::Unexpected("the owner ended".to_owned()))?;
        std::fs::read_to_string(format!("/proc/{id}/{file}")).map_err(BenchError::io("looking at the owner"))
    }
}

fn address(file: &Path) -> Option<OwnerAddress> {
    serde_json::from_slice(&std::fs::read(file).ok()?).ok()
}

/// `VmRSS` of proc_pid_status(5), in MiB.
fn resident_mb(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<f64>().ok()? / 1024.0)
}

/// Fields 14 and 15 of proc_pid_stat(5): in user mode and in the kernel. The name, in brackets, may hold anything.
fn processor_seconds(stat: &str) -> Option<f64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / TICKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read_in_mebibytes() {
        assert_eq!(resident_mb("Name:\tx\nVmHWM:\t  9999 kB\nVmRSS:\t   20480 kB\n"), Some(20.0));
        assert_eq!(resident_mb("Name:\tx\n"), None);
    }

    #[test]
    fn processor_time_is_that_of_user_mode_and_kernel_whatever_the_program_is_called() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 1 2 3 4 150 50 9 9 20 0 1 0 1 1 1";
        assert_eq!(processor_seconds(stat), Some(2.0));
        assert_eq!(processor_seconds("7 (a) S 1"), None);
    }

    #[test]
    fn an_address_that_is_half_written_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("owner.json");
        assert_eq!(address(&file), None);
        std::fs::write(&file, "{\"pid\":1").unwrap();
        assert_eq!(address(&file), None);
        std::fs::write(&file, r#"{"pid":1,"url":"http://127.0.0.1:1","token":"t","version":"0"}"#).unwrap();
        assert_eq!(address(&file).map(|address| address.pid), Some(1));
    }

    #[tokio::test]
    async fn an_owner_whose_program_is_missing_is_an_error_that_says_so() {
        let folder = tempfile::tempdir().unwrap();
        // Tests run in a folder of their own, where there is no such program beside them.
        let error = Owner::start(folder.path(), &[]).await.err().map(|error| error.whole());
        assert!(error.is_some_and(|text| text.starts_with("starting the owner: ")));
    }
}
