//! How a QEMU guest is attached.

use virt_stack::desired::VhostUser;

use super::Core;
use super::error::DaemonError;
use super::members::Member;

impl Core {
    /// The arguments that attach a QEMU guest to the adapters of a VM. With QMP, each has its synthetic adapter and a free
    /// port for its VF; without, either.
    pub(crate) fn qemu_args(&self, vm: &str) -> Result<Vec<String>, DaemonError> {
        let changing = self.lock();
        let Some(spec) = changing.vms.iter().find(|spec| spec.name.as_str() == vm) else {
            let known = changing.vms.iter().map(|vm| vm.name.to_string()).collect();
            return Err(DaemonError::NoSuchVm { name: vm.to_owned(), known });
        };
        let mut args: Vec<String> = [
            "-machine",
            "q35,memory-backend=mem",
            "-object",
            "memory-backend-memfd,id=mem,size=512M,share=on",
            "-m",
            "512M",
        ]
        .map(str::to_owned)
        .into();
        if let Some(monitor) = &spec.qmp {
            args.extend(["-qmp".to_owned(), format!("unix:{},server=on,wait=off", monitor.display())]);
        }
        let mut ports = 1..;
        let mut port = |args: &mut Vec<String>| {
            let number: u32 = ports.next().unwrap_or_default();
            let name = format!("softiov{number}");
            let device = format!("pcie-root-port,id={name},chassis={number},slot={number}");
            args.extend(["-device".to_owned(), device]);
            name
        };
        for (name, _) in spec.named_adapters() {
            let Some((_, member)) = changing.member(vm, name.as_str()) else { continue };
            let bus = port(&mut args);
            if spec.qmp.is_some() {
                args.extend(self.synthetic_args(member, &bus));
                if member.spec.iov_weight.0 > 0 {
                    port(&mut args);
                }
            } else if member.vf.is_some() {
                args.extend(self.vf_args(member, &bus));
            } else {
                args.extend(self.synthetic_args(member, &bus));
            }
        }
        Ok(args)
    }

    /// The arguments for the VF of an adapter behind the port `bus`.
    fn vf_args(&self, member: &Member, bus: &str) -> Vec<String> {
        let device = serde_json::json!({
            "driver": "vfio-user-pci",
            "id": member.name,
            "bus": bus,
            "socket": { "type": "unix", "path": self.config.socket_path(&member.vm, &member.name) },
        });
        vec!["-device".to_owned(), device.to_string()]
    }

    /// The arguments for a synthetic adapter behind the port `bus`.
    fn synthetic_args(&self, member: &Member, bus: &str) -> Vec<String> {
        let Member { vm, name, spec, has_qmp, .. } = member;
        let path = self.config.vhost_user_path(vm, name);
        let role = match spec.vhost_user {
            VhostUser::Server => "reconnect-ms=500",
            VhostUser::Client => "server=on",
        };
        let pairs = spec.queue_pairs.0;
        let mut device = format!("virtio-net-pci,netdev={name},id={name}-net,bus={bus},mac={}", spec.mac.0);
        if *has_qmp {
            // VIRTIO_NET_F_STANDBY: the guest puts the VF and this one under one interface.
            device += ",failover=on";
        }
        if pairs > 1 {
            // One vector for each ring, one for changes of the configuration, one for the control queue.
            device += &format!(",mq=on,vectors={}", 2 * pairs + 2);
        }
        if let Some(mtu) = spec.mtu {
            device += &format!(",host_mtu={}", mtu.0);
        }
        [
            "-chardev".to_owned(),
            format!("socket,id={name}-char,path={},{role}", path.display()),
            "-netdev".to_owned(),
            format!("vhost-user,id={name},chardev={name}-char,queues={pairs}"),
            "-device".to_owned(),
            device,
        ]
        .into()
    }
}
