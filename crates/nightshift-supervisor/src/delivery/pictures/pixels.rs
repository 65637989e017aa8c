//! A picture in memory.

use super::UnreadablePicture;
use super::evened::evened;

/// The largest picture that is looked at, in pixels.
const LARGEST: u64 = 16_000_000;

/// What covers a secret: a grey that no desktop has.
const COVER: [u8; 3] = [0x80, 0x00, 0x80];

/// A rectangle of a picture, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Area {
    /// From the left.
    pub x: u32,
    /// From the top.
    pub y: u32,
    /// To the right.
    pub width: u32,
    /// Downwards.
    pub height: u32,
}

/// A picture of red, green and blue bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pixels {
    width: u32,
    height: u32,
    rgb: Vec<u8>,
}

impl Pixels {
    /// Makes a picture of one colour.
    pub fn plain(width: u32, height: u32, colour: [u8; 3]) -> Self {
        Self { width, height, rgb: colour.repeat(width as usize * height as usize) }
    }

    /// Reads a PNG.
    pub fn decode(bytes: &[u8]) -> Result<Self, UnreadablePicture> {
        let mut decoder = png::Decoder::new(std::io::Cursor::new(bytes));
        decoder.set_transformations(png::Transformations::normalize_to_color8());
        let mut reader = decoder.read_info().map_err(|_| UnreadablePicture::NotAPicture)?;
        let (width, height) = (reader.info().width, reader.info().height);
        if u64::from(width) * u64::from(height) > LARGEST {
            return Err(UnreadablePicture::NotAPicture);
        }
        let length = reader.output_buffer_size().ok_or(UnreadablePicture::NotAPicture)?;
        let mut raw = vec![0; length];
        let info = reader.next_frame(&mut raw).map_err(|_| UnreadablePicture::NotAPicture)?;
        let rgb = match info.color_type {
            png::ColorType::Rgb => raw,
            png::ColorType::Rgba => {
                raw.chunks_exact(4).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect()
            }
            png::ColorType::Grayscale => raw.iter().flat_map(|&grey| [grey; 3]).collect(),
            png::ColorType::GrayscaleAlpha => raw.chunks_exact(2).flat_map(|pixel| [pixel[0]; 3]).collect(),
            png::ColorType::Indexed => return Err(UnreadablePicture::NotAPicture),
        };
        Ok(Self { width, height, rgb })
    }

    /// Writes a PNG.
    pub fn encode(&self) -> Vec<u8> {
        encode(self.width, self.height, png::ColorType::Rgb, &self.rgb)
    }

    /// Width and height.
    pub fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    /// The colour at a place within the picture.
    pub fn colour(&self, x: u32, y: u32) -> Option<[u8; 3]> {
        let at = (y as usize * self.width as usize + x as usize) * 3;
        (x < self.width)
            .then(|| self.rgb.get(at..at + 3))
            .flatten()
            .map(|pixel| [pixel[0], pixel[1], pixel[2]])
    }

    /// Sets the colour at a place; outside of the picture nothing happens.
    pub fn set(&mut self, x: u32, y: u32, colour: [u8; 3]) {
        let at = (y as usize * self.width as usize + x as usize) * 3;
        if x < self.width
            && let Some(pixel) = self.rgb.get_mut(at..at + 3)
        {
            pixel.copy_from_slice(&colour);
        }
    }

    /// Covers an area, and a little around it.
    pub fn cover(&mut self, area: Area) {
        let margin = 2 + area.height / 6;
        let (left, top) = (area.x.saturating_sub(margin), area.y.saturating_sub(margin));
        for y in top..area.y.saturating_add(area.height + margin).min(self.height) {
            for x in left..area.x.saturating_add(area.width + margin).min(self.width) {
                self.set(x, y, COVER);
            }
        }
    }

    /// Whether a pixel is covered.
    pub fn is_covered(&self, x: u32, y: u32) -> bool {
        self.colour(x, y) == Some(COVER)
    }

    /// A grey PNG for reading, enlarged by a whole number; dark letters on a white ground, as printed pages have them.
    pub(super) fn for_reading(&self, scale: u32) -> Vec<u8> {
        let grey = |pixel: &[u8]| {
            let weighed = u32::from(pixel[0]) * 299 + u32::from(pixel[1]) * 587 + u32::from(pixel[2]) * 114;
            u8::try_from(weighed / 1_000).unwrap_or(u8::MAX)
        };
        let plane: Vec<u8> = self.rgb.chunks_exact(3).map(grey).collect();
        let plane = evened(&plane, self.width as usize);
        let (width, height) = (self.width * scale, self.height * scale);
        let places = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        let large: Vec<u8> = places.map(|(x, y)| self.between(&plane, x, y, scale)).collect();
        encode(width, height, png::ColorType::Grayscale, &large)
    }

    /// The grey at a place of an enlarged plane of this picture's size, mixed of its four neighbours.
    fn between(&self, plane: &[u8], x: u32, y: u32, scale: u32) -> u8 {
        let grey = |x: u32, y: u32| {
            let (x, y) = (x.min(self.width - 1), y.min(self.height - 1));
            u32::from(plane[y as usize * self.width as usize + x as usize])
        };
        let (left, top, right, down) = (x / scale, y / scale, x % scale, y % scale);
        let above = grey(left, top) * (scale - right) + grey(left + 1, top) * right;
        let below = grey(left, top + 1) * (scale - right) + grey(left + 1, top + 1) * right;
        u8::try_from((above * (scale - down) + below * down) / (scale * scale)).unwrap_or(u8::MAX)
    }

    /// The picture made smaller so that it is at most `width` wide, each pixel the mean of those it stands for.
    pub(super) fn shrunk(&self, width: u32) -> Self {
        let factor = self.width.div_ceil(width.max(1)).max(1);
        let (small_width, small_height) = ((self.width / factor).max(1), (self.height / factor).max(1));
        let mut small = Self::plain(small_width, small_height, [0; 3]);
        for y in 0..small_height {
            for x in 0..small_width {
                let mut sums = [0_u32; 3];
                for (dy, dx) in (0..factor).flat_map(|dy| (0..factor).map(move |dx| (dy, dx))) {
                    let colour = self.colour(x * factor + dx, y * factor + dy).unwrap_or_default();
                    sums.iter_mut().zip(colour).for_each(|(sum, value)| *sum += u32::from(value));
                }
                small.set(x, y, sums.map(|sum| u8::try_from(sum / (factor * factor)).unwrap_or(u8::MAX)));
            }
        }
        small
    }

    pub(super) fn rgb(&self) -> &[u8] {
        &self.rgb
    }
}

fn encode(width: u32, height: u32, colour: png::ColorType, data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(colour);
    encoder.set_depth(png::BitDepth::Eight);
    // Writing to memory does not fail, and the sizes agree by construction.
    if let Ok(mut writer) = encoder.write_header() {
        let _written = writer.write_image_data(data);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_survives_its_png() {
        let mut pixels = Pixels::plain(5, 3, [1, 2, 3]);
        pixels.set(4, 2, [9, 8, 7]);
        assert_eq!(Pixels::decode(&pixels.encode()).unwrap(), pixels);
    }

    #[test]
    fn a_cover_hides_the_area_and_ends_at_the_edge() {
        let mut pixels = Pixels::plain(20, 10, [255; 3]);
        pixels.cover(Area { x: 15, y: 6, width: 30, height: 2 });
        assert!(pixels.is_covered(19, 9) && pixels.is_covered(13, 4));
        assert_eq!(pixels.colour(12, 9), Some([255; 3]));
    }

    #[test]
    fn what_is_no_png_is_unreadable() {
        assert!(matches!(Pixels::decode(b"GIF89a"), Err(UnreadablePicture::NotAPicture)));
    }

    #[test]
    fn shrinking_takes_the_mean() {
        let mut pixels = Pixels::plain(4, 2, [0; 3]);
        pixels.set(0, 0, [255; 3]);
        assert_eq!(pixels.shrunk(2).colour(0, 0), Some([63; 3]));
    }
}
