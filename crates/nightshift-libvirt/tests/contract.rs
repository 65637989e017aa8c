//! What the driver does where there are no machines: libvirt's own mock-up, a host that is not there, one that lets us
//! only look.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod bench;

use std::io::Write;
use std::path::{Path, PathBuf};

use bench::{driver, host};
use hosts::Libvirtd;
use nightshift_image::read_image;
use nightshift_libvirt::{HostSettings, LibvirtDriver};
use nightshift_sandbox::{
    Acceleration, BootRequest, CloneRequest, Driver, MachineSize, StartError, Template,
};

/// libvirt's mock-up, with its own 3 GiB of memory and a machine that has more than that.
fn mock(pool: &str) -> HostSettings {
    HostSettings { pool: pool.to_owned(), ..host("mock", "test:///default", None) }
}

/// The same with 64 GiB and no machine.
fn roomy_mock(folder: &Path) -> HostSettings {
    let node = folder.join("node.xml");
    let description = "<node><cpu><mhz>2000</mhz><model>x86_64</model><active>4</active><nodes>1</nodes><sockets>4</sockets>\
        <cores>1</cores><threads>1</threads><memory>67108864</memory></cpu>\
        <pool type='dir'><name>attic</name><target><path>/attic</path></target></pool></node>";
    std::fs::write(&node, description).unwrap();
    HostSettings { pool: "attic".to_owned(), ..host("mock", &format!("test://{}", node.display()), None) }
}

/// An image that boots nothing: files of the right form.
fn empty_image(folder: &Path) -> PathBuf {
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

/// Boots a machine of an image that boots nothing.
async fn boot(driver: &LibvirtDriver, folder: &Path) -> StartError {
    let image = folder.join("image");
    let image = read_image(&if image.exists() { image } else { empty_image(folder) }).unwrap().0;
    let key = driver.template_key(&image, MachineSize::default()).await.unwrap();
    let sandbox = "sandbox-0123456789".parse().unwrap();
    driver.boot(BootRequest { sandbox, image, key, size: MachineSize::default() }).await.err().unwrap()
}

fn guest_program(folder: &Path) -> std::path::PathBuf {
    let program = folder.join("guest");
    std::fs::write(&program, "guest").unwrap();
    program
}

#[tokio::test]
async fn a_host_without_kvm_says_so_and_that_its_machines_are_no_clones_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let tried = HostSettings { acceleration: None, ..mock("default-pool") };
    let report = driver(vec![tried], folder.path(), Path::new("/none")).probe().await.unwrap();
    assert_eq!(report.acceleration, Acceleration::Tcg);
    assert!(report.because.starts_with("mock: tcg, because no machine with KVM starts there"), "{report:?}");
    assert!(report.because.contains("no clone in memory"), "{report:?}");
    assert!(report.hypervisor.starts_with("TEST ") || report.hypervisor.starts_with("Test "), "{report:?}");
}

#[tokio::test]
async fn a_missing_pool_is_named_with_how_to_make_it() {
    let folder = tempfile::tempdir().unwrap();
    let driver = driver(vec![mock("attic")], folder.path(), &guest_program(folder.path()));
    let StartError::Unsuitable { what, remedy } = boot(&driver, folder.path()).await else { panic!() };
    assert_eq!(what, "the host mock has no storage pool attic");
    assert!(remedy.0.contains("virsh pool-create-as attic dir"), "{remedy:?}");
}

#[tokio::test]
async fn what_a_host_cannot_do_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let mock = roomy_mock(folder.path());
    let driver = driver(vec![mock], &folder.path().join("records"), &guest_program(folder.path()));
    // libvirt's mock-up takes no files.
    let error = boot(&driver, folder.path()).await;
    assert!(matches!(error, StartError::Refused { .. }), "{error:?}");
    assert_eq!(driver.list().await, []);
    assert!(driver.find(&"sandbox-0123456789".parse().unwrap()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_host_that_is_not_there_is_named_and_another_takes_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let program = guest_program(folder.path());
    let gone = host("gone", "qemu+unix:///system?socket=/nowhere/libvirt-sock", None);
    let alone = driver(vec![gone.clone()], folder.path(), &program);
    let StartError::Unsuitable { what, .. } = boot(&alone, folder.path()).await else { panic!() };
    assert!(what.starts_with("the host gone cannot be reached"), "{what}");
    let error = alone.probe().await.unwrap_err();
    assert!(error.to_string().starts_with("the host gone cannot be reached"), "{error}");
    let both = driver(vec![gone, roomy_mock(folder.path())], folder.path(), &program);
    let error = boot(&both, folder.path()).await;
    assert!(error.to_string().contains("the host mock refused"), "{error}");
}

#[tokio::test]
async fn no_room_anywhere_says_why_of_each_host() {
    let folder = tempfile::tempdir().unwrap();
    let small = HostSettings { memory_mib: Some(600), ..roomy_mock(folder.path()) };
    let full = HostSettings { name: "full".to_owned(), ..mock("default-pool") };
    let driver = driver(vec![small, full], folder.path(), &guest_program(folder.path()));
    let error = boot(&driver, folder.path()).await;
    assert_eq!(
        error.to_string(),
        "no host has room for another sandbox: mock has 600 MiB of memory left; full has 0 MiB of memory left"
    );
}

#[tokio::test]
async fn a_size_that_no_host_will_ever_hold_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let small = HostSettings { memory_mib: Some(600), ..roomy_mock(folder.path()) };
    let driver = driver(vec![small], folder.path(), &guest_program(folder.path()));
    let StartError::Unsuitable { what, remedy } = boot(&driver, folder.path()).await else { panic!() };
    assert_eq!(what, "a sandbox of 2048 MiB fits on no host: mock could hold one of 600 MiB");
    assert!(remedy.0.starts_with("Set sandbox.memory_mib"), "{remedy:?}");
}

#[tokio::test]
async fn a_template_that_is_not_there_is_no_template() {
    let folder = tempfile::tempdir().unwrap();
    let driver = driver(vec![mock("default-pool")], folder.path(), &guest_program(folder.path()));
    let image = read_image(&empty_image(folder.path())).unwrap().0;
    let size = MachineSize::default();
    let key = driver.template_key(&image, size).await.unwrap();
    assert_eq!(driver.template(&key).await, None);
    let larger = MachineSize { memory_mib: 4096, ..size };
    assert_ne!(driver.template_key(&image, larger).await.unwrap(), key);
    let sandbox = "sandbox-0123456789".parse().unwrap();
    let template = Template { key, folder: folder.path().to_owned() };
    let refused = driver.clone_template(CloneRequest { sandbox, template, size }).await.err().unwrap();
    assert!(refused.to_string().ends_with("is missing or damaged"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_only_look_is_told_that_more_is_not_permitted() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Libvirtd::start();
    let looking = host("there", &daemon.uri_to_look(), None);
    let driver = driver(vec![looking], folder.path(), &guest_program(folder.path()));
    let error = boot(&driver, folder.path()).await;
    assert!(error.to_string().starts_with("the host there does not permit it"), "{error}");
    assert_eq!(daemon.files(), Vec::<String>::new());
}
