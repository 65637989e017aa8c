//! Pictures for bodies, by the site's upload of attachments.
//!
//! The upload is what the site's own command line uses since version 2.99 (`internal/attachments/client.go`); it is
//! not in the REST reference. What was uploaded cannot be deleted, and nobody is shown it before a saved text cites
//! it: an upload whose answer was lost is therefore made again and hurts nobody.

use bytes::Bytes;

use super::wire;
use super::{GitHubError, Remote};

/// A picture or recording for a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PictureFile {
    /// Its name, for readers who save it: letters, digits, hyphens and an ending.
    pub name: String,
    /// `image/png`, `image/gif`, `image/webp` or `video/mp4`.
    pub media_type: &'static str,
    /// The file.
    pub bytes: Bytes,
}

/// Why a picture was not uploaded.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// Attachments cannot be used here: the side branch can.
    #[error("the site takes no attachments from this account")]
    NotHere,
    /// It is larger than the site takes.
    #[error("{name} has {bytes} bytes, more than {limit}")]
    TooLarge {
        /// Its name.
        name: String,
        /// Its size.
        bytes: usize,
        /// What is taken.
        limit: usize,
    },
    /// The site did not do it.
    #[error(transparent)]
    GitHub(#[from] GitHubError),
}

/// What the site takes at most, in bytes.
pub(crate) const LARGEST_ATTACHMENT: usize = 10 << 20;

impl Remote {
    /// Uploads a picture and returns the URL to cite.
    pub async fn upload(&self, picture: &PictureFile) -> Result<String, UploadError> {
        let what = "uploading a picture";
        let github = &self.github;
        let uploads = github.inner.addresses.uploads.as_deref().filter(|_| github.may_upload());
        let Some(uploads) = uploads else { return Err(UploadError::NotHere) };
        let bytes = picture.bytes.len();
        if bytes > LARGEST_ATTACHMENT {
            return Err(UploadError::TooLarge {
                name: picture.name.clone(),
                bytes,
                limit: LARGEST_ATTACHMENT,
            });
        }
        let repository: wire::WithId =
            self.github.read(&self.address, what, &format!("/repos/{}", self.address.full_name())).await?;
        let session = github.session(&self.address).await?;
        let url = format!(
            "{uploads}/user-attachments/assets?name={}&content_type={}&repository_id={}",
            picture.name, picture.media_type, repository.id
        );
        let _alone = github.inner.gate.one_change_at_a_time().await;
        let sent = github
            .inner
            .http
            .post(url)
            .bearer_auth(session.token.expose())
            .header(reqwest::header::CONTENT_TYPE, "application/octet-stream")
            .body(picture.bytes.clone())
            .send()
            .await;
        let host = github.host().to_owned();
        let cut = |error: &reqwest::Error| {
            // The URL has no secret in it, but it is long.
            GitHubError::Cut {
                host: host.clone(),
                message: if error.is_timeout() { "no answer in time" } else { "cut" }.to_owned(),
            }
        };
        let answer = sent.map_err(|error| cut(&error))?;
        // A limit is refused by the same status as a token that may not.
        if let Some(limited) = github.limited(answer.status().as_u16(), answer.headers(), "").await {
            return Err(limited.into());
        }
        match answer.status().as_u16() {
            200..=299 => {
                let upload: wire::Upload = answer.json().await.map_err(|error| cut(&error))?;
                // It is written into a body: it must be what it should be.
                let good = upload.url.starts_with(github.web())
                    && upload.url.bytes().all(|byte| byte.is_ascii_graphic() && !b"()<>\"'".contains(&byte));
                if good { Ok(upload.url) } else { Err(github.nonsense(what).into()) }
            }
            // The command line's list of tokens that may is not the site's: the site refuses by this.
            403 | 404 => Err(UploadError::NotHere),
            401 => Err(GitHubError::NotAuthorized { host, message: "Bad credentials".to_owned() }.into()),
            status @ 500..=599 => Err(GitHubError::Server { host, status }.into()),
            status => {
                Err(GitHubError::Refused { host, what, status, message: "it was not taken".to_owned() }
                    .into())
            }
        }
    }
}
