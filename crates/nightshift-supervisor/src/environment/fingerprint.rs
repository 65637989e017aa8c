//! What an environment was made from, as hashes by name: it is stale when one of them changes.

use std::collections::BTreeMap;

use nightshift_protocol::SetUpPlan;
use sha2::{Digest, Sha256};

use super::files::Files;

/// The name of the machine below it: image, guest program, QEMU, size.
const MACHINE: &str = "machine";
/// The name of what is done: steps that are found change with Nightshift itself.
const STEPS: &str = "steps";

/// Hashes all that a set-up depends on. `machine` is the key of the template that it is made from.
pub(crate) fn fingerprint(plan: &SetUpPlan, files: &Files, machine: &str) -> BTreeMap<String, String> {
    let mut hashes: BTreeMap<String, String> = plan
        .inputs
        .iter()
        // One that is not there is an input too: it may come to be.
        .map(|path| (path.clone(), files.bytes(path).map_or_else(|| "absent".to_owned(), hash)))
        .collect();
    // A path has a place of its own beside these: no repository has a file named with a space at its end.
    hashes.insert(format!("{MACHINE} "), machine.to_owned());
    let commands = plan.steps.iter().chain(&plan.checks).map(|step| step.run.as_str());
    let server = plan.dev_server.as_ref().map(|server| format!("{} {}", server.port, server.run));
    let mut all = Sha256::new();
    for part in commands.chain(server.as_deref()) {
        all.update((part.len() as u64).to_le_bytes());
        all.update(part);
    }
    hashes.insert(format!("{STEPS} "), hexadecimal(&all.finalize()));
    hashes
}

/// The names of what has changed between two; empty when an environment made from the one still fits the other.
pub(crate) fn changed(made: &BTreeMap<String, String>, now: &BTreeMap<String, String>) -> Vec<String> {
    let mut names: Vec<String> = made
        .keys()
        .chain(now.keys())
        .filter(|name| made.get(*name) != now.get(*name))
        .map(|name| name.trim_end().to_owned())
        .collect();
    names.sort();
    names.dedup();
    names
}

fn hash(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::plan;
    use proptest::prelude::*;

    const PACKAGE: &str = r#"{"dependencies": {"a": "1"}}"#;

    fn of(files: &[(&str, &str)], machine: &str) -> BTreeMap<String, String> {
        let files = Files::of(files);
        fingerprint(&plan(&files).unwrap(), &files, machine)
    }

    #[test]
    fn a_lock_file_that_changes_makes_it_stale_and_is_named() {
        let before = of(&[("package.json", PACKAGE), ("package-lock.json", "1")], "m");
        let after = of(&[("package.json", PACKAGE), ("package-lock.json", "2")], "m");
        assert_eq!(changed(&before, &after), ["package-lock.json"]);
    }

    #[test]
    fn another_machine_makes_it_stale() {
        let files = [("package.json", PACKAGE)];
        assert_eq!(changed(&of(&files, "image 1"), &of(&files, "image 2")), ["machine"]);
    }

    #[test]
    fn a_lock_file_that_comes_to_be_makes_it_stale_and_so_does_what_is_done_with_it() {
        let before = of(&[("package.json", PACKAGE)], "m");
        let after = of(&[("package.json", PACKAGE), ("package-lock.json", "")], "m");
        assert_eq!(changed(&before, &after), ["package-lock.json", "steps"]);
    }

    proptest! {
        #[test]
        fn source_files_change_nothing_and_the_same_files_are_the_same(words in "[a-z]{0,30}") {
            let before = of(&[("package.json", PACKAGE), ("main.js", "x")], "m");
            let after = of(&[("package.json", PACKAGE), ("main.js", &words)], "m");
            prop_assert_eq!(changed(&before, &after), Vec::<String>::new());
        }

        #[test]
        fn staleness_looks_the_same_from_both_sides(one in "[ab]{0,3}", other in "[ab]{0,3}") {
            let before = of(&[("package.json", PACKAGE), ("package-lock.json", &one)], "m");
            let after = of(&[("package.json", PACKAGE), ("package-lock.json", &other)], "m");
            prop_assert_eq!(changed(&before, &after), changed(&after, &before));
            prop_assert_eq!(changed(&before, &after).is_empty(), one == other);
        }
    }
}
