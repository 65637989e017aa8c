use super::*;
use proptest::prelude::*;

const FILE: &str = "fn main() {\n    let x = 1;\n    print(x);\n}\n";

fn replace_one(text: &str, old: &str, new: &str) -> Result<Edited, EditError> {
    let (old, new) = (old.to_owned(), new.to_owned());
    apply(text, &Change::Replace { old, new, occurrences: Occurrences::One })
}

fn insert_after(text: &str, after_line: u64, added: &str) -> Result<Edited, EditError> {
    apply(text, &Change::Insert { after_line, text: added.to_owned() })
}

#[test]
fn a_replacement_shows_the_lines_around_it_as_they_are_now() {
    assert_eq!(
        replace_one(FILE, "let x = 1;", "let x = 2;\n    let y = 3;").unwrap(),
        Edited {
            text: "fn main() {\n    let x = 2;\n    let y = 3;\n    print(x);\n}\n".to_owned(),
            summary: "Replaced 1 occurrence at line 2.".to_owned(),
            excerpt:
                "     1\tfn main() {\n     2\t    let x = 2;\n     3\t    let y = 3;\n     4\t    print(x);\n\
                      \u{20}    5\t}\n"
                    .to_owned(),
        }
    );
}

#[test]
fn several_occurrences_are_refused_with_their_lines_unless_all_are_meant() {
    let text = "a\nb\na\n";
    assert_eq!(
        replace_one(text, "a", "c").unwrap_err().to_string(),
        "\"old\" is in the file 2 times, at the lines 1, 3. Add lines around it so that it is there once, or set \
         \"all\"."
    );
    let all = Change::Replace { old: "a".to_owned(), new: "c".to_owned(), occurrences: Occurrences::All };
    let edited = apply(text, &all).unwrap();
    assert_eq!(
        (edited.text.as_str(), edited.summary.as_str()),
        ("c\nb\nc\n", "Replaced 2 occurrences, the first at line 1.")
    );
}

#[test]
fn a_text_that_is_not_there_names_the_closest_line() {
    assert_eq!(
        replace_one(FILE, "let x = 10;", "").unwrap_err().to_string(),
        "\"old\" is not in the file. The closest line is 2: `    let x = 1;`. Copy it exactly as it is there."
    );
    assert_eq!(
        replace_one(FILE, "\tlet x = 1;", "").unwrap_err().to_string(),
        "\"old\" is not in the file. The closest line is 2: `    let x = 1;`. It begins the same, so compare the white \
         space and the lines that follow."
    );
    assert_eq!(replace_one(FILE, "SELECT * FROM t", "").unwrap_err(), EditError::NotFound { closest: None });
}

#[test]
fn a_change_of_nothing_is_refused() {
    assert_eq!(replace_one(FILE, "", "x").unwrap_err(), EditError::NothingToFind);
    assert_eq!(replace_one(FILE, "x = 1", "x = 1").unwrap_err(), EditError::NothingChanges);
    assert_eq!(insert_after(FILE, 1, "").unwrap_err(), EditError::NothingChanges);
}

#[test]
fn line_ends_of_the_file_are_kept() {
    let text = "one\r\ntwo\r\nthree\r\n";
    assert_eq!(replace_one(text, "one\ntwo", "1\n2").unwrap().text, "1\r\n2\r\nthree\r\n");
    assert_eq!(replace_one(text, "two", "2\n2").unwrap().text, "one\r\n2\r\n2\r\nthree\r\n");
    assert_eq!(insert_after(text, 1, "x\ny").unwrap().text, "one\r\nx\r\ny\r\ntwo\r\nthree\r\n");
    assert_eq!(replace_one("a\nb\n", "a\r\nb", "c\r\nd").unwrap().text, "c\nd\n");
}

#[test]
fn lines_are_inserted_at_the_beginning_between_and_at_the_end() {
    assert_eq!(insert_after("a\nb", 0, "x").unwrap().text, "x\na\nb");
    assert_eq!(insert_after("a\nb", 1, "x\n").unwrap().text, "a\nx\nb");
    assert_eq!(insert_after("a\nb", 2, "x").unwrap().text, "a\nb\nx\n");
    assert_eq!(insert_after("", 0, "x").unwrap().text, "x\n");
    assert_eq!(insert_after("a\n", 2, "x").unwrap_err(), EditError::NoSuchLine { line: 2, total: 1 });
}

#[test]
fn a_view_is_numbered_and_says_what_it_leaves_out() {
    let range = |from, to| LineRange { from: Some(from), to: Some(to) };
    assert_eq!(
        view(FILE, range(2, 3)).unwrap(),
        "     2\t    let x = 1;\n     3\t    print(x);\n(lines 2 to 3 of 4)\n"
    );
    assert_eq!(view("", LineRange::default()).unwrap(), "(the file is empty)");
    let long: String = (1..=1_200).map(|line| format!("{line}\n")).collect();
    assert!(view(&long, LineRange::default()).unwrap().ends_with(
        "   500\t500\n(lines 501 to 1200 of 1200 are not shown; ask for them by from_line and to_line)\n"
    ));
}

#[test]
fn a_view_outside_the_file_is_refused() {
    let range = |from, to| LineRange { from: Some(from), to };
    assert_eq!(
        view(FILE, range(9, None)).unwrap_err().to_string(),
        "There is no line 9: the file has 4 lines."
    );
    assert_eq!(view(FILE, range(3, Some(2))).unwrap_err(), EditError::BackwardRange { from: 3, to: 2 });
}

#[test]
fn a_long_line_is_cut_and_control_characters_are_not_shown() {
    let shown = view(&format!("\u{1b}[31m{}\n", "x".repeat(700)), LineRange::default()).unwrap();
    assert_eq!(shown, format!("     1\t{}… (200 more characters)\n", "x".repeat(500)));
}

proptest! {
    #[test]
    fn a_replacement_is_undone_by_the_opposite_one(before in "[a-c\n]{0,20}", after in "[a-c\n]{0,20}") {
        let text = format!("{before}OLD{after}");
        let edited = replace_one(&text, "OLD", "NEW").unwrap();
        prop_assert_eq!(replace_one(&edited.text, "NEW", "OLD").unwrap().text, text);
    }

    #[test]
    fn an_insertion_keeps_every_line_that_was_there(text in "([a-c]{1,3}\n){0,8}", after in 0_u64..8) {
        if let Ok(edited) = insert_after(&text, after, "NEW") {
            prop_assert_eq!(edited.text.replacen("NEW\n", "", 1), text);
        }
    }

    #[test]
    fn no_text_and_no_change_break_it(text in "(.|\n|\r){0,60}", old in "(.|\n|\r){0,4}", line in 0_u64..9) {
        let _ = replace_one(&text, &old, "ä\n");
        let _ = insert_after(&text, line, "ä");
        let _ = view(&text, LineRange { from: Some(line), to: None });
    }
}
