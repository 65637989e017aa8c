//! What the tests of the driver share.

use std::path::Path;

use nightshift_libvirt::{HostSettings, LibvirtDriver, LibvirtSettings};
use nightshift_sandbox::Acceleration;

pub(crate) fn host(name: &str, uri: &str, memory_mib: Option<u64>) -> HostSettings {
    HostSettings {
        name: name.to_owned(),
        uri: uri.to_owned(),
        pool: "nightshift".to_owned(),
        memory_mib,
        acceleration: Some(Acceleration::Tcg),
    }
}

pub(crate) fn driver(hosts: Vec<HostSettings>, records: &Path, guest_program: &Path) -> LibvirtDriver {
    let (records, guest_program) = (records.to_owned(), guest_program.to_owned());
    LibvirtDriver::new(LibvirtSettings { hosts, guest_program, records })
}
