//! `lars migrate`: brings a MySQL database to the newest schema, or says how that would be done.

use super::print;
use crate::database::Database;
use crate::outcome::Failure;
use clap::Args;
use lars_store::StoreConfig;
use lars_store::mysql::migrate::{Migration, migrate};

#[derive(Args, Debug)]
pub(super) struct Migrate {
    #[command(flatten)]
    database: Database,
    /// Print the statements that would be run, and run none
    #[arg(long)]
    dry_run: bool,
}

impl Migrate {
    pub(super) fn run(self) -> Result<(), Failure> {
        crate::logging::start("warn");
        let mut store = StoreConfig::default();
        self.database.put_into(&mut store);
        store.check().map_err(Failure::usage)?;
        let Some(access) = store.mysql() else {
            return Err(Failure::usage(
                "which database? Name one with --mysql URL or LARS_MYSQL",
            ));
        };
        let done = super::at_store::block_on(migrate(access, self.dry_run))??;
        print(&told(&done, self.dry_run))
    }
}

fn told(done: &Migration, is_plan: bool) -> String {
    let Migration { from, to, statements } = done;
    if statements.is_empty() {
        return format!("schema {to}: nothing to do\n");
    }
    let mut text = String::new();
    if is_plan {
        for statement in statements {
            text.push_str(statement);
            text.push_str(";\n\n");
        }
    }
    let verb = if is_plan { "would be run" } else { "run" };
    let count = statements.len();
    text + &format!("-- schema {from} to {to}: {count} statements {verb}\n")
}
