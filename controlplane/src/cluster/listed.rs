//! What a watch says of objects by their names, complete or not. Pure.

use std::collections::BTreeMap;

use mesh_kube::Event;

/// Something of each object.
#[derive(Debug)]
pub struct Listed<T> {
    /// What is known; of everything, once it is complete.
    pub known: BTreeMap<String, T>,
    listing: Option<BTreeMap<String, T>>,
    complete: bool,
}

impl<T> Default for Listed<T> {
    fn default() -> Self {
        Self {
            known: BTreeMap::new(),
            listing: None,
            complete: false,
        }
    }
}

impl<T> Listed<T> {
    /// Whether everything was listed once.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Takes what a watch says; `entry` makes a name of an object and what is kept of it.
    pub fn take<O>(&mut self, event: Event<O>, entry: impl Fn(O) -> (String, T)) {
        match event {
            Event::ListBegins => self.listing = Some(BTreeMap::new()),
            Event::Listed(object) => self.listing.get_or_insert_default().extend([entry(object)]),
            Event::ListEnds => {
                self.known = self.listing.take().unwrap_or_default();
                self.complete = true;
            }
            Event::Applied(object) => self.known.extend([entry(object)]),
            Event::Deleted(object) => drop(self.known.remove(&entry(object).0)),
        }
    }
}
