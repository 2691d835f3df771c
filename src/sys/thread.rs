//! CPUs, descriptor limits and what the kernel counts for a thread.

use std::io;

/// The CPUs that this process may run on (sched_getaffinity(2)), in order.
pub fn available_cpus() -> io::Result<Vec<usize>> {
    // SAFETY: a cpu_set_t is an array of integers: all zeroes is a value, and the kernel writes inside its size.
    let set = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        check(libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set))?;
        set
    };
    // SAFETY: CPU_ISSET reads inside the set for indices below CPU_SETSIZE.
    Ok((0..libc::CPU_SETSIZE as usize).filter(|cpu| unsafe { libc::CPU_ISSET(*cpu, &set) }).collect())
}

/// Keeps the calling thread on one CPU.
pub fn pin_to(cpu: usize) -> io::Result<()> {
    if cpu >= libc::CPU_SETSIZE as usize {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // SAFETY: as above; CPU_SET writes inside the set for an index below CPU_SETSIZE.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        check(libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set))
    }
}

/// Makes the calling thread one of SCHED_BATCH (sched(7)): when it wakes it does not push another off the CPU, but
/// waits until that one sleeps or has had its share. On an idle CPU nothing changes.
pub fn yield_to_wakers() -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: reads one live struct.
    check(unsafe { libc::sched_setscheduler(0, libc::SCHED_BATCH, &raw const parameters) })
}

/// Raises the soft limit of open descriptors to the hard one (setrlimit(2)) and returns it.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    // SAFETY: getrlimit and setrlimit read and write one live struct.
    unsafe {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        check(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit))?;
        limit.rlim_cur = limit.rlim_max;
        check(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit))?;
        Ok(limit.rlim_cur)
    }
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
