//! Chance as it is given.

/// A source of chance; `|| rng.u64(..)` is one.
pub trait Chance {
    /// Any number, each as likely as any other.
    fn any(&mut self) -> u64;

    /// A number below `end`, which is not 0.
    fn below(&mut self, end: u64) -> u64 {
        scaled(self.any(), end)
    }
}

impl<F: FnMut() -> u64> Chance for F {
    fn any(&mut self) -> u64 {
        self()
    }
}

/// One hash for everything that a request decides, so that equal keys take equal ways.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fixed(pub(crate) u64);

impl Chance for Fixed {
    fn any(&mut self) -> u64 {
        self.0
    }
}

/// `any`, evenly, as a number below `end` (Lemire, "Fast random integer generation in an interval", without the
/// rejection: the bias is below 2⁻³² for every count of endpoints).
pub(crate) fn scaled(any: u64, end: u64) -> u64 {
    let wide = u128::from(any) * u128::from(end);
    // The upper half is below `end`.
    (wide >> 64) as u64
}
