//! Connections to ports of this machine.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use nightshift_channel::wire::frame::{Lane, ResetReason};
use nightshift_channel::wire::service::{ConnectAnswer, ConnectRefusal};

use crate::stream::{Cut, Gone, Stream};

/// How long the loopback interface may take.
const WITHIN: Duration = Duration::from_secs(5);

/// Connects the stream to a port; each direction ends on its own.
pub(crate) fn connect(stream: Stream, port: u16) -> Result<(), Gone> {
    let sockets = reach(port).and_then(|socket| Ok((socket.try_clone()?, socket.try_clone()?, socket)));
    let (for_cut, for_reading, socket) = match sockets {
        Ok(sockets) => sockets,
        Err(error) => return stream.answer(&ConnectAnswer::Err(refusal(&error))),
    };
    stream.send_message(&ConnectAnswer::Ok(()))?;
    carry(stream, for_cut, for_reading, socket)
}

/// Carries bytes both ways between a stream and a socket, of which three handles are given; each direction ends on its
/// own.
pub(crate) fn carry(
    stream: Stream,
    for_cut: TcpStream,
    mut reading: TcpStream,
    mut writing: TcpStream,
) -> Result<(), Gone> {
    stream.on_cut(move |cut| {
        let which = match cut {
            Cut::Short => Shutdown::Both,
            // What the host said before is still to be written.
            Cut::AfterTheEnd => Shutdown::Read,
        };
        // It may be closed.
        let _ = for_cut.shutdown(which);
    });
    let stream = Arc::new(stream);
    let outward = std::thread::Builder::new().name("connection".to_owned()).spawn({
        let stream = Arc::clone(&stream);
        move || from_socket(&mut reading, &stream)
    });
    let Ok(outward) = outward else {
        stream.reset(ResetReason::Failed);
        return Err(Gone);
    };
    while let Some(bytes) = stream.receive_bytes()? {
        if writing.write_all(&bytes).is_err() {
            stream.reset(ResetReason::Failed);
            return Err(Gone);
        }
    }
    // The other side may have closed already.
    let _ = writing.shutdown(Shutdown::Write);
    let _ = outward.join();
    Ok(())
}

fn from_socket(socket: &mut TcpStream, stream: &Stream) -> Result<(), Gone> {
    let mut piece = vec![0; 32 * 1024];
    loop {
        match socket.read(&mut piece) {
            Ok(0) => return stream.end(),
            Ok(length) => stream.send(Lane::Bytes, &piece[..length])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => {
                stream.reset(ResetReason::Failed);
                return Err(Gone);
            }
        }
    }
}

/// Development servers often listen on `localhost`, which may be either address.
fn reach(port: u16) -> io::Result<TcpStream> {
    let connect = |address: SocketAddr| TcpStream::connect_timeout(&address, WITHIN);
    let socket = connect((Ipv4Addr::LOCALHOST, port).into())
        .or_else(|error| connect((Ipv6Addr::LOCALHOST, port).into()).map_err(|_| error))?;
    socket.set_nodelay(true)?;
    Ok(socket)
}

fn refusal(error: &io::Error) -> ConnectRefusal {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => ConnectRefusal::NobodyListens,
        _ => ConnectRefusal::Other { what: error.to_string() },
    }
}
