//! Which of the words that were read may be secrets. Reading makes mistakes (`5` for `S`, a blank in the middle), so
//! what only resembles a secret is covered too: a word too much is covered rather than one too few.

use std::collections::HashSet;

use nightshift_forge::secrets::Redactor;

use super::{Area, ReadWord};

/// A piece of text this long, of letters and digits in no order, is taken for a secret.
const SUSPICIOUS: usize = 20;

/// Length of the pieces by which a misread word is compared with a known secret.
const GRAM: usize = 3;

/// Returns the areas that have to be covered.
pub fn secret_areas(words: &[ReadWord], redactor: &Redactor) -> Vec<Area> {
    let grams: Vec<HashSet<String>> =
        redactor.known().iter().map(|secret| grams_of(&normal(secret.expose()))).collect();
    let mut covered: Vec<bool> = words
        .iter()
        .map(|word| is_suspicious(&word.text) || grams.iter().any(|grams| resembles(&word.text, grams)))
        .collect();
    for line in lines(words) {
        let mut text = String::new();
        let mut ranges = Vec::new();
        for &index in &line {
            let start = text.len();
            text.push_str(&words[index].text);
            ranges.push((index, start..text.len()));
            text.push(' ');
        }
        for found in redactor.find(&text) {
            for (index, range) in &ranges {
                covered[*index] |= range.start < found.range.end && found.range.start < range.end;
            }
        }
        spread(words, &line, &mut covered);
    }
    let mut areas: Vec<Area> =
        words.iter().zip(&covered).filter(|(_, covered)| **covered).map(|(word, _)| word.area).collect();
    // Between two covered words of a line there may be a letter that was not read at all.
    for line in lines(words) {
        for pair in line.windows(2).filter(|pair| covered[pair[0]] && covered[pair[1]]) {
            let (left, right) = (words[pair[0]].area, words[pair[1]].area);
            let end = (right.x + right.width).max(left.x + left.width);
            let bottom = (left.y + left.height).max(right.y + right.height);
            let y = left.y.min(right.y);
            areas.push(Area { x: left.x, y, width: end - left.x, height: bottom - y });
        }
    }
    areas
}

/// What stands right beside a covered word and looks like a part of the same is covered too.
fn spread(words: &[ReadWord], line: &[usize], covered: &mut [bool]) {
    for _ in 0..line.len().min(4) {
        for pair in line.windows(2) {
            let (left, right) = (&words[pair[0]], &words[pair[1]]);
            let gap = right.area.x.saturating_sub(left.area.x + left.area.width);
            let close = gap <= left.area.height.max(right.area.height);
            if close && covered[pair[0]] != covered[pair[1]] {
                let other = if covered[pair[0]] { pair[1] } else { pair[0] };
                covered[other] = may_be_a_part(&words[other].text);
            }
        }
    }
}

/// Whether it may be a piece of a token beside the rest of it: it is no plain word.
fn may_be_a_part(word: &str) -> bool {
    let odd = |character: char| character.is_ascii_digit() || "-_+/=".contains(character);
    word.chars().any(odd) || word.chars().skip(1).any(char::is_uppercase)
}

/// The words' places by line, from left to right.
fn lines(words: &[ReadWord]) -> Vec<Vec<usize>> {
    let mut lines: Vec<Vec<usize>> = Vec::new();
    for (index, word) in words.iter().enumerate() {
        match lines.iter_mut().find(|line| words[line[0]].line == word.line) {
            Some(line) => line.push(index),
            None => lines.push(vec![index]),
        }
    }
    lines.iter_mut().for_each(|line| line.sort_by_key(|&index| words[index].area.x));
    lines
}

/// Whether a part of a word is long and mixed, as tokens are. Names of commits and artifacts, which are of hexadecimal
/// digits only, are none.
fn is_suspicious(word: &str) -> bool {
    let parts = word.split(|character: char| "=:/@\"'?&,;()<>\\".contains(character));
    parts.into_iter().any(|part| {
        let hexadecimal =
            part.chars().all(|character| character.is_ascii_digit() || ('a'..='f').contains(&character));
        part.chars().count() >= SUSPICIOUS
            && is_mixed(part)
            && !hexadecimal
            && part.chars().any(char::is_uppercase)
    }) || ["ghp_", "gho_", "ghs_", "github_pat_", "sk-ant-", "xoxb-", "glpat-", "npm_", "AKIA"]
        .iter()
        .any(|start| word.contains(start))
}

fn is_mixed(word: &str) -> bool {
    word.chars().any(|character| character.is_ascii_digit()) && word.chars().any(char::is_alphabetic)
}

/// Whether most of a word consists of pieces of a secret.
fn resembles(word: &str, secret: &HashSet<String>) -> bool {
    let word = normal(word);
    let grams = grams_of(&word);
    let same = grams.iter().filter(|gram| secret.contains(*gram)).count();
    // The secret may be a small part of a long word, or the word a part of the secret.
    let least = grams.len().min(secret.len());
    least >= 4 && same * 2 >= least
}

fn grams_of(text: &str) -> HashSet<String> {
    let characters: Vec<char> = text.chars().collect();
    characters.windows(GRAM).map(|window| window.iter().collect()).collect()
}

/// A text in which characters that reading mistakes for one another are the same.
fn normal(text: &str) -> String {
    let same = |character: char| match character.to_ascii_lowercase() {
        '0' | 'o' | 'q' | 'd' => Some('o'),
        '1' | 'l' | 'i' | '|' | ']' | '[' | '}' | '{' | '!' | 'j' | 't' => Some('i'),
        '5' | 's' | '$' => Some('s'),
        '8' | 'b' | '6' => Some('b'),
        '2' | 'z' => Some('z'),
        '9' | 'g' => Some('g'),
        'v' | 'w' | 'y' => Some('v'),
        other if other.is_alphanumeric() => Some(other),
        _ => None,
    };
    text.chars().filter_map(same).collect()
}

#[cfg(test)]
mod tests {
    use nightshift_forge::secrets::Secret;

    use super::*;

    fn word(text: &str, x: u32, line: u64) -> ReadWord {
        let width = u32::try_from(text.len()).unwrap() * 8;
        ReadWord { text: text.to_owned(), area: Area { x, y: 0, width, height: 12 }, line }
    }

    fn covered(words: &[ReadWord], known: &str) -> Vec<u32> {
        let redactor = Redactor::new([("T".to_owned(), Secret::new(known))]);
        secret_areas(words, &redactor).iter().map(|area| area.x).collect()
    }

    const TOKEN: &str = "hunter-aB3dE5gH7jK9mN1pQ3sT5v";

    #[test]
    fn a_known_secret_is_covered_although_it_was_misread() {
        let words = [word("cat", 0, 1), word("X=hunter-aB3dESgH7jKOmNIpQ3sTSv", 40, 1), word("done", 400, 1)];
        assert_eq!(covered(&words, TOKEN), [40]);
    }

    #[test]
    fn the_parts_of_a_secret_that_was_read_as_two_words_or_wrapped_are_covered() {
        let words =
            [word("hunter-aB3dES", 0, 1), word("gH7jK9mNlpQ3", 104, 1), word("sT5v", 0, 2), word("ls", 0, 3)];
        // Four characters at the beginning of the next line are too few to be told from a word.
        assert_eq!(covered(&words, TOKEN), [0, 104, 0]);
    }

    #[test]
    fn a_token_nobody_knew_is_covered_by_its_looks() {
        let words = [
            word("GITHUB_TOKEN=ghp_aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC2dF4gH6", 0, 1),
            word("hp_aB3dESgH7", 0, 2),
            word("jKOMN1pQ3sTSvW7yZ9bC2dF4gHS", 98, 2),
        ];
        assert_eq!(covered(&words, "something-else-altogether"), [0, 0, 98, 0]);
    }

    #[test]
    fn ordinary_words_of_a_screen_stay() {
        let words = [
            "3f786850e387550fdab836ed7e6dc881de23001b",
            "getElementsByClassName",
            "http://127.0.0.1:5173/index.html",
            "node_modules/.bin/vite",
            "2026-01-05T09:00:00Z",
            "TestThatTheTokenIsKept",
            "hunt",
        ];
        let words: Vec<ReadWord> = (0..).zip(words).map(|(line, text)| word(text, 0, line)).collect();
        assert_eq!(covered(&words, TOKEN), Vec::<u32>::new());
    }
}
