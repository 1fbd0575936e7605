//! The access logs of both nodes, with what was already accounted for left out.

use anyhow::{Context, Result};
use lab::Lab;
use lab::access::{AccessLine, AccessLog};

use crate::client::LIMIT;

/// Both nodes' access logs from some moment on.
#[derive(Debug)]
pub(crate) struct Trace {
    logs: Vec<AccessLog>,
    seen: Vec<(usize, AccessLine)>,
}

impl Trace {
    /// Follows from now on.
    pub(crate) fn follow(lab: &mut Lab) -> Result<Self> {
        let nodes = 0..lab.nodes().len();
        Ok(Self {
            logs: nodes.map(|n| lab.node(n).access_log()).collect::<Result<_>>()?,
            seen: Vec::new(),
        })
    }

    /// Waits for a line of a node that has all these values, and takes it out.
    pub(crate) fn expect(&mut self, node: usize, values: &[(&str, &str)]) -> Result<AccessLine> {
        self.find(node, values, |line| values.iter().all(|(k, v)| line.is(k, v)))
    }

    /// Waits for a line of a node that has these values and this in its error.
    pub(crate) fn expect_error(
        &mut self,
        node: usize,
        values: &[(&str, &str)],
        error: &str,
    ) -> Result<AccessLine> {
        self.find(node, &[values, &[("error", error)]].concat(), |line| {
            let said = line.get("error").is_some_and(|e| e.contains(error));
            said && values.iter().all(|(k, v)| line.is(k, v))
        })
    }

    /// Every line so far that nothing expected.
    pub(crate) fn rest(&mut self) -> &[(usize, AccessLine)] {
        self.read();
        &self.seen
    }

    fn find(
        &mut self,
        node: usize,
        what: &[(&str, &str)],
        wanted: impl Fn(&AccessLine) -> bool,
    ) -> Result<AccessLine> {
        let what = format!("a line of node {} with {what:?}", node + 1);
        let found = lab::wait::until(&what, LIMIT, || {
            self.read();
            let at = self.seen.iter().position(|(n, l)| *n == node && wanted(l))?;
            Some(self.seen.remove(at).1)
        });
        found.with_context(|| format!("there are {:#?}", self.seen))
    }

    fn read(&mut self) {
        for (node, log) in self.logs.iter_mut().enumerate() {
            self.seen.extend(log.fresh().into_iter().map(|l| (node, l)));
        }
    }
}
