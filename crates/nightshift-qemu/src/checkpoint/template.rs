//! Templates made of a clone that has moved on: a checkpoint whose memory is whole, so that its clones share all of it.
//!
//! ```text
//!   memory (the template's)  +  pages-0 … pages-M   ─▶   memory (whole, with holes)  +  pages-0 (the devices' alone)
//! ```
//!
//! A clone of it is a machine brought back: its memory is mapped and not written, so only what it changes is its own.
//! Such a template shares nothing with another but by hard links or copies, so it outlives the one it was made from.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nightshift_protocol::CheckpointId;
use nightshift_sandbox::{AfterSave, CheckpointError, FreezeError, Template, TemplateKey};

use super::pages::{LONGEST_RUN, MemoryImage, PAGE, PagesWriter, Run};
use super::{CheckpointRecord, FORMAT, How, RECORD, STATE_PAGES, layer, pages, save};
use crate::disk::Account;
use crate::folder::{name, remove_folder};
use crate::machine::QemuMachine;
use crate::template;

/// Room on the disk beside the memory.
const ROOM: u64 = 512 << 20;
/// The checkpoint it is made of, which nobody else sees.
const OWN: &str = "checkpoint-0000000000";

/// Freezes a running clone into the template with `key`, and ends it. When that fails it goes on running.
pub(crate) async fn freeze(
    machine: Arc<QemuMachine>,
    key: TemplateKey,
    templates: PathBuf,
) -> Result<Template, FreezeError> {
    let refused = |what: String| FreezeError::Refused { what };
    let io_error = |source| FreezeError::Io { what: "the template could not be written".to_owned(), source };
    let own: CheckpointId = OWN.parse().map_err(|error| refused(format!("{error}")))?;
    if !template::is_key(&key) {
        return Err(refused(format!("{key} is no template's key")));
    }
    let memory = u64::from(machine.record().plan.size.memory_mib) << 20;
    crate::prepare::require_room(&templates, memory + ROOM)
        .map_err(|_| io_error(io::ErrorKind::StorageFull.into()))?;
    let staging = Staging(template::staging(&templates, &key, &machine.record().sandbox));
    remove_folder(&staging.0).and_then(|()| template::make_staging(&staging.0)).map_err(io_error)?;
    // Taken while it runs: what it does between this and its end is nobody's.
    let how = How::Changes { kernel: Path::new("/proc") };
    let saved = save(Arc::clone(&machine), own.clone(), AfterSave::GoOn, staging.0.clone(), how).await;
    saved.map_err(|error| match error {
        CheckpointError::Io { what, source } => FreezeError::Io { what, source },
        CheckpointError::DiskFull { .. } => io_error(io::ErrorKind::StorageFull.into()),
        error => refused(error.to_string()),
    })?;
    let folder = templates.join(&key.0);
    let place = folder.clone();
    let writing = tokio::task::spawn_blocking(move || {
        let made = staging.0.join(OWN);
        settle(&made)?;
        remove_folder(&place)?;
        fs::rename(&made, &place)?;
        File::open(&templates)?.sync_all()
    });
    writing.await.map_err(io::Error::other).and_then(|written| written).map_err(io_error)?;
    machine.end().await;
    machine.remove().map_err(io_error)?;
    Ok(Template { key, folder })
}

/// A folder in the making; what is left of it is removed.
struct Staging(PathBuf);

impl Drop for Staging {
    fn drop(&mut self) {
        if let Err(error) = remove_folder(&self.0) {
            tracing::warn!(folder = %self.0.display(), %error, "what a template was made of could not be removed");
        }
    }
}

/// Returns what the template in `folder` is, if it is whole and was made of a clone.
pub(crate) fn load_template(folder: &Path) -> Option<CheckpointRecord> {
    let record: CheckpointRecord = serde_json::from_slice(&fs::read(folder.join(RECORD)).ok()?).ok()?;
    let memory = record.blocks.first().map(|block| u64::from(block.pages) * PAGE as u64)?;
    let whole = record.format == FORMAT
        && record.pages == 1
        && fs::metadata(folder.join(name::MEMORY)).is_ok_and(|file| file.len() == memory)
        && folder.join(pages(0)).is_file()
        && (0..record.layers).all(|number| folder.join(layer(number)).is_file());
    if !whole {
        tracing::warn!(folder = %folder.display(), "a template is damaged and will not be used");
    }
    whole.then_some(record)
}

/// Makes the checkpoint in `folder` stand on its own, with its memory whole.
fn settle(folder: &Path) -> io::Result<()> {
    let damaged = || io::Error::new(io::ErrorKind::InvalidData, "the machine's memory was not saved whole");
    let mut record: CheckpointRecord = serde_json::from_slice(&fs::read(folder.join(RECORD))?)?;
    let guest = record.blocks.first().ok_or_else(damaged)?.pages;
    // On another file system than the machine's, links lead to files that go with it.
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_symlink() && path.file_name() != Some(name::MEMORY.as_ref()) {
            let target = path.canonicalize()?;
            fs::remove_file(&path)?;
            fs::copy(target, &path)?;
        }
    }
    let files: Vec<PathBuf> = (0..record.pages).map(|number| folder.join(pages(number))).collect();
    let image = MemoryImage::open(&files, record.memory_pages() + STATE_PAGES)?;
    let memory = folder.join("memory.new");
    whole_memory(&File::open(folder.join(name::MEMORY))?, &image, guest, &memory)?;
    let own = folder.join("pages.new");
    only_from(&image, guest, record.memory_pages() + STATE_PAGES, &own)?;
    for file in files {
        fs::remove_file(file)?;
    }
    fs::rename(own, folder.join(pages(0)))?;
    fs::remove_file(folder.join(name::MEMORY))?;
    fs::rename(memory, folder.join(name::MEMORY))?;
    record.pages = 1;
    // What was written for it is no clone's.
    record.account = Account::default();
    let path = folder.join(RECORD);
    fs::write(&path, serde_json::to_vec_pretty(&record)?)?;
    File::open(&path)?.sync_all()?;
    File::open(folder)?.sync_all()
}

/// Writes the first `pages` pages as they are: those of `below`, changed as `image` says. Zeroes become holes.
fn whole_memory(below: &File, image: &MemoryImage, pages: u32, path: &Path) -> io::Result<()> {
    let file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
    file.set_len(u64::from(pages) * PAGE as u64)?;
    let mut content = vec![0; LONGEST_RUN * PAGE];
    for first in (0..pages).step_by(LONGEST_RUN) {
        let count = LONGEST_RUN.min((pages - first) as usize);
        let content = &mut content[..count * PAGE];
        let at = u64::from(first) * PAGE as u64;
        below.read_exact_at(content, at)?;
        image.read(Run { first, count }, content)?;
        let mut begin = None;
        for number in 0..=count {
            let holds =
                number < count && content[number * PAGE..(number + 1) * PAGE].iter().any(|byte| *byte != 0);
            match (begin, holds) {
                (None, true) => begin = Some(number),
                (Some(from), false) => {
                    file.write_all_at(&content[from * PAGE..number * PAGE], at + (from * PAGE) as u64)?;
                    begin = None;
                }
                (None, false) | (Some(_), true) => {}
            }
        }
    }
    file.set_permissions(Permissions::from_mode(0o400))?;
    file.sync_all()
}

/// Writes what `image` has of the pages from `first` on into a file of its own.
fn only_from(image: &MemoryImage, first: u32, pages: u32, path: &Path) -> io::Result<()> {
    let mut writer = PagesWriter::create(MemoryImage::unknown(pages), path)?;
    let touched: Vec<u32> = image.touched().filter(|page| *page >= first).collect();
    let mut content = vec![0; LONGEST_RUN * PAGE];
    let mut rest = touched.as_slice();
    while let Some(first) = rest.first().copied() {
        let follows =
            |(index, page): &(usize, &u32)| *index < LONGEST_RUN && **page as usize == first as usize + index;
        let count = rest.iter().enumerate().take_while(follows).count();
        let content = &mut content[..count * PAGE];
        image.read(Run { first, count }, content)?;
        writer.take(Run { first, count }, content)?;
        rest = &rest[count..];
    }
    writer.finish().map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pages each filled with one byte.
    fn filled(bytes: &[u8]) -> Vec<u8> {
        bytes.iter().flat_map(|byte| vec![*byte; PAGE]).collect()
    }

    /// An image of eight pages in which page 1 is twos, page 3 zeroes, and page 6 sevens.
    fn image(folder: &Path) -> MemoryImage {
        let path = folder.join("0");
        let mut writer = PagesWriter::create(MemoryImage::unknown(8), &path).unwrap();
        for (first, byte) in [(1, 2), (3, 0), (6, 7)] {
            writer.take(Run { first, count: 1 }, &filled(&[byte])).unwrap();
        }
        writer.finish().unwrap();
        MemoryImage::open(&[path], 8).unwrap()
    }

    #[test]
    fn the_memory_below_and_what_changed_become_one_with_holes_for_zeroes() {
        use std::os::unix::fs::MetadataExt;
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("below");
        fs::write(&below, filled(&[1, 1, 0, 1, 0])).unwrap();
        let whole = folder.path().join("whole");
        whole_memory(&File::open(&below).unwrap(), &image(folder.path()), 5, &whole).unwrap();
        assert_eq!(fs::read(&whole).unwrap(), filled(&[1, 2, 0, 0, 0]));
        let facts = fs::metadata(&whole).unwrap();
        assert!(facts.blocks() * 512 <= 3 * PAGE as u64, "{} blocks", facts.blocks());
        assert_eq!(facts.permissions().mode() & 0o777, 0o400);
    }

    #[test]
    fn of_the_changed_pages_only_those_of_the_devices_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("devices");
        only_from(&image(folder.path()), 3, 8, &path).unwrap();
        let kept = MemoryImage::open(&[path], 8).unwrap();
        assert_eq!(kept.touched().collect::<Vec<_>>(), [3, 6]);
        let mut content = filled(&[9, 9, 9, 9]);
        kept.read(Run { first: 3, count: 4 }, &mut content).unwrap();
        assert_eq!(content, filled(&[0, 9, 9, 7]));
    }

    #[test]
    fn a_folder_that_holds_no_such_template_is_none() {
        let folder = tempfile::tempdir().unwrap();
        assert!(load_template(folder.path()).is_none());
        fs::write(folder.path().join(RECORD), "{}").unwrap();
        assert!(load_template(folder.path()).is_none());
    }
}
