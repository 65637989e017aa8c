//! A job's output on disk: what it wrote, in the order the program saw it, and where the two outputs alternate.
//!
//! `output` holds the bytes. `switches`, there only when the outputs are kept apart, says from which byte on they are
//! of which output: 9 bytes each, the offset as a little-endian u64 and the output's number.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use nightshift_channel::wire::frame::MAX_PAYLOAD_BYTES;
use nightshift_channel::wire::service::Source;

const SWITCH_BYTES: u64 = 9;

/// How much there is to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Extent {
    /// Bytes of output.
    pub(crate) output: u64,
    /// Switches between outputs.
    pub(crate) switches: u64,
}

/// Where output is added.
pub(crate) struct Spool {
    output: File,
    switches: Option<File>,
    extent: Extent,
    last: Option<Source>,
    room: u64,
    dropped: u64,
}

impl Spool {
    /// Begins an output in `folder` that keeps at most `room` bytes on disk.
    pub(crate) fn create(folder: &Path, merged: bool, room: u64) -> io::Result<Self> {
        let create = |name| OpenOptions::new().append(true).create_new(true).open(folder.join(name));
        let switches = if merged { None } else { Some(create("switches")?) };
        Ok(Self {
            output: create("output")?,
            switches,
            extent: Extent::default(),
            last: None,
            room,
            dropped: 0,
        })
    }

    /// Keeps bytes, as far as there is room. After the first byte that is dropped all are, so that what is kept has
    /// no gap.
    pub(crate) fn append(&mut self, source: Source, bytes: &[u8]) {
        let kept = if self.dropped > 0 { 0 } else { self.keep(source, bytes) };
        self.dropped += length(bytes) - kept;
    }

    /// How much there is to read.
    pub(crate) fn extent(&self) -> Extent {
        self.extent
    }

    /// How many bytes were dropped.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    fn keep(&mut self, source: Source, bytes: &[u8]) -> u64 {
        if self.last != Some(source)
            && let Some(switches) = &mut self.switches
        {
            let mut switch = self.extent.output.to_le_bytes().to_vec();
            switch.push(number(source));
            if self.room <= SWITCH_BYTES || switches.write_all(&switch).is_err() {
                return 0;
            }
            self.room -= SWITCH_BYTES;
            self.extent.switches += 1;
        }
        self.last = Some(source);
        let fits = usize::try_from(self.room).unwrap_or(usize::MAX);
        let kept = bytes.get(..fits).unwrap_or(bytes);
        // A full disk drops output; it does not end the job.
        let Ok(()) = self.output.write_all(kept) else { return 0 };
        self.room -= length(kept);
        self.extent.output += length(kept);
        length(kept)
    }
}

/// Where output is read again, from any byte on.
pub(crate) struct SpoolReader {
    output: File,
    switches: Option<File>,
    position: u64,
}

impl SpoolReader {
    /// Opens the output in `folder` at a byte.
    pub(crate) fn open(folder: &Path, position: u64) -> io::Result<Self> {
        let switches = match File::open(folder.join("switches")) {
            Ok(switches) => Some(switches),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        Ok(Self { output: File::open(folder.join("output"))?, switches, position })
    }

    /// Reads the next bytes, all of one output, into `buffer`; `None` at the end of `extent`.
    pub(crate) fn read(&mut self, extent: Extent, buffer: &mut Vec<u8>) -> io::Result<Option<Source>> {
        let (source, until) = self.run_at(extent)?;
        let wanted = until.saturating_sub(self.position).min(length(&[0; MAX_PAYLOAD_BYTES]));
        buffer.resize(usize::try_from(wanted).map_err(io::Error::other)?, 0);
        self.output.read_exact_at(buffer, self.position)?;
        self.position += wanted;
        Ok((wanted > 0).then_some(source))
    }

    /// The output at the position, and where it gives way to the other.
    fn run_at(&self, extent: Extent) -> io::Result<(Source, u64)> {
        let Some(switches) = &self.switches else { return Ok((Source::Merged, extent.output)) };
        // The last switch at or before the position, by halving: a job may switch millions of times.
        let (mut low, mut high) = (0, extent.switches);
        while low < high {
            let middle = low.midpoint(high);
            if switch(switches, middle)?.0 <= self.position {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let until = if low < extent.switches { switch(switches, low)?.0 } else { extent.output };
        let source = if low == 0 { Source::Stdout } else { switch(switches, low - 1)?.1 };
        Ok((source, until))
    }
}

/// How much output is in `folder`, after the program that wrote it is gone.
pub(crate) fn extent_of(folder: &Path) -> Extent {
    let length = |name| fs::metadata(folder.join(name)).map_or(0, |metadata| metadata.len());
    Extent { output: length("output"), switches: length("switches") / SWITCH_BYTES }
}

fn switch(switches: &File, index: u64) -> io::Result<(u64, Source)> {
    let mut entry = [0; 9];
    switches.read_exact_at(&mut entry, index * SWITCH_BYTES)?;
    let [offset @ .., number] = entry;
    let source = if number == 2 { Source::Stderr } else { Source::Stdout };
    Ok((u64::from_le_bytes(offset), source))
}

fn number(source: Source) -> u8 {
    match source {
        Source::Stdout | Source::Merged => 1,
        Source::Stderr => 2,
    }
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(folder: &Path, from: u64, extent: Extent) -> Vec<(Source, String)> {
        let mut reader = SpoolReader::open(folder, from).unwrap();
        let (mut runs, mut buffer) = (Vec::new(), Vec::new());
        while let Some(source) = reader.read(extent, &mut buffer).unwrap() {
            runs.push((source, String::from_utf8(buffer.clone()).unwrap()));
        }
        runs
    }

    #[test]
    fn outputs_kept_apart_are_read_again_from_any_byte() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::create(folder.path(), false, 1_000).unwrap();
        spool.append(Source::Stderr, b"ab");
        spool.append(Source::Stderr, b"cd");
        spool.append(Source::Stdout, b"ef");
        spool.append(Source::Stderr, b"g");
        let whole = [(Source::Stderr, "abcd"), (Source::Stdout, "ef"), (Source::Stderr, "g")];
        for from in 0..=7 {
            let mut passed_over = from;
            let mut expected = Vec::new();
            for (source, text) in whole {
                let skip = passed_over.min(text.len());
                passed_over -= skip;
                if skip < text.len() {
                    expected.push((source, text[skip..].to_owned()));
                }
            }
            assert_eq!(read_all(folder.path(), from as u64, spool.extent()), expected, "from byte {from}");
        }
        assert_eq!(extent_of(folder.path()), spool.extent());
    }

    #[test]
    fn what_has_no_room_is_dropped_and_counted_and_leaves_no_gap() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::create(folder.path(), true, 5).unwrap();
        spool.append(Source::Merged, b"abc");
        spool.append(Source::Merged, b"defg");
        spool.append(Source::Merged, b"");
        spool.append(Source::Merged, b"h");
        assert_eq!((spool.extent().output, spool.dropped()), (5, 3));
        assert_eq!(read_all(folder.path(), 0, spool.extent()), [(Source::Merged, "abcde".to_owned())]);
    }

    #[test]
    fn alternating_between_outputs_cannot_fill_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::create(folder.path(), false, 100).unwrap();
        for _ in 0..1_000 {
            spool.append(Source::Stdout, b"o");
            spool.append(Source::Stderr, b"e");
        }
        let on_disk = spool.extent().output + spool.extent().switches * SWITCH_BYTES;
        assert!((91..=100).contains(&on_disk), "{on_disk} bytes on disk");
        assert_eq!(spool.extent().output + spool.dropped(), 2_000);
    }
}
