use std::io;
use std::time::Duration;

use nightshift_forge::{BranchName, TransitionRefused};
use nightshift_protocol::{CommitId, OffsetDateTime, PullRequestId};

use super::*;

fn commit() -> CommitId {
    "c".repeat(40).parse().unwrap()
}

fn branch() -> BranchName {
    "main".parse().unwrap()
}

fn gone() -> io::Error {
    io::Error::from(io::ErrorKind::NotFound)
}

fn full() -> io::Error {
    io::Error::from(io::ErrorKind::StorageFull)
}

/// The codes of errors, each of which must say what failed and what to do.
fn codes<const N: usize>(errors: [UserError; N]) -> [ErrorCode; N] {
    errors.map(|error| {
        assert!(!error.message.is_empty() && !error.hint.is_empty(), "{error:?}");
        error.code
    })
}

#[test]
fn a_full_disk_is_told_apart_from_other_failures() {
    let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
    assert_eq!(disk_or(ErrorCode::Internal, "writing", &full).code, ErrorCode::DiskFull);
    let denied = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
    assert_eq!(disk_or(ErrorCode::ImageFailed, "writing", &denied).code, ErrorCode::ImageFailed);
}

#[test]
fn a_mistyped_id_is_the_user_s_and_a_prefix_of_several_asks_for_more() {
    let missing = finding(&FindError::NotFound { prefix: "run-x".to_owned() });
    assert_eq!(missing.code, ErrorCode::NotFound);
    let several = FindError::Ambiguous { prefix: "run-".to_owned(), candidates: vec!["run-a".to_owned()] };
    assert!(finding(&several).hint.contains("more characters"));
}

#[test]
fn a_full_quota_is_a_full_disk() {
    let quota = io::Error::from(io::ErrorKind::QuotaExceeded);
    let error = disk_or(ErrorCode::Internal, "keeping a picture", &quota);
    assert_eq!(error.message, "the disk is full (keeping a picture)");
    assert!(error.hint.contains("nightshift continue"), "{}", error.hint);
}

#[test]
fn a_defect_is_told_with_all_its_causes_and_asks_for_a_report() {
    let damaged = LedgerError::Damaged {
        path: "/data/1.json".into(),
        source: serde_json::from_str::<u8>("x").unwrap_err(),
    };
    let error = ledger(&damaged);
    assert_eq!(error.code, ErrorCode::Internal);
    assert!(error.message.contains("/data/1.json") && error.message.contains("expected value"), "{error}");
    assert!(error.hint.contains("report it"));
}

#[test]
fn git_that_is_missing_is_told_with_how_to_install_it() {
    let errors = codes([git(&GitError::Missing), git(&GitError::DiskFull)]);
    assert_eq!(errors, [ErrorCode::ToolMissing, ErrorCode::DiskFull]);
    assert!(git(&GitError::Missing).hint.contains("apt-get install git"));
}

#[test]
fn git_that_failed_is_a_failure_of_ours_and_says_what_git_said() {
    let failed = GitError::Failed { command: "fetch".to_owned(), complaint: "no route".to_owned() };
    let slow = GitError::TimedOut { command: "fetch".to_owned(), limit: Duration::from_secs(9) };
    let much = GitError::TooMuchOutput { command: "diff".to_owned(), limit: 9 };
    let odd = GitError::Nonsense { command: "log".to_owned() };
    let run = GitError::Run { command: "log".to_owned(), source: gone() };
    assert_eq!(git(&failed).message, "git fetch failed: no route");
    assert_eq!(codes([&failed, &slow, &much, &odd, &run].map(git)), [ErrorCode::Internal; 5]);
}

#[test]
fn a_path_that_is_none_is_the_asker_s_and_one_that_is_not_there_is_not_found() {
    let errors = [
        BrowseError::InvalidPath { path: "../x".to_owned() },
        BrowseError::NotThere { commit: commit(), what: "file", path: "x".to_owned() },
        BrowseError::TooLarge { path: "x".to_owned(), limit: 1 },
        BrowseError::Git(GitError::DiskFull),
    ];
    let expected = [ErrorCode::InvalidRequest, ErrorCode::NotFound, ErrorCode::TooLarge, ErrorCode::DiskFull];
    assert_eq!(codes([0, 1, 2, 3].map(|at| browsing(&errors[at]))), expected);
}

#[test]
fn what_cannot_be_worked_in_is_told_apart() {
    let cases = [
        (InspectError::NoSuchFolder { path: "/x".into() }, ErrorCode::RepositoryNotFound),
        (InspectError::NotARepository { path: "/x".into() }, ErrorCode::NotARepository),
        (InspectError::ForeignOwner { path: "/x".into() }, ErrorCode::NotARepository),
        (InspectError::Empty, ErrorCode::EmptyRepository),
        (InspectError::DetachedHead { commit: commit() }, ErrorCode::BranchNotFound),
        (InspectError::BranchNotFound { branch: "x".to_owned() }, ErrorCode::BranchNotFound),
        (InspectError::Shallow, ErrorCode::InvalidRequest),
        (InspectError::Source(SourceError::Malformed), ErrorCode::RepositoryNotFound),
        (InspectError::Git(GitError::Missing), ErrorCode::ToolMissing),
    ];
    for (error, code) in cases {
        assert_eq!(codes([inspecting(&error)]), [code], "{error:?}");
    }
}

#[test]
fn a_url_with_a_password_in_it_is_named_but_not_blamed_on_the_network() {
    let error = sourcing("https://ada:hunter2@example.org/a.git", &SourceError::Credentials);
    assert!(error.message.starts_with("https://…@example.org/a.git: "), "{error}");
    assert_eq!(error.code, ErrorCode::RepositoryNotFound);
    assert!(error.message.contains("leave them out"), "{error}");
}

#[test]
fn a_merge_says_whether_trying_again_helps() {
    let cases = [
        (MergeError::NotFound(PullRequestId(1)), ErrorCode::NotFound),
        (MergeError::AlreadyMerged { commit: commit() }, ErrorCode::Conflict),
        (MergeError::Closed, ErrorCode::Conflict),
        (MergeError::BaseMoved { branch: branch() }, ErrorCode::Conflict),
        (MergeError::Conflict { files: vec!["a.rs".to_owned()] }, ErrorCode::MergeConflict),
        (MergeError::BaseMissing { branch: branch() }, ErrorCode::BranchNotFound),
        (MergeError::Ledger(LedgerError::DiskFull(full())), ErrorCode::DiskFull),
        (MergeError::Git(GitError::Missing), ErrorCode::ToolMissing),
    ];
    for (error, code) in cases {
        assert_eq!(codes([merging(&error)]), [code], "{error:?}");
    }
}

#[test]
fn a_pull_request_that_is_decided_is_a_conflict_and_none_is_not_found() {
    let decided = PullRequestError::Refused(TransitionRefused::Closed);
    let none = PullRequestError::NotFound(PullRequestId(9));
    let full = PullRequestError::Ledger(LedgerError::DiskFull(full()));
    let expected = [ErrorCode::Conflict, ErrorCode::NotFound, ErrorCode::DiskFull];
    assert_eq!(codes([&decided, &none, &full].map(pull_request)), expected);
}

#[test]
fn a_forge_that_is_ill_is_tried_again_and_one_that_refuses_is_not() {
    let host = || "git.example".to_owned();
    let message = || "no".to_owned();
    let cases = [
        (GitHubError::NotAuthorized { host: host(), message: message() }, ErrorCode::ForgeRefused),
        (
            GitHubError::NoPermission { host: host(), what: "pushing", message: message() },
            ErrorCode::ForgeRefused,
        ),
        (GitHubError::NotFound { host: host(), what: "the repository" }, ErrorCode::ForgeRefused),
        (
            GitHubError::RateLimited { host: host(), until: OffsetDateTime::UNIX_EPOCH },
            ErrorCode::ForgeUnavailable,
        ),
        (GitHubError::Server { host: host(), status: 502 }, ErrorCode::ForgeUnavailable),
    ];
    for (error, code) in cases {
        assert_eq!(codes([github(&error)]), [code], "{error:?}");
    }
}

#[test]
fn a_branch_that_somebody_pushed_to_is_not_overwritten() {
    let moved = pushing(&PushError::Moved { branch: branch(), found: commit() });
    assert_eq!(moved.code, ErrorCode::Conflict);
    assert!(moved.hint.starts_with("Nothing was overwritten."), "{}", moved.hint);
    let failed = GitError::Failed { command: "push".to_owned(), complaint: "denied".to_owned() };
    let refused = pushing(&PushError::Git(failed));
    assert_eq!(
        (refused.code, refused.message.as_str()),
        (ErrorCode::ForgeRefused, "the branch was not pushed: denied")
    );
    assert_eq!(pushing(&PushError::Git(GitError::DiskFull)).code, ErrorCode::DiskFull);
}

#[test]
fn what_comes_out_of_a_sandbox_and_is_refused_is_told_as_that() {
    let errors = [
        ReceiveError::NoCommits,
        ReceiveError::TooLarge { bytes: 2, limit: 1 },
        ReceiveError::BadObjects { complaint: "a file named .git".to_owned() },
        ReceiveError::UnsafePath { path: "a\u{7}".to_owned() },
        ReceiveError::TooMany { what: "commits", limit: 1 },
    ];
    for error in &errors {
        let told = receiving(error);
        assert_eq!(codes([told.clone()]), [ErrorCode::DeliveryRefused], "{error:?}");
        assert!(told.message.starts_with("what came out of the sandbox was refused: "), "{told}");
    }
    assert_eq!(receiving(&ReceiveError::File(full())).code, ErrorCode::DiskFull);
    assert_eq!(receiving(&ReceiveError::Git(GitError::Missing)).code, ErrorCode::ToolMissing);
}

#[test]
fn a_commit_that_was_rewritten_meanwhile_asks_for_the_task_again() {
    let gone = importing(&ImportError::CommitGone { branch: branch(), commit: commit() });
    assert_eq!((gone.code, gone.hint.as_str()), (ErrorCode::Conflict, "Give the task again."));
    assert_eq!(importing(&ImportError::Lock(full())).code, ErrorCode::DiskFull);
}

#[test]
fn an_artifact_that_is_not_there_is_no_defect_and_a_damaged_one_is() {
    let id: nightshift_protocol::ArtifactId = "a".repeat(64).parse().unwrap();
    assert_eq!(getting(&GetError::NotFound(id.clone())).code, ErrorCode::NotFound);
    assert_eq!(getting(&GetError::Damaged(id)).code, ErrorCode::Internal);
}

#[test]
fn a_disk_that_is_full_is_told_wherever_it_is_written_to() {
    let errors = [
        putting(&PutError::DiskFull("full".into())),
        ledger(&LedgerError::DiskFull(full())),
        disk_full("git"),
    ];
    assert_eq!(codes(errors), [ErrorCode::DiskFull; 3]);
}

#[test]
fn a_sandbox_that_stands_still_says_where_there_is_no_room_and_what_to_do() {
    let stall = Stall { folder: "/data/sandboxes/x".into(), free_mib: Some(3), held: None };
    let told = stalled(&stall);
    assert_eq!(told.code, ErrorCode::DiskFull);
    assert_eq!(
        told.message,
        "the sandbox stands still: the disk that holds /data/sandboxes/x is full (3 MiB are free)"
    );
    for way in ["nightshift prune", "nightshift continue", "2048 MiB", "Nothing was lost"] {
        assert!(told.hint.contains(way), "{}", told.hint);
    }
    let unknown = stalled(&Stall { free_mib: None, ..stall });
    assert_eq!(unknown.message, "the sandbox stands still: the disk that holds /data/sandboxes/x is full");
}

#[test]
fn a_checkpoint_that_found_no_room_says_how_much_is_free_and_others_say_why() {
    let full = unsaved(&CheckpointError::DiskFull { folder: "/".into() });
    assert!(full.starts_with("the disk that holds / is full ("), "{full}");
    assert!(full.ends_with(" MiB are free); `nightshift prune` removes what nobody needs"), "{full}");
    let unknown = unsaved(&CheckpointError::DiskFull { folder: "/no/where".into() });
    assert_eq!(
        unknown,
        "the disk that holds /no/where is full; `nightshift prune` removes what nobody needs"
    );
    let refused = unsaved(&CheckpointError::Refused { what: "it is busy".to_owned() });
    assert_eq!(refused, "the machine's state could not be saved: it is busy");
}

#[test]
fn a_sandbox_that_is_held_is_told_with_what_it_wrote_what_is_left_and_how_it_goes_on() {
    let stall = |held| Stall { folder: "/data/sandboxes/x".into(), free_mib: Some(1_400), held: Some(held) };
    let gib = |tenths: u64| (tenths << 30) / 10;
    let reserve = Hold::Reserve { written_bytes: gib(90), free_bytes: gib(14), enough_bytes: 2_560 << 20 };
    let quota = Hold::Quota { written_bytes: 12_300 << 20, quota_bytes: 900 << 20 };
    let said = [reserve, quota].map(|hold| {
        let error = stalled(&stall(hold));
        format!("{:?}: {}\n  {}", error.code, error.message, error.hint)
    });
    insta::assert_snapshot!(said.join("\n"), @r"
    DiskFull: the sandbox stands still: it wrote 9.0 GiB; the disk of the host has 1.4 GiB left (/data/sandboxes/x)
      Free some space, for example with `nightshift prune`. It goes on by itself when 2.5 GiB are free; `nightshift continue` lets it use half of what is left. Nothing was lost.
    LimitReached: the sandbox stands still: it wrote 12.0 GiB, and one sandbox may write 900 MiB
      Look at what it does. `nightshift continue` lets it write as much again; disk.sandbox_mib in the configuration is the limit. Nothing was lost.
    ");
}
