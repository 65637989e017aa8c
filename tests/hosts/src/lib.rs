//! A libvirt host for tests: a daemon of its own, beside whatever the machine has.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a bench of tests: a failed step is a failed test, and it waits for another process"
)]

use std::os::unix::fs::DirBuilderExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A `libvirtd` with its own socket, state and configuration: it sees its own folders where others have `/etc/libvirt`,
/// `/var/lib/libvirt`, `/run/libvirt`. Its machines are TCG only and run as who runs it.
#[derive(Debug)]
pub struct Libvirtd {
    folder: tempfile::TempDir,
    process: Child,
}

const QEMU_CONFIGURATION: &str = r#"
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
cgroup_controllers = []
stdio_handler = "file"
namespaces = []
"#;

/// Its argument is the folder. libvirtd wants the user it would use, if it were not told another, to exist.
const START: &str = r#"
set -eu
folder=$1
cp /etc/passwd /etc/group "$folder"
if ! grep -q ^libvirt-qemu: "$folder/passwd"; then
    echo "libvirt-qemu:x:64055:64055::/var/lib/libvirt:/usr/sbin/nologin" >>"$folder/passwd"
    echo "libvirt-qemu:x:64055:" >>"$folder/group"
fi
mount --bind "$folder/passwd" /etc/passwd
mount --bind "$folder/group" /etc/group
for place in etc/libvirt var/lib/libvirt run/libvirt var/log/libvirt var/cache/libvirt; do
    mkdir -p "/$place" "$folder/$place"
    mount --bind "$folder/$place" "/$place"
done
cp "$folder/qemu.conf" /etc/libvirt/qemu.conf
exec libvirtd --config "$folder/libvirtd.conf" --pid-file "$folder/pid"
"#;

impl Libvirtd {
    /// Starts one, with an empty storage pool `nightshift`.
    pub fn start() -> Self {
        // Short, because sockets live below it; on a real disk, because an image does.
        let folder = tempfile::Builder::new().prefix("nsl").tempdir_in("/var/tmp").unwrap();
        let path = folder.path().display();
        let configuration = format!(
            "listen_tls = 0\nunix_sock_dir = \"{path}/sock\"\nauth_unix_rw = \"none\"\nauth_unix_ro = \"none\"\n\
             log_outputs = \"2:file:{path}/log\"\nhost_uuid_source = \"machine-id\"\n"
        );
        std::fs::write(folder.path().join("libvirtd.conf"), configuration).unwrap();
        std::fs::write(folder.path().join("qemu.conf"), QEMU_CONFIGURATION).unwrap();
        for name in ["sock", "pool"] {
            std::fs::DirBuilder::new().mode(0o700).create(folder.path().join(name)).unwrap();
        }
        let mut command = Command::new("unshare");
        command.arg("--mount");
        // Who is not root becomes it in a user namespace.
        if user_id() != 0 {
            command.arg("--map-root-user");
        }
        let process = command
            .args(["bash", "-c", START, "libvirtd"])
            .arg(folder.path())
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.path().join("stderr")).unwrap())
            .spawn()
            .unwrap();
        let daemon = Self { folder, process };
        daemon.wait();
        daemon
    }

    fn wait(&self) {
        let began = Instant::now();
        while !self.try_virsh(&["list"]).0 {
            let said = std::fs::read_to_string(self.folder.path().join("stderr")).unwrap_or_default();
            let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            assert!(began.elapsed() < Duration::from_secs(30), "libvirtd does not answer: {said}{log}");
            std::thread::sleep(Duration::from_millis(100));
        }
        let pool = self.folder.path().join("pool");
        self.virsh(&["pool-create-as", "nightshift", "dir", "--target", pool.to_str().unwrap()]);
    }

    /// Its address.
    pub fn uri(&self) -> String {
        self.uri_of("libvirt-sock")
    }

    /// The address of its socket for those who may only look.
    pub fn uri_to_look(&self) -> String {
        self.uri_of("libvirt-sock-ro")
    }

    fn uri_of(&self, socket: &str) -> String {
        format!("qemu+unix:///system?socket={}", self.folder.path().join("sock").join(socket).display())
    }

    /// What a person would do with it.
    pub fn virsh(&self, arguments: &[&str]) -> String {
        let (good, said) = self.try_virsh(arguments);
        assert!(good, "virsh {arguments:?}: {said}");
        said
    }

    fn try_virsh(&self, arguments: &[&str]) -> (bool, String) {
        let output = Command::new("virsh").args(["-q", "-c", &self.uri()]).args(arguments).output().unwrap();
        let said =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.success(), said)
    }

    /// The names of the machines that run.
    pub fn machines(&self) -> Vec<String> {
        let said = self.virsh(&["list", "--name"]);
        said.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }

    /// The files in its storage pool, without those of images.
    pub fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path().join("pool")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| !name.starts_with("nightshift-")).collect();
        names.sort();
        names
    }
}

impl Drop for Libvirtd {
    fn drop(&mut self) {
        // Machines outlive it.
        let (_, running) = self.try_virsh(&["list", "--name"]);
        for name in running.split_whitespace().filter(|name| name.starts_with("sandbox-")) {
            let _gone = self.try_virsh(&["destroy", name]);
        }
        let _gone = self.process.kill();
        let _status = self.process.wait();
    }
}

fn user_id() -> u32 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").unwrap().uid()
}
