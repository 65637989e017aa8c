//! A picture in memory that another process shares and writes at any time.
//!
//! It is read through the file and not mapped: a mapping would die with SIGBUS when the other end, which a hostile
//! guest may have taken over, shrinks its file, and this process with it. Reading then is short and an error. It
//! also needs no `unsafe`.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use crate::geometry::{Rect, Size};
use crate::pixels::{Description, Layout, RefusedPicture};

/// A picture in shared memory. What it shows may change while it is copied; that tears the copy and nothing else.
#[derive(Debug)]
pub(crate) struct SharedPicture {
    file: File,
    layout: Layout,
}

impl SharedPicture {
    /// Believes that `fd` holds the picture described.
    pub(crate) fn checked(fd: OwnedFd, description: Description) -> Result<Self, RefusedPicture> {
        // Only files in memory have seals. Any other file could block its reader for ever: a pipe, a FUSE mount.
        if rustix::fs::fcntl_get_seals(&fd).is_err() {
            return Err(RefusedPicture::NotMemory);
        }
        let file = File::from(fd);
        let available = file.metadata().map_err(|_| RefusedPicture::NotMemory)?.len();
        let layout = Layout::checked(description, available)?;
        Ok(Self { file, layout })
    }

    pub(crate) fn size(&self) -> Size {
        self.layout.size()
    }

    /// Copies the pixels of `rect`, which lies in the picture, as blue, green, red, 255.
    pub(crate) fn copy(&self, rect: Rect) -> io::Result<Vec<u8>> {
        let mut pixels = Vec::new();
        self.copy_into(rect, &mut pixels)?;
        Ok(pixels)
    }

    /// The same into a buffer that may have been used before; it holds the pixels and nothing else after.
    pub(crate) fn copy_into(&self, rect: Rect, pixels: &mut Vec<u8>) -> io::Result<()> {
        self.layout.copy(rect, pixels, |to, offset| self.file.read_exact_at(to, offset))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

    use super::*;

    const DESCRIPTION: Description =
        Description { width: 2, height: 2, stride: 8, offset: 4096, format: 0x2002_0888 };

    fn memory(length: u64) -> OwnedFd {
        let fd = memfd_create("picture", MemfdFlags::CLOEXEC).unwrap();
        ftruncate(&fd, length).unwrap();
        fd
    }

    #[test]
    fn a_picture_is_read_as_its_writer_left_it() {
        let fd = memory(8192);
        let writer = File::from(fd.try_clone().unwrap());
        let picture = SharedPicture::checked(fd, DESCRIPTION).unwrap();
        writer.write_all_at(&[1, 2, 3, 0], 4096 + 12).unwrap();
        let corner = picture.copy(Rect::new(1, 1, 1, 1).unwrap()).unwrap();
        assert_eq!(corner, [1, 2, 3, 255]);
    }

    #[test]
    fn memory_shorter_than_the_picture_is_refused() {
        let refused = SharedPicture::checked(memory(4096 + 15), DESCRIPTION).unwrap_err();
        assert_eq!(refused, RefusedPicture::Beyond { needed: 4112, available: 4111 });
    }

    #[test]
    fn memory_that_shrinks_later_is_an_error_and_not_the_end_of_the_process() {
        let fd = memory(8192);
        let shrinker = fd.try_clone().unwrap();
        let picture = SharedPicture::checked(fd, DESCRIPTION).unwrap();
        ftruncate(&shrinker, 4100).unwrap();
        let error = picture.copy(Rect::whole(picture.size())).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn what_is_no_memory_is_refused() {
        let (socket, _other) = UnixStream::pair().unwrap();
        let device = File::open("/dev/zero").unwrap();
        for fd in [OwnedFd::from(socket), device.into()] {
            assert_eq!(SharedPicture::checked(fd, DESCRIPTION).unwrap_err(), RefusedPicture::NotMemory);
        }
    }
}
