//! Points, sizes and rectangles in pixels; the origin is the screen's upper left corner.

use std::fmt;

/// The largest width and height a screen may have, in pixels. A bound on what a hostile peer can make us hold.
pub const MAX_SIDE: u32 = 8192;

/// A pixel's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Point {
    /// Pixels from the left edge.
    pub x: u32,
    /// Pixels from the upper edge.
    pub y: u32,
}

impl Point {
    /// Names the pixel `x` from the left and `y` from the top.
    pub const fn new(x: u32, y: u32) -> Self {
        Self { x, y }
    }

    /// Returns the point itself when a screen of `size` has it.
    pub fn on(self, size: Size) -> Result<Self, OutOfScreen> {
        if self.x < size.width && self.y < size.height {
            Ok(self)
        } else {
            Err(OutOfScreen { point: self, width: size.width, height: size.height })
        }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "({}, {})", self.x, self.y)
    }
}

/// A screen's or a picture's size: 1 to [`MAX_SIDE`] pixels each way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Size {
    width: u32,
    height: u32,
}

impl Size {
    /// Returns the size, or `None` when a side is zero or more than [`MAX_SIDE`].
    pub fn new(width: u32, height: u32) -> Option<Self> {
        let side = 1..=MAX_SIDE;
        (side.contains(&width) && side.contains(&height)).then_some(Self { width, height })
    }

    /// The size of a picture of `rect`, which lies on a screen.
    pub(crate) fn of(rect: Rect) -> Self {
        Self { width: rect.width, height: rect.height }
    }

    /// The width in pixels.
    pub fn width(self) -> u32 {
        self.width
    }

    /// The height in pixels.
    pub fn height(self) -> u32 {
        self.height
    }

    /// The bytes a picture of this size takes at four bytes a pixel.
    pub(crate) fn bytes(self) -> usize {
        self.width as usize * self.height as usize * 4
    }
}

impl fmt::Display for Size {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}x{}", self.width, self.height)
    }
}

/// A rectangle of at least one pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rect {
    x: u32,
    y: u32,
    width: u32,
    height: u32,
}

impl Rect {
    /// Returns the rectangle, or `None` when it is empty or an edge lies beyond what 32 bits count.
    pub fn new(x: u32, y: u32, width: u32, height: u32) -> Option<Self> {
        let countable = x.checked_add(width).is_some() && y.checked_add(height).is_some();
        (width > 0 && height > 0 && countable).then_some(Self { x, y, width, height })
    }

    /// The whole of a screen of `size`.
    pub fn whole(size: Size) -> Self {
        Self { x: 0, y: 0, width: size.width, height: size.height }
    }

    /// Cuts a rectangle a peer sent down to a screen of `size`; `None` when nothing of it is left.
    pub(crate) fn clipped(wire: WireRect, size: Size) -> Option<Self> {
        let clip = |start: i32, length: i32, limit: u32| {
            let from = i64::from(start).clamp(0, i64::from(limit));
            let to = (i64::from(start) + i64::from(length)).clamp(from, i64::from(limit));
            (from as u32, (to - from) as u32)
        };
        let (x, width) = clip(wire.x, wire.width, size.width);
        let (y, height) = clip(wire.y, wire.height, size.height);
        Self::new(x, y, width, height)
    }

    /// Pixels from the screen's left edge to the rectangle.
    pub fn x(self) -> u32 {
        self.x
    }

    /// Pixels from the screen's upper edge to the rectangle.
    pub fn y(self) -> u32 {
        self.y
    }

    /// The width in pixels, at least 1.
    pub fn width(self) -> u32 {
        self.width
    }

    /// The height in pixels, at least 1.
    pub fn height(self) -> u32 {
        self.height
    }

    /// The first column to the right of it.
    pub fn right(self) -> u32 {
        self.x + self.width
    }

    /// The first row below it.
    pub fn bottom(self) -> u32 {
        self.y + self.height
    }

    /// The number of its pixels.
    pub fn area(self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }

    /// Whether every pixel of `other` is in it.
    pub fn contains(self, other: Self) -> bool {
        self.x <= other.x
            && self.y <= other.y
            && other.right() <= self.right()
            && other.bottom() <= self.bottom()
    }

    /// Whether the two share a pixel.
    pub fn overlaps(self, other: Self) -> bool {
        self.x < other.right() && other.x < self.right() && self.y < other.bottom() && other.y < self.bottom()
    }

    /// The smallest rectangle that holds both.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        let (x, y) = (self.x.min(other.x), self.y.min(other.y));
        Self {
            x,
            y,
            width: self.right().max(other.right()) - x,
            height: self.bottom().max(other.bottom()) - y,
        }
    }

    /// Returns the rectangle itself when all of it lies on a screen of `size`; the refusal names its far corner.
    pub fn on(self, size: Size) -> Result<Self, OutOfScreen> {
        Point::new(self.right() - 1, self.bottom() - 1).on(size).map(|_| self)
    }
}

impl fmt::Display for Rect {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}x{} at ({}, {})", self.width, self.height, self.x, self.y)
    }
}

/// A rectangle as a peer sent it, not yet believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WireRect {
    pub(crate) x: i32,
    pub(crate) y: i32,
    pub(crate) width: i32,
    pub(crate) height: i32,
}

/// A place that the screen does not have. Nothing was done; places are never moved to the edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{point} is outside the screen of {width}x{height}")]
pub struct OutOfScreen {
    /// The place asked for.
    pub point: Point,
    /// The screen's width in pixels.
    pub width: u32,
    /// The screen's height in pixels.
    pub height: u32,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_point_on_the_far_edge_is_outside_and_the_refusal_says_of_what() {
        let size = Size::new(1280, 800).unwrap();
        assert_eq!(Point::new(1279, 799).on(size), Ok(Point::new(1279, 799)));
        let refusal = Point::new(1280, 10).on(size).unwrap_err();
        assert_eq!(refusal, OutOfScreen { point: Point::new(1280, 10), width: 1280, height: 800 });
        assert_eq!(refusal.to_string(), "(1280, 10) is outside the screen of 1280x800");
    }

    #[test]
    fn a_size_has_pixels_and_a_limit() {
        assert_eq!(Size::new(0, 5), None);
        assert_eq!(Size::new(5, MAX_SIDE + 1), None);
        assert!(Size::new(MAX_SIDE, MAX_SIDE).is_some());
    }

    #[test]
    fn a_rectangle_is_never_empty_and_never_overflows() {
        assert_eq!(Rect::new(0, 0, 0, 1), None);
        assert_eq!(Rect::new(u32::MAX, 0, 1, 1), None);
        assert_eq!(Rect::new(3, 4, 5, 6).unwrap().to_string(), "5x6 at (3, 4)");
    }

    proptest! {
        #[test]
        fn a_rectangle_from_a_peer_is_cut_to_the_screen(x: i32, y: i32, width: i32, height: i32) {
            let size = Size::new(640, 480).unwrap();
            if let Some(rect) = Rect::clipped(WireRect { x, y, width, height }, size) {
                prop_assert!(rect.on(size).is_ok());
                prop_assert!(i64::from(rect.x()) >= i64::from(x));
                prop_assert!(i64::from(rect.right()) <= i64::from(x) + i64::from(width));
            }
        }

        #[test]
        fn a_union_holds_both(a in rects(), b in rects()) {
            let both = a.union(b);
            prop_assert!(both.contains(a) && both.contains(b));
            prop_assert!(!a.overlaps(b) || both.width() < a.width() + b.width() && both.height() < a.height() + b.height());
        }
    }

    fn rects() -> impl Strategy<Value = Rect> {
        (0..900u32, 0..900u32, 1..300u32, 1..300u32).prop_map(|(x, y, w, h)| Rect::new(x, y, w, h).unwrap())
    }
}
