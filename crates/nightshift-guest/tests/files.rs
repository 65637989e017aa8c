//! Files and folders, both ways.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod bench;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use bench::Bench;
use nightshift_channel::{
    FileError, FileKind, FileMode, FileStat, GuestUser, HostileTree, Identity, IdentityError, TreeError,
    TreeLimits,
};
use sha2::{Digest, Sha256};

const MODE: FileMode = FileMode { mode: 0o640, owner: GuestUser::Agent };

#[tokio::test]
async fn a_file_comes_back_as_it_was_written_with_its_mode_and_hash() {
    let bench = Bench::new();
    let channel = bench.connect().await;
    let path = bench.path("new/folders/file");
    for content in [vec![7; 300_000], b"replaced".to_vec(), Vec::new()] {
        channel.write_file(&path, &content, MODE).await.unwrap();
        let hash: [u8; 32] = Sha256::digest(&content).into();
        let length = content.len() as u64;
        assert_eq!(
            channel.stat(&path).await,
            Ok(Some(FileStat { kind: FileKind::File, length, mode: 0o640 }))
        );
        assert_eq!(channel.hash_file(&path).await, Ok(Some(hash)));
        assert!(channel.read_file(&path, length).await == Ok(content));
    }
    assert_eq!(fs::read_dir(bench.path("new/folders")).unwrap().count(), 1, "nothing is left of writing");
}

#[tokio::test]
async fn what_is_not_there_is_absent_or_an_error_by_name() {
    let bench = Bench::new();
    let channel = bench.connect().await;
    let nowhere = bench.path("nowhere");
    assert_eq!(channel.stat(&nowhere).await, Ok(None));
    assert_eq!(channel.hash_file(&nowhere).await, Ok(None));
    assert_eq!(channel.read_file(&nowhere, 10).await, Err(FileError::NotFound));
}

#[tokio::test]
async fn each_way_a_file_cannot_be_had_has_its_name() {
    let bench = Bench::new();
    let channel = bench.connect().await;
    let (folder, file) = (bench.path("folder"), bench.path("file"));
    fs::create_dir(&folder).unwrap();
    fs::write(&file, "12345").unwrap();
    let below_a_file = format!("{file}/below");
    assert_eq!(channel.read_file(&folder, 10).await, Err(FileError::IsAFolder));
    assert_eq!(channel.hash_file(&folder).await, Err(FileError::IsAFolder));
    assert_eq!(channel.write_file(&folder, b"", MODE).await, Err(FileError::IsAFolder));
    assert_eq!(channel.read_file(&below_a_file, 10).await, Err(FileError::NotAFolder));
    assert_eq!(channel.write_file(&below_a_file, b"", MODE).await, Err(FileError::NotAFolder));
    assert_eq!(channel.read_file(&file, 4).await, Err(FileError::TooLarge));
    assert_eq!(
        channel.read_file("/dev/zero", 100_000).await,
        Err(FileError::TooLarge),
        "it has no length to look at"
    );
    let relative = FileError::Other { what: "the path is not absolute".to_owned() };
    assert_eq!(channel.read_file("file", 10).await, Err(relative));
    let full = channel.write_file("/dev/full/x", &[1; 1_000_000], MODE).await;
    assert_eq!(full, Err(FileError::NotAFolder), "the refusal arrives though the content was not all sent");
}

#[tokio::test]
async fn a_file_without_a_length_is_read_to_its_end() {
    let bench = Bench::new();
    let content = bench.connect().await.read_file("/proc/self/status", 100_000).await.unwrap();
    assert!(content.starts_with(b"Name:"));
}

#[tokio::test]
async fn writing_to_a_link_replaces_what_it_leads_to() {
    let bench = Bench::new();
    let channel = bench.connect().await;
    fs::write(bench.path("target"), "old").unwrap();
    symlink("target", bench.path("link")).unwrap();
    channel.write_file(&bench.path("link"), b"new", MODE).await.unwrap();
    assert_eq!(fs::read(bench.path("target")).unwrap(), b"new");
    let kind = channel.stat(&bench.path("link")).await.unwrap().unwrap().kind;
    assert_eq!(kind, FileKind::Link);
}

#[tokio::test]
async fn a_file_that_is_not_sent_whole_is_not_replaced() {
    let bench = Bench::new();
    let path = bench.path("file");
    fs::write(&path, "old").unwrap();
    let channel = bench.connect().await;
    let content = vec![1; 4_000_000];
    let write = channel.write_file(&path, &content, MODE);
    // Dropped in the middle: four megabytes do not fit any window.
    assert!(tokio::time::timeout(std::time::Duration::from_millis(5), write).await.is_err());
    channel.ping().await.unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"old");
}

fn tree(root: &Path) {
    fs::create_dir_all(root.join("a/b/empty")).unwrap();
    fs::write(root.join("a/file"), vec![3; 100_000]).unwrap();
    fs::write(root.join("a/b/run"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(root.join("a/b/run"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(root.join("a").join("n".repeat(200)), "long name").unwrap();
    symlink("../file", root.join("a/b/link")).unwrap();
}

fn assert_tree(root: &Path) {
    assert_eq!(fs::read(root.join("a/file")).unwrap(), vec![3; 100_000]);
    assert_eq!(fs::read(root.join("a").join("n".repeat(200))).unwrap(), b"long name");
    assert_eq!(fs::read_link(root.join("a/b/link")).unwrap(), Path::new("../file"));
    assert_eq!(fs::metadata(root.join("a/b/run")).unwrap().permissions().mode() & 0o777, 0o755);
    assert!(root.join("a/b/empty").is_dir());
}

#[tokio::test]
async fn a_tree_goes_into_the_guest_and_comes_back() {
    let bench = Bench::new();
    let channel = bench.connect().await;
    let local = tempfile::tempdir().unwrap();
    tree(local.path());
    let guest = bench.path("work/tree");
    channel.put_tree(local.path(), &guest, GuestUser::Agent).await.unwrap();
    assert_tree(Path::new(&guest));
    channel.put_tree(local.path(), &guest, GuestUser::Agent).await.unwrap();
    let back = local.path().join("back");
    channel.get_tree(&guest, &back, TreeLimits::default()).await.unwrap();
    assert_tree(&back);
}

#[tokio::test]
async fn a_tree_over_the_limits_or_with_links_out_leaves_nothing_behind() {
    let bench = Bench::new();
    let channel = bench.connect().await;
    tree(Path::new(&bench.path("tree")));
    let place = tempfile::tempdir().unwrap();
    let local = place.path().join("local");
    let refused =
        channel.get_tree(&bench.path("tree"), &local, TreeLimits { entries: 2, bytes: 1 << 20 }).await;
    assert!(matches!(refused, Err(TreeError::Hostile(HostileTree::TooManyEntries { limit: 2 }))));
    let refused =
        channel.get_tree(&bench.path("tree"), &local, TreeLimits { entries: 100, bytes: 50_000 }).await;
    assert!(matches!(refused, Err(TreeError::Hostile(HostileTree::TooManyBytes { limit: 50_000 }))));
    symlink("/etc/passwd", bench.path("tree/out")).unwrap();
    let refused = channel.get_tree(&bench.path("tree"), &local, TreeLimits::default()).await;
    assert!(matches!(refused, Err(TreeError::Hostile(HostileTree::LinkLeadsOut { .. }))));
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_tree_that_is_not_there_or_has_no_place_is_refused() {
    let bench = Bench::new();
    let channel = bench.connect().await;
    let local = tempfile::tempdir().unwrap();
    let nowhere =
        channel.get_tree(&bench.path("nowhere"), &local.path().join("x"), TreeLimits::default()).await;
    assert!(matches!(nowhere, Err(TreeError::NotFound)));
    fs::write(bench.path("file"), "").unwrap();
    let no_place = channel.put_tree(local.path(), &bench.path("file"), GuestUser::Agent).await;
    assert!(matches!(no_place, Err(TreeError::TarFailed { .. })));
    let no_source = channel.put_tree(&local.path().join("x"), &bench.path("new"), GuestUser::Agent).await;
    assert!(matches!(no_source, Err(TreeError::Local(_))));
}

#[tokio::test]
async fn an_identity_reaches_the_machine_or_is_refused() {
    let bench = Bench::new();
    let channel = bench.connect().await;
    let identity = Identity {
        host_name: "sandbox-1".to_owned(),
        machine_id: [1; 16],
        entropy: vec![2; 64],
        clock_unix_nanoseconds: 1,
    };
    channel.set_identity(identity.clone()).await.unwrap();
    assert_eq!(fs::read(bench.settings.root.join("etc/hostname")).unwrap(), b"sandbox-1\n");
    let refused = channel.set_identity(Identity { entropy: vec![2; 8], ..identity }).await;
    let what = "the entropy is not 32 to 512 bytes".to_owned();
    assert_eq!(refused, Err(IdentityError::Invalid { what }));
}
