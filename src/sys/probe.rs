//! Whether io_uring may be used here, and if not: what refused it and what to change (DESIGN §4.11).

use std::io;

use super::ring::{Ring, RingSettings};

/// io_uring is not usable. The text is for the operator.
#[derive(Debug, thiserror::Error)]
#[error("io_uring cannot be used: {cause}. {remedy}")]
pub struct ProbeError {
    /// What refused it.
    pub cause: String,
    /// What to change.
    pub remedy: String,
}

/// Sets up a ring as the cores do and throws it away. Returns what was found, in one line.
pub fn probe() -> Result<String, ProbeError> {
    let settings = RingSettings { entries: 8, buffers: 16, buffer_size: 4096 };
    match Ring::new(settings) {
        Ok(_) => Ok("io_uring with SINGLE_ISSUER, DEFER_TASKRUN and a buffer ring".to_owned()),
        Err(error) => Err(explain(&error, &read_sysctl(), seccomp_is_on())),
    }
}

fn explain(error: &io::Error, disabled: &str, seccomp: bool) -> ProbeError {
    let (cause, remedy) = match error.raw_os_error() {
        Some(libc::ENOSYS) => (
            "the kernel has none (ENOSYS): older than 5.1, built without CONFIG_IO_URING, or a seccomp profile that says so".to_owned(),
            "Use Linux 6.1 or later, and in a container a profile that allows io_uring (deploy/seccomp.json).",
        ),
        Some(libc::EPERM | libc::EACCES) if disabled == "2" => (
            "kernel.io_uring_disabled is 2: off for everybody".to_owned(),
            "Set it to 0: sysctl -w kernel.io_uring_disabled=0.",
        ),
        Some(libc::EPERM | libc::EACCES) if disabled == "1" => (
            "kernel.io_uring_disabled is 1: only for CAP_SYS_ADMIN and the group kernel.io_uring_group".to_owned(),
            "Put Pierhead's user into that group, or set kernel.io_uring_disabled=0.",
        ),
        Some(libc::EPERM | libc::EACCES) if seccomp => (
            "a seccomp profile forbids it, as Docker's default does since 25.0".to_owned(),
            "Run the container with --security-opt seccomp=deploy/seccomp.json, which adds the three io_uring calls.",
        ),
        Some(libc::ENOMEM) => (
            "the ring's memory is over RLIMIT_MEMLOCK (ENOMEM)".to_owned(),
            "Raise it: LimitMEMLOCK=infinity for systemd, --ulimit memlock=-1 for Docker.",
        ),
        Some(libc::EINVAL) => (
            "the kernel lacks a feature that Pierhead needs (EINVAL)".to_owned(),
            "Use Linux 6.1 or later (DEFER_TASKRUN).",
        ),
        _ => (error.to_string(), "`pierhead doctor` shows what else was found."),
    };
    ProbeError { cause, remedy: remedy.to_owned() }
}

fn read_sysctl() -> String {
    let value = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").unwrap_or_default();
    value.trim().to_owned()
}

/// `Seccomp: 2` in /proc/self/status is filter mode (proc_pid_status(5)).
fn seccomp_is_on() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().any(|line| line.split_whitespace().eq(["Seccomp:", "2"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_says_what_to_change() {
        let told = |errno, disabled, seccomp| {
            explain(&io::Error::from_raw_os_error(errno), disabled, seccomp).to_string()
        };
        assert!(told(libc::EPERM, "2", true).contains("kernel.io_uring_disabled=0"));
        assert!(told(libc::EPERM, "1", false).contains("io_uring_group"));
        assert!(told(libc::EPERM, "0", true).contains("seccomp=deploy/seccomp.json"));
        assert!(told(libc::ENOSYS, "", false).contains("Linux 6.1"));
        assert!(told(libc::EINVAL, "", false).contains("DEFER_TASKRUN"));
        assert!(told(libc::ENOMEM, "", false).contains("memlock"));
    }
}
