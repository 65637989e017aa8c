//! The desktop app as a pure machine.
//!
//! ```text
//!                      refused                        lost (crashed)
//!   Starting ─────────────────▶ Failed      Attached ───────────────▶ Away
//!      │  ▲                       │            │  ▲                     │
//!      │  └───────────────────────┘            │  └─────────────────────┤ attached
//!      │        asked again                    │                        │
//!      └──────────▶ Attached        lost (told to end) ──▶ Stopped ─────┘
//! ```
//!
//! One function makes every transition and says what is to be done. Whatever happens to the window, the owner is let
//! alone: there is no effect that ends it.

use std::collections::{BTreeMap, VecDeque};

use nightshift_protocol::{Overview, OwnerAddress, RunChanged, RunId, RunSummary, UserError};

use crate::navigation::{Navigation, Wish, navigation};
use crate::news::title;
use crate::{Need, News, Place, Preferences, ShellPage, Standing, Tray, TrayRun};

/// So many runs that want nothing any more are remembered: what they wanted is no news a second time.
const REMEMBERED: usize = 2_000;

/// Why the owner does not answer any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// It went without taking its address away: it is started again.
    Crashed,
    /// It ended as it was told: that is a person's wish, and stays so.
    Stopped,
}

/// What happens.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The owner answers.
    Attached(OwnerAddress),
    /// It could not be started or reached.
    Refused(UserError),
    /// It answers, and its UI could not be opened.
    NotOpened(UserError),
    /// It does not answer any more.
    Lost(Loss),
    /// The unfinished runs, as they are when the app attaches.
    Listed(Vec<RunSummary>),
    /// A run is another than before.
    Changed(Box<RunChanged>),
    /// The counts are others than before.
    Counted(Overview),
    /// Somebody wants the window, and something in it: a second start, the tray, a link.
    Asked(Option<Place>),
    /// A run's notification was clicked.
    Clicked(RunId),
    /// A page goes to an address.
    Navigated(String),
    /// Somebody wants an owner that was stopped or failed back.
    StartAsked,
    /// The window's close button.
    CloseAsked,
    /// The window got or lost the person's attention.
    Focused(bool),
    /// There is a tray that shows the icon, or there is none any more.
    TrayShown(bool),
    /// Notifications are turned on or off.
    NotificationsToggled,
    /// Somebody ends the app.
    QuitAsked,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Look for the owner, and start it if there is none.
    Attach,
    /// Show the window's own page.
    Show(ShellPage),
    /// Load the owner's UI with a fresh ticket, at a place; where it is if `None`.
    Open(Option<Place>),
    /// Go to a place in the UI that is loaded.
    Go(Place),
    /// Open an address in the person's browser.
    OpenOutside(String),
    /// Show the window and bring it to the front.
    Raise,
    /// Take the window away; the app stays in the tray.
    Hide,
    /// Show a notification, in place of the run's last one.
    Notify(News),
    /// Take a run's notification away.
    Withdraw(RunId),
    /// Show this in the tray.
    Draw(Tray),
    /// Keep what the person set.
    Keep(Preferences),
    /// End the app.
    Exit,
}

/// What is known of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    need: Option<Need>,
    title: String,
    /// The number of its newest event: a list may be older than a change.
    last_seq: u64,
    /// The position from which on it wants what it wants; orders those that wait.
    since: u64,
    is_final: bool,
    /// Whether its notification is there.
    notified: bool,
}

/// The desktop app.
#[derive(Debug, Clone)]
pub struct Shell {
    tray: Tray,
    /// The owner whose UI the window shows; `None` while it shows its own page.
    owner: Option<OwnerAddress>,
    /// Where the UI begins once there is an owner.
    wanted: Option<Place>,
    tray_shown: bool,
    hidden: bool,
    focused: bool,
    runs: BTreeMap<RunId, Known>,
    ended: VecDeque<RunId>,
    /// Counts arrivals where there is no position.
    arrivals: u64,
}

impl Shell {
    /// Begins; the window is there and shows nothing yet. `asked` is the place that the app was started for.
    pub fn begin(preferences: Preferences, asked: Option<Place>) -> (Self, Vec<Effect>) {
        let shell = Self {
            tray: Tray::new(preferences.notifications),
            owner: None,
            wanted: asked,
            tray_shown: false,
            hidden: false,
            focused: false,
            runs: BTreeMap::new(),
            ended: VecDeque::new(),
            arrivals: 0,
        };
        let effects =
            vec![Effect::Show(ShellPage::Starting), Effect::Draw(shell.tray.clone()), Effect::Attach];
        (shell, effects)
    }

    /// Where the owner is whose pages may be in the window.
    pub fn owner_url(&self) -> Option<&str> {
        self.owner.as_ref().map(|owner| owner.url.as_str())
    }

    /// Takes what happened and returns what is to be done, in this order.
    pub fn handle(&mut self, event: Event) -> Vec<Effect> {
        let before = self.tray.clone();
        let mut effects = self.step(event);
        self.list_waiting();
        if self.tray != before {
            effects.push(Effect::Draw(self.tray.clone()));
        }
        effects
    }

    fn step(&mut self, event: Event) -> Vec<Effect> {
        match event {
            Event::Attached(owner) => self.attached(owner),
            Event::Refused(error) => {
                // The UI, where it is loaded, says itself that the owner is away.
                let page = self.owner.is_none().then_some(Effect::Show(ShellPage::Trouble(error)));
                self.tray.standing = Standing::Failed;
                page.into_iter().collect()
            }
            Event::NotOpened(error) => {
                self.tray.standing = Standing::Failed;
                self.owner = None;
                vec![Effect::Show(ShellPage::Trouble(error))]
            }
            Event::Lost(Loss::Crashed) => {
                self.tray.standing = Standing::Away;
                vec![Effect::Attach]
            }
            Event::Lost(Loss::Stopped) => {
                self.tray.standing = Standing::Stopped;
                self.owner = None;
                vec![Effect::Show(ShellPage::Stopped)]
            }
            Event::Listed(runs) => runs.iter().filter_map(|run| self.listed(run)).collect(),
            Event::Changed(changed) => self.changed(&changed),
            Event::Counted(overview) => {
                self.tray.count(&overview);
                Vec::new()
            }
            Event::Asked(place) => self.asked(place),
            Event::Clicked(run) => {
                let place = match self.runs.get_mut(&run) {
                    Some(known) => {
                        known.notified = false;
                        known.need.as_ref().map(|need| need.place(&run))
                    }
                    None => None,
                };
                // What it wanted is done: the run shows how it went on.
                self.asked(Some(place.unwrap_or(Place::Run { run, at: None })))
            }
            Event::Navigated(address) => match navigation(&address, self.owner_url()) {
                Navigation::Wished(Wish::TryAgain) => self.start(),
                Navigation::Wished(Wish::SignIn) => vec![Effect::Open(None)],
                Navigation::Wished(Wish::Quit) => vec![Effect::Exit],
                Navigation::Outside(address) => vec![Effect::OpenOutside(address)],
                Navigation::Link(link) => {
                    Place::from_link(&link).map_or_else(|_| Vec::new(), |place| self.asked(Some(place)))
                }
                Navigation::Inside | Navigation::Refused => Vec::new(),
            },
            Event::StartAsked => [self.start(), self.asked(None)].concat(),
            Event::CloseAsked if self.tray_shown => {
                self.hidden = true;
                self.focused = false;
                vec![Effect::Hide]
            }
            // Without a tray nobody could find the app again. The work goes on in either case.
            Event::CloseAsked | Event::QuitAsked => vec![Effect::Exit],
            Event::Focused(focused) => {
                self.focused = focused;
                Vec::new()
            }
            Event::TrayShown(shown) => {
                self.tray_shown = shown;
                if self.hidden && !shown { self.raise() } else { Vec::new() }
            }
            Event::NotificationsToggled => {
                self.tray.notifications = !self.tray.notifications;
                let keep = Effect::Keep(Preferences { notifications: self.tray.notifications });
                let withdrawn = if self.tray.notifications { Vec::new() } else { self.withdraw_all() };
                [vec![keep], withdrawn].concat()
            }
        }
    }

    fn attached(&mut self, owner: OwnerAddress) -> Vec<Effect> {
        self.tray.standing = Standing::Attached;
        let wanted = self.wanted.take();
        match self.owner.replace(owner.clone()) {
            // The UI has found it again by itself: address and session are the same.
            Some(before) if before.url == owner.url && before.token == owner.token => {
                wanted.map(Effect::Go).into_iter().collect()
            }
            Some(_) => vec![Effect::Open(wanted)],
            None => vec![Effect::Open(Some(wanted.unwrap_or(Place::Home)))],
        }
    }

    /// Looks for the owner anew, where that is not done already.
    fn start(&mut self) -> Vec<Effect> {
        match self.tray.standing {
            Standing::Starting | Standing::Away | Standing::Attached => Vec::new(),
            Standing::Stopped | Standing::Failed => {
                self.tray.standing = Standing::Starting;
                let page = self.owner.is_none().then_some(Effect::Show(ShellPage::Starting));
                page.into_iter().chain([Effect::Attach]).collect()
            }
        }
    }

    fn asked(&mut self, place: Option<Place>) -> Vec<Effect> {
        let go = match (place, self.tray.standing, &self.owner) {
            (Some(place), Standing::Attached, Some(_)) => vec![Effect::Go(place)],
            (place, _, _) => {
                self.wanted = place.or(self.wanted.take());
                // Who starts the app again wants it to work; one that was stopped stays so until somebody says so.
                if self.tray.standing == Standing::Failed { self.start() } else { Vec::new() }
            }
        };
        [go, self.raise()].concat()
    }

    fn raise(&mut self) -> Vec<Effect> {
        self.hidden = false;
        vec![Effect::Raise]
    }

    fn changed(&mut self, changed: &RunChanged) -> Vec<Effect> {
        let run = &changed.run;
        let (before, notified) = match self.runs.get(&run.run) {
            // Older, or what is known already.
            Some(known) if known.last_seq >= run.last_seq => return Vec::new(),
            Some(known) => (known.need.clone(), known.notified),
            None => (None, false),
        };
        let news = News::of(before.as_ref(), run);
        self.learn(changed.position, run);
        let Some(known) = self.runs.get_mut(&run.run) else { return Vec::new() };
        match news {
            Some(news) if self.tray.notifications && !self.focused => {
                known.notified = true;
                vec![Effect::Notify(news)]
            }
            // It wants something else or nothing now, and what is on the screen is not true any more.
            _ if notified && known.need != before => {
                known.notified = false;
                vec![Effect::Withdraw(run.run.clone())]
            }
            _ => Vec::new(),
        }
    }

    /// Learns what a list says of a run; what was told of it and changed while nobody was attached is withdrawn.
    fn listed(&mut self, run: &RunSummary) -> Option<Effect> {
        let before = self.runs.get(&run.run).and_then(|known| known.need.clone());
        self.learn(0, run);
        let known = self.runs.get_mut(&run.run)?;
        if !known.notified || known.need == before {
            return None;
        }
        known.notified = false;
        Some(Effect::Withdraw(run.run.clone()))
    }

    fn learn(&mut self, position: u64, run: &RunSummary) {
        self.arrivals += 1;
        let need = Need::of(&run.state);
        let before = self.runs.get(&run.run);
        if before.is_some_and(|before| before.last_seq >= run.last_seq) {
            return;
        }
        let (since, notified) = match before {
            Some(before) if before.need == need => (before.since, before.notified),
            Some(before) => (position.max(self.arrivals), before.notified),
            None => (position.max(self.arrivals), false),
        };
        let is_final = run.state.is_final();
        if is_final && !before.is_some_and(|before| before.is_final) {
            self.ended.push_back(run.run.clone());
        }
        let known = Known { need, title: title(run), last_seq: run.last_seq, since, is_final, notified };
        self.runs.insert(run.run.clone(), known);
        while self.ended.len() > REMEMBERED {
            let Some(oldest) = self.ended.pop_front() else { break };
            // One that was taken up again is not over.
            if self.runs.get(&oldest).is_some_and(|known| known.is_final) {
                self.runs.remove(&oldest);
            }
        }
    }

    fn withdraw_all(&mut self) -> Vec<Effect> {
        let notified = |(run, known): (&RunId, &mut Known)| {
            std::mem::take(&mut known.notified).then(|| Effect::Withdraw(run.clone()))
        };
        self.runs.iter_mut().filter_map(notified).collect()
    }

    fn list_waiting(&mut self) {
        let mut waiting: Vec<_> = self
            .runs
            .iter()
            .filter_map(|(run, known)| Some((run, known, known.need.as_ref().filter(|need| need.waits())?)))
            .collect();
        waiting.sort_by_key(|(_, known, _)| known.since);
        self.tray.runs = waiting
            .into_iter()
            .map(|(run, known, need)| TrayRun {
                run: run.clone(),
                label: format!("{}: {}", need.words(), known.title),
                place: need.place(run),
            })
            .collect();
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
