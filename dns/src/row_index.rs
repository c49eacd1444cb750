//! Which module each row of the store belongs to, by the row's id: what the sweep compares a slice of the table with.
//! Ten bytes a row, because there may be a million.

use lars_wire::ModuleId;
use std::collections::BTreeMap;

/// Ids in one chunk: an insertion moves at most this many entries.
const CHUNK_BITS: u32 = 12;

/// Row ids and their modules.
#[derive(Debug, Default)]
pub(crate) struct RowIndex {
    chunks: BTreeMap<u64, Chunk>,
}

#[derive(Debug, Default)]
struct Chunk {
    offsets: Vec<u16>,
    modules: Vec<ModuleId>,
}

impl RowIndex {
    /// Row `id` belongs to `module` from now on; gives the module that it belonged to before.
    pub(crate) fn put(&mut self, id: u64, module: ModuleId) -> Option<ModuleId> {
        let (key, offset) = split(id);
        let chunk = match self.chunks.last_entry() {
            // Where rows are loaded: without a search.
            Some(last) if *last.key() == key => last.into_mut(),
            _ => self.chunks.entry(key).or_default(),
        };
        // Rows are mostly loaded and added in order of id.
        if chunk.offsets.last().is_none_or(|last| *last < offset) {
            chunk.offsets.push(offset);
            chunk.modules.push(module);
            return None;
        }
        match chunk.offsets.binary_search(&offset) {
            Ok(place) => Some(std::mem::replace(&mut chunk.modules[place], module)),
            Err(place) => {
                chunk.offsets.insert(place, offset);
                chunk.modules.insert(place, module);
                None
            }
        }
    }

    /// Row `id` is gone, if it was `module`'s: another module may have taken it over in the meantime.
    pub(crate) fn remove(&mut self, id: u64, module: ModuleId) {
        let (key, offset) = split(id);
        let Some(chunk) = self.chunks.get_mut(&key) else {
            return;
        };
        let Ok(place) = chunk.offsets.binary_search(&offset) else {
            return;
        };
        if chunk.modules[place] != module {
            return;
        }
        chunk.offsets.remove(place);
        chunk.modules.remove(place);
        if chunk.offsets.is_empty() {
            self.chunks.remove(&key);
        }
    }

    /// What all of it takes in memory, the room that chunks have left included.
    pub(crate) fn bytes(&self) -> u64 {
        let chunk = |(key, chunk): (&u64, &Chunk)| {
            let rows = chunk.offsets.capacity() * size_of::<u16>()
                + chunk.modules.capacity() * size_of::<ModuleId>();
            size_of_val(key) + size_of_val(chunk) + rows
        };
        self.chunks.iter().map(chunk).sum::<usize>() as u64
    }

    /// Rows with an id above `after` are not known any more.
    pub(crate) fn forget_after(&mut self, after: u64) {
        let (key, offset) = split(after);
        self.chunks.retain(|chunk, _| *chunk <= key);
        if let Some(chunk) = self.chunks.get_mut(&key) {
            let kept = chunk.offsets.partition_point(|known| *known <= offset);
            chunk.offsets.truncate(kept);
            chunk.modules.truncate(kept);
        }
    }

    /// Rows with an id above `after` and up to `last`, by id.
    pub(crate) fn range(&self, after: u64, last: u64) -> impl Iterator<Item = (u64, ModuleId)> {
        let chunks = (after < last).then(|| self.chunks.range(after >> CHUNK_BITS..=last >> CHUNK_BITS));
        let rows = chunks.into_iter().flatten().flat_map(|(key, chunk)| {
            let base = key << CHUNK_BITS;
            chunk
                .offsets
                .iter()
                .zip(&chunk.modules)
                .map(move |(offset, module)| (base + u64::from(*offset), *module))
        });
        rows.filter(move |(id, _)| (after + 1..=last).contains(id))
    }
}

fn split(id: u64) -> (u64, u16) {
    (id >> CHUNK_BITS, (id & ((1 << CHUNK_BITS) - 1)) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(number: u64) -> ModuleId {
        ModuleId::new(1, number as u32)
    }

    #[test]
    fn range_gives_rows_by_id_across_chunks() {
        let mut index = RowIndex::default();
        for id in [9_000, 1, 4_096, 4_095, u64::MAX] {
            index.put(id, module(id));
        }
        let ids = |after, last| index.range(after, last).map(|(id, _)| id).collect::<Vec<_>>();
        assert_eq!(ids(0, u64::MAX), [1, 4_095, 4_096, 9_000, u64::MAX]);
        assert_eq!(ids(1, 4_096), [4_095, 4_096]);
        assert_eq!(ids(9_000, 9_000), [0; 0]);
    }

    #[test]
    fn rows_above_an_id_are_forgotten_and_no_others() {
        for after in [0, 1, 4_095, 4_096, 8_191, 9_000, u64::MAX] {
            let mut index = RowIndex::default();
            let ids = [1, 4_095, 4_096, 8_192, 9_000, 9_001];
            for id in ids {
                index.put(id, module(id));
            }
            index.forget_after(after);
            let left: Vec<u64> = index.range(0, u64::MAX).map(|(id, _)| id).collect();
            assert_eq!(
                left,
                ids.into_iter().filter(|id| *id <= after).collect::<Vec<_>>()
            );
        }
    }

    #[test]
    fn row_taken_over_by_another_module_is_not_removed_by_its_former_one() {
        let mut index = RowIndex::default();
        assert_eq!(index.put(5, module(1)), None);
        assert_eq!(index.put(5, module(2)), Some(module(1)));
        index.remove(5, module(1));
        assert_eq!(index.range(0, 9).collect::<Vec<_>>(), [(5, module(2))]);
        index.remove(5, module(2));
        assert_eq!(index.range(0, 9).count(), 0);
    }
}
