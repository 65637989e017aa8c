//! A real guest on real libvirt hosts: one that is full, and one that is reached by its own socket.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a failed step is a failed test; a test may sleep and reads where the image is"
)]

mod bench;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bench::{driver, host};
use hosts::Libvirtd;
use nightshift_channel::{Channel, Command, GuestUser, JobId};
use nightshift_image::read_image;
use nightshift_sandbox::{
    AfterSave, BootRequest, CloneRequest, DisplayEndpoint, Driver, Generation, Machine, MachineSize,
    RestoreRequest, SaveRequest, TemplateKey,
};
use nightshift_screen::Screen;

const BOOT_WITHIN: Duration = Duration::from_secs(400);
const SIZE: MachineSize = MachineSize { memory_mib: 1024, processors: 2 };

fn environment(name: &str) -> PathBuf {
    std::env::var_os(name).unwrap_or_else(|| panic!("{name} is not set; run ./dev test libvirt")).into()
}

/// A channel to a machine's guest; its sessions are told apart by a number.
async fn channel(machine: &Arc<dyn Machine>, number: u8) -> Channel {
    let stream = machine.channel().await.unwrap();
    Channel::open(stream, [number; 16], BOOT_WITHIN).await.unwrap()
}

/// What a command in the guest prints.
async fn said(channel: &Channel, job: &str, script: &str) -> String {
    let command =
        Command::shell(JobId::new(job).unwrap(), script).user(GuestUser::Root).time_limit(BOOT_WITHIN);
    let done = channel.start(command).await.unwrap().collect(64 * 1024).await.unwrap();
    String::from_utf8_lossy(&done.stdout).trim().to_owned()
}

/// How many colours a machine's screen shows.
async fn colours(machine: &Arc<dyn Machine>) -> usize {
    let DisplayEndpoint::Vnc(socket) = machine.display().await.unwrap() else {
        panic!("it is not seen by VNC")
    };
    let stream = std::os::unix::net::UnixStream::from(socket);
    stream.set_nonblocking(true).unwrap();
    let screen = Screen::attach_vnc(tokio::net::UnixStream::from_std(stream).unwrap()).await.unwrap();
    screen.first_frame(Duration::from_secs(60)).await.unwrap();
    let frame = screen.frame().await.unwrap();
    assert_eq!((frame.size().width(), frame.size().height()), (1280, 800));
    let file = frame.encode_png().unwrap();
    // A picture of one colour is a few hundred bytes long; a desktop is tens of thousands.
    file.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_boots_on_the_host_with_room_answers_shows_itself_and_is_cloned_saved_forked_and_resumed() {
    let (image, guest) = (environment("NIGHTSHIFT_TEST_IMAGE"), environment("NIGHTSHIFT_GUEST"));
    let image = read_image(&image).unwrap().0;
    let folder = tempfile::tempdir().unwrap();
    let (full, roomy) = (Libvirtd::start(), Libvirtd::start());
    let hosts = || vec![host("full", &full.uri(), Some(600)), host("roomy", &roomy.uri(), None)];
    let driver_of = || driver(hosts(), folder.path(), &guest);
    let driver = driver_of();
    let id = |letter: char| format!("sandbox-000000000{letter}").parse().unwrap();

    // The image goes to the host with room, and boots there.
    let key = driver.template_key(&image, SIZE).await.unwrap();
    let boot = BootRequest { sandbox: id('a'), image, key: key.clone(), size: SIZE };
    let booted = driver.boot(boot).await.unwrap();
    assert!(booted.booted());
    assert_eq!((full.machines(), roomy.machines()), (vec![], vec!["sandbox-000000000a".to_owned()]));
    let talking = channel(&booted, 1).await;
    let script =
        "until [ -e /run/nightshift/desktop-ready ]; do sleep 0.3; done; echo kept >/run/mark; echo up";
    assert_eq!(said(&talking, "up", script).await, "up");
    assert_eq!(said(&talking, "cards", "ls /sys/class/net").await, "lo");
    let shown = colours(&booted).await;
    assert!(shown > 20_000, "the picture of the desktop is {shown} bytes long");
    drop(talking);

    // Frozen, and cloned: what was only in its memory is in the clone's.
    let template = driver.freeze(booted).await.unwrap();
    assert_eq!(driver.template(&key).await.as_ref(), Some(&template));
    assert_eq!(roomy.machines(), Vec::<String>::new());
    let clone = CloneRequest { sandbox: id('b'), template, size: SIZE };
    let machine = driver.clone_template(clone).await.unwrap();
    assert!(!machine.booted());
    let talking = channel(&machine, 2).await;
    assert_eq!(
        said(&talking, "mark", "cat /run/mark; echo first >/run/own; echo first >/root/own; sync").await,
        "kept"
    );

    // Saved while it runs, and forked from there: the channel stays open, and the fork knows nothing of what came after.
    let checkpoints = driver.checkpoints().unwrap();
    let (one, two) = ("checkpoint-0000000001".parse().unwrap(), "checkpoint-0000000002".parse().unwrap());
    let save = |checkpoint, machine: &Arc<dyn Machine>, then| SaveRequest {
        checkpoint,
        machine: Arc::clone(machine),
        then,
    };
    let facts = checkpoints.save(save(one, &machine, AfterSave::GoOn)).await.unwrap();
    assert!(facts.written_bytes > 50 << 20 && facts.paused <= facts.took, "{facts:?}");
    assert_eq!(said(&talking, "after", "echo second | tee /run/own /root/own; sync").await, "second");
    let one: nightshift_protocol::CheckpointId = facts.checkpoint;
    let restore = |sandbox, checkpoint, generation| RestoreRequest { sandbox, checkpoint, generation };
    let fork = checkpoints.restore(restore(id('c'), one.clone(), Generation::Fresh)).await.unwrap();
    let forked = channel(&fork, 3).await;
    assert_eq!(said(&forked, "own", "cat /run/own /root/own").await, "first\nfirst");
    assert!(colours(&fork).await > 20_000);
    assert_eq!(said(&talking, "still", "cat /run/own").await, "second");

    // Another owner finds the machine, and speaks to it.
    drop((talking, machine));
    let later = driver_of();
    let found = later.find(&id('b')).await.unwrap().unwrap();
    let talking = channel(&found, 4).await;
    assert_eq!(said(&talking, "found", "cat /run/own").await, "second");
    drop(talking);

    // Suspended to disk, and resumed as the same machine.
    let checkpoints = later.checkpoints().unwrap();
    checkpoints.save(save(two, &found, AfterSave::End)).await.unwrap();
    let two: nightshift_protocol::CheckpointId = "checkpoint-0000000002".parse().unwrap();
    assert_eq!(roomy.machines(), ["sandbox-000000000c"]);
    assert_eq!(later.list().await, [id('c')]);
    let resumed = checkpoints.restore(restore(id('b'), two.clone(), Generation::Kept)).await.unwrap();
    let talking = channel(&resumed, 5).await;
    assert_eq!(
        said(&talking, "resumed", "cat /run/own /root/own; cat /run/mark").await,
        "second\nsecond\nkept"
    );
    drop(talking);

    // Somebody on the host ends a machine: that is its end, and not an error.
    roomy.virsh(&["destroy", "sandbox-000000000c"]);
    let ended = tokio::time::timeout(Duration::from_secs(20), fork.ended()).await.unwrap();
    assert!(ended.contains("its virtual machine ended"), "{ended}");
    assert!(driver.find(&id('c')).await.unwrap().is_none());

    // Worked in, it becomes a template of its own, and what clones of it begin with is there and nowhere else.
    let key = TemplateKey("e".repeat(32));
    let environment = later.freeze_clone(resumed, key.clone()).await.unwrap();
    assert_eq!(later.template(&key).await.as_ref(), Some(&environment));
    let of_it = || CloneRequest { sandbox: id('d'), template: environment.clone(), size: SIZE };
    let clone = later.clone_template(of_it()).await.unwrap();
    let talking = channel(&clone, 6).await;
    assert_eq!(said(&talking, "environment", "cat /run/own /root/own").await, "second\nsecond");
    drop(talking);
    later.remove_template(&key).await.unwrap();
    clone.stop().await.unwrap();
    assert_eq!(later.template(&key).await, None);

    // Nothing stays but the image and the template.
    assert!(checkpoints.find_checkpoint(&one).await.is_some());
    for checkpoint in [one, two] {
        checkpoints.remove_checkpoint(&checkpoint).await.unwrap();
    }
    assert_eq!(roomy.machines(), Vec::<String>::new());
    assert_eq!(roomy.files(), ["sandbox-000000000a.0.qcow2", "sandbox-000000000a.template.memory"]);
}
