//! Which commands need a person's yes. It reads a command line as a shell would split it, as far as one can tell without
//! running it: what a script or a variable holds is not looked into. The sandbox is what holds a program back; this is for
//! commands that a person wants to know of before.

use nightshift_agent::{ShellRequest, ToolRequest, shorten};
use nightshift_protocol::{Approval, ApprovalPolicy, ErrorCode, UserError};

/// Commands that reach beyond the sandbox: another machine, a registry, an account.
const REACHING: [&str; 34] = [
    "git push",
    "npm publish",
    "pnpm publish",
    "yarn publish",
    "yarn npm publish",
    "bun publish",
    "cargo publish",
    "gem push",
    "twine upload",
    "uv publish",
    "poetry publish",
    "dotnet nuget push",
    "mvn deploy",
    "docker push",
    "podman push",
    "terraform apply",
    "terraform destroy",
    "tofu apply",
    "tofu destroy",
    "pulumi up",
    "kubectl",
    "helm",
    "ansible-playbook",
    "aws",
    "az",
    "gcloud",
    "gh",
    "glab",
    "ssh",
    "scp",
    "sftp",
    "rsync",
    "telnet",
    "nc",
];

/// Commands that reach whatever their address names.
const CLIENTS: [&str; 2] = ["curl", "wget"];

/// Commands that run another as root.
const ROOT: [&str; 4] = ["sudo", "su", "doas", "pkexec"];

/// Programs that run the command behind their own options.
const WRAPPERS: [&str; 10] =
    ["env", "exec", "command", "nohup", "nice", "time", "timeout", "xargs", "setsid", "stdbuf"];

/// Shells, which run a text given behind `-c`.
const SHELLS: [&str; 5] = ["sh", "bash", "dash", "zsh", "ash"];

/// How deep a command may be wrapped in others and still be looked into.
const DEEPEST: u32 = 4;

mod mcp;

/// Characters of a command that the question shows; the history has all of it.
const SHOWN: usize = 4_000;

/// Words of a command behind a wrapper that are looked at.
const WRAPPED: usize = 64;

/// Commands of an owner's list at most, and the characters of each.
const MOST: usize = 100;
const LONGEST: usize = 200;

/// The question for a person, where a tool call needs a yes.
pub(crate) fn needed(approval: &Approval, request: &ToolRequest) -> Option<String> {
    match request {
        ToolRequest::Shell(ShellRequest { command, .. }) => {
            let reason = reason(approval, command)?;
            Some(format!("May it run `{}`? {reason}", shorten(command.trim(), SHOWN)))
        }
        ToolRequest::Mcp(request) => mcp::needed(approval, request),
        _ => None,
    }
}

fn reason(approval: &Approval, command: &str) -> Option<&'static str> {
    let (listed, risky) = match approval.policy {
        ApprovalPolicy::Never => return None,
        ApprovalPolicy::Listed => (approval.commands.as_slice(), false),
        ApprovalPolicy::Risky => (approval.commands.as_slice(), true),
    };
    if listed.is_empty() && !risky {
        return None;
    }
    let commands = simple_commands(command, 0);
    if commands.iter().any(|words| listed.iter().any(|pattern| fits(pattern, words))) {
        return Some("It is on the list of commands that need a yes.");
    }
    if !risky {
        return None;
    }
    if commands.iter().any(|words| ROOT.contains(&program(words))) {
        return Some("It works as root.");
    }
    let reaches = |words: &Vec<String>| {
        REACHING.iter().any(|pattern| fits(pattern, words))
            || CLIENTS.contains(&program(words)) && !stays_inside(words)
    };
    commands.iter().any(reaches).then_some("It reaches beyond the sandbox.")
}

/// Checks an owner's list of commands.
///
/// # Errors
///
/// What is wrong with which of them.
pub fn check_approval(approval: &Approval) -> Result<(), UserError> {
    let refuse = |message: String| {
        let hint = "Give programs with the words that follow, for example \"npm publish\".";
        Err(UserError::new(ErrorCode::InvalidRequest, message, hint))
    };
    if approval.commands.len() > MOST {
        return refuse(format!("{} commands that need a yes are more than {MOST}", approval.commands.len()));
    }
    match approval
        .commands
        .iter()
        .find(|command| command.split_whitespace().next().is_none() || command.chars().count() > LONGEST)
    {
        Some(odd) => {
            refuse(format!("\"{odd}\" is no command: it is empty or has more than {LONGEST} characters"))
        }
        None => Ok(()),
    }
}

fn program(words: &[String]) -> &str {
    words.first().map_or("", |word| word.rsplit('/').next().unwrap_or(word))
}

/// Whether a command is one of a pattern: its program, and the pattern's other words in their order, whatever stands
/// between, such as `git -C app push` for `git push`.
fn fits(pattern: &str, words: &[String]) -> bool {
    let mut wanted = pattern.split_whitespace();
    if wanted.next() != Some(program(words)) {
        return false;
    }
    let mut rest = words.iter().skip(1);
    wanted.all(|word| rest.any(|there| there == word))
}

/// Whether every address a client is given is the sandbox's own, and there is one.
fn stays_inside(words: &[String]) -> bool {
    let host = |word: &str| {
        let after = word.split_once("://").map_or(word, |(_, after)| after);
        let authority = after.split(['/', '?', '#']).next().unwrap_or_default();
        let host = authority.rsplit('@').next().unwrap_or_default();
        host.rsplit_once(':').map_or(host, |(host, _)| host).to_ascii_lowercase()
    };
    let inside =
        |word: &String| matches!(host(word).as_str(), "localhost" | "127.0.0.1" | "[::1]" | "0.0.0.0");
    let addresses = || words.iter().skip(1).filter(|word| !word.starts_with('-'));
    addresses().any(inside) && addresses().filter(|word| word.contains("://")).all(inside)
}

/// The simple commands of a command line, each as its words, with those that shells and wrappers are given.
fn simple_commands(line: &str, depth: u32) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    if depth > DEEPEST {
        return found;
    }
    let (commands, nested) = split(line);
    for text in nested {
        found.extend(simple_commands(&text, depth + 1));
    }
    for words in commands {
        found.extend(unwrapped(words, depth));
    }
    found
}

/// A command, and what it runs if it runs another.
fn unwrapped(words: Vec<String>, depth: u32) -> Vec<Vec<String>> {
    let is_assignment = |word: &String| {
        word.split_once('=').is_some_and(|(name, _)| {
            !name.is_empty() && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
        })
    };
    let words: Vec<String> = words.into_iter().skip_while(is_assignment).collect();
    if words.is_empty() {
        return Vec::new();
    }
    let mut found = Vec::new();
    let name = program(&words).to_owned();
    if depth < DEEPEST && (WRAPPERS.contains(&name.as_str()) || ROOT.contains(&name.as_str())) {
        // Which of its words are its own is not known of all: whatever may be the command is looked at.
        for start in 1..words.len().min(6) {
            let inner = words.iter().skip(start).take(WRAPPED).cloned().collect();
            found.extend(unwrapped(inner, depth + 1));
        }
    }
    if SHELLS.contains(&name.as_str())
        && let Some(script) = words.iter().skip_while(|word| !is_script_flag(word)).nth(1)
    {
        found.extend(simple_commands(script, depth + 1));
    }
    found.push(words);
    found
}

/// `-c`, or several flags in one word that end with it, such as `-lc`.
fn is_script_flag(word: &str) -> bool {
    word.strip_prefix('-').is_some_and(|flags| !flags.starts_with('-') && flags.ends_with('c'))
}

/// Splits a line at what separates commands, and their words at white space outside of quotes. The second part holds what
/// stands in `$(…)` or backquotes within double quotes.
fn split(line: &str) -> (Vec<Vec<String>>, Vec<String>) {
    let (mut commands, mut nested) = (Vec::new(), Vec::new());
    let (mut words, mut word): (Vec<String>, Option<String>) = (Vec::new(), None);
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                // A line that goes on.
                Some('\n') | None => {}
                Some(escaped) => word.get_or_insert_default().push(escaped),
            },
            '\'' => {
                let text = word.get_or_insert_default();
                text.extend(letters.by_ref().take_while(|letter| *letter != '\''));
            }
            '"' => {
                let text = quoted(&mut letters);
                if text.contains("$(") || text.contains('`') {
                    nested.push(text.replace(['`', '(', ')', '$'], "\n"));
                }
                word.get_or_insert_default().push_str(&text);
            }
            '#' if word.is_none() => while letters.next_if(|letter| *letter != '\n').is_some() {},
            ' ' | '\t' => words.extend(word.take()),
            ';' | '&' | '|' | '\n' | '(' | ')' | '`' | '{' | '}' if is_separator(letter, word.as_deref()) => {
                words.extend(word.take());
                commands.push(std::mem::take(&mut words));
            }
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    commands.push(words);
    for command in &mut commands {
        // What a control structure begins with is no program.
        let is_keyword = |word: &String| {
            matches!(word.as_str(), "if" | "then" | "else" | "elif" | "while" | "until" | "do" | "!" | "$")
        };
        let keywords = command.iter().take_while(|word| is_keyword(word)).count();
        command.drain(..keywords);
    }
    commands.retain(|command| !command.is_empty());
    (commands, nested)
}

/// Braces separate where they stand alone; `a{b,c}` and `${name}` are words.
fn is_separator(letter: char, word: Option<&str>) -> bool {
    !matches!(letter, '{' | '}') || word.is_none()
}

/// What stands up to the closing double quote.
fn quoted(letters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> String {
    let mut text = String::new();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => break,
            '\\' => text.extend(letters.next()),
            other => text.push(other),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use nightshift_agent::ShellMode;
    use proptest::prelude::*;

    use super::*;

    fn listed(commands: &[&str]) -> Approval {
        let commands = commands.iter().map(|command| (*command).to_owned()).collect();
        Approval { policy: ApprovalPolicy::Listed, commands }
    }

    fn risky() -> Approval {
        Approval { policy: ApprovalPolicy::Risky, commands: Vec::new() }
    }

    fn asks(approval: &Approval, command: &str) -> bool {
        reason(approval, command).is_some()
    }

    #[test]
    fn a_pattern_fits_its_program_and_words_with_options_between() {
        let list = listed(&["git push", "make deploy"]);
        for command in [
            "git push",
            "git push origin main",
            "git -C app push --force",
            "/usr/bin/git push",
            "GIT_TRACE=1 git push",
            "cd app && git push",
            "npm test; git push",
            "(git push)",
            "true || git 'push'",
            "git \\\n  push",
            "make -j2 deploy",
            "if true; then git push; fi",
            "! git push",
        ] {
            assert!(asks(&list, command), "{command}");
        }
        for command in
            ["git status", "git commit -m 'push it'", "echo git push", "make", "# git push", "gitpush"]
        {
            assert!(!asks(&list, command), "{command}");
        }
    }

    #[test]
    fn what_shells_and_wrappers_run_is_looked_into() {
        let list = listed(&["npm publish"]);
        for command in [
            "bash -c 'npm publish'",
            "sh -ec \"cd app && npm publish\"",
            "env CI=1 npm publish",
            "timeout 60 npm publish",
            "nohup npm publish &",
            "echo $(npm publish)",
            "echo \"done: $(npm publish --dry-run)\"",
            "echo `npm publish`",
            "bash -lc \"timeout 5 sh -c 'npm publish'\"",
        ] {
            assert!(asks(&list, command), "{command}");
        }
        assert!(!asks(&list, "bash publish.sh"));
        assert!(!asks(&list, "echo 'npm publish'"));
    }

    #[test]
    fn risky_is_what_reaches_beyond_the_sandbox_or_works_as_root() {
        for (command, expected) in [
            ("git push", Some("It reaches beyond the sandbox.")),
            ("ssh build.example.org", Some("It reaches beyond the sandbox.")),
            ("curl -d @a https://example.org/hook", Some("It reaches beyond the sandbox.")),
            ("curl example.org", Some("It reaches beyond the sandbox.")),
            ("curl http://localhost:3000 https://example.org", Some("It reaches beyond the sandbox.")),
            ("curl http://localhost@example.org/", Some("It reaches beyond the sandbox.")),
            ("sudo apt-get install -y jq", Some("It works as root.")),
            ("sudo -u postgres psql", Some("It works as root.")),
            ("curl -s http://localhost:3000/health", None),
            ("curl localhost:8080", None),
            ("wget -qO- http://127.0.0.1:80/x", None),
            ("npm install && npm test", None),
            ("git commit -am Fix", None),
        ] {
            assert_eq!(reason(&risky(), command), expected, "{command}");
        }
    }

    #[test]
    fn who_says_never_is_not_asked_and_a_list_without_commands_asks_nothing() {
        let never = Approval { policy: ApprovalPolicy::Never, ..listed(&["git push"]) };
        assert!(!asks(&never, "git push"));
        assert!(!asks(&listed(&[]), "git push"));
    }

    #[test]
    fn only_commands_are_asked_about_and_the_question_shows_them() {
        let shell = |command: &str| {
            ToolRequest::Shell(ShellRequest { command: command.to_owned(), mode: ShellMode::Background })
        };
        let list = listed(&["npm publish"]);
        assert_eq!(
            needed(&list, &shell(" npm publish\n")),
            Some("May it run `npm publish`? It is on the list of commands that need a yes.".to_owned())
        );
        assert_eq!(needed(&list, &shell("npm test")), None);
        assert_eq!(needed(&list, &ToolRequest::Plan(nightshift_protocol::Plan::default())), None);
    }

    #[test]
    fn a_list_has_commands_and_not_too_many() {
        assert_eq!(check_approval(&listed(&["git push", "kubectl"])), Ok(()));
        for odd in [listed(&[" "]), listed(&["x"; MOST + 1]), listed(&[&"x".repeat(LONGEST + 1)])] {
            assert_eq!(check_approval(&odd).unwrap_err().code, ErrorCode::InvalidRequest);
        }
    }

    proptest! {
        #[test]
        fn a_listed_command_is_found_wherever_it_stands_in_a_line(
            before in prop::collection::vec("[a-z]{1,6}( [a-z./-]{1,6}){0,2}", 0..3),
            after in prop::collection::vec("[a-z]{1,6}( [a-z./-]{1,6}){0,2}", 0..3),
            joint in prop::sample::select(vec![" && ", "; ", " | ", "\n", " || ", " & "]),
            quote in any::<bool>(),
        ) {
            let wanted = if quote { "deploy 'now'" } else { "deploy now" }.to_owned();
            let line = [before, vec![wanted], after].concat().join(joint);
            prop_assert!(asks(&listed(&["deploy now"]), &line), "{}", line);
        }

        #[test]
        fn no_line_is_too_odd_to_be_read(line in "[ -~\n]{0,80}") {
            let _asked = asks(&risky(), &line);
        }
    }
}
