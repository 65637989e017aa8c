//! The repository's way into the sandbox and the work's way out, both as git bundles over the channel.
//!
//! No credential goes in, and what comes out is a file for the forge to check: nothing of it is trusted here.

use std::path::Path;
use std::time::Duration;

use nightshift_channel::{Channel, Command, FileError, GuestUser, Input, JobId, JobStatus, Signal};
use nightshift_protocol::{CommitId, RunId, SubagentWork, WorkingTree};
use tokio::io::AsyncReadExt;

use crate::tools::job_id;

/// The most that is taken out of a sandbox, in bytes.
const LARGEST_BUNDLE: u64 = 256 * 1024 * 1024;

/// How long git may take in the sandbox; a large repository under emulation needs minutes.
const GIT_WITHIN: Duration = Duration::from_secs(900);

/// Who the agent's commits are by.
const AUTHOR: [(&str, &str); 2] = [("user.name", "Nightshift"), ("user.email", "agent@nightshift.invalid")];

/// The repository did not get in or the work not out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransferError {
    /// The channel was cut.
    #[error("{0}")]
    Cut(String),
    /// A program in the sandbox said no.
    #[error("{what}: {said}")]
    Guest {
        /// What was done.
        what: &'static str,
        /// What the program printed.
        said: String,
    },
    /// A file on the host.
    #[error("{what}: {source}")]
    Host {
        /// What was done.
        what: &'static str,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
}

/// The repository's folder in the sandbox, below the agent's home and named after the repository.
pub(crate) fn folder(home: &str, repository: &str) -> String {
    let name =
        repository.trim_end_matches('/').rsplit('/').next().unwrap_or_default().trim_end_matches(".git");
    let safe: String = name
        .chars()
        .map(
            |character| {
                if character.is_ascii_alphanumeric() || "-_.".contains(character) { character } else { '-' }
            },
        )
        .collect();
    let safe = safe.trim_matches(['.', '-']);
    format!("{home}/work/{}", if safe.is_empty() { "repository" } else { safe })
}

/// Where a repository comes to lie in a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Placement {
    /// In a new folder.
    Anew,
    /// In that of the sandbox's environment, where what is ignored by git stays as it was set up.
    InEnvironment,
}

/// Brings `bundle` into the sandbox and checks `branch` out at `commit`. Done twice, it begins anew: the agent has
/// not worked there yet. `owner` is the id of whom it is for.
pub(crate) async fn import(
    channel: &Channel,
    owner: &str,
    bundle: &Path,
    folder: &str,
    branch: &str,
    commit: &CommitId,
    placement: Placement,
) -> Result<(), TransferError> {
    let inside = format!("/tmp/{owner}-in.bundle");
    send_file(channel, owner, bundle, &inside).await?;
    let author: String = AUTHOR
        .iter()
        .map(|(key, value)| format!("git -C {} config {key} {}\n", quoted(folder), quoted(value)))
        .collect();
    let (folder, branch) = (quoted(folder), quoted(branch));
    let script = match placement {
        Placement::Anew => format!(
            "set -e\nrm -rf {folder}\nmkdir -p \"$(dirname {folder})\"\n\
             git clone -q --no-checkout {inside} {folder}\ngit -C {folder} checkout -q -B {branch} {commit}\n\
             git -C {folder} remote remove origin\n{author}rm -f {inside}\n",
        ),
        Placement::InEnvironment => format!(
            "set -e\ncd {folder}\ngit checkout -q --force --detach\n\
             git fetch -q {inside} '+refs/heads/*:refs/heads/*'\n\
             git checkout -q --force -B {branch} {commit}\ngit clean -q -f -d\nrm -f {inside}\n",
        ),
    };
    run_script(channel, owner, "import", "bringing the repository into the sandbox", &script).await.map(drop)
}

/// Brings the commits of `bundle` into the repository in the sandbox, where they are kept by a ref of ours.
pub(crate) async fn bring_base(
    channel: &Channel,
    run: &RunId,
    bundle: &Path,
    folder: &str,
) -> Result<(), TransferError> {
    let inside = format!("/tmp/{run}-in.bundle");
    send_file(channel, run.as_str(), bundle, &inside).await?;
    let script = format!(
        "set -e\ngit -C {folder} fetch -q {inside} +HEAD:refs/nightshift/base\nrm -f {inside}\n",
        folder = quoted(folder),
    );
    run_script(channel, run.as_str(), "base", "bringing the base branch into the sandbox", &script)
        .await
        .map(drop)
}

/// What keeps work in a sandbox from being delivered, in words the agent can act on; `None` when nothing does.
pub(crate) async fn undelivered(
    channel: &Channel,
    run: &RunId,
    folder: &str,
    branch: &str,
    base: &CommitId,
) -> Result<Option<String>, TransferError> {
    let script = format!(
        "cd {folder} || exit 9\ngit status --porcelain | head -n 20\necho --\n\
         git rev-list --count {base}..refs/heads/{branch}\n",
        folder = quoted(folder),
        branch = quoted(branch),
    );
    let said = run_script(channel, run.as_str(), "delivery-check", "looking at the work", &script).await?;
    Ok(blocker(&said, branch))
}

/// Reads what the check printed.
fn blocker(said: &str, branch: &str) -> Option<String> {
    let (changes, count) = said.split_once("--\n").unwrap_or((said, ""));
    if !changes.trim().is_empty() {
        return Some(format!(
            "These files are not committed:\n{}\nCommit what belongs to the task, or remove it, and finish again.",
            changes.trim_end()
        ));
    }
    match count.trim().parse::<u32>() {
        Ok(0) => Some(format!("There is no commit on {branch}. Commit the work there, and finish again.")),
        Ok(_) => None,
        Err(_) => {
            Some(format!("The branch {branch} is gone. Make it again with the work on it, and finish again."))
        }
    }
}

/// Bytes of a diff that are read at most.
const DIFF_BYTES: u32 = 48 * 1024;

/// The commit that `branch` is at, and what leads to it from `base`, cut where it is long.
pub(crate) async fn work(
    channel: &Channel,
    run: &RunId,
    folder: &str,
    branch: &str,
    base: &CommitId,
) -> Result<(CommitId, String), TransferError> {
    let what = "reading the work";
    // What the repository configures for diffs, such as programs of its own, is left aside.
    let script = format!(
        "set -e\ncd {folder}\ngit rev-parse refs/heads/{branch}\n\
         git --no-pager diff --no-color --no-ext-diff --no-textconv --stat {base} refs/heads/{branch} | head -n 200\n\
         git --no-pager diff --no-color --no-ext-diff --no-textconv {base} refs/heads/{branch} | head -c {DIFF_BYTES}\n",
        folder = quoted(folder),
        branch = quoted(branch),
    );
    let said = run_script(channel, run.as_str(), "work", what, &script).await?;
    let (head, diff) = said.split_once('\n').unwrap_or((&said, ""));
    let head = head
        .trim()
        .parse()
        .map_err(|_| TransferError::Guest { what, said: "git named no commit for the branch".to_owned() })?;
    Ok((head, diff.to_owned()))
}

/// Makes the repository what it was with `branch` at `head` and nothing that is not committed; what git ignores stays.
pub(crate) async fn put_back(
    channel: &Channel,
    run: &RunId,
    folder: &str,
    branch: &str,
    head: &CommitId,
) -> Result<(), TransferError> {
    let script = format!(
        "set -e\ncd {folder}\nrm -f .git/index.lock .git/HEAD.lock\ngit reset -q --hard\n\
         git checkout -q -f -B {branch} {head}\ngit clean -q -f -d\n",
        folder = quoted(folder),
        branch = quoted(branch),
    );
    run_script(channel, run.as_str(), "put-back", "putting the work back", &script).await.map(drop)
}

/// Makes a working tree of its own for a subagent, on a new branch at the agent's newest commit. Done twice, it begins anew.
pub(crate) async fn add_working_tree(
    channel: &Channel,
    run: &RunId,
    folder: &str,
    tree: &WorkingTree,
) -> Result<(), TransferError> {
    let script = format!(
        "set -e\ncd {folder}\ngit worktree remove --force {own} 2>/dev/null || rm -rf {own}\ngit worktree prune\n\
         mkdir -p \"$(dirname {own})\"\ngit worktree add -q --force -B {branch} {own} HEAD\n\
         git update-ref refs/{branch}/base HEAD\nrm -f \"$(git rev-parse --git-common-dir)/{kept}\"\n",
        kept = kept(tree),
        folder = quoted(folder),
        own = quoted(&tree.folder),
        branch = quoted(&tree.branch),
    );
    run_script(channel, run.as_str(), "add-tree", "making a working tree", &script).await.map(drop)
}

/// Brings the commits of a subagent's working tree onto the agent's branch and removes the tree; what is not committed in it is
/// committed first. They are rebased in the subagent's own tree, where a conflict disturbs nobody, and the agent's branch only
/// goes forward to them. Where that is not possible its branch stays and the tree goes. Done twice, the second finds it done.
pub(crate) async fn bring_home(
    channel: &Channel,
    run: &RunId,
    folder: &str,
    branch: &str,
    tree: &WorkingTree,
    title: &str,
) -> Result<SubagentWork, TransferError> {
    let author: String =
        AUTHOR.iter().map(|(key, value)| format!("-c {} ", quoted(&format!("{key}={value}")))).collect();
    let script = format!(
        "cd {folder} || exit 9
base=refs/{plain_branch}/base
kept=$(cd \"$(git rev-parse --git-common-dir)\" && pwd)/{kept}
if [ -f \"$kept\" ]; then cat \"$kept\"; exit 0; fi
if [ -d {own} ]; then (
  cd {own} || exit 9
  rm -f \"$(git rev-parse --git-dir)/index.lock\"
  git rebase --abort
  if [ -n \"$(git status --porcelain)\" ]; then git add -A && git {author}commit -q --no-verify -m {title}; fi
  git checkout -q {own_branch}
) >/dev/null 2>&1; fi
count=$(git rev-list --count \"$base..refs/heads/{plain_branch}\" 2>/dev/null || echo 0)
head=$(git rev-parse HEAD)
if [ \"$count\" = 0 ]; then said=nothing
elif [ \"$(git rev-parse --abbrev-ref HEAD)\" != {branch} ]; then said=\"The agent's working tree is on another branch.\"
elif ! said=$(cd {own} && git {author}rebase --onto \"$head\" \"$base\" 2>&1); then (cd {own} && git rebase --abort >/dev/null 2>&1)
elif ! said=$(git update-ref \"$base\" \"$head\" && git merge --ff-only -q {own_branch} 2>&1); then :
else said=joined; fi
mkdir -p \"$(dirname \"$kept\")\"
printf '%s\\n%s' \"$count\" \"$said\" > \"$kept.new\" && mv \"$kept.new\" \"$kept\"
git worktree remove --force {own} 2>/dev/null || rm -rf {own}
git worktree prune
if [ \"$said\" = nothing ] || [ \"$said\" = joined ]; then git branch -q -D {own_branch} 2>/dev/null; fi
git update-ref -d \"$base\"
cat \"$kept\"
",
        kept = kept(tree),
        folder = quoted(folder),
        own = quoted(&tree.folder),
        own_branch = quoted(&tree.branch),
        plain_branch = tree.branch,
        branch = quoted(branch),
        title = quoted(&format!("Work of a subagent: {}", title.replace(char::is_control, " "))),
    );
    let said =
        run_script(channel, run.as_str(), "bring-home", "bringing a subagent's work home", &script).await?;
    Ok(work_of(&said))
}

/// Where in the repository's own folder it is kept what became of a working tree: who asks again is answered the same.
fn kept(tree: &WorkingTree) -> String {
    format!("nightshift-subagents/{}", tree.branch.rsplit('/').next().unwrap_or_default())
}

/// Reads what the script printed: how many commits there are, and what became of them.
fn work_of(said: &str) -> SubagentWork {
    let (count, said) = said.split_once('\n').unwrap_or((said, ""));
    let commits = count.trim().parse().unwrap_or(0);
    match said.trim() {
        "nothing" => SubagentWork::Nothing,
        "joined" => SubagentWork::Joined { commits },
        why => SubagentWork::Apart { commits, why: nightshift_agent::shorten(why, 2_000) },
    }
}

/// Takes the commits on `branch` since `base` out of the sandbox into the file `to`.
pub(crate) async fn export(
    channel: &Channel,
    run: &RunId,
    folder: &str,
    branch: &str,
    base: &CommitId,
    to: &Path,
) -> Result<(), TransferError> {
    let inside = format!("/tmp/{run}-out.bundle");
    let script = format!(
        "set -e\ngit -C {folder} bundle create -q {inside} {base}..refs/heads/{branch}\n",
        folder = quoted(folder),
        branch = quoted(branch),
    );
    run_script(channel, run.as_str(), "export", "packing the work", &script).await?;
    let bytes = channel.read_file(&inside, LARGEST_BUNDLE).await.map_err(|error| match error {
        FileError::Channel(error) => TransferError::Cut(error.to_string()),
        refused => TransferError::Guest { what: "reading the packed work", said: refused.to_string() },
    })?;
    tokio::fs::write(to, bytes)
        .await
        .map_err(|source| TransferError::Host { what: "keeping the packed work", source })
}

/// Streams a file of the host into the sandbox, whatever its size.
async fn send_file(channel: &Channel, owner: &str, from: &Path, to: &str) -> Result<(), TransferError> {
    let host = |source| TransferError::Host { what: "reading the repository's bundle", source };
    let cut = |error: &dyn std::fmt::Display| TransferError::Cut(error.to_string());
    let mut file = tokio::fs::File::open(from).await.map_err(host)?;
    let job = job_id(&format!("{owner}-send"));
    clear_away(channel, &job).await;
    let command = Command::shell(job.clone(), format!("cat > {}", quoted(to)))
        .user(GuestUser::Agent)
        .input(Input::Stream)
        .time_limit(GIT_WITHIN);
    let mut sending = channel.start(command).await.map_err(|error| cut(&error))?;
    let mut buffer = vec![0_u8; 256 * 1024];
    loop {
        let read = file.read(&mut buffer).await.map_err(host)?;
        if read == 0 {
            break;
        }
        sending.send_input(&buffer[..read]).await.map_err(|error| cut(&error))?;
    }
    sending.end_input();
    let sent = sending.collect(4_096).await.map_err(|error| cut(&error))?;
    let _forgotten = channel.forget(&job).await;
    if sent.exit.status == JobStatus::Code(0) {
        Ok(())
    } else {
        let said = String::from_utf8_lossy(&sent.stderr).trim().to_owned();
        Err(TransferError::Guest { what: "sending the repository", said })
    }
}

/// Ends and forgets a job that an owner before this one may have begun: these may be run again, and their outcome
/// must be new.
async fn clear_away(channel: &Channel, job: &JobId) {
    if let Ok(left_over) = channel.attach(job, 0).await {
        // It may have ended already, which is as well.
        let _ended = left_over.kill(Signal::Kill).await;
        let _outcome = left_over.collect(0).await;
        let _forgotten = channel.forget(job).await;
    }
}

async fn run_script(
    channel: &Channel,
    owner: &str,
    name: &str,
    what: &'static str,
    script: &str,
) -> Result<String, TransferError> {
    let cut = |error: &dyn std::fmt::Display| TransferError::Cut(error.to_string());
    let job = job_id(&format!("{owner}-{name}"));
    clear_away(channel, &job).await;
    let command = Command::shell(job.clone(), script).user(GuestUser::Agent).time_limit(GIT_WITHIN);
    let running = channel.start(command).await.map_err(|error| cut(&error))?;
    let done = running.collect(64 * 1024).await.map_err(|error| cut(&error))?;
    let _forgotten = channel.forget(&job).await;
    if done.exit.status == JobStatus::Code(0) {
        Ok(String::from_utf8_lossy(&done.stdout).into_owned())
    } else {
        let mut said = String::from_utf8_lossy(&done.stderr).trim().to_owned();
        said.truncate(said.floor_char_boundary(2_000));
        Err(TransferError::Guest { what, said: format!("{said} ({:?})", done.exit.status) })
    }
}

/// Quotes a text for a POSIX shell.
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_has_the_repository_s_name() {
        assert_eq!(folder("/home/agent", "/home/ada/src/trailhead/"), "/home/agent/work/trailhead");
        assert_eq!(folder("/home/agent", "https://example.org/team/app.git"), "/home/agent/work/app");
    }

    #[test]
    fn a_name_that_could_leave_the_folder_or_the_shell_is_tamed() {
        assert_eq!(folder("/home/agent", "/src/.."), "/home/agent/work/repository");
        assert_eq!(folder("/home/agent", "/src/a b;rm -rf $HOME"), "/home/agent/work/a-b-rm--rf--HOME");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }

    #[test]
    fn work_that_is_not_committed_is_named() {
        let said = blocker(" M src/a.js\n?? b.js\n--\n1\n", "nightshift/x").unwrap_or_default();
        assert!(said.contains("?? b.js"), "{said}");
    }

    #[test]
    fn a_branch_without_a_commit_cannot_be_delivered_and_one_with_can() {
        assert!(
            blocker("--\n0\n", "nightshift/x").is_some_and(|said| said.contains("no commit on nightshift/x"))
        );
        assert!(blocker("--\n", "nightshift/x").is_some_and(|said| said.contains("gone")));
        assert_eq!(blocker("--\n2\n", "nightshift/x"), None);
    }
}
