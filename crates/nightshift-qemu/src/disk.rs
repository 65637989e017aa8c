//! What sandboxes have written to this host's disk, and the mark of one that stands still for it.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nightshift_protocol::SandboxId;
use nightshift_sandbox::{DiskUse, Hold, Written};
use serde::{Deserialize, Serialize};

use crate::folder::name;

/// The unit in which stat(2) counts what a file takes, in bytes.
const BLOCK: u64 = 512;

/// Looks at the disk below the sandboxes, and at what each has written; not at the one that nobody has yet.
pub(crate) fn disk_use(sandboxes: &Path, spare: Option<&SandboxId>) -> io::Result<DiskUse> {
    let disk = rustix::fs::statvfs(sandboxes)?;
    let mut written = Vec::new();
    for entry in fs::read_dir(sandboxes)?.flatten() {
        let Some(sandbox) = entry.file_name().to_str().and_then(|name| name.parse::<SandboxId>().ok()) else {
            continue;
        };
        // One that goes meanwhile has written nothing.
        let folder = entry.path();
        if Some(&sandbox) != spare
            && let Ok(Account { bytes, let_go }) = account(&folder)
        {
            written.push(Written { sandbox, bytes, held: read_hold(&folder), let_go });
        }
    }
    written.sort_by(|one, other| one.sandbox.cmp(&other.sandbox));
    Ok(DiskUse {
        folder: sandboxes.to_owned(),
        free_bytes: disk.f_bavail.saturating_mul(disk.f_frsize),
        total_bytes: disk.f_blocks.saturating_mul(disk.f_frsize),
        sandboxes: written,
    })
}

/// What is known of how much a sandbox wrote: it goes with it into checkpoints, and comes back with it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Account {
    /// What it has written, in bytes.
    bytes: u64,
    /// The last reason to stand still in spite of which a person let it go on.
    let_go: Option<Hold>,
}

impl Account {
    /// Whether there is anything to remember of it.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The content of its file in a sandbox's folder.
    pub(crate) fn to_file(self) -> io::Result<Vec<u8>> {
        Ok(serde_json::to_vec(&self)?)
    }
}

/// What a sandbox has written now, and what it had written before it was brought back.
pub(crate) fn account(folder: &Path) -> io::Result<Account> {
    let own = bytes_written(folder)?;
    let Account { bytes, let_go } = brought_along(folder);
    // Merged, its own layers have what those have that it began with.
    let before = if folder.join(name::MERGED).exists() { 0 } else { bytes };
    Ok(Account { bytes: own.saturating_add(before), let_go })
}

/// What a sandbox that is saved now comes back with. Whoever brings one back that stands still lets it go on with that.
pub(crate) fn to_take_along(folder: &Path) -> io::Result<Account> {
    let now = account(folder)?;
    Ok(Account { let_go: read_hold(folder).or(now.let_go), ..now })
}

/// What it had when it was brought back; nothing for one that was not, or whose file is damaged.
fn brought_along(folder: &Path) -> Account {
    let file = fs::read(folder.join(name::ACCOUNT)).ok();
    file.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

/// Remembers that a person let a sandbox go on in spite of `hold`.
pub(crate) fn remember(folder: &Path, hold: Hold) -> io::Result<()> {
    let account = Account { let_go: Some(hold), ..brought_along(folder) };
    write_whole(folder, name::ACCOUNT, &account.to_file()?)
}

/// Writes a file whole or not at all.
fn write_whole(folder: &Path, name: &str, text: &[u8]) -> io::Result<()> {
    let new = folder.join(format!("{name}.new"));
    fs::write(&new, text).and_then(|()| fs::rename(&new, folder.join(name))).inspect_err(|_| {
        let _mostly_not_there = fs::remove_file(&new);
    })
}

/// What the layers take that a sandbox has written, in bytes. Those that it began with are links, and are not its own.
fn bytes_written(folder: &Path) -> io::Result<u64> {
    let own = |name: &str| name.starts_with(name::DISK_NODE) && name.ends_with(name::DISK_ENDING);
    let layers = fs::read_dir(folder)?.flatten().filter(|entry| entry.file_name().to_str().is_some_and(own));
    // Links are not followed.
    let files = layers.filter_map(|entry| entry.metadata().ok()).filter(fs::Metadata::is_file);
    Ok(files.map(|file| file.blocks().saturating_mul(BLOCK)).sum())
}

fn mark(folder: &Path) -> PathBuf {
    folder.join(name::HELD)
}

/// Marks a machine as one that stands still for its disk. An owner that comes after must not take it for one that was
/// left half made.
pub(crate) fn mark_held(folder: &Path, hold: Hold) -> io::Result<()> {
    // What is half written when a disk is full names no reason.
    write_whole(folder, name::HELD, &serde_json::to_vec(&hold)?)
}

/// Why a machine stands still, if it is marked.
pub(crate) fn read_hold(folder: &Path) -> Option<Hold> {
    serde_json::from_slice(&fs::read(mark(folder)).ok()?).ok()
}

/// Takes the mark away; none is no error.
pub(crate) fn unmark(folder: &Path) -> io::Result<()> {
    match fs::remove_file(mark(folder)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn id(letter: char) -> SandboxId {
        format!("sandbox-{}", letter.to_string().repeat(10)).parse().unwrap()
    }

    /// A folder of sandboxes, each with layers of so many KiB.
    fn sandboxes(list: &[(char, &[(&str, usize)])]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (letter, files) in list {
            let place = folder.path().join(id(*letter).as_str());
            fs::create_dir(&place).unwrap();
            for (name, kib) in *files {
                fs::write(place.join(name), vec![1; kib * 1024]).unwrap();
            }
        }
        folder
    }

    fn written(of: &DiskUse) -> Vec<(SandboxId, u64)> {
        of.sandboxes.iter().map(|one| (one.sandbox.clone(), one.bytes >> 10)).collect()
    }

    #[test]
    fn of_each_sandbox_all_layers_of_its_own_count_and_nothing_else() {
        let folder = sandboxes(&[
            ('a', &[("disk.qcow2", 64), ("disk-1.qcow2", 128), ("state", 512), ("pages-0", 512)]),
            ('b', &[("disk.qcow2", 256)]),
        ]);
        fs::create_dir(folder.path().join("checkpoints")).unwrap();
        let found = disk_use(folder.path(), None).unwrap();
        assert_eq!(written(&found), [(id('a'), 192), (id('b'), 256)]);
        assert!(found.free_bytes > 0 && found.free_bytes < found.total_bytes, "{found:?}");
    }

    #[test]
    fn a_hole_takes_nothing_and_what_a_link_leads_to_is_another_s() {
        let folder = sandboxes(&[('a', &[]), ('b', &[("disk.qcow2", 64)])]);
        let place = folder.path().join(id('a').as_str());
        fs::File::create(place.join("disk-1.qcow2")).unwrap().set_len(1 << 30).unwrap();
        symlink(folder.path().join(id('b').as_str()).join("disk.qcow2"), place.join("disk.qcow2")).unwrap();
        assert_eq!(written(&disk_use(folder.path(), None).unwrap()), [(id('a'), 0), (id('b'), 64)]);
    }

    #[test]
    fn a_spare_clone_is_nobody_s_and_is_left_alone() {
        let folder = sandboxes(&[('a', &[("disk.qcow2", 64)]), ('b', &[("disk.qcow2", 64)])]);
        assert_eq!(written(&disk_use(folder.path(), Some(&id('b'))).unwrap()), [(id('a'), 64)]);
    }

    #[test]
    fn where_no_sandbox_was_ever_made_nothing_is_known() {
        assert!(disk_use(Path::new("/nowhere"), None).is_err());
    }

    #[test]
    fn a_mark_is_read_back_until_it_is_taken_away() {
        let folder = sandboxes(&[('a', &[])]);
        let place = folder.path().join(id('a').as_str());
        let hold = Hold::Quota { written_bytes: 3, quota_bytes: 2 };
        assert_eq!(read_hold(&place), None);
        mark_held(&place, hold).unwrap();
        assert_eq!(read_hold(&place), Some(hold));
        assert_eq!(disk_use(folder.path(), None).unwrap().sandboxes[0].held, Some(hold));
        unmark(&place).unwrap();
        assert_eq!(read_hold(&place), None);
        unmark(&place).unwrap();
    }

    #[test]
    fn what_a_sandbox_wrote_before_it_was_brought_back_counts_unless_its_own_layers_have_it_now() {
        let folder = sandboxes(&[('a', &[("disk.qcow2", 64)])]);
        let place = folder.path().join(id('a').as_str());
        let before = Account { bytes: 96 << 10, let_go: None };
        fs::write(place.join(name::ACCOUNT), before.to_file().unwrap()).unwrap();
        assert_eq!(written(&disk_use(folder.path(), None).unwrap()), [(id('a'), 160)]);
        fs::write(place.join(name::MERGED), "").unwrap();
        assert_eq!(account(&place).unwrap().bytes, 64 << 10);
    }

    #[test]
    fn what_a_person_let_go_on_is_remembered_beside_what_was_written_before() {
        let folder = sandboxes(&[('a', &[])]);
        let place = folder.path().join(id('a').as_str());
        let seen = || disk_use(folder.path(), None).unwrap().sandboxes[0].clone();
        assert_eq!((seen().let_go, account(&place).unwrap().is_empty()), (None, true));
        let before = Account { bytes: 7, let_go: None };
        fs::write(place.join(name::ACCOUNT), before.to_file().unwrap()).unwrap();
        let hold = Hold::Quota { written_bytes: 3, quota_bytes: 2 };
        remember(&place, hold).unwrap();
        assert_eq!((seen().let_go, seen().bytes), (Some(hold), 7));
        fs::write(place.join(name::ACCOUNT), "{").unwrap();
        assert!(account(&place).unwrap().is_empty(), "what is damaged is forgotten");
    }

    #[test]
    fn a_mark_that_cannot_be_written_leaves_nothing_behind() {
        let hold = Hold::Quota { written_bytes: 3, quota_bytes: 2 };
        assert!(mark_held(Path::new("/nowhere"), hold).is_err());
    }
}
