//! Split rings of any content, in memory that is the guest's to write; `support::rings` says what must hold.

#![no_main]

use libfuzzer_sys::fuzz_target;
use support::rings::Script;

fuzz_target!(|script: Script| script.run(false));
