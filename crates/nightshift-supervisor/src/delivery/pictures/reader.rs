//! The program that reads pictures.

use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::{Area, Pixels};

/// How long one picture may take.
const WITHIN: Duration = Duration::from_secs(60);

/// Why a picture is not known to be clean.
#[derive(Debug, thiserror::Error)]
pub enum UnreadablePicture {
    /// It is no picture, or too large.
    #[error("it is no picture that can be read")]
    NotAPicture,
    /// The program failed.
    #[error("the program that reads pictures failed")]
    Program(#[source] io::Error),
    /// The program took too long.
    #[error("reading it took longer than {} s", WITHIN.as_secs())]
    TooLong,
}

/// A word as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadWord {
    /// The text, with the mistakes that reading makes.
    pub text: String,
    /// Where it is.
    pub area: Area,
    /// Words of the same line have the same number.
    pub line: u64,
}

/// Reads pictures by Tesseract.
#[derive(Debug, Clone)]
pub struct ScreenReader {
    program: PathBuf,
}

impl ScreenReader {
    /// Finds the program in a search path as `PATH` has it.
    pub fn find(search_path: Option<&OsStr>) -> Option<Self> {
        let folders = std::env::split_paths(search_path?);
        let program = folders.map(|folder| folder.join("tesseract")).find(|path| path.is_file())?;
        Some(Self { program })
    }

    /// Reads all words of a picture, enlarged by a whole number; the places are those of the picture as it is.
    pub async fn read(&self, pixels: &Pixels, scale: u32) -> Result<Vec<ReadWord>, UnreadablePicture> {
        let picture = pixels.for_reading(scale);
        match tokio::time::timeout(WITHIN, self.run(picture)).await {
            Ok(output) => Ok(parse(&output.map_err(UnreadablePicture::Program)?, scale)),
            Err(_) => Err(UnreadablePicture::TooLong),
        }
    }

    async fn run(&self, picture: Vec<u8>) -> io::Result<String> {
        // Mode 11: text wherever it is, in no order, which is what a screen is.
        let mut child = Command::new(&self.program)
            .args(["stdin", "stdout", "--psm", "11", "tsv"])
            .env("OMP_THREAD_LIMIT", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let stdin = child.stdin.take();
        let feed = async {
            if let Some(mut stdin) = stdin {
                stdin.write_all(&picture).await?;
            }
            io::Result::Ok(())
        };
        let (fed, output) = tokio::join!(feed, child.wait_with_output());
        let output = output?;
        fed?;
        if !output.status.success() {
            return Err(io::Error::other(format!("it ended with {}", output.status)));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// Reads the table that Tesseract writes: level, page, block, paragraph, line, word, left, top, width, height,
/// confidence, text.
fn parse(table: &str, scale: u32) -> Vec<ReadWord> {
    let word = |row: &str| {
        let fields: Vec<&str> = row.split('\t').collect();
        let [level, _, block, paragraph, line, _, left, top, width, height, _, text] = fields[..] else {
            return None;
        };
        let number = |text: &str| text.parse::<u32>().ok();
        if level != "5" || text.trim().is_empty() {
            return None;
        }
        let (block, paragraph, line) = (number(block)?, number(paragraph)?, number(line)?);
        let area = Area {
            x: number(left)? / scale,
            y: number(top)? / scale,
            width: number(width)?.div_ceil(scale),
            height: number(height)?.div_ceil(scale),
        };
        let line = (u64::from(block) << 32) | (u64::from(paragraph) << 16) | u64::from(line);
        Some(ReadWord { text: text.to_owned(), area, line })
    };
    table.lines().filter_map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_out_of_the_table_and_its_other_rows_are_not() {
        let table = "level\tpage_num\tblock_num\tpar_num\tline_num\tword_num\tleft\ttop\twidth\theight\tconf\ttext\n\
                     4\t1\t1\t1\t2\t0\t10\t20\t30\t40\t-1\t\n\
                     5\t1\t1\t1\t2\t1\t10\t20\t31\t41\t96.5\tcat\n5\t1\t1\t1\t2\t2\t1\t2\t3\t4\t9\t \n";
        let area = Area { x: 5, y: 10, width: 16, height: 21 };
        let line = (1 << 32) | (1 << 16) | 2;
        assert_eq!(parse(table, 2), [ReadWord { text: "cat".to_owned(), area, line }]);
    }
}
