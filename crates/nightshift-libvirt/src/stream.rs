//! A machine's channel as a stream of bytes: a socket pair, and two threads that move bytes between it and libvirt's
//! stream.
//!
//! libvirt's calls block, and its client keeps what arrives for a stream while any call of the same connection waits.
//! So each channel has a connection of its own: a guest that floods fills its own socket and holds up nobody else.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use virt::stream::Stream;

use crate::connection::{Called, Connection, STREAM_PIECE};

/// Opens the channel of the machine `name` over `connection`, and returns our end of it. Dropping it hangs up.
pub(crate) fn open(connection: Connection, name: &str, port: &str) -> Called<UnixStream> {
    let stream = connection.channel(name, port)?;
    let (ours, theirs) = UnixStream::pair()?;
    let (sending, receiving) = (theirs.try_clone()?, theirs);
    let (to_guest, from_guest) = (stream.clone(), stream);
    spawn("libvirt-channel-in", move || {
        receive(&from_guest, receiving);
        // The connection goes with the last that uses it.
        drop((from_guest, connection));
    })?;
    spawn("libvirt-channel-out", move || send(to_guest, sending))?;
    ours.set_nonblocking(true)?;
    Ok(ours)
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work).map(drop)
}

/// Moves what the guest says to the socket, until either end is done.
fn receive(stream: &Stream, mut socket: UnixStream) {
    let mut piece = vec![0; STREAM_PIECE];
    while let Ok(count) = stream.recv(&mut piece) {
        if count == 0 || socket.write_all(&piece[..count]).is_err() {
            break;
        }
    }
    // Our end reads the end, and the other thread, which waits for it to say something, ends too.
    let _already_shut = socket.shutdown(Shutdown::Both);
}

/// Moves what the host says to the guest, until either end is done; then the stream is given up, which ends the other
/// thread.
fn send(stream: Stream, mut socket: UnixStream) {
    let mut piece = vec![0; 64 * 1024];
    loop {
        match socket.read(&mut piece) {
            Ok(0) | Err(_) => break,
            Ok(count) => {
                let mut rest = &piece[..count];
                while let Ok(taken) = if rest.is_empty() { Err(()) } else { stream.send(rest).map_err(drop) }
                {
                    rest = rest.get(taken..).unwrap_or_default();
                }
                if !rest.is_empty() {
                    break;
                }
            }
        }
    }
    let _already_ended = stream.abort();
    let _already_shut = socket.shutdown(Shutdown::Both);
}
