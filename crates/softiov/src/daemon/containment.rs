//! A peer that finds a bug ends its own session, not those of others.
//!
//! One thread serves the peers of all adapters of a kind. If it panics over a message, whoever sent that is let go with
//! all that was being done for it, and the thread goes on. Locks that were held are taken again all the same.

use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};

use super::rate_limit::RateLimit;

/// Name by which sessions that ended so are counted.
pub(crate) const REASON: &str = "handler_panicked";

/// An action did not come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Panicked;

/// Does `action`. If it panics, what it worked on may be half of what it should be: the caller has to throw it away.
pub(crate) fn contain<T>(action: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(action)).map_err(|_| Panicked)
}

/// From now on panics are told as before, but not more often than people can read: a peer may cause one after another.
pub(crate) fn limit_panic_messages() {
    static LIMIT: RateLimit = RateLimit::new();
    let tell = take_hook();
    set_hook(Box::new(move |panic| {
        if let Some(left_out) = LIMIT.allow() {
            tell(panic);
            if left_out > 0 {
                tracing::error!("{left_out} panics before this one were left out");
            }
        }
    }));
}
