//! The benches there are.

mod action;
mod checkpoint;
mod density;
mod environment;
mod hostile;
mod live_view;
mod sandbox;
mod screen;
mod step;
mod ui;

use crate::bench::Bench;

/// All of them, in the order they are listed.
pub(crate) const ALL: &[&dyn Bench] = &[
    &sandbox::Sandbox,
    &density::Density,
    &checkpoint::Checkpoint,
    &environment::Environment,
    &hostile::Hostile,
    &screen::ScreenBench,
    &action::Action,
    &step::Step,
    &ui::Ui,
    &live_view::LiveView,
];

/// The bench of that name.
pub(crate) fn find(name: &str) -> Option<&'static dyn Bench> {
    ALL.iter().copied().find(|bench| bench.name() == name)
}
