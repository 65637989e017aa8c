//! The benches there are.

mod sandbox;

use crate::bench::Bench;

/// All of them, in the order they are listed.
pub(crate) const ALL: &[&dyn Bench] = &[&sandbox::Sandbox];

/// The bench of that name.
pub(crate) fn find(name: &str) -> Option<&'static dyn Bench> {
    ALL.iter().copied().find(|bench| bench.name() == name)
}
