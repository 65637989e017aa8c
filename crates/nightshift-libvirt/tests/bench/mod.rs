//! The bench: libvirt daemons of their own, beside whatever the machine has.
#![expect(dead_code, reason = "each test program uses a part of it")]

use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nightshift_libvirt::{HostSettings, LibvirtDriver, LibvirtSettings};
use nightshift_sandbox::Acceleration;

/// A `libvirtd` with its own socket, state and configuration: it sees its own folders where others have `/etc/libvirt`,
/// `/var/lib/libvirt`, `/run/libvirt`. Its machines are TCG only and run as who runs it.
pub(crate) struct Libvirtd {
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
    pub(crate) fn start() -> Self {
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

    pub(crate) fn uri(&self) -> String {
        self.uri_of("libvirt-sock")
    }

    /// The address of its socket for those who may only look.
    pub(crate) fn uri_to_look(&self) -> String {
        self.uri_of("libvirt-sock-ro")
    }

    fn uri_of(&self, socket: &str) -> String {
        format!("qemu+unix:///system?socket={}", self.folder.path().join("sock").join(socket).display())
    }

    pub(crate) fn host(&self, name: &str, memory_mib: Option<u64>) -> HostSettings {
        host(name, &self.uri(), memory_mib)
    }

    /// What a person would do with it.
    pub(crate) fn virsh(&self, arguments: &[&str]) -> String {
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
    pub(crate) fn machines(&self) -> Vec<String> {
        let said = self.virsh(&["list", "--name"]);
        said.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }

    /// The files in its storage pool, without those of images.
    pub(crate) fn files(&self) -> Vec<String> {
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

pub(crate) fn host(name: &str, uri: &str, memory_mib: Option<u64>) -> HostSettings {
    HostSettings {
        name: name.to_owned(),
        uri: uri.to_owned(),
        pool: "nightshift".to_owned(),
        memory_mib,
        acceleration: Some(Acceleration::Tcg),
    }
}

pub(crate) fn driver(hosts: Vec<HostSettings>, records: &Path, guest_program: &Path) -> LibvirtDriver {
    let (records, guest_program) = (records.to_owned(), guest_program.to_owned());
    LibvirtDriver::new(LibvirtSettings { hosts, guest_program, records })
}

/// An image that boots nothing: files of the right form.
pub(crate) fn empty_image(folder: &Path) -> PathBuf {
    let image = folder.join("image");
    std::fs::create_dir(&image).unwrap();
    let manifest = r#"{"format": 1, "cmdline": "quiet", "screen": {"width": 1280, "height": 800}, "user": "agent",
        "browser": {"command": []}, "sha256": {}}"#;
    std::fs::write(image.join("manifest.json"), manifest).unwrap();
    for name in ["vmlinux", "initrd.img"] {
        std::fs::File::create(image.join(name)).unwrap().write_all(b"not one").unwrap();
    }
    let disk = nightshift_image::qcow2::overlay(Path::new("/none"), 1 << 30).unwrap();
    std::fs::write(image.join("disk.qcow2"), disk).unwrap();
    image
}
