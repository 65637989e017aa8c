//! What QEMU says about its picture: each message is read into one closed enum, answered, and passed on.

use std::collections::HashMap;
use std::os::fd::OwnedFd;

use futures_util::StreamExt;
use tokio::sync::mpsc;
use zbus::message::{Flags, Type};
use zbus::{Connection, Message, MessageStream, Variant};

use crate::geometry::{Rect, Size, WireRect};
use crate::memory::SharedPicture;
use crate::pixels::{Description, Layout, RefusedPicture};
use crate::source::SourceEvent;

const LISTENER: &str = "org.qemu.Display1.Listener";
const MAP: &str = "org.qemu.Display1.Listener.Unix.Map";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
const PEER: &str = "org.freedesktop.DBus.Peer";

/// Passes on what QEMU says until either end goes.
pub(super) async fn listen(mut messages: MessageStream, events: mpsc::Sender<SourceEvent>) {
    let connection = Connection::from(&messages);
    let why = loop {
        let message = tokio::select! {
            message = messages.next() => message,
            () = events.closed() => return,
        };
        match message {
            None => break "the machine closed its display".to_owned(),
            Some(Err(error)) => break format!("the display's connection broke: {error}"),
            Some(Ok(message)) if message.message_type() != Type::MethodCall => {}
            Some(Ok(message)) => {
                let outcome = understand(&message);
                if let Err(error) = answer(&connection, &message, &outcome).await {
                    break format!("the display could not be answered: {error}");
                }
                match outcome {
                    Ok(Call::Event(event)) => {
                        if events.send(event).await.is_err() {
                            return;
                        }
                    }
                    Ok(Call::Properties(_) | Call::Property(_) | Call::Nothing) => {}
                    Err(refusal) => tracing::warn!(%refusal, "refused what the display said"),
                }
            }
        }
    };
    let _nobody_listens = events.send(SourceEvent::Ended(why)).await;
}

/// What a message asks of us.
enum Call {
    Event(SourceEvent),
    Properties(HashMap<&'static str, Variant<'static>>),
    Property(Variant<'static>),
    Nothing,
}

/// Why a message is not obeyed.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("no such method here")]
    UnknownMethod,
    #[error("no such property here")]
    UnknownProperty,
    #[error("arguments that cannot be read: {0}")]
    Malformed(#[from] zbus::Error),
    #[error(transparent)]
    Picture(#[from] RefusedPicture),
}

impl Refusal {
    fn name(&self) -> &'static str {
        match self {
            Self::UnknownMethod => "org.freedesktop.DBus.Error.UnknownMethod",
            Self::UnknownProperty => "org.freedesktop.DBus.Error.UnknownProperty",
            Self::Malformed(_) | Self::Picture(_) => "org.freedesktop.DBus.Error.InvalidArgs",
        }
    }
}

fn understand(message: &Message) -> Result<Call, Refusal> {
    let header = message.header();
    let interface = header.interface().map_or("", |interface| interface.as_str());
    let member = header.member().map_or("", |member| member.as_str());
    let body = message.body();
    match (interface, member) {
        (MAP, "ScanoutMap") => {
            let (fd, offset, width, height, stride, format): (zbus::OwnedFd, u32, u32, u32, u32, u32) =
                body.deserialize()?;
            let description = Description { width, height, stride, offset: u64::from(offset), format };
            let picture = SharedPicture::checked(OwnedFd::from(fd), description)?;
            let size = picture.size();
            let pixels = picture.copy(Rect::whole(size)).map_err(|_| RefusedPicture::Unreadable)?;
            Ok(Call::Event(SourceEvent::Lit { size, pixels, memory: Some(picture) }))
        }
        (MAP, "UpdateMap") => {
            let (x, y, width, height) = body.deserialize()?;
            Ok(Call::Event(SourceEvent::SharedChanged(WireRect { x, y, width, height })))
        }
        (LISTENER, "Scanout") => {
            let (width, height, stride, format, data): (u32, u32, u32, u32, &[u8]) = body.deserialize()?;
            let (size, pixels) = copy(Description { width, height, stride, offset: 0, format }, data)?;
            Ok(Call::Event(SourceEvent::Lit { size, pixels, memory: None }))
        }
        (LISTENER, "Update") => {
            let (x, y, width, height, stride, format, data): (i32, i32, i32, i32, u32, u32, &[u8]) =
                body.deserialize()?;
            let positive = |number: i32| u32::try_from(number).map_err(|_| RefusedPicture::Misplaced);
            let (x, y, width, height) = (positive(x)?, positive(y)?, positive(width)?, positive(height)?);
            let (size, pixels) = copy(Description { width, height, stride, offset: 0, format }, data)?;
            Ok(Call::Event(SourceEvent::Painted { x, y, size, pixels }))
        }
        (LISTENER, "Disable") => Ok(Call::Event(SourceEvent::Dark)),
        // The guest's own cursor is not part of the picture, nor of any frame.
        (LISTENER, "MouseSet" | "CursorDefine") => Ok(Call::Nothing),
        (PROPERTIES, "GetAll") => {
            let (of,): (&str,) = body.deserialize()?;
            let all = (of == LISTENER).then(|| ("Interfaces", interfaces()));
            Ok(Call::Properties(all.into_iter().collect()))
        }
        (PROPERTIES, "Get") => match body.deserialize()? {
            (LISTENER, "Interfaces") => Ok(Call::Property(interfaces())),
            (_, _) => Err(Refusal::UnknownProperty),
        },
        (PEER, "Ping") => Ok(Call::Nothing),
        (_, _) => Err(Refusal::UnknownMethod),
    }
}

/// What else we serve beside the listener itself: QEMU shares memory only with who says so.
fn interfaces() -> Variant<'static> {
    Variant::from(vec![MAP])
}

fn copy(description: Description, data: &[u8]) -> Result<(Size, Vec<u8>), RefusedPicture> {
    let available = data.len() as u64;
    let layout = Layout::checked(description, available)?;
    let pixels = layout.copy_from_slice(Rect::whole(layout.size()), data);
    Ok((layout.size(), pixels.map_err(|_| RefusedPicture::Unreadable)?))
}

async fn answer(
    connection: &Connection,
    message: &Message,
    outcome: &Result<Call, Refusal>,
) -> zbus::Result<()> {
    let header = message.header();
    if header.primary().flags().contains(Flags::NO_REPLY_EXPECTED) {
        return Ok(());
    }
    match outcome {
        Ok(Call::Properties(all)) => connection.reply(&header, &(all,)).await,
        Ok(Call::Property(one)) => connection.reply(&header, &(one,)).await,
        Ok(Call::Event(_) | Call::Nothing) => connection.reply(&header, &()).await,
        Err(refusal) => connection.reply_error(&header, refusal.name(), &(refusal.to_string(),)).await,
    }
}
