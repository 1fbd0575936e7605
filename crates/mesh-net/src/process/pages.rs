//! Memory that holds nothing but what stands in a file as well.

use std::io;
use std::ops::Range;

/// Lets go of the pages of the program and its libraries that are in memory as they stand in their files: of code and
/// constants that only the start needed, most of all. What is needed again is mapped again at its first use, from the page
/// cache as long as the kernel keeps it there. Gives the number of bytes that were resident before.
///
/// # Errors
/// Fails where `/proc` is not there, or the kernel refuses.
pub fn release_file_pages() -> io::Result<u64> {
    let mut released = 0;
    for mapping in unchanged_mappings(&std::fs::read_to_string("/proc/self/smaps")?) {
        let Range { start, end } = mapping.addresses;
        // SAFETY: nobody may write to this private mapping of a file, and none of its pages is a copy (`Anonymous` is 0), so
        // that each comes back as it was, with its first use. A program that runs cannot be written to.
        let done = unsafe { libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_DONTNEED) };
        if done != 0 {
            return Err(io::Error::last_os_error());
        }
        released += mapping.resident;
    }
    Ok(released)
}

/// Part of a file that is mapped to be read or run, and of which no page was ever changed.
#[derive(Debug, PartialEq, Eq)]
struct Unchanged {
    addresses: Range<usize>,
    /// Bytes.
    resident: u64,
}

/// Those of proc(5), `smaps`. What cannot be read there is left alone.
fn unchanged_mappings(smaps: &str) -> Vec<Unchanged> {
    let mut found = Vec::new();
    let mut current: Option<Unchanged> = None;
    for line in smaps.lines() {
        let (first, rest) = line.split_once(' ').unwrap_or((line, ""));
        match first {
            "Rss:" => {
                if let Some(mapping) = &mut current {
                    mapping.resident = kilobytes(rest).unwrap_or_default() * 1024;
                }
            }
            "Anonymous:" => current = current.take().filter(|_| kilobytes(rest) == Some(0)),
            // Behind all that counts. Pages that are locked in memory are to stay there.
            "Locked:" => found.extend(current.take().filter(|_| kilobytes(rest) == Some(0))),
            _ if first.ends_with(':') => {}
            _ => current = mapping_of(first, rest),
        }
    }
    found
}

/// `55ae48e86000-55ae49937000 r-xp 00337000 fe:00 10907174 /usr/bin/program`
fn mapping_of(addresses: &str, rest: &str) -> Option<Unchanged> {
    let mut fields = rest.split_ascii_whitespace();
    let (permissions, inode) = (fields.next()?, fields.nth(2)?);
    let read_only = matches!(permissions, "r-xp" | "r--p");
    if !read_only || inode == "0" {
        return None;
    }
    let (start, end) = addresses.split_once('-')?;
    let address = |text| usize::from_str_radix(text, 16).ok();
    Some(Unchanged {
        addresses: address(start)?..address(end)?,
        resident: 0,
    })
}

fn kilobytes(field: &str) -> Option<u64> {
    field.trim().strip_suffix(" kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests;
