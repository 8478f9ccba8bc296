//! Schemas of types that other crates own and do not describe, and of patches.

use std::borrow::Cow;

use utoipa::openapi::schema::{AdditionalProperties, ArrayBuilder, ObjectBuilder, OneOfBuilder, SchemaType};
use utoipa::openapi::{Ref, RefOr, Schema, Type};
use utoipa::{PartialSchema, ToSchema};
use virt_stack::desired::{AdapterSpec, VmSpec};

type Described = RefOr<Schema>;

/// `vswitch::AclRule`.
#[derive(Debug)]
pub(crate) struct AclRuleSchema;

impl PartialSchema for AclRuleSchema {
    fn schema() -> Described {
        let mac = || text("02:00:00:00:00:01");
        let prefix = || text("10.0.0.0/8");
        let ports = || {
            let range = closed().property("first", number(u16::MAX.into())).required("first");
            range.property("last", number(u16::MAX.into())).required("last")
        };
        closed()
            .description(Some("A rule of a port ACL. It matches a frame if all that it names matches."))
            .property("direction", one_of(&["inbound", "outbound"]))
            .required("direction")
            .property("action", one_of(&["allow", "deny", "meter"]))
            .required("action")
            .property("weight", number(u32::MAX.into()))
            .property("local_mac", optional(mac()))
            .property("remote_mac", optional(mac()))
            .property("local_ip", optional(prefix()))
            .property("remote_ip", optional(prefix()))
            .property("protocol", optional(number(u8::MAX.into())))
            .property("local_ports", optional(ports()))
            .property("remote_ports", optional(ports()))
            .property("stateful", ObjectBuilder::new().schema_type(Type::Boolean))
            .into()
    }
}

impl ToSchema for AclRuleSchema {
    fn name() -> Cow<'static, str> {
        "AclRule".into()
    }
}

/// `vswitch::PortPolicy`.
#[derive(Debug)]
pub(crate) struct PortPolicySchema;

impl PartialSchema for PortPolicySchema {
    fn schema() -> Described {
        let flag = || ObjectBuilder::new().schema_type(Type::Boolean);
        let rules = ArrayBuilder::new().items(Ref::from_schema_name(AclRuleSchema::name()));
        let security = closed()
            .property("allow_mac_spoofing", flag())
            .property("allow_ieee_priority_tag", flag())
            .property("allow_teaming", flag());
        let bandwidth = closed()
            .description(Some("In bit/s; `weight` is a share from 0 to 100."))
            .property("maximum", optional(number(u64::MAX)))
            .property("minimum", optional(number(u64::MAX)))
            .property("weight", number(100));
        let vlan = ObjectBuilder::new()
            .schema_type(SchemaType::from_iter([Type::String, Type::Object]))
            .description(Some("`\"untagged\"`, or an object: `access`, `trunk` or `private`."))
            .examples([serde_json::json!({"access": 10})]);
        closed()
            .description(Some("The policies of a port of an extensible switch."))
            .property("vlan", vlan)
            .property("security", security)
            .property("storm_limit", number(u32::MAX.into()))
            .property("bandwidth", bandwidth)
            .property("dhcp_guard", flag())
            .property("router_guard", flag())
            .property("mirroring", one_of(&["none", "source", "destination"]))
            .property("acl", closed().property("rules", rules).property("idle_seconds", number(86_400)))
            .property("custom", ObjectBuilder::new().schema_type(Type::Object))
            .into()
    }
}

impl ToSchema for PortPolicySchema {
    fn name() -> Cow<'static, str> {
        "PortPolicy".into()
    }

    fn schemas(schemas: &mut Vec<(String, Described)>) {
        schemas.push((AclRuleSchema::name().into(), AclRuleSchema::schema()));
    }
}

/// `PolicyChange`.
#[derive(Debug)]
pub(crate) struct PolicyChangeSchema;

impl PartialSchema for PolicyChangeSchema {
    fn schema() -> Described {
        let settings = ArrayBuilder::new().items(text("dhcp-guard=on"));
        let one = |name: &str, schema: Described| closed().property(name, schema).required(name);
        OneOfBuilder::new()
            .description(Some("A rule that is added, the index of one that is removed, or settings."))
            .item(one("add_rule", Ref::from_schema_name(AclRuleSchema::name()).into()))
            .item(one("remove_rule", number(u32::MAX.into()).into()))
            .item(one("set", settings.into()))
            .into()
    }
}

impl ToSchema for PolicyChangeSchema {
    fn name() -> Cow<'static, str> {
        "PolicyChange".into()
    }

    fn schemas(schemas: &mut Vec<(String, Described)>) {
        schemas.push((AclRuleSchema::name().into(), AclRuleSchema::schema()));
    }
}

/// A patch of a `VmSpec`.
#[derive(Debug)]
pub(crate) struct VmPatchSchema;

impl PartialSchema for VmPatchSchema {
    fn schema() -> Described {
        patch_of(VmSpec::schema(), "A change of a VmSpec: members that are not named stay.")
    }
}

impl ToSchema for VmPatchSchema {
    fn name() -> Cow<'static, str> {
        "VmPatch".into()
    }

    fn schemas(schemas: &mut Vec<(String, Described)>) {
        VmSpec::schemas(schemas);
    }
}

/// A patch of an `AdapterSpec`.
#[derive(Debug)]
pub(crate) struct AdapterPatchSchema;

impl PartialSchema for AdapterPatchSchema {
    fn schema() -> Described {
        patch_of(AdapterSpec::schema(), "A change of an AdapterSpec: members that are not named stay.")
    }
}

impl ToSchema for AdapterPatchSchema {
    fn name() -> Cow<'static, str> {
        "AdapterPatch".into()
    }

    fn schemas(schemas: &mut Vec<(String, Described)>) {
        AdapterSpec::schemas(schemas);
    }
}

/// Nothing is required, every member can be `null`.
fn patch_of(schema: Described, description: &str) -> Described {
    let RefOr::T(Schema::Object(mut object)) = schema else { return schema };
    object.description = Some(description.to_owned());
    object.required.clear();
    object.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
    let members = std::mem::take(&mut object.properties);
    object.properties = members.into_iter().map(|(name, member)| (name, optional(member))).collect();
    RefOr::T(Schema::Object(object))
}

/// An object without further members.
fn closed() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(false)))
}

fn text(example: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).examples([example])
}

fn number(maximum: u64) -> ObjectBuilder {
    let number = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0));
    // The validators' numbers end before u64 does, which is no bound worth a word.
    if maximum == u64::MAX { number } else { number.maximum(Some(maximum)) }
}

fn one_of(words: &[&str]) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words.iter().copied()))
}

/// `schema` or `null`.
fn optional(schema: impl Into<Described>) -> Described {
    let null = ObjectBuilder::new().schema_type(Type::Null);
    OneOfBuilder::new().item(null).item(schema).into()
}
