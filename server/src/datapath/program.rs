//! Programs for packets that are loaded and not attached yet.

use std::os::fd::OwnedFd;

use super::Layer;

/// A program for packets, ready to be attached.
#[derive(Debug)]
pub(super) struct Program {
    /// Its name.
    pub(super) name: &'static str,
    /// Its descriptor.
    pub(super) fd: OwnedFd,
    /// The kernel's number of it.
    pub(super) id: u32,
}

/// Those for each link layer, by direction.
#[derive(Debug)]
pub(super) struct Programs {
    /// For links with an Ethernet header.
    pub(super) ethernet: [Program; 2],
    /// For links that carry bare IP packets.
    pub(super) ip: [Program; 2],
}

impl Programs {
    /// Those for links of this layer.
    pub(super) fn of(&self, layer: Layer) -> &[Program; 2] {
        match layer {
            Layer::Ip => &self.ip,
            Layer::Ethernet | Layer::Other => &self.ethernet,
        }
    }
}
