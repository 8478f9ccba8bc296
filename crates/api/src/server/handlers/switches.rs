//! Extensible switches and their ports.

use axum::Json;
use axum::extract::State;

use super::{Answer, BadBody, Contradiction, NoSuch, Refusals, ask};
use crate::openapi::PolicyChangeSchema;
use crate::server::Shared;
use crate::server::extract::{Json as Body, Segments};
use crate::types::{AclRuleView, AddressChange, AddressView, PolicyChange};

/// The stations that a switch knows.
#[utoipa::path(
    get, path = "/v1/switch/{switch}/fdb", tag = "switches",
    params(("switch" = String, Path, description = "Name of the switch")),
    responses((status = 200, body = [AddressView]), NoSuch, Refusals)
)]
pub(crate) async fn fdb(
    State(shared): State<Shared>,
    Segments(switch): Segments<String>,
) -> Answer<Vec<AddressView>> {
    ask(&shared, move |service| service.fdb(&switch)).await.map(Json)
}

/// Sets or removes a static address.
#[utoipa::path(
    post, path = "/v1/switch/{switch}/fdb", tag = "switches",
    params(("switch" = String, Path, description = "Name of the switch")), request_body = AddressChange,
    responses((status = 200, description = "It is done"), NoSuch, BadBody, Contradiction, Refusals)
)]
pub(crate) async fn change_fdb(
    State(shared): State<Shared>,
    Segments(switch): Segments<String>,
    Body(change): Body<AddressChange>,
) -> Answer<()> {
    ask(&shared, move |service| service.change_fdb(&switch, &change)).await.map(Json)
}

/// The rules of a port's ACL with what they have counted.
#[utoipa::path(
    get, path = "/v1/port/{adapter}/acl", tag = "switches",
    params(("adapter" = String, Path, description = "VM/ADAPTER with %2F for /, or an adapter of the host")),
    responses((status = 200, body = [AclRuleView]), NoSuch, Refusals)
)]
pub(crate) async fn acl(
    State(shared): State<Shared>,
    Segments(adapter): Segments<String>,
) -> Answer<Vec<AclRuleView>> {
    ask(&shared, move |service| service.acl(&adapter)).await.map(Json)
}

/// Changes policies of a port until the daemon ends, and tells what follows from that.
#[utoipa::path(
    post, path = "/v1/port/{adapter}/policy", tag = "switches",
    params(("adapter" = String, Path, description = "VM/ADAPTER with %2F for /, or an adapter of the host")),
    request_body = PolicyChangeSchema,
    responses((status = 200, body = [String]), NoSuch, BadBody, Contradiction, Refusals)
)]
pub(crate) async fn change_policy(
    State(shared): State<Shared>,
    Segments(adapter): Segments<String>,
    Body(change): Body<PolicyChange>,
) -> Answer<Vec<String>> {
    ask(&shared, move |service| service.change_policy(&adapter, &change)).await.map(Json)
}
