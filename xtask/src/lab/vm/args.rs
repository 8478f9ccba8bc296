//! The command line of a guest's QEMU.

use serde_json::{Value, json};

use super::super::setup::{INITRAMFS, KERNEL};
use super::{Kind, Nic, VmSpec};

/// How the guest's processors are emulated: what works on every machine.
const ACCELERATOR: &str = "tcg,thread=multi";
const KERNEL_COMMAND_LINE: &str = "console=ttyS0 panic=-1 mitigations=off";

/// The part that every guest has: machine, memory, kernel.
pub(super) fn machine(memory_mib: u32, cpus: u8, kernel_words: &str) -> Vec<String> {
    let words = format!(
        "-accel {ACCELERATOR} -machine q35,memory-backend=mem -cpu max -smp {cpus} -m {memory_mib} \
         -object memory-backend-memfd,id=mem,size={memory_mib}M,share=on \
         -nodefaults -no-user-config -display none -kernel {KERNEL} -initrd {INITRAMFS}"
    );
    let mut args: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
    args.extend(["-append".to_owned(), format!("{KERNEL_COMMAND_LINE} {kernel_words}")]);
    args
}

/// The whole command line of a guest that the host drives by sockets in `dir`.
pub(super) fn driven(spec: &VmSpec, dir: &str) -> Vec<String> {
    let name = &spec.name;
    let mut args = machine(spec.memory_mib, spec.cpus, "");
    let mut add = |option: &str, value: String| args.extend([option.to_owned(), value]);
    add("-name", name.clone());
    add("-chardev", format!("file,id=console,path={dir}/{name}.console"));
    add("-serial", "chardev:console".to_owned());
    // QEMU connects: the host listens before QEMU starts, so that nobody has to try again.
    add("-chardev", format!("socket,id=agent,path={dir}/{name}.agent"));
    add("-serial", "chardev:agent".to_owned());
    add("-qmp", format!("unix:{dir}/{name}.qmp"));
    if let Some(monitor) = &spec.monitor {
        add("-qmp", format!("unix:{monitor},server=on,wait=off"));
    }
    if let Some(socket) = &spec.incoming {
        add("-incoming", format!("unix:{socket}"));
    }
    for (index, nic) in spec.nics.iter().enumerate() {
        add("-device", root_port(index));
        if nic.kind == Kind::Synthetic {
            let id = &nic.id;
            add("-chardev", format!("socket,id={id}-char,path={},reconnect-ms=500", nic.socket));
            add("-netdev", format!("vhost-user,id={id}-back,chardev={id}-char,queues={}", nic.queue_pairs));
        }
        if nic.plugged {
            add("-device", device(nic, index).to_string());
        }
    }
    for index in 0..spec.nics.iter().filter(|nic| nic.standby).count() {
        add("-device", root_port(spec.nics.len() + index));
    }
    args
}

/// An adapter as QEMU's `-device` and QMP's `device_add` take it.
pub(super) fn device(nic: &Nic, index: usize) -> Value {
    match nic.kind {
        Kind::Vf => json!({
            "driver": "vfio-user-pci",
            "id": nic.id,
            "bus": port(index),
            "socket": { "type": "unix", "path": nic.socket },
        }),
        Kind::Synthetic => {
            let mut device = json!({
                "driver": "virtio-net-pci",
                "id": nic.id,
                "bus": port(index),
                "netdev": format!("{}-back", nic.id),
                "mac": nic.mac,
                "romfile": "",
            });
            if nic.queue_pairs > 1 {
                device["mq"] = true.into();
                // One for each ring, one for changes of the configuration, one for the control queue.
                device["vectors"] = (2 * nic.queue_pairs + 2).into();
            }
            if nic.standby {
                device["failover"] = true.into();
            }
            if let Some(mtu) = nic.mtu {
                device["host_mtu"] = mtu.into();
            }
            device
        }
    }
}

fn root_port(index: usize) -> String {
    format!("pcie-root-port,id={},chassis={},slot={}", port(index), index + 1, index + 1)
}

fn port(index: usize) -> String {
    format!("rp{index}")
}
