//! What was removed of images and templates, and what stays.

use nightshift_protocol::{BuildKind, KeptBecause, PruneReport, PrunedBuild};

use super::{line, mebibytes, table};

/// A line for each, and what it comes to.
pub(crate) fn pruned(report: &PruneReport) -> String {
    let rows: Vec<[String; 4]> = report.builds.iter().map(|build| row(build, report.dry_run)).collect();
    let gone = report.builds.iter().filter(|build| build.kept.is_none()).count();
    let freed = mebibytes(report.freed_bytes);
    let sum = match (gone, report.dry_run) {
        (0, _) => "Nothing is there that nobody needs.".to_owned(),
        (_, true) => format!("Without --dry-run this frees {freed}."),
        (_, false) => format!("This freed {freed}."),
    };
    if rows.is_empty() { sum } else { format!("{}\n\n{sum}", table(&rows)) }
}

fn row(build: &PrunedBuild, dry_run: bool) -> [String; 4] {
    let kind = match build.kind {
        BuildKind::Image => "image",
        BuildKind::Template => "template",
        BuildKind::Unfinished => "unfinished",
    };
    let fate = match &build.kept {
        None if dry_run => "goes".to_owned(),
        None => "removed".to_owned(),
        Some(KeptBecause::Current) => "stays: the next sandbox is made of it".to_owned(),
        Some(KeptBecause::Needed { by }) => format!("stays: {} needs it", line(by)),
        Some(KeptBecause::Newest) => "stays: it is one of the newest".to_owned(),
        Some(KeptBecause::Recent) => "stays: it may be in the making".to_owned(),
    };
    [kind.to_owned(), line(&build.name), format!("{:>10}", mebibytes(build.bytes)), fate]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(kind: BuildKind, name: &str, kept: Option<KeptBecause>) -> PrunedBuild {
        PrunedBuild { kind, name: name.to_owned(), bytes: 1_500 << 20, kept }
    }

    fn report(dry_run: bool) -> PruneReport {
        let by = "sandbox-0123456789".to_owned();
        let builds = vec![
            build(BuildKind::Template, "05f1b30f8c55", Some(KeptBecause::Current)),
            build(BuildKind::Template, "a3", Some(KeptBecause::Needed { by })),
            build(BuildKind::Template, "b4", None),
            build(BuildKind::Image, "25fe40b1472edb30", Some(KeptBecause::Newest)),
            build(BuildKind::Unfinished, "c5.partial", Some(KeptBecause::Recent)),
        ];
        PruneReport { dry_run, freed_bytes: 1_400 << 20, builds }
    }

    #[test]
    fn what_would_go_is_told_with_what_stays_and_why() {
        insta::assert_snapshot!(pruned(&report(true)), @r"
        template    05f1b30f8c55      1500.0 MiB  stays: the next sandbox is made of it
        template    a3                1500.0 MiB  stays: sandbox-0123456789 needs it
        template    b4                1500.0 MiB  goes
        image       25fe40b1472edb30  1500.0 MiB  stays: it is one of the newest
        unfinished  c5.partial        1500.0 MiB  stays: it may be in the making

        Without --dry-run this frees 1400.0 MiB.
        ");
    }

    #[test]
    fn what_went_is_told_with_how_much_it_freed() {
        let shown = pruned(&report(false));
        assert!(shown.contains("b4                1500.0 MiB  removed\n"), "{shown}");
        assert!(shown.ends_with("\n\nThis freed 1400.0 MiB."), "{shown}");
    }

    #[test]
    fn where_nothing_can_go_that_is_said() {
        let nothing = PruneReport { dry_run: true, freed_bytes: 0, builds: Vec::new() };
        assert_eq!(pruned(&nothing), "Nothing is there that nobody needs.");
    }
}
