//! Why git could not reach a repository, told by what git says: not there, not let in, no repository, no connection.
//!
//! Git has one exit status for all of it. Its words, which are asked for in English (`LC_ALL=C`), are those of remote.c,
//! http.c, transport.c and connect.c in its source, of curl, of OpenSSH, and of the forges' servers.

use nightshift_forge::GitError;
use nightshift_protocol::{ErrorCode, UserError};

/// What keeps git from a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Obstacle {
    NotLetIn,
    UnknownHost,
    NoRepository,
    NotThere,
    NoConnection,
}

/// What is said in each case. The first that fits counts: a server that does not know who asks often says that there is
/// nothing.
const SAID: [(Obstacle, &[&str]); 5] = [
    (
        Obstacle::NotLetIn,
        &[
            "authentication failed",
            "could not read username",
            "could not read password",
            "terminal prompts disabled",
            "permission denied",
            "host key verification failed",
            "returned error: 401",
            "returned error: 403",
            "access denied",
        ],
    ),
    (Obstacle::UnknownHost, &["could not resolve host", "name or service not known"]),
    (
        Obstacle::NoRepository,
        &[
            "is this a git repository?",
            "does not appear to be a git repository",
            "not a git repository",
            "invalid server response",
        ],
    ),
    (Obstacle::NotThere, &["not found", "does not exist", "returned error: 404", "returned error: 410"]),
    (
        Obstacle::NoConnection,
        &[
            "could not connect",
            "couldn't connect",
            "failed to connect",
            "connection refused",
            "connection timed out",
            "connection reset",
            "network is unreachable",
            "no route to host",
            "timed out",
            "ssl certificate problem",
            "unable to access",
        ],
    ),
];

/// A user's error for git that could not reach a repository; `None` for any other failure of git.
pub(super) fn reaching(error: &GitError) -> Option<UserError> {
    let GitError::Failed { command, complaint } = error else { return None };
    let (code, hint) = match obstacle(command, complaint)? {
        Obstacle::NotLetIn => (
            ErrorCode::ForgeRefused,
            "You may not read it, or nobody said who you are. Let git's credential helper or an SSH agent know you, for \
             GitHub set GITHUB_TOKEN (docs/github.md); `git ls-remote URL` in a terminal tries the same.",
        ),
        Obstacle::UnknownHost => (
            ErrorCode::RepositoryNotFound,
            "No such host is known: look for a mistyped name in the URL, and at the network.",
        ),
        Obstacle::NoRepository => (
            ErrorCode::NotARepository,
            "Something answers there, but it is no git repository: give the URL that `git clone` takes.",
        ),
        Obstacle::NotThere => (
            ErrorCode::RepositoryNotFound,
            "Look for a mistyped owner or name. A private repository reads the same to who may not see it: for GitHub set \
             GITHUB_TOKEN (docs/github.md), for others let git's credential helper know you.",
        ),
        Obstacle::NoConnection => (
            ErrorCode::ForgeUnavailable,
            "The host was not reached: look at the network, a proxy (HTTPS_PROXY) and the port in the URL, then try again.",
        ),
    };
    Some(UserError::new(code, error.to_string(), hint))
}

fn obstacle(command: &str, complaint: &str) -> Option<Obstacle> {
    if !matches!(command, "ls-remote" | "fetch") {
        return None;
    }
    let complaint = complaint.to_ascii_lowercase();
    let said = |(_, words): &&(Obstacle, &[&str])| words.iter().any(|words| complaint.contains(words));
    SAID.iter().find(said).map(|(obstacle, _)| *obstacle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(complaint: &str) -> Option<ErrorCode> {
        let failed = GitError::Failed { command: "ls-remote".to_owned(), complaint: complaint.to_owned() };
        reaching(&failed).map(|error| {
            assert_eq!(error.message, format!("git ls-remote failed: {complaint}"));
            assert!(!error.hint.is_empty());
            error.code
        })
    }

    #[test]
    fn what_git_says_tells_what_kind_of_failure_it_is() {
        let cases = [
            (
                "remote: Repository not found.\nfatal: repository 'https://github.com/a/b/' not found",
                ErrorCode::RepositoryNotFound,
            ),
            (
                "fatal: could not read Username for 'https://github.com': terminal prompts disabled",
                ErrorCode::ForgeRefused,
            ),
            (
                "git@github.com: Permission denied (publickey).\nfatal: Could not read from remote repository.",
                ErrorCode::ForgeRefused,
            ),
            (
                "fatal: unable to access 'https://h/a/': The requested URL returned error: 403",
                ErrorCode::ForgeRefused,
            ),
            (
                "fatal: unable to access 'https://h/a/': The requested URL returned error: 404",
                ErrorCode::RepositoryNotFound,
            ),
            (
                "fatal: unable to access 'https://nohost/a/': Could not resolve host: nohost",
                ErrorCode::RepositoryNotFound,
            ),
            (
                "fatal: unable to access 'https://h:1/a/': Failed to connect to h port 1 after 0 ms: Could not connect to server",
                ErrorCode::ForgeUnavailable,
            ),
            (
                "fatal: https://example.org/info/refs not valid: is this a git repository?",
                ErrorCode::NotARepository,
            ),
            ("fatal: '/srv/a' does not appear to be a git repository", ErrorCode::NotARepository),
            (
                "ssh: connect to host h port 22: Connection refused\nfatal: Could not read from remote repository.",
                ErrorCode::ForgeUnavailable,
            ),
        ];
        for (complaint, code) in cases {
            assert_eq!(told(complaint), Some(code), "{complaint}");
        }
    }

    #[test]
    fn who_may_not_see_a_repository_is_told_so_though_the_server_says_that_it_is_not_there() {
        let both =
            "remote: Repository not found.\nfatal: Authentication failed for 'https://github.com/a/b/'";
        assert_eq!(told(both), Some(ErrorCode::ForgeRefused));
    }

    #[test]
    fn other_failures_of_git_are_not_the_networks() {
        assert_eq!(told("fatal: bad object"), None);
        let merge =
            GitError::Failed { command: "merge-tree".to_owned(), complaint: "x not found".to_owned() };
        assert_eq!(reaching(&merge), None);
        assert_eq!(reaching(&GitError::Missing), None);
    }
}
