//! A small picture of the screen, for walls of many.

use super::encode::jpeg;
use crate::frame::Frame;
use crate::geometry::Size;

/// JPEG's quality of small pictures, which nobody reads.
const QUALITY: u8 = 72;

/// Makes a JPEG of the frame, scaled down by a whole number so that it is at most `width` wide, by the mean of the
/// pixels. Returns `None` when it cannot be encoded.
pub fn thumbnail(frame: &Frame, width: u32) -> Option<Vec<u8>> {
    let factor = frame.size().width().div_ceil(width.max(16));
    jpeg(&scaled(frame, factor)?, QUALITY).ok()
}

/// Each pixel the mean of a square of `factor` by `factor`; what is left over at the right and lower edge is dropped.
fn scaled(frame: &Frame, factor: u32) -> Option<Frame> {
    let from = frame.size();
    if factor <= 1 {
        return Some(frame.clone());
    }
    let size = Size::new(from.width() / factor, from.height() / factor)?;
    let row = from.width() as usize * 4;
    let side = factor as usize;
    let mut pixels = Vec::with_capacity(size.bytes());
    for y in 0..size.height() as usize {
        for x in 0..size.width() as usize {
            let mut sums = [0_u32; 3];
            for line in 0..side {
                let at = (y * side + line) * row + x * side * 4;
                for pixel in frame.pixels()[at..at + side * 4].chunks_exact(4) {
                    for (sum, part) in sums.iter_mut().zip(pixel) {
                        *sum += u32::from(*part);
                    }
                }
            }
            // A mean of bytes is a byte.
            pixels.extend(sums.map(|sum| (sum / (factor * factor)) as u8));
            pixels.push(255);
        }
    }
    Some(Frame::of(size, frame.generation(), pixels))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Point;

    #[test]
    fn a_pixel_of_the_small_picture_is_the_mean_of_its_square() {
        let size = Size::new(5, 2).unwrap();
        let row = [[0, 0, 0, 255], [100, 0, 40, 255], [9, 9, 9, 255], [9, 9, 9, 255], [1, 1, 1, 255]];
        let frame = Frame::new(size, 3, [row.concat(), row.concat()].concat()).unwrap();
        let small = scaled(&frame, 2).unwrap();
        assert_eq!(small.size(), Size::new(2, 1).unwrap());
        assert_eq!(small.colour(Point::new(0, 0)), Ok([20, 0, 50]));
        assert_eq!(small.colour(Point::new(1, 0)), Ok([9, 9, 9]));
    }

    #[test]
    fn a_thumbnail_is_a_jpeg_and_a_screen_smaller_than_the_square_has_none() {
        let frame = Frame::new(Size::new(640, 400).unwrap(), 1, vec![128; 640 * 400 * 4]).unwrap();
        assert!(thumbnail(&frame, 320).unwrap().starts_with(&[0xff, 0xd8, 0xff]));
        assert_eq!(scaled(&Frame::new(Size::new(1, 1).unwrap(), 1, vec![0; 4]).unwrap(), 2), None);
    }
}
