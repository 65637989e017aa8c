//! SOCKS 5, the part of it that a proxy without passwords needs (RFC 1928).

use std::net::IpAddr;

use nightshift_protocol::RefusalReason;

use crate::name::HostName;
use crate::policy::{Target, bare_address, of_address, refusal};

/// The version's number, which begins every message.
pub(crate) const VERSION: u8 = 5;

/// No authentication is required (section 3).
pub(crate) const ACCEPT_GREETING: [u8; 2] = [VERSION, 0];

/// No method the client offers is acceptable.
pub(crate) const REFUSE_GREETING: [u8; 2] = [VERSION, 0xff];

/// What a request is answered with (section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reply {
    Succeeded,
    NotAllowed,
    HostUnreachable,
    CommandNotSupported,
    AddressNotSupported,
}

impl Reply {
    /// The answer's bytes; the address it names is none.
    pub(crate) fn bytes(self) -> [u8; 10] {
        let code = match self {
            Self::Succeeded => 0,
            Self::NotAllowed => 2,
            Self::HostUnreachable => 4,
            Self::CommandNotSupported => 7,
            Self::AddressNotSupported => 8,
        };
        [VERSION, code, 0, 1, 0, 0, 0, 0, 0, 0]
    }
}

/// A message that breaks the protocol or asks for what is not offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SocksError {
    /// It is no message of SOCKS 5.
    #[error("it is no SOCKS 5")]
    Malformed,
    /// It asks for something other than a connection.
    #[error("only CONNECT is offered")]
    Command,
    /// Its kind of address is unknown.
    #[error("its address is of an unknown kind")]
    AddressKind,
}

/// A client's first message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocksGreeting {
    /// Whether it can do without authentication.
    pub without_authentication: bool,
    /// The message's length in bytes.
    pub length: usize,
}

impl SocksGreeting {
    /// Reads it from the bytes so far; `None` when more are needed.
    pub fn read(bytes: &[u8]) -> Result<Option<Self>, SocksError> {
        match bytes {
            [] | [VERSION] => Ok(None),
            [VERSION, 0, ..] => Err(SocksError::Malformed),
            [VERSION, count, rest @ ..] => {
                let count = usize::from(*count);
                Ok(rest
                    .get(..count)
                    .map(|methods| Self { without_authentication: methods.contains(&0), length: 2 + count }))
            }
            _ => Err(SocksError::Malformed),
        }
    }
}

/// Where a client wants to be connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SocksAddress {
    /// A name.
    Named(Target),
    /// What is refused whatever the policy says.
    Refused {
        /// Why.
        reason: RefusalReason,
        /// The address that was named, and the port; empty and 0 for what is no address.
        named: (String, u16),
    },
}

/// A client's second message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocksRequest {
    /// Where to.
    pub address: SocksAddress,
    /// The message's length in bytes.
    pub length: usize,
}

impl SocksRequest {
    /// Reads it from the bytes so far; `None` when more are needed.
    pub fn read(bytes: &[u8]) -> Result<Option<Self>, SocksError> {
        let Some((header, rest)) = bytes.split_first_chunk::<4>() else {
            return match bytes.first() {
                None | Some(&VERSION) => Ok(None),
                Some(_) => Err(SocksError::Malformed),
            };
        };
        let kind = match *header {
            [VERSION, 1, 0, kind] => kind,
            [VERSION, 2 | 3, 0, _] => return Err(SocksError::Command),
            _ => return Err(SocksError::Malformed),
        };
        let (address, port, length) = match kind {
            1 | 4 => {
                let length = if kind == 1 { 4 } else { 16 };
                let Some((address, rest)) = rest.split_at_checked(length) else { return Ok(None) };
                let Some((port, _)) = rest.split_first_chunk::<2>() else { return Ok(None) };
                let named = (of_bytes(address), u16::from_be_bytes(*port));
                let address = SocksAddress::Refused { reason: RefusalReason::BareAddress, named };
                return Ok(Some(Self { address, length: 4 + length + 2 }));
            }
            3 => {
                let Some((&count, rest)) = rest.split_first() else { return Ok(None) };
                let count = usize::from(count);
                let Some((name, rest)) = rest.split_at_checked(count) else { return Ok(None) };
                let Some((port, _)) = rest.split_first_chunk::<2>() else { return Ok(None) };
                (name, u16::from_be_bytes(*port), 4 + 1 + count + 2)
            }
            _ => return Err(SocksError::AddressKind),
        };
        let name = std::str::from_utf8(address).map_err(|_| RefusalReason::InvalidName);
        let parsed = name.and_then(|name| HostName::parse(name).map_err(refusal));
        let nobody = (String::new(), 0);
        let address = match parsed {
            Ok(_) if port == 0 => SocksAddress::Refused { reason: RefusalReason::Malformed, named: nobody },
            Ok(host) => SocksAddress::Named(Target { host, port }),
            Err(reason @ RefusalReason::BareAddress) => {
                // Without a port in it, the last colon is one of the address.
                let written = format!("[{}]", name.unwrap_or_default());
                let (host, _) = bare_address(&written, None);
                let host =
                    if host.is_empty() { bare_address(name.unwrap_or_default(), None).0 } else { host };
                let port = if host.is_empty() { 0 } else { port };
                SocksAddress::Refused { reason, named: (host, port) }
            }
            Err(reason) => SocksAddress::Refused { reason, named: nobody },
        };
        Ok(Some(Self { address, length }))
    }
}

/// An address of 4 or 16 bytes as it is written before a port.
fn of_bytes(bytes: &[u8]) -> String {
    let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    let address = four.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from));
    address.map(of_address).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request(name: &[u8], port: u16) -> Vec<u8> {
        let length = u8::try_from(name.len()).unwrap();
        [&[5, 1, 0, 3, length], name, &port.to_be_bytes()].concat()
    }

    #[test]
    fn a_greeting_may_come_in_pieces_and_offer_several_methods() {
        let bytes = [5, 2, 2, 0, 99];
        for length in 0..4 {
            assert_eq!(SocksGreeting::read(&bytes[..length]), Ok(None));
        }
        let greeting = SocksGreeting { without_authentication: true, length: 4 };
        assert_eq!(SocksGreeting::read(&bytes), Ok(Some(greeting)));
    }

    #[test]
    fn who_insists_on_a_password_is_told_apart() {
        let greeting = SocksGreeting { without_authentication: false, length: 3 };
        assert_eq!(SocksGreeting::read(&[5, 1, 2]), Ok(Some(greeting)));
        assert_eq!(SocksGreeting::read(&[4, 1, 0]), Err(SocksError::Malformed));
        assert_eq!(SocksGreeting::read(&[5, 0]), Err(SocksError::Malformed));
    }

    #[test]
    fn a_name_is_read_and_may_come_in_pieces() {
        let bytes = request(b"example.org", 443);
        for length in 0..bytes.len() {
            assert_eq!(SocksRequest::read(&bytes[..length]), Ok(None));
        }
        let address = SocksAddress::Named("example.org:443".parse().unwrap());
        assert_eq!(SocksRequest::read(&bytes), Ok(Some(SocksRequest { address, length: bytes.len() })));
    }

    #[test]
    fn an_address_is_refused_as_bytes_and_as_text() {
        let refused = |bytes: &[u8]| SocksRequest::read(bytes).unwrap().unwrap().address;
        let as_is =
            |reason, host: &str, port| SocksAddress::Refused { reason, named: (host.to_owned(), port) };
        let bare = |host, port| as_is(RefusalReason::BareAddress, host, port);
        assert_eq!(refused(&[5, 1, 0, 1, 127, 0, 0, 1, 0, 80]), bare("127.0.0.1", 80));
        assert_eq!(refused(&[&[5, 1, 0, 4], [0; 18].as_slice()].concat()), bare("[::]", 0));
        assert_eq!(refused(&request(b"127.0.0.1", 80)), bare("127.0.0.1", 80));
        assert_eq!(refused(&request(b"::1", 80)), bare("[::1]", 80));
        assert_eq!(refused(&request(b"0x7f.1", 443)), bare("0x7f.1", 443));
        assert_eq!(refused(&request(b"a:b:c", 443)), bare("", 0));
        assert_eq!(refused(&request(b"a\0b", 80)), as_is(RefusalReason::InvalidName, "", 0));
        assert_eq!(refused(&request(b"a.org", 0)), as_is(RefusalReason::Malformed, "", 0));
    }

    #[test]
    fn other_commands_and_kinds_are_not_offered() {
        assert_eq!(SocksRequest::read(&[5, 2, 0, 1]), Err(SocksError::Command));
        assert_eq!(SocksRequest::read(&[5, 3, 0, 1]), Err(SocksError::Command));
        assert_eq!(SocksRequest::read(&[5, 1, 0, 2]), Err(SocksError::AddressKind));
        assert_eq!(SocksRequest::read(&[5, 1, 1, 1]), Err(SocksError::Malformed));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_read_beyond_their_end(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            for bytes in [bytes.clone(), [&[5, 1, 0, 3], bytes.as_slice()].concat()] {
                if let Ok(Some(request)) = SocksRequest::read(&bytes) {
                    prop_assert!(request.length <= bytes.len());
                }
                if let Ok(Some(greeting)) = SocksGreeting::read(&bytes) {
                    prop_assert!(greeting.length <= bytes.len());
                }
            }
        }
    }
}
