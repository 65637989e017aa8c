//! Git: over HTTP by `git http-backend` (git-http-backend(1)), and looks into the bare repositories.

use std::path::Path;
use std::process::{Command, Stdio};

use axum::http::{HeaderMap, StatusCode};
use tokio::io::AsyncWriteExt as _;

use super::server::Reply;

/// What a request for git carries.
pub(super) struct GitRequest<'a> {
    pub(super) method: &'a str,
    /// The path below the root folder, with a slash in front.
    pub(super) path: &'a str,
    pub(super) query: &'a str,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a [u8],
    pub(super) login: &'a str,
}

/// Answers a request as CGI/1.1 has it (RFC 3875).
pub(super) async fn backend(root: &Path, request: &GitRequest<'_>) -> std::io::Result<Reply> {
    let header =
        |name: &str| request.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    // By its whole path: with a bare name and a PATH of its own, this process would be copied first.
    let folders = ["/usr/bin", "/bin", "/usr/local/bin"].map(|folder| Path::new(folder).join("git"));
    let program = folders.into_iter().find(|git| git.is_file()).unwrap_or_else(|| "git".into());
    let mut child = tokio::process::Command::new(program)
        .arg("http-backend")
        .env_clear()
        .env("PATH", "/usr/bin:/bin:/usr/local/bin")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("REQUEST_METHOD", request.method)
        .env("PATH_INFO", request.path)
        .env("QUERY_STRING", request.query)
        .env("CONTENT_TYPE", header("content-type"))
        .env("CONTENT_LENGTH", request.body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .env("HTTP_GIT_PROTOCOL", header("git-protocol"))
        .env("REMOTE_USER", request.login)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let mut stdin = child.stdin.take();
    let fed = async {
        if let Some(stdin) = &mut stdin {
            // It may have refused already; what it answers says so.
            let _refused = stdin.write_all(request.body).await;
        }
        drop(stdin.take());
    };
    let ((), output) = tokio::join!(fed, child.wait_with_output());
    Ok(parse(&output?.stdout))
}

fn parse(answer: &[u8]) -> Reply {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n");
    let (head, body) = end.map_or((answer, &[][..]), |end| (&answer[..end], &answer[end + 4..]));
    let mut reply = Reply::bytes(StatusCode::OK, body.to_vec());
    for line in String::from_utf8_lossy(head).lines() {
        let Some((name, value)) = line.split_once(": ") else { continue };
        if name.eq_ignore_ascii_case("status") {
            let code = value.split(' ').next().and_then(|code| code.parse::<u16>().ok());
            reply.status =
                code.and_then(|code| StatusCode::from_u16(code).ok()).unwrap_or(StatusCode::BAD_GATEWAY);
        } else {
            reply = reply.header(&name.to_ascii_lowercase(), value);
        }
    }
    reply
}

/// Looks into a bare repository and merges in it.
pub(super) struct GitHistory<'a>(pub(super) &'a Path);

impl GitHistory<'_> {
    fn git(&self, arguments: &[&str]) -> Option<String> {
        let who = [("NAME", "GitHub"), ("EMAIL", "noreply@github.example")];
        let mut command = Command::new("git");
        command.arg("--git-dir").arg(self.0).args(arguments).env("GIT_CONFIG_GLOBAL", "/dev/null");
        for (what, value) in who {
            command.env(format!("GIT_AUTHOR_{what}"), value).env(format!("GIT_COMMITTER_{what}"), value);
        }
        let output = command.stderr(Stdio::null()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }

    /// Whether `older` has all commits of `newer`.
    pub(super) fn contains(&self, older: &str, newer: &str) -> bool {
        self.git(&["merge-base", "--is-ancestor", newer, older]).is_some()
    }

    /// Merges a branch into another and returns the merge commit; `None` when they conflict.
    pub(super) fn merge(&self, base: &str, head: &str) -> Option<String> {
        let tree = self.git(&["merge-tree", "--write-tree", base, head])?;
        let tree = tree.lines().next()?.to_owned();
        let commit = self.git(&["commit-tree", &tree, "-p", base, "-p", head, "-m", "Merge pull request"])?;
        self.git(&["update-ref", &format!("refs/heads/{base}"), &commit])?;
        Some(commit)
    }

    /// All branches.
    pub(super) fn branches(&self) -> Vec<String> {
        let list = self.git(&["for-each-ref", "--format=%(refname:short)", "refs/heads"]);
        list.unwrap_or_default().lines().map(str::to_owned).collect()
    }

    pub(super) fn changed_files(&self, base: &str, head: &str) -> Vec<String> {
        let list = self.git(&["diff", "--name-only", &format!("{base}...{head}")]);
        list.unwrap_or_default().lines().map(str::to_owned).collect()
    }

    /// A file at a commit or on a branch.
    pub(super) fn file(&self, at: &str, path: &str) -> Option<Vec<u8>> {
        let mut command = Command::new("git");
        command.arg("--git-dir").arg(self.0).args(["cat-file", "blob", &format!("{at}:{path}")]);
        let output = command.stderr(Stdio::null()).output().ok()?;
        output.status.success().then_some(output.stdout)
    }
}

/// The newest commit of a branch.
pub(super) fn head_of(git_dir: &Path, branch: &str) -> Option<String> {
    GitHistory(git_dir).git(&["rev-parse", "-q", "--verify", &format!("refs/heads/{branch}^{{commit}}")])
}

/// Makes a bare repository out of another one.
pub(super) fn clone_bare(from: &Path, to: &Path) -> std::io::Result<()> {
    let output = Command::new("git").args(["clone", "--quiet", "--bare", "--"]).arg(from).arg(to).output()?;
    if !output.status.success() {
        return Err(std::io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    // Pushes are refused by `git http-backend` unless the repository allows them.
    let allowed =
        Command::new("git").arg("--git-dir").arg(to).args(["config", "http.receivepack", "true"]).status()?;
    if allowed.success() { Ok(()) } else { Err(std::io::Error::other("git config failed")) }
}
