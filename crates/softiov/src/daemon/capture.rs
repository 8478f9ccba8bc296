//! Captures: where they look, and the pcapng that comes of it.
//!
//! A capture is the body of an HTTP response. It fills its next part when the client has taken the one before; what the
//! worker shows meanwhile waits in a queue that does not grow, and is counted when that is full. With the connection the
//! capture ends, and the worker forgets it.

mod pcapng;
mod stream;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::types::{CaptureDirection, CapturePoint, CaptureRequest, Stage};
use dataplane::{CaptureSpec, Place, Point, Way};
use nic_switch::VPortId;
use vswitch::{CaptureFilter, CaptureId, Direction, SwitchError};

use super::error::DaemonError;
use super::lookup;
use super::switchboard::{Inner, Switchboard};
use super::{Changing, Core};
use crate::config::UplinkConfig;

pub(crate) use self::stream::CaptureStream;

/// The most captures at a time: each has 8 MiB of its own.
const MAX_CAPTURES: usize = 8;

/// Why a capture cannot be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CaptureError {
    #[error("{MAX_CAPTURES} captures run already: end one first")]
    TooMany,
    #[error("the adapter has no uplink to capture at: configure one, or name another point")]
    NoUplink,
    #[error("VPort {0} leads nowhere: there is nothing to see")]
    NobodyBehind(u32),
    #[error("{snaplen} bytes of a frame are not possible: 14 to {} are", dataplane::MAX_SNAPLEN)]
    Snaplen { snaplen: usize },
    #[error("there is no capture {0}")]
    NoSuchCapture(u64),
    #[error(transparent)]
    Switch(#[from] SwitchError),
}

/// The captures that run.
#[derive(Debug, Default)]
pub(crate) struct Captures {
    running: Mutex<Running>,
    /// No more are started.
    ending: AtomicBool,
}

#[derive(Debug, Default)]
struct Running {
    last: u64,
    /// Set to end one.
    ends: BTreeMap<u64, Arc<AtomicBool>>,
}

/// One of them, as long as it runs.
#[derive(Debug)]
struct Claim {
    captures: Arc<Captures>,
    id: u64,
    end: Arc<AtomicBool>,
}

impl Captures {
    fn lock(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn claim(self: &Arc<Self>) -> Result<Claim, CaptureError> {
        let mut running = self.lock();
        if running.ends.len() >= MAX_CAPTURES {
            return Err(CaptureError::TooMany);
        }
        running.last += 1;
        let (id, end) = (running.last, Arc::new(AtomicBool::new(self.ending.load(Ordering::Relaxed))));
        running.ends.insert(id, Arc::clone(&end));
        Ok(Claim { captures: Arc::clone(self), id, end })
    }

    /// Ends a capture: its file is completed.
    fn end(&self, id: u64) -> Result<(), CaptureError> {
        let running = self.lock();
        let end = running.ends.get(&id).ok_or(CaptureError::NoSuchCapture(id))?;
        end.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Ends all captures, those that are yet to be started as well.
    pub(crate) fn end_all(&self) {
        self.ending.store(true, Ordering::Relaxed);
        self.lock().ends.values().for_each(|end| end.store(true, Ordering::Relaxed));
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.captures.lock().ends.remove(&self.id);
    }
}

/// A capture of an extensible switch, which ends with this value.
#[derive(Debug)]
struct StageCapture {
    switchboard: Arc<Switchboard>,
    switch: usize,
    id: CaptureId,
}

impl Drop for StageCapture {
    fn drop(&mut self) {
        // Nobody else stops it.
        let _ = self.switchboard.change(|board| board.switches[self.switch].stop_capture(self.id));
    }
}

/// Where frames were seen, as the file names it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Interface {
    name: String,
    /// What the port sends comes in: the wire's frames.
    inverted: bool,
}

/// The places where a capture looks, and what they are called.
#[derive(Debug, Default)]
struct Points {
    points: Vec<Point>,
    interfaces: Vec<Interface>,
}

impl Points {
    fn interface(&mut self, name: String, inverted: bool) -> u32 {
        self.interfaces.push(Interface { name, inverted });
        u32::try_from(self.interfaces.len() - 1).unwrap_or(u32::MAX)
    }

    fn port(&mut self, place: Place, name: String) {
        let interface = self.interface(name, place == Place::Physical);
        self.points.push(Point::Port { place, interface });
    }

    /// The NIC of an adapter, and its VF.
    fn adapter(&mut self, board: &Inner, changing: &Changing, nic: u32) {
        let name = &board.nics[&nic].name;
        self.port(Place::Nic(nic), name.clone());
        if let Some(spec) = changing.spec_of_nic(nic) {
            self.port(Place::VPort(spec.vport), format!("{name} (VF {})", spec.vf.0));
        }
    }

    /// A VPort or VM queue without a device of its own.
    fn vport(&mut self, board: &Inner, vport: VPortId, name: String) -> Result<(), CaptureError> {
        if vport == VPortId::DEFAULT {
            let interface = self.interface(name, false);
            self.points.push(Point::DefaultVPort { interface });
            return Ok(());
        }
        let nic = board.number_behind(vport).ok_or(CaptureError::NobodyBehind(vport.0))?;
        let interface = self.interface(name, false);
        self.points.push(Point::Queue { nic, interface });
        Ok(())
    }
}

impl Core {
    /// Starts a capture.
    pub(crate) fn capture(&self, request: &CaptureRequest) -> Result<CaptureStream, DaemonError> {
        if !(14..=dataplane::MAX_SNAPLEN).contains(&request.snaplen) {
            return Err(CaptureError::Snaplen { snaplen: request.snaplen }.into());
        }
        let changing = self.lock();
        let worker = changing.data_path.as_ref().ok_or(DaemonError::NoDataPath)?.worker.handle();
        let claim = self.captures.claim()?;
        let mut points = Points::default();
        let stage = match &request.point {
            CapturePoint::Switch { name, stage } => Some(self.stage(&mut points, name, *stage)?),
            other => {
                self.points(&mut points, &changing, other)?;
                None
            }
        };
        let inverted = points.interfaces.first().is_some_and(|first| first.inverted);
        let way = match request.direction {
            CaptureDirection::Both => None,
            CaptureDirection::In => Some(if inverted { Way::Sent } else { Way::Received }),
            CaptureDirection::Out => Some(if inverted { Way::Received } else { Way::Sent }),
        };
        let Points { points, interfaces } = points;
        let spec = CaptureSpec { points, way, lost_only: request.drops, snaplen: request.snaplen };
        Ok(CaptureStream::new(worker.capture(&spec), interfaces, request, claim, stage))
    }

    /// Completes a capture.
    pub(crate) fn end_capture(&self, id: u64) -> Result<(), DaemonError> {
        Ok(self.captures.end(id)?)
    }

    /// Completes all captures, for the daemon ends.
    pub(crate) fn end_captures(&self) {
        self.captures.end_all();
    }

    fn points(
        &self,
        points: &mut Points,
        changing: &Changing,
        wanted: &CapturePoint,
    ) -> Result<(), DaemonError> {
        let has_uplink = !matches!(self.config.uplink, UplinkConfig::None);
        // Looked up before the switches are locked.
        let vport = match wanted {
            CapturePoint::VPort(number) => self.existing_vport(*number)?,
            CapturePoint::Queue(number) => self.existing_queue(*number)?,
            _ => VPortId::DEFAULT,
        };
        self.parts.switchboard.with(|board| match wanted {
            CapturePoint::Everywhere => {
                for nic in board.nics.keys() {
                    points.adapter(board, changing, *nic);
                }
                if has_uplink {
                    points.port(Place::Physical, "uplink".to_owned());
                }
                Ok(())
            }
            CapturePoint::Uplink if !has_uplink => Err(CaptureError::NoUplink.into()),
            CapturePoint::Uplink => {
                points.port(Place::Physical, "uplink".to_owned());
                Ok(())
            }
            CapturePoint::Adapter(name) => {
                points.adapter(board, changing, lookup::nic(board, name)?);
                Ok(())
            }
            CapturePoint::VPort(number) => {
                let name = format!("VPort {number}");
                match changing.specs().find(|spec| spec.vport == vport) {
                    Some(_) => points.port(Place::VPort(vport), name),
                    None => points.vport(board, vport, name)?,
                }
                Ok(())
            }
            CapturePoint::Queue(number) => Ok(points.vport(board, vport, format!("queue {number}"))?),
            // It has a capture of its own.
            CapturePoint::Switch { .. } => Ok(()),
        })
    }

    /// A capture of all ports of a switch at one stage of its extension chain.
    fn stage(&self, points: &mut Points, name: &str, stage: Stage) -> Result<StageCapture, DaemonError> {
        let direction = match stage {
            Stage::Ingress => Direction::Outbound,
            Stage::Egress => Direction::Inbound,
        };
        let (switch, capture, interfaces) = self.parts.switchboard.change(|board| {
            let switch = lookup::switch(board, name)?;
            let filter = CaptureFilter { port: None, direction: Some(direction) };
            let capture = board.switches[switch].start_capture(filter).map_err(CaptureError::Switch)?;
            let mut interfaces = Vec::new();
            for port in board.switches[switch].ports() {
                let index = port.id().0 as usize;
                interfaces.resize(interfaces.len().max(index + 1), None);
                interfaces[index] =
                    Some(points.interface(format!("{name}: {}", port.parameters().name), false));
            }
            Ok::<_, DaemonError>((switch, capture, interfaces))
        })?;
        points.points.push(Point::Stage { switch, capture, interfaces });
        Ok(StageCapture { switchboard: Arc::clone(&self.parts.switchboard), switch, id: capture })
    }
}
