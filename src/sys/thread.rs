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

/// What the kernel has counted for the calling thread (getrusage(2), RUSAGE_THREAD).
#[derive(Clone, Copy, Debug, Default)]
pub struct ThreadUsage {
    /// Times that the thread lost its CPU although it had work.
    pub involuntary_switches: u64,
    /// CPU time, user and system, in microseconds.
    pub cpu_us: u64,
}

/// Reads the counters of the calling thread.
pub fn thread_usage() -> ThreadUsage {
    // SAFETY: a rusage is plain integers, and the kernel writes inside it. RUSAGE_THREAD cannot fail (Linux 2.6.26).
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage);
        usage
    };
    let micros = |time: libc::timeval| time.tv_sec as u64 * 1_000_000 + time.tv_usec as u64;
    ThreadUsage {
        involuntary_switches: usage.ru_nivcsw as u64,
        cpu_us: micros(usage.ru_utime) + micros(usage.ru_stime),
    }
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
