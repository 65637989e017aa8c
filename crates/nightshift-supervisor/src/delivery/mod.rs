//! From commits that are out of the sandbox to a pull request, and back when people or checks have something to say.

mod body;
mod courier;
pub(crate) mod issues;
pub(crate) mod marks;
pub(crate) mod news;
pub mod pictures;
mod progress;
mod settings;
mod side_branch;

use nightshift_forge::{BranchName, Forge, Identity, Repository, Source};
use nightshift_protocol::UserError;

use crate::trouble;

pub(crate) use courier::Courier;
pub use progress::DeliveryProgress;
pub(crate) use progress::{DeliveryAction, next_in_delivery};
pub use settings::{DeliverySettings, IssueSettings, PicturePolicy};

/// Who merges: the person decides, Nightshift writes the merge commit.
pub(crate) fn merger() -> Identity {
    Identity { name: "Nightshift".to_owned(), email: "merge@nightshift.invalid".to_owned() }
}

/// The repository of a recorded task.
pub(crate) fn repository_of(forge: &Forge, recorded: &str) -> Result<Repository, UserError> {
    let source: Source = recorded.parse().map_err(|error| trouble::sourcing(recorded, &error))?;
    Ok(forge.repository(&source))
}

pub(crate) fn branch(name: &str) -> Result<BranchName, UserError> {
    name.parse().map_err(|error| trouble::internal("reading a branch's name", &error))
}
