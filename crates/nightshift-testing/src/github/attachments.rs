//! Pictures for bodies: the upload, and the download that works only once a saved text cites them.

use axum::http::StatusCode;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::routes::not_found;
use super::server::Reply;
use super::state::{Asset, State, Token};

/// The largest picture that is taken, in bytes.
const LARGEST: usize = 10 * 1024 * 1024;

/// Takes an upload. `web` is the address of the site.
pub(super) fn upload(
    state: &mut State,
    token: Token,
    query: &[(String, String)],
    body: &[u8],
    web: &str,
) -> Reply {
    let parameter =
        |name: &str| query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let (Some(name), Some(content_type), Some(repository)) =
        (parameter("name"), parameter("content_type"), parameter("repository_id"))
    else {
        state.breaches.push("an upload without name, content_type or repository_id".to_owned());
        return Reply::json(StatusCode::BAD_REQUEST, json!({ "message": "Bad Request" }));
    };
    let known = state.repositories.iter().any(|one| one.id.to_string() == repository);
    if token == Token::Installation || !known {
        return not_found();
    }
    let magic: &[u8] = match content_type {
        "image/png" => b"\x89PNG\r\n\x1a\n",
        "image/gif" => b"GIF8",
        "image/webp" => b"RIFF",
        // What is read of it stands behind four bytes of a length.
        "video/mp4" => body.get(..4).filter(|_| body.get(4..8) == Some(b"ftyp")).unwrap_or(b"no video"),
        other => {
            state.breaches.push(format!("an upload of the type {other}"));
            return Reply::json(StatusCode::UNPROCESSABLE_ENTITY, json!({ "message": "unsupported type" }));
        }
    };
    if !body.starts_with(magic) || body.is_empty() || body.len() > LARGEST {
        state.breaches.push(format!("{name} is no {content_type} of at most 10 MiB"));
        return Reply::json(StatusCode::UNPROCESSABLE_ENTITY, json!({ "message": "invalid file" }));
    }
    let id = state.next_id();
    let digest = Sha256::digest(id.to_be_bytes());
    let hex: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let uuid = format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]);
    let asset = Asset { name: name.to_owned(), content_type: content_type.to_owned(), bytes: body.to_vec() };
    state.assets.insert(uuid.clone(), asset);
    let url = format!("{web}/user-attachments/assets/{uuid}");
    Reply::json(StatusCode::CREATED, json!({ "url": url, "name": name }))
}

/// Gives a picture out, as a reader of a body that cites it sees it.
pub(super) fn download(state: &State, uuid: &str, web: &str) -> Reply {
    let url = format!("{web}/user-attachments/assets/{uuid}");
    match state.assets.get(uuid).filter(|_| state.cites(&url)) {
        Some(asset) => {
            let disposition = format!("inline; filename=\"{}\"", asset.name);
            Reply::bytes(StatusCode::OK, asset.bytes.clone())
                .header("content-type", &asset.content_type)
                .header("content-disposition", &disposition)
        }
        None => not_found(),
    }
}
