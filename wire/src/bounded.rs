//! Sequences whose bound is kept while they are decoded. serde reserves up to a megabyte for a sequence by its
//! announced count alone; here a hostile count costs an error, and a good one what its bound allows.

use crate::bounds::BODY_BYTES_MAX;
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use std::fmt;
use std::marker::PhantomData;

/// For `#[serde(deserialize_with = "bounded::seq::<MAX, _, _>")]`: at most `MAX` elements.
pub(crate) fn seq<'de, const MAX: usize, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    deserializer.deserialize_seq(Elements::<MAX, T>(PhantomData))
}

struct Elements<const MAX: usize, T>(PhantomData<T>);

impl<'de, const MAX: usize, T: Deserialize<'de>> Visitor<'de> for Elements<MAX, T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {MAX} elements")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Vec<T>, A::Error> {
        const {
            // What a count alone can make us reserve: the elements may not be there.
            assert!(
                MAX * size_of::<T>() < 2 * BODY_BYTES_MAX,
                "the bound reserves too much"
            );
        }
        let announced = sequence.size_hint().unwrap_or(0);
        if announced > MAX {
            return Err(A::Error::invalid_length(announced, &self));
        }
        let mut elements = Vec::with_capacity(announced);
        while let Some(element) = sequence.next_element()? {
            elements.push(element);
        }
        Ok(elements)
    }
}
