//! `[mcp.keys]` in `config.toml`: keys of the person that go to servers at an address.

use nightshift_forge::secrets::Secret;
use nightshift_mcp_client::Keys;

use crate::configuration::McpConfiguration;
use crate::environment::Environment;

/// The keys with their texts, which the log and the history do not show from now on. One that nobody has given is named all
/// the same: a server that is to have it is refused, and says so.
pub(crate) fn keys(configuration: &McpConfiguration, environment: &Environment) -> Keys {
    let mut keys = Keys::default();
    for (name, hosts) in &configuration.keys {
        let text = environment.variable(name).filter(|text| !text.is_empty());
        if let Some(text) = text {
            environment.redactor.learn(name, &Secret::new(text));
        }
        keys.add(name, text.map(|text| text.trim().to_owned()), hosts);
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_the_text_of_its_variable_and_is_not_shown_from_then_on() {
        let mut environment = Environment::read();
        environment.variables.insert("LINEAR".to_owned(), "correct-horse\n".to_owned());
        environment.variables.insert("EMPTY".to_owned(), String::new());
        let configuration: McpConfiguration =
            toml::from_str("keys = { LINEAR = ['mcp.linear.app'], EMPTY = ['a.test:8443'], NONE = [] }")
                .unwrap();
        let mut expected = Keys::default();
        expected.add("LINEAR", Some("correct-horse".to_owned()), &["mcp.linear.app".to_owned()]);
        expected.add("EMPTY", None, &["a.test:8443".to_owned()]);
        expected.add("NONE", None, &[]);
        assert_eq!(keys(&configuration, &environment), expected);
        assert_eq!(environment.redactor.redact("say correct-horse"), "say [redacted: LINEAR]");
    }
}
