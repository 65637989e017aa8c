//! The picture as it is now, and what each thing a source says does to it.

use std::io;

use crate::geometry::{Rect, Size};
use crate::memory::SharedPicture;
use crate::source::SourceEvent;

/// The picture as it is now.
#[derive(Debug)]
pub(crate) enum Picture {
    /// There is none.
    Dark,
    /// It lies in memory its source shares.
    Shared(SharedPicture),
    /// Its source sent it: blue, green, red, 255.
    Painted { size: Size, pixels: Vec<u8> },
}

/// What became of the picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// It is a whole new one of that size.
    Lit(Size),
    /// It changed there.
    Changed(Rect),
    /// It went dark.
    Darkened,
    /// There will be no other, for that reason.
    Ended(String),
    /// Nothing: what was said does not fit the picture that is there.
    None,
}

impl Picture {
    /// Takes over what the source said.
    pub(crate) fn apply(&mut self, event: SourceEvent) -> Change {
        match (event, &mut *self) {
            (SourceEvent::Shared(shared), _) => {
                let size = shared.size();
                *self = Self::Shared(shared);
                Change::Lit(size)
            }
            (SourceEvent::Painted { size, pixels }, _) => {
                *self = Self::Painted { size, pixels };
                Change::Lit(size)
            }
            (SourceEvent::SharedChanged(wire), Self::Shared(shared)) => {
                Rect::clipped(wire, shared.size()).map_or(Change::None, Change::Changed)
            }
            (
                SourceEvent::PaintedChanged { x, y, size, pixels: new },
                Self::Painted { size: whole, pixels },
            ) => {
                let rect = Rect::new(x, y, size.width(), size.height());
                match rect.map(|rect| rect.on(*whole)) {
                    Some(Ok(rect)) => {
                        paint(pixels, *whole, rect, &new);
                        Change::Changed(rect)
                    }
                    Some(Err(_)) | None => Change::None,
                }
            }
            // Late words about a picture that has been replaced.
            (SourceEvent::SharedChanged(_), Self::Dark | Self::Painted { .. })
            | (SourceEvent::PaintedChanged { .. }, Self::Dark | Self::Shared(_)) => Change::None,
            (SourceEvent::Dark, _) => {
                *self = Self::Dark;
                Change::Darkened
            }
            (SourceEvent::Ended(why), _) => {
                *self = Self::Dark;
                Change::Ended(why)
            }
        }
    }

    /// Where the pixels are, for logs.
    pub(crate) fn kept(&self) -> &'static str {
        match self {
            Self::Dark => "nowhere",
            Self::Shared(_) => "in shared memory",
            Self::Painted { .. } => "here",
        }
    }

    /// Copies the pixels of `rect`, which lies in the picture.
    pub(crate) fn copy(&self, rect: Rect) -> io::Result<Vec<u8>> {
        match self {
            Self::Dark => Err(io::ErrorKind::NotFound.into()),
            Self::Shared(shared) => shared.copy(rect),
            Self::Painted { size, pixels } if rect == Rect::whole(*size) => Ok(pixels.clone()),
            Self::Painted { size, pixels } => Ok(pixels
                .chunks_exact(size.width() as usize * 4)
                .skip(rect.y() as usize)
                .take(rect.height() as usize)
                .flat_map(|row| &row[rect.x() as usize * 4..rect.right() as usize * 4])
                .copied()
                .collect()),
        }
    }
}

/// Writes the pixels of `rect` into a picture of size `whole` that holds it.
fn paint(pixels: &mut [u8], whole: Size, rect: Rect, new: &[u8]) {
    let columns = rect.x() as usize * 4..rect.right() as usize * 4;
    let rows = pixels.chunks_exact_mut(whole.width() as usize * 4).skip(rect.y() as usize);
    for (row, new) in rows.zip(new.chunks_exact(rect.width() as usize * 4)) {
        row[columns.clone()].copy_from_slice(new);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::WireRect;

    fn size(width: u32, height: u32) -> Size {
        Size::new(width, height).unwrap()
    }

    fn painted(width: u32, height: u32, value: u8) -> SourceEvent {
        SourceEvent::Painted { size: size(width, height), pixels: vec![value; (width * height * 4) as usize] }
    }

    #[test]
    fn a_part_is_painted_where_it_belongs() {
        let mut picture = Picture::Dark;
        assert_eq!(picture.apply(painted(4, 3, 0)), Change::Lit(size(4, 3)));
        let part = SourceEvent::PaintedChanged { x: 1, y: 1, size: size(2, 2), pixels: vec![9; 16] };
        let rect = Rect::new(1, 1, 2, 2).unwrap();
        assert_eq!(picture.apply(part), Change::Changed(rect));
        assert_eq!(picture.copy(rect).unwrap(), [9; 16]);
        let nines = picture.copy(Rect::whole(size(4, 3))).unwrap().iter().filter(|byte| **byte == 9).count();
        assert_eq!(nines, 16);
    }

    #[test]
    fn a_part_that_is_not_on_the_picture_changes_nothing() {
        let mut picture = Picture::Dark;
        picture.apply(painted(4, 3, 0));
        for (x, y) in [(3, 0), (0, 2), (u32::MAX, 0)] {
            let part = SourceEvent::PaintedChanged { x, y, size: size(2, 2), pixels: vec![9; 16] };
            assert_eq!(picture.apply(part), Change::None, "({x}, {y})");
        }
        assert_eq!(picture.copy(Rect::whole(size(4, 3))).unwrap(), [0; 48]);
    }

    #[test]
    fn words_about_a_picture_that_is_gone_change_nothing() {
        let mut picture = Picture::Dark;
        let wire = WireRect { x: 0, y: 0, width: 1, height: 1 };
        assert_eq!(picture.apply(SourceEvent::SharedChanged(wire)), Change::None);
        picture.apply(painted(4, 3, 0));
        assert_eq!(picture.apply(SourceEvent::SharedChanged(wire)), Change::None);
        assert_eq!(picture.apply(SourceEvent::Dark), Change::Darkened);
        assert!(picture.copy(Rect::whole(size(4, 3))).is_err());
    }
}
