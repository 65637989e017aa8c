//! How git proves itself to a site without a token on a command line, in an environment, in a URL or on a disk.
//!
//! The token lies in a file that has no name (memfd_create(2)), which only this user's processes can open, through
//! this process. Git is given a credential helper (gitcredentials(7)) that prints that file, for one site only:
//! what is on the helper's command line is the number of the file.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use rustix::fs::{MemfdFlags, memfd_create};

use crate::secrets::Secret;

/// A token for git, for one site.
#[derive(Debug, Clone)]
pub struct GitCredential {
    site: Arc<str>,
    file: Arc<File>,
}

impl GitCredential {
    /// Makes a place for the token of a site, for example `https://github.com`. It is empty.
    pub fn for_site(site: &str) -> io::Result<Self> {
        let file = memfd_create("nightshift-credential", MemfdFlags::CLOEXEC)?;
        Ok(Self { site: site.trim_end_matches('/').into(), file: Arc::new(File::from(file)) })
    }

    /// Puts a token there, in the place of an earlier one.
    pub fn set(&self, token: &Secret) -> io::Result<()> {
        // The user's name is not looked at; GitHub's documentation uses this one.
        let answer = format!("username=x-access-token\npassword={}\n", token.expose());
        self.file.set_len(0)?;
        self.file.write_all_at(answer.as_bytes(), 0)
    }

    /// Settings that make git ask here for that site, and nowhere else.
    pub(crate) fn settings(&self) -> [(String, String); 2] {
        let name = format!("credential.{}.helper", self.site);
        let (process, file) = (std::process::id(), self.file.as_raw_fd());
        let helper = format!("!f() {{ test \"$1\" = get && cat /proc/{process}/fd/{file}; }}; f");
        // The empty one takes away those that the person has: ours is to be used, and theirs is not to learn of it.
        [(name.clone(), String::new()), (name, helper)]
    }
}
