//! Evaluation of a plan on a flow.

use std::sync::Arc;

use super::{
    super::meter::Meter,
    declare::Function,
    function, making,
    plan::{Fold, Node},
    schema,
    value::{Failure, Instant, Message, Outcome, Value},
};
use crate::flow::Flow;

/// Evaluates a plan to a truth value. The steps of its parts, each once, are
/// taken already; loops and what works on long values take more.
pub(super) fn is_true(plan: &Node, flow: &Flow, meter: &Meter) -> Result<bool, Failure> {
    let slots = Vec::new();
    match (Run { flow, meter, slots }).eval(plan)? {
        Value::Bool(truth) => Ok(truth),
        _ => Err(Failure),
    }
}

struct Run<'a> {
    flow: &'a Flow,
    meter: &'a Meter,
    /// Variables of the comprehensions that are under way.
    slots: Vec<Outcome<'a>>,
}

impl<'a> Run<'a> {
    fn eval(&mut self, node: &'a Node) -> Outcome<'a> {
        match node {
            Node::Mistake => Err(Failure),
            Node::Constant(constant) => Ok(Value::constant(constant)),
            Node::Flow => Ok(Value::Message(Message::Flow(self.flow))),
            Node::Slot(slot) => self.variable(*slot),
            Node::Select {
                operand,
                field,
                number,
                test,
            } => {
                let operand = self.eval(operand)?;
                if *test {
                    has(&operand, field, *number, self.meter).map(Value::Bool)
                } else {
                    select(&operand, field, *number, self.meter)
                }
            }
            Node::And(sides) => self.logical(sides, false),
            Node::Or(sides) => self.logical(sides, true),
            Node::Conditional(parts) => {
                let [condition, yes, no] = parts.as_ref();
                match self.eval(condition)? {
                    Value::Bool(true) => self.eval(yes),
                    Value::Bool(false) => self.eval(no),
                    _ => Err(Failure),
                }
            }
            Node::NotStrictlyFalse(argument) => {
                let truth = !matches!(self.eval(argument), Ok(Value::Bool(false)));
                Ok(Value::Bool(truth))
            }
            Node::Matches(text, pattern) => match (self.eval(text)?, pattern) {
                (Value::String(text), Some(pattern)) => {
                    Ok(Value::Bool(pattern.is_match(&text, self.meter)?))
                }
                _ => Err(Failure),
            },
            Node::Among(value, wanted) => {
                let value = self.eval(value)?;
                let mut wanted = wanted.iter().map(Value::constant);
                let found = wanted.any(|wanted| wanted.equals(&value, self.meter));
                Ok(Value::Bool(found))
            }
            Node::Call(function, arguments) => self.call(*function, arguments),
            Node::List(elements) => self.all(elements).map(Value::list),
            Node::Map(entries) => self.map(entries),
            Node::Message { name, fields } => self.message(name, fields),
            Node::Fold(fold) => self.fold(fold),
        }
    }

    fn variable(&self, slot: usize) -> Outcome<'a> {
        let value = self.slots.get(slot).ok_or(Failure)?.as_ref();
        let value = value.map_err(|_| Failure)?;
        self.meter.spend(value.copying())?;
        Ok(value.clone())
    }

    /// `&&` and `||`: a side that decides makes a failure of the other good.
    fn logical(&mut self, sides: &'a [Node; 2], deciding: bool) -> Outcome<'a> {
        let mut outcome = Ok(Value::Bool(!deciding));
        for side in sides {
            match self.eval(side) {
                Ok(Value::Bool(truth)) if truth == deciding => return Ok(Value::Bool(deciding)),
                Ok(Value::Bool(_)) => {}
                _ => outcome = Err(Failure),
            }
        }
        outcome
    }

    fn all(&mut self, nodes: &'a [Node]) -> Result<Vec<Value<'a>>, Failure> {
        nodes.iter().map(|node| self.eval(node)).collect()
    }

    fn call(&mut self, function: Function, arguments: &'a [Node]) -> Outcome<'a> {
        match arguments {
            [one] => {
                let one = self.eval(one)?;
                function::unary(function, one, self.meter)
            }
            [left, right] => {
                let left = self.eval(left)?;
                let right = self.eval(right)?;
                function::binary(function, left, right, self.meter)
            }
            _ => Err(Failure),
        }
    }

    fn map(&mut self, entries: &'a [(Node, Node)]) -> Outcome<'a> {
        let mut made: Vec<(Value, Value)> = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let (key, value) = (self.eval(key)?, self.eval(value)?);
            // As in cel-go, the last of equal keys of one type counts.
            let same = |(known, _): &(Value, Value)| {
                known.type_name() == key.type_name() && known.equals(&key, self.meter)
            };
            match made.iter().position(same) {
                Some(at) => made[at].1 = value,
                None => made.push((key, value)),
            }
        }
        Ok(Value::Map(Arc::new(made)))
    }

    fn message(&mut self, name: &str, fields: &'a [(u32, Node)]) -> Outcome<'a> {
        let mut values = Vec::with_capacity(fields.len());
        for (number, node) in fields {
            values.push((*number, self.eval(node)?));
        }
        let integer = |wanted: u32| {
            let found = values.iter().rev().find(|(number, _)| *number == wanted);
            match found {
                Some((_, Value::Int(value))) => *value,
                _ => 0,
            }
        };
        match name {
            "google.protobuf.Empty" => Ok(Value::Message(Message::Empty)),
            "google.protobuf.ListValue" => Ok(Value::list(Vec::new())),
            "google.protobuf.Struct" => Ok(Value::Map(Arc::default())),
            "google.protobuf.Value" => Ok(Value::Null),
            "google.protobuf.Timestamp" => {
                Ok(Value::Timestamp(Instant::new(integer(1), integer(2))))
            }
            "google.protobuf.Duration" => {
                let nanos = integer(1).checked_mul(1_000_000_000);
                let nanos = nanos.and_then(|nanos| nanos.checked_add(integer(2)));
                nanos.map(Value::Duration).ok_or(Failure)
            }
            name if schema::message(name).is_some() => making::make(name, &values, self.meter),
            name => match values.pop() {
                Some((_, value)) => Ok(value),
                None => schema::default_of_wrapper(name).ok_or(Failure),
            },
        }
    }

    /// A comprehension. The accumulator may hold a failure, which a later turn
    /// can make good.
    fn fold(&mut self, fold: &'a Fold) -> Outcome<'a> {
        let range = self.eval(&fold.range)?;
        let elements = match &range {
            Value::List(list) => list.clone(),
            Value::Map(entries) => {
                let copying = |(key, _): &(Value, Value)| 1 + key.copying();
                self.meter.spend(entries.iter().map(copying).sum())?;
                let keys = entries.iter().map(|(key, _)| key.clone());
                super::value::List::Values(Arc::new(keys.collect()))
            }
            _ => return Err(Failure),
        };
        let init = self.eval(&fold.init);
        self.slots.truncate(fold.slot);
        self.slots.push(init);
        for element in elements.iter() {
            self.meter.spend(fold.turn + element.copying())?;
            self.slots.truncate(fold.slot + 1);
            self.slots.push(Ok(element));
            match self.eval(&fold.condition) {
                Ok(Value::Bool(true)) => {}
                Ok(Value::Bool(false)) => break,
                _ => return Err(Failure),
            }
            let next = self.step(&fold.step, fold.slot);
            if let Some(slot) = self.slots.get_mut(fold.slot) {
                *slot = next;
            }
        }
        self.slots.truncate(fold.slot + 1);
        let outcome = self.eval(&fold.result);
        self.slots.truncate(fold.slot);
        outcome
    }
}

/// Steps of a macro, which hands its accumulator on.
impl<'a> Run<'a> {
    /// What the accumulator becomes. It is taken, not copied, where it is added
    /// to: the list of a `map` would be copied at each turn.
    fn step(&mut self, node: &'a Node, accumulator: usize) -> Outcome<'a> {
        match node {
            Node::Slot(slot) if *slot == accumulator => self.take(accumulator),
            Node::Conditional(parts) => {
                let [condition, yes, no] = parts.as_ref();
                match self.eval(condition)? {
                    Value::Bool(true) => self.step(yes, accumulator),
                    Value::Bool(false) => self.step(no, accumulator),
                    _ => Err(Failure),
                }
            }
            Node::Call(Function::Add, sides) => match sides.as_slice() {
                [Node::Slot(slot), added] if *slot == accumulator => {
                    let added = self.eval(added)?;
                    let sum = self.take(accumulator)?;
                    function::binary(Function::Add, sum, added, self.meter)
                }
                _ => self.eval(node),
            },
            _ => self.eval(node),
        }
    }

    fn take(&mut self, slot: usize) -> Outcome<'a> {
        let slot = self.slots.get_mut(slot).ok_or(Failure)?;
        std::mem::replace(slot, Err(Failure))
    }
}

fn number_of(message: &Message, field: &str, number: Option<u32>) -> Result<u32, Failure> {
    if let Some(number) = number {
        return Ok(number);
    }
    let descriptor = schema::message(&message.name()).ok_or(Failure)?;
    let field = descriptor.get_field_by_name(field).ok_or(Failure)?;
    Ok(field.number())
}

fn select<'a>(
    operand: &Value<'a>,
    field: &'a str,
    number: Option<u32>,
    meter: &Meter,
) -> Outcome<'a> {
    match operand {
        Value::Message(message) => message.get(number_of(message, field, number)?, meter),
        Value::Map(_) => operand.find(&Value::text(field), meter).ok_or(Failure),
        _ => Err(Failure),
    }
}

fn has(operand: &Value, field: &str, number: Option<u32>, meter: &Meter) -> Result<bool, Failure> {
    match operand {
        Value::Message(message) => Ok(message.has(number_of(message, field, number)?, meter)),
        Value::Map(_) => Ok(operand.find(&Value::text(field), meter).is_some()),
        Value::List(_) => Err(Failure),
        // As in cel-go, what cannot have fields has none.
        _ => Ok(false),
    }
}
