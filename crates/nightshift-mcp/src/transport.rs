//! The two ways a client reaches the server: standard input and output, and HTTP.

use std::sync::Arc;

use rmcp::service::ServerInitializeError;
use rmcp::transport::IntoTransport;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{RoleServer, ServiceExt};

use crate::server::Nightshift;

/// The server over HTTP: a tower service that answers any path it is mounted at.
///
/// It looks neither at tokens nor at the `Host` of a request: whoever mounts it puts its own guard before it.
pub type Http = StreamableHttpService<Nightshift, LocalSessionManager>;

/// Serves the one client at standard input and output until it hangs up, then closes the sandboxes it opened.
pub async fn serve(server: Nightshift) -> Result<(), ServerInitializeError> {
    serve_on(server, rmcp::transport::io::stdio_pipes()).await
}

/// Serves the one client at the other end of a stream, as [`serve`] does.
pub async fn serve_on<T, E, A>(server: Nightshift, transport: T) -> Result<(), ServerInitializeError>
where
    T: IntoTransport<RoleServer, E, A>,
    E: std::error::Error + Send + Sync + 'static,
{
    let keeper = server.keeper();
    let served = async {
        let running = server.serve(transport).await?;
        // However it ended, the client is gone.
        let _ended = running.waiting().await;
        Ok(())
    };
    let ended = tokio::select! {
        ended = served => ended,
        () = keeper.keep() => Ok(()),
    };
    keeper.close_all().await;
    ended
}

/// The server over HTTP. Whoever serves it polls [`crate::Keeper::keep`] meanwhile, and closes all at the end.
pub fn http(server: &Nightshift) -> Http {
    let server = server.clone();
    let config = StreamableHttpServerConfig::default().disable_allowed_hosts();
    StreamableHttpService::new(move || Ok(server.clone()), Arc::new(LocalSessionManager::default()), config)
}
