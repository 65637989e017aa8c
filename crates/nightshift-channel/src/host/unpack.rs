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
