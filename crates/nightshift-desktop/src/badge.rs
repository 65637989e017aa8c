//! The icon of the tray, with the number of what waits.

use std::io::Cursor;

/// Digits of three by five dots, a row in three bits.
const DIGITS: [[u8; 5]; 10] = [
    [0b111, 0b101, 0b101, 0b101, 0b111],
    [0b010, 0b110, 0b010, 0b010, 0b111],
    [0b111, 0b001, 0b111, 0b100, 0b111],
    [0b111, 0b001, 0b011, 0b001, 0b111],
    [0b101, 0b101, 0b111, 0b001, 0b001],
    [0b111, 0b100, 0b111, 0b001, 0b111],
    [0b111, 0b100, 0b111, 0b101, 0b111],
    [0b111, 0b001, 0b010, 0b010, 0b010],
    [0b111, 0b101, 0b111, 0b101, 0b111],
    [0b111, 0b101, 0b111, 0b001, 0b111],
];

/// The lamp's colour, as the UI has it: it means "you". Alpha, red, green, blue.
const LAMP: [u8; 4] = [255, 0xf3, 0xb6, 0x4a];
const INK: [u8; 4] = [255, 0x2a, 0x1d, 0x08];

/// A square picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Its side in pixels.
    pub side: u32,
    /// Alpha, red, green, blue of each pixel, row by row.
    pub argb: Vec<u8>,
}

impl Picture {
    fn set(&mut self, x: u32, y: u32, colour: [u8; 4]) {
        let at = (y * self.side + x) as usize * 4;
        if x < self.side
            && let Some(pixel) = self.argb.get_mut(at..at + 4)
        {
            pixel.copy_from_slice(&colour);
        }
    }

    #[cfg(test)]
    fn at(&self, x: u32, y: u32) -> [u8; 4] {
        let at = (y * self.side + x) as usize * 4;
        [self.argb[at], self.argb[at + 1], self.argb[at + 2], self.argb[at + 3]]
    }
}

/// Reads a square icon, a PNG with red, green, blue and alpha, and puts `count` on it; nothing for 0, and 99 for more.
///
/// Returns `None` when it is no such picture.
pub fn badge(icon: &[u8], count: u64) -> Option<Picture> {
    let mut reader = png::Decoder::new(Cursor::new(icon)).read_info().ok()?;
    let mut rgba = vec![0; reader.output_buffer_size()?];
    let info = reader.next_frame(&mut rgba).ok()?;
    if info.width != info.height || info.color_type != png::ColorType::Rgba {
        return None;
    }
    let argb = rgba.chunks_exact(4).flat_map(|pixel| [pixel[3], pixel[0], pixel[1], pixel[2]]).collect();
    let mut picture = Picture { side: info.width, argb };
    let digits: Vec<usize> = match count {
        0 => return Some(picture),
        1..=9 => vec![count as usize],
        _ => vec![count.min(99) as usize / 10, count.min(99) as usize % 10],
    };
    // A dot of a digit, so that two of them take two thirds of the width.
    let dot = picture.side / 12;
    let (width, height) = ((digits.len() as u32 * 4 + 1) * dot, 7 * dot);
    let (left, top) = (picture.side - width, picture.side - height);
    for y in top..picture.side {
        for x in left..picture.side {
            picture.set(x, y, LAMP);
        }
    }
    for (place, digit) in digits.into_iter().enumerate() {
        for (row, bits) in (0_u32..).zip(DIGITS[digit]) {
            for column in (0..3_u32).filter(|column| bits >> (2 - column) & 1 == 1) {
                let (x, y) = (left + (1 + place as u32 * 4 + column) * dot, top + (1 + row) * dot);
                for (right, down) in (0..dot).flat_map(|right| (0..dot).map(move |down| (right, down))) {
                    picture.set(x + right, y + down, INK);
                }
            }
        }
    }
    Some(picture)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn icon(side: u32) -> Vec<u8> {
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, side, side);
        encoder.set_color(png::ColorType::Rgba);
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(&[10, 20, 30, 40].repeat((side * side) as usize)).unwrap();
        writer.finish().unwrap();
        file
    }

    #[test]
    fn nothing_that_waits_leaves_the_icon_as_it_is() {
        let picture = badge(&icon(24), 0).unwrap();
        assert_eq!(picture, Picture { side: 24, argb: [40, 10, 20, 30].repeat(24 * 24) });
    }

    #[test]
    fn the_number_stands_in_the_corner() {
        let seven = badge(&icon(24), 7).unwrap();
        assert_eq!((seven.at(0, 0), seven.at(23, 23)), ([40, 10, 20, 30], LAMP));
        let drawn: Vec<String> = (10..24)
            .step_by(2)
            .map(|y| (14..24).step_by(2).map(|x| if seven.at(x, y) == INK { '#' } else { '.' }).collect())
            .collect();
        assert_eq!(drawn, [".....", ".###.", "...#.", "..#..", "..#..", "..#..", "....."]);
    }

    #[test]
    fn more_than_ninety_nine_are_ninety_nine() {
        assert_eq!(badge(&icon(64), 100), badge(&icon(64), 99));
        assert_ne!(badge(&icon(64), 98), badge(&icon(64), 99));
        assert_ne!(badge(&icon(64), 10), badge(&icon(64), 1));
    }

    #[test]
    fn what_is_no_icon_is_none() {
        assert_eq!(badge(b"no picture", 1), None);
        for side in 1..12 {
            assert_eq!(badge(&icon(side), 42).unwrap().side, side, "too small for a number");
        }
    }
}
