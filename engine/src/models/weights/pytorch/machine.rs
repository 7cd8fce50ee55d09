//! Reads a pickle without running anything.
//!
//! A pickle is a program for a small stack machine. This one knows the instructions that Python writes in protocols 2 to 5,
//! and no other; "call this" builds a tensor, a dict or a parameter where it names one of those, and an opaque value
//! where it names anything else.
//!
//! # Bounds
//! Each instruction takes at least one byte and adds at most one object, and no list is copied: what a pickle can take is its
//! length times a constant. On top of that [`MOST_OBJECTS`], [`MOST_STACKED`] and [`MOST_KEPT`] hold.
//!
//! # Sources
//! CPython 3.13, `Lib/pickletools.py`, for each instruction's arguments and effect.

use std::collections::HashMap;

use super::super::error::WeightsFault;
use super::globals::global;
use super::value::{Global, Object, Pickle, StorageId, TensorView, Value};

/// Objects of a pickle, elements of lists that are taken over included. A tensor is about ten.
const MOST_OBJECTS: usize = 1 << 20;
/// Values on the stack: a list that is written in one piece has a thousand.
const MOST_STACKED: usize = 1 << 19;
/// Values kept to be used again.
const MOST_KEPT: usize = 1 << 20;
/// Dimensions of a tensor: PyTorch's own bound.
const MOST_DIMENSIONS: usize = 64;
/// Protocols that are read; earlier ones are text, and `torch.save` never wrote them.
const PROTOCOLS: std::ops::RangeInclusive<u8> = 2..=5;

/// Reads the pickle at the beginning of `bytes`, and says how long it is.
pub(super) fn read(bytes: &[u8]) -> Result<(Pickle<'_>, usize), WeightsFault> {
    let mut machine = Machine { bytes, at: 0, ..Machine::default() };
    loop {
        let at = machine.at;
        if let Some(root) = machine.step().map_err(|fault| fault.told(at))? {
            return Ok((Pickle { objects: machine.objects, root }, machine.at));
        }
    }
}

/// Why an instruction can not be followed.
#[derive(Debug)]
enum Refusal {
    Ends,
    Broken(&'static str),
    Unknown(u8),
    TooMuch(&'static str),
    Hostile(String),
}

impl Refusal {
    fn told(self, at: usize) -> WeightsFault {
        match self {
            Self::Ends => WeightsFault::damaged("its pickle ends too early"),
            Self::Broken(what) => WeightsFault::damaged(format!("its pickle {what} at byte {at}")),
            Self::Unknown(code) => WeightsFault::Unsupported {
                what: format!(
                    "the pickle has instruction {code:#04x} at byte {at}, which `torch.save` does not write"
                ),
                remedy: "load the file in Python and save its state dict again",
            },
            Self::TooMuch(what) => WeightsFault::Unsupported {
                what: format!("the pickle has more {what} than any state dict"),
                remedy: "save the state dict alone: `torch.save(model.state_dict(), path)`",
            },
            Self::Hostile(name) => WeightsFault::Hostile(name),
        }
    }
}

type Step<T> = Result<T, Refusal>;

#[derive(Default)]
struct Machine<'p> {
    bytes: &'p [u8],
    at: usize,
    objects: Vec<Object<'p>>,
    /// Elements that were taken over from one list into another.
    taken_over: usize,
    stack: Vec<Value>,
    marks: Vec<usize>,
    kept: HashMap<u32, Value>,
}

impl<'p> Machine<'p> {
    /// Follows one instruction. The value of the pickle, if that was the last.
    fn step(&mut self) -> Step<Option<Value>> {
        let code = self.take(1)?[0];
        match code {
            b'.' => return self.pop().map(Some),
            // Numbers and constants.
            b'N' => self.push(Value::None)?,
            0x88 | 0x89 => self.push(Value::Bool(code == 0x88))?,
            b'J' => self.number::<4>(|bytes| i64::from(i32::from_le_bytes(bytes)))?,
            b'K' => self.number::<1>(|[byte]| i64::from(byte))?,
            b'M' => self.number::<2>(|bytes| i64::from(u16::from_le_bytes(bytes)))?,
            0x8a => {
                let length = self.length::<1>()?;
                self.long(length)?;
            }
            0x8b => {
                let length = self.length::<4>()?;
                self.long(length)?;
            }
            b'G' => {
                self.take(8)?;
                self.push(Value::Float)?;
            }
            // Texts and bytes.
            b'X' => self.text::<4>()?,
            0x8c => self.text::<1>()?,
            0x8d => self.text::<8>()?,
            // Python 2's texts; those of other alphabets are bytes here.
            b'U' => self.old_text::<1>()?,
            b'T' => self.old_text::<4>()?,
            b'C' => self.blob::<1>()?,
            b'B' => self.blob::<4>()?,
            0x8e | 0x96 => self.blob::<8>()?,
            _ => self.step_objects(code)?,
        }
        Ok(None)
    }

    /// Instructions that make, fill and keep objects.
    fn step_objects(&mut self, code: u8) -> Step<()> {
        match code {
            b'(' => self.mark(),
            b'0' => self.pop().map(drop),
            b'1' => self.pop_to_mark().map(drop),
            b'2' => {
                let top = self.top()?;
                self.push(top)
            }
            b')' => self.add(Object::Tuple(Vec::new())),
            0x85..=0x87 => {
                let items = self.pop_many(usize::from(code - 0x84))?;
                self.add(Object::Tuple(items))
            }
            b't' => {
                let items = self.pop_to_mark()?;
                self.add(Object::Tuple(items))
            }
            b']' => self.add(Object::List(Vec::new())),
            b'l' => {
                let items = self.pop_to_mark()?;
                self.add(Object::List(items))
            }
            b'}' => self.add(Object::Dict(Vec::new())),
            // A set: nothing in a state dict is one.
            0x8f => self.add(Object::Opaque("builtins", "set")),
            0x91 => {
                self.pop_to_mark()?;
                self.add(Object::Opaque("builtins", "frozenset"))
            }
            b'd' => {
                let items = self.pop_to_mark()?;
                self.add(Object::Dict(Vec::new()))?;
                self.fill_dict(&items)
            }
            b'a' => {
                let item = self.pop()?;
                self.fill_list(vec![item])
            }
            b'e' | 0x90 => {
                let items = self.pop_to_mark()?;
                self.fill_list(items)
            }
            b's' => {
                let items = self.pop_many(2)?;
                self.fill_dict(&items)
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                self.fill_dict(&items)
            }
            _ => self.step_memory(code),
        }
    }

    /// Instructions that keep values and find them again, name things, and call them.
    fn step_memory(&mut self, code: u8) -> Step<()> {
        match code {
            0x80 => match self.take(1)?[0] {
                protocol if PROTOCOLS.contains(&protocol) => Ok(()),
                _ => Err(Refusal::Broken("has an unknown protocol")),
            },
            // The length of what follows, for readers that read ahead.
            0x95 => self.take(8).map(drop),
            b'q' => {
                let number = self.length::<1>()?;
                self.keep(number)
            }
            b'r' => {
                let number = self.length::<4>()?;
                self.keep(number)
            }
            0x94 => self.keep(self.kept.len()),
            b'h' => {
                let number = self.length::<1>()?;
                self.push_kept(number)
            }
            b'j' => {
                let number = self.length::<4>()?;
                self.push_kept(number)
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.name(module, name)
            }
            0x93 => {
                let pair = self.pop_many(2)?;
                match (self.text_of(pair[0]), self.text_of(pair[1])) {
                    (Some(module), Some(name)) => self.name(module, name),
                    _ => Err(Refusal::Broken("names something by no text")),
                }
            }
            b'R' | 0x81 => {
                let pair = self.pop_many(2)?;
                self.call(pair[0], pair[1])
            }
            0x92 => {
                let three = self.pop_many(3)?;
                self.call(three[0], three[1])
            }
            // The state of an object: its attributes, which nothing asks for.
            b'b' => {
                self.pop()?;
                self.top().map(drop)
            }
            b'Q' => {
                let id = self.pop()?;
                self.storage(id)
            }
            _ => Err(Refusal::Unknown(code)),
        }
    }

    fn take(&mut self, count: usize) -> Step<&'p [u8]> {
        let end = self.at.checked_add(count).ok_or(Refusal::Ends)?;
        let taken = self.bytes.get(self.at..end).ok_or(Refusal::Ends)?;
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Step<[u8; N]> {
        self.take(N)?.first_chunk().copied().ok_or(Refusal::Ends)
    }

    /// A length or number of `N` bytes.
    fn length<const N: usize>(&mut self) -> Step<usize> {
        let mut wide = [0; 8];
        wide[..N].copy_from_slice(&self.array::<N>()?);
        usize::try_from(u64::from_le_bytes(wide)).map_err(|_| Refusal::Ends)
    }

    fn line(&mut self) -> Step<&'p str> {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|byte| *byte == b'\n').ok_or(Refusal::Ends)?;
        self.at += end + 1;
        std::str::from_utf8(&rest[..end]).map_err(|_| Refusal::Broken("has a name that is no text"))
    }

    fn number<const N: usize>(&mut self, value: impl Fn([u8; N]) -> i64) -> Step<()> {
        let bytes = self.array::<N>()?;
        self.push(Value::Int(value(bytes)))
    }

    /// A whole number of any length, lowest byte first, in two's complement.
    fn long(&mut self, length: usize) -> Step<()> {
        let bytes = self.take(length)?;
        if length > 8 {
            return self.add(Object::Bytes);
        }
        let filler = if bytes.last().is_some_and(|last| last & 0x80 != 0) { 0xff } else { 0 };
        let mut wide = [filler; 8];
        wide[..length].copy_from_slice(bytes);
        self.push(Value::Int(i64::from_le_bytes(wide)))
    }

    fn text<const N: usize>(&mut self) -> Step<()> {
        let length = self.length::<N>()?;
        let bytes = self.take(length)?;
        let text = std::str::from_utf8(bytes).map_err(|_| Refusal::Broken("has a text that is none"))?;
        self.add(Object::Text(text))
    }

    fn old_text<const N: usize>(&mut self) -> Step<()> {
        let length = self.length::<N>()?;
        let bytes = self.take(length)?;
        self.add(std::str::from_utf8(bytes).map_or(Object::Bytes, Object::Text))
    }

    fn blob<const N: usize>(&mut self) -> Step<()> {
        let length = self.length::<N>()?;
        self.take(length)?;
        self.add(Object::Bytes)
    }

    fn push(&mut self, value: Value) -> Step<()> {
        if self.stack.len() >= MOST_STACKED {
            return Err(Refusal::TooMuch("values at once"));
        }
        self.stack.push(value);
        Ok(())
    }

    fn mark(&mut self) -> Step<()> {
        if self.marks.len() >= MOST_STACKED {
            return Err(Refusal::TooMuch("lists in lists"));
        }
        self.marks.push(self.stack.len());
        Ok(())
    }

    /// Values below a mark belong to what was begun before it.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Step<Value> {
        let value = self.top()?;
        self.stack.pop();
        Ok(value)
    }

    fn pop_many(&mut self, count: usize) -> Step<Vec<Value>> {
        match self.stack.len().checked_sub(count) {
            Some(from) if from >= self.floor() => Ok(self.stack.split_off(from)),
            _ => Err(Refusal::Broken("takes what is not there")),
        }
    }

    fn pop_to_mark(&mut self) -> Step<Vec<Value>> {
        let mark = self.marks.pop().ok_or(Refusal::Broken("ends a list that was not begun"))?;
        Ok(self.stack.split_off(mark))
    }

    fn top(&self) -> Step<Value> {
        match self.stack.last() {
            Some(value) if self.stack.len() > self.floor() => Ok(*value),
            _ => Err(Refusal::Broken("takes what is not there")),
        }
    }

    /// Makes an object and puts it on the stack.
    fn add(&mut self, object: Object<'p>) -> Step<()> {
        if self.objects.len() + self.taken_over >= MOST_OBJECTS {
            return Err(Refusal::TooMuch("objects"));
        }
        let number = u32::try_from(self.objects.len()).map_err(|_| Refusal::TooMuch("objects"))?;
        self.objects.push(object);
        self.push(Value::Object(number))
    }

    fn keep(&mut self, number: usize) -> Step<()> {
        if self.kept.len() >= MOST_KEPT {
            return Err(Refusal::TooMuch("values to be used again"));
        }
        let (top, number) = (self.top()?, u32::try_from(number).map_err(|_| Refusal::Ends)?);
        self.kept.insert(number, top);
        Ok(())
    }

    fn push_kept(&mut self, number: usize) -> Step<()> {
        let kept = u32::try_from(number).ok().and_then(|number| self.kept.get(&number).copied());
        self.push(kept.ok_or(Refusal::Broken("uses a value it did not keep"))?)
    }

    fn object(&self, value: Value) -> Option<&Object<'p>> {
        match value {
            Value::Object(number) => self.objects.get(number as usize),
            _ => None,
        }
    }

    fn object_on_top(&mut self) -> Step<&mut Object<'p>> {
        match self.top()? {
            Value::Object(number) => self.objects.get_mut(number as usize),
            _ => None,
        }
        .ok_or(Refusal::Broken("fills what is no list"))
    }

    fn text_of(&self, value: Value) -> Option<&'p str> {
        match self.object(value)? {
            Object::Text(text) => Some(text),
            _ => None,
        }
    }

    fn fill_list(&mut self, items: Vec<Value>) -> Step<()> {
        match self.object_on_top()? {
            Object::List(list) => list.extend(items),
            Object::Opaque(..) => {}
            _ => return Err(Refusal::Broken("fills what is no list")),
        }
        Ok(())
    }

    fn fill_dict(&mut self, items: &[Value]) -> Step<()> {
        let (pairs, rest) = items.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(Refusal::Broken("has a key without a value"));
        }
        match self.object_on_top()? {
            Object::Dict(dict) => dict.extend(pairs.iter().map(|[key, value]| (*key, *value))),
            Object::Opaque(..) => {}
            _ => return Err(Refusal::Broken("fills what is no dict")),
        }
        Ok(())
    }

    fn name(&mut self, module: &'p str, name: &'p str) -> Step<()> {
        let meant = global(module, name).ok_or_else(|| Refusal::Hostile(format!("{module}.{name}")))?;
        self.add(Object::Global(meant))
    }

    /// "Call this": builds what the closed list says, and an opaque value for everything else.
    fn call(&mut self, callee: Value, arguments: Value) -> Step<()> {
        let callee = match self.object(callee) {
            Some(Object::Global(global)) => *global,
            Some(Object::Opaque(module, name)) => Global::Other(module, name),
            _ => return Err(Refusal::Broken("calls what is no function")),
        };
        let Some(Object::Tuple(arguments)) = self.object(arguments) else {
            return Err(Refusal::Broken("calls something without arguments"));
        };
        let first = arguments.first().copied();
        match callee {
            Global::OrderedDict => {
                let pairs = self.pairs(first)?;
                self.taken_over += pairs.len();
                self.add(Object::Dict(pairs))
            }
            // Its first argument makes default values.
            Global::DefaultDict => self.add(Object::Dict(Vec::new())),
            Global::RebuildTensor => {
                let view = self.view(arguments)?;
                self.add(Object::Tensor(Box::new(view)))
            }
            Global::RebuildParameter | Global::Size => match first {
                Some(first) => self.push(first),
                None => Err(Refusal::Broken("makes a parameter of nothing")),
            },
            Global::Storage(_) => self.add(Object::Opaque("torch", "Storage")),
            Global::Other(module, name) => self.add(Object::Opaque(module, name)),
        }
    }

    /// The pairs that Python 2 hands to an `OrderedDict` in one list; none where it is filled later.
    fn pairs(&self, list: Option<Value>) -> Step<Vec<(Value, Value)>> {
        let Some(list) = list else { return Ok(Vec::new()) };
        let Some(Object::List(items)) = self.object(list) else {
            return Err(Refusal::Broken("makes a dict of what is no list"));
        };
        // The list stays: taking it over again and again must not take more and more.
        if self.objects.len() + self.taken_over + items.len() >= MOST_OBJECTS {
            return Err(Refusal::TooMuch("objects"));
        }
        let pair = |item: &Value| match self.object(*item) {
            Some(Object::List(pair) | Object::Tuple(pair)) if pair.len() == 2 => Ok((pair[0], pair[1])),
            _ => Err(Refusal::Broken("makes a dict of what are no pairs")),
        };
        items.iter().map(pair).collect()
    }

    fn view(&self, arguments: &[Value]) -> Step<TensorView> {
        let broken =
            Refusal::Broken("makes a tensor of something else than a storage, an offset, sizes and strides");
        let [Value::Object(storage), Value::Int(offset), sizes, strides, ..] = arguments else {
            return Err(broken);
        };
        let (Some(Object::Storage(_)), Some(sizes), Some(strides)) =
            (self.objects.get(*storage as usize), self.numbers(*sizes), self.numbers(*strides))
        else {
            return Err(broken);
        };
        Ok(TensorView { storage: *storage, offset: *offset, sizes, strides })
    }

    /// A short list of whole numbers.
    fn numbers(&self, value: Value) -> Option<Vec<i64>> {
        let Some(Object::Tuple(items)) = self.object(value) else { return None };
        let number = |item: &Value| match item {
            Value::Int(number) => Some(*number),
            _ => None,
        };
        (items.len() <= MOST_DIMENSIONS).then(|| items.iter().map(number).collect())?
    }

    /// What lies outside the pickle: a storage, by its type, key, device and number of elements.
    fn storage(&mut self, id: Value) -> Step<()> {
        let broken = || Refusal::Broken("points outside to what is no storage");
        let Some(Object::Tuple(parts)) = self.object(id) else { return Err(broken()) };
        let (&[word, class, key, _, Value::Int(elements)], view) =
            parts.split_first_chunk().ok_or_else(broken)?
        else {
            return Err(broken());
        };
        // The sixth is a part of another storage, as PyTorch wrote it before 0.4.
        if self.text_of(word) != Some("storage") || view.iter().any(|view| *view != Value::None) {
            return Err(broken());
        }
        let (Some(Object::Global(Global::Storage(element))), Some(key)) =
            (self.object(class), self.text_of(key))
        else {
            return Err(broken());
        };
        let elements = u64::try_from(elements).map_err(|_| broken())?;
        let id = StorageId { element: *element, key, elements };
        self.add(Object::Storage(Box::new(id)))
    }
}
