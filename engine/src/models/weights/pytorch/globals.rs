//! The names a pickle may mean something by, and those that no weights need.

use super::super::element::Element;
use super::value::Global;

/// Modules that reach the system. Whoever pickles something of them wants a command run where it is unpickled.
const SYSTEM: [&str; 8] = ["os", "posix", "nt", "sys", "subprocess", "pty", "runpy", "socket"];
/// Functions of Python itself that do the same, or reach what does.
const BUILTINS: [&str; 7] = ["eval", "exec", "execfile", "compile", "__import__", "open", "input"];

/// Storages of PyTorch by their class.
///
/// # Sources
/// PyTorch 2.9, `torch/storage.py`, `_dtype_to_storage_type_map`.
const STORAGES: [(&str, Element); 13] = [
    ("FloatStorage", Element::F32),
    ("DoubleStorage", Element::F64),
    ("HalfStorage", Element::F16),
    ("BFloat16Storage", Element::BF16),
    ("LongStorage", other("int64", 8)),
    ("IntStorage", other("int32", 4)),
    ("ShortStorage", other("int16", 2)),
    ("CharStorage", other("int8", 1)),
    ("ByteStorage", other("uint8", 1)),
    ("BoolStorage", other("bool", 1)),
    ("ComplexFloatStorage", other("complex64", 8)),
    ("ComplexDoubleStorage", other("complex128", 16)),
    ("UntypedStorage", other("bytes", 1)),
];

const fn other(name: &'static str, bytes: usize) -> Element {
    Element::Other { name, bytes }
}

/// What a name means; none if it is one that no weights need.
pub(super) fn global<'p>(module: &'p str, name: &'p str) -> Option<Global<'p>> {
    // `os.path` is `os`; Python 2 wrote `__builtin__`.
    let top = module.split('.').next().unwrap_or(module);
    if SYSTEM.contains(&top) || matches!(top, "builtins" | "__builtin__") && BUILTINS.contains(&name) {
        return None;
    }
    Some(match (module, name) {
        ("collections", "OrderedDict") => Global::OrderedDict,
        ("collections", "defaultdict") => Global::DefaultDict,
        ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Global::RebuildTensor,
        ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => Global::RebuildParameter,
        ("torch", "Size") => Global::Size,
        ("torch" | "torch.storage", class) => match STORAGES.iter().find(|(known, _)| *known == class) {
            Some((_, element)) => Global::Storage(*element),
            None => Global::Other(module, name),
        },
        _ => Global::Other(module, name),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reaches_the_system_is_no_global() {
        for (module, name) in [
            ("os", "system"),
            ("posix", "system"),
            ("os.path", "join"),
            ("subprocess", "Popen"),
            ("builtins", "eval"),
            ("__builtin__", "exec"),
        ] {
            assert_eq!(global(module, name), None, "{module}.{name}");
        }
        assert_eq!(global("builtins", "set"), Some(Global::Other("builtins", "set")));
        assert_eq!(global("torch", "HalfStorage"), Some(Global::Storage(Element::F16)));
        assert_eq!(global("osmosis", "x"), Some(Global::Other("osmosis", "x")));
    }
}
