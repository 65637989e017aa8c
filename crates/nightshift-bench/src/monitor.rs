//! QEMU's monitor, for what the driver has no use for.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use crate::bench::BenchError;

/// The socket's name in a machine's folder.
pub(crate) const SOCKET: &str = "monitor.sock";

/// A connection to QEMU's monitor, for a few commands one after the other.
pub(crate) struct Monitor {
    stream: BufReader<tokio::net::UnixStream>,
}

impl Monitor {
    /// Connects to the QEMU whose machine has its folder at `folder`. The driver's handle must be gone.
    pub(crate) async fn connect(folder: &Path) -> Result<Self, BenchError> {
        let folder = File::open(folder).map_err(BenchError::io("opening the machine's folder"))?;
        let stream = UnixStream::connect(format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd()))
            .and_then(|stream| {
                stream.set_nonblocking(true)?;
                tokio::net::UnixStream::from_std(stream)
            })
            .map_err(BenchError::io("connecting to QEMU's monitor"))?;
        let mut monitor = Self { stream: BufReader::new(stream) };
        monitor.ask("qmp_capabilities", json!({})).await?;
        Ok(monitor)
    }

    /// Does a command and returns its answer.
    pub(crate) async fn ask(&mut self, command: &str, arguments: Value) -> Result<Value, BenchError> {
        let line = format!("{}\n", json!({ "execute": command, "arguments": arguments }));
        self.stream
            .write_all(line.as_bytes())
            .await
            .map_err(BenchError::during(format!("asking QEMU to {command}")))?;
        loop {
            let mut line = String::new();
            let count =
                self.stream.read_line(&mut line).await.map_err(BenchError::io("reading QEMU's answer"))?;
            if count == 0 {
                return Err(BenchError::Unexpected(format!("QEMU ended instead of answering to {command}")));
            }
            let mut answer: Value =
                serde_json::from_str(&line).map_err(BenchError::during("reading QEMU's answer"))?;
            if let Some(refusal) = answer.get("error") {
                return Err(BenchError::Unexpected(format!("QEMU refused to {command}: {refusal}")));
            }
            // Its greeting and its events are none.
            if let Some(value) = answer.get_mut("return") {
                return Ok(value.take());
            }
        }
    }

    /// Returns when QEMU has closed the connection.
    pub(crate) async fn ended(mut self) -> Result<(), BenchError> {
        let mut rest = Vec::new();
        match tokio::io::AsyncReadExt::read_to_end(&mut self.stream, &mut rest).await {
            // It ended with something of ours unread.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Ok(()),
            result => result.map(drop).map_err(BenchError::io("waiting for QEMU's end")),
        }
    }
}
