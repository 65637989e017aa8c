//! Settings and keys as text, and settings by their names in `config.toml`.

use std::fmt::Write as _;

use nightshift_protocol::{KeyPlace, KeySummary, Settings, SettingsValues};

use super::{money, plain, table};
use crate::configuration;

/// A setting: its name, its value as text, and how it is set from words.
struct Setting {
    name: &'static str,
    shown: fn(&SettingsValues) -> String,
    set: fn(&mut SettingsValues, &[String], &SettingsValues) -> Result<(), String>,
}

/// Every setting that a command can change. Hosts are several things each: they are changed in the file or the app.
const SETTINGS: [Setting; 16] = [
    Setting {
        name: "model",
        shown: |now| now.model.clone(),
        set: |now, words, usual| one(&mut now.model, words, &usual.model),
    },
    Setting {
        name: "engine",
        shown: |now| now.engine.clone(),
        set: |now, words, usual| one(&mut now.engine, words, &usual.engine),
    },
    Setting {
        name: "context_tokens",
        shown: |now| {
            now.context_tokens.map_or_else(
                || "200000, or the model's own where that is smaller".to_owned(),
                |tokens| tokens.to_string(),
            )
        },
        set: |now, words, _| perhaps(&mut now.context_tokens, words),
    },
    Setting {
        name: "limits.dollars",
        shown: |now| money(now.limits.cost_microdollars),
        set: |now, words, usual| {
            let mut dollars = now.limits.cost_microdollars as f64 / 1e6;
            one(&mut dollars, words, &(usual.limits.cost_microdollars as f64 / 1e6))?;
            if !(0.01..=100_000.0).contains(&dollars) {
                return Err(format!("{dollars} is not between 0.01 and 100000 US dollars"));
            }
            // In range and positive, so the conversion cannot wrap.
            now.limits.cost_microdollars = (dollars * 1_000_000.0).round() as u64;
            Ok(())
        },
    },
    Setting {
        name: "limits.turns",
        shown: |now| now.limits.turns.to_string(),
        set: |now, words, usual| one(&mut now.limits.turns, words, &usual.limits.turns),
    },
    Setting {
        name: "limits.tokens",
        shown: |now| now.limits.tokens.to_string(),
        set: |now, words, usual| one(&mut now.limits.tokens, words, &usual.limits.tokens),
    },
    Setting {
        name: "limits.minutes",
        shown: |now| (now.limits.seconds / 60).to_string(),
        set: |now, words, usual| {
            let mut minutes = now.limits.seconds / 60;
            one(&mut minutes, words, &(usual.limits.seconds / 60))?;
            now.limits.seconds = minutes.saturating_mul(60);
            Ok(())
        },
    },
    Setting {
        name: "sandboxes",
        shown: |now| {
            now.sandboxes.map_or_else(|| "as many as memory holds".to_owned(), |count| count.to_string())
        },
        set: |now, words, _| perhaps(&mut now.sandboxes, words),
    },
    Setting {
        name: "sandbox.memory_mib",
        shown: |now| now.memory_mib.to_string(),
        set: |now, words, usual| one(&mut now.memory_mib, words, &usual.memory_mib),
    },
    Setting {
        name: "sandbox.processors",
        shown: |now| now.processors.to_string(),
        set: |now, words, usual| one(&mut now.processors, words, &usual.processors),
    },
    Setting {
        name: "sandbox.spare",
        shown: |now| now.spare.to_string(),
        set: |now, words, usual| one(&mut now.spare, words, &usual.spare),
    },
    Setting {
        name: "disk.reserve_mib",
        shown: |now| {
            let usual = || "2048, or a twentieth of a small disk".to_owned();
            now.disk_reserve_mib.map_or_else(usual, |mib| mib.to_string())
        },
        set: |now, words, _| perhaps(&mut now.disk_reserve_mib, words),
    },
    Setting {
        name: "disk.sandbox_mib",
        shown: |now| now.disk_sandbox_mib.to_string(),
        set: |now, words, usual| one(&mut now.disk_sandbox_mib, words, &usual.disk_sandbox_mib),
    },
    Setting {
        name: "egress.allow",
        shown: |now| list(&now.egress_allow),
        set: |now, words, _| all(&mut now.egress_allow, words),
    },
    Setting {
        name: "egress.set_up",
        shown: |now| list(&now.egress_set_up),
        set: |now, words, _| all(&mut now.egress_set_up, words),
    },
    Setting {
        name: "egress.permit",
        shown: |now| list(&now.egress_permit),
        set: |now, words, _| all(&mut now.egress_permit, words),
    },
];

fn one<T: std::str::FromStr + Clone>(place: &mut T, words: &[String], usual: &T) -> Result<(), String> {
    *place = match words {
        [] => usual.clone(),
        [word] => word.parse().map_err(|_| format!("{word:?} is no value for it"))?,
        _ => return Err("it has one value".to_owned()),
    };
    Ok(())
}

fn perhaps<T: std::str::FromStr>(place: &mut Option<T>, words: &[String]) -> Result<(), String> {
    *place = match words {
        [] => None,
        [word] => Some(word.parse().map_err(|_| format!("{word:?} is no number for it"))?),
        _ => return Err("it has one value".to_owned()),
    };
    Ok(())
}

fn all(place: &mut Vec<String>, words: &[String]) -> Result<(), String> {
    *place = words.to_vec();
    Ok(())
}

fn list(hosts: &[String]) -> String {
    if hosts.is_empty() { "none".to_owned() } else { hosts.join(" ") }
}

/// Whether that is a key of the configuration that no command sets, nor any part of it.
pub(crate) fn is_by_hand(name: &str) -> bool {
    let is_part = |setting: &Setting| {
        setting.name.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    !SETTINGS.iter().any(is_part) && configuration::has_key(name)
}

/// Sets one setting from the words of a command.
///
/// # Errors
///
/// Why that is no setting or no value.
pub(crate) fn set(
    values: &mut SettingsValues,
    name: &str,
    words: &[String],
    defaults: &SettingsValues,
) -> Result<(), String> {
    let Some(setting) = SETTINGS.iter().find(|setting| setting.name == name) else {
        let names: Vec<&str> = SETTINGS.iter().map(|setting| setting.name).collect();
        return Err(format!("no setting is called {name:?}; there are {}", names.join(", ")));
    };
    (setting.set)(values, words, defaults).map_err(|why| format!("{name}: {why}"))
}

/// All settings, those that are not the default marked.
pub(crate) fn settings(settings: &Settings) -> String {
    let rows: Vec<[String; 2]> = SETTINGS
        .iter()
        .map(|setting| {
            let (now, usual) = ((setting.shown)(&settings.values), (setting.shown)(&settings.defaults));
            let shown = if now == usual { now } else { format!("{now}  (default: {usual})") };
            [setting.name.to_owned(), plain(&shown)]
        })
        .collect();
    let mut text = table(&rows);
    for host in &settings.values.hosts {
        let _ = write!(text, "\nhost {}: {}", plain(&host.name), plain(&host.uri));
    }
    let _ = write!(text, "\n\nIn {}", plain(&settings.file));
    if settings.pending {
        text += "\nThe owner was started with others. `nightshift restart` has it take these up; runs go on.";
    }
    text
}

/// The keys that are used.
pub(crate) fn keys(settings: &Settings) -> String {
    let rows: Vec<[String; 3]> =
        settings.keys.iter().map(|key| [plain(&key.name), plain(&key.purpose), place(key)]).collect();
    let mut text = table(&rows);
    if settings.keys.iter().any(|key| key.pending) {
        text += "\n\n`nightshift restart` has the owner use what is kept now; runs go on.";
    }
    text
}

/// Where a key is, in words.
pub(crate) fn place(key: &KeySummary) -> String {
    let place = match key.place {
        KeyPlace::None => "not set",
        KeyPlace::Environment => "in the owner's environment",
        KeyPlace::KeyRing => "in the key ring",
        KeyPlace::File => "in a file only you may read",
    };
    if key.pending { format!("{place}, after a restart") } else { place.to_owned() }
}

#[cfg(test)]
mod tests {
    use nightshift_protocol::Limits;

    use super::*;

    fn values() -> SettingsValues {
        SettingsValues {
            model: "claude-sonnet-5-5".to_owned(),
            engine: "nightshift".to_owned(),
            context_tokens: None,
            limits: Limits::default(),
            sandboxes: None,
            memory_mib: 2048,
            processors: 2,
            spare: true,
            disk_reserve_mib: None,
            disk_sandbox_mib: 12_288,
            hosts: Vec::new(),
            egress_allow: Vec::new(),
            egress_set_up: Vec::new(),
            egress_permit: Vec::new(),
        }
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn key(name: &str, place: KeyPlace, pending: bool) -> KeySummary {
        KeySummary { name: name.to_owned(), purpose: "anthropic".to_owned(), place, pending }
    }

    fn shown() -> Settings {
        Settings {
            values: SettingsValues { sandboxes: Some(3), ..values() },
            defaults: values(),
            revision: "1".to_owned(),
            file: "/home/ada/.config/nightshift/config.toml".to_owned(),
            pending: true,
            undoable: None,
            takes_hosts: false,
            keys: vec![
                key("ANTHROPIC_API_KEY", KeyPlace::File, true),
                key("OPENAI_API_KEY", KeyPlace::None, false),
            ],
            keeps_in: KeyPlace::File,
        }
    }

    #[test]
    fn settings_are_shown_with_what_is_not_the_default() {
        insta::assert_snapshot!(settings(&shown()));
    }

    #[test]
    fn keys_are_shown_by_where_they_are() {
        insta::assert_snapshot!(keys(&shown()), @r"
        ANTHROPIC_API_KEY  anthropic  in a file only you may read, after a restart
        OPENAI_API_KEY     anthropic  not set

        `nightshift restart` has the owner use what is kept now; runs go on.
        ");
    }

    #[test]
    fn a_setting_is_set_from_words_and_set_back_without_any() {
        let mut now = values();
        let usual = values();
        let steps: [(&str, &[&str]); 8] = [
            ("engine", &["codex"]),
            ("sandboxes", &["4"]),
            ("limits.dollars", &["2.5"]),
            ("limits.minutes", &["30"]),
            ("egress.allow", &["example.org", "*.example.org"]),
            ("sandbox.spare", &["false"]),
            ("disk.reserve_mib", &["0"]),
            ("disk.sandbox_mib", &["4096"]),
        ];
        for (name, to) in steps {
            set(&mut now, name, &words(to), &usual).unwrap();
        }
        let limits = Limits { cost_microdollars: 2_500_000, seconds: 1_800, ..Limits::default() };
        let egress_allow = words(&["example.org", "*.example.org"]);
        let (disk_reserve_mib, disk_sandbox_mib) = (Some(0), 4_096);
        let sandboxes = Some(4);
        let wanted = SettingsValues {
            engine: "codex".to_owned(),
            sandboxes,
            limits,
            egress_allow,
            spare: false,
            disk_reserve_mib,
            disk_sandbox_mib,
            ..values()
        };
        assert_eq!(now, wanted);
        for (name, _) in steps {
            set(&mut now, name, &[], &usual).unwrap();
        }
        assert_eq!(now, usual);
    }

    #[test]
    fn what_the_file_may_have_and_no_command_sets_is_set_by_hand() {
        for name in ["delivery.review_limit", "delivery", "hosts", "agents.routing", "egress.upstream"] {
            assert!(is_by_hand(name), "{name}");
        }
        for name in ["model", "limits", "limits.turns", "egress.allow", "delivery.reviw_limit", "colour", ""]
        {
            assert!(!is_by_hand(name), "{name}");
        }
    }

    #[test]
    fn the_help_of_set_names_all_that_can_be_set() {
        use clap::CommandFactory as _;

        let mut command = crate::arguments::Arguments::command();
        let settings = command.find_subcommand_mut("settings").unwrap();
        let help = settings.find_subcommand_mut("set").unwrap().render_long_help().to_string();
        for setting in &SETTINGS {
            assert!(help.contains(setting.name), "{}: {help}", setting.name);
        }
    }

    #[test]
    fn what_is_no_setting_and_no_value_is_refused_by_name() {
        let refused = |name: &str, to: &[&str]| set(&mut values(), name, &words(to), &values()).unwrap_err();
        assert!(
            refused("colour", &["red"]).starts_with("no setting is called \"colour\"; there are model, ")
        );
        assert_eq!(refused("sandboxes", &["many"]), "sandboxes: \"many\" is no number for it");
        assert_eq!(refused("sandbox.spare", &["yes"]), "sandbox.spare: \"yes\" is no value for it");
        assert_eq!(refused("model", &["a", "b"]), "model: it has one value");
        assert_eq!(
            refused("limits.dollars", &["0"]),
            "limits.dollars: 0 is not between 0.01 and 100000 US dollars"
        );
    }
}
