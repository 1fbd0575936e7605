//! Which endpoint takes a request or connection: the seam for balancers.

use std::rc::Rc;

use super::Endpoint;

/// What is known of a request when an endpoint is picked for it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ask<'a> {
    /// Endpoints that were tried for it, by their places in the list: others are picked while there are any.
    pub tried: &'a [usize],
    /// What is hashed, where the balancer is one that keeps equal keys together.
    pub hash: Option<u64>,
}

/// A balancer.
pub trait Pick {
    /// The place of the endpoint that takes it; nothing when there is none that may.
    fn pick(&self, endpoints: &[Rc<Endpoint>], ask: &Ask<'_>) -> Option<usize>;
}

/// The less busy of two random ones, by weight (Mitzenmacher, "The power of two choices"; Envoy, "Weighted least
/// request").
#[derive(Clone, Copy, Debug, Default)]
pub struct LeastRequest;

impl Pick for LeastRequest {
    fn pick(&self, endpoints: &[Rc<Endpoint>], ask: &Ask<'_>) -> Option<usize> {
        let fresh = |place: &usize| !ask.tried.contains(place);
        match endpoints.len() {
            0 => None,
            1 => Some(0),
            n if ask.tried.is_empty() => {
                let first = fastrand::usize(..n);
                // Another one than the first.
                let second = (first + 1 + fastrand::usize(..n - 1)) % n;
                Some(less_busy(endpoints, first, second))
            }
            n => {
                let left: Vec<usize> = (0..n).filter(fresh).collect();
                match left.len() {
                    // What failed once is better than nothing.
                    0 => Some(fastrand::usize(..n)),
                    1 => Some(left[0]),
                    m => {
                        let first = fastrand::usize(..m);
                        let second = (first + 1 + fastrand::usize(..m - 1)) % m;
                        Some(less_busy(endpoints, left[first], left[second]))
                    }
                }
            }
        }
    }
}

fn less_busy(endpoints: &[Rc<Endpoint>], a: usize, b: usize) -> usize {
    // Compared as fractions: requests per weight, with the one that is to come.
    let share = |mine: usize, other: usize| {
        (u64::from(endpoints[mine].active.get()) + 1) * u64::from(endpoints[other].weight)
    };
    if share(b, a) < share(a, b) { b } else { a }
}
