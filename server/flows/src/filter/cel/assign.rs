//! What may stand for what, as far as the checker knows the free variables. Follows
//! cel-go's `checker/mapping.go` and `checker/types.go`.
//!
//! Types are trees, and a few words can double one each: `{x: [x]}` of `{x: [x]}`. So each
//! look at a part of one takes a step, and one that is too large ends it all. Bound:
//! `MAX_TYPE_PARTS`, and the steps that `Mapping::new` is given.

use std::{cell::Cell, collections::HashMap};

use super::{
    super::budget::MAX_TYPE_PARTS,
    types::{Type, most_general},
};

/// What the free variables stand for, as far as it is known.
#[derive(Debug)]
pub(super) struct Mapping {
    known: HashMap<String, Type>,
    /// What the variables that were learnt of stood for before, in this order.
    before: Vec<(String, Option<Type>)>,
    /// Steps that are left.
    steps: Cell<usize>,
}

impl Mapping {
    /// Of no variable, with so many steps.
    pub(super) fn new(steps: usize) -> Self {
        Self {
            known: HashMap::new(),
            before: Vec::new(),
            steps: Cell::new(steps),
        }
    }

    /// Steps that are left; without any, what is asked has no meaning.
    pub(super) fn steps(&self) -> usize {
        self.steps.get()
    }

    /// Takes steps; whether there are some left.
    fn spend(&self, steps: usize) -> bool {
        self.steps.set(self.steps.get().saturating_sub(steps));
        self.steps.get() > 0
    }

    /// The type, if it is small enough to go on with.
    pub(super) fn bounded(&self, ty: Type) -> Type {
        let parts = ty.parts(MAX_TYPE_PARTS);
        if parts > MAX_TYPE_PARTS {
            self.steps.set(0);
        }
        match self.spend(parts) {
            true => ty,
            false => Type::Error,
        }
    }

    fn find(&self, ty: &Type) -> Option<&Type> {
        match ty {
            Type::Param(name) => self.known.get(name),
            _ => None,
        }
    }

    fn add(&mut self, param: &Type, ty: Type) {
        if let Type::Param(name) = param {
            let before = self.known.insert(name.clone(), ty);
            self.before.push((name.clone(), before));
        }
    }

    /// Keeps what was learnt, or forgets it.
    fn settle(&mut self, keep: bool) {
        if keep {
            self.before.clear();
        }
        for (name, before) in self.before.drain(..).rev() {
            match before {
                Some(ty) => self.known.insert(name, ty),
                None => self.known.remove(&name),
            };
        }
    }

    /// Whether each type may stand for the one beside it; learns from it.
    pub(super) fn assign_all(&mut self, left: &[Type], right: &[Type]) -> bool {
        let ok =
            left.len() == right.len() && left.iter().zip(right).all(|(l, r)| self.assignable(l, r));
        self.settle(ok);
        ok
    }

    /// Whether one type may stand for the other; learns from it.
    pub(super) fn assign(&mut self, left: &Type, right: &Type) -> bool {
        let ok = self.assignable(left, right);
        self.settle(ok);
        ok
    }

    fn assignable(&mut self, t1: &Type, t2: &Type) -> bool {
        if !self.spend(1) {
            return true;
        }
        if matches!(t2, Type::Param(_)) {
            match self.stands_for(t1, t2) {
                (true, _) => return true,
                (false, true) => return false,
                (false, false) => {}
            }
        }
        if matches!(t1, Type::Param(_)) {
            return self.stands_for(t2, t1).0;
        }
        if t1.is_dyn_or_error() || t2.is_dyn_or_error() {
            return true;
        }
        if *t1 == Type::Null {
            return t2.is_nullable();
        }
        if *t2 == Type::Null {
            return t1.is_nullable();
        }
        match (t1, t2) {
            (Type::Type(_), _) => matches!(t2, Type::Type(_)),
            (Type::List(a), Type::List(b)) => self.assignable(a, b),
            (Type::Map(k1, v1), Type::Map(k2, v2)) => {
                self.assignable(k1, k2) && self.assignable(v1, v2)
            }
            (Type::List(_) | Type::Map(..), _) => false,
            _ => t2.accepts(t1),
        }
    }

    /// Whether `ty` may stand for the variable, and whether something did.
    fn stands_for(&mut self, ty: &Type, variable: &Type) -> (bool, bool) {
        if ty == variable {
            return (true, true);
        }
        if let Some(known) = self.find(variable).cloned() {
            self.spend(known.parts(MAX_TYPE_PARTS));
            if ty.is_exact(&known) {
                return (true, true);
            }
            if self.assignable(ty, &known) {
                let general = most_general(ty, &known).clone();
                if self.is_free_of(variable, &general) {
                    self.add(variable, general);
                }
                return (true, true);
            }
            return (false, true);
        }
        if self.is_free_of(variable, ty) {
            self.add(variable, ty.clone());
            return (true, false);
        }
        (false, false)
    }

    /// Whether the variable does not occur within the type.
    fn is_free_of(&self, variable: &Type, within: &Type) -> bool {
        if !self.spend(1) {
            return true;
        }
        if variable.is_exact(within) {
            return false;
        }
        match within {
            Type::Param(_) => match self.find(within) {
                Some(known) => self.is_free_of(variable, known),
                None => true,
            },
            _ => within
                .parameters()
                .iter()
                .all(|part| self.is_free_of(variable, part)),
        }
    }

    /// The type with known variables put in; others become `dyn` if asked.
    pub(super) fn substitute(&self, ty: &Type, to_dyn: bool) -> Type {
        self.bounded(self.put_in(ty, to_dyn))
    }

    fn put_in(&self, ty: &Type, to_dyn: bool) -> Type {
        if !self.spend(1) {
            return Type::Error;
        }
        if let Some(known) = self.find(ty) {
            return self.put_in(known, to_dyn);
        }
        match ty {
            Type::Param(_) if to_dyn => Type::Dyn,
            Type::List(element) => Type::list(self.put_in(element, to_dyn)),
            Type::Map(key, value) => {
                Type::map(self.put_in(key, to_dyn), self.put_in(value, to_dyn))
            }
            Type::Type(Some(of)) => Type::of(self.put_in(of, to_dyn)),
            other => other.clone(),
        }
    }
}
