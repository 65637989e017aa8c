//! The picture as it is now, and what really changes in it when a source says that it changed.
//!
//! Sources say more than changes: a desktop whose driver transfers whole screens reports the whole screen for one typed
//! letter, and QEMU redraws a text cursor thirty times a second whether or not it blinks. So every report is
//! compared with what was there. What is the same is no change: a screen that is only repainted has settled, and a
//! live view sends the one tile that differs.

use std::io;

use crate::activity::TILE;
use crate::geometry::{Rect, Size};
use crate::memory::SharedPicture;
use crate::source::SourceEvent;

/// The picture as it is now.
#[derive(Debug)]
pub(crate) enum Picture {
    /// There is none.
    Dark,
    /// There is one.
    Lit {
        /// Its size.
        size: Size,
        /// Its pixels as they were last looked at: blue, green, red, 255.
        pixels: Vec<u8>,
        /// Where its source keeps writing it, if it shares that.
        memory: Option<SharedPicture>,
    },
}

/// What became of the picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// It is a whole new one of that size.
    Lit(Size),
    /// It differs there: at most one rectangle a tile, none empty.
    Changed(Vec<Rect>),
    /// It went dark.
    Darkened,
    /// There will be no other, for that reason.
    Ended(String),
    /// It may differ there: [`Picture::look`] will tell.
    Unseen(Rect),
    /// Nothing: it is the same, or what was said does not fit it.
    None,
}

impl Picture {
    /// Takes over what the source said.
    pub(crate) fn apply(&mut self, event: SourceEvent) -> Change {
        match (event, &mut *self) {
            (SourceEvent::Lit { size, pixels, memory }, _) => {
                *self = Self::Lit { size, pixels, memory };
                Change::Lit(size)
            }
            (SourceEvent::SharedChanged(wire), Self::Lit { size, memory: Some(_), .. }) => {
                Rect::clipped(wire, *size).map_or(Change::None, Change::Unseen)
            }
            (
                SourceEvent::Painted { x, y, size: part, pixels: new },
                Self::Lit { size, pixels, memory: None },
            ) => match Rect::new(x, y, part.width(), part.height()).map(|rect| rect.on(*size)) {
                Some(Ok(rect)) => {
                    let mut changed = Vec::new();
                    let bytes = rect.width() as usize * 4;
                    for band in bands(rect) {
                        let rows = (band.y() - rect.y()) as usize..(band.bottom() - rect.y()) as usize;
                        replace(
                            pixels,
                            *size,
                            band,
                            &new[rows.start * bytes..rows.end * bytes],
                            &mut changed,
                        );
                    }
                    Change::of(changed)
                }
                Some(Err(_)) | None => Change::None,
            },
            // Late words about a picture that has been replaced.
            (SourceEvent::SharedChanged(_), Self::Dark | Self::Lit { memory: None, .. })
            | (SourceEvent::Painted { .. }, Self::Dark | Self::Lit { memory: Some(_), .. }) => Change::None,
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

    /// Looks what the source has really changed in `rect`, which lies in the picture.
    pub(crate) fn look(&mut self, rect: Rect) -> io::Result<Change> {
        let Self::Lit { size, pixels, memory: Some(memory) } = self else { return Ok(Change::None) };
        let mut changed = Vec::new();
        // Band by band in the same buffer: what was just read is still in the processor's cache when it is compared,
        // and the largest screen needs no second copy of itself.
        let mut buffer = Vec::new();
        for band in bands(rect) {
            memory.copy_into(band, &mut buffer)?;
            replace(pixels, *size, band, &buffer, &mut changed);
        }
        Ok(Change::of(changed))
    }

    /// Copies the pixels of `rect`, which lies in the picture; `None` when there is none.
    pub(crate) fn copy(&self, rect: Rect) -> Option<Vec<u8>> {
        let Self::Lit { size, pixels, .. } = self else { return None };
        if rect == Rect::whole(*size) {
            return Some(pixels.clone());
        }
        let columns = rect.x() as usize * 4..rect.right() as usize * 4;
        let rows = pixels.chunks_exact(size.width() as usize * 4).skip(rect.y() as usize);
        let mut copied = Vec::with_capacity(rect.area() as usize * 4);
        for row in rows.take(rect.height() as usize) {
            copied.extend_from_slice(&row[columns.clone()]);
        }
        Some(copied)
    }
}

impl Change {
    fn of(changed: Vec<Rect>) -> Self {
        if changed.is_empty() { Self::None } else { Self::Changed(changed) }
    }
}

/// Divides a rectangle where a row of tiles ends.
fn bands(rect: Rect) -> impl Iterator<Item = Rect> {
    (rect.y() / TILE..rect.bottom().div_ceil(TILE)).filter_map(move |row| {
        let (top, bottom) = (rect.y().max(row * TILE), rect.bottom().min((row + 1) * TILE));
        Rect::new(rect.x(), top, rect.width(), bottom - top)
    })
}

/// Writes `new` into the part of `pixels` that `band` names, all of it in one row of tiles, and adds to `changed` a
/// rectangle for each tile in which a pixel differed.
fn replace(pixels: &mut [u8], size: Size, band: Rect, new: &[u8], changed: &mut Vec<Rect>) {
    let columns = band.x() as usize * 4..band.right() as usize * 4;
    let rows = pixels.chunks_exact_mut(size.width() as usize * 4).skip(band.y() as usize);
    // The changed columns and rows of each tile that the band touches: left, right, top, bottom.
    let first = band.x() / TILE;
    let mut tiles: Vec<Option<[u32; 4]>> = vec![None; (band.right().div_ceil(TILE) - first) as usize];
    for ((y, row), new) in (band.y()..).zip(rows).zip(new.chunks_exact(band.width() as usize * 4)) {
        let old = &mut row[columns.clone()];
        if old == new {
            continue;
        }
        for (tile, seen) in (first..).zip(&mut tiles) {
            let (left, right) = (band.x().max(tile * TILE), band.right().min((tile + 1) * TILE));
            let part = (left - band.x()) as usize * 4..(right - band.x()) as usize * 4;
            let pairs = || old[part.clone()].chunks_exact(4).zip(new[part.clone()].chunks_exact(4));
            if let Some(first) = pairs().position(|(old, new)| old != new) {
                let last = pairs().rposition(|(old, new)| old != new).unwrap_or(first);
                // A tile has 64 columns.
                let (from, to) = (left + first as u32, left + last as u32 + 1);
                let [left, right, top, _] = seen.unwrap_or([from, to, y, y]);
                *seen = Some([left.min(from), right.max(to), top, y + 1]);
            }
        }
        old.copy_from_slice(new);
    }
    let rects = tiles.into_iter().flatten();
    changed.extend(
        rects.filter_map(|[left, right, top, bottom]| Rect::new(left, top, right - left, bottom - top)),
    );
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::geometry::WireRect;

    fn size(width: u32, height: u32) -> Size {
        Size::new(width, height).unwrap()
    }

    fn rect(x: u32, y: u32, width: u32, height: u32) -> Rect {
        Rect::new(x, y, width, height).unwrap()
    }

    fn lit(width: u32, height: u32, value: u8) -> Picture {
        let pixels = vec![value; (width * height * 4) as usize];
        Picture::Lit { size: size(width, height), pixels, memory: None }
    }

    fn part(x: u32, y: u32, width: u32, height: u32, value: u8) -> SourceEvent {
        let pixels = vec![value; (width * height * 4) as usize];
        SourceEvent::Painted { x, y, size: size(width, height), pixels }
    }

    #[test]
    fn a_part_is_painted_where_it_belongs() {
        let mut picture = lit(4, 3, 0);
        assert_eq!(picture.apply(part(1, 1, 2, 2, 9)), Change::Changed(vec![rect(1, 1, 2, 2)]));
        assert_eq!(picture.copy(rect(1, 1, 2, 2)).unwrap(), [9; 16]);
        let nines = picture.copy(rect(0, 0, 4, 3)).unwrap().iter().filter(|byte| **byte == 9).count();
        assert_eq!(nines, 16);
    }

    #[test]
    fn painting_the_same_again_is_no_change() {
        let mut picture = lit(200, 200, 7);
        assert_eq!(picture.apply(part(10, 10, 100, 100, 7)), Change::None);
    }

    #[test]
    fn each_tile_tells_its_own_change_and_no_more() {
        let mut picture = lit(200, 200, 0);
        picture.apply(part(0, 0, 200, 200, 5));
        picture.apply(part(60, 60, 10, 1, 6));
        // The whole is painted anew, and differs where the stripe was: over two tiles in one row of them.
        let change = picture.apply(part(0, 0, 200, 200, 5));
        assert_eq!(change, Change::Changed(vec![rect(60, 60, 4, 1), rect(64, 60, 6, 1)]));
    }

    #[test]
    fn a_part_that_is_not_on_the_picture_changes_nothing() {
        let mut picture = lit(4, 3, 0);
        for (x, y) in [(3, 0), (0, 2), (u32::MAX, 0)] {
            assert_eq!(picture.apply(part(x, y, 2, 2, 9)), Change::None, "({x}, {y})");
        }
        assert_eq!(picture.copy(rect(0, 0, 4, 3)).unwrap(), [0; 48]);
    }

    #[test]
    fn words_about_a_picture_that_is_gone_change_nothing() {
        let mut picture = Picture::Dark;
        let wire = WireRect { x: 0, y: 0, width: 1, height: 1 };
        assert_eq!(picture.apply(SourceEvent::SharedChanged(wire)), Change::None);
        assert_eq!(picture.apply(part(0, 0, 1, 1, 1)), Change::None);
        picture = lit(4, 3, 0);
        assert_eq!(picture.apply(SourceEvent::SharedChanged(wire)), Change::None);
        assert_eq!(picture.apply(SourceEvent::Dark), Change::Darkened);
        assert_eq!(picture.copy(rect(0, 0, 4, 3)), None);
    }

    proptest! {
        #[test]
        fn exactly_the_pixels_that_differ_are_within_what_is_told(
            points in prop::collection::hash_set((0..150u32, 0..140u32), 0..12),
        ) {
            let mut picture = lit(150, 140, 0);
            let mut pixels = vec![0; 150 * 140 * 4];
            for (x, y) in &points {
                pixels[((y * 150 + x) * 4) as usize] = 1;
            }
            let event = SourceEvent::Painted { x: 0, y: 0, size: size(150, 140), pixels };
            let told = match picture.apply(event) {
                Change::Changed(rects) => rects,
                other => { prop_assert_eq!(other, Change::None); Vec::new() }
            };
            for (x, y) in &points {
                prop_assert_eq!(told.iter().filter(|told| told.contains(rect(*x, *y, 1, 1))).count(), 1);
            }
            for told in told {
                prop_assert_eq!((told.x() / TILE, told.y() / TILE), ((told.right() - 1) / TILE, (told.bottom() - 1) / TILE));
                // Each edge has a pixel that differs: nothing smaller would do.
                let within = |x: u32, y: u32| told.contains(rect(x, y, 1, 1));
                for edge in [told.x(), told.right() - 1] {
                    prop_assert!(points.iter().any(|(x, y)| *x == edge && within(*x, *y)));
                }
                for edge in [told.y(), told.bottom() - 1] {
                    prop_assert!(points.iter().any(|(x, y)| *y == edge && within(*x, *y)));
                }
            }
        }
    }
}
