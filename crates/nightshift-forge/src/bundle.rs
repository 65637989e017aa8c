//! Bundles: how commits travel into and out of a sandbox. <https://git-scm.com/docs/gitformat-bundle>

use std::io::{self, BufRead};
use std::path::Path;

use nightshift_protocol::CommitId;

use crate::git::{LONG, Place};
use crate::{BranchName, GitError, Repository};

/// Longest line of a header, and most lines: more than git writes for one branch with a thousand prerequisites.
const LONGEST_LINE: u64 = 1024;
const MOST_LINES: usize = 2_000;

/// Why a bundle was not made.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The file's folder could not be used.
    #[error("cannot write the bundle")]
    File(#[from] io::Error),
    /// Git failed.
    #[error(transparent)]
    Git(#[from] GitError),
}

impl Repository {
    /// Writes a bundle with a commit and its whole history, as the only branch `branch`, which is also its `HEAD`:
    /// `git clone FILE` makes a repository that stands on it. The file is complete when this returns.
    pub async fn bundle(&self, commit: &CommitId, branch: &BranchName, to: &Path) -> Result<(), BundleError> {
        let to = std::path::absolute(to)?;
        // The branch exists in a repository of its own only, so that nobody else sees it.
        let borrowed = self.quarantine(commit).await?;
        let here = Place::Ours(borrowed.path());
        let full = branch.full();
        self.git.call(here, ["update-ref", &full, commit.as_str()]).bytes().await?;
        self.git.call(here, ["symbolic-ref", "HEAD", &full]).bytes().await?;
        let arguments = ["bundle".as_ref(), "create".as_ref(), "--quiet".as_ref(), to.as_os_str()];
        let arguments = arguments.into_iter().chain(["HEAD".as_ref(), full.as_ref()]);
        self.git.call(here, arguments).time_limit(LONG).bytes().await?;
        Ok(())
    }
}

/// What stands before the pack in a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleHeader {
    /// Commits that whoever reads the bundle must have.
    pub prerequisites: Vec<CommitId>,
    /// The refs in it: full name and commit.
    pub references: Vec<(String, CommitId)>,
    /// How many bytes the header has; the pack begins there.
    pub length: u64,
}

/// Why bytes are no header of a bundle.
#[derive(Debug, thiserror::Error)]
pub enum HeaderError {
    /// They are not of a form that is known.
    #[error("it is no git bundle: {0}")]
    Malformed(&'static str),
    /// They could not be read.
    #[error("cannot read it")]
    Read(#[from] io::Error),
}

impl BundleHeader {
    /// Reads a header, and not a byte beyond it.
    pub fn read(from: &mut impl BufRead) -> Result<Self, HeaderError> {
        let mut header = Self { prerequisites: Vec::new(), references: Vec::new(), length: 0 };
        let capabilities = match header.line(from)?.as_str() {
            "# v2 git bundle" => false,
            "# v3 git bundle" => true,
            _ => return Err(HeaderError::Malformed("its first line is not that of version 2 or 3")),
        };
        for _ in 0..MOST_LINES {
            let line = header.line(from)?;
            if line.is_empty() {
                return Ok(header);
            }
            let object = |text: &str| -> Result<CommitId, HeaderError> {
                text.parse().map_err(|_| HeaderError::Malformed("an object's name is none"))
            };
            if let Some(capability) = line.strip_prefix('@') {
                // Anything else, for example a filter, would mean that objects are missing.
                if !capabilities || !matches!(capability, "object-format=sha1" | "object-format=sha256") {
                    return Err(HeaderError::Malformed("it asks for something that is not supported"));
                }
            } else if let Some(prerequisite) = line.strip_prefix('-') {
                let name = prerequisite.split(' ').next().unwrap_or(prerequisite);
                header.prerequisites.push(object(name)?);
            } else {
                let (name, reference) =
                    line.split_once(' ').ok_or(HeaderError::Malformed("a ref has no name"))?;
                header.references.push((reference.to_owned(), object(name)?));
            }
        }
        Err(HeaderError::Malformed("its header is too long"))
    }

    fn line(&mut self, from: &mut impl BufRead) -> Result<String, HeaderError> {
        let mut line = Vec::new();
        let mut limited = io::Read::take(&mut *from, LONGEST_LINE);
        let length = limited.read_until(b'\n', &mut line)?;
        self.length += length as u64;
        if line.pop() != Some(b'\n') {
            return Err(HeaderError::Malformed("a line of its header does not end"));
        }
        // Comments of prerequisites may be in any encoding; names are compared and must be exact.
        Ok(String::from_utf8_lossy(&line).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<BundleHeader, HeaderError> {
        BundleHeader::read(&mut text.as_bytes())
    }

    fn object(digit: &str) -> CommitId {
        digit.repeat(40).parse().unwrap()
    }

    #[test]
    fn a_header_ends_where_the_pack_begins() {
        let head = "# v3 git bundle\n@object-format=sha1\n";
        let text = format!("{head}-{} a comment\n{} refs/heads/x\n\n", object("a"), object("b"));
        let expected = BundleHeader {
            prerequisites: vec![object("a")],
            references: vec![("refs/heads/x".to_owned(), object("b"))],
            length: text.len() as u64,
        };
        assert_eq!(read(&format!("{text}PACK…")).unwrap(), expected);
    }

    #[test]
    fn headers_that_ask_for_more_or_never_end_are_refused() {
        let endless = "# v2 git bundle\n".to_owned() + &format!("-{}\n", object("a")).repeat(3000);
        for text in [
            "",
            "PACK",
            "# v2 git bundle",
            "# v2 git bundle\n@object-format=sha1\n\n",
            "# v3 git bundle\n@filter=blob:none\n\n",
            "# v2 git bundle\nrefs/heads/x\n\n",
            "# v2 git bundle\n../../x refs/heads/x\n\n",
            &("# v2 git bundle\n".to_owned() + &"a".repeat(5000)),
            &endless,
        ] {
            assert!(read(text).is_err(), "{text:.60}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_reading_a_header_panic(bytes in any::<Vec<u8>>(), text in "(# v[23] git bundle\n)?([-@a-f0-9 \n]{0,90})") {
            let _ = BundleHeader::read(&mut bytes.as_slice());
            if let Ok(header) = read(&text) {
                prop_assert!(header.length <= text.len() as u64);
            }
        }
    }
}
