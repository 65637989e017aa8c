//! The serial port, or in tests a socket that stands for it.
//!
//! A virtual serial port stays open when the host hangs up: reads return 0, writes find no room, and polling returns at
//! once until the host is back. An edge-triggered epoll reports each change once, so waiting for the host costs nothing.
//!
//! That the host hung up is told to nobody: the port tells it on another queue than the bytes, so it may arrive when the
//! next host has already been welcomed. A session ends by the next greeting.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fs::{FileType, fstat};
use rustix::io::Errno;

/// What reading led to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Arrived {
    /// This many bytes.
    Bytes(usize),
    /// The host hung up for good: the port is a socket.
    Closed,
}

/// The reading side.
pub(crate) struct PortReader {
    port: Arc<OwnedFd>,
    changes: Changes,
    /// Whether the port outlives the host's end of it.
    lasts: bool,
}

/// The writing side.
pub(crate) struct PortWriter {
    port: Arc<OwnedFd>,
    changes: Changes,
}

/// Makes the two sides of a port.
pub(crate) fn split(port: OwnedFd) -> io::Result<(PortReader, PortWriter)> {
    rustix::io::ioctl_fionbio(&port, true)?;
    let lasts = FileType::from_raw_mode(fstat(&port)?.st_mode) == FileType::CharacterDevice;
    let to_read = Changes::of(&port, EventFlags::IN | EventFlags::RDHUP)?;
    let to_write = Changes::of(&port, EventFlags::OUT)?;
    let port = Arc::new(port);
    let reader = PortReader { port: Arc::clone(&port), changes: to_read, lasts };
    Ok((reader, PortWriter { port, changes: to_write }))
}

impl PortReader {
    /// Waits for bytes.
    pub(crate) fn read(&self, into: &mut [u8]) -> io::Result<Arrived> {
        loop {
            match rustix::io::read(&*self.port, &mut *into) {
                Ok(0) | Err(Errno::CONNRESET) if !self.lasts => return Ok(Arrived::Closed),
                Ok(0) | Err(Errno::AGAIN) => self.changes.wait()?,
                Ok(length) => return Ok(Arrived::Bytes(length)),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl PortWriter {
    /// Writes all, waiting for room and for the host.
    pub(crate) fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match rustix::io::write(&*self.port, bytes) {
                Ok(length) => bytes = bytes.get(length..).unwrap_or_default(),
                // The kernel copies what is written, and may find no memory for it just now.
                Err(Errno::INTR | Errno::NOMEM) => {}
                Err(Errno::AGAIN) => self.changes.wait()?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// Waits for a port to change.
struct Changes(OwnedFd);

impl Changes {
    fn of(port: &OwnedFd, which: EventFlags) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, port, EventData::new_u64(0), which | EventFlags::ET)?;
        Ok(Self(epoll))
    }

    /// Returns when the port has changed since the last time, and sometimes when it has not.
    fn wait(&self) -> io::Result<()> {
        let mut events = Vec::with_capacity(1);
        match epoll::wait(&self.0, spare_capacity(&mut events), None) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
