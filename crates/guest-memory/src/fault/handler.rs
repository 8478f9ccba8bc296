//! The SIGBUS handler.
//!
//! All that it does is async-signal-safe: loads from a static table, `mmap`, `sigaction`, `raise`.

// UNSAFETY: signal handlers, and replacing a mapping under the feet of its users.
#![expect(unsafe_code, reason = "signal handling")]

use std::ffi::{c_int, c_void};
use std::io;
use std::mem;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::Ordering;

use rustix::io::Errno;

use super::table::{self, Mapped};

/// `si_code` of SIGBUS (asm-generic/siginfo.h): there is no page.
const BUS_ADRERR: c_int = 2;
/// `si_code` of SIGBUS: the page has a memory error, and the thread has just touched it. (`BUS_MCEERR_AO`, an error
/// that nobody has touched yet, is not for us: the mapping might go away while it is handled.)
const BUS_MCEERR_AR: c_int = 4;

type Handler = extern "C" fn(c_int);
type InfoHandler = extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);

/// What SIGBUS did before.
static PREVIOUS: OnceLock<libc::sigaction> = OnceLock::new();

/// Installs the handler, at the first call.
pub(super) fn install() -> Result<(), Errno> {
    static INSTALLED: OnceLock<Result<(), Errno>> = OnceLock::new();
    *INSTALLED.get_or_init(|| {
        let mut previous = default_action();
        // SAFETY: changes nothing; the present action is written to a value of the right type.
        check(unsafe { libc::sigaction(libc::SIGBUS, ptr::null(), &raw mut previous) })?;
        // Before the handler can run.
        PREVIOUS.get_or_init(|| previous);
        let mut action = default_action();
        let handler: InfoHandler = on_sigbus;
        action.sa_sigaction = handler as libc::sighandler_t;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        // SAFETY: the handler has the signature that SA_SIGINFO asks for, does only what is async-signal-safe, and
        // lives for ever.
        check(unsafe { libc::sigaction(libc::SIGBUS, &raw const action, ptr::null_mut()) })
    })
}

extern "C" fn on_sigbus(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: with SA_SIGINFO the kernel passes a valid siginfo, and nobody changes it now.
    let cause = unsafe { &*info };
    // SAFETY: the bytes of the address are there whatever the code is, and looked at only for codes that set them.
    let address = unsafe { cause.si_addr() };
    let code = cause.si_code;
    let recovered = matches!(code, BUS_ADRERR | BUS_MCEERR_AR)
        && table::find(address).is_some_and(|mapped| replace(&mapped, address));
    if !recovered {
        pass_on(signal, info, context, code);
    }
}

/// Puts zero pages in the place of a mapping that has lost the page at `address`.
fn replace(mapped: &Mapped, address: *mut c_void) -> bool {
    let page = address.map_addr(|address| address & !(mapped.page - 1));
    // The whole of it: one signal per mapping instead of one per page. Where memory is not overcommitted so much zero
    // memory may be refused, a page will not.
    if !zero_pages(mapped.start, mapped.len, mapped.prot) && !zero_pages(page, mapped.page, mapped.prot) {
        return false;
    }
    // SAFETY: this thread is in the middle of an access to the mapping, so it holds a view that keeps the mapping, its
    // entry in the table and the flag alive.
    unsafe { (*mapped.faulted).store(true, Ordering::Relaxed) };
    true
}

/// Maps private zero pages over a part of a guest memory mapping.
fn zero_pages(start: *mut c_void, len: usize, prot: c_int) -> bool {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED | libc::MAP_NORESERVE;
    // SAFETY: returns the address of this thread's own errno.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above, valid as long as the thread lives.
    let interrupted = unsafe { *errno };
    // SAFETY: the range is a mapping of guest memory, or pages of it. It cannot be unmapped meanwhile (see `replace`),
    // and its users expect of its contents nothing, for a guest may write anything there at any time.
    let mapped = unsafe { libc::mmap(start, len, prot, flags, -1, 0) };
    // SAFETY: as above. What was interrupted may be about to read its errno.
    unsafe { *errno = interrupted };
    mapped == start
}

/// Does what would have happened without this handler.
fn pass_on(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void, code: c_int) {
    // Codes of the kernel are positive: the access is tried again on return. Others came from a process, once.
    let by_access = code > 0;
    let Some(previous) = PREVIOUS.get() else { return };
    match previous.sa_sigaction {
        libc::SIG_IGN if !by_access => {}
        libc::SIG_DFL | libc::SIG_IGN => {
            let action = default_action();
            // SAFETY: the default action for a signal number.
            unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) };
            if !by_access {
                // SAFETY: raises a signal that stays blocked until this handler has returned.
                unsafe { libc::raise(signal) };
            }
        }
        handler if previous.sa_flags & libc::SA_SIGINFO != 0 => {
            // SAFETY: an action with SA_SIGINFO holds a function of this type.
            let handler = unsafe { mem::transmute::<libc::sighandler_t, InfoHandler>(handler) };
            handler(signal, info, context);
        }
        handler => {
            // SAFETY: an action without SA_SIGINFO that is none of the constants holds a function of this type.
            let handler = unsafe { mem::transmute::<libc::sighandler_t, Handler>(handler) };
            handler(signal);
        }
    }
}

/// An action that is `SIG_DFL`, without flags, with an empty mask.
fn default_action() -> libc::sigaction {
    // SAFETY: all fields are integers, or an optional function pointer; zeros are `SIG_DFL` and an empty mask.
    unsafe { mem::zeroed() }
}

fn check(result: c_int) -> Result<(), Errno> {
    match result {
        0 => Ok(()),
        _ => Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::INVAL)),
    }
}
