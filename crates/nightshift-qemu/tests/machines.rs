//! Real QEMU processes with a guest of a few bytes instead of an operating system.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use nightshift_protocol::SandboxId;
use nightshift_qemu::{QemuDriver, QemuProgram, QemuSettings, read_image};
use nightshift_sandbox::{
    BootRequest, CloneRequest, DisplayEndpoint, Driver, FreezeError, Image, Machine, MachineSize, StartError,
    Template,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const SIZE: MachineSize = MachineSize { memory_mib: 64, processors: 1 };

/// A guest for QEMU's multiboot loader (Multiboot specification 0.6.96, section 3.1). It writes `N` to the first
/// serial port and then counts in memory for ever, as fast as it can.
fn counting_kernel() -> Vec<u8> {
    const MAGIC: u32 = 0x1BAD_B002;
    const ADDRESSES_GIVEN: u32 = 1 << 16;
    const LOAD_ADDRESS: u32 = 0x10_0000;
    const HEADER: u32 = 32;
    let mut kernel = Vec::new();
    let checksum = 0_u32.wrapping_sub(MAGIC).wrapping_sub(ADDRESSES_GIVEN);
    let entry = LOAD_ADDRESS + HEADER;
    for word in [MAGIC, ADDRESSES_GIVEN, checksum, LOAD_ADDRESS, LOAD_ADDRESS, 0, 0, entry] {
        kernel.extend(word.to_le_bytes());
    }
    kernel.extend([0x66, 0xba, 0xf8, 0x03, 0xb0, b'N', 0xee]); // mov dx, 0x3f8; mov al, 'N'; out dx, al
    kernel.extend([0xff, 0x05, 0x00, 0x00, 0x20, 0x00]); // again: inc dword [0x200000]
    kernel.extend([0xeb, 0xf8]); // jmp again
    kernel.resize(4096, 0);
    kernel
}

struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Self { folder: tempfile::tempdir().unwrap() };
        let image = bench.path("image");
        fs::create_dir(&image).unwrap();
        let manifest = r#"{
            "format": 1, "cmdline": "quiet", "screen": { "width": 1280, "height": 800 }, "user": "agent",
            "browser": { "command": ["browser"] }, "sha256": {}
        }"#;
        fs::write(image.join("manifest.json"), manifest).unwrap();
        fs::write(image.join("vmlinux"), counting_kernel()).unwrap();
        fs::write(image.join("initrd.img"), "initrd").unwrap();
        fs::write(bench.path("guest"), "guest program").unwrap();
        let created = Command::new("qemu-img")
            .args(["create", "-qf", "qcow2"])
            .arg(image.join("disk.qcow2"))
            .arg("64M")
            .status();
        assert!(created.unwrap().success());
        bench.remember_that_kvm_is_not_used();
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// These tests are about machines; trying KVM with this kernel would only take time.
    fn remember_that_kvm_is_not_used(&self) {
        fs::create_dir(self.path("templates")).unwrap();
        let version = Command::new("qemu-system-x86_64").arg("--version").output().unwrap().stdout;
        let host_start = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
        let remembered = format!(
            r#"{{ "hostStart": "{}", "qemu": "{}", "verdict": {{
                "processor": {{ "acceleration": "tcg", "model": "qemu64" }}, "because": "the test says so" }} }}"#,
            host_start.trim(),
            String::from_utf8(version).unwrap().lines().next().unwrap(),
        );
        fs::write(self.path("templates/acceleration.json"), remembered).unwrap();
    }

    #[expect(clippy::disallowed_methods, reason = "a test is a program, and this is its edge")]
    fn driver(&self) -> QemuDriver {
        self.driver_with(QemuProgram::OnPath(std::env::var_os("PATH").unwrap()))
    }

    fn driver_with(&self, program: QemuProgram) -> QemuDriver {
        QemuDriver::new(QemuSettings {
            program,
            guest_program: self.path("guest"),
            templates: self.path("templates"),
            sandboxes: self.path("sandboxes"),
            trial_kernel: None,
        })
    }

    fn image(&self) -> Image {
        read_image(&self.path("image")).unwrap().0
    }

    async fn boot(&self, driver: &QemuDriver, sandbox: &SandboxId) -> Result<Arc<dyn Machine>, StartError> {
        let image = self.image();
        let key = driver.template_key(&image, SIZE).await?;
        driver.boot(BootRequest { sandbox: sandbox.clone(), image, key, size: SIZE }).await
    }

    /// Boots a machine, waits until its guest runs, and freezes it.
    async fn template(&self, driver: &QemuDriver) -> Template {
        let machine = self.boot(driver, &id('t')).await.unwrap();
        wait_until_the_guest_runs(&*machine).await;
        driver.freeze(machine).await.unwrap()
    }

    fn entries(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(folder)).into_iter().flatten();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

fn id(letter: char) -> SandboxId {
    format!("sandbox-{}", String::from(letter).repeat(10)).parse().unwrap()
}

fn clone_request(sandbox: &SandboxId, template: &Template) -> CloneRequest {
    CloneRequest { sandbox: sandbox.clone(), template: template.clone(), size: SIZE }
}

async fn wait_until_the_guest_runs(machine: &dyn Machine) {
    let mut console = String::new();
    while !console.contains('N') {
        console.push_str(&machine.console().await.unwrap());
    }
}

/// A fake QEMU: it says its version and then does what `script` says.
fn fake_qemu(folder: &Path, script: &str) -> QemuProgram {
    let (program, partial) = (folder.join("fake-qemu"), folder.join("partial"));
    let version = Command::new("qemu-system-x86_64").arg("--version").output().unwrap().stdout;
    let text = format!(
        "#!/bin/sh\nif [ \"$1\" = --version ]; then echo '{}'; exit; fi\n{script}\n",
        String::from_utf8(version).unwrap().lines().next().unwrap()
    );
    fs::write(&partial, text).unwrap();
    fs::set_permissions(&partial, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(partial, &program).unwrap();
    QemuProgram::At(program)
}

#[tokio::test]
async fn a_machine_boots_answers_on_its_display_and_is_stopped_without_trace() {
    let bench = Bench::new();
    let driver = bench.driver();
    let machine = bench.boot(&driver, &id('a')).await.unwrap();
    wait_until_the_guest_runs(&*machine).await;
    assert_eq!(driver.list().await, [id('a')]);

    let DisplayEndpoint::Dbus(socket) = machine.display().await.unwrap();
    let stream = std::os::unix::net::UnixStream::from(socket);
    stream.set_nonblocking(true).unwrap();
    let mut stream = tokio::net::UnixStream::from_std(stream).unwrap();
    // D-Bus begins with an exchange in text (D-Bus specification, "Authentication Protocol").
    stream.write_all(b"\0AUTH\r\n").await.unwrap();
    let mut answer = [0; 8];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"REJECTED");

    machine.stop().await.unwrap();
    machine.stop().await.unwrap();
    assert_eq!(machine.ended().await, "it was stopped");
    assert!(bench.entries("sandboxes").is_empty());
    assert_eq!(bench.entries("templates"), ["acceleration.json"]);
}

#[tokio::test]
async fn the_channel_ends_when_another_is_opened() {
    let bench = Bench::new();
    let driver = bench.driver();
    let machine = bench.boot(&driver, &id('a')).await.unwrap();
    let mut first = machine.channel().await.unwrap();
    let mut second = machine.channel().await.unwrap();
    assert_eq!(first.read(&mut [0; 1]).await.unwrap(), 0);
    second.write_all(b"to nobody yet").await.unwrap();
    machine.stop().await.unwrap();
    assert_eq!(second.read(&mut [0; 1]).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn clones_run_on_from_the_template_and_leave_it_as_it_is() {
    let bench = Bench::new();
    let driver = bench.driver();
    let template = bench.template(&driver).await;
    assert_eq!(driver.template(&template.key).await, Some(template.clone()));
    assert_eq!(driver.template_key(&bench.image(), SIZE).await.unwrap(), template.key);
    assert!(bench.entries("sandboxes").is_empty());

    let counter = |memory: &[u8]| u32::from_le_bytes(memory[0x20_0000..0x20_0004].try_into().unwrap());
    let before = fs::read(template.folder.join("memory")).unwrap();
    assert_ne!(counter(&before), 0);
    let (one, two) = tokio::join!(
        driver.clone_template(clone_request(&id('a'), &template)),
        driver.clone_template(clone_request(&id('b'), &template)),
    );
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!(driver.list().await, [id('a'), id('b')]);
    one.stop().await.unwrap();
    two.stop().await.unwrap();
    assert!(fs::read(template.folder.join("memory")).unwrap() == before);
    assert!(bench.entries("sandboxes").is_empty());
}

#[tokio::test]
async fn an_owner_that_comes_later_finds_the_machine_and_can_stop_it() {
    let bench = Bench::new();
    let driver = bench.driver();
    let template = bench.template(&driver).await;
    drop(driver.clone_template(clone_request(&id('a'), &template)).await.unwrap());

    let later = bench.driver();
    let machine = later.find(&id('a')).await.unwrap().unwrap();
    let again = later.find(&id('a')).await.unwrap().unwrap();
    assert_eq!(again.sandbox(), machine.sandbox());
    machine.console().await.unwrap();
    machine.stop().await.unwrap();
    assert_eq!(again.ended().await, "it was stopped");
    assert!(later.find(&id('a')).await.unwrap().is_none());
    assert!(bench.entries("sandboxes").is_empty());
}

#[tokio::test]
async fn looking_for_a_machine_that_is_being_started_waits_for_it() {
    let bench = Bench::new();
    let driver = bench.driver();
    let template = bench.template(&driver).await;
    let sandbox = id('a');
    let (started, found) =
        tokio::join!(driver.clone_template(clone_request(&sandbox, &template)), driver.find(&sandbox));
    assert!(Arc::ptr_eq(&started.unwrap(), &found.unwrap().unwrap()));
    driver.find(&sandbox).await.unwrap().unwrap().stop().await.unwrap();
}

#[tokio::test]
async fn a_template_begun_by_one_owner_can_be_frozen_by_the_next() {
    let bench = Bench::new();
    let machine = bench.boot(&bench.driver(), &id('t')).await.unwrap();
    wait_until_the_guest_runs(&*machine).await;
    drop(machine);

    let later = bench.driver();
    let machine = later.find(&id('t')).await.unwrap().unwrap();
    let template = later.freeze(machine).await.unwrap();
    assert_eq!(later.template(&template.key).await, Some(template));
}

#[tokio::test]
async fn a_machine_that_was_killed_says_so_and_what_it_left_is_removed() {
    let bench = Bench::new();
    let driver = bench.driver();
    let machine = bench.boot(&driver, &id('a')).await.unwrap();
    let process = fs::read_to_string(bench.path("sandboxes").join(id('a').as_str()).join("pid")).unwrap();
    assert!(Command::new("kill").args(["-9", process.trim()]).status().unwrap().success());
    assert_eq!(machine.ended().await, "QEMU was killed (signal 9), perhaps because memory ran out");
    drop(machine);

    assert_eq!(driver.list().await, [id('a')]);
    assert!(driver.find(&id('a')).await.unwrap().is_none());
    assert!(bench.entries("sandboxes").is_empty());
    assert_eq!(bench.entries("templates"), ["acceleration.json"]);
}

#[tokio::test]
async fn another_process_with_the_number_of_a_dead_machine_is_left_alone() {
    let bench = Bench::new();
    let driver = bench.driver();
    drop(bench.boot(&driver, &id('a')).await.unwrap());
    let file = bench.path("sandboxes").join(id('a').as_str()).join("pid");
    let process = fs::read_to_string(&file).unwrap();
    assert!(Command::new("kill").args(["-9", process.trim()]).status().unwrap().success());
    let mut bystander = Command::new("sleep").arg("60").spawn().unwrap();
    // The number of a process that has ended goes to the bystander.
    fs::write(&file, bystander.id().to_string()).unwrap();

    while bench.driver().find(&id('a')).await.unwrap().is_some() {}
    assert!(bench.entries("sandboxes").is_empty());
    assert!(bystander.try_wait().unwrap().is_none());
    bystander.kill().unwrap();
    bystander.wait().unwrap();
}

#[tokio::test]
async fn a_machine_nobody_finished_starting_is_ended_and_removed() {
    let bench = Bench::new();
    let driver = bench.driver();
    let template = bench.template(&driver).await;
    let clone = driver.clone_template(clone_request(&id('a'), &template));
    // The owner goes away in the middle: the start is dropped at its first pause that long.
    assert!(tokio::time::timeout(Duration::from_millis(1), clone).await.is_err());
    assert!(bench.entries("sandboxes").is_empty());
    assert_eq!(driver.list().await, []);
}

#[tokio::test]
async fn only_a_machine_booted_for_it_becomes_a_template() {
    let bench = Bench::new();
    let driver = bench.driver();
    let template = bench.template(&driver).await;
    let clone = driver.clone_template(clone_request(&id('a'), &template)).await.unwrap();
    let refused = driver.freeze(Arc::clone(&clone)).await.unwrap_err();
    assert!(matches!(refused, FreezeError::NotFreezable { .. }), "{refused:?}");
    clone.stop().await.unwrap();

    let booted = bench.boot(&driver, &id('b')).await.unwrap();
    booted.stop().await.unwrap();
    let refused = driver.freeze(booted).await.unwrap_err();
    assert!(matches!(refused, FreezeError::NotFreezable { .. }), "{refused:?}");
}

#[tokio::test]
async fn a_damaged_template_a_wrong_size_and_a_taken_id_are_refused() {
    let bench = Bench::new();
    let driver = bench.driver();
    let template = bench.template(&driver).await;
    let larger = MachineSize { memory_mib: 128, ..SIZE };
    let wrong_size = CloneRequest { size: larger, ..clone_request(&id('a'), &template) };
    let refused = driver.clone_template(wrong_size).await.map(|_| ()).unwrap_err();
    assert!(matches!(refused, StartError::Unsuitable { .. }), "{refused:?}");

    let running = driver.clone_template(clone_request(&id('a'), &template)).await.unwrap();
    let refused = driver.clone_template(clone_request(&id('a'), &template)).await.map(|_| ()).unwrap_err();
    assert!(matches!(refused, StartError::Io { .. }), "{refused:?}");
    assert_eq!(driver.list().await, [id('a')]);
    running.stop().await.unwrap();

    fs::remove_file(template.folder.join("state")).unwrap();
    assert_eq!(driver.template(&template.key).await, None);
    let refused = driver.clone_template(clone_request(&id('b'), &template)).await.map(|_| ()).unwrap_err();
    assert!(matches!(refused, StartError::Unsuitable { .. }), "{refused:?}");
    assert!(bench.entries("sandboxes").is_empty());
}

#[tokio::test]
async fn a_state_that_qemu_cannot_read_is_refused_with_its_words() {
    let bench = Bench::new();
    let driver = bench.driver();
    let template = bench.template(&driver).await;
    let state = template.folder.join("state");
    let length = usize::try_from(fs::metadata(&state).unwrap().len()).unwrap();
    fs::remove_file(&state).unwrap();
    fs::write(&state, vec![b'x'; length]).unwrap();
    let refused = driver.clone_template(clone_request(&id('a'), &template)).await.map(|_| ()).unwrap_err();
    let StartError::Refused { what } = refused else { panic!("{refused:?}") };
    assert!(what.contains("Not a migration stream"), "{what}");
    assert!(bench.entries("sandboxes").is_empty());
}

#[tokio::test]
async fn a_qemu_that_ends_at_once_is_quoted_and_leaves_nothing() {
    let bench = Bench::new();
    let script = "echo \"qemu-system-x86_64: Display 'dbus' is not available. Perhaps you want to install \
                  qemu-system-modules-opengl package?\" >&2; exit 1";
    let driver = bench.driver_with(fake_qemu(bench.folder.path(), script));
    let refused = bench.boot(&driver, &id('a')).await.map(|_| ()).unwrap_err();
    assert_eq!(refused.to_string(), "QEMU lacks its D-Bus display");
    assert!(bench.entries("sandboxes").is_empty());
    assert_eq!(bench.entries("templates"), ["acceleration.json"]);
}

#[tokio::test]
async fn more_memory_than_the_disk_has_room_for_is_a_full_disk() {
    let bench = Bench::new();
    let driver = bench.driver();
    let size = MachineSize { memory_mib: u32::MAX, processors: 1 };
    let key = driver.template_key(&bench.image(), size).await.unwrap();
    let request = BootRequest { sandbox: id('a'), image: bench.image(), key, size };
    let refused = driver.boot(request).await.map(|_| ()).unwrap_err();
    assert!(matches!(refused, StartError::DiskFull { .. }), "{refused:?}");
    assert_eq!(bench.entries("templates"), ["acceleration.json"]);
}
