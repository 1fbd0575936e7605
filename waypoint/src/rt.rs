//! The runtime as hyper sees it: tasks stay on their worker.

use futures_util::FutureExt;
use mesh_runtime::supervise::Tasks;

/// Starts hyper's tasks on the current worker.
#[derive(Clone, Debug)]
pub(crate) struct Local(pub(crate) Tasks);

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, task: F) {
        // No `async` block, which would have room for it twice.
        self.0.spawn_local("HTTP/2 stream", task.map(drop));
    }
}
