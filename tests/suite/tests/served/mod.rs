//! The API of a night, served on a port of its own.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::sync::Arc;

use nightshift_protocol::{ErrorCode, UserError};
use nightshift_server::{Access, Guard};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use suite::{Night, SystemClock};

pub(crate) const TOKEN: &str = "secret";

/// A night and its address.
pub(crate) struct Served {
    pub(crate) night: Night,
    pub(crate) url: String,
    pub(crate) http: reqwest::Client,
}

impl Served {
    pub(crate) async fn begin(script: Value) -> Self {
        Self::over(Night::begin(script).await).await
    }

    /// Serves the API of a night that has begun.
    pub(crate) async fn over(night: Night) -> Self {
        Self::serving(night, None).await
    }

    /// Serves it with the web UI in a folder, if one is given.
    pub(crate) async fn serving(night: Night, ui: Option<&std::path::Path>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let access = Access { token: TOKEN.to_owned(), port, names: Vec::new() };
        let guard = Guard::new(access, Arc::new(SystemClock));
        let router = nightshift_server::router(Arc::new(night.owner.api.clone()), guard, ui);
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        // That one is set already is no error.
        let _already_set = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { night, url: format!("http://127.0.0.1:{port}"), http }
    }

    pub(crate) async fn ask(&self, method: Method, path: &str, body: Option<&str>) -> (StatusCode, Vec<u8>) {
        let request = self.http.request(method, format!("{}{path}", self.url)).bearer_auth(TOKEN);
        let request = match body {
            Some(body) => request.header("content-type", "application/json").body(body.to_owned()),
            None => request,
        };
        let response = request.send().await.unwrap();
        (response.status(), response.bytes().await.unwrap().to_vec())
    }

    pub(crate) async fn refused(
        &self,
        method: Method,
        path: &str,
        body: Option<&str>,
    ) -> (StatusCode, ErrorCode) {
        let (status, body) = self.ask(method, path, body).await;
        let error: UserError = serde_json::from_slice(&body)
            .unwrap_or_else(|_| panic!("{path}: {status} {}", String::from_utf8_lossy(&body)));
        assert!(!error.message.is_empty(), "{path}");
        (status, error.code)
    }
}
