//! A night whose repository is at a GitHub on the wire.

use std::path::Path;
use std::sync::Arc;

use nightshift_forge::github::{Addresses, Credential, GitHub, GitHubSettings};
use nightshift_forge::secrets::{Redactor, Secret};
use nightshift_protocol::{RunId, SubmitTask};
use nightshift_supervisor::{DeliverySettings, NetworkSettings};
use nightshift_testing::github as fake;
use nightshift_testing::host_sandbox::HostDriver;
use nightshift_testing::scripted_model::{Script, ScriptedModel};
use serde_json::Value;

use crate::{Night, Owner, SystemClock, small_repository, task};

/// The token of the account. It is a secret of the owner, and looks like one.
pub const TOKEN: &str = "ghp_aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC2dF4gH6";

pub struct SiteNight {
    pub site: fake::GitHub,
    pub night: Night,
    pub delivery: DeliverySettings,
}

impl SiteNight {
    /// Begins with a repository `ada/notes` at the site, and a token that may upload attachments.
    pub async fn begin(script: Value) -> Self {
        Self::begin_with(script, fake::Token::Personal, delivery()).await
    }

    pub async fn begin_with(script: Value, kind: fake::Token, delivery: DeliverySettings) -> Self {
        Self::begin_on(script, kind, delivery, (320, 200), None).await
    }

    /// Begins with a screen of a size that shows a picture: red, green and blue bytes.
    pub async fn begin_on(
        script: Value,
        kind: fake::Token,
        delivery: DeliverySettings,
        screen: (u32, u32),
        picture: Option<Vec<u8>>,
    ) -> Self {
        let script = Script::parse(&script.to_string()).expect("the script is valid");
        let model = ScriptedModel::start(script).await;
        let folder = tempfile::Builder::new().prefix("ns").tempdir_in("/tmp").unwrap();
        let driver = HostDriver::new(folder.path().join("sandboxes"), screen);
        let driver = Arc::new(match picture {
            Some(picture) => driver.with_picture(picture),
            None => driver,
        });
        let root = folder.path().join("site");
        let site = fake::GitHub::start(&root).await;
        site.admit(TOKEN, kind, "nightshift-bot");
        site.add_repository("ada", "notes", &small_repository(folder.path())).unwrap();
        let owner = start(folder.path(), &driver, &model, &site, &delivery).await;
        Self {
            site,
            night: Night { folder, model, driver, owner, window: None, network: NetworkSettings::default() },
            delivery,
        }
    }

    pub async fn submit(&self, description: &str) -> RunId {
        let repository = format!("{}/ada/notes", self.site.web_url());
        let request = SubmitTask { repository, ..task(description, Path::new("/")) };
        self.night.owner.api.submit_task(request).await.unwrap().run
    }

    /// Ends the owner as a crash would, and starts another over the same history and sandboxes.
    pub async fn owner_restarts(&mut self) {
        self.night.owner.supervisor.rest().await;
        let night = &mut self.night;
        night.owner =
            start(night.folder.path(), &night.driver, &night.model, &self.site, &self.delivery).await;
        night.owner.supervisor.resume().await.unwrap();
    }

    /// Lets the owner look at its pull requests from now on, and at once.
    pub async fn watch(&self) {
        self.night.owner.supervisor.watch_forge().await;
    }

    /// Lets the owner look no more.
    pub async fn unwatch(&self) {
        self.night.owner.supervisor.unwatch_forge().await;
    }

    /// Fails when a request broke the rules of the model's provider or of the site.
    pub fn assert_no_breach(&self) {
        self.night.assert_no_breach();
        assert_eq!(self.site.breaches(), Vec::<String>::new());
    }
}

/// Asks as a reader of a body does, without a token.
pub async fn get(url: &str) -> reqwest::Result<reqwest::Response> {
    // Another test of this process may have been first.
    let _was_first = rustls::crypto::ring::default_provider().install_default();
    reqwest::get(url).await
}

/// Signs a webhook as a site does.
pub fn signature(secret: &str, body: &[u8]) -> String {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
    let tag = ring::hmac::sign(&key, body);
    format!("sha256={}", tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

/// Deliveries that know the token, ask for news often, and make no videos.
pub fn delivery() -> DeliverySettings {
    DeliverySettings {
        self_review_rounds: 0,
        redactor: Redactor::new([("GITHUB_TOKEN".to_owned(), Secret::new(TOKEN))]),
        poll_every: std::time::Duration::from_millis(150),
        // What is not tested costs nothing.
        video: false,
        ..DeliverySettings::default()
    }
}

async fn start(
    folder: &Path,
    driver: &Arc<HostDriver>,
    model: &ScriptedModel,
    site: &fake::GitHub,
    delivery: &DeliverySettings,
) -> Owner {
    let mut addresses = Addresses::of_site(&site.web_url());
    addresses.uploads = Some(site.uploads_url());
    let credential = Credential::Token(Secret::new(TOKEN));
    let settings = GitHubSettings {
        addresses,
        credential,
        proxy: None,
        no_proxy: None,
        redactor: delivery.redactor.clone(),
    };
    let account = GitHub::new(settings, Arc::new(SystemClock)).unwrap();
    Owner::start_with(
        folder,
        driver,
        &model.base_url(),
        None,
        NetworkSettings::default(),
        Some(account),
        delivery.clone(),
    )
    .await
}
