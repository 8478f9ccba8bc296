//! What can go wrong, in sentences.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::session::{MAX_LINE, MAX_OUTSTANDING};

/// A VMM breaks the protocol. Nothing more can be made of the connection.
#[derive(Debug, thiserror::Error)]
pub enum Violation {
    /// No line ends.
    #[error("it sends a line of more than {MAX_LINE} bytes")]
    LineTooLong,
    /// Not QMP at all, or a monitor with `pretty=on`.
    #[error("it sends a line that is no JSON object; QMP has one on each line, without `pretty=on`")]
    NotJson(#[source] serde_json::Error),
    /// Neither greeting, answer nor event.
    #[error("it sends a message that is neither a greeting, an answer nor an event")]
    Shape,
    /// The first message is something else.
    #[error("it does not begin with a greeting")]
    NoGreeting,
    /// A second greeting, or one without a version.
    #[error("it sends a greeting that makes no sense")]
    Greeting,
    /// An answer to nothing.
    #[error("it answers a command that it was not given (number {0})")]
    Unasked(u64),
    /// An event lacks what it is about.
    #[error("its event {name} has no {field}")]
    Event {
        /// The event.
        name: String,
        /// The field of its data.
        field: &'static str,
    },
    /// The negotiation ends with an error.
    #[error("it refuses qmp_capabilities")]
    Negotiation(#[source] Refusal),
}

/// Why a VMM cannot be reached, or not any more.
#[derive(Debug, thiserror::Error)]
pub enum Unreachable {
    /// The first attempt is still under way.
    #[error("the monitor {} was not reached yet", .0.display())]
    NotYet(PathBuf),
    /// Nobody listens.
    #[error(
        "cannot connect to the monitor {}: does the virtual machine run, with `-qmp unix:{},server=on,wait=off`?",
        path.display(),
        path.display()
    )]
    Connect {
        /// The socket.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Somebody listens and says nothing. QEMU serves one client after the other.
    #[error(
        "the monitor {} does not greet within {} s: is it QEMU's, and does no other program use it? Give QEMU a `-qmp` \
         for softiov alone",
        path.display(),
        within.as_secs_f32()
    )]
    Silent {
        /// The socket.
        path: PathBuf,
        /// How long it was waited for.
        within: Duration,
    },
    /// What comes is not QMP.
    #[error("the monitor {} does not speak QMP as it should", path.display())]
    Protocol {
        /// The socket.
        path: PathBuf,
        /// What is wrong.
        source: Violation,
    },
    /// The VMM has closed the connection: it has ended, usually.
    #[error("the monitor {} has closed the connection: the virtual machine has ended", .0.display())]
    Closed(PathBuf),
    /// The socket failed.
    #[error("the connection to the monitor {} has failed", path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

/// Why a command did not do what it should.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CommandError {
    /// There is no connection: the command was not given.
    #[error(transparent)]
    Unreachable(Arc<Unreachable>),
    /// The connection broke before the answer came: whether the command was run is not known.
    #[error("the connection broke while {command} was under way")]
    Lost {
        /// The command.
        command: &'static str,
        /// Why.
        source: Arc<Unreachable>,
    },
    /// No answer came in time: whether the command was, or will be, run is not known.
    #[error("the virtual machine's monitor does not answer {command} within {} s", within.as_secs_f32())]
    TimedOut {
        /// The command.
        command: &'static str,
        /// How long it was waited for.
        within: Duration,
    },
    /// QEMU refuses.
    #[error("QEMU refuses {command}: {refusal}")]
    Refused {
        /// The command.
        command: &'static str,
        /// In QEMU's words.
        refusal: Refusal,
    },
    /// QEMU answers something that the command never returns.
    #[error("QEMU answers {command} with something that makes no sense")]
    Answer {
        /// The command.
        command: &'static str,
    },
    /// The VMM answers nothing any more.
    #[error(
        "{MAX_OUTSTANDING} commands wait for the virtual machine's monitor: {command} was not given to it"
    )]
    Busy {
        /// The command.
        command: &'static str,
    },
    /// There is no place for a device.
    #[error(
        "the virtual machine has no free pcie-root-port: start it with one more \
         `-device pcie-root-port,id=...,chassis=...`"
    )]
    NoRootPort,
    /// The id of a device belongs to another one.
    #[error("the virtual machine has a device {id} already, a {driver}: choose another id")]
    IdTaken {
        /// The id.
        id: String,
        /// The driver of the device that has it.
        driver: String,
    },
    /// The driver has ended, because nobody takes its updates.
    #[error("the driver of the virtual machine's monitor has ended")]
    Ended,
}

/// An error that QEMU answers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{description} ({class})")]
pub struct Refusal {
    /// Its class; most have none of their own.
    pub class: ErrorClass,
    /// In QEMU's words.
    pub description: String,
}

/// The class of an error that QEMU answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// `GenericError`.
    Generic,
    /// `DeviceNotFound`.
    DeviceNotFound,
    /// `CommandNotFound`.
    CommandNotFound,
    /// Another one.
    Other(String),
}

impl fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Generic => "GenericError",
            Self::DeviceNotFound => "DeviceNotFound",
            Self::CommandNotFound => "CommandNotFound",
            Self::Other(class) => class,
        })
    }
}
