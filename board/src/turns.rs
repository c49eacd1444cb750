//! What one reader keeps for itself: for each module its place in the rotation, and whether it was picked of late.

use fastrand::Rng;
use lars_wire::ModuleId;

/// Never picked.
const NO_EPOCH: u32 = 0;

/// The private state of one module.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// [`ModuleId::to_bits`] and what its rule keeps: whole words, because a load that gathers what several stores have
    /// just left behind waits for them to reach the cache.
    module: u64,
    turn: u64,
    /// When it was picked last, counted in calls of [`Turns::take_used`].
    epoch: u32,
}

const VACANT: Place = Place {
    module: 0,
    turn: 0,
    epoch: NO_EPOCH,
};

// A million modules cost a reader 24 MB, and a hundred stay in a corner of the first cache.
const _: () = assert!(size_of::<Place>() <= 24);

/// One shard's modules, by slot. It grows to the largest slot seen.
#[derive(Default)]
struct ShardTurns {
    places: Vec<Place>,
    /// One bit a place: picked in this epoch.
    used: Vec<u64>,
}

/// The private state of a reader.
pub(crate) struct Turns {
    shards: Vec<ShardTurns>,
    epoch: u32,
    /// What is left to chance.
    pub(crate) rng: Rng,
}

impl Turns {
    /// Nothing known; every module starts at a random place.
    pub(crate) fn new(shards: u16, seed: u64) -> Self {
        Self {
            shards: (0..shards).map(|_| ShardTurns::default()).collect(),
            epoch: NO_EPOCH + 1,
            rng: Rng::with_seed(seed),
        }
    }

    /// What was kept of the module; none where it is new.
    #[inline]
    pub(crate) fn peek(&self, shard: u16, slot: u32, module: ModuleId) -> Option<u64> {
        let place = self.shards[usize::from(shard)].places.get(slot as usize)?;
        (place.module == module.to_bits() && place.epoch != NO_EPOCH).then_some(place.turn)
    }

    /// The same where the module was picked in this epoch, so that nothing but what is kept will change; and what is left to
    /// chance.
    #[inline(always)]
    pub(crate) fn current(
        &mut self,
        shard: u16,
        slot: u32,
        module: ModuleId,
    ) -> Option<(&mut u64, &mut Rng)> {
        let Self { shards, epoch, rng } = self;
        let place = shards
            .get_mut(usize::from(shard))?
            .places
            .get_mut(slot as usize)?;
        (place.module == module.to_bits() && place.epoch == *epoch).then_some((&mut place.turn, rng))
    }

    /// Keeps what the rule says after a pick. The slot must be one that exists: it decides how much memory is taken.
    #[inline]
    pub(crate) fn keep(&mut self, shard: u16, slot: u32, module: ModuleId, turn: u64) {
        let ShardTurns { places, used } = &mut self.shards[usize::from(shard)];
        let slot = slot as usize;
        if slot >= places.len() {
            places.resize(slot + 1, VACANT);
            used.resize(places.len().div_ceil(64), 0);
        }
        let place = &mut places[slot];
        if place.epoch != self.epoch {
            used[slot / 64] |= 1 << (slot % 64);
        }
        *place = Place {
            module: module.to_bits(),
            turn,
            epoch: self.epoch,
        };
    }

    /// Appends the modules picked since the last call.
    pub(crate) fn take_used(&mut self, modules: &mut Vec<ModuleId>) {
        for ShardTurns { places, used } in &mut self.shards {
            for (number, bits) in used.iter_mut().enumerate() {
                while *bits != 0 {
                    modules.push(ModuleId::from_bits(
                        places[number * 64 + bits.trailing_zeros() as usize].module,
                    ));
                    *bits &= *bits - 1;
                }
            }
        }
        self.epoch = self.epoch.checked_add(1).unwrap_or(NO_EPOCH + 1);
    }

    /// How many modules it has room for.
    #[cfg(test)]
    pub(crate) fn places(&self) -> usize {
        self.shards.iter().map(|shard| shard.places.len()).sum()
    }
}
