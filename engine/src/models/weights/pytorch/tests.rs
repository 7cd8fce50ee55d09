use std::io::Cursor;

use super::write::archive_of;
use super::*;
use crate::models::weights::layout::LeftOut;

/// A text in a pickle.
fn text(content: &str) -> Vec<u8> {
    [b"X", &(content.len() as u32).to_le_bytes()[..], content.as_bytes()].concat()
}

fn int(value: i64) -> Vec<u8> {
    [b"\x8a\x08", &value.to_le_bytes()[..]].concat()
}

fn tuple(items: &[Vec<u8>]) -> Vec<u8> {
    [b"(", items.concat().as_slice(), b"t"].concat()
}

fn ints(values: &[i64]) -> Vec<u8> {
    tuple(&values.iter().map(|value| int(*value)).collect::<Vec<_>>())
}

fn storage(class: &str, key: &str, elements: i64) -> Vec<u8> {
    let class = format!("ctorch\n{class}\n").into_bytes();
    [tuple(&[text("storage"), class, text(key), text("cpu"), int(elements)]), b"Q".to_vec()].concat()
}

fn call(function: &str, arguments: &[Vec<u8>]) -> Vec<u8> {
    let (module, name) = function.rsplit_once('.').unwrap();
    [format!("c{module}\n{name}\n").into_bytes(), tuple(arguments), b"R".to_vec()].concat()
}

fn tensor(storage: Vec<u8>, offset: i64, sizes: &[i64], strides: &[i64]) -> Vec<u8> {
    let arguments = [storage, int(offset), ints(sizes), ints(strides), b"\x89".to_vec(), b"}".to_vec()];
    call("torch._utils._rebuild_tensor_v2", &arguments)
}

fn dict(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let entries: Vec<u8> =
        entries.iter().flat_map(|(name, value)| [text(name), value.clone()].concat()).collect();
    [b"}(", entries.as_slice(), b"u"].concat()
}

fn pickle(root: &[u8]) -> Vec<u8> {
    [b"\x80\x02", root, b"."].concat()
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// What a file holds: names, shapes and values, and what is left out.
type Content = (Vec<(String, Vec<usize>, Vec<f32>)>, Vec<LeftOut>);

fn content_of(bytes: &[u8], layout: &Layout) -> Result<Content, WeightsFault> {
    let numbers: Vec<usize> = (0..layout.tensors.len()).collect();
    let mut values = vec![Vec::new(); numbers.len()];
    layout.read(&mut Cursor::new(bytes), bytes.len() as u64, &numbers, |at, read| values[at] = read)?;
    let tensors = layout.tensors.iter().zip(values);
    let tensors =
        tensors.map(|(tensor, values)| (tensor.name.clone(), tensor.shape.clone(), values)).collect();
    Ok((tensors, layout.left_out.clone()))
}

fn read(bytes: &[u8]) -> Result<Content, WeightsFault> {
    let length = bytes.len() as u64;
    let layout = layout(&mut Cursor::new(bytes), length)?.checked(length)?;
    content_of(bytes, &layout)
}

/// Reads an archive with this root, and a storage `0` of six floats.
fn read_root(root: &[u8]) -> Result<Content, WeightsFault> {
    read(&archive_of(&pickle(root), &[("data/0", &floats(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]))]))
}

fn refused(root: &[u8]) -> String {
    read_root(root).unwrap_err().to_string()
}

fn six() -> Vec<u8> {
    storage("FloatStorage", "0", 6)
}

fn w() -> Vec<u8> {
    tensor(six(), 0, &[2, 3], &[3, 1])
}

#[test]
fn a_state_dict_is_found_wherever_it_is_kept() {
    let expected = vec![("w".to_owned(), vec![2, 3], vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0])];
    let bare = dict(&[("w", w())]);
    assert_eq!(read_root(&bare).unwrap().0, expected);
    for key in ["state_dict", "model_state_dict", "statedict", "model"] {
        let wrapped =
            dict(&[("epoch", int(3)), (key, bare.clone()), ("optimizer", dict(&[("state", int(1))]))]);
        assert_eq!(read_root(&wrapped).unwrap().0, expected, "{key}");
    }
    let parameter = call("torch._utils._rebuild_parameter", &[w(), b"\x88".to_vec(), b"}".to_vec()]);
    assert_eq!(read_root(&dict(&[("w", parameter)])).unwrap().0, expected);
    // As Python 2 wrote it: the pairs in one list, handed to the dict.
    let pairs = [b"](](", text("w").as_slice(), &w(), b"ee"].concat();
    assert_eq!(read_root(&call("collections.OrderedDict", &[pairs])).unwrap().0, expected);
}

#[test]
fn views_of_one_storage_are_each_their_own() {
    // The second takes the storage that the first has put aside.
    let first = [six(), b"q\x07".to_vec()].concat();
    let second = b"h\x07".to_vec();
    let root = dict(&[
        ("a", tensor(first, 0, &[3, 2], &[1, 3])),
        ("b", tensor(second, 1, &[2], &[4])),
        ("c", tensor(six(), 5, &[], &[])),
    ]);
    let (tensors, _) = read_root(&root).unwrap();
    let values: Vec<_> = tensors.into_iter().map(|(_, _, values)| values).collect();
    assert_eq!(values, [vec![0.0, 3.0, 1.0, 4.0, 2.0, 5.0], vec![1.0, 5.0], vec![5.0]]);
}

#[test]
fn every_float_is_widened_and_what_is_none_is_told_of() {
    let root = dict(&[
        ("wide", tensor(storage("DoubleStorage", "0", 1), 0, &[1], &[1])),
        ("half", tensor(storage("HalfStorage", "1", 2), 0, &[2], &[1])),
        ("brain", tensor(storage("BFloat16Storage", "2", 1), 0, &[1], &[1])),
        ("index", tensor(storage("IntStorage", "3", 1), 0, &[1], &[1])),
        ("bn.num_batches_tracked", tensor(storage("LongStorage", "4", 1), 0, &[], &[])),
        ("_extra_state", call("some.where.State", &[])),
    ]);
    let storages: [(&str, &[u8]); 5] = [
        ("data/0", &0.5_f64.to_le_bytes()),
        ("data/1", &[0x00, 0x3e, 0x00, 0xbc]),
        ("data/2", &[0xc0, 0x3f]),
        ("data/3", &[1, 0, 0, 0]),
        ("data/4", &[1, 0, 0, 0, 0, 0, 0, 0]),
    ];
    let (tensors, left_out) = read(&archive_of(&pickle(&root), &storages)).unwrap();
    let values: Vec<_> = tensors.into_iter().map(|(name, _, values)| (name, values)).collect();
    let expected = [("wide", vec![0.5]), ("half", vec![1.5, -1.0]), ("brain", vec![1.5])];
    assert_eq!(values, expected.map(|(name, values)| (name.to_owned(), values)));
    let told: Vec<_> = left_out.iter().map(|left| (left.name.as_str(), left.reason.as_str())).collect();
    assert_eq!(told[1], ("_extra_state", "an object of `some.where.State`, no tensor"));
    assert!(told[0].0 == "index" && told[0].1.contains("int32"), "{told:?}");
}

#[test]
fn a_call_into_the_system_is_refused_wherever_it_stands() {
    let system = call("posix.system", &[text("rm -rf ~")]);
    let of_protocol_4 =
        [text("os"), text("popen"), b"\x93".to_vec(), tuple(&[text("id")]), b"R".to_vec()].concat();
    for (root, name) in [
        (system.clone(), "posix.system"),
        (dict(&[("state_dict", dict(&[("w", w())])), ("callbacks", system)]), "posix.system"),
        (of_protocol_4, "os.popen"),
        (call("builtins.eval", &[text("1")]), "builtins.eval"),
        (dict(&[("w", call("subprocess.Popen", &[text("id")]))]), "subprocess.Popen"),
    ] {
        let error = refused(&root);
        assert!(error.contains(&format!("to call `{name}`")) && error.contains("None was run"), "{error}");
    }
}

#[test]
fn unknown_classes_beside_the_state_dict_are_never_made() {
    // An object of a class, its state, and items put into it.
    let object = [b"cmy.module\nConfig\n)\x81".to_vec(), dict(&[("lr", int(1))]), b"b".to_vec()].concat();
    let filled = [object.clone(), b"(".to_vec(), text("a"), int(1), b"u".to_vec()].concat();
    let partial = call("functools.partial", &[b"cmy.module\nf\n".to_vec()]);
    let root = dict(&[
        ("hyper_parameters", object.clone()),
        ("callbacks", filled),
        ("lr_schedulers", [partial.clone(), b")R".to_vec()].concat()),
        ("state_dict", dict(&[("w", w())])),
    ]);
    assert_eq!(read_root(&root).unwrap().0.len(), 1);
    let error = refused(&object);
    assert!(error.contains("no state dict") && error.contains("an object of `my.module.Config`"), "{error}");
    let error = refused(&dict(&[("net", dict(&[("w", w())])), ("epoch", int(1))]));
    assert!(error.contains("among its entries (net, epoch)"), "{error}");
}

#[test]
fn tensors_that_can_not_be_are_refused_by_name() {
    let of = |offset, sizes: &[i64], strides: &[i64]| {
        refused(&dict(&[("w", tensor(six(), offset, sizes, strides))]))
    };
    for (error, needle) in [
        (of(0, &[2, 3], &[-3, 1]), "negative"),
        (of(-1, &[2], &[1]), "negative"),
        (of(0, &[-2], &[1]), "negative"),
        (of(1, &[2, 3], &[3, 1]), "beyond its storage of 6"),
        (of(7, &[], &[]), "beyond its storage of 6"),
        (of(0, &[i64::MAX, i64::MAX], &[1, 1]), "beyond its storage of 6"),
        (of(0, &[2, 3], &[1]), "2 sizes, but 1 strides"),
        (of(0, &[6, 1_000_000_000], &[1, 0]), "more elements than it has bytes"),
    ] {
        assert!(error.contains(needle), "{error} lacks {needle}");
    }
    for (of_storage, needle) in [
        (storage("FloatStorage", "0", 5), "has 24 bytes, not those of 5 elements"),
        (storage("FloatStorage", "0", i64::MAX), "has 24 bytes"),
        (storage("FloatStorage", "1", 6), "`archive/data/1` is missing"),
        (storage("FloatStorage", "../../x", 6), "is missing"),
        (storage("FloatStorage", "0", -6), "no storage"),
        (storage("Module", "0", 6), "no storage"),
        (int(3), "makes a tensor of something else"),
    ] {
        let error = refused(&dict(&[("w", tensor(of_storage, 0, &[2], &[1]))]));
        assert!(error.contains(needle), "{error} lacks {needle}");
    }
    let twice = [dict(&[("w", w())]), b"(".to_vec(), text("w"), w(), b"u".to_vec()].concat();
    assert!(refused(&twice).contains("`w` twice"));
}

#[test]
fn laughs_and_depths_without_end_are_read_in_no_time() {
    // Each list holds the one before twice: 2^64 at the end, were they ever counted.
    let mut laughs = b"]q\x00".to_vec();
    for level in 1..64_u8 {
        laughs.extend_from_slice(&[b']', b'q', level, b'(', b'h', level - 1, b'h', level - 1, b'e']);
    }
    assert!(refused(&laughs).contains("it holds a list"));
    let deep = b"]".repeat((1 << 20) + 1);
    assert!(refused(&deep).contains("more"), "{}", refused(&deep));
    let deep = [b"]".repeat(1 << 18), b"a".repeat((1 << 18) - 1)].concat();
    assert!(refused(&deep).contains("it holds a list"));
    // A list that holds itself.
    assert!(refused(b"]q\x00h\x00a").contains("it holds a list"));
    // One list of pairs, made a dict again and again.
    let mut pairs = b"](".to_vec();
    pairs.extend(b"]q\x01(NNe".iter().chain(b"h\x01".repeat(4000).iter()));
    pairs.extend_from_slice(b"eq\x00(");
    pairs.extend(b"ccollections\nOrderedDict\n(h\x00tR".repeat(2000));
    assert!(refused(&[&pairs[..], b"t"].concat()).contains("more objects than any state dict"));
    let marks = b"(".repeat((1 << 20) + 1);
    assert!(refused(&marks).contains("more lists in lists"));
}

#[test]
fn broken_pickles_say_where() {
    for (root, needle) in [
        (&b"t"[..], "ends a list that was not begun at byte 2"),
        (b"a", "takes what is not there at byte 2"),
        (b"N(a", "takes what is not there"),
        (b"Na", "takes what is not there"),
        (b"NNa", "fills what is no list"),
        (b"}(Nu", "a key without a value"),
        (b"h\x09", "uses a value it did not keep"),
        (b"I1\n", "instruction 0x49"),
        (b"X\xff\xff\xff\xffab", "ends too early"),
        (b"\x8d\xff\xff\xff\xff\xff\xff\xff\xffab", "ends too early"),
        (b"X\x02\0\0\0\xff\xfe", "a text that is none"),
        (b"\x80\x09", "unknown protocol"),
        (b"N)R", "calls what is no function"),
        (b"ca\nb\nNR", "without arguments"),
        (b"NQ", "no storage"),
        (b"NN\x93", "by no text"),
        (b"ca", "ends too early"),
    ] {
        let error = refused(root);
        assert!(error.contains(needle), "{error} lacks {needle}");
    }
    assert!(refused(b"r\xff\xff\xff\xff").contains("takes what is not there"));
    assert!(refused(b"Nr\xff\xff\xff\xff").contains("it holds nothing"));
}

#[test]
fn archives_of_another_kind_say_what_they_are() {
    let of = |entries: &[(&str, &[u8])]| {
        read(&archive_of(&pickle(&dict(&[("w", w())])), entries)).unwrap_err().to_string()
    };
    let six = floats(&[0.0; 6]);
    assert!(of(&[("data/0", &six), ("byteorder", b"big")]).contains("highest byte first"));
    assert!(of(&[("data/0", &six), ("constants.pkl", b"\x80\x02).")]).contains("TorchScript"));
    assert!(of(&[("data/0", &six), ("data/0", &six)]).contains("`archive/data/0` twice"));
    assert!(of(&[("data/0", &six), ("byteorder", &[b'x'; 1000])]).contains("1000 bytes long"));
    let whole = archive_of(&pickle(&dict(&[("w", w())])), &[("data/0", &six)]);
    let mut compressed = whole.clone();
    let at = whole.windows(4).position(|bytes| bytes == b"PK\x01\x02").unwrap();
    compressed[at + 10] = 8;
    assert!(read(&compressed).unwrap_err().to_string().contains("compressed"));
    let mut longer = whole.clone();
    // Its size and its stored size: it would reach into what follows.
    longer[at + 20..at + 28].copy_from_slice(&[0, 0xff, 0xff, 0, 0, 0xff, 0xff, 0]);
    let error = read(&longer).unwrap_err().to_string();
    assert!(error.contains("they overlap, or it is cut"), "{error}");
    let no_pickle =
        archive_of(b"", &[]).iter().map(|byte| if *byte == b'k' { b'x' } else { *byte }).collect::<Vec<_>>();
    assert!(matches!(read(&no_pickle).unwrap_err(), WeightsFault::Kind));
}

/// A file as PyTorch wrote it before 1.6.
fn legacy(root: &[u8], keys: &[u8], storages: &[(u64, &[u8])]) -> Vec<u8> {
    let facts = dict(&[("protocol_version", int(1001)), ("little_endian", b"\x88".to_vec())]);
    let mut bytes = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.".to_vec();
    for part in [&int(1001), facts.as_slice(), root, keys] {
        bytes.extend(pickle(part));
    }
    for (count, content) in storages {
        bytes.extend_from_slice(&count.to_le_bytes());
        bytes.extend_from_slice(content);
    }
    bytes
}

fn read_legacy(bytes: &[u8]) -> Result<Content, WeightsFault> {
    assert!(is_legacy(bytes));
    let length = bytes.len() as u64;
    let layout = legacy_layout(&mut Cursor::new(bytes), length)?.checked(length)?;
    content_of(bytes, &layout)
}

#[test]
fn files_from_before_1_6_are_read_and_checked_alike() {
    let of_storage = |class: &str, key: &str, elements| {
        let class = format!("ctorch\n{class}\n").into_bytes();
        // With the view that was none.
        let id = tuple(&[text("storage"), class, text(key), text("cuda:0"), int(elements), b"N".to_vec()]);
        [id, b"Q".to_vec()].concat()
    };
    let root = dict(&[
        ("b", tensor(of_storage("FloatStorage", "77", 2), 0, &[2], &[1])),
        ("n.num_batches_tracked", tensor(of_storage("LongStorage", "5", 1), 0, &[], &[])),
        ("a", tensor(of_storage("HalfStorage", "6", 2), 1, &[1], &[1])),
    ]);
    let keys = [b"](".to_vec(), text("5"), text("6"), text("77"), b"e".to_vec()].concat();
    let (two, half, count) = (floats(&[1.0, 2.0]), [0, 0, 0x00, 0x3e], 9_u64.to_le_bytes());
    let whole = legacy(&root, &keys, &[(1, &count), (2, &half), (2, &two)]);
    let (tensors, left_out) = read_legacy(&whole).unwrap();
    assert_eq!(tensors, [("b".to_owned(), vec![2], vec![1.0, 2.0]), ("a".to_owned(), vec![1], vec![1.5])]);
    assert!(left_out.is_empty());
    for length in 15..whole.len() {
        read_legacy(&whole[..length]).unwrap_err();
    }
    for (bytes, needle) in [
        (legacy(&root, &keys, &[(2, &count), (2, &half), (2, &two)]), "storage `5` is wrong"),
        (legacy(&root, &[b"](".to_vec(), text("8"), b"e".to_vec()].concat(), &[]), "nothing uses"),
        (legacy(&root, b"]", &[]), "`b` has no storage"),
        (legacy(&call("posix.system", &[text("id")]), b"]", &[]), "`posix.system`"),
    ] {
        let error = read_legacy(&bytes).unwrap_err().to_string();
        assert!(error.contains(needle), "{error} lacks {needle}");
    }
}
