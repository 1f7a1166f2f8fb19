//! Spots of rules: a block of ports of a protocol and a class of peers, each with what
//! the rules there come to.

use std::ops::Range;

use sextant_ebpf_common::policy::{ANY_CLASS, CLASSES};

use super::{TooLarge, blocks, rules::Placed, tally::Tally};

/// A protocol, a block of ports and a class, as one number in this order. Protocol 0
/// is each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Spot(u64);

/// A protocol and a block of its ports, as one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Block(u32);

const CLASS_BITS: u32 = CLASSES.ilog2();
const BLOCK_BITS: u32 = 17;

impl Block {
    /// All ports of each protocol.
    pub(super) const EVERYTHING: Self = Self(blocks::ALL);

    pub(super) fn new(protocol: u8, block: u32) -> Self {
        Self(u32::from(protocol) << BLOCK_BITS | block)
    }

    pub(super) fn protocol(self) -> u8 {
        (self.0 >> BLOCK_BITS) as u8
    }

    pub(super) fn ports(self) -> u32 {
        self.0 & ((1 << BLOCK_BITS) - 1)
    }

    pub(super) fn length(self) -> u32 {
        blocks::length(self.ports())
    }

    /// The blocks around it, the closest first.
    fn around(self) -> impl Iterator<Item = Self> {
        let ports = self.ports();
        let within = (1..=self.length()).map(move |bits| Self::new(self.protocol(), ports >> bits));
        let is_everything = self == Self::EVERYTHING;
        within.chain((!is_everything).then_some(Self::EVERYTHING))
    }

    pub(super) fn at(self, class: u32) -> Spot {
        Spot(u64::from(self.0) << CLASS_BITS | u64::from(class))
    }
}

impl Spot {
    pub(super) fn block(self) -> Block {
        Block((self.0 >> CLASS_BITS) as u32)
    }

    pub(super) fn class(self) -> u32 {
        self.0 as u32 & (CLASSES - 1)
    }
}

/// A rule at a spot, and whether it tells the peer.
pub(super) type Pair = (Spot, u32, bool);

/// Spots in order, with what their rules come to.
pub(super) struct Spots<'a> {
    /// With the number of the tally.
    all: Vec<(Spot, u32)>,
    tallies: Vec<Tally>,
    blocks: Vec<(Block, Range<usize>)>,
    /// Classes whose rules at `BROAD` are with those for everybody.
    broad: &'a [u32],
}

/// Stands for the classes of a list that has most of them: above all classes.
pub(super) const BROAD: u32 = CLASSES - 1;

/// A block with those around it, as far as there is something: the closest first.
pub(super) type Layers = Vec<Range<usize>>;

impl<'a> Spots<'a> {
    /// Of pairs in order.
    pub(super) fn new(pairs: &[Pair], rules: &[Placed<'_>], broad: &'a [u32]) -> Self {
        let mut spots = Self {
            all: Vec::new(),
            tallies: Vec::new(),
            blocks: Vec::new(),
            broad,
        };
        let mut before: &[Pair] = &[];
        for at_spot in pairs.chunk_by(|one, other| one.0 == other.0) {
            let (spot, ..) = at_spot[0];
            // A list of many classes has the same rules at each.
            let is_same = at_spot.len() == before.len()
                && spot.block() == before[0].0.block()
                && (spot.class() == ANY_CLASS) == (before[0].0.class() == ANY_CLASS)
                && at_spot
                    .iter()
                    .zip(before)
                    .all(|(one, other)| (one.1, one.2) == (other.1, other.2));
            if !is_same {
                spots.tallies.push(tally(at_spot, rules));
            }
            spots.all.push((spot, spots.tallies.len() as u32 - 1));
            before = at_spot;
        }
        let mut from = 0;
        for block in spots
            .all
            .chunk_by(|one, other| one.0.block() == other.0.block())
        {
            let to = from + block.len();
            spots.blocks.push((block[0].0.block(), from..to));
            from = to;
        }
        spots
    }

    /// The blocks, in order, each with the numbers of its spots.
    pub(super) fn blocks(&self) -> &[(Block, Range<usize>)] {
        &self.blocks
    }

    /// A block and those around it.
    pub(super) fn layers(&self, block: Block) -> Layers {
        let all = std::iter::once(block).chain(block.around());
        all.filter_map(|block| {
            let found = self
                .blocks
                .binary_search_by_key(&block, |(block, _)| *block);
            Some(self.blocks[found.ok()?].1.clone())
        })
        .collect()
    }

    /// The spots of a block, those for each class first.
    pub(super) fn of(&self, layer: &Range<usize>) -> &[(Spot, u32)] {
        &self.all[layer.clone()]
    }

    /// What is said of each class at a block itself.
    pub(super) fn of_everybody(&self, layer: &Range<usize>) -> Option<&Tally> {
        let (spot, number) = self.of(layer).first()?;
        (spot.class() == ANY_CLASS).then(|| self.tally(*number))
    }

    pub(super) fn tally(&self, number: u32) -> &Tally {
        &self.tallies[number as usize]
    }

    /// Whether there is a spot of a class at a block itself.
    pub(super) fn has(&self, layer: &Range<usize>, class: u32) -> bool {
        self.of_class(layer, class).is_some()
    }

    fn of_class(&self, layer: &Range<usize>, class: u32) -> Option<&Tally> {
        let spots = self.of(layer);
        let found = spots.binary_search_by_key(&class, |(spot, _)| spot.class());
        Some(self.tally(spots[found.ok()?].1))
    }

    /// What tells the rules about a class at a block from those about another one:
    /// the numbers of its own tallies.
    pub(super) fn told_by(&self, layers: &Layers, class: u32, numbers: &mut Vec<u32>) {
        numbers.clear();
        numbers.push(self.is_broad(class).into());
        numbers.extend(layers.iter().map(|layer| {
            let spots = self.of(layer);
            let found = spots.binary_search_by_key(&class, |(spot, _)| spot.class());
            found.map_or(u32::MAX, |n| spots[n].1)
        }));
    }

    /// Whether rules at `BROAD` are about a class; they are about most.
    pub(super) fn is_broad(&self, class: u32) -> bool {
        class == ANY_CLASS || self.broad.binary_search(&class).is_ok()
    }

    /// All rules about connections of a class at a block; those about most classes for
    /// `ANY_CLASS`.
    pub(super) fn all_about(&self, layers: &Layers, class: u32) -> Tally {
        let mut all = Tally::default();
        let is_broad = self.is_broad(class);
        for layer in layers {
            if class != ANY_CLASS
                && let Some(own) = self.of_class(layer, class)
            {
                all.add_all(own);
            }
            if is_broad && let Some(broad) = self.of_class(layer, BROAD) {
                all.add_all(broad);
            }
            if let Some(everybody) = self.of_everybody(layer) {
                all.add_all(everybody);
            }
        }
        all
    }
}

fn tally(at_spot: &[Pair], rules: &[Placed<'_>]) -> Tally {
    let mut tally = Tally::default();
    for (spot, rule, is_told) in at_spot {
        let bits = match spot.block() {
            Block::EVERYTHING => 0,
            block => block.length() + 1,
        };
        tally.add(*rule, &rules[*rule as usize], (bits, *is_told));
    }
    tally
}

/// Refuses more steps than there may be.
pub(super) struct Steps {
    pub(super) taken: usize,
    pub(super) room: usize,
}

impl Steps {
    pub(super) fn take(&mut self, steps: usize) -> Result<(), TooLarge> {
        self.taken += steps;
        if self.taken > self.room {
            return Err(TooLarge::of("steps to compile", self.taken, self.room));
        }
        Ok(())
    }
}
