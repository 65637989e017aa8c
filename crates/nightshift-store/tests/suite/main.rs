//! The store as its users see it.

mod crash;
mod history;
mod lists;
mod projection;
mod statistics;
mod support;
