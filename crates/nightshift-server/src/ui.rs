//! The web UI's files, and what a browser is told about every answer.

use std::path::Path;

use axum::Router;
use axum::extract::Request;
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::middleware::{self, Next};
use axum::response::{Html, Response};
use tower_http::services::{ServeDir, ServeFile};

/// What the UI may do: its own scripts only, pictures of its own making, requests to the owner. Radix and React set
/// inline styles, which cannot run anything.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' blob: data:; font-src 'self'; connect-src 'self' ws://127.0.0.1:* ws://localhost:*; \
    worker-src 'self' blob:; media-src 'self' blob:; manifest-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

/// Serves the built UI in `folder`; every path that is no file of it is the UI's own, and gets its page. A page of another
/// version asks for assets that are not there: the page in their place would be kept for as long as they are.
pub(crate) fn files(folder: &Path) -> Router {
    let page = ServeFile::new(folder.join("index.html"));
    Router::new()
        .nest_service("/assets", ServeDir::new(folder.join("assets")).precompressed_gzip())
        .fallback_service(ServeDir::new(folder).precompressed_gzip().fallback(page))
}

/// Says that there is no UI, for a checkout that has not built it.
pub(crate) fn not_built() -> Router {
    let page = || async {
        Html(
            "<!doctype html><meta charset=utf-8><title>Nightshift</title><p>The owner runs, and its web UI is not \
             built. Run <code>./dev build</code>, or use the command line.",
        )
    };
    Router::new().route("/", axum::routing::get(page))
}

/// Adds what every answer says: how long it may be kept, and what a page made of it may do.
pub(crate) async fn label(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let mut response = next.run(request).await;
    // Vite names files in there by their content.
    let kept = path.starts_with("/assets/") && !response.status().is_client_error();
    let cache = if kept { "public, max-age=31536000, immutable" } else { "no-cache" };
    let headers = response.headers_mut();
    let mut unless_set = |name: HeaderName, value: &'static str| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    unless_set(header::CACHE_CONTROL, if path.starts_with("/api/") { "no-store" } else { cache });
    unless_set(header::CONTENT_SECURITY_POLICY, POLICY);
    unless_set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    unless_set(header::REFERRER_POLICY, "no-referrer");
    unless_set(HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    unless_set(HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    response
}

/// Puts [`label`] around a router.
pub(crate) fn labelled(router: Router) -> Router {
    router.layer(middleware::from_fn(label))
}
