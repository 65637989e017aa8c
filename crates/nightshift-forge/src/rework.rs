//! How much of a delivery changed after reviewers had seen it first.

use std::collections::HashMap;

/// The share of the changed lines that two diffs of the same work do not have in common, in percent, rounded up. What
/// both have may stand elsewhere, and may be about another base: a merge of the base branch alone is no rework.
pub fn reworked_percent(first: &str, newest: &str) -> u8 {
    let (first, newest) = (changed_lines(first), changed_lines(newest));
    let count = |lines: &HashMap<(&str, &str), u64>| lines.values().sum::<u64>();
    let missing = |of: &HashMap<(&str, &str), u64>, in_other: &HashMap<(&str, &str), u64>| {
        let left = of
            .iter()
            .map(|(line, times)| times.saturating_sub(in_other.get(line).copied().unwrap_or_default()));
        left.sum::<u64>()
    };
    // A line that was changed once more is missing on both sides, and counts once.
    let different = missing(&first, &newest).max(missing(&newest, &first));
    let all = count(&first).max(count(&newest)).max(1);
    u8::try_from((different * 100).div_ceil(all)).unwrap_or(100)
}

/// The added and removed lines of a diff with their signs, by the file they are in, and how often each is there.
fn changed_lines(diff: &str) -> HashMap<(&str, &str), u64> {
    let mut lines = HashMap::new();
    let (mut file, mut in_hunk) = ("", false);
    for line in diff.lines() {
        if line.starts_with("diff --git ") {
            (file, in_hunk) = (line, false);
        } else if line.starts_with("@@ ") {
            in_hunk = true;
        } else if in_hunk && line.starts_with(['+', '-']) {
            *lines.entry((file, line)).or_default() += 1;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn diff(path: &str, at: usize, changed: &[&str]) -> String {
        let head = format!("diff --git a/{path} b/{path}\n--- a/{path}\n+++ b/{path}\n@@ -{at} +{at} @@\n");
        head + " context\n" + &changed.join("\n") + "\n"
    }

    #[test]
    fn the_same_work_elsewhere_in_the_file_is_not_reworked() {
        let lines = ["+one", "-two", "+three"];
        assert_eq!(reworked_percent(&diff("a", 1, &lines), &diff("a", 99, &lines)), 0);
    }

    #[test]
    fn one_line_of_ten_that_was_changed_again_is_a_tenth() {
        let lines: Vec<String> = (0..10).map(|number| format!("+{number}")).collect();
        let first: Vec<&str> = lines.iter().map(String::as_str).collect();
        let mut newest = first.clone();
        newest[3] = "+other";
        assert_eq!(reworked_percent(&diff("a", 1, &first), &diff("a", 1, &newest)), 10);
    }

    #[test]
    fn the_same_lines_in_another_file_are_other_lines() {
        assert_eq!(reworked_percent(&diff("a", 1, &["+x"]), &diff("b", 1, &["+x"])), 100);
    }

    #[test]
    fn what_came_or_went_counts_by_the_larger_of_both() {
        let (one, three) = (diff("a", 1, &["+x"]), diff("a", 1, &["+x", "+y", "+z"]));
        assert_eq!((reworked_percent(&one, &three), reworked_percent(&three, &one)), (67, 67));
        assert_eq!((reworked_percent("", ""), reworked_percent("", &one)), (0, 100));
    }

    #[test]
    fn names_of_files_are_no_changed_lines_and_lines_like_them_are() {
        let odd = diff("a", 1, &["+++ b/x", "--- a/x"]);
        assert_eq!(changed_lines(&odd).len(), 2);
        assert_eq!(reworked_percent(&odd, &diff("a", 1, &["+++ b/x", "--- a/y"])), 50);
    }

    proptest! {
        #[test]
        fn it_is_a_share_it_is_the_same_both_ways_and_nothing_for_the_same(
            one in prop::collection::vec("[+-][ab]{0,2}", 0..12),
            other in prop::collection::vec("[+-][ab]{0,2}", 0..12),
        ) {
            let of = |lines: &[String]| diff("a", 1, &lines.iter().map(String::as_str).collect::<Vec<_>>());
            let (one, other) = (of(&one), of(&other));
            let share = reworked_percent(&one, &other);
            prop_assert!(share <= 100);
            prop_assert_eq!(share, reworked_percent(&other, &one));
            prop_assert_eq!(reworked_percent(&one, &one), 0);
        }
    }
}
