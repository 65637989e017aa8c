//! The window, and the loop that everything that happens goes through.

use std::process::ExitCode;
use std::sync::{Arc, RwLock};

use nightshift_desktop::{
    Event, First, Navigation, Place, Preferences, Shell, Tray, Watched, navigation, notifications, tray,
    watch,
};
use tauri::webview::NewWindowResponse;
use tauri::{AppHandle, RunEvent, WebviewUrl, WebviewWindow, WebviewWindowBuilder, WindowEvent};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use crate::Surroundings;
use crate::carry_out::Hands;

/// The window's name in Tauri.
const WINDOW: &str = "main";

/// The icon, for the tray.
const ICONS: &[&[u8]] = &[include_bytes!("../icons/32x32.png"), include_bytes!("../icons/64x64.png")];

/// Where the owner is whose pages may be in the window; read by the window while it is about to go somewhere.
pub(crate) type OwnerUrl = Arc<RwLock<Option<String>>>;

/// Shows the window until the app ends.
pub(crate) fn run(
    surroundings: Surroundings,
    first: First,
    place: Option<Place>,
) -> Result<ExitCode, String> {
    let (happened, happening) = mpsc::unbounded_channel();
    let owner_url = OwnerUrl::default();
    let app = tauri::Builder::default()
        .build(tauri::generate_context!())
        .map_err(|error| format!("the window cannot be shown: {error}"))?;
    let window = build(app.handle(), &surroundings, &happened, &owner_url)
        .map_err(|error| format!("the window cannot be shown: {error}"))?;
    let handle = app.handle().clone();
    tauri::async_runtime::spawn(live(
        surroundings,
        handle,
        window,
        place,
        owner_url,
        (happened.clone(), happening),
    ));
    tauri::async_runtime::spawn(hear(first, happened.clone()));
    let code = app.run_return(move |_, event| {
        let RunEvent::WindowEvent { event, .. } = event else { return };
        let told = match event {
            WindowEvent::CloseRequested { api, .. } => {
                // What closing means is decided like everything else.
                api.prevent_close();
                Event::CloseAsked
            }
            WindowEvent::Focused(focused) => Event::Focused(focused),
            _ => return,
        };
        let _ended = happened.send(told);
    });
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}

fn build(
    app: &AppHandle,
    surroundings: &Surroundings,
    happened: &UnboundedSender<Event>,
    owner_url: &OwnerUrl,
) -> tauri::Result<WebviewWindow> {
    let goes = {
        let (happened, owner_url) = (happened.clone(), Arc::clone(owner_url));
        move |address: &str| {
            let owner = owner_url.read().ok().and_then(|owner| owner.clone());
            let decided = navigation(address, owner.as_deref());
            if decided != Navigation::Inside {
                let _ended = happened.send(Event::Navigated(address.to_owned()));
            }
            decided == Navigation::Inside
        }
    };
    let opens = goes.clone();
    WebviewWindowBuilder::new(app, WINDOW, WebviewUrl::App("index.html".into()))
        .title("Nightshift")
        .inner_size(1360.0, 860.0)
        .min_inner_size(900.0, 560.0)
        .data_directory(surroundings.folders.data.join("webview"))
        .zoom_hotkeys_enabled(true)
        .disable_drag_drop_handler()
        // The UI leaves to the app what the app does itself, as notifications.
        .initialization_script(format!(
            "Object.defineProperty(window, 'nightshiftApp', {{ value: '{}' }});",
            env!("CARGO_PKG_VERSION")
        ))
        .on_navigation(move |url| goes(url.as_str()))
        .on_new_window(move |url, _| {
            // There is one window. What would open in another one of ours opens nowhere.
            let _never_inside = opens(url.as_str());
            NewWindowResponse::Deny
        })
        .on_document_title_changed(|window, title| {
            let _gone = window.set_title(&title);
        })
        .build()
}

/// Takes what happens, one after the other, until the app ends.
async fn live(
    surroundings: Surroundings,
    app: AppHandle,
    window: WebviewWindow,
    place: Option<Place>,
    owner_url: OwnerUrl,
    (happened, mut happening): (UnboundedSender<Event>, UnboundedReceiver<Event>),
) {
    let file = surroundings.folders.data.join("window.json");
    let preferences = Preferences::read(&file);
    let (mut shell, effects) = Shell::begin(preferences, place);
    let (attach, attaching) = mpsc::channel(4);
    let (orders, ordered) = mpsc::channel(64);
    let (trays, drawn) = tokio::sync::watch::channel(first_tray(&effects));
    let tell = {
        let happened = happened.clone();
        move |event| {
            let _ended = happened.send(event);
        }
    };
    tauri::async_runtime::spawn({
        let (surroundings, tell) = (surroundings.clone(), tell.clone());
        async move {
            let watched = Watched { folders: &surroundings.folders, program: &surroundings.program };
            watch(watched, attaching, tell).await;
        }
    });
    tauri::async_runtime::spawn(tray(drawn, ICONS, Arc::new(tell.clone())));
    tauri::async_runtime::spawn(async move {
        let bus = zbus::Connection::session().await;
        let ended = match bus {
            Ok(bus) => notifications(&bus, ordered, tell).await,
            Err(error) => Err(error),
        };
        if let Err(error) = ended {
            tracing::warn!(%error, "there are no notifications");
        }
    });
    let mut hands = Hands { surroundings, app, window, preferences: file, happened, attach, orders, trays };
    hands.carry_out(effects).await;
    while let Some(event) = happening.recv().await {
        let effects = shell.handle(event);
        if let Ok(mut owner) = owner_url.write() {
            *owner = shell.owner_url().map(str::to_owned);
        }
        hands.carry_out(effects).await;
    }
}

fn first_tray(effects: &[nightshift_desktop::Effect]) -> Tray {
    let drawn = effects.iter().find_map(|effect| match effect {
        nightshift_desktop::Effect::Draw(tray) => Some(tray.clone()),
        _ => None,
    });
    drawn.unwrap_or_else(|| Tray::new(true))
}

/// Hears of later starts.
async fn hear(first: First, happened: UnboundedSender<Event>) {
    loop {
        let told = first.next().await;
        let place = told.link.as_deref().and_then(crate::read_link);
        if happened.send(Event::Asked(place)).is_err() {
            return;
        }
    }
}
