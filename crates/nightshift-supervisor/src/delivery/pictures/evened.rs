//! A screen made like a printed page: dark letters on a white ground, whatever the colours of its windows.
//!
//! What reads pictures expects one ground and one ink over the whole page. A screen has a dark terminal beside a light
//! browser. So each small block gets the ground that most of it has, and every pixel becomes its distance from that: light
//! letters on dark and dark ones on light come out alike.

/// Side of a block, in pixels: less than the height of a line and its neighbours, so that few blocks lie in two windows.
const BLOCK: usize = 16;

/// Greys are counted in this many steps.
const STEPS: usize = 16;

/// Blocks to the left and right, and above and below, that are asked when a block has no ground of its own (large letters).
const AROUND: (usize, usize) = (3, 2);

/// The least difference between ink and ground that is spread to the full range: below it is noise and shadow.
const LEAST_CONTRAST: u8 = 64;

/// How often each grey occurs in a block, and their sums.
#[derive(Clone, Copy, Default)]
struct Greys {
    count: [u32; STEPS],
    sum: [u32; STEPS],
}

impl Greys {
    fn add(&mut self, other: &Self) {
        self.count.iter_mut().zip(other.count).for_each(|(count, more)| *count += more);
        self.sum.iter_mut().zip(other.sum).for_each(|(sum, more)| *sum += more);
    }

    /// The commonest grey, and the share of pixels that have about it, in percent.
    fn commonest(&self) -> (u8, u32) {
        let all: u32 = self.count.iter().sum();
        let most = (0..STEPS).max_by_key(|&step| self.count[step]).unwrap_or(0);
        let mean = self.sum[most] / self.count[most].max(1);
        (u8::try_from(mean).unwrap_or(u8::MAX), self.count[most] * 100 / all.max(1))
    }
}

/// Evens the ground of a grey picture of this width; its length is a multiple of the width.
pub(super) fn evened(grey: &[u8], width: usize) -> Vec<u8> {
    let height = grey.len() / width.max(1);
    let blocks = Blocks { columns: width.div_ceil(BLOCK), rows: height.div_ceil(BLOCK) };
    let at = |index: usize| index % width / BLOCK + index / width / BLOCK * blocks.columns;
    let mut greys = vec![Greys::default(); blocks.columns * blocks.rows];
    for (index, &value) in grey.iter().enumerate() {
        let step = usize::from(value) * STEPS / 256;
        greys[at(index)].count[step] += 1;
        greys[at(index)].sum[step] += u32::from(value);
    }
    let grounds: Vec<u8> = (0..greys.len())
        .map(|block| match greys[block].commonest() {
            (ground, 40..) => ground,
            _ => {
                let mut near = Greys::default();
                blocks.around(block).for_each(|other| near.add(&greys[other]));
                near.commonest().0
            }
        })
        .collect();
    let mut own = vec![LEAST_CONTRAST; greys.len()];
    for (index, &value) in grey.iter().enumerate() {
        let block = at(index);
        own[block] = own[block].max(value.abs_diff(grounds[block]));
    }
    let contrasts: Vec<u8> = (0..own.len())
        .map(|block| blocks.around(block).map(|other| own[other]).max().unwrap_or(LEAST_CONTRAST))
        .collect();
    let even = |(index, &value): (usize, &u8)| {
        let distance = u32::from(value.abs_diff(grounds[at(index)]));
        u8::MAX - u8::try_from(distance * 255 / u32::from(contrasts[at(index)])).unwrap_or(u8::MAX)
    };
    grey.iter().enumerate().map(even).collect()
}

/// The grid of blocks.
struct Blocks {
    columns: usize,
    rows: usize,
}

impl Blocks {
    /// The blocks around one, with it.
    fn around(&self, block: usize) -> impl Iterator<Item = usize> + use<> {
        let (column, row, columns) = (block % self.columns, block / self.columns, self.columns);
        let across = column.saturating_sub(AROUND.0)..(column + AROUND.0 + 1).min(columns);
        let down = row.saturating_sub(AROUND.1)..(row + AROUND.1 + 1).min(self.rows);
        down.flat_map(move |row| across.clone().map(move |column| row * columns + column))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A window of one grey with strokes of another, one pixel of four.
    fn window(ground: u8, ink: u8, width: usize, height: usize) -> Vec<u8> {
        let pixel = |index: usize| if (index % width).is_multiple_of(4) { ink } else { ground };
        (0..width * height).map(pixel).collect()
    }

    #[test]
    fn light_letters_on_dark_and_dark_ones_on_light_come_out_alike_on_one_screen() {
        let mut screen = window(250, 30, 256, 160);
        screen.extend(window(20, 220, 256, 160));
        let even = evened(&screen, 256);
        let (above, below) = even.split_at(256 * 160);
        assert_eq!(above[1..4], [255; 3]);
        assert_eq!(below[1..4], [255; 3]);
        assert!(above[4] < 40 && below[4] < 40, "{} and {}", above[4], below[4]);
    }

    #[test]
    fn faint_letters_become_dark_ones() {
        let even = evened(&window(0x22, 0x92, 256, 160), 256);
        assert_eq!((even[1], even[4]), (255, 0));
    }

    #[test]
    fn noise_on_a_plain_ground_stays_faint() {
        let even = evened(&window(128, 124, 64, 64), 64);
        assert!(even.iter().all(|&value| value > 235), "{even:?}");
    }

    #[test]
    fn a_large_letter_that_fills_blocks_is_told_from_its_ground_by_what_is_around() {
        // A stroke of 12 pixels: no block that it meets has a majority of its own beside it.
        let mut screen = vec![240_u8; 256 * 160];
        for row in 40..120 {
            for column in 100..112 {
                screen[row * 256 + column] = if (row + column) % 2 == 0 { 10 } else { 90 };
            }
        }
        let even = evened(&screen, 256);
        assert!(even[80 * 256 + 104] < 128, "{}", even[80 * 256 + 104]);
        assert_eq!(even[80 * 256 + 90], 255);
    }

    #[test]
    fn a_picture_of_no_whole_blocks_and_an_empty_one_keep_their_sizes() {
        assert_eq!(evened(&window(255, 0, 21, 5), 21).len(), 105);
        assert_eq!(evened(&[], 0), Vec::<u8>::new());
    }
}
