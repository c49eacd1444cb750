//! Tells rows of `RouteData` that can be served from those that cannot. Its own file because every database shares
//! it, and because other programs write whatever they like.

use crate::routes::{BadRow, PageRead, RouteRecord, Rows};
use lars_wire::bounds::{WEIGHT_MAX, ZONE_BYTES_MAX};
use lars_wire::{ModuleId, NodeAddr, NodeState};
use std::collections::HashSet;
use std::sync::Arc;

/// A row as the database gives it; `None` is a value of the wrong type.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawRow<'a> {
    pub(crate) id: u64,
    pub(crate) modid: Option<i64>,
    pub(crate) cmdid: Option<i64>,
    pub(crate) serverip: Option<i64>,
    pub(crate) serverport: Option<i64>,
    pub(crate) weight: Option<i64>,
    pub(crate) zone: Option<&'a str>,
    pub(crate) state: Option<&'a str>,
    /// Empty where there is none.
    pub(crate) serverip6: &'a [u8],
}

/// Judges rows one by one, in order of id within a module, and gathers them.
pub(crate) struct Judge {
    rows: Rows,
    /// The largest module and node so far. Rows are mostly written in their order: then none can stand twice.
    largest: Option<(ModuleId, NodeAddr)>,
    /// Every module and node so far, from the first one on that came out of order.
    seen: Option<HashSet<(ModuleId, NodeAddr)>>,
    zones: HashSet<Arc<str>>,
    /// The zone of the row before: most rows stand in the same, so most cost neither a search nor an allocation.
    zone_last: Arc<str>,
}

impl Judge {
    pub(crate) fn new() -> Self {
        Self {
            rows: Rows::default(),
            largest: None,
            seen: None,
            zones: HashSet::new(),
            zone_last: Arc::from(""),
        }
    }

    /// Keeps a row that can be served and is not the second of its node.
    pub(crate) fn take(&mut self, raw: &RawRow<'_>) {
        let Some(record) = self.judge(raw) else { return };
        if self.is_new(record.module, record.node) {
            self.rows.good.push(record);
        } else {
            self.rows.bad.push(BadRow::repeated(&record));
        }
    }

    /// Judges a row by itself; one that cannot be served is kept.
    pub(crate) fn judge(&mut self, raw: &RawRow<'_>) -> Option<RouteRecord> {
        self.rows.last_id = self.rows.last_id.max(Some(raw.id));
        match self.record(raw) {
            Ok(record) => Some(record),
            Err(reason) => {
                self.put_bad(raw, reason);
                None
            }
        }
    }

    /// What was kept where each row was judged by itself.
    pub(crate) fn into_page(self) -> PageRead {
        let Rows { mut bad, last_id, .. } = self.rows;
        bad.sort_by_key(|row| row.id);
        PageRead { bad, last_id }
    }

    /// What was taken, sorted by id.
    pub(crate) fn into_rows(mut self) -> Rows {
        // Already sorted where one range was read; then this is one comparison a row.
        self.rows.good.sort_by_key(|row| row.id);
        self.rows.bad.sort_by_key(|row| row.id);
        self.rows
    }

    fn put_bad(&mut self, raw: &RawRow<'_>, reason: String) {
        self.rows.bad.push(BadRow {
            id: raw.id,
            module: (raw.modid.unwrap_or(0), raw.cmdid.unwrap_or(0)),
            reason,
        });
    }

    fn record(&mut self, raw: &RawRow<'_>) -> Result<RouteRecord, String> {
        let module = ModuleId {
            modid: number("modid", raw.modid, 0, u32::MAX)?,
            cmdid: number("cmdid", raw.cmdid, 0, u32::MAX)?,
        };
        let node = node(raw)?;
        let weight = number("weight", raw.weight, 1, u32::from(WEIGHT_MAX))? as u16;
        let state = match raw.state {
            Some(text) => state_of(text).ok_or_else(|| {
                // What another program wrote may be long.
                let shown: String = text.escape_debug().take(32).collect();
                format!("state '{shown}' is neither serving nor draining")
            })?,
            None => return Err("state is no text".to_owned()),
        };
        let zone = raw.zone.ok_or("zone is no text")?;
        if zone.len() > ZONE_BYTES_MAX {
            return Err(format!(
                "zone has {} bytes, at most {ZONE_BYTES_MAX} are taken",
                zone.len()
            ));
        }
        Ok(RouteRecord {
            id: raw.id,
            module,
            node,
            weight,
            state,
            zone: self.zone(zone),
        })
    }

    fn is_new(&mut self, module: ModuleId, node: NodeAddr) -> bool {
        let key = (module, node);
        if self.seen.is_none() && self.largest < Some(key) {
            self.largest = Some(key);
            return true;
        }
        let good = &self.rows.good;
        let seen = self
            .seen
            .get_or_insert_with(|| good.iter().map(|row| (row.module, row.node)).collect());
        seen.insert(key)
    }

    fn zone(&mut self, zone: &str) -> Arc<str> {
        if *self.zone_last != *zone {
            self.zone_last = self.zones.get(zone).map_or_else(|| Arc::from(zone), Arc::clone);
            self.zones.insert(Arc::clone(&self.zone_last));
        }
        Arc::clone(&self.zone_last)
    }
}

/// How a state stands in the database.
pub(crate) const fn state_text(state: NodeState) -> &'static str {
    match state {
        NodeState::Serving => "serving",
        NodeState::Draining => "draining",
    }
}

fn state_of(text: &str) -> Option<NodeState> {
    NodeState::ALL
        .iter()
        .copied()
        .find(|&state| state_text(state) == text)
}

fn number(name: &str, value: Option<i64>, min: u32, max: u32) -> Result<u32, String> {
    let value = value.ok_or_else(|| format!("{name} is no number"))?;
    if (i64::from(min)..=i64::from(max)).contains(&value) {
        Ok(value as u32)
    } else {
        Err(format!("{name} {value} is outside {min} to {max}"))
    }
}

fn node(raw: &RawRow<'_>) -> Result<NodeAddr, String> {
    let port = number("serverport", raw.serverport, 1, u32::from(u16::MAX))? as u16;
    let ip = number("serverip", raw.serverip, 0, u32::MAX)?;
    let node = match (ip, raw.serverip6) {
        (0, []) => return Err("the address is 0".to_owned()),
        (ip, []) => NodeAddr::from_ipv4_number(ip, port),
        (0, bytes) => {
            let octets = <[u8; 16]>::try_from(bytes)
                .map_err(|_| format!("serverip6 has {} bytes, an address has 16", bytes.len()))?;
            let node = NodeAddr::from_octets(octets, port);
            // Under two spellings one node would be two.
            if node.ipv4_number().is_some() {
                return Err(format!("{} in serverip6 belongs into serverip", node.ip()));
            }
            node
        }
        (_, _) => return Err("both serverip and serverip6 hold an address".to_owned()),
    };
    if node.is_callable() {
        Ok(node)
    } else {
        Err("the address is 0".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: RawRow<'static> = RawRow {
        id: 1,
        modid: Some(1),
        cmdid: Some(2),
        serverip: Some(0x0a00_0001),
        serverport: Some(80),
        weight: Some(100),
        zone: Some("a"),
        state: Some("serving"),
        serverip6: &[],
    };

    fn reason(raw: RawRow<'_>) -> String {
        let mut judge = Judge::new();
        judge.take(&raw);
        let rows = judge.into_rows();
        assert_eq!(rows.last_id, Some(raw.id), "a bad row counts for the paging too");
        rows.bad.first().map(|bad| bad.reason.clone()).unwrap_or_default()
    }

    /// A good row with one thing changed.
    fn but(change: impl FnOnce(&mut RawRow<'static>)) -> RawRow<'static> {
        let mut raw = GOOD;
        change(&mut raw);
        raw
    }

    const ONE: &[u8] = &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    const MAPPED: &[u8] = &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1];
    const LONG: &str = "a zone of more than thirty-two bytes";

    #[test]
    fn row_within_all_ranges_is_served() {
        for good in [
            GOOD,
            but(|raw| raw.modid = Some(i64::from(u32::MAX))),
            but(|raw| raw.serverport = Some(65_535)),
            but(|raw| raw.weight = Some(10_000)),
            but(|raw| raw.state = Some("draining")),
            but(|raw| raw.zone = Some(&LONG[..ZONE_BYTES_MAX])),
            but(|raw| (raw.serverip, raw.serverip6) = (Some(0), ONE)),
        ] {
            assert_eq!(reason(good), "");
        }
    }

    #[test]
    fn each_fault_of_a_row_is_named() {
        for (raw, expected) in [
            (but(|raw| raw.modid = Some(-1)), "modid -1"),
            (but(|raw| raw.cmdid = Some(1 << 32)), "cmdid 4294967296"),
            (but(|raw| raw.modid = None), "modid is no number"),
            (but(|raw| raw.serverport = Some(0)), "serverport 0"),
            (but(|raw| raw.serverport = Some(65_536)), "serverport 65536"),
            (but(|raw| raw.serverip = Some(0)), "address is 0"),
            (but(|raw| raw.serverip = None), "serverip is no number"),
            (
                but(|raw| (raw.serverip, raw.serverip6) = (Some(0), &[0; 16])),
                "address is 0",
            ),
            (
                but(|raw| (raw.serverip, raw.serverip6) = (Some(0), &ONE[1..])),
                "15 bytes",
            ),
            (
                but(|raw| (raw.serverip, raw.serverip6) = (Some(0), MAPPED)),
                "belongs into serverip",
            ),
            (but(|raw| raw.serverip6 = ONE), "both"),
            (but(|raw| raw.weight = Some(0)), "weight 0"),
            (but(|raw| raw.weight = Some(10_001)), "weight 10001"),
            (but(|raw| raw.state = Some("dead")), "'dead'"),
            (but(|raw| raw.state = None), "state is no text"),
            (but(|raw| raw.zone = Some(LONG)), "36 bytes"),
            (but(|raw| raw.zone = None), "zone is no text"),
        ] {
            assert!(
                reason(raw).contains(expected),
                "'{}' lacks '{expected}'",
                reason(raw)
            );
        }
    }

    #[test]
    fn second_row_of_one_node_is_bad_and_zones_are_shared() {
        let mut judge = Judge::new();
        judge.take(&GOOD);
        judge.take(&RawRow {
            id: 2,
            weight: Some(7),
            ..GOOD
        });
        judge.take(&RawRow {
            id: 3,
            zone: Some("b"),
            cmdid: Some(3),
            ..GOOD
        });
        judge.take(&RawRow {
            id: 4,
            cmdid: Some(4),
            ..GOOD
        });
        judge.take(&but(|raw| (raw.id, raw.cmdid) = (5, Some(3))));
        judge.take(&but(|raw| (raw.id, raw.cmdid) = (6, Some(9))));
        judge.take(&but(|raw| (raw.id, raw.cmdid) = (7, Some(9))));
        let rows = judge.into_rows();
        assert_eq!(rows.bad.iter().map(|bad| bad.id).collect::<Vec<_>>(), [2, 5, 7]);
        assert_eq!(
            rows.good.iter().map(|row| row.id).collect::<Vec<_>>(),
            [1, 3, 4, 6]
        );
        assert!(Arc::ptr_eq(&rows.good[0].zone, &rows.good[2].zone));
    }
}
