//! How much unread data all connections of a worker may hold together.

use std::cell::Cell;
use std::rc::Rc;

/// A worker's share of memory for bytes that peers sent and nobody has read yet.
///
/// A peer may fill the whole connection window that it was given, and a thousand hostile ones would pin a thousand
/// windows. So windows are granted from this budget: the full one while there is plenty, then an ever smaller part of
/// what is left, and never less than [`ReceiveBudget::FLOOR`], with which a connection still works. Together, `n`
/// connections hold at most `total + n * FLOOR`.
#[derive(Clone, Debug)]
pub struct ReceiveBudget {
    left: Rc<Cell<u32>>,
}

/// A window granted from a budget; given back when dropped.
#[derive(Debug)]
pub(crate) struct Grant {
    budget: ReceiveBudget,
    window: u32,
    charged: u32,
}

impl ReceiveBudget {
    /// The smallest window granted: 256 KiB, a gigabit per second over a round trip of 2 ms.
    pub const FLOOR: u32 = 256 * 1024;

    /// A budget of `total` bytes.
    #[must_use]
    pub fn new(total: u32) -> Self {
        Self {
            left: Rc::new(Cell::new(total)),
        }
    }

    /// A connection window of at most `wanted` bytes.
    pub(crate) fn grant(&self, wanted: u32) -> Grant {
        let left = self.left.get();
        let window = wanted.min((left / PART).max(Self::FLOOR)).max(MINIMUM_WINDOW);
        let charged = window.min(left);
        self.left.set(left - charged);
        Grant {
            budget: self.clone(),
            window,
            charged,
        }
    }
}

impl Default for ReceiveBudget {
    /// 512 MiB: the first 17 connections of a worker get 16 MiB each, the hundredth 2 MiB.
    fn default() -> Self {
        Self::new(512 * 1024 * 1024)
    }
}

impl Grant {
    /// Bytes.
    pub(crate) fn window(&self) -> u32 {
        self.window
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        let left = &self.budget.left;
        left.set(left.get().saturating_add(self.charged));
    }
}

/// One connection gets at most this part of what is left.
const PART: u32 = 16;
/// The connection window that HTTP/2 starts with and that cannot be made smaller (RFC 9113, section 6.9.2).
const MINIMUM_WINDOW: u32 = 65_535;

#[cfg(test)]
mod tests;
