use crate::cast::Cast;
use lab::world::World;
pub(crate) fn print(_: &Cast, _: &World) {}
