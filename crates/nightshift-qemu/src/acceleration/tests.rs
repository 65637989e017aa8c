use super::*;
use std::os::unix::fs::PermissionsExt;

use crate::program::QemuProgram;

fn stopped(said: &str) -> Outcome {
    Outcome::Stopped { said: said.to_owned() }
}

/// A QEMU that says its version, counts its other starts in `count`, and then does what `script` says.
async fn fake_qemu(folder: &Path, script: &str) -> Qemu {
    let (program, partial) = (folder.join("qemu"), folder.join("partial"));
    let count = folder.join("count");
    let text = format!(
        "#!/bin/sh\nPATH=/usr/bin:/bin\nif [ \"$1\" = --version ]; then echo 'QEMU emulator version 10.0.2'; exit; fi\n\
         echo x >> {}\n{script}\n",
        count.display()
    );
    fs::write(&partial, text).unwrap();
    fs::set_permissions(&partial, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(&partial, &program).unwrap();
    Qemu::find(&QemuProgram::At(program), None).await.unwrap()
}

fn starts(folder: &Path) -> usize {
    fs::read_to_string(folder.join("count")).unwrap_or_default().lines().count()
}

fn tester<'a>(folder: &'a Path, device: &'a Path) -> Tester<'a> {
    Tester { folder, device, host_start: "one".to_owned() }
}

/// A device that opens.
fn device(folder: &Path) -> PathBuf {
    let device = folder.join("kvm");
    fs::write(&device, "").unwrap();
    device
}

#[test]
fn the_first_processor_that_ran_a_guest_is_taken() {
    let verdict = decide(&[("host", stopped("no")), ("host,x=off", Outcome::Ran)]);
    let processor = Processor { acceleration: Acceleration::Kvm, model: "host,x=off".to_owned() };
    assert_eq!(verdict.processor, processor);
}

#[test]
fn when_none_ran_the_reason_says_what_happened_to_each() {
    let verdict = decide(&[
        ("host", stopped("failed to set MSR 0x10a")),
        ("host,x=off", Outcome::Silent),
        ("x", Outcome::Slow),
    ]);
    assert_eq!(verdict.processor, Processor::translated());
    insta::assert_snapshot!(verdict.because, @r#"KVM opens, but no guest runs with it: with processor "host" it stopped (failed to set MSR 0x10a); with processor "host,x=off" it did nothing for 4 s; with processor "x" it was not up after 12 s"#);
}

#[test]
fn a_device_that_is_closed_says_why() {
    let device = Path::new("/dev/kvm");
    insta::assert_snapshot!(why_closed(device, &io::ErrorKind::NotFound.into()), @"there is no /dev/kvm: virtualization is switched off in the firmware, or not passed on to this machine");
    insta::assert_snapshot!(why_closed(device, &io::ErrorKind::PermissionDenied.into()), @"this user may not open /dev/kvm: add it to the group kvm and log in again");
}

#[test]
fn an_internal_error_is_seen_before_qemu_ends() {
    assert_eq!(judge(b"KVM internal error. Suberror: 1\nRAX=0"), Some(stopped("KVM internal error")));
    assert_eq!(judge(b"SeaBIOS"), None);
    assert_eq!(judge(format!("[ 0.1]\r\n{SIGN_OF_LIFE}\r\n").as_bytes()), Some(Outcome::Ran));
}

#[test]
fn qemus_error_says_more_than_the_failed_assertion_after_it() {
    let output = b"qemu: error: failed to set MSR 0x10a to 0xc000069\nqemu: kvm.c:3849: Assertion failed.\n";
    assert_eq!(reason(output), "failed to set MSR 0x10a to 0xc000069");
    assert_eq!(reason(b"one\ntwo\n\n"), "two");
    assert_eq!(reason(b""), "QEMU printed nothing");
}

#[tokio::test]
async fn a_qemu_that_dies_leads_to_translation_and_is_not_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let device = device(folder.path());
    let qemu = fake_qemu(folder.path(), "echo 'error: no such register' >&2; exit 1").await;
    let tester = tester(folder.path(), &device);
    let first = tester.verdict(&qemu, None, Trial::Remembered).await.unwrap();
    assert_eq!(first.processor.acceleration, Acceleration::Tcg);
    assert_eq!(starts(folder.path()), KVM_PROCESSORS.len());

    assert_eq!(tester.verdict(&qemu, None, Trial::Remembered).await.unwrap(), first);
    assert_eq!(starts(folder.path()), KVM_PROCESSORS.len());
    tester.verdict(&qemu, None, Trial::Fresh).await.unwrap();
    assert_eq!(starts(folder.path()), 2 * KVM_PROCESSORS.len());
}

#[tokio::test]
async fn a_host_that_started_anew_is_tried_anew() {
    let folder = tempfile::tempdir().unwrap();
    let device = device(folder.path());
    let qemu = fake_qemu(folder.path(), "exit 1").await;
    tester(folder.path(), &device).verdict(&qemu, None, Trial::Remembered).await.unwrap();
    let later = Tester { host_start: "two".to_owned(), ..tester(folder.path(), &device) };
    later.verdict(&qemu, None, Trial::Remembered).await.unwrap();
    assert_eq!(starts(folder.path()), 2 * KVM_PROCESSORS.len());
}

#[tokio::test]
async fn a_boot_sector_that_ran_is_believed_but_not_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let device = device(folder.path());
    let qemu = fake_qemu(folder.path(), &format!("echo '{SIGN_OF_LIFE}'; exec sleep 60")).await;
    let tester = tester(folder.path(), &device);
    for expected_starts in [1, 2] {
        let verdict = tester.verdict(&qemu, None, Trial::Remembered).await.unwrap();
        assert_eq!(
            verdict.processor,
            Processor { acceleration: Acceleration::Kvm, model: "host".to_owned() }
        );
        assert_eq!(starts(folder.path()), expected_starts);
    }
    let kernel = folder.path().join("vmlinux");
    tester.verdict(&qemu, Some(&kernel), Trial::Remembered).await.unwrap();
    tester.verdict(&qemu, Some(&kernel), Trial::Remembered).await.unwrap();
    assert_eq!(starts(folder.path()), 3);
}

/// What comes of a guest that does what `script` says and then waits for ever; it is dead afterwards.
async fn outcome_of_a_guest_that_waits(script: &str) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let started = folder.path().join("started");
    let script = format!("echo $$ >> {}; {script}; exec sleep 60", started.display());
    let qemu = fake_qemu(folder.path(), &script).await;
    let guest = Guest::new(None, folder.path()).unwrap();
    // With the clock standing still until nothing else happens, limits are reached at once.
    tokio::time::pause();
    let outcome = guest.run(&qemu, "host").await.unwrap();
    for process in fs::read_to_string(started).unwrap_or_default().lines() {
        assert!(!Path::new("/proc").join(process).exists());
    }
    outcome
}

#[tokio::test]
async fn a_guest_that_does_nothing_is_given_up_and_killed() {
    assert_eq!(outcome_of_a_guest_that_waits("true").await, Outcome::Silent);
}

#[tokio::test]
async fn a_guest_that_only_talks_is_given_up() {
    let (mut writer, reader) = io_pipe().unwrap();
    io::Write::write_all(&mut writer, b"[0.0] Linux version").unwrap();
    tokio::time::pause();
    assert!(timeout(TRIAL_LIMIT, watch(reader)).await.is_err());
}

#[tokio::test]
async fn without_the_device_no_guest_is_tried() {
    let folder = tempfile::tempdir().unwrap();
    let qemu = fake_qemu(folder.path(), "exit 1").await;
    let none = folder.path().join("kvm");
    let verdict = tester(folder.path(), &none).verdict(&qemu, None, Trial::Remembered).await.unwrap();
    assert_eq!((verdict.processor, starts(folder.path())), (Processor::translated(), 0));
}

#[test]
fn the_first_program_is_one_that_linux_runs() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("init");
    fs::write(&program, first_program()).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let output = std::process::Command::new("/bin/sh").arg("-c").arg(&program).output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{SIGN_OF_LIFE}\n"));
}

#[test]
fn the_boot_sector_is_one_that_a_machine_runs() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    fs::write(&disk, boot_sector()).unwrap();
    let mut child = std::process::Command::new("qemu-system-x86_64")
        .args([
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            "-accel",
            "tcg",
            "-m",
            "64M",
            "-serial",
            "stdio",
        ])
        .arg("-drive")
        .arg(format!("if=ide,format=raw,snapshot=on,file={}", disk.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = vec![0; SIGN_OF_LIFE.len()];
    io::Read::read_exact(&mut child.stdout.take().unwrap(), &mut said).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(String::from_utf8(said).unwrap(), SIGN_OF_LIFE);
}
