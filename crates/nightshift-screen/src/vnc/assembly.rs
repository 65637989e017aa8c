//! Makes pictures and changes of the rectangles a server sends. Pure: it is told of events and says what to ask for.

use ::vnc::{VncEvent, X11Event};

use crate::geometry::{Rect, Size};
use crate::source::SourceEvent;

/// What a server may not send.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RefusedUpdate {
    #[error("it says that its screen has {width}x{height} pixels")]
    Size { width: u32, height: u32 },
    #[error("it sent a rectangle that is not on its screen, or with too few pixels")]
    Rectangle,
    #[error("it sent what was not asked for")]
    Unasked,
}

/// The picture as far as it has come.
#[derive(Debug)]
pub(crate) struct Assembly {
    picture: Picture,
    /// What was not asked for yet.
    wanted: Wanted,
}

#[derive(Debug)]
enum Picture {
    /// The size is not known yet.
    Unknown,
    /// Some pixels of it are still to come.
    Incomplete { size: Size, pixels: Vec<u8>, missing: u64 },
    /// It was shown.
    Complete(Size),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// The last request has not been answered.
    Nothing,
    Changes,
    Everything,
}

impl Assembly {
    /// Starts with the request for everything that belongs to the greeting.
    pub(crate) fn new() -> Self {
        Self { picture: Picture::Unknown, wanted: Wanted::Nothing }
    }

    /// Takes in what the server sent; a picture is told once it is whole.
    pub(crate) fn handle(&mut self, event: VncEvent) -> Result<Option<SourceEvent>, RefusedUpdate> {
        match event {
            VncEvent::SetResolution(screen) => {
                let (width, height) = (u32::from(screen.width), u32::from(screen.height));
                let size = Size::new(width, height).ok_or(RefusedUpdate::Size { width, height })?;
                if !matches!(self.picture, Picture::Unknown) {
                    self.wanted = Wanted::Everything;
                }
                let missing = Rect::whole(size).area();
                self.picture = Picture::Incomplete { size, pixels: vec![0; size.bytes()], missing };
                Ok(None)
            }
            VncEvent::RawImage(rect, pixels) => {
                if self.wanted == Wanted::Nothing {
                    self.wanted = Wanted::Changes;
                }
                self.paint([rect.x, rect.y, rect.width, rect.height].map(u32::from), pixels)
            }
            VncEvent::Bell | VncEvent::Text(_) | VncEvent::SetPixelFormat(_) | VncEvent::DesktopUpdate(_) => {
                Ok(None)
            }
            // Other encodings, and whatever a later library knows.
            _ => Err(RefusedUpdate::Unasked),
        }
    }

    /// What to ask the server for now, if anything.
    pub(crate) fn request(&mut self) -> Option<X11Event> {
        match std::mem::replace(&mut self.wanted, Wanted::Nothing) {
            Wanted::Nothing => None,
            Wanted::Changes => Some(X11Event::Refresh),
            Wanted::Everything => Some(X11Event::FullRefresh),
        }
    }

    fn paint(
        &mut self,
        [x, y, width, height]: [u32; 4],
        mut part: Vec<u8>,
    ) -> Result<Option<SourceEvent>, RefusedUpdate> {
        let size = match &self.picture {
            Picture::Unknown => return Err(RefusedUpdate::Rectangle),
            Picture::Incomplete { size, .. } | Picture::Complete(size) => *size,
        };
        let rect = Rect::new(x, y, width, height)
            .and_then(|rect| rect.on(size).ok())
            .ok_or(RefusedUpdate::Rectangle)?;
        let part_size = Size::of(rect);
        if part.len() != part_size.bytes() {
            return Err(RefusedUpdate::Rectangle);
        }
        // The fourth byte means nothing on the wire.
        part.iter_mut().skip(3).step_by(4).for_each(|byte| *byte = 255);
        match &mut self.picture {
            Picture::Incomplete { pixels, missing, .. } => {
                let stride = size.width() as usize * 4;
                let row = width as usize * 4;
                for (line, from) in (y as usize..).zip(part.chunks_exact(row)) {
                    let at = line * stride + x as usize * 4;
                    pixels[at..at + row].copy_from_slice(from);
                }
                *missing = missing.saturating_sub(rect.area());
                if *missing > 0 {
                    return Ok(None);
                }
                let pixels = std::mem::take(pixels);
                self.picture = Picture::Complete(size);
                Ok(Some(SourceEvent::Lit { size, pixels, memory: None }))
            }
            Picture::Unknown | Picture::Complete(_) => {
                Ok(Some(SourceEvent::Painted { x, y, size: part_size, pixels: part }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ::vnc::{Rect as WireRect, Screen};

    use super::*;

    fn sized(width: u16, height: u16) -> VncEvent {
        VncEvent::SetResolution(Screen { width, height })
    }

    fn part(x: u16, y: u16, width: u16, height: u16, value: u8) -> VncEvent {
        let pixels = [value, value, value, 0].repeat(usize::from(width) * usize::from(height));
        VncEvent::RawImage(WireRect { x, y, width, height }, pixels)
    }

    fn asked(assembly: &mut Assembly) -> Option<&'static str> {
        assembly.request().map(|request| match request {
            X11Event::Refresh => "changes",
            X11Event::FullRefresh => "everything",
            _ => "something else",
        })
    }

    #[test]
    fn a_picture_is_shown_when_all_its_pixels_have_come_and_not_before() {
        let mut assembly = Assembly::new();
        assert!(assembly.handle(sized(4, 2)).unwrap().is_none());
        assert_eq!(asked(&mut assembly), None, "the greeting has asked");
        assert!(assembly.handle(part(0, 0, 4, 1, 1)).unwrap().is_none());
        let Some(SourceEvent::Lit { size, pixels, memory: None }) =
            assembly.handle(part(0, 1, 4, 1, 2)).unwrap()
        else {
            panic!("the picture is whole");
        };
        assert_eq!(size, Size::new(4, 2).unwrap());
        assert_eq!(pixels, [[1, 1, 1, 255].repeat(4), [2, 2, 2, 255].repeat(4)].concat());
        assert_eq!(asked(&mut assembly), Some("changes"));
        assert_eq!(asked(&mut assembly), None, "one request is under way");
    }

    #[test]
    fn a_rectangle_of_a_whole_picture_is_a_change() {
        let mut assembly = Assembly::new();
        assembly.handle(sized(4, 2)).unwrap();
        assembly.handle(part(0, 0, 4, 2, 1)).unwrap();
        let change = assembly.handle(part(2, 1, 1, 1, 9)).unwrap();
        assert!(
            matches!(&change, Some(SourceEvent::Painted { x: 2, y: 1, pixels, .. }) if *pixels == [9, 9, 9, 255]),
            "{change:?}"
        );
    }

    #[test]
    fn another_size_asks_for_everything_and_waits_for_it() {
        let mut assembly = Assembly::new();
        assembly.handle(sized(4, 2)).unwrap();
        assembly.handle(part(0, 0, 4, 2, 1)).unwrap();
        assembly.handle(sized(2, 2)).unwrap();
        assert_eq!(asked(&mut assembly), Some("everything"));
        assert!(assembly.handle(part(0, 0, 2, 1, 3)).unwrap().is_none());
        assert!(matches!(assembly.handle(part(0, 1, 2, 1, 3)).unwrap(), Some(SourceEvent::Lit { .. })));
    }

    #[test]
    fn what_a_server_may_not_send_is_refused_by_name() {
        let refused = |events: Vec<VncEvent>| {
            let mut assembly = Assembly::new();
            events.into_iter().map(|event| assembly.handle(event)).last().unwrap().unwrap_err()
        };
        assert_eq!(refused(vec![sized(0, 2)]), RefusedUpdate::Size { width: 0, height: 2 });
        assert_eq!(refused(vec![sized(9000, 2)]), RefusedUpdate::Size { width: 9000, height: 2 });
        assert_eq!(refused(vec![part(0, 0, 1, 1, 1)]), RefusedUpdate::Rectangle);
        assert_eq!(refused(vec![sized(4, 2), part(3, 0, 2, 1, 1)]), RefusedUpdate::Rectangle);
        assert_eq!(refused(vec![sized(4, 2), part(0, 65_535, 4, 1, 1)]), RefusedUpdate::Rectangle);
        let rect = WireRect { x: 0, y: 0, width: 4, height: 2 };
        assert_eq!(
            refused(vec![sized(4, 2), VncEvent::RawImage(rect, vec![0; 31])]),
            RefusedUpdate::Rectangle
        );
        assert_eq!(refused(vec![sized(4, 2), VncEvent::Copy(rect, rect)]), RefusedUpdate::Unasked);
        assert_eq!(refused(vec![sized(4, 2), VncEvent::JpegImage(rect, Vec::new())]), RefusedUpdate::Unasked);
    }
}
