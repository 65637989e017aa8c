//! Writes cpio archives in the "newc" form, of which Linux makes its first root file system.
//!
//! Format: Documentation/driver-api/early-userspace/buffer-format.rst in the kernel's source. The kernel unpacks
//! several archives one after the other, so a file can be added to an image's initrd by appending an archive.

/// A regular file, owned by root.
pub struct File<'a> {
    /// Path without a leading slash.
    pub path: &'a str,
    /// Permission bits, for example `0o755`.
    pub permissions: u32,
    /// What is in it; the format has room for less than 4 GiB.
    pub content: &'a [u8],
}

const REGULAR_FILE: u32 = 0o100_000;
/// Each archive begins, and each part of it ends, on such a boundary.
const ALIGNMENT: usize = 4;

/// Appends an archive with `files` to `out`, which may hold other archives already.
pub fn append(out: &mut Vec<u8>, files: &[File<'_>]) {
    pad(out);
    for (index, file) in files.iter().enumerate() {
        entry(out, index + 1, REGULAR_FILE | file.permissions, file.path, file.content);
    }
    entry(out, 0, 0, "TRAILER!!!", &[]);
}

fn entry(out: &mut Vec<u8>, inode: usize, mode: u32, path: &str, content: &[u8]) {
    let links = 1;
    let (user, group, modified, device, checksum) = (0, 0, 0, [0; 4], 0);
    out.extend_from_slice(
        format!(
            "070701{inode:08x}{mode:08x}{user:08x}{group:08x}{links:08x}{modified:08x}{:08x}\
             {:08x}{:08x}{:08x}{:08x}{:08x}{checksum:08x}{path}\0",
            content.len(),
            device[0],
            device[1],
            device[2],
            device[3],
            path.len() + 1,
        )
        .as_bytes(),
    );
    pad(out);
    out.extend_from_slice(content);
    pad(out);
}

fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reads an archive back: paths, modes and contents up to the trailer, and where it ends.
    fn read(archive: &[u8]) -> (Vec<(String, u32, Vec<u8>)>, usize) {
        let number = |at: usize| {
            let digits = std::str::from_utf8(&archive[at..at + 8]).unwrap();
            usize::from_str_radix(digits, 16).unwrap()
        };
        let (mut files, mut at) = (Vec::new(), 0);
        loop {
            assert_eq!(&archive[at..at + 6], b"070701");
            let (mode, size, name_size) = (number(at + 14), number(at + 54), number(at + 94));
            let path = String::from_utf8(archive[at + 110..at + 110 + name_size - 1].to_vec()).unwrap();
            let content = (at + 110 + name_size).next_multiple_of(4);
            at = (content + size).next_multiple_of(4);
            if path == "TRAILER!!!" {
                return (files, at);
            }
            files.push((path, u32::try_from(mode).unwrap(), archive[content..content + size].to_vec()));
        }
    }

    #[test]
    fn an_empty_file_is_written_to_the_letter() {
        let mut archive = Vec::new();
        append(&mut archive, &[File { path: "a", permissions: 0o644, content: b"" }]);
        let expected = "070701\
             00000001000081a400000000000000000000000100000000\
             0000000000000000000000000000000000000000\
             0000000200000000a\0";
        assert_eq!(std::str::from_utf8(&archive[..expected.len()]), Ok(expected));
    }

    #[test]
    fn an_archive_appended_to_another_begins_on_a_boundary() {
        let mut archives = b"odd".to_vec();
        append(&mut archives, &[]);
        assert_eq!(&archives[..10], b"odd\x00070701");
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(
            files in prop::collection::vec(
                ("[a-z]{1,9}", 0_u32..0o7777, prop::collection::vec(any::<u8>(), 0..9)),
                0..5,
            ),
        ) {
            let mut archive = Vec::new();
            let entries: Vec<File<'_>> = files
                .iter()
                .map(|(path, permissions, content)| File { path, permissions: *permissions, content })
                .collect();
            append(&mut archive, &entries);
            let expected: Vec<_> = files
                .into_iter()
                .map(|(path, permissions, content)| (path, 0o100_000 | permissions, content))
                .collect();
            prop_assert_eq!(read(&archive), (expected, archive.len()));
        }
    }
}
