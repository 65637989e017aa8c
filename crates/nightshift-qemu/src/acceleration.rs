//! Finds out what can run a guest's instructions here, by trying.
//!
//! That `/dev/kvm` opens proves little: under some hypervisors QEMU dies when it sets the processor up, or the
//! guest hangs at its first unusual instruction. So a guest is started for a moment. With an image at hand that
//! is its kernel with a program of a hundred bytes as init, which proves that Linux reaches its first user
//! program; without one it is a boot sector, which proves less and is therefore tried again later.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nightshift_sandbox::{Acceleration, DriverReport, StartError};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::process::Command;
use tokio::time::timeout;

use crate::command_line::Processor;
use crate::program::Qemu;
use crate::{checkpoint, cpio, failure};

/// How long QEMU and its guest may print nothing at all. The kernel's first line comes within half a second, on a
/// busy machine within one or two.
const SILENCE_LIMIT: Duration = Duration::from_secs(4);
/// How long a guest that prints may take to give its sign of life. With working KVM it takes a second.
const TRIAL_LIMIT: Duration = Duration::from_secs(12);
/// What is kept of what a trial prints. A kernel that says everything it can stays far below.
const OUTPUT_LIMIT: usize = 256 * 1024;
/// Processors under KVM, best first. The second helps where the hypervisor below allows no writes to the
/// register that describes the processor's flaws.
const KVM_PROCESSORS: [&str; 2] = ["host", "host,arch-capabilities=off"];
/// What the guest of a trial says.
const SIGN_OF_LIFE: &str = "nightshift: a guest runs here";

/// What runs a guest's instructions here, and why nothing faster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Verdict {
    pub(crate) processor: Processor,
    pub(crate) because: String,
}

/// Whether an answer found earlier may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trial {
    /// An answer found since the host's last start with this QEMU will do.
    Remembered,
    /// A guest is started, whatever is remembered.
    Fresh,
}

impl Verdict {
    /// Whether a verdict found with `kernel` as a guest is worth keeping. A boot sector that ran does not prove
    /// that a kernel would.
    pub(crate) fn lasts(&self, kernel: Option<&Path>) -> bool {
        kernel.is_some() || self.processor.acceleration == Acceleration::Tcg
    }

    /// The verdict as it is reported, of a host whose kernel shows itself at `kernel`.
    pub(crate) fn report(&self, qemu: &Qemu, kernel: &Path) -> DriverReport {
        DriverReport {
            acceleration: self.processor.acceleration,
            because: self.because.clone(),
            hypervisor: qemu.name.clone(),
            checkpoints: Some(checkpoint::memory_of_checkpoints(kernel)),
        }
    }
}

/// An answer on disk: good for one start of the host and one version of QEMU.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Memory {
    host_start: String,
    qemu: String,
    verdict: Verdict,
}

/// Where answers are remembered, and what this host calls itself since its last start.
#[derive(Debug)]
pub(crate) struct Tester<'a> {
    /// A folder to write in.
    pub(crate) folder: &'a Path,
    /// The device to try.
    pub(crate) device: &'a Path,
    /// Changes whenever the host starts.
    pub(crate) host_start: String,
}

impl Tester<'_> {
    /// Finds what runs a guest's instructions here, with `kernel` as a guest when there is one.
    pub(crate) async fn verdict(
        &self,
        qemu: &Qemu,
        kernel: Option<&Path>,
        trial: Trial,
    ) -> Result<Verdict, StartError> {
        if trial == Trial::Remembered
            && let Some(verdict) = self.recall(qemu)
        {
            return Ok(verdict);
        }
        if let Err(error) = File::options().read(true).write(true).open(self.device) {
            return Ok(translated(why_closed(self.device, &error)));
        }
        fs::create_dir_all(self.folder).map_err(|source| {
            failure::io("the folder for templates could not be made", self.folder, source)
        })?;
        let guest = Guest::new(kernel, self.folder)
            .map_err(|source| failure::io("a trial guest could not be written", self.folder, source))?;
        let mut outcomes = Vec::new();
        for model in KVM_PROCESSORS {
            let outcome = guest
                .run(qemu, model)
                .await
                .map_err(|source| failure::io("QEMU could not be tried", &qemu.program, source))?;
            tracing::debug!(model, ?outcome, "a guest was tried with KVM");
            outcomes.push((model, outcome));
            if matches!(outcomes.last(), Some((_, Outcome::Ran))) {
                break;
            }
        }
        let verdict = decide(&outcomes);
        if verdict.lasts(kernel) {
            self.remember(qemu, &verdict);
        }
        Ok(verdict)
    }

    fn file(&self) -> PathBuf {
        self.folder.join("acceleration.json")
    }

    fn recall(&self, qemu: &Qemu) -> Option<Verdict> {
        let memory: Memory = serde_json::from_slice(&fs::read(self.file()).ok()?).ok()?;
        (memory.host_start == self.host_start && memory.qemu == qemu.version).then_some(memory.verdict)
    }

    /// Failing to remember costs a trial at the next start, nothing more.
    fn remember(&self, qemu: &Qemu, verdict: &Verdict) {
        let memory = Memory {
            host_start: self.host_start.clone(),
            qemu: qemu.version.clone(),
            verdict: verdict.clone(),
        };
        let written = serde_json::to_vec_pretty(&memory).map_err(io::Error::from).and_then(|text| {
            let mut file = tempfile::NamedTempFile::new_in(self.folder)?;
            io::Write::write_all(&mut file, &text)?;
            file.persist(self.file()).map_err(|error| error.error)
        });
        if let Err(error) = written {
            tracing::warn!(%error, "what this host can do could not be remembered");
        }
    }
}

/// How a trial went.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    /// The guest gave its sign of life.
    Ran,
    /// It, or QEMU, stopped before.
    Stopped { said: String },
    /// It printed nothing.
    Silent,
    /// It printed something, but gave no sign of life in time.
    Slow,
}

fn decide(outcomes: &[(&str, Outcome)]) -> Verdict {
    if let Some((model, _)) = outcomes.iter().find(|(_, outcome)| *outcome == Outcome::Ran) {
        return Verdict {
            processor: Processor { acceleration: Acceleration::Kvm, model: (*model).to_owned() },
            because: "a guest was started with KVM and ran".to_owned(),
        };
    }
    let tried: Vec<String> = outcomes
        .iter()
        .map(|(model, outcome)| match outcome {
            Outcome::Ran => format!("with processor \"{model}\" it ran"),
            Outcome::Stopped { said } => format!("with processor \"{model}\" it stopped ({said})"),
            Outcome::Silent => {
                format!("with processor \"{model}\" it did nothing for {} s", SILENCE_LIMIT.as_secs())
            }
            Outcome::Slow => {
                format!("with processor \"{model}\" it was not up after {} s", TRIAL_LIMIT.as_secs())
            }
        })
        .collect();
    translated(format!("KVM opens, but no guest runs with it: {}", tried.join("; ")))
}

fn translated(because: String) -> Verdict {
    Verdict { processor: Processor::translated(), because }
}

fn why_closed(device: &Path, error: &io::Error) -> String {
    let device = device.display();
    match error.kind() {
        io::ErrorKind::NotFound => {
            format!(
                "there is no {device}: virtualization is switched off in the firmware, or not passed on to this machine"
            )
        }
        io::ErrorKind::PermissionDenied => {
            format!("this user may not open {device}: add it to the group kvm and log in again")
        }
        _ => format!("{device} does not open: {error}"),
    }
}

/// The files of a trial's guest; they go when it is dropped.
struct Guest {
    folder: tempfile::TempDir,
    kernel: Option<PathBuf>,
}

impl Guest {
    fn new(kernel: Option<&Path>, place: &Path) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("trial-").tempdir_in(place)?;
        let mut initrd = Vec::new();
        cpio::append(
            &mut initrd,
            &[cpio::File { path: "init", permissions: 0o755, content: &first_program() }],
        );
        fs::write(folder.path().join("initrd"), initrd)?;
        fs::write(folder.path().join("disk"), boot_sector())?;
        Ok(Self { folder, kernel: kernel.map(Path::to_owned) })
    }

    async fn run(&self, qemu: &Qemu, model: &str) -> io::Result<Outcome> {
        let (writer, reader) = io_pipe()?;
        let mut command = Command::new(&qemu.program);
        command
            .current_dir(self.folder.path())
            .env_clear()
            .args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"])
            .args([
                "-accel",
                "kvm",
                "-cpu",
                model,
                "-smp",
                "2",
                "-m",
                "256M",
                "-machine",
                "pc,hpet=off,vmport=off",
            ])
            .args(["-serial", "stdio"]);
        match &self.kernel {
            Some(kernel) => {
                command.arg("-kernel").arg(kernel);
                command.args(["-initrd", "initrd", "-append", "console=ttyS0 earlyprintk=serial panic=-1"]);
            }
            None => {
                command.args(["-drive", "if=ide,format=raw,snapshot=on,file=disk"]);
            }
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(writer.try_clone()?)
            .stderr(writer)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        // The command holds the pipe's other end, and would keep the reader from seeing its end.
        drop(command);
        let outcome = timeout(TRIAL_LIMIT, watch(reader)).await.unwrap_or(Ok(Outcome::Slow));
        child.kill().await?;
        outcome
    }
}

fn io_pipe() -> io::Result<(io::PipeWriter, pipe::Receiver)> {
    let (reader, writer) = io::pipe()?;
    Ok((writer, pipe::Receiver::from_owned_fd(reader.into())?))
}

async fn watch(mut output: pipe::Receiver) -> io::Result<Outcome> {
    let mut seen = Vec::new();
    let Ok(first) = timeout(SILENCE_LIMIT, output.read_buf(&mut seen)).await else {
        return Ok(Outcome::Silent);
    };
    let mut count = first?;
    loop {
        if let Some(outcome) = judge(&seen) {
            return Ok(outcome);
        }
        if count == 0 || seen.len() > OUTPUT_LIMIT {
            return Ok(Outcome::Stopped { said: reason(&seen) });
        }
        count = output.read_buf(&mut seen).await?;
    }
}

/// Says what the output so far proves, if anything.
fn judge(output: &[u8]) -> Option<Outcome> {
    let text = String::from_utf8_lossy(output);
    if text.contains(SIGN_OF_LIFE) {
        Some(Outcome::Ran)
    } else if text.contains("KVM internal error") {
        // QEMU prints the registers and then waits for somebody to look.
        Some(Outcome::Stopped { said: "KVM internal error".to_owned() })
    } else {
        None
    }
}

/// The line that says most: the first error of QEMU, or else the last line.
fn reason(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let error = text.lines().find_map(|line| Some(line.split_once("error: ")?.1));
    let line = error.or_else(|| text.lines().rev().find(|line| !line.trim().is_empty()));
    line.unwrap_or("QEMU printed nothing").trim().chars().take(200).collect()
}

/// A program for Linux on x86-64 that writes the sign of life and ends: an ELF header, one program header,
/// 33 bytes of code and the text. Layout: elf(5).
fn first_program() -> Vec<u8> {
    const LOAD_ADDRESS: u64 = 0x40_0000;
    const HEADERS: u64 = 64 + 56;
    let text = format!("{SIGN_OF_LIFE}\n");
    let mut code = Vec::new();
    code.extend([0xb8, 1, 0, 0, 0]); // mov eax, 1 (write)
    code.extend([0xbf, 1, 0, 0, 0]); // mov edi, 1 (standard output)
    code.extend([0x48, 0x8d, 0x35, 16, 0, 0, 0]); // lea rsi, [rip + 16] (the text, after the code)
    code.push(0xba); // mov edx, length
    code.extend((text.len() as u32).to_le_bytes());
    code.extend([0x0f, 0x05]); // syscall
    code.extend([0xb8, 60, 0, 0, 0]); // mov eax, 60 (exit)
    code.extend([0x31, 0xff]); // xor edi, edi
    code.extend([0x0f, 0x05]); // syscall
    code.extend(text.as_bytes());
    let size = HEADERS + code.len() as u64;

    let mut program = Vec::new();
    program.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0"); // 64 bits, little end first
    program.extend([2, 0, 62, 0, 1, 0, 0, 0]); // executable, x86-64, version 1
    program.extend((LOAD_ADDRESS + HEADERS).to_le_bytes()); // entry
    program.extend(64_u64.to_le_bytes()); // program headers
    program.extend([0; 8 + 4]); // no section headers, no flags
    program.extend([64, 0, 56, 0, 1, 0, 0, 0, 0, 0, 0, 0]); // sizes and numbers of headers
    program.extend([1, 0, 0, 0, 5, 0, 0, 0]); // load; read and execute
    for field in [0, LOAD_ADDRESS, LOAD_ADDRESS, size, size, 0x1000] {
        program.extend(field.to_le_bytes());
    }
    program.extend(code);
    program
}

/// A boot sector that writes the sign of life to the first serial port and stands still.
fn boot_sector() -> Vec<u8> {
    const TEXT_ADDRESS: u16 = 0x7c00 + 22;
    let mut sector = vec![0xfc, 0x31, 0xc0, 0x8e, 0xd8]; // cld; xor ax, ax; mov ds, ax
    sector.push(0xbe); // mov si, text
    sector.extend(TEXT_ADDRESS.to_le_bytes());
    sector.extend([0xba, 0xf8, 0x03]); // mov dx, 0x3f8
    sector.extend([0xac, 0x84, 0xc0]); // next: lodsb; test al, al
    sector.extend([0x74, 0x03]); // jz end
    sector.push(0xee); // out dx, al
    sector.extend([0xeb, 0xf8]); // jmp next
    sector.extend([0xf4, 0xeb, 0xfd]); // end: hlt; jmp end
    sector.extend(SIGN_OF_LIFE.as_bytes());
    sector.resize(510, 0);
    sector.extend([0x55, 0xaa]);
    sector
}

/// Returns what this host calls itself since its last start (random(4)).
pub(crate) fn host_start() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

#[cfg(test)]
mod tests;
