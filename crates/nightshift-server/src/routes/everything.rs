//! All runs at once: counts, search, and a stream of what changes.

use std::convert::Infallible;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{KeepAlive, Sse};
use futures_util::{Stream, StreamExt};
use nightshift_api::Change;
use nightshift_protocol::{Overview, SearchFor, SearchReply};
use serde::Deserialize;
use utoipa::IntoParams;

use super::runs::last_event_id;
use super::{Answer, Shared};
use crate::extract::Parameters;
use crate::reply::Refusal;

/// Counts the runs in each state, and those that wait for a person.
#[utoipa::path(get, path = "/overview", tag = "everything", responses((status = 200, body = Overview)))]
pub(super) async fn overview(State(api): Shared) -> Answer<Overview> {
    Ok(Json(api.overview().await?))
}

/// Searches everything people and agents wrote, ran and saw; the newest finds come first.
#[utoipa::path(
    get, path = "/search", tag = "everything", params(SearchFor),
    responses((status = 200, body = SearchReply)),
)]
pub(super) async fn search(
    State(api): Shared,
    Parameters(wanted): Parameters<SearchFor>,
) -> Answer<SearchReply> {
    Ok(Json(api.search(&wanted).await?))
}

/// Where a stream of everything begins.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AfterPosition {
    /// The `position` of an overview or a change: what changed since comes first. From now on if absent.
    after: Option<u64>,
}

/// Follows all runs by server-sent events: `run` with a `RunChanged` for each run that changed, as it is now, and
/// `overview` with an `Overview` when the counts change. The SSE id of a `run` is its position: a client that was
/// cut off asks again with it, by `after` or the header `last-event-id`, and misses nothing.
#[utoipa::path(
    get, path = "/stream", tag = "everything", params(AfterPosition),
    responses((status = 200, content_type = "text/event-stream", body = String)),
)]
pub(super) async fn changes(
    State(api): Shared,
    Parameters(query): Parameters<AfterPosition>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<axum::response::sse::Event, Infallible>>>, Refusal> {
    let after = last_event_id(&headers).or(query.after);
    let frames = api.changes(after).await?.filter_map(|change| async move { frame(&change).ok().map(Ok) });
    Ok(Sse::new(frames).keep_alive(KeepAlive::default()))
}

fn frame(change: &Change) -> Result<axum::response::sse::Event, axum::Error> {
    let frame = axum::response::sse::Event::default();
    match change {
        Change::Run(run) => frame.event("run").id(run.position.to_string()).json_data(run),
        Change::Overview(overview) => frame.event("overview").json_data(overview),
    }
}
