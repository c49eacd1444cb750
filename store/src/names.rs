//! Names for people, `ModIDConfig` and `CmdIDConfig`: what a store keeps of them, and how those that other programs
//! wrote are made fit to be shown. Nothing depends on a name, so they are read when somebody asks.

use crate::error::StoreError;
use lars_wire::bounds::NAME_CHARS_MAX;
use lars_wire::names::{NameOf, NameRow};

/// The names of a store. One connection; used by one task.
pub trait NameStore {
    /// At most `rows_max` names of numbers behind `after`, or that of `number` alone, in order of number. Of several
    /// rows for one number that have a name the oldest counts. A database without the table has no names.
    fn names(
        &mut self,
        of: NameOf,
        number: Option<u32>,
        after: Option<u32>,
        rows_max: u32,
    ) -> impl Future<Output = Result<Vec<NameRow>, StoreError>>;

    /// Gives `number` this name in place of any it has, or none; returns the name before. A name that
    /// [`lars_wire::names::check_name`] refuses, or that the database cannot keep as it is, is
    /// [`StoreError::Refused`].
    fn set_name(
        &mut self,
        of: NameOf,
        number: u32,
        name: Option<&str>,
    ) -> impl Future<Output = Result<Option<String>, StoreError>>;
}

/// The table of names and its column of numbers.
pub(crate) const fn table_of(of: NameOf) -> (&'static str, &'static str) {
    match of {
        NameOf::Modid => ("ModIDConfig", "modid"),
        NameOf::Cmdid => ("CmdIDConfig", "cmdid"),
    }
}

/// A name that any program may have written, as it is shown: bounded, on one line, and harmless to a terminal. None
/// where nothing is left of it.
pub(crate) fn readable(content: &str) -> Option<String> {
    let harmless = |letter: char| if letter.is_control() { '\u{fffd}' } else { letter };
    let name: String = content
        .trim()
        .chars()
        .take(NAME_CHARS_MAX)
        .map(harmless)
        .collect();
    let name = name.trim_end().to_owned();
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_of_another_program_is_made_fit_to_be_shown() {
        assert_eq!(readable(" shop  ").as_deref(), Some("shop"));
        assert_eq!(
            readable("a\u{1b}[31mb\nc").as_deref(),
            Some("a\u{fffd}[31mb\u{fffd}c")
        );
        assert_eq!(
            readable(&"é".repeat(300)).map(|name| name.chars().count()),
            Some(NAME_CHARS_MAX)
        );
        assert_eq!((readable(""), readable(" \n ")), (None, None));
    }
}
