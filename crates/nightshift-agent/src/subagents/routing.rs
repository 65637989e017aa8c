//! Routing rules: which agent is for what, as lists under a heading of `AGENTS.md` or `CLAUDE.md` say it.

/// Rules that are taken at most.
const MOST: usize = 50;

/// The longest rule, in characters.
const LONGEST: usize = 500;

/// The rules in a text: the items of lists under headings such as "Subagents", "Agent routing" or "Delegation".
pub fn rules(text: &str) -> Vec<String> {
    let (mut rules, mut inside, mut fenced) = (Vec::<String>::new(), false, false);
    for line in text.lines() {
        let trimmed = line.trim_start();
        if trimmed.starts_with("```") {
            fenced = !fenced;
        } else if fenced {
            continue;
        } else if let Some(heading) = trimmed.strip_prefix('#') {
            inside = is_about_agents(heading);
        } else if inside && rules.len() < MOST {
            match item(trimmed) {
                Some(rule) => rules.push(rule.to_owned()),
                // A line that is indented goes on with the item above it.
                None if line.starts_with(char::is_whitespace) && !trimmed.is_empty() => {
                    if let Some(last) = rules.last_mut() {
                        last.push(' ');
                        last.push_str(trimmed);
                    }
                }
                None => {}
            }
        }
    }
    let one_line =
        |rule: &String| rule.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(LONGEST).collect();
    rules.iter().map(one_line).filter(|rule: &String| !rule.is_empty()).collect()
}

fn is_about_agents(heading: &str) -> bool {
    let heading = heading.trim_matches(['#', ' ', ':', '*', '_']).to_lowercase();
    [
        "subagents",
        "sub-agents",
        "agent routing",
        "routing",
        "routing rules",
        "delegation",
        "which agent for what",
    ]
    .contains(&heading.as_str())
}

/// The text of an item: `- x`, `* x`, `+ x`, `1. x`, `1) x`.
fn item(line: &str) -> Option<&str> {
    let digits = line.len() - line.trim_start_matches(|character: char| character.is_ascii_digit()).len();
    let text = match line.strip_prefix(['-', '*', '+']) {
        Some(rest) => rest,
        None if (1..=3).contains(&digits) => line[digits..].strip_prefix(['.', ')'])?,
        None => return None,
    };
    text.strip_prefix([' ', '\t']).map(str::trim)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_items_under_a_heading_about_agents_are_rules() {
        let text = "# Project\n\n- not this\n\n## Subagents:\n\nUse them.\n\n- Reviews go to `reviewer`,\n  always.\n* Searches go to `explorer`.\n\
            1. CSS goes to `stylist`.\n\n```\n- nor this\n```\n\n## Tests\n\n- nor that\n";
        assert_eq!(
            rules(text),
            ["Reviews go to `reviewer`, always.", "Searches go to `explorer`.", "CSS goes to `stylist`."]
        );
    }

    #[test]
    fn a_text_without_such_a_heading_has_none() {
        assert_eq!(rules("- a\n# Agents and people\n- b\n"), Vec::<String>::new());
    }

    proptest! {
        #[test]
        fn whatever_a_file_says_rules_keep_to_their_number_and_length(lines in prop::collection::vec("[-*1. a-z#\u{e4}]{0,40}", 0..120)) {
            let found = rules(&format!("# Routing\n{}", lines.join("\n")));
            prop_assert!(found.len() <= MOST);
            prop_assert!(found.iter().all(|rule| (1..=LONGEST).contains(&rule.chars().count()) && !rule.contains('\n')));
        }
    }
}
