//! Dirty logging: what makes live migration see the writes of the device.

use std::os::fd::AsFd;

use super::answer::Answer;
use super::state::{State, refused};
use crate::backend::{Backend, FileRange};
use crate::protocol;
use crate::reason::{Counters, Reason};
use crate::request::LogFile;

impl LogFile {
    pub(super) fn range(&self) -> FileRange<'_> {
        FileRange { fd: self.fd.as_fd(), offset: self.offset, size: self.size }
    }
}

impl State {
    /// A new log, in place of the one before, which the front end reads no more whether it learns of a refusal or not.
    pub(super) fn set_log_base(
        &mut self,
        file: LogFile,
        backend: &mut dyn Backend,
        counters: &mut Counters,
    ) -> Result<Answer, Reason> {
        let answer = protocol::Log { size: file.size.into(), offset: file.offset.into() };
        let wanted = if file.size < self.memory.log_size() { Err(Reason::LogSize) } else { Ok(file) };
        let result = wanted.and_then(|file| {
            self.log = Some(file);
            self.stop_unfit(backend);
            match &self.log {
                Some(file) if self.wants_log() => backend.set_log(Some(file.range())).map_err(refused),
                _ => Ok(()),
            }
        });
        if result.is_err() {
            self.log = None;
            self.stop_unfit(backend);
            if self.wants_log() {
                self.end_log(backend);
            }
        }
        self.start_fit(backend, counters);
        result.map(|()| Answer::Log(answer))
    }

    /// LOG_ALL has come or gone. A front end may set it before it says where the log is; the rings are held until then.
    pub(super) fn switch_log(&mut self, backend: &mut dyn Backend) -> Result<(), Reason> {
        if !self.wants_log() {
            if self.log.take().is_some() {
                self.end_log(backend);
            }
            return Ok(());
        }
        match &self.log {
            Some(log) if log.size < self.memory.log_size() => Err(Reason::LogSize),
            Some(log) => backend.set_log(Some(log.range())).map_err(refused),
            None => Ok(()),
        }
    }

    pub(super) fn end_log(&mut self, backend: &mut dyn Backend) {
        // Ending cannot fail.
        let _ = backend.set_log(None);
    }
}
