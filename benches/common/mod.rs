//! What several benches share.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The processor time that this thread spends in `work`, in the kernel too: what else runs on the machine hardly
/// changes it.
pub fn cpu_time(work: impl FnOnce()) -> Duration {
    let now = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    };
    let start = now();
    work();
    now() - start
}
