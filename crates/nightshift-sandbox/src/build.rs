//! What a driver has built on this host and could build again.

use std::path::PathBuf;
use std::time::SystemTime;

/// A template on this host's disk, or what is left of one that was never finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateBuild {
    /// The name of its folder.
    pub name: String,
    /// Its folder.
    pub folder: PathBuf,
    /// The file without which it is not taken for whole; it is removed first.
    pub record: PathBuf,
    /// The folder of the image it rests on, where it rests on one.
    pub image: Option<PathBuf>,
    /// Whether it can be cloned.
    pub finished: bool,
    /// When it was made.
    pub made_at: SystemTime,
    /// What needs it, if anything does.
    pub needed_by: Option<String>,
}
