//! References to elements: short enough for a model, and good for one document only.

use std::fmt;
use std::str::FromStr;

/// An element of one document, written `k7-42`: two characters for the document, a number for the element in it.
///
/// The number is the browser's own, which means something else after the page was left. The two characters, made of
/// the document's id, tell an old reference from a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reference {
    document: Document,
    node: u64,
}

/// A document by two characters of its id's hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Document([u8; 2]);

const LETTERS: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz234567890";

impl Document {
    /// The document that a loader's id stands for.
    pub(crate) fn of(loader: &str) -> Self {
        // FNV-1a, of which ten bits are enough: a collision needs a page that is left for just that one of a thousand.
        let hash = loader.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let letter = |shift: u32| LETTERS[usize::try_from((hash >> shift) & 31).unwrap_or_default()];
        Self([letter(32), letter(40)])
    }

    pub(crate) fn element(self, node: u64) -> Reference {
        Reference { document: self, node }
    }
}

impl Reference {
    /// The browser's number of the element, if it belongs to this document.
    pub(crate) fn in_document(self, document: Document) -> Option<u64> {
        (self.document == document).then_some(self.node)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second] = self.document.0.map(char::from);
        write!(formatter, "{first}{second}-{}", self.node)
    }
}

/// A text that is no reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{given}\" is no reference of an element; they are written like k7-42 in the outline")]
pub struct InvalidReference {
    given: String,
}

impl FromStr for Reference {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        let invalid = || InvalidReference { given: crate::text::line(text, 40) };
        let inner = text.trim().trim_start_matches('[').trim_end_matches(']');
        let (document, node) = inner.split_once('-').ok_or_else(invalid)?;
        let document: [u8; 2] = document.as_bytes().try_into().map_err(|_| invalid())?;
        if !document.iter().all(|letter| LETTERS.contains(letter)) || node.starts_with('+') {
            return Err(invalid());
        }
        Ok(Self { document: Document(document), node: node.parse().map_err(|_| invalid())? })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_reference_is_good_for_its_own_document_only() {
        let (here, there) = (Document::of("4A5B"), Document::of("9C1D"));
        let reference = here.element(42);
        assert_eq!(reference.in_document(here), Some(42));
        assert_eq!(reference.in_document(there), None);
    }

    #[test]
    fn what_a_model_makes_up_is_refused_by_name() {
        for given in ["", "42", "e42", "k7-", "k7-x", "k7-+4", "K7-42", "k7-4-2", "submit"] {
            let error = given.parse::<Reference>().unwrap_err();
            assert!(error.to_string().contains("written like k7-42"), "{given}");
        }
    }

    proptest! {
        #[test]
        fn a_reference_is_read_as_it_was_written(loader in ".{0,40}", node in any::<u64>()) {
            let reference = Document::of(&loader).element(node);
            prop_assert_eq!(reference.to_string().parse(), Ok(reference));
            prop_assert_eq!(format!("[{reference}]").parse(), Ok(reference));
        }
    }
}
