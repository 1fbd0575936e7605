use crate::cast::Cast;
use crate::screen::Findings;
pub(crate) fn act(_: &mut Cast) -> anyhow::Result<Findings> {
    Ok(Findings::new("Act 2"))
}
