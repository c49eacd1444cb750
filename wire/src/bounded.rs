//! Sequences whose bound is kept while they are decoded. serde reserves up to a megabyte for a sequence by its
//! announced count alone; here no count, good or hostile, costs more than a few bodies.

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
        let announced = sequence.size_hint().unwrap_or(0);
        if announced > MAX {
            return Err(A::Error::invalid_length(announced, &self));
        }
        // The announced elements may not be there: at most a body's bytes are reserved on a promise.
        let mut elements = Vec::with_capacity(announced.min(BODY_BYTES_MAX / size_of::<T>()));
        while let Some(element) = sequence.next_element()? {
            if elements.len() == MAX {
                return Err(A::Error::invalid_length(MAX + 1, &self));
            }
            if elements.len() == elements.capacity() {
                // So many bytes of the body were elements that the rest of them is no longer a mere promise.
                elements.reserve_exact(announced.saturating_sub(elements.len()).max(1));
            }
            elements.push(element);
        }
        Ok(elements)
    }
}
