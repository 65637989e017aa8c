//! All providers there are, and which one a model's name means.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use nightshift_protocol::Usage;
use tokio::time::timeout;

use crate::{
    ImageSource, Model, ModelFacts, ModelList, Price, Pricing, Progress, Provider, RelayAnswer, RelayApi,
    RelayError, RelayRequest, Turn, TurnError, TurnRequest, Weight,
};

/// How long a provider may take to list its models.
const LISTS_WITHIN: Duration = Duration::from_secs(20);

/// Providers by name. A model is named `PROVIDER/MODEL`; without a provider, the name tells whose it is.
#[derive(Debug, Default)]
pub struct Providers {
    known: BTreeMap<String, Known>,
}

#[derive(Debug)]
enum Known {
    Ready(Box<Provider>),
    /// Nothing can be asked of it for want of a key.
    WithoutKey {
        /// The environment variable that would hold it.
        variable: String,
    },
}

/// The providers whose models are known by how their names begin.
const BY_BEGINNING: [(&str, &str); 6] = [
    ("claude-", "anthropic"),
    ("gpt-", "openai"),
    ("chatgpt-", "openai"),
    ("o1", "openai"),
    ("o3", "openai"),
    ("o4", "openai"),
];

impl Providers {
    /// Adds a provider; one of the same name is replaced.
    pub fn add(&mut self, name: impl Into<String>, provider: Provider) {
        self.known.insert(name.into(), Known::Ready(Box::new(provider)));
    }

    /// Adds a provider that cannot be asked for want of a key.
    pub fn add_without_key(&mut self, name: impl Into<String>, variable: impl Into<String>) {
        self.known.insert(name.into(), Known::WithoutKey { variable: variable.into() });
    }

    /// The names of all providers.
    pub fn names(&self) -> Vec<String> {
        self.known.keys().cloned().collect()
    }

    fn unknown(&self, provider: &str) -> TurnError {
        TurnError::UnknownProvider { provider: provider.to_owned(), known: self.names() }
    }

    /// What each provider lists that does so within that time, asked all at once, and which do not.
    async fn listed(&self, within: Duration) -> ModelList {
        let asked = self.known.iter().map(|(name, known)| async move {
            let answer = match known {
                Known::Ready(provider) => timeout(within, provider.models())
                    .await
                    .unwrap_or(Err(TurnError::Silent { tries: 1, silence: within })),
                Known::WithoutKey { variable } => Err(missing(name, variable)),
            };
            (name, answer)
        });
        let mut all = ModelList::default();
        for (name, answer) in join_all(asked).await {
            match answer {
                Ok(list) => all.models.extend(list.models.into_iter().map(|facts| {
                    let id = format!("{name}/{}", facts.id);
                    ModelFacts { id, ..facts }
                })),
                Err(error) => all.troubles.push((name.clone(), error)),
            }
        }
        all
    }

    /// The provider to which calls of foreign clients are carried.
    fn relayed(&self, name: &str) -> Result<&Provider, RelayError> {
        match self.known.get(name) {
            Some(Known::Ready(provider)) => Ok(provider),
            Some(Known::WithoutKey { variable }) => {
                Err(RelayError::MissingKey { provider: name.to_owned(), variable: variable.clone() })
            }
            None => Err(RelayError::UnknownProvider { provider: name.to_owned() }),
        }
    }

    /// The provider of a model, and the provider's own name of the model.
    fn of<'a>(&self, model: &'a str) -> Result<(&Provider, &'a str), TurnError> {
        let (name, rest) = match model.split_once('/') {
            Some((name, rest)) if self.known.contains_key(name) => (name, rest),
            // Names of models have slashes too, such as `Qwen/Qwen3-VL`.
            other => match BY_BEGINNING.iter().find(|(beginning, _)| model.starts_with(beginning)) {
                Some((_, name)) => (*name, model),
                None => return Err(self.unknown(other.map_or(model, |(name, _)| name))),
            },
        };
        match self.known.get(name) {
            Some(Known::Ready(provider)) => Ok((provider, rest)),
            Some(Known::WithoutKey { variable }) => Err(missing(name, variable)),
            None => Err(self.unknown(name)),
        }
    }
}

fn missing(provider: &str, variable: &str) -> TurnError {
    TurnError::MissingKey { provider: provider.to_owned(), variable: variable.to_owned() }
}

#[async_trait]
impl Model for Providers {
    async fn turn(
        &self,
        request: &TurnRequest,
        images: &dyn ImageSource,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Turn, TurnError> {
        let (provider, model) = self.of(&request.model)?;
        if model == request.model {
            return provider.turn(request, images, progress).await;
        }
        // Messages are shared, so this copies their addresses only.
        let request = TurnRequest { model: model.to_owned(), ..request.clone() };
        provider.turn(&request, images, progress).await
    }

    async fn check(&self, model: &str) -> Result<ModelFacts, TurnError> {
        let (provider, model) = self.of(model)?;
        provider.check(model).await
    }

    async fn models(&self) -> Result<ModelList, TurnError> {
        Ok(self.listed(LISTS_WITHIN).await)
    }

    fn price(&self, model: &str) -> Option<Price> {
        let (provider, model) = self.of(model).ok()?;
        provider.price(model)
    }

    fn relay_api(&self, provider: &str) -> Result<RelayApi, RelayError> {
        self.relayed(provider)?.relay_api(provider)
    }

    fn weigh(&self, provider: &str, request: &RelayRequest) -> Result<Weight, RelayError> {
        self.relayed(provider)?.weigh(provider, request)
    }

    async fn relay(
        &self,
        provider: &str,
        request: &RelayRequest,
        weight: &Weight,
    ) -> Result<RelayAnswer, RelayError> {
        self.relayed(provider)?.relay(provider, request, weight).await
    }

    fn pricing(&self, provider: &str, model: &str) -> Pricing {
        self.relayed(provider).map_or(Pricing::Unknown, |known| known.pricing(provider, model))
    }

    fn cost(&self, provider: &str, model: &str, usage: Usage) -> Usage {
        self.relayed(provider).map_or(usage, |known| known.cost(provider, model, usage))
    }
}

#[cfg(test)]
#[path = "providers_tests.rs"]
mod tests;
