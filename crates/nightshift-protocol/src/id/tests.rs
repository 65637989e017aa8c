use proptest::prelude::*;

use super::*;

struct Zeroes;
impl Entropy for Zeroes {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(0);
    }
}

#[test]
fn a_random_id_reads_back_as_itself() {
    let id = TaskId::new(&Zeroes);
    assert_eq!(id.as_str(), "task-0000000000");
    assert_eq!(id.as_str().parse::<TaskId>().unwrap(), id);
}

#[test]
fn an_id_of_another_kind_is_refused() {
    let refused = "run-0000000000".parse::<TaskId>().unwrap_err();
    assert_eq!(refused.to_string(), "\"run-0000000000\" is no id of the form task-xxxxxxxxxx");
}

#[test]
fn an_id_with_a_path_in_it_is_refused() {
    assert!("run-../../../a".parse::<RunId>().is_err());
    assert!("../../etc/passwd".parse::<ArtifactId>().is_err());
}

#[test]
fn a_step_orders_by_turn_and_then_by_call() {
    let mut steps = ["2.1", "1.10", "1.2"].map(|text| text.parse::<StepId>().unwrap());
    steps.sort();
    assert_eq!(steps.map(|step| step.to_string()), ["1.2", "1.10", "2.1"]);
}

#[test]
fn a_commit_may_be_of_either_object_format_but_not_shortened() {
    assert!("a".repeat(40).parse::<CommitId>().is_ok());
    assert!("a".repeat(64).parse::<CommitId>().is_ok());
    assert!("abcdef0".parse::<CommitId>().is_err());
}

#[test]
fn a_pull_request_may_be_written_with_a_number_sign() {
    assert_eq!("#7".parse::<PullRequestId>().unwrap(), PullRequestId(7));
}

struct Counting(u8);
impl Entropy for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        for (at, byte) in (self.0..=u8::MAX).cycle().zip(bytes) {
            *byte = at;
        }
    }
}

fn every_kind(text: &str) -> [Option<String>; 8] {
    [
        text.parse::<TaskId>().ok().map(String::from),
        text.parse::<RunId>().ok().map(String::from),
        text.parse::<SandboxId>().ok().map(String::from),
        text.parse::<CheckpointId>().ok().map(String::from),
        text.parse::<ArtifactId>().ok().map(String::from),
        text.parse::<CommitId>().ok().map(String::from),
        text.parse::<StepId>().ok().map(String::from),
        text.parse::<PullRequestId>().ok().map(|number| number.to_string()),
    ]
}

#[test]
fn an_id_has_ten_characters_that_cannot_be_mistaken_for_one_another() {
    for tail in [
        "",
        "123456789",
        "12345678901",
        "i000000000",
        "l000000000",
        "o000000000",
        "u000000000",
        "A000000000",
        "00000 0000",
        "000000000\n",
        "ää000000",
    ] {
        assert!(format!("run-{tail}").parse::<RunId>().is_err(), "{tail:?}");
    }
}

#[test]
fn a_hash_is_written_in_lower_case() {
    assert!("A".repeat(64).parse::<ArtifactId>().is_err());
    assert!("g".repeat(64).parse::<ArtifactId>().is_err());
    assert!("a".repeat(63).parse::<ArtifactId>().is_err());
    assert!("a".repeat(40).parse::<ArtifactId>().is_err());
}

#[test]
fn a_step_has_one_name_and_other_spellings_are_refused() {
    for text in [
        "",
        ".",
        "1",
        "1.",
        ".1",
        "1.2.3",
        "+1.2",
        "1.+2",
        "01.2",
        "1.02",
        "-1.2",
        " 1.2",
        "1.2 ",
        "4294967296.1",
    ] {
        assert!(text.parse::<StepId>().is_err(), "{text:?}");
    }
}

#[test]
fn a_pull_request_s_number_is_counted_from_one() {
    for text in ["", "#", "0", "#0", "+7", "##7", "07", "-1", "18446744073709551616"] {
        assert!(text.parse::<PullRequestId>().is_err(), "{text:?}");
    }
}

#[test]
fn what_was_given_is_shown_cut() {
    let refused = "x".repeat(10_000).parse::<RunId>().unwrap_err();
    assert_eq!(refused.given, "x".repeat(80));
    assert_eq!("ü".repeat(100).parse::<CommitId>().unwrap_err().given, "ü".repeat(80));
}

#[test]
fn an_id_is_checked_where_it_comes_in_as_json() {
    let refused = serde_json::from_str::<RunId>("\"run-../../etc\"").unwrap_err().to_string();
    assert_eq!(refused, "\"run-../../etc\" is no id of the form run-xxxxxxxxxx");
    assert!(serde_json::from_str::<StepId>("{\"turn\": 1, \"call\": 1}").is_err());
    assert_eq!(serde_json::to_string(&StepId { turn: 4, call: 1 }).unwrap(), "\"4.1\"");
}

proptest! {
    #[test]
    fn whatever_is_taken_for_an_id_is_written_as_it_was_given(text in "(run-|task-|sandbox-|checkpoint-|#)?[0-9a-z.+ ]{0,64}") {
        for taken in every_kind(&text).into_iter().flatten() {
            prop_assert_eq!(taken.as_str(), text.strip_prefix('#').unwrap_or(&text));
        }
    }

    #[test]
    fn no_text_is_the_id_of_two_kinds_of_things(text in "(run|task|sandbox|checkpoint)-[0-9a-hjkmnp-tv-z]{10}") {
        prop_assert_eq!(every_kind(&text).into_iter().flatten().count(), 1);
    }

    #[test]
    fn every_new_id_is_one(first in any::<u8>()) {
        let entropy = Counting(first);
        let id = SandboxId::new(&entropy);
        prop_assert_eq!(id.as_str().parse::<SandboxId>().unwrap(), id);
    }

    #[test]
    fn every_step_reads_back(turn in any::<u32>(), call in any::<u32>()) {
        let step = StepId { turn, call };
        prop_assert_eq!(step.to_string().parse::<StepId>().unwrap(), step);
    }
}
