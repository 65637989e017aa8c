//! The serial port, or in tests a socket that stands for it.
//!
//! A virtual serial port stays open when the host hangs up: reads return 0 and polling returns at once until the host
//! is back. An edge-triggered epoll reports each change once, so waiting for the host costs nothing.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{FileType, fstat};
use rustix::io::Errno;

/// What reading led to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Arrived {
    /// This many bytes.
    Bytes(usize),
    /// The host hung up, and may come back.
    HungUp,
    /// The host hung up for good: the port is a socket.
    Closed,
}

/// What writing led to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// All is written.
    Whole,
    /// The host hung up; a part may be written.
    HungUp,
}

/// The reading side.
pub(crate) struct PortReader {
    port: Arc<OwnedFd>,
    epoll: OwnedFd,
    /// Whether the port outlives the host's end of it.
    lasts: bool,
    hung_up: bool,
}

/// The writing side.
pub(crate) struct PortWriter {
    port: Arc<OwnedFd>,
}

pub(crate) fn split(port: OwnedFd) -> io::Result<(PortReader, PortWriter)> {
    rustix::io::ioctl_fionbio(&port, true)?;
    let lasts = FileType::from_raw_mode(fstat(&port)?.st_mode) == FileType::CharacterDevice;
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, &port, EventData::new_u64(0), EventFlags::IN | EventFlags::RDHUP | EventFlags::ET)?;
    let port = Arc::new(port);
    Ok((PortReader { port: Arc::clone(&port), epoll, lasts, hung_up: false }, PortWriter { port }))
}

impl PortReader {
    /// Waits for bytes or for the host to hang up, which is told once.
    pub(crate) fn read(&mut self, into: &mut [u8]) -> io::Result<Arrived> {
        loop {
            match rustix::io::read(&*self.port, &mut *into) {
                Ok(0) if !self.lasts => return Ok(Arrived::Closed),
                Ok(0) if !self.hung_up => {
                    self.hung_up = true;
                    return Ok(Arrived::HungUp);
                }
                Ok(0) | Err(Errno::AGAIN) => self.wait()?,
                Ok(length) => {
                    self.hung_up = false;
                    return Ok(Arrived::Bytes(length));
                }
                Err(Errno::INTR) => {}
                Err(Errno::CONNRESET) if !self.lasts => return Ok(Arrived::Closed),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn wait(&self) -> io::Result<()> {
        let mut events = Vec::with_capacity(1);
        match epoll::wait(&self.epoll, spare_capacity(&mut events), None) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl PortWriter {
    /// Writes all, waiting for room.
    pub(crate) fn write(&self, mut bytes: &[u8]) -> io::Result<Written> {
        while !bytes.is_empty() {
            match rustix::io::write(&*self.port, bytes) {
                Ok(0) | Err(Errno::PIPE | Errno::CONNRESET) => return Ok(Written::HungUp),
                Ok(length) => bytes = bytes.get(length..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    let mut ports = [PollFd::new(&*self.port, PollFlags::OUT)];
                    match poll(&mut ports, None) {
                        Ok(_) if ports[0].revents().contains(PollFlags::HUP) => return Ok(Written::HungUp),
                        Ok(_) | Err(Errno::INTR) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Written::Whole)
    }
}
