//! Commands about checkpoints.

use nightshift_protocol::{CheckpointSummary, ForkReply, ForkRun, RewindRun, RunSummary};
use serde_json::json;

use super::{Status, print};
use crate::arguments::Checkpoint;
use crate::environment::Environment;
use crate::{owner, show};

/// Suspends the sandbox of a paused run.
pub(super) async fn suspend(environment: &Environment, json: bool, run: &str) -> Status {
    let client = owner::connect(environment).await?;
    let saved: CheckpointSummary = client.post(&format!("/runs/{run}/suspend"), &json!({})).await?;
    print(json, &saved, || {
        format!(
            "{}\nIts memory is given back; `nightshift continue {run}` goes on.",
            show::checkpoint(&saved)
        )
    });
    Ok(0)
}

/// Does what is wanted with checkpoints.
pub(super) async fn checkpoint(environment: &Environment, json: bool, command: Checkpoint) -> Status {
    let client = owner::connect(environment).await?;
    match command {
        Checkpoint::List { run } => {
            let list: Vec<CheckpointSummary> = client.get(&format!("/runs/{run}/checkpoints")).await?;
            print(json, &list, || show::checkpoints(&list));
        }
        Checkpoint::Save { run } => {
            let saved: CheckpointSummary =
                client.post(&format!("/runs/{run}/checkpoints"), &json!({})).await?;
            print(json, &saved, || show::checkpoint(&saved));
        }
        Checkpoint::Rewind { run, checkpoint, discard } => {
            let wish = RewindRun { checkpoint, discard };
            let summary: RunSummary = client.post(&format!("/runs/{run}/rewind"), &wish).await?;
            print(json, &summary, || {
                format!("{} goes back; `nightshift watch {run}` follows it.", summary.run)
            });
        }
        Checkpoint::Fork { run, checkpoint, count, say } => {
            let wish = ForkRun { checkpoint, count, text: say };
            let forks: ForkReply = client.post(&format!("/runs/{run}/fork"), &wish).await?;
            print(json, &forks, || {
                let lines = forks.runs.iter().map(|run| format!("{run}\n"));
                lines.collect::<String>() + "`nightshift tasks` shows what they are doing."
            });
        }
        Checkpoint::Remove { run, checkpoint } => {
            let list: Vec<CheckpointSummary> =
                client.delete(&format!("/runs/{run}/checkpoints/{checkpoint}")).await?;
            print(json, &list, || show::checkpoints(&list));
        }
    }
    Ok(0)
}
