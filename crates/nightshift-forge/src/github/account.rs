//! One account at one site.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use nightshift_protocol::{Clock, OffsetDateTime};
use octocrab::Octocrab;
use reqwest::{Client, NoProxy, Proxy};
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::sync::{Mutex, OnceCell};

use super::app::AppSigner;
use super::limits::Gate;
use super::{Address, Remote};
use crate::secrets::{Redactor, Secret};
use crate::{GitCredential, Source};

/// The version of the REST interface that is asked for.
const API_VERSION: &str = "2022-11-28";

/// This machine, which no proxy can reach for us.
const LOOPBACK: &str = "localhost,127.0.0.0/8,::1";

/// How long a connection may take to be made.
const CONNECT_WITHIN: Duration = Duration::from_secs(15);

/// How long a request may take from its beginning to the end of its answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// Where a site's interfaces are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses {
    /// The site itself, without a slash at the end: `https://github.com`.
    pub web: String,
    /// The REST interface.
    pub api: String,
    /// The GraphQL interface.
    pub graphql: String,
    /// Where attachments are uploaded; `None` where the site takes none.
    pub uploads: Option<String>,
}

impl Addresses {
    /// The addresses of a site: github.com has hosts of their own for its interfaces and takes attachments; an
    /// Enterprise Server has `/api/v3` and `/api/graphql` and takes none ("Getting started with the REST API").
    pub fn of_site(web: &str) -> Self {
        let web = web.trim_end_matches('/').to_owned();
        if web == "https://github.com" {
            return Self {
                web,
                api: "https://api.github.com".to_owned(),
                graphql: "https://api.github.com/graphql".to_owned(),
                uploads: Some("https://uploads.github.com".to_owned()),
            };
        }
        Self { api: format!("{web}/api/v3"), graphql: format!("{web}/api/graphql"), uploads: None, web }
    }

    /// The REST interface's address without its path, and the path, for example `https://host` and `/api/v3`.
    fn api_parts(&self) -> (&str, &str) {
        let host = self.api.find("://").map_or(0, |at| at + 3);
        let path = self.api[host..].find('/').map_or(self.api.len(), |at| host + at);
        self.api.split_at(path)
    }

    pub(super) fn api_origin(&self) -> &str {
        self.api_parts().0
    }

    pub(super) fn api_path(&self) -> &str {
        self.api_parts().1
    }

    /// The site's host and port.
    pub fn host(&self) -> &str {
        self.web.split_once("://").map_or(self.web.as_str(), |(_, host)| host)
    }
}

/// What an account proves itself by.
#[derive(Debug, Clone)]
pub enum Credential {
    /// A token of a person, or of a workflow run.
    Token(Secret),
    /// An installation of a GitHub App.
    App(AppKey),
}

/// What a GitHub App proves itself by.
#[derive(Debug, Clone)]
pub struct AppKey {
    /// The App's id or client id.
    pub app: String,
    /// Its private key as GitHub gives it out: PEM, PKCS#1 or PKCS#8.
    pub private_key: Secret,
    /// Which installation; found by the repository when `None`.
    pub installation: Option<u64>,
}

/// What kind of token it is, by how it begins ("Behind GitHub's new authentication token formats").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// `ghp_`: personal, classic.
    Classic,
    /// `github_pat_`: personal, fine-grained.
    FineGrained,
    /// `gho_`: given out by an OAuth App, as `gh auth token` prints it.
    OAuth,
    /// `ghs_`: of an installation of an App, or of a workflow run.
    Installation,
    /// It begins otherwise, as old tokens of an Enterprise Server do.
    Unknown,
}

impl TokenKind {
    /// Tells the kind of a token.
    pub fn of(token: &Secret) -> Self {
        let kinds = [
            ("ghp_", Self::Classic),
            ("github_pat_", Self::FineGrained),
            ("gho_", Self::OAuth),
            ("ghs_", Self::Installation),
        ];
        kinds
            .iter()
            .find(|(prefix, _)| token.expose().starts_with(prefix))
            .map_or(Self::Unknown, |(_, kind)| *kind)
    }

    /// Whether it may upload attachments: the site's own command line sends no others there.
    pub fn may_upload(self) -> bool {
        matches!(self, Self::Classic | Self::FineGrained | Self::OAuth)
    }
}

/// How to reach a site.
#[derive(Debug, Clone)]
pub struct GitHubSettings {
    /// Where it is.
    pub addresses: Addresses,
    /// Who asks.
    pub credential: Credential,
    /// A proxy for HTTP and HTTPS. The environment's is not looked at.
    pub proxy: Option<String>,
    /// Hosts that are reached without the proxy, separated by commas. This machine always is.
    pub no_proxy: Option<String>,
    /// What is told of each token that the site issues, before it is used.
    pub redactor: Redactor,
}

/// Settings that no account can be made from.
#[derive(Debug, thiserror::Error)]
pub enum InvalidGitHubSettings {
    /// The site's address is no URL of HTTP.
    #[error("\"{web}\" is no address of a site: it has to begin with https:// or http://")]
    Address {
        /// What was given.
        web: String,
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
    /// The place for git's token cannot be made.
    #[error("there is no place for git's token")]
    Git(#[source] std::io::Error),
    /// The App's private key cannot be used.
    #[error("the App's private key cannot be read: it has to be an RSA key in PEM, as GitHub gives it out")]
    PrivateKey,
}

/// An account at a site. Clones share everything.
#[derive(Clone)]
pub struct GitHub {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) addresses: Addresses,
    pub(super) http: Client,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) credential: Known,
    pub(super) session: Mutex<Option<Session>>,
    pub(super) gate: Gate,
    pub(super) tags: Mutex<HashMap<String, (String, Bytes)>>,
    pub(super) git: GitCredential,
    pub(super) redactor: Redactor,
    /// Who the account is, once it was asked.
    pub(super) login: OnceCell<String>,
}

pub(super) enum Known {
    Token(Secret),
    App { signer: Box<AppSigner>, installation: Option<u64> },
}

/// A token that is good for some time, and the client that sends it.
#[derive(Clone)]
pub(super) struct Session {
    pub(super) token: Secret,
    pub(super) until: Option<OffsetDateTime>,
    pub(super) octocrab: Octocrab,
}

impl GitHub {
    /// Makes an account; nothing is asked of the site yet.
    pub fn new(settings: GitHubSettings, clock: Arc<dyn Clock>) -> Result<Self, InvalidGitHubSettings> {
        let web = &settings.addresses.web;
        if !(web.starts_with("https://") || web.starts_with("http://")) {
            return Err(InvalidGitHubSettings::Address { web: web.clone() });
        }
        let http = http_client(&settings)?;
        let credential = match settings.credential {
            Credential::Token(token) => Known::Token(token),
            Credential::App(key) => Known::App {
                signer: Box::new(
                    AppSigner::new(key.app, &key.private_key).ok_or(InvalidGitHubSettings::PrivateKey)?,
                ),
                installation: key.installation,
            },
        };
        let git = GitCredential::for_site(web).map_err(InvalidGitHubSettings::Git)?;
        let inner = Inner {
            addresses: settings.addresses,
            http,
            clock,
            credential,
            session: Mutex::default(),
            gate: Gate::default(),
            tags: Mutex::default(),
            git,
            redactor: settings.redactor,
            login: OnceCell::new(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The site's host and port.
    pub fn host(&self) -> &str {
        self.inner.addresses.host()
    }

    /// The site's address.
    pub fn web(&self) -> &str {
        &self.inner.addresses.web
    }

    /// What git proves itself by at this site, for [`crate::Git::with_credential`]. It is empty until
    /// [`Remote::authorize_git`].
    pub fn git_credential(&self) -> GitCredential {
        self.inner.git.clone()
    }

    /// The repository that a source is, if it is one of this site.
    pub fn remote(&self, source: &Source) -> Option<Remote> {
        let address =
            Address::of(source).filter(|address| address.host == self.host().to_ascii_lowercase())?;
        Some(Remote { github: self.clone(), address })
    }

    /// The source of a repository of this site, in the form that git fetches by HTTP.
    pub fn source(&self, address: &Address) -> Source {
        Source::Url(format!("{}/{}", self.web(), address.full_name()))
    }

    /// Whether attachments can be uploaded with what this account has.
    pub fn may_upload(&self) -> bool {
        let kind = match &self.inner.credential {
            Known::Token(token) => TokenKind::of(token),
            Known::App { .. } => TokenKind::Installation,
        };
        self.inner.addresses.uploads.is_some() && kind.may_upload()
    }

    pub(super) fn client_with(&self, token: &Secret) -> Result<Octocrab, octocrab::Error> {
        let header = |name: &'static str| reqwest::header::HeaderName::from_static(name);
        Octocrab::builder()
            // Its own way of joining would put the path of an Enterprise Server's REST interface before GraphQL's too.
            .base_uri(self.inner.addresses.api_origin())?
            .add_header(header("accept"), "application/vnd.github+json".to_owned())
            .add_header(header("x-github-api-version"), API_VERSION.to_owned())
            .personal_token(token.expose().to_owned())
            .build_with_reqwest(self.inner.http.clone())
    }
}

impl fmt::Debug for GitHub {
    /// Shows no credential.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("GitHub").field("addresses", &self.inner.addresses).finish_non_exhaustive()
    }
}

fn http_client(settings: &GitHubSettings) -> Result<Client, InvalidGitHubSettings> {
    // The provider of cryptography is named here, so that no other crate's choice decides it for the process.
    let tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(InvalidGitHubSettings::Tls)?;
    // A site without TLS, on this machine, shall not depend on the system having certificates.
    let tls = if settings.addresses.web.starts_with("https://") {
        tls.with_platform_verifier().map_err(InvalidGitHubSettings::Tls)?
    } else {
        tls.with_root_certificates(rustls::RootCertStore::empty())
    };
    let mut client = Client::builder()
        .tls_backend_preconfigured(tls.with_no_client_auth())
        .user_agent(concat!("nightshift/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_WITHIN)
        .timeout(ANSWER_WITHIN)
        // A redirect would carry the token to an address that nobody configured.
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy();
    if let Some(proxy) = &settings.proxy {
        let without = format!("{LOOPBACK},{}", settings.no_proxy.as_deref().unwrap_or_default());
        let proxy = Proxy::all(proxy).map_err(InvalidGitHubSettings::Proxy)?;
        client = client.proxy(proxy.no_proxy(NoProxy::from_string(&without)));
    }
    client.build().map_err(InvalidGitHubSettings::Client)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_enterprise_server_has_its_interfaces_under_its_own_host() {
        let addresses = Addresses::of_site("https://git.example.org/");
        assert_eq!(addresses.api, "https://git.example.org/api/v3");
        assert_eq!(addresses.uploads, None);
        assert_eq!(Addresses::of_site("https://github.com").host(), "github.com");
    }

    #[test]
    fn only_tokens_of_people_upload_attachments() {
        let may = |token: &str| TokenKind::of(&Secret::new(token)).may_upload();
        assert!(may("ghp_x") && may("github_pat_x") && may("gho_x"));
        assert!(!may("ghs_x") && !may("0123456789abcdef"));
    }
}
