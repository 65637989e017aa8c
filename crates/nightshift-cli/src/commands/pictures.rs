//! The files that show what a pull request claims, written into a folder.

use std::path::Path;

use nightshift_client::Client;
use nightshift_protocol::{ArtifactId, ErrorCode, EvidenceSource, PullRequestDetail, UserError};

use crate::follow::out;
use crate::show;

/// Writes the pictures of the evidence and the recording, and names them unless `json` is spoken.
pub(super) async fn write(
    client: &Client,
    detail: &PullRequestDetail,
    folder: &Path,
    json: bool,
) -> Result<(), UserError> {
    let trouble = |error: std::io::Error| {
        UserError::new(
            ErrorCode::InvalidRequest,
            format!("{}: {error}", folder.display()),
            "Name another folder.",
        )
    };
    std::fs::create_dir_all(folder).map_err(trouble)?;
    for file in files(detail) {
        let bytes = client.bytes(&format!("/artifacts/{}", file.artifact)).await?;
        let name = match file.name {
            Some(name) => name,
            None => recording(&bytes).to_owned(),
        };
        let path = folder.join(name);
        std::fs::write(&path, bytes).map_err(trouble)?;
        if !json {
            out(&path.display().to_string());
        }
    }
    Ok(())
}

/// A file to write; one without a name is a recording, which is named by its kind.
#[derive(Debug, PartialEq, Eq)]
struct File {
    name: Option<String>,
    artifact: ArtifactId,
}

/// The evidence's pictures in their order, then what else the body shows: the recording, perhaps in two forms.
fn files(detail: &PullRequestDetail) -> Vec<File> {
    let pictures = detail.evidence.iter().filter_map(|evidence| match &evidence.source {
        EvidenceSource::Screenshot { step, image, .. } => Some((step, &image.artifact)),
        EvidenceSource::Command { .. } => None,
    });
    let mut files: Vec<File> = (1..)
        .zip(pictures)
        .map(|(number, (step, artifact))| File {
            name: Some(format!("{number:02}-step-{step}.png")),
            artifact: artifact.clone(),
        })
        .collect();
    for artifact in show::artifacts(&detail.body) {
        if files.iter().all(|file| file.artifact != artifact) {
            files.push(File { name: None, artifact });
        }
    }
    files
}

/// The name of a recording, by what such files begin with: GIF (its specification, version 89a, section 17), and the box
/// `ftyp` that MP4 begins with (ISO/IEC 14496-12, section 4.3).
fn recording(bytes: &[u8]) -> &'static str {
    if bytes.starts_with(b"GIF8") {
        "recording.gif"
    } else if bytes.get(4..8) == Some(b"ftyp") {
        "recording.mp4"
    } else {
        "recording"
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_recording_follows_the_evidence_and_nothing_is_written_twice() {
        let [picture, moving, video] = ["a", "b", "c"].map(|digit| digit.repeat(64));
        let detail: PullRequestDetail = serde_json::from_value(json!({
            "summary": {"run": "run-0123456789", "number": 4, "title": "Dark", "repository": "/src/app", "branch": "b",
                "base": "main", "head": "d".repeat(40), "state": {"type": "open"}, "createdAt": "2026-11-28T18:00:00Z"},
            "body": format!("![x](artifact:{picture})\n\n![r](artifact:{moving})\n\n[MP4](artifact:{video})\n"),
            "commits": [], "runState": {"type": "inReview", "pullRequest": 4}, "bareRepository": "/data/app.git",
            "evidence": [
                {"claim": "Tests pass.", "source": {"type": "command", "step": "8.1", "command": "npm test",
                    "exitCode": 0, "outputTail": "ok"}},
                {"claim": "It is dark.", "source": {"type": "screenshot", "step": "7.1", "label": "after",
                    "image": {"artifact": picture, "mediaType": "image/png", "width": 1, "height": 1}}},
            ],
        }))
        .unwrap();
        let file = |name: Option<&str>, id: &str| File {
            name: name.map(str::to_owned),
            artifact: id.parse().unwrap(),
        };
        let expected = [file(Some("01-step-7.1.png"), &picture), file(None, &moving), file(None, &video)];
        assert_eq!(files(&detail), expected);
    }

    #[test]
    fn a_recording_is_named_by_its_kind() {
        let named = [&b"GIF89a..."[..], b"\0\0\0\x1cftypisom", b"", b"RIFF"].map(recording);
        assert_eq!(named, ["recording.gif", "recording.mp4", "recording", "recording"]);
    }
}
