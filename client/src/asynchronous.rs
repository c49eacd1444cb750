//! The asking operations for async callers (feature `tokio`). What the board answers is answered at once, without
//! yielding; what must be asked of the agent is asked on one of tokio's threads for blocking work, with the same
//! deadlines. Reporting through the board never waits either, and what is reported over the socket of calls that were picked
//! here is sent by a thread of the client's (`outbox`): so no thread that runs tasks ever waits for the agent.
//!
//! The other operations have no such form and wait: `Client::report`, `report_many`, `route`, `explain`, `changes`, `status` and
//! `record`, and the forms of a `Picker` without `async`. Async callers run them by `spawn_blocking`.

use crate::builder::Builder;
use crate::call::{Call, Chosen};
use crate::client::{Client, PickOptions};
use crate::endpoint::Endpoint;
use crate::error::{ClientError, PickError};
use crate::picker::Picker;
use lars_wire::ModuleId;
use std::path::PathBuf;
use std::time::Duration;

impl Builder {
    /// As [`Builder::connect`].
    pub async fn connect_async(self) -> Result<Client, ClientError> {
        let endpoint = self.endpoint();
        elsewhere(endpoint, move || self.connect()).await?
    }
}

impl Client {
    /// As [`Client::connect`].
    pub async fn connect_async(path: impl Into<PathBuf>) -> Result<Self, ClientError> {
        Self::builder().path(path).connect_async().await
    }

    /// As [`Client::pick`]. The verdict of the call waits for nobody; a report that could not be sent is told by the next flush.
    pub async fn pick_async(&self, module: ModuleId) -> Result<Call, PickError> {
        self.pick_with_async(module, PickOptions::default()).await
    }

    /// As [`Client::pick_with`].
    pub async fn pick_with_async(
        &self,
        module: ModuleId,
        options: PickOptions<'_>,
    ) -> Result<Call, PickError> {
        if let Some(made) = self.look(module, options)? {
            return made.map(Call::aside);
        }
        let asked = self.ask_async(module, options).await?;
        self.settle(asked, module, options).map(Call::aside)
    }

    /// As [`Client::register`].
    pub async fn register_async(&self, module: ModuleId, wait: Duration) -> Result<u64, PickError> {
        self.elsewhere(move |client| client.register(module, wait))
            .await?
    }

    /// As [`Client::flush`].
    pub async fn flush_async(&self) -> Result<(), ClientError> {
        self.elsewhere(Client::flush).await?
    }

    /// Asks the agent for a node; an error of its own where nobody could be asked.
    async fn ask_async(
        &self,
        module: ModuleId,
        options: PickOptions<'_>,
    ) -> Result<Result<Chosen, PickError>, ClientError> {
        let PickOptions { key, wait, .. } = options;
        let avoid = options.avoid.to_vec();
        self.elsewhere(move |client| {
            let avoid = &avoid;
            client.ask(module, PickOptions { key, avoid, wait })
        })
        .await
    }

    async fn elsewhere<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Client) -> T + Send + 'static,
    ) -> Result<T, ClientError> {
        let client = self.clone();
        elsewhere(self.endpoint(), move || ask(&client)).await
    }
}

impl Picker {
    /// As [`Picker::pick`], with a call as [`Client::pick_async`] gives it.
    pub async fn pick_async(&mut self, module: ModuleId) -> Result<Call, PickError> {
        self.pick_with_async(module, PickOptions::default()).await
    }

    /// As [`Picker::pick_with`].
    pub async fn pick_with_async(
        &mut self,
        module: ModuleId,
        options: PickOptions<'_>,
    ) -> Result<Call, PickError> {
        if let Some(made) = self.look(module, options)? {
            return made.map(Call::aside);
        }
        let asked = self.client().ask_async(module, options).await?;
        self.settle(asked, module, options).map(Call::aside)
    }
}

/// Runs what may wait on one of tokio's threads for that.
async fn elsewhere<T: Send + 'static>(
    endpoint: Endpoint,
    ask: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ClientError> {
    let asked = tokio::task::spawn_blocking(ask).await;
    asked.map_err(|error| match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(error) => ClientError::Lost {
            endpoint,
            reason: format!("the runtime ends: {error}"),
        },
    })
}
