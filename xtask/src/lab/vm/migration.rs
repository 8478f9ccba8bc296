//! Live migration of a guest from one QEMU to another on this host.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{Shell, Vm, VmSpec};

/// How long a migration may take on a busy machine.
const MIGRATION: Duration = Duration::from_secs(90);

impl Vm {
    /// A QEMU for this guest to migrate to: the same machine with the same adapters, under another name.
    pub(in super::super) fn successor(&self, name: &str, dir: &str) -> Result<Self> {
        let incoming = Some(format!("{dir}/{name}.migration"));
        let spec = VmSpec { name: name.to_owned(), incoming, ..self.spec.clone() };
        spec.launch(dir, self.deadline)?.await_qemu()
    }

    /// Begins to migrate to a QEMU that waits for it, with at most `bandwidth` bytes a second, and not to end as long as
    /// the guest writes a little into its memory.
    pub(in super::super) fn begin_migration(&self, to: &Self, bandwidth: u64) -> Result<()> {
        let socket =
            to.spec.incoming.as_ref().with_context(|| format!("{} waits for no guest", to.name()))?;
        self.limit_migration(bandwidth, 1)?;
        let mut qmp = self.qmp.borrow_mut();
        let events = json!({ "capabilities": [{ "capability": "events", "state": true }] });
        qmp.execute("migrate-set-capabilities", &events)?;
        qmp.execute("migrate", &json!({ "uri": format!("unix:{socket}") }))?;
        // All devices have been told by then that written memory must be logged.
        qmp.await_event("MIGRATION", &json!({ "status": "active" }), MIGRATION).map(drop)
    }

    /// Waits until all memory has been transferred once: from then on what is written there goes only if it is logged.
    /// Then slows the migration down.
    pub(in super::super) fn linger_in_migration(&self, bandwidth: u64) -> Result<()> {
        self.qmp.borrow_mut().await_event("MIGRATION_PASS", &json!({ "pass": 2 }), MIGRATION)?;
        self.limit_migration(bandwidth, 1)
    }

    /// Lets a migration end as soon as it can, and waits for it.
    pub(in super::super) fn complete_migration(&self) -> Result<()> {
        self.limit_migration(0, 300)?;
        self.await_migration("completed")
    }

    /// Bytes a second, 0 for no limit, and the pause of the guest that is aimed at.
    fn limit_migration(&self, bandwidth: u64, milliseconds: u32) -> Result<()> {
        let parameters = json!({ "max-bandwidth": bandwidth, "downtime-limit": milliseconds });
        self.qmp.borrow_mut().execute("migrate-set-parameters", &parameters).map(drop)
    }

    /// Gives up a migration, which must still be under way.
    pub(in super::super) fn cancel_migration(&self) -> Result<()> {
        self.qmp.borrow_mut().execute("migrate_cancel", &json!({}))?;
        self.await_migration("cancelled")
    }

    /// Waits until a migration has ended in this way: `completed`, `failed`, `cancelled`.
    pub(in super::super) fn await_migration(&self, end: &str) -> Result<()> {
        let mut qmp = self.qmp.borrow_mut();
        let ended = |event: &Value| {
            ["completed", "failed", "cancelled"].contains(&event["data"]["status"].as_str().unwrap_or(""))
        };
        let mut event = qmp.await_event("MIGRATION", &json!({}), MIGRATION)?;
        while !ended(&event) {
            event = qmp.await_event("MIGRATION", &json!({}), MIGRATION)?;
        }
        ensure!(
            event["data"]["status"] == end,
            "the migration of {} ended otherwise than {end}: {event}",
            self.spec.name
        );
        Ok(())
    }

    /// Waits for QEMU's end after a migration to it has failed: it has no guest.
    pub(in super::super) fn await_end(mut self) -> Result<()> {
        let ended = crate::process::wait_until(&mut self.process.0, self.deadline.within(MIGRATION))?;
        ensure!(ended.is_some(), "QEMU of {} does not end", self.spec.name);
        Ok(())
    }

    /// Kills QEMU.
    pub(in super::super) fn kill(self) {
        drop(self);
    }
}
