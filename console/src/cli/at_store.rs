//! Commands that look into a store themselves: which one, and the thread that waits for it.

use crate::find::DATA_DEFAULT;
use crate::outcome::{Code, Failure};
use clap::Args;
use lars_store::{AnyStore, StoreConfig, StoreError};
use std::path::PathBuf;

/// Options that name a store.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Which store")]
pub(super) struct AtStore {
    /// A MySQL database, mysql://USER:PASSWORD@HOST:PORT/DATABASE
    #[arg(long, value_name = "URL", env = "LARS_MYSQL", hide_env_values = true)]
    mysql: Option<String>,
    /// The data folder of `lars up` whose embedded store is meant [default: ./lars-data]
    #[arg(long, value_name = "DIR", env = "LARS_DATA")]
    data: Option<PathBuf>,
}

impl AtStore {
    /// Opens the store; makes none.
    pub(super) async fn open(&self) -> Result<AnyStore, Failure> {
        let data = self.data.clone().unwrap_or_else(|| PathBuf::from(DATA_DEFAULT));
        let config = StoreConfig {
            sqlite_path: data.join("lars.sqlite"),
            mysql_url: self.mysql.clone(),
        };
        if self.mysql.is_none() && !config.sqlite_path.exists() {
            let path = config.sqlite_path.display();
            return Err(Failure::usage(format!(
                "{path}: there is no store; name one with --data DIR or --mysql URL"
            )));
        }
        Ok(AnyStore::open(&config).await?)
    }
}

/// Waits for what is done with a store.
pub(super) fn block_on<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::other(format!("a runtime: {error}")))?;
    Ok(runtime.block_on(work))
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let code = match error {
            StoreError::Away(_) => Code::Unreachable,
            StoreError::Unfit(_) => Code::Usage,
            StoreError::Refused(_) => Code::Other,
        };
        Self::new(code, error.to_string())
    }
}
