//! `nightshift mcp`: the owner for other agents, over standard input and output or HTTP.

pub(crate) mod check;
mod keys;

use std::future::IntoFuture;
use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::http::Method;
use nightshift_client::{Arrived, Body, Follow};
use nightshift_mcp::{Merging, Nightshift, Owner, Settings};
use nightshift_protocol::{ErrorCode, Event, UserError};
use nightshift_server::{Access, Guard};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::access::{self, Listen};
use crate::arguments::McpArguments;
use crate::environment::Environment;
use crate::follow::beside;
use crate::owner;

pub(crate) use check::McpCommand;
pub(crate) use keys::keys;

/// Events of a run that wait for whoever follows it; one that is slower takes the stream up again.
const WAITING: usize = 256;

/// The owner, found or started for every question: it may be another one than before.
struct AtHand(Environment);

impl AtHand {
    async fn ask(&self, method: Method, path: &str, body: Body) -> Result<Vec<u8>, UserError> {
        owner::connect(&self.0).await?.ask(method, path, body).await
    }
}

#[async_trait]
impl Owner for AtHand {
    async fn get(&self, path: &str) -> Result<Vec<u8>, UserError> {
        self.ask(Method::GET, path, Body::None).await
    }

    async fn post(&self, path: &str, body: Value) -> Result<Vec<u8>, UserError> {
        self.ask(Method::POST, path, Body::Json(body)).await
    }

    async fn put(&self, path: &str, body: Vec<u8>) -> Result<Vec<u8>, UserError> {
        self.ask(Method::PUT, path, Body::Bytes(body)).await
    }

    async fn delete(&self, path: &str) -> Result<Vec<u8>, UserError> {
        self.ask(Method::DELETE, path, Body::None).await
    }

    async fn follow(&self, run: &str, after: u64) -> Result<mpsc::Receiver<Event>, UserError> {
        let client = owner::connect(&self.0).await?;
        let (say, events) = mpsc::channel(WAITING);
        let run = run.to_owned();
        tokio::spawn(async move {
            let each = &mut |arrived| {
                let taken = match arrived {
                    Arrived::Event(event) => say.try_send(*event).is_ok(),
                    Arrived::Live(_) => !say.is_closed(),
                };
                if taken { Follow::More } else { Follow::Enough }
            };
            // However it ends, the receiver sees the end and asks again.
            let followed = client.follow(&run, after, each);
            tokio::select! {
                _ended = followed => {}
                () = say.closed() => {}
            }
        });
        Ok(events)
    }
}

/// Serves until the client hangs up, or until the process is told to end.
pub(crate) async fn serve(environment: &Environment, arguments: McpArguments) -> Result<(), UserError> {
    let merging = if arguments.allow_merge { Merging::Allowed } else { Merging::Withheld };
    // Over HTTP the client is somewhere else, and so is its folder.
    let folder = if arguments.http { None } else { std::path::absolute(".").ok() };
    let server = Nightshift::new(Arc::new(AtHand(environment.clone())), Settings { folder, merging });
    if arguments.http {
        return serve_http(environment, &server, arguments).await;
    }
    let keeper = server.keeper();
    let served = tokio::select! {
        served = nightshift_mcp::serve(server) => served,
        () = owner::told_to_end() => Ok(()),
    };
    keeper.close_all().await;
    served.map_err(|error| {
        UserError::new(
            ErrorCode::InvalidRequest,
            format!("the client at standard input did not begin as MCP has it: {error}"),
            "`nightshift mcp` is started by an agent; `nightshift mcp --help` shows how it is configured.",
        )
    })
}

async fn serve_http(
    environment: &Environment,
    server: &Nightshift,
    arguments: McpArguments,
) -> Result<(), UserError> {
    // The owner's token is this server's too: whoever has it could ask the owner itself.
    owner::connect(environment).await?;
    let folders = owner::folders(environment)?;
    let token = nightshift_client::address(&folders).map(|address| address.token).ok_or_else(|| {
        UserError::new(ErrorCode::OwnerUnreachable, "the owner has just ended", "Try again.")
    })?;
    let listen = Listen { port: arguments.port, address: arguments.listen, names: arguments.name };
    let listener = access::listen(&listen, 0).await?;
    let failed = |error: std::io::Error| {
        UserError::new(ErrorCode::Internal, format!("serving MCP: {error}"), "Try another port with --port.")
    };
    let socket = listener.local_addr().map_err(failed)?;
    let names = owner::names(listen.names, socket);
    let guard = Guard::new(Access { token, port: socket.port(), names }, owner::clock());
    let router = Router::new().route_service("/mcp", nightshift_mcp::http(server));
    let router = nightshift_server::guarded(router, guard);
    let url = format!("http://{socket}/mcp");
    beside(&format!("MCP is served at {url}"));
    beside(&format!(
        "Clients send the header  Authorization: Bearer TOKEN  with the token in {}",
        folders.access_file().display()
    ));
    let keeper = server.keeper();
    let served = tokio::select! {
        served = axum::serve(listener, router).into_future() => served,
        () = keeper.keep() => Ok(()),
        () = owner::told_to_end() => Ok(()),
    };
    keeper.close_all().await;
    served.map_err(failed)
}
