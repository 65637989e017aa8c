//! What can go wrong with a site.

use nightshift_protocol::OffsetDateTime;

/// Why a site did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum GitHubError {
    /// The token is not accepted.
    #[error("{host} does not accept the token: {message}")]
    NotAuthorized {
        /// The site.
        host: String,
        /// What it said.
        message: String,
    },
    /// The token may not do that.
    #[error("the token may not do that at {host} ({what}): {message}")]
    NoPermission {
        /// The site.
        host: String,
        /// What was asked.
        what: &'static str,
        /// What it said.
        message: String,
    },
    /// It is not there, or the token may not see it: sites do not tell which.
    #[error("{host} has nothing there ({what}), or the token may not see it")]
    NotFound {
        /// The site.
        host: String,
        /// What was asked.
        what: &'static str,
    },
    /// Too many requests; it is not waited for because it would take too long.
    #[error("{host} takes no more requests until {until}")]
    RateLimited {
        /// The site.
        host: String,
        /// When it takes some again.
        until: OffsetDateTime,
    },
    /// The request makes no sense to the site in its present state.
    #[error("{host} refuses ({what}): {message}")]
    Refused {
        /// The site.
        host: String,
        /// What was asked.
        what: &'static str,
        /// The HTTP status.
        status: u16,
        /// What it said, with the reasons it gave.
        message: String,
    },
    /// The site is ill.
    #[error("{host} failed with status {status}")]
    Server {
        /// The site.
        host: String,
        /// The HTTP status.
        status: u16,
    },
    /// The connection failed or was cut: what was asked may have happened.
    #[error("the connection to {host} failed: {message}")]
    Cut {
        /// The site.
        host: String,
        /// How.
        message: String,
    },
    /// The answer makes no sense.
    #[error("{host} gave an answer that makes no sense ({what})")]
    Nonsense {
        /// The site.
        host: String,
        /// What was asked.
        what: &'static str,
    },
}

impl GitHubError {
    /// Whether trying again later may help without anybody mending something.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::RateLimited { .. } | Self::Server { .. } | Self::Cut { .. } => true,
            Self::NotAuthorized { .. }
            | Self::NoPermission { .. }
            | Self::NotFound { .. }
            | Self::Refused { .. }
            | Self::Nonsense { .. } => false,
        }
    }
}
