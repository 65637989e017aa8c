//! Old images and templates: which go is decided by one pure function, and nothing that anything needs is ever among them.

use std::io;
use std::path::{Path, PathBuf};

use nightshift_protocol::{
    BuildKind, ErrorCode, KeptBecause, OffsetDateTime, PruneReport, PrunedBuild, UserError,
};

use crate::images::IMAGE_RECORD;
use crate::templates::Templates;
use crate::trouble::disk_or;

/// Templates, and images, that are kept when a new template was made: going back to the version before costs nothing then.
pub(crate) const KEPT_AFTER_A_BUILD: usize = 2;

/// Something that was written to so lately may be in the making.
const RECENT: time::Duration = time::Duration::hours(1);

/// An image or a template, as far as it matters for whether it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Build {
    pub(crate) kind: BuildKind,
    pub(crate) folder: PathBuf,
    /// The file that is removed first: without it the rest is not taken for whole.
    pub(crate) record: PathBuf,
    /// The image's folder that it rests on.
    pub(crate) image: Option<PathBuf>,
    pub(crate) made_at: OffsetDateTime,
    pub(crate) needed_by: Option<String>,
    /// Whether the next sandbox is made of it.
    pub(crate) current: bool,
}

/// Says of each build why it is kept, or nothing where it may go. The newest come first.
///
/// What is current, needed, or written to within the last hour and unfinished stays; of the others the `newest` newest of
/// each kind; and every image that a template rests on which stays.
pub(crate) fn decide(
    builds: &[Build],
    newest: usize,
    now: OffsetDateTime,
) -> Vec<(Build, Option<KeptBecause>)> {
    let mut sorted = builds.to_vec();
    // Templates before images, so that it is known then which of them stay.
    sorted.sort_by_key(|build| {
        (build.kind != BuildKind::Template, std::cmp::Reverse(build.made_at), build.folder.clone())
    });
    let mut decided: Vec<(Build, Option<KeptBecause>)> = Vec::new();
    for build in sorted {
        let of_its_kind = decided.iter().filter(|(other, _)| other.kind == build.kind).count();
        let resting = decided.iter().find(|(other, kept)| {
            kept.is_some() && other.image.as_deref().is_some_and(|image| image == build.folder)
        });
        let kept = match (&build.needed_by, resting) {
            _ if build.current => Some(KeptBecause::Current),
            (Some(by), _) => Some(KeptBecause::Needed { by: by.clone() }),
            (None, Some((template, _))) => {
                Some(KeptBecause::Needed { by: format!("template {}", name(&template.folder)) })
            }
            (None, None) if build.kind == BuildKind::Unfinished => {
                (now - build.made_at < RECENT).then_some(KeptBecause::Recent)
            }
            (None, None) => (of_its_kind < newest).then_some(KeptBecause::Newest),
        };
        decided.push((build, kept));
    }
    decided
}

fn name(folder: &Path) -> String {
    folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

impl Templates {
    /// Removes images and templates that nothing needs but the `newest` newest, or only says which those are.
    pub(crate) async fn prune(
        &self,
        newest: usize,
        dry_run: bool,
        now: OffsetDateTime,
    ) -> Result<PruneReport, UserError> {
        let trouble =
            |error: io::Error| disk_or(ErrorCode::Internal, "looking for old images and templates", &error);
        let builds = self.all_builds().await.map_err(trouble)?;
        let mut report = PruneReport { dry_run, freed_bytes: 0, builds: Vec::new() };
        for (build, kept) in decide(&builds, newest, now) {
            let folder = build.folder.clone();
            let size = tokio::task::spawn_blocking(move || size(&folder)).await.map_err(io::Error::other);
            let (bytes, own) = size.and_then(|size| size).map_err(trouble)?;
            if kept.is_none() {
                report.freed_bytes += own;
                if !dry_run {
                    tracing::info!(folder = %build.folder.display(), "removing what nobody needs");
                    remove(build.folder.clone(), build.record.clone()).await.map_err(trouble)?;
                }
            }
            report.builds.push(PrunedBuild { kind: build.kind, name: name(&build.folder), bytes, kept });
        }
        Ok(report)
    }
}

/// Removes a folder, its record first.
async fn remove(folder: PathBuf, record: PathBuf) -> io::Result<()> {
    let removing = tokio::task::spawn_blocking(move || {
        match std::fs::remove_file(record) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        std::fs::remove_dir_all(folder)
    });
    removing.await.map_err(io::Error::other)?
}

/// What a folder takes on the disk, and what of it nothing else has a name for, in bytes.
fn size(folder: &Path) -> io::Result<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;

    let (mut all, mut own) = (0, 0);
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let facts = entry.metadata()?;
        if facts.is_dir() {
            let (below, own_below) = size(&entry.path())?;
            (all, own) = (all + below, own + own_below);
            continue;
        }
        // st_blocks is counted in units of 512 bytes whatever the file system does (inode(7)).
        let bytes = facts.blocks() * 512;
        all += bytes;
        own += if facts.nlink() == 1 { bytes } else { 0 };
    }
    Ok((all, own))
}

/// The record of an image's folder.
pub(crate) fn image_record(folder: &Path) -> PathBuf {
    folder.join(IMAGE_RECORD)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    fn build(kind: BuildKind, number: u8, age_minutes: u32) -> Build {
        let folder = PathBuf::from(format!("/cache/{kind:?}/{number}"));
        Build {
            kind,
            record: folder.join("record"),
            folder,
            image: None,
            made_at: NOW - time::Duration::minutes(age_minutes.into()),
            needed_by: None,
            current: false,
        }
    }

    fn image_of(number: u8) -> Option<PathBuf> {
        Some(build(BuildKind::Image, number, 0).folder)
    }

    fn removed(decided: &[(Build, Option<KeptBecause>)]) -> Vec<String> {
        decided
            .iter()
            .filter(|(_, kept)| kept.is_none())
            .map(|(build, _)| build.folder.display().to_string())
            .collect()
    }

    #[test]
    fn of_old_builds_the_newest_two_are_kept_and_images_that_those_rest_on() {
        let templates = (1..=4).map(|number| Build {
            image: image_of(number),
            ..build(BuildKind::Template, number, u32::from(number) * 100)
        });
        // The image that the newest template rests on is the oldest: it was used again.
        let images = (1..=4).map(|number| build(BuildKind::Image, number, 1_000 - u32::from(number)));
        let builds: Vec<Build> = templates.chain(images).collect();
        let decided = decide(&builds, KEPT_AFTER_A_BUILD, NOW);
        assert_eq!(removed(&decided), ["/cache/Template/3", "/cache/Template/4"]);
        let asked = decide(&builds, 0, NOW);
        assert_eq!(removed(&asked).len(), 8, "nothing is current here, and nothing is needed");
    }

    #[test]
    fn what_is_needed_is_named_with_what_needs_it() {
        let by = Some("sandbox-0123456789".to_owned());
        let template = Build { needed_by: by, image: image_of(1), ..build(BuildKind::Template, 1, 9_000) };
        let decided = decide(&[build(BuildKind::Image, 1, 9_000), template], 0, NOW);
        let kept: Vec<_> = decided.into_iter().map(|(_, kept)| kept).collect();
        let needed = |by: &str| Some(KeptBecause::Needed { by: by.to_owned() });
        assert_eq!(kept, [needed("sandbox-0123456789"), needed("template 1")]);
    }

    #[test]
    fn what_was_never_finished_goes_after_an_hour_and_not_before() {
        let fresh = build(BuildKind::Unfinished, 1, 59);
        let left = build(BuildKind::Unfinished, 2, 60);
        let decided = decide(&[fresh, left], 9, NOW);
        assert_eq!(removed(&decided), ["/cache/Unfinished/2"]);
    }

    #[test]
    fn sizes_count_what_others_have_a_name_for_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir(path("template")).unwrap();
        std::fs::write(path("template/memory"), vec![1; 1 << 20]).unwrap();
        std::fs::write(path("template/disk"), vec![1; 1 << 20]).unwrap();
        std::fs::hard_link(path("template/memory"), path("checkpoint")).unwrap();
        let (all, own) = size(&path("template")).unwrap();
        assert!(all >= 2 << 20, "{all}");
        assert!((1 << 20..2 << 20).contains(&own), "{own}");
    }

    #[tokio::test]
    async fn what_is_removed_is_gone_and_removing_it_by_half_leaves_nothing_whole() {
        let folder = tempfile::tempdir().unwrap();
        let build = folder.path().join("build");
        std::fs::create_dir(&build).unwrap();
        std::fs::write(build.join("record"), "x").unwrap();
        std::fs::write(build.join("disk"), "x").unwrap();
        remove(build.clone(), build.join("record")).await.unwrap();
        assert!(!build.exists());
    }

    fn any_build() -> impl Strategy<Value = Build> {
        let kind =
            prop_oneof![Just(BuildKind::Image), Just(BuildKind::Template), Just(BuildKind::Unfinished)];
        (kind, 0..8_u8, 0..200_u32, any::<bool>(), prop::bool::weighted(0.2), prop::option::of(0..8_u8))
            .prop_map(|(kind, number, age, needed, current, image)| Build {
                needed_by: needed.then(|| "something".to_owned()),
                current,
                image: if kind == BuildKind::Template { image.and_then(image_of) } else { None },
                ..build(kind, number, age)
            })
    }

    /// Builds with folders of their own.
    fn any_builds() -> impl Strategy<Value = Vec<Build>> {
        prop::collection::vec(any_build(), 0..20).prop_map(|mut builds| {
            builds.sort_by_key(|build| build.folder.clone());
            builds.dedup_by_key(|build| build.folder.clone());
            builds
        })
    }

    proptest! {
        #[test]
        fn nothing_that_something_needs_is_ever_removed(builds in any_builds(), newest in 0..4_usize) {
            let decided = decide(&builds, newest, NOW);
            prop_assert_eq!(decided.len(), builds.len());
            let stays = |folder: &Path| decided.iter().any(|(build, kept)| build.folder == folder && kept.is_some());
            for (build, kept) in &decided {
                if build.current || build.needed_by.is_some() {
                    prop_assert!(kept.is_some(), "{:?}", build);
                }
                // An image goes only after every template that rests on it.
                if let (Some(image), Some(_)) = (&build.image, kept) {
                    let there = builds.iter().any(|other| other.folder == *image);
                    prop_assert!(!there || stays(image), "{:?}", build);
                }
            }
        }

        #[test]
        fn as_many_of_the_newest_stay_as_were_asked_for(builds in any_builds(), newest in 0..4_usize) {
            let decided = decide(&builds, newest, NOW);
            for kind in [BuildKind::Image, BuildKind::Template] {
                let all = builds.iter().filter(|build| build.kind == kind).count();
                let kept = decided.iter().filter(|(build, kept)| build.kind == kind && kept.is_some()).count();
                prop_assert!(kept >= newest.min(all), "{kept} of {all}");
            }
        }

        #[test]
        fn pruning_again_removes_nothing_more(builds in any_builds(), newest in 0..4_usize) {
            let left: Vec<Build> =
                decide(&builds, newest, NOW).into_iter().filter(|(_, kept)| kept.is_some()).map(|(build, _)| build).collect();
            prop_assert_eq!(removed(&decide(&left, newest, NOW)), Vec::<String>::new());
        }
    }
}
