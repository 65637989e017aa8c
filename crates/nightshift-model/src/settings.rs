//! How to reach a provider, and the HTTP client that follows from it.

use std::fmt;
use std::sync::Arc;

use nightshift_protocol::{Clock, Entropy};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, NoProxy, Proxy, Url};
use rustls_platform_verifier::BuilderVerifierExt as _;

use crate::error::excerpt;
use crate::{Key, RetryPolicy};

/// This machine, which no proxy can reach for us.
const LOOPBACK: &str = "localhost,127.0.0.0/8,::1";

/// How to reach a provider.
#[derive(Clone)]
pub struct ProviderSettings {
    /// The address in front of the API's paths.
    pub base_url: String,
    /// The key; a model on this machine mostly needs none.
    pub key: Option<Key>,
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

impl ProviderSettings {
    /// Anthropic's own address, in front of `/v1/messages`.
    pub const ANTHROPIC: &str = "https://api.anthropic.com";
    /// OpenAI's own address, in front of `/responses`.
    pub const OPENAI: &str = "https://api.openai.com/v1";

    /// The usual settings: no proxy, the default patience.
    pub fn new(
        base_url: impl Into<String>,
        key: Option<Key>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self {
            base_url: base_url.into(),
            key,
            proxy: None,
            no_proxy: None,
            retry: RetryPolicy::default(),
            clock,
            entropy,
        }
    }

    /// The address as a URL.
    pub(crate) fn base(&self) -> Result<Url, InvalidSettings> {
        Url::parse(&self.base_url)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| InvalidSettings::BaseUrl { base_url: excerpt(&self.base_url, 200) })
    }
}

impl fmt::Debug for ProviderSettings {
    /// Shows neither key nor proxy, which may hold a password.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ProviderSettings").field("retry", &self.retry).finish_non_exhaustive()
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

/// How a provider wants to be shown the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyHeader {
    /// `x-api-key`.
    ApiKey,
    /// `authorization: Bearer`.
    Bearer,
}

/// Makes the HTTP client for a provider at `base`; `fixed` headers go with each request.
pub(crate) fn http_client(
    settings: &ProviderSettings,
    base: &Url,
    shown: KeyHeader,
    fixed: &[(&'static str, &'static str)],
) -> Result<Client, InvalidSettings> {
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
    if let Some(key) = &settings.key {
        match shown {
            KeyHeader::ApiKey => headers.insert("x-api-key", key.header()),
            KeyHeader::Bearer => headers.insert(AUTHORIZATION, key.bearer()),
        };
    }
    for (name, value) in fixed {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
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
