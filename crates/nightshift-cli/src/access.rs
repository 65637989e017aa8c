//! What stays the same from owner to owner, so that a browser's session and address outlive one: token and port.

use std::fs;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nightshift_protocol::{Entropy, ErrorCode, UserError};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

/// Where the owner listens, if it was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listen {
    /// The port; if `None` the one before, or any.
    pub(crate) port: Option<u16>,
    /// The address; loopback if `None`.
    pub(crate) address: Option<IpAddr>,
    /// Names under which requests may come in beside loopback's.
    pub(crate) names: Vec<String>,
}

/// What is kept in `access.json`, mode 0600.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// The token; sessions are signed with it. Removing the file ends them all.
    pub(crate) token: String,
    /// The port of the owner before.
    pub(crate) port: u16,
}

/// Reads what is kept, or begins anew with a fresh token.
pub(crate) fn read(file: &Path, entropy: &dyn Entropy) -> Kept {
    let kept = fs::read(file).ok().and_then(|bytes| serde_json::from_slice::<Kept>(&bytes).ok());
    kept.filter(|kept| kept.token.len() >= 32).unwrap_or_else(|| {
        let mut token = [0_u8; 24];
        entropy.fill(&mut token);
        Kept { token: token.iter().map(|byte| format!("{byte:02x}")).collect(), port: 0 }
    })
}

/// Keeps it, complete or not at all.
pub(crate) fn write(file: &Path, kept: &Kept) -> io::Result<()> {
    let beside = file.with_extension("new");
    let _left_by_a_crash = fs::remove_file(&beside);
    let mut new = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    new.write_all(&serde_json::to_vec(kept)?)?;
    new.sync_all()?;
    fs::rename(beside, file)
}

/// Listens where it was told, else at the port of the owner before, else at any.
pub(crate) async fn listen(wanted: &Listen, before: u16) -> Result<TcpListener, UserError> {
    let address = wanted.address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    // Port 0 is any, and the one before is one: who has the address in a bookmark finds the owner again.
    if let (None, true) = (wanted.port.filter(|port| *port != 0), before != 0)
        && let Ok(listener) = TcpListener::bind((address, before)).await
    {
        return Ok(listener);
    }
    TcpListener::bind((address, wanted.port.unwrap_or(0))).await.map_err(|error| {
        UserError::new(
            ErrorCode::InvalidRequest,
            format!("listening on {address}: {error}"),
            "Name another port with --port, or an address of this machine with --listen.",
        )
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    struct Counter;

    impl Entropy for Counter {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(7);
        }
    }

    fn nothing_said() -> Listen {
        Listen { port: None, address: None, names: Vec::new() }
    }

    #[test]
    fn the_token_is_kept_for_its_owner_only_and_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("access.json");
        let fresh = read(&file, &Counter);
        assert_eq!((fresh.token.len(), fresh.port), (48, 0));
        let kept = Kept { port: 4711, ..fresh };
        write(&file, &kept).unwrap();
        write(&file, &kept).unwrap();
        assert_eq!(read(&file, &Counter), kept);
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_file_means_a_fresh_token() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("access.json");
        fs::write(&file, "{\"token\": \"\", \"port\": 1}").unwrap();
        assert_eq!(read(&file, &Counter).token.len(), 48);
    }

    #[tokio::test]
    async fn the_port_of_before_is_taken_again_unless_somebody_else_has_it() {
        let first = listen(&nothing_said(), 0).await.unwrap();
        let port = first.local_addr().unwrap().port();
        assert!(first.local_addr().unwrap().ip().is_loopback());
        let other = listen(&nothing_said(), port).await.unwrap();
        assert_ne!(other.local_addr().unwrap().port(), port);
        drop(first);
        assert_eq!(listen(&nothing_said(), port).await.unwrap().local_addr().unwrap().port(), port);
        let any = Listen { port: Some(0), ..nothing_said() };
        assert_eq!(listen(&any, port).await.unwrap().local_addr().unwrap().port(), port);
        let taken = Listen { port: Some(port), ..nothing_said() };
        let _holder = listen(&taken, 0).await;
        assert_eq!(listen(&taken, 0).await.unwrap_err().code, ErrorCode::InvalidRequest);
    }
}
