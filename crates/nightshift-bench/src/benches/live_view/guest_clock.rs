//! How far the sandbox's clock is from ours.
//!
//! The owner sets a sandbox's clock over the channel, and it is behind by what that took: on a machine that is translated
//! and has just come up, that is many times what a change takes to be seen. So a program in a terminal of the sandbox is
//! asked for its time, again and again, between two looks at our own.
//!
//! ```text
//!   ours    sent ──▶ ─────────────── ──▶ answered        said - answered  <=  ahead  <=  said - sent
//!   guest's          └─ it says `said` ─┘
//! ```
//!
//! Every exchange narrows both bounds. The upper one is used, with which a change is never seen too early.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use nightshift_protocol::RunId;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use crate::bench::BenchError;
use crate::owner::{Owner, Socket};

use super::host_ms;

/// How often it is asked.
const EXCHANGES: usize = 200;

/// How long the shell and its program may take to come up, and an answer to come.
const WITHIN: Duration = Duration::from_secs(60);

/// Says the time for every line it reads. A terminal echoes what is typed, so what is waited for is not in it as it is
/// printed.
const PROGRAM: &str = "exec python3 -uc 'import sys,time\nprint(\"tick\" + \"ing\")\nfor line in sys.stdin: print(\"<%.6f>\" % time.time())'\n";
const READY: &str = "ticking";

/// How many milliseconds the guest's clock is ahead of ours: at least, and at most.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Ahead {
    pub(super) least: f64,
    pub(super) most: f64,
}

/// One question for the time, all in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Exchange {
    sent: f64,
    said: f64,
    answered: f64,
}

impl Ahead {
    /// What all exchanges together say; `None` of none.
    fn of(exchanges: &[Exchange]) -> Option<Self> {
        let bounds = |exchange: &Exchange| Self {
            least: exchange.said - exchange.answered,
            most: exchange.said - exchange.sent,
        };
        exchanges
            .iter()
            .map(bounds)
            .reduce(|one, other| Self { least: one.least.max(other.least), most: one.most.min(other.most) })
    }

    /// What holds at both of two moments, and so between them.
    pub(super) fn or(self, other: Self) -> Self {
        Self { least: self.least.min(other.least), most: self.most.max(other.most) }
    }

    /// How little is known.
    pub(super) fn width(self) -> f64 {
        self.most - self.least
    }
}

/// Asks a run's sandbox, in a terminal that is closed afterwards.
pub(super) async fn read(owner: &Owner, run: &RunId) -> Result<Ahead, BenchError> {
    let mut terminal =
        Terminal { socket: owner.open(&format!("/runs/{run}/terminal")).await?, printed: String::new() };
    terminal.say(PROGRAM).await?;
    terminal.until(|printed| printed.find(READY).map(|at| (at + READY.len(), ()))).await?;
    let mut exchanges = Vec::new();
    for _ in 0..EXCHANGES {
        let sent = host_ms();
        terminal.say("\n").await?;
        let said = terminal.until(time_said).await?;
        exchanges.push(Exchange { sent, said, answered: host_ms() });
    }
    // The end of its input ends the program, and with it the shell.
    terminal.say("\u{4}").await?;
    Ahead::of(&exchanges)
        .ok_or_else(|| BenchError::Unexpected("the sandbox's clock was not asked".to_owned()))
}

/// The first time that was printed, in milliseconds, and where it ends.
fn time_said(printed: &str) -> Option<(usize, f64)> {
    let from = printed.find('<')? + 1;
    let length = printed[from..].find('>')?;
    let seconds: f64 = printed[from..from + length].parse().ok()?;
    Some((from + length + 1, seconds * 1_000.0))
}

struct Terminal {
    socket: Socket,
    printed: String,
}

impl Terminal {
    async fn say(&mut self, keys: &'static str) -> Result<(), BenchError> {
        self.socket.send(Message::binary(keys)).await.map_err(BenchError::during("typing in a terminal"))
    }

    /// Reads what is printed until something is found in it, which is taken out with all before it.
    async fn until<T>(&mut self, find: impl Fn(&str) -> Option<(usize, T)>) -> Result<T, BenchError> {
        loop {
            if let Some((end, found)) = find(&self.printed) {
                self.printed.drain(..end);
                return Ok(found);
            }
            let message = timeout(WITHIN, self.socket.next()).await;
            let message = message.map_err(BenchError::during("waiting for the sandbox's clock"))?;
            match message.transpose().map_err(BenchError::during("reading a terminal"))? {
                Some(Message::Binary(bytes)) => self.printed.push_str(&String::from_utf8_lossy(&bytes)),
                Some(Message::Text(said)) if said.contains("refused") => {
                    return Err(BenchError::Unexpected(format!("the terminal was refused: {said}")));
                }
                Some(_) => {}
                None => return Err(BenchError::Unexpected("the terminal was closed".to_owned())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_shortest_ways_there_and_back_bound_the_difference() {
        let exchanges = [
            Exchange { sent: 1_000.0, said: 900.0, answered: 1_050.0 },
            Exchange { sent: 2_000.0, said: 1_870.0, answered: 2_004.0 },
        ];
        assert_eq!(Ahead::of(&exchanges), Some(Ahead { least: -134.0, most: -130.0 }));
        assert_eq!(Ahead::of(&[]), None);
    }

    #[test]
    fn two_readings_hold_what_was_true_at_both() {
        let (before, after) = (Ahead { least: -9.0, most: -5.0 }, Ahead { least: -7.0, most: -4.0 });
        assert_eq!(before.or(after), Ahead { least: -9.0, most: -4.0 });
        assert_eq!(before.or(after), after.or(before));
        assert!((before.or(after).width() - 5.0).abs() < 1e-9);
    }

    #[test]
    fn a_time_is_read_when_it_is_there_whole_and_an_echo_is_none() {
        assert_eq!(time_said("\r\n<1790000000.250000>\r\n"), Some((21, 1_790_000_000_250.0)));
        assert_eq!(time_said("\r\n<17900000"), None);
        assert_eq!(time_said("print(\"<%.6f>\" % time.time())"), None);
    }

    #[test]
    fn what_is_typed_does_not_hold_what_is_waited_for() {
        assert!(!PROGRAM.contains(READY));
        assert_eq!(time_said(PROGRAM), None);
    }

    proptest! {
        #[test]
        fn the_truth_is_always_between_the_bounds_and_more_exchanges_never_widen_them(
            ahead in -500.0..500.0f64,
            ways in prop::collection::vec((0.0..80.0f64, 0.0..80.0f64), 1..20),
        ) {
            let exchanges: Vec<_> = ways
                .iter()
                .enumerate()
                .map(|(number, (there, back))| {
                    let sent = number as f64 * 1_000.0;
                    Exchange { sent, said: sent + there + ahead, answered: sent + there + back }
                })
                .collect();
            let (first, all) = (Ahead::of(&exchanges[..1]).unwrap(), Ahead::of(&exchanges).unwrap());
            prop_assert!(all.least <= ahead + 1e-6 && ahead <= all.most + 1e-6);
            prop_assert!(all.width() <= first.width() + 1e-6);
        }
    }
}
