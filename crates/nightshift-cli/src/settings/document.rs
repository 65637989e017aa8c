//! Settings in the text of `config.toml`: what is changed is changed, and everything else stays as it was written.

use nightshift_libvirt::HostSettings;
use nightshift_protocol::{HostSetting, Limits, SettingsValues};
use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, Table, TableLike, Value, table, value};

use crate::configuration::{Configuration, LimitConfiguration};

/// The part of a configuration that can be changed from outside.
pub(crate) fn values(configuration: &Configuration) -> SettingsValues {
    SettingsValues {
        model: configuration.model.clone(),
        engine: configuration.engine.clone(),
        context_tokens: configuration.context_tokens,
        limits: configuration.limits.limits(),
        sandboxes: configuration.sandboxes,
        memory_mib: configuration.sandbox.memory_mib,
        processors: configuration.sandbox.processors,
        spare: configuration.sandbox.spare,
        disk_reserve_mib: configuration.disk.reserve_mib,
        disk_sandbox_mib: configuration.disk.sandbox_mib,
        hosts: configuration.hosts.iter().map(host).collect(),
        egress_allow: configuration.egress.allow.clone(),
        egress_set_up: configuration.egress.set_up.clone(),
        egress_permit: configuration.egress.permit.clone(),
    }
}

fn host(host: &HostSettings) -> HostSetting {
    HostSetting {
        name: host.name.clone(),
        uri: host.uri.clone(),
        pool: host.pool.clone(),
        memory_mib: host.memory_mib,
    }
}

/// The text with `after` in the place of `before`.
///
/// # Errors
///
/// Why that cannot be written.
pub(crate) fn edited(text: &str, before: &SettingsValues, after: &SettingsValues) -> Result<String, String> {
    let mut document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| error.to_string())?;
    let mut put = |changed: bool, path: &[&str], new: Option<Value>| -> Result<(), String> {
        if changed { put(&mut document, path, new) } else { Ok(()) }
    };
    put(before.model != after.model, &["model"], Some(after.model.trim().into()))?;
    put(before.engine != after.engine, &["engine"], Some(after.engine.trim().into()))?;
    let tokens = after.context_tokens.map(integer).transpose()?;
    put(before.context_tokens != after.context_tokens, &["context_tokens"], tokens)?;
    put(
        before.sandboxes != after.sandboxes,
        &["sandboxes"],
        after.sandboxes.map(|count| i64::from(count).into()),
    )?;
    let size = |key| ["sandbox", key];
    put(
        before.memory_mib != after.memory_mib,
        &size("memory_mib"),
        Some(i64::from(after.memory_mib).into()),
    )?;
    put(
        before.processors != after.processors,
        &size("processors"),
        Some(i64::from(after.processors).into()),
    )?;
    put(before.spare != after.spare, &size("spare"), Some(after.spare.into()))?;
    let disk = |key| ["disk", key];
    let reserve = after.disk_reserve_mib.map(integer).transpose()?;
    put(before.disk_reserve_mib != after.disk_reserve_mib, &disk("reserve_mib"), reserve)?;
    let sandbox = integer(after.disk_sandbox_mib)?;
    put(before.disk_sandbox_mib != after.disk_sandbox_mib, &disk("sandbox_mib"), Some(sandbox))?;
    let hosts = [
        ("allow", &before.egress_allow, &after.egress_allow),
        ("set_up", &before.egress_set_up, &after.egress_set_up),
        ("permit", &before.egress_permit, &after.egress_permit),
    ];
    for (key, before, after) in hosts {
        put(
            before != after,
            &["egress", key],
            Some(Array::from_iter(after.iter().map(String::as_str)).into()),
        )?;
    }
    let (old, new) = (before.limits, after.limits);
    let written = LimitConfiguration::of(new)?;
    let limit = |key| ["limits", key];
    put(old.cost_microdollars != new.cost_microdollars, &limit("dollars"), Some(written.dollars.into()))?;
    put(old.turns != new.turns, &limit("turns"), Some(i64::from(new.turns).into()))?;
    put(old.tokens != new.tokens, &limit("tokens"), Some(integer(new.tokens)?))?;
    put(old.seconds != new.seconds, &limit("minutes"), Some(integer(written.minutes)?))?;
    if before.hosts != after.hosts {
        put_hosts(&mut document, &after.hosts)?;
    }
    Ok(document.to_string())
}

fn integer(number: u64) -> Result<Value, String> {
    i64::try_from(number).map(Value::from).map_err(|_| format!("{number} is too large"))
}

/// Puts one value, and keeps the comment behind the one it replaces.
fn put(document: &mut DocumentMut, path: &[&str], new: Option<Value>) -> Result<(), String> {
    let (key, tables) = path.split_last().ok_or("a setting without a name")?;
    let mut place: &mut dyn TableLike = document.as_table_mut();
    for name in tables {
        let item = place.entry(name).or_insert_with(table);
        place = item.as_table_like_mut().ok_or_else(|| format!("{name} is no table"))?;
    }
    match (new, place.get_mut(key).and_then(Item::as_value_mut)) {
        (None, _) => {
            place.remove(key);
        }
        (Some(mut new), Some(old)) => {
            *new.decor_mut() = old.decor().clone();
            *old = new;
        }
        (Some(new), None) => {
            place.insert(key, value(new));
        }
    }
    Ok(())
}

/// Writes the hosts; what else is said of one that stays is kept.
fn put_hosts(document: &mut DocumentMut, hosts: &[HostSetting]) -> Result<(), String> {
    let known: Vec<Table> = match document.get("hosts") {
        None => Vec::new(),
        Some(item) => item
            .as_array_of_tables()
            .ok_or("hosts are not written as [[hosts]]: change them in the file")?
            .iter()
            .cloned()
            .collect(),
    };
    document.remove("hosts");
    let mut list = ArrayOfTables::new();
    for host in hosts {
        let named = |table: &&Table| table.get("name").and_then(Item::as_str) == Some(&host.name);
        let mut table = known.iter().find(named).cloned().unwrap_or_default();
        table.insert("name", value(&host.name));
        table.insert("uri", value(&host.uri));
        if host.pool != "default" || table.contains_key("pool") {
            table.insert("pool", value(&host.pool));
        }
        match host.memory_mib {
            Some(memory) => {
                table.insert("memory_mib", value(integer(memory)?));
            }
            None => {
                table.remove("memory_mib");
            }
        }
        list.push(table);
    }
    if !list.is_empty() {
        document.insert("hosts", Item::ArrayOfTables(list));
    }
    Ok(())
}

/// What is set where nothing is said.
pub(crate) fn defaults() -> SettingsValues {
    values(&Configuration::default())
}

impl LimitConfiguration {
    /// The limits as a task has them.
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            turns: self.turns,
            tokens: self.tokens,
            // It was checked to be in range and positive, so the conversion cannot wrap.
            cost_microdollars: (self.dollars * 1_000_000.0).round() as u64,
            seconds: self.minutes.saturating_mul(60),
        }
    }

    /// The limits as they are written.
    ///
    /// # Errors
    ///
    /// Why they cannot be written.
    pub(crate) fn of(limits: Limits) -> Result<Self, String> {
        if !limits.seconds.is_multiple_of(60) {
            return Err("the time of a task is in whole minutes".to_owned());
        }
        Ok(Self {
            dollars: limits.cost_microdollars as f64 / 1e6,
            turns: limits.turns,
            tokens: limits.tokens,
            minutes: limits.seconds / 60,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::configuration::parse;

    const WRITTEN: &str = "# mine\nmodel = \"claude-sonnet-5-5\" # the good one\n\n[sandbox]\nmemory_mib = 4096   # enough\n\n[[hosts]]\nname = \"attic\"\nuri = \"test:///default\"\nacceleration = \"kvm\"\n";

    fn changed(text: &str, change: impl FnOnce(&mut SettingsValues)) -> String {
        let before = values(&parse(text).unwrap());
        let mut after = before.clone();
        change(&mut after);
        let text = edited(text, &before, &after).unwrap();
        assert_eq!(values(&parse(&text).unwrap()), after, "{text}");
        text
    }

    #[test]
    fn what_is_not_changed_stays_as_it_was_written() {
        assert_eq!(changed(WRITTEN, |_| {}), WRITTEN);
    }

    #[test]
    fn a_changed_value_keeps_the_comment_behind_it() {
        let text = changed(WRITTEN, |values| {
            values.model = "openai/gpt-5".to_owned();
            values.memory_mib = 8192;
        });
        let wanted = WRITTEN.replace("claude-sonnet-5-5", "openai/gpt-5").replace("4096", "8192");
        assert_eq!(text, wanted);
    }

    #[test]
    fn every_setting_can_be_set_in_an_empty_file() {
        let text = changed("", |values| {
            values.engine = "claude-code".to_owned();
            values.context_tokens = Some(400_000);
            values.sandboxes = Some(4);
            values.processors = 4;
            values.spare = false;
            values.disk_reserve_mib = Some(0);
            values.disk_sandbox_mib = 4_096;
            values.egress_allow = vec!["example.org".to_owned(), "*.example.org".to_owned()];
            values.egress_set_up = vec!["downloads.example.org".to_owned()];
            values.egress_permit = vec!["*".to_owned()];
            values.limits =
                Limits { turns: 50, tokens: 1_000_000, cost_microdollars: 2_500_000, seconds: 1_800 };
            let (name, uri) = ("attic".to_owned(), "qemu+ssh://ada@attic/system".to_owned());
            values.hosts = vec![HostSetting { name, uri, pool: "fast".to_owned(), memory_mib: Some(8_192) }];
        });
        insta::assert_snapshot!(text);
    }

    #[test]
    fn a_setting_that_is_left_to_its_default_goes_out_of_the_file() {
        let text = changed("sandboxes = 3\ncontext_tokens = 20000\ndisk.reserve_mib = 9\n", |values| {
            values.sandboxes = None;
            values.context_tokens = None;
            values.disk_reserve_mib = None;
        });
        assert_eq!(text, "");
    }

    #[test]
    fn what_else_is_said_of_a_host_that_stays_is_kept() {
        let text = changed(WRITTEN, |values| {
            let uri = "qemu+ssh://ada@cellar/system".to_owned();
            let (name, pool) = ("cellar".to_owned(), "default".to_owned());
            values.hosts.push(HostSetting { name, uri, pool, memory_mib: None });
            values.hosts[0].memory_mib = Some(4_096);
        });
        assert!(text.contains("acceleration = \"kvm\"\nmemory_mib = 4096\n"), "{text}");
        assert!(!changed(WRITTEN, |values| values.hosts.clear()).contains("attic"));
    }

    #[test]
    fn tables_written_in_one_line_are_changed_where_they_are() {
        let text = changed("sandbox = { spare = true, processors = 2 }\n", |values| values.processors = 8);
        assert_eq!(text, "sandbox = { spare = true, processors = 8 }\n");
    }

    #[test]
    fn a_time_that_is_no_whole_minutes_is_refused() {
        let before = defaults();
        let mut after = before.clone();
        after.limits.seconds = 90;
        let why = edited("", &before, &after).unwrap_err();
        assert_eq!(why, "the time of a task is in whole minutes");
    }

    #[test]
    fn a_text_that_is_no_toml_is_refused_with_its_line() {
        assert!(edited("model = ", &defaults(), &defaults()).unwrap_err().contains("line 1"));
    }
}
