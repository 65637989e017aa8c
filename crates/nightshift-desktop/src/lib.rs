//! What the desktop window decides, and what it says to the desktop: tray, notifications, a second start.
//!
//! It never draws a window and knows no toolkit, so that all of it is tested without one; `app/` carries out what
//! [`Shell`] decides. It never acts on a run: whatever a link, a notification or a menu leads to is a place of the UI,
//! where a person acts.

mod badge;
mod instance;
mod navigation;
mod news;
mod notifications;
mod outside;
mod page;
mod place;
mod preferences;
mod shell;
mod tray;
mod tray_item;
mod watch;

pub use badge::{Picture, badge};
pub use instance::{First, Instance, InstanceError, Told, claim};
pub use navigation::{Navigation, Wish, navigation};
pub use news::{Need, NeedKind, News};
pub use notifications::{Order, notifications};
pub use outside::Outside;
pub use page::ShellPage;
pub use place::{LinkRefused, Place};
pub use preferences::Preferences;
pub use shell::{Effect, Event, Loss, Shell};
pub use tray::{Entry, Standing, Tray, TrayRun};
pub use tray_item::{TrayIcon, tray};
pub use watch::{Watched, watch};
