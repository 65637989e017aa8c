//! Keys that were given to Nightshift: in the desktop's key ring where there is one, else in a file of mode 0600.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nightshift_protocol::{ErrorCode, KeyPlace, UserError};

use super::ring::{Ring, RingError};

/// How long a key ring may take to answer what needs no person.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// The longest key, in bytes: longer than any provider's, shorter than a file that was taken for one.
const LONGEST: usize = 4096;

/// A key and where it is.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    /// It. Nothing shows it.
    pub(crate) text: String,
    /// Where it is.
    pub(crate) place: KeyPlace,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Kept").field("place", &self.place).finish_non_exhaustive()
    }
}

/// Keeps keys.
#[derive(Debug, Clone)]
pub(crate) struct KeyStore {
    /// The file, mode 0600.
    file: PathBuf,
    /// The address of the session bus, if there is one.
    bus: Option<String>,
}

impl KeyStore {
    /// Keys in the ring at the bus `bus`, or in `file`.
    pub(crate) fn new(file: PathBuf, bus: Option<String>) -> Self {
        Self { file, bus }
    }

    /// Where a key is put that is given now.
    pub(crate) async fn place(&self) -> KeyPlace {
        if self.ring().await.is_some() { KeyPlace::KeyRing } else { KeyPlace::File }
    }

    /// Reads the keys of these names. One that cannot be read is logged and counts as not there.
    pub(crate) async fn read(&self, names: &[&str]) -> BTreeMap<String, Kept> {
        let in_file = read_file(&self.file).unwrap_or_else(|error| {
            tracing::warn!(%error, file = %self.file.display(), "the keys in it cannot be read");
            BTreeMap::new()
        });
        let ring = self.ring().await;
        let mut found = BTreeMap::new();
        for &name in names {
            let kept = match &ring {
                Some(ring) => match tokio::time::timeout(ANSWER_WITHIN, ring.read(name)).await {
                    Ok(Ok(key)) => key,
                    Ok(Err(error)) => {
                        tracing::warn!(%error, name, "a key is not used");
                        None
                    }
                    Err(_) => None,
                },
                None => None,
            };
            let kept = kept.map(|text| Kept { text, place: KeyPlace::KeyRing });
            let in_file = || in_file.get(name).map(|text| Kept { text: text.clone(), place: KeyPlace::File });
            if let Some(kept) = kept.or_else(in_file) {
                found.insert(name.to_owned(), kept);
            }
        }
        found
    }

    /// Keeps a key in the place of the one there was, and says where.
    pub(crate) async fn keep(&self, name: &str, key: &str) -> Result<KeyPlace, UserError> {
        let key = checked(name, key)?;
        if let Some(ring) = self.ring().await {
            match ring.keep(name, key).await {
                Ok(()) => {
                    self.change_file(|keys| keys.remove(name).is_some())?;
                    return Ok(KeyPlace::KeyRing);
                }
                Err(RingError::Locked) => return Err(locked()),
                Err(RingError::Silent(error)) => tracing::warn!(%error, "the key ring is not used"),
            }
        }
        self.change_file(|keys| keys.insert(name.to_owned(), key.to_owned()).as_deref() != Some(key))?;
        Ok(KeyPlace::File)
    }

    /// Forgets a key. Returns whether there was one.
    pub(crate) async fn forget(&self, name: &str) -> Result<bool, UserError> {
        let mut found = self.change_file(|keys| keys.remove(name).is_some())?;
        if let Some(ring) = self.ring().await {
            match ring.forget(name).await {
                Ok(was_there) => found |= was_there,
                Err(RingError::Locked) => return Err(locked()),
                Err(RingError::Silent(error)) => tracing::warn!(%error, "the key ring is not used"),
            }
        }
        Ok(found)
    }

    async fn ring(&self) -> Option<Ring> {
        let bus = self.bus.as_deref()?;
        let opened = async {
            let bus = zbus::conn::Builder::address(bus).build().await?;
            Ring::open(bus).await.map_err(|error| match error {
                RingError::Silent(error) => error,
                RingError::Locked => zbus::Error::Failure("it is locked".to_owned()),
            })
        };
        match tokio::time::timeout(ANSWER_WITHIN, opened).await {
            Ok(Ok(ring)) => Some(ring),
            Ok(Err(error)) => {
                tracing::debug!(%error, "there is no key ring");
                None
            }
            Err(_) => None,
        }
    }

    fn change_file(
        &self,
        change: impl FnOnce(&mut BTreeMap<String, String>) -> bool,
    ) -> Result<bool, UserError> {
        let trouble = |error: io::Error| {
            UserError::new(
                ErrorCode::Internal,
                format!("the keys in {} could not be changed: {error}", self.file.display()),
                "Nothing was changed. Look at the file's owner, mode and disk.",
            )
        };
        let mut keys = read_file(&self.file).map_err(trouble)?;
        let changed = change(&mut keys);
        if changed {
            write_file(&self.file, &keys).map_err(trouble)?;
        }
        Ok(changed)
    }
}

fn locked() -> UserError {
    UserError::new(
        ErrorCode::Conflict,
        "the key ring is locked, and was not unlocked",
        "Unlock it on the desktop it belongs to, then try again.",
    )
}

fn checked<'k>(name: &str, key: &'k str) -> Result<&'k str, UserError> {
    let key = key.trim();
    let why = if key.is_empty() {
        "it is empty"
    } else if key.len() > LONGEST {
        "it is longer than 4096 bytes"
    } else if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        "it holds a blank or another character that no key has"
    } else {
        return Ok(key);
    };
    // The text itself is not repeated: it may be the right key, mistyped.
    Err(UserError::new(
        ErrorCode::InvalidRequest,
        format!("that is no {name}: {why}"),
        "Copy it once more as its provider shows it.",
    ))
}

fn read_file(file: &Path) -> io::Result<BTreeMap<String, String>> {
    match fs::read(file) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(io::Error::other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(error),
    }
}

/// Complete or not at all, and never for anybody else to read.
fn write_file(file: &Path, keys: &BTreeMap<String, String>) -> io::Result<()> {
    if keys.is_empty() {
        return fs::remove_file(file);
    }
    let beside = file.with_extension("new");
    let _left_by_a_crash = fs::remove_file(&beside);
    let mut new = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    new.write_all(&serde_json::to_vec(keys)?)?;
    new.sync_all()?;
    fs::rename(beside, file)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn store(folder: &tempfile::TempDir) -> KeyStore {
        KeyStore::new(folder.path().join("keys.json"), None)
    }

    #[tokio::test]
    async fn without_a_key_ring_a_key_is_in_a_file_that_nobody_else_may_read() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder);
        assert_eq!(store.place().await, KeyPlace::File);
        assert_eq!(store.keep("A_KEY", " sk-1 \n").await.unwrap(), KeyPlace::File);
        assert_eq!(store.keep("B_KEY", "sk-2").await.unwrap(), KeyPlace::File);
        let mode = fs::metadata(folder.path().join("keys.json")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let kept = Kept { text: "sk-1".to_owned(), place: KeyPlace::File };
        assert_eq!(store.read(&["A_KEY", "C_KEY"]).await, BTreeMap::from([("A_KEY".to_owned(), kept)]));
    }

    #[tokio::test]
    async fn a_key_is_replaced_and_forgotten_and_the_last_one_takes_the_file_along() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder);
        store.keep("A_KEY", "old").await.unwrap();
        store.keep("A_KEY", "new").await.unwrap();
        assert_eq!(store.read(&["A_KEY"]).await["A_KEY"].text, "new");
        assert!(store.forget("A_KEY").await.unwrap());
        assert!(!store.forget("A_KEY").await.unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn what_is_no_key_is_refused_without_being_repeated() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder);
        let long = "x".repeat(5000);
        let mut said = Vec::new();
        for text in ["", "two words", "line\nbreak", "schlüssel", long.as_str()] {
            let error = store.keep("A_KEY", text).await.unwrap_err();
            assert!(text.is_empty() || !error.message.contains(text), "{}", error.message);
            said.push(error.message);
        }
        assert_eq!(said[0], "that is no A_KEY: it is empty");
        assert_eq!(said[1], "that is no A_KEY: it holds a blank or another character that no key has");
        assert_eq!(said[4], "that is no A_KEY: it is longer than 4096 bytes");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_damaged_file_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder);
        fs::write(folder.path().join("keys.json"), "{").unwrap();
        assert_eq!(store.read(&["A_KEY"]).await, BTreeMap::new());
        assert_eq!(store.keep("A_KEY", "sk").await.unwrap_err().code, ErrorCode::Internal);
        assert_eq!(fs::read_to_string(folder.path().join("keys.json")).unwrap(), "{");
    }

    #[tokio::test]
    async fn a_bus_without_a_key_ring_is_the_same_as_no_bus() {
        let folder = tempfile::tempdir().unwrap();
        let nobody = format!("unix:path={}", folder.path().join("nobody").display());
        let store = KeyStore::new(folder.path().join("keys.json"), Some(nobody));
        assert_eq!(store.keep("A_KEY", "sk").await.unwrap(), KeyPlace::File);
    }

    #[test]
    fn a_key_is_not_in_what_is_shown_of_it() {
        let kept = Kept { text: "sk-secret".to_owned(), place: KeyPlace::File };
        assert_eq!(format!("{kept:?}"), "Kept { place: File, .. }");
    }
}
