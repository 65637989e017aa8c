//! Sandboxes on libvirt hosts, where the program is built with them.

use std::path::PathBuf;
use std::sync::Arc;

use nightshift_client::Folders;
use nightshift_libvirt::HostSettings;
use nightshift_protocol::UserError;
use nightshift_sandbox::Driver;

/// The driver of the hosts in the configuration.
#[cfg(feature = "libvirt")]
#[expect(clippy::unnecessary_wraps, reason = "a program that is built without libvirt refuses")]
pub(crate) fn driver(
    hosts: &[HostSettings],
    guest_program: PathBuf,
    folders: &Folders,
) -> Result<Arc<dyn Driver>, UserError> {
    use nightshift_libvirt::{LibvirtDriver, LibvirtSettings};

    let (hosts, records) = (hosts.to_vec(), folders.data.join("libvirt"));
    Ok(Arc::new(LibvirtDriver::new(LibvirtSettings { hosts, guest_program, records })))
}

/// Says how to get a program that can.
#[cfg(not(feature = "libvirt"))]
pub(crate) fn driver(hosts: &[HostSettings], _: PathBuf, _: &Folders) -> Result<Arc<dyn Driver>, UserError> {
    let names: Vec<String> = hosts.iter().map(ToString::to_string).collect();
    Err(UserError::new(
        nightshift_protocol::ErrorCode::InvalidRequest,
        format!(
            "the configuration names libvirt hosts ({}), and this program is built without libvirt",
            names.join(", ")
        ),
        "Build it with them, `NIGHTSHIFT_LIBVIRT=1 ./dev build` (docs/libvirt.md), or take [[hosts]] out.",
    ))
}
