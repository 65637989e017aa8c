//! Saved memory: files of changed pages, each on top of the ones before it.
//!
//! ```text
//!   pages-0   pages-1   pages-2          the newest file that has a page has its content
//!     └─────────┴─────────┴──▶ MemoryImage: for each page, which file and where in it
//! ```
//!
//! A file is slots of a page each, then the index: for each slot the page's number, then the numbers of pages that
//! are all zeroes, then a footer. Numbers are little-endian. Files are written once and never changed after, so
//! checkpoints share them by hard links, and the last link that goes frees the space.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// The size of a page of memory, in bytes.
pub(crate) const PAGE: usize = 4096;
/// The most pages read or written at once: a mebibyte.
pub(crate) const LONGEST_RUN: usize = 256;

const MAGIC: [u8; 8] = *b"nightpg1";
const FOOTER: usize = 16;
/// Stands in the index for a slot whose page came to be somewhere else.
const NOWHERE: u32 = u32::MAX;

/// Where a page's content is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// As in the template, or as the hypervisor makes it.
    Untouched,
    /// It is all zeroes.
    Zeroes,
    /// In a file's slot.
    Slot { file: u16, slot: u32 },
}

/// Pages with consecutive numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) first: u32,
    pub(crate) count: usize,
}

/// What is known of a machine's memory: a stack of page files.
#[derive(Debug)]
pub(crate) struct MemoryImage {
    files: Vec<File>,
    places: Vec<Place>,
}

impl MemoryImage {
    /// Returns one of `pages` pages, of which nothing is known.
    pub(crate) fn unknown(pages: u32) -> Self {
        Self { files: Vec::new(), places: vec![Place::Untouched; pages as usize] }
    }

    /// Reads the indexes of `files`, the oldest first.
    pub(crate) fn open(files: &[impl AsRef<Path>], pages: u32) -> io::Result<Self> {
        let mut image = Self::unknown(pages);
        for path in files {
            let file = File::open(path)?;
            let number = u16::try_from(image.files.len()).map_err(io::Error::other)?;
            let (slots, zeroes) = read_index(&file)?;
            for (slot, page) in slots.iter().enumerate().filter(|(_, page)| **page != NOWHERE) {
                *image.place(*page)? = Place::Slot { file: number, slot: slot as u32 };
            }
            for page in zeroes {
                *image.place(page)? = Place::Zeroes;
            }
            image.files.push(file);
        }
        Ok(image)
    }

    /// How many files it is read from.
    pub(crate) fn depth(&self) -> usize {
        self.files.len()
    }

    /// The pages that are not as the template has them, in order.
    pub(crate) fn touched(&self) -> impl Iterator<Item = u32> + '_ {
        let touched = self.places.iter().enumerate().filter(|(_, place)| **place != Place::Untouched);
        touched.map(|(page, _)| page as u32)
    }

    /// Reads what is known of the pages of `run`; those of which nothing is known are left as they are in `content`.
    pub(crate) fn read(&self, run: Run, content: &mut [u8]) -> io::Result<()> {
        let places = &self.places[run.first as usize..][..run.count];
        let mut at = 0;
        while at < places.len() {
            let length = neighbours(&places[at..]);
            let target = &mut content[at * PAGE..(at + length) * PAGE];
            match places[at] {
                Place::Untouched => {}
                Place::Zeroes => target.fill(0),
                Place::Slot { file, slot } => {
                    self.files[usize::from(file)].read_exact_at(target, u64::from(slot) * PAGE as u64)?;
                }
            }
            at += length;
        }
        Ok(())
    }

    fn place(&mut self, page: u32) -> io::Result<&mut Place> {
        let beyond = || io::Error::new(io::ErrorKind::InvalidData, "a page lies beyond the memory");
        self.places.get_mut(page as usize).ok_or_else(beyond)
    }
}

/// How many places from the first on can be read at once.
fn neighbours(places: &[Place]) -> usize {
    let follows = |(index, place): &(usize, &Place)| match (places[0], **place) {
        (Place::Slot { file, slot }, Place::Slot { file: other, slot: next }) => {
            file == other && next as usize == slot as usize + index
        }
        (first, place) => first == place,
    };
    places.iter().enumerate().take_while(follows).count()
}

/// What a file of pages came to hold.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SavedPages {
    /// The pages, in no order.
    pub(crate) pages: Vec<u32>,
    /// The file's length.
    pub(crate) bytes: u64,
}

/// Writes one more file on top of an image.
#[derive(Debug)]
pub(crate) struct PagesWriter {
    image: MemoryImage,
    file: u16,
    /// The page in each slot.
    slots: Vec<u32>,
    zeroes: BTreeSet<u32>,
    known: Vec<u8>,
    /// Content that has a place in the file and is not written yet.
    pending: Vec<u8>,
}

impl PagesWriter {
    /// Begins the file at `path`, which must not be there.
    pub(crate) fn create(mut image: MemoryImage, path: &Path) -> io::Result<Self> {
        let options = &mut File::options();
        image.files.push(options.read(true).write(true).create_new(true).mode(0o600).open(path)?);
        let file = u16::try_from(image.files.len() - 1).map_err(io::Error::other)?;
        let known = vec![0; LONGEST_RUN * PAGE];
        Ok(Self { image, file, slots: Vec::new(), zeroes: BTreeSet::new(), known, pending: Vec::new() })
    }

    /// What is known of the memory so far.
    pub(crate) fn image(&self) -> &MemoryImage {
        &self.image
    }

    /// Takes in what the pages of `run` hold now, and returns how many of them were not known to hold just that.
    pub(crate) fn take(&mut self, run: Run, content: &[u8]) -> io::Result<usize> {
        self.image.read(run, &mut self.known[..run.count * PAGE])?;
        let mut news = 0;
        for (index, now) in content.chunks_exact(PAGE).enumerate() {
            let page = run.first + index as u32;
            let place = self.image.places[page as usize];
            if place != Place::Untouched && *now == self.known[index * PAGE..(index + 1) * PAGE] {
                continue;
            }
            news += 1;
            let own = match place {
                Place::Slot { file, slot } if file == self.file => Some(slot),
                Place::Slot { .. } | Place::Untouched | Place::Zeroes => None,
            };
            self.zeroes.remove(&page);
            self.image.places[page as usize] = if now.iter().all(|byte| *byte == 0) {
                if let Some(slot) = own {
                    self.slots[slot as usize] = NOWHERE;
                }
                self.zeroes.insert(page);
                Place::Zeroes
            } else if let Some(slot) = own {
                self.target().write_all_at(now, u64::from(slot) * PAGE as u64)?;
                Place::Slot { file: self.file, slot }
            } else {
                let slot = self.slots.len() as u32;
                self.slots.push(page);
                self.pending.extend_from_slice(now);
                Place::Slot { file: self.file, slot }
            };
        }
        // Before the next run is compared: what is pending could not be read.
        let at = (self.slots.len() * PAGE - self.pending.len()) as u64;
        self.target().write_all_at(&self.pending, at)?;
        self.pending.clear();
        Ok(news)
    }

    /// Writes the index, and the whole file to the disk.
    pub(crate) fn finish(self) -> io::Result<SavedPages> {
        let mut index = Vec::with_capacity((self.slots.len() + self.zeroes.len()) * 4 + FOOTER);
        for page in self.slots.iter().chain(&self.zeroes) {
            index.extend(page.to_le_bytes());
        }
        index.extend((self.slots.len() as u32).to_le_bytes());
        index.extend((self.zeroes.len() as u32).to_le_bytes());
        index.extend(MAGIC);
        let at = (self.slots.len() * PAGE) as u64;
        self.target().write_all_at(&index, at)?;
        self.target().sync_all()?;
        let pages = self.slots.into_iter().filter(|page| *page != NOWHERE).chain(self.zeroes).collect();
        Ok(SavedPages { pages, bytes: at + index.len() as u64 })
    }

    fn target(&self) -> &File {
        &self.image.files[usize::from(self.file)]
    }
}

/// Reads which page is in each slot, and which pages are zeroes.
fn read_index(file: &File) -> io::Result<(Vec<u32>, Vec<u32>)> {
    let damaged = || io::Error::new(io::ErrorKind::InvalidData, "a file of saved memory is damaged");
    let length = file.metadata()?.len();
    let mut footer = [0; FOOTER];
    let index_end = length.checked_sub(FOOTER as u64).ok_or_else(damaged)?;
    file.read_exact_at(&mut footer, index_end)?;
    let (counts, magic) = footer.split_at(8);
    let numbers = numbers(counts);
    let (slots, zeroes) = (u64::from(numbers[0]), u64::from(numbers[1]));
    if magic != MAGIC || slots * PAGE as u64 + (slots + zeroes) * 4 != index_end {
        return Err(damaged());
    }
    let mut index = vec![0; (slots + zeroes) as usize * 4];
    file.read_exact_at(&mut index, slots * PAGE as u64)?;
    let mut pages = self::numbers(&index);
    let zeroes = pages.split_off(slots as usize);
    Ok((pages, zeroes))
}

fn numbers(bytes: &[u8]) -> Vec<u32> {
    bytes.as_chunks().0.iter().map(|number| u32::from_le_bytes(*number)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PAGES: u32 = 12;

    /// A page that holds one byte all over.
    fn filled(byte: u8) -> Vec<u8> {
        vec![byte; PAGE]
    }

    /// What an image says of each page: `None` where it is untouched.
    fn told(image: &MemoryImage) -> Vec<Option<u8>> {
        (0..PAGES)
            .map(|page| {
                let touched = image.touched().any(|other| other == page);
                let mut content = filled(99);
                image.read(Run { first: page, count: 1 }, &mut content).unwrap();
                assert!(content.iter().all(|byte| *byte == content[0]));
                touched.then_some(content[0])
            })
            .collect()
    }

    fn save(folder: &Path, number: usize, runs: &[(u32, Vec<u8>)]) -> SavedPages {
        let names: Vec<_> = (0..number).map(|number| folder.join(number.to_string())).collect();
        let image = MemoryImage::open(&names, PAGES).unwrap();
        let mut writer = PagesWriter::create(image, &folder.join(number.to_string())).unwrap();
        for (first, bytes) in runs {
            let content: Vec<u8> = bytes.iter().flat_map(|byte| filled(*byte)).collect();
            writer.take(Run { first: *first, count: bytes.len() }, &content).unwrap();
        }
        writer.finish().unwrap()
    }

    proptest! {
        #[test]
        fn an_image_tells_what_was_taken_last_of_each_page(
            saves in prop::collection::vec(
                prop::collection::vec((0..8_u32, prop::collection::vec(0..3_u8, 1..4)), 0..6), 1..5),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let mut expected = vec![None; PAGES as usize];
            for (number, runs) in saves.iter().enumerate() {
                save(folder.path(), number, runs);
                for (first, bytes) in runs {
                    for (index, byte) in bytes.iter().enumerate() {
                        expected[*first as usize + index] = Some(*byte);
                    }
                }
            }
            let names: Vec<_> = (0..saves.len()).map(|number| folder.path().join(number.to_string())).collect();
            prop_assert_eq!(told(&MemoryImage::open(&names, PAGES).unwrap()), expected);
        }
    }

    #[test]
    fn a_second_save_has_only_what_changed_and_zeroes_take_no_room() {
        let folder = tempfile::tempdir().unwrap();
        let first = save(folder.path(), 0, &[(0, vec![1, 2, 3, 0])]);
        assert_eq!(first, SavedPages { pages: vec![0, 1, 2, 3], bytes: 3 * PAGE as u64 + 4 * 4 + 16 });
        let second = save(folder.path(), 1, &[(0, vec![1, 7, 3, 0])]);
        assert_eq!(second, SavedPages { pages: vec![1], bytes: PAGE as u64 + 4 + 16 });
    }

    #[test]
    fn a_file_that_was_cut_short_is_told_from_a_whole_one() {
        let folder = tempfile::tempdir().unwrap();
        save(folder.path(), 0, &[(0, vec![1, 2])]);
        let path = folder.path().join("0");
        let length = std::fs::metadata(&path).unwrap().len();
        for shorter in [length - 1, 8, 0] {
            File::options().write(true).open(&path).unwrap().set_len(shorter).unwrap();
            let refused = MemoryImage::open(&[&path], PAGES).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
        }
    }

    #[test]
    fn a_page_beyond_the_memory_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        save(folder.path(), 0, &[(PAGES - 1, vec![1])]);
        let refused = MemoryImage::open(&[folder.path().join("0")], PAGES - 1).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
    }
}
