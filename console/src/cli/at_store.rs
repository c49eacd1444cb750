//! Commands that look into a store themselves: which one, and the thread that waits for it.

use crate::database::Database;
use crate::find::data_folder;
use crate::outcome::{Code, Failure};
use clap::Args;
use lars_store::{AnyStore, StoreConfig, StoreError};
use std::path::PathBuf;

/// Options that name a store.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Which store")]
pub(super) struct AtStore {
    #[command(flatten)]
    database: Database,
    /// The data folder of `lars up` whose embedded store is meant [env: LARS_DATA] [default: ./lars-data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

impl AtStore {
    /// Opens the store; makes none.
    pub(super) async fn open(&self) -> Result<AnyStore, Failure> {
        let mut config = StoreConfig {
            sqlite_path: data_folder(self.data.clone()).join("lars.sqlite"),
            ..StoreConfig::default()
        };
        self.database.clone().put_into(&mut config);
        if config.mysql_url.is_none() && !config.sqlite_path.exists() {
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
