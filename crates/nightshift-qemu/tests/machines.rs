//! Real QEMU processes with a guest of a few bytes instead of an operating system.

mod bench;

use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use nightshift_protocol::SandboxId;
use nightshift_qemu::{QemuDriver, QemuProgram, QemuSettings};
use nightshift_sandbox::{
    BootRequest, CloneRequest, DisplayEndpoint, Driver, FreezeError, Hold, Machine, MachineSize, StartError,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use bench::{Bench, SIZE, clone_request, fake_qemu, id, wait_until_the_guest_runs};

#[tokio::test]
async fn a_machine_boots_answers_on_its_display_and_is_stopped_without_trace() {
    let bench = Bench::new();
    let driver = bench.driver();
    let machine = bench.boot(&driver, &id('a')).await.unwrap();
    wait_until_the_guest_runs(&*machine).await;
    assert_eq!(driver.list().await, [id('a')]);

    let DisplayEndpoint::Dbus(socket) = machine.display().await.unwrap() else {
        panic!("QEMU is seen by D-Bus")
    };
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
async fn a_machine_yields_the_processor_to_its_owner() {
    let bench = Bench::new();
    let driver = bench.driver();
    let machine = bench.boot(&driver, &id('a')).await.unwrap();
    let process = fs::read_to_string(bench.path("sandboxes").join(id('a').as_str()).join("pid")).unwrap();
    // The nineteenth field, the seventeenth after the name in brackets (proc_pid_stat(5)).
    let nice = |process: &str| -> i32 {
        let facts = fs::read_to_string(format!("/proc/{}/stat", process.trim())).unwrap();
        facts.rsplit(')').next().unwrap().split_whitespace().nth(16).unwrap().parse().unwrap()
    };
    assert_eq!(nice(&process), (nice("self") + 5).min(19));
    machine.stop().await.unwrap();
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

#[tokio::test]
async fn a_spare_clone_becomes_the_machine_of_whoever_asks_next() {
    let bench = Bench::new();
    let driver = bench.driver();
    let template = bench.template(&driver).await;
    driver.keep_spare(clone_request(&id('s'), &template)).await.unwrap();
    driver.keep_spare(clone_request(&id('x'), &template)).await.unwrap();
    assert_eq!(bench.entries("sandboxes"), [id('s').as_str()]);
    let process = |sandbox: SandboxId| {
        fs::read_to_string(bench.path("sandboxes").join(sandbox.as_str()).join("pid")).unwrap()
    };
    let waiting = process(id('s'));

    let machine = driver.clone_template(clone_request(&id('a'), &template)).await.unwrap();
    assert_eq!(machine.sandbox(), &id('a'));
    assert_eq!(bench.entries("sandboxes"), [id('a').as_str()]);
    assert_eq!(process(id('a')), waiting);
    machine.channel().await.unwrap();
    drop(machine);

    // An owner that comes later knows it by its new name.
    let later = bench.driver();
    let machine = later.find(&id('a')).await.unwrap().unwrap();
    assert_eq!(machine.sandbox(), &id('a'));
    machine.stop().await.unwrap();
    assert!(bench.entries("sandboxes").is_empty());
}

#[tokio::test]
async fn a_spare_clone_that_died_costs_whoever_asks_next_nothing_but_time() {
    let bench = Bench::new();
    let driver = bench.driver();
    let template = bench.template(&driver).await;
    driver.keep_spare(clone_request(&id('s'), &template)).await.unwrap();
    let process = fs::read_to_string(bench.path("sandboxes").join(id('s').as_str()).join("pid")).unwrap();
    assert!(Command::new("kill").args(["-9", process.trim()]).status().unwrap().success());

    let machine = driver.clone_template(clone_request(&id('a'), &template)).await.unwrap();
    assert_eq!(bench.entries("sandboxes"), [id('a').as_str()]);
    machine.stop().await.unwrap();
    assert!(bench.entries("sandboxes").is_empty());
}

#[tokio::test]
async fn a_spare_clone_goes_with_its_driver_or_when_it_is_not_wanted_any_more() {
    let bench = Bench::new();
    let driver = bench.driver();
    let template = bench.template(&driver).await;
    driver.keep_spare(clone_request(&id('s'), &template)).await.unwrap();
    assert!(driver.drop_spare().await);
    assert!(!driver.drop_spare().await, "there was none any more");
    assert!(bench.entries("sandboxes").is_empty());
    driver.keep_spare(clone_request(&id('s'), &template)).await.unwrap();
    drop(driver);
    assert!(bench.entries("sandboxes").is_empty());
}

#[tokio::test]
async fn a_template_is_needed_by_its_clones_and_by_nobody_once_they_are_gone() {
    let bench = Bench::new();
    let driver = bench.driver();
    let template = bench.template(&driver).await;
    let build = async || {
        driver.builds().await.unwrap().into_iter().find(|build| build.folder == template.folder).unwrap()
    };
    let before = build().await;
    assert_eq!((before.finished, before.needed_by, before.image), (true, None, Some(bench.path("image"))));

    let clone = driver.clone_template(clone_request(&id('a'), &template)).await.unwrap();
    assert_eq!(build().await.needed_by, Some(id('a').to_string()));
    assert_eq!(driver.needs(&bench.path("image")).await.unwrap(), Some(id('a').to_string()));
    // Another owner, which knows nothing of that machine's folder, sees the files that its QEMU has open.
    let other = Bench::new();
    let stranger = QemuDriver::new(QemuSettings {
        program: QemuProgram::OnPath(std::ffi::OsString::new()),
        guest_program: other.path("guest"),
        templates: bench.path("templates"),
        sandboxes: other.path("sandboxes"),
        trial_kernel: None,
    });
    let seen =
        stranger.builds().await.unwrap().into_iter().find(|build| build.folder == template.folder).unwrap();
    assert!(seen.needed_by.is_some_and(|by| by.starts_with("process ")));

    clone.stop().await.unwrap();
    assert_eq!(build().await.needed_by, None);
    assert_eq!(driver.needs(&bench.path("image")).await.unwrap(), None);
}

#[tokio::test]
async fn a_machine_whose_disk_has_room_does_not_stand_still_and_is_told_to_go_on_in_vain() {
    let bench = Bench::new();
    let driver = bench.driver();
    let machine = bench.boot(&driver, &id('a')).await.unwrap();
    wait_until_the_guest_runs(&*machine).await;
    machine.go_on().await.unwrap();
    let waited = tokio::time::timeout(Duration::from_millis(300), machine.stalled()).await;
    assert!(waited.is_err(), "{waited:?}");
    machine.stop().await.unwrap();
}

fn too_much() -> Hold {
    Hold::Quota { written_bytes: 3 << 20, quota_bytes: 2 << 20 }
}

/// Whether the guest counts on, which takes a processor.
async fn gets_on(machine: &dyn Machine) -> bool {
    let asked_for = || machine.processor_time().unwrap_or_default();
    let before = asked_for();
    tokio::time::sleep(Duration::from_millis(400)).await;
    asked_for().saturating_sub(before) > Duration::from_millis(150)
}

#[tokio::test]
async fn a_machine_that_is_held_stands_still_for_that_reason_until_it_is_let_go_on() {
    let bench = Bench::new();
    let driver = bench.driver();
    let template = bench.template(&driver).await;
    let machine = driver.clone_template(clone_request(&id('a'), &template)).await.unwrap();
    assert!(gets_on(&*machine).await);
    let stalled = tokio::spawn({
        let machine = Arc::clone(&machine);
        async move { machine.stalled().await }
    });
    machine.hold(too_much()).await.unwrap();
    let stall = tokio::time::timeout(Duration::from_secs(10), stalled).await.unwrap().unwrap();
    assert_eq!(
        (stall.held, stall.folder),
        (Some(too_much()), bench.path("sandboxes").join(id('a').as_str()))
    );
    assert!(!gets_on(&*machine).await);

    machine.go_on().await.unwrap();
    assert!(gets_on(&*machine).await);
    let waited = tokio::time::timeout(Duration::from_millis(300), machine.stalled()).await;
    assert!(waited.is_err(), "{waited:?}");
    machine.stop().await.unwrap();
}

#[tokio::test]
async fn an_owner_that_comes_later_finds_a_held_machine_still_held_and_lets_it_go_on() {
    let bench = Bench::new();
    let driver = bench.driver();
    let template = bench.template(&driver).await;
    let machine = driver.clone_template(clone_request(&id('a'), &template)).await.unwrap();
    machine.hold(too_much()).await.unwrap();
    drop((machine, driver));

    let later = bench.driver();
    let used = later.disk_use().await.unwrap();
    assert_eq!((used.sandboxes[0].sandbox.clone(), used.sandboxes[0].held), (id('a'), Some(too_much())));
    let machine = later.find(&id('a')).await.unwrap().expect("it was not taken for a leftover");
    assert_eq!(machine.stalled().await.held, Some(too_much()));
    assert!(!gets_on(&*machine).await);
    machine.go_on().await.unwrap();
    assert!(gets_on(&*machine).await);
    assert_eq!(later.disk_use().await.unwrap().sandboxes[0].held, None);
    machine.stop().await.unwrap();
    assert_eq!(later.disk_use().await.unwrap().sandboxes, []);
}

#[tokio::test]
async fn a_machine_that_is_booted_for_a_template_is_not_held_and_a_spare_clone_is_not_counted() {
    let bench = Bench::new();
    let driver = bench.driver();
    let machine = bench.boot(&driver, &id('b')).await.unwrap();
    assert!(machine.hold(too_much()).await.is_err());
    assert!(gets_on(&*machine).await);
    machine.stop().await.unwrap();
    let template = bench.template(&driver).await;
    driver.keep_spare(clone_request(&id('s'), &template)).await.unwrap();
    assert_eq!(bench.entries("sandboxes"), [id('s').as_str()]);
    assert_eq!(driver.disk_use().await.unwrap().sandboxes, []);
}
