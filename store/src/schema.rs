//! Which versions of the schema there are, and the steps between them. The tables themselves stand in `schema/*.sql`,
//! one file a step, to be read by people.

/// The steps of the embedded store, in order: the first makes version 1. A step that was ever released is never
/// edited; a change is a new step behind it.
pub(crate) const SQLITE_STEPS: &[&str] = &[
    include_str!("../schema/sqlite-1.sql"),
    include_str!("../schema/sqlite-2.sql"),
];

/// The steps that lead from version `found` to the newest.
///
/// A newer version than this program knows is an error, told in words: an older program must not write tables whose
/// meaning it does not know.
pub(crate) fn steps_from(
    steps: &'static [&'static str],
    found: u64,
) -> Result<&'static [&'static str], String> {
    let known = steps.len() as u64;
    if found > known {
        return Err(format!(
            "its schema has version {found}, this program knows versions up to {known}: use a newer lars"
        ));
    }
    Ok(&steps[found as usize..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_go_from_what_is_found_to_the_newest() {
        const STEPS: &[&str] = &["one", "two"];
        assert_eq!(steps_from(STEPS, 0), Ok(STEPS));
        assert_eq!(steps_from(STEPS, 1), Ok(&STEPS[1..]));
        assert_eq!(steps_from(STEPS, 2), Ok(&STEPS[2..]));
        assert!(steps_from(STEPS, 3).is_err_and(|text| text.contains("version 3")));
    }
}
