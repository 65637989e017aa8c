//! Commands about environments.

use std::time::Duration;

use nightshift_client::Client;
use nightshift_protocol::{
    EnvironmentLog, EnvironmentState, EnvironmentSummary, PlannedEnvironment, SetUpEnvironment, UserError,
};
use serde_json::json;

use super::{Status, print, repository};
use crate::arguments::{Environment as Wanted, EnvironmentRepository};
use crate::environment::Environment;
use crate::follow::out;
use crate::show::environments as text;
use crate::{owner, show};

/// How often it is looked how far a set-up is.
const LOOK_EVERY: Duration = Duration::from_millis(400);

/// Does what is wanted with environments.
pub(super) async fn environment(environment: &Environment, json: bool, command: Wanted) -> Status {
    let client = owner::connect(environment).await?;
    match command {
        Wanted::Plan { repository } => {
            let planned: PlannedEnvironment = client.post("/environments/plan", &wish(repository)?).await?;
            print(json, &planned, || text::planned(&planned));
        }
        Wanted::SetUp { repository, background } => {
            let begun: EnvironmentSummary = client.post("/environments", &wish(repository)?).await?;
            return watched(&client, json, begun, 0, background).await;
        }
        Wanted::List { all } => {
            let list: Vec<EnvironmentSummary> = client.get(&format!("/environments?all={all}")).await?;
            print(json, &list, || text::list(&list));
        }
        Wanted::Show { environment } => {
            let summary: EnvironmentSummary = client.get(&format!("/environments/{environment}")).await?;
            print(json, &summary, || text::summary(&summary));
        }
        Wanted::Log { environment, follow } => {
            log(&client, &environment, 0, json, follow).await?;
        }
        Wanted::Retry { environment, background } => {
            let before = end_of_log(&client, &environment).await?;
            let path = format!("/environments/{environment}/retry");
            let begun: EnvironmentSummary = client.post(&path, &json!({})).await?;
            return watched(&client, json, begun, before, background).await;
        }
        Wanted::Remove { environment } => {
            let gone: EnvironmentSummary = client.delete(&format!("/environments/{environment}")).await?;
            print(json, &gone, || format!("{} is removed.", gone.environment));
        }
    }
    Ok(0)
}

fn wish(wanted: EnvironmentRepository) -> Result<SetUpEnvironment, UserError> {
    Ok(SetUpEnvironment { repository: repository(&wanted.repo)?, branch: wanted.base })
}

/// Follows a set-up to its end, unless it goes on in the background.
async fn watched(
    client: &Client,
    json: bool,
    begun: EnvironmentSummary,
    after: u64,
    background: bool,
) -> Status {
    if background {
        print(json, &begun, || {
            format!(
                "{} is set up; `nightshift environment log {} --follow` shows how far it is.",
                begun.environment, begun.environment
            )
        });
        return Ok(0);
    }
    let id = begun.environment.as_str();
    if !json {
        out(&text::begun(&begun));
    }
    log(client, id, after, json, true).await?;
    let ended: EnvironmentSummary = client.get(&format!("/environments/{id}")).await?;
    print(json, &ended, || text::summary(&ended));
    Ok(u8::from(!matches!(ended.state, EnvironmentState::Ready { .. })))
}

/// Prints a log from a place on; returns where it ended.
async fn log(client: &Client, id: &str, after: u64, json: bool, follow: bool) -> Result<u64, UserError> {
    let mut after = after;
    loop {
        let piece: EnvironmentLog = client.get(&format!("/environments/{id}/log?after={after}")).await?;
        if !piece.text.is_empty() {
            if json {
                out(&show::json(&json!({ "type": "log", "text": piece.text })));
            } else {
                out(show::plain(&piece.text).trim_end_matches('\n'));
            }
        }
        let more = piece.next > after;
        after = piece.next;
        if piece.over || (!more && !follow) {
            return Ok(after);
        }
        if !more {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

async fn end_of_log(client: &Client, id: &str) -> Result<u64, UserError> {
    let mut after = 0;
    loop {
        let piece: EnvironmentLog = client.get(&format!("/environments/{id}/log?after={after}")).await?;
        if piece.next == after {
            return Ok(after);
        }
        after = piece.next;
    }
}
