//! Calls of gRPC that are open: their messages are counted while they pass, and told every now and then. A stream of days
//! must not show all of them at its end.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use mesh_model::Workload;
use mesh_telemetry::Messages;
use mesh_telemetry::plan::Plan;

use crate::body::passed::Direction;
use crate::connection::Accepted;

/// A call of gRPC.
#[derive(Debug)]
pub struct Call {
    pub(super) accepted: Arc<Accepted>,
    pub(super) plan: Rc<Plan>,
    pub(super) endpoint: RefCell<Option<Arc<Workload>>>,
    from_client: Cell<Messages>,
    to_client: Cell<Messages>,
    /// What was told of them already.
    told: Cell<(u64, u64)>,
    place: Cell<usize>,
}

/// The open calls of one worker.
#[derive(Debug, Default)]
pub(super) struct Calls {
    open: RefCell<Vec<Option<Rc<Call>>>>,
    free: RefCell<Vec<usize>>,
}

impl Call {
    /// Bytes of its body pass.
    pub fn read(&self, direction: Direction, data: &[u8]) {
        let messages = match direction {
            Direction::FromClient => &self.from_client,
            Direction::ToClient => &self.to_client,
        };
        let mut counted = messages.get();
        counted.read(data);
        messages.set(counted);
    }

    /// This endpoint answers it.
    pub(crate) fn goes_to(&self, endpoint: Option<&Arc<Workload>>) {
        *self.endpoint.borrow_mut() = endpoint.cloned();
    }

    /// Messages from the client and to it that were not told before.
    pub(super) fn news(&self) -> (u64, u64) {
        let now = (self.from_client.get().count(), self.to_client.get().count());
        let before = self.told.replace(now);
        (now.0 - before.0, now.1 - before.1)
    }
}

impl Calls {
    /// One more.
    pub(super) fn begin(&self, accepted: Arc<Accepted>, plan: Rc<Plan>) -> Rc<Call> {
        let mut open = self.open.borrow_mut();
        let place = self.free.borrow_mut().pop().unwrap_or_else(|| {
            open.push(None);
            open.len() - 1
        });
        let call = Rc::new(Call {
            accepted,
            plan,
            endpoint: RefCell::default(),
            from_client: Cell::default(),
            to_client: Cell::default(),
            told: Cell::default(),
            place: Cell::new(place),
        });
        open[place] = Some(call.clone());
        call
    }

    /// It is over.
    pub(super) fn end(&self, call: &Call) {
        let place = call.place.get();
        if self.open.borrow_mut()[place].take().is_some() {
            self.free.borrow_mut().push(place);
        }
    }

    /// Those that are open and have an endpoint.
    pub(super) fn answered(&self) -> Vec<Rc<Call>> {
        let open = self.open.borrow();
        let calls = open.iter().flatten();
        calls
            .filter(|call| call.endpoint.borrow().is_some())
            .cloned()
            .collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.borrow().len() == self.free.borrow().len()
    }
}
