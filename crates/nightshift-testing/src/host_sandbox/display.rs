//! A drawn desktop behind QEMU's D-Bus display (`ui/dbus-display1.xml` in QEMU's sources), in QEMU's place.
//!
//! It shows where the pointer is, how often a button was pressed, and a mark for each key: enough to see on a
//! screenshot that input arrived, and to make damage that settles.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::StreamExt as _;
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use serde::Serialize;
use tokio::sync::watch;
use zbus::conn::Builder;
use zbus::message::Type;
use zbus::{Connection, Guid, Message, MessageStream};

const LISTENER_PATH: &str = "/org/qemu/Display1/Listener";
const MAP: &str = "org.qemu.Display1.Listener.Unix.Map";
/// `PIXMAN_x8r8g8b8`: bytes blue, green, red, unused.
const XRGB: u32 = 0x2002_0888;

/// The wheel's numbers among the buttons (`org.qemu.Display1.Mouse`).
const WHEEL_UP: u32 = 3;
const WHEEL_DOWN: u32 = 4;

const DESKTOP: [u8; 3] = [0x2b, 0x3a, 0x55];
const BAR: [u8; 3] = [0x16, 0x1e, 0x2e];
const POINTER: [u8; 3] = [0xf5, 0x9e, 0x0b];
const KEY: [u8; 3] = [0xe5, 0xe7, 0xeb];
const PRESSED: [u8; 3] = [0x7c, 0x3a, 0xed];

/// Side of the pointer's mark and of a key's, in pixels.
const MARK: u32 = 12;

/// A screen whose picture lives in shared memory.
#[derive(Debug)]
pub(super) struct Display {
    drawn: Arc<Mutex<Drawn>>,
    hung_up: watch::Sender<bool>,
}

impl Display {
    /// `picture` is what is below the bar, as red, green and blue bytes of the whole screen.
    pub(super) fn new(size: (u32, u32), picture: Option<Arc<[u8]>>) -> io::Result<Self> {
        Ok(Self {
            drawn: Arc::new(Mutex::new(Drawn::new(size, picture)?)),
            hung_up: watch::Sender::new(false),
        })
    }

    /// Opens another connection to it; needs a runtime of tokio around it.
    pub(super) fn open(&self) -> io::Result<OwnedFd> {
        let (ours, theirs) = UnixStream::pair()?;
        let (drawn, mut hung_up) = (Arc::clone(&self.drawn), self.hung_up.subscribe());
        tokio::spawn(async move {
            tokio::select! {
                // Whoever watched is gone, or said what is no display's business.
                _gone = serve(ours, drawn) => {}
                _ended = hung_up.wait_for(|hung_up| *hung_up) => {}
            }
        });
        Ok(theirs.into())
    }

    pub(super) fn hang_up(&self) {
        self.hung_up.send_replace(true);
    }
}

async fn stream(socket: UnixStream) -> zbus::Result<MessageStream> {
    Builder::unix_stream(socket).server(Guid::generate()).p2p().build_message_stream().await
}

async fn serve(socket: UnixStream, drawn: Arc<Mutex<Drawn>>) -> zbus::Result<()> {
    let mut messages = stream(socket).await?;
    let console = Connection::from(&messages);
    let mut listeners: Vec<Connection> = Vec::new();
    while let Some(message) = messages.next().await {
        let message = message?;
        if message.message_type() != Type::MethodCall {
            continue;
        }
        let header = message.header();
        let member = header.member().map(|member| member.as_str().to_owned()).unwrap_or_default();
        if member == "RegisterListener" {
            let (fd,): (zbus::OwnedFd,) = message.body().deserialize()?;
            console.reply(&header, &()).await?;
            // Without the stream, which would fill with answers that nobody reads, and then hold the connection up.
            let listener = Connection::from(stream(UnixStream::from(OwnedFd::from(fd))).await?);
            let (memory, size) = drawn.lock().unwrap_or_else(PoisonError::into_inner).shared()?;
            let picture = (zbus::OwnedFd::from(memory), 0_u32, size.0, size.1, size.0 * 4, XRGB);
            tell(&listener, "ScanoutMap", &picture).await?;
            listeners.push(listener);
            continue;
        }
        let numbers = message.body().deserialize::<(u32, u32)>().ok();
        let number = message.body().deserialize::<(u32,)>().ok().map(|(number,)| number);
        let of_keyboard =
            header.interface().is_some_and(|interface| interface.as_str().ends_with("Keyboard"));
        let changed = drawn.lock().unwrap_or_else(PoisonError::into_inner).input(
            &member,
            numbers.or(number.map(|number| (number, 0))),
            of_keyboard,
        )?;
        console.reply(&header, &()).await?;
        for rect in changed {
            for listener in &listeners {
                let signed = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
                let body = (signed(rect[0]), signed(rect[1]), signed(rect[2]), signed(rect[3]));
                // A listener that is gone misses nothing.
                let _told = tell(listener, "UpdateMap", &body).await;
            }
        }
    }
    Ok(())
}

async fn tell<B>(listener: &Connection, method: &str, body: &B) -> zbus::Result<Message>
where
    B: Serialize + zbus::DynamicType,
{
    listener.call_method(None::<&str>, LISTENER_PATH, Some(MAP), method, body).await
}

/// The picture and what is on it.
#[derive(Debug)]
struct Drawn {
    memory: OwnedFd,
    size: (u32, u32),
    picture: Option<Arc<[u8]>>,
    pointer: (u32, u32),
    presses: u32,
    keys: u32,
}

/// Left, top, width, height in pixels.
type Rect = [u32; 4];

impl Drawn {
    fn new(size: (u32, u32), picture: Option<Arc<[u8]>>) -> io::Result<Self> {
        let memory = memfd_create("screen", MemfdFlags::CLOEXEC)?;
        ftruncate(&memory, u64::from(size.0) * u64::from(size.1) * 4)?;
        let drawn = Self { memory, size, picture, pointer: (0, 0), presses: 0, keys: 0 };
        drawn.restore([0, 0, size.0, size.1])?;
        drawn.fill([0, 0, size.0, 2 * MARK], BAR)?;
        Ok(drawn)
    }

    fn shared(&self) -> io::Result<(OwnedFd, (u32, u32))> {
        Ok((self.memory.try_clone()?, self.size))
    }

    /// Takes what pointer or keyboard did and returns what changed on the picture.
    fn input(&mut self, method: &str, numbers: Option<(u32, u32)>, keyboard: bool) -> io::Result<Vec<Rect>> {
        match (method, keyboard, numbers) {
            ("SetAbsPosition", false, Some(to)) => {
                let from = self.mark_at(self.pointer);
                self.pointer = to;
                self.restore(from)?;
                let here = self.mark_at(to);
                self.fill(here, POINTER)?;
                Ok(vec![from, here])
            }
            // What the wheel would scroll is not drawn.
            ("Press", false, Some((WHEEL_UP | WHEEL_DOWN, _))) => Ok(Vec::new()),
            ("Press", false, Some(_)) => {
                self.presses += 1;
                let place = [self.column(self.presses), 0, MARK, MARK];
                let colour = if self.presses.is_multiple_of(2) { DESKTOP } else { PRESSED };
                self.fill(place, colour)?;
                Ok(vec![place])
            }
            ("Press", true, Some(_)) => {
                self.keys += 1;
                let place = [self.column(self.keys), MARK, MARK / 2, MARK];
                self.fill(place, KEY)?;
                Ok(vec![place])
            }
            (_, _, _) => Ok(Vec::new()),
        }
    }

    fn column(&self, number: u32) -> u32 {
        number * MARK % (self.size.0 - MARK)
    }

    fn mark_at(&self, (x, y): (u32, u32)) -> Rect {
        let (x, y) = (x.min(self.size.0 - MARK), y.clamp(2 * MARK, self.size.1 - MARK));
        [x, y, MARK, MARK]
    }

    /// Draws what is behind all marks.
    fn restore(&self, area: Rect) -> io::Result<()> {
        let [left, top, width, height] = area;
        let Some(picture) = &self.picture else {
            return self.fill(area, if top < 2 * MARK && height < self.size.1 { BAR } else { DESKTOP });
        };
        for y in top..top + height {
            let start = y as usize * self.size.0 as usize + left as usize;
            let pixels = picture.get(start * 3..(start + width as usize) * 3).unwrap_or_default();
            let row: Vec<u8> =
                pixels.chunks_exact(3).flat_map(|pixel| [pixel[2], pixel[1], pixel[0], 0]).collect();
            rustix::io::pwrite(&self.memory, &row, start as u64 * 4)?;
        }
        Ok(())
    }

    fn fill(&self, [left, top, width, height]: Rect, [red, green, blue]: [u8; 3]) -> io::Result<()> {
        let row = [blue, green, red, 0].repeat(width as usize);
        for y in top..top + height {
            let offset = (u64::from(y) * u64::from(self.size.0) + u64::from(left)) * 4;
            rustix::io::pwrite(&self.memory, &row, offset)?;
        }
        Ok(())
    }
}
