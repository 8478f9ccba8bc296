//! What the fuzz targets share: guest memory, a VF with its worker, and frames.
//!
//! | module | what |
//! |---|---|
//! | [`memory`] | memory of a guest, seen by the guest as well as by a device |
//! | [`vf`] | both halves of a VF and what the daemon puts round them, in one thread |
//! | [`synthetic`] | a synthetic adapter with its worker, in one thread |
//! | [`rings`] | what a guest may do with its virtqueues, and what then must hold |
//! | [`frames`] | frames built and checked by the definitions of their checksums |
//!
//! Each target under `fuzz_targets/` says at its head what it proves. It drives a crate by its public interface,
//! and compares with a model or rules of its own: nothing here may use the code that it judges, nor be used by a
//! crate.
//!
//! `cargo xtask fuzz` runs the targets from the seeds in `corpus/` on. `vfio_user_stream` takes bytes as they are;
//! the others take steps, and their seeds are the bytes from which `arbitrary` reads these: `cargo fuzz fmt TARGET
//! FILE` shows them.

pub mod frames;
pub mod memory;
pub mod rings;
pub mod synthetic;
pub mod vf;
