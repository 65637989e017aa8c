//! The serial port, or in tests a socket that stands for it, without ever blocking on it.
//!
//! A virtual serial port stays open when the host hangs up: reads return 0, writes find no room, and polling returns at
//! once until the host is back. An edge-triggered epoll reports each change once, so waiting for the host costs nothing.
//!
//! One thread alone may wait for the port. Linux takes sent buffers back whenever anybody polls it, also one who only
//! waits to read, and the interrupt that finds them taken wakes nobody (`will_write_block` in
//! `drivers/char/virtio_console.c`, `vring_interrupt`): a second thread that waits to write would sleep for ever.
//!
//! That the host hung up is told to nobody: the port tells it on another queue than the bytes, so it may arrive when the
//! next host has already been welcomed. A session ends by the next greeting.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{FileType, fstat};
use rustix::io::Errno;

const PORT: u64 = 0;
const DOORBELL: u64 = 1;

/// What reading led to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Arrived {
    /// This many bytes.
    Bytes(usize),
    /// Nothing yet.
    Nothing,
    /// The host hung up for good: the port is a socket.
    Closed,
}

/// The port, and what wakes the thread that serves it.
pub(crate) struct Port<'a> {
    port: OwnedFd,
    doorbell: &'a Doorbell,
    epoll: OwnedFd,
    /// Whether the port outlives the host's end of it.
    lasts: bool,
}

/// What a wait ended with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Woken {
    /// There may be something to read, or room to write.
    ByPort,
    /// Somebody rang.
    ByDoorbell,
}

impl<'a> Port<'a> {
    pub(crate) fn new(port: OwnedFd, doorbell: &'a Doorbell) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&port, true)?;
        let lasts = FileType::from_raw_mode(fstat(&port)?.st_mode) == FileType::CharacterDevice;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let changes = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&epoll, &port, EventData::new_u64(PORT), changes)?;
        epoll::add(&epoll, &doorbell.event, EventData::new_u64(DOORBELL), EventFlags::IN)?;
        Ok(Self { port, doorbell, epoll, lasts })
    }

    /// Reads what there is.
    pub(crate) fn read(&self, into: &mut [u8]) -> io::Result<Arrived> {
        match rustix::io::read(&self.port, into) {
            Ok(0) | Err(Errno::CONNRESET) if !self.lasts => Ok(Arrived::Closed),
            Ok(0) | Err(Errno::AGAIN) => Ok(Arrived::Nothing),
            Ok(length) => Ok(Arrived::Bytes(length)),
            Err(Errno::INTR) => Ok(Arrived::Bytes(0)),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes what there is room for, and says how much that was; `None` when there is no room.
    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<Option<usize>> {
        match rustix::io::write(&self.port, bytes) {
            Ok(length) => Ok(Some(length)),
            // The kernel copies what is written, and may find no memory for it just now.
            Err(Errno::INTR | Errno::NOMEM) => Ok(Some(0)),
            Err(Errno::AGAIN) => Ok(None),
            // The host of a socket is gone; reading tells.
            Err(Errno::PIPE | Errno::CONNRESET) if !self.lasts => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until the port has changed or somebody rang.
    pub(crate) fn wait(&self) -> io::Result<Woken> {
        loop {
            let mut events = Vec::with_capacity(1);
            match epoll::wait(&self.epoll, spare_capacity(&mut events), None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            match events.first().map(|event| event.data.u64()) {
                Some(DOORBELL) => {
                    self.doorbell.take_ring();
                    return Ok(Woken::ByDoorbell);
                }
                Some(_) => return Ok(Woken::ByPort),
                None => {}
            }
        }
    }
}

/// Wakes the thread that serves the port.
#[derive(Debug)]
pub(crate) struct Doorbell {
    event: OwnedFd,
    rung: AtomicBool,
}

impl Doorbell {
    pub(crate) fn new() -> io::Result<Self> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { event, rung: AtomicBool::new(false) })
    }

    /// Rings it.
    pub(crate) fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            // Fails only when the counter is full, and then it rings anyway.
            let _ = rustix::io::write(&self.event, &1_u64.to_ne_bytes());
        }
    }

    fn take_ring(&self) {
        let _ = rustix::io::read(&self.event, &mut [0_u8; 8]);
        self.rung.store(false, Ordering::Release);
    }
}
