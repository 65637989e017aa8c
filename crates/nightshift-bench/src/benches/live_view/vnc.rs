//! noVNC's way to the same screen.
//!
//! ```text
//!   guest ─▶ QEMU ─ VNC, Unix socket ─▶ Bridge ─ WebSocket ─▶ noVNC's canvas
//! ```
//!
//! A task's machine serves no VNC. The bench's owner finds a program of QEMU's name first, which adds the server to the
//! command line of machines that take up a saved state; displays are no part of that state, so the template is the one
//! that tasks use. The server may compress with loss, as our own stream does while much moves.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;

use crate::bench::BenchError;

/// The server's socket, in the machine's folder, in which QEMU works.
const SOCKET: &str = "vnc.sock";

/// What is read from the server at once: a whole screen of raw pixels is 4 MB.
const PIECE: usize = 256 * 1024;

/// Makes the program of QEMU's name below `home`, and returns the `PATH` in which it is found before those in `path`.
pub(super) fn path_to_qemu_that_serves_vnc(
    home: &Path,
    qemu: &Path,
    path: &OsStr,
) -> Result<OsString, BenchError> {
    let folder = home.join("bin");
    let program = folder.join("qemu-system-x86_64");
    let made = std::fs::create_dir_all(&folder)
        .and_then(|()| std::fs::write(&program, script(qemu)))
        .and_then(|()| std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)));
    made.map_err(BenchError::io("making a QEMU that serves VNC"))?;
    let folders = std::iter::once(folder).chain(std::env::split_paths(path));
    std::env::join_paths(folders).map_err(BenchError::during("writing PATH"))
}

fn script(qemu: &Path) -> String {
    let qemu = format!("'{}'", qemu.display().to_string().replace('\'', r"'\''"));
    format!(
        "#!/bin/sh\nfor argument; do\n    [ \"$argument\" != -incoming ] || exec {qemu} \"$@\" -vnc unix:{SOCKET},lossy=on\ndone\nexec {qemu} \"$@\"\n"
    )
}

/// Carries VNC over WebSockets, as long as it is there. Each browser that connects has a connection of its own.
pub(super) struct Bridge {
    address: SocketAddr,
    /// Aborted with the bridge.
    _serving: JoinSet<()>,
}

impl Bridge {
    /// Serves the machine that has its folder at `folder`.
    pub(super) async fn open(folder: &Path) -> Result<Self, BenchError> {
        let folder = Arc::new(File::open(folder).map_err(BenchError::io("opening the machine's folder"))?);
        let opening = || BenchError::io("opening the bridge to VNC");
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(opening())?;
        let address = listener.local_addr().map_err(opening())?;
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut browsers = JoinSet::new();
            while let Ok((browser, _)) = listener.accept().await {
                let folder = Arc::clone(&folder);
                browsers.spawn(async move {
                    if let Err(error) = carry(browser, &folder).await {
                        tracing::warn!(error = error.whole(), "a connection to VNC ended");
                    }
                });
            }
        });
        Ok(Self { address, _serving: serving })
    }

    /// Where a browser finds it.
    pub(super) fn url(&self) -> String {
        format!("ws://{}", self.address)
    }
}

/// Carries bytes both ways until one end has none left.
async fn carry(browser: TcpStream, folder: &File) -> Result<(), BenchError> {
    browser.set_nodelay(true).map_err(BenchError::io("opening the bridge to VNC"))?;
    // A socket's path may have at most 107 bytes.
    let server = UnixStream::connect(format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd()));
    let server = server.await.map_err(BenchError::io("connecting to QEMU's VNC server"))?;
    let browser = tokio_tungstenite::accept_async(browser).await;
    let (mut to_browser, mut from_browser) =
        browser.map_err(BenchError::during("opening the bridge's WebSocket"))?.split();
    let (mut from_server, mut to_server) = server.into_split();
    let down = async {
        let mut piece = vec![0; PIECE];
        loop {
            let length = from_server
                .read(&mut piece)
                .await
                .map_err(BenchError::io("reading from QEMU's VNC server"))?;
            if length == 0 {
                return Ok(());
            }
            let message = Message::binary(piece[..length].to_vec());
            to_browser.send(message).await.map_err(BenchError::during("sending pictures to noVNC"))?;
        }
    };
    let up = async {
        while let Some(message) = from_browser.next().await {
            match message.map_err(BenchError::during("reading what noVNC says"))? {
                Message::Binary(bytes) => to_server
                    .write_all(&bytes)
                    .await
                    .map_err(BenchError::io("writing to QEMU's VNC server"))?,
                Message::Close(_) => break,
                Message::Text(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
        Ok(())
    };
    tokio::select! {
        ended = down => ended,
        ended = up => ended,
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use tokio::net::UnixListener;

    use super::*;

    /// What a QEMU at that path is started with.
    fn started(below: &str, arguments: &[&str]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().join(below);
        std::fs::create_dir_all(real.parent().unwrap()).unwrap();
        std::fs::write(&real, "#!/bin/sh\necho \"$$ $*\"\n").unwrap();
        std::fs::set_permissions(&real, PermissionsExt::from_mode(0o755)).unwrap();
        let path = path_to_qemu_that_serves_vnc(folder.path(), &real, OsStr::new("/usr/bin:/bin")).unwrap();
        let folders: Vec<_> = std::env::split_paths(&path).collect();
        assert_eq!(folders[1..], [Path::new("/usr/bin"), Path::new("/bin")]);
        let child = Command::new(folders[0].join("qemu-system-x86_64"))
            .args(arguments)
            .env_clear()
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let id = child.id().to_string();
        let output = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
        let (process, rest) = output.trim().split_once(' ').unwrap();
        assert_eq!(process, id, "the owner holds the process it started, which must be QEMU");
        rest.to_owned()
    }

    #[test]
    fn a_clone_serves_vnc_beside_what_it_was_asked_for() {
        assert_eq!(
            started("qemu", &["-m", "64M", "-incoming", "defer", "-S"]),
            "-m 64M -incoming defer -S -vnc unix:vnc.sock,lossy=on"
        );
    }

    #[test]
    fn what_is_no_clone_is_left_as_it_is() {
        assert_eq!(started("qemu", &["--version"]), "--version");
    }

    #[test]
    fn a_qemu_in_a_folder_of_any_name_is_found() {
        assert_eq!(started("it's a folder/$(qemu)", &["-S"]), "-S");
    }

    #[tokio::test]
    async fn bytes_are_carried_both_ways_and_the_servers_end_is_the_browsers() {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join(SOCKET)).unwrap();
        let bridge = Bridge::open(folder.path()).await.unwrap();
        let (mut browser, _) = tokio_tungstenite::connect_async(bridge.url()).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();

        server.write_all(b"RFB 003.008\n").await.unwrap();
        let greeting = browser.next().await.unwrap().unwrap();
        assert_eq!(greeting, Message::binary(&b"RFB 003.008\n"[..]));
        browser.send(Message::binary(&b"RFB 003.008\n"[..])).await.unwrap();
        let mut answer = [0; 12];
        server.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"RFB 003.008\n");

        drop(server);
        assert!(!matches!(browser.next().await, Some(Ok(Message::Binary(_)))));
    }

    #[tokio::test]
    async fn a_machine_without_the_server_lets_no_browser_in() {
        let folder = tempfile::tempdir().unwrap();
        let bridge = Bridge::open(folder.path()).await.unwrap();
        assert!(tokio_tungstenite::connect_async(bridge.url()).await.is_err());
        assert!(Bridge::open(&folder.path().join("none")).await.is_err());
    }
}
