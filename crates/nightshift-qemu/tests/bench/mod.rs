//! A driver with everything it needs in a folder of its own, and a guest of a few bytes instead of an operating system.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]
#![allow(dead_code, clippy::allow_attributes, reason = "each test program uses a part of it")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use nightshift_image::read_image;
use nightshift_protocol::SandboxId;
use nightshift_qemu::{QemuDriver, QemuProgram, QemuSettings};
use nightshift_sandbox::{
    BootRequest, CloneRequest, Driver, Image, Machine, MachineSize, StartError, Template,
};

pub(crate) const SIZE: MachineSize = MachineSize { memory_mib: 64, processors: 1 };

/// A guest for QEMU's multiboot loader (Multiboot specification 0.6.96, section 3.1). It writes `N` to the first
/// serial port and then counts in memory for ever, as fast as it can.
pub(crate) fn counting_kernel() -> Vec<u8> {
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

pub(crate) struct Bench {
    pub(crate) folder: tempfile::TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
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

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// These tests are about machines; trying KVM with this kernel would only take time.
    pub(crate) fn remember_that_kvm_is_not_used(&self) {
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
    pub(crate) fn driver(&self) -> QemuDriver {
        self.driver_with(QemuProgram::OnPath(std::env::var_os("PATH").unwrap()))
    }

    pub(crate) fn driver_with(&self, program: QemuProgram) -> QemuDriver {
        QemuDriver::new(QemuSettings {
            program,
            guest_program: self.path("guest"),
            templates: self.path("templates"),
            sandboxes: self.path("sandboxes"),
            trial_kernel: None,
        })
    }

    pub(crate) fn image(&self) -> Image {
        read_image(&self.path("image")).unwrap().0
    }

    pub(crate) async fn boot(
        &self,
        driver: &QemuDriver,
        sandbox: &SandboxId,
    ) -> Result<Arc<dyn Machine>, StartError> {
        let image = self.image();
        let key = driver.template_key(&image, SIZE).await?;
        driver.boot(BootRequest { sandbox: sandbox.clone(), image, key, size: SIZE }).await
    }

    /// Boots a machine, waits until its guest runs, and freezes it.
    pub(crate) async fn template(&self, driver: &QemuDriver) -> Template {
        let machine = self.boot(driver, &id('t')).await.unwrap();
        wait_until_the_guest_runs(&*machine).await;
        driver.freeze(machine).await.unwrap()
    }

    pub(crate) fn entries(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(folder)).into_iter().flatten();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

pub(crate) fn id(letter: char) -> SandboxId {
    format!("sandbox-{}", String::from(letter).repeat(10)).parse().unwrap()
}

pub(crate) fn clone_request(sandbox: &SandboxId, template: &Template) -> CloneRequest {
    CloneRequest { sandbox: sandbox.clone(), template: template.clone(), size: SIZE }
}

pub(crate) async fn wait_until_the_guest_runs(machine: &dyn Machine) {
    let mut console = String::new();
    while !console.contains('N') {
        console.push_str(&machine.console().await.unwrap());
    }
}

/// A fake QEMU: it says its version and then does what `script` says.
pub(crate) fn fake_qemu(folder: &Path, script: &str) -> QemuProgram {
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
