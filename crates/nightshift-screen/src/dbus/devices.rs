//! The guest's mouse and keyboard.

use serde::Serialize;

use super::CONSOLE;
use crate::input::{Button, Key, Step};

const MOUSE: &str = "org.qemu.Display1.Mouse";
const KEYBOARD: &str = "org.qemu.Display1.Keyboard";

/// The wheel's numbers among the buttons (`org.qemu.Display1.Mouse`).
const WHEEL_UP: u32 = 3;
const WHEEL_DOWN: u32 = 4;

/// The way to them.
#[derive(Debug)]
pub(crate) struct Devices {
    console: zbus::Connection,
}

impl Devices {
    pub(super) fn new(console: zbus::Connection) -> Self {
        Self { console }
    }

    /// Whether QEMU has closed the connection.
    pub(crate) fn closed(&self) -> bool {
        self.console.is_closed()
    }

    /// Does one step and waits until QEMU has taken it.
    pub(crate) async fn apply(&self, step: Step) -> zbus::Result<()> {
        match step {
            Step::Move(point) => self.call(MOUSE, "SetAbsPosition", &(point.x, point.y)).await,
            Step::ButtonDown(button) => self.call(MOUSE, "Press", &(number(button),)).await,
            Step::ButtonUp(button) => self.call(MOUSE, "Release", &(number(button),)).await,
            Step::WheelUp => self.notch(WHEEL_UP).await,
            Step::WheelDown => self.notch(WHEEL_DOWN).await,
            Step::KeyDown(key) => self.key("Press", key).await,
            Step::KeyUp(key) => self.key("Release", key).await,
            Step::Pause(duration) => {
                tokio::time::sleep(duration).await;
                Ok(())
            }
        }
    }

    async fn notch(&self, wheel: u32) -> zbus::Result<()> {
        self.call(MOUSE, "Press", &(wheel,)).await?;
        self.call(MOUSE, "Release", &(wheel,)).await
    }

    async fn key(&self, method: &str, key: Key) -> zbus::Result<()> {
        self.call(KEYBOARD, method, &(key.number(),)).await
    }

    async fn call<B>(&self, interface: &str, method: &str, body: &B) -> zbus::Result<()>
    where
        B: Serialize + zbus::DynamicType,
    {
        self.console.call_method(None::<&str>, CONSOLE, Some(interface), method, body).await.map(|_| ())
    }
}

/// A button's number (`org.qemu.Display1.Mouse`).
fn number(button: Button) -> u32 {
    match button {
        Button::Left => 0,
        Button::Middle => 1,
        Button::Right => 2,
        Button::Back => 5,
        Button::Forward => 6,
    }
}
