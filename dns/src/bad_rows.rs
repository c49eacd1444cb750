//! Rows of the store that cannot be served: how many, and the first of them by name. Its own file because the load, the
//! sweep and the comparison each find some, and people are told of all at once.

use lars_store::routes::BadRow;
use std::fmt;

/// Rows that are named; `lars route check` lists all.
const NAMED_MAX: usize = 3;

/// What was found in one pass over the table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct BadRows {
    count: u64,
    /// Those with the smallest ids, by id.
    first: Vec<BadRow>,
}

impl BadRows {
    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Counts some more.
    pub(crate) fn add(&mut self, rows: &[BadRow]) {
        self.count += rows.len() as u64;
        for row in rows {
            self.name(row);
        }
    }

    /// Counts what was found elsewhere too.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.count += other.count;
        for row in &other.first {
            self.name(row);
        }
    }

    fn name(&mut self, row: &BadRow) {
        let place = self.first.partition_point(|named| named.id <= row.id);
        if place < NAMED_MAX {
            self.first.insert(place, row.clone());
            self.first.truncate(NAMED_MAX);
        }
    }
}

/// The names, for people.
impl fmt::Display for BadRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, row) in self.first.iter().enumerate() {
            let divider = if place == 0 { "" } else { "; " };
            write!(f, "{divider}row {} of RouteData: {}", row.id, row.reason)?;
        }
        if self.count > self.first.len() as u64 {
            write!(f, "; and {} more", self.count - self.first.len() as u64)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bad(id: u64) -> BadRow {
        BadRow {
            id,
            module: (1, 1),
            reason: format!("serverport {id} is outside 1 to 65535"),
        }
    }

    #[test]
    fn all_are_counted_and_the_first_by_id_are_named() {
        let mut rows = BadRows::default();
        assert_eq!((rows.count(), rows.to_string().as_str()), (0, ""));
        rows.add(&[bad(70_000), bad(80_000)]);
        assert_eq!(
            rows.to_string(),
            "row 70000 of RouteData: serverport 70000 is outside 1 to 65535; \
             row 80000 of RouteData: serverport 80000 is outside 1 to 65535"
        );
        rows.add(&[bad(90_000), bad(65_536), bad(75_000)]);
        assert_eq!(rows.count(), 5);
        let named: Vec<u64> = rows.first.iter().map(|row| row.id).collect();
        assert_eq!(named, [65_536, 70_000, 75_000]);
        assert!(rows.to_string().ends_with("; and 2 more"), "{rows}");
    }
}
