//! A server at an address, as a file names it and as it is reached.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value};

use crate::configuration::{Refusal, text, timeout, wrong};
use crate::expand::{Unexpanded, expand, variables};
use crate::http::Address;
use crate::keys::Keys;
use crate::text::line;

/// The fields of a server at an address.
pub(crate) const FIELDS: [&str; 5] = ["type", "url", "headers", "timeout", "disabled"];

/// Headers of one server, and bytes of all of them together.
const MOST_HEADERS: usize = 32;
const LONGEST_HEADERS: usize = 16 * 1024;

/// Headers that say how a message is sent, which is not a file's to say; beside them all that begin with `mcp-` and `proxy-`.
const RESERVED: [&str; 14] = [
    "accept",
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "last-event-id",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// A server at an address, as a file names it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Remote {
    /// The address.
    pub url: String,
    /// Headers of every request.
    pub headers: Vec<(String, String)>,
    /// How long a call may be answered with nothing, where the file says so.
    pub silence: Option<Duration>,
}

/// A server at an address, as it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Where it is.
    pub address: Address,
    /// Headers of every request. Keys may be among them; `Debug` does not show them.
    pub headers: HeaderMap,
    /// How long a call may be answered with nothing, where the file says so.
    pub silence: Option<Duration>,
}

impl Remote {
    pub(crate) fn read(fields: &Map<String, Value>) -> Result<Self, Refusal> {
        let url = text("url", fields.get("url").ok_or(Refusal::NoAddress)?)?;
        let headers = match fields.get("headers") {
            None => Vec::new(),
            Some(Value::Object(headers)) => {
                let header = |(name, value): (&String, &Value)| Ok((name.clone(), text("headers", value)?));
                headers.iter().map(header).collect::<Result<_, Refusal>>()?
            }
            Some(_) => return Err(wrong("headers", "an object of texts by name")),
        };
        if headers.len() > MOST_HEADERS {
            return Err(Refusal::HeadersTooLong);
        }
        headers.iter().try_for_each(|(name, _)| name_of(name).map(drop))?;
        let silence = fields.get("timeout").map(timeout).transpose()?;
        let remote = Self { url, headers, silence };
        // What has variables is looked at when it has their values.
        if !remote.url.contains("${") {
            Address::parse(&remote.url)?;
        }
        Ok(remote)
    }

    pub(crate) fn texts(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.url).chain(self.headers.iter().map(|(_, value)| value))
    }

    /// The same with the values of its variables: those of the sandbox, and in headers keys of the person as far as they are
    /// for that server.
    ///
    /// # Errors
    ///
    /// The variable that has none, the key that is not for it, or what is wrong with the address or a header.
    pub fn expanded(&self, sandbox: &BTreeMap<String, String>, keys: &Keys) -> Result<Endpoint, Refusal> {
        let mut room = LONGEST_HEADERS;
        let mut put_in = |text: &str, values: &BTreeMap<String, String>| {
            expand(text, values, &mut room).map_err(|error| match error {
                Unexpanded::NotSet(error) => Refusal::NotSet(error),
                Unexpanded::TooLong => Refusal::HeadersTooLong,
            })
        };
        if let Some(name) = variables(&self.url).find(|name| keys.names(name)) {
            return Err(Refusal::KeyInAddress { name: name.to_owned() });
        }
        let address = Address::parse(&put_in(&self.url, sandbox)?)?;
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let mut values = sandbox.clone();
            for variable in variables(value).filter(|name| keys.names(name)) {
                values.insert(variable.to_owned(), keys.of(variable, &address)?.to_owned());
            }
            let value = put_in(value, &values)?;
            let mut value = HeaderValue::from_str(value.trim()).map_err(|_| Refusal::Header {
                name: line(name, 80),
                what: "has a value that no header may have",
            })?;
            value.set_sensitive(true);
            headers.insert(name_of(name)?, value);
        }
        Ok(Endpoint { address, headers, silence: self.silence })
    }
}

/// A header's name, if a file may set it.
fn name_of(name: &str) -> Result<HeaderName, Refusal> {
    let refused = |what: &'static str| Refusal::Header { name: line(name, 80), what };
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| refused("is no name of one"))?;
    let is_reserved = RESERVED.contains(&name.as_str())
        || ["mcp-", "proxy-"].iter().any(|start| name.as_str().starts_with(start));
    if is_reserved { Err(refused("is set by the protocol")) } else { Ok(name) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{Configuration, ConfiguredServer, Transport};

    fn read(server: Value) -> Result<Remote, Refusal> {
        let file = json!({"mcpServers": {"one": server}}).to_string();
        let ConfiguredServer { transport, .. } =
            Configuration::read(file.as_bytes()).unwrap().servers.remove(0);
        match transport? {
            Transport::Http(remote) => Ok(remote),
            Transport::Stdio(launch) => panic!("{launch:?}"),
        }
    }

    fn keys() -> Keys {
        let mut keys = Keys::default();
        keys.add("TOKEN", Some("s3cret".to_owned()), &["mcp.example.org".to_owned()]);
        keys
    }

    fn sandbox() -> BTreeMap<String, String> {
        [("PORT", "3000"), ("TOKEN", "the sandbox's"), ("LINES", "a\nb")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    }

    #[test]
    fn a_server_at_an_address_is_read_with_its_headers() {
        let server = json!({"type": "http", "url": "https://mcp.example.org/mcp", "headers": {"X-Team": "a"}, "timeout": 5000});
        let expected = Remote {
            url: "https://mcp.example.org/mcp".to_owned(),
            headers: vec![("X-Team".to_owned(), "a".to_owned())],
            silence: Some(Duration::from_secs(5)),
        };
        assert_eq!(read(server), Ok(expected));
        for named in ["streamable-http", "streamableHttp"] {
            assert!(read(json!({"type": named, "url": "http://localhost:${PORT}/mcp"})).is_ok(), "{named}");
        }
        assert!(read(json!({"url": "https://mcp.example.org/mcp"})).is_ok());
    }

    #[test]
    fn each_refusal_of_a_server_at_an_address_says_what_is_wrong() {
        let said = |server: Value| read(server).unwrap_err().to_string();
        let http = |more: Value| {
            let mut server = json!({"type": "http", "url": "https://example.org/"});
            server.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            said(server)
        };
        let all = [
            said(json!({"type": "http"})),
            said(json!({"type": "http", "url": "http://10.1.2.3/mcp"})),
            said(json!({"type": "sse", "url": "https://example.org/sse"})),
            http(json!({"headers": []})),
            http(json!({"headers": {"A": 1}})),
            http(json!({"headers": {"a b": "1"}})),
            http(json!({"headers": {"Host": "evil.example"}})),
            http(json!({"headers": {"Mcp-Session-Id": "1"}})),
            http(json!({"timeout": "long"})),
        ];
        insta::assert_snapshot!(all.join("\n"), @r"
        it has no url
        10.1.2.3 is an address by number: hosts are reached by name, and the sandbox's own servers as http://localhost:PORT/
        it is a server of a kind that is not spoken with (sse): only http, which most of them have too
        headers has to be an object of texts by name
        headers has to be a text
        the header a b is no name of one
        the header Host is set by the protocol
        the header Mcp-Session-Id is set by the protocol
        timeout has to be milliseconds, a whole number from 1 to 1,800,000
        ");
        let many: Map<String, Value> = (0..=MOST_HEADERS).map(|n| (format!("x-{n}"), json!("1"))).collect();
        assert_eq!(
            read(json!({"url": "https://example.org/", "headers": many})),
            Err(Refusal::HeadersTooLong)
        );
    }

    #[test]
    fn variables_have_the_sandboxs_values_and_keys_go_into_headers_of_their_hosts() {
        let remote = read(json!({
            "url": "http://localhost:${PORT}/mcp", "headers": {"X-Port": "${PORT}", "X-Other": "${OTHER:-none}"},
        }))
        .unwrap();
        let endpoint = remote.expanded(&sandbox(), &keys()).unwrap();
        assert_eq!(endpoint.address, Address::parse("http://localhost:3000/mcp").unwrap());
        assert_eq!(endpoint.headers["x-port"], "3000");
        assert_eq!(endpoint.headers["x-other"], "none");

        let with_key = |url: &str| {
            read(json!({"url": url, "headers": {"Authorization": "Bearer ${TOKEN}"}}))
                .unwrap()
                .expanded(&sandbox(), &keys())
        };
        let endpoint = with_key("https://mcp.example.org/mcp").unwrap();
        assert_eq!(endpoint.headers["authorization"], "Bearer s3cret");
        assert!(!format!("{endpoint:?}").contains("s3cret"));
        // Where it is not for the host, the sandbox's of that name does not go there in its place.
        for elsewhere in ["https://evil.example/mcp", "http://localhost:3000/mcp"] {
            assert!(matches!(with_key(elsewhere), Err(Refusal::Key(_))), "{elsewhere}");
        }
    }

    #[test]
    fn what_no_request_may_hold_refuses_the_server() {
        let of = |url: &str, value: &str| {
            read(json!({"url": url, "headers": {"X-A": value}}))
                .unwrap()
                .expanded(&sandbox(), &keys())
                .unwrap_err()
        };
        let key = of("https://mcp.example.org/?key=${TOKEN}", "x");
        assert_eq!(key, Refusal::KeyInAddress { name: "TOKEN".to_owned() });
        assert!(matches!(of("https://mcp.example.org/", "${LINES}"), Refusal::Header { .. }));
        assert_eq!(of("https://mcp.example.org/", &"${PORT}".repeat(4_097)), Refusal::HeadersTooLong);
        assert!(matches!(of("http://10.0.0.${PORT:-1}/", "x"), Refusal::Address(_)));
        assert!(matches!(of("https://${NONE}/", "x"), Refusal::NotSet(_)));
    }
}
