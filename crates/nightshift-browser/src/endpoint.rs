//! The browser's list of pages, which it serves over HTTP beside the protocol.

use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::connection::BrowserError;
use crate::{Connect, PORT};

/// The list of a browser with hundreds of tabs is not larger.
const MAX_LIST_BYTES: usize = 1024 * 1024;

/// A page of the list, the most recently used first.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Listed {
    pub(crate) id: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) title: String,
    #[serde(default)]
    pub(crate) url: String,
}

/// Asks for the pages that are open.
pub(crate) async fn pages(connect: Connect<'_>) -> Result<Vec<Listed>, BrowserError> {
    let body = request(connect, "GET", "/json/list").await?;
    let listed: Vec<Listed> = serde_json::from_slice(&body).map_err(|_| senseless())?;
    Ok(listed.into_iter().filter(|page| page.kind == "page").collect())
}

/// Opens an empty page in the place of one.
pub(crate) async fn replace(connect: Connect<'_>, page: &str) -> Result<Listed, BrowserError> {
    let body = request(connect, "PUT", "/json/new?about:blank").await?;
    let new = serde_json::from_slice(&body).map_err(|_| senseless())?;
    request(connect, "GET", &format!("/json/close/{}", plain_id(page))).await?;
    Ok(new)
}

/// Ids of pages are letters and digits; another would make another address.
pub(crate) fn plain_id(id: &str) -> String {
    id.chars().filter(char::is_ascii_alphanumeric).collect()
}

async fn request(connect: Connect<'_>, method: &str, path: &str) -> Result<Vec<u8>, BrowserError> {
    let mut stream = connect().await.map_err(BrowserError::Unreachable)?;
    // The browser answers only to a request that is addressed to this machine.
    let request = format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{PORT}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(BrowserError::Unreachable)?;
    let mut answer = Vec::new();
    loop {
        if let Some(body) = whole_body(&answer)? {
            return Ok(body.to_vec());
        }
        if stream.read_buf(&mut answer).await.map_err(BrowserError::Unreachable)? == 0 {
            return Err(senseless());
        }
    }
}

fn senseless() -> BrowserError {
    BrowserError::NotUnderstood { what: "the list of pages".to_owned() }
}

/// The body of an answer once it is there in whole.
fn whole_body(answer: &[u8]) -> Result<Option<&[u8]>, BrowserError> {
    if answer.len() > MAX_LIST_BYTES {
        return Err(senseless());
    }
    let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let (head, body) = (String::from_utf8_lossy(&answer[..end]).to_lowercase(), &answer[end + 4..]);
    if !head.starts_with("http/1.1 200") {
        return Err(senseless());
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = length.and_then(|length| length.trim().parse().ok()).ok_or_else(senseless)?;
    if length > MAX_LIST_BYTES {
        return Err(senseless());
    }
    Ok(body.get(..length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_counts_when_it_is_whole() {
        let whole = |answer: &str| whole_body(answer.as_bytes()).map(|body| body.map(<[u8]>::to_vec)).ok();
        assert_eq!(whole("HTTP/1.1 200 OK\r\nContent-Le"), Some(None));
        assert_eq!(whole("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n[1"), Some(None));
        assert_eq!(whole("HTTP/1.1 200 OK\r\nContent-Length:4\r\n\r\n[12]"), Some(Some(b"[12]".to_vec())));
        assert_eq!(whole("HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n["), None);
        assert_eq!(whole("HTTP/1.1 500 No\r\nContent-Length: 4\r\n\r\n[12]"), None);
    }
}
