//! The roads to servers at an address: into the sandbox, and out of it by the way that its programs have.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use nightshift_channel::{Channel, ConnectError};
use nightshift_egress::Egress;
use nightshift_mcp_client::{ByteStream, Dial, NotReached};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Bytes on their way to the proxy, in each direction.
const ON_THE_WAY: usize = 64 * 1024;

/// The longest head of the proxy's answer, in bytes.
const LONGEST_HEAD: usize = 8 * 1024;

/// To a port of the sandbox itself.
pub(super) struct Inside {
    pub(super) channel: Channel,
    pub(super) port: u16,
    /// Whether the channel was cut.
    pub(super) cut: Arc<AtomicBool>,
}

#[async_trait]
impl Dial for Inside {
    async fn dial(&self) -> Result<Box<dyn ByteStream>, NotReached> {
        match self.channel.connect(self.port).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => {
                self.cut.fetch_or(matches!(error, ConnectError::Channel(_)), Ordering::Relaxed);
                Err(NotReached { why: error.to_string() })
            }
        }
    }
}

/// Out of the sandbox, as one of its programs: what may be reached is decided there, and every connection is recorded there.
pub(super) struct Out {
    pub(super) egress: Egress,
    pub(super) host: String,
    pub(super) port: u16,
}

#[async_trait]
impl Dial for Out {
    async fn dial(&self) -> Result<Box<dyn ByteStream>, NotReached> {
        let admitted = self.egress.admit().await;
        let (mut ours, theirs) = tokio::io::duplex(ON_THE_WAY);
        let egress = self.egress.clone();
        // It ends with our end of it.
        tokio::spawn(async move { egress.serve(theirs, admitted).await });
        let target = format!("{}:{}", self.host, self.port);
        let request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
        let not_reached = |why: &str| NotReached { why: why.to_owned() };
        ours.write_all(request.as_bytes()).await.map_err(|_| not_reached("the sandbox has no way out"))?;
        let mut head = Vec::new();
        // A byte at a time: what comes behind the head is the server's.
        while !head.ends_with(b"\r\n\r\n") {
            match ours.read_u8().await {
                Ok(byte) if head.len() < LONGEST_HEAD => head.push(byte),
                Ok(_) | Err(_) => return Err(not_reached("the sandbox has no way out")),
            }
        }
        match refused(&head) {
            None => Ok(Box::new(ours)),
            Some(why) => Err(NotReached { why }),
        }
    }
}

/// What the proxy says where it makes no tunnel, in the first line of its answer: status, a word, and the reason.
fn refused(head: &[u8]) -> Option<String> {
    let head = String::from_utf8_lossy(head);
    let first = head.lines().next().unwrap_or_default();
    let mut words = first.splitn(3, ' ').skip(1);
    let (status, reason) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let reason = reason.split_once(": ").map_or(reason, |(_, reason)| reason);
    match status {
        "200" => None,
        "403" => Some(format!("the sandbox's network does not let it: {reason}")),
        _ => Some(format!("{reason} (HTTP {status} of the sandbox's proxy)")),
    }
}

#[cfg(test)]
mod tests {
    use nightshift_egress::{EgressLimits, EgressSettings, Policy, SystemResolver};
    use nightshift_protocol::{ConnectionVerdict, NetworkPhase, RefusalReason};
    use tokio::net::TcpListener;

    use super::*;

    /// A way out that lets a name be reached, which is this machine, and knows another that is not listed as private.
    fn way_out(port: u16) -> Egress {
        let at = |name: &str| nightshift_egress::HostName::parse(name).unwrap();
        let fixed = ["mcp.test", "inner.test"].map(|name| (at(name), "127.0.0.1".parse().unwrap())).to_vec();
        let rules = ["mcp.test", "inner.test"].map(|name| format!("{name}:{port}").parse().unwrap());
        let policy = Policy {
            phase: NetworkPhase::Work,
            allow: rules.to_vec(),
            private: vec![format!("mcp.test:{port}").parse().unwrap()],
        };
        let resolver = Arc::new(SystemResolver { fixed });
        Egress::new(EgressSettings { policy, limits: EgressLimits::default(), resolver, upstream: None })
    }

    async fn dialled(egress: &Egress, host: &str, port: u16) -> Result<Box<dyn ByteStream>, String> {
        let out = Out { egress: egress.clone(), host: host.to_owned(), port };
        out.dial().await.map_err(|error| error.why)
    }

    #[tokio::test]
    async fn what_the_sandbox_may_not_reach_is_not_reached_for_it_and_all_of_it_is_recorded() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let egress = way_out(port);
        let no = |why: &str| format!("the sandbox's network does not let it: {why}");
        let (unlisted, private) = ("unlisted.test", "inner.test");
        let said = dialled(&egress, unlisted, port).await.err().unwrap();
        assert!(said.contains("not on the list of hosts this sandbox may reach now"), "{said}");
        let said = dialled(&egress, private, port).await.err().unwrap();
        assert!(said.starts_with(&no("")) && said.contains("no sandbox may reach"), "{said}");
        let said = dialled(&egress, "127.0.0.1", port).await.err().unwrap();
        assert!(said.contains("by name, not by address"), "{said}");
        let mut stream = dialled(&egress, "mcp.test", port).await.ok().unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: mcp.test\r\n\r\n").await.unwrap();
        drop(stream);
        let fate = |host: &str, verdict| (host.to_owned(), verdict);
        let refused = |reason| ConnectionVerdict::Refused { reason };
        let mut records: Vec<_> =
            egress.take_all_records().into_iter().map(|record| (record.host, record.verdict)).collect();
        records.sort();
        records.dedup();
        assert_eq!(
            records,
            [
                fate("127.0.0.1", refused(RefusalReason::BareAddress)),
                fate(private, refused(RefusalReason::ForbiddenAddress)),
                fate("mcp.test", ConnectionVerdict::Allowed),
                fate(unlisted, refused(RefusalReason::NotListed)),
            ]
        );
        egress.close();
        let said = dialled(&egress, "mcp.test", port).await.err().unwrap();
        assert!(said.contains("not on the list"), "{said}");
    }

    #[test]
    fn the_proxys_reason_is_told_without_its_status() {
        let said = |head: &str| refused(head.as_bytes());
        assert_eq!(said("HTTP/1.1 200 OK\r\n\r\n"), None);
        assert_eq!(
            said("HTTP/1.1 403 Forbidden: a.test:443: not listed\r\n\r\n"),
            Some("the sandbox's network does not let it: a.test:443: not listed".to_owned())
        );
        assert_eq!(
            said("HTTP/1.1 502 Bad Gateway: a.test:443: no such host\r\n\r\n"),
            Some("a.test:443: no such host (HTTP 502 of the sandbox's proxy)".to_owned())
        );
        assert_eq!(said("\r\n\r\n"), Some(" (HTTP  of the sandbox's proxy)".to_owned()));
    }
}
