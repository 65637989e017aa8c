//! Calls, made on libvirt's mock-up: it has machines and pools in memory, and refuses as a host does.

use nightshift_sandbox::{Acceleration, MachineSize};

use super::*;
use crate::domain::{DomainPlan, Files, Uuid, layer_volume};
use crate::machine::forget;
use crate::records::{Kind, MachineRecord, Records};

fn mock() -> Connection {
    Connection::open("test:///default").unwrap()
}

fn pool() -> (Connection, Pool) {
    let connection = mock();
    let pool = connection.pool("default-pool").unwrap();
    (connection, pool)
}

fn settings() -> HostSettings {
    HostSettings {
        name: "mock".to_owned(),
        uri: "test:///default".to_owned(),
        pool: "default-pool".to_owned(),
        memory_mib: None,
        acceleration: None,
    }
}

#[test]
fn a_connection_lives_until_it_is_dropped() {
    assert!(mock().is_alive());
}

#[test]
fn a_host_says_its_memory_and_what_runs_on_it() {
    let connection = mock();
    assert_eq!(connection.memory_mib().unwrap(), 3072);
    assert_eq!(connection.running().unwrap(), [("test".to_owned(), 8192)]);
    assert!(connection.hypervisor().unwrap().contains(" under libvirt "));
}

#[test]
fn a_machine_that_is_not_there_does_not_exist_and_can_be_ended() {
    let connection = mock();
    assert!(!connection.exists("nobody").unwrap());
    connection.destroy("nobody").unwrap();
    assert!(connection.domain("nobody").unwrap_err().is_absence());
}

#[test]
fn a_machine_that_was_ended_exists_no_more() {
    let connection = mock();
    assert!(connection.exists("test").unwrap());
    connection.destroy("test").unwrap();
    assert!(!connection.exists("test").unwrap());
}

#[test]
fn a_machine_that_ends_after_it_was_found_exists_no_more() {
    let connection = mock();
    let xml =
        "<domain type='test'><name>passing</name><memory>8192</memory><os><type>hvm</type></os></domain>";
    connection.start(xml).unwrap();
    let found = connection.domain("passing");
    connection.destroy("passing").unwrap();
    assert!(!runs(found).unwrap());
}

#[test]
fn ending_a_machine_that_somebody_else_ended_is_no_error() {
    let connection = mock();
    connection.destroy("test").unwrap();
    // The mock-up still knows it, and says that it does not run.
    connection.destroy("test").unwrap();
}

#[tokio::test]
async fn a_volume_that_two_let_go_of_at_once_goes() {
    let (host, folder) = (Arc::new(Host::new(settings())), tempfile::tempdir().unwrap());
    let records = Records::new(folder.path().to_owned());
    let files = Files { kernel: String::new(), initrd: String::new(), disk: String::new() };
    let plan = DomainPlan {
        name: "one".to_owned(),
        uuid: Uuid(1),
        acceleration: Acceleration::Tcg,
        size: MachineSize::default(),
        screen: (1280, 800),
        files,
        kernel_command_line: String::new(),
        disk_bytes: 1,
    };
    let record = MachineRecord {
        host: "mock".to_owned(),
        plan,
        layers: vec!["shared".to_owned()],
        booted: false,
        image: "/image".into(),
        becomes: None,
    };
    for name in ["one", "two"] {
        records.write(Kind::Machines, name, &record).unwrap();
    }
    let made = |connection: &Connection| connection.pool("default-pool")?.create(&plain_volume("shared", 1));
    host.call(ANSWER_WITHIN, made).await.unwrap();
    let gone = |name: &'static str| forget(&host, &records, Kind::Machines, name, &record);
    let (one, two) = tokio::join!(gone("one"), gone("two"));
    one.and(two).unwrap();
    let left = host.call(ANSWER_WITHIN, |connection| connection.pool("default-pool")?.has("shared")).await;
    assert!(!left.unwrap());
}

#[test]
fn a_pool_has_a_folder_and_free_space() {
    let (_connection, pool) = pool();
    assert_eq!(pool.folder().unwrap(), "/default-pool");
    assert!(pool.free_mib().unwrap() > 1024);
}

#[test]
fn a_pool_that_is_not_there_is_named() {
    let error =
        mock().pool("attic").err().unwrap().at(&HostSettings { pool: "attic".to_owned(), ..settings() });
    assert_eq!(error, HostError::NoPool { host: "mock".to_owned(), pool: "attic".to_owned() });
}

#[test]
fn volumes_are_made_found_listed_and_removed() {
    let (_connection, pool) = pool();
    assert!(!pool.has("one").unwrap());
    assert_eq!(pool.create(&plain_volume("one", 1 << 20)).unwrap(), "/default-pool/one");
    assert!(pool.has("one").unwrap());
    assert_eq!(pool.path("one").unwrap(), "/default-pool/one");
    assert_eq!(pool.names().unwrap(), ["one"]);
    pool.delete("one").unwrap();
    assert_eq!(pool.names().unwrap(), Vec::<String>::new());
}

#[test]
fn removing_a_volume_that_is_gone_is_no_error() {
    let (_connection, pool) = pool();
    pool.delete("none").unwrap();
}

#[test]
fn a_volume_that_is_not_there_is_absent_and_nothing_else() {
    let (_connection, pool) = pool();
    let error = pool.path("none").unwrap_err();
    assert!(error.is_absence());
    assert!(matches!(error.at(&settings()), HostError::Vanished { .. }));
}

#[test]
fn a_volume_is_made_once() {
    let (_connection, pool) = pool();
    pool.create(&plain_volume("one", 1)).unwrap();
    let error = pool.create(&plain_volume("one", 1)).unwrap_err();
    assert!(!error.is_absence());
    assert!(matches!(error.at(&settings()), HostError::Refused { .. }));
}

#[test]
fn a_layer_lies_on_another_volume() {
    let (_connection, pool) = pool();
    let below = pool.create(&plain_volume("below", 1 << 20)).unwrap();
    let path = pool.create(&layer_volume("above", 1 << 20, &below));
    assert_eq!(path.unwrap(), "/default-pool/above");
}

#[test]
fn what_a_host_takes_only_half_of_is_not_left_there() {
    let (_connection, pool) = pool();
    // The mock-up takes no content.
    pool.bring("one", &mut &b"content"[..], 7).unwrap_err();
    assert_eq!(pool.names().unwrap(), Vec::<String>::new());
}

#[test]
fn what_was_begun_and_not_finished_is_not_taken_for_whole() {
    let (_connection, pool) = pool();
    pool.create(&plain_volume("one", 7)).unwrap();
    pool.bring("one", &mut &b"content"[..], 7).unwrap_err();
    assert!(!pool.has("one").unwrap());
}

#[test]
fn what_is_whole_is_not_brought_again() {
    let (_connection, pool) = pool();
    pool.create(&plain_volume("one", 7)).unwrap();
    pool.create(&plain_volume(&whole_mark("one"), 0)).unwrap();
    assert_eq!(pool.bring("one", &mut io::empty(), 7).unwrap(), "/default-pool/one");
}

#[test]
fn nobody_at_an_address_is_unreachable() {
    let error = Connection::open("qemu+unix:///system?socket=/nowhere/sock").err().unwrap().at(&settings());
    assert!(error.is_about_the_connection(), "{error:?}");
}

#[tokio::test]
async fn calls_share_a_connection_that_is_made_once() {
    let host = Arc::new(Host::new(settings()));
    // A machine ended by one call is ended for the next: each connection to the mock-up has machines of its own.
    host.call(ANSWER_WITHIN, |connection| connection.destroy("test")).await.unwrap();
    assert!(!host.call(ANSWER_WITHIN, |connection| connection.exists("test")).await.unwrap());
}

#[tokio::test]
async fn a_call_that_takes_too_long_is_given_up_and_named() {
    let host = Arc::new(Host::new(settings()));
    let (finish, wait) = std::sync::mpsc::channel::<()>();
    let within = Duration::from_millis(50);
    let error = host.call(within, move |_| Ok(wait.recv())).await.unwrap_err();
    assert_eq!(error, HostError::Silent { host: "mock".to_owned(), within });
    drop(finish);
    host.call(ANSWER_WITHIN, |connection| connection.memory_mib()).await.unwrap();
}

#[tokio::test]
async fn a_call_that_fails_is_named_after_its_host() {
    let host = Arc::new(Host::new(settings()));
    let error = host.call(ANSWER_WITHIN, |connection| connection.description("nobody")).await.unwrap_err();
    assert!(error.to_string().starts_with("it is no longer on the host mock"), "{error}");
}

#[tokio::test]
async fn a_file_here_that_cannot_be_read_is_no_fault_of_the_host() {
    let host = Arc::new(Host::new(settings()));
    let error = host.call(ANSWER_WITHIN, |_| Ok(std::fs::read("/nowhere/file")?)).await.unwrap_err();
    assert!(error.to_string().contains("a file here could not be read"), "{error}");
}
