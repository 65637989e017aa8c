//! Folders, both ways, as tar streams.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use bytes::{Buf, Bytes};
use tokio::sync::mpsc;

use crate::wire::frame::{Lane, MAX_PAYLOAD_BYTES};
use crate::wire::service::{GuestUser, Request, TreeAnswer};

use super::error::{ChannelError, TreeError};
use super::link::Channel;
use super::stream::Stream;
use super::unpack::{self, HostileTree, Unpacked};

/// How many pieces wait between the channel and the thread that packs or unpacks.
const PIECES: usize = 4;

/// More than any tar puts behind the end of an archive, in bytes.
const MAX_PADDING_BYTES: u64 = 1 << 20;

/// How much the guest may make the host unpack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeLimits {
    /// The most files, folders and links.
    pub entries: u64,
    /// The most bytes of all files together.
    pub bytes: u64,
}

impl Default for TreeLimits {
    /// 100,000 entries and 2 GiB.
    fn default() -> Self {
        Self { entries: 100_000, bytes: 2 << 30 }
    }
}

impl Channel {
    /// Copies the content of a folder of the host into one of the guest, which is made when missing; files that are
    /// there are replaced. Sockets, pipes and devices are passed over, links stay links.
    pub async fn put_tree(&self, local: &Path, guest: &str, owner: GuestUser) -> Result<(), TreeError> {
        let mut stream = self.request(&Request::PutTree { path: guest.to_owned(), owner }).await?;
        let (pieces, mut packed) = mpsc::channel(PIECES);
        let local = local.to_owned();
        let packing =
            tokio::task::spawn_blocking(move || pack(&local, PieceWriter { pieces, piece: Vec::new() }));
        while let Some(piece) = packed.recv().await {
            match stream.send(&piece).await {
                Ok(()) => {}
                Err(ChannelError::Cut) => break,
                Err(error) => return Err(error.into()),
            }
        }
        let cut = !packed.is_closed();
        drop(packed);
        let packing = packing.await.map_err(|error| TreeError::Local(io::Error::other(error)))?;
        if !cut {
            // Without its end the guest takes the stream for broken, so half a tree is never taken for a whole one.
            packing.map_err(TreeError::Local)?;
            stream.end();
        }
        stream.answer::<TreeAnswer>().await??;
        Ok(())
    }

    /// Copies the content of a folder of the guest into a new folder of the host, which is there whole or not at all.
    /// `local` may be an empty folder; the folder above it must exist.
    ///
    /// The guest is not trusted: absolute paths, `..`, links that lead out, hard links, devices and more than `limits`
    /// are refused, and of permissions only the right to execute is kept.
    pub async fn get_tree(&self, guest: &str, local: &Path, limits: TreeLimits) -> Result<(), TreeError> {
        let mut stream = self.request(&Request::GetTree { path: guest.to_owned() }).await?;
        stream.end();
        stream.answer::<TreeAnswer>().await??;
        let (sender, pieces) = mpsc::channel(PIECES);
        let local = local.to_owned();
        let unpacking = tokio::task::spawn_blocking(move || receive(&local, limits, pieces));
        let arrived = pass_on(&mut stream, sender).await;
        let unpacked = unpacking.await.map_err(|error| TreeError::Local(io::Error::other(error)))?;
        match arrived? {
            // Unpacking stopped first: it says why.
            Arrived::NotWanted => unpacked.map(drop),
            Arrived::Whole(verdict) => {
                verdict?;
                unpacked?.keep().map_err(TreeError::Local)
            }
        }
    }
}

enum Arrived {
    NotWanted,
    Whole(TreeAnswer),
}

async fn pass_on(stream: &mut Stream, sender: mpsc::Sender<Bytes>) -> Result<Arrived, ChannelError> {
    loop {
        match stream.receive().await?.ok_or(ChannelError::Cut)? {
            (Lane::Bytes, bytes) => {
                if sender.send(bytes).await.is_err() {
                    return Ok(Arrived::NotWanted);
                }
            }
            (lane, bytes) => return Ok(Arrived::Whole(stream.message_from(lane, bytes).await?)),
        }
    }
}

/// A tree that is unpacked beside its place; dropping it removes it.
struct Beside {
    folder: tempfile::TempDir,
    place: PathBuf,
}

impl Beside {
    fn keep(self) -> io::Result<()> {
        fs::set_permissions(self.folder.path(), fs::Permissions::from_mode(0o755))?;
        // An empty folder in its place is replaced, any other is an error (rename(2)).
        fs::rename(self.folder.path(), &self.place)
    }
}

fn receive(local: &Path, limits: TreeLimits, pieces: mpsc::Receiver<Bytes>) -> Result<Beside, TreeError> {
    let above = local.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder =
        tempfile::Builder::new().prefix(".nightshift-tree-").tempdir_in(above).map_err(TreeError::Local)?;
    let mut reader = PieceReader { pieces, piece: Bytes::new() };
    let Unpacked = unpack::unpack(&mut reader, folder.path(), limits)?;
    // What follows the archive's end is padding to tar's record of 10 KiB; the verdict is behind it.
    let padding =
        io::copy(&mut (&mut reader).take(MAX_PADDING_BYTES), &mut io::sink()).map_err(TreeError::Local)?;
    if padding == MAX_PADDING_BYTES {
        return Err(HostileTree::NotAnArchive.into());
    }
    Ok(Beside { folder, place: local.to_owned() })
}

fn pack(local: &Path, writer: PieceWriter) -> io::Result<()> {
    let mut archive = tar::Builder::new(writer);
    archive.follow_symlinks(false);
    append_folder(&mut archive, local, Path::new(""))?;
    archive.into_inner()?.flush()
}

fn append_folder(archive: &mut tar::Builder<PieceWriter>, local: &Path, inside: &Path) -> io::Result<()> {
    let mut entries = fs::read_dir(local.join(inside))?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = inside.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            archive.append_dir(&name, entry.path())?;
            append_folder(archive, local, &name)?;
        } else if kind.is_file() {
            archive.append_file(&name, &mut File::open(entry.path())?)?;
        } else if kind.is_symlink() {
            archive.append_path_with_name(entry.path(), &name)?;
        }
    }
    Ok(())
}

/// Hands what a blocking thread writes to the channel, in pieces that fit a frame.
struct PieceWriter {
    pieces: mpsc::Sender<Vec<u8>>,
    piece: Vec<u8>,
}

impl Write for PieceWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = MAX_PAYLOAD_BYTES - self.piece.len();
        let taken = bytes.get(..room).unwrap_or(bytes);
        self.piece.extend_from_slice(taken);
        if self.piece.len() == MAX_PAYLOAD_BYTES {
            self.flush()?;
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        self.pieces
            .blocking_send(std::mem::take(&mut self.piece))
            .map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// Lets a blocking thread read what arrives on the channel.
struct PieceReader {
    pieces: mpsc::Receiver<Bytes>,
    piece: Bytes,
}

impl Read for PieceReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.piece.is_empty() {
            match self.pieces.blocking_recv() {
                Some(piece) => self.piece = piece,
                None => return Ok(0),
            }
        }
        let length = self.piece.len().min(into.len());
        self.piece.copy_to_slice(&mut into[..length]);
        Ok(length)
    }
}
