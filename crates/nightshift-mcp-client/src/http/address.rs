//! Where a server is.

use std::fmt;

use url::{Host, Url};

use crate::text::line;

/// The longest address in characters.
const LONGEST: usize = 8 * 1024;

/// The address of a server: `https://HOST/…`, or `http://`.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    url: Url,
    host: String,
    port: u16,
}

/// A text is no address of a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It cannot be read.
    #[error("url has to be an address as https://example.org/mcp: {why}")]
    Unreadable {
        /// Why not.
        why: String,
    },
    /// It is reached by something else.
    #[error("url has to begin with https:// or http://, not {scheme}:")]
    Scheme {
        /// By what.
        scheme: String,
    },
    /// It holds a user or a password.
    #[error("url holds a user or a password: they belong into headers, as Authorization")]
    WithPassword,
    /// It is a number.
    #[error(
        "{host} is an address by number: hosts are reached by name, and the sandbox's own servers as http://localhost:PORT/"
    )]
    Bare {
        /// The number.
        host: String,
    },
    /// It is in the sandbox, and encrypted all the same.
    #[error(
        "a server in the sandbox itself is reached by http://, without encryption: nothing leaves the sandbox"
    )]
    EncryptedInside,
}

impl fmt::Debug for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Address({self})")
    }
}

impl fmt::Display for Address {
    /// Without its query, in which keys may stand.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&shown(&self.url))
    }
}

/// An address as it is shown: without user, query and fragment, cut.
pub(super) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    // An address without a host has none of these.
    let _had = (url.set_username(""), url.set_password(None));
    url.set_query(None);
    url.set_fragment(None);
    line(url.as_str(), 200)
}

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    ///
    /// Why it is none of a server.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.len() > LONGEST {
            return Err(AddressError::Unreadable { why: format!("it is longer than {LONGEST} bytes") });
        }
        let url = Url::parse(text).map_err(|error| AddressError::Unreadable { why: error.to_string() })?;
        Self::of(url)
    }

    fn of(mut url: Url) -> Result<Self, AddressError> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(AddressError::Scheme { scheme: line(url.scheme(), 20) });
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(AddressError::WithPassword);
        }
        let host = match url.host() {
            Some(Host::Domain(name)) => name.trim_end_matches('.').to_owned(),
            Some(Host::Ipv4(number)) if number.octets() == [127, 0, 0, 1] => number.to_string(),
            Some(Host::Ipv6(number)) if number.is_loopback() => format!("[{number}]"),
            Some(number) => return Err(AddressError::Bare { host: number.to_string() }),
            None => return Err(AddressError::Unreadable { why: "it has no host".to_owned() }),
        };
        let port = url.port_or_known_default().unwrap_or(443);
        url.set_fragment(None);
        let address = Self { url, host, port };
        if address.is_inside() && address.is_encrypted() {
            return Err(AddressError::EncryptedInside);
        }
        Ok(address)
    }

    /// Its host, in lower case.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether it is spoken to by TLS.
    pub fn is_encrypted(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// Whether it is in the sandbox itself: `localhost`, and what is always that.
    pub fn is_inside(&self) -> bool {
        let name = self.host.as_str();
        name == "localhost" || name.ends_with(".localhost") || name == "127.0.0.1" || name == "[::1]"
    }

    /// The host as requests name it, with the port where it is not the usual one.
    pub(super) fn authority(&self) -> String {
        match self.url.port() {
            Some(port) => format!("{}:{port}", self.host),
            None => self.host.clone(),
        }
    }

    /// The path with its query, as requests name it.
    pub(super) fn target(&self) -> String {
        match self.url.query() {
            Some(query) => format!("{}?{query}", self.url.path()),
            None => self.url.path().to_owned(),
        }
    }

    /// The same server elsewhere, as its redirect says; or the foreign place that it names, to be shown.
    pub(super) fn moved(&self, location: &str) -> Result<Self, String> {
        let Ok(url) = self.url.join(location) else { return Err(line(location, 200)) };
        let to = shown(&url);
        match Self::of(url) {
            Ok(moved) if moved.url.origin() == self.url.origin() => Ok(moved),
            Ok(_) | Err(_) => Err(to),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<(String, u16, bool, bool), AddressError> {
        let address = Address::parse(text)?;
        Ok((address.host().to_owned(), address.port(), address.is_encrypted(), address.is_inside()))
    }

    #[test]
    fn an_address_says_host_port_and_whether_it_is_in_the_sandbox() {
        for (text, host, port, encrypted, inside) in [
            ("https://MCP.Example.org/mcp", "mcp.example.org", 443, true, false),
            ("http://example.org:8080/a?b=c#d", "example.org", 8080, false, false),
            ("http://localhost:3000/mcp", "localhost", 3000, false, true),
            ("http://app.localhost/mcp", "app.localhost", 80, false, true),
            // What a browser makes of it, too.
            ("http://0x7f.1:3000/", "127.0.0.1", 3000, false, true),
            ("http://2130706433/", "127.0.0.1", 80, false, true),
            ("http://[::1]:1/", "[::1]", 1, false, true),
            ("https://localhost.example.org./", "localhost.example.org", 443, true, false),
        ] {
            assert_eq!(read(text), Ok((host.to_owned(), port, encrypted, inside)), "{text}");
        }
    }

    #[test]
    fn each_refusal_of_an_address_says_what_is_wrong() {
        let said = |text: &str| read(text).unwrap_err().to_string();
        let all = [
            "example.org/mcp",
            "ftp://example.org/",
            "file:///etc/passwd",
            "https://ada:secret@example.org/",
            "http://10.0.0.7/",
            "http://169.254.169.254/latest",
            "http://127.0.0.2/",
            "http://0/",
            "http://[fd00::1]/",
            "https://localhost/mcp",
        ];
        insta::assert_snapshot!(all.map(said).join("\n"), @r"
        url has to be an address as https://example.org/mcp: relative URL without a base
        url has to begin with https:// or http://, not ftp:
        url has to begin with https:// or http://, not file:
        url holds a user or a password: they belong into headers, as Authorization
        10.0.0.7 is an address by number: hosts are reached by name, and the sandbox's own servers as http://localhost:PORT/
        169.254.169.254 is an address by number: hosts are reached by name, and the sandbox's own servers as http://localhost:PORT/
        127.0.0.2 is an address by number: hosts are reached by name, and the sandbox's own servers as http://localhost:PORT/
        0.0.0.0 is an address by number: hosts are reached by name, and the sandbox's own servers as http://localhost:PORT/
        [fd00::1] is an address by number: hosts are reached by name, and the sandbox's own servers as http://localhost:PORT/
        a server in the sandbox itself is reached by http://, without encryption: nothing leaves the sandbox
        ");
        assert!(read(&format!("https://example.org/{}", "x".repeat(LONGEST))).is_err());
    }

    #[test]
    fn what_is_shown_of_an_address_has_no_query() {
        let address = Address::parse("https://example.org/mcp?key=secret").unwrap();
        assert_eq!(
            format!("{address} {address:?}"),
            "https://example.org/mcp Address(https://example.org/mcp)"
        );
        assert_eq!(
            (address.target().as_str(), address.authority().as_str()),
            ("/mcp?key=secret", "example.org")
        );
        assert_eq!(Address::parse("http://example.org:81").unwrap().authority(), "example.org:81");
    }

    #[test]
    fn a_server_may_move_within_its_origin_and_nowhere_else() {
        let address = Address::parse("https://example.org/mcp").unwrap();
        let moved = |to: &str| address.moved(to).map(|moved| moved.to_string());
        assert_eq!(moved("/mcp/"), Ok("https://example.org/mcp/".to_owned()));
        assert_eq!(moved("other"), Ok("https://example.org/other".to_owned()));
        assert_eq!(moved("https://example.org:443/x?y"), Ok("https://example.org/x".to_owned()));
        for elsewhere in [
            "http://example.org/mcp",
            "https://example.org:444/mcp",
            "https://www.example.org/mcp",
            "http://169.254.169.254/latest",
            "http://127.0.0.1:22/",
        ] {
            assert_eq!(moved(elsewhere), Err(elsewhere.to_owned()));
        }
        assert_eq!(moved("//evil.example/x?key"), Err("https://evil.example/x".to_owned()));
        assert_eq!(moved("https://ada:pw@example.org/"), Err("https://example.org/".to_owned()));
        assert_eq!(moved("http://[oops/"), Err("http://[oops/".to_owned()));
    }

    proptest! {
        #[test]
        fn wherever_a_redirect_leads_it_stays_with_its_host(location in "[a-z:/.@?#\\\\\\[\\]0-9-]{0,40}") {
            let address = Address::parse("https://example.org/mcp").unwrap();
            if let Ok(moved) = address.moved(&location) {
                prop_assert_eq!((moved.host(), moved.port(), moved.is_encrypted()), ("example.org", 443, true));
            }
        }
    }
}
