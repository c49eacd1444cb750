//! The asking operations for async callers (feature `tokio`). What the board answers is answered at once, without
//! yielding; what must be asked of the agent is asked on one of tokio's threads for blocking work, with the same
//! deadlines, so that no thread that runs tasks ever waits. Reporting through the board never waits either.

use crate::call::Call;
use crate::client::{Client, PickOptions};
use crate::error::{ClientError, PickError};
use lars_wire::ModuleId;
use std::time::Duration;

impl Client {
    /// As [`Client::pick`].
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
            return made;
        }
        let PickOptions { key, wait, .. } = options;
        let avoid = options.avoid.to_vec();
        self.elsewhere(move |client| {
            let avoid = &avoid;
            client.pick_with(module, PickOptions { key, avoid, wait })
        })
        .await?
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

    async fn elsewhere<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Client) -> T + Send + 'static,
    ) -> Result<T, ClientError> {
        let client = self.clone();
        let asked = tokio::task::spawn_blocking(move || ask(&client)).await;
        asked.map_err(|error| match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => ClientError::Lost {
                endpoint: self.endpoint(),
                reason: format!("the runtime ends: {error}"),
            },
        })
    }
}
