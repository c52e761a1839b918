//! Files of `torch.save` in its older format, made for tests.

use std::path::Path;

/// A value of a dictionary that is pickled.
pub(crate) enum Value {
    /// A tensor of single precision with its shape.
    Tensor(Vec<usize>, Vec<f32>),
    /// A whole number.
    Int(i32),
    /// A text.
    Text(&'static str),
    /// A dictionary.
    Dict(Vec<(&'static str, Value)>),
    /// Opcodes as they are.
    Raw(&'static [u8]),
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.push(b'X');
    out.extend((text.len() as u32).to_le_bytes());
    out.extend(text.as_bytes());
}

fn int(out: &mut Vec<u8>, value: i32) {
    out.push(b'J');
    out.extend(value.to_le_bytes());
}

fn tuple(out: &mut Vec<u8>, values: &[usize]) {
    out.push(b'(');
    values.iter().for_each(|&value| int(out, value as i32));
    out.push(b't');
}

fn pickle(out: &mut Vec<u8>, value: &Value, storages: &mut Vec<Vec<f32>>) {
    match value {
        Value::Tensor(shape, values) => {
            out.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
            text(out, "storage");
            out.extend(b"ctorch\nFloatStorage\n");
            text(out, &storages.len().to_string());
            text(out, "cpu");
            int(out, values.len() as i32);
            out.extend(b"NtQ");
            int(out, 0);
            tuple(out, shape);
            let mut strides = vec![1; shape.len()];
            for axis in (1..shape.len()).rev() {
                strides[axis - 1] = strides[axis] * shape[axis];
            }
            tuple(out, &strides);
            out.extend(b"\x89ccollections\nOrderedDict\n)RtR");
            storages.push(values.clone());
        }
        Value::Int(value) => int(out, *value),
        Value::Text(value) => text(out, value),
        Value::Dict(entries) => {
            out.extend(b"}(");
            for (key, value) in entries {
                text(out, key);
                pickle(out, value, storages);
            }
            out.push(b'u');
        }
        Value::Raw(opcodes) => out.extend(*opcodes),
    }
}

/// Writes a dictionary as `torch.save` did before torch 1.6.
pub(crate) fn write(path: &Path, entries: Vec<(&'static str, Value)>) {
    let mut out = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}.\x80\x02".to_vec();
    let mut storages = Vec::new();
    pickle(&mut out, &Value::Dict(entries), &mut storages);
    out.extend(b".\x80\x02](");
    (0..storages.len()).for_each(|key| text(&mut out, &key.to_string()));
    out.extend(b"e.");
    for storage in storages {
        out.extend((storage.len() as u64).to_le_bytes());
        storage.iter().for_each(|value| out.extend(value.to_le_bytes()));
    }
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, out).unwrap();
}

/// Returns a tensor.
pub(crate) fn tensor(array: &ndarray::ArrayD<f32>) -> Value {
    Value::Tensor(array.shape().to_vec(), array.iter().copied().collect())
}
