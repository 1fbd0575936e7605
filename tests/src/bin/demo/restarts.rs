use crate::cast::Cast;
use crate::screen::Findings;
pub(crate) fn act(_: &mut Cast, _: &mut Findings) -> anyhow::Result<()> {
    Ok(())
}
