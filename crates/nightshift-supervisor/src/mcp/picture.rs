//! Pictures of servers: what nobody has looked into becomes a picture that every provider takes.

use crate::delivery::pictures::Pixels;

/// The most pixels of a side: what Anthropic takes where a request has many pictures.
const LONGEST_SIDE: u32 = 2_000;

/// The most bytes of a picture: what Anthropic takes, which counts them in base64.
const MOST_BYTES: usize = 3_500_000;

/// A picture in good order, a PNG.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Picture {
    /// The file.
    pub(crate) bytes: Vec<u8>,
    /// Width in pixels.
    pub(crate) width: u32,
    /// Height in pixels.
    pub(crate) height: u32,
}

/// Reads a picture and writes it anew, smaller where it is too large; or says why not, for a sentence.
pub(crate) fn usable(bytes: &[u8], media_type: &str) -> Result<Picture, String> {
    if !bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        return Err(format!("a picture ({media_type}) is left out: only PNG can be shown"));
    }
    let pixels =
        Pixels::decode(bytes).map_err(|_| "a picture is left out: it is damaged, or too large".to_owned())?;
    let (width, height) = pixels.size();
    let mut factor = width.max(height).div_ceil(LONGEST_SIDE).max(1);
    loop {
        let (width, height) = (width.div_ceil(factor), height.div_ceil(factor));
        let smaller =
            if factor == 1 { pixels.encode() } else { every(&pixels, factor, width, height).encode() };
        if smaller.len() <= MOST_BYTES {
            return Ok(Picture { bytes: smaller, width, height });
        }
        factor += 1;
    }
}

/// Every so many-th pixel of every so many-th row.
fn every(pixels: &Pixels, factor: u32, width: u32, height: u32) -> Pixels {
    let mut smaller = Pixels::plain(width, height, [0; 3]);
    for y in 0..height {
        for x in 0..width {
            if let Some(colour) = pixels.colour(x * factor, y * factor) {
                smaller.set(x, y, colour);
            }
        }
    }
    smaller
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_png_is_written_anew_and_stays_the_same_picture() {
        let mut pixels = Pixels::plain(30, 20, [1, 2, 3]);
        pixels.set(29, 19, [200, 100, 50]);
        let picture = usable(&pixels.encode(), "image/png").unwrap();
        assert_eq!((picture.width, picture.height), (30, 20));
        assert_eq!(Pixels::decode(&picture.bytes).unwrap(), pixels);
    }

    #[test]
    fn a_picture_that_is_too_large_is_made_smaller() {
        let picture = usable(&Pixels::plain(4_100, 10, [9; 3]).encode(), "image/png").unwrap();
        assert_eq!((picture.width, picture.height), (1_367, 4));
        assert_eq!(Pixels::decode(&picture.bytes).unwrap(), Pixels::plain(1_367, 4, [9; 3]));
    }

    #[test]
    fn what_no_provider_could_read_is_no_picture() {
        let cut = &Pixels::plain(30, 20, [1; 3]).encode()[..40];
        for (bytes, media_type, said) in [
            (cut, "image/png", "a picture is left out: it is damaged, or too large"),
            (
                b"\xff\xd8\xff\xe0".as_slice(),
                "image/jpeg",
                "a picture (image/jpeg) is left out: only PNG can be shown",
            ),
            (b"", "image/png", "a picture (image/png) is left out: only PNG can be shown"),
        ] {
            assert_eq!(usable(bytes, media_type), Err(said.to_owned()));
        }
    }
}
