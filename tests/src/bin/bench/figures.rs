//! What was measured: for each variant and figure the values of all rounds.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// What carries the traffic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Variant {
    /// Pods outside the mesh.
    Direct,
    /// Pods of the mesh, our ztunnel.
    Ours,
    /// Pods of the mesh, another ztunnel.
    Peer(PathBuf),
}

/// A figure, in the order in which the table shows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Figure {
    Gbits1,
    Gbits8,
    CpuPerGb1,
    CpuPerGb8,
    Requests1,
    Requests64,
    P50At1,
    P99At1,
    P50At64,
    P99At64,
    CpuPerRequest1,
    CpuPerRequest64,
    Connections,
    CpuPerConnection,
    RssIdle,
    RssWith1000,
}

/// All values.
#[derive(Debug, Default)]
pub(crate) struct Figures(BTreeMap<(Variant, Figure), Vec<f64>>);

impl Figures {
    pub(crate) fn add(&mut self, variant: &Variant, figure: Figure, value: f64) {
        self.0.entry((variant.clone(), figure)).or_default().push(value);
    }

    pub(crate) fn values(&self, variant: &Variant, figure: Figure) -> &[f64] {
        self.0.get(&(variant.clone(), figure)).map_or(&[], Vec::as_slice)
    }

    /// The middle value; of an even number the lower middle.
    pub(crate) fn median(&self, variant: &Variant, figure: Figure) -> Option<f64> {
        let mut values = self.values(variant, figure).to_vec();
        values.sort_by(f64::total_cmp);
        values.get(values.len().checked_sub(1)? / 2).copied()
    }
}

impl Figure {
    pub(crate) const ALL: [Self; 16] = [
        Self::Gbits1,
        Self::Gbits8,
        Self::CpuPerGb1,
        Self::CpuPerGb8,
        Self::Requests1,
        Self::Requests64,
        Self::P50At1,
        Self::P99At1,
        Self::P50At64,
        Self::P99At64,
        Self::CpuPerRequest1,
        Self::CpuPerRequest64,
        Self::Connections,
        Self::CpuPerConnection,
        Self::RssIdle,
        Self::RssWith1000,
    ];

    /// What it is, with its unit.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Gbits1 => "throughput, 1 stream, Gbit/s",
            Self::Gbits8 => "throughput, 8 streams, Gbit/s",
            Self::CpuPerGb1 => "CPU-s per GB, both proxies, 1 stream",
            Self::CpuPerGb8 => "CPU-s per GB, both proxies, 8 streams",
            Self::Requests1 => "requests/s, 1 connection",
            Self::Requests64 => "requests/s, 64 connections",
            Self::P50At1 => "latency p50 at 1 connection, us",
            Self::P99At1 => "latency p99 at 1 connection, us",
            Self::P50At64 => "latency p50 at 64 connections, us",
            Self::P99At64 => "latency p99 at 64 connections, us",
            Self::CpuPerRequest1 => "CPU us per request, both proxies, 1 connection",
            Self::CpuPerRequest64 => "CPU us per request, both proxies, 64 connections",
            Self::Connections => "new connections/s, 16 workers",
            Self::CpuPerConnection => "CPU us per new connection, both proxies",
            Self::RssIdle => "RSS at rest, both proxies, MB",
            Self::RssWith1000 => "RSS with 1,000 open tunnels, both proxies, MB",
        }
    }

    /// Whether more is better.
    pub(crate) fn more_is_better(self) -> bool {
        matches!(
            self,
            Self::Gbits1 | Self::Gbits8 | Self::Requests1 | Self::Requests64 | Self::Connections
        )
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Direct => f.write_str("direct TCP"),
            Self::Ours => f.write_str("Lateen"),
            Self::Peer(_) => f.write_str("peer"),
        }
    }
}
