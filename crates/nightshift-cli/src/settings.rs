//! Settings that are changed from outside: kept in `config.toml`, checked as the owner checks them at its start, and
//! taken up when it starts again.

pub(crate) mod document;
pub(crate) mod keys;
mod ring;
#[cfg(test)]
mod ring_tests;
#[cfg(test)]
mod tests;

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nightshift_api::SettingsKeeper;
use nightshift_client::Folders;
use nightshift_protocol::{
    ChangeSettings, Clock, Entropy, ErrorCode, KeepKey, KeyPlace, KeySummary, OffsetDateTime, Settings,
    SettingsValues, UserError,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::{Mutex, Notify};

use crate::accounts;
use crate::configuration::{self, Configuration};
use crate::environment::Environment;
use crate::hosts;
use crate::providers;
use keys::{Kept, KeyStore};

/// The token at GitHub, and what GitHub signs its webhooks with, by the names of their variables.
pub(crate) const GITHUB: &str = "GITHUB_TOKEN";
const WEBHOOKS: &str = "NIGHTSHIFT_WEBHOOK_SECRET";

/// The keys a configuration uses: variable and purpose.
pub(crate) fn names(configuration: &Configuration) -> Vec<(String, String)> {
    let mut names = providers::keys(&configuration.providers);
    names.push((GITHUB.to_owned(), "github".to_owned()));
    names.push((WEBHOOKS.to_owned(), "webhooks".to_owned()));
    for (name, hosts) in &configuration.mcp.keys {
        // One that has another purpose already is kept for that.
        if names.iter().all(|(known, _)| known != name) {
            names.push((name.clone(), format!("mcp: {}", hosts.join(", "))));
        }
    }
    names
}

/// Keeps keys in the folders, or in the key ring at the session bus of the environment.
pub(crate) fn key_store(environment: &Environment, folders: &Folders) -> KeyStore {
    let bus = environment.variable("DBUS_SESSION_BUS_ADDRESS").map(str::to_owned);
    let usual = || {
        let path = format!("{}/bus", environment.variable("XDG_RUNTIME_DIR")?);
        Path::new(&path).exists().then(|| format!("unix:path={path}"))
    };
    KeyStore::new(folders.data.join("keys.json"), bus.or_else(usual))
}

/// The environment with the keys that are kept, for an owner that starts. What the environment has itself comes first.
pub(crate) async fn with_kept_keys(environment: &Environment) -> Environment {
    let mut with = environment.clone();
    let Ok(folders) = Folders::of(&environment.base) else { return with };
    // A configuration that cannot be read is refused later, where its error is shown.
    let configuration = configuration::read(&folders.configuration).unwrap_or_default();
    let used = names(&configuration);
    let used: Vec<&str> = used.iter().map(|(name, _)| name.as_str()).collect();
    let kept = key_store(environment, &folders).read(&used).await;
    for (name, key) in kept {
        if environment.variable(&name).is_some() || (name == GITHUB && environment.github_token.is_some()) {
            continue;
        }
        with.variables.insert(name.clone(), key.text.clone());
        if name == GITHUB {
            with.github_token = Some(key.text.clone());
        }
        with.kept.insert(name, key);
    }
    with
}

/// The change that can be undone.
#[derive(Debug, Serialize, Deserialize)]
struct Undoable {
    /// The text before it; `None` where there was no file.
    text: Option<String>,
    /// What the file held after it: a file that somebody changed since is not overwritten.
    after: String,
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
}

/// Keeps what a person sets.
pub(crate) struct Keeper {
    file: PathBuf,
    undo: PathBuf,
    /// What the owner was started with.
    started: Configuration,
    environment: Environment,
    keys: KeyStore,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    restart: Arc<Notify>,
    one_at_a_time: Mutex<()>,
}

impl Keeper {
    /// Keeps settings in the folders' `config.toml`; `restart` is told when the owner is to start again.
    pub(crate) fn new(
        environment: &Environment,
        folders: &Folders,
        started: Configuration,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        restart: Arc<Notify>,
    ) -> Self {
        // Dotfiles are often links: what they lead to is changed, and they stay.
        let file = fs::canonicalize(&folders.configuration).unwrap_or_else(|_| folders.configuration.clone());
        Self {
            file,
            undo: folders.data.join("settings-before.json"),
            started,
            environment: environment.clone(),
            keys: key_store(environment, folders),
            clock,
            entropy,
            restart,
            one_at_a_time: Mutex::new(()),
        }
    }

    fn text(&self) -> Result<Option<String>, UserError> {
        match fs::read_to_string(&self.file) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.trouble("read", &error)),
        }
    }

    fn trouble(&self, what: &str, error: &io::Error) -> UserError {
        UserError::new(
            ErrorCode::Internal,
            format!("{} could not be {what}: {error}", self.file.display()),
            "Nothing was changed. Look at its owner, mode and disk.",
        )
    }

    /// Everything that would keep an owner from starting, found before it is kept.
    fn check(&self, text: &str, after: &SettingsValues, before: &SettingsValues) -> Result<(), UserError> {
        let refuse = |why: String| {
            UserError::new(ErrorCode::InvalidRequest, why, "Nothing was changed. Mend it and save again.")
        };
        let configuration = configuration::parse(text).map_err(refuse)?;
        if after.hosts != before.hosts && !after.hosts.is_empty() && !cfg!(feature = "libvirt") {
            return Err(UserError::new(
                ErrorCode::InvalidRequest,
                "this program is built without libvirt, so it cannot use hosts",
                format!("{}.", hosts::BUILD),
            ));
        }
        providers::providers(&configuration.providers, &self.environment, &self.clock, &self.entropy)?;
        accounts::github(&self.environment, &configuration.github, Arc::clone(&self.clock))?;
        Ok(())
    }

    /// Puts `text` in the place of the file's, remembering the one before.
    fn put(&self, before: Option<String>, text: Option<&str>) -> Result<(), UserError> {
        let undoable = Undoable { text: before, after: revision(text), at: self.clock.now() };
        let written = serde_json::to_vec(&undoable).map_err(io::Error::other);
        written
            .and_then(|bytes| write(&self.undo, &bytes, 0o600))
            .map_err(|error| self.trouble("changed", &error))?;
        let result = match text {
            None => fs::remove_file(&self.file),
            Some(text) => {
                let mode = fs::metadata(&self.file).map_or(0o600, |found| found.permissions().mode() & 0o777);
                if let Some(folder) = self.file.parent() {
                    fs::create_dir_all(folder).map_err(|error| self.trouble("changed", &error))?;
                }
                write(&self.file, text.as_bytes(), mode)
            }
        };
        result.map_err(|error| self.trouble("changed", &error))
    }

    fn undoable(&self, now: &str) -> Option<Undoable> {
        let undoable: Undoable = serde_json::from_slice(&fs::read(&self.undo).ok()?).ok()?;
        (undoable.after == now).then_some(undoable)
    }

    async fn told(&self) -> Result<Settings, UserError> {
        let text = self.text()?;
        let now = revision(text.as_deref());
        let configuration = configuration::parse(text.as_deref().unwrap_or_default()).map_err(|why| {
            UserError::new(
                ErrorCode::InvalidRequest,
                format!("the configuration {} cannot be used: {why}", self.file.display()),
                "The owner goes on with what it was started with. Mend what it names.",
            )
        })?;
        let names = names(&configuration);
        let used: Vec<&str> = names.iter().map(|(name, _)| name.as_str()).collect();
        let kept = self.keys.read(&used).await;
        let keys = names.iter().map(|(name, purpose)| self.summary(name, purpose, kept.get(name))).collect();
        Ok(Settings {
            values: document::values(&configuration),
            defaults: document::defaults(),
            undoable: self.undoable(&now).map(|undoable| undoable.at),
            revision: now,
            file: self.file.display().to_string(),
            pending: configuration != self.started,
            takes_hosts: cfg!(feature = "libvirt"),
            keys,
            keeps_in: self.keys.place().await,
        })
    }

    fn summary(&self, name: &str, purpose: &str, kept: Option<&Kept>) -> KeySummary {
        let used = self.environment.kept.get(name);
        let own = (self.environment.variable(name).is_some()
            || (name == GITHUB && self.environment.github_token.is_some()))
            && used.is_none();
        let place = if own { KeyPlace::Environment } else { kept.map_or(KeyPlace::None, |kept| kept.place) };
        KeySummary {
            name: name.to_owned(),
            purpose: purpose.to_owned(),
            place,
            pending: !own && used.map(|key| &key.text) != kept.map(|key| &key.text),
        }
    }

    async fn key(&self, name: &str) -> Result<KeySummary, UserError> {
        let settings = self.told().await?;
        let names: Vec<&str> = settings.keys.iter().map(|key| key.name.as_str()).collect();
        settings.keys.iter().find(|key| key.name == name).cloned().ok_or_else(|| {
            UserError::new(
                ErrorCode::NotFound,
                "no such key is used",
                format!("These are: {}. Others are named by [providers] in config.toml.", names.join(", ")),
            )
        })
    }
}

#[async_trait::async_trait]
impl SettingsKeeper for Keeper {
    async fn settings(&self) -> Result<Settings, UserError> {
        self.told().await
    }

    async fn change(&self, wish: ChangeSettings) -> Result<Settings, UserError> {
        let _alone = self.one_at_a_time.lock().await;
        let text = self.text()?;
        if revision(text.as_deref()) != wish.revision {
            return Err(changed_meanwhile());
        }
        let written = text.clone().unwrap_or_default();
        let refuse = |why: String| {
            UserError::new(ErrorCode::InvalidRequest, why, "Nothing was changed. Mend it and save again.")
        };
        let before = document::values(&configuration::parse(&written).map_err(refuse)?);
        let edited = document::edited(&written, &before, &wish.values).map_err(refuse)?;
        self.check(&edited, &wish.values, &before)?;
        if edited != written {
            self.put(text, Some(&edited))?;
        }
        self.told().await
    }

    async fn undo(&self) -> Result<Settings, UserError> {
        let _alone = self.one_at_a_time.lock().await;
        let text = self.text()?;
        let Some(undoable) = self.undoable(&revision(text.as_deref())) else {
            return Err(UserError::new(
                ErrorCode::Conflict,
                "there is no change to undo",
                format!(
                    "{} was changed by hand since, or never by Nightshift. `nightshift settings` shows what holds, \
                     `nightshift settings set` changes it.",
                    self.file.display()
                ),
            ));
        };
        self.put(text, undoable.text.as_deref())?;
        self.told().await
    }

    async fn keep_key(&self, name: &str, key: KeepKey) -> Result<KeySummary, UserError> {
        let _alone = self.one_at_a_time.lock().await;
        if self.key(name).await?.place == KeyPlace::Environment {
            return Err(UserError::new(
                ErrorCode::Conflict,
                format!("{name} is set in the environment the owner was started with, which comes first"),
                "Take it out there and start the owner again, then give it here.",
            ));
        }
        self.keys.keep(name, &key.key).await?;
        self.key(name).await
    }

    async fn forget_key(&self, name: &str) -> Result<KeySummary, UserError> {
        let _alone = self.one_at_a_time.lock().await;
        self.key(name).await?;
        self.keys.forget(name).await?;
        self.key(name).await
    }

    fn restart(&self) -> Result<(), UserError> {
        // What would not start is not tried: the owner that runs is better than none.
        configuration::read(&self.file)?;
        self.restart.notify_one();
        Ok(())
    }
}

fn changed_meanwhile() -> UserError {
    UserError::new(
        ErrorCode::Conflict,
        "the settings were changed meanwhile, in another window or in the file",
        "Nothing was changed. Look at them as they are now and change them again.",
    )
}

/// Names a file's content; a file that is not there is another than one that is empty.
fn revision(text: Option<&str>) -> String {
    let Some(text) = text else { return "none".to_owned() };
    Sha256::digest(text.as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Complete or not at all.
fn write(file: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let beside = file.with_file_name(name);
    let _left_by_a_crash = fs::remove_file(&beside);
    let mut new = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
    new.write_all(bytes)?;
    new.sync_all()?;
    fs::rename(beside, file)
}
