//! What a handler keeps of each connection of its core: a table by the pool's slots, for which ids of connections that
//! ended are nobody.

use crate::handler::ConnectionId;

/// One value a connection; found without a search.
#[derive(Clone, Debug)]
pub struct ByConnection<T> {
    slots: Vec<Option<(u32, T)>>,
    open: usize,
}

impl<T> Default for ByConnection<T> {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            open: 0,
        }
    }
}

impl<T> ByConnection<T> {
    /// A connection was handed to this core.
    pub fn open(&mut self, id: ConnectionId, value: T) {
        let slot = id.slot as usize;
        if slot >= self.slots.len() {
            self.slots.resize_with(slot + 1, || None);
        }
        if self.slots[slot].replace((id.generation, value)).is_none() {
            self.open += 1;
        }
    }

    /// A connection ended; what was kept of it.
    pub fn close(&mut self, id: ConnectionId) -> Option<T> {
        self.get(id)?;
        self.open -= 1;
        self.slots[id.slot as usize].take().map(|(_, value)| value)
    }

    /// What is kept of the connection, while it is open.
    pub fn get(&mut self, id: ConnectionId) -> Option<&mut T> {
        match self.slots.get_mut(id.slot as usize)? {
            Some((generation, value)) if *generation == id.generation => Some(value),
            _ => None,
        }
    }

    /// How many are open.
    pub fn len(&self) -> usize {
        self.open
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.open == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answer_to_a_connection_that_ended_reaches_nobody_else() {
        let mut connections = ByConnection::default();
        let older = ConnectionId {
            slot: 3,
            generation: 1,
        };
        let newer = ConnectionId {
            slot: 3,
            generation: 2,
        };
        connections.open(older, "older");
        assert_eq!(connections.close(older), Some("older"));
        connections.open(newer, "newer");
        assert_eq!(connections.get(older), None);
        assert_eq!(connections.close(older), None);
        assert_eq!(connections.get(newer), Some(&mut "newer"));
        assert_eq!((connections.len(), connections.is_empty()), (1, false));
    }
}
