//! How to reach a provider, and the HTTP client that follows from it.

use std::fmt;
use std::sync::Arc;

use nightshift_protocol::{Clock, Entropy};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Client, NoProxy, Proxy, Url};
use rustls_platform_verifier::BuilderVerifierExt as _;

use crate::{Key, RetryPolicy};

/// The version of the API, as the vendor's own client of November 2026 names it.
const VERSION: &str = "2026-10-21";

/// This machine, which no proxy can reach for us.
const LOOPBACK: &str = "localhost,127.0.0.0/8,::1";

/// How to reach Anthropic, or whoever else speaks its Messages API.
#[derive(Clone)]
pub struct AnthropicSettings {
    /// The address in front of `/v1/messages`.
    pub base_url: String,
    /// The key.
    pub key: Key,
    /// A proxy for HTTP and HTTPS. The environment's is not looked at.
    pub proxy: Option<String>,
    /// Hosts that are reached without the proxy, separated by commas, as `NO_PROXY` lists them. This machine always is.
    pub no_proxy: Option<String>,
    /// How patient to be.
    pub retry: RetryPolicy,
    /// Tells the time, for dates in `retry-after`.
    pub clock: Arc<dyn Clock>,
    /// Spreads the tries of clients that failed together.
    pub entropy: Arc<dyn Entropy>,
}

impl AnthropicSettings {
    /// The vendor's own address.
    pub const BASE_URL: &str = "https://api.anthropic.com";

    /// The usual settings: the vendor's own address, no proxy, the default patience.
    pub fn new(key: Key, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self {
            base_url: Self::BASE_URL.to_owned(),
            key,
            proxy: None,
            no_proxy: None,
            retry: RetryPolicy::default(),
            clock,
            entropy,
        }
    }
}

impl fmt::Debug for AnthropicSettings {
    /// Shows neither key nor proxy, which may hold a password.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("AnthropicSettings").field("retry", &self.retry).finish_non_exhaustive()
    }
}

/// Settings no client can be made from.
#[derive(Debug, thiserror::Error)]
pub enum InvalidSettings {
    /// The provider's address is no URL of HTTP.
    #[error("\"{base_url}\" is no address of a provider: it has to begin with http:// or https://")]
    BaseUrl {
        /// What was given.
        base_url: String,
    },
    /// The proxy's address is no URL.
    #[error("the proxy's address is not valid")]
    Proxy(#[source] reqwest::Error),
    /// The system's certificates cannot be used.
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
    /// The client cannot be made.
    #[error("the HTTP client cannot be made")]
    Client(#[source] reqwest::Error),
}

/// Makes the HTTP client for a provider at `base`.
pub(super) fn http_client(settings: &AnthropicSettings, base: &Url) -> Result<Client, InvalidSettings> {
    // The provider of cryptography is named here, so that no other crate's choice decides it for the process.
    let tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(InvalidSettings::Tls)?;
    // A model on this machine, without TLS, shall not depend on the system having certificates.
    let tls = match base.scheme() {
        "https" => tls.with_platform_verifier().map_err(InvalidSettings::Tls)?,
        _ => tls.with_root_certificates(rustls::RootCertStore::empty()),
    };
    let tls = tls.with_no_client_auth();
    let mut headers = HeaderMap::new();
    headers.insert("x-api-key", settings.key.header());
    headers.insert("anthropic-version", HeaderValue::from_static(VERSION));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let mut client = Client::builder()
        .tls_backend_preconfigured(tls)
        .default_headers(headers)
        .user_agent(concat!("nightshift/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(settings.retry.connect)
        // A redirect would carry the key to an address that nobody configured.
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy();
    if let Some(proxy) = &settings.proxy {
        let without = format!("{LOOPBACK},{}", settings.no_proxy.as_deref().unwrap_or_default());
        let proxy = Proxy::all(proxy).map_err(InvalidSettings::Proxy)?;
        client = client.proxy(proxy.no_proxy(NoProxy::from_string(&without)));
    }
    client.build().map_err(InvalidSettings::Client)
}
