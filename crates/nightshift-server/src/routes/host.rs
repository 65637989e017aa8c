//! The owner itself: whether it is well, what this machine can do, stored files.

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use nightshift_protocol::{
    ArtifactId, DoctorReport, ErrorCode, Health, Prune, PruneReport, TemplateReady, UserError,
};

use super::{Answer, Shared};
use crate::extract::{Body, Path};
use crate::reply::Refusal;

/// Says that the owner is there, and its version.
#[utoipa::path(get, path = "/health", tag = "owner", responses((status = 200, body = Health)))]
pub(super) async fn health() -> Json<Health> {
    Json(Health { version: env!("CARGO_PKG_VERSION").to_owned() })
}

/// Looks whether this machine can run sandboxes.
#[utoipa::path(get, path = "/doctor", tag = "owner", responses((status = 200, body = DoctorReport)))]
pub(super) async fn doctor(State(api): Shared) -> Json<DoctorReport> {
    Json(api.doctor().await)
}

/// Makes image and template if they are missing; takes minutes the first time.
#[utoipa::path(post, path = "/template", tag = "owner", responses((status = 200, body = TemplateReady)))]
pub(super) async fn prepare_template(State(api): Shared) -> Answer<TemplateReady> {
    Ok(Json(TemplateReady { template: api.prepare_template().await? }))
}

/// Removes images and templates that nobody needs, or with `dryRun` only says which those are.
#[utoipa::path(
    post, path = "/prune", tag = "owner", request_body = Prune, responses((status = 200, body = PruneReport)),
)]
pub(super) async fn prune(State(api): Shared, Body(wish): Body<Prune>) -> Answer<PruneReport> {
    Ok(Json(api.prune(wish).await?))
}

/// Gives a stored file: a screenshot, a command's whole output.
#[utoipa::path(
    get, path = "/artifacts/{id}", tag = "owner",
    params(("id" = ArtifactId, Path, description = "SHA-256 of the file's bytes")),
    responses((status = 200, content_type = "application/octet-stream", body = Vec<u8>)),
)]
pub(super) async fn artifact(State(api): Shared, Path(id): Path<String>) -> Result<Response, Refusal> {
    let id: ArtifactId = id.parse().map_err(|error: nightshift_protocol::InvalidId| {
        UserError::new(ErrorCode::InvalidRequest, error.to_string(), "Artifacts are named by their SHA-256.")
    })?;
    let bytes = api.artifact(&id).await?;
    let media_type = media_type(&bytes);
    Ok(inert(media_type, "private, max-age=31536000, immutable", bytes))
}

/// Whatever the bytes are, a browser must not run them: they may come from a sandbox.
pub(super) fn inert(
    media_type: &'static str,
    cache: &'static str,
    bytes: impl Into<axum::body::Body>,
) -> Response {
    let headers = [
        (header::CONTENT_TYPE, media_type),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'"),
        (header::CACHE_CONTROL, cache),
    ];
    (headers, bytes.into()).into_response()
}

/// Pictures and recordings are shown, everything else is plain bytes.
pub(super) fn media_type(bytes: &[u8]) -> &'static str {
    if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        "image/png"
    } else if bytes.len() > 12 && &bytes[..4] == b"RIFF" && &bytes[8..12] == b"WEBP" {
        "image/webp"
    } else if bytes.len() > 13 && (bytes.starts_with(b"GIF89a") || bytes.starts_with(b"GIF87a")) {
        "image/gif"
    } else if bytes.len() > 12 && &bytes[4..8] == b"ftyp" {
        "video/mp4"
    } else {
        "application/octet-stream"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pictures_get_a_type_that_a_browser_shows() {
        assert_eq!(media_type(b"\x89PNG\r\n\x1a\nrest"), "image/png");
        assert_eq!(media_type(b"RIFF\0\0\0\0WEBPVP8L"), "image/webp");
        assert_eq!(media_type(b"GIF89a\x01\0\x01\0\0\0\0;"), "image/gif");
        assert_eq!(media_type(b"\0\0\0\x1cftypisom\0\0"), "video/mp4");
        assert_eq!(media_type(b"<script>alert(1)</script>"), "application/octet-stream");
    }

    #[test]
    fn what_only_begins_like_a_picture_is_none() {
        for bytes in [
            &b""[..],
            b"\x89PNG",
            b"RIFF",
            b"RIFF\0\0\0\0WEBP",
            b"RIFF\0\0\0\0WAVEdata",
            b"GIF89a",
            b"0000ftyp",
        ] {
            assert_eq!(media_type(bytes), "application/octet-stream", "{bytes:?}");
        }
    }
}
