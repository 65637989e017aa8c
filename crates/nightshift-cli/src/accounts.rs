//! The account at a remote forge, and the secrets this host holds.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nightshift_forge::github::{Addresses, AppKey, Credential, GitHub, GitHubSettings};
use nightshift_forge::secrets::{Redactor, Secret};
use nightshift_protocol::{Clock, ErrorCode, UserError};
use nightshift_supervisor::{DeliverySettings, IssueSettings, PicturePolicy};

use crate::configuration::{Configuration, GitHubConfiguration, Screenshots};
use crate::environment::Environment;

/// Endings of the names of variables whose values are secrets.
const SECRET_NAMES: [&str; 7] = ["_TOKEN", "_KEY", "_SECRET", "_PASSWORD", "_PASSWD", "_CREDENTIALS", "_PAT"];

/// The account, if a token or an App's key is given.
pub(crate) fn github(
    environment: &Environment,
    configuration: &GitHubConfiguration,
    clock: Arc<dyn Clock>,
) -> Result<Option<GitHub>, UserError> {
    let refuse = |message: String| {
        UserError::new(
            ErrorCode::InvalidRequest,
            message,
            "docs/github.md tells what is needed, and how to get it.",
        )
    };
    let credential = match (&configuration.app, &configuration.app_key, &environment.github_token) {
        (Some(app), Some(path), _) => {
            let key = std::fs::read_to_string(path)
                .map_err(|error| refuse(format!("the App's private key {}: {error}", path.display())))?;
            let private_key = Secret::new(&key);
            Credential::App(AppKey {
                app: app.clone(),
                private_key,
                installation: configuration.installation,
            })
        }
        (Some(_), None, _) => return Err(refuse("github.app is set without github.app_key".to_owned())),
        (None, Some(_), _) => return Err(refuse("github.app_key is set without github.app".to_owned())),
        (None, None, Some(token)) => Credential::Token(Secret::new(token)),
        (None, None, None) => return Ok(None),
    };
    let mut addresses = Addresses::of_site(&configuration.url);
    if let Some(url) = &configuration.uploads_url {
        addresses.uploads = Some(url.trim_end_matches('/').to_owned());
    }
    let settings = GitHubSettings {
        addresses,
        credential,
        proxy: environment.proxy.clone(),
        no_proxy: environment.no_proxy.clone(),
        redactor: environment.redactor.clone(),
    };
    GitHub::new(settings, clock).map(Some).map_err(|error| refuse(format!("the account at GitHub: {error}")))
}

/// How work is delivered.
pub(crate) fn delivery(
    configuration: &Configuration,
    webhook_secret: Option<&str>,
    redactor: Redactor,
    app_url: &str,
) -> DeliverySettings {
    let set = &configuration.delivery;
    DeliverySettings {
        draft: set.draft,
        labels: set.labels.clone(),
        reviewers: set.reviewers.clone(),
        forbidden_paths: set.forbidden_paths.clone(),
        video: set.video,
        review_limit: Some(set.review_limit).filter(|limit| *limit > 0),
        self_review_rounds: set.self_review_rounds,
        check_rounds: set.check_rounds,
        poll_every: Duration::from_secs(set.poll_seconds),
        pictures: match set.screenshots {
            Screenshots::Read => PicturePolicy::Read,
            Screenshots::Unread => PicturePolicy::Unread,
            Screenshots::Never => PicturePolicy::Never,
        },
        webhook_secret: webhook_secret.map(Secret::new),
        issues: IssueSettings {
            repositories: configuration.issues.repositories.clone(),
            label: configuration.issues.label.clone(),
            mention: configuration.issues.mention.clone(),
            who: configuration.issues.who.clone(),
        },
        app_url: Some(app_url.to_owned()),
        redactor,
    }
}

/// Makes a redactor know the values of the owner's variables whose names say that they are secrets, and the App's key.
pub(crate) fn teach(
    redactor: &Redactor,
    variables: impl IntoIterator<Item = (std::ffi::OsString, std::ffi::OsString)>,
    app_key: Option<&Path>,
) {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, Secret::new(&value.into_string().ok()?)))
    };
    let is_secret =
        |name: &str| SECRET_NAMES.iter().any(|ending| name.to_ascii_uppercase().ends_with(ending));
    let variables = variables.into_iter().filter_map(text).filter(|(name, _)| is_secret(name));
    let key = app_key.and_then(|path| std::fs::read_to_string(path).ok());
    for (name, value) in
        variables.chain(key.map(|key| ("the App's private key".to_owned(), Secret::new(&key))))
    {
        redactor.learn(&name, &value);
    }
}

/// A log without the secrets this host holds, whatever a library writes.
#[derive(Debug, Clone)]
pub(crate) struct CleanLog(pub(crate) Redactor);

/// One entry of the log, on its way.
pub(crate) struct CleanEntry(Redactor);

impl<'a> tracing_subscriber::fmt::MakeWriter<'a> for CleanLog {
    type Writer = CleanEntry;

    fn make_writer(&'a self) -> CleanEntry {
        CleanEntry(self.0.clone())
    }
}

impl std::io::Write for CleanEntry {
    /// An entry comes whole: the subscriber formats it before it writes.
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        std::io::stderr().write_all(self.0.redact(&text).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_secrets_by_their_names() {
        let variable = |name: &str, value: &str| (name.into(), value.into());
        let redactor = Redactor::default();
        let variables = [variable("DEPLOY_TOKEN", "correct-horse"), variable("HOME", "/home/ada-lovelace")];
        teach(&redactor, variables, None);
        assert_eq!(
            redactor.redact("correct-horse /home/ada-lovelace"),
            "[redacted: DEPLOY_TOKEN] /home/ada-lovelace"
        );
    }

    #[test]
    fn no_number_of_reviews_is_too_many_where_the_limit_is_0() {
        let limit = |review_limit| {
            let mut configuration = Configuration::default();
            configuration.delivery.review_limit = review_limit;
            delivery(&configuration, None, Redactor::default(), "http://127.0.0.1:1").review_limit
        };
        assert_eq!((limit(0), limit(7)), (None, Some(7)));
    }

    struct Fixed;

    impl Clock for Fixed {
        fn now(&self) -> nightshift_protocol::OffsetDateTime {
            nightshift_protocol::OffsetDateTime::UNIX_EPOCH
        }
    }

    #[test]
    fn without_token_and_app_there_is_no_account_and_half_an_app_is_refused() {
        let none = github(&Environment::default(), &GitHubConfiguration::default(), Arc::new(Fixed)).unwrap();
        assert!(none.is_none());
        let half = GitHubConfiguration { app: Some("1".to_owned()), ..GitHubConfiguration::default() };
        assert!(
            github(&Environment::default(), &half, Arc::new(Fixed)).unwrap_err().message.contains("app_key")
        );
    }
}
