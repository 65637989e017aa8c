//! The example repository of a newcomer's first task: the web application in `examples/trailhead`, in this program.

use std::io;
use std::path::{Path, PathBuf};

use nightshift_forge::begin_repository;
use nightshift_protocol::{ErrorCode, ExampleTask, UserError};

use super::Supervisor;
use crate::trouble;

macro_rules! files {
    ($($path:literal),+ $(,)?) => {
        [$(($path, include_bytes!(concat!("../../../../examples/trailhead/", $path)).as_slice())),+]
    };
}

/// The files of the example, by path.
const FILES: [(&str, &[u8]); 18] = files![
    ".gitignore",
    "AGENTS.md",
    "README.md",
    "package.json",
    "server.js",
    "src/app.js",
    "src/filters.js",
    "src/icon.svg",
    "src/index.html",
    "src/render.js",
    "src/samples.js",
    "src/store.js",
    "src/styles.css",
    "support/memory-storage.js",
    "test/filters.test.js",
    "test/render.test.js",
    "test/server.test.js",
    "test/store.test.js",
];

/// What the first task asks for, as the demo does.
const DESCRIPTION: &str = "Add a dark mode toggle that persists to localStorage";
const CRITERIA: [&str; 3] = [
    "A toggle at the top right switches the page to dark",
    "The choice persists after a reload",
    "All tests pass",
];

impl Supervisor {
    /// Makes the example repository where there is none, and says what its task would be. One that is there stays as it
    /// is: a person may have worked in it.
    pub async fn example(&self) -> Result<ExampleTask, UserError> {
        let folder = self.shared.settings.data.join("example/trailhead");
        if !folder.join(".git").exists() {
            let trouble = |error: io::Error| {
                trouble::disk_or(ErrorCode::Internal, "making the example repository", &error)
            };
            // Made beside and moved: half a repository is never taken for one.
            let beside = folder.with_extension("new");
            let _left_by_a_crash = tokio::fs::remove_dir_all(&beside).await;
            write(&beside).await.map_err(trouble)?;
            let message = "Trailhead, the work list of a trail crew";
            begin_repository(&self.shared.git, &beside, message)
                .await
                .map_err(|error| trouble::git(&error))?;
            let _left_without_git = tokio::fs::remove_dir_all(&folder).await;
            tokio::fs::rename(&beside, &folder).await.map_err(trouble)?;
        }
        Ok(ExampleTask {
            repository: folder.display().to_string(),
            description: DESCRIPTION.to_owned(),
            criteria: CRITERIA.map(str::to_owned).to_vec(),
        })
    }
}

async fn write(folder: &Path) -> io::Result<()> {
    for (path, bytes) in FILES {
        let file: PathBuf = folder.join(path);
        if let Some(parent) = file.parent() {
            tokio::fs::create_dir_all(parent).await?;
        }
        tokio::fs::write(file, bytes).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn below(folder: &Path, into: &mut Vec<String>, prefix: &str) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
            if entry.file_type().unwrap().is_dir() {
                below(&entry.path(), into, &format!("{name}/"));
            } else {
                into.push(name);
            }
        }
    }

    #[test]
    fn the_example_has_every_file_of_its_folder() {
        let mut found = Vec::new();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/trailhead");
        below(&folder, &mut found, "");
        found.sort();
        assert_eq!(found, FILES.map(|(path, _)| path.to_owned()));
    }
}
