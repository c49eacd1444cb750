//! Decides from a cheap look at the store what to read again. Pure: an [`Observation`] goes in, a [`Reread`] comes
//! out.
//!
//! Nothing that another program writes is trusted to be complete: ids of change rows commit out of order and are
//! deleted by others, the version has a grain of one second and may go back, and a bare DELETE writes neither. So
//! change rows are looked back for, a version that no row explains means reading everything, and a sweep
//! ([`sweep`]) passes over the whole table all the time. What is published is decided by the difference alone, and
//! [`guard`] holds back what looks like an accident.

pub(crate) mod guard;
pub(crate) mod sweep;

use hashbrown::HashSet;
use lars_store::routes::{ChangeRow, Observation};
use lars_wire::ModuleId;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// How far below the largest change row seen is looked for others: ids are given out before they commit, and
/// clusters give them out in blocks.
pub(crate) const LOOK_BACK: u64 = 10_000;

/// How old a change row becomes.
pub(crate) const CHANGES_KEPT: Duration = Duration::from_hours(1);

/// What to read again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reread {
    /// Modules that change rows name: whatever is found there is explained.
    pub(crate) modules: BTreeSet<ModuleId>,
    /// Everything: the version moved and no change row says why.
    pub(crate) everything: bool,
    /// Rows above this id are new.
    pub(crate) rows_after: Option<u64>,
    /// The number of rows moved and nothing says why: let the sweep find it soon.
    pub(crate) hurry: bool,
}

/// What was seen of the store so far.
#[derive(Debug, Default)]
pub(crate) struct Tracker {
    /// Whole rows and not ids: a table that was emptied may give its ids out again.
    seen: HashSet<ChangeRow>,
    change_id_max: u64,
    version: u64,
    /// A version that no row explained when it was first seen. The C++ writers move the version and write the row in
    /// two statements, so the row gets until the next look to appear.
    unexplained: Option<u64>,
    /// None where they are too many to be counted.
    rows: Option<u64>,
    row_id_max: u64,
    /// Change rows that an edit of ours has written, until the next look shows them: what they tell is known.
    own: HashSet<(ModuleId, i64)>,
    /// A moment, and the largest change row seen by then.
    mark: Option<(Instant, u64)>,
}

impl Tracker {
    /// Starts from what was seen just before everything was read for the first time: what was written in between is
    /// then read twice, and nothing is missed.
    pub(crate) fn new(before_load: &Observation) -> Self {
        let mut tracker = Self {
            version: before_load.version,
            rows: before_load.rows,
            row_id_max: before_load.max_id,
            ..Self::default()
        };
        tracker.note_changes(&before_load.changes);
        tracker
    }

    /// Change rows above this id are to be shown to [`Self::observed`].
    pub(crate) fn changes_after(&self) -> u64 {
        self.change_id_max.saturating_sub(LOOK_BACK)
    }

    /// The version as last seen.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// Change rows with an id up to this were seen at least [`CHANGES_KEPT`] ago; 0 while none is known to be so old.
    /// Asked now and then, it tells of each row within twice that time.
    pub(crate) fn seen_long_ago(&mut self, now: Instant) -> u64 {
        match self.mark {
            // A table that was emptied gives its ids out again: what was seen of it is no age.
            Some((_, largest)) if largest > self.change_id_max => self.mark = None,
            Some((since, largest)) if now.duration_since(since) >= CHANGES_KEPT => {
                self.mark = Some((now, self.change_id_max));
                return largest;
            }
            Some(_) => return 0,
            None => {}
        }
        self.mark = Some((now, self.change_id_max));
        0
    }

    /// An edit of ours of these modules is stored under `version` and was read back: its change rows say nothing new.
    /// Taken for another's, they would explain whatever happened to those modules since.
    pub(crate) fn edited(&mut self, modules: impl IntoIterator<Item = ModuleId>, version: u64) {
        if let Ok(version) = i64::try_from(version) {
            self.own
                .extend(modules.into_iter().map(|module| (module, version)));
        }
    }

    /// A look at the store: what has to be read again?
    pub(crate) fn observed(&mut self, observation: &Observation) -> Reread {
        let modules = self.note_changes(&observation.changes);
        let everything = self.note_version(observation);
        let told = everything || !modules.is_empty() || self.unexplained.is_some();
        let rows_after = (observation.max_id > self.row_id_max).then_some(self.row_id_max);
        let counts = observation.rows.zip(self.rows);
        let are_fewer = counts.is_some_and(|(now, before)| now < before);
        let moved = counts.is_some_and(|(now, before)| now != before) || observation.max_id < self.row_id_max;
        let hurry = moved && !told && (rows_after.is_none() || are_fewer);
        (self.rows, self.row_id_max) = (observation.rows, observation.max_id);
        Reread {
            modules,
            everything,
            rows_after,
            hurry,
        }
    }

    /// What was to be read could not be: the next look decides anew, and finds everything to be read.
    pub(crate) fn lost(&mut self) {
        self.unexplained = Some(self.version);
    }

    /// Remembers change rows; gives the modules of those not seen before.
    fn note_changes(&mut self, changes: &[ChangeRow]) -> BTreeSet<ModuleId> {
        // Of two rows that tell the same one is ours.
        let mut own = std::mem::take(&mut self.own);
        let modules = changes
            .iter()
            .filter(|row| self.seen.insert(**row) && !own.remove(&(row.module, row.version)))
            .map(|row| row.module)
            .collect();
        if let Some(newest) = changes.iter().map(|row| row.id).max() {
            self.change_id_max = self.change_id_max.max(newest);
        }
        // Now and then: what is older than the look-back is not shown any more.
        if self.seen.len() as u64 > 2 * LOOK_BACK {
            let oldest = self.changes_after();
            self.seen.retain(|row| row.id > oldest);
        }
        modules
    }

    /// Whether the version moved without a row that explains it.
    fn note_version(&mut self, observation: &Observation) -> bool {
        let version = observation.version;
        let lost = self.unexplained == Some(self.version);
        if version == self.version && !lost {
            self.unexplained = None;
            return false;
        }
        let explained = observation
            .changes
            .iter()
            .any(|row| u64::try_from(row.version) == Ok(version));
        if explained && !lost {
            (self.version, self.unexplained) = (version, None);
            return false;
        }
        if self.unexplained.is_none() {
            self.unexplained = Some(version);
            return false;
        }
        (self.version, self.unexplained) = (version, None);
        if observation.changes.is_empty() {
            // The table of changes was emptied: its ids may start anew, below what is looked back for.
            self.change_id_max = 0;
            self.seen.clear();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(id: u64, cmdid: u32, version: i64) -> ChangeRow {
        ChangeRow {
            id,
            module: ModuleId::new(1, cmdid),
            version,
        }
    }

    fn look(version: u64, changes: &[ChangeRow], rows: u64, max_id: u64) -> Observation {
        Observation {
            version,
            changes: changes.to_vec(),
            rows: Some(rows),
            max_id,
        }
    }

    fn modules(cmdids: &[u32]) -> BTreeSet<ModuleId> {
        cmdids.iter().map(|cmdid| ModuleId::new(1, *cmdid)).collect()
    }

    #[test]
    fn nothing_moved_and_nothing_is_read() {
        let first = look(5, &[change(1, 1, 5)], 10, 10);
        let mut tracker = Tracker::new(&first);
        assert_eq!(tracker.observed(&first), Reread::default());
    }

    #[test]
    fn new_change_row_rereads_its_module_once() {
        let mut tracker = Tracker::new(&look(5, &[], 10, 10));
        let second = look(6, &[change(7, 3, 6)], 10, 10);
        assert_eq!(
            tracker.observed(&second),
            Reread {
                modules: modules(&[3]),
                ..Reread::default()
            }
        );
        assert_eq!(tracker.observed(&second), Reread::default());
    }

    #[test]
    fn change_row_that_commits_behind_a_larger_id_is_not_lost() {
        let mut tracker = Tracker::new(&look(5, &[], 0, 0));
        tracker.observed(&look(6, &[change(4, 4, 6)], 0, 0));
        let late = look(7, &[change(3, 3, 7), change(4, 4, 6)], 0, 0);
        assert_eq!(tracker.observed(&late).modules, modules(&[3]));
    }

    #[test]
    fn change_row_of_our_own_edit_names_nothing_and_anothers_of_the_same_moment_does() {
        let mut tracker = Tracker::new(&look(5, &[], 0, 0));
        tracker.edited([ModuleId::new(1, 1), ModuleId::new(1, 2)], 6);
        let changes = [change(1, 1, 6), change(2, 2, 6), change(3, 2, 6), change(4, 3, 6)];
        assert_eq!(
            tracker.observed(&look(6, &changes, 0, 0)),
            Reread {
                modules: modules(&[2, 3]),
                ..Reread::default()
            }
        );
        assert_eq!(
            tracker.observed(&look(6, &[change(5, 1, 6)], 0, 0)).modules,
            modules(&[1]),
            "ours was seen by the look before"
        );
    }

    #[test]
    fn two_changes_within_one_second_are_both_seen() {
        let mut tracker = Tracker::new(&look(5, &[], 0, 0));
        assert_eq!(
            tracker.observed(&look(6, &[change(1, 1, 6)], 0, 0)).modules,
            modules(&[1])
        );
        let same_second = look(6, &[change(1, 1, 6), change(2, 2, 6)], 0, 0);
        assert_eq!(tracker.observed(&same_second).modules, modules(&[2]));
    }

    #[test]
    fn version_that_no_row_explains_means_everything_at_the_next_look() {
        let mut tracker = Tracker::new(&look(5, &[], 0, 0));
        assert!(
            !tracker.observed(&look(6, &[], 0, 0)).everything,
            "the row may follow in a moment"
        );
        assert!(tracker.observed(&look(6, &[], 0, 0)).everything);
        assert!(!tracker.observed(&look(6, &[], 0, 0)).everything, "once");
    }

    #[test]
    fn version_whose_row_follows_a_look_later_is_explained_by_it() {
        let mut tracker = Tracker::new(&look(5, &[], 0, 0));
        assert_eq!(tracker.observed(&look(6, &[], 0, 0)), Reread::default());
        let second = tracker.observed(&look(6, &[change(1, 1, 6)], 0, 0));
        assert_eq!(
            second,
            Reread {
                modules: modules(&[1]),
                ..Reread::default()
            }
        );
        assert_eq!(
            tracker.observed(&look(6, &[change(1, 1, 6)], 0, 0)),
            Reread::default()
        );
    }

    #[test]
    fn version_that_moves_without_rows_at_every_look_cannot_put_the_comparison_off() {
        let mut tracker = Tracker::new(&look(5, &[], 0, 0));
        let compared = (6..12).filter(|version| tracker.observed(&look(*version, &[], 0, 0)).everything);
        assert_eq!(compared.collect::<Vec<_>>(), [7, 9, 11]);
    }

    #[test]
    fn version_set_lower_is_a_change_too() {
        let mut tracker = Tracker::new(&look(500, &[], 0, 0));
        let lower = look(400, &[change(1, 1, 400)], 0, 0);
        assert_eq!(tracker.observed(&lower).modules, modules(&[1]));
        assert_eq!(tracker.version(), 400);
    }

    #[test]
    fn change_table_that_was_emptied_and_starts_anew_is_read_from_its_first_id() {
        let mut tracker = Tracker::new(&look(5, &[change(50_000, 1, 5)], 0, 0));
        assert_eq!(tracker.changes_after(), 40_000);
        tracker.observed(&look(6, &[], 0, 0));
        assert!(tracker.observed(&look(6, &[], 0, 0)).everything);
        assert_eq!(tracker.changes_after(), 0);
        assert_eq!(
            tracker.observed(&look(7, &[change(1, 2, 7)], 0, 0)).modules,
            modules(&[2])
        );
    }

    #[test]
    fn bare_insert_is_found_by_its_id_and_bare_delete_hurries_the_sweep() {
        let mut tracker = Tracker::new(&look(5, &[], 10, 10));
        let inserted = tracker.observed(&look(5, &[], 11, 11));
        assert_eq!(
            inserted,
            Reread {
                rows_after: Some(10),
                ..Reread::default()
            }
        );
        let deleted = tracker.observed(&look(5, &[], 10, 11));
        assert_eq!(
            deleted,
            Reread {
                hurry: true,
                ..Reread::default()
            }
        );
        let last_deleted = tracker.observed(&look(5, &[], 9, 9));
        assert_eq!(
            last_deleted,
            Reread {
                hurry: true,
                ..Reread::default()
            }
        );
    }

    #[test]
    fn what_could_not_be_read_is_read_with_everything_else_at_the_next_look() {
        let mut tracker = Tracker::new(&look(5, &[], 0, 0));
        let changed = look(6, &[change(1, 1, 6)], 0, 0);
        assert_eq!(tracker.observed(&changed).modules, modules(&[1]));
        tracker.lost();
        assert!(tracker.observed(&changed).everything);
        assert_eq!(tracker.observed(&changed), Reread::default());
    }

    #[test]
    fn row_is_old_when_it_was_seen_an_hour_ago_and_not_when_ids_began_anew() {
        let (start, minute) = (Instant::now(), Duration::from_mins(1));
        let mut tracker = Tracker::new(&look(5, &[change(7, 1, 9_999)], 0, 0));
        assert_eq!(tracker.seen_long_ago(start), 0);
        tracker.observed(&look(5, &[change(8, 1, 9_999)], 0, 0));
        assert_eq!(tracker.seen_long_ago(start + 59 * minute), 0);
        assert_eq!(tracker.seen_long_ago(start + 60 * minute), 7);
        assert_eq!(
            tracker.seen_long_ago(start + 61 * minute),
            0,
            "the next hour has begun"
        );
        // The table was emptied, and the version says so twice.
        for version in [6, 6, 7] {
            tracker.observed(&look(version, &[], 0, 0));
        }
        tracker.observed(&look(7, &[change(1, 1, 7)], 0, 0));
        assert_eq!(tracker.seen_long_ago(start + 120 * minute), 0);
        assert_eq!(tracker.seen_long_ago(start + 180 * minute), 1);
    }

    #[test]
    fn seen_rows_are_forgotten_below_the_look_back() {
        let mut tracker = Tracker::new(&look(1, &[], 0, 0));
        for id in 1..=30_000 {
            tracker.observed(&look(id, &[change(id, 1, id as i64)], 0, 0));
        }
        assert!((LOOK_BACK..=2 * LOOK_BACK).contains(&(tracker.seen.len() as u64)));
    }
}
