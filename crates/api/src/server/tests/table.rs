//! Every operation of the API, once.

use crate::access::Role;

/// An operation, and what becomes of it.
pub(super) struct Operation {
    pub(super) method: &'static str,
    /// As the description has it.
    pub(super) route: &'static str,
    pub(super) path: &'static str,
    pub(super) body: Option<&'static str>,
    /// The least role that may.
    pub(super) role: Role,
    pub(super) status: u16,
}

const fn row(
    method: &'static str,
    route: &'static str,
    path: &'static str,
    body: Option<&'static str>,
    role: Role,
    status: u16,
) -> Operation {
    Operation { method, route, path, body, role, status }
}

const NET0: &str = "/v1/vms/{vm}/adapters/{adapter}";
const FRAME: &str = r#"{"from":"alpha/net0","content":"plain"}"#;
const CAPTURE: &str = r#"{"point":{"v_port":1},"snaplen":64}"#;
const RULE: &str = r#"{"add_rule":{"direction":"inbound","action":"deny"}}"#;
const BETA: &str = r#"{"name":"beta","adapters":[{"mac":"02:00:00:00:00:02","iov_weight":0}]}"#;
const STATE: &str = r#"{"vms":[{"name":"beta","qmp":"/run/beta.qmp"}]}"#;

pub(super) const OPERATIONS: [Operation; 33] = {
    use Role::{Admin, Operator, Viewer};
    [
        row("GET", "/v1/topology", "/v1/topology", None, Viewer, 200),
        row("GET", "/v1/vms", "/v1/vms", None, Viewer, 200),
        row("POST", "/v1/vms", "/v1/vms", Some(BETA), Admin, 201),
        row("GET", "/v1/vms/{vm}", "/v1/vms/alpha", None, Viewer, 200),
        row("PATCH", "/v1/vms/{vm}", "/v1/vms/alpha", Some(r#"{"qmp":"/run/alpha.qmp"}"#), Admin, 200),
        row("DELETE", "/v1/vms/{vm}", "/v1/vms/alpha", None, Admin, 204),
        row("GET", "/v1/vms/{vm}/qemu-args", "/v1/vms/alpha/qemu-args", None, Viewer, 200),
        row(
            "POST",
            "/v1/vms/{vm}/adapters",
            "/v1/vms/alpha/adapters",
            Some(r#"{"mac":"02:00:00:00:00:03"}"#),
            Admin,
            201,
        ),
        row("GET", NET0, "/v1/vms/alpha/adapters/net0", None, Viewer, 200),
        row(
            "PATCH",
            NET0,
            "/v1/vms/alpha/adapters/net0",
            Some(r#"{"iov_weight":7,"vlan":null}"#),
            Admin,
            200,
        ),
        row("DELETE", NET0, "/v1/vms/alpha/adapters/net0", None, Admin, 204),
        row(
            "GET",
            "/v1/vms/{vm}/adapters/{adapter}/explain",
            "/v1/vms/alpha/adapters/net0/explain",
            None,
            Viewer,
            200,
        ),
        row(
            "POST",
            "/v1/vms/{vm}/adapters/{adapter}/failover",
            "/v1/vms/alpha/adapters/net0/failover",
            Some(r#"{"to":"synthetic"}"#),
            Operator,
            202,
        ),
        row("GET", "/v1/vfs", "/v1/vfs", None, Viewer, 200),
        row("POST", "/v1/vfs/{vf}/detach", "/v1/vfs/0/detach", None, Operator, 202),
        row("POST", "/v1/vfs/{vf}/reset", "/v1/vfs/0/reset", None, Operator, 202),
        row("PATCH", "/v1/adapter", "/v1/adapter", Some(r#"{"num_vfs":4}"#), Admin, 200),
        row("GET", "/v1/events", "/v1/events?follow=false", None, Viewer, 200),
        row("POST", "/v1/apply", "/v1/apply?dry_run=true", Some(STATE), Admin, 200),
        row("POST", "/v1/oid", "/v1/oid", Some(r#""EnumVfs""#), Admin, 200),
        row("POST", "/v1/oid-trace", "/v1/oid-trace", Some("null"), Admin, 200),
        row("GET", "/v1/pci/{function}", "/v1/pci/pf", None, Viewer, 200),
        row("POST", "/v1/datapath/rebuild", "/v1/datapath/rebuild", None, Admin, 503),
        row("GET", "/v1/switch/{switch}/fdb", "/v1/switch/default/fdb", None, Viewer, 200),
        row(
            "POST",
            "/v1/switch/{switch}/fdb",
            "/v1/switch/default/fdb",
            Some(r#"{"mac":"02:00:00:00:00:05"}"#),
            Admin,
            200,
        ),
        row("GET", "/v1/port/{adapter}/acl", "/v1/port/alpha%2Fnet0/acl", None, Viewer, 200),
        row("POST", "/v1/port/{adapter}/policy", "/v1/port/alpha%2Fnet0/policy", Some(RULE), Operator, 200),
        row("POST", "/v1/trace", "/v1/trace", Some(FRAME), Operator, 200),
        row("POST", "/v1/capture", "/v1/capture", Some(CAPTURE), Operator, 200),
        row("POST", "/v1/capture/{id}/end", "/v1/capture/5/end", None, Operator, 200),
        row("GET", "/metrics", "/metrics", None, Viewer, 200),
        row("GET", "/openapi.json", "/openapi.json", None, Viewer, 200),
        row("GET", "/healthz", "/healthz", None, Viewer, 200),
    ]
};
