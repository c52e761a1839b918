//! Entries of `torch.save` files that are easily lost: each is listed, read or refused by name.

use crate::refusal;
use crate::torch::{archive, dictionary, open, tensor, text};
use collimate_tensor::files::{TorchFile, TorchObject, TorchScalar};

/// Returns the opcodes of a tensor of six floats 0 … 5.
fn floats() -> Vec<u8> {
    tensor("FloatStorage", 0, 6, 0, &[6], &[1])
}

/// Returns the opcodes of a nested dictionary.
fn nested(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let whole = dictionary(entries);
    whole[2..whole.len() - 1].to_vec()
}

fn names(file: &TorchFile) -> Vec<&str> {
    file.names().collect()
}

#[test]
fn tensors_in_lists_and_tuples_have_names() {
    let _guard = crate::alone();
    let list = [b"](".to_vec(), floats(), floats(), b"e".to_vec()].concat();
    let tuple = [floats(), vec![0x85]].concat();
    let file = open(&dictionary(&[("layers", list.clone()), ("pair", tuple)])).unwrap();
    assert_eq!(names(&file), ["layers.0", "layers.1", "pair.0"]);
    assert_eq!(file.read("layers.1").unwrap().to_f32()[5], 5.0);
    // A list at the root, and a list in a dictionary in a list.
    let root = [b"\x80\x02](".to_vec(), nested(&[("a", list)]), floats(), b"e.".to_vec()].concat();
    assert_eq!(names(&open(&root).unwrap()), ["0.a.0", "0.a.1", "1"]);
}

#[test]
fn parameters_with_attributes_and_subclasses_are_tensors() {
    let _guard = crate::alone();
    let state = nested(&[("scale", b"K\x03".to_vec()), ("mask", floats())]);
    let call = |function: &str, parts: &[Vec<u8>]| {
        [format!("c{function}\n(").into_bytes(), parts.concat(), b"tR".to_vec()].concat()
    };
    let hooks = b"ccollections\nOrderedDict\n)R".to_vec();
    let with_state = call(
        "torch._utils\n_rebuild_parameter_with_state",
        &[floats(), b"\x88".to_vec(), hooks.clone(), state.clone()],
    );
    // A tensor of a subclass: the function, the class, its arguments, the attributes.
    let whole = floats();
    let function = b"ctorch._utils\n_rebuild_tensor_v2\n".to_vec();
    let arguments = whole[function.len()..whole.len() - 1].to_vec();
    let subclass = call(
        "torch._tensor\n_rebuild_from_type_v2",
        &[function, b"ctorch._tensor\nTensor\n".to_vec(), arguments, state],
    );
    let plain = call("torch._utils\n_rebuild_parameter", &[floats(), b"\x88".to_vec(), hooks]);
    let file = open(&dictionary(&[("w", with_state), ("v", subclass), ("p", plain)])).unwrap();
    assert_eq!(names(&file), ["p", "v", "v.mask", "w", "w.mask"]);
    assert_eq!(file.scalar("w.scale"), Some(&TorchScalar::Int(3)));
    for name in ["p", "v", "w", "w.mask"] {
        assert_eq!(file.read(name).unwrap().to_f32()[4], 4.0, "{name}");
    }
}

#[test]
fn a_name_that_two_entries_have_stands_for_neither() {
    let _guard = crate::alone();
    let one = dictionary(&[("a", nested(&[("b", floats())])), ("a.b", floats()), ("w", floats())]);
    let number = [b"\x80\x02}(K\x01".to_vec(), floats(), text("1"), b"K\x07u.".to_vec()].concat();
    let attribute =
        dictionary(&[("w", floats()), ("a.b", b"K\x01".to_vec()), ("a", nested(&[("b", floats())]))]);
    for (pickle, name) in [(one, "a.b"), (number, "1"), (attribute, "a.b")] {
        let file = open(&pickle).unwrap();
        assert!(names(&file).contains(&name) && file.shape(name).is_none() && file.scalar(name).is_none());
        let message = refusal(file.read(name));
        assert!(message.contains(name) && message.contains("two entries"), "{message}");
    }
}

#[test]
fn an_entry_that_is_not_read_leaves_the_rest_readable() {
    let _guard = crate::alone();
    let eight = [vec![0x8a, 9], vec![0; 8], vec![1]].concat();
    let long = [vec![0x8b, 12, 0, 0, 0], vec![1; 12]].concat();
    let negative = b"L-18446744073709551617L\n".to_vec();
    let sparse = b"ctorch._utils\n_rebuild_sparse_tensor\n)R".to_vec();
    let object = b"cargparse\nNamespace\n)\x81}K\x01K\x02sb".to_vec();
    let wrong_key =
        [b"\x80\x02}(".to_vec(), floats(), b"K\x01".to_vec(), text("w"), floats(), b"u.".to_vec()];
    let file = open(&dictionary(&[
        ("seed", eight),
        ("long", long),
        ("negative", negative),
        ("sparse", sparse),
        ("args", object),
        ("note", [b"X\x2c\x01\0\0".to_vec(), vec![b'a'; 300]].concat()),
        ("dtype", b"ctorch\nfloat32\n".to_vec()),
        ("nothing", b"N".to_vec()),
        ("w", floats()),
    ]))
    .unwrap();
    assert_eq!(file.read("w").unwrap().to_f32()[3], 3.0);
    let objects: Vec<String> = file.objects().map(|(name, object)| format!("{name}: {object}")).collect();
    assert_eq!(
        objects,
        [
            "args: an object of the class argparse.Namespace",
            "dtype: the name torch.float32",
            "long: a whole number of 12 bytes",
            "negative: a whole number of 10 bytes",
            "note: a text of 300 bytes",
            "seed: a whole number of 9 bytes",
        ]
    );
    assert!(refusal(file.read("sparse")).contains("_rebuild_sparse_tensor"));
    let file = open(&wrong_key.concat()).unwrap();
    assert_eq!((names(&file), file.objects().count()), (vec!["w"], 1));
}

#[test]
fn repeated_elements_are_read_within_a_limit() {
    let _guard = crate::alone();
    let entry = |shape: &[u8], strides: &[u8]| {
        open(&dictionary(&[("w", tensor("FloatStorage", 0, 6, 2, shape, strides))]))
            .unwrap()
            .read("w")
            .unwrap()
            .to_f32()
    };
    // As `expand` makes them: one element for all, one row for all, one column for all.
    assert_eq!(entry(&[100], &[0]).sum(), 200.0);
    assert_eq!(entry(&[50, 3], &[0, 1]).sum(), 50.0 * (2.0 + 3.0 + 4.0));
    assert_eq!(entry(&[4, 200], &[1, 0]).sum(), 200.0 * (2.0 + 3.0 + 4.0 + 5.0));
}

#[test]
fn whole_objects_are_refused_with_their_class() {
    let _guard = crate::alone();
    let module = b"\x80\x02csae_training.sae\nSparseAutoencoder\n)\x81}X\x01\0\0\0aK\x01sb.".to_vec();
    let old = b"\x80\x02ccopy_reg\n_reconstructor\n(cmy.module\nSAE\nc__builtin__\nobject\nNtR}b.".to_vec();
    for (pickle, class) in [(module, "sae_training.sae.SparseAutoencoder"), (old, "my.module.SAE")] {
        let message = refusal(open(&pickle));
        assert!(message.contains(class) && message.contains("state_dict()"), "{message}");
    }
    // A dictionary of a class of its own is still a dictionary.
    let derived =
        [b"\x80\x02ceasydict\nEasyDict\n)\x81(".to_vec(), text("w"), floats(), b"u.".to_vec()].concat();
    assert_eq!(names(&open(&derived).unwrap()), ["w"]);
    let held = dictionary(&[("cfg", b"cmy\nConfig\n)\x81".to_vec()), ("w", floats())]);
    let file = open(&held).unwrap();
    assert_eq!(file.objects().collect::<Vec<_>>(), [("cfg", &TorchObject::Instance("my.Config".into()))]);
}

#[test]
fn shared_parts_do_not_multiply_the_names_without_end() {
    let _guard = crate::alone();
    // Thirty dictionaries, each of which holds the one before it twice: 2³⁰ names.
    let mut pickle = b"\x80\x02".to_vec();
    pickle.extend(nested(&[("w", floats())]));
    pickle.extend(b"q\0");
    for _ in 0..30 {
        pickle.extend(b"}(");
        for name in ["a", "b"] {
            pickle.extend(text(name));
            pickle.extend(b"h\0");
        }
        pickle.extend(b"uq\0");
    }
    pickle.extend(b".");
    let bytes = archive(&pickle, zip::CompressionMethod::Stored);
    let (file, peak) = crate::measured(|| TorchFile::from_bytes(bytes));
    assert!(file.is_ok_and(|file| file.names().count() < 1 << 9) && peak < 1 << 20);
}
