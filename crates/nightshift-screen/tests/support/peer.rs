//! The other end of the display, in QEMU's place: it says what a test tells it to, true or not.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use futures_util::StreamExt;
use nightshift_screen::Screen;
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use serde::Serialize;
use tokio::sync::mpsc;
use zbus::conn::Builder;
use zbus::message::Type;
use zbus::{Connection, Guid, Message, MessageStream};

pub(crate) const LISTENER: &str = "org.qemu.Display1.Listener";
pub(crate) const MAP: &str = "org.qemu.Display1.Listener.Unix.Map";
pub(crate) const XRGB: u32 = 0x2002_0888;

/// What was asked of mouse or keyboard: method and number.
pub(crate) type Input = (String, u32);

pub(crate) struct Peer {
    pub(crate) screen: Screen,
    pub(crate) input: mpsc::UnboundedReceiver<Input>,
    listener: Connection,
}

impl Peer {
    /// Attaches a screen to a peer that refuses the given input and takes any other.
    pub(crate) async fn attach(refused: &[(&str, u32)]) -> Self {
        let refused = refused.iter().map(|(method, number)| (method.to_string(), *number)).collect();
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (tell, input) = mpsc::unbounded_channel();
        let (registered, mut listeners) = mpsc::channel(1);
        tokio::spawn(serve(theirs, refused, tell, registered));
        let screen = Screen::attach(ours.into()).await.unwrap();
        Self { screen, input, listener: listeners.recv().await.unwrap() }
    }

    /// Calls the listener and waits for its answer.
    pub(crate) async fn say<B>(&self, interface: &str, method: &str, body: &B) -> zbus::Result<Message>
    where
        B: Serialize + zbus::DynamicType,
    {
        let path = "/org/qemu/Display1/Listener";
        self.listener.call_method(None::<&str>, path, Some(interface), method, body).await
    }

    /// Describes a picture in `memory`: offset, width, height, stride, format.
    pub(crate) async fn scanout_map(&self, memory: &OwnedFd, words: [u32; 5]) -> zbus::Result<Message> {
        let fd = zbus::OwnedFd::from(memory.try_clone().unwrap());
        let [offset, width, height, stride, format] = words;
        self.say(MAP, "ScanoutMap", &(fd, offset, width, height, stride, format)).await
    }

    /// Closes the listener's connection.
    pub(crate) async fn hang_up(&self) {
        self.listener.clone().close().await.unwrap();
    }
}

/// Memory of so many bytes, all `value`.
pub(crate) fn memory(length: usize, value: u8) -> OwnedFd {
    let fd = memfd_create("picture", MemfdFlags::CLOEXEC).unwrap();
    ftruncate(&fd, length as u64).unwrap();
    write_at(&fd, 0, &vec![value; length]);
    fd
}

pub(crate) fn write_at(memory: &OwnedFd, offset: u64, bytes: &[u8]) {
    assert_eq!(rustix::io::pwrite(memory, bytes, offset).unwrap(), bytes.len());
}

async fn server(socket: UnixStream) -> MessageStream {
    Builder::unix_stream(socket).server(Guid::generate()).p2p().build_message_stream().await.unwrap()
}

async fn serve(
    socket: UnixStream,
    refused: Vec<Input>,
    tell: mpsc::UnboundedSender<Input>,
    registered: mpsc::Sender<Connection>,
) {
    let mut messages = server(socket).await;
    let connection = Connection::from(&messages);
    while let Some(Ok(message)) = messages.next().await {
        if message.message_type() != Type::MethodCall {
            continue;
        }
        let header = message.header();
        let method = header.member().unwrap().to_string();
        if method == "RegisterListener" {
            let (fd,): (zbus::OwnedFd,) = message.body().deserialize().unwrap();
            connection.reply(&header, &()).await.unwrap();
            let listener = server(UnixStream::from(OwnedFd::from(fd))).await;
            registered.send(Connection::from(&listener)).await.unwrap();
            continue;
        }
        // The first number is enough to tell one from the other.
        let number: u32 = match message.body().deserialize::<(u32, u32)>() {
            Ok((x, _)) => x,
            Err(_) => message.body().deserialize::<(u32,)>().unwrap().0,
        };
        let input = (method, number);
        if refused.contains(&input) {
            let name = "org.qemu.Display1.Error.Invalid";
            connection.reply_error(&header, name, &("Not today",)).await.unwrap();
        } else {
            connection.reply(&header, &()).await.unwrap();
        }
        // The test may have heard enough.
        let _unheard = tell.send(input);
    }
}
