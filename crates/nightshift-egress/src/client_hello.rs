//! The server name in the first message of a TLS connection (RFC 8446, section 4.1.2; RFC 6066, section 3).
//!
//! Read strictly: where two readers could see different names there is none.

use crate::name::HostName;

/// The longest hello that is read, in bytes; browsers send one to two thousand.
pub(crate) const LONGEST_HELLO: usize = 16 * 1024;

const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
const HOST_NAME: u8 = 0;

/// Bytes that are no hello with a server name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HelloError {
    /// They are no TLS.
    #[error("it is no TLS")]
    NotTls,
    /// They begin like a hello and break its rules, or are longer than 16 KiB.
    #[error("the TLS hello is damaged")]
    Damaged,
    /// The hello names no server.
    #[error("the TLS hello names no server")]
    NoName,
}

/// Reads the server name from the bytes a client has sent so far; `None` when more are needed.
pub fn server_name(bytes: &[u8]) -> Result<Option<HostName>, HelloError> {
    let Some(message) = handshake_message(bytes)? else { return Ok(None) };
    let name = name_in(&message).ok_or(HelloError::Damaged)?;
    name.map(Some).ok_or(HelloError::NoName)
}

/// Puts the first handshake message together from the records that carry it.
fn handshake_message(mut bytes: &[u8]) -> Result<Option<Vec<u8>>, HelloError> {
    let mut message = Vec::new();
    loop {
        match bytes {
            [] => return Ok(None),
            [HANDSHAKE] | [HANDSHAKE, 3] => return Ok(None),
            [HANDSHAKE, 3, ..] => {}
            _ if message.is_empty() => return Err(HelloError::NotTls),
            _ => return Err(HelloError::Damaged),
        }
        let Some((header, rest)) = bytes.split_first_chunk::<5>() else { return Ok(None) };
        let [_, _, _, high, low] = *header;
        let length = usize::from(u16::from_be_bytes([high, low]));
        // An empty record of a handshake is forbidden, a longer one than 2^14 too (section 5.1).
        if length == 0 || length > 1 << 14 || message.len() + length > LONGEST_HELLO {
            return Err(HelloError::Damaged);
        }
        let part = rest.get(..length.min(rest.len())).unwrap_or_default();
        message.extend_from_slice(part);
        if let Some((header, _)) = message.split_first_chunk::<4>() {
            let [kind, a, b, c] = *header;
            let whole = 4 + usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap_or(usize::MAX);
            if kind != CLIENT_HELLO || whole > LONGEST_HELLO {
                return Err(HelloError::Damaged);
            }
            if message.len() >= whole {
                message.truncate(whole);
                return Ok(Some(message));
            }
        }
        let Some(rest) = rest.get(length..) else { return Ok(None) };
        bytes = rest;
    }
}

/// The name in a whole message: `None` when it is damaged, `Some(None)` when there is no name.
fn name_in(message: &[u8]) -> Option<Option<HostName>> {
    let mut body = Reader(message.get(4..)?);
    body.take(2)?;
    body.take(32)?;
    body.short_list()?;
    body.long_list()?;
    body.short_list()?;
    if body.0.is_empty() {
        return Some(None);
    }
    let mut extensions = Reader(body.long_list()?);
    body.is_done()?;
    let mut found = None;
    while !extensions.0.is_empty() {
        let kind = extensions.number()?;
        let content = extensions.long_list()?;
        if kind == SERVER_NAME {
            // A second one might be the one that the server reads.
            if found.is_some() {
                return None;
            }
            found = Some(host_name(content)?);
        }
    }
    Some(found)
}

/// The single name of the extension.
fn host_name(content: &[u8]) -> Option<HostName> {
    let mut content = Reader(content);
    let mut list = Reader(content.long_list()?);
    content.is_done()?;
    if list.take(1)? != [HOST_NAME] {
        return None;
    }
    let name = list.long_list()?;
    list.is_done()?;
    let name = std::str::from_utf8(name).ok()?;
    // A name that is written with its last dot breaks RFC 6066.
    HostName::parse(name).ok().filter(|_| !name.ends_with('.'))
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u16> {
        let (bytes, rest) = self.0.split_first_chunk::<2>()?;
        self.0 = rest;
        Some(u16::from_be_bytes(*bytes))
    }

    /// A list whose length is one byte.
    fn short_list(&mut self) -> Option<&'a [u8]> {
        let length = *self.take(1)?.first()?;
        self.take(usize::from(length))
    }

    /// A list whose length is two bytes.
    fn long_list(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        self.take(usize::from(length))
    }

    fn is_done(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn long(bytes: &[u8]) -> Vec<u8> {
        let mut list = u16::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
        list.extend_from_slice(bytes);
        list
    }

    fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
        [kind.to_be_bytes().to_vec(), long(content)].concat()
    }

    fn name(text: &str) -> Vec<u8> {
        extension(0, &long(&[vec![0], long(text.as_bytes())].concat()))
    }

    /// A hello with these extensions, in records of `piece` bytes.
    fn hello(extensions: &[Vec<u8>], piece: usize) -> Vec<u8> {
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.push(0);
        body.extend(long(&[0x13, 0x01]));
        body.extend([1, 0]);
        body.extend(long(&extensions.concat()));
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        let message = [vec![1, length[1], length[2], length[3]], body].concat();
        let record = |part: &[u8]| [vec![22, 3, 1], long(part)].concat();
        message.chunks(piece).flat_map(record).collect()
    }

    fn host(text: &str) -> HostName {
        HostName::parse(text).unwrap()
    }

    #[test]
    fn the_name_is_found_among_other_extensions_in_one_record_or_many() {
        let extensions =
            [extension(10, &[0, 2, 0, 29]), name("Example.org"), extension(16, &[0, 3, 2, b'h', b'2'])];
        for piece in [1, 7, 10_000] {
            assert_eq!(server_name(&hello(&extensions, piece)), Ok(Some(host("example.org"))));
        }
    }

    #[test]
    fn a_hello_that_is_not_whole_needs_more_at_every_length() {
        let bytes = hello(&[name("example.org")], 20);
        for length in 0..bytes.len() {
            assert_eq!(server_name(&bytes[..length]), Ok(None), "{length} of {}", bytes.len());
        }
    }

    #[test]
    fn what_comes_after_the_hello_does_not_matter() {
        let bytes = [hello(&[name("example.org")], 10_000), vec![0xff; 100]].concat();
        assert_eq!(server_name(&bytes), Ok(Some(host("example.org"))));
    }

    #[test]
    fn two_names_are_none() {
        let two = extension(0, &long(&[vec![0], long(b"a.org"), vec![0], long(b"b.org")].concat()));
        assert_eq!(server_name(&hello(&[two], 10_000)), Err(HelloError::Damaged));
        assert_eq!(server_name(&hello(&[name("a.org"), name("a.org")], 10_000)), Err(HelloError::Damaged));
    }

    #[test]
    fn a_hello_without_a_name_says_so() {
        assert_eq!(server_name(&hello(&[extension(10, &[0, 2, 0, 29])], 10_000)), Err(HelloError::NoName));
        assert_eq!(server_name(&hello(&[], 10_000)), Err(HelloError::NoName));
    }

    #[test]
    fn an_address_a_dot_at_the_end_and_a_nul_are_no_names() {
        for text in ["127.0.0.1", "example.org.", "example.org\0.evil.test", "", "ex\u{e4}mple.org"] {
            assert_eq!(server_name(&hello(&[name(text)], 10_000)), Err(HelloError::Damaged), "{text:?}");
        }
    }

    #[test]
    fn other_protocols_are_told_apart_from_a_damaged_hello() {
        assert_eq!(server_name(b"SSH-2.0-x"), Err(HelloError::NotTls));
        assert_eq!(server_name(b"GET / HTTP/1.1"), Err(HelloError::NotTls));
        assert_eq!(server_name(&[22, 3, 1, 0, 0]), Err(HelloError::Damaged), "an empty record");
        assert_eq!(
            server_name(&[22, 3, 1, 0xff, 0xff]),
            Err(HelloError::Damaged),
            "a record that is too long"
        );
        assert_eq!(server_name(&[22, 3, 1, 0, 4, 2, 0, 0, 0]), Err(HelloError::Damaged), "another message");
        assert_eq!(
            server_name(&[22, 3, 1, 0, 4, 1, 1, 0, 0]),
            Err(HelloError::Damaged),
            "a message of 64 KiB"
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _read = server_name(&bytes);
            let _read = server_name(&[&[22, 3, 1, 1, 0, 1, 0, 0, 252, 3, 3], bytes.as_slice()].concat());
        }

        #[test]
        fn a_changed_byte_never_leads_to_another_listed_name(position in 0_usize..90, value in any::<u8>()) {
            let mut bytes = hello(&[name("listed.example")], 10_000);
            let position = position % bytes.len();
            bytes[position] = value;
            if let Ok(Some(found)) = server_name(&bytes) {
                // What is read is what stands there.
                let text = found.as_str().as_bytes().to_vec();
                let lower = bytes.to_ascii_lowercase();
                prop_assert!(lower.windows(text.len()).any(|window| window == text));
            }
        }
    }
}
