//! Reviewing: which pull request comes first, how many may wait, and since when reviews are summed up. Pure decisions over
//! runs as lists show them.

mod measure;
mod queue;
mod since;

pub(crate) use measure::measure;
pub use queue::queue;
pub use since::since;

#[cfg(test)]
mod tests;
