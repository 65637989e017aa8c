//! Writes an empty qcow2 disk on top of another, and reads how large a disk is.
//!
//! Format: docs/interop/qcow2.rst in QEMU's source. Doing it here spares a clone the start of `qemu-img`, which
//! takes longer than the rest of its disk.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

const MAGIC: [u8; 4] = *b"QFI\xfb";
const VERSION: u32 = 3;
const HEADER_BYTES: u32 = 104;
/// QEMU's default, 64 KiB.
const CLUSTER_BITS: u32 = 16;
const CLUSTER: u64 = 1 << CLUSTER_BITS;
/// Disk that one second-level table describes: a cluster of 8-byte entries, each for a cluster.
const BYTES_PER_TABLE: u64 = CLUSTER / 8 * CLUSTER;
/// Refcounts of 16 bits, QEMU's default.
const REFCOUNT_ORDER: u32 = 4;
/// The longest name of a backing file the format allows.
const LONGEST_NAME: usize = 1023;
const BACKING_FORMAT_EXTENSION: u32 = 0xE279_2ACA;

/// Why no disk can be written on top of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OverlayError {
    /// The format has no room for the name.
    #[error("the path of the disk below is longer than {LONGEST_NAME} bytes")]
    NameTooLong,
    /// The first-level table must fit in its cluster here; that is enough for 4 TiB.
    #[error("the disk below is larger than 4 TiB")]
    TooLarge,
}

/// Returns the whole file of an empty disk of `size` bytes that shows what `backing` (a qcow2 file) holds.
///
/// # Errors
///
/// When the format has no room for the name or the size.
pub fn overlay(backing: &Path, size: u64) -> Result<Vec<u8>, OverlayError> {
    let name = backing.as_os_str().as_bytes();
    if name.len() > LONGEST_NAME {
        return Err(OverlayError::NameTooLong);
    }
    let tables = u32::try_from(size.div_ceil(BYTES_PER_TABLE)).map_err(|_| OverlayError::TooLarge)?;
    if u64::from(tables) * 8 > CLUSTER {
        return Err(OverlayError::TooLarge);
    }
    // One cluster each: header, refcount table, refcount block, first-level table.
    let (refcount_table, refcount_block, first_level_table) = (CLUSTER, 2 * CLUSTER, 3 * CLUSTER);

    let mut extensions = Vec::new();
    extensions.extend(BACKING_FORMAT_EXTENSION.to_be_bytes());
    extensions.extend(5_u32.to_be_bytes());
    extensions.extend(*b"qcow2\0\0\0");
    extensions.extend([0; 8]); // the end of the extensions
    let name_at = u64::from(HEADER_BYTES) + extensions.len() as u64;

    let mut file = Vec::with_capacity(4 * CLUSTER as usize);
    file.extend(MAGIC);
    file.extend(VERSION.to_be_bytes());
    file.extend(name_at.to_be_bytes());
    file.extend((name.len() as u32).to_be_bytes());
    file.extend(CLUSTER_BITS.to_be_bytes());
    file.extend(size.to_be_bytes());
    file.extend(0_u32.to_be_bytes()); // no encryption
    file.extend(tables.to_be_bytes());
    file.extend(first_level_table.to_be_bytes());
    file.extend(refcount_table.to_be_bytes());
    file.extend(1_u32.to_be_bytes()); // clusters of the refcount table
    file.extend([0; 4 + 8]); // no snapshots: their number and place
    file.extend([0; 3 * 8]); // no incompatible, compatible or self-clearing features
    file.extend(REFCOUNT_ORDER.to_be_bytes());
    file.extend(HEADER_BYTES.to_be_bytes());
    file.extend(extensions);
    file.extend(name);

    file.resize(4 * CLUSTER as usize, 0);
    write_at(&mut file, refcount_table, &refcount_block.to_be_bytes());
    for cluster in 0..4 {
        write_at(&mut file, refcount_block + 2 * cluster, &1_u16.to_be_bytes());
    }
    Ok(file)
}

fn write_at(file: &mut [u8], at: u64, bytes: &[u8]) {
    let at = at as usize;
    file[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Returns the size in bytes of the disk that the qcow2 file at `path` describes.
///
/// # Errors
///
/// Also when the file is no qcow2.
pub fn disk_size(path: &Path) -> io::Result<u64> {
    let mut file = File::open(path)?;
    let mut magic = [0; 4];
    file.read_exact(&mut magic)?;
    if magic != MAGIC {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is no qcow2 disk"));
    }
    let mut size = [0; 8];
    file.seek(SeekFrom::Start(24))?;
    file.read_exact(&mut size)?;
    Ok(u64::from_be_bytes(size))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn qemu_img(arguments: &[&str], file: &Path) -> String {
        let output = Command::new("qemu-img").args(arguments).arg(file).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn qemu_finds_the_overlay_whole_and_as_large_as_what_is_below() {
        let folder = tempfile::tempdir().unwrap();
        let (below, above) =
            (folder.path().join("below, with a comma.qcow2"), folder.path().join("above.qcow2"));
        for size in ["64M", "8G", "3T"] {
            let output = Command::new("qemu-img")
                .args(["create", "-qf", "qcow2"])
                .arg(&below)
                .arg(size)
                .output()
                .unwrap();
            assert!(output.status.success());
            std::fs::write(&above, overlay(&below, disk_size(&below).unwrap()).unwrap()).unwrap();

            assert!(qemu_img(&["check", "-q"], &above).is_empty());
            let info: serde_json::Value =
                serde_json::from_str(&qemu_img(&["info", "--output=json"], &above)).unwrap();
            assert_eq!(info["virtual-size"].as_u64(), Some(disk_size(&below).unwrap()));
            assert_eq!(info["backing-filename"], below.to_str().unwrap());
            assert_eq!(info["backing-filename-format"], "qcow2");
        }
    }

    #[test]
    fn an_overlay_reads_what_is_below_and_keeps_what_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let (below, above) = (folder.path().join("below"), folder.path().join("above"));
        let io = |commands: &[&str], file: &Path| {
            let mut qemu_io = Command::new("qemu-io");
            for command in commands {
                qemu_io.args(["-c", command]);
            }
            let output = qemu_io.args(["-f", "qcow2"]).arg(file).output().unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            assert!(output.status.success() && !text.contains("failed"), "{text}");
        };
        let created = Command::new("qemu-img")
            .args(["create", "-qf", "qcow2"])
            .arg(&below)
            .arg("600M")
            .output()
            .unwrap();
        assert!(created.status.success());
        io(&["write -P 7 550M 128k"], &below);
        std::fs::write(&above, overlay(&below, disk_size(&below).unwrap()).unwrap()).unwrap();
        io(&["read -P 7 550M 128k", "write -P 9 550M 64k"], &above);
        io(&["read -P 9 550M 64k", "read -P 7 563264k 64k"], &above);
        assert!(qemu_img(&["check", "-q"], &above).is_empty());
    }

    #[test]
    fn a_name_or_a_size_the_format_cannot_hold_is_refused() {
        let long = "x".repeat(1024);
        assert_eq!(overlay(Path::new(&long), 1), Err(OverlayError::NameTooLong));
        assert_eq!(overlay(Path::new("/disk"), (4 << 40) + 1), Err(OverlayError::TooLarge));
        assert_eq!(overlay(Path::new("/disk"), u64::MAX), Err(OverlayError::TooLarge));
    }

    #[test]
    fn a_file_that_is_no_qcow2_has_no_disk_size() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("disk");
        std::fs::write(&file, [0; 64]).unwrap();
        assert_eq!(disk_size(&file).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
