//! Where accounts stand: in pieces that never move, so that room for more costs the same however many there are.

use super::account::Account;
use lars_board::prefer_huge_pages;

/// Accounts of a piece: 32 MiB, all of which but its ends fills huge pages.
const PIECE: usize = 1 << 18;

/// Accounts by their numbers, from 0 on.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    pieces: Vec<Vec<Account>>,
}

impl Accounts {
    /// The account of this number.
    #[inline]
    pub(super) fn get(&self, number: u32) -> Option<&Account> {
        let (piece, place) = split(number);
        self.pieces.get(piece)?.get(place)
    }

    /// The same, to be changed.
    #[inline]
    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut Account> {
        let (piece, place) = split(number);
        self.pieces.get_mut(piece)?.get_mut(place)
    }

    /// One more; returns its number.
    pub(super) fn push(&mut self, account: Account) -> u32 {
        if self.pieces.last().is_none_or(|piece| piece.len() == PIECE) {
            let mut piece = Vec::with_capacity(PIECE);
            // The first one stays in small pages: most agents know far fewer nodes, and touch a few pages of it.
            if !self.pieces.is_empty() {
                prefer_huge_pages(piece.spare_capacity_mut());
            }
            self.pieces.push(piece);
        }
        let before = self.pieces.len() - 1;
        let piece = &mut self.pieces[before];
        piece.push(account);
        (before * PIECE + piece.len() - 1) as u32
    }
}

fn split(number: u32) -> (usize, usize) {
    (number as usize / PIECE, number as usize % PIECE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::account::Holder;
    use lars_wire::{ModuleId, NodeAddr};

    #[test]
    fn accounts_are_found_by_their_numbers_across_pieces() {
        let mut accounts = Accounts::default();
        let node = |number| NodeAddr::from_ipv4_number(number + 1, 80);
        let module = ModuleId::new(1, 1);
        for number in 0..PIECE as u32 + 2 {
            assert_eq!(
                accounts.push(Account::new(module, node(number), Holder::Node)),
                number
            );
        }
        for number in [0, 1, PIECE as u32 - 1, PIECE as u32, PIECE as u32 + 1] {
            assert!(
                accounts
                    .get(number)
                    .expect("it stands there")
                    .is_of(module, node(number))
            );
        }
        assert!(accounts.get_mut(PIECE as u32 + 2).is_none());
        assert!(accounts.get(u32::MAX).is_none());
    }
}
