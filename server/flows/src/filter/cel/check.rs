//! Type checking, and the plan of what is to be evaluated.
//!
//! Follows cel-go's checker: the same expressions pass, with the same types,
//! and the same mistakes are found at the same places. The result is a tree
//! in which names are resolved.

use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedEntryExpr, IdedExpr, LiteralValue,
    SelectExpr, StructExpr,
};

use super::{
    super::{
        Excess,
        budget::{Budget, CEL_FIELD},
    },
    assign::Mapping,
    declare::{self, Function, Overload},
    issue::{Issue, MAX_ISSUES, Place},
    parse::Parsed,
    plan::{Constant, Fold, Node},
    schema::{self, CONTAINER, Meaning},
    types::{self, Type},
};

/// A checked expression.
pub(super) struct Plan {
    /// Type of the result.
    pub(super) ty: Type,
    /// What is to be evaluated.
    pub(super) node: Node,
    /// Why it cannot be, although the types agree.
    pub(super) obstacle: Option<String>,
}

/// Checks an expression, the `index`-th of its filter.
///
/// # Errors
/// `Excess` where its patterns are too much; within, the mistakes that it has.
pub(super) fn check(
    parsed: &Parsed,
    index: usize,
    budget: &mut Budget,
) -> Result<Result<Plan, Vec<Issue>>, Excess> {
    let steps = budget.type_steps;
    let mut checker = Checker {
        parsed,
        index,
        budget,
        excess: None,
        mapping: Mapping::new(steps),
        variables: 0,
        scope: Vec::new(),
        issues: Vec::new(),
        obstacle: None,
    };
    let (ty, node) = checker.check(&parsed.root);
    let ty = checker.mapping.substitute(&ty, true);
    checker.budget.type_steps = checker.mapping.steps();
    if checker.budget.type_steps == 0 {
        return Err(checker.budget.types(index));
    }
    if let Some(excess) = checker.excess {
        return Err(excess);
    }
    Ok(if checker.issues.is_empty() {
        Ok(Plan {
            ty,
            node,
            obstacle: checker.obstacle,
        })
    } else {
        Err(checker.issues)
    })
}

type Checked = (Type, Node);

struct Checker<'a> {
    parsed: &'a Parsed,
    index: usize,
    budget: &'a mut Budget,
    /// The first pattern that is too much.
    excess: Option<Excess>,
    mapping: Mapping,
    /// Type variables made so far.
    variables: usize,
    /// Variables of the comprehensions around; a variable's index is its slot.
    scope: Vec<(String, Type)>,
    issues: Vec<Issue>,
    obstacle: Option<String>,
}

impl Checker<'_> {
    fn issue(&mut self, id: u64, text: String) {
        // Those that are only counted need no place, which is found by a search.
        let place = match self.issues.len() < MAX_ISSUES {
            true => self.parsed.place(id),
            false => Place::NONE,
        };
        self.issues.push(Issue { place, text });
    }

    fn mistake(&mut self, id: u64, text: String) -> Checked {
        self.issue(id, text);
        (Type::Error, Node::Mistake)
    }

    fn undeclared(&mut self, id: u64, name: &str) -> Checked {
        self.mistake(
            id,
            format!("undeclared reference to '{name}' (in container '{CONTAINER}')"),
        )
    }

    fn type_variable(&mut self) -> Type {
        self.variables += 1;
        Type::Param(format!("_var{}", self.variables - 1))
    }

    fn check(&mut self, expr: &IdedExpr) -> Checked {
        match &expr.expr {
            Expr::Literal(literal) => constant(literal),
            Expr::Ident(name) => match self.resolve(name) {
                Some(checked) => checked,
                None => self.undeclared(expr.id, name),
            },
            Expr::Select(select) => self.select(expr, select),
            Expr::Call(call) => self.call(expr.id, call),
            Expr::List(list) => self.list(&list.elements),
            Expr::Map(map) => self.map(&map.entries),
            Expr::Struct(message) => self.message(expr.id, message),
            Expr::Comprehension(fold) => self.comprehension(fold),
            Expr::Unspecified => self.mistake(expr.id, "unexpected unspecified type".into()),
        }
    }

    /// A variable of a comprehension, or a global name.
    fn resolve(&mut self, name: &str) -> Option<Checked> {
        if let Some(slot) = self.scope.iter().rposition(|(known, _)| known == name) {
            return Some((self.scope[slot].1.clone(), Node::Slot(slot)));
        }
        self.global(name)
    }

    /// What a name means outside all comprehensions.
    fn global(&mut self, name: &str) -> Option<Checked> {
        let find = |name: String| schema::global(&name).map(|meaning| (name, meaning));
        let (name, meaning) = schema::candidates(name).into_iter().find_map(find)?;
        Some(match meaning {
            Meaning::Flow => (Type::Message("flow.Flow".into()), Node::Flow),
            Meaning::Number(number) => (Type::Int, Node::Constant(Constant::Int(number))),
            Meaning::Type(ty) => {
                if !schema::is_type_value(&name) {
                    let obstacle = || format!("reference to undefined type: {name}");
                    self.obstacle.get_or_insert_with(obstacle);
                }
                let constant = Constant::Type(types::runtime_name(&ty));
                (Type::of(ty), Node::Constant(constant))
            }
        })
    }

    fn select(&mut self, expr: &IdedExpr, select: &SelectExpr) -> Checked {
        if let Some(checked) = self.qualified(expr) {
            return checked;
        }
        let (operand_type, operand) = self.check(&select.operand);
        let operand_type = self.mapping.substitute(&operand_type, false);
        let (ty, number) = self.field(expr.id, &operand_type, &select.field);
        let node = Node::Select {
            operand: Box::new(operand),
            field: select.field.clone(),
            number,
            test: select.test,
        };
        let ty = if select.test { Type::Bool } else { ty };
        (self.mapping.substitute(&ty, false), node)
    }

    /// A name with dots that is global as a whole.
    fn qualified(&mut self, expr: &IdedExpr) -> Option<Checked> {
        let name = qualified_name(expr)?;
        let first = name.trim_start_matches('.').split('.').next()?;
        let local = self.scope.iter().any(|(known, _)| known == first);
        if local && !name.starts_with('.') {
            return None;
        }
        self.global(&name)
    }

    /// Type and number of a field of what may have fields.
    fn field(&mut self, id: u64, of: &Type, field: &str) -> (Type, Option<u32>) {
        match of {
            Type::Map(_, value) => (Type::clone(value), None),
            Type::Message(name) => self.message_field(id, name, field),
            Type::Param(_) => {
                self.mapping.assign(&Type::Dyn, of);
                (Type::Dyn, None)
            }
            Type::Dyn | Type::Any | Type::Error => (Type::Dyn, None),
            other => {
                let text = format!("type '{other}' does not support field selection");
                self.issue(id, text);
                (Type::Dyn, None)
            }
        }
    }

    fn message_field(&mut self, id: u64, message: &str, field: &str) -> (Type, Option<u32>) {
        let known = schema::message(message).and_then(|m| m.get_field_by_name(field));
        match known {
            Some(field) => (schema::field_type(&field), Some(field.number())),
            None => {
                self.issue(id, format!("undefined field '{field}'"));
                (Type::Error, None)
            }
        }
    }

    fn call(&mut self, id: u64, call: &CallExpr) -> Checked {
        let mut checked: Vec<Checked> = call.args.iter().map(|arg| self.check(arg)).collect();
        let name = call.func_name.trim_start_matches('.');
        if let Some(target) = &call.target {
            let target = self.check(target);
            checked.insert(0, target);
        }
        let Some((function, overloads)) = declare::function(name) else {
            return self.undeclared(id, &call.func_name);
        };
        let (argument_types, arguments): (Vec<_>, Vec<_>) = checked.into_iter().unzip();
        let result = match function {
            Function::And | Function::Or => self.logical(call, &argument_types),
            _ => self.overload(id, name, call.target.is_some(), &overloads, &argument_types),
        };
        match result {
            Some(ty) => (ty, self.node(function, arguments)),
            None => (Type::Error, Node::Mistake),
        }
    }

    /// The call of a function; a constant pattern is compiled once, here.
    fn node(&mut self, function: Function, mut arguments: Vec<Node>) -> Node {
        let (Function::Matches, [_, Node::Constant(Constant::String(pattern))]) =
            (function, arguments.as_slice())
        else {
            return Node::call(function, arguments);
        };
        let pattern = match self.budget.regexp(CEL_FIELD, self.index, pattern) {
            Ok(compiled) => compiled.ok(),
            Err(excess) => {
                self.excess.get_or_insert(excess);
                None
            }
        };
        Node::Matches(Box::new(arguments.swap_remove(0)), pattern)
    }

    /// `&&` and `||`: each side must be a bool.
    fn logical(&mut self, call: &CallExpr, types: &[Type]) -> Option<Type> {
        let mut ok = true;
        for (argument, ty) in call.args.iter().zip(types) {
            ok &= self.expect(argument.id, &Type::Bool, ty, (ty, &Type::Bool));
        }
        ok.then_some(Type::Bool)
    }

    /// Reports a mismatch unless one of the pair may stand for the other.
    fn expect(&mut self, id: u64, wanted: &Type, found: &Type, pair: (&Type, &Type)) -> bool {
        let ok = self.mapping.assign(pair.0, pair.1);
        if !ok {
            self.issue(id, format!("expected type '{wanted}' but found '{found}'"));
        }
        ok
    }

    /// The result of the overloads that fit; `dyn` if they differ.
    fn overload(
        &mut self,
        id: u64,
        name: &str,
        member: bool,
        overloads: &[Overload],
        arguments: &[Type],
    ) -> Option<Type> {
        let mut result: Option<Type> = None;
        for overload in overloads.iter().filter(|o| o.member == member) {
            let (wanted, ty) = self.instance(overload);
            if !self.mapping.assign_all(arguments, &wanted) {
                continue;
            }
            let ty = self.mapping.substitute(&ty, false);
            result = Some(match result {
                None => ty,
                Some(result) if result.is_dyn() || ty.is_exact(&result) => result,
                Some(_) => Type::Dyn,
            });
        }
        if result.is_none() {
            let shown: Vec<String> = arguments
                .iter()
                .map(|ty| self.mapping.substitute(ty, true).to_string())
                .collect();
            let signature = match shown.split_first() {
                Some((target, rest)) if member => format!("{target}.({})", rest.join(", ")),
                _ => format!("({})", shown.join(", ")),
            };
            self.issue(
                id,
                format!("found no matching overload for '{name}' applied to '{signature}'"),
            );
        }
        result
    }

    /// Arguments and result with type variables of their own.
    fn instance(&mut self, overload: &Overload) -> (Vec<Type>, Type) {
        let mut types = overload.arguments.clone();
        types.push(overload.result.clone());
        for name in ["A", "B"] {
            if types.iter().any(|ty| ty.mentions(name)) {
                let variable = self.type_variable();
                for ty in &mut types {
                    ty.rename(name, &variable);
                }
            }
        }
        let result = types.pop().unwrap_or(Type::Dyn);
        (types, result)
    }

    fn list(&mut self, elements: &[IdedExpr]) -> Checked {
        let mut joined = None;
        let mut nodes = Vec::with_capacity(elements.len());
        for element in elements {
            let (ty, node) = self.check(element);
            nodes.push(node);
            joined = Some(self.join(joined, ty));
        }
        let element = joined.unwrap_or_else(|| self.type_variable());
        (self.mapping.bounded(Type::list(element)), Node::List(nodes))
    }

    fn map(&mut self, entries: &[IdedEntryExpr]) -> Checked {
        let (mut keys, mut values) = (None, None);
        let mut nodes = Vec::with_capacity(entries.len());
        for entry in entries {
            let EntryExpr::MapEntry(entry) = &entry.expr else {
                continue;
            };
            let (key_type, key) = self.check(&entry.key);
            keys = Some(self.join(keys, key_type));
            let (value_type, value) = self.check(&entry.value);
            values = Some(self.join(values, value_type));
            nodes.push((key, value));
        }
        let key = keys.unwrap_or_else(|| self.type_variable());
        let value = values.unwrap_or_else(|| self.type_variable());
        let ty = self.mapping.bounded(Type::map(key, value));
        (ty, Node::Map(nodes))
    }

    /// The type that holds both, `dyn` if there is no other.
    fn join(&mut self, previous: Option<Type>, current: Type) -> Type {
        match previous {
            None => current,
            Some(previous) if self.mapping.assign(&previous, &current) => {
                types::most_general(&previous, &current).clone()
            }
            Some(_) => Type::Dyn,
        }
    }

    fn message(&mut self, id: u64, message: &StructExpr) -> Checked {
        let found = schema::candidates(&message.type_name)
            .into_iter()
            .find_map(|name| match schema::global(&name) {
                Some(Meaning::Type(ty)) => Some((name, ty)),
                _ => None,
            });
        let Some((name, mut ty)) = found else {
            return self.undeclared(id, &message.type_name);
        };
        if matches!(name.as_str(), "list" | "null_type") {
            self.obstacle
                .get_or_insert_with(|| format!("unknown type: {name}"));
        } else if !name.contains('.') {
            let text = format!("'{}' is not a message type", types::runtime_name(&ty));
            self.issue(id, text);
            ty = Type::Error;
        }
        let mut fields = Vec::with_capacity(message.entries.len());
        for entry in &message.entries {
            let EntryExpr::StructField(field) = &entry.expr else {
                continue;
            };
            let (value_type, value) = self.check(&field.value);
            let (field_type, number) = self.construct_field(entry.id, &name, &field.field);
            if !self.mapping.assign(&field_type, &value_type) {
                let text = format!(
                    "expected type of field '{}' is '{field_type}' but provided type is '{value_type}'",
                    field.field
                );
                self.issue(entry.id, text);
            }
            fields.push((number.unwrap_or(0), value));
        }
        (ty, Node::Message { name, fields })
    }

    /// As `message_field`, for the well-known types too.
    fn construct_field(&mut self, id: u64, message: &str, field: &str) -> (Type, Option<u32>) {
        match schema::well_known_field(message, field) {
            Some((ty, number)) => (ty, Some(number)),
            None => self.message_field(id, message, field),
        }
    }

    fn comprehension(&mut self, fold: &ComprehensionExpr) -> Checked {
        let (range_type, range) = self.check(&fold.iter_range);
        let (accu_type, init) = self.check(&fold.accu_init);
        let range_type = self.mapping.substitute(&range_type, false);
        let element = self.element(fold.iter_range.id, &range_type);
        let slot = self.scope.len();
        self.scope.push((fold.accu_var.clone(), accu_type.clone()));
        self.scope.push((fold.iter_var.clone(), element));
        let (condition_type, condition) = self.check(&fold.loop_cond);
        let pair = (&Type::Bool, &condition_type);
        self.expect(fold.loop_cond.id, &Type::Bool, &condition_type, pair);
        let (step_type, step) = self.check(&fold.loop_step);
        let pair = (&accu_type, &step_type);
        self.expect(fold.loop_step.id, &accu_type, &step_type, pair);
        self.scope.pop();
        let (ty, result) = self.check(&fold.result);
        self.scope.pop();
        let node = Node::Fold(Box::new(Fold {
            slot,
            turn: condition.size() + step.size(),
            range,
            init,
            condition,
            step,
            result,
        }));
        (self.mapping.substitute(&ty, false), node)
    }

    /// What a loop over this type takes in turn.
    fn element(&mut self, id: u64, range: &Type) -> Type {
        match range {
            Type::List(element) => Type::clone(element),
            Type::Map(key, _) => Type::clone(key),
            Type::Dyn | Type::Error | Type::Param(_) => {
                self.mapping.assign(&Type::Dyn, range);
                Type::Dyn
            }
            other => {
                let text = format!(
                    "expression of type '{other}' cannot be range of a comprehension (must be \
                     list, map, or dynamic)"
                );
                self.issue(id, text);
                Type::Error
            }
        }
    }
}

/// `a.b.c`, if it is but names; a presence test is none.
fn qualified_name(expr: &IdedExpr) -> Option<String> {
    match &expr.expr {
        Expr::Ident(name) => Some(name.clone()),
        Expr::Select(select) if !select.test => Some(format!(
            "{}.{}",
            qualified_name(&select.operand)?,
            select.field
        )),
        _ => None,
    }
}

fn constant(literal: &LiteralValue) -> Checked {
    let (ty, constant) = match literal {
        LiteralValue::Null => (Type::Null, Constant::Null),
        LiteralValue::Boolean(value) => (Type::Bool, Constant::Bool(*value.inner())),
        LiteralValue::Int(value) => (Type::Int, Constant::Int(*value.inner())),
        LiteralValue::UInt(value) => (Type::Uint, Constant::Uint(*value.inner())),
        LiteralValue::Double(value) => (Type::Double, Constant::Double(*value.inner())),
        LiteralValue::String(value) => (Type::String, Constant::String(value.inner().into())),
        LiteralValue::Bytes(value) => (Type::Bytes, Constant::Bytes(value.inner().into())),
    };
    (ty, Node::Constant(constant))
}
