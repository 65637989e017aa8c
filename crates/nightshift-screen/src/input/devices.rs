//! The guest's mouse and keyboard, whatever protocol leads to them.

use super::gesture::DeviceEvent;
use crate::dbus;
#[cfg(feature = "vnc")]
use crate::vnc;

/// The way to them.
#[derive(Debug)]
pub(crate) enum Devices {
    Dbus(dbus::Devices),
    #[cfg(feature = "vnc")]
    Vnc(vnc::Devices),
}

/// Why a device was not told, in its protocol's own words.
pub(crate) type DeviceError = Box<dyn std::error::Error + Send + Sync>;

impl Devices {
    /// Whether the other end has closed the connection.
    pub(crate) fn closed(&self) -> bool {
        match self {
            Self::Dbus(devices) => devices.closed(),
            #[cfg(feature = "vnc")]
            Self::Vnc(devices) => devices.closed(),
        }
    }

    /// Tells a device something and waits until the other end has taken it, as far as the protocol says.
    pub(crate) async fn tell(&self, event: DeviceEvent) -> Result<(), DeviceError> {
        match self {
            Self::Dbus(devices) => Ok(devices.tell(event).await?),
            #[cfg(feature = "vnc")]
            Self::Vnc(devices) => Ok(devices.tell(event).await?),
        }
    }
}
