//! Single pieces of the data path, each as an operation that can be repeated: what `--bench micro` times and what
//! `--bench instructions` counts.

mod board;
mod pool;
mod shard;
mod wire;

/// One piece.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Its name in tables.
    pub name: &'static str,
    /// Sets it up; each call of what is returned does it once.
    pub make: fn() -> Operation,
}

/// A piece that is set up.
pub type Operation = Box<dyn FnMut()>;

/// What repeating costs by itself: an indirect call. Taken off every count of instructions.
pub const NOTHING: Case = Case {
    name: "nothing",
    make: || Box::new(|| {}),
};

/// All pieces, in the order in which a request meets them.
pub fn all() -> Vec<Case> {
    [wire::CASES, board::CASES, shard::CASES, pool::CASES].concat()
}

/// The piece of that name.
pub fn find(name: &str) -> Option<Case> {
    std::iter::once(NOTHING)
        .chain(all())
        .find(|case| case.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_has_a_name_of_its_own_and_can_be_repeated() {
        let mut names: Vec<_> = all().iter().map(|case| case.name).collect();
        for case in all() {
            let mut operation = (case.make)();
            (0..100).for_each(|_| operation());
        }
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!((names.len(), find("nothing").is_some()), (count, true));
    }
}
