//! Whether what a program holds grows without end. Pure.

/// What was held at the beginning and at the end of a series, as medians of its first and last third.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Growth {
    /// At the beginning.
    pub from: u64,
    /// At the end.
    pub to: u64,
}

impl Growth {
    /// Of a series of what is held, in any unit; nothing where it is too short to tell.
    #[must_use]
    pub fn of(series: &[u64]) -> Option<Self> {
        let third = series.len() / 3;
        (third > 0).then(|| Self {
            from: median(&series[..third]),
            to: median(&series[series.len() - third..]),
        })
    }

    /// Whether it is more than a quarter and this much besides: what is allocated once, or in pieces, is no leak.
    #[must_use]
    pub fn is_beyond(self, slack: u64) -> bool {
        self.to > self.from + self.from / 4 + slack
    }
}

fn median(of: &[u64]) -> u64 {
    let mut sorted = of.to_vec();
    sorted.sort_unstable();
    sorted[sorted.len() / 2]
}

#[cfg(test)]
mod tests;
