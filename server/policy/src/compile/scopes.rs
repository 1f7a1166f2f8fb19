//! Scopes: how somebody is judged in a direction. Those who are judged by the same
//! rules share one.
//!
//! Of the entries that are there for a connection, programs take the first; so each
//! has the verdict of all rules about the connections that it is the first for. An
//! entry for everybody that would be before a denying one of a class, which is for
//! more ports, gets one of that class beside it.

use rustc_hash::FxHashMap;
use sextant_ebpf_common::policy::{
    ANY_CLASS, Decision, EVERY_PROTOCOL, Scope, key, key_of_every_protocol,
};

use super::{
    Limits, TooLarge, blocks,
    classes::Classes,
    decisions::{Decisions, Finding, Outcome},
    peers::{Lists, Who},
    reasons::Why,
    rules::{AUDITED, ENFORCED, Rules},
    spots::{BROAD, Block, Layers, Pair, Spot, Spots, Steps},
    tally::Few,
};
use crate::{
    endpoint::Endpoint,
    policy::{Direction, Policy},
    ports::{Layer4, Ports, Which},
    set::Enforcement,
};

/// What tells a scope: direction, numbers of rules, whether nothing is known of the
/// subject, and its ports where rules name them.
type ScopeKey = (Direction, Vec<u32>, bool, Vec<Option<u16>>);

/// Makes scopes and their entries.
pub(super) struct Scopes<'a> {
    pub(super) entries: Vec<(u64, Decision)>,
    rules: &'a Rules<'a>,
    classes: &'a Classes<'a>,
    /// By rule.
    who: Vec<Who>,
    decisions: Decisions<'a>,
    known: FxHashMap<ScopeKey, Scope>,
    /// The list at `BROAD` of the scope at hand.
    broad: Option<u32>,
    /// Numbers of rules that are taken.
    numbers: usize,
    steps: Steps,
    limits: &'a Limits,
}

impl<'a> Scopes<'a> {
    pub(super) fn new(
        rules: &'a Rules<'a>,
        lists: &Lists<'a>,
        classes: &'a Classes<'a>,
        decisions: Decisions<'a>,
        limits: &'a Limits,
    ) -> Self {
        let who = rules.all.iter().map(|placed| lists.who(&placed.rule.peers));
        Self {
            entries: Vec::new(),
            rules,
            classes,
            who: who.collect(),
            decisions,
            known: FxHashMap::default(),
            broad: None,
            numbers: 0,
            steps: Steps {
                taken: 0,
                room: limits.steps,
            },
            limits,
        }
    }

    /// The scope of a subject that these parts of policies are about.
    pub(super) fn of(
        &mut self,
        subject: &Endpoint,
        parts: &[u32],
        direction: Direction,
    ) -> Result<Scope, TooLarge> {
        let rules: Vec<u32> = self.rules.of_parts(parts, direction).collect();
        self.steps.take(rules.len())?;
        let ports = match direction {
            Direction::Ingress => self.ports_of(subject, &rules),
            Direction::Egress => Vec::new(),
        };
        let key = (direction, rules, subject.is_init(), ports);
        if let Some(scope) = self.known.get(&key) {
            return Ok(*scope);
        }
        let scope = self.make(subject, direction, &key.1)?;
        self.known.insert(key, scope);
        Ok(scope)
    }

    /// How many distinct sets of rules there are.
    pub(super) fn numbers(&self) -> usize {
        self.numbers
    }

    fn ports_of(&self, subject: &Endpoint, rules: &[u32]) -> Vec<Option<u16>> {
        let layers = rules
            .iter()
            .map(|rule| &self.rules.all[*rule as usize].rule.layer4);
        let ports = layers.filter_map(|layer4| match layer4 {
            Layer4::All => None,
            Layer4::Ports(ports) => Some(ports),
        });
        let named = ports.flatten().filter_map(|ports| match &ports.which {
            Which::Named(name) => Some(subject.port(name, ports.protocol)),
            _ => None,
        });
        named.collect()
    }

    fn make(
        &mut self,
        subject: &Endpoint,
        direction: Direction,
        rules: &[u32],
    ) -> Result<Scope, TooLarge> {
        let otherwise = [ENFORCED, AUDITED].map(|set| self.otherwise(subject, rules, set));
        if otherwise == [Finding::NOT_SELECTED; 2] {
            return Ok(Scope::default());
        }
        let outcome = Outcome::of(&Default::default(), &otherwise);
        let mut scope = Scope {
            rules: self.numbers as u32,
            otherwise: self.decisions.of(&outcome)?,
            ..Scope::default()
        };
        if self.numbers >= self.limits.rules {
            return Err(TooLarge::of(
                "distinct sets of rules",
                self.numbers + 1,
                self.limits.rules,
            ));
        }
        self.numbers += 1;
        let spots = self.spots(subject, direction, rules)?;
        for (block, own) in spots.blocks() {
            let layers = spots.layers(*block);
            let (mut before, mut told_by) = (None, Vec::new());
            for (spot, _) in spots.of(own) {
                if spot.class() == BROAD {
                    continue;
                }
                self.steps.take(layers.len())?;
                // Classes of a list follow each other, mostly with the same rules.
                spots.told_by(&layers, spot.class(), &mut told_by);
                let decision = match &before {
                    Some((same, decision)) if *same == told_by => *decision,
                    _ => {
                        let about = spots.all_about(&layers, spot.class());
                        let decision = self.decisions.of(&Outcome::of(&about, &otherwise))?;
                        before = (spot.class() != ANY_CLASS).then(|| (told_by.clone(), decision));
                        decision
                    }
                };
                self.enter(&mut scope, *spot, decision)?;
            }
            self.put_closer(&mut scope, &spots, *block, &layers, &otherwise)?;
        }
        self.broad = None;
        Ok(scope)
    }

    /// What a set makes of connections that no rule is about.
    fn otherwise(&self, subject: &Endpoint, rules: &[u32], set: usize) -> Finding {
        let enforcement = self.rules.enforcement[set];
        if enforcement == Enforcement::Never {
            return Finding::NOT_SELECTED;
        }
        let of_set = rules
            .iter()
            .map(|rule| (*rule, &self.rules.all[*rule as usize]))
            .filter(|(_, placed)| placed.sets[set]);
        let mut denying = Few::NONE;
        let mut before: Option<&Policy> = None;
        let (mut is_selected, mut is_denied) = (false, subject.is_init());
        is_denied |= enforcement == Enforcement::Always;
        for (rule, placed) in of_set {
            is_selected = true;
            let is_told = before.is_some_and(|before| std::ptr::eq(before, placed.policy));
            if placed.rule.default_deny && !is_told {
                denying.add(rule, Default::default());
                before = Some(placed.policy);
                is_denied = true;
            }
        }
        match (is_denied, is_selected) {
            (true, _) => Finding::by_default(true, Some(Why::DefaultDeny), denying),
            (false, true) => Finding::by_default(false, Some(Why::DefaultAllow), Few::NONE),
            (false, false) => Finding::NOT_SELECTED,
        }
    }

    /// The rules, where they are.
    fn spots(
        &mut self,
        subject: &Endpoint,
        direction: Direction,
        rules: &[u32],
    ) -> Result<Spots<'a>, TooLarge> {
        self.broad = self.broadest(rules);
        let mut pairs = Vec::new();
        for rule in rules {
            let placed = &self.rules.all[*rule as usize];
            let Layer4::Ports(all) = &placed.rule.layer4 else {
                self.add(&mut pairs, *rule, Block::EVERYTHING)?;
                continue;
            };
            for ports in all {
                self.add_ports(&mut pairs, *rule, ports, subject, direction)?;
            }
        }
        // Stable, as it makes use of what is in order: the classes of a list are.
        pairs.sort();
        let spots = pairs.chunk_by(|one, other| one.0 == other.0).count();
        self.check_entries(spots)?;
        let broad = self
            .broad
            .map_or(&[][..], |list| self.classes.of_list(list));
        Ok(Spots::new(&pairs, &self.rules.all, broad))
    }

    fn add_ports(
        &mut self,
        pairs: &mut Vec<Pair>,
        rule: u32,
        ports: &Ports,
        subject: &Endpoint,
        direction: Direction,
    ) -> Result<(), TooLarge> {
        let protocol = ports.protocol;
        match &ports.which {
            // No packet is of it, see `key_of_every_protocol`.
            _ if protocol == 0 => Ok(()),
            Which::Every => self.add(pairs, rule, Block::new(protocol, blocks::ALL)),
            Which::Range(first, last) => blocks::of_range(*first, *last)
                .try_for_each(|block| self.add(pairs, rule, Block::new(protocol, block))),
            Which::Named(name) if direction == Direction::Ingress => {
                let port = subject.port(name, protocol);
                let block = port.map(|port| Block::new(protocol, blocks::around(port, 16)));
                block.map_or(Ok(()), |block| self.add(pairs, rule, block))
            }
            Which::Named(name) => self.add_named(pairs, rule, name, protocol),
        }
    }

    /// A block of ports with whoever is at the other end.
    fn add(&mut self, pairs: &mut Vec<Pair>, rule: u32, block: Block) -> Result<(), TooLarge> {
        let who = self.who[rule as usize];
        let classes = match who.list == self.broad {
            true if who.list.is_some() => &[BROAD],
            _ => self.classes_of(rule),
        };
        self.steps.take(1 + classes.len())?;
        if who.is_everybody {
            pairs.push((block.at(ANY_CLASS), rule, false));
        }
        pairs.extend(classes.iter().map(|class| (block.at(*class), rule, true)));
        Ok(())
    }

    /// Ports that the peer calls so: of each class another one.
    fn add_named(
        &mut self,
        pairs: &mut Vec<Pair>,
        rule: u32,
        name: &str,
        protocol: u8,
    ) -> Result<(), TooLarge> {
        let who = self.who[rule as usize];
        let classes = self.classes_of(rule);
        let with_port = self.classes.with_port(name, protocol);
        self.steps.take(1 + with_port.len())?;
        for (class, port) in with_port {
            let is_told = classes.binary_search(class).is_ok();
            if who.is_everybody || is_told {
                let block = Block::new(protocol, blocks::around(*port, 16));
                pairs.push((block.at(*class), rule, is_told));
            }
        }
        Ok(())
    }

    fn classes_of(&self, rule: u32) -> &'a [u32] {
        let list = self.who[rule as usize].list;
        list.map_or(&[], |list| self.classes.of_list(list))
    }

    /// The list that is worth to be taken as everybody, with entries of the others
    /// instead of its own: it has most classes.
    fn broadest(&self, rules: &[u32]) -> Option<u32> {
        let lists = rules.iter().map(|rule| (rule, self.who[*rule as usize]));
        let told = lists.clone().filter(|(_, who)| !who.is_everybody);
        let classes = |list: u32| self.classes.of_list(list).len();
        let list = told
            .filter_map(|(_, who)| who.list)
            .max_by_key(|list| classes(*list))?;
        let (mut own, mut all) = (0, 0);
        for (rule, who) in lists {
            let blocks = match &self.rules.all[*rule as usize].rule.layer4 {
                Layer4::All => 1,
                Layer4::Ports(all) => all.len(),
            };
            if who.list == Some(list) {
                own += blocks;
            }
            if who.is_everybody || who.list == Some(list) {
                all += blocks;
            }
        }
        let others = self.classes.len() - classes(list);
        let is_worth = own * classes(list) > 2 * all * others;
        is_worth.then_some(list)
    }

    /// Where a block has an entry for everybody: entries of the classes that rules for
    /// more ports make another verdict of.
    fn put_closer(
        &mut self,
        scope: &mut Scope,
        spots: &Spots,
        block: Block,
        layers: &Layers,
        otherwise: &[Finding; 2],
    ) -> Result<(), TooLarge> {
        let Some((own, around)) = layers.split_first() else {
            return Ok(());
        };
        let is_of_everybody = spots.of_everybody(own).is_some();
        if !is_of_everybody && !spots.has(own, BROAD) {
            return Ok(());
        }
        let all = spots.all_about(layers, ANY_CLASS);
        let everybody = Outcome::of(&all, otherwise);
        if !is_of_everybody {
            let decision = self.decisions.of(&everybody)?;
            self.enter(scope, block.at(ANY_CLASS), decision)?;
        }
        // Rules that allow what is allowed change nothing.
        let only_denying = all.allows() && !all.says_authentication();
        let mut classes = Vec::new();
        for layer in around {
            self.steps.take(spots.of(layer).len())?;
            let of_classes = spots.of(layer).iter();
            let changing = of_classes.filter(|(spot, number)| {
                let tally = spots.tally(*number);
                !matches!(spot.class(), ANY_CLASS | BROAD)
                    && (!only_denying || tally.denies() || tally.says_authentication())
            });
            classes.extend(changing.map(|(spot, _)| spot.class()));
        }
        if layers.iter().any(|layer| spots.has(layer, BROAD)) {
            self.steps.take(self.classes.len())?;
            classes.extend((1..=self.classes.len() as u32).filter(|class| !spots.is_broad(*class)));
        }
        classes.sort_unstable();
        classes.dedup();
        for class in classes {
            if spots.has(own, class) {
                continue;
            }
            self.steps.take(layers.len())?;
            let outcome = Outcome::of(&spots.all_about(layers, class), otherwise);
            // The same verdict may be for rules that are not about it.
            if !spots.is_broad(class) || !outcome.is_like(&everybody) {
                let decision = self.decisions.of(&outcome)?;
                self.enter(scope, block.at(class), decision)?;
            }
        }
        Ok(())
    }

    fn enter(&mut self, scope: &mut Scope, spot: Spot, decision: Decision) -> Result<(), TooLarge> {
        let (block, class) = (spot.block(), spot.class());
        let key = if block == Block::EVERYTHING {
            scope.lengths |= 1 << EVERY_PROTOCOL;
            key_of_every_protocol(scope.rules, class)
        } else {
            scope.lengths |= 1 << block.length();
            let port = blocks::first_port(block.ports());
            key(scope.rules, class, block.protocol(), block.length(), port)
        };
        self.entries.push((key, decision));
        self.check_entries(0)
    }

    /// Whether there is room for more entries.
    fn check_entries(&self, more: usize) -> Result<(), TooLarge> {
        let needed = self.entries.len() + more;
        TooLarge::check("entries of rules", needed, self.limits.places / 2)
    }
}
