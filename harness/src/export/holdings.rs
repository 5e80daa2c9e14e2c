//! What a program holds, and how C names it.

use scenarios::program::ObjectName;

use super::literal::variable;

/// How an object is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Holding {
    /// A descriptor of a file.
    Descriptor,
    /// A page of a file in memory.
    Mapping,
    /// An end of a socket pair.
    Socket,
    /// A descriptor in the message with this number in the queue of a socket, a C expression.
    InFlight { socket: String, nth: usize },
    /// A file in `/proc/self`: `cwd`, `root`, `exe`.
    OfProcess,
}

/// An object of the program.
#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) name: ObjectName,
    pub(super) holding: Holding,
    /// The C expression of its descriptor or address.
    pub(super) expression: String,
}

/// All objects of the program at one point, in the order in which they were made.
#[derive(Clone, Debug, Default)]
pub(super) struct Holdings {
    objects: Vec<Object>,
    /// The type and the declarator of all variables that were ever needed.
    variables: Vec<(&'static str, String)>,
}

impl Holdings {
    /// A new object in a variable of its own; its expression.
    pub(super) fn add(&mut self, name: &ObjectName, holding: Holding) -> String {
        let (end, kind, pointer, after) = match holding {
            Holding::Mapping => ("map", "void", "*", ""),
            Holding::Socket => ("pair", "int", "", "[2]"),
            _ => ("fd", "int", "", ""),
        };
        let variable = variable(name, end);
        self.variables.push((kind, format!("{pointer}{variable}{after}")));
        let expression = if holding == Holding::Socket { format!("{variable}[0]") } else { variable };
        self.objects.push(Object { name: name.clone(), holding, expression: expression.clone() });
        expression
    }

    /// A name for the other end of a socket pair.
    pub(super) fn add_peer(&mut self, name: &ObjectName, of: &ObjectName) {
        let expression = self.other_end(of);
        self.objects.push(Object { name: name.clone(), holding: Holding::Socket, expression });
    }

    /// A descriptor that was sent over a socket.
    pub(super) fn add_in_flight(&mut self, name: &ObjectName, over: &ObjectName) {
        let socket = self.other_end(over);
        let before =
            |object: &&Object| matches!(&object.holding, Holding::InFlight { socket: at, .. } if *at == socket);
        let nth = self.objects.iter().filter(before).count();
        self.add(name, Holding::InFlight { socket, nth });
    }

    /// The oldest message in the queue of a socket is received.
    pub(super) fn receive(&mut self, socket: &str) {
        let mut others = Vec::new();
        for mut object in std::mem::take(&mut self.objects) {
            match &mut object.holding {
                Holding::InFlight { socket: at, nth: 0 } if at == socket => {
                    self.variables.retain(|(_, variable)| *variable != object.expression);
                    continue;
                }
                Holding::InFlight { socket: at, nth } if at == socket => *nth -= 1,
                _ => {}
            }
            others.push(object);
        }
        self.objects = others;
    }

    fn other_end(&self, of: &ObjectName) -> String {
        let own = self.expression(of);
        let other = if own.ends_with("[0]") { "[1]" } else { "[0]" };
        format!("{}{other}", &own[..own.len() - other.len()])
    }

    pub(super) fn remove(&mut self, name: &ObjectName) {
        self.objects.retain(|object| object.name != *name);
    }

    pub(super) fn find(&self, name: &ObjectName) -> Option<&Object> {
        self.objects.iter().find(|object| object.name == *name)
    }

    /// The C expression of an object; programs are checked, so there is one.
    pub(super) fn expression(&self, name: &ObjectName) -> String {
        self.find(name).map(|object| object.expression.clone()).unwrap_or_default()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Object> {
        self.objects.iter()
    }

    /// A line for each type of variable.
    pub(super) fn declarations(&self) -> String {
        let of = |wanted: &str| {
            let all = self.variables.iter().filter(|(kind, _)| *kind == wanted);
            let all: Vec<&str> = all.map(|(_, declarator)| declarator.as_str()).collect();
            if all.is_empty() { String::new() } else { format!("static {wanted} {};\n", all.join(", ")) }
        };
        of("int") + &of("void")
    }

    /// Objects of the process itself, behind the program's own.
    pub(super) fn add_of_process(&mut self, name: &str) {
        let (name, expression) = (ObjectName(name.to_owned()), String::new());
        self.objects.push(Object { name, holding: Holding::OfProcess, expression });
    }
}
