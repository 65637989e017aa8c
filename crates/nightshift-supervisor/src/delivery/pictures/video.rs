//! The recording as a video, by ffmpeg where it is installed.
//!
//! It is given pixels that were read and cleaned here, and no file: what comes from a sandbox is not decoded by it.

use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

use super::RecordingFrame;

/// How long it may take.
const WITHIN: Duration = Duration::from_secs(60);

/// A video larger than this is not kept, in bytes: sites take 10 MB.
const LARGEST: u64 = 8 << 20;

/// Memory that the program may ask for, in bytes.
const MEMORY: u64 = 2 << 30;

/// Seconds of a processor that it may use.
const PROCESSOR: u64 = 60;

/// Pictures that are shown in a second: each for 1.2 seconds, as in the moving picture.
const PACE: &str = "5/6";

/// Encoders of what browsers show (H.264), the better one first. Which there are depends on how ffmpeg was built.
const ENCODERS: [&str; 2] = ["libx264", "libopenh264"];

/// Makes videos.
#[derive(Debug, Clone)]
pub(crate) struct VideoMaker {
    program: PathBuf,
}

impl VideoMaker {
    /// Finds the program in a search path as `PATH` has it.
    pub(crate) fn find(search_path: Option<&OsStr>) -> Option<Self> {
        let folders = std::env::split_paths(search_path?);
        let program = folders.map(|folder| folder.join("ffmpeg")).find(|path| path.is_file())?;
        Some(Self { program })
    }

    /// Makes an MP4 of pictures of one size. `None` where there is nothing to see moving, or ffmpeg cannot.
    pub(crate) async fn make(&self, frames: &[RecordingFrame]) -> Option<Vec<u8>> {
        let (first, rest) = frames.split_first()?;
        let size = first.0.size();
        if rest.is_empty() || rest.iter().any(|frame| frame.0.size() != size) {
            return None;
        }
        for encoder in ENCODERS {
            match tokio::time::timeout(WITHIN, self.encode(frames, size, encoder)).await {
                Ok(Ok(video)) => return Some(video),
                Ok(Err(error)) => tracing::debug!(encoder, %error, "ffmpeg made no video"),
                Err(_) => tracing::info!(encoder, "ffmpeg took too long for a video"),
            }
        }
        None
    }

    async fn encode(
        &self,
        frames: &[RecordingFrame],
        (width, height): (u32, u32),
        encoder: &str,
    ) -> io::Result<Vec<u8>> {
        let size = format!("{width}x{height}");
        let mut child = Command::new(&self.program)
            .args(["-hide_banner", "-loglevel", "error", "-nostats", "-threads", "1"])
            .args(["-f", "rawvideo", "-pixel_format", "rgb24", "-video_size", &size, "-framerate", PACE])
            .args(["-i", "pipe:0"])
            // H.264 with colour at half the size has even sides; players want a steady pace.
            .args(["-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2,fps=5", "-an", "-c:v", encoder, "-threads", "1"])
            .args(["-pix_fmt", "yuv420p", "-movflags", "frag_keyframe+empty_moov+default_base_moof"])
            .args(["-f", "mp4", "pipe:1"])
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        limit(&child)?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let (Some(mut stdin), Some(stdout)) = (stdin, stdout) else {
            return Err(io::Error::other("its pipes are missing"));
        };
        // The last picture is shown twice as long.
        let shown = frames.iter().chain(frames.last());
        let feed = async move {
            for frame in shown {
                stdin.write_all(frame.0.rgb()).await?;
            }
            stdin.shutdown().await
        };
        let mut video = Vec::new();
        let mut output = stdout.take(LARGEST + 1);
        let (fed, read) = tokio::join!(feed, output.read_to_end(&mut video));
        drop(output);
        let status = child.wait().await?;
        read?;
        fed?;
        if !status.success() {
            return Err(io::Error::other(format!("it ended with {status}")));
        }
        if video.len() as u64 > LARGEST || video.get(4..8) != Some(b"ftyp") {
            return Err(io::Error::other("it is too large, or no video"));
        }
        Ok(video)
    }
}

/// Bounds what it may use; it has a pipe, and may write no file.
fn limit(child: &Child) -> io::Result<()> {
    let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let pid = pid.ok_or_else(|| io::Error::other("it has ended already"))?;
    for (resource, most) in
        [(Resource::As, MEMORY), (Resource::Cpu, PROCESSOR), (Resource::Fsize, 0), (Resource::Core, 0)]
    {
        prlimit(Some(pid), resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::Pixels;
    use super::*;

    fn frames(sizes: &[(u32, u32)]) -> Vec<RecordingFrame> {
        (0..)
            .zip(sizes)
            .map(|(number, &(width, height))| {
                RecordingFrame(Pixels::plain(width, height, [number * 90, 40, 40]))
            })
            .collect()
    }

    fn installed() -> VideoMaker {
        let path = Some(OsStr::new("/usr/bin:/usr/local/bin:/bin"));
        VideoMaker::find(path).expect("ffmpeg is installed by ./dev setup for the tests")
    }

    /// A program of this name that is a script.
    fn pretended(script: &str) -> (tempfile::TempDir, VideoMaker) {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("ffmpeg");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let maker = VideoMaker::find(Some(folder.path().as_os_str())).unwrap();
        (folder, maker)
    }

    #[tokio::test]
    async fn pictures_of_odd_sides_become_a_video_that_begins_as_mp4_does() {
        let video = installed().make(&frames(&[(161, 91), (161, 91), (161, 91)])).await.unwrap();
        assert_eq!(&video[4..8], b"ftyp");
        assert!(video.windows(4).any(|four| four == b"avc1"), "it is H.264");
        assert!(video.windows(4).any(|four| four == b"mdat") && video.len() < 100_000, "{}", video.len());
    }

    #[tokio::test]
    async fn one_picture_or_pictures_of_other_sizes_are_no_video() {
        assert_eq!(installed().make(&frames(&[(64, 64)])).await, None);
        assert_eq!(installed().make(&frames(&[(64, 64), (32, 64)])).await, None);
    }

    #[test]
    fn where_it_is_not_installed_none_is_found() {
        let empty = tempfile::tempdir().unwrap();
        assert!(VideoMaker::find(Some(empty.path().as_os_str())).is_none());
        assert!(VideoMaker::find(None).is_none());
    }

    #[tokio::test]
    async fn a_program_that_fails_or_writes_something_else_makes_no_video() {
        for script in ["cat >/dev/null; exit 1", "cat >/dev/null; echo hello hello", "exit 0"] {
            let (_folder, maker) = pretended(script);
            assert_eq!(maker.make(&frames(&[(64, 64), (64, 64)])).await, None, "{script}");
        }
    }

    #[tokio::test]
    async fn a_program_that_writes_without_end_is_stopped() {
        let (_folder, maker) = pretended("cat >/dev/null; exec cat /dev/zero");
        assert_eq!(maker.make(&frames(&[(64, 64), (64, 64)])).await, None);
    }

    #[tokio::test]
    async fn it_is_told_no_secret_and_may_write_no_file() {
        let script =
            "cat >/dev/null; F=\"$0.out\"; trap '' XFSZ; env >\"$F\"; printf '0000ftyp'; wc -c <\"$F\"";
        let (folder, maker) = pretended(script);
        let video = maker.make(&frames(&[(64, 64), (64, 64)])).await.unwrap();
        let written = std::fs::metadata(folder.path().join("ffmpeg.out")).unwrap().len();
        assert_eq!((written, &video[8..9]), (0, &b"0"[..]), "a file was written");
    }
}
