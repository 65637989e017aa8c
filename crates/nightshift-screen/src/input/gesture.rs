//! What a person does with mouse and keyboard, as the steps the guest's devices see. Pure: playing is elsewhere.

use std::time::Duration;

use super::keys::{Key, KeyChord};
use super::layout::{Level, stroke};
use crate::geometry::Point;
use DeviceEvent::{ButtonDown, ButtonUp, KeyDown, KeyUp, Move, WheelDown, WheelUp};
use Step::{AwaitEcho, Hold, Pause, Tell};

/// The longest a chord may be held: as long as the computer-use tools of model providers ask at most.
const LONGEST_HOLD: Duration = Duration::from_secs(100);

/// The most notches of one scroll.
const MOST_NOTCHES: u32 = 100;

/// How many stops a drag makes between its ends: toolkits start a drag only after several motions.
const DRAG_STOPS: u32 = 8;

/// The time between two stops of a drag: somewhat more than a frame at 120 Hz, so that each is seen.
const DRAG_PAUSE: Duration = Duration::from_millis(10);

/// The time between the clicks of a double click. libinput takes a button that is pressed again within 25 ms of its
/// release for one that bounces, and drops the second press; desktops wait 400 ms and more for the second click.
const CLICK_PAUSE: Duration = Duration::from_millis(60);

/// How many events the guest's devices are told before the guest must show a sign of life.
///
/// QEMU drops what a device's queue has no room for, without a word. A virtio device has room for 64 entries, of
/// which an event takes two (itself and the end of its report), and the kernel's queue to the X server is as long. A
/// PS/2 keyboard has room for 16 bytes, of which a press takes one and a release two: twelve events overran it.
const BURST: usize = 8;

/// A mouse button.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Button {
    /// The left one.
    Left,
    /// The middle one, or the wheel pressed.
    Middle,
    /// The right one.
    Right,
    /// The one browsers go back with.
    Back,
    /// The one browsers go forward with.
    Forward,
}

/// How many clicks in quick succession.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clicks {
    /// One.
    Single,
    /// Two, as to open a file or mark a word.
    Double,
    /// Three, as to mark a line.
    Triple,
}

/// Where the wheel turns to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scroll {
    /// Towards the beginning of the page.
    Up,
    /// Towards its end.
    Down,
    /// To the left: Shift is held and the wheel turned up, as guests' tablets have no second wheel.
    Left,
    /// To the right: Shift is held and the wheel turned down.
    Right,
}

/// One thing a guest's device is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeviceEvent {
    Move(Point),
    ButtonDown(Button),
    ButtonUp(Button),
    WheelUp,
    WheelDown,
    KeyDown(Key),
    KeyUp(Key),
}

/// One step of a gesture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Tell(DeviceEvent),
    Pause(Duration),
    /// A pause that ends before its time when nobody waits for the gesture any more.
    Hold(Duration),
    /// Wait until the screen changes after the last event, for a while: then the guest runs and empties its queues.
    AwaitEcho,
}

/// Steps that belong together: no other gesture gets between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gesture {
    steps: Vec<Step>,
}

/// A gesture that is not made. Nothing was done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GestureRefused {
    /// The chord would be held too long, and nobody could take over meanwhile.
    #[error("a key can be held for at most {} s, not {asked:?}", LONGEST_HOLD.as_secs())]
    HoldTooLong {
        /// How long it was to be held.
        asked: Duration,
    },
    /// The scroll is too far for one gesture.
    #[error("one scroll turns the wheel by at most {MOST_NOTCHES} notches, not {asked}")]
    ScrollTooFar {
        /// The notches asked for.
        asked: u32,
    },
}

/// The US keyboard layout lacks characters of a text: type it through the guest. Nothing was typed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the US keyboard layout has no key for {characters:?}")]
pub struct NotOnKeyboard {
    /// The characters it lacks, each once, in the order of the text.
    pub characters: Vec<char>,
}

impl Gesture {
    /// Moves the pointer.
    pub fn pointer_move(to: Point) -> Self {
        Self { steps: vec![Tell(Move(to))] }
    }

    /// Presses a button where the pointer is, until [`Self::release`].
    pub fn press(button: Button) -> Self {
        Self { steps: vec![Tell(ButtonDown(button))] }
    }

    /// Releases a button.
    pub fn release(button: Button) -> Self {
        Self { steps: vec![Tell(ButtonUp(button))] }
    }

    /// Moves the pointer and clicks.
    pub fn click(at: Point, button: Button, clicks: Clicks) -> Self {
        let count = match clicks {
            Clicks::Single => 1,
            Clicks::Double => 2,
            Clicks::Triple => 3,
        };
        let mut steps = vec![Tell(Move(at))];
        for number in 0..count {
            if number > 0 {
                steps.push(Pause(CLICK_PAUSE));
            }
            steps.extend([Tell(ButtonDown(button)), Tell(ButtonUp(button))]);
        }
        Self { steps }
    }

    /// Presses a button at `from`, moves in a straight line to `to`, and releases it there.
    pub fn drag(from: Point, to: Point, button: Button) -> Self {
        let between = |start: u32, end: u32, stop: u32| {
            let (start, end) = (i64::from(start), i64::from(end));
            // Between two numbers of 32 bits lies a number of 32 bits.
            (start + (end - start) * i64::from(stop) / i64::from(DRAG_STOPS + 1)) as u32
        };
        let mut steps = vec![Tell(Move(from)), Tell(ButtonDown(button))];
        for stop in 1..=DRAG_STOPS {
            let point = Point::new(between(from.x, to.x, stop), between(from.y, to.y, stop));
            steps.extend([Pause(DRAG_PAUSE), Tell(Move(point))]);
        }
        steps.extend([Pause(DRAG_PAUSE), Tell(Move(to)), Pause(DRAG_PAUSE), Tell(ButtonUp(button))]);
        Self { steps }
    }

    /// Moves the pointer and turns the wheel by `notches`, at most 100.
    pub fn scroll(at: Point, direction: Scroll, notches: u32) -> Result<Self, GestureRefused> {
        if notches > MOST_NOTCHES {
            return Err(GestureRefused::ScrollTooFar { asked: notches });
        }
        let turn = match direction {
            Scroll::Up | Scroll::Left => Tell(WheelUp),
            Scroll::Down | Scroll::Right => Tell(WheelDown),
        };
        // A notch is a press and a release of the wheel.
        let notches = paced((0..notches).map(|_| (2, vec![turn])));
        let steps = [Tell(Move(at))].into_iter().chain(notches).collect();
        let turned = Self { steps };
        Ok(match direction {
            Scroll::Up | Scroll::Down => turned,
            Scroll::Left | Scroll::Right => turned.holding(&Key::SHIFT.into()),
        })
    }

    /// Presses a key, until [`Self::key_up`].
    pub fn key_down(key: Key) -> Self {
        Self { steps: vec![Tell(KeyDown(key))] }
    }

    /// Releases a key.
    pub fn key_up(key: Key) -> Self {
        Self { steps: vec![Tell(KeyUp(key))] }
    }

    /// Presses and releases a chord.
    pub fn key(chord: &KeyChord) -> Self {
        Self { steps: Vec::new() }.holding(chord)
    }

    /// Holds a chord for a while, at most 100 s. It is let go before when nobody waits for it any more.
    pub fn hold_key(chord: &KeyChord, duration: Duration) -> Result<Self, GestureRefused> {
        if duration > LONGEST_HOLD {
            return Err(GestureRefused::HoldTooLong { asked: duration });
        }
        Ok(Self { steps: vec![Hold(duration)] }.holding(chord))
    }

    /// Types text by the keys of the US layout; a line feed is Return, a tabulator is Tab.
    pub fn text(text: &str) -> Result<Self, NotOnKeyboard> {
        let mut lacking = Vec::new();
        let mut strokes = Vec::new();
        for character in text.chars() {
            match stroke(character) {
                Some(stroke) => strokes.push(stroke),
                None if lacking.contains(&character) => {}
                None => lacking.push(character),
            }
        }
        if !lacking.is_empty() {
            return Err(NotOnKeyboard { characters: lacking });
        }
        let steps = paced(strokes.into_iter().map(|stroke| {
            let press = Self { steps: vec![Tell(KeyDown(stroke.key)), Tell(KeyUp(stroke.key))] };
            let steps = match stroke.level {
                Level::Plain => press.steps,
                Level::Shifted => press.holding(&Key::SHIFT.into()).steps,
            };
            (steps.len(), steps)
        }));
        Ok(Self { steps })
    }

    /// The same gesture while a chord is held, as for a click with Ctrl.
    #[must_use]
    pub fn holding(self, chord: &KeyChord) -> Self {
        let press = chord.keys().iter().map(|key| Tell(KeyDown(*key)));
        let release = chord.keys().iter().rev().map(|key| Tell(KeyUp(*key)));
        Self { steps: press.chain(self.steps).chain(release).collect() }
    }

    /// The places it takes the pointer to.
    pub(crate) fn points(&self) -> impl Iterator<Item = Point> {
        self.steps.iter().filter_map(|step| match step {
            Tell(Move(point)) => Some(*point),
            Tell(ButtonDown(_) | ButtonUp(_) | WheelUp | WheelDown | KeyDown(_) | KeyUp(_))
            | Pause(_)
            | Hold(_)
            | AwaitEcho => None,
        })
    }

    pub(crate) fn steps(&self) -> &[Step] {
        &self.steps
    }
}

/// Puts a wait between steps wherever more than a burst of events would go out at once.
///
/// Each group is given with the number of events the devices see of it, and is never divided.
fn paced(groups: impl Iterator<Item = (usize, Vec<Step>)>) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut told = 0;
    for (events, group) in groups {
        if told + events > BURST {
            steps.push(AwaitEcho);
            told = 0;
        }
        told += events;
        steps.extend(group);
    }
    steps
}

/// What to tell the devices so that nothing stays pressed after `tried`, of which the last step failed.
///
/// A press that failed may have arrived all the same, and a release that failed may not have: both are released.
pub(crate) fn releases(tried: &[Step]) -> Vec<DeviceEvent> {
    let mut held = Vec::new();
    for (index, step) in tried.iter().enumerate() {
        match step {
            Tell(ButtonDown(button)) => held.push(ButtonUp(*button)),
            Tell(KeyDown(key)) => held.push(KeyUp(*key)),
            Tell(up @ (ButtonUp(_) | KeyUp(_))) if index + 1 < tried.len() => {
                held.retain(|release| release != up);
            }
            Tell(ButtonUp(_) | KeyUp(_) | Move(_) | WheelUp | WheelDown) | Pause(_) | Hold(_) | AwaitEcho => {
            }
        }
    }
    held.reverse();
    held
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CTRL: Key = Key::numbered(0x1d);
    const T: Key = Key::numbered(0x14);

    #[test]
    fn a_chord_is_released_in_the_opposite_order() {
        let steps = [
            Tell(KeyDown(CTRL)),
            Tell(KeyDown(Key::SHIFT)),
            Tell(KeyDown(T)),
            Tell(KeyUp(T)),
            Tell(KeyUp(Key::SHIFT)),
            Tell(KeyUp(CTRL)),
        ];
        assert_eq!(Gesture::key(&"ctrl+shift+t".parse().unwrap()).steps(), steps);
    }

    #[test]
    fn a_double_click_with_ctrl_moves_once_and_clicks_twice() {
        let at = Point::new(5, 6);
        let gesture = Gesture::click(at, Button::Left, Clicks::Double).holding(&"ctrl".parse().unwrap());
        let (down, up) = (Tell(ButtonDown(Button::Left)), Tell(ButtonUp(Button::Left)));
        let pause = Pause(CLICK_PAUSE);
        let steps = [Tell(KeyDown(CTRL)), Tell(Move(at)), down, up, pause, down, up, Tell(KeyUp(CTRL))];
        assert_eq!(gesture.steps(), steps);
    }

    #[test]
    fn a_drag_goes_straight_and_ends_where_it_should() {
        let gesture = Gesture::drag(Point::new(90, 0), Point::new(0, 18), Button::Left);
        let expected: Vec<_> = (0..10).map(|stop| Point::new(90 - 10 * stop, 2 * stop)).collect();
        assert_eq!(gesture.points().collect::<Vec<_>>(), expected);
        assert_eq!(gesture.steps().last(), Some(&Tell(ButtonUp(Button::Left))));
    }

    #[test]
    fn scrolling_sideways_holds_shift() {
        let at = Point::new(1, 1);
        let gesture = Gesture::scroll(at, Scroll::Right, 2).unwrap();
        let (down, up) = (Tell(KeyDown(Key::SHIFT)), Tell(KeyUp(Key::SHIFT)));
        assert_eq!(gesture.steps(), [down, Tell(Move(at)), Tell(WheelDown), Tell(WheelDown), up]);
    }

    #[test]
    fn what_would_take_too_long_is_refused() {
        let asked = Duration::from_secs(101);
        assert_eq!(
            Gesture::hold_key(&"a".parse().unwrap(), asked),
            Err(GestureRefused::HoldTooLong { asked })
        );
        assert_eq!(
            Gesture::scroll(Point::new(0, 0), Scroll::Up, 101),
            Err(GestureRefused::ScrollTooFar { asked: 101 })
        );
    }

    #[test]
    fn characters_the_layout_lacks_are_all_named_and_nothing_is_typed() {
        let refused = Gesture::text("5 € für ä und ü").unwrap_err();
        assert_eq!(refused, NotOnKeyboard { characters: vec!['€', 'ü', 'ä'] });
        assert_eq!(refused.to_string(), "the US keyboard layout has no key for ['€', 'ü', 'ä']");
    }

    #[test]
    fn shift_is_held_for_the_one_character_that_needs_it() {
        let keys = Gesture::text("tT").unwrap().steps;
        let (down, up) = (Tell(KeyDown(T)), Tell(KeyUp(T)));
        assert_eq!(keys, [down, up, Tell(KeyDown(Key::SHIFT)), down, up, Tell(KeyUp(Key::SHIFT))]);
    }

    #[test]
    fn text_waits_for_a_sign_of_life_after_each_burst_and_not_at_its_end() {
        let waits = |text: &str| {
            let steps = Gesture::text(text).unwrap().steps;
            let bursts: Vec<_> = steps.split(|step| *step == AwaitEcho).map(<[Step]>::len).collect();
            bursts
        };
        assert_eq!(waits("abcd"), [8]);
        assert_eq!(waits("abcde"), [8, 2]);
        assert_eq!(waits("aBcDe"), [8, 6]);
        assert_eq!(waits("AB"), [8]);
        let far = Gesture::scroll(Point::new(0, 0), Scroll::Down, 100).unwrap();
        assert_eq!(far.steps.iter().filter(|step| **step == AwaitEcho).count(), 24);
    }

    proptest! {
        #[test]
        fn wherever_a_gesture_breaks_off_what_was_pressed_is_released_last_first(
            text in "[a-zA-Z!?]{0,4}", broken in 0..40usize,
        ) {
            let chord = "ctrl+alt".parse().unwrap();
            let gesture = Gesture::text(&text).unwrap().holding(&chord);
            let tried = &gesture.steps()[..broken.min(gesture.steps().len())];
            let mut held = Vec::new();
            // A release that failed may not have reached the guest; every other step has.
            for step in tried.iter().take(tried.len().saturating_sub(1)).chain(tried.last().filter(|last| {
                !matches!(last, Tell(KeyUp(_)))
            })) {
                match step {
                    Tell(KeyDown(key)) => held.push(*key),
                    Tell(KeyUp(key)) => { prop_assert_eq!(held.pop(), Some(*key)); }
                    _ => {}
                }
            }
            let expected: Vec<_> = held.into_iter().rev().map(KeyUp).collect();
            prop_assert_eq!(releases(tried), expected);
        }
    }
}
