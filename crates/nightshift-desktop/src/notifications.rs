//! Notifications of the desktop (Desktop Notifications Specification 1.2), over the session bus.

use std::collections::HashMap;
use std::num::NonZero;

use futures_util::StreamExt;
use nightshift_protocol::RunId;
use serde::Serialize;
use tokio::sync::mpsc;
use zbus::message::Type;
use zbus::{Connection, MatchRule, Message, MessageStream, Variant};

use crate::{Event, News};

/// The name of the installed `.desktop` file and icon.
const DESKTOP_ENTRY: &str = "nightshift";

/// Never: a question stays until it is answered. Desktops that fade them out keep a list.
const STAYS: i32 = 0;

/// So many notifications are known by their number; older ones open nothing any more.
const KNOWN: usize = 500;

/// What is to be done with notifications.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Show one, in place of the run's last.
    Show(News),
    /// Take the run's away.
    Withdraw(RunId),
}

/// The desktop's side: bus name and interface, and the object.
const NAME: &str = "org.freedesktop.Notifications";
const PATH: &str = "/org/freedesktop/Notifications";

/// So many signals may wait to be read.
const SIGNALS: usize = 64;

/// Which run each notification on the screen is of.
#[derive(Debug, Default)]
struct Shown(HashMap<RunId, u32>);

impl Shown {
    fn keep(&mut self, run: RunId, id: u32) {
        if self.0.len() >= KNOWN
            && let Some(oldest) = self.0.iter().min_by_key(|(_, id)| **id).map(|(run, _)| run.clone())
        {
            self.0.remove(&oldest);
        }
        self.0.insert(run, id);
    }

    fn run(&self, id: u32) -> Option<RunId> {
        self.0.iter().find(|(_, shown)| **shown == id).map(|(run, _)| run.clone())
    }

    fn forget(&mut self, id: u32) {
        self.0.retain(|_, shown| *shown != id);
    }
}

/// Carries out `orders` until there are no more, and tells `happened` what is clicked.
///
/// A desktop without notifications is no error: each is tried, and what fails is logged.
///
/// # Errors
///
/// When the bus cannot be listened to.
pub async fn notifications(
    bus: &Connection,
    mut orders: mpsc::Receiver<Order>,
    happened: impl Fn(Event),
) -> zbus::Result<()> {
    let rule = MatchRule::builder().msg_type(Type::Signal).interface(NAME).path(PATH).build()?;
    let mut signals = MessageStream::for_match_rule(rule, bus, NonZero::new(SIGNALS)).await?;
    let mut shown = Shown::default();
    loop {
        tokio::select! {
            order = orders.recv() => match order {
                None => return Ok(()),
                Some(Order::Show(news)) => match show(bus, &news, shown.0.get(&news.run).copied()).await {
                    Ok(id) => shown.keep(news.run, id),
                    Err(error) => tracing::warn!(%error, "a notification was not shown"),
                },
                Some(Order::Withdraw(run)) => if let Some(id) = shown.0.remove(&run) {
                    // One that is gone already is gone.
                    let _closed = call(bus, "CloseNotification", &(id,)).await;
                },
            },
            signal = signals.next() => {
                let Some(signal) = signal else { return Ok(()) };
                let Ok(signal) = signal else { continue };
                match heard(&signal) {
                    Some(Heard::Invoked(id)) => if let Some(run) = shown.run(id) {
                        shown.forget(id);
                        happened(Event::Clicked(run));
                    },
                    Some(Heard::Closed(id)) => shown.forget(id),
                    None => {}
                }
            },
        }
    }
}

/// A signal of the desktop.
enum Heard {
    /// The notification with this number was clicked; there is one action.
    Invoked(u32),
    /// It is gone.
    Closed(u32),
}

fn heard(signal: &Message) -> Option<Heard> {
    let header = signal.header();
    match header.member()?.as_str() {
        "ActionInvoked" => {
            signal.body().deserialize::<(u32, String)>().ok().map(|(id, _)| Heard::Invoked(id))
        }
        "NotificationClosed" => {
            signal.body().deserialize::<(u32, u32)>().ok().map(|(id, _)| Heard::Closed(id))
        }
        _ => None,
    }
}

async fn call<B>(bus: &Connection, method: &str, body: &B) -> zbus::Result<Message>
where
    B: Serialize + zbus::DynamicType,
{
    bus.call_method(Some(NAME), PATH, Some(NAME), method, body).await
}

async fn show(bus: &Connection, news: &News, replaces: Option<u32>) -> zbus::Result<u32> {
    let capabilities: Vec<String> = call(bus, "GetCapabilities", &()).await?.body().deserialize()?;
    let markup = capabilities.iter().any(|capability| capability == "body-markup");
    let body = if markup { escape(&news.body) } else { news.body.clone() };
    let hints = HashMap::from([
        ("desktop-entry", Variant::from(DESKTOP_ENTRY)),
        // Normal.
        ("urgency", Variant::from(1_u8)),
    ]);
    let actions = ["default", "Open"];
    let replaces = replaces.unwrap_or(0);
    let notification = (
        "Nightshift",
        replaces,
        DESKTOP_ENTRY,
        news.title.as_str(),
        body.as_str(),
        &actions[..],
        hints,
        STAYS,
    );
    call(bus, "Notify", &notification).await?.body().deserialize()
}

/// The text for a desktop that reads markup in it.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_s_words_are_no_markup() {
        assert_eq!(escape("<a href=\"x\">&amp;</a>"), "&lt;a href=\"x\"&gt;&amp;amp;&lt;/a&gt;");
    }

    #[test]
    fn a_run_has_one_notification_and_not_endlessly_many_are_known() {
        let run = |number: usize| -> RunId { format!("run-{number:010}").parse().unwrap() };
        let mut shown = Shown::default();
        for number in 0..KNOWN + 10 {
            shown.keep(run(number), number as u32 + 1);
        }
        assert_eq!((shown.0.len(), shown.run(1), shown.run(20)), (KNOWN, None, Some(run(19))));
        shown.keep(run(19), 9_000);
        assert_eq!((shown.run(20), shown.run(9_000)), (None, Some(run(19))));
        shown.forget(9_000);
        assert_eq!(shown.run(9_000), None);
    }
}
