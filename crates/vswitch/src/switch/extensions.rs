//! The extensions of a switch, and who is asked and told what (`spec/ndis.md` E.2, E.4).

use super::VSwitch;
use crate::extension::{Event, Extension, ExtensionKind, Veto};
use crate::{Guid, PortId, SwitchError};

impl VSwitch {
    /// Adds an extension behind those of its kind. It hears of ports and NICs that come later; what is there already it
    /// finds in [`VSwitch::ports`].
    ///
    /// # Errors
    /// It is there already, or is a second forwarding one.
    pub fn add_extension(&mut self, extension: Box<dyn Extension>) -> Result<(), SwitchError> {
        let (id, kind) = (extension.id(), extension.kind());
        let refused = |reason| Err(SwitchError::ExtensionRefused { id, reason });
        if self.extensions.iter().any(|other| other.id() == id) {
            return refused("it is there already");
        }
        if kind == ExtensionKind::Forwarding && self.extensions.iter().any(|other| other.kind() == kind) {
            return refused("a switch has at most one forwarding extension");
        }
        let behind = self.extensions.partition_point(|other| other.kind() <= kind);
        self.extensions.insert(behind, extension);
        self.saves.clear();
        self.touch();
        Ok(())
    }

    /// Removes an extension and returns it.
    ///
    /// # Errors
    /// There is no such extension.
    pub fn remove_extension(&mut self, id: Guid) -> Result<Box<dyn Extension>, SwitchError> {
        let found = self.extensions.iter().position(|extension| extension.id() == id);
        let removed = self.extensions.remove(found.ok_or(SwitchError::ExtensionNotFound { id })?);
        self.saves.clear();
        self.touch();
        Ok(removed)
    }

    /// An extension has other hooks or other reasons against VFs: the path is to be replaced.
    pub const fn extension_changed(&mut self) {
        self.touch();
    }

    /// Asks the extensions that may refuse, in the order of the chain.
    pub(super) fn ask(
        &self,
        question: impl Fn(&dyn Extension) -> Result<(), Veto>,
    ) -> Result<(), SwitchError> {
        let may_refuse =
            self.extensions.iter().filter(|extension| extension.kind() != ExtensionKind::Capturing);
        for extension in may_refuse {
            question(extension.as_ref()).map_err(|Veto { reason, retry }| SwitchError::Vetoed {
                name: extension.name().to_owned(),
                reason,
                retry,
            })?;
        }
        Ok(())
    }

    /// Something changed on the port: the path is to be replaced, and the extensions are told.
    pub(super) fn changed(&mut self, port: PortId, event: Event) {
        self.touch();
        for extension in &mut self.extensions {
            extension.notify(port, event);
        }
    }
}
