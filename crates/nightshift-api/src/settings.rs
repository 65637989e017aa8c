//! Settings and keys. Where they are kept is the program's matter: it brings a [`SettingsKeeper`].

use std::sync::Arc;

use async_trait::async_trait;
use nightshift_protocol::{
    ChangeSettings, ErrorCode, KeepKey, KeySummary, ListRuns, Restarting, Settings, UserError,
};

use crate::Api;

/// Keeps what a person sets, in a file, and keys, where nobody else reads them.
#[async_trait]
pub trait SettingsKeeper: Send + Sync {
    /// Reads what is set.
    async fn settings(&self) -> Result<Settings, UserError>;
    /// Checks and keeps other settings; nothing is changed when one of them cannot be used.
    async fn change(&self, wish: ChangeSettings) -> Result<Settings, UserError>;
    /// Takes the last change back; done twice it is made again.
    async fn undo(&self) -> Result<Settings, UserError>;
    /// Keeps a key in the place of the one there was.
    async fn keep_key(&self, name: &str, key: KeepKey) -> Result<KeySummary, UserError>;
    /// Forgets a key that was kept.
    async fn forget_key(&self, name: &str) -> Result<KeySummary, UserError>;
    /// Has the owner end and start again with what is kept now, once what is being answered is answered.
    fn restart(&self) -> Result<(), UserError>;
}

impl Api {
    /// The same operations, with settings that can be read and changed.
    #[must_use]
    pub fn with_settings(mut self, keeper: Arc<dyn SettingsKeeper>) -> Self {
        self.settings = Some(keeper);
        self
    }

    fn keeper(&self) -> Result<&dyn SettingsKeeper, UserError> {
        self.settings.as_deref().ok_or_else(|| {
            UserError::new(
                ErrorCode::Conflict,
                "this owner keeps no settings",
                "Ask the owner that `nightshift serve` starts.",
            )
        })
    }

    /// Reads the settings and tells which keys there are; no key is in the answer.
    pub async fn settings(&self) -> Result<Settings, UserError> {
        self.keeper()?.settings().await
    }

    /// Changes settings; they hold from the owner's next start on.
    pub async fn change_settings(&self, wish: ChangeSettings) -> Result<Settings, UserError> {
        self.keeper()?.change(wish).await
    }

    /// Takes the last change of the settings back.
    pub async fn undo_settings(&self) -> Result<Settings, UserError> {
        self.keeper()?.undo().await
    }

    /// Keeps a key.
    pub async fn keep_key(&self, name: &str, key: KeepKey) -> Result<KeySummary, UserError> {
        self.keeper()?.keep_key(name, key).await
    }

    /// Forgets a key.
    pub async fn forget_key(&self, name: &str) -> Result<KeySummary, UserError> {
        self.keeper()?.forget_key(name).await
    }

    /// Starts the owner again with the settings and keys as they are kept. Runs go on.
    pub async fn restart(&self) -> Result<Restarting, UserError> {
        let keeper = self.keeper()?;
        let running = ListRuns {
            state: Some("preparing,working,delivering".to_owned()),
            limit: Some(500),
            ..ListRuns::default()
        };
        let running = self.runs(&running).await?.runs.len() as u64;
        keeper.restart()?;
        Ok(Restarting { running })
    }
}
