use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};

use super::*;

fn parsed(words: &[&str]) -> Result<Command, ErrorKind> {
    let words = ["nightshift"].into_iter().chain(words.iter().copied());
    Arguments::try_parse_from(words).map(|arguments| arguments.command).map_err(|error| error.kind())
}

fn refused(words: &[&str]) -> ErrorKind {
    match parsed(words) {
        Ok(command) => panic!("{words:?} was understood as {command:?}"),
        Err(kind) => kind,
    }
}

/// What `--help` of a command prints on a terminal of a hundred columns.
fn help(words: &[&str]) -> String {
    let mut command = Arguments::command().term_width(100).max_term_width(100);
    command.build();
    let found = words.iter().fold(&mut command, |command, word| command.find_subcommand_mut(word).unwrap());
    let help = found.render_long_help().to_string();
    help.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_command_line_is_well_formed() {
    Arguments::command().debug_assert();
}

#[test]
fn the_help_ends_with_examples_and_exit_codes() {
    let help = help(&[]);
    let (commands, rest) = help.split_once("\nOptions:\n").unwrap();
    assert!(
        commands
            .starts_with("Background coding agents, each in a Linux desktop virtual machine of its own\n")
    );
    insta::assert_snapshot!(rest);
}

#[test]
fn the_help_of_exec_tells_every_limit_and_what_ctrl_c_does() {
    insta::assert_snapshot!(help(&["exec"]));
}

#[test]
fn the_help_of_steer_tells_when_the_agent_reads_it() {
    insta::assert_snapshot!(help(&["steer"]));
}

#[test]
fn the_help_of_continue_shows_how_a_limit_is_raised() {
    insta::assert_snapshot!(help(&["continue"]));
}

#[test]
fn the_help_of_stats_tells_what_its_columns_mean() {
    insta::assert_snapshot!(help(&["stats"]));
}

#[test]
fn the_help_of_the_review_list_tells_its_order() {
    insta::assert_snapshot!(help(&["review", "list"]));
}

#[test]
fn a_task_has_no_more_model_calls_than_its_calls_have_numbers() {
    assert!(parsed(&["exec", "Fix it", "--turns", "9000"]).is_ok());
    assert_eq!(refused(&["exec", "Fix it", "--turns", "9001"]), ErrorKind::ValueValidation);
}

#[test]
fn a_task_has_one_attempt_unless_up_to_eight_are_asked_for() {
    let attempts = |words: &[&str]| match parsed(words) {
        Ok(Command::Exec { attempts, .. }) => attempts,
        other => panic!("{words:?} was understood as {other:?}"),
    };
    assert_eq!(attempts(&["exec", "Fix it"]), 1);
    assert_eq!(attempts(&["exec", "Fix it", "--attempts", "8"]), 8);
    for odd in ["0", "9", "-1", "many"] {
        let kind = refused(&["exec", "Fix it", "--attempts", odd]);
        assert!(matches!(kind, ErrorKind::ValueValidation | ErrorKind::UnknownArgument), "{odd}: {kind:?}");
    }
}

#[test]
fn a_run_is_closed_or_the_others_of_one_and_never_both() {
    let closed = |words: &[&str]| match parsed(words) {
        Ok(Command::Review { command: Review::Close { run, others_of } }) => (run, others_of),
        other => panic!("{words:?} was understood as {other:?}"),
    };
    assert_eq!(closed(&["review", "close", "run-4k2"]), (Some("run-4k2".to_owned()), None));
    let others = closed(&["review", "close", "--others-of", "run-4k2"]);
    assert_eq!(others, (None, Some("run-4k2".to_owned())));
    assert_eq!(refused(&["review", "close"]), ErrorKind::MissingRequiredArgument);
    assert_eq!(refused(&["review", "close", "run-1", "--others-of", "run-2"]), ErrorKind::ArgumentConflict);
}

#[test]
fn statistics_are_by_repository_over_all_time_unless_told_otherwise() {
    let asked = |words: &[&str]| match parsed(words) {
        Ok(Command::Stats { by, since }) => (by, since),
        other => panic!("{words:?} was understood as {other:?}"),
    };
    assert_eq!(asked(&["stats"]), (StatisticsKind::Repository, None));
    let weeks = asked(&["stats", "--by", "week", "--since", "4w"]);
    assert_eq!(weeks, (StatisticsKind::Week, Some("4w".to_owned())));
    assert_eq!(refused(&["stats", "--by", "colour"]), ErrorKind::InvalidValue);
}

#[test]
fn the_help_of_rewinding_tells_what_stays_in_the_history() {
    insta::assert_snapshot!(help(&["checkpoint", "rewind"]));
}

#[test]
fn the_help_of_serve_warns_of_plain_http() {
    insta::assert_snapshot!(help(&["serve"]));
}

#[test]
fn every_command_says_in_one_line_what_it_does_and_describes_each_argument() {
    let mut command = Arguments::command();
    command.build();
    let mut unread = vec![&command];
    while let Some(command) = unread.pop() {
        let name = command.get_name();
        if name == "help" {
            continue;
        }
        assert!(command.get_about().is_some_and(|about| !about.to_string().contains('\n')), "{name}");
        for argument in command.get_arguments() {
            assert!(argument.get_help().is_some(), "{name}: {}", argument.get_id());
        }
        unread.extend(command.get_subcommands());
    }
}

#[test]
fn every_command_that_does_something_shows_how_it_is_typed() {
    let mut command = Arguments::command();
    command.build();
    let mut unread = vec![("nightshift".to_owned(), &command)];
    while let Some((name, command)) = unread.pop() {
        if command.get_name() == "help" {
            continue;
        }
        if !command.has_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(
                help.contains(&format!("  {name}")) || help.contains(&format!("&& {name}")),
                "{name}: {help}"
            );
        }
        unread.extend(command.get_subcommands().map(|below| (format!("{name} {}", below.get_name()), below)));
    }
}

#[test]
fn who_takes_up_the_last_run_without_words_is_shown_how_that_is_typed() {
    let refused = Arguments::try_parse_from(["nightshift", "exec", "resume", "--last"]).unwrap_err();
    let said = refused.to_string();
    assert!(said.contains("nightshift exec resume [OPTIONS] --last <TEXT>"), "{said}");
}

#[test]
fn without_a_command_the_help_is_shown() {
    assert_eq!(refused(&[]), ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand);
    assert_eq!(refused(&["checkpoint"]), ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand);
    assert_eq!(refused(&["review"]), ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand);
}

#[test]
fn what_is_missing_is_told() {
    for words in [
        &["exec"][..],
        &["show"],
        &["watch"],
        &["steer", "run-1"],
        &["checkpoint", "rewind", "run-1"],
        &["review", "merge"],
    ] {
        assert_eq!(refused(words), ErrorKind::MissingRequiredArgument, "{words:?}");
    }
}

#[test]
fn a_misspelt_command_or_flag_is_refused() {
    assert_eq!(refused(&["exce", "x"]), ErrorKind::InvalidSubcommand);
    assert_eq!(refused(&["exec", "x", "--buget", "3"]), ErrorKind::UnknownArgument);
    assert_eq!(refused(&["tasks", "running"]), ErrorKind::UnknownArgument);
}

#[test]
fn a_message_is_either_queued_or_interrupts() {
    let both = ["steer", "run-1", "x", "--queue", "--interrupt"];
    assert_eq!(refused(&both), ErrorKind::ArgumentConflict);
    assert!(matches!(
        parsed(&["steer", "run-1", "x", "--queue"]).unwrap(),
        Command::Steer { queue: true, interrupt: false, .. }
    ));
}

#[test]
fn numbers_are_numbers() {
    for words in [
        &["exec", "x", "--budget", "ten"][..],
        &["exec", "x", "--turns", "1.5"],
        &["exec", "x", "--turns", "0"],
        &["exec", "x", "--tokens", "0"],
        &["exec", "x", "--minutes", "0"],
        &["exec", "x", "--tokens", "99999999999999999999"],
        &["continue", "run-1", "--minutes", "soon"],
        &["serve", "--port", "70000"],
        &["serve", "--listen", "localhost"],
        &["checkpoint", "fork", "run-1", "1.1", "--count", "many"],
    ] {
        assert_eq!(refused(words), ErrorKind::ValueValidation, "{words:?}");
    }
}

#[test]
fn a_task_in_this_folder_needs_no_flag() {
    let Command::Exec {
        command: None,
        description: Some(description),
        criteria,
        self_review,
        approval,
        repo,
        base,
        model,
        engine,
        limits,
        leave_out_uncommitted,
        background,
        attempts,
        result_json,
    } = parsed(&["exec", "Fix it"]).unwrap()
    else {
        unreachable!()
    };
    assert_eq!((description.as_str(), repo.as_str(), base, model), ("Fix it", ".", None, None));
    assert_eq!((limits.budget, limits.turns, limits.tokens, limits.minutes), (None, None, None, None));
    assert_eq!(attempts, 1);
    assert!(!(leave_out_uncommitted || background || result_json));
    assert_eq!((criteria, self_review, approval, engine), (Vec::<String>::new(), None, None, None));
}

#[test]
fn another_agent_is_named_and_whether_there_is_one_is_the_owner_s_business() {
    let Command::Exec { engine, .. } = parsed(&["exec", "x", "--engine", "claude-code"]).unwrap() else {
        unreachable!()
    };
    assert_eq!(engine.as_deref(), Some("claude-code"));
    assert_eq!(refused(&["exec", "x", "--engine"]), ErrorKind::InvalidValue);
}

#[test]
fn a_yes_and_a_no_may_name_the_step_and_a_policy_is_one_of_three() {
    let Command::Approve { step, .. } = parsed(&["approve", "run-1", "--step", "4.1"]).unwrap() else {
        unreachable!()
    };
    assert_eq!(step, Some("4.1".parse().unwrap()));
    let Command::Deny { words, step, .. } = parsed(&["deny", "run-1"]).unwrap() else { unreachable!() };
    assert_eq!((words.as_str(), step), ("", None));
    assert_eq!(refused(&["approve", "run-1", "--step", "last"]), ErrorKind::ValueValidation);
    let Command::Exec { approval, .. } = parsed(&["exec", "x", "--approval", "risky"]).unwrap() else {
        unreachable!()
    };
    assert_eq!(approval, Some(ApprovalChoice::Risky));
    assert_eq!(refused(&["exec", "x", "--approval", "often"]), ErrorKind::InvalidValue);
}

#[test]
fn rounds_of_self_review_are_a_small_number_and_none_turns_it_off() {
    for (words, expected) in [("0", 0), ("5", 5)] {
        let Command::Exec { self_review, .. } = parsed(&["exec", "Fix it", "--self-review", words]).unwrap()
        else {
            unreachable!()
        };
        assert_eq!(self_review, Some(expected));
    }
    assert_eq!(refused(&["exec", "Fix it", "--self-review", "6"]), ErrorKind::ValueValidation);
}

#[test]
fn criteria_add_up_in_their_order() {
    let words = ["exec", "Fix it", "--criterion", "It is dark", "--criterion", "It stays dark"];
    let Command::Exec { criteria, .. } = parsed(&words).unwrap() else { unreachable!() };
    assert_eq!(criteria, ["It is dark", "It stays dark"]);
}

#[test]
fn a_run_is_taken_up_again_by_name_or_as_the_last_one() {
    let Command::Exec { command: Some(Exec::Resume { what, last, background }), .. } =
        parsed(&["exec", "resume", "--last", "Go on"]).unwrap()
    else {
        unreachable!()
    };
    assert_eq!((what, last, background), (vec!["Go on".to_owned()], true, false));
    assert!(parsed(&["exec", "resume", "run-4k2", "Go on"]).is_ok());
    assert_eq!(refused(&["exec", "resume"]), ErrorKind::MissingRequiredArgument);
}

#[test]
fn json_may_be_asked_for_before_and_after_the_command() {
    for words in [["nightshift", "--json", "tasks"], ["nightshift", "tasks", "--json"]] {
        assert!(Arguments::try_parse_from(words).unwrap().json, "{words:?}");
    }
}

#[test]
fn names_that_an_owner_answers_to_add_up() {
    let words = ["serve", "--listen", "::1", "--name", "a.lan", "--name", "b.lan"];
    let Command::Serve { port, listen, name } = parsed(&words).unwrap() else { unreachable!() };
    assert_eq!((port, listen), (None, Some("::1".parse().unwrap())));
    assert_eq!(name, ["a.lan", "b.lan"]);
}
