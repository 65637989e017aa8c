//! Reviewing: which pull request comes first, how many may wait, and what reviews came to. Pure decisions over runs as
//! lists show them.

mod measure;
mod queue;
mod statistics;

pub(crate) use measure::measure;
pub use queue::queue;
pub use statistics::{since, statistics};

#[cfg(test)]
mod tests;
