//! Ports on netdevs of network namespaces that the tests make for themselves. They need root.

mod host;
mod hostile;
mod link;
mod opening;
mod packet;
mod switch;
mod tap;
mod tcp;
mod xdp;
