//! What the tray shows: two counts, what waits, and the way to each.

use nightshift_protocol::{Overview, RunId};

use crate::Place;

/// So many waiting runs are in the menu; the rest is behind "all of them".
const SHOWN: usize = 6;

/// How the app stands with the owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is looked for or started.
    Starting,
    /// It answers.
    Attached,
    /// It does not answer any more and is looked for.
    Away,
    /// Somebody ended it.
    Stopped,
    /// It could not be started.
    Failed,
}

/// A run in the menu.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrayRun {
    /// Which one.
    pub run: RunId,
    /// What it wants, and its title.
    pub label: String,
    /// Where a click leads.
    pub place: Place,
}

/// Everything that the tray shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tray {
    /// How the app stands with the owner.
    pub standing: Standing,
    /// How many runs wait for a person, as the owner counts them.
    pub waits: u64,
    /// How many run: their sandbox is made ready, their agent works, or their work is delivered.
    pub running: u64,
    /// How many wait for room.
    pub queued: u64,
    /// Those that wait for a person, the longest waiting first.
    pub runs: Vec<TrayRun>,
    /// Whether notifications are shown.
    pub notifications: bool,
}

/// A line of the menu.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// Words that do nothing.
    Words(String),
    /// Opens the window at a place.
    Open(String, Place),
    /// A line between.
    Separator,
    /// Turns notifications on or off.
    Notifications(bool),
    /// Starts the owner again.
    Start,
    /// Ends the app, and nothing else.
    Quit,
}

impl Tray {
    /// Nothing is known yet.
    pub fn new(notifications: bool) -> Self {
        Self {
            standing: Standing::Starting,
            waits: 0,
            running: 0,
            queued: 0,
            runs: Vec::new(),
            notifications,
        }
    }

    pub(crate) fn count(&mut self, overview: &Overview) {
        let counts = &overview.counts;
        self.waits = overview.waits_for_you;
        self.running = counts.preparing + counts.working + counts.delivering;
        self.queued = counts.queued;
    }

    /// How many things wait for a person, as far as it is known: nothing is known of an owner that is not there.
    pub fn badge(&self) -> u64 {
        if self.standing == Standing::Attached { self.waits } else { 0 }
    }

    /// One line that says it all.
    pub fn summary(&self) -> String {
        match self.standing {
            Standing::Starting => "Starting".to_owned(),
            Standing::Away => "The owner is away; looking for it".to_owned(),
            Standing::Stopped => "The owner was stopped".to_owned(),
            Standing::Failed => "The owner could not be started".to_owned(),
            Standing::Attached => {
                let waits = match self.waits {
                    0 => "Nothing waits for you".to_owned(),
                    1 => "1 waits for you".to_owned(),
                    more => format!("{more} wait for you"),
                };
                let queued =
                    if self.queued == 0 { String::new() } else { format!(", {} queued", self.queued) };
                format!("{waits}, {} running{queued}", self.running)
            }
        }
    }

    /// The menu, from the top.
    pub fn menu(&self) -> Vec<Entry> {
        let mut menu = vec![Entry::Words(self.summary())];
        match self.standing {
            Standing::Attached => {
                menu.extend(
                    self.runs.iter().take(SHOWN).map(|run| Entry::Open(run.label.clone(), run.place.clone())),
                );
                if self.runs.len() > SHOWN {
                    menu.push(Entry::Open(format!("All {} of them", self.runs.len()), Place::Home));
                }
            }
            Standing::Stopped | Standing::Failed => menu.push(Entry::Start),
            Standing::Starting | Standing::Away => {}
        }
        menu.extend([
            Entry::Separator,
            Entry::Open("Open Nightshift".to_owned(), Place::Home),
            Entry::Open("New task".to_owned(), Place::NewTask),
            Entry::Separator,
            Entry::Notifications(self.notifications),
            Entry::Quit,
        ]);
        menu
    }
}

#[cfg(test)]
mod tests {
    use nightshift_protocol::RunCounts;

    use super::*;

    fn attached(waiting: usize) -> Tray {
        let run = |number: usize| {
            let run: RunId = format!("run-{number:010}").parse().unwrap();
            TrayRun {
                label: format!("Asks you: task {number}"),
                place: Place::Run { run: run.clone(), at: None },
                run,
            }
        };
        Tray {
            standing: Standing::Attached,
            waits: waiting as u64,
            running: 3,
            runs: (0..waiting).map(run).collect(),
            ..Tray::new(true)
        }
    }

    fn lines(tray: &Tray) -> String {
        let line = |entry: Entry| match entry {
            Entry::Words(words) => format!("  {words}"),
            Entry::Open(label, place) => format!("> {label} ({})", place.path()),
            Entry::Separator => "--".to_owned(),
            Entry::Notifications(on) => format!("[{}] notifications", if on { "x" } else { " " }),
            Entry::Start => "> start".to_owned(),
            Entry::Quit => "> quit".to_owned(),
        };
        tray.menu().into_iter().map(line).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_menu_begins_with_what_waits_and_ends_with_quitting() {
        insta::assert_snapshot!(lines(&attached(2)), @r"
          2 wait for you, 3 running
        > Asks you: task 0 (/runs/run-0000000000)
        > Asks you: task 1 (/runs/run-0000000001)
        --
        > Open Nightshift (/)
        > New task (/new)
        --
        [x] notifications
        > quit
        ");
    }

    #[test]
    fn many_waiting_runs_do_not_fill_the_screen() {
        let menu = attached(40).menu();
        assert_eq!(menu[SHOWN + 1], Entry::Open("All 40 of them".to_owned(), Place::Home));
        assert_eq!(menu.len(), SHOWN + 8);
    }

    #[test]
    fn an_owner_that_is_not_there_counts_nothing_and_can_be_started_where_that_helps() {
        let with = |standing| Tray { standing, ..attached(2) };
        for standing in [Standing::Starting, Standing::Away, Standing::Stopped, Standing::Failed] {
            let tray = with(standing);
            assert_eq!(tray.badge(), 0);
            let helps = matches!(standing, Standing::Stopped | Standing::Failed);
            assert_eq!(tray.menu().contains(&Entry::Start), helps, "{standing:?}");
        }
        assert_eq!(with(Standing::Attached).badge(), 2);
        assert_eq!(with(Standing::Stopped).summary(), "The owner was stopped");
    }

    #[test]
    fn what_is_made_ready_works_or_is_delivered_counts_as_running() {
        let counts = RunCounts {
            queued: 4,
            preparing: 1,
            working: 2,
            waiting: 8,
            paused: 16,
            delivering: 4,
            in_review: 32,
            ..RunCounts::default()
        };
        let mut tray = attached(0);
        tray.count(&Overview { position: 1, counts, waits_for_you: 41 });
        assert_eq!(tray.summary(), "41 wait for you, 7 running, 4 queued");
        tray.count(&Overview { position: 2, waits_for_you: 1, ..Overview::default() });
        assert_eq!(tray.summary(), "1 waits for you, 0 running");
        tray.count(&Overview::default());
        assert_eq!(tray.summary(), "Nothing waits for you, 0 running");
    }
}
