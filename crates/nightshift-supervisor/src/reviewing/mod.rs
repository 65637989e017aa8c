//! Reviewing: which pull request comes first, which attempt ranks first, how many may wait, and since when reviews are summed up. Pure decisions over
//! runs as lists show them.

mod attempts;
mod measure;
mod queue;
mod since;

pub use attempts::attempts;
pub(crate) use measure::{Delivered, measure};
pub use queue::queue;
pub use since::since;

#[cfg(test)]
mod tests;
