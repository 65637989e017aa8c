use nightshift_protocol::Limits;

use super::*;

struct Still;

impl Clock for Still {
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::UNIX_EPOCH
    }
}

impl Entropy for Still {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(0);
    }
}

struct Bench {
    folder: tempfile::TempDir,
    restart: Arc<Notify>,
}

impl Bench {
    fn with(text: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        if let Some(text) = text {
            fs::write(folder.path().join("config.toml"), text).unwrap();
        }
        fs::create_dir(folder.path().join("data")).unwrap();
        Self { folder, restart: Arc::new(Notify::new()) }
    }

    fn environment(&self, variables: &[(&str, &str)]) -> Environment {
        let home = Some(self.folder.path().to_path_buf());
        let base =
            nightshift_client::BaseDirectories { nightshift_home: home.clone(), home, ..Default::default() };
        let variables =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Environment { base, variables, ..Environment::default() }
    }

    /// The keeper of an owner that starts now.
    async fn started(&self, variables: &[(&str, &str)]) -> Keeper {
        let environment = with_kept_keys(&self.environment(variables)).await;
        let folders = Folders::of(&environment.base).unwrap();
        let started = configuration::read(&folders.configuration).unwrap();
        Keeper::new(
            &environment,
            &folders,
            started,
            Arc::new(Still),
            Arc::new(Still),
            Arc::clone(&self.restart),
        )
    }

    fn file(&self) -> Option<String> {
        fs::read_to_string(self.folder.path().join("config.toml")).ok()
    }
}

fn change(settings: &Settings, change: impl FnOnce(&mut SettingsValues)) -> ChangeSettings {
    let mut values = settings.values.clone();
    change(&mut values);
    ChangeSettings { values, revision: settings.revision.clone() }
}

#[tokio::test]
async fn a_change_is_kept_and_pending_until_the_owner_starts_again() {
    let bench = Bench::with(Some("# mine\nsandboxes = 2\n"));
    let keeper = bench.started(&[]).await;
    let before = keeper.settings().await.unwrap();
    assert_eq!((before.pending, before.undoable, before.values.sandboxes), (false, None, Some(2)));
    let after = keeper.change(change(&before, |values| values.sandboxes = Some(5))).await.unwrap();
    assert_eq!((after.pending, after.values.sandboxes), (true, Some(5)));
    assert_eq!(after.undoable, Some(OffsetDateTime::UNIX_EPOCH));
    assert_eq!(bench.file().unwrap(), "# mine\nsandboxes = 5\n");
    assert!(!bench.started(&[]).await.settings().await.unwrap().pending);
}

#[tokio::test]
async fn undo_takes_a_change_back_and_undone_twice_it_is_made_again() {
    let bench = Bench::with(None);
    let keeper = bench.started(&[]).await;
    let before = keeper.settings().await.unwrap();
    let limits = Limits { cost_microdollars: 3_000_000, ..Limits::default() };
    keeper.change(change(&before, |values| values.limits = limits)).await.unwrap();
    assert_eq!(bench.file().unwrap(), "[limits]\ndollars = 3.0\n");
    let undone = keeper.undo().await.unwrap();
    assert_eq!((undone.values, undone.pending, bench.file()), (before.values, false, None));
    assert_eq!(keeper.undo().await.unwrap().values.limits, limits);
}

#[tokio::test]
async fn what_somebody_changed_in_the_file_since_is_not_overwritten() {
    let bench = Bench::with(Some("sandboxes = 2\n"));
    let keeper = bench.started(&[]).await;
    let seen = keeper.settings().await.unwrap();
    keeper.change(change(&seen, |values| values.spare = false)).await.unwrap();
    let refused = keeper.change(change(&seen, |values| values.processors = 8)).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Conflict);
    fs::write(bench.folder.path().join("config.toml"), "sandboxes = 9\n").unwrap();
    let refused = keeper.undo().await.unwrap_err();
    assert_eq!(refused.message, "there is no change to undo");
    assert!(refused.hint.contains("config.toml was changed by hand since"), "{}", refused.hint);
    assert_eq!(bench.file().unwrap(), "sandboxes = 9\n");
}

#[tokio::test]
async fn what_would_keep_an_owner_from_starting_is_refused_with_its_reason_and_changes_nothing() {
    let bench = Bench::with(Some("sandboxes = 2\n"));
    let keeper = bench.started(&[]).await;
    let seen = keeper.settings().await.unwrap();
    let changes: [fn(&mut SettingsValues); 8] = [
        |values| values.memory_mib = 100,
        |values| values.sandboxes = Some(0),
        |values| values.model = "  ".to_owned(),
        |values| values.model = "nope/x".to_owned(),
        |values| values.egress_allow = vec!["http://a.org".to_owned()],
        |values| values.limits.cost_microdollars = 1,
        |values| values.limits.turns = 9_001,
        |values| values.context_tokens = Some(1),
    ];
    let mut said = Vec::new();
    for each in changes {
        said.push(keeper.change(change(&seen, each)).await.unwrap_err().message);
    }
    assert_eq!(
        said,
        [
            "sandbox.memory_mib must be between 512 and 65536",
            "sandboxes must be at least 1",
            "the model has no name",
            "model: nope/x names no provider that there is; there are anthropic, ollama, openai",
            "egress.allow: \"http://a.org\" is a URL: name the host alone, as in example.org or example.org:8443",
            "limits.dollars must be between 0.01 and 100000",
            "limits.turns must be at most 9000",
            "context_tokens must be between 16000 and 10000000",
        ]
    );
    assert_eq!(bench.file().unwrap(), "sandboxes = 2\n");
    assert_eq!(keeper.settings().await.unwrap(), seen);
}

#[tokio::test]
async fn a_link_to_the_file_stays_a_link_and_its_mode_stays() {
    let bench = Bench::with(None);
    let real = bench.folder.path().join("dotfiles.toml");
    fs::write(&real, "sandboxes = 2\n").unwrap();
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink(&real, bench.folder.path().join("config.toml")).unwrap();
    let keeper = bench.started(&[]).await;
    let seen = keeper.settings().await.unwrap();
    keeper.change(change(&seen, |values| values.sandboxes = Some(3))).await.unwrap();
    assert!(bench.folder.path().join("config.toml").is_symlink());
    assert_eq!(fs::read_to_string(&real).unwrap(), "sandboxes = 3\n");
    assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
}

fn keep(key: &str) -> KeepKey {
    KeepKey { key: key.to_owned() }
}

async fn places(keeper: &Keeper) -> Vec<(String, KeyPlace, bool)> {
    let keys = keeper.settings().await.unwrap().keys;
    keys.into_iter().map(|key| (key.name, key.place, key.pending)).collect()
}

#[tokio::test]
async fn a_key_that_is_given_is_used_from_the_next_start_on_and_never_told() {
    let bench = Bench::with(None);
    let keeper = bench.started(&[]).await;
    let kept = keeper.keep_key("ANTHROPIC_API_KEY", keep("sk-ant-1")).await.unwrap();
    assert_eq!((kept.place, kept.pending), (KeyPlace::File, true));
    let told = serde_json::to_string(&keeper.settings().await.unwrap()).unwrap();
    assert!(!told.contains("sk-ant"), "{told}");
    let next = bench.started(&[]).await;
    assert_eq!(next.environment.variable("ANTHROPIC_API_KEY"), Some("sk-ant-1"));
    assert_eq!(places(&next).await[0], ("ANTHROPIC_API_KEY".to_owned(), KeyPlace::File, false));
    let gone = next.forget_key("ANTHROPIC_API_KEY").await.unwrap();
    assert_eq!((gone.place, gone.pending), (KeyPlace::None, true));
}

#[tokio::test]
async fn a_key_of_the_environment_comes_first_and_is_not_replaced_from_outside() {
    let bench = Bench::with(None);
    bench.started(&[]).await.keep_key("ANTHROPIC_API_KEY", keep("sk-kept")).await.unwrap();
    let keeper = bench.started(&[("ANTHROPIC_API_KEY", "sk-own")]).await;
    assert_eq!(keeper.environment.variable("ANTHROPIC_API_KEY"), Some("sk-own"));
    assert_eq!(places(&keeper).await[0], ("ANTHROPIC_API_KEY".to_owned(), KeyPlace::Environment, false));
    let refused = keeper.keep_key("ANTHROPIC_API_KEY", keep("sk-other")).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Conflict);
}

#[tokio::test]
async fn a_kept_token_of_github_is_the_account_s_and_all_kept_keys_are_redacted() {
    let bench = Bench::with(None);
    bench.started(&[]).await.keep_key("GITHUB_TOKEN", keep("ghp_correcthorsebattery")).await.unwrap();
    let environment = with_kept_keys(&bench.environment(&[])).await;
    assert_eq!(environment.github_token.as_deref(), Some("ghp_correcthorsebattery"));
    accounts::teach(&environment.redactor, environment.secrets(), None);
    assert_eq!(environment.redactor.redact("a ghp_correcthorsebattery b"), "a [redacted: GITHUB_TOKEN] b");
}

#[tokio::test]
async fn only_keys_that_are_used_are_kept_and_providers_of_one_s_own_have_theirs() {
    let bench =
        Bench::with(Some("[providers.lab]\nbase_url = \"http://127.0.0.1:9/v1\"\nkey_env = \"LAB_KEY\"\n"));
    let keeper = bench.started(&[]).await;
    let names: Vec<String> = places(&keeper).await.into_iter().map(|(name, ..)| name).collect();
    assert_eq!(
        names,
        ["ANTHROPIC_API_KEY", "OPENAI_API_KEY", "LAB_KEY", "GITHUB_TOKEN", "NIGHTSHIFT_WEBHOOK_SECRET"]
    );
    assert_eq!(keeper.keep_key("LAB_KEY", keep("x1")).await.unwrap().purpose, "lab");
    assert_eq!(keeper.keep_key("../../PATH", keep("x1")).await.unwrap_err().code, ErrorCode::NotFound);
}

#[tokio::test]
async fn keys_for_servers_at_an_address_are_kept_with_the_hosts_they_are_for() {
    let bench = Bench::with(Some(
        "[mcp.keys]\nLINEAR = ['mcp.linear.app', 'a.test:8443']\nGITHUB_TOKEN = ['mcp.github.test']\n",
    ));
    let keeper = bench.started(&[]).await;
    assert_eq!(
        keeper.keep_key("LINEAR", keep("x1")).await.unwrap().purpose,
        "mcp: mcp.linear.app, a.test:8443"
    );
    assert_eq!(keeper.keep_key("GITHUB_TOKEN", keep("x2")).await.unwrap().purpose, "github");
    let environment = with_kept_keys(&bench.environment(&[])).await;
    assert_eq!(environment.variable("LINEAR"), Some("x1"));
}

#[tokio::test]
async fn an_owner_is_not_started_again_with_a_file_it_could_not_read() {
    let bench = Bench::with(None);
    let keeper = bench.started(&[]).await;
    fs::write(bench.folder.path().join("config.toml"), "modle = 1\n").unwrap();
    assert_eq!(keeper.restart().unwrap_err().code, ErrorCode::InvalidRequest);
    fs::write(bench.folder.path().join("config.toml"), "sandboxes = 1\n").unwrap();
    keeper.restart().unwrap();
    bench.restart.notified().await;
}
