//! How many threads carry traffic.

use std::str::FromStr;

/// What the machine and Kubernetes grant, in cores.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cores {
    /// Cores that the process may run on.
    pub(super) machine: usize,
    /// The CPU limit, rounded up.
    pub(super) limit: Option<usize>,
    /// The CPU request, rounded up.
    pub(super) request: Option<usize>,
}

/// `ZTUNNEL_WORKER_THREADS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// So many; 0 means every core.
    Number(usize),
    /// A share of the cores, 1 to 100.
    Percent(usize),
}

/// The number for an explicit wish.
pub(super) fn asked(wanted: Wanted, cores: &Cores) -> usize {
    let all = cores.limit.unwrap_or(cores.machine);
    match wanted {
        Wanted::Number(0) => all.max(1),
        Wanted::Number(n) => n,
        Wanted::Percent(share) => (all * share).div_ceil(100).max(1),
    }
}

/// The number for none: the limit where there is one, since more threads than that only wait for each other; else a
/// quarter of the machine, which is the workloads', but never less than two, so that one busy connection does not hold
/// up all others.
pub(super) fn unasked(cores: &Cores) -> usize {
    let request = cores.request.unwrap_or(0);
    match cores.limit {
        Some(limit) => limit.max(request).max(1),
        None => cores.machine.div_ceil(4).max(request).max(2),
    }
}

/// A Kubernetes CPU quantity (`2`, `1.5`, `500m`) in whole cores, rounded up.
pub(super) fn parse_cpus(text: &str) -> Result<usize, &'static str> {
    const NO_CPUS: &str = "is no number of CPUs such as 2, 1.5 or 500m";
    let text = text.trim();
    let milli = match text.strip_suffix('m') {
        Some(milli) => milli.parse::<f64>().map_err(|_| NO_CPUS)?,
        None => text.parse::<f64>().map_err(|_| NO_CPUS)? * 1000.0,
    };
    if !(milli > 0.0 && milli <= 1e9) {
        return Err(NO_CPUS);
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 1 and a million"
    )]
    let cores = (milli / 1000.0).ceil() as usize;
    Ok(cores)
}

impl FromStr for Wanted {
    type Err = &'static str;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        const NO_NUMBER: &str = "is neither a number of threads nor a percentage between 1% and 100%";
        let wanted = match s.strip_suffix('%') {
            Some(percent) => percent.parse().map(Self::Percent),
            None => s.parse().map(Self::Number),
        };
        match wanted {
            Ok(Self::Percent(share)) if !(1..=100).contains(&share) => Err(NO_NUMBER),
            Ok(Self::Number(n)) if n > MAX_THREADS => Err("is more than 1024"),
            Ok(wanted) => Ok(wanted),
            Err(_) => Err(NO_NUMBER),
        }
    }
}

/// More than any machine has cores: a slip of the finger.
const MAX_THREADS: usize = 1024;

#[cfg(test)]
mod tests;
