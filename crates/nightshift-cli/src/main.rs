//! The `nightshift` command: it starts or finds the owner, asks it, and shows what it answers.
//!
//! The only other thing in here is `serve`, which puts the owner together from its parts. No rule about tasks,
//! runs or sandboxes is in this crate.

mod access;
mod accounts;
mod agents;
mod arguments;
mod commands;
mod configuration;
mod egress;
mod environment;
mod follow;
mod hosts;
mod mcp;
mod models;
mod owner;
mod providers;
mod quoting;
mod settings;
mod show;
mod terminal;

use std::process::ExitCode;

use clap::Parser;
use nightshift_allocator as _;

use crate::arguments::Arguments;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let environment = environment::Environment::read();
    commands::run(arguments, &environment)
}
