//! What an operator asks of any service: its status, and the routes of dns. Taken by services over the Unix socket
//! and from loopback only.

use crate::builder::{bounded_name, program_name};
use crate::connection::{Connection, Deadline};
use crate::endpoint::Endpoint;
use crate::error::ClientError;
use lars_wire::admin::{EditRoutes, Edited, GetStatus, ListRoutes, RouteRows, StatusText};
use lars_wire::bounds::EDITS_MAX;
use lars_wire::held::{AcceptHeld, HeldRows, ListHeld};
use lars_wire::names::{ListNames, NameRows, NameSet, SetName};
use lars_wire::{Message, ModuleId, NodeAddr};
use std::time::Duration;

pub use lars_wire::admin::{LinkState, LinkStatus, RouteEdit, RouteRow};
pub use lars_wire::held::{HeldAccepted, HeldRow};
pub use lars_wire::names::{NameOf, NameRow};

/// How long an operation may take where nothing else is said: an edit waits for the store and for the agents.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);

/// One connection to a service, for one thread. After an error the next operation connects anew.
#[derive(Debug)]
pub struct Admin {
    endpoint: Endpoint,
    name: String,
    timeout: Duration,
    connection: Option<Connection>,
}

impl Admin {
    /// Connects to the service at `endpoint`; every operation may take 5 s.
    pub fn connect(endpoint: &Endpoint) -> Result<Self, ClientError> {
        Self::connect_with(endpoint, TIMEOUT_DEFAULT)
    }

    /// Connects to the service at `endpoint`; every operation may take `timeout`. The time that the system takes to
    /// resolve a host's name comes on top: it cannot be bounded from here.
    pub fn connect_with(endpoint: &Endpoint, timeout: Duration) -> Result<Self, ClientError> {
        let mut admin = Self {
            endpoint: endpoint.clone(),
            name: bounded_name(program_name()),
            timeout,
            connection: None,
        };
        admin.connected(Deadline::after(timeout))?;
        Ok(admin)
    }

    /// How the service does.
    pub fn status(&mut self) -> Result<StatusText, ClientError> {
        self.ask(&GetStatus { version: 1 }, "for its status")
    }

    /// All routes, or those of `module`, in order of module and address. Each page of the answer may take the
    /// timeout; what changes meanwhile may be seen or not.
    pub fn list_routes(&mut self, module: Option<ModuleId>) -> Result<Vec<RouteRow>, ClientError> {
        let mut rows: Vec<RouteRow> = Vec::new();
        loop {
            let after = rows.last().map(place);
            let page: RouteRows = self.ask(&ListRoutes { module, after }, "to list routes")?;
            let ordered = page.rows.iter().map(place).is_sorted_by(|one, next| one < next);
            let behind = page.rows.first().map(place) > after || page.rows.is_empty();
            if !ordered || !behind || (page.more && page.rows.is_empty()) {
                return Err(self.protocol("a page of routes does not follow the page before"));
            }
            rows.extend(page.rows);
            if !page.more {
                return Ok(rows);
            }
        }
    }

    /// Changes routes and returns when dns has published them. Up to 512 edits are one transaction, all or none;
    /// more are sent 512 at a time, each an own transaction: after an error the earlier ones are done. The counts
    /// are summed, the version is the last.
    pub fn edit_routes(&mut self, edits: Vec<RouteEdit>) -> Result<Edited, ClientError> {
        let mut sum = Edited {
            put: 0,
            removed: 0,
            version: 0,
            unconfirmed: 0,
        };
        let mut rest = edits;
        while !rest.is_empty() {
            let behind = rest.split_off(rest.len().min(EDITS_MAX));
            let edited: Edited = self.ask(&EditRoutes { edits: rest }, "to edit routes")?;
            sum.put += edited.put;
            sum.removed += edited.removed;
            sum.version = edited.version;
            sum.unconfirmed = sum.unconfirmed.max(edited.unconfirmed);
            rest = behind;
        }
        Ok(sum)
    }

    /// Names for people, all or that of one number, in order of number. Each page of the answer may take the timeout.
    pub fn list_names(&mut self, of: NameOf, number: Option<u32>) -> Result<Vec<NameRow>, ClientError> {
        let mut rows: Vec<NameRow> = Vec::new();
        loop {
            let after = rows.last().map(|row| row.number);
            let page: NameRows = self.ask(&ListNames { of, number, after }, "to list names")?;
            let ordered = page
                .rows
                .iter()
                .map(|row| row.number)
                .is_sorted_by(|one, next| one < next);
            let behind = page.rows.first().map(|row| row.number) > after || page.rows.is_empty();
            if !ordered || !behind || (page.more && page.rows.is_empty()) {
                return Err(self.protocol("a page of names does not follow the page before"));
            }
            rows.extend(page.rows);
            if !page.more {
                return Ok(rows);
            }
        }
    }

    /// Gives a name, or takes it away; returns the name before.
    pub fn set_name(
        &mut self,
        of: NameOf,
        number: u32,
        name: Option<String>,
    ) -> Result<Option<String>, ClientError> {
        let set: NameSet = self.ask(&SetName { of, number, name }, "to set a name")?;
        Ok(set.before)
    }

    /// The modules whose loss of nodes dns holds back, in order, and whether people must decide about them. Each page
    /// of the answer may take the timeout.
    pub fn list_held(&mut self) -> Result<(Vec<HeldRow>, bool), ClientError> {
        let mut rows: Vec<HeldRow> = Vec::new();
        loop {
            let after = rows.last().map(|row| row.module);
            let page: HeldRows = self.ask(&ListHeld { after }, "what it holds back")?;
            let ordered = page
                .rows
                .iter()
                .map(|row| row.module)
                .is_sorted_by(|one, next| one < next);
            let behind = page.rows.first().map(|row| row.module) > after || page.rows.is_empty();
            if !ordered || !behind || (page.more && page.rows.is_empty()) {
                return Err(self.protocol("a page of what is held does not follow the page before"));
            }
            rows.extend(page.rows);
            if !page.more {
                return Ok((rows, page.waits));
            }
        }
    }

    /// Tells dns that all that it holds back is meant; returns when it has published it.
    pub fn accept_held(&mut self) -> Result<HeldAccepted, ClientError> {
        self.ask(&AcceptHeld { version: 1 }, "to accept what it holds back")
    }

    fn ask<Q: Message, A: Message>(&mut self, question: &Q, asked: &'static str) -> Result<A, ClientError> {
        let deadline = Deadline::after(self.timeout);
        let connection = self.connected(deadline)?;
        connection.ask(question, asked, deadline)
    }

    fn connected(&mut self, deadline: Deadline) -> Result<&mut Connection, ClientError> {
        if !self.connection.as_ref().is_some_and(Connection::is_usable) {
            self.connection = None;
        }
        match &mut self.connection {
            Some(connection) => Ok(connection),
            none => Ok(none.insert(Connection::open(&self.endpoint, &self.name, deadline)?)),
        }
    }

    fn protocol(&mut self, what: &str) -> ClientError {
        self.connection = None;
        ClientError::Protocol {
            endpoint: self.endpoint.clone(),
            what: what.to_owned(),
        }
    }
}

/// A row's place in the order of the listing.
fn place(row: &RouteRow) -> (ModuleId, NodeAddr) {
    (row.module, row.node)
}
