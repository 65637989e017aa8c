//! Sandboxes on libvirt hosts, where the program is built with them.

use std::path::PathBuf;
use std::sync::Arc;

use nightshift_client::Folders;
use nightshift_libvirt::HostSettings;
use nightshift_protocol::UserError;
use nightshift_sandbox::Driver;

/// How a program is made that can use hosts, and goes on being made so.
pub(crate) const BUILD: &str =
    "Build it with them: `export NIGHTSHIFT_LIBVIRT=1`, then `./dev build` (docs/libvirt.md)";

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
        format!("{BUILD}, or take [[hosts]] out."),
    ))
}

#[cfg(all(test, not(feature = "libvirt")))]
mod tests {
    use super::*;

    #[test]
    fn a_program_without_libvirt_says_how_one_with_it_is_built_and_stays_so() {
        let folder = PathBuf::from("/nowhere");
        let (configuration, data) = (folder.clone(), folder.clone());
        let folders = Folders { configuration, data, cache: folder.clone(), sandboxes: folder };
        let error = driver(&[], PathBuf::new(), &folders).err().unwrap();
        assert!(error.hint.contains("`export NIGHTSHIFT_LIBVIRT=1`"), "{}", error.hint);
    }
}
