//! Compiled lists of paths.

use mesh_types::Strng;

use super::{PathPattern, Segment};
use crate::l7::TextMatch;

/// Paths.
#[derive(Debug)]
pub(super) struct Paths {
    exact: Vec<Strng>,
    others: Vec<PathPattern>,
}

/// What a path must be or begin with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Beginning {
    Exact(Strng),
    Prefix(Strng),
}

impl Paths {
    pub(super) fn compile(values: &[PathPattern]) -> Self {
        let mut paths = Self {
            exact: Vec::new(),
            others: Vec::new(),
        };
        for value in values {
            match value {
                PathPattern::Text(TextMatch::Exact(path)) => paths.exact.push(path.clone()),
                PathPattern::Text(_) | PathPattern::Template(_) => paths.others.push(value.clone()),
            }
        }
        paths.exact.sort();
        paths.exact.dedup();
        paths
    }

    pub(super) fn contain(&self, path: &str) -> bool {
        self.exact
            .binary_search_by(|exact| exact.as_str().cmp(path))
            .is_ok()
            || self.others.iter().any(|other| other.matches(path))
    }

    /// What each of them begins with, if they all tell.
    pub(super) fn beginnings(&self) -> Option<Vec<Beginning>> {
        let others = self.others.iter().map(|pattern| match pattern {
            PathPattern::Text(TextMatch::Prefix(prefix)) => Some(prefix.clone()),
            PathPattern::Template(segments) => literal_head(segments),
            PathPattern::Text(_) => None,
        });
        let others = others.map(|prefix| prefix.map(Beginning::Prefix));
        let exact = self.exact.iter().map(|path| Some(Beginning::Exact(path.clone())));
        exact.chain(others).collect()
    }
}

impl PathPattern {
    /// Whether a path without its query matches.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        match self {
            Self::Text(text) => text.matches(path),
            Self::Template(segments) => path
                .strip_prefix('/')
                .is_some_and(|path| match_segments(segments, path)),
        }
    }
}

/// The segments of a template before the first that is not literal.
fn literal_head(segments: &[Segment]) -> Option<Strng> {
    let literal = segments.iter().map_while(|segment| match segment {
        Segment::Literal(text) => Some(text.as_str()),
        Segment::One | Segment::Many => None,
    });
    let head: String = literal.flat_map(|text| ["/", text]).collect();
    (!head.is_empty()).then(|| head.into())
}

/// As file names are matched: where something does not fit, the last `{**}` takes one segment more.
fn match_segments(pattern: &[Segment], path: &str) -> bool {
    let path: Vec<&str> = path.split('/').collect();
    let (mut p, mut s) = (0, 0);
    let mut last_many = None;
    while s < path.len() {
        match pattern.get(p) {
            Some(Segment::Many) => {
                last_many = Some((p, s));
                p += 1;
                continue;
            }
            Some(Segment::One) if !path[s].is_empty() => (p, s) = (p + 1, s + 1),
            Some(Segment::Literal(text)) if text.as_str() == path[s] => (p, s) = (p + 1, s + 1),
            _ => match last_many {
                Some((at, from)) => {
                    last_many = Some((at, from + 1));
                    (p, s) = (at + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|segment| *segment == Segment::Many)
}
