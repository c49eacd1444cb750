//! Names for people: of a business (`modid`) and of a service (`cmdid`), as operators see and give them. Taken over the
//! Unix socket and from loopback only, as all that operators ask.

use crate::bounded;
use crate::bounds::{BODY_BYTES_MAX, COUNT_BYTES, NAME_BYTES_MAX, NAME_CHARS_MAX, NAMES_MAX};
use crate::byte_enum::byte_enum;
use crate::codec::Message;
use crate::frame::Kind;
use serde::{Deserialize, Serialize};

byte_enum! {
    /// What a name is of. A service has one name whatever its business: so the database keeps them.
    pub enum NameOf {
        /// A business.
        Modid = 0,
        /// A service.
        Cmdid = 1,
    }
}

/// List names in order of number. Answered by [`NameRows`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListNames {
    /// Which.
    pub of: NameOf,
    /// Only of this number.
    pub number: Option<u32>,
    /// Only of numbers behind this one: the last of the answer before.
    pub after: Option<u32>,
}

/// One name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameRow {
    /// The modid or cmdid.
    pub number: u32,
    /// Its name.
    pub name: String,
}

/// The answer to [`ListNames`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameRows {
    /// At most [`NAMES_MAX`], each number once.
    #[serde(deserialize_with = "bounded::seq::<NAMES_MAX, _, _>")]
    pub rows: Vec<NameRow>,
    /// Whether more follow: ask again behind the last row.
    pub more: bool,
}

/// Give, change or take away a name. Answered by [`NameSet`] once it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetName {
    /// Which.
    pub of: NameOf,
    /// Whose.
    pub number: u32,
    /// The name; none takes it away.
    pub name: Option<String>,
}

/// The answer to [`SetName`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameSet {
    /// The name that there was before.
    pub before: Option<String>,
}

impl NameRows {
    /// As many of `rows` as fit a frame; `more` says whether there are others, here or behind them.
    pub fn filled(mut rows: Vec<NameRow>, more: bool) -> Self {
        let mut left = BODY_BYTES_MAX - COUNT_BYTES - 1;
        let fits = rows.iter().take(NAMES_MAX).take_while(|row| {
            let bytes = 4 + COUNT_BYTES + row.name.len();
            let fits = bytes <= left;
            left = left.saturating_sub(bytes);
            fits
        });
        let fitting = fits.count();
        let more = more || fitting < rows.len();
        rows.truncate(fitting);
        Self { rows, more }
    }
}

/// Whether a name can be given; says what is wrong with it.
pub fn check_name(name: &str) -> Result<(), String> {
    let chars = name.chars().count();
    if chars == 0 {
        return Err("a name has at least one character".to_owned());
    }
    if chars > NAME_CHARS_MAX {
        return Err(format!(
            "a name has at most {NAME_CHARS_MAX} characters, this one has {chars}"
        ));
    }
    if name.chars().any(char::is_control) {
        return Err("a name has no control characters".to_owned());
    }
    if name.trim() != name {
        return Err("a name has no blanks at its ends".to_owned());
    }
    Ok(())
}

fn check_shown(name: &str) -> Result<(), &'static str> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        Err("name")
    } else {
        Ok(())
    }
}

impl Message for ListNames {
    const KIND: Kind = Kind::ListNames;
}
impl Message for NameRows {
    const KIND: Kind = Kind::NameRows;
    fn check(&self) -> Result<(), &'static str> {
        if self.rows.len() > NAMES_MAX {
            return Err("rows");
        }
        self.rows.iter().try_for_each(|row| check_shown(&row.name))
    }
}
impl Message for SetName {
    const KIND: Kind = Kind::SetName;
    fn check(&self) -> Result<(), &'static str> {
        self.name.as_deref().map_or(Ok(()), check_shown)
    }
}
impl Message for NameSet {
    const KIND: Kind = Kind::NameSet;
    fn check(&self) -> Result<(), &'static str> {
        self.before.as_deref().map_or(Ok(()), check_shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_that_could_not_be_shown_is_refused_with_words() {
        let longest = "語".repeat(NAME_CHARS_MAX);
        for good in ["a", "shop / orders", "größe", &longest] {
            assert_eq!(check_name(good), Ok(()));
        }
        for (bad, word) in [
            ("", "at least one"),
            ("a\tb", "control"),
            (" a", "blanks"),
            ("a\u{3000}", "blanks"),
            (&*format!("{longest}x"), "256"),
        ] {
            assert!(check_name(bad).is_err_and(|text| text.contains(word)), "{bad:?}");
        }
    }

    #[test]
    fn page_of_names_is_filled_and_no_more() {
        let row = |number: usize, bytes: usize| NameRow {
            number: number as u32,
            name: "x".repeat(bytes),
        };
        let rows =
            |count: usize, bytes: usize| (0..count).map(|number| row(number, bytes)).collect::<Vec<_>>();
        let filled = |count, bytes, more| {
            let page = NameRows::filled(rows(count, bytes), more);
            (page.rows.len(), page.more)
        };
        assert_eq!(filled(3, 5, false), (3, false));
        assert_eq!(filled(3, 5, true), (3, true));
        assert_eq!(filled(NAMES_MAX + 1, 1, false), (NAMES_MAX, true));
        assert_eq!(filled(100, NAME_BYTES_MAX, false), (63, true));
    }
}
