//! The binary form of an update; `docs/live-screen.md` describes it for those who write a viewer.
//!
//! All numbers are little-endian.
//!
//! ```text
//!   0  u8   1: an update             12  u16  width of the screen
//!   1  u8   bit 0: key frame         14  u16  height
//!           bit 1: no loss is left   16  f64  milliseconds since 1970, when it was taken
//!   2  u16  number of rectangles     24  …    the rectangles
//!   4  u32  sequence, to acknowledge
//!   8  u32  0
//!
//!   rectangle: u16 x, u16 y, u16 width, u16 height, u8 encoding, u8[3] 0, u32 length, then the bytes
//! ```

use crate::geometry::{Rect, Size};

/// Bytes before the first rectangle.
pub const HEADER: usize = 24;

/// Bytes before a rectangle's pixels.
pub const RECT_HEADER: usize = 16;

/// The number of the message: there may be others one day.
const UPDATE: u8 = 1;

const KEY_FRAME: u8 = 1;
const LOSSLESS: u8 = 2;

/// How the pixels of a rectangle are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Red, green, blue, 255, in rows from the top.
    Raw,
    /// A PNG file.
    Png,
    /// A JPEG file.
    Jpeg,
}

/// A rectangle with its pixels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tile {
    /// Where it goes.
    pub rect: Rect,
    /// How the pixels are written.
    pub encoding: Encoding,
    /// The pixels.
    pub bytes: Vec<u8>,
}

/// What changed on the screen since the update before.
#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    /// Counted from 1, to be acknowledged.
    pub sequence: u32,
    /// The screen's size.
    pub size: Size,
    /// Whether the whole screen is in it: what was shown before does not matter.
    pub key_frame: bool,
    /// Whether the viewer's picture is exactly the screen's after it.
    pub lossless: bool,
    /// When the pixels were taken, in milliseconds since 1970.
    pub taken_ms: f64,
    /// The changed rectangles; drawn in this order.
    pub tiles: Vec<Tile>,
}

/// Bytes are no update.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// They end too early.
    #[error("the message ends in the middle")]
    Short,
    /// They are of another kind or have an encoding that is not known.
    #[error("the message has a number {0} that is not known")]
    Unknown(u8),
    /// A rectangle is empty or not on the screen, or the screen has no size.
    #[error("the message names a place that is not on the screen")]
    Outside,
    /// There are bytes after the last rectangle.
    #[error("the message has {0} bytes too many")]
    Long(usize),
}

impl Update {
    /// Writes it.
    pub fn encode(&self) -> Vec<u8> {
        let pixels: usize = self.tiles.iter().map(|tile| RECT_HEADER + tile.bytes.len()).sum();
        let mut bytes = Vec::with_capacity(HEADER + pixels);
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        bytes.extend([UPDATE, flag(self.key_frame, KEY_FRAME) | flag(self.lossless, LOSSLESS)]);
        bytes.extend(short(self.tiles.len() as u64));
        bytes.extend(self.sequence.to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(short(self.size.width().into()));
        bytes.extend(short(self.size.height().into()));
        bytes.extend(self.taken_ms.to_le_bytes());
        for tile in &self.tiles {
            for side in [tile.rect.x(), tile.rect.y(), tile.rect.width(), tile.rect.height()] {
                bytes.extend(short(side.into()));
            }
            let encoding = match tile.encoding {
                Encoding::Raw => 0,
                Encoding::Png => 1,
                Encoding::Jpeg => 2,
            };
            bytes.extend([encoding, 0, 0, 0]);
            bytes.extend(u32::try_from(tile.bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
            bytes.extend(&tile.bytes);
        }
        bytes
    }

    /// Reads one.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut rest = Rest(bytes);
        let [kind, flags] = rest.take()?;
        if kind != UPDATE {
            return Err(DecodeError::Unknown(kind));
        }
        let count = u16::from_le_bytes(rest.take()?);
        let sequence = u32::from_le_bytes(rest.take()?);
        let _zero: [u8; 4] = rest.take()?;
        let (width, height) = (u16::from_le_bytes(rest.take()?), u16::from_le_bytes(rest.take()?));
        let size = Size::new(width.into(), height.into()).ok_or(DecodeError::Outside)?;
        let taken_ms = f64::from_le_bytes(rest.take()?);
        let mut tiles = Vec::new();
        for _ in 0..count {
            tiles.push(rest.tile(size)?);
        }
        if !rest.0.is_empty() {
            return Err(DecodeError::Long(rest.0.len()));
        }
        let (key_frame, lossless) = (flags & KEY_FRAME != 0, flags & LOSSLESS != 0);
        Ok(Self { sequence, size, key_frame, lossless, taken_ms, tiles })
    }
}

/// Sides are at most 8192 and rectangles at most some hundred, so nothing is cut.
fn short(number: u64) -> [u8; 2] {
    u16::try_from(number).unwrap_or(u16::MAX).to_le_bytes()
}

/// What is not read yet.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(DecodeError::Short)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn tile(&mut self, size: Size) -> Result<Tile, DecodeError> {
        let mut sides = [0_u32; 4];
        for side in &mut sides {
            *side = u16::from_le_bytes(self.take()?).into();
        }
        let [x, y, width, height] = sides;
        let rect = Rect::new(x, y, width, height).and_then(|rect| rect.on(size).ok());
        let rect = rect.ok_or(DecodeError::Outside)?;
        let [encoding, _, _, _] = self.take()?;
        let encoding = match encoding {
            0 => Encoding::Raw,
            1 => Encoding::Png,
            2 => Encoding::Jpeg,
            unknown => return Err(DecodeError::Unknown(unknown)),
        };
        let length = u32::from_le_bytes(self.take()?) as usize;
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(DecodeError::Short)?;
        self.0 = rest;
        Ok(Tile { rect, encoding, bytes: bytes.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn update() -> Update {
        let tile = |x, encoding, bytes: &[u8]| Tile {
            rect: Rect::new(x, 2, 3, 1).unwrap(),
            encoding,
            bytes: bytes.to_vec(),
        };
        Update {
            sequence: 7,
            size: Size::new(1280, 800).unwrap(),
            key_frame: true,
            lossless: false,
            taken_ms: 1_764_000_000_000.5,
            tiles: vec![tile(0, Encoding::Raw, &[9; 12]), tile(1277, Encoding::Jpeg, b"jpeg")],
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_description() {
        let bytes = update().encode();
        assert_eq!(bytes[..16], [1, 1, 2, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0x00, 0x05, 0x20, 0x03]);
        assert_eq!(bytes[16..24], 1_764_000_000_000.5_f64.to_le_bytes());
        assert_eq!(bytes[24..40], [0, 0, 2, 0, 3, 0, 1, 0, 0, 0, 0, 0, 12, 0, 0, 0]);
        assert_eq!(bytes.len(), HEADER + 2 * RECT_HEADER + 12 + 4);
    }

    #[test]
    fn an_update_is_read_as_it_was_written() {
        assert_eq!(Update::decode(&update().encode()), Ok(update()));
    }

    #[test]
    fn what_is_cut_or_too_long_or_outside_is_refused() {
        let bytes = update().encode();
        for length in 0..bytes.len() {
            assert_eq!(Update::decode(&bytes[..length]), Err(DecodeError::Short), "{length}");
        }
        let mut long = bytes.clone();
        long.push(0);
        assert_eq!(Update::decode(&long), Err(DecodeError::Long(1)));
        let mut outside = bytes.clone();
        outside[24] = 0xfe;
        outside[25] = 0x04;
        assert_eq!(Update::decode(&outside), Err(DecodeError::Outside));
        let mut unknown = bytes;
        unknown[32] = 9;
        assert_eq!(Update::decode(&unknown), Err(DecodeError::Unknown(9)));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _read_or_refused = Update::decode(&bytes);
        }
    }
}
