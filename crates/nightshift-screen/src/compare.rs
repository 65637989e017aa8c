//! What differs between two frames.

use crate::frame::Frame;
use crate::geometry::{Rect, Size};

/// What differs between two frames of the same size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Difference {
    /// The smallest rectangle that holds every pixel that differs; `None` when none does.
    pub changed: Option<Rect>,
    /// The share of pixels that differ, 0 to 1.
    pub share: f64,
}

/// Frames of different sizes have no pixels in common to compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {before} cannot be compared with one of {after}")]
pub struct SizesDiffer {
    /// The size of the first frame.
    pub before: Size,
    /// The size of the second.
    pub after: Size,
}

/// Compares two frames pixel by pixel; a pixel differs when any of its three colours does.
pub fn compare(before: &Frame, after: &Frame) -> Result<Difference, SizesDiffer> {
    let size = before.size();
    if size != after.size() {
        return Err(SizesDiffer { before: size, after: after.size() });
    }
    let mut changed: Option<Rect> = None;
    let mut differing = 0u64;
    let whole = Rect::whole(size);
    for (y, (old, new)) in (0..).zip(before.rows(whole).zip(after.rows(whole))) {
        // Most rows of most pairs are the same, and equal bytes are found much faster than different pixels.
        if old == new {
            continue;
        }
        let pixels = old.chunks_exact(4).zip(new.chunks_exact(4));
        let columns = (0..).zip(pixels).filter(|(_, (old, new))| old[..3] != new[..3]).map(|(x, _)| x);
        let mut ends: Option<(u32, u32)> = None;
        for x in columns {
            differing += 1;
            ends = Some((ends.map_or(x, |(first, _)| first), x));
        }
        if let Some(row) = ends.and_then(|(first, last)| Rect::new(first, y, last - first + 1, 1)) {
            changed = Some(changed.map_or(row, |rect| rect.union(row)));
        }
    }
    Ok(Difference { changed, share: differing as f64 / whole.area() as f64 })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(width: u32, height: u32, different: &[(u32, u32)]) -> Frame {
        let mut pixels = vec![255; (width * height * 4) as usize];
        for (x, y) in different {
            pixels[((y * width + x) * 4 + 1) as usize] = 0;
        }
        Frame::new(Size::new(width, height).unwrap(), 0, pixels).unwrap()
    }

    #[test]
    fn equal_frames_differ_nowhere() {
        let same = compare(&frame(9, 5, &[(1, 1)]), &frame(9, 5, &[(1, 1)]));
        assert_eq!(same, Ok(Difference { changed: None, share: 0.0 }));
    }

    #[test]
    fn the_changed_rectangle_holds_both_corners() {
        let difference = compare(&frame(10, 10, &[]), &frame(10, 10, &[(2, 3), (7, 5)]));
        assert_eq!(difference, Ok(Difference { changed: Rect::new(2, 3, 6, 3), share: 0.02 }));
    }

    #[test]
    fn frames_of_different_sizes_are_refused() {
        let (before, after) = (Size::new(2, 2).unwrap(), Size::new(2, 3).unwrap());
        assert_eq!(compare(&frame(2, 2, &[]), &frame(2, 3, &[])), Err(SizesDiffer { before, after }));
    }

    proptest! {
        #[test]
        fn every_changed_pixel_is_in_the_rectangle(points in prop::collection::hash_set((0..30u32, 0..20u32), 1..9)) {
            let points: Vec<_> = points.into_iter().collect();
            let difference = compare(&frame(30, 20, &[]), &frame(30, 20, &points)).unwrap();
            let changed = difference.changed.unwrap();
            for (x, y) in &points {
                prop_assert!(changed.contains(Rect::new(*x, *y, 1, 1).unwrap()));
            }
            prop_assert!((difference.share * 600.0 - points.len() as f64).abs() < 1e-6);
        }
    }
}
