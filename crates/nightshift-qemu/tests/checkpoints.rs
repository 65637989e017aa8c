//! Checkpoints of real QEMU processes, with a guest that counts.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod bench;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bench::{Bench, SIZE, clone_request, id, wait_until_the_guest_runs};
use nightshift_protocol::CheckpointId;
use nightshift_qemu::QemuDriver;
use nightshift_sandbox::{
    AfterSave, BootRequest, CheckpointError, CheckpointFacts, Checkpoints, Driver, FreezeError, Generation,
    Hold, Machine, RestoreRequest, SaveRequest, StartError, TemplateKey,
};

fn checkpoint(letter: char) -> CheckpointId {
    format!("checkpoint-{}", String::from(letter).repeat(10)).parse().unwrap()
}

async fn save(
    driver: &QemuDriver,
    machine: &Arc<dyn Machine>,
    letter: char,
    then: AfterSave,
) -> Result<CheckpointFacts, CheckpointError> {
    driver.save(SaveRequest { checkpoint: checkpoint(letter), machine: Arc::clone(machine), then }).await
}

fn restore(sandbox: char, letter: char, generation: Generation) -> RestoreRequest {
    RestoreRequest { sandbox: id(sandbox), checkpoint: checkpoint(letter), generation }
}

/// Whether the guest counts: its memory changes while it runs.
async fn counts(driver: &QemuDriver, machine: &Arc<dyn Machine>) -> bool {
    driver.stand_still(machine).await.unwrap();
    let before = driver.memory_hash(machine).await.unwrap();
    // A busy host may not have let the guest run at all in the first of these moments.
    for _ in 0..100 {
        driver.go_on(machine).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        driver.stand_still(machine).await.unwrap();
        if driver.memory_hash(machine).await.unwrap() != before {
            driver.go_on(machine).await.unwrap();
            return true;
        }
    }
    false
}

async fn a_clone(bench: &Bench, driver: &QemuDriver) -> Arc<dyn Machine> {
    let template = bench.template(driver).await;
    driver.clone_template(clone_request(&id('a'), &template)).await.unwrap()
}

#[tokio::test]
async fn a_machine_rewound_again_and_again_has_the_memory_that_was_saved() {
    let bench = Bench::new();
    let driver = bench.driver();
    let machine = a_clone(&bench, &driver).await;
    driver.stand_still(&machine).await.unwrap();
    let saved = driver.memory_hash(&machine).await.unwrap();
    save(&driver, &machine, 'a', AfterSave::GoOn).await.unwrap();
    assert_eq!(driver.memory_hash(&machine).await.unwrap(), saved);
    driver.go_on(&machine).await.unwrap();
    assert!(counts(&driver, &machine).await);

    let mut machine = machine;
    for _ in 0..3 {
        machine.stop().await.unwrap();
        machine = driver.restore_standing(restore('a', 'a', Generation::Kept)).await.unwrap();
        assert_eq!(driver.memory_hash(&machine).await.unwrap(), saved);
        driver.go_on(&machine).await.unwrap();
        assert!(counts(&driver, &machine).await);
    }
    machine.stop().await.unwrap();
    assert!(bench.entries("sandboxes").is_empty());
}

#[tokio::test]
async fn a_checkpoint_costs_what_changed_since_the_one_before() {
    let bench = Bench::new();
    let driver = bench.driver();
    let machine = a_clone(&bench, &driver).await;
    let first = save(&driver, &machine, 'a', AfterSave::GoOn).await.unwrap();
    let second = save(&driver, &machine, 'b', AfterSave::GoOn).await.unwrap();
    assert!(first.changed_bytes > second.changed_bytes, "{first:?} {second:?}");
    // The guest changes one page; all else is the devices' state and bookkeeping.
    assert_eq!(second.changed_bytes, 4096);
    assert!(second.written_bytes < 64 * 1024, "{second:?}");
    assert_eq!(driver.find_checkpoint(&checkpoint('b')).await, Some(second));
    assert_eq!(driver.list_checkpoints().await, [checkpoint('a'), checkpoint('b')]);
    machine.stop().await.unwrap();
}

#[tokio::test]
async fn after_many_checkpoints_the_newest_still_has_all_of_the_memory() {
    let bench = Bench::new();
    let driver = bench.driver();
    let machine = a_clone(&bench, &driver).await;
    for letter in "0123456789abcdefghjk".chars() {
        save(&driver, &machine, letter, AfterSave::GoOn).await.unwrap();
        if letter != 'k' {
            driver.remove_checkpoint(&checkpoint(letter)).await.unwrap();
        }
    }
    driver.stand_still(&machine).await.unwrap();
    let saved = driver.memory_hash(&machine).await.unwrap();
    save(&driver, &machine, 'z', AfterSave::End).await.unwrap();
    let machine = driver.restore_standing(restore('a', 'z', Generation::Kept)).await.unwrap();
    assert_eq!(driver.memory_hash(&machine).await.unwrap(), saved);
    machine.stop().await.unwrap();
}

#[tokio::test]
async fn a_machine_that_may_not_be_looked_into_is_saved_whole_and_comes_back_as_it_was() {
    let bench = Bench::new();
    let blind = bench.driver().with_kernel(bench.path("nothing"));
    let machine = a_clone(&bench, &blind).await;
    assert!(counts(&blind, &machine).await);
    // It is only the saving that cannot look; this test still does.
    blind.stand_still(&machine).await.unwrap();
    let saved = blind.memory_hash(&machine).await.unwrap();
    let facts = save(&blind, &machine, 'a', AfterSave::GoOn).await.unwrap();
    assert_eq!(facts.changed_bytes, 64 << 20);
    assert_eq!(blind.memory_hash(&machine).await.unwrap(), saved);
    assert!(counts(&blind, &machine).await, "it goes on");
    machine.stop().await.unwrap();

    let machine = blind.restore_standing(restore('a', 'a', Generation::Kept)).await.unwrap();
    assert_eq!(blind.memory_hash(&machine).await.unwrap(), saved);
    blind.go_on(&machine).await.unwrap();
    assert!(counts(&blind, &machine).await);
    // Suspended, and saved once more as all others are by an owner that may look.
    save(&blind, &machine, 'b', AfterSave::End).await.unwrap();
    let machine = blind.restore(restore('a', 'b', Generation::Kept)).await.unwrap();
    let driver = bench.driver();
    drop(machine);
    drop(blind);
    let machine = driver.find(&id('a')).await.unwrap().unwrap();
    driver.stand_still(&machine).await.unwrap();
    let before = driver.memory_hash(&machine).await.unwrap();
    save(&driver, &machine, 'c', AfterSave::End).await.unwrap();
    let machine = driver.restore_standing(restore('a', 'c', Generation::Kept)).await.unwrap();
    assert_eq!(driver.memory_hash(&machine).await.unwrap(), before);
    machine.stop().await.unwrap();
}

/// How many layers the disk of a checkpoint has.
fn layers(bench: &Bench, checkpoint: &CheckpointId) -> usize {
    let names = bench.entries(&format!("checkpoints/{checkpoint}"));
    names.iter().filter(|name| name.starts_with("layer-")).count()
}

#[tokio::test]
async fn after_two_hundred_checkpoints_the_disk_has_few_layers_and_every_one_that_was_kept_comes_back() {
    let bench = Bench::new();
    let driver = bench.driver();
    let mut machine = a_clone(&bench, &driver).await;
    // It runs between those that are kept only, which is quicker.
    driver.stand_still(&machine).await.unwrap();
    let numbered = |number: u32| format!("checkpoint-{number:010}").parse::<CheckpointId>().unwrap();
    let mut kept = Vec::new();
    for number in 0..210 {
        let keeps = number % 70 == 0;
        if keeps {
            kept.push((number, driver.memory_hash(&machine).await.unwrap()));
        }
        let then = if number == 100 { AfterSave::End } else { AfterSave::GoOn };
        let request = SaveRequest { checkpoint: numbered(number), machine: Arc::clone(&machine), then };
        driver.save(request).await.unwrap();
        assert!(layers(&bench, &numbered(number)) <= 48, "{number}");
        if keeps {
            assert!(counts(&driver, &machine).await);
            driver.stand_still(&machine).await.unwrap();
        }
        if then == AfterSave::End {
            // From here on the layers of its first life lie below it.
            let checkpoint = numbered(number);
            let request = RestoreRequest { sandbox: id('a'), checkpoint, generation: Generation::Kept };
            machine = driver.restore(request).await.unwrap();
            // QEMU has taken hold of the disk once the guest has run.
            driver.stand_still(&machine).await.unwrap();
        }
        let before = number.checked_sub(1).filter(|before| before % 70 != 0);
        if let Some(before) = before {
            driver.remove_checkpoint(&numbered(before)).await.unwrap();
        }
    }
    machine.stop().await.unwrap();
    assert_eq!(kept.len(), 3);
    for (number, memory) in kept {
        let checkpoint = numbered(number);
        let request = RestoreRequest { sandbox: id('a'), checkpoint, generation: Generation::Kept };
        let machine = driver.restore_standing(request).await.unwrap();
        assert_eq!(driver.memory_hash(&machine).await.unwrap(), memory, "{number}");
        driver.go_on(&machine).await.unwrap();
        assert!(counts(&driver, &machine).await);
        machine.stop().await.unwrap();
    }
}

#[tokio::test]
async fn forks_run_beside_the_machine_without_its_template_or_its_checkpoint() {
    let bench = Bench::new();
    let driver = bench.driver();
    let machine = a_clone(&bench, &driver).await;
    save(&driver, &machine, 'a', AfterSave::GoOn).await.unwrap();
    for entry in bench.entries("templates").iter().filter(|entry| entry.len() == 32) {
        fs::remove_dir_all(bench.path("templates").join(entry)).unwrap();
    }
    fs::remove_file(bench.path("image/disk.qcow2")).unwrap();
    let (one, two) = tokio::join!(
        driver.restore(restore('b', 'a', Generation::Fresh)),
        driver.restore(restore('c', 'a', Generation::Fresh)),
    );
    let (one, two) = (one.unwrap(), two.unwrap());
    driver.copy(&checkpoint('a'), &checkpoint('e')).await.unwrap();
    driver.remove_checkpoint(&checkpoint('a')).await.unwrap();
    machine.stop().await.unwrap();
    let copied = driver.restore(restore('e', 'e', Generation::Fresh)).await.unwrap();
    assert!(counts(&driver, &copied).await);
    copied.stop().await.unwrap();
    for machine in [&one, &two] {
        assert!(counts(&driver, machine).await);
    }
    // A fork of a fork, which has all that its checkpoint needs.
    save(&driver, &one, 'b', AfterSave::GoOn).await.unwrap();
    one.stop().await.unwrap();
    let fork = driver.restore(restore('d', 'b', Generation::Fresh)).await.unwrap();
    assert!(counts(&driver, &fork).await);
    fork.stop().await.unwrap();
    two.stop().await.unwrap();
    assert!(bench.entries("sandboxes").is_empty());
}

#[tokio::test]
async fn a_suspended_machine_is_gone_until_another_owner_brings_it_back() {
    let bench = Bench::new();
    let driver = bench.driver();
    let machine = a_clone(&bench, &driver).await;
    save(&driver, &machine, 'a', AfterSave::End).await.unwrap();
    assert_eq!(machine.ended().await, "it was suspended to disk");
    assert!(bench.entries("sandboxes").is_empty());
    let refused = save(&driver, &machine, 'b', AfterSave::GoOn).await.unwrap_err();
    assert!(matches!(refused, CheckpointError::Denied(_)), "{refused:?}");
    drop(machine);

    let later = bench.driver();
    assert!(Driver::find(&later, &id('a')).await.unwrap().is_none());
    let machine = later.restore(restore('a', 'a', Generation::Kept)).await.unwrap();
    assert!(counts(&later, &machine).await);
    machine.stop().await.unwrap();
}

#[tokio::test]
async fn a_checkpoint_that_cannot_be_written_lets_the_machine_go_on_and_leaves_nothing() {
    let bench = Bench::new();
    let driver = bench.driver();
    let machine = a_clone(&bench, &driver).await;
    fs::write(bench.path("checkpoints"), "in the way").unwrap();
    for then in [AfterSave::GoOn, AfterSave::End] {
        let refused = save(&driver, &machine, 'a', then).await.unwrap_err();
        assert!(matches!(refused, CheckpointError::Io { .. }), "{refused:?}");
        assert!(counts(&driver, &machine).await);
    }
    fs::remove_file(bench.path("checkpoints")).unwrap();
    save(&driver, &machine, 'a', AfterSave::GoOn).await.unwrap();
    machine.stop().await.unwrap();
}

#[tokio::test]
async fn a_guest_left_standing_by_an_owner_that_died_in_a_checkpoint_goes_on() {
    let bench = Bench::new();
    let driver = bench.driver();
    let machine = a_clone(&bench, &driver).await;
    driver.stand_still(&machine).await.unwrap();
    fs::write(bench.path("sandboxes").join(id('a').as_str()).join("checkpointing"), "").unwrap();
    let begun: PathBuf = bench.path("checkpoints").join(format!("{}.partial", checkpoint('a')));
    fs::create_dir_all(&begun).unwrap();
    drop(machine);

    let later = bench.driver();
    let machine = Driver::find(&later, &id('a')).await.unwrap().unwrap();
    assert!(counts(&later, &machine).await);
    assert_eq!(later.list_checkpoints().await, [checkpoint('a')]);
    assert_eq!(later.find_checkpoint(&checkpoint('a')).await, None);
    // The same checkpoint is asked for again.
    save(&later, &machine, 'a', AfterSave::GoOn).await.unwrap();
    assert!(!begun.exists());
    machine.stop().await.unwrap();
}

#[tokio::test]
async fn a_guest_that_stands_for_no_checkpoint_was_never_finished_and_is_removed() {
    let bench = Bench::new();
    let driver = bench.driver();
    let machine = a_clone(&bench, &driver).await;
    driver.stand_still(&machine).await.unwrap();
    drop(machine);
    assert!(Driver::find(&bench.driver(), &id('a')).await.unwrap().is_none());
    assert!(bench.entries("sandboxes").is_empty());
}

#[tokio::test]
async fn a_machine_that_becomes_a_template_and_a_checkpoint_that_is_not_there_are_refused() {
    let bench = Bench::new();
    let driver = bench.driver();
    let image = bench.image();
    let key = driver.template_key(&image, SIZE).await.unwrap();
    let machine = driver.boot(BootRequest { sandbox: id('t'), image, key, size: SIZE }).await.unwrap();
    wait_until_the_guest_runs(&*machine).await;
    let refused = save(&driver, &machine, 'a', AfterSave::GoOn).await.unwrap_err();
    assert!(matches!(refused, CheckpointError::Refused { .. }), "{refused:?}");
    assert!(counts(&driver, &machine).await);
    machine.stop().await.unwrap();

    let refused = driver.restore(restore('a', 'a', Generation::Kept)).await.map(|_| ()).unwrap_err();
    assert!(matches!(refused, StartError::Unsuitable { .. }), "{refused:?}");
    assert!(bench.entries("sandboxes").is_empty());
}

fn key(digit: char) -> TemplateKey {
    TemplateKey(String::from(digit).repeat(32))
}

#[tokio::test]
async fn a_clone_that_has_moved_on_becomes_a_template_whose_clones_go_on_from_there() {
    let bench = Bench::new();
    let driver = bench.driver();
    let machine = a_clone(&bench, &driver).await;
    assert!(counts(&driver, &machine).await);
    let template = driver.freeze_clone(Arc::clone(&machine), key('e')).await.unwrap();
    assert_eq!(template.folder, bench.path("templates").join(key('e').0));
    assert!(bench.entries("sandboxes").is_empty(), "the machine it was made of is gone");
    assert_eq!(driver.template(&key('e')).await, Some(template.clone()));
    // Nothing of the template below it is needed any more.
    for entry in bench.entries("templates").iter().filter(|entry| entry.len() == 32 && **entry != key('e').0)
    {
        fs::remove_dir_all(bench.path("templates").join(entry)).unwrap();
    }
    fs::remove_file(bench.path("image/disk.qcow2")).unwrap();
    let memory = fs::read(template.folder.join("memory")).unwrap();
    let one = driver.clone_template(clone_request(&id('b'), &template)).await.unwrap();
    let two = driver.clone_template(clone_request(&id('c'), &template)).await.unwrap();
    for machine in [&one, &two] {
        assert!(counts(&driver, machine).await);
    }
    assert!(fs::read(template.folder.join("memory")).unwrap() == memory, "no clone wrote to the template");
    // Its clones have checkpoints as all have, and may become templates themselves.
    save(&driver, &one, 'a', AfterSave::End).await.unwrap();
    let one = driver.restore(restore('b', 'a', Generation::Kept)).await.unwrap();
    assert!(counts(&driver, &one).await);
    let second = driver.freeze_clone(one, key('f')).await.unwrap();
    driver.remove_template(&key('e')).await.unwrap();
    driver.remove_template(&key('e')).await.unwrap();
    assert!(counts(&driver, &two).await, "a clone outlives its template");
    assert_eq!(driver.template(&key('e')).await, None);
    let third = driver.clone_template(clone_request(&id('d'), &second)).await.unwrap();
    assert!(counts(&driver, &third).await);
    third.stop().await.unwrap();
    two.stop().await.unwrap();
}

#[tokio::test]
async fn a_clone_that_cannot_be_frozen_goes_on_and_leaves_nothing() {
    let bench = Bench::new();
    let driver = bench.driver();
    let machine = a_clone(&bench, &driver).await;
    let refused = driver.freeze_clone(Arc::clone(&machine), TemplateKey("../x".to_owned())).await;
    assert!(matches!(refused, Err(FreezeError::Refused { .. })), "{refused:?}");
    let before = bench.entries("templates");
    fs::write(bench.path("templates").join(key('e').0), "in the way of a folder").unwrap();
    let refused = driver.freeze_clone(Arc::clone(&machine), key('e')).await;
    assert!(matches!(refused, Err(FreezeError::Io { .. })), "{refused:?}");
    fs::remove_file(bench.path("templates").join(key('e').0)).unwrap();
    assert_eq!(bench.entries("templates"), before);
    assert!(counts(&driver, &machine).await);
    machine.stop().await.unwrap();
}

#[tokio::test]
async fn a_machine_that_is_held_is_saved_as_it_stands_and_stands_still_afterwards() {
    let bench = Bench::new();
    let driver = bench.driver();
    let machine = a_clone(&bench, &driver).await;
    let why = Hold::Quota { written_bytes: 3, quota_bytes: 2 };
    machine.hold(why).await.unwrap();
    let before = driver.memory_hash(&machine).await.unwrap();
    save(&driver, &machine, 'a', AfterSave::GoOn).await.unwrap();
    assert_eq!(machine.stalled().await.held, Some(why));
    assert_eq!(driver.memory_hash(&machine).await.unwrap(), before);
    machine.stop().await.unwrap();
}

/// What a sandbox has written in MiB, and in spite of what a person let it go on.
async fn account(driver: &QemuDriver, sandbox: char) -> (u64, Option<Hold>) {
    let seen = driver.disk_use().await.unwrap();
    let one = seen.sandboxes.into_iter().find(|one| one.sandbox == id(sandbox)).unwrap();
    assert_eq!(one.held, None);
    (one.bytes >> 20, one.let_go)
}

#[tokio::test]
async fn what_a_machine_wrote_and_may_write_comes_back_with_it_and_goes_into_no_template_made_of_it() {
    let bench = Bench::new();
    let driver = bench.driver();
    let machine = a_clone(&bench, &driver).await;
    let layer = bench.path("sandboxes").join(id('a').as_str()).join("disk-written.qcow2");
    fs::write(layer, vec![1; 5 << 20]).unwrap();
    let why = Hold::Quota { written_bytes: 5 << 20, quota_bytes: 5 << 20 };
    machine.hold(why).await.unwrap();
    machine.go_on().await.unwrap();
    assert_eq!(account(&driver, 'a').await, (5, Some(why)));

    save(&driver, &machine, 'a', AfterSave::End).await.unwrap();
    let machine = driver.restore(restore('a', 'a', Generation::Kept)).await.unwrap();
    assert_eq!(account(&driver, 'a').await, (5, Some(why)));
    // It stands still while it is saved, and whoever brings it back wants it to go on.
    let again = Hold::Quota { written_bytes: 10 << 20, quota_bytes: 5 << 20 };
    machine.hold(again).await.unwrap();
    save(&driver, &machine, 'b', AfterSave::End).await.unwrap();
    let machine = driver.restore(restore('a', 'b', Generation::Kept)).await.unwrap();
    assert_eq!(account(&driver, 'a').await, (5, Some(again)));
    assert!(counts(&driver, &machine).await);

    let template = driver.freeze_clone(machine, key('e')).await.unwrap();
    let machine = driver.clone_template(clone_request(&id('b'), &template)).await.unwrap();
    assert_eq!(account(&driver, 'b').await, (0, None));
    machine.stop().await.unwrap();
}
