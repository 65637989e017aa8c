//! Looking at a person's repository and importing from it.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use nightshift_forge::{
    BaseBranch, BaseState, Checkout, Git, ImportError, Imported, InspectError, NotImported, Source, inspect,
};

use crate::support::{Bench, branch, contents};

#[tokio::test]
async fn a_working_tree_is_found_from_any_folder_in_it_and_its_uncommitted_files_are_counted() {
    let bench = Bench::new().await;
    let expected = Checkout {
        source: bench.person.source(),
        branch: "main".parse().unwrap(),
        commit: bench.person.head(),
        uncommitted: 0,
    };
    assert_eq!(bench.inspect().await, expected);
    assert!(!expected.is_dirty());

    bench.person.write("src/deep/new file.txt", "new");
    bench.person.write("README.md", "changed");
    let below = Source::Folder(bench.person.folder.join("src/deep"));
    let found = inspect(&bench.git, &below, BaseBranch::Current).await.unwrap();
    assert_eq!(found, Checkout { uncommitted: 2, ..expected });
}

#[tokio::test]
async fn another_branch_may_be_named_and_changes_outside_of_it_do_not_count() {
    let bench = Bench::new().await;
    bench.person.git(&["branch", "release/1.0"]);
    bench.person.write("README.md", "changed");
    let named = BaseBranch::Named("release/1.0");
    let found = inspect(&bench.git, &bench.person.source(), named).await.unwrap();
    assert_eq!((found.branch.as_str(), found.uncommitted), ("release/1.0", 0));
    for missing in ["develop", "--all", "main~0", "../heads/main"] {
        let refused = inspect(&bench.git, &bench.person.source(), BaseBranch::Named(missing)).await;
        assert!(matches!(refused, Err(InspectError::BranchNotFound { branch }) if branch == missing));
    }
}

#[tokio::test]
async fn what_work_cannot_start_from_is_refused_by_name() {
    let bench = Bench::new().await;
    let root = bench.root.path().to_owned();
    let look = async |path: &str| {
        let source = Source::Folder(root.join(path));
        inspect(&bench.git, &source, BaseBranch::Current).await
    };
    assert!(matches!(look("nowhere").await, Err(InspectError::NoSuchFolder { .. })));
    assert!(matches!(look("app/README.md").await, Err(InspectError::NoSuchFolder { .. })));
    assert!(matches!(look("app/README.md/x").await, Err(InspectError::NoSuchFolder { .. })));
    fs::create_dir(root.join("plain")).unwrap();
    assert!(matches!(look("plain").await, Err(InspectError::NotARepository { .. })));
    assert!(matches!(look("app/.git").await, Err(InspectError::NotARepository { .. })));

    bench.person.git(&["init", "--quiet", "../empty"]);
    assert!(matches!(look("empty").await, Err(InspectError::Empty)));

    bench.person.commit("README.md", "two\n");
    let url = format!("file://{}", bench.person.folder.display());
    bench.person.git(&["clone", "--quiet", "--depth=1", &url, "../shallow"]);
    assert!(matches!(look("shallow").await, Err(InspectError::Shallow)));

    bench.person.git(&["checkout", "--quiet", "--detach"]);
    let refused = look("app").await;
    assert!(matches!(refused, Err(InspectError::DetachedHead { commit }) if commit == bench.person.head()));
}

#[tokio::test]
async fn a_bare_repository_can_be_worked_from() {
    let bench = Bench::new().await;
    bench.person.git(&["clone", "--quiet", "--bare", ".", "../app.git"]);
    let source = Source::Folder(bench.root.path().canonicalize().unwrap().join("app.git"));
    let found = inspect(&bench.git, &source, BaseBranch::Current).await.unwrap();
    let expected = Checkout {
        source: source.clone(),
        branch: "main".parse().unwrap(),
        commit: bench.person.head(),
        uncommitted: 0,
    };
    assert_eq!(found, expected);
    let imported = bench.forge.repository(&source).import(&found).await.unwrap();
    assert_eq!(imported.base, BaseState::Created);
}

#[tokio::test]
async fn the_person_s_repository_stays_as_it_is_byte_for_byte() {
    let bench = Bench::new().await;
    // Changed and changed back: git would like to note in the index that the file is the same after all.
    bench.person.write("README.md", "two\n");
    bench.person.write("README.md", "one\n");
    bench.person.write("new.txt", "new");
    let before = contents(&bench.person.folder);

    let checkout = bench.inspect().await;
    let repository = bench.forge.repository(&checkout.source);
    repository.import(&checkout).await.unwrap();
    repository.import(&checkout).await.unwrap();
    let bundle = bench.root.path().join("out.bundle");
    repository.bundle(&checkout.commit, &branch(1), &bundle).await.unwrap();
    assert_eq!(contents(&bench.person.folder), before);
}

#[tokio::test]
async fn programs_that_a_repository_names_are_not_run() {
    let bench = Bench::new().await;
    let trap = bench.root.path().join("trap");
    let program = bench.root.path().join("program");
    fs::write(&program, format!("#!/bin/sh\necho run >> {}\n", trap.display())).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let program = program.to_str().unwrap();
    for key in
        ["core.fsmonitor", "core.sshCommand", "core.pager", "diff.external", "uploadpack.packObjectsHook"]
    {
        bench.person.git(&["config", key, program]);
    }
    for hook in ["post-checkout", "reference-transaction", "post-index-change", "pre-auto-gc"] {
        fs::create_dir_all(bench.person.folder.join(".git/hooks")).unwrap();
        fs::copy(program, bench.person.folder.join(".git/hooks").join(hook)).unwrap();
    }
    fs::remove_file(&trap).ok();
    bench.imported().await;
    assert!(!trap.exists(), "{:?}", fs::read_to_string(&trap));
}

#[tokio::test]
async fn the_forge_s_base_follows_the_person_s_until_both_have_gone_on() {
    let bench = Bench::new().await;
    let checkout = bench.inspect().await;
    let repository = bench.forge.repository(&checkout.source);
    assert_eq!(repository.branch_head(&checkout.branch).await.unwrap(), None);
    let imported = repository.import(&checkout).await.unwrap();
    let expected =
        Imported { commit: checkout.commit.clone(), base: BaseState::Created, not_imported: Vec::new() };
    assert_eq!(imported, expected);
    assert_eq!(repository.import(&checkout).await.unwrap().base, BaseState::Current);

    let second = bench.person.commit("README.md", "two\n");
    assert_eq!(repository.import(&bench.inspect().await).await.unwrap().base, BaseState::FastForwarded);
    assert_eq!(repository.branch_head(&checkout.branch).await.unwrap(), Some(second.clone()));

    // A merge in the forge, by other means.
    bench.person.git(&["checkout", "--quiet", "-b", "elsewhere"]);
    let merged = bench.person.commit("merged.txt", "x");
    let bare = repository.bare_repository();
    bench.person.git(&["push", "--quiet", bare.to_str().unwrap(), "elsewhere:main"]);
    bench.person.git(&["checkout", "--quiet", "main"]);
    assert_eq!(repository.import(&bench.inspect().await).await.unwrap().base, BaseState::Ahead);
    let third = bench.person.commit("README.md", "three\n");
    let diverged = repository.import(&bench.inspect().await).await.unwrap();
    assert_eq!((diverged.base, diverged.commit), (BaseState::Diverged, third.clone()));
    assert_eq!(repository.branch_head(&checkout.branch).await.unwrap(), Some(merged));

    bench.person.git(&["merge", "--quiet", "-m", "Both", "elsewhere"]);
    assert_eq!(repository.import(&bench.inspect().await).await.unwrap().base, BaseState::FastForwarded);
}

#[tokio::test]
async fn a_commit_that_is_no_longer_a_tip_can_still_be_imported() {
    let bench = Bench::new().await;
    let checkout = bench.inspect().await;
    bench.person.git(&["commit", "--quiet", "--amend", "-m", "Rewritten"]);
    let repository = bench.forge.repository(&checkout.source);
    assert_eq!(repository.import(&checkout).await.unwrap().commit, checkout.commit);
}

#[tokio::test]
async fn repositories_with_long_object_names_work_too() {
    let bench = Bench::with_init(&["init", "--quiet", "--object-format=sha256"]).await;
    let sandbox = bench.sandbox("sandbox", &branch(1)).await;
    let head = sandbox.commit("a.txt", "a");
    assert_eq!(head.as_str().len(), 64);
    assert_eq!(bench.receive(&sandbox, &branch(1)).await.head, head);
}

#[tokio::test]
async fn submodules_and_large_files_are_noted_and_not_fetched() {
    let bench = Bench::new().await;
    bench.person.write("sub/.gitattributes", "*.psd filter=lfs diff=lfs merge=lfs -text\n");
    bench.person.commit(".gitmodules", "[submodule \"x\"]\n\tpath = x\n\turl = ../x\n");
    let checkout = bench.inspect().await;
    let imported = bench.forge.repository(&checkout.source).import(&checkout).await.unwrap();
    assert_eq!(imported.not_imported, [NotImported::Submodules, NotImported::LargeFileStorage]);
}

#[tokio::test]
async fn a_url_is_reached_with_the_person_s_own_settings() {
    let bench = Bench::new().await;
    let home = tempfile::tempdir().unwrap();
    let parent = bench.root.path().canonicalize().unwrap();
    let settings = format!("[url \"{}/\"]\n\tinsteadOf = https://git.example/\n", parent.display());
    fs::write(home.path().join(".gitconfig"), settings).unwrap();
    let variables = std::env::vars_os().filter(|(name, _)| name != "HOME" && name != "XDG_CONFIG_HOME");
    let git = Git::new(variables.chain([("HOME".into(), home.path().into())]));
    let forge = nightshift_forge::Forge::open(&parent.join("forge"), git.clone()).await.unwrap();
    let source: Source = "https://git.example/app".parse().unwrap();

    let checkout = inspect(&git, &source, BaseBranch::Current).await.unwrap();
    assert_eq!((checkout.branch.as_str(), &checkout.commit), ("main", &bench.person.head()));
    let named = inspect(&git, &source, BaseBranch::Named("main")).await.unwrap();
    assert_eq!(named, checkout);
    let refused = inspect(&git, &source, BaseBranch::Named("develop")).await;
    assert!(matches!(refused, Err(InspectError::BranchNotFound { .. })));

    let repository = forge.repository(&source);
    assert_eq!(repository.import(&checkout).await.unwrap().base, BaseState::Created);
    let names: Vec<_> = forge.repositories().unwrap().iter().map(|found| found.source().clone()).collect();
    assert_eq!(names, [source]);
    assert!(repository.name().starts_with("app-"), "{}", repository.name());

    bench.person.git(&["commit", "--quiet", "--amend", "-m", "Rewritten"]);
    let gone = Checkout { commit: "a".repeat(40).parse().unwrap(), ..checkout };
    assert!(matches!(repository.import(&gone).await, Err(ImportError::CommitGone { .. })));
}

#[tokio::test]
async fn a_repository_apart_has_the_commit_and_leaves_the_forge_as_it_was() {
    let bench = Bench::new().await;
    let checkout = bench.inspect().await;
    let known = bench.forge.repository(&checkout.source);
    let within = bench.root.path().join("scratch/deep");
    let apart = known.apart(&within).unwrap();
    apart.repository().import(&checkout).await.unwrap();
    let read = apart.repository().blob(&checkout.commit, "README.md", 100).await.unwrap();
    assert_eq!(read, b"one\n");
    assert!(apart.repository().exists() && !known.exists());
    drop(apart);
    assert_eq!(fs::read_dir(&within).unwrap().count(), 0);
    assert_eq!(bench.forge.repositories().unwrap().len(), 0);

    known.import(&checkout).await.unwrap();
    assert!(known.exists());
}
