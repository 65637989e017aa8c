//! The text of a pull request, made from recorded facts.
//!
//! Words of the model and of the repository are data: whatever they contain, they become no heading, picture, link
//! or HTML of this text, and cannot pass for something Nightshift says.

mod redaction;
mod self_review;

use std::fmt::Write;

use nightshift_protocol::{
    ArtifactId, Evidence, EvidenceSource, Image, PreReviewFinding, PreReviewKind, RunId, SelfReview, Usage,
};
use serde::{Deserialize, Serialize};

use self::redaction::Clean;
use crate::FileChange;
use crate::secrets::Redactor;

/// How many of the largest changed files a reader is pointed to.
const FIRST_FILES: usize = 5;

/// How many commands are listed; the run has all of them.
const LISTED_COMMANDS: usize = 30;

/// How many last lines of a command's output are shown.
const OUTPUT_LINES: usize = 15;

/// Longest piece of somebody else's text in one place, in characters.
const LONGEST: usize = 4_000;

/// An `@` that no name follows: GitHub looks for names after Markdown is made, where a backslash or `&#64;` has become the
/// sign again, and a space without width is still there.
const UNCALLED: &str = "@&#8203;";

/// What is known of a run when its pull request is written.
#[derive(Debug, Clone)]
pub struct BodyFacts<'a> {
    /// What was done and why, in the agent's words. The first three sentences lead, the rest follows at the end.
    pub summary: &'a str,
    /// How the person sees that it is done; evidence names them by their numbers, from 1.
    pub criteria: &'a [String],
    /// What backs it.
    pub evidence: &'a [Evidence],
    /// What critics found of it before it was delivered, the oldest first.
    pub self_reviews: &'a [SelfReview],
    /// The commands that were run, in order.
    pub commands: &'a [CommandFact],
    /// What changed.
    pub changed_files: &'a [FileChange],
    /// What rules found in the diff.
    pub findings: &'a [PreReviewFinding],
    /// The recording of the screen as a moving picture, if there is one.
    pub recording: Option<&'a ArtifactId>,
    /// The recording as a video, if there is one.
    pub video: Option<&'a ArtifactId>,
    /// What the pull request settles, for example `Closes #12`; possibly empty. It is ours and written as it is.
    pub settles: &'a str,
    /// What could not be verified, in the agent's words; possibly empty.
    pub not_verified: &'a str,
    /// The run.
    pub run: &'a RunId,
    /// The model.
    pub model: &'a str,
    /// Model calls.
    pub turns: u32,
    /// Tokens and money.
    pub usage: Usage,
    /// Wall time in seconds.
    pub seconds: u64,
    /// What keeps secrets out of it. It looks at the words as they are: what is escaped looks no more like the secret.
    pub redactor: &'a Redactor,
}

/// A command that was run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandFact {
    /// The command line.
    pub command: String,
    /// Its exit status; `None` when it was ended by a signal or the time limit.
    pub exit_code: Option<i32>,
}

/// Writes the body of a pull request as Markdown. Pictures are named `artifact:ID`, for the viewer to resolve.
pub fn compose_body(facts: &BodyFacts<'_>) -> String {
    let clean = Clean::of(facts);
    let facts = &clean.facts(facts);
    let (lead, rest) = lead(facts.summary);
    let lead = if lead.is_empty() { "The agent wrote no summary.".to_owned() } else { text(lead) };
    let mut sections = vec![lead];
    if !facts.settles.is_empty() {
        sections.push(facts.settles.to_owned());
    }
    if !facts.criteria.is_empty() {
        sections.push(criteria(facts.criteria, facts.evidence));
    }
    if let Some((last, earlier)) = facts.self_reviews.split_last() {
        sections.push(self_review::section(facts.criteria, last, earlier));
    }
    let evidence = evidence(facts.evidence, facts.recording, facts.video);
    sections.extend([evidence, look_first(facts.changed_files)]);
    if !facts.findings.is_empty() {
        sections.push(findings(facts.findings));
    }
    if !facts.commands.is_empty() {
        sections.push(commands(facts.commands));
    }
    sections.push(format!("## Not verified\n\n{}", paragraphs_or(facts.not_verified, "Nothing was named.")));
    if !rest.is_empty() {
        sections.push(format!("## Details\n\n{}", paragraphs_or(rest, "")));
    }
    sections.push(cost(facts));
    sections.join("\n\n") + "\n"
}

/// Writes an answer of the agent to somebody's comment, for a site: each line is a paragraph of words and code. Whatever
/// they contain, they call nobody and no program that reads comments, such as `@bot merge` or `/approve` does.
pub fn compose_answer(words: &str) -> String {
    let lines = cut(words);
    let lines: Vec<String> = lines.lines().map(text).filter(|line| !line.is_empty()).collect();
    if lines.is_empty() { "There are no words for it.".to_owned() } else { lines.join("\n\n") }
}

/// Makes a title for a site: one line that calls nobody. It is no Markdown, so the space without width stands in it as it is.
pub fn compose_title(words: &str) -> String {
    let line = one_line(words);
    let mut title = String::with_capacity(line.len());
    for (at, character) in line.char_indices() {
        title.push(character);
        if character == '@' && names(&line[at + 1..]) {
            title.push('\u{200b}');
        }
    }
    title
}

/// Whether words that follow an `@` begin as an account's name does.
fn names(words: &str) -> bool {
    words.starts_with(|first: char| first.is_ascii_alphanumeric())
}

/// Each acceptance criterion with the numbers of what shows it.
fn criteria(criteria: &[String], evidence: &[Evidence]) -> String {
    let mut section = "## Acceptance criteria\n".to_owned();
    for (number, criterion) in (1..).zip(criteria) {
        let about = (1..).zip(evidence).filter(|(_, one)| one.criterion == Some(number));
        let shown: Vec<String> = about.map(|(place, _)| format!("{place}")).collect();
        let shown = match shown.as_slice() {
            [] => "**no evidence**".to_owned(),
            [one] => format!("evidence {one}"),
            several => format!("evidence {}", several.join(", ")),
        };
        let _ = write!(section, "\n{number}. {} ({shown})", text(criterion));
    }
    section
}

/// The words of one finding.
fn findings(findings: &[PreReviewFinding]) -> String {
    let mut section = "## Checked before delivery\n".to_owned();
    for finding in findings {
        let name = match finding.kind {
            PreReviewKind::ForbiddenPath => "Forbidden paths",
            PreReviewKind::Sensitive => "Sensitive",
            PreReviewKind::Licence => "Licence",
            PreReviewKind::TestsDeleted => "Tests deleted",
            PreReviewKind::TestsChanged => "Tests changed",
            PreReviewKind::LargeBinary => "Large binaries",
            PreReviewKind::Size => "Size",
            PreReviewKind::Generated => "Generated files",
            PreReviewKind::NoTests => "No tests",
            PreReviewKind::Lint => "Lint",
            PreReviewKind::LintFailed => "Lint failed",
            PreReviewKind::PossibleSecret => "Possible secrets",
        };
        let _ = write!(section, "\n- **{name}**: {}", text(&finding.words));
        for path in &finding.paths {
            let _ = write!(section, " {}", code(path));
        }
    }
    section
}

/// A picture before and one after, side by side: two pieces of evidence in a row, labelled so.
fn before_and_after(evidence: &[Evidence]) -> Option<[(&str, &Evidence, &Image); 2]> {
    let shot = |one: &'_ Evidence, word: &str| match &one.source {
        EvidenceSource::Screenshot { label, .. } => label.to_ascii_lowercase().starts_with(word),
        EvidenceSource::Command { .. } => false,
    };
    let [first, second, ..] = evidence else { return None };
    if !(shot(first, "before") && shot(second, "after")) {
        return None;
    }
    match (&first.source, &second.source) {
        (
            EvidenceSource::Screenshot { label: before, image: one, .. },
            EvidenceSource::Screenshot { label: after, image: other, .. },
        ) => Some([(before, first, one), (after, second, other)]),
        _ => None,
    }
}

fn side_by_side(section: &mut String, number: usize, pair: [(&str, &Evidence, &Image); 2]) {
    let [(_, first, _), (_, second, _)] = pair;
    let claim = |number: usize, one: &Evidence| format!("**{number}.** {}", text(&one.claim));
    let _ = write!(section, "\n\n{}", claim(number, first));
    if second.claim != first.claim {
        let _ = write!(section, "\n\n{}", claim(number + 1, second));
    }
    let cells = pair.map(|(label, one, image)| {
        // Within a table a bar would end the cell, so it is escaped.
        let picture =
            format!("![{}](artifact:{})", plain(&format!("{label}: {}", one.claim)), image.artifact);
        (plain(label), picture)
    });
    let [(before, one), (after, other)] = cells;
    let _ = write!(section, "\n\n| {before} | {after} |\n|---|---|\n| {one} | {other} |");
}

fn evidence(evidence: &[Evidence], recording: Option<&ArtifactId>, video: Option<&ArtifactId>) -> String {
    if evidence.is_empty() {
        return "## Evidence\n\nNone was noted.".to_owned();
    }
    let mut section = "## Evidence".to_owned();
    let mut skip = false;
    for (number, one) in (1..).zip(evidence) {
        if std::mem::take(&mut skip) {
            continue;
        }
        let Evidence { claim, source, .. } = one;
        if let Some(pair) = before_and_after(&evidence[number - 1..]) {
            side_by_side(&mut section, number, pair);
            skip = true;
            continue;
        }
        let _ = write!(section, "\n\n**{number}.** {}\n\n", text(claim));
        match source {
            EvidenceSource::Screenshot { step, label, image } => {
                let _ = write!(
                    section,
                    "![{}](artifact:{})",
                    plain(&format!("{label}: {claim}")),
                    image.artifact
                );
                let _ = write!(
                    section,
                    "\n\n{}, step {step}, {} × {} pixels",
                    text(label),
                    image.width,
                    image.height
                );
            }
            EvidenceSource::Command { step, command, exit_code, output_tail } => {
                let _ = write!(section, "{}: {}, step {step}", code(command), outcome(*exit_code));
                if !output_tail.trim().is_empty() {
                    let _ = write!(section, "\n\n{}", block(output_tail));
                }
            }
        }
    }
    if let Some(recording) = recording {
        let _ = write!(section, "\n\n![What the screen showed, step by step](artifact:{recording})");
    }
    if let Some(video) = video {
        // A link at the beginning of its line, and nothing else in it.
        let words =
            if recording.is_some() { "The same as a video (MP4)" } else { "What the screen showed (MP4)" };
        let _ = write!(section, "\n\n[{words}](artifact:{video})");
    }
    section
}

fn look_first(changed: &[FileChange]) -> String {
    if changed.is_empty() {
        return "## Where to look first\n\nNo file differs.".to_owned();
    }
    let mut largest: Vec<&FileChange> = changed.iter().collect();
    largest.sort_by(|one, other| other.size().cmp(&one.size()).then_with(|| one.path.cmp(&other.path)));
    let mut section = "## Where to look first\n".to_owned();
    for change in largest.iter().take(FIRST_FILES) {
        let lines = change
            .lines
            .map_or("binary".to_owned(), |lines| format!("{} added, {} removed", lines.added, lines.removed));
        let _ = write!(section, "\n- {}: {lines}", code(&change.path));
    }
    if changed.len() > FIRST_FILES {
        let more = changed.len() - FIRST_FILES;
        let _ = write!(section, "\n- and {more} more file{}", if more == 1 { "" } else { "s" });
    }
    section
}

fn commands(commands: &[CommandFact]) -> String {
    let left_out = commands.len().saturating_sub(LISTED_COMMANDS);
    let mut section = "## Commands run\n".to_owned();
    if left_out > 0 {
        let _ = write!(section, "\n- {left_out} earlier ones");
    }
    for CommandFact { command, exit_code } in commands.iter().skip(left_out) {
        let _ = write!(section, "\n- {}: {}", code(command), outcome(*exit_code));
    }
    section
}

fn cost(facts: &BodyFacts<'_>) -> String {
    let Usage {
        input_tokens, cache_read_tokens, cache_write_tokens, output_tokens, cost_microdollars, ..
    } = facts.usage;
    let read = input_tokens.saturating_add(cache_read_tokens).saturating_add(cache_write_tokens);
    let money = match cost_microdollars {
        0 => "of unknown price".to_owned(),
        // Rounded up to whole cents.
        some => format!("{}.{:02} US dollars", some.div_ceil(10_000) / 100, some.div_ceil(10_000) % 100),
    };
    let (minutes, seconds) = (facts.seconds / 60, facts.seconds % 60);
    format!(
        "## Cost and time\n\n{money}, {minutes} min {seconds} s, {} model calls to {}, {read} tokens read and \
         {output_tokens} written ({}).",
        facts.turns,
        code(facts.model),
        facts.run
    )
}

fn outcome(exit_code: Option<i32>) -> String {
    exit_code.map_or("**did not end by itself**".to_owned(), |code| {
        if code == 0 { "exit code 0".to_owned() } else { format!("**exit code {code}**") }
    })
}

/// The first three sentences of the first paragraph, and what follows.
fn lead(summary: &str) -> (&str, &str) {
    let summary = summary.trim();
    let end = summary.find("\n\n").unwrap_or(summary.len());
    let stops = summary[..end].char_indices().zip(summary[..end].chars().skip(1).chain([' ']));
    let ends = stops.filter(|((_, character), next)| ".!?".contains(*character) && next.is_whitespace());
    let end = ends.map(|((index, _), _)| index + 1).nth(2).unwrap_or(end);
    (&summary[..end], summary[end..].trim())
}

fn paragraphs_or(words: &str, nothing: &str) -> String {
    let lines: Vec<String> = cut(words).lines().map(text).filter(|line| !line.is_empty()).collect();
    if lines.is_empty() { nothing.to_owned() } else { lines.join("\n\n") }
}

fn cut(words: &str) -> String {
    let mut cut: String = words.chars().take(LONGEST).collect();
    if cut.len() < words.len() {
        cut.push('…');
    }
    cut
}

/// Whether a character does nothing but deceive: it moves the cursor, hides, or turns the direction of writing.
fn deceives(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Words as one line of text. What stands between backticks is code; every other character that Markdown could take for
/// something is escaped.
fn text(words: &str) -> String {
    let line = one_line(words);
    let (mut escaped, mut from) = (String::new(), 0);
    while let Some((at, end)) = code_span(&line, from) {
        let ticks = line[at..].len() - line[at..].trim_start_matches('`').len();
        escape(&line, from..at, &mut escaped);
        escaped.push_str(&code(&line[at + ticks..end - ticks]));
        from = end;
    }
    escape(&line, from..line.len(), &mut escaped);
    escaped
}

/// Words as one line within a picture's description or a table, where nothing is code.
fn plain(words: &str) -> String {
    let (line, mut escaped) = (one_line(words), String::new());
    escape(&line, 0..line.len(), &mut escaped);
    escaped
}

/// The next words between two runs of equally many backticks, with them ("Code spans", CommonMark 6.1).
fn code_span(line: &str, from: usize) -> Option<(usize, usize)> {
    let mut at = from;
    while let Some(begin) = line[at..].find('`').map(|found| at + found) {
        let ticks = line[begin..].bytes().take_while(|byte| *byte == b'`').count();
        let mut rest = begin + ticks;
        while let Some(end) = line[rest..].find('`').map(|found| rest + found) {
            let closing = line[end..].bytes().take_while(|byte| *byte == b'`').count();
            if closing == ticks {
                let words = line[begin + ticks..end].trim();
                return (!words.is_empty())
                    .then_some((begin, end + closing))
                    .or_else(|| code_span(line, end + closing));
            }
            rest = end + closing;
        }
        at = begin + ticks;
    }
    None
}

fn one_line(words: &str) -> String {
    let one_line: Vec<String> = cut(words)
        .split_whitespace()
        .map(|word| word.chars().filter(|&character| !deceives(character)).collect())
        .collect();
    one_line.join(" ").trim().to_owned()
}

/// Escapes a part of a line; what is special at a line's beginning is so at its beginning only.
fn escape(line: &str, part: std::ops::Range<usize>, escaped: &mut String) {
    for (index, character) in line[part.clone()].char_indices() {
        let index = part.start + index;
        let before = &line[..index];
        let after = line[index..].chars().nth(1);
        if character == '@' {
            escaped.push_str(if names(&line[index + 1..]) { UNCALLED } else { "\\@" });
            continue;
        }
        let special = match character {
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '#' | '!' | '|' | '~' | '&' | '$' => true,
            // Lists, underlines of headings, rules and commands to bots, at the beginning of a line only.
            '-' | '+' | '=' | '/' => before.is_empty(),
            // `1.` and `1)` begin a list, and `www.` is made a link by some.
            '.' | ')' => {
                let www = before.len().checked_sub(3).and_then(|from| before.get(from..));
                before.bytes().all(|digit| digit.is_ascii_digit())
                    || www.is_some_and(|www| www.eq_ignore_ascii_case("www"))
            }
            // `https:` is made a link by some, and `:` begins a definition.
            ':' => before.is_empty() || after.is_some_and(|after| !after.is_whitespace()),
            _ => false,
        };
        if special {
            escaped.push('\\');
        }
        escaped.push(character);
    }
}

/// The longest run of backticks.
fn backticks(words: &str) -> usize {
    words.split(|character| character != '`').map(str::len).max().unwrap_or(0)
}

/// Words as code in a line, whatever backticks they contain.
fn code(words: &str) -> String {
    let words: String = cut(words)
        .chars()
        .map(|character| if character.is_whitespace() { ' ' } else { character })
        .filter(|&character| !deceives(character))
        .collect();
    let words = words.trim();
    if words.is_empty() {
        return "(empty)".to_owned();
    }
    let fence = "`".repeat(backticks(words) + 1);
    // A space keeps the fence apart from backticks of the words; where there is one on both sides it is not shown.
    let space = if words.starts_with('`') || words.ends_with('`') { " " } else { "" };
    format!("{fence}{space}{words}{space}{fence}")
}

/// The last lines of words as a block of code.
fn block(words: &str) -> String {
    let kept = |character: &char| matches!(character, '\n' | '\t') || !deceives(*character);
    let words: String = words.chars().filter(kept).collect();
    let lines: Vec<&str> = words.trim_end().lines().collect();
    let last = cut(&lines[lines.len().saturating_sub(OUTPUT_LINES)..].join("\n"));
    let fence = "`".repeat(backticks(&last).max(2) + 1);
    format!("{fence}text\n{last}\n{fence}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LineCounts;
    use nightshift_protocol::Image;
    use proptest::prelude::*;
    use pulldown_cmark::{Event, Options, Parser, Tag};

    fn screenshot(claim: &str, label: &str) -> Evidence {
        let image = Image {
            artifact: "ab".repeat(32).parse().unwrap(),
            media_type: "image/png".to_owned(),
            width: 1280,
            height: 800,
            bytes: 100_000,
        };
        let source =
            EvidenceSource::Screenshot { step: "4.1".parse().unwrap(), label: label.to_owned(), image };
        Evidence { claim: claim.to_owned(), criterion: None, source }
    }

    fn command(claim: &str, command: &str, output: &str) -> Evidence {
        let source = EvidenceSource::Command {
            step: "6.2".parse().unwrap(),
            command: command.to_owned(),
            exit_code: Some(0),
            output_tail: output.to_owned(),
        };
        Evidence { claim: claim.to_owned(), criterion: None, source }
    }

    fn changed(path: &str, added: u64, removed: u64) -> FileChange {
        FileChange { path: path.to_owned(), lines: Some(LineCounts { added, removed }) }
    }

    fn body(
        summary: &str,
        evidence: &[Evidence],
        commands: &[CommandFact],
        changed_files: &[FileChange],
    ) -> String {
        compose_body(&BodyFacts {
            summary,
            criteria: &[],
            evidence,
            self_reviews: &[],
            commands,
            changed_files,
            findings: &[],
            recording: None,
            video: None,
            settles: "",
            not_verified: summary,
            run: &"run-0123456789".parse().unwrap(),
            model: "claude-sonnet-5-5",
            turns: 23,
            usage: Usage {
                input_tokens: 1_200,
                cache_read_tokens: 340_000,
                cache_write_tokens: 20_000,
                cache_write_hour_tokens: 0,
                output_tokens: 9_100,
                cost_microdollars: 421_001,
            },
            seconds: 754,
            redactor: &Redactor::default(),
        })
    }

    #[test]
    fn each_criterion_stands_with_what_shows_it_or_that_nothing_does() {
        let asked =
            ["A button switches it.", "It survives a reload.", "<b>Print</b> is light"].map(str::to_owned);
        let of = |criterion, one: Evidence| Evidence { criterion: Some(criterion), ..one };
        let noted = [
            of(1, screenshot("Light before", "before")),
            of(1, screenshot("Dark after", "after")),
            command("Tests pass", "npm test", "ok"),
            of(2, screenshot("Dark after a reload", "reload")),
        ];
        insta::assert_snapshot!(criteria(&asked, &noted), @r"
        ## Acceptance criteria

        1. A button switches it. (evidence 1, 2)
        2. It survives a reload. (evidence 4)
        3. \<b\>Print\</b\> is light (**no evidence**)
        ");
    }

    #[test]
    fn a_body_leads_with_the_claim_and_its_evidence() {
        let facts = BodyFacts {
            summary: "Adds a dark mode that follows the system. A switch in the header overrides it. The choice is \
                      kept in local storage. Colours are CSS variables now.\n\nThe chart needed a second palette.",
            criteria: &[],
            evidence: &[
                screenshot("The page is light at first", "before"),
                screenshot("The page is dark after a click on the switch", "after"),
                screenshot("The page is dark after a click on the switch", "after reload"),
                command("All tests pass", "npm test", "\n> trailhead@1.0.0 test\n\n# pass 14\n# fail 0\n"),
            ],
            self_reviews: &[],
            commands: &[
                CommandFact { command: "npm test".to_owned(), exit_code: Some(1) },
                CommandFact { command: "npm start".to_owned(), exit_code: None },
                CommandFact { command: "npm test".to_owned(), exit_code: Some(0) },
            ],
            changed_files: &[
                changed("src/theme.js", 40, 2),
                changed("README.md", 1, 1),
                FileChange { path: "logo.png".to_owned(), lines: None },
            ],
            findings: &[PreReviewFinding {
                kind: PreReviewKind::Sensitive,
                paths: vec!["src/auth.js".to_owned()],
                words: "Read it first.".to_owned(),
            }],
            recording: Some(&"cd".repeat(32).parse().unwrap()),
            video: Some(&"ef".repeat(32).parse().unwrap()),
            settles: "Closes #12",
            not_verified: "Safari was not tried.",
            run: &"run-0123456789".parse().unwrap(),
            model: "claude-sonnet-5-5",
            turns: 23,
            usage: Usage {
                input_tokens: 1_200,
                cache_read_tokens: 340_000,
                cache_write_tokens: 20_000,
                cache_write_hour_tokens: 0,
                output_tokens: 9_100,
                cost_microdollars: 421_001,
            },
            seconds: 754,
            redactor: &Redactor::default(),
        };
        insta::assert_snapshot!(compose_body(&facts));
    }

    #[test]
    fn hostile_words_stay_words() {
        let hostile = "# Approved\n\n<img src=x onerror=alert(1)> ![x](https://evil.example/a.png) [click](javascript:x) `a` \u{202e}txt";
        let evidence =
            [screenshot(hostile, "a]( b"), command(hostile, "echo ```\n# x", "```\n# Approved by Ada\n")];
        let commands = [CommandFact { command: "`` ` ``\n- x".to_owned(), exit_code: Some(0) }];
        insta::assert_snapshot!(body(hostile, &evidence, &commands, &[changed("a`b\n# c", 1, 0)]));
    }

    #[test]
    fn what_the_agent_marks_as_code_is_code_and_a_lone_backtick_is_one() {
        assert_eq!(
            text("Runs `npm test` and ``a`b``, not ` or `` "),
            "Runs `npm test` and ``a`b``, not \\` or \\`\\`"
        );
        assert_eq!(text("`<b>` <b>"), "`<b>` \\<b\\>");
        assert_eq!(plain("`npm test`"), "\\`npm test\\`");
    }

    #[test]
    fn an_answer_calls_nobody_commands_no_bot_and_shows_no_picture() {
        let words = "@dependabot merge\r\n/approve\n\n![x](https://evil.example/a.png) <!-- nightshift -->\nSee `a@b` and - / c.";
        assert_eq!(
            compose_answer(words),
            "@&#8203;dependabot merge\n\n\\/approve\n\n\\!\\[x\\](https\\://evil.example/a.png) \\<\\!-- nightshift --\\>\n\n\
             See `a@b` and - / c."
        );
        assert_eq!(compose_answer(" \n"), "There are no words for it.");
    }

    #[test]
    fn no_words_in_a_body_call_anybody_and_no_title_does() {
        let words = "Thanks @ada, @o/team and a@example.org, at @ 5 `@code` @-x";
        let uncalled = "Thanks @&#8203;ada, @&#8203;o/team and a@&#8203;example.org, at \\@ 5 `@code` \\@-x";
        assert_eq!(text(words), uncalled);
        assert_eq!(plain("@ada"), "@&#8203;ada");
        let asked = ["@ada sees it".to_owned()];
        assert_eq!(
            criteria(&asked, &[]),
            "## Acceptance criteria\n\n1. @&#8203;ada sees it (**no evidence**)"
        );
        assert_eq!(
            compose_title("Bump @types/node\n for @ada @ 5"),
            "Bump @\u{200b}types/node for @\u{200b}ada @ 5"
        );
    }

    proptest! {
        /// An `@` before a name is in code only, where GitHub looks for none.
        #[test]
        fn whoever_is_named_is_not_called(words in "[@a-z`\\\\&#; ]{0,30}") {
            let mut in_text = String::new();
            for event in Parser::new_ext(&text(&words), Options::all()) {
                match event {
                    Event::Text(words) => in_text.push_str(&words),
                    Event::Code(_) => in_text.push(' '),
                    _ => {}
                }
            }
            let called = in_text.match_indices('@').any(|(at, _)| names(&in_text[at + 1..]));
            prop_assert!(!called, "{in_text}");
        }
    }

    /// What a reader of the body sees besides words: headings, pictures, links, HTML.
    fn marks(markdown: &str) -> Vec<String> {
        let mut marks = Vec::new();
        let mut heading = false;
        for event in Parser::new_ext(markdown, Options::all()) {
            match event {
                Event::Start(Tag::Heading { .. }) => heading = true,
                Event::Text(words) if heading => {
                    marks.push(format!("heading {words}"));
                    heading = false;
                }
                Event::Start(Tag::Image { dest_url, .. }) => marks.push(format!("image {dest_url}")),
                Event::Start(Tag::Link { dest_url, .. }) => marks.push(format!("link {dest_url}")),
                Event::Html(html) | Event::InlineHtml(html) => marks.push(format!("html {html}")),
                Event::Start(
                    tag @ (Tag::BlockQuote(_) | Tag::Table(_) | Tag::HtmlBlock | Tag::FootnoteDefinition(_)),
                ) => {
                    marks.push(format!("{tag:?}"));
                }
                Event::Rule | Event::FootnoteReference(_) | Event::InlineMath(_) | Event::DisplayMath(_) => {
                    marks.push("mark".to_owned())
                }
                _ => {}
            }
        }
        marks
    }

    fn hostile() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("\n\n".to_owned()),
            Just("\n".to_owned()),
            Just(" ".to_owned()),
            Just("```".to_owned()),
            Just("# ".to_owned()),
            Just("![x](y)".to_owned()),
            Just("[x]: y".to_owned()),
            Just("<b>".to_owned()),
            Just("<!--".to_owned()),
            Just("---".to_owned()),
            Just("===".to_owned()),
            Just("\\".to_owned()),
            Just("~~~".to_owned()),
            Just("> ".to_owned()),
            Just("- ".to_owned()),
            Just("1. ".to_owned()),
            Just("    ".to_owned()),
            Just("|a|\n|-|\n".to_owned()),
            Just("$x$".to_owned()),
            Just("[^1]".to_owned()),
            Just("&lt;".to_owned()),
            Just("](".to_owned()),
            "[-`#!\\[\\]()<>*_~|=+.:a\\n\\\\ ]{0,8}",
            any::<String>(),
        ];
        prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn no_answer_becomes_a_mark(words in hostile()) {
            let answer = compose_answer(&words);
            prop_assert_eq!(marks(&answer), Vec::<String>::new(), "{}", answer);
        }

        #[test]
        fn no_words_become_a_mark(words in hostile(), label in hostile(), shell in hostile(), output in hostile()) {
            let evidence = [screenshot(&words, &label), command(&words, &shell, &output)];
            let commands = [CommandFact { command: shell.clone(), exit_code: Some(1) }];
            let markdown = body(&words, &evidence, &commands, &[changed(&shell, 1, 1)]);
            let mut expected = vec!["heading Evidence".to_owned(), format!("image artifact:{}", "ab".repeat(32))];
            let headings: &[&str] = if lead(&words).1.is_empty() {
                &["Where to look first", "Commands run", "Not verified", "Cost and time"]
            } else {
                &["Where to look first", "Commands run", "Not verified", "Details", "Cost and time"]
            };
            expected.extend(headings.iter().map(|heading| format!("heading {heading}")));
            prop_assert_eq!(marks(&markdown), expected, "{}", markdown);
        }
    }
}
