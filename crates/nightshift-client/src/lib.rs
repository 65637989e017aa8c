//! Finds the owner of a Nightshift on this machine, starts it when none runs, and asks it over HTTP.
//!
//! The command line and the desktop window attach by it. It never decides anything about tasks or runs, and never does
//! what only the owner may: it writes nothing into the history.

mod folders;
mod http;
mod owner;

pub use folders::{BaseDirectories, Folders, beside};
pub use http::{Arrived, Body, Changed, Client, Follow};
pub use owner::{Program, address, connect, is_held, private_folder, running, stop, unusable};
