//! What the commands about VMs do.

use std::io::Read;
use std::path::Path;

use anyhow::Context;
use api::types::{
    DesiredState, ExplainView, FailoverRequest, FailoverTarget, PlanView, TextView, VmAdapterView, VmView,
};
use api::{Client, MergePatch};
use serde::Serialize;
use serde_json::{Map, Value};
use virt_stack::desired::{AdapterSpec, VmSpec};

use crate::cli::{NewAdapter, Output, Place, Usage, VmAdapterCommand, VmCommand};
use crate::render;
use crate::settings::{self, About};

/// `vm`.
pub(super) fn vm(client: &Client, command: Option<VmCommand>, output: Output) -> anyhow::Result<()> {
    match command.unwrap_or(VmCommand::List) {
        VmCommand::List => render::vms(&client.get::<Vec<VmView>>("/v1/vms")?, output)?,
        VmCommand::Show { name: None } => {
            render::vms_in_full(&client.get::<Vec<VmView>>("/v1/vms")?, output)?;
        }
        VmCommand::Show { name: Some(name) } => render::vm(&client.get(&vm_path(&name))?, output)?,
        VmCommand::Add { name, qmp, adapters } => {
            let adapters = adapters.into_iter().map(|adapter| adapter.0).collect();
            let qmp = qmp.map(std::path::absolute).transpose()?;
            render::vm(&client.post("/v1/vms", &VmSpec { name, qmp, adapters })?, output)?;
        }
        VmCommand::Set { place, settings } => set(client, &place, &settings, output)?,
        VmCommand::Del { place } => {
            client.delete(&path_of(&place))?;
            render::consequences(&[], output)?;
        }
        VmCommand::Adapter(VmAdapterCommand::Add { vm, settings }) => {
            let adapter = NewAdapter::of(&settings).map_err(Usage)?.0;
            let view: VmAdapterView = client.post(&format!("{}/adapters", vm_path(&vm)), &adapter)?;
            render::vm_adapter(&view, output)?;
        }
        VmCommand::Explain { place } => {
            let explained: Vec<ExplainView> =
                each(client, &place, |path| Ok(client.get(&format!("{path}/explain"))?))?;
            render::explain(&explained, output)?;
        }
        VmCommand::Failover { place, to } => failover(client, &place, to, output)?,
        VmCommand::QemuArgs { name } => {
            let arguments: Vec<String> = client.get(&format!("{}/qemu-args", vm_path(&name)))?;
            render::arguments(&arguments, output)?;
        }
    }
    Ok(())
}

/// `apply`.
pub(super) fn apply(client: &Client, file: &Path, dry_run: bool, output: Output) -> anyhow::Result<()> {
    let text = if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("the standard input cannot be read")?;
        text
    } else {
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?
    };
    let desired: DesiredState = if text.trim_start().starts_with('{') {
        serde_json::from_str(&text).with_context(|| format!("{} is no desired state", file.display()))?
    } else {
        toml::from_str(&text).with_context(|| format!("{} is no desired state", file.display()))?
    };
    let path = if dry_run { "/v1/apply?dry_run=true" } else { "/v1/apply" };
    Ok(render::plan(&client.post::<PlanView>(path, &desired)?, output)?)
}

/// `vm set`: of the adapter only what is to be different is sent, so that changes of others stay.
fn set(client: &Client, place: &Place, settings: &[String], output: Output) -> anyhow::Result<()> {
    let of_vm = |setting: &&String| place.adapter.is_none() && setting.starts_with("qmp=");
    let (of_vm, of_adapter): (Vec<&String>, Vec<&String>) = settings.iter().partition(of_vm);
    let vm = vm_path(&place.vm);
    if let Some(setting) = of_vm.last() {
        let qmp = setting.trim_start_matches("qmp=");
        let qmp = match qmp {
            "none" => Value::Null,
            path => serde_json::to_value(std::path::absolute(path)?)?,
        };
        let patch = Map::from_iter([("qmp".to_owned(), qmp)]);
        let view: VmView = client.patch(&vm, &MergePatch::new(patch))?;
        if of_adapter.is_empty() {
            return Ok(render::vm(&view, output)?);
        }
    }
    let of_adapter: Vec<String> = of_adapter.into_iter().cloned().collect();
    // Told before anything is asked, so that a typing error is one without a daemon, too.
    let known = |setting: &&String| About::Adapter.knows(setting);
    if let Some(unknown) = of_adapter.iter().find(|setting| !known(setting)) {
        let list = About::Adapter.list();
        return Err(Usage(format!(
            "{unknown:?} is no setting; a VM has\n  qmp: a path, or none\nand an adapter has\n{list}"
        ))
        .into());
    }
    if let Some((one, other)) = settings::contradiction(&of_adapter) {
        return Err(Usage(format!("{one:?} and {other:?} cannot both be")).into());
    }
    let path = adapter_path(client, place)?;
    let view: VmAdapterView = client.get(&path)?;
    let before = view.desired;
    let mut after = before.clone();
    for setting in &of_adapter {
        settings::apply(&mut after, setting, About::Adapter)
            .map_err(|reason| Usage(format!("{setting:?} cannot be set: {reason}")))?;
    }
    let view: VmAdapterView = client.patch(&path, &difference(&before, &after)?)?;
    Ok(render::vm_adapter(&view, output)?)
}

/// What makes `after` of `before`.
fn difference(before: &AdapterSpec, after: &AdapterSpec) -> anyhow::Result<MergePatch> {
    let object = |spec: &AdapterSpec| -> anyhow::Result<Value> { Ok(serde_json::to_value(spec)?) };
    match merge_patch(&object(before)?, &object(after)?) {
        Value::Object(members) => Ok(MergePatch::new(members)),
        _ => Ok(MergePatch::new(Map::new())),
    }
}

/// The merge patch (RFC 7396) from one value to another; an object if both are.
fn merge_patch(before: &Value, after: &Value) -> Value {
    let (Value::Object(before), Value::Object(after)) = (before, after) else { return after.clone() };
    let gone = before.keys().filter(|key| !after.contains_key(*key)).map(|key| (key.clone(), Value::Null));
    let changed = after.iter().filter_map(|(key, value)| match before.get(key) {
        Some(old) if old == value => None,
        Some(old) => Some((key.clone(), merge_patch(old, value))),
        None => Some((key.clone(), value.clone())),
    });
    gone.chain(changed).collect::<Map<_, _>>().into()
}

/// `vm failover`.
fn failover(client: &Client, place: &Place, to: FailoverTarget, output: Output) -> anyhow::Result<()> {
    let request = FailoverRequest { to };
    let begun: Vec<TextView> =
        each(client, place, |path| Ok(client.post(&format!("{path}/failover"), &request)?))?;
    let text = begun.into_iter().map(|begun| begun.text).collect::<Vec<_>>().join("\n");
    Ok(render::text(&TextView { text }, output)?)
}

/// Asks for an adapter, or for each of a VM.
fn each<T: Serialize>(
    client: &Client,
    place: &Place,
    ask: impl Fn(&str) -> anyhow::Result<T>,
) -> anyhow::Result<Vec<T>> {
    if place.adapter.is_some() {
        return Ok(vec![ask(&path_of(place))?]);
    }
    let vm: VmView = client.get(&vm_path(&place.vm))?;
    anyhow::ensure!(
        !vm.adapters.is_empty(),
        "VM {} has no adapter: `softiov vm adapter add` adds one",
        vm.name
    );
    let vm_path = vm_path(&place.vm);
    vm.adapters
        .iter()
        .map(|adapter| ask(&format!("{vm_path}/adapters/{}", Client::segment(&adapter.name))))
        .collect()
}

/// The path of an adapter, which may be the only one of a VM.
fn adapter_path(client: &Client, place: &Place) -> anyhow::Result<String> {
    if place.adapter.is_some() {
        return Ok(path_of(place));
    }
    let vm: VmView = client.get(&vm_path(&place.vm))?;
    let names: Vec<&str> = vm.adapters.iter().map(|adapter| adapter.name.as_str()).collect();
    match names[..] {
        [only] => Ok(format!("{}/adapters/{}", vm_path(&place.vm), Client::segment(only))),
        [] => anyhow::bail!("VM {} has no adapter: `softiov vm adapter add` adds one", vm.name),
        _ => Err(Usage(format!("which adapter? VM {} has {}", vm.name, names.join(", "))).into()),
    }
}

fn vm_path(name: &str) -> String {
    format!("/v1/vms/{}", Client::segment(name))
}

fn path_of(place: &Place) -> String {
    let vm = vm_path(&place.vm);
    match &place.adapter {
        Some(adapter) => format!("{vm}/adapters/{}", Client::segment(adapter)),
        None => vm,
    }
}

#[cfg(test)]
mod tests;
