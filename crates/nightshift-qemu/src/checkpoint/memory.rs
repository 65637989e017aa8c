//! The memory of a running QEMU, seen from outside: which pages are its own, what they hold, and writing them.
//!
//! A clone's memory is a private mapping of the template's file: the kernel gives it a page of its own for each one
//! it writes to. So what it changed are exactly the anonymous pages of that mapping, and `/proc/PID/pagemap` tells
//! them (Documentation/admin-guide/mm/pagemap.rst in Linux's source). What the devices have for memory is anonymous
//! from the start, and treated alike.

use std::fs::File;
use std::io;
use std::num::NonZero;
use std::os::unix::fs::FileExt;
use std::panic::resume_unwind;
use std::path::Path;
use std::thread;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::pages::{LONGEST_RUN, PAGE, PagesWriter, Run};
use crate::image::hexadecimal;

/// QEMU's name for the guest's memory.
const GUEST_MEMORY: &str = "memory";
/// The most blocks and the most memory of devices that are believed. What answers may be a QEMU that the guest took
/// over; an honest one has eight blocks and 9 MiB.
const MOST_BLOCKS: usize = 64;
const MOST_DEVICE_BYTES: u64 = 64 << 20;
const LONGEST_NAME: usize = 255;

/// The most threads that put memory back. More of them wait for the same lock of the kernel.
const LOADERS: usize = 4;

const PRESENT: u64 = 1 << 63;
const SWAPPED: u64 = 1 << 62;
const OF_A_FILE: u64 = 1 << 61;

/// What is to be done with the memory of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// It is looked at.
    Read,
    /// It is put back.
    Write,
}

/// A piece of memory that QEMU knows by a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RamBlock {
    pub(crate) name: String,
    pub(crate) pages: u32,
}

/// Reads QEMU's answer to `info ramblock`: blocks and where in its address space each begins. The guest's memory
/// comes first.
pub(crate) fn parse_blocks(answer: &str, guest_bytes: u64) -> Result<Vec<(RamBlock, u64)>, String> {
    let mut blocks = Vec::new();
    for line in answer.lines().skip(1).filter(|line| !line.trim().is_empty()) {
        // Name, page size and its unit, offset, bytes used, bytes in all, host address, protection.
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [name, _, _, _, used, _, address, ..] = fields[..] else {
            return Err(format!("QEMU does not tell where its memory is: {}", line.trim()));
        };
        let number = |text: &str| {
            let digits = text.strip_prefix("0x").unwrap_or_default();
            u64::from_str_radix(digits, 16).map_err(|_| format!("{text} is no number of QEMU's"))
        };
        let (bytes, address) = (number(used)?, number(address)?);
        if name.len() > LONGEST_NAME
            || !bytes.is_multiple_of(PAGE as u64)
            || !address.is_multiple_of(PAGE as u64)
        {
            return Err(format!("QEMU tells of memory that cannot be: {}", line.trim()));
        }
        let pages = u32::try_from(bytes / PAGE as u64).map_err(|_| "the memory is too large".to_owned())?;
        blocks.push((RamBlock { name: name.to_owned(), pages }, address));
    }
    // Sorted, so that the same page has the same number in every QEMU of this machine.
    blocks.sort_by(|(one, _), (other, _)| {
        (one.name != GUEST_MEMORY, &one.name).cmp(&(other.name != GUEST_MEMORY, &other.name))
    });
    let bytes = |block: &RamBlock| u64::from(block.pages) * PAGE as u64;
    let whole =
        blocks.first().is_some_and(|(first, _)| first.name == GUEST_MEMORY && bytes(first) == guest_bytes);
    let others: u64 = blocks.iter().skip(1).map(|(block, _)| bytes(block)).sum();
    if !whole || blocks.len() > MOST_BLOCKS || others > MOST_DEVICE_BYTES {
        return Err("QEMU tells of other memory than it was given".to_owned());
    }
    Ok(blocks)
}

/// The memory of one QEMU. Pages are numbered through all blocks.
#[derive(Debug)]
pub(crate) struct LiveMemory {
    blocks: Vec<(RamBlock, u64)>,
    content: File,
    map: File,
}

impl LiveMemory {
    /// Opens the memory of the process `id`, which has `blocks`, where the kernel shows it, as in `/proc`.
    ///
    /// # Errors
    ///
    /// `PermissionDenied` where the kernel lets nobody look into another process.
    pub(crate) fn open(
        kernel: &Path,
        id: i32,
        access: Access,
        blocks: Vec<(RamBlock, u64)>,
    ) -> io::Result<Self> {
        let process = kernel.join(id.to_string());
        let content = File::options().read(true).write(access == Access::Write).open(process.join("mem"))?;
        let map = File::open(process.join("pagemap"))?;
        Ok(Self { blocks, content, map })
    }

    /// Its blocks.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = &RamBlock> {
        self.blocks.iter().map(|(block, _)| block)
    }

    /// The number of pages in all blocks.
    pub(crate) fn pages(&self) -> u32 {
        self.blocks().map(|block| block.pages).sum()
    }

    /// Brings what the writer knows up to date, and returns how many pages were news.
    pub(crate) fn save(&self, writer: &mut PagesWriter) -> io::Result<usize> {
        let mut own = self.own_pages()?;
        // A page that was seen once is looked at again, whatever the kernel did with it meanwhile.
        own.extend(writer.image().touched().take_while(|page| *page < self.pages()));
        own.sort_unstable();
        own.dedup();
        let mut content = vec![0; LONGEST_RUN * PAGE];
        let mut news = 0;
        for run in self.runs(&own) {
            let content = &mut content[..run.count * PAGE];
            self.content.read_exact_at(content, self.address(run.first)?)?;
            news += writer.take(run, content)?;
        }
        Ok(news)
    }

    /// Writes what `image` has into the machine, which must not run.
    ///
    /// The kernel takes each page up by itself, so several threads are as many times quicker.
    pub(crate) fn load(&self, image: &super::pages::MemoryImage) -> io::Result<()> {
        let touched: Vec<u32> = image.touched().take_while(|page| *page < self.pages()).collect();
        let threads = thread::available_parallelism().map_or(1, NonZero::get).min(LOADERS);
        let share = touched.len().div_ceil(threads).max(1);
        thread::scope(|scope| {
            let loading: Vec<_> = touched
                .chunks(share)
                .map(|pages| scope.spawn(move || self.load_pages(image, pages)))
                .collect();
            let ended =
                loading.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
            ended.collect()
        })
    }

    fn load_pages(&self, image: &super::pages::MemoryImage, pages: &[u32]) -> io::Result<()> {
        let mut content = vec![0; LONGEST_RUN * PAGE];
        for run in self.runs(pages) {
            let content = &mut content[..run.count * PAGE];
            image.read(run, content)?;
            self.content.write_all_at(content, self.address(run.first)?)?;
        }
        Ok(())
    }

    /// Returns the SHA-256 of all memory. The machine must not run.
    pub(crate) fn hash(&self) -> io::Result<String> {
        let mut hash = Sha256::new();
        let mut content = vec![0; LONGEST_RUN * PAGE];
        let mut first = 0;
        let all: Vec<u32> = (0..self.pages()).collect();
        while (first as usize) < all.len() {
            let end = all.len().min(first as usize + LONGEST_RUN);
            for run in self.runs(&all[first as usize..end]) {
                let content = &mut content[..run.count * PAGE];
                self.content.read_exact_at(content, self.address(run.first)?)?;
                hash.update(content);
            }
            first = end as u32;
        }
        Ok(hexadecimal(&hash.finalize()))
    }

    /// The pages that the kernel gave this process for its own.
    fn own_pages(&self) -> io::Result<Vec<u32>> {
        let mut own = Vec::new();
        let mut first = 0_u32;
        for (block, address) in &self.blocks {
            let mut entries = vec![0; block.pages as usize * 8];
            self.map.read_exact_at(&mut entries, address / PAGE as u64 * 8)?;
            for (index, entry) in entries.as_chunks().0.iter().enumerate() {
                let entry = u64::from_ne_bytes(*entry);
                if entry & (PRESENT | SWAPPED) != 0 && entry & OF_A_FILE == 0 {
                    own.push(first + index as u32);
                }
            }
            first += block.pages;
        }
        Ok(own)
    }

    /// Splits pages, which are in order, where they do not follow one another in one block.
    fn runs<'a>(&'a self, pages: &'a [u32]) -> impl Iterator<Item = Run> + 'a {
        let mut rest = pages;
        std::iter::from_fn(move || {
            let first = *rest.first()?;
            let end = self.end_of_block(first);
            let follows = |(index, page): &(usize, &u32)| {
                *index < LONGEST_RUN && **page as usize == first as usize + index && **page < end
            };
            let count = rest.iter().enumerate().take_while(follows).count();
            rest = &rest[count..];
            Some(Run { first, count })
        })
    }

    fn end_of_block(&self, page: u32) -> u32 {
        let mut end = 0;
        for block in self.blocks() {
            end += block.pages;
            if page < end {
                break;
            }
        }
        end
    }

    fn address(&self, page: u32) -> io::Result<u64> {
        let mut first = 0;
        for (block, address) in &self.blocks {
            if page < first + block.pages {
                return Ok(address + u64::from(page - first) * PAGE as u64);
            }
            first += block.pages;
        }
        Err(io::ErrorKind::InvalidInput.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What QEMU 10.0 answers.
    const ANSWER: &str = "\
              Block Name    PSize              Offset               Used              Total                HVA  RO
                  memory    4 KiB  0x0000000000000000 0x0000000004000000 0x0000000004000000 0x00007fa80bfff000  rw
   0000:00:03.0/vga.vram    4 KiB  0x0000000004080000 0x0000000000800000 0x0000000000800000 0x00007fa8b0800000  rw
    /rom@etc/acpi/tables    4 KiB  0x00000000048c0000 0x0000000000020000 0x0000000000200000 0x00007fa8b0200000  ro
";

    #[test]
    fn blocks_are_read_with_the_guests_memory_first() {
        let blocks = parse_blocks(ANSWER, 64 << 20).unwrap();
        let told: Vec<_> =
            blocks.iter().map(|(block, address)| (block.name.as_str(), block.pages, *address)).collect();
        let expected = [
            ("memory", 0x4000, 0x7fa8_0bff_f000),
            ("/rom@etc/acpi/tables", 0x20, 0x7fa8_b020_0000),
            ("0000:00:03.0/vga.vram", 0x800, 0x7fa8_b080_0000),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn what_an_honest_qemu_would_not_say_is_refused() {
        let header = ANSWER.lines().next().unwrap();
        let block =
            |name: &str, used: &str, address: &str| format!("{name} 4 KiB 0x0 {used} {used} {address} rw\n");
        let memory = block("memory", "0x4000000", "0x1000");
        let refused = [
            "memory 4 KiB 0x0 0x4000000 0x4000000\n".to_owned(),
            block("memory", "0x4000000", "0x1001"),
            block("memory", "0x4000000", "none"),
            block("memory", "0x8000000", "0x1000"),
            block("vga.vram", "0x4000000", "0x1000"),
            memory.clone() + &block("vga.vram", "0x8000000", "0x1000"),
            memory.clone() + &block("rom", "0x1000", "0x1000").repeat(MOST_BLOCKS),
            memory + &block(&"x".repeat(256), "0x1000", "0x1000"),
            String::new(),
        ];
        for text in refused {
            assert!(parse_blocks(&format!("{header}\n{text}"), 64 << 20).is_err(), "{text}");
        }
    }

    #[test]
    fn memory_of_another_process_is_saved_and_changes_only_where_it_did() {
        // This very process stands for a QEMU: an anonymous buffer for its memory.
        let mut buffer = vec![0_u8; 40 * PAGE];
        let begin = (buffer.as_ptr() as usize).div_ceil(PAGE) * PAGE;
        let offset = begin - buffer.as_ptr() as usize;
        let block = RamBlock { name: GUEST_MEMORY.to_owned(), pages: 32 };
        let memory = LiveMemory::open(
            Path::new("/proc"),
            std::process::id() as i32,
            Access::Write,
            vec![(block, begin as u64)],
        );
        let memory = memory.unwrap();
        buffer[offset..offset + PAGE].fill(7);
        buffer[offset + 9 * PAGE] = 1;

        let folder = tempfile::tempdir().unwrap();
        let image = super::super::pages::MemoryImage::unknown(memory.pages());
        let mut writer = PagesWriter::create(image, &folder.path().join("0")).unwrap();
        memory.save(&mut writer).unwrap();
        assert_eq!(memory.save(&mut writer).unwrap(), 0);
        buffer[offset + 9 * PAGE] = 2;
        assert_eq!(memory.save(&mut writer).unwrap(), 1);
        let before = memory.hash().unwrap();
        writer.finish().unwrap();

        buffer[offset..].fill(9);
        std::hint::black_box(&mut buffer);
        assert_ne!(memory.hash().unwrap(), before);
        let image =
            super::super::pages::MemoryImage::open(&[folder.path().join("0")], memory.pages()).unwrap();
        buffer[offset..].fill(0);
        memory.load(&image).unwrap();
        assert_eq!(memory.hash().unwrap(), before);
        std::hint::black_box(&mut buffer);
        assert_eq!((buffer[offset], buffer[offset + 9 * PAGE]), (7, 2));
    }
}
