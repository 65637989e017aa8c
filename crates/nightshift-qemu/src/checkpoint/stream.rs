//! The state of the devices alone, in a form that QEMU takes as an incoming migration.
//!
//! QEMU's `migrate` leaves out only memory that is shared, which a clone's is not. `xen-save-devices-state` leaves
//! out all memory: the sections of the devices between the stream's header and its end mark (docs/devel/migration/
//! main.rst in QEMU's source, "Stream structure"). An incoming migration wants a configuration before them, which
//! names the machine type, and a description after them, which may be empty.

use std::io;

const HEADER: usize = 8;
const MAGIC: [u8; 4] = *b"QEVM";
const CONFIGURATION: u8 = 0x07;
const END: u8 = 0x00;
const DESCRIPTION: u8 = 0x06;
/// The longest name of a machine type that is believed, in bytes; `pc-i440fx-10.0` has 14.
const LONGEST_TYPE: usize = 64;

/// Reads the machine type from the beginning of a state that `migrate` wrote.
pub(crate) fn machine_type(state: &[u8]) -> io::Result<Vec<u8>> {
    let wrong =
        || io::Error::new(io::ErrorKind::InvalidData, "the template's state does not begin as it must");
    let rest = state.strip_prefix(&MAGIC).and_then(|rest| rest.get(4..)).ok_or_else(wrong)?;
    let rest = rest.strip_prefix(&[CONFIGURATION]).ok_or_else(wrong)?;
    let (length, rest) = rest.split_first_chunk().ok_or_else(wrong)?;
    let length = u32::from_be_bytes(*length) as usize;
    rest.get(..length).filter(|name| name.len() <= LONGEST_TYPE).map(<[u8]>::to_vec).ok_or_else(wrong)
}

/// Returns what `xen-save-devices-state` wrote as an incoming migration of a machine of that type.
pub(crate) fn incoming(devices: &[u8], machine_type: &[u8]) -> io::Result<Vec<u8>> {
    if !devices.starts_with(&MAGIC) || devices.len() <= HEADER || devices.last() != Some(&END) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "QEMU did not write the whole state of its devices",
        ));
    }
    let (header, sections) = devices.split_at(HEADER);
    let mut stream = Vec::with_capacity(devices.len() + machine_type.len() + 16);
    stream.extend(header);
    stream.push(CONFIGURATION);
    stream.extend((machine_type.len() as u32).to_be_bytes());
    stream.extend(machine_type);
    stream.extend(sections);
    stream.push(DESCRIPTION);
    stream.extend(2_u32.to_be_bytes());
    stream.extend(b"{}");
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_devices_stand_between_configuration_and_description() {
        let template = b"QEVM\0\0\0\x03\x07\0\0\0\x02pc\x05rest";
        let machine_type = machine_type(template).unwrap();
        assert_eq!(machine_type, b"pc");
        let stream = incoming(b"QEVM\0\0\0\x03\x04devices\0", &machine_type).unwrap();
        assert_eq!(stream, b"QEVM\0\0\0\x03\x07\0\0\0\x02pc\x04devices\0\x06\0\0\0\x02{}");
    }

    #[test]
    fn what_is_cut_short_or_no_state_is_refused() {
        for state in
            [b"".as_slice(), b"QEVM\0\0\0\x03", b"QEVM\0\0\0\x03\x04", b"QEVM\0\0\0\x03\x07\xff\0\0\x02pc"]
        {
            assert!(machine_type(state).is_err());
        }
        for devices in [b"".as_slice(), b"QEVM\0\0\0\x03", b"QEVM\0\0\0\x03\x04dev", b"MVEQ\0\0\0\x03\x04\0"]
        {
            assert!(incoming(devices, b"pc").is_err());
        }
    }
}
