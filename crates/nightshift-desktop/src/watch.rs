//! Follows the owner: attaches to it, starts it where it is to be started, and tells what changes.

use std::time::Duration;

use nightshift_client::{Changed, Client, Folders, Follow, Program, address, connect, is_held, running};
use nightshift_protocol::{Overview, RunList, RunSummary, UserError};
use tokio::sync::mpsc;

use crate::{Event, Loss};

/// How often it is looked whether somebody else has started an owner.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// So often it is looked, four times a second, whether an owner that does not answer is gone.
const GOES_IN: u32 = 60;

/// So many parts of a list are read, of 500 runs each: more unfinished runs than that no night has.
const PARTS: usize = 10;

/// What is followed.
#[derive(Debug, Clone)]
pub struct Watched<'a> {
    /// Whose owner.
    pub folders: &'a Folders,
    /// The `nightshift` program, which starts it.
    pub program: &'a Program,
}

/// Follows the owner for as long as `attach` has a sender; each message of it says that an owner is to be started if
/// there is none.
pub async fn watch(
    watched: Watched<'_>,
    mut attach: mpsc::Receiver<()>,
    mut happened: impl FnMut(Event) + Send,
) {
    let Watched { folders, program } = watched;
    // Changes after it are asked for when the owner is back, so that nothing is missed in between.
    let mut position: Option<u64> = None;
    loop {
        // Asked to start one, or somebody else has.
        let client = tokio::select! {
            asked = attach.recv() => match asked {
                None => return,
                Some(()) => match connect(folders, program).await {
                    Ok(client) => client,
                    Err(error) => {
                        happened(Event::Refused(error));
                        continue;
                    }
                },
            },
            client = appears(folders) => client,
        };
        happened(Event::Attached(client.address().clone()));
        // It may be asked for again while it is followed: where its UI could not be opened.
        let (told, mut telling) = mpsc::unbounded_channel();
        let ended = {
            let tell = |event| {
                let _ended = told.send(event);
            };
            let followed = follow(&client, &mut position, tell);
            tokio::pin!(followed);
            loop {
                tokio::select! {
                    biased;
                    Some(event) = telling.recv() => happened(event),
                    ended = &mut followed => break ended,
                    asked = attach.recv() => match asked {
                        None => return,
                        Some(()) => happened(Event::Attached(client.address().clone())),
                    },
                }
            }
        };
        while let Ok(event) = telling.try_recv() {
            happened(event);
        }
        if let Err(error) = ended {
            tracing::info!(error = error.message, "the owner does not answer any more");
        }
        happened(Event::Lost(loss(folders).await));
    }
}

/// Waits for an owner that this app has not started.
async fn appears(folders: &Folders) -> Client {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if let Some(client) = running(folders).await {
            return client;
        }
    }
}

/// Finds out how the owner went, which takes as long as its going.
async fn loss(folders: &Folders) -> Loss {
    for _ in 0..GOES_IN {
        tokio::time::sleep(LOOK_EVERY / 4).await;
        if !is_held(folders) {
            // One that ends as it was told takes its address away.
            return if address(folders).is_some() { Loss::Crashed } else { Loss::Stopped };
        }
        if running(folders).await.is_some() {
            break;
        }
    }
    Loss::Crashed
}

async fn follow(
    client: &Client,
    position: &mut Option<u64>,
    mut happened: impl FnMut(Event) + Send,
) -> Result<(), UserError> {
    let overview: Overview = client.get("/overview").await?;
    let mut after = position.unwrap_or(overview.position);
    // The position first, the list after it: a change in between is in both, and the same in both.
    happened(Event::Counted(overview));
    if position.is_none() {
        happened(Event::Listed(unfinished(client).await?));
        *position = Some(after);
    }
    let from = after;
    let each = &mut |changed| {
        match changed {
            Changed::Run(run) => {
                after = after.max(run.position);
                happened(Event::Changed(run));
            }
            Changed::Overview(overview) => happened(Event::Counted(overview)),
        }
        *position = Some(after);
        Follow::More
    };
    client.follow_all(from, each).await?;
    Ok(())
}

async fn unfinished(client: &Client) -> Result<Vec<RunSummary>, UserError> {
    let mut runs = Vec::new();
    let mut cursor = String::new();
    for _ in 0..PARTS {
        let list: RunList = client.get(&format!("/runs?state=unfinished&limit=500{cursor}")).await?;
        runs.extend(list.runs);
        let Some(next) = list.next else { break };
        cursor = format!("&cursor={next}");
    }
    Ok(runs)
}
