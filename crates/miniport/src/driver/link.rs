//! The link of a VF: the physical port's, unless the stack says otherwise.

use nic_switch::{FunctionId, LinkState, VPort, VPortId};

use super::PfDriver;
use crate::action::Action;
use crate::config_block::BLOCK_IDENTITY;
use crate::refusal::Refusal;

impl PfDriver {
    /// Whether the guest behind `vport` is told that its link is up.
    pub(super) fn link_of(&self, vport: &VPort) -> bool {
        match vport.security().link {
            LinkState::Auto => self.link_up,
            LinkState::Enable => true,
            LinkState::Disable => false,
        }
    }

    /// The physical port's link changed: every VF that follows it is told.
    pub(crate) fn set_link(&mut self, up: bool, actions: &mut Vec<Action>) -> Result<(), Refusal> {
        let Some(switch) = &self.switch else {
            self.link_up = up;
            return Ok(());
        };
        let before: Vec<_> = switch.vports().map(|vport| (vport.id(), self.link_of(vport))).collect();
        self.link_up = up;
        before.into_iter().try_for_each(|(vport, before)| self.report_link(vport, before, actions))
    }

    /// Tells the VF of `id`, if it is one's, that its link is no longer as it was `before`.
    pub(super) fn report_link(
        &mut self,
        id: VPortId,
        before: bool,
        actions: &mut Vec<Action>,
    ) -> Result<(), Refusal> {
        let vport = self.vport(id)?;
        let up = self.link_of(vport);
        let FunctionId::Vf(vf) = vport.function() else { return Ok(()) };
        if up == before {
            return Ok(());
        }
        let generation = self.generation(vf)?;
        actions.push(Action::LinkChanged { vf, generation, up });
        self.invalidate(vf, 1 << BLOCK_IDENTITY, actions)
    }
}
