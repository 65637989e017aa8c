//! The default driver: sandboxes as QEMU processes on this host.
//!
//! A template is booted once, with its memory in a file, and frozen: memory, device state and disk stay as they
//! are from then on. Each sandbox is a copy-on-write clone of it, ready in a fraction of a second. A QEMU
//! outlives the program that started it and is found again by the socket in its sandbox's folder.
//!
//! The crate never decides when a sandbox is wanted, never speaks to the guest program, and gives no machine a
//! network card. Only programs link it; everything else knows [`nightshift_sandbox::Driver`].

use nightshift_image::{self as image, cpio, qcow2};

mod acceleration;
mod builds;
mod channel;
mod checkpoint;
mod command_line;
mod disk;
mod driver;
mod failure;
mod folder;
mod machine;
mod prepare;
mod process;
mod program;
mod qmp;
mod spare;
mod start;
mod template;

pub use driver::{QemuDriver, QemuSettings};
pub use program::QemuProgram;
