//! The package registries that a set-up may reach: those of the configuration, and for the others those that this
//! machine's own package managers use.
//!
//! No registry's host is known here: npm, pip, Cargo, Go and apt are asked, or their configuration is read. What they
//! know of passwords and tokens is left behind: nothing of it goes into a sandbox.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use http::Uri;
use nightshift_egress::{Rule, Target};
use serde::Deserialize;
use tokio::process::Command;

/// How long a package manager may take to say what it uses.
const ASKED_WITHIN: Duration = Duration::from_secs(20);
/// The longest file of certificates that is taken along, in bytes.
const LONGEST_AUTHORITIES: u64 = 2 << 20;

/// A kind of registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RegistryKind {
    /// npm's, which pnpm, yarn and bun use too.
    Npm,
    /// Python's.
    Pip,
    /// Rust's.
    Cargo,
    /// Go's module proxy.
    Go,
    /// A distribution's.
    Apt,
}

/// What is said of registries.
#[derive(Clone, Default)]
pub struct RegistrySettings {
    /// Addresses by kind; none for a kind closes it.
    pub configured: BTreeMap<RegistryKind, Vec<String>>,
    /// Further hosts that every set-up may reach.
    pub hosts: Vec<Rule>,
    /// The environment in which this machine's package managers are asked about the kinds that are not configured;
    /// they are not asked if `None`.
    pub machine: Option<Vec<(OsString, OsString)>>,
}

impl std::fmt::Debug for RegistrySettings {
    /// Shows no variable: there are keys among them.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("RegistrySettings")
            .field("configured", &self.configured)
            .finish_non_exhaustive()
    }
}

/// A registry.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Registry {
    kind: RegistryKind,
    /// Its address without user and password.
    url: String,
    rule: Rule,
    target: Target,
}

/// The registries that were found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PackageRegistries {
    list: Vec<Registry>,
    /// Certificates of authorities that this machine's package managers are told to trust, as PEM.
    authorities: Option<String>,
}

impl PackageRegistries {
    /// Finds them.
    pub async fn find(settings: &RegistrySettings) -> Self {
        let mut found = Self::default();
        for (kind, urls) in &settings.configured {
            found.add(*kind, urls.iter().map(String::as_str));
        }
        if let Some(variables) = &settings.machine {
            let machine = Machine { variables };
            for kind in [
                RegistryKind::Npm,
                RegistryKind::Pip,
                RegistryKind::Cargo,
                RegistryKind::Go,
                RegistryKind::Apt,
            ] {
                if !settings.configured.contains_key(&kind) {
                    let said = machine.says(kind).await;
                    found.add(kind, urls_in(kind, &said).iter().map(String::as_str));
                }
            }
            found.authorities = machine.authorities().await;
        }
        found
    }

    fn add<'a>(&mut self, kind: RegistryKind, urls: impl Iterator<Item = &'a str>) {
        self.list.extend(urls.filter_map(|url| registry(kind, url)));
        self.list.sort_by(|one, other| (one.kind, &one.url).cmp(&(other.kind, &other.url)));
        self.list.dedup();
    }

    /// The hosts that are to be open for them.
    pub(crate) fn rules(&self) -> Vec<Rule> {
        self.list.iter().map(|registry| registry.rule.clone()).collect()
    }

    /// Each host with its port: this machine's own configuration names it, so its address may be a private one.
    pub(crate) fn targets(&self) -> Vec<Target> {
        self.list.iter().map(|registry| registry.target.clone()).collect()
    }

    /// What a person is shown: kind and address.
    pub fn shown(&self) -> Vec<String> {
        self.list.iter().map(|registry| format!("{} {}", name(registry.kind), registry.url)).collect()
    }

    /// The certificates, if there are some.
    pub(crate) fn authorities(&self) -> Option<&str> {
        self.authorities.as_deref()
    }

    /// Variables by which package managers in a sandbox find the registries, and the certificates at `authorities`.
    pub(crate) fn variables(&self, authorities: Option<&str>) -> Vec<(&'static str, String)> {
        let first = |kind| self.list.iter().find(|registry| registry.kind == kind).map(|found| &found.url);
        let mut variables = Vec::new();
        if let Some(url) = first(RegistryKind::Npm) {
            variables.push(("npm_config_registry", url.clone()));
        }
        if let Some(url) = first(RegistryKind::Pip) {
            variables.push(("PIP_INDEX_URL", url.clone()));
            variables.push(("UV_DEFAULT_INDEX", url.clone()));
        }
        if let Some(url) = first(RegistryKind::Go) {
            variables.push(("GOPROXY", url.clone()));
        }
        if let Some(path) = authorities {
            let names = [
                "NODE_EXTRA_CA_CERTS",
                "npm_config_cafile",
                "PIP_CERT",
                "REQUESTS_CA_BUNDLE",
                "SSL_CERT_FILE",
                "CURL_CA_BUNDLE",
                "GIT_SSL_CAINFO",
                "CARGO_HTTP_CAINFO",
            ];
            variables.extend(names.map(|name| (name, path.to_owned())));
        }
        variables
    }

    /// A rule by which `sudo` keeps those variables: what is installed for all users comes from the same registries.
    pub(crate) fn sudo_rule(&self) -> Option<String> {
        let authorities = self.authorities.as_ref().map(|_| "");
        let names: Vec<&str> = self.variables(authorities).into_iter().map(|(name, _)| name).collect();
        (!names.is_empty()).then(|| format!("Defaults env_keep += \"{}\"\n", names.join(" ")))
    }

    /// Cargo's configuration that leads to the registry, which no variable can say (The Cargo Book, "Source
    /// Replacement").
    pub(crate) fn cargo_configuration(&self) -> Option<String> {
        let registry = self.list.iter().find(|registry| registry.kind == RegistryKind::Cargo)?;
        let url = toml::Value::String(format!("sparse+{}", registry.url));
        Some(format!(
            "[source.crates-io]\nreplace-with = \"registry\"\n\n[source.registry]\nregistry = {url}\n"
        ))
    }
}

fn name(kind: RegistryKind) -> &'static str {
    match kind {
        RegistryKind::Npm => "npm",
        RegistryKind::Pip => "pip",
        RegistryKind::Cargo => "cargo",
        RegistryKind::Go => "go",
        RegistryKind::Apt => "apt",
    }
}

/// Reads an address; `None` for what no sandbox could reach by name.
fn registry(kind: RegistryKind, url: &str) -> Option<Registry> {
    let uri: Uri = url.trim().parse().ok()?;
    let scheme = uri.scheme_str().filter(|scheme| matches!(*scheme, "http" | "https"))?;
    let host = uri.host()?;
    let port = uri.port_u16().unwrap_or(if scheme == "http" { 80 } else { 443 });
    let named = if uri.port_u16().is_some() { format!("{host}:{port}") } else { host.to_owned() };
    Some(Registry {
        kind,
        // Without user and password, which stand before the host.
        url: format!("{scheme}://{named}{}", uri.path()),
        rule: named.parse().ok()?,
        target: format!("{host}:{port}").parse().ok()?,
    })
}

/// Reads the addresses in what a package manager said, or in its configuration.
fn urls_in(kind: RegistryKind, said: &str) -> Vec<String> {
    let plain = |text: &str| text.split([',', '|', ' ', '\n', '\t']).map(str::to_owned).collect::<Vec<_>>();
    match kind {
        RegistryKind::Npm | RegistryKind::Pip | RegistryKind::Go | RegistryKind::Apt => plain(said),
        RegistryKind::Cargo => {
            let Ok(configuration) = said.parse::<toml::Table>() else { return Vec::new() };
            let source = |name: &str| configuration.get("source")?.get(name).cloned();
            let replaced =
                source("crates-io").and_then(|source| Some(source.get("replace-with")?.as_str()?.to_owned()));
            let url = replaced
                .and_then(|name| Some(source(&name)?.get("registry")?.as_str()?.to_owned()))
                .unwrap_or_default();
            url.strip_prefix("sparse+").map(str::to_owned).into_iter().collect()
        }
    }
}

/// The certificates in a PEM file (RFC 7468), and nothing else that may stand beside them.
fn certificates_in(pem: &str) -> Option<String> {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    const END: &str = "-----END CERTIFICATE-----";
    let blocks: Vec<&str> = pem
        .split(BEGIN)
        .skip(1)
        .filter_map(|rest| rest.split_once(END))
        .map(|(body, _)| body)
        .filter(|body| !body.contains("-----"))
        .collect();
    let certificates: String = blocks.iter().map(|body| format!("{BEGIN}{body}{END}\n")).collect();
    (!blocks.is_empty()).then_some(certificates)
}

/// This machine, as its package managers see it.
struct Machine<'a> {
    variables: &'a [(OsString, OsString)],
}

/// What pip says that it uses when nobody configured anything.
const PIP_DEFAULT: &str = "from pip._internal.models.index import PyPI; print(PyPI.simple_url, f'https://{PyPI.file_storage_domain}/')";

impl Machine<'_> {
    async fn says(&self, kind: RegistryKind) -> String {
        match kind {
            RegistryKind::Npm => self.asked("npm", &["config", "get", "registry"]).await.unwrap_or_default(),
            RegistryKind::Pip => {
                let configured =
                    self.asked("python3", &["-m", "pip", "config", "get", "global.index-url"]).await;
                match configured.filter(|said| !said.trim().is_empty()) {
                    Some(said) => said,
                    None => self.asked("python3", &["-c", PIP_DEFAULT]).await.unwrap_or_default(),
                }
            }
            RegistryKind::Cargo => {
                let home = self.path("CARGO_HOME").or_else(|| Some(self.path("HOME")?.join(".cargo")));
                match home {
                    Some(home) => read(&home.join("config.toml")).await.unwrap_or_default(),
                    None => String::new(),
                }
            }
            RegistryKind::Go => self.asked("go", &["env", "GOPROXY"]).await.unwrap_or_default(),
            RegistryKind::Apt => {
                let mut said = read(Path::new("/etc/apt/sources.list")).await.unwrap_or_default();
                if let Ok(mut lists) = tokio::fs::read_dir("/etc/apt/sources.list.d").await {
                    while let Ok(Some(entry)) = lists.next_entry().await {
                        said.push('\n');
                        said += &read(&entry.path()).await.unwrap_or_default();
                    }
                }
                let lines = said.lines().filter(|line| !line.trim_start().starts_with('#'));
                lines.collect::<Vec<_>>().join("\n")
            }
        }
    }

    /// The certificates that npm, or else the environment, says are to be trusted.
    async fn authorities(&self) -> Option<String> {
        let npm = self.asked("npm", &["config", "get", "cafile"]).await;
        let npm =
            npm.map(|said| said.trim().to_owned()).filter(|said| said.starts_with('/')).map(PathBuf::from);
        let named = ["NODE_EXTRA_CA_CERTS", "PIP_CERT", "SSL_CERT_FILE"].map(|name| self.path(name));
        for path in [npm].into_iter().chain(named).flatten() {
            if let Some(certificates) = read(&path).await.as_deref().and_then(certificates_in) {
                return Some(certificates);
            }
        }
        None
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        let found = self.variables.iter().find(|(variable, _)| variable == name);
        found.map(|(_, value)| PathBuf::from(value)).filter(|path| !path.as_os_str().is_empty())
    }

    /// What a program says; `None` when it is not there or fails.
    async fn asked(&self, program: &str, arguments: &[&str]) -> Option<String> {
        let asking = Command::new(program)
            .args(arguments)
            .env_clear()
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            // A project's own configuration is no business of this.
            .current_dir("/")
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(ASKED_WITHIN, asking).await.ok()?.ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

async fn read(path: &Path) -> Option<String> {
    let length = tokio::fs::metadata(path).await.ok()?.len();
    if length > LONGEST_AUTHORITIES {
        return None;
    }
    Some(String::from_utf8_lossy(&tokio::fs::read(path).await.ok()?).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn configured(urls: &[(RegistryKind, &str)]) -> PackageRegistries {
        let configured = urls.iter().map(|(kind, url)| (*kind, vec![(*url).to_owned()])).collect();
        PackageRegistries::find(&RegistrySettings { configured, ..RegistrySettings::default() }).await
    }

    #[tokio::test]
    async fn a_user_and_a_password_stay_on_this_machine() {
        let found =
            configured(&[(RegistryKind::Npm, "https://ada:secret@npm.example.org:8443/private/")]).await;
        assert_eq!(found.shown(), ["npm https://npm.example.org:8443/private/"]);
        assert_eq!(
            found.variables(None),
            [("npm_config_registry", "https://npm.example.org:8443/private/".to_owned())]
        );
        assert_eq!(found.rules(), ["npm.example.org:8443".parse().unwrap()]);
        assert_eq!(found.targets(), ["npm.example.org:8443".parse().unwrap()]);
    }

    #[tokio::test]
    async fn what_no_sandbox_could_reach_by_name_opens_nothing() {
        for url in ["http://127.0.0.1:4873/", "https://10.0.0.1/", "off", "direct", "file:///srv", "https://"]
        {
            assert_eq!(configured(&[(RegistryKind::Npm, url)]).await, PackageRegistries::default(), "{url}");
        }
    }

    #[tokio::test]
    async fn nothing_is_asked_of_this_machine_unless_it_is_said_so() {
        assert_eq!(PackageRegistries::find(&RegistrySettings::default()).await, PackageRegistries::default());
    }

    #[test]
    fn addresses_are_read_as_each_package_manager_writes_them() {
        let go = urls_in(RegistryKind::Go, "https://proxy.example.org,direct\n");
        assert_eq!(go[..2], ["https://proxy.example.org", "direct"]);
        let cargo = "[source.crates-io]\nreplace-with = 'mirror'\n[source.mirror]\nregistry = 'sparse+https://c.example.org/index/'\n";
        assert_eq!(urls_in(RegistryKind::Cargo, cargo), ["https://c.example.org/index/"]);
        assert_eq!(urls_in(RegistryKind::Cargo, "[net]\noffline = true\n"), Vec::<String>::new());
        let apt = urls_in(
            RegistryKind::Apt,
            "deb https://deb.example.org/debian trixie main\nURIs: http://d.example.org/x\n",
        );
        let urls: Vec<_> = apt.iter().filter_map(|word| registry(RegistryKind::Apt, word)).collect();
        assert_eq!(urls.len(), 2);
    }

    #[tokio::test]
    async fn cargo_is_told_by_its_configuration() {
        let found = configured(&[(RegistryKind::Cargo, "https://c.example.org/index/")]).await;
        insta::assert_snapshot!(found.cargo_configuration().unwrap(), @r#"
        [source.crates-io]
        replace-with = "registry"

        [source.registry]
        registry = "sparse+https://c.example.org/index/"
        "#);
    }

    #[tokio::test]
    async fn who_installs_for_all_users_uses_the_same_registries_and_trusts_the_same_authorities() {
        let mut found =
            configured(&[(RegistryKind::Npm, "https://n.test/"), (RegistryKind::Go, "https://g.test/")])
                .await;
        assert_eq!(found.sudo_rule().unwrap(), "Defaults env_keep += \"npm_config_registry GOPROXY\"\n");
        found.authorities = Some("-----BEGIN CERTIFICATE-----".to_owned());
        let rule = found.sudo_rule().unwrap();
        assert!(
            rule.contains(" NODE_EXTRA_CA_CERTS npm_config_cafile ") && rule.lines().count() == 1,
            "{rule}"
        );
        assert_eq!(PackageRegistries::default().sudo_rule(), None);
    }

    #[test]
    fn of_a_file_of_certificates_a_private_key_is_left_behind() {
        let pem = "# ours\n-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n\
                   -----BEGIN PRIVATE KEY-----\nSECRET\n-----END PRIVATE KEY-----\n\
                   -----BEGIN CERTIFICATE-----\nBBBB\n-----END CERTIFICATE-----\n";
        assert_eq!(
            certificates_in(pem).unwrap(),
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n\
             -----BEGIN CERTIFICATE-----\nBBBB\n-----END CERTIFICATE-----\n"
        );
        assert_eq!(certificates_in("-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----\n"), None);
    }
}
