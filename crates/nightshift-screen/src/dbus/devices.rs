//! The guest's mouse and keyboard.

use serde::Serialize;

use super::CONSOLE;
use crate::input::{Button, DeviceEvent, Key};

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

    /// Tells a device something and waits until QEMU has taken it.
    pub(crate) async fn tell(&self, event: DeviceEvent) -> zbus::Result<()> {
        match event {
            DeviceEvent::Move(point) => self.call(MOUSE, "SetAbsPosition", &(point.x, point.y)).await,
            DeviceEvent::ButtonDown(button) => self.call(MOUSE, "Press", &(number(button),)).await,
            DeviceEvent::ButtonUp(button) => self.call(MOUSE, "Release", &(number(button),)).await,
            DeviceEvent::WheelUp => self.notch(WHEEL_UP).await,
            DeviceEvent::WheelDown => self.notch(WHEEL_DOWN).await,
            DeviceEvent::KeyDown(key) => self.key("Press", key).await,
            DeviceEvent::KeyUp(key) => self.key("Release", key).await,
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
