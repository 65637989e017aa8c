//! The driver for libvirt hosts, local and remote.
//!
//! A sandbox is a transient machine on the host with most room. Everything it needs lies in a storage pool of that host and
//! is brought there through libvirt, so that a host is nothing but an address. Its screen is VNC on a Unix socket of
//! the host, its channel a stream through libvirt.
//!
//! There are no clones of memory here as [`nightshift_sandbox::Driver`] has in mind them: a machine is restored from a
//! copy of the saved template, in seconds, and has all its memory to itself; on a host that has no saved template it boots.
//!
//! What the driver decides is pure and built everywhere; the driver itself needs the feature `driver`. It never speaks to
//! the guest program and gives no machine a network card. Only programs link it.

#[cfg(feature = "driver")]
mod checkpoints;
#[cfg(feature = "driver")]
mod connection;
mod domain;
#[cfg(feature = "driver")]
mod driver;
mod host;
#[cfg(feature = "driver")]
mod machine;
mod placement;
pub mod records;
pub mod saved;
#[cfg(feature = "driver")]
mod stream;
mod trouble;
#[cfg(feature = "driver")]
mod volumes;

pub use domain::{
    CHANNEL_PORT, DISK, DomainPlan, Files, Uuid, attribute, domain, layer_volume, plain_volume, snapshot,
    trial,
};
#[cfg(feature = "driver")]
pub use driver::{LibvirtDriver, LibvirtSettings};
pub use host::{BadHost, HostSettings, Road, check_hosts};
pub use placement::{HostRoom, NoRoom, place};
pub use trouble::{HostError, no_room, too_large};
