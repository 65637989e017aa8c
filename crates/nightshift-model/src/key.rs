//! A provider's key, which nothing shows.

use std::fmt;

use reqwest::header::HeaderValue;

/// A key for a provider. Its `Debug` shows nothing of it, and it has no `Display`.
#[derive(Clone)]
pub struct Key(HeaderValue);

/// A text that cannot be a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// Nothing but white space.
    #[error("the key is empty")]
    Empty,
    /// It holds a character no HTTP header can carry, such as a line break in its middle.
    #[error("the key holds a character that no key has")]
    ForbiddenCharacter,
}

impl Key {
    /// Takes a key as a person or a file gives it; white space around it is dropped.
    ///
    /// # Errors
    ///
    /// [`InvalidKey`] if it is empty or holds anything but visible ASCII. The error shows nothing of the text.
    pub fn new(text: &str) -> Result<Self, InvalidKey> {
        let text = text.trim();
        if text.is_empty() {
            return Err(InvalidKey::Empty);
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(InvalidKey::ForbiddenCharacter);
        }
        let mut value = HeaderValue::from_str(text).map_err(|_| InvalidKey::ForbiddenCharacter)?;
        value.set_sensitive(true);
        Ok(Self(value))
    }

    pub(crate) fn header(&self) -> HeaderValue {
        self.0.clone()
    }

    /// The key's own bytes, to look for them.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The key as `Authorization` has it (RFC 6750, section 2.1).
    pub(crate) fn bearer(&self) -> HeaderValue {
        let bytes = [b"Bearer ", self.0.as_bytes()].concat();
        // The key's characters were checked, and the prefix is one of a header.
        let mut value = HeaderValue::from_bytes(&bytes).unwrap_or_else(|_| self.0.clone());
        value.set_sensitive(true);
        value
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Key(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_shows_nothing_of_itself() {
        let key = Key::new(" sk-ant-secret\n");
        assert_eq!(format!("{key:?}"), "Ok(Key(hidden))");
        assert_eq!(format!("{:?}", key.map(|key| key.header())), "Ok(Sensitive)");
    }

    #[test]
    fn a_bearer_is_as_hidden_as_the_key() {
        let bearer = Key::new("sk-secret").unwrap().bearer();
        assert_eq!(bearer.to_str().unwrap(), "Bearer sk-secret");
        assert_eq!(format!("{bearer:?}"), "Sensitive");
    }

    #[test]
    fn a_text_that_no_header_can_carry_is_refused_without_being_shown() {
        assert_eq!(Key::new(" \n").err(), Some(InvalidKey::Empty));
        let refused = Key::new("sk-ant\nsecret").err();
        assert_eq!(refused, Some(InvalidKey::ForbiddenCharacter));
        assert!(!format!("{refused:?}").contains("secret"));
    }
}
