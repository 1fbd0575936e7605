//! What is to be said of an object that is not understood, or not wholly, and what of it can be read all the same. Pure.

use controlplane_k8s_api::gateway::ParentRef;
use controlplane_k8s_api::{Kind, ObjectKey, RawObject, StrictPart};
use mesh_types::Strng;

/// What is to be said of an object in its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// Which one.
    pub object: ObjectKey,
    /// What counts of it.
    pub counts: Counts,
    /// What is wrong with it, one line each.
    pub lines: Vec<String>,
    /// What can be read of it.
    pub readable: Readable,
}

/// What counts of an object of which something is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counts {
    /// All of it but what is remarked: fields that are not known here.
    Rest,
    /// An earlier content of it.
    LastGood,
    /// Its strictest sense: it is a policy.
    Strictest,
    /// Nothing.
    Nothing,
}

/// What can be read of an object, whatever else is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readable {
    /// The generation that is wrong.
    pub generation: Option<i64>,
    /// The API server's id of the instance.
    pub uid: Option<Strng>,
    /// What a route or a policy is attached to.
    pub attached_to: Vec<ParentRef>,
    /// The class of a Gateway, or the controller of a GatewayClass.
    pub made_by: Option<Strng>,
    /// What the parts of a policy come to that are not understood, where its strictest sense counts.
    pub strict: Vec<StrictPart>,
}

impl Readable {
    /// What can be read of an object of this kind.
    #[must_use]
    pub fn of(kind: Kind, object: &RawObject) -> Self {
        let made_by = match kind {
            Kind::Gateway => object.spec_text("gatewayClassName"),
            Kind::GatewayClass => object.spec_text("controllerName"),
            _ => None,
        };
        Self {
            generation: object.generation(),
            uid: object.metadata("uid").map(Strng::from),
            attached_to: object.attached_to(),
            made_by: made_by.map(Strng::from),
            strict: Vec::new(),
        }
    }
}
