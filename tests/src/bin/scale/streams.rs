//! Who follows the control plane: delta xDS as ztunnels speak it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use mesh_xds::{ApplyBatch, Batch, ClientConfig, ClientHandle, NodeInfo, Rejected, TypeUrl};
use parking_lot::Mutex;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};

use crate::crowd;
use crate::plane::Plane;

/// Open streams; dropping them closes them.
#[derive(Debug)]
pub(crate) struct Streams {
    handles: Vec<ClientHandle>,
    tasks: Vec<AbortHandle>,
    held: Arc<Mutex<Vec<usize>>>,
}

/// When which change came to which stream.
#[derive(Clone, Debug)]
pub(crate) struct Board {
    streams: usize,
    expected: Arc<Mutex<HashMap<String, Arrivals>>>,
}

#[derive(Debug)]
struct Arrivals {
    began: Instant,
    last: Instant,
    /// Which streams it came to.
    at: Vec<bool>,
}

impl Streams {
    /// Opens them all at once.
    pub(crate) fn open(plane: &Plane, tokens: Vec<String>, board: &Board) -> Result<Self> {
        let held = Arc::new(Mutex::new(vec![0; tokens.len()]));
        let (mut handles, mut tasks) = (Vec::new(), Vec::new());
        for (number, token) in tokens.into_iter().enumerate() {
            let channel = mesh_grpc::channel(plane.channel(&token)?)?;
            let config = ClientConfig {
                node: NodeInfo::ztunnel(
                    None,
                    &crowd::proxy(number),
                    crowd::ROOT_NAMESPACE,
                    &crowd::node(number),
                ),
                types: vec![TypeUrl::AUTHORIZATION, TypeUrl::ADDRESS],
            };
            let follower = Follower {
                number,
                board: board.clone(),
                held: held.clone(),
            };
            let (handle, driver) = mesh_xds::client(&config, channel, follower);
            handles.push(handle);
            tasks.push(tokio::spawn(driver).abort_handle());
        }
        Ok(Self { handles, tasks, held })
    }

    /// Waits until each has answered the first push of everything, of which the pods are the most.
    pub(crate) async fn all_hold_everything(&self, pods: usize) -> Result<()> {
        for handle in &self.handles {
            let mut ready = handle.ready();
            let waited = tokio::time::timeout(PATIENCE, ready.wait_for(|ready| *ready));
            if waited.await.is_err() {
                bail!(
                    "a stream does not get everything: {:?}",
                    handle.status().last_error
                );
            }
        }
        match self.held.lock().iter().find(|held| **held < pods) {
            Some(held) => bail!("a stream was sent {held} resources for {pods} pods"),
            None => Ok(()),
        }
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl Board {
    pub(crate) fn new(streams: usize) -> Self {
        Self {
            streams,
            expected: Arc::default(),
        }
    }

    /// A resource is about to be changed.
    pub(crate) fn expect(&self, name: &str) {
        let now = Instant::now();
        let arrivals = Arrivals {
            began: now,
            last: now,
            at: vec![false; self.streams],
        };
        self.expected.lock().insert(name.to_owned(), arrivals);
    }

    fn arrived(&self, stream: usize, batch: &Batch) {
        let now = Instant::now();
        let mut expected = self.expected.lock();
        for resource in &batch.resources {
            // The first message about it counts.
            if let Some(arrivals) = expected.get_mut(&resource.name)
                && !std::mem::replace(&mut arrivals.at[stream], true)
            {
                arrivals.last = now;
            }
        }
    }

    /// For each change, how long it took to the slowest stream.
    pub(crate) async fn all_arrived(&self, limit: Duration) -> Result<Vec<Duration>> {
        let began = Instant::now();
        loop {
            {
                let expected = self.expected.lock();
                let missing = expected.values().filter(|a| !a.at.iter().all(|at| *at)).count();
                if missing == 0 {
                    return Ok(expected.values().map(|a| a.last - a.began).collect());
                }
                if began.elapsed() > limit {
                    bail!("{missing} changes did not come to every stream");
                }
            }
            sleep(Duration::from_millis(50)).await;
        }
    }
}

/// One stream's state: what came, not what it means.
struct Follower {
    number: usize,
    board: Board,
    held: Arc<Mutex<Vec<usize>>>,
}

impl ApplyBatch for Follower {
    fn apply(&mut self, batch: Batch) -> Result<(), Vec<Rejected>> {
        self.board.arrived(self.number, &batch);
        if batch.type_url == TypeUrl::ADDRESS {
            self.held.lock()[self.number] += batch.resources.len();
        }
        Ok(())
    }
}

const PATIENCE: Duration = Duration::from_secs(120);
