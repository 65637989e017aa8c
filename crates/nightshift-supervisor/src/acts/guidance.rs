//! What a repository says of how it wants to be worked on, read in the sandbox: it loses whatever looks like a secret, as all
//! that comes out of one does, before any model learns it.

use nightshift_agent::prompt::GuidanceFile;
use nightshift_forge::secrets::Redactor;

use super::Acts;
use crate::desk::Desk;

/// Files whose text the agent is given as the repository's guidance, in this order.
pub(crate) const GUIDANCE: [&str; 2] = ["AGENTS.md", "CLAUDE.md"];

/// The most of a guidance file that is given, in bytes.
const GUIDANCE_BYTES: u64 = 64 * 1024;

impl Acts {
    /// The guidance of the repository in that folder.
    pub(super) async fn guidance(&self, desk: &Desk, folder: &str) -> Vec<GuidanceFile> {
        let mut guidance = Vec::new();
        for path in GUIDANCE {
            // A repository without such a file, or with a folder or a picture of that name, has no guidance in it.
            if let Ok(bytes) = desk.channel.read_file(&format!("{folder}/{path}"), GUIDANCE_BYTES).await {
                guidance.push(file(path, &bytes, &self.shared.settings.delivery.redactor));
            }
        }
        guidance
    }
}

fn file(path: &str, bytes: &[u8], redactor: &Redactor) -> GuidanceFile {
    let text = redactor.redact(&String::from_utf8_lossy(bytes)).into_owned();
    GuidanceFile { path: path.to_owned(), text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_password_in_guidance_is_not_told() {
        let bytes = b"Run the tests.\npassword = \"a8F3kQ9zL2mN7xW4\"\n";
        let text = "Run the tests.\npassword = \"[redacted: secret]\"\n".to_owned();
        let expected = GuidanceFile { path: "AGENTS.md".to_owned(), text };
        assert_eq!(file("AGENTS.md", bytes, &Redactor::default()), expected);
    }
}
