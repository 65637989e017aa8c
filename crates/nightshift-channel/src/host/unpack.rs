//! Unpacks a tar stream that a sandbox made, so that nothing of it lands outside the folder it is meant for.
//!
//! What is made is real: a folder, a file, or a link whose target is relative, climbs (`..`) only at its beginning and
//! not above the root. Nothing is written through a link and nothing is replaced, so a path means what it says, and
//! each link leads to a place within the root.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use tar::EntryType;

use super::error::TreeError;
use super::tree::TreeLimits;

/// The longest path or link target in bytes (`PATH_MAX` in `linux/limits.h`).
const MAX_PATH_BYTES: u64 = 4096;

/// A tree that is not unpacked. Paths are cut to 200 characters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostileTree {
    /// The stream is no tar archive, or a broken one.
    #[error("it is no whole tar archive")]
    NotAnArchive,
    /// A path is absolute, climbs, or is too long.
    #[error("the path {path:?} leads out of the tree")]
    PathLeadsOut {
        /// The path.
        path: String,
    },
    /// A link is absolute or climbs above the root.
    #[error("the link {path:?} leads out of the tree")]
    LinkLeadsOut {
        /// The link's path.
        path: String,
    },
    /// A path passes through a link or a file.
    #[error("the path {path:?} passes through what is no folder")]
    ThroughLink {
        /// The path.
        path: String,
    },
    /// A path comes twice.
    #[error("the path {path:?} comes twice")]
    Twice {
        /// The path.
        path: String,
    },
    /// A device, a pipe, a hard link or something unknown.
    #[error("{path:?} is neither file, folder nor symbolic link")]
    ForbiddenKind {
        /// Its path.
        path: String,
    },
    /// There are more entries than allowed.
    #[error("it has more than {limit} entries")]
    TooManyEntries {
        /// The limit.
        limit: u64,
    },
    /// There are more bytes than allowed.
    #[error("it has more than {limit} bytes")]
    TooManyBytes {
        /// The limit.
        limit: u64,
    },
}

/// A tree was unpacked whole.
#[derive(Debug)]
pub(super) struct Unpacked;

/// Unpacks `archive` into `root`, an empty folder.
pub(super) fn unpack(archive: &mut dyn Read, root: &Path, limits: TreeLimits) -> Result<Unpacked, TreeError> {
    let mut archive = tar::Archive::new(archive.take(longest(limits)));
    let mut left = limits;
    let (mut long_path, mut long_target) = (None, None);
    // Raw, because the crate would otherwise read long names of any length into memory.
    for entry in archive.entries().map_err(not_an_archive)?.raw(true) {
        let mut entry = entry.map_err(not_an_archive)?;
        left.entries =
            left.entries.checked_sub(1).ok_or(HostileTree::TooManyEntries { limit: limits.entries })?;
        let kind = entry.header().entry_type();
        match kind {
            EntryType::GNULongName => {
                long_path = Some(long_name(&mut entry)?);
                continue;
            }
            EntryType::GNULongLink => {
                long_target = Some(long_name(&mut entry)?);
                continue;
            }
            _ => {}
        }
        let path = long_path.take().unwrap_or_else(|| entry.header().path_bytes().into_owned());
        let target =
            long_target.take().or_else(|| entry.header().link_name_bytes().map(std::borrow::Cow::into_owned));
        let inside = inside(&path)?;
        let at = root.join(&inside);
        match kind {
            EntryType::Directory => make_folder(root, &inside, &path)?,
            EntryType::Regular | EntryType::Continuous => {
                make_above(root, &inside, &path)?;
                let length = entry.header().entry_size().map_err(not_an_archive)?;
                left.bytes = left
                    .bytes
                    .checked_sub(length)
                    .ok_or(HostileTree::TooManyBytes { limit: limits.bytes })?;
                let executable = entry.header().mode().is_ok_and(|mode| mode & 0o111 != 0);
                let mode = if executable { 0o755 } else { 0o644 };
                let mut file = create(&at, mode, &path)?;
                let written = io::copy(&mut entry, &mut file).map_err(TreeError::Local)?;
                if written != length {
                    return Err(HostileTree::NotAnArchive.into());
                }
            }
            EntryType::Symlink => {
                make_above(root, &inside, &path)?;
                let target = link_target(&inside, &target.unwrap_or_default(), &path)?;
                symlink(target, &at).map_err(|error| made(error, &path))?;
            }
            _ => return Err(HostileTree::ForbiddenKind { path: shown(&path) }.into()),
        }
    }
    Ok(Unpacked)
}

/// The longest an archive within the limits can be: three headers and a filled-up block an entry, two long names, and
/// the end. Without it, a stream of padding or of endless names would keep the host busy for ever.
fn longest(limits: TreeLimits) -> u64 {
    const MIB: u64 = 1 << 20;
    let an_entry = 4 * 512 + 2 * MAX_PATH_BYTES + 512;
    limits.entries.saturating_mul(an_entry).saturating_add(limits.bytes).saturating_add(MIB)
}

fn long_name(entry: &mut impl Read) -> Result<Vec<u8>, TreeError> {
    let mut name = Vec::new();
    entry.take(MAX_PATH_BYTES + 1).read_to_end(&mut name).map_err(not_an_archive)?;
    if name.last() == Some(&0) {
        name.pop();
    }
    Ok(name)
}

/// The path without `.` parts, if it leads to a place within the root.
fn inside(path: &[u8]) -> Result<PathBuf, HostileTree> {
    let leads_out = || HostileTree::PathLeadsOut { path: shown(path) };
    if path.len() > usize::try_from(MAX_PATH_BYTES).unwrap_or(usize::MAX) || path.contains(&0) {
        return Err(leads_out());
    }
    let mut inside = PathBuf::new();
    for component in Path::new(OsStr::from_bytes(path)).components() {
        match component {
            Component::Normal(name) => inside.push(name),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return Err(leads_out()),
        }
    }
    Ok(inside)
}

/// The target of a link at `inside`, if it leads to a place within the root.
fn link_target(inside: &Path, target: &[u8], path: &[u8]) -> Result<PathBuf, HostileTree> {
    let leads_out = || HostileTree::LinkLeadsOut { path: shown(path) };
    if target.is_empty()
        || target.len() > usize::try_from(MAX_PATH_BYTES).unwrap_or(usize::MAX)
        || target.contains(&0)
    {
        return Err(leads_out());
    }
    let target = Path::new(OsStr::from_bytes(target));
    let mut climbs_left = inside.components().count() - 1;
    let mut climbing = true;
    for component in target.components() {
        match component {
            Component::CurDir => {}
            // After a name that may itself be a link, `..` could lead anywhere.
            Component::ParentDir if climbing => {
                climbs_left = climbs_left.checked_sub(1).ok_or_else(leads_out)?
            }
            Component::Normal(_) => climbing = false,
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return Err(leads_out()),
        }
    }
    Ok(target.to_owned())
}

/// Makes a folder and those above it.
fn make_folder(root: &Path, inside: &Path, path: &[u8]) -> Result<(), TreeError> {
    let mut at = root.to_owned();
    for component in inside.components() {
        at.push(component);
        match fs::create_dir(&at) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let is_folder = fs::symlink_metadata(&at).map_err(TreeError::Local)?.is_dir();
                if !is_folder {
                    return Err(HostileTree::ThroughLink { path: shown(path) }.into());
                }
            }
            Err(error) => return Err(TreeError::Local(error)),
        }
    }
    Ok(())
}

fn make_above(root: &Path, inside: &Path, path: &[u8]) -> Result<(), TreeError> {
    match inside.parent() {
        Some(above) => make_folder(root, above, path),
        None => Err(HostileTree::PathLeadsOut { path: shown(path) }.into()),
    }
}

fn create(at: &Path, mode: u32, path: &[u8]) -> Result<File, TreeError> {
    OpenOptions::new().write(true).create_new(true).mode(mode).open(at).map_err(|error| made(error, path))
}

fn made(error: io::Error, path: &[u8]) -> TreeError {
    match error.kind() {
        io::ErrorKind::AlreadyExists => HostileTree::Twice { path: shown(path) }.into(),
        _ => TreeError::Local(error),
    }
}

/// An error of the archive's reader: the stream itself never fails, it only ends.
fn not_an_archive(_: io::Error) -> TreeError {
    HostileTree::NotAnArchive.into()
}

fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const LIMITS: TreeLimits = TreeLimits { entries: 10, bytes: 1_000 };

    /// An archive made field by field, since a well-behaved writer refuses what is tried here.
    #[derive(Default)]
    struct Archive(Vec<u8>);

    impl Archive {
        fn entry(mut self, kind: EntryType, path: &str, target: &str, content: &[u8]) -> Self {
            let mut header = tar::Header::new_gnu();
            let fields = header.as_old_mut();
            fields.name[..path.len()].copy_from_slice(path.as_bytes());
            fields.linkname[..target.len()].copy_from_slice(target.as_bytes());
            header.set_entry_type(kind);
            header.set_mode(0o4777);
            header.set_size(content.len() as u64);
            header.set_cksum();
            self.0.extend_from_slice(header.as_bytes());
            self.0.extend_from_slice(content);
            self.0.resize(self.0.len().next_multiple_of(512), 0);
            self
        }

        fn file(self, path: &str, content: &[u8]) -> Self {
            self.entry(EntryType::Regular, path, "", content)
        }

        fn link(self, path: &str, target: &str) -> Self {
            self.entry(EntryType::Symlink, path, target, b"")
        }

        /// Unpacks it in a folder of its own, and tells what is wrong with it.
        fn refused(self) -> Option<HostileTree> {
            let above = tempfile::tempdir().unwrap();
            let root = above.path().join("root");
            fs::create_dir(&root).unwrap();
            let unpacked = unpack(&mut self.0.as_slice(), &root, LIMITS);
            let beside: Vec<_> =
                fs::read_dir(above.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            assert_eq!(beside, ["root"], "nothing lands outside");
            match unpacked {
                Ok(Unpacked) => None,
                Err(TreeError::Hostile(hostile)) => Some(hostile),
                Err(other) => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn what_a_path_says_is_what_is_made_and_special_rights_are_lost() {
        let root = tempfile::tempdir().unwrap();
        let archive = Archive::default()
            .entry(EntryType::Directory, "./", "", b"")
            .file("./a/b/file", b"content")
            .link("a/b/link", "../../other/file")
            .entry(EntryType::GNULongName, "long", "", format!("{}\0", "n".repeat(150)).as_bytes())
            .file("short", b"long name");
        unpack(&mut archive.0.as_slice(), root.path(), LIMITS).unwrap();
        assert_eq!(fs::read(root.path().join("a/b/file")).unwrap(), b"content");
        assert_eq!(fs::read(root.path().join("n".repeat(150))).unwrap(), b"long name");
        assert_eq!(fs::read_link(root.path().join("a/b/link")).unwrap(), Path::new("../../other/file"));
        let mode = fs::metadata(root.path().join("a/b/file")).unwrap().permissions().mode() & 0o7000;
        assert_eq!(mode, 0, "neither set-user-id nor sticky");
    }

    #[test]
    fn a_path_that_leads_out_is_refused() {
        let too_long = "x/".repeat(3_000);
        for path in ["/etc/passwd", "../beside", "a/../../beside", "a/.."] {
            let leads_out = HostileTree::PathLeadsOut { path: path.to_owned() };
            assert_eq!(Archive::default().file(path, b"x").refused(), Some(leads_out));
        }
        let long = Archive::default()
            .entry(EntryType::GNULongName, "l", "", too_long.as_bytes())
            .file("short", b"x");
        assert!(matches!(long.refused(), Some(HostileTree::PathLeadsOut { .. })));
    }

    #[test]
    fn a_link_that_leads_out_is_refused() {
        for (path, target) in [
            ("link", "/etc"),
            ("link", ".."),
            ("link", "../beside"),
            ("a/link", "../../beside"),
            ("link", "inside/../../beside"),
            ("a/link", "b/.."),
            ("link", ""),
        ] {
            let leads_out = HostileTree::LinkLeadsOut { path: path.to_owned() };
            assert_eq!(
                Archive::default().link(path, target).refused(),
                Some(leads_out),
                "{path} -> {target}"
            );
        }
    }

    #[test]
    fn nothing_is_written_through_a_link_or_over_what_is_there() {
        let through = Archive::default().entry(EntryType::Directory, "real", "", b"").link("link", "real");
        let path = "link/file".to_owned();
        assert_eq!(through.file(&path, b"x").refused(), Some(HostileTree::ThroughLink { path }));
        let twice = |archive: Archive| {
            let twice = HostileTree::Twice { path: "a".to_owned() };
            assert_eq!(archive.refused(), Some(twice));
        };
        twice(Archive::default().link("a", "b").file("a", b"through"));
        twice(Archive::default().file("a", b"x").file("a", b"y"));
        twice(Archive::default().file("a", b"x").link("a", "b"));
    }

    #[test]
    fn devices_pipes_and_hard_links_are_refused() {
        for kind in
            [EntryType::Char, EntryType::Block, EntryType::Fifo, EntryType::Link, EntryType::GNUSparse]
        {
            let forbidden = HostileTree::ForbiddenKind { path: "a".to_owned() };
            assert_eq!(Archive::default().entry(kind, "a", "b", b"").refused(), Some(forbidden));
        }
    }

    #[test]
    fn more_than_the_limits_is_refused_before_it_is_written() {
        let many = (0..11).fold(Archive::default(), |archive, number| archive.file(&number.to_string(), b""));
        assert_eq!(many.refused(), Some(HostileTree::TooManyEntries { limit: 10 }));
        let large = Archive::default().file("a", &[0; 600]).file("b", &[0; 600]);
        assert_eq!(large.refused(), Some(HostileTree::TooManyBytes { limit: 1_000 }));
        let endless_names = (0..9).fold(Archive::default(), |archive, _| {
            archive.entry(EntryType::GNULongName, "l", "", &[b'n'; 200_000])
        });
        assert_eq!(endless_names.refused(), Some(HostileTree::NotAnArchive));
    }

    #[test]
    fn what_is_no_whole_archive_is_refused() {
        assert_eq!(Archive(vec![0x55; 2_000]).refused(), Some(HostileTree::NotAnArchive));
        let mut cut = Archive::default().file("a", &[1; 900]);
        cut.0.truncate(800);
        assert_eq!(cut.refused(), Some(HostileTree::NotAnArchive));
    }
}
