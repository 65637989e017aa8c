//! What a person set for the desktop app alone.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

/// Kept in `window.json` in the data folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Preferences {
    /// Whether notifications are shown.
    pub notifications: bool,
}

impl Default for Preferences {
    fn default() -> Self {
        Self { notifications: true }
    }
}

impl Preferences {
    /// Reads them; what is missing or damaged is as it is at the beginning.
    pub fn read(file: &Path) -> Self {
        fs::read(file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    /// Keeps them, complete or not at all.
    ///
    /// # Errors
    ///
    /// Those of the disk.
    pub fn write(self, file: &Path) -> io::Result<()> {
        let staged = file.with_extension("new");
        let mut new = fs::File::create(&staged)?;
        new.write_all(&serde_json::to_vec(&self)?)?;
        fs::rename(staged, file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_set_is_read_again_and_damage_means_the_beginning() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("window.json");
        assert_eq!(Preferences::read(&file), Preferences { notifications: true });
        Preferences { notifications: false }.write(&file).unwrap();
        assert_eq!(Preferences::read(&file), Preferences { notifications: false });
        fs::write(&file, "{\"notifications\": \"loud\"}").unwrap();
        assert_eq!(Preferences::read(&file), Preferences::default());
    }
}
