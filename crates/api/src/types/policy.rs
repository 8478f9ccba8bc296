//! Policies of a port.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use vswitch::AclRule;

use crate::openapi::AclRuleSchema;

/// A rule of a port ACL with what it has counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AclRuleView {
    /// Its place, from 0.
    pub index: usize,
    /// The rule.
    #[schema(value_type = AclRuleSchema)]
    pub rule: AclRule,
    /// Frames that it matched.
    pub frames: Option<u64>,
    /// Bytes of them.
    pub octets: Option<u64>,
}

/// A change of an adapter's policies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum PolicyChange {
    /// A further rule of its ACL, behind the others.
    AddRule(Box<AclRule>),
    /// The rule with this index goes.
    RemoveRule(usize),
    /// `key=value` each.
    Set(Vec<String>),
}
