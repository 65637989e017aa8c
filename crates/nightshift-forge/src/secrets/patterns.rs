//! What secrets of well-known issuers look like, and where passwords stand.

use std::sync::LazyLock;

use regex::{Regex, RegexBuilder};

use super::SecretFound;

struct Pattern {
    kind: &'static str,
    /// The secret is the group `s`, or the whole where there is none.
    regex: Regex,
    certain: bool,
}

/// Kinds, expressions, and whether a match is certain. The shapes are those the issuers publish for scanners. All of
/// them are of ASCII, as secrets are: classes of Unicode repeated hundreds of times would be megabytes of automata.
const SHAPES: [(&str, &str, bool); 17] = [
    ("GitHub token", r"\b(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{36,255})\b", true),
    ("Anthropic key", r"\bsk-ant-[A-Za-z0-9_-]{24,}", true),
    ("OpenAI key", r"\bsk-(?:proj-|svcacct-|admin-)?[A-Za-z0-9_-]{32,}", true),
    ("AWS access key", r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b", true),
    ("Google API key", r"\bAIza[0-9A-Za-z_-]{35}", true),
    ("Slack token", r"\bxox[abeoprs]-[0-9A-Za-z-]{10,}", true),
    ("Stripe key", r"\b[rs]k_live_[0-9A-Za-z]{16,}", true),
    ("npm token", r"\bnpm_[A-Za-z0-9]{36}\b", true),
    ("PyPI token", r"\bpypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50,}", true),
    ("GitLab token", r"\bglpat-[A-Za-z0-9_-]{20,}", true),
    ("Hugging Face token", r"\bhf_[A-Za-z0-9]{34,}\b", true),
    (
        "private key",
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?:(?:[\x00-,.-\x7F]|-{1,4}[\x00-,.-\x7F])*-----END [A-Z ]*PRIVATE KEY-----|[\x00-,.-\x7F]*)",
        true,
    ),
    ("JSON Web Token", r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}", false),
    (
        "password in a URL",
        r"\b[a-z][a-z0-9+.-]{1,20}://[!-.0-9;-?A-~]{0,64}:(?P<s>[!-.0-?A-~]{3,256})@",
        false,
    ),
    (
        "token in a URL",
        r#"[?&](?:access_token|api_?key|auth|key|password|secret|sig|signature|token)=(?P<s>[!"$%'-~]{12,})"#,
        false,
    ),
    (
        "authorization",
        r"(?i)\bauthorization:\s*(?:bearer|basic|token)\s+(?P<s>[A-Za-z0-9._~+/=-]{8,})",
        false,
    ),
    (
        "secret",
        r#"(?i)\b[a-z0-9_-]*(?:api_?key|passw(?:or)?d|private_?key|secret|token)["']?\s*[:=]\s*["']?(?P<s>[A-Za-z0-9._~+/=-]{16,})"#,
        false,
    ),
];

/// No shape is shorter, in bytes: `ab://:abc@`.
const SHORTEST: usize = 10;

static PATTERNS: LazyLock<Vec<Pattern>> = LazyLock::new(|| {
    // A test reads all of them, so none is left out here.
    let read = |(kind, regex, certain): &(&'static str, &str, bool)| {
        Some(Pattern {
            kind,
            regex: RegexBuilder::new(regex).unicode(false).build().ok()?,
            certain: *certain,
        })
    };
    SHAPES.iter().filter_map(read).collect()
});

pub(super) fn find(text: &str) -> impl Iterator<Item = SecretFound> + '_ {
    let patterns = if text.len() < SHORTEST { &[] } else { PATTERNS.as_slice() };
    // Most texts have none, and to look whether there is one costs less than to ask where.
    patterns.iter().filter(move |pattern| pattern.regex.is_match(text)).flat_map(move |pattern| {
        pattern.regex.captures_iter(text).filter_map(move |captures| {
            let found = captures.name("s").or_else(|| captures.get(0))?;
            let (word, kind) = (found.as_str(), pattern.kind);
            // What documentation shows is none, and an ordinary word behind `secret:` is none.
            let is_one =
                !is_placeholder(word) && (pattern.certain || kind.contains("URL") || is_random(word));
            is_one.then(|| SecretFound {
                kind: kind.to_owned(),
                range: found.range(),
                certain: pattern.certain,
            })
        })
    })
}

/// Whether it says of itself that it is none, as examples in documentation do.
fn is_placeholder(word: &str) -> bool {
    let lower = word.to_ascii_lowercase();
    let says = ["example", "placeholder", "your", "xxxx", "****", "redacted", "dummy"];
    says.iter().any(|say| lower.contains(say)) || lower.starts_with(['$', '<', '{', '%'])
}

/// Whether a word is as mixed as random ones are: letters and digits, and many different ones.
fn is_random(word: &str) -> bool {
    let mut counts = [0_u32; 256];
    word.bytes().for_each(|byte| counts[usize::from(byte)] += 1);
    let length = word.len() as f64;
    let entropy: f64 = counts
        .iter()
        .filter(|&&count| count > 0)
        .map(|&count| f64::from(count) / length)
        .map(|share| -share * share.log2())
        .sum();
    let mixed =
        word.bytes().any(|byte| byte.is_ascii_digit()) && word.bytes().any(|byte| byte.is_ascii_alphabetic());
    mixed && entropy > 3.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<String> {
        find(text).map(|found| found.kind).collect()
    }

    #[test]
    fn every_expression_can_be_used() {
        assert_eq!(PATTERNS.len(), SHAPES.len());
    }

    #[test]
    fn secrets_of_well_known_issuers_are_found() {
        let body = "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC2dF4gH6j";
        for (kind, text) in [
            ("GitHub token", format!("ghp_{body}")),
            ("GitHub token", format!("github_pat_{body}")),
            ("Anthropic key", format!("sk-ant-api03-{body}")),
            ("AWS access key", "AKIAQ3EGRTY7LLOPMN5A".to_owned()),
            ("npm token", format!("npm_{}", &body[..36])),
            ("Slack token", "xoxb-1234567890-abcdef".to_owned()),
            (
                "private key",
                "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----".to_owned(),
            ),
            (
                "private key",
                format!("-----BEGIN PRIVATE KEY-----\nDEK-Info: AES-128-CBC\n{}", "MIIE\n".repeat(4_000)),
            ),
            ("password in a URL", "postgres://app:s3cr3t-pw@db/app".to_owned()),
            ("token in a URL", format!("https://h/cb?token={body}&x=1")),
            ("authorization", format!("Authorization: Bearer {body}")),
            ("secret", format!("API_KEY = \"{body}\"")),
        ] {
            assert!(kinds(&text).contains(&kind.to_owned()), "{kind}: {text} → {:?}", kinds(&text));
        }
    }

    #[test]
    fn a_private_key_is_found_up_to_its_end_however_long_and_whatever_headers_it_has() {
        let key = format!(
            "-----BEGIN RSA PRIVATE KEY-----\nDEK-Info: AES-128-CBC,0A\n{}-----END RSA PRIVATE KEY-----",
            "MIIEowIBAAKCAQEA\n".repeat(2_000)
        );
        let text = format!("before {key} after - and more");
        let found: Vec<_> = find(&text).map(|found| text[found.range].to_owned()).collect();
        assert_eq!(found, [key]);
    }

    #[test]
    fn a_secret_beside_letters_of_another_script_is_found() {
        assert_eq!(kinds("ключAKIAQ3EGRTY7LLOPMN5Aключ"), ["AWS access key"]);
    }

    #[test]
    fn ordinary_text_has_none() {
        for text in [
            "AKIAIOSFODNN7EXAMPLE is what the manual shows",
            "const token = getTokenFromTheSession();",
            "secret: ${{ secrets.DEPLOY_TOKEN_OF_THE_ORGANISATION }}",
            "commit 3f786850e387550fdab836ed7e6dc881de23001b",
            "password: your-password-goes-here-1234",
            "https://example.org/path?page=2&sort=created_at_descending",
            "the token is documented in docs/tokens-and-permissions.md",
        ] {
            assert_eq!(kinds(text), Vec::<String>::new(), "{text}");
        }
    }
}
