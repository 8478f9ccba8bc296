//! The description of the API: OpenAPI 3.1, made from the handlers and types.

mod schemas;

use std::sync::LazyLock;

use axum::http::Method;
use utoipa::OpenApi;
use utoipa::openapi::path::Operation;
use utoipa::openapi::{PathItem, RefOr};

pub(crate) use self::schemas::{
    AclRuleSchema, AdapterPatchSchema, PolicyChangeSchema, PortPolicySchema, VmPatchSchema,
};
use crate::access::needed_role;
use crate::server::handlers::{daemon, desired, events, frames, switches, vfs, vms};
use crate::types::ErrorView;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "softiov",
        version = "1",
        description = "SR-IOV networking for virtual machines without SR-IOV hardware. The API is HTTP with JSON over \
            the unix socket of the daemon; over TCP with TLS and a client certificate only. Each operation says which \
            role it needs. A refusal has a sentence for people and a word for programs.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    servers(
        (url = "http://localhost", description = "The unix socket: `curl --unix-socket /run/softiov/control.sock`")
    ),
    tags(
        (name = "vms", description = "Virtual machines"),
        (name = "adapters", description = "Network adapters of virtual machines"),
        (name = "vfs", description = "Virtual functions and the SR-IOV adapter that they are of"),
        (name = "desired state", description = "All that is wanted at once"),
        (name = "events", description = "What happens"),
        (name = "switches", description = "Extensible switches and their ports"),
        (name = "frames", description = "Frames: traced and captured"),
        (name = "daemon", description = "The daemon as a whole")
    ),
    components(schemas(ErrorView)),
    paths(
        vms::vms, vms::create_vm, vms::vm, vms::patch_vm, vms::delete_vm, vms::qemu_args,
        vms::create_adapter, vms::adapter, vms::patch_adapter, vms::delete_adapter, vms::explain, vms::failover,
        vfs::vfs, vfs::detach_vf, vfs::reset_vf, vfs::set_adapter,
        desired::apply, events::events,
        switches::fdb, switches::change_fdb, switches::acl, switches::change_policy,
        frames::trace, frames::capture, frames::end_capture,
        daemon::topology, daemon::oid, daemon::record_oids, daemon::pci_dump, daemon::rebuild_data_path,
        daemon::metrics, daemon::openapi, daemon::healthz
    )
)]
struct Description;

/// The description of the API.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    let mut description = Description::openapi();
    for (path, item) in &mut description.paths.paths {
        for (method, operation) in operations(item) {
            let role = needed_role(&method, path);
            let text = operation.description.get_or_insert_default();
            text.push_str(if text.is_empty() { "" } else { "\n\n" });
            text.push_str(&format!("Needs the role {role}."));
            for answer in operation.responses.responses.values_mut() {
                // The standard wants a description even where the schema says it all.
                if let RefOr::T(answer) = answer
                    && answer.description.is_empty()
                {
                    answer.description = "What was asked for".to_owned();
                }
            }
        }
    }
    description
}

/// What can be done with a path, by method.
pub(crate) fn operations(item: &mut PathItem) -> impl Iterator<Item = (Method, &mut Operation)> {
    let all = [
        (Method::GET, &mut item.get),
        (Method::POST, &mut item.post),
        (Method::PATCH, &mut item.patch),
        (Method::DELETE, &mut item.delete),
    ];
    all.into_iter().filter_map(|(method, operation)| operation.as_mut().map(|operation| (method, operation)))
}

/// The description as it is checked in and served.
pub(crate) static OPENAPI: LazyLock<String> = LazyLock::new(|| {
    let mut text = openapi().to_pretty_json().expect("a description is JSON: its keys are text");
    text.push('\n');
    text
});

#[cfg(test)]
mod tests;
