//! What is known of the screen's changes: a pure record, one per screen, published whole.
//!
//! Each change raises the generation by one and is written twice: exactly, in a short list of the latest changes;
//! and coarsely, as the generation at which each tile last changed. Whoever asks what changed since a generation
//! gets the exact answer while the list reaches that far back and the coarse one after, so a slow reader costs
//! nothing and misses nothing.
//!
//! ```text
//!   generation    1    2   ...   38   39   40            tiles   ┌────┬────┬────┐
//!   latest                      [r38  r39  r40]                  │ 40 │ 12 │  1 │
//!   since(38) ─▶ r39 ∪ r40        exact                          ├────┼────┼────┤
//!   since(5)  ─▶ every tile > 5   coarse                         │ 40 │  1 │ 39 │
//! ```

use std::collections::VecDeque;

use crate::geometry::{Rect, Size};
use crate::picture::Change;

/// The side of a tile in pixels. A tile of a moving pointer or a typed letter stays a few KB when sent raw.
pub const TILE: u32 = 64;

/// How many changes are kept exactly: more than QEMU reports between two looks of an ordinary reader.
const KEPT: usize = 64;

/// What the screen is at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Nothing is shown: not yet, or the display is switched off.
    Dark,
    /// A picture of that size is shown.
    Lit(Size),
    /// The other end has gone, for that reason. Nothing follows.
    Ended(String),
}

/// The screen's connection has ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the connection to the screen has ended: {why}")]
pub struct Ended {
    /// Why, in words for a person.
    pub why: String,
}

/// A change of the screen, or several taken together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damage {
    /// The screen's generation after the change.
    pub generation: u64,
    /// The smallest known rectangle that holds the change.
    pub rect: Rect,
}

/// The tiles that changed since some generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TileChanges {
    /// The screen's generation: ask for the next changes since this one.
    pub generation: u64,
    /// The screen's size. When it differs from before, every tile has changed.
    pub size: Size,
    /// The changed tiles in rows from the top; those at the right and lower edge may be smaller than [`TILE`].
    pub tiles: Vec<Rect>,
}

/// The record. See the module.
#[derive(Debug)]
pub(crate) struct Activity {
    condition: Condition,
    generation: u64,
    latest: VecDeque<Damage>,
    tiles: Vec<u64>,
}

impl Activity {
    pub(crate) fn new() -> Self {
        Self { condition: Condition::Dark, generation: 0, latest: VecDeque::new(), tiles: Vec::new() }
    }

    pub(crate) fn condition(&self) -> &Condition {
        &self.condition
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    pub(crate) fn size(&self) -> Option<Size> {
        match self.condition {
            Condition::Lit(size) => Some(size),
            Condition::Dark | Condition::Ended(_) => None,
        }
    }

    /// Writes down what became of the picture.
    pub(crate) fn record(&mut self, change: Change) {
        match change {
            Change::Lit(size) => self.lit(size),
            Change::Changed(rects) => self.changed(&rects),
            Change::Darkened => self.darkened(),
            Change::Ended(why) => self.ended(why),
            Change::Unseen(_) | Change::None => {}
        }
    }

    /// A whole new picture is shown, perhaps of another size.
    fn lit(&mut self, size: Size) {
        let (columns, rows) = grid(size);
        self.condition = Condition::Lit(size);
        // Older rectangles may lie outside the new size.
        self.latest.clear();
        self.tiles = vec![0; (columns * rows) as usize];
        self.changed(&[Rect::whole(size)]);
    }

    /// The display was switched off.
    fn darkened(&mut self) {
        self.condition = Condition::Dark;
        self.latest.clear();
        self.tiles.clear();
    }

    /// The other end has gone. The first reason stays.
    fn ended(&mut self, why: String) {
        if !matches!(self.condition, Condition::Ended(_)) {
            self.darkened();
            self.condition = Condition::Ended(why);
        }
    }

    /// The screen has changed in `rects`, which lie on it.
    fn changed(&mut self, rects: &[Rect]) {
        let Some(size) = self.size() else { return };
        let Some(union) = rects.iter().copied().reduce(Rect::union) else { return };
        self.generation += 1;
        let (columns, _) = grid(size);
        for rect in rects {
            for row in rect.y() / TILE..rect.bottom().div_ceil(TILE) {
                for column in rect.x() / TILE..rect.right().div_ceil(TILE) {
                    if let Some(tile) = self.tiles.get_mut((row * columns + column) as usize) {
                        *tile = self.generation;
                    }
                }
            }
        }
        if self.latest.len() == KEPT {
            self.latest.pop_front();
        }
        self.latest.push_back(Damage { generation: self.generation, rect: union });
    }

    /// The changes after `generation` one by one, oldest first; or all of them as one when they are too many.
    pub(crate) fn changes_since(&self, generation: u64) -> Vec<Rect> {
        if generation >= self.generation {
            return Vec::new();
        }
        match self.latest.front() {
            Some(oldest) if oldest.generation <= generation + 1 => self
                .latest
                .iter()
                .filter(|damage| damage.generation > generation)
                .map(|damage| damage.rect)
                .collect(),
            Some(_) | None => self.changed_tiles(generation).reduce(Rect::union).into_iter().collect(),
        }
    }

    /// What changed after `generation`, in the rectangles with the fewest pixels that are known to hold it.
    pub(crate) fn rects_since(&self, generation: u64) -> Vec<Rect> {
        let exact = joined(self.changes_since(generation));
        let tiles = stacked(self.changed_tiles(generation));
        let area = |rects: &[Rect]| rects.iter().map(|rect| rect.area()).sum::<u64>();
        if area(&exact) <= area(&tiles) { exact } else { tiles }
    }

    /// The changes after `generation` as one rectangle.
    pub(crate) fn damage_since(&self, generation: u64) -> Option<Damage> {
        let rect = self.changes_since(generation).into_iter().reduce(Rect::union)?;
        Some(Damage { generation: self.generation, rect })
    }

    /// The tiles that changed after `generation`; `None` when nothing is shown.
    pub(crate) fn tiles_since(&self, generation: u64) -> Option<TileChanges> {
        let size = self.size()?;
        let tiles = self.changed_tiles(generation).collect();
        Some(TileChanges { generation: self.generation, size, tiles })
    }

    fn changed_tiles(&self, generation: u64) -> impl Iterator<Item = Rect> {
        let size = self.size();
        (0..).zip(&self.tiles).filter(move |(_, changed)| **changed > generation).filter_map(
            move |(index, _)| {
                let size = size?;
                let (columns, _) = grid(size);
                let (x, y) = (index % columns * TILE, index / columns * TILE);
                Rect::new(x, y, TILE.min(size.width() - x), TILE.min(size.height() - y))
            },
        )
    }
}

/// Joins rectangles where the joined one has no more pixels than they have together, as long as there are some.
fn joined(mut rects: Vec<Rect>) -> Vec<Rect> {
    let mut index = 0;
    while index < rects.len() {
        let partner = (index + 1..rects.len()).find(|other| {
            rects[index].union(rects[*other]).area() <= rects[index].area() + rects[*other].area()
        });
        match partner {
            Some(other) => {
                rects[index] = rects[index].union(rects[other]);
                rects.swap_remove(other);
                // It may join with one that was passed by before.
                index = 0;
            }
            None => index += 1,
        }
    }
    rects
}

/// Joins tiles, given in rows from the top, to the longest rows and those to blocks.
fn stacked(tiles: impl Iterator<Item = Rect>) -> Vec<Rect> {
    let mut rows: Vec<Rect> = Vec::new();
    for tile in tiles {
        match rows.last_mut() {
            Some(row) if row.y() == tile.y() && row.right() == tile.x() => *row = row.union(tile),
            _ => rows.push(tile),
        }
    }
    let mut blocks: Vec<Rect> = Vec::new();
    for row in rows {
        let same = |block: &&mut Rect| {
            block.bottom() == row.y() && block.x() == row.x() && block.right() == row.right()
        };
        match blocks.iter_mut().find(same) {
            Some(block) => *block = block.union(row),
            None => blocks.push(row),
        }
    }
    blocks
}

/// How many tiles a screen has across and down.
fn grid(size: Size) -> (u32, u32) {
    (size.width().div_ceil(TILE), size.height().div_ceil(TILE))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lit(width: u32, height: u32) -> Activity {
        let mut activity = Activity::new();
        activity.lit(Size::new(width, height).unwrap());
        activity
    }

    fn rect(x: u32, y: u32, width: u32, height: u32) -> Rect {
        Rect::new(x, y, width, height).unwrap()
    }

    #[test]
    fn a_new_picture_changes_every_tile_and_the_edge_tiles_are_cut() {
        let changes = lit(100, 70).tiles_since(0).unwrap();
        let tiles = vec![rect(0, 0, 64, 64), rect(64, 0, 36, 64), rect(0, 64, 64, 6), rect(64, 64, 36, 6)];
        assert_eq!(changes, TileChanges { generation: 1, size: Size::new(100, 70).unwrap(), tiles });
    }

    #[test]
    fn a_change_over_a_tile_border_touches_both_tiles() {
        let mut activity = lit(256, 128);
        activity.changed(&[rect(60, 10, 8, 4)]);
        let changes = activity.tiles_since(1).unwrap();
        assert_eq!((changes.generation, changes.tiles), (2, vec![rect(0, 0, 64, 64), rect(64, 0, 64, 64)]));
    }

    #[test]
    fn two_corners_that_change_at_once_touch_only_their_tiles() {
        let mut activity = lit(256, 256);
        activity.changed(&[rect(0, 0, 1, 1), rect(255, 255, 1, 1)]);
        assert_eq!(activity.damage_since(1), Some(Damage { generation: 2, rect: rect(0, 0, 256, 256) }));
        assert_eq!(activity.tiles_since(1).unwrap().tiles, [rect(0, 0, 64, 64), rect(192, 192, 64, 64)]);
    }

    #[test]
    fn a_reader_who_looks_often_gets_exact_rectangles() {
        let mut activity = lit(256, 128);
        activity.changed(&[rect(1, 2, 3, 4)]);
        activity.changed(&[rect(100, 2, 3, 4)]);
        assert_eq!(activity.changes_since(1), [rect(1, 2, 3, 4), rect(100, 2, 3, 4)]);
        assert_eq!(activity.damage_since(1), Some(Damage { generation: 3, rect: rect(1, 2, 102, 4) }));
        assert_eq!(activity.damage_since(2), Some(Damage { generation: 3, rect: rect(100, 2, 3, 4) }));
        assert_eq!(activity.damage_since(3), None);
    }

    #[test]
    fn two_letters_far_apart_stay_two_rectangles_and_neighbours_become_one() {
        let mut activity = lit(1280, 800);
        activity.changed(&[rect(8, 8, 8, 16)]);
        activity.changed(&[rect(1200, 700, 8, 16)]);
        activity.changed(&[rect(16, 8, 8, 16)]);
        let mut rects = activity.rects_since(1);
        rects.sort_by_key(|rect| rect.x());
        assert_eq!(rects, [rect(8, 8, 16, 16), rect(1200, 700, 8, 16)]);
        assert_eq!(activity.rects_since(0), [rect(0, 0, 1280, 800)]);
    }

    #[test]
    fn corners_that_changed_at_once_are_sent_as_tiles_and_not_as_the_screen_between_them() {
        let mut activity = lit(1280, 832);
        activity.changed(&[rect(0, 0, 1, 1), rect(1279, 831, 1, 1)]);
        assert_eq!(activity.rects_since(1), [rect(0, 0, 64, 64), rect(1216, 768, 64, 64)]);
    }

    #[test]
    fn a_slow_reader_gets_the_union_in_tiles_and_memory_does_not_grow() {
        let mut activity = lit(256, 256);
        for _ in 0..10_000 {
            activity.changed(&[rect(70, 70, 1, 1)]);
        }
        assert_eq!(activity.changes_since(1), [rect(64, 64, 64, 64)]);
        assert_eq!(activity.latest.len(), KEPT);
    }

    #[test]
    fn another_size_changes_everything_and_the_old_rectangles_are_forgotten() {
        let mut activity = lit(256, 256);
        activity.changed(&[rect(250, 250, 6, 6)]);
        activity.lit(Size::new(64, 32).unwrap());
        assert_eq!(activity.damage_since(1), Some(Damage { generation: 3, rect: rect(0, 0, 64, 32) }));
        assert_eq!(activity.tiles_since(2).unwrap().tiles, [rect(0, 0, 64, 32)]);
    }

    #[test]
    fn a_dark_screen_has_no_size_and_no_changes_and_an_end_is_final() {
        let mut activity = lit(256, 256);
        activity.darkened();
        activity.changed(&[rect(0, 0, 1, 1)]);
        assert_eq!((activity.size(), activity.generation(), activity.damage_since(0)), (None, 1, None));
        activity.ended("first".to_owned());
        activity.ended("second".to_owned());
        assert_eq!(activity.condition(), &Condition::Ended("first".to_owned()));
    }

    proptest! {
        #[test]
        fn nothing_that_changed_is_ever_left_out(
            changes in prop::collection::vec((0..200u32, 0..100u32, 1..56u32, 1..28u32), 1..150),
            since in 0..150u64,
        ) {
            let mut activity = lit(256, 128);
            for (x, y, w, h) in &changes {
                activity.changed(&[rect(*x, *y, *w, *h)]);
            }
            // Generation 1 is the picture itself, so the change at index i made generation i + 2.
            for (x, y, w, h) in changes.iter().skip((since.saturating_sub(1)) as usize) {
                let missed = rect(*x, *y, *w, *h);
                prop_assert!(activity.damage_since(since).unwrap().rect.contains(missed));
                let tiles = activity.tiles_since(since).unwrap().tiles;
                let covered: u64 = tiles.iter().filter(|tile| tile.overlaps(missed)).count() as u64;
                let across = u64::from(missed.right().div_ceil(TILE) - missed.x() / TILE);
                let down = u64::from(missed.bottom().div_ceil(TILE) - missed.y() / TILE);
                prop_assert_eq!(covered, across * down);
            }
        }
    }
}
