//! A desktop's panel on the session bus: it shows notifications and has a place for the app's icon, and polices both. What
//! it is asked is printed, one line of JSON each; lines on its standard input are a person's clicks:
//! `{"do":"click","id":1}`, `{"do":"activate"}`, `{"do":"look"}`. The tests of the desktop window use it.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program of tests: a failed step ends it, and what it saw is what it prints"
)]

use std::collections::{BTreeMap, HashMap};

use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use zbus::message::Type;
use zbus::{Connection, Message, MessageStream, OwnedVariant, Variant};

const NOTIFICATIONS: &str = "org.freedesktop.Notifications";
const NOTIFICATIONS_PATH: &str = "/org/freedesktop/Notifications";
const WATCHER: &str = "org.kde.StatusNotifierWatcher";
const ITEM: &str = "org.kde.StatusNotifierItem";
const ITEM_PATH: &str = "/StatusNotifierItem";

/// What `Notify` brings (Desktop Notifications Specification 1.2): application, replaced number, icon, title, body,
/// actions, hints, time.
type Notify = (String, u32, String, String, String, Vec<String>, HashMap<String, OwnedVariant>, i32);

#[derive(Default)]
struct Panel {
    /// The notifications that are shown: number and title.
    shown: BTreeMap<u32, String>,
    last: u32,
    /// The bus name of the app's icon.
    icon: Option<String>,
}

fn say(value: &Value) {
    println!("{value}");
}

/// Prints a breach; the test that reads it fails.
fn police(rule: &str, holds: bool) {
    if !holds {
        say(&json!({ "breach": rule }));
    }
}

impl Panel {
    fn notify(&mut self, body: Notify) -> u32 {
        let (application, replaces, _, title, text, actions, hints, _) = body;
        police("the application has a name", !application.is_empty());
        police("a notification has a title", !title.is_empty());
        police("only what is shown is replaced", replaces == 0 || self.shown.contains_key(&replaces));
        police("actions come in pairs of key and label", actions.len().is_multiple_of(2));
        police("a click has an action", actions.first().is_some_and(|action| action == "default"));
        police("the application is named by its desktop entry", hints.contains_key("desktop-entry"));
        police("text is no markup", !text.contains('<'));
        let id = if replaces == 0 {
            self.last += 1;
            self.last
        } else {
            replaces
        };
        self.shown.insert(id, title.clone());
        say(&json!({ "notified": { "id": id, "replaces": replaces, "title": title, "body": text } }));
        id
    }

    async fn heard(&mut self, bus: &Connection, message: &Message) -> zbus::Result<()> {
        let header = message.header();
        let interface = header.interface().map(|name| name.as_str().to_owned()).unwrap_or_default();
        let member = header.member().map(|name| name.as_str().to_owned()).unwrap_or_default();
        match (interface.as_str(), member.as_str()) {
            (NOTIFICATIONS, "GetCapabilities") => {
                bus.reply(&header, &(vec!["body", "body-markup", "actions", "persistence"],)).await?;
            }
            (NOTIFICATIONS, "GetServerInformation") => {
                bus.reply(&header, &("panel", "nightshift", "1", "1.2")).await?;
            }
            (NOTIFICATIONS, "Notify") => {
                let id = self.notify(message.body().deserialize()?);
                bus.reply(&header, &(id,)).await?;
            }
            (NOTIFICATIONS, "CloseNotification") => {
                let (id,): (u32,) = message.body().deserialize()?;
                police("only what was shown is closed", id > 0 && id <= self.last);
                self.shown.remove(&id);
                bus.reply(&header, &()).await?;
                say(&json!({ "closed": id }));
                let told = &(id, 3_u32);
                bus.emit_signal(None::<&str>, NOTIFICATIONS_PATH, NOTIFICATIONS, "NotificationClosed", told)
                    .await?;
            }
            (WATCHER, "RegisterStatusNotifierItem") => {
                let (service,): (String,) = message.body().deserialize()?;
                let sender = header.sender().map(|name| name.as_str().to_owned()).unwrap_or_default();
                self.icon = Some(if service.starts_with('/') { sender } else { service.clone() });
                bus.reply(&header, &()).await?;
                say(&json!({ "icon": true }));
            }
            ("org.freedesktop.DBus.Properties", "Get") => {
                let (_, property): (String, String) = message.body().deserialize()?;
                let value = match property.as_str() {
                    "IsStatusNotifierHostRegistered" => Variant::from(true),
                    "ProtocolVersion" => Variant::from(0_i32),
                    _ => Variant::from(Vec::<String>::new()),
                };
                bus.reply(&header, &(value,)).await?;
            }
            ("org.freedesktop.DBus.Properties", "GetAll") => {
                let all = HashMap::from([
                    ("IsStatusNotifierHostRegistered", Variant::from(true)),
                    ("ProtocolVersion", Variant::from(0_i32)),
                    ("RegisteredStatusNotifierItems", Variant::from(Vec::<String>::new())),
                ]);
                bus.reply(&header, &(all,)).await?;
            }
            _ => {
                let name = "org.freedesktop.DBus.Error.UnknownMethod";
                bus.reply_error(&header, name, &(format!("{interface}.{member}"),)).await?;
            }
        }
        Ok(())
    }

    async fn told(&mut self, bus: &Connection, line: &str) -> zbus::Result<()> {
        let order: Value = serde_json::from_str(line).unwrap();
        match order["do"].as_str().unwrap_or_default() {
            "click" => {
                let id = u32::try_from(order["id"].as_u64().unwrap()).unwrap();
                let told = &(id, "default");
                bus.emit_signal(None::<&str>, NOTIFICATIONS_PATH, NOTIFICATIONS, "ActionInvoked", told)
                    .await?;
                self.shown.remove(&id);
                let told = &(id, 2_u32);
                bus.emit_signal(None::<&str>, NOTIFICATIONS_PATH, NOTIFICATIONS, "NotificationClosed", told)
                    .await
            }
            "look" => {
                let Some(icon) = self.icon.as_deref() else { return Ok(()) };
                let of = (ITEM, "Status");
                let properties = "org.freedesktop.DBus.Properties";
                let answer = bus.call_method(Some(icon), ITEM_PATH, Some(properties), "Get", &of).await?;
                let (status,): (OwnedVariant,) = answer.body().deserialize()?;
                let status = String::try_from(status).unwrap_or_default();
                say(&json!({ "tray": status }));
                Ok(())
            }
            "activate" => {
                let Some(icon) = self.icon.as_deref() else { return Ok(()) };
                bus.call_method(Some(icon), ITEM_PATH, Some(ITEM), "Activate", &(0_i32, 0_i32)).await?;
                Ok(())
            }
            other => panic!("a panel cannot {other:?}"),
        }
    }
}

#[tokio::main]
async fn main() {
    let bus = Connection::session().await.unwrap();
    let mut messages = MessageStream::from(&bus);
    bus.request_name(NOTIFICATIONS).await.unwrap();
    bus.request_name(WATCHER).await.unwrap();
    say(&json!({ "ready": true }));
    let mut panel = Panel::default();
    let (read, mut lines) = mpsc::unbounded_channel::<String>();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if read.send(line).is_err() {
                return;
            }
        }
    });
    loop {
        tokio::select! {
            message = messages.next() => {
                let Some(Ok(message)) = message else { return };
                if message.message_type() == Type::MethodCall {
                    panel.heard(&bus, &message).await.unwrap();
                }
            }
            line = lines.recv() => {
                let Some(line) = line else { return };
                // An icon that has gone cannot be clicked.
                let _gone = panel.told(&bus, &line).await;
            }
        }
    }
}
