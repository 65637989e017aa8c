//! Variables in `.mcp.json`: `${NAME}` and `${NAME:-otherwise}`, as Claude Code documents them.

use std::collections::BTreeMap;

/// A text names a variable that has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the variable {name} is not set in the sandbox, and no other value is given as ${{{name}:-…}}")]
pub struct NotSet {
    /// The variable.
    pub name: String,
}

/// Characters of a variable's name that are told.
const LONGEST_NAME: usize = 80;

/// A text cannot be used with the values of its variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unexpanded {
    /// A variable has none.
    NotSet(NotSet),
    /// It becomes longer than there is room.
    TooLong,
}

/// Puts in the values of the variables that a text names. One that is not set, or empty, has what is given behind `:-`; what
/// only looks like a variable stays as it is. Values are not looked into again. What it comes to is taken off `room`, and
/// nothing is made that has none.
pub(crate) fn expand(
    text: &str,
    environment: &BTreeMap<String, String>,
    room: &mut usize,
) -> Result<String, Unexpanded> {
    let mut expanded = String::new();
    let mut push = |expanded: &mut String, piece: &str| {
        *room = room.checked_sub(piece.len()).ok_or(Unexpanded::TooLong)?;
        expanded.push_str(piece);
        Ok(())
    };
    let mut rest = text;
    while let Some(begin) = rest.find("${") {
        let (before, named) = rest.split_at(begin);
        push(&mut expanded, before)?;
        let Some((variable, after)) = named.get(2..).and_then(|named| named.split_once('}')) else {
            rest = named;
            break;
        };
        let (name, otherwise) = match variable.split_once(":-") {
            Some((name, otherwise)) => (name, Some(otherwise)),
            None => (variable, None),
        };
        if !is_name(name) {
            push(&mut expanded, "${")?;
            rest = named.get(2..).unwrap_or_default();
            continue;
        }
        let value = environment.get(name).map(String::as_str);
        match (value, otherwise) {
            (Some(""), Some(otherwise)) | (None, Some(otherwise)) => push(&mut expanded, otherwise)?,
            (Some(value), _) => push(&mut expanded, value)?,
            (None, None) => {
                let name = name.chars().take(LONGEST_NAME).collect();
                return Err(Unexpanded::NotSet(NotSet { name }));
            }
        }
        rest = after;
    }
    push(&mut expanded, rest)?;
    Ok(expanded)
}

/// The variables that a text names, as [`expand`] sees them.
pub(crate) fn variables(text: &str) -> impl Iterator<Item = &str> {
    let named = text.match_indices("${").filter_map(|(begin, mark)| text.get(begin + mark.len()..));
    let names = named.filter_map(|named| named.split_once('}')).map(|(variable, _)| variable);
    let names = names.map(|variable| variable.split_once(":-").map_or(variable, |(name, _)| name));
    names.filter(|name| is_name(name))
}

/// Whether a text may name a variable (environ(7) and what shells take).
pub(crate) fn is_name(text: &str) -> bool {
    let fits = |character: char| character.is_ascii_alphanumeric() || character == '_';
    text.starts_with(|first: char| !first.is_ascii_digit()) && text.chars().all(fits)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn environment() -> BTreeMap<String, String> {
        [("HOME", "/home/agent"), ("EMPTY", ""), ("ODD", "${HOME}")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    }

    fn expanded(text: &str) -> Result<String, NotSet> {
        expand(text, &environment(), &mut 10_000).map_err(|error| match error {
            Unexpanded::NotSet(error) => error,
            Unexpanded::TooLong => panic!("{text} is too long"),
        })
    }

    #[test]
    fn nothing_is_made_that_has_no_room_however_often_a_long_value_is_named() {
        let environment = BTreeMap::from([("A".to_owned(), "x".repeat(100_000))]);
        let mut room = 150_000;
        assert_eq!(expand("${A}", &environment, &mut room).map(|text| text.len()), Ok(100_000));
        assert_eq!(room, 50_000);
        assert_eq!(expand(&"${A}".repeat(30_000), &environment, &mut room), Err(Unexpanded::TooLong));
    }

    #[test]
    fn a_name_without_an_end_is_told_cut() {
        let error = expanded(&format!("${{{}}}", "A".repeat(5_000))).unwrap_err();
        assert_eq!(error.name.len(), LONGEST_NAME);
    }

    #[test]
    fn a_variable_has_the_sandboxs_value_or_the_one_that_is_given() {
        for (text, expected) in [
            ("${HOME}/x", "/home/agent/x"),
            ("${HOME:-/y}", "/home/agent"),
            ("${NONE:-/y}", "/y"),
            ("${NONE:-}", ""),
            ("${EMPTY:-y}", "y"),
            ("a${EMPTY}b", "ab"),
            ("${HOME}${HOME}", "/home/agent/home/agent"),
        ] {
            assert_eq!(expanded(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_variable_without_any_value_is_named() {
        let error = expanded("--key ${API_KEY}").unwrap_err();
        assert_eq!(
            error.to_string(),
            "the variable API_KEY is not set in the sandbox, and no other value is given as ${API_KEY:-…}"
        );
    }

    #[test]
    fn what_only_looks_like_a_variable_stays_and_values_are_not_looked_into() {
        for text in ["$HOME", "${", "${HOME", "${}", "${1A}", "${a b}", "$${", "{HOME}"] {
            assert_eq!(expanded(text).as_deref(), Ok(text), "{text}");
        }
        assert_eq!(expanded("${ODD}").as_deref(), Ok("${HOME}"));
        assert_eq!(expanded("${x ${HOME}").as_deref(), Ok("${x /home/agent"));
    }

    #[test]
    fn the_variables_of_a_text_are_told() {
        let told = |text| variables(text).collect::<Vec<_>>();
        assert_eq!(told("a ${B} ${C:-${D}} ${1} ${e f}${G"), ["B", "C", "D"]);
        assert_eq!(told("$A {B}"), Vec::<&str>::new());
    }

    proptest! {
        #[test]
        fn every_variable_whose_value_is_put_in_is_told(text in "[${}:A-C -]{0,40}") {
            let value = "\u{1}";
            let environment: BTreeMap<String, String> = variables(&text).map(|name| (name.to_owned(), String::new())).collect();
            let others = ["A", "B", "C", "AA", "AB", "BC"].into_iter().filter(|name| !environment.contains_key(*name));
            let others = others.map(|name| (name.to_owned(), value.to_owned())).collect();
            if let Ok(expanded) = expand(&text, &others, &mut 10_000) {
                prop_assert!(!expanded.contains(value), "{:?}", expanded);
            }
        }

        #[test]
        fn a_text_without_variables_is_not_changed(text in "[^$]{0,60}") {
            let same = expanded(&text);
            prop_assert_eq!(same.as_deref(), Ok(text.as_str()));
        }

        #[test]
        fn no_text_is_too_odd_to_be_read(text in "[${}:A-C -]{0,40}") {
            let _either = expanded(&text);
        }

        #[test]
        fn every_variable_of_a_text_is_put_in(parts in prop::collection::vec("[a-z/]{0,6}", 1..6)) {
            let text = parts.join("${HOME}");
            prop_assert_eq!(expanded(&text), Ok(parts.join("/home/agent")));
        }
    }
}
