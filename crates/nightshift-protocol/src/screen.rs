//! What viewer and owner say to each other about a run's screen, beside the pictures (`docs/live-screen.md`).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::UserError;

/// What a viewer says, as JSON in a text message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum ViewerMessage {
    /// It has drawn every update up to this one. Without it no more than two come.
    Acknowledge {
        /// The update's sequence.
        sequence: u32,
    },
    /// The person wants mouse and keyboard; the answer is `lease` or `refused`.
    TakeOver,
    /// The person gives them back.
    HandBack {
        /// What the agent is to know of it; may be empty.
        #[serde(default)]
        note: String,
    },
    /// The pointer moved.
    Pointer {
        /// Pixels from the left edge of the screen.
        x: u32,
        /// Pixels from its upper edge.
        y: u32,
    },
    /// A button was pressed or released.
    Button {
        /// Where.
        x: u32,
        /// Where.
        y: u32,
        /// Which one.
        button: PointerButton,
        /// Whether it was pressed.
        down: bool,
    },
    /// The wheel was turned.
    Wheel {
        /// Where.
        x: u32,
        /// Where.
        y: u32,
        /// Notches to the right; negative to the left.
        #[serde(default)]
        right: i32,
        /// Notches down; negative up.
        #[serde(default)]
        down: i32,
    },
    /// A key was pressed or released. Repeats of a held key are not sent: the guest repeats by itself.
    Key {
        /// The key's place, `KeyboardEvent.code`.
        code: String,
        /// What it means on the person's layout, `KeyboardEvent.key`.
        key: String,
        /// Whether it was pressed.
        down: bool,
    },
    /// Text was composed (an input method, a dead key, an emoji picker): it is typed.
    Text {
        /// The text, at most 10,000 characters.
        text: String,
    },
    /// The guest's clipboard is to hold this.
    SetClipboard {
        /// The text, at most 100,000 characters.
        text: String,
        /// The key that pastes it, pressed and released once it is there. If it cannot be put there, the key is not
        /// pressed: it would paste what the clipboard held before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        press: Option<PressedKey>,
    },
    /// The guest's clipboard is wanted; the answer is `clipboard`.
    GetClipboard,
}

/// A key of a person's keyboard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PressedKey {
    /// Its place, `KeyboardEvent.code`.
    pub code: String,
    /// What it means on the person's layout, `KeyboardEvent.key`.
    pub key: String,
}

/// A button of the mouse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum PointerButton {
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

/// What the owner says, as JSON in a text message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum ScreenMessage {
    /// Nothing can be shown at the moment. The next update is a key frame.
    Dark {
        /// Why, for a person.
        reason: String,
        /// Whether nothing will come any more: the run is over.
        over: bool,
    },
    /// The pointer was moved there, by the agent or a person.
    Pointer {
        /// Pixels from the left edge.
        x: u32,
        /// Pixels from the upper edge.
        y: u32,
    },
    /// A button was pressed there.
    Press {
        /// Pixels from the left edge.
        x: u32,
        /// Pixels from the upper edge.
        y: u32,
    },
    /// Who has mouse and keyboard.
    Lease {
        /// Who.
        holder: LeaseHolder,
    },
    /// What the guest's clipboard holds.
    Clipboard {
        /// The text, cut to 100,000 characters.
        text: String,
    },
    /// What the viewer asked for was not done.
    Refused {
        /// Why, and what to do.
        error: UserError,
    },
}

/// Who has a run's mouse and keyboard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum LeaseHolder {
    /// The agent, when it works.
    Agent,
    /// The person at this viewer.
    You,
    /// A person at another viewer.
    Somebody,
}
