//! A client that others wrote, on a real socket path.

use std::os::fd::{AsFd, AsRawFd};
use std::sync::mpsc;
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use sys::Listener;
use vfio_user::Client;

use super::support::*;
use crate::{Closed, Connection, DEFAULT_MAX_DMA_MAPS, DmaRange, DmaUnmap, IrqAction};

/// The smallest event loop that an owner can have; ends when the client leaves.
fn serve(listener: &Listener) -> (TestDevice, Closed) {
    let mut device = TestDevice::default();
    wait(listener, PollFlags::IN);
    let stream = listener.accept().unwrap().unwrap();
    let mut connection = Connection::new(stream, DEFAULT_MAX_DMA_MAPS);
    loop {
        let mut events = PollFlags::empty();
        events.set(PollFlags::IN, connection.wants_read());
        events.set(PollFlags::OUT, connection.wants_write());
        wait(&connection, events);
        let done = connection.on_writable().and_then(|()| connection.on_readable(&mut device));
        if let Err(closed) = done {
            return (device, closed);
        }
    }
}

fn wait(fd: &impl AsFd, events: PollFlags) {
    poll(&mut [PollFd::new(fd, events)], None).unwrap();
}

#[test]
fn independent_client_does_everything_it_can() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vf0.sock");
    let listener = Listener::bind(&path).unwrap();
    let (done, result) = mpsc::channel();
    let server = thread::spawn(move || done.send(serve(&listener)).unwrap());

    let mut client = Client::new(&path).unwrap();
    let sizes: Vec<u64> = (0..9).map(|index| client.region(index).unwrap().size).collect();
    assert_eq!(sizes, [0x4000, 0, 0x4000, 0, 0x4000, 0, 4096, 4096, 0]);
    let mapped = client.region(BAR2_MAPPED).unwrap();
    assert_eq!(mapped.flags, 0xf);
    let areas: Vec<_> = mapped.sparse_areas.iter().map(|area| (area.offset, area.size)).collect();
    assert_eq!(areas, AREAS.map(|area| (area.offset, area.size)));
    let file = mapped.file_offset.as_ref().unwrap();
    assert_eq!((file.start(), file.file().metadata().unwrap().len()), (0x8000, BAR_SIZE as u64));
    assert!(client.region(BAR0).unwrap().file_offset.is_none());

    let mut data = [0; 8];
    client.region_read(CONFIG, 16, &mut data).unwrap();
    assert_eq!(data, [16, 17, 18, 19, 20, 21, 22, 23]);
    client.region_write(BAR0, 0x100, &[9, 8, 7, 6]).unwrap();
    let mut data = [0; 4];
    client.region_read(BAR0, 0x100, &mut data).unwrap();
    assert_eq!(data, [9, 8, 7, 6]);

    let memory = memfd(0x20_0000);
    client.dma_map(0x10_0000, 0x8000_0000, 0x10_0000, memory.as_raw_fd()).unwrap();
    client.dma_unmap(0x8000_0000, 0x10_0000).unwrap();

    let irq = client.get_irq_info(MSIX).unwrap();
    assert_eq!((irq.index, irq.flags, irq.count), (MSIX, 3, 2048));
    client.set_irqs(MSIX, 0x21, 0, 0, &[]).unwrap();
    let vectors = [eventfd(), eventfd(), eventfd()];
    client.set_irqs(MSIX, 0x24, 0, 3, &vectors.each_ref().map(AsRawFd::as_raw_fd)).unwrap();
    client.reset().unwrap();
    client.shutdown().unwrap();

    let (device, closed) = result.recv().unwrap();
    server.join().unwrap();
    assert!(matches!(closed, Closed::ByClient), "{closed}");
    assert!(!path.exists());
    let irqs = |count, data| Call::Irqs { index: MSIX, start: 0, count, action: IrqAction::Trigger, data };
    let range = DmaRange::new(0x8000_0000, 0x10_0000).unwrap();
    let wanted = [
        Call::Read { region: CONFIG, offset: 16, length: 8 },
        Call::Write { region: BAR0, offset: 0x100, data: vec![9, 8, 7, 6] },
        Call::Read { region: BAR0, offset: 0x100, length: 4 },
        Call::Map {
            iova: 0x8000_0000,
            size: 0x10_0000,
            offset: 0x10_0000,
            readable: true,
            writable: true,
            fd: true,
        },
        Call::Unmap(DmaUnmap::Range(range)),
        irqs(0, Data::None),
        irqs(3, Data::EventFds(3)),
        Call::Reset,
    ];
    assert_eq!(device.calls, wanted);
}
