//! What comes out of a sandbox, well-meant and not.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::fs;
use std::path::{Path, PathBuf};

use nightshift_forge::{Delivery, FileChange, LineCounts, ReceiveError, ReceiveLimits, Received, Repository};

use crate::support::{Bench, Work, branch, contents};

const MODERATE: ReceiveLimits = ReceiveLimits {
    bundle_bytes: 1 << 20,
    commits: 3,
    objects: 40,
    file_bytes: 100_000,
    changed_files: 8,
    path_bytes: 100,
};

/// Tries a delivery that is to be refused, and proves that it left no trace.
async fn refused(repository: &Repository, file: &Path, delivery: &Delivery) -> ReceiveError {
    let root = repository.bare_repository();
    let root = root.parent().unwrap();
    let before = contents(root);
    let refused = repository.receive(file, delivery, &MODERATE).await.unwrap_err();
    let mut after = contents(root);
    after.retain(|path, _| path.extension().is_none_or(|extension| extension != "lock"));
    let mut before = before;
    before.retain(|path, _| path.extension().is_none_or(|extension| extension != "lock"));
    assert_eq!(after, before, "{refused}");
    refused
}

async fn bench() -> (Bench, Work, Repository) {
    let bench = Bench::new().await;
    let sandbox = bench.sandbox("sandbox", &branch(1)).await;
    let repository = bench.forge.repository(&bench.person.source());
    (bench, sandbox, repository)
}

#[tokio::test]
async fn a_sandbox_starts_from_a_bundle_with_the_whole_history() {
    let bench = Bench::new().await;
    bench.person.commit("README.md", "two\n");
    let sandbox = bench.sandbox("sandbox", &branch(1)).await;
    assert_eq!(sandbox.head(), bench.person.head());
    assert_eq!(sandbox.git(&["rev-list", "--count", "HEAD"]), "2");
    assert_eq!(sandbox.git(&["status", "--porcelain"]), "");
    let repository = bench.forge.repository(&bench.person.source());
    let bare = repository.bare_repository();
    let references = bench.person.git(&["-C", bare.to_str().unwrap(), "for-each-ref", "--format=%(refname)"]);
    assert_eq!(references, "refs/heads/main\nrefs/nightshift/source/main");
}

#[tokio::test]
async fn commits_of_a_sandbox_become_the_run_s_branch_and_coming_twice_changes_nothing() {
    let (bench, sandbox, repository) = bench().await;
    sandbox.commit("src/theme.js", "dark\n");
    fs::remove_file(sandbox.folder.join("README.md")).unwrap();
    let head = sandbox.commit("logo.png", "\0\u{1}");
    let expected = Received {
        head: head.clone(),
        commits: 2,
        changed_files: vec![
            FileChange { path: "README.md".to_owned(), lines: Some(LineCounts { added: 0, removed: 1 }) },
            FileChange { path: "logo.png".to_owned(), lines: None },
            FileChange { path: "src/theme.js".to_owned(), lines: Some(LineCounts { added: 1, removed: 0 }) },
        ],
    };
    assert_eq!(bench.receive(&sandbox, &branch(1)).await, expected);
    assert_eq!(repository.branch_head(&branch(1)).await.unwrap(), Some(head.clone()));
    let before = contents(&repository.bare_repository());
    assert_eq!(bench.receive(&sandbox, &branch(1)).await, expected);
    assert_eq!(contents(&repository.bare_repository()), before);

    // The repository is whole without the quarantine.
    let bare = repository.bare_repository();
    bench.person.git(&["-C", bare.to_str().unwrap(), "fsck", "--strict", "--no-dangling"]);
    bench.person.git(&["fetch", "--quiet", bare.to_str().unwrap(), branch(1).as_str()]);
    assert_eq!(bench.person.git(&["rev-parse", "FETCH_HEAD"]), head.as_str());
}

#[tokio::test]
async fn a_bundle_of_only_what_is_new_is_enough() {
    let (bench, sandbox, repository) = bench().await;
    let head = sandbox.commit("README.md", "one\ntwo\n");
    let range = format!("main..{}", branch(1));
    let file = sandbox.bundle(&[&range]);
    let received = repository.receive(&file, &bench.delivery(&branch(1)), &MODERATE).await.unwrap();
    assert_eq!((received.head, received.commits), (head, 1));
}

#[tokio::test]
async fn a_second_delivery_moves_the_branch_from_where_it_is_known_to_be() {
    let (bench, sandbox, repository) = bench().await;
    let first = sandbox.commit("a.txt", "a");
    bench.receive(&sandbox, &branch(1)).await;
    sandbox.git(&["commit", "--quiet", "--amend", "-m", "Better"]);
    let second = sandbox.head();
    let file = sandbox.bundle(&[branch(1).as_str()]);

    let unaware = refused(&repository, &file, &bench.delivery(&branch(1))).await;
    assert!(matches!(unaware, ReceiveError::BranchMoved { found: Some(found), .. } if found == first));
    let aware = Delivery { previous: Some(first), ..bench.delivery(&branch(1)) };
    repository.receive(&file, &aware, &MODERATE).await.unwrap();
    assert_eq!(repository.branch_head(&branch(1)).await.unwrap(), Some(second));
}

#[tokio::test]
async fn other_refs_than_the_run_s_branch_are_refused() {
    let (bench, sandbox, repository) = bench().await;
    sandbox.commit("a.txt", "a");
    let delivery = bench.delivery(&branch(1));
    sandbox.git(&["branch", "--force", "main", "HEAD"]);
    sandbox.git(&["tag", branch(1).as_str()]);
    let full = format!("refs/heads/{}", branch(1));
    for references in [
        &["main"][..],
        &["HEAD"],
        &[&full, "main"],
        &[&full, "HEAD"],
        &[&format!("refs/tags/{}", branch(1))],
        &["main", "HEAD", &full],
    ] {
        let wrong = refused(&repository, &sandbox.bundle(references), &delivery).await;
        assert!(matches!(wrong, ReceiveError::WrongReferences { .. }), "{references:?}: {wrong}");
    }
    let foreign = Delivery { branch: "main".parse().unwrap(), ..delivery };
    let wrong = refused(&repository, &sandbox.bundle(&["main"]), &foreign).await;
    assert!(matches!(wrong, ReceiveError::ForeignBranch { .. }), "{wrong}");
}

#[tokio::test]
async fn files_that_are_no_whole_bundle_are_refused() {
    let (bench, sandbox, repository) = bench().await;
    sandbox.commit("a.txt", "a");
    let delivery = bench.delivery(&branch(1));
    let good = fs::read(sandbox.bundle(&[branch(1).as_str()])).unwrap();
    let file = bench.root.path().join("hostile.bundle");
    let try_bytes = async |bytes: &[u8]| {
        fs::write(&file, bytes).unwrap();
        refused(&repository, &file, &delivery).await
    };
    assert!(matches!(try_bytes(b"").await, ReceiveError::NotABundle(_)));
    assert!(matches!(try_bytes(b"# v2 git bundle\n").await, ReceiveError::NotABundle(_)));
    assert!(matches!(try_bytes(&vec![b'x'; 2 << 20]).await, ReceiveError::TooLarge { limit: 1_048_576, .. }));
    assert!(matches!(try_bytes(&good[..good.len() - 30]).await, ReceiveError::BadObjects { .. }));
    let mut flipped = good.clone();
    let middle = good.len() - 60;
    flipped[middle] ^= 0x40;
    assert!(matches!(try_bytes(&flipped).await, ReceiveError::BadObjects { .. }));
    // A header that promises another commit than the pack has.
    let text = String::from_utf8_lossy(&good).replace(sandbox.head().as_str(), &"b".repeat(40));
    let header = text.split_once("\n\n").unwrap().0.len() + 2;
    let promised = [&text.as_bytes()[..header], &good[header..]].concat();
    assert!(matches!(try_bytes(&promised).await, ReceiveError::BadObjects { .. }));

    let link = bench.root.path().join("link.bundle");
    std::os::unix::fs::symlink("/dev/zero", &link).unwrap();
    assert!(matches!(refused(&repository, &link, &delivery).await, ReceiveError::NotABundle(_)));
    let missing = refused(&repository, &bench.root.path().join("none"), &delivery).await;
    assert!(matches!(missing, ReceiveError::File(_)));
}

#[tokio::test]
async fn commits_that_do_not_build_on_the_base_are_refused() {
    let (bench, sandbox, repository) = bench().await;
    let delivery = bench.delivery(&branch(1));
    let nothing = refused(&repository, &sandbox.bundle(&[branch(1).as_str()]), &delivery).await;
    assert!(matches!(nothing, ReceiveError::NoCommits), "{nothing}");

    sandbox.git(&["checkout", "--quiet", "--orphan", "other"]);
    sandbox.commit("a.txt", "a");
    sandbox.git(&["branch", "--force", branch(1).as_str()]);
    let orphan = refused(&repository, &sandbox.bundle(&[branch(1).as_str()]), &delivery).await;
    assert!(matches!(orphan, ReceiveError::NotDescended { .. }), "{orphan}");
}

#[tokio::test]
async fn more_than_the_limits_is_refused() {
    let (bench, sandbox, repository) = bench().await;
    let delivery = bench.delivery(&branch(1));
    let base = bench.person.head();
    let start_again = || sandbox.git(&["reset", "--quiet", "--hard", base.as_str()]);
    let deliver = async || match refused(&repository, &sandbox.bundle(&[branch(1).as_str()]), &delivery).await
    {
        ReceiveError::TooMany { what, .. } => what.to_owned(),
        ReceiveError::UnsafePath { path } => path,
        other => other.to_string(),
    };
    for number in 0..4 {
        sandbox.commit("a.txt", &number.to_string());
    }
    assert_eq!(deliver().await, "commits");

    start_again();
    for number in 0..9 {
        sandbox.write(&format!("{number}.txt"), "x");
    }
    sandbox.commit("9.txt", "x");
    assert_eq!(deliver().await, "changed files");

    start_again();
    for number in 0..50 {
        sandbox.write(&format!("{number}.txt"), &number.to_string());
    }
    sandbox.commit("50.txt", "x");
    assert_eq!(deliver().await, "objects");

    // Removed again, and still in the history.
    start_again();
    sandbox.commit("large", &"0".repeat(100_001));
    fs::remove_file(sandbox.folder.join("large")).unwrap();
    sandbox.commit("a.txt", "x");
    assert_eq!(deliver().await, "bytes in a file");

    start_again();
    sandbox.commit("evil\n+++ b/other", "x");
    assert_eq!(deliver().await, "evil\n+++ b/other");

    start_again();
    let long = format!("{}/{}", "a".repeat(60), "b".repeat(60));
    sandbox.commit(&long, "x");
    assert_eq!(deliver().await, long);
}

/// A bundle with just these objects, whatever they are: git would not pack them by walking to them.
fn bundle_of(sandbox: &Work, head: &str, objects: &[&str]) -> PathBuf {
    let header = format!("# v2 git bundle\n{head} refs/heads/{}\n\n", branch(1));
    let file = sandbox.folder.join("crafted.bundle");
    let pack = "git pack-objects --quiet --stdout > crafted.pack";
    let list = objects.join("\n") + "\n";
    sandbox.git_with(&["-c", &format!("alias.pack=!{pack}"), "pack"], list.as_bytes());
    let pack = fs::read(sandbox.folder.join("crafted.pack")).unwrap();
    fs::write(&file, [header.into_bytes(), pack].concat()).unwrap();
    file
}

/// A bundle with a commit of a tree that git itself would never write: entries of mode, name and object.
fn crafted(sandbox: &Work, entries: &[(&str, &str, &str)], others: &[&str]) -> PathBuf {
    let mut tree = Vec::new();
    for (mode, name, object) in entries {
        tree.extend_from_slice(format!("{mode} {name}\0").as_bytes());
        tree.extend(
            (0..object.len() / 2).map(|at| u8::from_str_radix(&object[2 * at..2 * at + 2], 16).unwrap()),
        );
    }
    let tree = sandbox.git_with(&["hash-object", "-t", "tree", "-w", "--literally", "--stdin"], &tree);
    let commit = sandbox.git(&["commit-tree", &tree, "-p", "HEAD", "-m", "x"]);
    bundle_of(sandbox, &commit, &[&[commit.as_str(), &tree], others].concat())
}

#[tokio::test]
async fn trees_that_would_write_outside_of_the_working_tree_are_refused() {
    let (bench, sandbox, repository) = bench().await;
    let delivery = bench.delivery(&branch(1));
    let blob = sandbox.git_with(&["hash-object", "-w", "--stdin"], b"[core]\n\tfsmonitor = touch /tmp/x\n");
    let folder = sandbox.git_with(&["mktree"], format!("100644 blob {blob}\tconfig\n").as_bytes());
    let link = sandbox.git_with(&["hash-object", "-w", "--stdin"], b".git");
    let modules = b"[submodule \"x\"]\n\tpath = x\n\turl = --upload-pack=touch\n";
    let modules = sandbox.git_with(&["hash-object", "-w", "--stdin"], modules);
    let objects = [blob.as_str(), &folder, &link, &modules];
    for entries in [
        &[("40000", ".git", folder.as_str())][..],
        &[("40000", ".GIT", &folder)],
        &[("40000", ".Git ", &folder)],
        &[("40000", "git~1", &folder)],
        &[("40000", ".g\u{200c}it", &folder)],
        &[("40000", "..", &folder)],
        &[("40000", ".", &folder)],
        &[("100644", "a/b", &blob)],
        &[("100644", "", &blob)],
        &[("120000", ".gitmodules", &link)],
        &[("100644", ".gitmodules", &modules)],
        // A link and a folder of the same name: files would be written where the link leads.
        &[("120000", "a", &link), ("40000", "a", &folder)],
        &[("100644", "b", &blob), ("100644", "a", &blob)],
        &[("100644", "a", "0000000000000000000000000000000000000000")],
    ] {
        let refused = refused(&repository, &crafted(&sandbox, entries, &objects), &delivery).await;
        assert!(matches!(refused, ReceiveError::BadObjects { .. }), "{entries:?}: {refused}");
    }
    // Made in the same way, with nothing wrong in it.
    let good = crafted(&sandbox, &[("100644", "a", &blob), ("120000", "b", &link)], &objects);
    repository.receive(&good, &delivery, &MODERATE).await.unwrap();
}

#[tokio::test]
async fn a_pack_without_all_of_its_objects_is_refused() {
    let (bench, sandbox, repository) = bench().await;
    let head = sandbox.commit("a.txt", "a");
    let tree = sandbox.git(&["rev-parse", "HEAD^{tree}"]);
    for objects in [&[head.as_str()][..], &[head.as_str(), &tree], &[tree.as_str()]] {
        let file = bundle_of(&sandbox, head.as_str(), objects);
        let refused = refused(&repository, &file, &bench.delivery(&branch(1))).await;
        assert!(matches!(refused, ReceiveError::BadObjects { .. }), "{refused}");
    }
}
