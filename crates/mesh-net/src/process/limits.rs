//! Descriptors, memory and interfaces.

use std::ffi::CString;
use std::io;
use std::os::fd::AsRawFd;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Raises the limit of open descriptors as far as this process may; returns what it is now.
///
/// # Errors
/// Fails when the limit cannot be read.
pub fn raise_nofile_limit() -> io::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_err() {
        return Ok(soft);
    }
    Ok(hard)
}

/// Lets the C library keep up to `bytes` of freed memory for each of its arenas (mallopt(3), `M_TRIM_THRESHOLD` and
/// `M_MMAP_THRESHOLD`) instead of giving it back to the kernel at once, only to fault it in again with the next bytes. Does
/// nothing where the C library is another than glibc. To be called before any thread is started; `MALLOC_TRIM_THRESHOLD_`
/// in the environment has no effect any more.
pub fn keep_freed_memory(bytes: i32) {
    #[cfg(target_env = "gnu")]
    for parameter in [libc::M_TRIM_THRESHOLD, libc::M_MMAP_THRESHOLD] {
        // SAFETY: mallopt takes plain numbers, and glibc changes them under its arena's lock.
        let set = unsafe { libc::mallopt(parameter, bytes) };
        debug_assert_eq!(set, 1, "glibc knows both parameters");
    }
    #[cfg(not(target_env = "gnu"))]
    let _ = bytes;
}

/// The index of an interface of the calling thread's namespace.
///
/// # Errors
/// Fails when there is no such interface.
pub fn interface_index(name: &str) -> io::Result<u32> {
    Ok(nix::net::if_::if_nametoindex(name)?)
}

/// Brings an interface of the calling thread's namespace up (netdevice(7), `SIOCSIFFLAGS`); a new namespace's `lo` is down.
///
/// # Errors
/// Fails when there is no such interface, or without `CAP_NET_ADMIN`.
pub fn set_interface_up(name: &str) -> io::Result<()> {
    let too_long = || io::Error::new(io::ErrorKind::InvalidInput, "no interface has such a name");
    let name = CString::new(name).map_err(|_| too_long())?;
    let bytes = name.to_bytes_with_nul();
    // SAFETY: `ifreq` is plain data, for which all zeros are valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if bytes.len() > request.ifr_name.len() {
        return Err(too_long());
    }
    for (to, from) in request.ifr_name.iter_mut().zip(bytes) {
        *to = from.cast_signed() as libc::c_char;
    }
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").or_else(|_| std::net::UdpSocket::bind("[::]:0"))?;
    interface_ioctl(&socket, libc::SIOCGIFFLAGS, &mut request)?;
    // SAFETY: SIOCGIFFLAGS has just filled this member of the union, and a short has no invalid value.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    request.ifr_ifru.ifru_flags = flags | libc::IFF_UP as libc::c_short;
    interface_ioctl(&socket, libc::SIOCSIFFLAGS, &mut request)
}

fn interface_ioctl(socket: &impl AsRawFd, call: libc::Ioctl, request: &mut libc::ifreq) -> io::Result<()> {
    // SAFETY: both calls take a pointer to an `ifreq`, which lives across the call; the descriptor is borrowed, hence open.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), call, std::ptr::from_mut(request)) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
