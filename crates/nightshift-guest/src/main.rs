//! Serves the host on the sandbox's virtual serial port until the machine goes down.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nightshift_channel::wire::service::PROXY_PORT;
use nightshift_guest::{Guest, LinuxKernel, Settings};

/// The port's name, as the hypervisor's command line gives it.
const PORT: &str = "nightshift.channel";

/// How long to wait for the port to appear while the machine boots.
const PORT_WITHIN: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to tell when even that fails.
            let _ = writeln!(io::stderr(), "nightshift-guest: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> io::Result<()> {
    let guest = Guest::new(Settings::of_this_machine()?, LinuxKernel)?;
    if let Err(error) =
        TcpListener::bind((Ipv4Addr::LOCALHOST, PROXY_PORT)).and_then(|port| guest.proxy(port))
    {
        // A machine that reaches nothing is better than one that cannot be reached.
        let _ = writeln!(io::stderr(), "nightshift-guest: port {PROXY_PORT}: {error}");
    }
    let port = open(&wait_for_port()?)?;
    guest.serve(port.into())
}

fn open(path: &Path) -> io::Result<fs::File> {
    OpenOptions::new().read(true).write(true).open(path)
}

fn wait_for_port() -> io::Result<PathBuf> {
    let begun = Instant::now();
    loop {
        if let Some(path) = find_port() {
            return Ok(path);
        }
        if begun.elapsed() > PORT_WITHIN {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("there is no virtual serial port {PORT}"),
            ));
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "a device node tells nobody that it appears, and nothing waits"
        )]
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The port by udev's name, or by the kernel's where no udev runs.
fn find_port() -> Option<PathBuf> {
    let named = Path::new("/dev/virtio-ports").join(PORT);
    if named.exists() {
        return Some(named);
    }
    let ports = fs::read_dir("/sys/class/virtio-ports").ok()?;
    let port = ports.flatten().find(|port| {
        fs::read_to_string(port.path().join("name")).is_ok_and(|name| name.trim_end() == PORT)
    })?;
    Some(Path::new("/dev").join(port.file_name())).filter(|path| path.exists())
}
