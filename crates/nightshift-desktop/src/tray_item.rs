//! The icon in the tray (StatusNotifierItem), over the session bus.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ksni::menu::{CheckmarkItem, StandardItem};
use ksni::{Category, Icon, MenuItem, OfflineReason, Status, ToolTip, TrayMethods};
use tokio::sync::watch;

use crate::{Entry, Event, Tray, badge};

/// What the tray draws, and whom it tells.
pub struct TrayIcon {
    tray: Tray,
    /// The icon as PNG files.
    icons: &'static [&'static [u8]],
    happened: Arc<dyn Fn(Event) + Send + Sync>,
    shown: Arc<AtomicBool>,
}

impl std::fmt::Debug for TrayIcon {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("TrayIcon").field("tray", &self.tray).finish_non_exhaustive()
    }
}

impl ksni::Tray for TrayIcon {
    fn id(&self) -> String {
        "nightshift".to_owned()
    }

    fn category(&self) -> Category {
        Category::ApplicationStatus
    }

    fn title(&self) -> String {
        "Nightshift".to_owned()
    }

    fn status(&self) -> Status {
        if self.tray.badge() > 0 { Status::NeedsAttention } else { Status::Active }
    }

    fn icon_pixmap(&self) -> Vec<Icon> {
        self.pixmaps()
    }

    fn attention_icon_pixmap(&self) -> Vec<Icon> {
        self.pixmaps()
    }

    fn tool_tip(&self) -> ToolTip {
        ToolTip { title: "Nightshift".to_owned(), description: self.tray.summary(), ..ToolTip::default() }
    }

    fn activate(&mut self, _x: i32, _y: i32) {
        (self.happened)(Event::Asked(None));
    }

    fn menu(&self) -> Vec<MenuItem<Self>> {
        self.tray.menu().into_iter().map(item).collect()
    }

    fn watcher_online(&self) {
        self.tell_shown(true);
    }

    fn watcher_offline(&self, _reason: OfflineReason) -> bool {
        self.tell_shown(false);
        true
    }
}

impl TrayIcon {
    fn pixmaps(&self) -> Vec<Icon> {
        let pictures = self.icons.iter().filter_map(|icon| badge(icon, self.tray.badge()));
        pictures
            .filter_map(|picture| {
                let side = i32::try_from(picture.side).ok()?;
                Some(Icon { width: side, height: side, data: picture.argb })
            })
            .collect()
    }

    fn tell_shown(&self, shown: bool) {
        self.shown.store(shown, Ordering::SeqCst);
        (self.happened)(Event::TrayShown(shown));
    }
}

fn item(entry: Entry) -> MenuItem<TrayIcon> {
    let standard = |label: &str, enabled: bool, event: Option<Event>| {
        MenuItem::Standard(StandardItem {
            // An underscore marks an access key.
            label: label.replace('_', "__"),
            enabled,
            activate: Box::new(move |icon: &mut TrayIcon| {
                if let Some(event) = event.clone() {
                    (icon.happened)(event);
                }
            }),
            ..StandardItem::default()
        })
    };
    match entry {
        Entry::Words(words) => standard(&words, false, None),
        Entry::Open(label, place) => standard(&label, true, Some(Event::Asked(Some(place)))),
        Entry::Separator => MenuItem::Separator,
        Entry::Notifications(on) => MenuItem::Checkmark(CheckmarkItem {
            label: "Notifications".to_owned(),
            checked: on,
            activate: Box::new(|icon: &mut TrayIcon| (icon.happened)(Event::NotificationsToggled)),
            ..CheckmarkItem::default()
        }),
        Entry::Start => standard("Start it again", true, Some(Event::StartAsked)),
        Entry::Quit => standard("Quit (runs go on)", true, Some(Event::QuitAsked)),
    }
}

/// Shows what `trays` holds until its sender is gone, and tells `happened` what is clicked and whether there is a tray.
///
/// A desktop without a tray is no error; one that gets its tray later shows the icon then.
pub async fn tray(
    mut trays: watch::Receiver<Tray>,
    icons: &'static [&'static [u8]],
    happened: Arc<dyn Fn(Event) + Send + Sync>,
) {
    let shown = Arc::new(AtomicBool::new(true));
    let icon = TrayIcon {
        tray: trays.borrow_and_update().clone(),
        icons,
        happened: Arc::clone(&happened),
        shown: Arc::clone(&shown),
    };
    let handle = match icon.assume_sni_available(true).spawn().await {
        Ok(handle) => handle,
        Err(error) => {
            tracing::warn!(%error, "there is no tray");
            return;
        }
    };
    // Who does not watch at the beginning says so before it is there; who does says nothing.
    if shown.load(Ordering::SeqCst) {
        happened(Event::TrayShown(true));
    }
    while trays.changed().await.is_ok() {
        let tray = trays.borrow_and_update().clone();
        handle.update(move |icon| icon.tray = tray).await;
    }
    handle.shutdown().await;
}
