//! Files: read, replaced in one step, looked at, hashed.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use nightshift_channel::wire::frame::Lane;
use nightshift_channel::wire::service::{FileAnswer, FileKind, FileRefusal, FileStat};
use sha2::{Digest, Sha256};

use crate::account::Account;
use crate::stream::{Gone, Stream};

/// How much is read at once, in bytes.
const PIECE_BYTES: usize = 32 * 1024;

/// Sends a file of at most `limit` bytes.
pub(crate) fn read(stream: &Stream, path: &str, limit: u64) -> Result<(), Gone> {
    let mut file = match open(path).and_then(|file| fits(file, limit)) {
        Ok(file) => file,
        Err(error) => return stream.answer(&FileAnswer::<()>::Err(refusal(&error))),
    };
    stream.send_message(&FileAnswer::Ok(()))?;
    let mut piece = vec![0; PIECE_BYTES];
    let mut left = limit;
    loop {
        match file.read(&mut piece) {
            Ok(0) => return stream.end(),
            Ok(length) => match left.checked_sub(length as u64) {
                Some(rest) => {
                    left = rest;
                    stream.send(Lane::Bytes, &piece[..length])?;
                }
                // It grew, or is one of the kernel's files, which have no length.
                None => return stream.answer(&FileRefusal::TooLarge),
            },
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return stream.answer(&refusal(&error)),
        }
    }
}

/// Replaces a file by what the stream brings up to its end.
pub(crate) fn write(stream: &Stream, path: &str, mode: u32, account: Option<&Account>) -> Result<(), Gone> {
    let Some(account) = account else {
        let what = "the sandbox has no such user".to_owned();
        return stream.answer(&FileAnswer::<()>::Err(FileRefusal::Other { what }));
    };
    let mut broken = None;
    let written = account.act(|| {
        let mut replacement = Replacement::begin(path)?;
        loop {
            match stream.receive_bytes() {
                Ok(Some(bytes)) => replacement.file.write_all(&bytes)?,
                Ok(None) => return replacement.finish(mode),
                Err(gone) => {
                    broken = Some(gone);
                    return Ok(());
                }
            }
        }
    });
    match broken {
        Some(gone) => Err(gone),
        None => stream.answer(&written.map_err(|error| refusal(&error))),
    }
}

/// Looks at what is at a path.
pub(crate) fn stat(path: &str) -> FileAnswer<FileStat> {
    let metadata = absolute(path).and_then(fs::symlink_metadata).map_err(|error| refusal(&error))?;
    let kind = metadata.file_type();
    let kind = if kind.is_file() {
        FileKind::File
    } else if kind.is_dir() {
        FileKind::Folder
    } else if kind.is_symlink() {
        FileKind::Link
    } else {
        FileKind::Other
    };
    Ok(FileStat { kind, length: metadata.len(), mode: metadata.permissions().mode() & 0o7777 })
}

/// Computes a file's SHA-256.
pub(crate) fn hash(path: &str) -> FileAnswer<[u8; 32]> {
    let mut hash = Sha256::new();
    let copied = open(path).and_then(|mut file| {
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            match file.read(&mut piece) {
                Ok(0) => return Ok(()),
                Ok(length) => hash.update(&piece[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    });
    copied.map(|()| hash.finalize().into()).map_err(|error| refusal(&error))
}

/// A file that is written beside the one it will replace; dropping it unfinished removes it.
struct Replacement {
    path: PathBuf,
    partial: PathBuf,
    file: File,
    finished: bool,
}

impl Drop for Replacement {
    fn drop(&mut self) {
        if !self.finished {
            let _ = fs::remove_file(&self.partial);
        }
    }
}

impl Replacement {
    fn begin(path: &str) -> io::Result<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let mut path = absolute(path)?.to_owned();
        if path.is_symlink() {
            // What a link leads to is replaced, not the link.
            path = fs::canonicalize(&path)?;
        }
        if path.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let folder = path.parent().ok_or(io::ErrorKind::IsADirectory)?;
        DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let partial = folder.join(format!(".nightshift-{}-{number}.partial", std::process::id()));
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
        Ok(Self { path, partial, file, finished: false })
    }

    fn finish(mut self, mode: u32) -> io::Result<()> {
        self.file.set_permissions(fs::Permissions::from_mode(mode & 0o7777))?;
        self.file.sync_all()?;
        fs::rename(&self.partial, &self.path)?;
        self.finished = true;
        // The new name is on disk only when its folder is.
        self.path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    }
}

fn absolute(path: &str) -> io::Result<&Path> {
    Some(Path::new(path))
        .filter(|path| path.is_absolute())
        .ok_or_else(|| io::Error::other("the path is not absolute"))
}

/// Opens a file without waiting for whoever might write to a pipe.
fn open(path: &str) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(absolute(path)?)?;
    if file.metadata()?.is_dir() { Err(io::ErrorKind::IsADirectory.into()) } else { Ok(file) }
}

fn fits(file: File, limit: u64) -> io::Result<File> {
    if file.metadata()?.len() > limit { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(file) }
}

pub(crate) fn refusal(error: &io::Error) -> FileRefusal {
    match error.kind() {
        io::ErrorKind::NotFound => FileRefusal::NotFound,
        io::ErrorKind::IsADirectory => FileRefusal::IsAFolder,
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => FileRefusal::NotAFolder,
        io::ErrorKind::PermissionDenied => FileRefusal::PermissionDenied,
        io::ErrorKind::FileTooLarge => FileRefusal::TooLarge,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => FileRefusal::NoSpace,
        _ => FileRefusal::Other { what: error.to_string() },
    }
}
