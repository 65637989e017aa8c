//! Webhooks: a site's word that something happened, believed only with its signature.
//!
//! What a webhook says is used for nothing but to look sooner: all that is acted on is read from the site.

use ring::hmac;
use serde_json::Value;

use crate::secrets::Secret;

/// Something that may be worth a look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WebhookEvent {
    /// Something about a pull request: a comment, a review, a check, its end.
    PullRequest {
        /// `OWNER/NAME`.
        repository: String,
        /// Its number; `None` where the event tells only the commit.
        number: Option<u64>,
    },
    /// Something about an issue: a label, a comment.
    Issue {
        /// `OWNER/NAME`.
        repository: String,
        /// Its number.
        number: u64,
    },
    /// Something else, which nobody looks at.
    Other,
}

/// Why a webhook is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// The signature is missing or not what the secret makes of the body.
    #[error("the webhook's signature is missing or wrong")]
    Signature,
    /// The body is no JSON of an event.
    #[error("the webhook cannot be read")]
    Malformed,
}

/// Reads a webhook: `event` and `signature` are its headers `X-GitHub-Event` and `X-Hub-Signature-256` ("Validating
/// webhook deliveries"). The comparison takes the same time wherever the first difference is.
pub fn read_webhook(
    secret: &Secret,
    event: &str,
    signature: &str,
    body: &[u8],
) -> Result<WebhookEvent, WebhookError> {
    let given = signature.strip_prefix("sha256=").and_then(unhex).ok_or(WebhookError::Signature)?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
    hmac::verify(&key, body, &given).map_err(|_| WebhookError::Signature)?;
    let value: Value = serde_json::from_slice(body).map_err(|_| WebhookError::Malformed)?;
    let repository = value["repository"]["full_name"].as_str().unwrap_or_default().to_owned();
    let number = |of: &str| value[of]["number"].as_u64();
    Ok(match event {
        "pull_request"
        | "pull_request_review"
        | "pull_request_review_comment"
        | "pull_request_review_thread" => {
            WebhookEvent::PullRequest { repository, number: number("pull_request") }
        }
        "check_run" | "check_suite" | "status" => WebhookEvent::PullRequest { repository, number: None },
        "issue_comment" if value["issue"]["pull_request"].is_object() => {
            WebhookEvent::PullRequest { repository, number: number("issue") }
        }
        "issues" | "issue_comment" => match number("issue") {
            Some(number) => WebhookEvent::Issue { repository, number },
            None => return Err(WebhookError::Malformed),
        },
        _ => WebhookEvent::Other,
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    (0..32).map(|index| u8::from_str_radix(&text[index * 2..index * 2 + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use nightshift_testing::github::webhook_example;

    use super::*;

    fn signed(secret: &str, body: &[u8]) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let tag = hmac::sign(&key, body);
        format!("sha256={}", tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>())
    }

    fn read(name: &str) -> WebhookEvent {
        let body = webhook_example(name).to_string();
        let event = name.split('.').next().unwrap();
        read_webhook(&Secret::new("s"), event, &signed("s", body.as_bytes()), body.as_bytes()).unwrap()
    }

    #[test]
    fn the_published_examples_are_understood() {
        let repository = "Codertocat/Hello-World".to_owned();
        let pull_request = |number| WebhookEvent::PullRequest { repository: repository.clone(), number };
        assert_eq!(read("pull_request.closed"), pull_request(Some(2)));
        assert_eq!(read("pull_request_review.submitted"), pull_request(Some(2)));
        assert_eq!(read("pull_request_review_comment.created"), pull_request(Some(2)));
        assert!(matches!(read("check_run.completed"), WebhookEvent::PullRequest { number: None, .. }));
        assert_eq!(read("issues.labeled"), WebhookEvent::Issue { repository: repository.clone(), number: 1 });
        assert_eq!(read("issue_comment.created"), WebhookEvent::Issue { repository, number: 1 });
    }

    #[test]
    fn github_s_own_example_of_a_signature_is_right_and_others_are_not() {
        // "Validating webhook deliveries": secret, payload and signature to test an implementation with.
        let secret = Secret::new("It's a Secret to Everybody");
        let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let read = |signature: &str, body: &[u8]| read_webhook(&secret, "ping", signature, body);
        // The signature is good, and the body is no JSON.
        assert_eq!(read(signature, b"Hello, World!"), Err(WebhookError::Malformed));
        for (signature, body) in
            [(signature, &b"Hello, World?"[..]), ("", b"Hello, World!"), ("sha256=00", b"Hello, World!")]
        {
            assert_eq!(read(signature, body), Err(WebhookError::Signature));
        }
    }
}
