//! A person's repository, a sandbox's clone, and a forge, in one temporary folder.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nightshift_forge::{
    BaseBranch, BranchName, Checkout, Delivery, Forge, Git, NewPullRequest, ReceiveLimits, Received,
    Repository, Source, inspect,
};
use nightshift_protocol::{CommitId, OffsetDateTime};

pub(crate) fn at(second: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_800_000_000 + second).unwrap()
}

/// A folder with a git repository in it, used as a person or an agent uses it.
pub(crate) struct Work {
    pub(crate) folder: PathBuf,
}

impl Work {
    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        self.git_with(arguments, b"")
    }

    pub(crate) fn git_with(&self, arguments: &[&str], input: &[u8]) -> String {
        let mut child = Command::new("git")
            .args(["-c", "protocol.file.allow=always", "-c", "init.defaultBranch=main"])
            .args(arguments)
            .current_dir(&self.folder)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .envs([("GIT_AUTHOR_NAME", "Ada"), ("GIT_AUTHOR_EMAIL", "ada@example.org")])
            .envs([("GIT_COMMITTER_NAME", "Ada"), ("GIT_COMMITTER_EMAIL", "ada@example.org")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    pub(crate) fn write(&self, path: &str, content: &str) {
        let path = self.folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub(crate) fn commit(&self, path: &str, content: &str) -> CommitId {
        self.write(path, content);
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "-m", &format!("Change {path}")]);
        self.head()
    }

    pub(crate) fn head(&self) -> CommitId {
        self.git(&["rev-parse", "HEAD"]).parse().unwrap()
    }

    pub(crate) fn source(&self) -> Source {
        Source::Folder(self.folder.clone())
    }

    /// Bundles a ref into a file.
    pub(crate) fn bundle(&self, references: &[&str]) -> PathBuf {
        let file = self.folder.join("out.bundle");
        let mut arguments = vec!["bundle", "create", "--quiet", "out.bundle"];
        arguments.extend(references);
        self.git(&arguments);
        file
    }
}

pub(crate) struct Bench {
    pub(crate) root: tempfile::TempDir,
    pub(crate) person: Work,
    pub(crate) git: Git,
    pub(crate) forge: Forge,
}

impl Bench {
    /// A person's repository with one commit on `main`, and an empty forge.
    pub(crate) async fn new() -> Self {
        Self::with_init(&["init", "--quiet"]).await
    }

    pub(crate) async fn with_init(init: &[&str]) -> Self {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().canonicalize().unwrap().join("app");
        fs::create_dir(&folder).unwrap();
        let person = Work { folder };
        person.git(init);
        person.commit("README.md", "one\n");
        let git = Git::new(std::env::vars_os());
        let forge = Forge::open(&root.path().join("forge"), git.clone()).await.unwrap();
        Self { root, person, git, forge }
    }

    pub(crate) async fn inspect(&self) -> Checkout {
        inspect(&self.git, &self.person.source(), BaseBranch::Current).await.unwrap()
    }

    /// The person's current branch, imported.
    pub(crate) async fn imported(&self) -> Repository {
        let checkout = self.inspect().await;
        let repository = self.forge.repository(&checkout.source);
        repository.import(&checkout).await.unwrap();
        repository
    }

    /// A sandbox's clone of the person's newest commit, on the branch of a run.
    pub(crate) async fn sandbox(&self, name: &str, branch: &BranchName) -> Work {
        let repository = self.imported().await;
        let bundle = self.root.path().join(format!("{name}.bundle"));
        let main = "main".parse().unwrap();
        repository.bundle(&self.person.head(), &main, &bundle).await.unwrap();
        let folder = self.root.path().join(name);
        self.person.git(&["clone", "--quiet", bundle.to_str().unwrap(), folder.to_str().unwrap()]);
        let work = Work { folder };
        work.git(&["checkout", "--quiet", "-b", branch.as_str()]);
        work
    }

    /// Takes what is on a branch of a sandbox's clone.
    pub(crate) async fn receive(&self, work: &Work, branch: &BranchName) -> Received {
        let repository = self.forge.repository(&self.person.source());
        let delivery = self.delivery(branch);
        let file = work.bundle(&[branch.as_str()]);
        repository.receive(&file, &delivery, &ReceiveLimits::default()).await.unwrap()
    }

    pub(crate) fn delivery(&self, branch: &BranchName) -> Delivery {
        Delivery { branch: branch.clone(), base: self.person.head(), previous: None }
    }

    /// What a run's pull request is opened with.
    pub(crate) fn new_pull_request(&self, branch: &BranchName, head: &CommitId, run: u32) -> NewPullRequest {
        NewPullRequest {
            key: format!("run-{run:010}"),
            title: "Add dark mode".to_owned(),
            body: "It is dark now.".to_owned(),
            branch: branch.clone(),
            base: "main".parse().unwrap(),
            base_commit: self.person.head(),
            head: head.clone(),
            task: "task-0000000000".parse().unwrap(),
            run: format!("run-{run:010}").parse().unwrap(),
            evidence: Vec::new(),
        }
    }
}

pub(crate) fn branch(run: u32) -> BranchName {
    BranchName::for_run("Add dark mode", &format!("run-{run:010}").parse().unwrap())
}

/// Every file in a folder with its mode, size and bytes, so that two looks can be compared.
pub(crate) fn contents(folder: &Path) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    let mut all = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let facts = path.symlink_metadata().unwrap();
            let bytes = if facts.is_dir() {
                folders.push(path.clone());
                Vec::new()
            } else if facts.is_symlink() {
                fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
            } else {
                fs::read(&path).unwrap()
            };
            all.insert(path, (facts.permissions().mode(), bytes));
        }
    }
    all
}
