//! The list of tasks, as it is or as it changes.

use std::io::IsTerminal;
use std::time::Duration;

use nightshift_client::{Changed, Client, Follow};
use nightshift_protocol::{ErrorCode, Overview, RunList, RunSummary, UserError};

use super::{Status, print};
use crate::environment::Environment;
use crate::follow::out;
use crate::{owner, show};

/// Runs in the list at most.
const MOST: usize = 500;

/// How often in a row the stream may end without anything new before watching is given up.
const FRUITLESS: u32 = 5;

/// Clears a terminal and goes to its beginning (ECMA-48, ED and CUP).
const CLEAR: &str = "\u{1b}[2J\u{1b}[H";

pub(super) async fn list(environment: &Environment, json: bool, all: bool) -> Status {
    let client = owner::connect(environment).await?;
    let runs = listed(&client, all).await?;
    print(json, &runs, || show::runs(&runs));
    Ok(0)
}

/// Shows the list, and what becomes of it whenever a run changes. It never ends by itself.
pub(super) async fn watch(environment: &Environment, json: bool, all: bool) -> Status {
    let output = match (json, std::io::stdout().is_terminal()) {
        (true, _) => Output::JsonLines,
        (false, true) => Output::Redrawn,
        (false, false) => Output::Lines,
    };
    let mut client = owner::connect(environment).await?;
    // The position first, the list after it: a change in between is in both, and the same in both.
    let overview: Overview = client.get("/overview").await?;
    let mut after = overview.position;
    let mut board = Board { all, runs: listed(&client, all).await? };
    let first = board.text(output);
    if !first.is_empty() {
        out(&first);
    }
    let mut fruitless = 0;
    loop {
        let before = after;
        let each = &mut |changed| {
            if let Changed::Run(changed) = changed {
                after = after.max(changed.position);
                out(&board.changed(changed.run, output));
            }
            Follow::More
        };
        let stopped = client.follow_all(before, each).await;
        fruitless = if after > before { 0 } else { fruitless + 1 };
        if fruitless > FRUITLESS {
            return Err(stopped.err().unwrap_or_else(broken_off));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        client = owner::connect_again(environment).await?;
    }
}

async fn listed(client: &Client, all: bool) -> Result<Vec<RunSummary>, UserError> {
    let which = if all { "" } else { "&state=unfinished" };
    let list: RunList = client.get(&format!("/runs?limit={MOST}{which}")).await?;
    Ok(list.runs)
}

fn broken_off() -> UserError {
    UserError::new(
        ErrorCode::Internal,
        "the owner ends the stream of changes again and again",
        "Its runs may be well: `nightshift tasks` tells. The reason is in owner.log in the data folder.",
    )
}

/// How a change is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Output {
    /// The whole list in the place of the one before, on a terminal.
    Redrawn,
    /// The run that changed, with its subagents.
    Lines,
    /// The same as JSON.
    JsonLines,
}

/// What is on the list, the newest run first.
struct Board {
    /// Whether runs that have ended are on it.
    all: bool,
    runs: Vec<RunSummary>,
}

impl Board {
    /// Takes in a run that changed, and returns what is shown of that.
    fn changed(&mut self, run: RunSummary, output: Output) -> String {
        let line = match output {
            Output::Redrawn => None,
            Output::Lines => Some(show::runs(std::slice::from_ref(&run))),
            Output::JsonLines => Some(show::json(&run)),
        };
        let place = self.runs.iter().position(|known| known.run == run.run);
        match (place, self.all || !run.state.is_final()) {
            (Some(place), true) => self.runs[place] = run,
            (Some(place), false) => {
                self.runs.remove(place);
            }
            (None, true) => {
                self.runs.insert(0, run);
                self.runs.truncate(MOST);
            }
            (None, false) => {}
        }
        line.unwrap_or_else(|| self.text(output))
    }

    /// The whole list.
    fn text(&self, output: Output) -> String {
        match output {
            Output::Redrawn => format!("{CLEAR}{}", show::runs(&self.runs)),
            Output::Lines => show::runs(&self.runs),
            Output::JsonLines => self.runs.iter().map(show::json).collect::<Vec<_>>().join("\n"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run(number: u32, state: &str) -> RunSummary {
        serde_json::from_value(json!({
            "run": format!("run-000000000{number}"), "state": {"type": state}, "sandbox": null, "branch": "b",
            "turns": 1, "steps": 1, "lastSeq": 1, "updatedAt": "2026-11-28T18:00:00Z",
            "usage": {"inputTokens": 1, "cacheReadTokens": 1, "cacheWriteTokens": 1, "outputTokens": 1,
                "costMicrodollars": 0},
            "glance": {"planSteps": 0, "planDone": 0, "doing": "", "screen": null},
            "task": {"id": "task-0000000000", "description": "Add it", "repository": "/src/app", "baseBranch": "main",
                "baseCommit": "c".repeat(40), "model": "m", "createdAt": "2026-11-28T17:00:00Z",
                "limits": {"turns": 1, "tokens": 1, "costMicrodollars": 1, "seconds": 1}},
        }))
        .unwrap()
    }

    fn names(board: &Board) -> Vec<&str> {
        board.runs.iter().map(|run| run.run.as_str()).collect()
    }

    #[test]
    fn a_run_that_changes_keeps_its_place_a_new_one_comes_first_and_one_that_ends_goes() {
        let mut board = Board { all: false, runs: vec![run(2, "working"), run(1, "working")] };
        board.changed(run(1, "delivering"), Output::Redrawn);
        board.changed(run(3, "working"), Output::Redrawn);
        assert_eq!(names(&board), ["run-0000000003", "run-0000000002", "run-0000000001"]);
        let drawn = board.changed(run(2, "cancelled"), Output::Redrawn);
        assert_eq!(names(&board), ["run-0000000003", "run-0000000001"]);
        assert_eq!(drawn, board.text(Output::Redrawn), "the whole list is drawn anew");
        assert!(drawn.starts_with(CLEAR) && drawn.contains("delivering"), "{drawn:?}");
    }

    #[test]
    fn where_nothing_can_be_drawn_anew_each_change_is_a_line_of_its_own_also_the_end_of_a_run() {
        let mut board = Board { all: false, runs: vec![run(2, "working"), run(1, "working")] };
        let line = board.changed(run(1, "cancelled"), Output::JsonLines);
        let read: RunSummary = serde_json::from_str(&line).unwrap();
        assert_eq!((read.run.as_str(), read.state.name()), ("run-0000000001", "cancelled"));
        let line = board.changed(run(2, "delivering"), Output::Lines);
        assert!(line.starts_with("run-0000000002") && line.lines().count() == 1, "{line}");
    }

    #[test]
    fn ended_runs_stay_where_all_are_watched() {
        let mut board = Board { all: true, runs: vec![run(1, "working")] };
        board.changed(run(1, "cancelled"), Output::Lines);
        assert_eq!(names(&board), ["run-0000000001"]);
    }
}
