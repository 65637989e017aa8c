//! A GitHub on the loopback address: its REST and GraphQL operations, its uploads, and git over HTTP.
//!
//! ```text
//! http://127.0.0.1:PORT/                       as a GitHub Enterprise Server has it
//!     api/v3/…                                 REST, each request and answer held to GitHub's published description
//!     api/graphql                              the few mutations and queries that REST has not
//!     uploads/user-attachments/assets          pictures for bodies; the only part a real Enterprise Server has not
//!     OWNER/NAME.git/…                         git, by `git http-backend`, in bare repositories on this disk
//!     OWNER/NAME/blob/REF/PATH?raw=true        files of a repository, as pictures in a body name them
//! ```
//!
//! It has state: a pull request that was created is there, and the same one a second time is refused. It polices: an
//! unknown property, a missing header or a picture that is none is a breach, which a test looks for at its end. And
//! it fails on request: see [`Fault`].

mod answers;
mod attachments;
mod description;
mod faults;
mod git;
mod graphql;
mod moments;
mod routes;
mod server;
mod state;

pub use description_public::{operations, webhook_example};
pub use faults::Fault;
pub use moments::Moment;
pub use server::GitHub;
pub use state::{
    CheckRun, CommitStatus, Issue, IssueComment, PullRequest, PullRequestState, Review, ReviewComment, Token,
};

mod description_public {
    use serde_json::Value;

    /// The names of all operations that are understood, besides those of git.
    pub fn operations() -> Vec<&'static str> {
        let rest = super::description::Description::get().operations();
        rest.chain(super::graphql::operations()).chain(["attachments/upload"]).collect()
    }

    /// Returns GitHub's published example of a webhook's payload, for example `issue_comment.created`.
    pub fn webhook_example(name: &str) -> Value {
        super::description::webhook_example(name)
    }
}
