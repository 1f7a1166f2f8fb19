//! Interfaces of a pcapng capture, and the options of its blocks.

use super::{
    LinkType,
    bytes::{Broken, Order},
};
use crate::{
    decode::Direction,
    flow::{self, Interned, Time},
};

const OPTION_END: u16 = 0;
const OPTION_INTERFACE_NAME: u16 = 2;
const OPTION_RESOLUTION: u16 = 9;
const OPTION_TIME_OFFSET: u16 = 14;
const OPTION_PACKET_FLAGS: u16 = 2;

const NANOS: u128 = 1_000_000_000;

/// Years 1 to 9999, in seconds since the epoch.
const YEARS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// An interface: link type, name and clock of its packets.
pub(super) struct Interface {
    pub(super) link_type: LinkType,
    pub(super) snap_length: u32,
    pub(super) name: Option<Interned<flow::Interface>>,
    ticks_per_second: u128,
    offset_seconds: i64,
}

impl Interface {
    /// From the body of an interface block.
    pub(super) fn parse(order: Order, body: &[u8]) -> Result<Self, Broken> {
        const SHORT: Broken = Broken::Corrupt("an interface that is cut off");
        let mut interface = Self {
            link_type: LinkType(order.u16(body, 0).ok_or(SHORT)?),
            snap_length: order.u32(body, 4).ok_or(SHORT)?,
            name: None,
            ticks_per_second: 1_000_000,
            offset_seconds: 0,
        };
        for (code, value) in Options::new(order, body.get(8..).ok_or(SHORT)?) {
            interface.set_option(order, code, value)?;
        }
        Ok(interface)
    }

    fn set_option(&mut self, order: Order, code: u16, value: &[u8]) -> Result<(), Broken> {
        match (code, value) {
            (OPTION_INTERFACE_NAME, name) => {
                let name = String::from_utf8_lossy(name);
                let name = name.trim_end_matches('\0').to_owned();
                let interface = flow::Interface {
                    name,
                    ..flow::Interface::default()
                };
                self.name = Some(interface.into());
            }
            (OPTION_RESOLUTION, &[resolution, ..]) => {
                self.ticks_per_second = match resolution {
                    0x80.. => Some(1 << (resolution & 0x7f)),
                    exponent => 10_u128.checked_pow(u32::from(exponent)),
                }
                .ok_or(Broken::Corrupt("a clock of impossible resolution"))?;
            }
            (OPTION_TIME_OFFSET, value) => {
                self.offset_seconds = order.i64(value, 0).unwrap_or_default();
            }
            _ => {}
        }
        Ok(())
    }

    /// The time that a packet's clock shows; none beyond the years that a client
    /// can print.
    pub(super) fn time(&self, ticks: u64) -> Option<Time> {
        let ticks = u128::from(ticks);
        let seconds = i64::try_from(ticks / self.ticks_per_second).ok()?;
        let nanos = ticks % self.ticks_per_second * NANOS / self.ticks_per_second;
        let time = Time {
            seconds: seconds.checked_add(self.offset_seconds)?,
            nanos: nanos as i32,
        };
        YEARS.contains(&time.seconds).then_some(time)
    }
}

/// Which way a packet went, from its flags.
pub(super) fn direction(order: Order, options: &[u8]) -> Option<Direction> {
    let flags = Options::new(order, options)
        .find(|(code, _)| *code == OPTION_PACKET_FLAGS)
        .and_then(|(_, value)| order.u32(value, 0))?;
    match flags & 3 {
        1 => Some(Direction::Incoming),
        2 => Some(Direction::Outgoing),
        _ => None,
    }
}

/// The options at the end of a block; ends at what is none.
struct Options<'a> {
    order: Order,
    rest: &'a [u8],
}

impl<'a> Options<'a> {
    fn new(order: Order, rest: &'a [u8]) -> Self {
        Self { order, rest }
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let code = self.order.u16(self.rest, 0)?;
        let length = usize::from(self.order.u16(self.rest, 2)?);
        let value = self.rest.get(4..4 + length)?;
        let end = 4 + length.next_multiple_of(4);
        self.rest = self.rest.get(end..).unwrap_or_default();
        (code != OPTION_END).then_some((code, value))
    }
}
