//! Pictures before they leave the machine: their text is read, and what looks like a secret is masked.
//!
//! What is on a screen is only known by looking at it. A program reads the picture (Tesseract, where it is
//! installed), and every word that may be a secret, or be part of one that was misread, is covered. A picture that
//! cannot be read does not leave the machine. See docs/decisions on what this can and cannot do.

mod evened;
mod mask;
mod pixels;
mod reader;
mod recording;
mod video;

use bytes::Bytes;
use nightshift_forge::secrets::Redactor;

pub use mask::secret_areas;
pub use pixels::{Area, Pixels};
pub use reader::{ReadWord, ScreenReader, UnreadablePicture};
pub(crate) use recording::{RecordingFrame, record};
pub(crate) use video::VideoMaker;

/// How often the picture is enlarged before it is read: small letters are read better large, large ones small.
const SCALES: [u32; 3] = [1, 2, 3];

/// A picture without what looks like a secret.
#[derive(Debug)]
pub struct CleanPicture {
    /// The picture.
    pub pixels: Pixels,
    /// The areas that were covered.
    pub covered: Vec<Area>,
}

/// Reads a picture and covers what looks like a secret.
///
/// # Errors
///
/// [`UnreadablePicture`] when the picture is none or the program that reads fails: then it is not known to be clean.
pub async fn clean(
    png: &Bytes,
    reader: &ScreenReader,
    redactor: &Redactor,
) -> Result<CleanPicture, UnreadablePicture> {
    let mut pixels = Pixels::decode(png)?;
    let mut covered = Vec::new();
    for scale in SCALES {
        let words = reader.read(&pixels, scale).await?;
        covered.extend(secret_areas(&words, redactor));
    }
    covered.sort_unstable();
    covered.dedup();
    covered.iter().for_each(|area| pixels.cover(*area));
    Ok(CleanPicture { pixels, covered })
}
