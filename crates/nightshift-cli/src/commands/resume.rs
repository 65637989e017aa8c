//! Taking a run up again.

use std::time::Instant;

use nightshift_client::Client;
use nightshift_protocol::{ErrorCode, ResumeRun, RunDetail, RunList, RunSummary, UserError};
use serde_json::json;

use super::{Seen, Status, print, see_through};
use crate::environment::Environment;
use crate::follow::Output;
use crate::{owner, show};

pub(super) async fn resume(
    environment: &Environment,
    json: bool,
    what: &[String],
    last: bool,
    background: bool,
) -> Status {
    let (named, text) = parted(what, last)?;
    let client = owner::connect(environment).await?;
    let run = match named {
        Some(named) => client.get::<RunDetail>(&format!("/runs/{named}")).await?.summary,
        None => newest(&client).await?,
    };
    let path = format!("/runs/{}/resume", run.run);
    let resumed: RunSummary = client.post(&path, &json!(ResumeRun { text: text.to_owned() })).await?;
    if background {
        print(json, &resumed, || format!("{}: {}", resumed.run, show::state(&resumed.state)));
        return Ok(0);
    }
    let output = if json { Output::JsonLines } else { Output::Text };
    let seen = Seen { output, after: run.last_seq, began: Instant::now(), result_json: false };
    see_through(environment, client, resumed.run.as_str(), seen).await
}

/// The run that is named, if one is, and what its agent is told.
fn parted(what: &[String], last: bool) -> Result<(Option<&str>, &str), UserError> {
    match (what, last) {
        ([text], true) => Ok((None, text)),
        ([run, text], false) => Ok((Some(run), text)),
        _ => Err(UserError::new(
            ErrorCode::InvalidRequest,
            "a run and what to tell its agent are needed, or --last and what to tell",
            "For example: nightshift exec resume --last \"Use the other port\"",
        )),
    }
}

async fn newest(client: &Client) -> Result<RunSummary, UserError> {
    let list: RunList = client.get("/runs?limit=1").await?;
    let newest = list.runs.into_iter().next().ok_or_else(|| {
        UserError::new(ErrorCode::NotFound, "there is no run yet", "Give a task with `nightshift exec`.")
    })?;
    one_of_several(&newest).map_or(Ok(newest), Err)
}

/// Why a run is not simply the last one: it is one of several attempts, and which of them is meant only a person knows.
fn one_of_several(run: &RunSummary) -> Option<UserError> {
    let attempt = run.attempt.filter(|attempt| attempt.of > 1)?;
    let task = &run.task.id;
    Some(UserError::new(
        ErrorCode::InvalidRequest,
        format!("the last task has {} attempts", attempt.of),
        format!("Name the run: `nightshift review attempts {task}` shows them."),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_named_or_it_is_the_last_one() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert_eq!(parted(&words(&["run-4k2", "Go on"]), false), Ok((Some("run-4k2"), "Go on")));
        assert_eq!(parted(&words(&["Go on"]), true), Ok((None, "Go on")));
        for (what, last) in [(&["Go on"][..], false), (&["run-4k2", "Go on"], true)] {
            assert_eq!(parted(&words(what), last).unwrap_err().code, ErrorCode::InvalidRequest);
        }
    }
}
