//! What a person is told when something under the supervisor fails: the one place that maps it.

use nightshift_protocol::{ErrorCode, UserError};
use nightshift_store::{AppendError, FindError, GetError, PutError, ReadError, ReplayError};

/// A user's error for a failed read or write: a full disk is named as such.
pub(crate) fn disk_or(code: ErrorCode, what: &str, error: &std::io::Error) -> UserError {
    if matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded) {
        disk_full(what)
    } else {
        UserError::new(code, format!("{what}: {error}"), "`nightshift doctor` looks for what may be wrong.")
    }
}

/// A user's error for a full disk.
pub(crate) fn disk_full(what: &str) -> UserError {
    UserError::new(
        ErrorCode::DiskFull,
        format!("the disk is full ({what})"),
        "Free some space, then let the run go on with `nightshift continue`. Nothing was lost.",
    )
}

/// A user's error for a defect of ours.
pub(crate) fn internal(what: &str, error: &dyn std::error::Error) -> UserError {
    let mut message = format!("{what}: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        message += &format!(": {cause}");
        source = cause.source();
    }
    UserError::new(ErrorCode::Internal, message, "This is a defect of Nightshift; please report it.")
}

pub(crate) fn appending(error: &AppendError) -> UserError {
    match error {
        AppendError::DiskFull(_) => disk_full("writing the history"),
        AppendError::Misplaced(_)
        | AppendError::Time(_)
        | AppendError::Json(_)
        | AppendError::Ending
        | AppendError::Database(_) => internal("writing the history", error),
    }
}

pub(crate) fn putting(error: &PutError) -> UserError {
    match error {
        PutError::DiskFull(_) => disk_full("keeping an artifact"),
        PutError::File(_) | PutError::Name(_) | PutError::Database(_) => internal("keeping an artifact", error),
    }
}

/// A user's error for an artifact that cannot be read.
pub fn getting(error: &GetError) -> UserError {
    match error {
        GetError::NotFound(id) => {
            UserError::new(ErrorCode::NotFound, format!("there is no artifact {id}"), "Look for a mistyped id.")
        }
        GetError::Damaged(_) | GetError::File(_) => internal("reading an artifact", error),
    }
}

/// A user's error for history that cannot be read.
pub fn reading(error: &ReadError) -> UserError {
    internal("reading the history", error)
}

/// A user's error for a run or task that is not found by what was given.
pub fn finding(error: &FindError) -> UserError {
    match error {
        FindError::NotFound { .. } => {
            UserError::new(ErrorCode::NotFound, error.to_string(), "`nightshift tasks --all` lists all of them.")
        }
        FindError::Ambiguous { .. } => {
            UserError::new(ErrorCode::InvalidRequest, error.to_string(), "Give some more characters of the one you mean.")
        }
        FindError::Read(error) => reading(error),
    }
}

pub(crate) fn replaying(error: &ReplayError) -> UserError {
    match error {
        ReplayError::Unreadable(unreadable) => UserError::new(
            ErrorCode::Internal,
            unreadable.to_string(),
            "A newer version of Nightshift worked on this run; continue it with that version.",
        ),
        ReplayError::Database(_) => internal("reading the history", error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
