//! The states of the links to dns and report: written by the control thread, read by whoever answers a status.

use arc_swap::ArcSwap;
use lars_wire::admin::{LinkState, LinkStatus, bounded_text};
use std::sync::Arc;

/// The links to the addresses of one service.
#[derive(Debug)]
pub(crate) struct LinkTable {
    rows: ArcSwap<Vec<LinkStatus>>,
}

impl LinkTable {
    /// Every address in reserve.
    pub(crate) fn new(to: &str, addrs: &[String]) -> Self {
        let row = |addr: &String| LinkStatus {
            to: to.to_owned(),
            addr: bounded_text(addr.clone()),
            state: LinkState::Standby,
            error: String::new(),
        };
        Self {
            rows: ArcSwap::from_pointee(addrs.iter().map(row).collect()),
        }
    }

    /// The address at `place` is in `state` from now on. An error is kept until the link is up.
    pub(crate) fn set(&self, place: usize, state: LinkState, error: Option<&str>) {
        let mut rows = Vec::clone(&self.rows.load());
        let Some(row) = rows.get_mut(place) else { return };
        row.state = state;
        match error {
            Some(error) => row.error = bounded_text(error.to_owned()),
            None if state == LinkState::Up => row.error.clear(),
            None => {}
        }
        self.rows.store(Arc::new(rows));
    }

    /// Every address with its state.
    pub(crate) fn rows(&self) -> Arc<Vec<LinkStatus>> {
        self.rows.load_full()
    }

    /// Whether one of them is up.
    pub(crate) fn is_up(&self) -> bool {
        self.rows.load().iter().any(|row| row.state == LinkState::Up)
    }

    /// Whether one of them is up or being set up.
    pub(crate) fn is_hopeful(&self) -> bool {
        let hopeful = |row: &LinkStatus| matches!(row.state, LinkState::Up | LinkState::Connecting);
        self.rows.load().iter().any(hopeful)
    }
}

/// The links of an agent.
#[derive(Debug)]
pub(crate) struct Links {
    /// To dns.
    pub dns: LinkTable,
    /// To report.
    pub report: LinkTable,
}

impl Links {
    /// Nothing is up yet.
    pub(crate) fn new(dns: &[String], report: &[String]) -> Self {
        Self {
            dns: LinkTable::new("dns", dns),
            report: LinkTable::new("report", report),
        }
    }

    /// All links, dns first.
    pub(crate) fn rows(&self) -> Vec<LinkStatus> {
        let mut rows = Vec::clone(&self.dns.rows());
        rows.extend(self.report.rows().iter().cloned());
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_stays_until_the_link_is_up() {
        let table = LinkTable::new("dns", &["a:1".to_owned(), "b:1".to_owned()]);
        table.set(0, LinkState::BackingOff, Some("refused"));
        table.set(0, LinkState::Connecting, None);
        assert_eq!(table.rows()[0].error, "refused");
        assert!(!table.is_up() && table.is_hopeful());
        table.set(0, LinkState::Up, None);
        assert_eq!(table.rows()[0].error, "");
        assert!(table.is_up());
        assert_eq!(table.rows()[1].state, LinkState::Standby);
    }
}
