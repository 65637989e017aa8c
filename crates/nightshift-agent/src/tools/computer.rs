//! Screen, mouse and keyboard. Action and field names are those of Anthropic's `computer_toolset_20260801`, so that
//! a client of a model trained on it translates one to one.

use super::fields::{Fields, InputError};

/// Every action, in the order the schema lists them.
pub(super) const ACTIONS: [&str; 17] = [
    "screenshot",
    "zoom",
    "mouse_move",
    "left_click",
    "right_click",
    "middle_click",
    "double_click",
    "triple_click",
    "left_click_drag",
    "left_mouse_down",
    "left_mouse_up",
    "scroll",
    "type",
    "key",
    "hold_key",
    "wait",
    "cursor_position",
];

/// Seconds a key can be held or a wait can last.
pub(super) const MAX_SECONDS: u32 = 60;
/// Notches of the wheel in one action.
pub(super) const MAX_SCROLL: u64 = 50;
/// Characters typed in one action.
pub(super) const MAX_TYPED: usize = 5_000;
/// Characters of a combination of keys.
const MAX_KEYS: usize = 100;

/// A pixel of the screen, from the top left corner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// Pixels from the left, less than the screen's width.
    pub x: u32,
    /// Pixels from the top, less than the screen's height.
    pub y: u32,
}

/// A part of the screen with at least one pixel in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// The first column.
    pub left: u32,
    /// The first row.
    pub top: u32,
    /// The column after the last, at most the screen's width.
    pub right: u32,
    /// The row after the last, at most the screen's height.
    pub bottom: u32,
}

/// A button of the mouse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MouseButton {
    /// The left one.
    Left,
    /// The right one.
    Right,
    /// The middle one.
    Middle,
}

/// How often a button is clicked in quick succession.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClickCount {
    /// Once.
    Single,
    /// Twice.
    Double,
    /// Three times.
    Triple,
}

/// Where the wheel turns to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScrollDirection {
    /// Towards the page's beginning.
    Up,
    /// Towards the page's end.
    Down,
    /// To the left.
    Left,
    /// To the right.
    Right,
}

/// One action on the screen. Keys are names as the X Window System has them, joined by `+`, for example
/// `ctrl+shift+t`; who presses them checks the names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ComputerAction {
    /// Take a picture of the whole screen.
    Screenshot,
    /// Take a picture of a part of the screen at full resolution.
    Zoom {
        /// Which part.
        region: Region,
    },
    /// Move the pointer.
    MouseMove {
        /// Where to.
        to: Point,
    },
    /// Click.
    Click {
        /// Which button.
        button: MouseButton,
        /// How often.
        count: ClickCount,
        /// Where; where the pointer is when `None`.
        at: Option<Point>,
        /// Keys held meanwhile.
        modifiers: Option<String>,
    },
    /// Drag with the left button.
    Drag {
        /// Where the button goes down.
        from: Point,
        /// Where it goes up.
        to: Point,
        /// Keys held meanwhile.
        modifiers: Option<String>,
    },
    /// Press the left button and keep it down.
    LeftMouseDown,
    /// Let the left button go.
    LeftMouseUp,
    /// Turn the wheel.
    Scroll {
        /// Where; where the pointer is when `None`.
        at: Option<Point>,
        /// Which way.
        direction: ScrollDirection,
        /// How many notches, 1 to 50.
        notches: u8,
        /// Keys held meanwhile.
        modifiers: Option<String>,
    },
    /// Type a text.
    Type {
        /// The text, 1 to 5,000 characters.
        text: String,
    },
    /// Press and release keys together.
    Key {
        /// The keys.
        keys: String,
    },
    /// Hold keys down for a while.
    HoldKey {
        /// The keys.
        keys: String,
        /// How long, in milliseconds, 1 to 60,000.
        duration_ms: u64,
    },
    /// Do nothing for a while.
    Wait {
        /// How long, in milliseconds, 1 to 60,000.
        duration_ms: u64,
    },
    /// Tell where the pointer is.
    CursorPosition,
}

pub(super) fn action(mut fields: Fields<'_>, screen: (u32, u32)) -> Result<ComputerAction, InputError> {
    let action = match fields.action(&ACTIONS)? {
        "screenshot" => ComputerAction::Screenshot,
        "zoom" => ComputerAction::Zoom { region: fields.region("region", screen) },
        "mouse_move" => ComputerAction::MouseMove { to: fields.point("coordinate", screen) },
        "left_click" => click(&mut fields, screen, MouseButton::Left, ClickCount::Single),
        "right_click" => click(&mut fields, screen, MouseButton::Right, ClickCount::Single),
        "middle_click" => click(&mut fields, screen, MouseButton::Middle, ClickCount::Single),
        "double_click" => click(&mut fields, screen, MouseButton::Left, ClickCount::Double),
        "triple_click" => click(&mut fields, screen, MouseButton::Left, ClickCount::Triple),
        "left_click_drag" => ComputerAction::Drag {
            from: fields.point("start_coordinate", screen),
            to: fields.point("coordinate", screen),
            modifiers: fields.optional_text("text", MAX_KEYS),
        },
        "left_mouse_down" => ComputerAction::LeftMouseDown,
        "left_mouse_up" => ComputerAction::LeftMouseUp,
        "scroll" => ComputerAction::Scroll {
            at: fields.optional_point("coordinate", screen),
            direction: fields.choice(
                "scroll_direction",
                &[
                    ("up", ScrollDirection::Up),
                    ("down", ScrollDirection::Down),
                    ("left", ScrollDirection::Left),
                    ("right", ScrollDirection::Right),
                ],
                ScrollDirection::Down,
            ),
            notches: u8::try_from(fields.whole("scroll_amount", 1..=MAX_SCROLL)).unwrap_or(u8::MAX),
            modifiers: fields.optional_text("text", MAX_KEYS),
        },
        "type" => ComputerAction::Type { text: fields.keystrokes("text", MAX_TYPED) },
        "key" => ComputerAction::Key { keys: fields.text("text", MAX_KEYS) },
        "hold_key" => ComputerAction::HoldKey {
            keys: fields.text("text", MAX_KEYS),
            duration_ms: fields.milliseconds("duration", MAX_SECONDS),
        },
        "wait" => ComputerAction::Wait { duration_ms: fields.milliseconds("duration", MAX_SECONDS) },
        _ => ComputerAction::CursorPosition,
    };
    fields.done(action)
}

fn click(
    fields: &mut Fields<'_>,
    screen: (u32, u32),
    button: MouseButton,
    count: ClickCount,
) -> ComputerAction {
    ComputerAction::Click {
        button,
        count,
        at: fields.optional_point("coordinate", screen),
        modifiers: fields.optional_text("text", MAX_KEYS),
    }
}
