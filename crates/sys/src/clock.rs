//! The time stamp counter (TSC): the clock of the data path.
//!
//! Reading it costs some 20 cycles and no system call. Every x86-64 machine of the last decade has an invariant TSC:
//! it runs at one rate, on all CPUs alike, whatever the core clock does.

// UNSAFETY: `_rdtsc` is an intrinsic that the compiler cannot call safe.
#![expect(unsafe_code, reason = "the time stamp counter is read by an intrinsic")]

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The TSC, in cycles since the CPU started.
#[inline]
#[must_use]
pub fn tsc() -> u64 {
    // SAFETY: every x86-64 CPU has RDTSC, and Linux leaves it enabled in user mode.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// TSC cycles per microsecond, measured once against the monotonic clock (10 ms on the first call).
#[must_use]
pub fn cycles_per_microsecond() -> u64 {
    static RATE: OnceLock<u64> = OnceLock::new();
    *RATE.get_or_init(|| {
        let (began, first) = (Instant::now(), tsc());
        while began.elapsed() < Duration::from_millis(10) {
            std::hint::spin_loop();
        }
        let (elapsed, cycles) = (began.elapsed(), tsc().wrapping_sub(first));
        let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX).max(1);
        (cycles / micros).max(1)
    })
}
