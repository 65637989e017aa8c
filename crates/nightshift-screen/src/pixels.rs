//! Pixel formats and the layout of a picture in memory somebody else wrote.
//!
//! Frames hold one format: four bytes a pixel, blue, green, red, 255. Whatever a peer says about its memory is
//! checked here before a byte is read.

use std::io;

use crate::geometry::{MAX_SIDE, Rect, Size};

/// The most bytes from one row to the next: twice a row of the largest screen.
const MAX_STRIDE: u32 = MAX_SIDE * 4 * 2;

/// A peer described a picture that cannot be, or that we do not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RefusedPicture {
    #[error("a picture of {width}x{height} is empty or larger than {MAX_SIDE}x{MAX_SIDE}")]
    Size { width: u32, height: u32 },
    #[error("the pixel format {0:#x} is not known")]
    Format(u32),
    #[error("rows of {stride} bytes do not fit pixels of {bytes} bytes {width} times")]
    Stride { stride: u32, width: u32, bytes: u32 },
    #[error("the picture ends at byte {needed} of {available}")]
    Beyond { needed: u64, available: u64 },
    #[error("the file is no shared memory")]
    NotMemory,
    #[error("the picture could not be read")]
    Unreadable,
    #[error("the rectangle is not on the screen")]
    Misplaced,
}

/// How a pixel is stored. Names follow pixman: from the most significant bits of a little-endian word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PixelFormat {
    /// Bytes blue, green, red, unused or alpha.
    Bgrx,
    /// Bytes red, green, blue, unused or alpha.
    Rgbx,
    /// Bytes unused or alpha, red, green, blue.
    Xrgb,
    /// Bytes unused or alpha, blue, green, red.
    Xbgr,
    /// Bytes blue, green, red.
    Bgr,
    /// Two bytes: five bits of red, six of green, five of blue.
    Rgb565,
    /// Two bytes: one unused bit, five bits of red, five of green, five of blue.
    Rgb555,
}

impl PixelFormat {
    /// Reads a `pixman_format_code_t` (pixman.h: bits per pixel, type, then bits of alpha, red, green, blue).
    fn from_pixman(code: u32) -> Result<Self, RefusedPicture> {
        match code {
            0x2002_0888 | 0x2002_8888 => Ok(Self::Bgrx),
            0x2003_0888 | 0x2003_8888 => Ok(Self::Rgbx),
            0x2008_0888 | 0x2008_8888 => Ok(Self::Xrgb),
            0x2009_0888 | 0x2009_8888 => Ok(Self::Xbgr),
            0x1802_0888 => Ok(Self::Bgr),
            0x1002_0565 => Ok(Self::Rgb565),
            0x1002_0555 | 0x1002_1555 => Ok(Self::Rgb555),
            unknown => Err(RefusedPicture::Format(unknown)),
        }
    }

    /// Bytes a pixel.
    pub(crate) fn bytes(self) -> u32 {
        match self {
            Self::Bgrx | Self::Rgbx | Self::Xrgb | Self::Xbgr => 4,
            Self::Bgr => 3,
            Self::Rgb565 | Self::Rgb555 => 2,
        }
    }

    /// Writes the pixels of `from` into `to` as blue, green, red, 255.
    fn convert(self, from: &[u8], to: &mut [u8]) {
        let pixels = from.chunks_exact(self.bytes() as usize).zip(to.chunks_exact_mut(4));
        match self {
            Self::Bgrx => pixels.for_each(|(f, t)| t.copy_from_slice(&[f[0], f[1], f[2], 255])),
            Self::Rgbx => pixels.for_each(|(f, t)| t.copy_from_slice(&[f[2], f[1], f[0], 255])),
            Self::Xrgb => pixels.for_each(|(f, t)| t.copy_from_slice(&[f[3], f[2], f[1], 255])),
            Self::Xbgr => pixels.for_each(|(f, t)| t.copy_from_slice(&[f[1], f[2], f[3], 255])),
            Self::Bgr => pixels.for_each(|(f, t)| t.copy_from_slice(&[f[0], f[1], f[2], 255])),
            Self::Rgb565 => pixels.for_each(|(f, t)| {
                let word = u16::from_le_bytes([f[0], f[1]]);
                t.copy_from_slice(&[widen(word, 5), widen(word >> 5, 6), widen(word >> 11, 5), 255]);
            }),
            Self::Rgb555 => pixels.for_each(|(f, t)| {
                let word = u16::from_le_bytes([f[0], f[1]]);
                t.copy_from_slice(&[widen(word, 5), widen(word >> 5, 5), widen(word >> 10, 5), 255]);
            }),
        }
    }
}

/// Spreads the lowest `bits` (5 or 6) of `word` over a byte, so that the largest value becomes 255.
fn widen(word: u16, bits: u32) -> u8 {
    let value = word & ((1 << bits) - 1);
    (value << (8 - bits) | value >> (2 * bits - 8)) as u8
}

/// Where a picture's pixels lie in a stretch of memory that is long enough for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    size: Size,
    stride: u32,
    offset: u64,
    format: PixelFormat,
}

/// A picture as a peer described it, not yet believed. Lengths are in bytes, the format is pixman's code.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Description {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) stride: u32,
    pub(crate) offset: u64,
    pub(crate) format: u32,
}

impl Layout {
    /// Believes `description` when all its pixels lie in memory of `available` bytes.
    pub(crate) fn checked(description: Description, available: u64) -> Result<Self, RefusedPicture> {
        let Description { width, height, stride, offset, format } = description;
        let size = Size::new(width, height).ok_or(RefusedPicture::Size { width, height })?;
        let format = PixelFormat::from_pixman(format)?;
        let row = width * format.bytes();
        if stride < row || stride > MAX_STRIDE {
            return Err(RefusedPicture::Stride { stride, width, bytes: format.bytes() });
        }
        let length = u64::from(stride) * u64::from(height - 1) + u64::from(row);
        match offset.checked_add(length) {
            Some(needed) if needed <= available => Ok(Self { size, stride, offset, format }),
            Some(needed) => Err(RefusedPicture::Beyond { needed, available }),
            None => Err(RefusedPicture::Beyond { needed: u64::MAX, available }),
        }
    }

    pub(crate) fn size(&self) -> Size {
        self.size
    }

    /// Fills `pixels` with those of `rect`, which lies in the picture, as blue, green, red, 255.
    ///
    /// `read` fills a slice whole from a byte offset, or fails.
    pub(crate) fn copy(
        &self,
        rect: Rect,
        pixels: &mut Vec<u8>,
        mut read: impl FnMut(&mut [u8], u64) -> io::Result<()>,
    ) -> io::Result<()> {
        let bytes = self.format.bytes();
        let row = (rect.width() * bytes) as usize;
        let start = |y: u32| {
            self.offset + u64::from(self.stride) * u64::from(y) + u64::from(rect.x()) * u64::from(bytes)
        };
        pixels.resize(rect.area() as usize * 4, 0);
        if self.format == PixelFormat::Bgrx {
            // One read instead of hundreds: the case of a whole desktop.
            if row == self.stride as usize {
                read(pixels, start(rect.y()))?;
            } else {
                for (y, to) in (rect.y()..).zip(pixels.chunks_exact_mut(row)) {
                    read(to, start(y))?;
                }
            }
            // As whole words, which the processor does eight at a time: 0.07 ms a desktop instead of 0.55 ms.
            for pixel in pixels.as_chunks_mut::<4>().0 {
                *pixel = (u32::from_le_bytes(*pixel) | 0xff00_0000).to_le_bytes();
            }
        } else {
            let mut from = vec![0; row];
            for (y, to) in (rect.y()..).zip(pixels.chunks_exact_mut(rect.width() as usize * 4)) {
                read(&mut from, start(y))?;
                self.format.convert(&from, to);
            }
        }
        Ok(())
    }

    /// Copies the pixels of `rect` out of `memory`, of which `checked` was told the length.
    pub(crate) fn copy_from_slice(&self, rect: Rect, memory: &[u8]) -> io::Result<Vec<u8>> {
        let mut pixels = Vec::new();
        self.copy(rect, &mut pixels, |to, offset| {
            let from = usize::try_from(offset).ok().and_then(|offset| memory.get(offset..offset + to.len()));
            to.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        })?;
        Ok(pixels)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const XRGB: u32 = 0x2002_0888;

    fn description() -> Description {
        Description { width: 4, height: 2, stride: 16, offset: 0, format: XRGB }
    }

    #[test]
    fn a_picture_that_fits_its_memory_exactly_is_believed() {
        assert_eq!(Layout::checked(description(), 32).unwrap().size(), Size::new(4, 2).unwrap());
        assert_eq!(
            Layout::checked(description(), 31),
            Err(RefusedPicture::Beyond { needed: 32, available: 31 })
        );
    }

    #[test]
    fn what_cannot_be_a_picture_is_refused_by_name() {
        let refused = |change: fn(&mut Description)| {
            let mut changed = description();
            change(&mut changed);
            Layout::checked(changed, 1 << 40).unwrap_err()
        };
        assert_eq!(refused(|d| d.width = 0), RefusedPicture::Size { width: 0, height: 2 });
        assert_eq!(refused(|d| d.height = 8193), RefusedPicture::Size { width: 4, height: 8193 });
        assert_eq!(refused(|d| d.stride = 15), RefusedPicture::Stride { stride: 15, width: 4, bytes: 4 });
        assert_eq!(
            refused(|d| d.stride = u32::MAX),
            RefusedPicture::Stride { stride: u32::MAX, width: 4, bytes: 4 }
        );
        assert_eq!(refused(|d| d.format = 7), RefusedPicture::Format(7));
        assert_eq!(
            refused(|d| d.offset = u64::MAX),
            RefusedPicture::Beyond { needed: u64::MAX, available: 1 << 40 }
        );
    }

    #[test]
    fn every_format_reads_the_same_orange() {
        let orange = [0, 132, 255, 255];
        let cases: [(u32, &[u8]); 7] = [
            (0x2002_0888, &[0, 132, 255, 9]),
            (0x2002_8888, &[0, 132, 255, 0]),
            (0x2003_0888, &[255, 132, 0, 9]),
            (0x2008_0888, &[9, 255, 132, 0]),
            (0x2009_0888, &[9, 0, 132, 255]),
            (0x1802_0888, &[0, 132, 255]),
            (0x1002_0555, &(1_u16 << 15 | 31 << 10 | 16 << 5).to_le_bytes()),
        ];
        for (format, pixel) in cases {
            let stride = pixel.len() as u32;
            let layout =
                Layout::checked(Description { width: 1, height: 1, stride, offset: 0, format }, 4).unwrap();
            let copied = layout.copy_from_slice(Rect::whole(layout.size()), pixel).unwrap();
            assert_eq!(copied, orange, "{format:#x}");
        }
    }

    #[test]
    fn sixteen_bits_reach_black_and_white() {
        let words = [0_u16, 0xffff, 31 << 11 | 33 << 5];
        let memory: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let (width, format) = (3, 0x1002_0565);
        let layout =
            Layout::checked(Description { width, height: 1, stride: 6, offset: 0, format }, 6).unwrap();
        let copied = layout.copy_from_slice(Rect::whole(layout.size()), &memory).unwrap();
        assert_eq!(copied, [0, 0, 0, 255, 255, 255, 255, 255, 0, 134, 255, 255]);
    }

    #[test]
    fn a_part_is_read_row_by_row_past_the_padding() {
        let memory: Vec<u8> = (0..64).collect();
        let layout = Layout::checked(Description { stride: 20, offset: 3, ..description() }, 64).unwrap();
        let copied = layout.copy_from_slice(Rect::new(1, 0, 2, 2).unwrap(), &memory).unwrap();
        assert_eq!(copied, [7, 8, 9, 255, 11, 12, 13, 255, 27, 28, 29, 255, 31, 32, 33, 255]);
    }

    #[test]
    fn memory_that_shrank_is_an_error_and_no_panic() {
        let layout = Layout::checked(description(), 32).unwrap();
        let error = layout.copy_from_slice(Rect::whole(layout.size()), &[0; 31]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    proptest! {
        #[test]
        fn a_believed_layout_never_reads_outside_its_memory(
            width in 0..40u32, height in 0..40u32, stride in 0..200u32, offset in 0..100u64,
            format in prop::sample::select(vec![XRGB, 0x1002_0565, 0x1802_0888]), available in 0..5000usize,
        ) {
            let memory = vec![1; available];
            let description = Description { width, height, stride, offset, format };
            if let Ok(layout) = Layout::checked(description, available as u64) {
                let whole = layout.copy_from_slice(Rect::whole(layout.size()), &memory);
                prop_assert_eq!(whole.unwrap().len(), layout.size().bytes());
            }
        }
    }
}
