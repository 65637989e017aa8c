//! Secrets: kept from being shown, and found in texts before they leave the machine.
//!
//! Two kinds are found. *Known* ones are the values this host holds (tokens, keys), also as they look in base64, in
//! a URL and in JSON. *Shaped* ones look like what well-known issuers give out, or stand where a password stands.
//! A text is redacted by putting a marker in a secret's place; the marker says what kind it was.

mod known;
mod patterns;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};

use known::Known;

/// A text that nothing shows: its `Debug` says only that it is one, and it has no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Takes a secret; white space around it is dropped.
    pub fn new(text: &str) -> Self {
        Self(text.trim().into())
    }

    /// The text itself, for where it has to be sent.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret")
    }
}

/// A secret in a text. It has the place and not the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretFound {
    /// What kind, for example `GitHub token`.
    pub kind: String,
    /// Where it is, in bytes.
    pub range: Range<usize>,
    /// Whether it is certain enough to stop a delivery, and not only to be masked.
    pub certain: bool,
}

/// Values that are kept of one name at most: an App is issued a token each hour, and the last ones are still about.
const KEPT: usize = 4;

/// Finds secrets in texts. Clones share what they know.
#[derive(Clone, Default)]
pub struct Redactor {
    known: Arc<RwLock<Vec<Arc<Known>>>>,
}

impl fmt::Debug for Redactor {
    /// Shows names and no value.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.all();
        formatter.debug_list().entries(known.iter().map(|known| &known.name)).finish()
    }
}

impl Redactor {
    /// Knows these values, each under the name it is shown by. Values of fewer than eight characters are left out:
    /// words would be masked that are no secrets.
    pub fn new(values: impl IntoIterator<Item = (String, Secret)>) -> Self {
        let known = values.into_iter().filter_map(|(name, value)| Known::new(name, &value)).map(Arc::new);
        Self { known: Arc::new(RwLock::new(known.collect())) }
    }

    /// Knows one more value from now on, in all clones. Of one name the newest four are known.
    pub fn learn(&self, name: &str, value: &Secret) {
        let Some(new) = Known::new(name.to_owned(), value) else { return };
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.iter().any(|one| one.name == name && one.value == *value) {
            return;
        }
        if known.iter().filter(|one| one.name == name).count() >= KEPT
            && let Some(oldest) = known.iter().position(|one| one.name == name)
        {
            known.remove(oldest);
        }
        known.push(Arc::new(new));
    }

    fn all(&self) -> Vec<Arc<Known>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All secrets in a text, in order, none overlapping another.
    pub fn find(&self, text: &str) -> Vec<SecretFound> {
        let known = self.all();
        let mut found: Vec<SecretFound> = known.iter().flat_map(|known| known.find(text)).collect();
        found.extend(patterns::find(text));
        // The earlier one wins, and of two at the same place the longer: what is left out is masked with it.
        found.sort_by_key(|one| (one.range.start, std::cmp::Reverse(one.range.end)));
        let mut kept: Vec<SecretFound> = Vec::new();
        for one in found {
            match kept.last_mut() {
                Some(last) if one.range.start < last.range.end => {
                    last.range.end = last.range.end.max(one.range.end);
                    last.certain |= one.certain;
                }
                _ => kept.push(one),
            }
        }
        kept
    }

    /// The text with a marker in the place of each secret.
    pub fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        masked(text, self.find(text).into_iter())
    }

    /// The text with a marker in the place of each secret that is certain: a known value, or one that has an issuer's
    /// shape. It is for texts that are acted on, where a mere likeness must not change anything.
    pub fn redact_certain<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let found = self.find(text).into_iter().filter(|one| one.certain);
        masked(text, found)
    }

    /// The values that are known, for whoever looks for them by other means than text.
    pub fn known(&self) -> Vec<Secret> {
        self.all().iter().map(|known| known.value.clone()).collect()
    }
}

fn masked(text: &str, found: impl Iterator<Item = SecretFound>) -> Cow<'_, str> {
    let mut redacted = String::new();
    let mut end = 0;
    for one in found {
        redacted.push_str(&text[end..one.range.start]);
        redacted.push_str(&format!("[redacted: {}]", one.kind));
        end = one.range.end;
    }
    if end == 0 {
        return Cow::Borrowed(text);
    }
    redacted.push_str(&text[end..]);
    Cow::Owned(redacted)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn redactor() -> Redactor {
        Redactor::new([
            ("GITHUB_TOKEN".to_owned(), Secret::new("hunter2-hunter2/+\"x")),
            ("SHORT".to_owned(), Secret::new("abc")),
        ])
    }

    #[test]
    fn a_known_value_is_masked_in_all_its_clothes() {
        let value = "hunter2-hunter2/+\"x";
        use base64::Engine as _;
        let clothes = [
            value.to_owned(),
            base64::prelude::BASE64_STANDARD.encode(format!("user:{value}")),
            base64::prelude::BASE64_STANDARD.encode(format!("x:{value}!")),
            "https://h/?t=hunter2-hunter2%2F%2B%22x&a=b".to_owned(),
            "{\"token\": \"hunter2-hunter2/+\\\"x\"}".to_owned(),
        ];
        for dressed in clothes {
            let redacted = redactor().redact(&dressed).into_owned();
            assert!(redacted.contains("[redacted: GITHUB_TOKEN]"), "{dressed} → {redacted}");
            assert!(!redacted.contains("hunter2"), "{redacted}");
        }
    }

    #[test]
    fn a_value_too_short_to_be_told_from_words_is_left() {
        assert_eq!(redactor().redact("abc abcd"), "abc abcd");
    }

    #[test]
    fn overlapping_finds_become_one_mask() {
        let token = format!("ghp_{}", "a1".repeat(18));
        let redactor = Redactor::new([("T".to_owned(), Secret::new(&token[4..30]))]);
        assert_eq!(redactor.redact(&format!("x {token} y")), "x [redacted: GitHub token] y");
    }

    #[test]
    fn what_is_acted_on_loses_only_what_is_certain() {
        let likely = "password = \"a8F3kQ9zL2mN7xW4\"";
        assert_ne!(redactor().redact(likely), likely);
        assert_eq!(redactor().redact_certain(likely), likely);
        let token = format!("ghp_{}", "a1".repeat(18));
        assert_eq!(
            redactor().redact_certain(&format!("curl -H {token} hunter2-hunter2/+\"x")),
            "curl -H [redacted: GitHub token] [redacted: GITHUB_TOKEN]"
        );
    }

    #[test]
    fn what_is_learnt_is_known_to_all_clones_and_the_newest_of_a_name_stay() {
        let (redactor, token) = (redactor(), |number: u32| format!("issued-token-{number:04}"));
        let earlier = redactor.clone();
        for number in 0..6 {
            redactor.learn("installation token", &Secret::new(&token(number)));
            redactor.learn("installation token", &Secret::new(&token(number)));
        }
        redactor.learn("installation token", &Secret::new("short"));
        let seen: Vec<bool> =
            (0..6).map(|number| earlier.redact(&token(number)) == "[redacted: installation token]").collect();
        assert_eq!(seen, [false, false, true, true, true, true]);
        assert_eq!(earlier.redact("hunter2-hunter2/+\"x short"), "[redacted: GITHUB_TOKEN] short");
    }

    #[test]
    fn a_redactor_shows_names_and_no_values() {
        assert_eq!(format!("{:?}", redactor()), "[\"GITHUB_TOKEN\"]");
    }

    #[test]
    fn a_secret_does_not_show_itself() {
        assert_eq!(format!("{:?}", Secret::new("ghp_x")), "Secret");
    }

    proptest! {
        #[test]
        fn whatever_surrounds_it_a_known_value_never_stays(before in "\\PC{0,40}", after in "\\PC{0,40}") {
            let text = format!("{before}hunter2-hunter2/+\"x{after}");
            prop_assert!(!redactor().redact(&text).contains("hunter2-hunter2/+\"x"));
        }
    }
}
