//! Writes the pixels of an update.

use super::pacing::Plan;
use super::wire::{Encoding, Tile, Update};
use crate::frame::Frame;

/// JPEG's quality: letters stay readable while they move, and are sent again without loss when they rest.
const QUALITY: u8 = 80;

/// An update could not be encoded.
#[derive(Debug, thiserror::Error)]
pub(super) enum PixelError {
    #[error(transparent)]
    Png(#[from] crate::EncodeError),
    #[error("the frame could not be encoded as JPEG")]
    Jpeg(#[from] jpeg_encoder::EncodingError),
}

/// Puts an update together from the frames of its rectangles.
pub(super) fn update(plan: &Plan, frames: &[Frame], taken_ms: f64) -> Result<Update, PixelError> {
    let tiles = plan
        .rects
        .iter()
        .zip(frames)
        .map(|(rect, frame)| {
            let bytes = match plan.encoding {
                Encoding::Raw => frame.rgba(),
                Encoding::Png => frame.encode_png()?,
                Encoding::Jpeg => jpeg(frame, QUALITY)?,
            };
            Ok(Tile { rect: *rect, encoding: plan.encoding, bytes })
        })
        .collect::<Result<_, PixelError>>()?;
    Ok(Update {
        sequence: plan.sequence,
        size: plan.size,
        key_frame: plan.key_frame,
        lossless: plan.lossless,
        taken_ms,
        tiles,
    })
}

/// A frame as a JPEG file.
pub(super) fn jpeg(frame: &Frame, quality: u8) -> Result<Vec<u8>, jpeg_encoder::EncodingError> {
    let mut file = Vec::with_capacity(frame.pixels().len() / 16);
    // Sides are at most 8192.
    let side = |pixels: u32| u16::try_from(pixels).unwrap_or(u16::MAX);
    jpeg_encoder::Encoder::new(&mut file, quality).encode(
        frame.pixels(),
        side(frame.size().width()),
        side(frame.size().height()),
        jpeg_encoder::ColorType::Bgra,
    )?;
    Ok(file)
}
