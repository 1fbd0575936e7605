//! Any descriptor that can be waited for, such as a netlink socket of somebody else's making.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A non-blocking descriptor that is waited for until it can be read.
#[derive(Debug)]
pub struct Readable {
    fd: AsyncFd<OwnedFd>,
}

impl Readable {
    /// Waits for this descriptor, which must not block. Needs a tokio runtime.
    ///
    /// # Errors
    /// Fails when it is of a kind that cannot be waited for.
    pub fn new(fd: OwnedFd) -> io::Result<Self> {
        // SAFETY: the descriptor is owned by the value that is registered, gives the same number all its life, and is
        // closed only after its registration has ended.
        let fd = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?;
        Ok(Self { fd })
    }

    /// Calls `read` when there may be something to be read, again and again until it gives something else than
    /// [`io::ErrorKind::WouldBlock`]. May be cancelled without loss, since `read` is then not called.
    ///
    /// # Errors
    /// Fails as `read` does, and when the runtime has ended.
    pub async fn read<T>(&self, mut read: impl FnMut(&OwnedFd) -> io::Result<T>) -> io::Result<T> {
        loop {
            let mut ready = self.fd.readable().await?;
            if let Ok(result) = ready.try_io(|fd| read(fd.get_ref())) {
                return result;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;
    use std::pin::{Pin, pin};
    use std::task::{Context, Waker};

    use super::*;

    fn waits(future: Pin<&mut impl Future>) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        future.poll(&mut context).is_pending()
    }

    #[tokio::test]
    async fn what_is_there_is_read_and_what_comes_is_waited_for() {
        let (near, mut far) = UnixStream::pair().expect("a pair");
        near.set_nonblocking(true).expect("a flag");
        let readable = Readable::new(near.into()).expect("a socket");
        let read = |fd: &OwnedFd| {
            let mut bytes = [0; 8];
            let n = UnixStream::from(fd.try_clone()?).read(&mut bytes)?;
            Ok(bytes[..n].to_vec())
        };
        let mut waiting = pin!(readable.read(read));
        assert!(waits(waiting.as_mut()));
        far.write_all(b"one").expect("room");
        assert_eq!(waiting.await.expect("bytes"), b"one");
        assert!(waits(pin!(readable.read(read))));
        drop(far);
        assert_eq!(readable.read(read).await.expect("the end"), b"");
    }
}
