//! A task's acceptance criteria: those that were given, else those that its description lists.

use nightshift_protocol::{ErrorCode, UserError};

/// Criteria of one task; more is more than one task.
const MOST: usize = 20;

/// Characters of one.
const LONGEST: usize = 500;

/// The task's criteria. What a description lists is taken as far as it fits; what was given is refused if it does not.
pub(crate) fn of(given: &[String], description: &str) -> Result<Vec<String>, UserError> {
    if given.is_empty() {
        return Ok(listed(description));
    }
    let refuse = |message: String| {
        Err(UserError::new(
            ErrorCode::InvalidRequest,
            message,
            "Give each criterion as one sentence, for example --criterion \"It survives a reload\".",
        ))
    };
    if given.len() > MOST {
        return refuse(format!(
            "the task has {} acceptance criteria, and at most {MOST} are taken",
            given.len()
        ));
    }
    let criteria: Vec<String> = given.iter().map(|criterion| in_one_line(criterion)).collect();
    match criteria.iter().position(|criterion| !(1..=LONGEST).contains(&criterion.chars().count())) {
        Some(odd) => {
            refuse(format!("acceptance criterion {} is empty or has more than {LONGEST} characters", odd + 1))
        }
        None => Ok(criteria),
    }
}

/// What a description lists under "Acceptance criteria".
fn listed(description: &str) -> Vec<String> {
    let mut criteria: Vec<String> = Vec::new();
    let lines = description.lines().skip_while(|line| !is_heading(line)).skip(1);
    for line in lines {
        match item(line) {
            Some(text) => criteria.push(text.to_owned()),
            None if line.trim().is_empty() => {}
            // A line that is indented goes on with the item above it.
            None if line.starts_with(char::is_whitespace) && !criteria.is_empty() => {
                if let Some(last) = criteria.last_mut() {
                    last.push(' ');
                    last.push_str(line.trim());
                }
            }
            None => break,
        }
    }
    let criteria = criteria.iter().map(|criterion| in_one_line(criterion).chars().take(LONGEST).collect());
    criteria.filter(|criterion: &String| !criterion.is_empty()).take(MOST).collect()
}

fn is_heading(line: &str) -> bool {
    let words = line
        .trim()
        .trim_matches(|character: char| matches!(character, '#' | '*' | '_' | ':') || character == ' ');
    ["acceptance criteria", "acceptance criterion"].iter().any(|heading| words.eq_ignore_ascii_case(heading))
}

/// The text of an item of a list: `- x`, `* x`, `+ x`, `1. x`, `1) x`, each perhaps with a box to tick.
fn item(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let digits = line.len() - line.trim_start_matches(|character: char| character.is_ascii_digit()).len();
    let text = match line.strip_prefix(['-', '*', '+']) {
        Some(rest) => rest,
        None if (1..=3).contains(&digits) => line[digits..].strip_prefix(['.', ')'])?,
        None => return None,
    };
    let text = text.strip_prefix([' ', '\t'])?.trim();
    let ticked = ["[ ]", "[x]", "[X]"].iter().find_map(|tick| text.strip_prefix(tick));
    Some(ticked.unwrap_or(text).trim())
}

fn in_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_list_under_its_heading_is_taken_item_by_item() {
        let description = "Add a dark mode.\n\n- not this one\n\n## Acceptance criteria:\n\n- [ ] A button switches it.\n\
            * It survives\n  a reload.\n\n1. Print stays light.\n2) Tests pass.\n\nTests: npm test\n- nor this";
        assert_eq!(
            of(&[], description).unwrap(),
            ["A button switches it.", "It survives a reload.", "Print stays light.", "Tests pass."]
        );
    }

    #[test]
    fn a_description_without_a_list_has_none() {
        for description in
            ["Fix it", "Acceptance criteria", "The acceptance criteria are these:\n- a", "- a\n- b"]
        {
            assert_eq!(of(&[], description), Ok(Vec::new()), "{description}");
        }
        assert_eq!(of(&[], "**Acceptance criteria**\n- a").unwrap(), ["a"]);
    }

    #[test]
    fn what_was_given_comes_before_what_is_listed() {
        let given = ["It is\n dark.".to_owned()];
        assert_eq!(of(&given, "Acceptance criteria:\n- a").unwrap(), ["It is dark."]);
    }

    #[test]
    fn what_cannot_be_taken_is_refused_with_its_number() {
        let said = |given: &[String]| of(given, "x").unwrap_err().message;
        assert_eq!(
            said(&["a".to_owned(), "  ".to_owned()]),
            "acceptance criterion 2 is empty or has more than 500 characters"
        );
        assert_eq!(
            said(&["x".repeat(501)]),
            "acceptance criterion 1 is empty or has more than 500 characters"
        );
        assert_eq!(
            said(&vec!["a".to_owned(); 21]),
            "the task has 21 acceptance criteria, and at most 20 are taken"
        );
    }

    proptest! {
        #[test]
        fn whatever_a_description_says_the_list_keeps_to_its_size(lines in proptest::collection::vec("[-*1. a-z\\[\\]#]{0,30}", 0..60)) {
            let description = format!("Acceptance criteria\n{}", lines.join("\n"));
            let criteria = of(&[], &description).unwrap();
            prop_assert!(criteria.len() <= MOST);
            prop_assert!(criteria.iter().all(|one| (1..=LONGEST).contains(&one.chars().count()) && !one.contains('\n')));
        }
    }
}
