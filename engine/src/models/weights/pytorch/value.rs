//! What a pickle describes: values, and the objects they point to, side by side in one list.
//!
//! Objects point to each other by number. However deep they lie in each other, in circles or one in many, nothing here is
//! walked by recursion, and nothing is held twice.

use super::super::element::Element;

/// A value on the stack, or within an object.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value {
    None,
    Bool(bool),
    Int(i64),
    Float,
    Object(u32),
}

/// An object. Texts are pieces of the pickle.
#[derive(Debug)]
pub(super) enum Object<'p> {
    Text(&'p str),
    /// Bytes that are no text, and whole numbers of more than 64 bits: nothing asks for them.
    Bytes,
    Tuple(Vec<Value>),
    List(Vec<Value>),
    Dict(Vec<(Value, Value)>),
    Global(Global<'p>),
    Storage(Box<StorageId<'p>>),
    Tensor(Box<TensorView>),
    /// What an unknown class or function would have made: it is never called, and whatever is done to it is dropped.
    Opaque(&'p str, &'p str),
}

/// What a pickle may name. Only what stands here means anything.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Global<'p> {
    OrderedDict,
    DefaultDict,
    /// `torch._utils._rebuild_tensor`, with and without `_v2`.
    RebuildTensor,
    /// `torch._utils._rebuild_parameter`, with and without `_with_state`.
    RebuildParameter,
    Size,
    Storage(Element),
    Other(&'p str, &'p str),
}

/// Which of the file's storages is meant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct StorageId<'p> {
    pub(super) element: Element,
    pub(super) key: &'p str,
    /// Elements it has.
    pub(super) elements: u64,
}

/// A tensor: a view of a storage.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TensorView {
    /// Number of the storage among the objects.
    pub(super) storage: u32,
    /// First element in the storage.
    pub(super) offset: i64,
    pub(super) sizes: Vec<i64>,
    pub(super) strides: Vec<i64>,
}

/// What a pickle described.
#[derive(Debug)]
pub(super) struct Pickle<'p> {
    pub(super) objects: Vec<Object<'p>>,
    pub(super) root: Value,
}

impl<'p> Pickle<'p> {
    pub(super) fn object(&self, value: Value) -> Option<&Object<'p>> {
        match value {
            Value::Object(number) => self.objects.get(number as usize),
            _ => None,
        }
    }

    pub(super) fn text(&self, value: Value) -> Option<&'p str> {
        match self.object(value)? {
            Object::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn dict(&self, value: Value) -> Option<&[(Value, Value)]> {
        match self.object(value)? {
            Object::Dict(entries) => Some(entries),
            _ => None,
        }
    }

    /// What a value is, in words.
    pub(super) fn kind(&self, value: Value) -> String {
        match (value, self.object(value)) {
            (Value::None, _) => "nothing".to_owned(),
            (Value::Bool(_) | Value::Int(_) | Value::Float, _) => "a number".to_owned(),
            (_, Some(Object::Text(_))) => "a text".to_owned(),
            (_, Some(Object::Tuple(_) | Object::List(_))) => "a list".to_owned(),
            (_, Some(Object::Dict(_))) => "a dict".to_owned(),
            (_, Some(Object::Tensor(_))) => "a tensor".to_owned(),
            (_, Some(Object::Opaque(module, name) | Object::Global(Global::Other(module, name)))) => {
                format!("an object of `{module}.{name}`")
            }
            _ => "bytes".to_owned(),
        }
    }
}
