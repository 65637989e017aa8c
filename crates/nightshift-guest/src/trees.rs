//! Folders, both ways, by the machine's own `tar`.

use std::fs::DirBuilder;
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nightshift_channel::wire::frame::Lane;
use nightshift_channel::wire::service::{TreeAnswer, TreeRefusal};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::account::Account;
use crate::launch;
use crate::stream::{Gone, Stream};

/// How much of what tar prints is told, in bytes.
const PRINTED_BYTES: u64 = 2_000;

/// Unpacks what the stream brings up to its end.
pub(crate) fn put(stream: &Stream, path: &str, account: Option<&Account>) -> Result<(), Gone> {
    let Some(account) = account else { return stream.answer(&TreeAnswer::Err(TreeRefusal::NoSuchUser)) };
    let folder = Path::new(path);
    let made = account.act(|| DirBuilder::new().recursive(true).mode(0o755).create(folder));
    let arguments =
        ["--extract", "--file=-", "--no-same-owner", "--preserve-permissions", "--delay-directory-restore"];
    let started = made.and_then(|()| {
        let mut command = tar(account, folder, &arguments)?;
        Tar::start(command.stdin(Stdio::piped()).stdout(Stdio::null()), stream)
    });
    let mut tar = match started {
        Ok(tar) => tar,
        Err(error) => return stream.answer(&TreeAnswer::Err(failed(&error))),
    };
    let mut input = tar.child.stdin.take();
    while let Some(bytes) = stream.receive_bytes()? {
        let written = input.as_mut().map_or(Ok(()), |input| input.write_all(&bytes));
        if written.is_err() {
            // It stopped reading, and what it printed says why.
            break;
        }
    }
    drop(input);
    stream.answer(&tar.finish())
}

/// Packs a folder into the stream.
pub(crate) fn get(stream: &Stream, path: &str, account: &Account) -> Result<(), Gone> {
    let folder = Path::new(path);
    if !folder.is_dir() {
        return stream.answer(&TreeAnswer::Err(TreeRefusal::NotFound));
    }
    // Hard links become files: who unpacks it takes none.
    let arguments = ["--create", "--file=-", "--format=gnu", "--hard-dereference", "."];
    let started = tar(account, folder, &arguments)
        .and_then(|mut command| Tar::start(command.stdin(Stdio::null()).stdout(Stdio::piped()), stream));
    let mut tar = match started {
        Ok(tar) => tar,
        Err(error) => return stream.answer(&TreeAnswer::Err(failed(&error))),
    };
    stream.send_message(&TreeAnswer::Ok(()))?;
    let mut piece = vec![0; 64 * 1024];
    if let Some(mut output) = tar.child.stdout.take() {
        loop {
            match output.read(&mut piece) {
                Ok(0) => break,
                Ok(length) => stream.send(Lane::Bytes, &piece[..length])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
    }
    stream.answer(&tar.finish())
}

fn tar(account: &Account, folder: &Path, arguments: &[&str]) -> io::Result<Command> {
    let mut command = launch::command("tar", account, folder, &[], None)?;
    command.args(arguments);
    Ok(command)
}

fn failed(error: &io::Error) -> TreeRefusal {
    TreeRefusal::TarFailed { what: error.to_string() }
}

/// A running tar; it ends when it is dropped or the stream is cut.
struct Tar {
    child: Child,
    printing: Option<std::thread::JoinHandle<String>>,
}

impl Drop for Tar {
    fn drop(&mut self) {
        // It may have ended, and then only has to be reaped.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Tar {
    fn start(command: &mut Command, stream: &Stream) -> io::Result<Self> {
        let mut child = command.stderr(Stdio::piped()).spawn()?;
        let process = pidfd_open(Pid::from_child(&child), PidfdFlags::empty());
        let stderr = child.stderr.take();
        let mut tar = Self { child, printing: None };
        let process = process?;
        stream.on_cut(move |_| {
            // It may have ended.
            let _ = pidfd_send_signal(&process, Signal::KILL);
        });
        if let Some(stderr) = stderr {
            let reading = std::thread::Builder::new().name("tar".to_owned());
            tar.printing = Some(reading.spawn(move || printed(stderr))?);
        }
        Ok(tar)
    }

    /// Waits for its end.
    fn finish(&mut self) -> TreeAnswer {
        let status = self.child.wait().map_err(|error| failed(&error))?;
        let printed = self.printing.take().and_then(|printing| printing.join().ok()).unwrap_or_default();
        if status.success() {
            Ok(())
        } else {
            Err(TreeRefusal::TarFailed { what: format!("{status}: {printed}") })
        }
    }
}

/// Reads all of what is printed and keeps its beginning.
fn printed(mut stderr: impl Read) -> String {
    let mut kept = Vec::new();
    // What cannot be read is not told.
    let _ = stderr.by_ref().take(PRINTED_BYTES).read_to_end(&mut kept);
    let _ = io::copy(&mut stderr, &mut io::sink());
    String::from_utf8_lossy(&kept).trim_end().to_owned()
}
