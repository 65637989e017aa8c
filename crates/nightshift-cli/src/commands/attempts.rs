//! Several attempts at one task: followed side by side, compared, one merged and the others given up.

use futures_util::future::try_join_all;
use nightshift_client::Client;
use nightshift_protocol::{AttemptList, GivenUp, MergeReply, OthersClosed, RunId, SubmitReply, UserError};
use serde::Serialize;
use serde_json::json;

use super::{Status, print, said_of_merge};
use crate::environment::Environment;
use crate::follow::{Ended, Output, Shown, beside, follow, out};
use crate::{owner, show};

/// Follows all attempts until each waits for a person or has ended, and shows how they rank.
pub(super) async fn see_through(
    environment: &Environment,
    client: &Client,
    submitted: &SubmitReply,
    output: Output,
    result_json: bool,
) -> Status {
    let of = submitted.attempts.len();
    let followed = (1..).zip(&submitted.attempts).map(|(number, attempt): (usize, _)| {
        let shown = Shown { output, after: 0, mark: Some(format!("[{number}/{of}]")) };
        let reconnect = async |run: &RunId| owner::reconnect(environment, run).await;
        follow(client.clone(), reconnect, attempt.run.as_str(), shown)
    });
    let ended = try_join_all(followed).await?;
    let client = owner::connect(environment).await?;
    let list: AttemptList = client.get(&format!("/tasks/{}/attempts", submitted.task)).await?;
    match output {
        Output::Text => out(&format!("\n{}", show::attempts(&list))),
        Output::TextBeside => beside(&format!("\n{}", show::attempts(&list))),
        Output::JsonLines => {}
    }
    if result_json {
        out(&show::json(&list));
    }
    // As they stand now: one that waited may have been answered while the others were followed.
    let now: Vec<Ended> = list.attempts.iter().filter_map(|attempt| Ended::of(&attempt.run.state)).collect();
    Ok(exit_code(if now.is_empty() { &ended } else { &now }))
}

/// Whether there is something to review decides; where there is not, whether somebody is waited for.
fn exit_code(ended: &[Ended]) -> u8 {
    let order = [Ended::Delivered, Ended::Waiting, Ended::Failed, Ended::Cancelled];
    order.iter().find(|one| ended.contains(one)).map_or(1, Ended::exit_code)
}

pub(super) async fn ranking(client: &Client, json: bool, task: &str) -> Status {
    let list: AttemptList = client.get(&format!("/tasks/{task}/attempts")).await?;
    print(json, &list, || show::attempts(&list));
    Ok(0)
}

/// What a merge did, and what became of the other attempts.
#[derive(Serialize)]
struct Decided {
    #[serde(flatten)]
    merged: MergeReply,
    others: OthersClosed,
}

pub(super) async fn merge_and_close_others(client: &Client, json: bool, run: &str) -> Status {
    let merged: MergeReply = client.post(&format!("/pull-requests/{run}/merge"), &json!({})).await?;
    if !json {
        // Whatever happens then, this has happened.
        out(&said_of_merge(&merged));
    }
    let others = give_up_others(client, run).await.map_err(|error| {
        let hint = format!(
            "It is merged as {}. Give the others up: nightshift review close --others-of {run}",
            merged.commit
        );
        UserError { hint, ..error }
    })?;
    let status = status(&others);
    print(json, &Decided { merged, others: others.clone() }, || show::others(&others));
    Ok(status)
}

pub(super) async fn close_others(client: &Client, json: bool, kept: &str) -> Status {
    let others = give_up_others(client, kept).await?;
    print(json, &others, || show::others(&others));
    Ok(status(&others))
}

async fn give_up_others(client: &Client, kept: &str) -> Result<OthersClosed, UserError> {
    client.post(&format!("/runs/{kept}/others/close"), &json!({})).await
}

fn status(others: &OthersClosed) -> u8 {
    u8::from(others.others.iter().any(|other| matches!(other.outcome, GivenUp::Refused { .. })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_attempts_the_one_that_came_furthest_decides_about_the_exit_status() {
        use Ended::{Cancelled, Delivered, Failed, Waiting};
        assert_eq!(exit_code(&[Failed, Delivered, Waiting]), 0);
        assert_eq!(exit_code(&[Failed, Waiting, Cancelled]), 3);
        assert_eq!(exit_code(&[Cancelled, Failed]), 1);
        assert_eq!(exit_code(&[Cancelled, Cancelled]), 4);
    }
}
