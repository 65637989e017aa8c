//! A machine's memory in a file, as libvirt saves it, and how a second machine is made of it.
//!
//! libvirt restores such a file as the machine it was saved from and no other: it refuses another name or UUID, though
//! it lets everything of the host be changed that the guest cannot see, as the disk's path. A clone therefore needs
//! a copy of the file in which name and UUID are another's. Both have the same length in every machine of ours, so
//! that nothing in the file moves.
//!
//! ```text
//!   0  "LibvirtQemudSave"     16  version, u32   20  length of what describes the machine, u32, in the order of
//!   24 to 92  other numbers   92  its XML, a zero byte, libvirt's notes, zeroes to that length; then QEMU's own stream
//! ```
//!
//! Format: `struct _virQEMUSaveHeader` in libvirt's `src/qemu/qemu_saveimage.h`; the same since version 2 of it (2010).

use crate::domain::{Uuid, text};

const MAGIC: &[u8; 16] = b"LibvirtQemudSave";
/// What precedes the description, in bytes.
const HEADER_BYTES: usize = 92;
/// The version of the format that is understood.
const VERSION: u32 = 2;
/// The longest description that is looked at, in bytes; libvirt leaves 64 KiB of room in it.
pub const MAX_DESCRIPTION_BYTES: usize = 512 * 1024;

/// A file is none that a clone can be made of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It does not begin as libvirt's files do.
    #[error("the saved memory is none that libvirt wrote")]
    Foreign,
    /// It has another version.
    #[error("the saved memory has version {version} of libvirt's form, not {VERSION}")]
    Version {
        /// Its version.
        version: u32,
    },
    /// Its description is cut off, or longer than any of ours.
    #[error("the saved memory is cut off or damaged")]
    Damaged,
    /// It does not name the machine that was saved, or names cannot be exchanged.
    #[error("the saved memory is not of {name}")]
    Other {
        /// The machine it should be of.
        name: String,
    },
}

/// Which machine a file is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity<'a> {
    /// The machine's name.
    pub name: &'a str,
    /// Its UUID.
    pub uuid: Uuid,
}

/// Returns how many bytes at the beginning of a saved file describe the machine, of which `head` is the first 92 or
/// more.
///
/// # Errors
///
/// When the file is not as expected.
pub fn description_length(head: &[u8]) -> Result<usize, Unfit> {
    let number = |at: usize| -> Result<u32, Unfit> {
        let bytes = head.get(at..at + 4).ok_or(Unfit::Damaged)?;
        Ok(u32::from_ne_bytes(bytes.try_into().map_err(|_| Unfit::Damaged)?))
    };
    if !head.starts_with(MAGIC) {
        return Err(Unfit::Foreign);
    }
    let version = number(16)?;
    if version != VERSION {
        return Err(Unfit::Version { version });
    }
    let length = usize::try_from(number(20)?).map_err(|_| Unfit::Damaged)?;
    if length == 0 || length > MAX_DESCRIPTION_BYTES {
        return Err(Unfit::Damaged);
    }
    Ok(HEADER_BYTES + length)
}

/// Makes the beginning of a saved file, as long as [`description_length`] says, that of another machine.
///
/// # Errors
///
/// When it is not of the machine `from`, or the names are not equally long.
pub fn rename(head: &mut [u8], from: Identity<'_>, to: Identity<'_>) -> Result<(), Unfit> {
    let length = description_length(head)?;
    let description = head.get_mut(HEADER_BYTES..length).ok_or(Unfit::Damaged)?;
    let end = description.iter().position(|byte| *byte == 0).ok_or(Unfit::Damaged)?;
    let other = || Unfit::Other { name: from.name.to_owned() };
    let xml = std::str::from_utf8(&description[..end]).map_err(|_| Unfit::Damaged)?;
    let parts = [("name", from.name, to.name), ("uuid", &from.uuid.to_string(), &to.uuid.to_string())];
    let mut renamed = xml.to_owned();
    for (tag, from, to) in parts {
        let [from, to] = [from, to].map(|value| format!("<{tag}>{value}</{tag}>"));
        if from.len() != to.len() || !renamed.contains(&from) {
            return Err(other());
        }
        renamed = renamed.replacen(&from, &to, 1);
    }
    description[..end].copy_from_slice(renamed.as_bytes());
    Ok(())
}

/// Returns a description in which the disk is another; `None` when the old disk is not in it.
pub fn with_disk(xml: &str, from: &str, to: &str) -> Option<String> {
    let [from, to] = [from, to].map(|path| format!("<source file='{}'", text(path)));
    xml.contains(&from).then(|| xml.replacen(&from, &to, 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FROM: Identity<'_> = Identity { name: "sandbox-0000000001", uuid: Uuid(1) };
    const TO: Identity<'_> = Identity { name: "sandbox-zzzzzzzzzz", uuid: Uuid(u128::MAX) };

    fn file(name: &str, uuid: Uuid) -> Vec<u8> {
        let xml =
            format!("<domain type='qemu'>\n  <name>{name}</name>\n  <uuid>{uuid}</uuid>\n</domain>\0notes");
        let mut file = MAGIC.to_vec();
        file.extend(VERSION.to_ne_bytes());
        file.extend(1_000_u32.to_ne_bytes());
        file.resize(HEADER_BYTES, 0);
        file.extend(xml.as_bytes());
        file.resize(HEADER_BYTES + 1_000, 0);
        file.extend(b"QEVM");
        file
    }

    #[test]
    fn a_renamed_file_is_the_one_that_libvirt_would_have_saved_of_the_other_machine() {
        let mut head = file(FROM.name, FROM.uuid);
        assert_eq!(description_length(&head), Ok(HEADER_BYTES + 1_000));
        rename(&mut head, FROM, TO).unwrap();
        assert_eq!(head, file(TO.name, TO.uuid));
    }

    #[test]
    fn what_is_not_as_expected_is_refused_and_named() {
        let good = file(FROM.name, FROM.uuid);
        let with = |at: usize, bytes: &[u8]| {
            let mut file = good.clone();
            file[at..at + bytes.len()].copy_from_slice(bytes);
            description_length(&file)
        };
        assert_eq!(with(0, b"LibvirtQemudPart"), Err(Unfit::Foreign));
        assert_eq!(with(16, &3_u32.to_ne_bytes()), Err(Unfit::Version { version: 3 }));
        assert_eq!(with(20, &u32::MAX.to_ne_bytes()), Err(Unfit::Damaged));
        assert_eq!(description_length(&good[..20]), Err(Unfit::Damaged));
        let other = Unfit::Other { name: TO.name.to_owned() };
        assert_eq!(rename(&mut good.clone(), TO, FROM), Err(other));
        let longer = Identity { name: "sandbox-1", uuid: Uuid(2) };
        assert!(rename(&mut good.clone(), FROM, longer).is_err());
    }

    #[test]
    fn the_disk_is_exchanged_once_and_only_if_it_is_there() {
        let xml = "<source file='/p/a'/><source file='/p/a'/>";
        assert_eq!(
            with_disk(xml, "/p/a", "/p/b").as_deref(),
            Some("<source file='/p/b'/><source file='/p/a'/>")
        );
        assert_eq!(with_disk(xml, "/p/c", "/p/b"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..300), whole in any::<bool>()) {
            if whole {
                let mut file = file(FROM.name, FROM.uuid);
                let at = HEADER_BYTES + bytes.len();
                file[HEADER_BYTES..at].copy_from_slice(&bytes);
                bytes = file;
            }
            let length = bytes.len();
            let _refused = rename(&mut bytes, FROM, TO);
            prop_assert_eq!(bytes.len(), length);
        }
    }
}
