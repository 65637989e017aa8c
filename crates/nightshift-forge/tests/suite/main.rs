//! The forge with the real git, in temporary folders.

mod checkout;
mod delivery;
mod failures;
mod github;
mod pull_requests;
mod support;
