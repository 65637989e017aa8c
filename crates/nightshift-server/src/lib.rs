//! The HTTP API under `/api/v1`: it translates requests to [`nightshift_api`] and answers back.
//!
//! It decides nothing about tasks or runs, and it never answers a request without the owner's token, with a
//! foreign `Host` (DNS rebinding) or a foreign `Origin` (another site's page).

mod extract;
mod guard;
mod reply;
mod routes;
mod session;
mod ui;

pub use guard::{Access, Guard};
pub use routes::{guarded, openapi, router};
